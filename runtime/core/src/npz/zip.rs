//! The ZIP format, as far as NumPy uses it: stored and deflated members, ZIP64. In goes a file; out come the members of
//! its central directory, and the bytes of one. Sizes are those of the directory and are checked against the file before
//! memory is taken, and against the bytes and their checksum after.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Take},
};

use flate2::{Crc, read::DeflateDecoder};

use super::NpzError;

/// Most members, and most bytes of the directory.
const MAX_MEMBERS: u64 = 4096;
const MAX_DIRECTORY_BYTES: u64 = 4 * 1024 * 1024;
/// The directory's end: its size without a comment, and the longest comment.
const END_BYTES: usize = 22;
const MAX_COMMENT_BYTES: u64 = 65_535;
/// Most bytes that deflate makes of one.
const MAX_RATIO: u64 = 1032;
/// What stands in a field whose value is in the ZIP64 extension.
const ELSEWHERE: u64 = 0xffff_ffff;

/// One member of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub size: u64,
    compressed: u64,
    deflated: bool,
    crc: u32,
    offset: u64,
}

#[derive(Debug)]
pub struct Directory {
    /// Its members, in the order of the file.
    pub members: Vec<Member>,
}

fn broken(why: &str) -> NpzError {
    NpzError::NotZip(why.to_owned())
}

/// A place in bytes, from which little-endian numbers are read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], NpzError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| broken("it is cut"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, NpzError> {
        Ok(self.bytes(bytes)?.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }

    fn expect(&mut self, signature: [u8; 4], what: &str) -> Result<(), NpzError> {
        if *self.bytes(4)? == signature { Ok(()) } else { Err(broken(&format!("{what} is missing"))) }
    }
}

/// A length that a 16-bit field held.
fn length(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

struct Place {
    members: u64,
    size: u64,
    offset: u64,
}

impl Directory {
    /// Reads the directory of a file.
    pub fn read(file: &mut File) -> Result<Self, NpzError> {
        let size = file.seek(SeekFrom::End(0))?;
        let place = find(file, size)?;
        let end = place.offset.checked_add(place.size).filter(|end| *end <= size);
        if end.is_none() || place.members > MAX_MEMBERS || place.size > MAX_DIRECTORY_BYTES {
            return Err(broken("its directory is cut, or larger than any of NumPy's"));
        }
        let bytes = read_at(file, place.offset, place.size)?;
        let mut fields = Fields(&bytes);
        let members =
            (0..place.members).map(|_| member(&mut fields, size)).collect::<Result<Vec<_>, NpzError>>()?;
        if !fields.0.is_empty() {
            return Err(broken("its directory holds more than its members"));
        }
        Ok(Self { members })
    }
}

/// Finds the directory from the end of the file.
fn find(file: &mut File, size: u64) -> Result<Place, NpzError> {
    let tail_size = size.min(END_BYTES as u64 + MAX_COMMENT_BYTES);
    let tail = read_at(file, size - tail_size, tail_size)?;
    // The last record whose comment reaches to the end of the file.
    let starts = (0..=tail.len().checked_sub(END_BYTES).ok_or_else(|| broken("it is too short"))?).rev();
    let (start, mut fields) = starts
        .filter_map(|start| Some((start, tail.get(start..)?.strip_prefix(b"PK\x05\x06")?)))
        .find(|(_, rest)| {
            let comment = rest.get(16..18).map(|field| usize::from(field[0]) | usize::from(field[1]) << 8);
            comment == rest.len().checked_sub(18)
        })
        .map(|(start, rest)| (start, Fields(rest)))
        .ok_or_else(|| broken("the directory at its end is missing"))?;
    let disks = (fields.number(2)?, fields.number(2)?);
    let here = fields.number(2)?;
    let place = Place { members: fields.number(2)?, size: fields.number(4)?, offset: fields.number(4)? };
    let whole = place.members != 0xffff && place.size != ELSEWHERE && place.offset != ELSEWHERE;
    if whole {
        if disks != (0, 0) || here != place.members {
            return Err(broken("it is one part of several"));
        }
        return Ok(place);
    }
    let locator = start.checked_sub(20).and_then(|at| tail.get(at..start));
    let mut fields = Fields(locator.ok_or_else(|| broken("its ZIP64 directory is missing"))?);
    fields.expect(*b"PK\x06\x07", "its ZIP64 directory")?;
    fields.number(4)?;
    let offset = fields.number(8)?;
    if offset.checked_add(56).is_none_or(|end| end > size) {
        return Err(broken("its ZIP64 directory is cut"));
    }
    let record = read_at(file, offset, 56)?;
    let mut fields = Fields(&record);
    fields.expect(*b"PK\x06\x06", "its ZIP64 directory")?;
    fields.bytes(28)?;
    Ok(Place { members: fields.number(8)?, size: fields.number(8)?, offset: fields.number(8)? })
}

/// Reads the next member of the directory. `file_size` bounds what it may claim.
fn member(fields: &mut Fields<'_>, file_size: u64) -> Result<Member, NpzError> {
    fields.expect(*b"PK\x01\x02", "a member of its directory")?;
    fields.number(4)?;
    let flags = fields.number(2)?;
    let method = fields.number(2)?;
    fields.number(4)?;
    let crc = fields.number(4)?;
    let (mut compressed, mut size) = (fields.number(4)?, fields.number(4)?);
    let (name, extra, comment) = (fields.number(2)?, fields.number(2)?, fields.number(2)?);
    fields.number(8)?;
    let mut offset = fields.number(4)?;
    let name = std::str::from_utf8(fields.bytes(length(name))?)
        .map_err(|_| broken("the name of a member is not UTF-8"))?
        .to_owned();
    let mut extra = Fields(fields.bytes(length(extra))?);
    fields.bytes(length(comment))?;
    while extra.0.len() >= 4 {
        let (id, size_of_field) = (extra.number(2)?, extra.number(2)?);
        let mut field = Fields(extra.bytes(length(size_of_field))?);
        if id == 1 {
            for value in [&mut size, &mut compressed, &mut offset] {
                if *value == ELSEWHERE {
                    *value = field.number(8)?;
                }
            }
        }
    }
    let refused = |why: &str| NpzError::Member { member: name.clone(), why: why.to_owned() };
    if flags & 1 != 0 {
        return Err(refused("is encrypted"));
    }
    let deflated = match method {
        0 if size != compressed => return Err(refused("is stored with two sizes")),
        0 => false,
        8 if size / MAX_RATIO > compressed => return Err(refused("claims more than deflate can hold")),
        8 => true,
        _ => return Err(refused("is compressed by another method than deflate")),
    };
    if offset.checked_add(compressed).is_none_or(|end| end > file_size) {
        return Err(refused("is cut"));
    }
    let crc = u32::try_from(crc).unwrap_or_default();
    Ok(Member { name, size, compressed, deflated, crc, offset })
}

/// Reads a member's content and proves its size and checksum. `array` is for messages.
pub fn content(file: &mut File, member: &Member, array: &str) -> Result<Vec<u8>, NpzError> {
    let refused = |why: &str| NpzError::Member { member: member.name.clone(), why: why.to_owned() };
    let local = read_at(file, member.offset, 30).map_err(|_| refused("is cut"))?;
    let mut fields = Fields(&local);
    fields.expect(*b"PK\x03\x04", "the head of a member")?;
    fields.bytes(22)?;
    let (name, extra) = (fields.number(2)?, fields.number(2)?);
    file.seek(SeekFrom::Start(member.offset.saturating_add(30 + name + extra)))?;
    let size = usize::try_from(member.size).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    // One byte more, so that content that goes on is seen without another allocation.
    bytes
        .try_reserve_exact(size.saturating_add(1))
        .map_err(|_| NpzError::Memory { array: array.to_owned(), bytes: size })?;
    let compressed = file.take(member.compressed);
    let inflated = if member.deflated {
        inflate(compressed, member.size, &mut bytes)
    } else {
        compressed.take(member.size).read_to_end(&mut bytes)
    };
    inflated.map_err(|error| refused(&format!("cannot be unpacked ({error})")))?;
    if bytes.len() != size {
        return Err(refused("has another size than its directory says"));
    }
    let mut crc = Crc::new();
    crc.update(&bytes);
    if crc.sum() != member.crc {
        return Err(refused("is damaged: its checksum differs"));
    }
    Ok(bytes)
}

fn inflate(compressed: Take<&mut File>, size: u64, bytes: &mut Vec<u8>) -> std::io::Result<usize> {
    DeflateDecoder::new(compressed).take(size.saturating_add(1)).read_to_end(bytes)
}

/// Reads a part of a file that was checked to be there.
fn read_at(file: &mut File, offset: u64, size: u64) -> Result<Vec<u8>, NpzError> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(broken("it is cut")) }
}
