//! Bodies that are compressed, both ways. In go bytes and an encoding; out come bytes. Needs no client.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::{
    Compression,
    read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};

use super::budget::{self, Refused, Room};

/// Answers that fit into one packet are sent as they are.
pub const SMALLEST: usize = 1400;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    /// zlib, which HTTP calls deflate.
    Deflate,
}

impl Encoding {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Gzip, Self::Deflate]
            .into_iter()
            .find(|encoding| encoding.name().eq_ignore_ascii_case(name.trim()))
    }

    /// The encoding that an Accept-Encoding asks for: the only one that it names. Libraries name all they know with every
    /// request without having been asked to, and compression costs more than most predictions.
    pub fn asked(accept: &str) -> Option<Self> {
        let mut names = accept.split(',').map(str::trim).filter(|name| !name.is_empty());
        match (names.next(), names.next()) {
            (Some(only), None) => Self::parse(only),
            _ => None,
        }
    }
}

/// First step of what bytes are inflated to.
const STEP: usize = 4096;

/// Why bytes are not inflated.
#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    /// They would be too many.
    #[error("more than {limit} bytes")]
    TooLarge { limit: usize },
    /// There is no memory for them.
    #[error(transparent)]
    Memory(#[from] Refused),
    /// They are not compressed like that, or cut.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// Inflates a body to at most `limit` bytes, behind `padding(address)` bytes that are cut off. Memory is taken as it grows,
/// so that little that would inflate to much takes no more than it did so far.
pub fn inflate(
    encoding: Encoding,
    body: &[u8],
    limit: usize,
    room: Room,
    padding: impl FnOnce(usize) -> usize,
) -> Result<Bytes, InflateError> {
    match encoding {
        Encoding::Gzip => inflate_from(MultiGzDecoder::new(body), body.len(), limit, room, padding),
        Encoding::Deflate if is_zlib(body) => {
            inflate_from(ZlibDecoder::new(body), body.len(), limit, room, padding)
        }
        // Some clients leave the frame out.
        Encoding::Deflate => inflate_from(DeflateDecoder::new(body), body.len(), limit, room, padding),
    }
}

fn inflate_from(
    mut reader: impl Read,
    length: usize,
    limit: usize,
    mut room: Room,
    padding: impl FnOnce(usize) -> usize,
) -> Result<Bytes, InflateError> {
    // What inflates more than this moves once more, and may be misaligned, which costs a copy.
    let expected = length.saturating_mul(4).clamp(STEP, limit.saturating_add(1).max(STEP));
    let mut capacity = room.make(expected)?;
    let mut inflated = Vec::with_capacity(capacity);
    let padding = padding(inflated.as_ptr() as usize);
    inflated.resize(padding, 0);
    loop {
        let free = (capacity - inflated.len()) as u64;
        if free == 0 {
            capacity = room.make(capacity.saturating_add(STEP))?;
            inflated.reserve_exact(capacity - inflated.len());
        } else if reader.by_ref().take(free).read_to_end(&mut inflated)? == 0 {
            break;
        }
        if inflated.len() - padding > limit {
            return Err(InflateError::TooLarge { limit });
        }
    }
    let permit = room.close(inflated.capacity());
    Ok(budget::hold(permit, inflated).slice(padding..))
}

fn is_zlib(body: &[u8]) -> bool {
    match body {
        [method, flags, ..] => method & 0xf == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0,
        _ => false,
    }
}

/// Compresses the parts of a body, fast rather than small.
pub fn deflate<'a>(encoding: Encoding, parts: impl Iterator<Item = &'a [u8]>) -> io::Result<Vec<u8>> {
    match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            for part in parts {
                encoder.write_all(part)?;
            }
            encoder.finish()
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            for part in parts {
                encoder.write_all(part)?;
            }
            encoder.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::budget::Budget;

    fn room() -> Room {
        Room::new(&Budget::new(usize::MAX, 0), usize::MAX)
    }

    #[test]
    fn what_is_inflated_takes_memory_as_it_grows_and_gives_it_back() {
        let budget = Budget::new(4_000_000, 0);
        let bomb = deflate(Encoding::Gzip, [&vec![0; 100_000_000][..]].into_iter()).unwrap();
        let refused = inflate(Encoding::Gzip, &bomb, 100_000_000, Room::new(&budget, 100_000_000), |_| 0);
        let refused = refused.map(|inflated| inflated.len());
        assert!(matches!(refused, Err(InflateError::Memory(Refused::Never { .. }))), "{refused:?}");
        assert_eq!(budget.held(), 0);
        let body = vec![b' '; 1_000_000];
        let small = deflate(Encoding::Gzip, [&body[..]].into_iter()).unwrap();
        let inflated =
            inflate(Encoding::Gzip, &small, 2_000_000, Room::new(&budget, 2_000_000), |_| 0).unwrap();
        assert_eq!(inflated, body);
        assert!((1_000_000..=2_000_064).contains(&budget.held()), "{}", budget.held());
        drop(inflated);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn only_who_names_one_encoding_asks_for_it() {
        assert_eq!(Encoding::asked("gzip"), Some(Encoding::Gzip));
        assert_eq!(Encoding::asked(" Deflate "), Some(Encoding::Deflate));
        for accept in ["", "gzip, deflate", "br", "identity", "*", "gzip;q=0"] {
            assert_eq!(Encoding::asked(accept), None, "{accept}");
        }
    }

    #[test]
    fn what_inflates_beyond_the_limit_is_cut_off() {
        for encoding in [Encoding::Gzip, Encoding::Deflate] {
            let bomb = deflate(encoding, [&vec![0; 10_000_000][..]].into_iter()).unwrap();
            assert!(bomb.len() < 100_000);
            let error = inflate(encoding, &bomb, 1000, room(), |_| 0).unwrap_err();
            assert!(matches!(error, InflateError::TooLarge { limit: 1000 }), "{error}");
        }
    }

    #[test]
    fn deflate_is_read_with_and_without_its_frame() {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"{\"inputs\":[]}").unwrap();
        let bare = encoder.finish().unwrap();
        assert_eq!(inflate(Encoding::Deflate, &bare, 100, room(), |_| 0).unwrap(), "{\"inputs\":[]}");
    }

    proptest! {
        #[test]
        fn every_body_comes_back(body in prop::collection::vec(any::<u8>(), 0..2000), padding in 0..64_usize) {
            for encoding in [Encoding::Gzip, Encoding::Deflate] {
                let small = deflate(encoding, body.chunks(7)).unwrap();
                let inflated = inflate(encoding, &small, 2000, room(), |_| padding).unwrap();
                prop_assert_eq!(&inflated[..], &body[..]);
            }
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for encoding in [Encoding::Gzip, Encoding::Deflate] {
                let _ = inflate(encoding, &body, 1000, room(), |_| 0);
            }
        }
    }
}
