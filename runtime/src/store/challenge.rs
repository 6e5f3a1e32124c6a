//! Reads a registry's `WWW-Authenticate` header. In goes its text; out comes what is asked for. Needs no network.

use std::collections::BTreeMap;

/// How to log in.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By user name and password in every request.
    Basic,
    /// By a token from `realm`.
    Bearer {
        /// Where tokens are handed out.
        realm: String,
        /// For which service.
        service: Option<String>,
        /// For which rights.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads one challenge.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        Some(Self::Bearer {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service"),
            scope: parameters.remove("scope"),
        })
    }
}

/// `key="value"` or `key=value`, divided by commas that may also stand within the quotes.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    let mut rest = text.trim_start();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        parameters.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        rest = tail.trim_start_matches([',', ' ']);
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_challenge_keeps_the_commas_within_its_quotes() {
        let header = r#"Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a/b:pull,push""#;
        assert_eq!(
            Challenge::parse(header),
            Some(Challenge::Bearer {
                realm: "https://auth.example.com/token".to_owned(),
                service: Some("registry".to_owned()),
                scope: Some("repository:a/b:pull,push".to_owned()),
            })
        );
    }

    #[test]
    fn other_challenges_are_told_apart() {
        assert_eq!(Challenge::parse("basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Negotiate"), None);
        assert_eq!(Challenge::parse("Bearer service=\"x\""), None);
        assert_eq!(Challenge::parse(""), None);
    }
}
