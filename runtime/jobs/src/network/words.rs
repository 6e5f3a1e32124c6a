//! The server's own words about a refusal. In goes the beginning of a body; out comes what a person would read in it: the
//! code and message of a registry's or an object store's error, a page's title, or plain text. Needs no network.

use serde_json::Value;

/// Most characters that are shown.
const MAX_SHOWN: usize = 300;

/// What a body says, in one line; nothing if it says nothing.
pub fn of(body: &str) -> String {
    let text = body.trim_start_matches('\u{feff}').trim();
    let words = if text.starts_with(['{', '[']) {
        json(text).unwrap_or_else(|| text.to_owned())
    } else if text.starts_with('<') {
        markup(text)
    } else {
        text.to_owned()
    };
    one_line(&words)
}

/// The same, ready to stand behind a message.
pub fn said(body: &str) -> String {
    let words = of(body);
    if words.is_empty() { words } else { format!("; the server says: {words}") }
}

/// A registry's `errors`, or what others call their message.
fn json(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    let mut all = Vec::new();
    match value.get("errors").and_then(Value::as_array) {
        Some(errors) => all.extend(errors.iter().filter_map(one)),
        None => all.extend(one(&value)),
    }
    (!all.is_empty()).then(|| all.join("; "))
}

fn one(error: &Value) -> Option<String> {
    let text = |key: &str| error.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let message = ["message", "error_description", "detail", "details", "error", "title"]
        .into_iter()
        .find_map(text)
        .or_else(|| error.as_str())
        .map(str::to_owned)
        .or_else(|| error.get("error").and_then(one));
    match (text("code"), message) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (code, message) => message.or_else(|| code.map(str::to_owned)),
    }
}

/// An object store's `Code` and `Message`, or a page's title and text.
fn markup(text: &str) -> String {
    match (element(text, "Code"), element(text, "Message")) {
        (Some(code), Some(message)) => return format!("{code}: {message}"),
        (Some(only), None) | (None, Some(only)) => return only.to_owned(),
        (None, None) => {}
    }
    match element(text, "title").or_else(|| element(text, "h1")) {
        Some(title) => format!("{title} (a page)"),
        None => plain(text),
    }
}

/// What stands in the first element of a name.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lower = text.to_ascii_lowercase();
    let name = name.to_ascii_lowercase();
    let start = lower.find(&format!("<{name}>"))? + name.len() + 2;
    let length = lower.get(start..)?.find(&format!("</{name}>"))?;
    text.get(start..start + length).map(str::trim).filter(|content| !content.is_empty())
}

fn plain(text: &str) -> String {
    let mut inside = false;
    text.chars()
        .filter(|c| {
            match c {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    return false;
                }
                _ => {}
            }
            !inside
        })
        .collect()
}

fn one_line(text: &str) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MAX_SHOWN {
        return line;
    }
    line.chars().take(MAX_SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_words_of_registries_stores_and_pages_are_found() {
        for (body, words) in [
            (r#"{"errors":[{"code":"DENIED","message":"over the quota"}]}"#, "DENIED: over the quota"),
            (r#"{"errors":[{"code":"A","message":"a"},{"code":"B"}]}"#, "A: a; B"),
            (r#"{"error":"invalid_grant","error_description":"wrong password"}"#, "wrong password"),
            (r#"{"message":"no such file"}"#, "no such file"),
            (r#"{"error":{"code":403,"message":"ended"}}"#, "ended"),
            (
                "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>the link\n has expired</Message></Error>",
                "AccessDenied: the link has expired",
            ),
            ("<html><head><TITLE>Sign in</TITLE></head></html>", "Sign in (a page)"),
            ("<p>gone <b>away</b></p>", "gone away"),
            ("quota exceeded\n", "quota exceeded"),
            ("{broken", "{broken"),
            ("", ""),
        ] {
            assert_eq!(of(body), words, "{body}");
        }
        assert_eq!(said(" \n"), "");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic_and_none_is_shown_at_length(
            body in "(\\PC|<Code>|</Code>|<title>|İ|[{}\":\\[\\]])*"
        ) {
            let words = of(&body);
            prop_assert!(words.chars().count() <= MAX_SHOWN + 1);
            prop_assert!(!words.contains('\n'));
        }
    }
}
