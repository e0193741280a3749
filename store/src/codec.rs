//! Bytes of keys and rows. Keys are big-endian, so byte order is number order; rows use
//! variable-length numbers. FORMAT.md shows each with an example.

use crate::{
    Change, Head, Making, Origin, OriginKind, ResourceKey, Rid, Seq, StoredVersion, Urgency,
    VersionId,
};

const DELETED: u8 = 0x01;
const REVIEW_OPEN: u8 = 0x02;
const WAS_HEAD: u8 = 0x04;
/// Three bits of a version's flags say its making.
const MAKING_SHIFT: u32 = 3;

/// Key of `heads` and `values`, of `changes` (a seq) and of `audit` (a number).
pub(crate) fn number_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

pub(crate) fn number_of_key(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

/// Key of `versions`.
pub(crate) fn version_key(rid: Rid, version: VersionId) -> [u8; 16] {
    (u128::from(rid.0) << 64 | u128::from(version.0)).to_be_bytes()
}

pub(crate) fn version_of_key(key: &[u8]) -> Option<(Rid, VersionId)> {
    let (rid, version) = key.split_at_checked(8)?;
    Some((Rid(number_of_key(rid)?), VersionId(number_of_key(version)?)))
}

/// Row of `heads`: the blinded key it belongs to, then its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadRow {
    pub(crate) blinded_key: [u8; 16],
    pub(crate) head: Head,
}

pub(crate) fn encode_head(row: &HeadRow) -> Vec<u8> {
    let head = &row.head;
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&row.blinded_key);
    out.push(flag(DELETED, head.deleted) | flag(REVIEW_OPEN, head.review_open));
    put_number(&mut out, head.version.0);
    put_number(&mut out, head.newest.0);
    put_number(&mut out, head.seq.0);
    put_time(&mut out, head.time_ms);
    put_number(&mut out, head.hlc);
    out
}

pub(crate) fn decode_head(rid: Rid, bytes: &[u8]) -> Option<HeadRow> {
    let mut input = Input(bytes);
    let blinded_key = input.take(16)?.try_into().ok()?;
    let flags = input.byte()?;
    let head = Head {
        rid,
        version: VersionId(input.number()?),
        newest: VersionId(input.number()?),
        seq: Seq(input.number()?),
        deleted: flags & DELETED != 0,
        review_open: flags & REVIEW_OPEN != 0,
        time_ms: input.time()?,
        hlc: input.number()?,
    };
    input.end()?;
    Some(HeadRow { blinded_key, head })
}

/// The part of a `versions` row before the body; `version.body` is not looked at.
pub(crate) fn encode_version(version: &StoredVersion) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    let flags = flag(DELETED, version.deleted) | flag(WAS_HEAD, version.was_head);
    out.push(flags | making_byte(version.making) << MAKING_SHIFT);
    put_number(&mut out, version.seq.0);
    put_time(&mut out, version.time_ms);
    put_number(&mut out, version.hlc);
    put_origin(&mut out, version.origin);
    put_text(&mut out, &version.key.resource_type);
    put_text(&mut out, &version.key.id);
    out
}

/// The decoded part before the body and where the body starts.
pub(crate) fn decode_version(
    rid: Rid,
    number: VersionId,
    bytes: &[u8],
) -> Option<(StoredVersion, usize)> {
    let mut input = Input(bytes);
    let flags = input.byte()?;
    let version = StoredVersion {
        seq: Seq(input.number()?),
        time_ms: input.time()?,
        hlc: input.number()?,
        origin: input.origin()?,
        key: ResourceKey {
            resource_type: input.text()?,
            id: input.text()?,
        },
        rid,
        version: number,
        deleted: flags & DELETED != 0,
        was_head: flags & WAS_HEAD != 0,
        making: making_of(flags >> MAKING_SHIFT & 0x07),
        body: Vec::new(),
    };
    Some((version, bytes.len() - input.0.len()))
}

pub(crate) fn encode_change(change: &Change) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    out.push(flag(DELETED, change.deleted) | flag(WAS_HEAD, change.became_head));
    out.push(urgency_byte(change.urgency));
    put_number(&mut out, change.rid.0);
    put_number(&mut out, change.version.0);
    put_number(&mut out, change.hlc);
    put_origin(&mut out, change.origin);
    out
}

pub(crate) fn decode_change(seq: Seq, bytes: &[u8]) -> Option<Change> {
    let mut input = Input(bytes);
    let flags = input.byte()?;
    let change = Change {
        urgency: urgency_of(input.byte()?)?,
        seq,
        rid: Rid(input.number()?),
        version: VersionId(input.number()?),
        hlc: input.number()?,
        origin: input.origin()?,
        deleted: flags & DELETED != 0,
        became_head: flags & WAS_HEAD != 0,
    };
    input.end()?;
    Some(change)
}

fn flag(bit: u8, set: bool) -> u8 {
    if set { bit } else { 0 }
}

fn making_byte(making: Making) -> u8 {
    match making {
        Making::Untold => 0,
        Making::Posted => 1,
        Making::Put => 2,
        Making::Replaced => 3,
        Making::Patched => 4,
    }
}

/// A number that is not given yet says nothing.
fn making_of(number: u8) -> Making {
    let all = [
        Making::Posted,
        Making::Put,
        Making::Replaced,
        Making::Patched,
    ];
    let mut all = all.into_iter();
    all.find(|making| making_byte(*making) == number)
        .unwrap_or_default()
}

fn urgency_byte(urgency: Urgency) -> u8 {
    match urgency {
        Urgency::Urgent => 0,
        Urgency::Clinical => 1,
        Urgency::Routine => 2,
        Urgency::Bulk => 3,
    }
}

fn urgency_of(byte: u8) -> Option<Urgency> {
    let all = [
        Urgency::Urgent,
        Urgency::Clinical,
        Urgency::Routine,
        Urgency::Bulk,
    ];
    all.into_iter()
        .find(|urgency| urgency_byte(*urgency) == byte)
}

fn origin_byte(kind: OriginKind) -> u8 {
    match kind {
        OriginKind::Client => 0,
        OriginKind::Device => 1,
        OriginKind::Target => 2,
        OriginKind::Reviewer => 3,
    }
}

fn put_origin(out: &mut Vec<u8>, origin: Origin) {
    out.push(origin_byte(origin.kind));
    put_number(out, u64::from(origin.number));
}

/// Seven bits a byte, lowest first; the high bit says that more follow (LEB128).
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

/// Zigzag, so that times shortly before 1970 stay short too.
fn put_time(out: &mut Vec<u8>, time_ms: i64) {
    put_number(out, ((time_ms << 1) ^ (time_ms >> 63)).cast_unsigned());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, u64::try_from(text.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(text.as_bytes());
}

/// What is left to decode; every method answers `None` when the bytes do not fit.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn time(&mut self) -> Option<i64> {
        let zigzag = self.number()?;
        Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    fn origin(&mut self) -> Option<Origin> {
        let byte = self.byte()?;
        let all = [
            OriginKind::Client,
            OriginKind::Device,
            OriginKind::Target,
            OriginKind::Reviewer,
        ];
        let kind = all.into_iter().find(|kind| origin_byte(*kind) == byte)?;
        Some(Origin {
            kind,
            number: u16::try_from(self.number()?).ok()?,
        })
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn origin() -> impl Strategy<Value = Origin> {
        let kind = prop_oneof![
            Just(OriginKind::Client),
            Just(OriginKind::Device),
            Just(OriginKind::Target),
            Just(OriginKind::Reviewer)
        ];
        (kind, any::<u16>()).prop_map(|(kind, number)| Origin { kind, number })
    }

    fn head() -> impl Strategy<Value = HeadRow> {
        let flags = (any::<bool>(), any::<bool>());
        let numbers = (
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
            any::<i64>(),
            any::<u64>(),
        );
        (any::<[u8; 16]>(), flags, numbers).prop_map(|(blinded_key, flags, numbers)| HeadRow {
            blinded_key,
            head: Head {
                rid: Rid(5),
                version: VersionId(numbers.0),
                newest: VersionId(numbers.1),
                seq: Seq(numbers.2),
                deleted: flags.0,
                review_open: flags.1,
                time_ms: numbers.3,
                hlc: numbers.4,
            },
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn heads_come_back(row in head()) {
            prop_assert_eq!(decode_head(Rid(5), &encode_head(&row)), Some(row));
        }

        #[test]
        fn changes_come_back(
            rid: u64, version: u64, hlc: u64, origin in origin(), deleted: bool, became_head: bool,
        ) {
            for urgency in [Urgency::Urgent, Urgency::Clinical, Urgency::Routine, Urgency::Bulk] {
                let change = Change {
                    seq: Seq(9), rid: Rid(rid), version: VersionId(version), origin, hlc, urgency,
                    deleted, became_head,
                };
                prop_assert_eq!(decode_change(Seq(9), &encode_change(&change)), Some(change));
            }
        }

        #[test]
        fn versions_come_back(
            names: (String, String), seq: u64, time_ms: i64, hlc: u64, origin in origin(), flags: (bool, bool),
            making in 0..5_u8,
        ) {
            let version = StoredVersion {
                key: ResourceKey { resource_type: names.0, id: names.1 },
                rid: Rid(1), version: VersionId(2), seq: Seq(seq), deleted: flags.0,
                was_head: flags.1, making: making_of(making), time_ms, hlc, origin, body: Vec::new(),
            };
            let mut bytes = encode_version(&version);
            let body_at = bytes.len();
            bytes.extend_from_slice(b"body");
            let decoded = decode_version(Rid(1), VersionId(2), &bytes);
            prop_assert_eq!(decoded, Some((version, body_at)));
        }

        #[test]
        fn keys_sort_as_their_numbers(a: (u64, u64), b: (u64, u64)) {
            let key = |n: (u64, u64)| version_key(Rid(n.0), VersionId(n.1));
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            prop_assert_eq!(version_of_key(&key(a)), Some((Rid(a.0), VersionId(a.1))));
            prop_assert_eq!(number_key(a.0).cmp(&number_key(b.0)), a.0.cmp(&b.0));
            prop_assert_eq!(number_of_key(&number_key(a.0)), Some(a.0));
        }

        #[test]
        fn any_bytes_decode_or_not_but_never_panic(bytes: Vec<u8>) {
            let all = (
                decode_head(Rid(1), &bytes).is_some(),
                decode_change(Seq(1), &bytes).is_some(),
                decode_version(Rid(1), VersionId(1), &bytes).is_some(),
            );
            prop_assert!(bytes.len() >= 5 || all == (false, false, false));
        }
    }

    #[test]
    fn numbers_have_one_length_and_a_limit() {
        let check = |bytes: &[u8], expected: Option<u64>| {
            assert_eq!(Input(bytes).number(), expected, "{bytes:02x?}");
        };
        check(&[0x00], Some(0));
        check(&[0x7f], Some(127));
        check(&[0x80, 0x01], Some(128));
        check(&[0x80], None);
        check(&[], None);
        check(&[0xff; 10], None);
        check(
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            Some(u64::MAX),
        );
        check(
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02],
            None,
        );
    }
}
