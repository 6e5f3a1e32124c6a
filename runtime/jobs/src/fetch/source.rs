//! Reads a source's URI. In goes text; out comes a [`Source`] with only the parts that its scheme has, or what was
//! expected instead. Needs no network.

use url::Url;

use super::error::FetchError;
use crate::store::Reference;

const MAX_URI_BYTES: usize = 2048;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Oci(Reference),
    S3 {
        bucket: String,
        /// The key, or the prefix of all keys.
        key: String,
        /// Whether it is a prefix.
        all: bool,
    },
    Http(Url),
    Claim {
        /// Path within the claim; empty for all of it.
        path: String,
        /// Whether every file below it is meant.
        all: bool,
    },
}

impl Source {
    pub fn parse(uri: &str) -> Result<Self, FetchError> {
        let invalid = |why: &str| FetchError::InvalidUri { uri: shown(uri), why: why.to_owned() };
        // Keys and file names may have spaces, which are written as they are; addresses of the web may not.
        let may_have_spaces = uri.starts_with("s3://") || uri.starts_with("pvc://");
        let wrong = |c: char| c.is_control() || (c.is_whitespace() && !(may_have_spaces && c == ' '));
        if uri.len() > MAX_URI_BYTES || uri.chars().any(wrong) {
            return Err(invalid(
                "expected at most 2048 characters without spaces (in a web address, %20 is one)",
            ));
        }
        let (scheme, rest) = uri
            .split_once("://")
            .ok_or_else(|| invalid("expected oci://, s3://, https://, http:// or pvc:// at its start"))?;
        match scheme {
            "oci" => Reference::parse(rest).map(Self::Oci).map_err(|why| invalid(&why)),
            "s3" => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                if !is_bucket(bucket) {
                    return Err(invalid(
                        "expected s3://BUCKET/KEY, or s3://BUCKET/PREFIX/ for all files below it",
                    ));
                }
                let all = key.is_empty() || key.ends_with('/');
                // Two slashes in a row are as good a key as one.
                if key == "/" || key.split('/').any(|part| matches!(part, "." | "..")) {
                    return Err(invalid("its key is `/`, or has a `.` or `..` part"));
                }
                let key = key.strip_suffix('/').unwrap_or(key).to_owned();
                Ok(Self::S3 { bucket: bucket.to_owned(), key, all })
            }
            "http" | "https" => {
                let url = Url::parse(uri).map_err(|error| invalid(&error.to_string()))?;
                if !url.username().is_empty() || url.password().is_some() {
                    return Err(invalid(
                        "user and password do not belong in a URI; name a Secret in credentialsSecret",
                    ));
                }
                Ok(Self::Http(url))
            }
            "pvc" => {
                let (claim, path) = rest.split_once('/').unwrap_or((rest, ""));
                if claim.is_empty() {
                    return Err(invalid(
                        "expected pvc://CLAIM/PATH, or pvc://CLAIM/FOLDER/ for all files below it",
                    ));
                }
                let all = path.is_empty() || path.ends_with('/');
                let path = checked_path(path).ok_or_else(|| FetchError::Escapes { uri: uri.to_owned() })?;
                Ok(Self::Claim { path, all })
            }
            _ => Err(invalid("expected oci://, s3://, https://, http:// or pvc:// at its start")),
        }
    }
}

/// A path without its trailing `/`, if none of its parts is empty, `.` or `..`.
fn checked_path(path: &str) -> Option<String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let fine = path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    fine.then(|| path.to_owned())
}

fn is_bucket(bucket: &str) -> bool {
    (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && !bucket.contains("..")
}

/// A URI as it may be shown.
pub fn shown(uri: &str) -> String {
    let without_query = uri.split(['?', '#']).next().unwrap_or_default();
    let short: String = without_query.chars().filter(|c| !c.is_control()).take(300).collect();
    match short.split_once("://") {
        Some((scheme, rest)) => {
            let authority_end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(authority_end);
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            // In `oci://`, an `@` after the first `/` starts the digest, which is no secret.
            format!("{scheme}://{host}{path}")
        }
        None => short,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_scheme_is_read_into_its_own_parts() {
        assert_eq!(
            Source::parse("s3://models/digits/").unwrap(),
            Source::S3 { bucket: "models".into(), key: "digits".into(), all: true }
        );
        assert_eq!(
            Source::parse("s3://models/a/b.onnx").unwrap(),
            Source::S3 { bucket: "models".into(), key: "a/b.onnx".into(), all: false }
        );
        assert_eq!(
            Source::parse("s3://models/my models//net 1.onnx").unwrap(),
            Source::S3 { bucket: "models".into(), key: "my models//net 1.onnx".into(), all: false }
        );
        assert_eq!(
            Source::parse("pvc://claim/a/b.onnx").unwrap(),
            Source::Claim { path: "a/b.onnx".into(), all: false }
        );
        assert_eq!(Source::parse("pvc://claim").unwrap(), Source::Claim { path: String::new(), all: true });
        assert!(matches!(Source::parse("https://example.com/m.onnx?x=y").unwrap(), Source::Http(_)));
        assert!(matches!(Source::parse("oci://host:5000/a/b:v1").unwrap(), Source::Oci(_)));
    }

    #[test]
    fn what_is_no_source_is_refused_with_what_was_expected() {
        for uri in [
            "",
            "model.onnx",
            "ftp://host/x",
            "s3://",
            "s3://UPPER/x",
            "s3://bucket/../x",
            "s3:// bucket/x",
            "s3://bucket/x\n",
            "https://",
            "https://user:secret@host/x",
            "oci://",
            "oci://host",
            "oci://host/UPPER",
            "pvc:///x",
            "https://host/a b",
        ] {
            let error = Source::parse(uri).unwrap_err();
            assert_eq!(error.reason(), "InvalidUri", "{uri}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert_eq!(Source::parse("pvc://claim/../x").unwrap_err().reason(), "Forbidden");
    }

    #[test]
    fn a_shown_uri_has_no_secrets_and_keeps_its_digest() {
        assert_eq!(shown("https://u:p@host/x?sig=1"), "https://host/x");
        assert_eq!(shown("oci://host/a@sha256:00"), "oci://host/a@sha256:00");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(uri in "\\PC{0,80}", scheme in "(oci|s3|https|pvc)://") {
            let _ = Source::parse(&uri);
            let _ = Source::parse(&format!("{scheme}{uri}"));
        }
    }
}
