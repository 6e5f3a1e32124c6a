//! Reads a registry's `WWW-Authenticate` headers. In goes the text of one; out comes what it asks for, of all that it
//! offers. Needs no network.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By user name and password in every request.
    Basic,
    /// By a token from `realm`.
    Bearer {
        /// Where tokens are handed out.
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads every challenge of a header that can be met; the others are left out.
    pub fn parse_all(header: &str) -> Vec<Self> {
        split(header).into_iter().filter_map(Self::from_parts).collect()
    }

    fn from_parts((scheme, mut parameters): (String, BTreeMap<String, String>)) -> Option<Self> {
        match scheme.as_str() {
            "basic" => Some(Self::Basic),
            "bearer" => Some(Self::Bearer {
                realm: parameters.remove("realm")?,
                service: parameters.remove("service"),
                scope: parameters.remove("scope").filter(|scope| !scope.is_empty()),
            }),
            _ => None,
        }
    }
}

/// The schemes of a header with their parameters: `Scheme key=value, key="value", Other …`. A comma divides parameters as
/// it divides challenges, so a word without `=` behind it begins the next one.
fn split(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut challenges: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if after.is_empty() && word.is_empty() {
            return challenges;
        }
        let value = after.trim_start_matches([' ', '\t']);
        if let Some(value) = value.strip_prefix('=') {
            let (value, tail) = parameter(value.trim_start_matches([' ', '\t']));
            if let Some((_, parameters)) = challenges.last_mut() {
                parameters.entry(word.to_ascii_lowercase()).or_insert(value);
            }
            rest = tail;
        } else {
            challenges.push((word.to_ascii_lowercase(), BTreeMap::new()));
            rest = after;
        }
    }
}

/// The value at the beginning of a text, and what follows it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, tail) = text.split_at(end);
        return (value.to_owned(), tail);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: text(service), scope: text(scope) }
    }

    #[test]
    fn a_bearer_challenge_keeps_the_commas_within_its_quotes() {
        let header = r#"Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a/b:pull,push""#;
        let expected =
            bearer("https://auth.example.com/token", Some("registry"), Some("repository:a/b:pull,push"));
        assert_eq!(Challenge::parse_all(header), [expected]);
    }

    #[test]
    fn every_challenge_of_a_line_is_read_and_what_is_unknown_is_left_out() {
        let token = || bearer("r", Some("s"), None);
        for (header, expected) in [
            ("basic realm=\"x\"", vec![Challenge::Basic]),
            ("BASIC", vec![Challenge::Basic]),
            ("Negotiate", vec![]),
            ("Bearer service=\"x\"", vec![]),
            ("", vec![]),
            ("Negotiate, Basic realm=\"x\"", vec![Challenge::Basic]),
            ("Negotiate dG9rZW4=, Basic realm=\"x\"", vec![Challenge::Basic]),
            (
                "Basic realm=\"x, Bearer realm=y\", Bearer realm=r , service = \"s\"",
                vec![Challenge::Basic, token()],
            ),
            ("Bearer realm=\"r\",service=s,Basic realm=x", vec![token(), Challenge::Basic]),
            ("Digest realm=\"a\\\"b, Basic\", nonce=1, Bearer realm=r,service=s", vec![token()]),
            ("Bearer realm=r, service=s, scope=\"\", error=\"insufficient_scope\"", vec![token()]),
        ] {
            assert_eq!(Challenge::parse_all(header), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic_or_go_on_for_ever(header in "[A-Za-z=\", \\\\\t\u{e9}]{0,60}") {
            let _ = Challenge::parse_all(&header);
        }

        #[test]
        fn challenges_are_found_in_any_order(order in Just(vec![0, 1, 2]).prop_shuffle(), comma in "( |\t)?,( |\t)*") {
            let parts = ["Negotiate", "Basic realm=\"a, b\"", "Bearer realm=\"r\",service=\"s\""];
            let header = order.iter().map(|part| parts[*part]).collect::<Vec<_>>().join(&comma);
            let found = Challenge::parse_all(&header);
            prop_assert!(found.len() == 2 && found.contains(&Challenge::Basic), "{}: {:?}", header, found);
            prop_assert!(found.contains(&bearer("r", Some("s"), None)), "{}: {:?}", header, found);
        }
    }
}
