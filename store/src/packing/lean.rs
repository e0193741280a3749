//! Lean text: JSON without what no packer can shorten or a reader knows already. UUIDs stand as 16
//! bytes beside it, base64 as the bytes that it means, and the start that follows from a version's
//! own front is left out. Every text comes back to the byte; bytes from F8 up, which UTF-8 never has,
//! say what stands in a place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A UUID that is new: the next of the list.
const NEW_ID: u8 = 0xf8;
/// A UUID that came before: its place in the list follows.
const ID_AGAIN: u8 = 0xf9;
/// Base64: the count of its bytes follows (LEB128), then they.
const BASE64: u8 = 0xfa;
/// First of all: the start that the reader knows.
const START: u8 = 0xfb;
/// The byte that follows stands for itself.
const ITSELF: u8 = 0xff;
const ESCAPES_FROM: u8 = 0xf8;

/// Shorter base64 may as well be a word.
const BASE64_LENGTH_MIN: usize = 64;
/// Places of the list are one byte.
const IDS_NAMED_MAX: usize = 256;
const ID_TEXT_BYTES: usize = 36;

pub(crate) type Id = [u8; 16];

/// What a reader knows before it reads.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    /// How the text most likely starts.
    pub(crate) start: &'a [u8],
    /// The UUID that it most likely names: the first of the list.
    pub(crate) id: Option<Id>,
}

/// A lean text and the UUIDs taken out of it.
pub(super) struct Lean {
    pub(super) ids: Vec<Id>,
    pub(super) text: Vec<u8>,
}

pub(super) fn lean(body: &[u8], known: &Known<'_>) -> Lean {
    let mut maker = Maker {
        body,
        known_ids: known.id.into_iter().collect(),
        ids: Vec::new(),
        out: Vec::with_capacity(body.len()),
        clean_from: 0,
    };
    let starts = !known.start.is_empty() && body.starts_with(known.start);
    let mut at = 0;
    if starts {
        maker.out.push(START);
        at = known.start.len();
        maker.clean_from = at;
    }
    while let Some(byte) = body.get(at) {
        at = maker.take(at, *byte);
    }
    Lean {
        ids: maker.ids,
        text: maker.out,
    }
}

struct Maker<'a> {
    body: &'a [u8],
    known_ids: Vec<Id>,
    ids: Vec<Id>,
    out: Vec<u8>,
    /// From here on all of the body so far went out as it is.
    clean_from: usize,
}

impl Maker<'_> {
    /// Takes what stands at `at`, which starts with `byte`; where the next starts.
    fn take(&mut self, at: usize, byte: u8) -> usize {
        match byte {
            b'-' => {
                if let Some(end) = self.id(at) {
                    return end;
                }
            }
            b'"' => {
                if let Some(end) = self.base64(at + 1) {
                    return end;
                }
            }
            ESCAPES_FROM.. => {
                self.out.push(ITSELF);
                self.clean_from = at + 1;
            }
            _ => {}
        }
        self.out.push(byte);
        at + 1
    }

    /// A UUID whose first dash is at `dash`.
    fn id(&mut self, dash: usize) -> Option<usize> {
        let start = dash.checked_sub(8).filter(|at| *at >= self.clean_from)?;
        let end = start + ID_TEXT_BYTES;
        let id = parse_id(self.body.get(start..end)?)?;
        self.out.truncate(self.out.len().saturating_sub(8));
        let mut all = self.known_ids.iter().chain(&self.ids);
        let again = all.position(|other| *other == id);
        match again.and_then(|at| u8::try_from(at).ok()) {
            Some(at) => self.out.extend_from_slice(&[ID_AGAIN, at]),
            None => {
                self.ids.push(id);
                self.out.push(NEW_ID);
            }
        }
        self.clean_from = end;
        Some(end)
    }

    /// Base64 that starts at `start`, behind a quotation mark, and ends before one.
    fn base64(&mut self, start: usize) -> Option<usize> {
        let rest = self.body.get(start..)?;
        let is_plain =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        rest.get(BASE64_LENGTH_MIN - 1)
            .filter(|byte| is_plain(byte))?;
        let length = rest.iter().position(|byte| !is_plain(byte))?;
        if length < BASE64_LENGTH_MIN || rest.get(length) != Some(&b'"') {
            return None;
        }
        // The engine accepts canonical padding and trailing bits alone, so it comes back the same.
        let bytes = STANDARD.decode(rest.get(..length)?).ok()?;
        self.out.extend_from_slice(&[b'"', BASE64]);
        put_number(&mut self.out, bytes.len());
        self.out.extend_from_slice(&bytes);
        self.clean_from = start + length;
        Some(start + length)
    }
}

/// The text that was made lean; `None` when this was never made so, or is longer than `bytes_max`.
pub(super) fn full(lean: &Lean, known: &Known<'_>, bytes_max: usize) -> Option<Vec<u8>> {
    let first = known.id.into_iter();
    let mut fresh = lean.ids.iter();
    let mut named: Vec<Id> = first.collect();
    let mut out = Vec::with_capacity(lean.text.len() + lean.text.len() / 2);
    let mut rest = lean.text.as_slice();
    loop {
        let plain = rest.iter().position(|byte| *byte >= ESCAPES_FROM);
        let (before, from) = rest.split_at(plain.unwrap_or(rest.len()));
        out.extend_from_slice(before);
        let Some((escape, after)) = from.split_first() else {
            return (out.len() <= bytes_max && fresh.next().is_none()).then_some(out);
        };
        rest = match *escape {
            NEW_ID => {
                let id = fresh.next()?;
                if named.len() < IDS_NAMED_MAX {
                    named.push(*id);
                }
                put_id(&mut out, id);
                after
            }
            ID_AGAIN => {
                let (at, after) = after.split_first()?;
                put_id(&mut out, named.get(usize::from(*at))?);
                after
            }
            BASE64 => {
                let (length, after) = number(after)?;
                let (bytes, after) = after.split_at_checked(length)?;
                out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
                after
            }
            START => {
                out.extend_from_slice(known.start);
                after
            }
            ITSELF => {
                let (byte, after) = after.split_first()?;
                out.push(*byte);
                after
            }
            _ => return None,
        };
        if out.len() > bytes_max {
            return None;
        }
    }
}

/// Lower-case digits, 8-4-4-4-12.
pub(crate) fn parse_id(text: &[u8]) -> Option<Id> {
    let text: &[u8; ID_TEXT_BYTES] = text.try_into().ok()?;
    let mut id = [0; 16];
    let mut digits = text.iter().enumerate();
    for byte in &mut id {
        for shift in [4, 0] {
            let (mut at, mut digit) = digits.next()?;
            if matches!(at, 8 | 13 | 18 | 23) {
                if *digit != b'-' {
                    return None;
                }
                (at, digit) = digits.next()?;
            }
            debug_assert!(at < ID_TEXT_BYTES);
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte |= value << shift;
        }
    }
    Some(id)
}

pub(crate) fn put_id(out: &mut Vec<u8>, id: &Id) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (at, byte) in id.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        for digit in [byte >> 4, byte & 0x0f] {
            out.extend(DIGITS.get(usize::from(digit)));
        }
    }
}

pub(super) fn put_number(out: &mut Vec<u8>, number: usize) {
    crate::codec::put_number(out, u64::try_from(number).unwrap_or(u64::MAX));
}

/// A number and what follows it.
pub(super) fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut input = crate::codec::Input(bytes);
    let number = usize::try_from(input.number()?).ok()?;
    Some((number, input.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0a1b2c3d-0000-4fff-8000-00000000000f";
    const BYTES_MAX: usize = 1 << 20;

    fn back(body: &[u8], known: &Known<'_>) -> (usize, usize) {
        let made = lean(body, known);
        assert_eq!(
            full(&made, known, BYTES_MAX).as_deref(),
            Some(body),
            "{}",
            String::from_utf8_lossy(body)
        );
        (made.ids.len(), made.text.len())
    }

    #[track_caller]
    fn check(text: &str, ids: usize, length: usize) {
        let id = parse_id(b"11111111-1111-1111-1111-111111111111");
        let start = br#"{"resourceType":"Patient","#;
        let known = Known { start, id };
        assert_eq!(back(text.as_bytes(), &known), (ids, length), "{text}");
    }

    #[test]
    fn texts_come_back_and_lose_what_is_known() {
        let base64 = STANDARD.encode([b'a'; 60]);
        let start = |length| base64.get(..length).unwrap();
        check("", 0, 0);
        check("{}", 0, 2);
        check(r#"{"resourceType":"Patient","id":"1"}"#, 0, 10);
        check(ID, 1, 1);
        check(&format!("{ID}{ID}"), 1, 3);
        check(&format!("{ID}-{ID}"), 1, 4);
        check("11111111-1111-1111-1111-111111111111", 0, 2);
        // Not lower case, not whole, dashes elsewhere.
        check(&ID.to_uppercase(), 0, 36);
        check(ID.get(1..).unwrap(), 0, 35);
        check("0a1b2c3d0-000-4fff-8000-00000000000f", 0, 36);
        check(&format!("\"{base64}\""), 0, 64);
        // Not canonical, cut, without its quotation marks: it stays.
        check(&format!("\"{}B==\"", start(77)), 0, 82);
        check(&format!("\"{}\"", start(79)), 0, 81);
        check(&base64, 0, 80);
        check(&format!("\"{}\"", start(60)), 0, 62);
    }

    #[test]
    fn more_ids_than_have_a_number() {
        let ids = (0..600_u32).map(|n| format!("{n:08x}-0000-0000-0000-000000000000"));
        let text: String = ids.clone().chain(ids).collect();
        let (ids, _) = back(text.as_bytes(), &Known::default());
        assert_eq!(ids, 600 + 344);
    }

    #[test]
    fn what_was_never_made_is_refused() {
        let refused = |text: &[u8], ids: Vec<Id>| {
            let text = text.to_vec();
            full(&Lean { ids, text }, &Known::default(), 64).is_none()
        };
        assert!(refused(&[NEW_ID], Vec::new()));
        assert!(refused(b"", vec![[0; 16]]));
        assert!(refused(&[ID_AGAIN], Vec::new()));
        assert!(refused(&[ID_AGAIN, 0], Vec::new()));
        assert!(refused(&[BASE64, 9, 1], Vec::new()));
        assert!(refused(&[ITSELF], Vec::new()));
        assert!(refused(&[0xfc], Vec::new()));
        assert!(refused(&[b'a'; 65], Vec::new()));
        assert!(refused(&[NEW_ID, NEW_ID], vec![[0; 16], [1; 16]]));
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(
            parts in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..40),
                    Just(ID.as_bytes().to_vec()),
                    (0_u8..4).prop_map(|n| format!("{n:08x}-0000-0000-0000-000000000000").into_bytes()),
                    prop::collection::vec(any::<u8>(), 40..90)
                        .prop_map(|bytes| format!("\"{}\"", STANDARD.encode(bytes)).into_bytes()),
                    Just(vec![b'"']),
                    Just(vec![b'-']),
                    Just(vec![0xff, 0xf8]),
                ],
                0..12,
            ),
            known_id in any::<bool>(),
        ) {
            let body = parts.concat();
            let start = body.get(..7).unwrap_or_default().to_vec();
            let id = known_id.then(|| parse_id(ID.as_bytes())).flatten();
            back(&body, &Known { start: &start, id });
            back(&body, &Known { start: b"elsewhere", id: None });
        }
    }
}
