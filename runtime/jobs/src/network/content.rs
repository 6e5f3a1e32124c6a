//! What answer is content: the one place where an answer becomes bytes of a file. In goes an answer and what was asked
//! for; out come its bytes with where they begin, or an error. A part that nobody asked for, an answer without content and
//! compressed bytes are no file, whatever their server calls them.

use futures::StreamExt;
use reqwest::{
    Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName,
        HeaderValue, IF_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
    },
};

use super::{
    NetworkError,
    client::{self, Answer, Body},
    error::redacted,
    time::Late,
};

/// What a file's bytes can be known by when the rest of them is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validator {
    /// The address itself: its bytes can be no others, or their digest is checked.
    Address,
    /// A strong entity tag.
    Tag(HeaderValue),
    /// The time of the last change, long enough before the answer to be exact.
    Modified(HeaderValue),
}

impl Validator {
    /// Whether an answer is of this file. It says so itself: a server may heed no condition.
    fn is_of(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Address => true,
            Self::Tag(tag) => headers.get(ETAG) == Some(tag),
            Self::Modified(date) => headers.get(LAST_MODIFIED) == Some(date),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of the file.
    Whole,
    /// What comes after the bytes that are here.
    Rest {
        offset: u64,
        validator: Validator,
        /// How many it has, if that is known.
        total: Option<u64>,
    },
}

pub struct Content {
    pub start: u64,
    /// How many the whole file has, if the server says so.
    pub total: Option<u64>,
    /// What the file can be known by later.
    pub validator: Option<Validator>,
    pub body: Body,
}

impl Wanted {
    /// The headers that ask for it.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let Self::Rest { offset, validator, .. } = self else { return headers };
        if let Ok(range) = HeaderValue::from_str(&format!("bytes={offset}-")) {
            headers.insert(RANGE, range);
        }
        match validator {
            Validator::Address => {}
            Validator::Tag(tag) => drop(headers.insert(IF_MATCH, tag.clone())),
            Validator::Modified(date) => drop(headers.insert(IF_UNMODIFIED_SINCE, date.clone())),
        }
        headers
    }

    /// Whether an answer says that there is no such rest, so that it has to be begun anew.
    pub fn is_gone(&self, response: &Response) -> bool {
        matches!(self, Self::Rest { .. })
            && matches!(
                response.status(),
                StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE
            )
    }

    /// Takes an answer for content, or says why it is none. `name` is the file's.
    pub async fn accept(&self, answer: Answer, name: &str) -> Result<Content, NetworkError> {
        let response = &answer.response;
        let url = redacted(response.url());
        if self.is_gone(response) {
            let why = format!("it answers {} to the request for the rest", response.status());
            return Err(NetworkError::Changed { url, why });
        }
        let validator = validator(response.headers());
        let (start, total) = match (response.status(), self) {
            (StatusCode::OK, _) => (0, length(response.headers())),
            (StatusCode::PARTIAL_CONTENT, Self::Rest { offset, validator: old, total: known }) => {
                let headers = response.headers();
                let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
                match range.and_then(content_range) {
                    Some((first, total)) if first == *offset => {
                        let as_long = known.is_none() || total.is_none() || total == *known;
                        if !(as_long && old.is_of(headers)) {
                            let why = "the rest that it gives is not known to be of the same file".to_owned();
                            return Err(NetworkError::Changed { url, why });
                        }
                        (first, total.or(*known))
                    }
                    _ => {
                        let range = range.unwrap_or("no Content-Range");
                        let why = format!("the bytes from {offset} on were asked for, and {range} came");
                        return Err(NetworkError::Changed { url, why });
                    }
                }
            }
            (StatusCode::PARTIAL_CONTENT, Self::Whole) => {
                return Err(NetworkError::UnexpectedStatus {
                    url,
                    status: response.status(),
                    expected: "the whole file (200)",
                    words: ": a part of the file, which nobody asked for, is not the file".to_owned(),
                });
            }
            _ => return Err(client::refusal(answer).await),
        };
        if let Some(encoding) = encoding(response.headers(), name) {
            let why = format!(
                "its bytes are compressed (Content-Encoding: {encoding}), which was not asked for; store or serve the \
                 file as it is"
            );
            return Err(NetworkError::NoContent { url, why });
        }
        Ok(Content { start, total, validator, body: Body::of(answer) })
    }
}

/// Reads a small file whole, within the time for an answer: what is small has no reason to take longer, however steadily it
/// comes. One of more than `limit` bytes breaks off.
pub async fn small(answer: Answer, limit: usize) -> Result<Vec<u8>, NetworkError> {
    let (url, wait) = (answer.response.url().clone(), answer.timeouts.answer);
    let read = Box::pin(tokio::time::timeout(wait, read_small(answer, limit)));
    read.await.unwrap_or_else(|_| Err(NetworkError::late(&url, Late::Whole(wait))))
}

async fn read_small(answer: Answer, limit: usize) -> Result<Vec<u8>, NetworkError> {
    let url = redacted(answer.response.url());
    let mut content = Wanted::Whole.accept(answer, "").await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = content.body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > limit {
            let why = format!("it has more than {limit} bytes, which are too many for what it should be");
            return Err(NetworkError::NoContent { url, why });
        }
    }
    Ok(bytes)
}

/// How the bytes are compressed, unless the file itself is such an archive by its name.
fn encoding(headers: &HeaderMap, name: &str) -> Option<String> {
    let encodings = headers.get_all(CONTENT_ENCODING).iter();
    let named = encodings.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase());
    let named = named.filter(|value| !matches!(value.as_str(), "" | "identity" | "aws-chunked"));
    let all = named.collect::<Vec<_>>().join(", ");
    let ends = |ending: &str| name.to_ascii_lowercase().ends_with(ending);
    match all.as_str() {
        "" => None,
        "gzip" | "x-gzip" if ends(".gz") || ends(".tgz") => None,
        "zstd" if ends(".zst") => None,
        _ => Some(all),
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// The first byte and the total of `bytes FIRST-LAST/TOTAL`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total: Option<u64> = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    let fits = first <= last && total.is_none_or(|total| last < total);
    fits.then_some((first, total))
}

fn validator(headers: &HeaderMap) -> Option<Validator> {
    let strong = |tag: &&HeaderValue| tag.as_bytes().starts_with(b"\"");
    if let Some(tag) = headers.get(ETAG).filter(strong) {
        return Some(Validator::Tag(tag.clone()));
    }
    // A file may change twice within a second; a time that is a minute old is exact (RFC 9110, 8.8.2.2).
    let date = |name: HeaderName| {
        let value = headers.get(name)?;
        Some((value.clone(), httpdate::parse_http_date(value.to_str().ok()?).ok()?))
    };
    let ((modified, changed), (_, now)) = (date(LAST_MODIFIED)?, date(DATE)?);
    let old = now.duration_since(changed).is_ok_and(|age| age.as_secs() >= 60);
    old.then_some(Validator::Modified(modified))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_range_is_read_and_nonsense_is_none() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for text in ["", "bytes", "bytes */10", "bytes 5-9", "bytes 9-5/10", "bytes 5-10/10", "items 5-9/10"]
        {
            assert_eq!(content_range(text), None, "{text}");
        }
    }

    #[test]
    fn compressed_bytes_are_told_unless_the_name_says_so_too() {
        let gzip = headers(&[("content-encoding", "GZIP")]);
        assert_eq!(encoding(&gzip, "d.csv").as_deref(), Some("gzip"));
        assert_eq!(encoding(&gzip, "d.csv.gz"), None);
        assert_eq!(encoding(&headers(&[("content-encoding", "br")]), "d.csv.gz").as_deref(), Some("br"));
        assert_eq!(encoding(&headers(&[("content-encoding", "identity")]), "d.csv"), None);
        assert_eq!(encoding(&headers(&[]), "d.csv"), None);
    }

    #[test]
    fn only_what_tells_every_change_is_a_validator() {
        let now = ("date", "Sun, 29 Nov 2026 12:00:00 GMT");
        assert!(matches!(validator(&headers(&[("etag", "\"a\"")])), Some(Validator::Tag(_))));
        assert_eq!(validator(&headers(&[("etag", "W/\"a\"")])), None);
        let modified = |time| validator(&headers(&[("last-modified", time), now]));
        assert!(matches!(modified("Sun, 29 Nov 2026 11:00:00 GMT"), Some(Validator::Modified(_))));
        assert_eq!(modified("Sun, 29 Nov 2026 11:59:30 GMT"), None);
        assert_eq!(validator(&headers(&[("last-modified", "Sun, 29 Nov 2026 11:00:00 GMT")])), None);
    }

    proptest! {
        #[test]
        fn no_range_makes_the_reader_panic(text in "(bytes )?[0-9*/-]{0,30}") {
            let _ = content_range(&text);
        }
    }
}
