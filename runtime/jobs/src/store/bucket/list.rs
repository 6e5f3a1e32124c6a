//! Reads a bucket's list of objects, page by page. In go pages; out come the keys with their sizes, and what to ask for
//! next, until there is no more. A list that does not get on ends with an error, whatever it says about more pages. Needs
//! no network.

use std::collections::{BTreeMap, BTreeSet};

use quick_xml::events::Event;
use serde::Deserialize;

use crate::network::words;

/// Pages in a row without a new key that are read: a store may have many that only hold what was deleted.
const MAX_IDLE_PAGES: usize = 100;
/// Objects of any kind that are read for each one that may be a file, besides one more.
const OBJECTS_A_FILE: usize = 100;

#[derive(Deserialize)]
#[serde(rename = "ListBucketResult", rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    contents: Vec<Object>,
    next_continuation_token: Option<String>,
    is_truncated: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    key: String,
    size: u64,
}

/// Whether the outermost element is that of a list: the library takes any.
fn is_list(page: &[u8]) -> bool {
    let mut reader = quick_xml::Reader::from_reader(page);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Start(element) | Event::Empty(element)) => {
                return element.local_name().as_ref() == b"ListBucketResult";
            }
            Ok(Event::Eof) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

/// A list in the making.
pub struct Listing {
    objects: BTreeMap<String, u64>,
    limit: usize,
    tokens: BTreeSet<String>,
    idle: usize,
    next: Option<Vec<(&'static str, String)>>,
}

impl Listing {
    /// An empty one, which ends once it holds more than `limit` keys.
    pub fn new(limit: usize) -> Self {
        Self { objects: BTreeMap::new(), limit, tokens: BTreeSet::new(), idle: 0, next: Some(Vec::new()) }
    }

    /// What more to ask for; nothing at the end.
    pub fn next(&mut self) -> Option<Vec<(&'static str, String)>> {
        self.next.take().filter(|_| self.files().count() <= self.limit)
    }

    pub fn add(&mut self, page: &[u8]) -> Result<(), String> {
        let says = || words::of(&String::from_utf8_lossy(page));
        if !is_list(page) {
            return Err(format!("a ListBucketResult was expected, and it says: {}", says()));
        }
        let page: Page =
            quick_xml::de::from_reader(page).map_err(|error| format!("{error}; it says: {}", says()))?;
        let before = self.objects.len();
        let last = page.contents.last().map(|object| object.key.clone());
        self.objects.extend(page.contents.into_iter().map(|object| (object.key, object.size)));
        self.idle = if self.objects.len() > before { 0 } else { self.idle + 1 };
        let token = page.next_continuation_token.filter(|token| !token.is_empty());
        self.next = match (page.is_truncated, token, last) {
            (Some(false), ..) | (None, None, _) => None,
            (_, Some(token), _) if !self.tokens.insert(token.clone()) => {
                return Err("it does not get on: its next page is one that was read already".to_owned());
            }
            (_, Some(token), _) => Some(vec![("continuation-token", token)]),
            // Stores that only know the first version of lists.
            (Some(true), None, Some(last)) if self.idle == 0 => Some(vec![("start-after", last)]),
            (Some(true), None, _) => {
                return Err("it does not get on: it has more pages and does not say which".to_owned());
            }
        };
        if self.next.is_some() && self.idle >= MAX_IDLE_PAGES {
            return Err(format!("it does not get on: {MAX_IDLE_PAGES} pages in a row hold no new object"));
        }
        let most = OBJECTS_A_FILE.saturating_mul(self.limit.saturating_add(1));
        if self.next.is_some() && self.objects.len() > most && self.files().count() <= self.limit {
            return Err(format!(
                "it has more than {most} objects, nearly all of which are marks for folders; expected at most {} files: \
                 remove the marks, or move the files to a prefix of their own",
                self.limit
            ));
        }
        Ok(())
    }

    /// The objects that are files.
    pub fn finish(self) -> Vec<(String, u64)> {
        self.files().map(|(key, size)| (key.clone(), *size)).collect()
    }

    /// Consoles and file managers make empty objects for folders: with a slash at the end, with Hadoop's mark, or as the
    /// beginning of other keys.
    fn files(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.objects.iter().filter(|(key, size)| {
            let below = format!("{key}/");
            let has_more = || {
                self.objects.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below))
            };
            **size > 0 || !(key.ends_with('/') || key.ends_with("_$folder$") || has_more())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn page(keys: &[(&str, u64)], more: &str) -> Vec<u8> {
        let row = |(key, size): &(&str, u64)| {
            format!("<Contents><Key>{}</Key><Size>{size}</Size></Contents>", quick_xml::escape::escape(*key))
        };
        let rows = keys.iter().map(row).collect::<Vec<_>>().concat();
        format!("<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name>{more}{rows}</ListBucketResult>")
            .into()
    }

    fn more(token: &str) -> String {
        format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
    }

    /// How many pages are read of a store, and what they come to.
    fn read(limit: usize, pages: impl Fn(usize) -> Vec<u8>) -> (usize, Result<Vec<(String, u64)>, String>) {
        let mut listing = Listing::new(limit);
        let mut count = 0;
        while listing.next().is_some() {
            if let Err(why) = listing.add(&pages(count)) {
                return (count + 1, Err(why));
            }
            count += 1;
        }
        (count, Ok(listing.finish()))
    }

    #[test]
    fn marks_of_folders_are_no_files_at_any_depth_and_in_any_form() {
        let keys = [
            ("m/", 0),
            ("m/a_$folder$", 0),
            ("m/data", 0),
            ("m/data/", 0),
            ("m/data/w", 3),
            ("m/e", 0),
            ("m//x", 1),
        ];
        let (_, files) = read(10, |_| page(&keys, "<IsTruncated>false</IsTruncated>"));
        let expected = [("m//x", 1), ("m/data/w", 3), ("m/e", 0)].map(|(key, size)| (key.to_owned(), size));
        assert_eq!(files.unwrap(), expected);
    }

    #[test]
    fn a_list_of_many_pages_is_read_whole_and_one_that_does_not_get_on_ends() {
        let two = |number| if number == 0 { page(&[("a", 1)], &more("1")) } else { page(&[("b", 1)], "") };
        let (count, files) = read(10, two);
        assert_eq!((count, files.unwrap().len()), (2, 2));
        let (count, files) = read(10, |_| page(&[("a", 1)], &more("same")));
        assert!(count == 2 && files.unwrap_err().contains("does not get on"), "{count}");
        let (count, files) = read(10, |number| page(&[("a", 1)], &more(&number.to_string())));
        assert!(count == MAX_IDLE_PAGES + 1 && files.unwrap_err().contains("does not get on"), "{count}");
        let (_, files) = read(10, |_| page(&[], "<IsTruncated>true</IsTruncated>"));
        assert!(files.unwrap_err().contains("does not get on"));
        // By the last key, where there is no token.
        let old = |number| {
            if number == 0 {
                page(&[("a", 1)], "<IsTruncated>true</IsTruncated>")
            } else {
                page(&[("b", 1)], "")
            }
        };
        assert_eq!(read(10, old).1.unwrap().len(), 2);
        // And never further than anybody needs.
        let (count, files) = read(3, |number| page(&[(&number.to_string(), 1)], &more(&number.to_string())));
        assert_eq!((count, files.unwrap().len()), (4, 4));
        let (_, files) = read(10, |_| b"<html><title>Sign in</title></html>".to_vec());
        assert!(files.unwrap_err().contains("Sign in"));
    }

    #[test]
    fn a_list_of_marks_for_folders_without_end_ends() {
        let marks = |number: usize| {
            let keys: Vec<String> = (0..10).map(|mark| format!("m/{number}-{mark}/")).collect();
            let keys: Vec<_> = keys.iter().map(|key| (key.as_str(), 0)).collect();
            // Nobody reads further than this.
            let more = if number < 1000 { more(&number.to_string()) } else { String::new() };
            page(&keys, &more)
        };
        let (count, files) = read(3, marks);
        let why = files.unwrap_err();
        assert!(why.contains("400 objects") && why.contains("marks for folders"), "{why}");
        assert_eq!(count, 41);
        // As many as people have are no matter.
        let (_, files) = read(3, |number| if number < 30 { marks(number) } else { page(&[("m/x", 1)], "") });
        assert_eq!(files.unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn keys_come_back_as_they_are(key in "[a-z/ &<>\"%+\u{e9}-]{1,20}", size in 1_u64..9) {
            let key = format!("m{key}m");
            let (_, files) = read(5, |_| page(&[(&key, size)], ""));
            prop_assert_eq!(files.unwrap(), vec![(key.clone(), size)]);
        }
    }
}
