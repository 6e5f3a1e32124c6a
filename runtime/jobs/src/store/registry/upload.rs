//! How a blob is written: in parts that a cut does not undo, or whole where a registry knows no parts. In goes a file; it
//! is the registry's when this ends well. After every failure the registry is asked how far it has got, and the upload
//! goes on there; the patience runs anew with every part that was taken.

use std::path::Path;

use reqwest::{
    Method, Response,
    header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE},
};
use url::Url;

use super::{Ordering, Registry, RegistryError};
use crate::network::{
    Attempts, NetworkError,
    client::{self, Answer, Call},
    payload::Payload,
};

/// The least size of a part that a registry asks for.
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

struct Blob<'a> {
    path: &'a Path,
    digest: &'a str,
    size: u64,
}

/// An upload that the registry knows.
struct Session {
    url: Url,
    offset: u64,
    chunk: u64,
    /// Whether the registry has to be asked how far it has got.
    unsure: bool,
}

/// What became of a part.
enum Step {
    /// The registry has the blob.
    Done,
    /// It has more of it than before.
    Advanced,
    /// It has to be begun anew, for no fault of the network.
    Anew,
}

impl Registry {
    /// Writes a file as a blob.
    pub(super) async fn upload(&self, path: &Path, digest: &str, size: u64) -> Result<(), RegistryError> {
        let blob = Blob { path, digest, size };
        let mut attempts = self.retry.attempts();
        let mut furthest = 0;
        let mut session = None;
        loop {
            match self.step(&blob, &mut session).await {
                Ok(Step::Done) => return Ok(()),
                Ok(Step::Advanced) => {
                    let offset = session.as_ref().map_or(0, |session| session.offset);
                    note_progress(&mut attempts, &mut furthest, offset);
                }
                Ok(Step::Anew) => session = None,
                Err(error) => {
                    attempts.pause(error).await?;
                    if let Some(session) = &mut session {
                        session.unsure = true;
                    }
                    // The answer to the last part may be all that was lost.
                    if self.says_to_have(digest).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn step(&self, blob: &Blob<'_>, session: &mut Option<Session>) -> Result<Step, RegistryError> {
        let Some(upload) = session else {
            let begun = self.begin().await?;
            if self.whole_only.load(Ordering::Relaxed) || blob.size <= begun.chunk {
                let payload = Payload::File { path: blob.path.to_owned(), offset: 0, length: blob.size };
                return self.finish(&begun, blob, &payload).await;
            }
            *session = Some(begun);
            return Ok(Step::Advanced);
        };
        if upload.unsure {
            return self.ask(upload).await;
        }
        if upload.offset >= blob.size {
            return self.finish(upload, blob, &Payload::Empty).await;
        }
        self.send_part(upload, blob).await
    }

    async fn begin(&self) -> Result<Session, RegistryError> {
        let url = self.url("blobs/uploads/")?;
        let answer = self.request(Method::POST, &url, HeaderMap::new(), &Payload::Empty).await?;
        let response = client::expect_success(answer).await?.response;
        let least = response.headers().get(CHUNK_MIN_LENGTH).and_then(|least| least.to_str().ok());
        let least: u64 = least.and_then(|least| least.trim().parse().ok()).unwrap_or(0);
        let url =
            self.place(&response)?.ok_or_else(|| self.upload_error("it names no place to upload to"))?;
        Ok(Session { url, offset: 0, chunk: self.chunk.max(least), unsure: false })
    }

    async fn send_part(&self, upload: &mut Session, blob: &Blob<'_>) -> Result<Step, RegistryError> {
        let length = upload.chunk.min(blob.size - upload.offset);
        let end = upload.offset + length;
        let payload = Payload::File { path: blob.path.to_owned(), offset: upload.offset, length };
        let mut headers = HeaderMap::new();
        let range = format!("{}-{}", upload.offset, end - 1);
        headers.extend(HeaderValue::from_str(&range).ok().map(|range| (CONTENT_RANGE, range)));
        let answer = self.request(Method::PATCH, &upload.url, headers, &payload).await?;
        let response = match client::expect_success(answer).await {
            Ok(answer) => answer.response,
            Err(error) if error.is_unknown() || (upload.offset == 0 && error.is_forbidden()) => {
                // Before the first part was taken: it knows no parts, or what stands before it lets no PATCH pass. Later:
                // it has forgotten the upload.
                if upload.offset == 0 {
                    self.knows_no_parts(&error);
                    return Ok(Step::Anew);
                }
                tracing::warn!(%error, "the registry does not go on with an upload, which begins anew");
                let lost = forgotten(&upload.url);
                upload.unsure = true;
                return Err(lost.into());
            }
            Err(error) => return Err(error.into()),
        };
        let taken = taken(&response).unwrap_or(end);
        if taken <= upload.offset || taken > blob.size {
            self.knows_no_parts(&format!("after the bytes {range} it says to have {taken}"));
            return Ok(Step::Anew);
        }
        upload.offset = taken;
        if let Some(url) = self.place(&response)? {
            upload.url = url;
        }
        Ok(Step::Advanced)
    }

    /// Asks how far an upload has got.
    async fn ask(&self, upload: &mut Session) -> Result<Step, RegistryError> {
        let answer = self.request(Method::GET, &upload.url, HeaderMap::new(), &Payload::Empty).await?;
        let response = match client::expect_success(answer).await {
            Ok(answer) => answer.response,
            Err(error) if error.is_unknown() => {
                if upload.offset == 0 {
                    self.knows_no_parts(&error);
                }
                return Ok(Step::Anew);
            }
            Err(error) => return Err(error.into()),
        };
        let Some(taken) = taken(&response) else { return Ok(Step::Anew) };
        // `0-0` is what a registry without any byte says, and no part is that small.
        upload.offset = if taken <= 1 { 0 } else { taken };
        upload.unsure = false;
        if let Some(url) = self.place(&response)? {
            upload.url = url;
        }
        Ok(Step::Advanced)
    }

    /// Closes an upload, with the rest of the bytes if there are any.
    async fn finish(
        &self,
        upload: &Session,
        blob: &Blob<'_>,
        payload: &Payload,
    ) -> Result<Step, RegistryError> {
        let mut url = upload.url.clone();
        url.query_pairs_mut().append_pair("digest", blob.digest);
        let answer = self.request(Method::PUT, &url, HeaderMap::new(), payload).await?;
        match client::expect_success(answer).await {
            Ok(_) => Ok(Step::Done),
            // An earlier try, whose answer was lost, may have ended it meanwhile: whether the blob is there comes next.
            Err(error @ NetworkError::NotFound { .. }) if upload.offset > 0 => {
                tracing::warn!(%error, "the registry does not know an upload that it has all the parts of");
                Err(forgotten(&upload.url).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn request(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        payload: &Payload,
    ) -> Result<Answer, RegistryError> {
        if payload.length() > 0 {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        }
        self.call(Call { method, url, headers: &headers, payload }).await
    }

    /// Where the upload goes on, if the answer says so.
    fn place(&self, response: &Response) -> Result<Option<Url>, RegistryError> {
        let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
        let shown = String::from_utf8_lossy(location.as_bytes());
        let mut url = response
            .url()
            .join(&shown)
            .map_err(|error| self.upload_error(&format!("its place to upload to is no URL ({error})")))?;
        // A registry behind a proxy that ends TLS often takes itself for one of plain HTTP. The host is the same, and TLS
        // is kept.
        let same_host = url.host_str().is_some() && url.host_str() == self.base.host_str();
        if url.scheme() == "http" && !self.plain_http && same_host {
            let port = self.base.port();
            // Both can only fail for URLs that have no host.
            let _ = url.set_scheme("https");
            let _ = url.set_port(port);
        }
        if url.scheme() == "https" || (url.scheme() == "http" && self.plain_http) {
            return Ok(Some(url));
        }
        let shown = crate::network::redacted(&url);
        Err(self.upload_error(&format!(
            "it names {shown} as the place to upload to, and TLS was expected (https)"
        )))
    }

    fn knows_no_parts(&self, why: &dyn std::fmt::Display) {
        tracing::info!(%why, "the registry knows no parts of blobs, which are sent whole");
        self.whole_only.store(true, Ordering::Relaxed);
    }
}

fn forgotten(url: &Url) -> NetworkError {
    NetworkError::Interrupted {
        url: crate::network::redacted(url),
        cause: "the registry has forgotten the upload".to_owned(),
    }
}

/// How many bytes an answer says to be there: one more than the last of `0-LAST`.
fn taken(response: &Response) -> Option<u64> {
    let range = response.headers().get(RANGE)?.to_str().ok()?;
    let (_, last) = range.trim().trim_start_matches("bytes=").split_once('-')?;
    last.trim().parse::<u64>().ok()?.checked_add(1)
}

fn note_progress(attempts: &mut Attempts, furthest: &mut u64, offset: u64) {
    if offset > *furthest {
        *furthest = offset;
        attempts.progressed();
    }
}
