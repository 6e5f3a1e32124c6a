//! One bucket of AWS or of any store that speaks S3: lists, reads and writes objects. The requests go through the
//! guarded client of [`crate::network`], so that its rules hold for an object store as for a web server; redirects are not
//! followed. A key is any text: what a library of paths would not take (`//`, a mark for a folder) is an object all the
//! same. Only the signature is a library's.

mod error;
mod list;
mod request;

use std::{fs::File, io::Read, time::Duration};

use bytes::Bytes;
use reqwest::{
    Method,
    header::{ETAG, HeaderMap},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

pub use error::BucketError;

use self::request::Signer;
use crate::network::{
    RetryPolicy, Timeouts,
    address::AddressPolicy,
    client::{self, Answer, Client},
    content,
    credentials::Secret,
    download::{Download, Piece},
    payload::Payload,
    words,
};
use modelwright_core::digest::hex;

/// Where AWS is without a Secret.
const DEFAULT_REGION: &str = "us-east-1";
/// Larger files are sent in parts of this size. S3 takes 5 MiB to 5 GiB a part, and 10,000 parts.
const PART: u64 = 8 * 1024 * 1024;
/// Most bytes of an answer that is no object.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// How to speak to an object store.
#[derive(Clone, Copy)]
pub struct BucketAccess<'a> {
    /// Credentials, and where the store is; without them, AWS without a signature.
    pub secret: Option<&'a Secret>,
    /// Which addresses may be connected to.
    pub policy: AddressPolicy,
    pub timeouts: Timeouts,
    pub retry: RetryPolicy,
}

pub struct Bucket {
    client: Client,
    signer: Signer,
    retry: RetryPolicy,
    name: String,
    uri: String,
    endpoint: Url,
    secret: String,
}

/// What is asked of a bucket or of one of its objects.
#[derive(Clone, Copy)]
struct Question<'a> {
    method: &'a Method,
    key: Option<&'a str>,
    query: &'a [(&'a str, &'a str)],
    headers: &'a HeaderMap,
    body: &'a Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    upload_id: String,
}

impl Bucket {
    /// Prepares to speak to a bucket; sends nothing yet. `uri` is for messages.
    pub fn open(name: &str, uri: &str, access: BucketAccess<'_>) -> Result<Self, BucketError> {
        let secret = access.secret;
        let (endpoint, region) = endpoint(secret)?;
        let client = Client::new(access.policy, access.timeouts, secret.and_then(Secret::ca_certificate))?;
        client.check(&endpoint)?;
        Ok(Self {
            client,
            signer: Signer::new(secret, region)?,
            retry: access.retry,
            name: name.to_owned(),
            uri: uri.to_owned(),
            endpoint,
            secret: secret.map_or_else(|| "a Secret".to_owned(), |secret| secret.label().to_owned()),
        })
    }

    /// Where the store is, with the scheme that it is spoken to by.
    pub fn place(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    /// Objects whose keys begin with a prefix, with their sizes, in the order of keys, and no more than one over `limit`.
    /// What only marks a folder is left out.
    pub async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<(String, u64)>, BucketError> {
        let mut listing = list::Listing::new(limit);
        while let Some(next) = listing.next() {
            let query: Vec<_> = [("list-type", "2"), ("prefix", prefix)]
                .into_iter()
                .chain(next.iter().map(|(key, value)| (*key, value.as_str())))
                .collect();
            let page = self.ask(Method::GET, None, &query, &Bytes::new()).await?;
            listing.add(&page).map_err(|why| BucketError::Refused {
                uri: self.uri.clone(),
                why: format!("{} gives a list of objects that cannot be read: {why}", self.place()),
            })?;
        }
        Ok(listing.finish())
    }

    /// Reads an object. `pinned` tells whether its digest is checked.
    pub fn get(
        &self,
        key: &str,
        pinned: bool,
    ) -> Download<impl AsyncFn(HeaderMap) -> Result<Answer, BucketError>> {
        self.download(key, self.retry).pinned(pinned)
    }

    fn download(
        &self,
        key: &str,
        retry: RetryPolicy,
    ) -> Download<impl AsyncFn(HeaderMap) -> Result<Answer, BucketError>> {
        let own = key.to_owned();
        let open = async move |headers: HeaderMap| {
            let (key, body) = (Some(own.as_str()), &Bytes::new());
            let question = Question { method: &Method::GET, key, query: &[], headers: &headers, body };
            let answer = self.send(question).await?;
            match answer.response.status().as_u16() {
                200..=299 | 412 | 416 => Ok(answer),
                _ => Err(self.refusal(answer, key).await),
            }
        };
        Download::new(open, key, retry)
    }

    /// Reads an object whole for its SHA-256, in hex.
    pub async fn sha256(&self, key: &str) -> Result<String, BucketError> {
        self.hash(key, self.retry).await
    }

    /// Whether an object with these bytes is there, which is asked once.
    pub async fn holds(&self, key: &str, sha256: &str) -> bool {
        self.hash(key, RetryPolicy::for_duration(Duration::ZERO)).await.is_ok_and(|actual| actual == sha256)
    }

    async fn hash(&self, key: &str, retry: RetryPolicy) -> Result<String, BucketError> {
        let mut object = self.download(key, retry);
        let mut hash = Sha256::new();
        while let Some(piece) = object.next().await? {
            match piece {
                Piece::Start(_) => hash = Sha256::new(),
                Piece::Bytes(bytes) => hash.update(&bytes),
            }
        }
        Ok(hex(&hash.finalize()))
    }

    /// Writes a file to an object, which appears whole or not at all. What the network does is tried again within, but for
    /// a store that loses the parts of a file or fails to make one of them: then it is [`BucketError::Unreachable`].
    pub async fn put(&self, key: &str, path: &std::path::Path) -> Result<(), BucketError> {
        let io = |source| BucketError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        if size <= PART {
            let content = next_part(&mut file).map_err(io)?;
            return self.ask(Method::PUT, Some(key), &[], &content).await.map(drop);
        }
        let begun = self.ask(Method::POST, Some(key), &[("uploads", "")], &Bytes::new()).await?;
        let begun: Begun = quick_xml::de::from_reader(begun.as_slice())
            .map_err(|_| self.unreadable("the beginning of an upload", &begun))?;
        match self.put_parts(key, &begun.upload_id, &mut file, path).await {
            Ok(()) => Ok(()),
            Err(error) => {
                // A store that does not take this either drops the parts by its own rules.
                let query = [("uploadId", begun.upload_id.as_str())];
                let body = &Bytes::new();
                let question = Question {
                    method: &Method::DELETE,
                    key: Some(key),
                    query: &query,
                    headers: &HeaderMap::new(),
                    body,
                };
                let _ = self.send(question).await;
                Err(match error {
                    // The bucket was there when the upload began.
                    BucketError::BucketMissing { uri, .. } => BucketError::Unreachable {
                        uri,
                        why: format!("{} does not know the upload of `{key}` any more", self.place()),
                    },
                    error => error,
                })
            }
        }
    }

    async fn put_parts(
        &self,
        key: &str,
        upload: &str,
        file: &mut File,
        path: &std::path::Path,
    ) -> Result<(), BucketError> {
        let mut list = String::from("<CompleteMultipartUpload>");
        for number in 1_u32.. {
            let content =
                next_part(file).map_err(|source| BucketError::Io { path: path.to_owned(), source })?;
            if content.is_empty() {
                break;
            }
            let number = number.to_string();
            let query = [("partNumber", number.as_str()), ("uploadId", upload)];
            let tag = self.put_part(key, &query, &content).await?;
            let tag = quick_xml::escape::escape(&tag);
            for text in ["<Part><PartNumber>", &number, "</PartNumber><ETag>", &tag, "</ETag></Part>"] {
                list.push_str(text);
            }
        }
        list.push_str("</CompleteMultipartUpload>");
        let answer = self.ask(Method::POST, Some(key), &[("uploadId", upload)], &list.into()).await?;
        // A store that takes long says 200 first, and what went wrong afterwards.
        let text = String::from_utf8_lossy(&answer);
        if text.contains("<Error>") {
            let why = format!("{} says: {}", self.place(), words::of(&text));
            return Err(BucketError::Unreachable { uri: self.uri.clone(), why });
        }
        Ok(())
    }

    /// Sends a part, and gives its entity tag.
    async fn put_part(&self, key: &str, query: &[(&str, &str)], body: &Bytes) -> Result<String, BucketError> {
        let headers = HeaderMap::new();
        let question = Question { method: &Method::PUT, key: Some(key), query, headers: &headers, body };
        let put = || async {
            let answer = self.send(question).await?;
            if answer.response.status().is_success() {
                Ok(answer)
            } else {
                Err(self.refusal(answer, None).await)
            }
        };
        let answer = self.retry.run(put).await?;
        let tag = answer.response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        tag.map(str::to_owned).ok_or_else(|| BucketError::Refused {
            uri: self.uri.clone(),
            why: format!("{} takes a part of a file and gives no ETag for it", self.place()),
        })
    }

    /// Asks until it is answered, and reads the answer.
    async fn ask(
        &self,
        method: Method,
        key: Option<&str>,
        query: &[(&str, &str)],
        body: &Bytes,
    ) -> Result<Vec<u8>, BucketError> {
        let headers = HeaderMap::new();
        let question = Question { method: &method, key, query, headers: &headers, body };
        let ask = || async {
            let answer = self.send(question).await?;
            if !answer.response.status().is_success() {
                return Err(self.refusal(answer, None).await);
            }
            // What is read counts as what it is, and so does how far an upload has got; what is written may be acknowledged
            // by any success.
            match method {
                Method::GET | Method::POST => Ok(content::small(answer, MAX_ANSWER_BYTES).await?),
                _ => Ok(client::read_words(answer).await.into_bytes()),
            }
        };
        self.retry.run(ask).await
    }

    async fn send(&self, question: Question<'_>) -> Result<Answer, BucketError> {
        let request = self
            .signer
            .sign(&self.endpoint, &self.name, question)
            .map_err(|why| BucketError::InvalidAddress { uri: self.uri.clone(), why })?;
        Ok(self.client.send(request, &Payload::Bytes(question.body.clone())).await?)
    }

    /// What a refusal means: one for the object `key`, or one that any bucket answers.
    async fn refusal(&self, answer: Answer, key: Option<&str>) -> BucketError {
        let (uri, host, status) = (self.uri.clone(), self.place().to_owned(), answer.response.status());
        let region =
            answer.response.headers().get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
        let region = region.map_or_else(String::new, |region| format!(" (the store says: {region})"));
        if matches!(status.as_u16(), 202 | 408 | 425 | 429 | 500..) {
            return client::refusal(answer).await.into();
        }
        let said = words::of(&client::read_words(answer).await);
        let why = format!("{host} says: {status}: {said}");
        match (status.as_u16(), key) {
            (404, Some(key)) => BucketError::NotFound { uri, key: key.to_owned(), host },
            (404, None) => BucketError::BucketMissing { uri, bucket: self.name.clone(), host },
            (401, _) => BucketError::Unauthorized { uri, why },
            (403, _) => BucketError::Forbidden {
                uri,
                why: format!(
                    "{why}; check the keys `accessKeyId` and `secretAccessKey` of {} and their rights (without the right \
                     to list a bucket, a missing object looks like this too)",
                    self.secret
                ),
            },
            (300..=399, _) => BucketError::Refused {
                uri,
                why: format!(
                    "{host} answers with a redirect, which is not followed; if the bucket is in another region{region}, \
                     give a Secret with `host` and `region` of that region"
                ),
            },
            _ => BucketError::Refused { uri, why },
        }
    }

    fn unreadable(&self, what: &str, answer: &[u8]) -> BucketError {
        let said = words::of(&String::from_utf8_lossy(answer));
        let why = format!("{} answers with what is not {what}: {said}", self.place());
        BucketError::Refused { uri: self.uri.clone(), why }
    }
}

/// The endpoint's address and region.
fn endpoint(secret: Option<&Secret>) -> Result<(Url, String), BucketError> {
    let region =
        secret.and_then(|secret| secret.s3().region.clone()).unwrap_or_else(|| DEFAULT_REGION.to_owned());
    let aws = format!("s3.{region}.amazonaws.com");
    let text = match secret {
        None => format!("https://{aws}"),
        Some(secret) => {
            let (scheme, port) = if secret.plain_http() { ("http", 80) } else { ("https", 443) };
            format!("{scheme}://{}", secret.host_or(&aws, port)?.authority())
        }
    };
    let url = Url::parse(&text)
        .map_err(|error| BucketError::InvalidAddress { uri: text.clone(), why: error.to_string() })?;
    Ok((url, region))
}

fn next_part(file: &mut File) -> std::io::Result<Bytes> {
    let mut content = Vec::new();
    file.take(PART).read_to_end(&mut content)?;
    Ok(content.into())
}
