//! Answers that are made while they are sent: the next piece is made, on a thread that may block, once
//! the connection has room for it. However long the answer and however slow its reader, one piece is
//! in memory, and no snapshot is held between two.

use super::media::{Coding, Packer};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use gateway_ground::failure::Failure;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Makes the pieces; `None` is the end.
pub(crate) type Pieces = Box<dyn Iterator<Item = Result<Vec<u8>, Failure>> + Send>;

/// A body that is there, or one that is made as it is sent.
pub type ReplyBody = Either<Full<Bytes>, Flow>;

/// A body that is made as it is sent.
pub struct Flow {
    frames: Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>,
}

impl Body for Flow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.frames.as_mut().poll_next(context)
    }
}

pub(crate) fn whole(body: Bytes) -> ReplyBody {
    Either::Left(Full::new(body))
}

/// The pieces one after the other, packed when the client wants that. An error cuts the connection
/// before the end that HTTP marks, so that nobody takes what came for the whole.
pub(crate) fn flow(pieces: Pieces, coding: Option<Coding>) -> io::Result<ReplyBody> {
    let packer = coding.map(Coding::packer).transpose()?;
    let making = Some(Making { pieces, packer });
    let frames = try_unfold(making, |making| async move {
        let Some(making) = making else {
            return Ok(None);
        };
        let made = tokio::task::spawn_blocking(move || making.next()).await;
        let made = made.map_err(|_panicked| io::Error::other("making a piece stopped"))?;
        made.map(|made| made.map(|(piece, rest)| (Frame::data(Bytes::from(piece)), rest)))
    });
    let frames = Box::pin(frames);
    Ok(Either::Right(Flow { frames }))
}

/// A body that is not at its end yet.
struct Making {
    pieces: Pieces,
    packer: Option<Packer>,
}

/// A piece, and what makes those after it.
type Made = (Vec<u8>, Option<Making>);

impl Making {
    fn next(mut self) -> io::Result<Option<Made>> {
        loop {
            let piece = match self.pieces.next() {
                Some(piece) => piece.map_err(|failure| cut(&failure))?,
                None => {
                    let rest = self.packer.map(Packer::finish).transpose()?;
                    return Ok(rest.map(|rest| (rest, None)));
                }
            };
            let ready = match &mut self.packer {
                Some(packer) => packer.push(&piece)?,
                None => piece,
            };
            if !ready.is_empty() {
                return Ok(Some((ready, Some(self))));
            }
        }
    }
}

fn cut(failure: &Failure) -> io::Error {
    let numbers: Vec<&str> = failure.issues.iter().map(|issue| issue.number).collect();
    io::Error::other(numbers.join(" "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // our own answer may be read whole

    use super::*;
    use fhir_mapping::model::IssueCode;
    use gateway_ground::failure::Category;
    use http_body_util::BodyExt as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LINE: &[u8] = b"{\"resourceType\":\"Patient\"}\n";

    async fn read(coding: Option<Coding>, pieces: usize) -> Vec<u8> {
        let pieces = (0..pieces).map(|_| Ok(LINE.repeat(1_000)));
        let body = flow(Box::new(pieces), coding).unwrap();
        body.collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn every_packing_comes_whole() {
        for pieces in [0, 1, 100] {
            let expected = LINE.repeat(1_000 * pieces);
            assert_eq!(read(None, pieces).await, expected);
            for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
                let packed = read(Some(coding), pieces).await;
                assert!(pieces == 0 || packed.len() < expected.len() / 10);
                assert_eq!(coding.decode(&packed, 10 << 20).unwrap(), expected);
            }
        }
    }

    #[tokio::test]
    async fn nothing_is_made_before_it_is_asked_for() {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let pieces = (0..1_000_000).map(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(LINE.to_vec())
        });
        let mut body = flow(Box::new(pieces), None).unwrap();
        for asked in 1..=3 {
            body.frame().await.unwrap().unwrap();
            assert_eq!(made.load(Ordering::SeqCst), asked);
        }
    }

    #[tokio::test]
    async fn a_fault_in_the_middle_is_no_end() {
        let fault = || Failure::new(Category::Fault, "E-TEST-1", IssueCode::Exception, "x");
        let pieces = [Ok(LINE.to_vec()), Err(fault())];
        let body = flow(Box::new(pieces.into_iter()), None).unwrap();
        let error = body.collect().await.unwrap_err();
        assert_eq!(error.to_string(), "E-TEST-1");
    }
}
