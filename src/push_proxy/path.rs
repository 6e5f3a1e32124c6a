//! Which repository a request of the OCI distribution protocol is about. Only the forms that a push needs are known, so that
//! nothing that this side reads one way is read another way by the registry. Pure.

/// Whether a path is of this repository, `prefix/namespace/name`.
pub fn is_of(path: &str, repository: &str) -> bool {
    let rest = path.strip_prefix("/v2/").and_then(|rest| rest.strip_prefix(repository));
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix('/')) else { return false };
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        ["blobs", "uploads", id] => id.is_empty() || is_plain(id),
        ["blobs" | "manifests", name] => is_plain(name),
        ["tags", "list"] => true,
        _ => false,
    }
}

/// A digest, a tag or the name of an upload: nothing is escaped, and nothing leads upwards.
fn is_plain(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_push_needs_is_of_the_repository() {
        for rest in [
            "blobs/uploads/",
            "blobs/uploads/0f3b-1",
            "blobs/sha256:ab",
            "manifests/run-1",
            "manifests/sha256:ab",
            "tags/list",
        ] {
            assert!(is_of(&format!("/v2/models/team/digits/{rest}"), "models/team/digits"), "{rest}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for path in [
            "/v2/",
            "/v2/_catalog",
            "/v2/models/team/digits2/blobs/uploads/",
            "/v2/models/team/digits/",
            "/v2/models/team/digits",
            "/v2/models/team/other/manifests/1",
            "/v2/models/other/digits/manifests/1",
            "/v2/models/team/digits/../other/manifests/1",
            "/v2/models/team/digits/blobs/../../other/manifests/1",
            "/v2/models/team/digits/manifests/..",
            "/v2/models/team/digits/manifests/%2e%2e",
            "/v2/models/team/digits/blobs/x/blobs/uploads/",
            "/v2/models/team/digits/blobs/uploads/a/b",
            "/v2/models/team/digits//blobs/uploads/",
            "/v2//models/team/digits/blobs/uploads/",
            "/v2/x/models/team/digits/blobs/uploads/",
            "models/team/digits/blobs/uploads/",
            "",
        ] {
            assert!(!is_of(path, "models/team/digits"), "{path}");
        }
    }
}
