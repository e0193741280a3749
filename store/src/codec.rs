//! Bytes of keys and rows. Keys are big-endian, so byte order is number order; rows use
//! variable-length numbers. FORMAT.md shows each with an example.

use crate::packing;
use crate::{
    Change, Head, Making, Origin, OriginKind, ResourceKey, Rid, Seq, StoredVersion, Urgency,
    VersionId,
};
use std::collections::HashMap;
use std::sync::LazyLock;

const DELETED: u8 = 0x01;
const REVIEW_OPEN: u8 = 0x02;
const WAS_HEAD: u8 = 0x04;
/// Three bits of a version's flags say its making.
const MAKING_SHIFT: u32 = 3;
/// An origin follows: it is not the first client.
const HAS_ORIGIN: u8 = 0x40;
/// The id is a UUID, as 16 bytes.
const HAS_UUID: u8 = 0x80;
/// Whose most versions are.
const FIRST_CLIENT: Origin = Origin {
    kind: OriginKind::Client,
    number: 0,
};
/// The types of R4, one a line, numbered from 1. Append only: their numbers are on disk.
const TYPES: &str = include_str!("packing/types.txt");

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

/// `hlc` counts from the time that it most likely starts with: the high 48 bits of it are milliseconds.
fn hlc_base(time_ms: i64) -> u64 {
    time_ms.cast_unsigned() << 16
}

pub(crate) fn encode_head(row: &HeadRow) -> Vec<u8> {
    let head = &row.head;
    let mut out = Vec::with_capacity(48);
    out.extend_from_slice(&row.blinded_key);
    out.push(flag(DELETED, head.deleted) | flag(REVIEW_OPEN, head.review_open));
    put_number(&mut out, head.version.0);
    put_number(&mut out, head.newest.0.wrapping_sub(head.version.0));
    put_number(&mut out, head.seq.0);
    put_time(&mut out, head.time_ms);
    put_difference(&mut out, head.hlc, hlc_base(head.time_ms));
    out
}

/// A row of formats 1 and 2 has the newest version and the hybrid time as they are.
pub(crate) fn decode_head(rid: Rid, bytes: &[u8], is_short: bool) -> Option<HeadRow> {
    let mut input = Input(bytes);
    let blinded_key = input.take(16)?.try_into().ok()?;
    let flags = input.byte()?;
    let (version, newest) = (input.number()?, input.number()?);
    let (seq, time_ms) = (Seq(input.number()?), input.time()?);
    let head = Head {
        rid,
        version: VersionId(version),
        newest: VersionId(match is_short {
            true => version.wrapping_add(newest),
            false => newest,
        }),
        seq,
        deleted: flags & DELETED != 0,
        review_open: flags & REVIEW_OPEN != 0,
        time_ms,
        hlc: match is_short {
            true => input.difference(hlc_base(time_ms))?,
            false => input.number()?,
        },
    };
    input.end()?;
    Some(HeadRow { blinded_key, head })
}

/// The part of a `versions` row before the body; `version.body` is not looked at.
pub(crate) fn encode_version(version: &StoredVersion) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    let id = packing::parse_id(version.key.id.as_bytes());
    let has_origin = version.origin != FIRST_CLIENT;
    let flags = flag(DELETED, version.deleted) | flag(WAS_HEAD, version.was_head);
    let flags = flags | making_byte(version.making) << MAKING_SHIFT;
    out.push(flags | flag(HAS_ORIGIN, has_origin) | flag(HAS_UUID, id.is_some()));
    put_number(&mut out, version.seq.0);
    put_time(&mut out, version.time_ms);
    put_difference(&mut out, version.hlc, hlc_base(version.time_ms));
    if has_origin {
        put_origin(&mut out, version.origin);
    }
    put_type(&mut out, &version.key.resource_type);
    match id {
        Some(id) => out.extend_from_slice(&id),
        None => put_text(&mut out, &version.key.id),
    }
    out
}

/// The decoded part before the body and where the body starts.
pub(crate) fn decode_version(
    (rid, number): (Rid, VersionId),
    bytes: &[u8],
    is_short: bool,
) -> Option<(StoredVersion, usize)> {
    let mut input = Input(bytes);
    let flags = input.byte()?;
    let (seq, time_ms) = (Seq(input.number()?), input.time()?);
    let hlc = match is_short {
        true => input.difference(hlc_base(time_ms))?,
        false => input.number()?,
    };
    let origin = match is_short && flags & HAS_ORIGIN == 0 {
        true => FIRST_CLIENT,
        false => input.origin()?,
    };
    let resource_type = match is_short {
        true => input.resource_type()?,
        false => input.text()?,
    };
    let id = match is_short && flags & HAS_UUID != 0 {
        true => input.uuid()?,
        false => input.text()?,
    };
    let version = StoredVersion {
        seq,
        time_ms,
        hlc,
        origin,
        key: ResourceKey { resource_type, id },
        rid,
        version: number,
        deleted: flags & DELETED != 0,
        was_head: flags & WAS_HEAD != 0,
        making: making_of(flags >> MAKING_SHIFT & 0x07),
        body: Vec::new(),
    };
    Some((version, bytes.len() - input.0.len()))
}

/// How a body starts that the gateway made, and the UUID it names first: both follow from the front.
pub(crate) struct Start {
    text: String,
    id: Option<packing::Id>,
}

impl Start {
    pub(crate) fn of(version: &StoredVersion) -> Start {
        let ResourceKey { resource_type, id } = &version.key;
        let number = version.version.0;
        let time = instant(version.time_ms);
        Start {
            text: format!(
                r#"{{"resourceType":"{resource_type}","id":"{id}","meta":{{"versionId":"{number}","lastUpdated":"{time}""#
            ),
            id: packing::parse_id(id.as_bytes()),
        }
    }

    pub(crate) fn known(&self) -> packing::Known<'_> {
        packing::Known {
            start: self.text.as_bytes(),
            id: self.id,
        }
    }
}

/// `2026-01-01T00:00:00.000Z`: the days of a civil date counted as in an era of 400 years from a March.
fn instant(time_ms: i64) -> String {
    let (days, ms) = (
        time_ms.div_euclid(86_400_000),
        time_ms.rem_euclid(86_400_000),
    );
    let from_march = days + 719_468;
    let (era, day_of_era) = (
        from_march.div_euclid(146_097),
        from_march.rem_euclid(146_097),
    );
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let ms = ms % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
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

/// How far a number lies from another, zigzag.
fn put_difference(out: &mut Vec<u8>, number: u64, from: u64) {
    put_time(out, number.wrapping_sub(from).cast_signed());
}

/// The number of a known type, or 0 and its name.
fn put_type(out: &mut Vec<u8>, name: &str) {
    static NUMBERS: LazyLock<HashMap<&str, u64>> =
        LazyLock::new(|| TYPES.lines().zip(1..).collect());
    match NUMBERS.get(name) {
        Some(number) => put_number(out, *number),
        None => {
            out.push(0);
            put_text(out, name);
        }
    }
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

    fn difference(&mut self, from: u64) -> Option<u64> {
        Some(from.wrapping_add(self.time()?.cast_unsigned()))
    }

    fn resource_type(&mut self) -> Option<String> {
        static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| TYPES.lines().collect());
        let number = usize::try_from(self.number()?).ok()?;
        match number.checked_sub(1) {
            Some(at) => NAMES.get(at).map(|name| (*name).to_owned()),
            None => self.text(),
        }
    }

    fn uuid(&mut self) -> Option<String> {
        let mut text = Vec::with_capacity(36);
        packing::put_id(&mut text, self.take(16)?.first_chunk()?);
        String::from_utf8(text).ok()
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

    fn change() -> impl Strategy<Value = Change> {
        let urgencies = [
            Urgency::Urgent,
            Urgency::Clinical,
            Urgency::Routine,
            Urgency::Bulk,
        ];
        let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
        let rest = (origin(), (any::<bool>(), any::<bool>()), 0..4_usize);
        (numbers, rest).prop_map(move |(numbers, (origin, flags, urgency))| Change {
            seq: Seq(9),
            rid: Rid(numbers.0),
            version: VersionId(numbers.1),
            origin,
            hlc: numbers.2,
            urgency: urgencies[urgency],
            deleted: flags.0,
            became_head: flags.1,
        })
    }

    fn names() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            Just("Patient".to_owned()),
            Just("Account".to_owned())
        ]
    }

    fn ids() -> impl Strategy<Value = String> {
        let uuid = "0a1b2c3d-0000-4fff-8000-00000000000f";
        prop_oneof![
            any::<String>(),
            Just(uuid.to_owned()),
            Just(uuid.to_uppercase())
        ]
    }

    #[test]
    fn instants_are_those_of_the_calendar() {
        let check = |time_ms, expected: &str| assert_eq!(instant(time_ms), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(1_767_225_600_000, "2026-01-01T00:00:00.000Z");
        check(1_709_164_799_001, "2024-02-28T23:59:59.001Z");
        check(1_709_164_800_000, "2024-02-29T00:00:00.000Z");
        check(951_868_799_999, "2000-02-29T23:59:59.999Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
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
            prop_assert_eq!(decode_head(Rid(5), &encode_head(&row), true), Some(row));
        }

        #[test]
        fn changes_come_back(change in change()) {
            prop_assert_eq!(decode_change(Seq(9), &encode_change(&change)), Some(change));
        }

        #[test]
        fn versions_come_back(
            names in (names(), ids()), seq: u64, time_ms: i64, hlc: u64, origin in origin(), flags: (bool, bool),
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
            let decoded = decode_version((Rid(1), VersionId(2)), &bytes, true);
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
                decode_head(Rid(1), &bytes, false).is_some(),
                decode_change(Seq(1), &bytes).is_some(),
                decode_version((Rid(1), VersionId(1)), &bytes, false).is_some(),
            );
            prop_assert!(bytes.len() >= 5 || all == (false, false, false));
            decode_head(Rid(1), &bytes, true);
            decode_version((Rid(1), VersionId(1)), &bytes, true);
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
