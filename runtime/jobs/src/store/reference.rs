//! The address of an artifact: `host[:port]/repository[:tag][@sha256:digest]`. Needs no network.

use std::fmt;

use crate::network::host::HostPort;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    /// Reads what follows `oci://`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected oci://HOST[:PORT]/REPOSITORY[:TAG][@sha256:DIGEST]";
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let hex = digest.strip_prefix("sha256:").filter(|hex| is_sha256(hex));
                (name, Some(hex.ok_or("expected @sha256: with 64 lower-case hex digits")?.to_owned()))
            }
            None => (text, None),
        };
        let (host, path) = name.split_once('/').ok_or(expected)?;
        if HostPort::parse(host, 443).is_none() {
            return Err(expected.to_owned());
        }
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if !is_repository(repository) {
            return Err(format!("{repository:?} is no repository: expected lower-case parts divided by `/`"));
        }
        if !tag.is_none_or(is_tag) {
            return Err(format!("{:?} is no tag", tag.unwrap_or_default()));
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// `host` or `host:port`, as written.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The digest in hex, if the address has one.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// What a manifest is asked for by: the digest, else the tag, else `latest`.
    pub fn manifest_name(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// Whether the address has a tag.
    pub fn has_tag(&self) -> bool {
        self.tag.is_some()
    }

    /// The same repository at another `host` or `host:port`.
    pub fn at_host(&self, host: &str) -> Result<Self, String> {
        if HostPort::parse(host, 443).is_none() {
            return Err(format!("{host:?} is no `host` or `host:port`"));
        }
        Ok(Self { host: host.to_ascii_lowercase(), ..self.clone() })
    }

    /// The same repository by digest.
    #[must_use]
    pub fn at_digest(&self, digest: &str) -> Self {
        Self { tag: None, digest: Some(digest.to_owned()), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "oci://{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@sha256:{digest}")?;
        }
        Ok(())
    }
}

/// Whether a text is 64 lower-case hex digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_repository(text: &str) -> bool {
    text.len() <= 255
        && text.split('/').all(|part| {
            let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            edge(part.bytes().next())
                && edge(part.bytes().last())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
        })
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_is_written_as_it_was_read() {
        let digest = "ab".repeat(32);
        for text in [
            "registry:5000/a/b",
            "registry/a:v1",
            &format!("registry/a/b-c/d@sha256:{digest}"),
            &format!("registry/a:v1@sha256:{digest}"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), format!("oci://{text}"));
        }
    }

    #[test]
    fn a_digest_wins_over_a_tag_and_latest_is_the_default() {
        let digest = "ab".repeat(32);
        let name = |text: &str| Reference::parse(text).unwrap().manifest_name();
        assert_eq!(name(&format!("h/a:v1@sha256:{digest}")), format!("sha256:{digest}"));
        assert_eq!(name("h/a:v1"), "v1");
        assert_eq!(name("h/a"), "latest");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "h",
            "h/",
            "/a",
            "h/A",
            "h/a//b",
            "h/../a",
            "h/a:",
            "h/a:.x",
            "h/a@sha256:00",
            "h h/a",
            "u@h/a",
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
    }
}
