//! The manifests of `examples/`, with their placeholders put to the servers of the tests. In go a file and a place for each
//! placeholder; out comes what is applied.
//!
//! | placeholder | what it becomes |
//! | --- | --- |
//! | `models.example.com`, `registry.example.com`, `s3.example.com`, `data.example.com` | a server of the tests, with the path of the test's own file |
//! | the bucket `models` | a bucket of the test's own |
//! | `your-name`, `your-password`, `your-key`, `your-secret` | user and password of these servers |
//! | the digest of `https.yaml` | that of the test's file |
//! | `registry.example.com/team/boosted-trees:1` | the image that `tests/e2e/own-image` made |
//!
//! Two things are added, because of what these servers are: `plainHttp` for those that speak HTTP, and a Secret with the
//! authority that signed the certificate of the one that speaks HTTPS. Nothing else of an example is changed.

use super::datasets::example;

/// An example with each placeholder put to its place; one that is not there is a mistake.
pub fn placed(path: &str, places: &[(&str, &str)]) -> String {
    places.iter().fold(example(path), |text, (placeholder, place)| {
        assert!(text.contains(placeholder), "{path} has no {placeholder}");
        text.replace(placeholder, place)
    })
}
