//! Paths within a model's folder, as strangers name them. In goes a text; out comes which rule it breaks, if any.

/// Says which rule a relative path breaks, if any.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.len() > 512 {
        return Err("expected 1 to 512 characters");
    }
    if path.starts_with('/') || path.contains('\\') || path.get(1..2) == Some(":") {
        return Err("it is no relative path with `/`");
    }
    if path.chars().any(char::is_control) {
        return Err("it holds a control character");
    }
    for part in path.split('/') {
        match part {
            "" | "." | ".." => return Err("it has an empty, `.` or `..` part"),
            part if part.len() > 255 => return Err("one of its parts is longer than 255 bytes"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_accepted_path_has_only_normal_components(path in "[a-z./\\\\:\u{e9}\0-]{0,24}") {
            if check_path(&path).is_ok() {
                let normal = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
                prop_assert!(normal, "{:?}", path);
            }
        }
    }
}
