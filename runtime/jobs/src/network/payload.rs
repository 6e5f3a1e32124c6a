//! What a request sends. In go bytes, or a part of a file; out comes a body in small pieces, each of which is noted when
//! the connection asks for it, so that a body that moves can be told from one that does not. It can be sent again.

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::time::Sending;

/// Bytes that are sent at once.
const PIECE: usize = 64 * 1024;

/// The body of a request.
#[derive(Clone, Debug)]
pub enum Payload {
    Empty,
    Bytes(Bytes),
    /// A part of a file.
    File {
        path: PathBuf,
        offset: u64,
        length: u64,
    },
}

impl Payload {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// The pieces, which note that they were asked for.
    pub(super) fn stream(
        &self,
        sending: Arc<Sending>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let total = self.length();
        let pieces = match self.clone() {
            Self::Empty => stream::empty().boxed(),
            Self::Bytes(bytes) => slices(bytes).boxed(),
            Self::File { path, offset, length } => stream::once(open(path, offset, length))
                .flat_map(|file| match file {
                    Ok(file) => tokio_util::io::ReaderStream::with_capacity(file, PIECE).boxed(),
                    Err(error) => stream::once(async { Err(error) }).boxed(),
                })
                .boxed(),
        };
        let mut sent = 0_u64;
        pieces.inspect(move |piece| {
            sent += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            sending.advanced(sent >= total);
        })
    }
}

async fn open(path: PathBuf, offset: u64, length: u64) -> io::Result<tokio::io::Take<tokio::fs::File>> {
    let mut file = tokio::fs::File::open(path).await?;
    file.seek(io::SeekFrom::Start(offset)).await?;
    Ok(file.take(length))
}

fn slices(mut bytes: Bytes) -> impl Stream<Item = io::Result<Bytes>> {
    stream::iter(std::iter::from_fn(move || {
        let piece = bytes.split_to(bytes.len().min(PIECE));
        (!piece.is_empty()).then_some(Ok(piece))
    }))
}
