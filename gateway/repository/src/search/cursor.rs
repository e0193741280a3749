//! Where the next page goes on, as text in a link.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use sha2::{Digest, Sha256};

/// Where the next page goes on: after this sort key and rid. Its text is opaque to clients and
/// carries a digest over the query, so a damaged one, or one of another query, is refused. It
/// depends on nothing kept in memory: links survive a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The newest change and the highest rid that the first page saw.
    pub seq: u64,
    pub last_rid: u64,
    /// When it was asked, milliseconds since 1970: later pages are asked at that time too.
    pub asked_ms: i64,
    /// Empty when the answer is in the store's order; else a 1 and the sort key.
    pub sort_key: Vec<u8>,
    pub rid: u64,
    /// As counted for the first page.
    pub total: Option<u64>,
}

const CHECK_LENGTH: usize = 8;

impl Cursor {
    /// Base64url of: check, seq, last rid, time, rid, 1 and total or 0 and zeros, sort key. `query` is
    /// the self link.
    pub fn format(&self, query: &str) -> String {
        let mut bytes = self.seq.to_be_bytes().to_vec();
        bytes.extend(self.last_rid.to_be_bytes());
        bytes.extend(self.asked_ms.to_be_bytes());
        bytes.extend(self.rid.to_be_bytes());
        bytes.push(u8::from(self.total.is_some()));
        bytes.extend(self.total.unwrap_or(0).to_be_bytes());
        bytes.extend(&self.sort_key);
        let mut whole = check(query, &bytes).to_vec();
        whole.extend(bytes);
        URL_SAFE_NO_PAD.encode(whole)
    }

    /// When the first page of a link's search was asked. To be believed once the link is parsed.
    pub fn asked_ms(text: &str) -> Option<i64> {
        let whole = URL_SAFE_NO_PAD.decode(text).ok()?;
        decode(whole.get(CHECK_LENGTH..)?).map(|cursor| cursor.asked_ms)
    }

    pub fn parse(text: &str, query: &str) -> Result<Cursor, Failure> {
        let whole = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = whole.and_then(|whole| {
            let (sum, bytes) = whole.split_at_checked(CHECK_LENGTH)?;
            (sum == check(query, bytes))
                .then(|| decode(bytes))
                .flatten()
        });
        cursor.ok_or_else(|| {
            let text = "the page link is damaged or belongs to another search; search anew";
            Failure::new(Category::Incorrect, "E-LINK-1", IssueCode::Value, text)
        })
    }
}

fn decode(bytes: &[u8]) -> Option<Cursor> {
    let (seq, rest) = bytes.split_first_chunk::<8>()?;
    let (last_rid, rest) = rest.split_first_chunk::<8>()?;
    let (asked_ms, rest) = rest.split_first_chunk::<8>()?;
    let (rid, rest) = rest.split_first_chunk::<8>()?;
    let (counted, rest) = rest.split_first()?;
    let (total, sort_key) = rest.split_first_chunk::<8>()?;
    Some(Cursor {
        seq: u64::from_be_bytes(*seq),
        last_rid: u64::from_be_bytes(*last_rid),
        asked_ms: i64::from_be_bytes(*asked_ms),
        sort_key: sort_key.to_vec(),
        rid: u64::from_be_bytes(*rid),
        total: (*counted == 1).then(|| u64::from_be_bytes(*total)),
    })
}

fn check(query: &str, bytes: &[u8]) -> [u8; CHECK_LENGTH] {
    let mut hasher = Sha256::new();
    hasher.update(b"wayside page\0");
    hasher.update(query.as_bytes());
    hasher.update([0]);
    hasher.update(bytes);
    let digest: [u8; 32] = hasher.finalize().into();
    let (sum, _) = digest
        .split_first_chunk::<CHECK_LENGTH>()
        .unwrap_or((&[0; CHECK_LENGTH], &[]));
    *sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusal() {
        for total in [None, Some(0), Some(7)] {
            let cursor = Cursor {
                seq: 5,
                last_rid: 6,
                asked_ms: -7,
                sort_key: vec![1, 0, 255],
                rid: 9,
                total,
            };
            let text = cursor.format("name=a");
            assert_eq!(Cursor::parse(&text, "name=a"), Ok(cursor));
            assert!(Cursor::parse(&text, "name=b").is_err(), "another query");
            for at in 0..text.len() {
                let mut damaged = text.clone().into_bytes();
                damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
                let damaged = String::from_utf8(damaged).unwrap();
                assert!(
                    Cursor::parse(&damaged, "name=a").is_err(),
                    "damaged at {at}"
                );
            }
        }
        for junk in ["", "A", "!!", "AAAA"] {
            assert!(Cursor::parse(junk, "").is_err(), "{junk}");
        }
    }
}
