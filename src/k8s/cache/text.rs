//! Text that is kept small: objects of one kind are much alike, so each is packed against the first one (LZ4 with a
//! dictionary, <https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>). Pure.

use std::sync::{Arc, OnceLock};

use lz4_flex::block::{compress, compress_with_dict, decompress, decompress_with_dict};

/// Where it ends: LZ4 looks no further back.
const LONGEST: usize = 64 * 1024;

/// What texts are packed against: the first of them.
#[derive(Debug, Default)]
pub struct Dictionary(OnceLock<Arc<[u8]>>);

/// A packed text.
#[derive(Clone, Debug)]
pub struct Text {
    packed: Box<[u8]>,
    length: usize,
    dictionary: Option<Arc<[u8]>>,
}

impl Text {
    /// Packs a text.
    pub fn new(text: &str, dictionary: &Dictionary) -> Self {
        let length = text.len();
        if let Some(dictionary) = dictionary.0.get() {
            let packed = compress_with_dict(text.as_bytes(), dictionary).into();
            return Self { packed, length, dictionary: Some(Arc::clone(dictionary)) };
        }
        // two at once: one of them is the dictionary
        let _ = dictionary.0.set(text.as_bytes()[..length.min(LONGEST)].into());
        Self { packed: compress(text.as_bytes()).into(), length, dictionary: None }
    }

    /// The text's bytes.
    #[expect(clippy::missing_panics_doc, reason = "it cannot")]
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = match &self.dictionary {
            Some(dictionary) => decompress_with_dict(&self.packed, self.length, dictionary),
            None => decompress(&self.packed, self.length),
        };
        bytes.expect("what was packed here unpacks")
    }

    /// Whether the two are the same text; `false` too where they were packed against different dictionaries.
    pub fn is(&self, other: &Self) -> bool {
        let against = |text: &Self| text.dictionary.as_ref().map(Arc::as_ptr);
        self.length == other.length && against(self) == against(other) && self.packed == other.packed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_alike_takes_next_to_nothing() {
        let dictionary = Dictionary::default();
        let object =
            |name: usize| format!("{{\"name\":\"m-{name}\",\"rest\":{:?}}}", (0..500).collect::<Vec<_>>());
        let first = Text::new(&object(1), &dictionary);
        let second = Text::new(&object(2), &dictionary);
        assert!(
            first.packed.len() > 500 && second.packed.len() < 50,
            "{} {}",
            first.packed.len(),
            second.packed.len()
        );
        assert_eq!(second.bytes(), object(2).as_bytes());
        assert!(second.is(&Text::new(&object(2), &dictionary)));
        assert!(!second.is(&Text::new(&object(3), &dictionary)));
    }

    proptest! {
        #[test]
        fn every_text_comes_back(texts in prop::collection::vec("(\\PC{0,40}){0,8}", 1..6), long in 0_usize..200_000) {
            let dictionary = Dictionary::default();
            let long = "long enough ".repeat(long / 12);
            for text in [&long].into_iter().chain(&texts).chain([&long]) {
                let kept = Text::new(text, &dictionary);
                prop_assert_eq!(kept.bytes(), text.as_bytes());
            }
        }
    }
}
