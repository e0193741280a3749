//! One group of the log: its writes as bytes, sealed whole, in blocks that no other group shares, so
//! that writing the next one touches nothing that was acknowledged.

use crate::StoreError;
use crate::catalog::{POSTINGS_NUMBER, Tree};
use crate::codec::{self, Input};
use crate::overlay::{Item, Posting, Run};
use crate::seal::{NONCE_BYTES, Seal, TAG_BYTES};

/// A group starts at a multiple of this and is filled up to one.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Names a log; random, given when its files are made.
pub(crate) type LogId = [u8; 16];

/// Four letters, the length of the writes (u32 BE), the number of the group (u64 BE), the nonce.
const LETTERS: &[u8; 4] = b"WAYG";
const CLEAR_BYTES: usize = 16;
const HEAD_BYTES: usize = CLEAR_BYTES + NONCE_BYTES;
const ASSOCIATED: &[u8] = b"wayside log group 1";

/// High bit of a place: it was posted, not taken away.
const POSTED: u16 = 0x8000;

/// The writes of a run, one behind the other.
pub(crate) fn encode(run: &Run) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + 32 * run.len());
    for slot in run.items() {
        let item = &slot.item;
        out.push(item.tree.number());
        put_bytes(&mut out, &item.key, 0);
        match &item.value {
            Some(value) => put_bytes(&mut out, value, 1),
            None => out.push(0),
        }
    }
    for posting in run.postings() {
        out.push(POSTINGS_NUMBER);
        out.extend_from_slice(&posting.key);
        let place = if posting.posted {
            posting.place | POSTED
        } else {
            posting.place
        };
        out.extend_from_slice(&place.to_be_bytes());
    }
    out
}

/// The length, `more` added to it, then the bytes.
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8], more: u64) {
    codec::put_number(out, u64::try_from(bytes.len()).unwrap_or(0) + more);
    out.extend_from_slice(bytes);
}

fn decode(bytes: &[u8]) -> Option<Run> {
    let (mut items, mut postings) = (Vec::new(), Vec::new());
    let mut input = Input(bytes);
    while input.end().is_none() {
        let number = input.byte()?;
        if number == POSTINGS_NUMBER {
            let key = input.take(20)?.try_into().ok()?;
            let place = u16::from_be_bytes(input.take(2)?.try_into().ok()?);
            postings.push(Posting {
                key,
                place: place & !POSTED,
                posted: place & POSTED != 0,
            });
            continue;
        }
        let tree = Tree::of_number(number)?;
        let length = input.number()?;
        let key = input.take(usize::try_from(length).ok()?)?;
        let value = match input.number()?.checked_sub(1) {
            Some(length) => Some(input.take(usize::try_from(length).ok()?)?),
            None => None,
        };
        items.push(Item {
            tree,
            key: key.into(),
            value: value.map(Box::from),
        });
    }
    Some(Run::new(items, postings))
}

/// Whole blocks that hold the writes of one group.
pub(crate) fn seal(
    seal: &Seal,
    (log, number): (&LogId, u64),
    nonce: [u8; NONCE_BYTES],
    writes: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let length = u32::try_from(writes.len())
        .map_err(|e| StoreError::Invalid(format!("a group is too long for the log: {e}")))?;
    let mut out = Vec::with_capacity(blocks_of(writes.len()));
    out.extend_from_slice(LETTERS);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    let associated = associated(log, &out);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(writes);
    let (_, secret) = out.split_at_mut(HEAD_BYTES);
    let tag = seal.lock(&associated, nonce, secret)?;
    out.extend_from_slice(&tag);
    out.resize(blocks_of(writes.len()), 0);
    Ok(out)
}

fn associated(log: &LogId, clear: &[u8]) -> Vec<u8> {
    [ASSOCIATED, log, clear].concat()
}

/// Bytes of the whole blocks that a group of such writes takes.
fn blocks_of(writes: usize) -> usize {
    (HEAD_BYTES + writes + TAG_BYTES).next_multiple_of(BLOCK_BYTES)
}

/// What stands in clear at the start of a group, true or not.
pub(crate) struct Front {
    pub(crate) number: u64,
    length: usize,
}

impl Front {
    /// `None` where no group starts.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes.strip_prefix(LETTERS)?);
        let length = u32::from_be_bytes(input.take(4)?.try_into().ok()?);
        let number = u64::from_be_bytes(input.take(8)?.try_into().ok()?);
        let length = usize::try_from(length).ok()?;
        Some(Self { number, length })
    }

    pub(crate) fn blocks(&self) -> usize {
        blocks_of(self.length)
    }
}

/// What opening a group came to.
pub(crate) enum Opened {
    Group(Run),
    /// Torn, damaged, or of another log.
    Damaged,
    /// Sealed by this store, in words that this program does not know.
    Unknown,
}

/// Opens the group that starts `bytes`.
pub(crate) fn open(seal: &Seal, log: &LogId, front: &Front, bytes: &[u8]) -> Opened {
    match unsealed(seal, log, front, bytes) {
        None => Opened::Damaged,
        Some(writes) => decode(&writes).map_or(Opened::Unknown, Opened::Group),
    }
}

fn unsealed(seal: &Seal, log: &LogId, front: &Front, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut input = Input(bytes);
    let clear = input.take(CLEAR_BYTES)?;
    let nonce = input.take(NONCE_BYTES)?.try_into().ok()?;
    let mut writes = input.take(front.length)?.to_vec();
    let tag = input.take(TAG_BYTES)?.try_into().ok()?;
    seal.unlock(&associated(log, clear), nonce, (&mut writes, tag))?;
    Some(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let item = |tree, key: &[u8], value: Option<Vec<u8>>| Item {
            tree,
            key: key.into(),
            value: value.map(Vec::into_boxed_slice),
        };
        let items = vec![
            item(Tree::Heads, &[0; 8], Some(vec![1; 70])),
            item(Tree::Values, &[0; 8], None),
            item(Tree::Rows, &[7; 300], Some(vec![2; 9000])),
            item(Tree::Audit, &[9; 8], Some(Vec::new())),
        ];
        let posting = |place, posted| Posting {
            key: [3; 20],
            place,
            posted,
        };
        Run::new(items, vec![posting(4095, true), posting(0, false)])
    }

    fn opened(bytes: &[u8], log: LogId) -> Option<Run> {
        let front = Front::read(bytes)?;
        match open(&Seal::new(&[1; 32]), &log, &front, bytes) {
            Opened::Group(run) => Some(run),
            _ => None,
        }
    }

    #[test]
    fn a_group_comes_back_and_every_change_to_it_is_noticed() {
        let run = run();
        let sealing = Seal::new(&[1; 32]);
        let bytes = seal(&sealing, (&[5; 16], 77), [6; 12], &encode(&run)).unwrap();
        assert_eq!(bytes.len(), 3 * BLOCK_BYTES);
        assert_eq!(Front::read(&bytes).unwrap().number, 77);
        let back = opened(&bytes, [5; 16]).unwrap();
        assert_eq!(encode(&back), encode(&run));
        assert!(opened(&bytes, [4; 16]).is_none());
        let end = HEAD_BYTES + encode(&run).len() + TAG_BYTES;
        for at in (0..end).filter(|at| *at < 700 || at % 97 == 0 || end - at < 40) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x20;
            assert!(opened(&damaged, [5; 16]).is_none(), "byte {at}");
        }
        for length in [0, 3, 15, 28, 4096, end - 1] {
            assert!(
                opened(&bytes[..length], [5; 16]).is_none(),
                "cut to {length}"
            );
        }
    }

    #[test]
    fn writes_of_a_later_program_are_told_from_damage() {
        let sealing = Seal::new(&[1; 32]);
        let bytes = seal(&sealing, (&[5; 16], 1), [6; 12], &[99, 1, 2]).unwrap();
        let front = Front::read(&bytes).unwrap();
        let found = open(&sealing, &[5; 16], &front, &bytes);
        assert!(matches!(found, Opened::Unknown));
    }
}
