//! What each model does when it is served, which its address says: digests carry it on. Pure.

use sha2::{Digest as _, Sha256};

/// How the pods of a model behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// As they should.
    Good,
    /// They never get ready.
    Broken,
    /// They are ready and serve another model.
    Wrong,
    /// They are ready and have no model.
    Empty,
    /// They are ready, and what they say of themselves comes to nobody.
    Silent,
}

const CASTS: [(Cast, &str, char); 5] = [
    (Cast::Good, "", 'a'),
    (Cast::Broken, "broken", 'b'),
    (Cast::Wrong, "wrong", 'c'),
    (Cast::Empty, "empty", 'd'),
    (Cast::Silent, "silent", '9'),
];

impl Cast {
    /// Of the model of this digest.
    pub fn of(digest: &str) -> Self {
        CASTS.iter().find(|(_, _, mark)| digest.starts_with(*mark)).map_or(Self::Good, |(cast, ..)| *cast)
    }
}

/// The digest of what comes from `source`.
pub fn digest(source: &str) -> String {
    let mark = CASTS.iter().rev().find(|(_, word, _)| source.contains(word)).map_or('a', |(.., mark)| *mark);
    let hash = Sha256::digest(source).iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"));
    format!("{mark}{}", &hash[1..])
}

/// What a pod of this model serves; none where it has no model.
pub fn served(digest: &str) -> Option<String> {
    match Cast::of(digest) {
        Cast::Good | Cast::Silent => Some(digest.to_owned()),
        Cast::Wrong => Some("e".repeat(64)),
        Cast::Broken | Cast::Empty => None,
    }
}
