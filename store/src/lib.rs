//! Bytes under keys, every version kept, one writer. Knows no FHIR.
//!
//! The public face is a vocabulary: a reader takes a [`Snapshot`] and looks through its [`View`];
//! a writer hands [`Store::submit`] a *plan*, which is given the [`View`] of the writing
//! transaction and answers with a [`WriteSet`] or a refusal. LMDB is the one engine behind it; a
//! sealed log before it makes a commit one sync of a few blocks, and is folded into it in bulk.
//!
//! Absent here, on purpose: sockets, async, the wall clock, randomness (passed in), FHIR.

mod apply;
mod catalog;
mod codec;
mod datafile;
mod env;
mod error;
mod fold;
mod formats;
mod group;
mod image;
mod incarnation;
mod inspect;
mod keyring;
mod log;
mod overlay;
mod packing;
mod postings;
mod seal;
mod snapshot;
mod vocabulary;
mod writer;

pub use env::Moment;
pub use error::{CommitError, StoreError};
pub use image::{Assembly, Image, RawRow, Reach, Secrets};
pub use incarnation::{Incarnation, Incarnations};
pub use inspect::{
    Damage, Finding, Look, LookOptions, Reached, Space, Stats, TermsOf, VerifyReport,
};
pub use postings::Postings;
pub use snapshot::{Snapshot, View};

pub use vocabulary::{
    AuditEntry, Change, Committed, Head, HistoryItem, Making, Mend, NewIndex, NewVersion, Origin,
    OriginKind, Purge, ResourceKey, Rid, Row, RowWrite, Seq, StoredVersion, Table, Term, Urgency,
    VersionId, WriteSet,
};
pub use writer::{Keys, OpenOptions, Store};

#[cfg(test)]
mod tests {
    use crate::codec::{self, HeadRow};
    use crate::keyring::{Blinder, StoreKeys};
    use crate::seal::{Place, Seal, Value};
    use crate::*;
    use std::fmt::Write;

    fn hex(bytes: &[u8]) -> String {
        let mut out = String::new();
        for byte in bytes {
            write!(out, "{byte:02x}").unwrap();
        }
        out
    }

    /// A body that the gateway made of the example.
    const LONGER: &[u8] = br#"{"resourceType":"Patient","id":"p1","meta":{"versionId":"1","lastUpdated":"2026-01-01T00:00:00.000Z"},"managingOrganization":{"reference":"Organization/0a1b2c3d-0000-4fff-8000-00000000000f"}}"#;

    fn example() -> (ResourceKey, StoredVersion, Head) {
        let key = ResourceKey {
            resource_type: "Patient".into(),
            id: "p1".into(),
        };
        let version = StoredVersion {
            key: key.clone(),
            rid: Rid(1),
            version: VersionId(1),
            seq: Seq(7),
            deleted: false,
            was_head: true,
            making: Making::Untold,
            time_ms: 1_767_225_600_000,
            hlc: 300,
            origin: Origin {
                kind: OriginKind::Device,
                number: 3,
            },
            body: b"{\"resourceType\":\"Patient\",\"id\":\"p1\"}".to_vec(),
        };
        let head = Head {
            rid: Rid(1),
            version: VersionId(1),
            newest: VersionId(1),
            seq: Seq(7),
            deleted: false,
            review_open: false,
            time_ms: version.time_ms,
            hlc: 300,
        };
        (key, version, head)
    }

    /// FORMAT.md must show these bytes.
    fn check(name: &str, bytes: &[u8]) {
        let text: String = include_str!("../FORMAT.md")
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect();
        let bytes = hex(bytes);
        assert!(text.contains(&bytes), "FORMAT.md lacks {name}: {bytes}");
    }

    #[test]
    fn the_worked_example_of_the_log_is_true() {
        let seal = Seal::new(&[0x11; 32]);
        let id = [0x55; 16];
        let first = log::head(&seal, (0, &id), [0x66; 12]).unwrap();
        assert!(first[61..].iter().all(|byte| *byte == 0));
        check("start of log.0", &first[..61]);
        let item = |tree, key: &[u8], value: Option<&[u8]>| overlay::Item {
            tree,
            key: key.into(),
            value: value.map(Box::from),
        };
        let items = vec![
            item(catalog::Tree::Rows, &[1, 3], Some(&[0xab, 0xcd])),
            item(catalog::Tree::Values, &codec::number_key(1), None),
        ];
        let term = Blinder::new(&[0x11; 32]).term(&Term(b"family smith".to_vec()));
        let posting = overlay::Posting {
            key: postings::span_key(&term, Rid(4097)),
            place: postings::place_of(Rid(4097)),
            posted: true,
        };
        let writes = log::encode(&overlay::Run::new(items, vec![posting]));
        check("writes of a group", &writes);
        let group = log::seal(&seal, (&id, 9), [0x77; 12], &writes).unwrap();
        let end = 28 + writes.len() + 16;
        assert!(group[end..].iter().all(|byte| *byte == 0));
        check("group", &group[..end]);
        let mark = log::Mark { id, in_use: true };
        check("mark", &mark.encode());
    }

    /// FORMAT.md shows these bytes; whoever changes the format sees it here.
    #[test]
    fn the_worked_example_of_the_format_is_true() {
        let keys = StoreKeys::generate(|buffer| buffer.fill(0x11));
        check("wrapped keys", &keys.wrap(&[0x22; 32], [0x33; 12]).unwrap());
        check("key check", &keyring::key_check(&[0x22; 32]));

        let (seal, blinder) = (Seal::new(&keys.data_key), Blinder::new(&keys.index_key));
        let (key, version, head) = example();
        let blinded_key = blinder.key(&key);
        check("key of keys", &blinded_key);
        let front = codec::encode_version(&version);
        check("front of versions", &front);
        let version_key = codec::version_key(Rid(1), VersionId(1));
        check("key of versions", &version_key);
        let place = Place {
            database: catalog::VERSIONS,
            key: &version_key,
        };
        let start = codec::Start::of(&version);
        let value = Value {
            clear: &front,
            body: &version.body,
            known: start.known(),
        };
        let sealed = seal.seal(place, [0x44; 12], &value).unwrap();
        check("sealed version", &sealed);
        let mut packed = Vec::new();
        let form = packing::pack(catalog::VERSIONS, (LONGER, &start.known()), &mut packed);
        check("packed body", &packed);
        assert_eq!(form, 0x11);
        check("head", &codec::encode_head(&HeadRow { blinded_key, head }));
        let change = Change {
            seq: Seq(7),
            rid: Rid(1),
            version: VersionId(1),
            origin: version.origin,
            hlc: 300,
            urgency: Urgency::Clinical,
            deleted: false,
            became_head: true,
        };
        check("change", &codec::encode_change(&change));
        let term = blinder.term(&Term(b"family smith".to_vec()));
        check("key of postings", &postings::span_key(&term, Rid(4097)));
        let row = postings::changed_span(&[], &[(1, true), (0x123, true)]);
        check("postings", &row);
        check("chain", &apply::chain_link(&[0; 32], b"first"));
    }
}
