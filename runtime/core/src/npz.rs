//! Reads NumPy's `.npz`: a ZIP file with one `.npy` array a member. In goes a file that somebody else's program wrote;
//! out come arrays, or what is wrong with it. Nothing in it is executed (pickled objects are refused), and no size that
//! it claims is believed before it was compared with the bytes that are there.

mod array;
mod header;
mod kind;
mod zip;

use std::{fs::File, io, path::Path};

use bytes::Bytes;

pub use self::{array::Array, kind::Kind};
use self::{
    header::Header,
    zip::{Directory, Member},
};

/// Most bytes of all arrays of a file together.
pub const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// A file that is not read.
#[derive(Debug, thiserror::Error)]
pub enum NpzError {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is no ZIP file, or one that is cut or damaged.
    #[error("it is no whole .npz file: {0}")]
    NotZip(String),
    /// It uses a feature of ZIP that NumPy does not write.
    #[error("its member {member:?} {why}; write it with numpy.savez or numpy.savez_compressed")]
    Member {
        member: String,
        /// What is wrong with it.
        why: String,
    },
    /// An array that is not read.
    #[error("its array {array:?} {why}")]
    Array {
        array: String,
        /// What is wrong with it, and what was expected.
        why: String,
    },
    #[error("its arrays have {bytes} bytes, and at most {MAX_BYTES} are read; write fewer rows")]
    TooLarge { bytes: u64 },
    /// More than there is memory for.
    #[error(
        "its array {array:?} needs {bytes} bytes of memory, more than is left; write fewer rows, or give the run more"
    )]
    Memory { array: String, bytes: usize },
}

#[derive(Debug)]
pub struct Npz {
    file: File,
    arrays: Vec<(String, Member)>,
}

impl Npz {
    /// Opens a file and reads which arrays it holds.
    pub fn open(path: &Path) -> Result<Self, NpzError> {
        Self::read(File::open(path)?)
    }

    fn read(mut file: File) -> Result<Self, NpzError> {
        let Directory { members } = Directory::read(&mut file)?;
        let bytes = members.iter().fold(0, |sum: u64, member| sum.saturating_add(member.size));
        if bytes > MAX_BYTES {
            return Err(NpzError::TooLarge { bytes });
        }
        let mut arrays: Vec<(String, Member)> = Vec::with_capacity(members.len());
        for member in members {
            let name = member.name.strip_suffix(".npy").ok_or_else(|| NpzError::Member {
                member: member.name.clone(),
                why: "is no .npy array".to_owned(),
            })?;
            arrays.push((name.to_owned(), member));
        }
        arrays.sort_by(|(first, _), (second, _)| first.cmp(second));
        if let Some([(name, _), _]) = arrays.array_windows().find(|[first, second]| first.0 == second.0) {
            return Err(NpzError::Array { array: name.clone(), why: "is there twice".to_owned() });
        }
        Ok(Self { file, arrays })
    }

    /// Names of the arrays, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.iter().map(|(name, _)| name.as_str())
    }

    /// Reads one array, if it is there.
    pub fn array(&mut self, name: &str) -> Result<Option<Array>, NpzError> {
        let Some((_, member)) = self.arrays.iter().find(|(array, _)| array == name) else { return Ok(None) };
        let content = zip::content(&mut self.file, member, name)?;
        let refused = |why: String| NpzError::Array { array: name.to_owned(), why };
        let (header, start) = Header::parse(&content).map_err(refused)?;
        // The elements stay where they were read to.
        Array::new(header, Bytes::from(content).slice(start..)).map(Some).map_err(refused)
    }
}

#[cfg(test)]
mod tests;
