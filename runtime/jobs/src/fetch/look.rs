//! Looks at the beginning of a fetched file. In go its first bytes and its name; out comes what it is instead of a file of
//! a model or of data, if that is plain to see: a web page (as servers send in place of a file to whoever has not logged
//! in), or the pointer that Git LFS leaves in place of a large file. Needs no network.

/// How much is looked at.
const LOOK: usize = 2048;
/// How a pointer of Git LFS begins.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// How compressed files begin.
const COMPRESSED: [(&str, &[u8]); 4] =
    [("gzip", b"\x1f\x8b\x08"), ("zstd", b"\x28\xb5\x2f\xfd"), ("xz", b"\xfd7zXZ\0"), ("bzip2", b"BZh91AY")];
/// Files that are never compressed as a whole.
const PLAIN_NAMES: [&str; 7] = [".onnx", ".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet"];
const PAGES: [&str; 7] = ["<!doctype html", "<html", "<head", "<body", "<script", "<title", "<meta"];
/// Files that may be pages.
const PAGE_NAMES: [&str; 4] = [".html", ".htm", ".xhtml", ".md"];

/// The first bytes of a file.
#[derive(Debug, Default)]
pub struct First {
    bytes: Vec<u8>,
}

impl First {
    pub fn add(&mut self, bytes: &[u8]) {
        let room = LOOK.saturating_sub(self.bytes.len());
        self.bytes.extend(bytes.iter().take(room));
    }

    /// What the file is instead of one of a model or of data.
    pub fn refuse(&self, name: &str) -> Option<String> {
        if self.bytes.starts_with(POINTER) {
            return Some(
                "it is a Git LFS pointer, which stands in place of the file; name the address that gives the file \
                 itself, or run `git lfs pull` before it is stored"
                    .to_owned(),
            );
        }
        let name = name.to_ascii_lowercase();
        let compressed = COMPRESSED.iter().find(|(_, start)| self.bytes.starts_with(start));
        if let Some((by, _)) = compressed.filter(|_| PLAIN_NAMES.iter().any(|ending| name.ends_with(ending)))
        {
            return Some(format!(
                "its bytes are compressed by {by}, and nothing here unpacks them; store it as it is"
            ));
        }
        let may_be_page = PAGE_NAMES.iter().any(|ending| name.ends_with(ending));
        (!may_be_page && is_page(&self.bytes)).then(|| {
            "it is a web page (HTML), such as servers send in place of a file to whoever has to log in first; name the \
             address of the file itself, and a Secret in `credentialsSecret` if it wants credentials"
                .to_owned()
        })
    }
}

fn is_page(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let mut text = text.trim_start_matches('\u{feff}').trim_start();
    // What may stand before the document type.
    while let Some((start, end)) =
        [("<!--", "-->"), ("<?", "?>")].into_iter().find(|(s, _)| text.starts_with(s))
    {
        let rest = text.get(start.len()..).and_then(|rest| rest.split_once(end));
        let Some((_, rest)) = rest else { return false };
        text = rest.trim_start();
    }
    PAGES.iter().any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn refused(name: &str, content: &[u8]) -> Option<String> {
        let mut first = First::default();
        content.chunks(7).for_each(|chunk| first.add(chunk));
        first.refuse(name)
    }

    #[test]
    fn pages_and_pointers_are_told_and_files_are_not_taken_for_them() {
        let page = [
            "<!DOCTYPE html><html>",
            "\u{feff}\n <HTML>",
            "<?xml version=\"1.0\"?>\n<!-- x -->\n<!doctype HTML>",
        ];
        for page in page {
            assert!(refused("d.csv", page.as_bytes()).unwrap().contains("HTML"), "{page}");
            assert_eq!(refused("notes.html", page.as_bytes()), None);
        }
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
        assert!(refused("weights.bin", pointer).unwrap().contains("LFS"));
        assert!(refused("d.csv", b"\x1f\x8b\x08\0").unwrap().contains("gzip"));
        assert_eq!(refused("d.csv.gz", b"\x1f\x8b\x08\0"), None);
        for file in
            ["x,y\n1,2\n", "<a>,<b>\n", "version,https\n", "", "<!-- never closed", "<data><row/></data>"]
        {
            assert_eq!(refused("d.csv", file.as_bytes()), None, "{file}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, start in "(<!--|<\\?|<|)") {
            let _ = refused("f", &[start.as_bytes(), &bytes].concat());
        }
    }
}
