//! Reads one file to its end, whatever happens on the way: a download that is cut goes on where it was cut if the server
//! has ranges and the file is still the same, and from the beginning otherwise. In goes what opens the file; out come its
//! pieces in order, with a mark where what came before is void.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::header::HeaderMap;

use super::{
    NetworkError,
    client::{Answer, Body},
    content::{Validator, Wanted},
    error::redacted,
    retry::{Attempts, Failure, RetryPolicy},
};

/// What comes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The beginning, once more or for the first time: all that came before is void. With the size, if it is known.
    Start(Option<u64>),
    Bytes(Bytes),
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

pub struct Download<F> {
    open: F,
    name: String,
    attempts: Attempts,
    pinned: bool,
    offset: u64,
    furthest: u64,
    total: Option<u64>,
    validator: Option<Validator>,
    body: Option<(String, Body)>,
}

impl<F, E> Download<F>
where
    F: AsyncFn(HeaderMap) -> Result<Answer, E>,
    E: Failure + From<NetworkError>,
{
    /// Prepares to read; sends nothing yet. `open` asks with the headers that it is given, `name` is the file's name.
    pub fn new(open: F, name: &str, retry: RetryPolicy) -> Self {
        Self {
            open,
            name: name.to_owned(),
            attempts: retry.attempts(),
            pinned: false,
            offset: 0,
            furthest: 0,
            total: None,
            validator: None,
            body: None,
        }
    }

    /// The same for a file whose digest is checked, so that the rest may be asked for without knowing its version.
    #[must_use]
    pub fn pinned(mut self, pinned: bool) -> Self {
        self.pinned = pinned;
        self
    }

    /// The pieces as a stream.
    pub fn pieces(self) -> impl Stream<Item = Result<Piece, E>> {
        futures::stream::try_unfold(self, |mut download| async {
            Ok(download.next().await?.map(|piece| (piece, download)))
        })
    }

    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Result<Option<Piece>, E> {
        loop {
            let failure = match self.step().await {
                Ok(Some(piece)) => return Ok(Some(piece)),
                Ok(None) if self.is_whole() => return Ok(None),
                Ok(None) => self.cut().into(),
                Err(error) => error,
            };
            self.body = None;
            self.attempts.pause(failure).await?;
        }
    }

    async fn step(&mut self) -> Result<Option<Piece>, E> {
        let Some((_, body)) = &mut self.body else { return self.begin().await.map(Some) };
        let Some(bytes) = body.next().await.transpose()? else { return Ok(None) };
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        if self.offset > self.furthest {
            self.furthest = self.offset;
            self.attempts.progressed();
        }
        Ok(Some(Piece::Bytes(bytes)))
    }

    /// Asks for the file, or for its rest.
    async fn begin(&mut self) -> Result<Piece, E> {
        let wanted = self.wanted();
        let answer = (self.open)(wanted.headers()).await?;
        let url = redacted(answer.response.url());
        let content = match wanted.accept(answer, &self.name).await {
            Err(error @ NetworkError::Changed { .. }) => {
                // The file is another one by now, or there are no ranges after all.
                self.offset = 0;
                self.validator = None;
                self.pinned = false;
                return Err(error.into());
            }
            outcome => outcome?,
        };
        self.body = Some((url, content.body));
        self.validator = content.validator.or(self.validator.take().filter(|_| content.start > 0));
        if content.start > 0 {
            self.total = content.total;
            return Ok(Piece::Bytes(Bytes::new()));
        }
        self.offset = 0;
        self.total = content.total;
        Ok(Piece::Start(content.total))
    }

    fn wanted(&self) -> Wanted {
        match self.validator.clone().or(self.pinned.then_some(Validator::Address)) {
            Some(validator) if self.offset > 0 => {
                Wanted::Rest { offset: self.offset, validator, total: self.total }
            }
            _ => Wanted::Whole,
        }
    }

    fn is_whole(&self) -> bool {
        self.total.is_none_or(|total| total == self.offset)
    }

    fn cut(&self) -> NetworkError {
        let url = self.body.as_ref().map(|(url, _)| url.clone()).unwrap_or_default();
        let total = self.total.unwrap_or_default();
        NetworkError::Interrupted { url, cause: format!("{} of {total} bytes came", self.offset) }
    }
}
