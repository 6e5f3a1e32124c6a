//! The artifact store's address: `oci://host[:port]/prefix`, `s3://bucket/prefix` or `pvc://claim/prefix`. Pure.

/// Longest prefix: with namespace, Model, digest and file name it has to fit into an object's key.
const MAX_PREFIX: usize = 200;

/// Checks the address that the operator is started with, and drops a `/` at its end.
pub fn validate_store_uri(text: &str) -> Result<String, String> {
    let expected =
        || format!("`{text}` is none of oci://host[:port]/prefix, s3://bucket/prefix and pvc://claim/prefix");
    let uri = text.trim_end_matches('/');
    let (scheme, rest) = uri.split_once("://").ok_or_else(expected)?;
    let (place, prefix) = rest.split_once('/').ok_or_else(expected)?;
    if place.is_empty() || prefix.is_empty() {
        return Err(expected());
    }
    let refused = |why: &str| Err(format!("`{text}` {why}"));
    match scheme {
        "oci" => return Ok(uri.to_owned()),
        "s3" if !is_bucket(place) => {
            return refused("names no bucket: 3 to 63 lower-case letters, digits, `-` and `.` were expected");
        }
        "pvc" if !is_dns_name(place) => return refused("names no claim: a Kubernetes name was expected"),
        "s3" | "pvc" => {}
        _ => return Err(expected()),
    }
    if prefix.len() > MAX_PREFIX || !prefix.split('/').all(is_part) {
        return refused(
            "has no prefix that every store takes: at most 200 letters, digits, `-`, `_` and `.`, in parts divided by `/`, \
             were expected",
        );
    }
    Ok(uri.to_owned())
}

/// The claim that an address of a store or an artifact is in.
pub fn claim(uri: &str) -> Option<&str> {
    uri.strip_prefix("pvc://")?.split('/').next().filter(|claim| !claim.is_empty())
}

/// Whether a source is kept by the store and read with its credentials: it is on the same host, or below the same bucket's
/// prefix.
pub fn holds(store: &str, source: &str) -> bool {
    let host = |uri: &str| {
        let rest = uri.strip_prefix("oci://")?;
        rest.split('/').next().map(str::to_owned)
    };
    match (host(store), host(source)) {
        (Some(store), Some(source)) => store == source,
        _ => {
            store.starts_with("s3://")
                && source.strip_prefix(store).is_some_and(|below| below.starts_with('/'))
        }
    }
}

fn is_bucket(text: &str) -> bool {
    (3..=63).contains(&text.len())
        && !text.contains("..")
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
}

fn is_part(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Whether a text is a name that Kubernetes gives to a claim.
pub fn is_dns_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            label.starts_with(edge) && label.ends_with(edge) && label.chars().all(|c| edge(c) || c == '-')
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_store_is_a_registry_a_bucket_or_a_claim_with_a_prefix() {
        for (text, uri) in [
            ("oci://store:5000/models/", "oci://store:5000/models"),
            ("s3://bucket/models", "s3://bucket/models"),
            ("s3://my.bucket-1/a/b_c.d/", "s3://my.bucket-1/a/b_c.d"),
            ("pvc://models/kept", "pvc://models/kept"),
        ] {
            assert_eq!(validate_store_uri(text).unwrap(), uri);
        }
    }

    #[test]
    fn what_is_no_store_is_refused_with_what_was_expected() {
        for (text, word) in [
            ("", "none of oci://host[:port]/prefix, s3://bucket/prefix and pvc://claim/prefix"),
            ("/models", "none of"),
            ("oci://store:5000", "none of"),
            ("oci://store:5000/", "none of"),
            ("oci:///models", "none of"),
            ("https://store/models", "none of"),
            ("s3://bucket", "none of"),
            ("pvc://claim/", "none of"),
            ("pvc:///models", "none of"),
            ("s3://Bucket/models", "names no bucket"),
            ("s3://u/models", "names no bucket"),
            ("pvc://my_claim/models", "names no claim"),
            ("pvc://claim/../models", "has no prefix"),
            ("s3://bucket/a//b", "has no prefix"),
            ("s3://bucket/models?region=x", "has no prefix"),
            ("s3://bucket/a b", "has no prefix"),
        ] {
            let error = validate_store_uri(text).unwrap_err();
            assert!(error.contains(word) && error.contains(text), "{text}: {error}");
        }
        assert!(validate_store_uri(&format!("s3://bucket/{}", "a".repeat(201))).is_err());
    }

    #[test]
    fn only_a_claim_is_mounted() {
        assert_eq!(claim("pvc://models/kept/team/digits/00/"), Some("models"));
        for uri in ["oci://store/kept", "s3://models/kept", "pvc://", ""] {
            assert_eq!(claim(uri), None, "{uri}");
        }
    }

    #[test]
    fn a_source_is_the_stores_on_its_host_or_below_its_prefix() {
        for (store, source, held) in [
            ("oci://store:5000/models", "oci://store:5000/other:v1", true),
            ("oci://store:5000/models", "oci://store/models", false),
            ("s3://bucket/models", "s3://bucket/models/team/digits/00/", true),
            ("s3://bucket/models", "s3://bucket/models2/x", false),
            ("s3://bucket/models", "s3://other/models/x", false),
            ("s3://bucket/models", "oci://bucket/models/x", false),
            ("pvc://claim/models", "pvc://claim/models/x", false),
            ("oci://store/models", "https://store/models", false),
        ] {
            assert_eq!(holds(store, source), held, "{store} {source}");
        }
    }
}
