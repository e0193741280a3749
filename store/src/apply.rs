//! A write set, first checked against what is there, then turned into the writes of a run. Checking
//! changes nothing, so a write set that breaks a rule leaves the others of its group alone.

use crate::catalog::Tree;
use crate::codec::{self, HeadRow, Start};
use crate::env::Engine;
use crate::inspect::mend;
use crate::overlay::{Item, Posting, Run};
use crate::packing::BODY_BYTES_MAX;
use crate::postings;
use crate::seal::{Nonces, Place, Value};
use crate::snapshot::{ROW_KEY_BYTES_MAX, View, row_key};
use crate::{
    Change, Committed, Head, Mend, NewVersion, Purge, ResourceKey, Rid, Seq, StoreError,
    StoredVersion, Term, VersionId, WriteSet,
};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Longest type and longest logical id in bytes; FHIR allows ids of 64.
const NAME_BYTES_MAX: usize = 255;
/// Most terms that one version may post or take away.
const TERMS_MAX: usize = 1 << 20;
/// Most versions that one purge takes away: what the log takes with room to spare.
const PURGED_MAX: u64 = 1 << 14;

/// The ends of the numbered databases behind the last group.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    last_rid: Rid,
    last_seq: Seq,
    last_audit: u64,
    chain: [u8; 32],
}

impl Ends {
    pub(crate) fn read(view: &View<'_>) -> Result<Self, StoreError> {
        let last_audit = view.last_audit_number()?;
        let chain = match view.audit(last_audit.saturating_sub(1), 1) {
            Ok(found) => found.first().map_or([0; 32], |entry| entry.chain),
            // One damaged entry must not end all writing: the chain starts anew behind it, and
            // verifying still names the entry.
            Err(StoreError::Corrupt { .. }) => [0; 32],
            Err(other) => return Err(other),
        };
        let (last_rid, last_seq) = (view.last_rid()?, view.last_seq()?);
        Ok(Self {
            last_rid,
            last_seq,
            last_audit,
            chain,
        })
    }
}

/// Link of the audit chain: SHA-256 over the link before and the entry.
pub(crate) fn chain_link(before: &[u8; 32], body: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(before)
        .chain_update(body)
        .finalize()
        .into()
}

/// One version, checked: where it goes and the head after it.
pub(crate) struct Step {
    is_new: bool,
    seq: Seq,
    row: HeadRow,
}

/// Checks every rule; the answer has one step for each version.
pub(crate) fn check(
    view: &View<'_>,
    engine: &Engine,
    ends: &Ends,
    set: &WriteSet,
) -> Result<Vec<Step>, StoreError> {
    check_rows(set)?;
    check_indexes(view, set)?;
    let mut ends = *ends;
    let mut written: HashMap<[u8; 16], HeadRow> = HashMap::new();
    let mut steps = Vec::with_capacity(set.versions.len());
    for new in &set.versions {
        check_form(new)?;
        let blinded_key = engine.blinder.key(&new.key);
        let known = match written.get(&blinded_key) {
            Some(row) => Some(*row),
            None => view.head_row_of_key(&blinded_key)?,
        };
        let newest = known.map_or(0, |row| row.head.newest.0);
        if new.version.0 != newest + 1 {
            return Err(invalid(format!(
                "version {} does not follow version {newest}",
                new.version.0
            )));
        }
        if known.is_none() && !new.becomes_head {
            return Err(invalid(
                "the first version of a resource must become its head",
            ));
        }
        ends.last_seq = Seq(ends.last_seq.0 + 1);
        let rid = match known {
            Some(row) => row.head.rid,
            None => {
                ends.last_rid = Rid(ends.last_rid.0 + 1);
                ends.last_rid
            }
        };
        if rid.0 > postings::RID_MAX {
            return Err(invalid("the store holds no more resources"));
        }
        let head = head_after(known.map(|row| row.head), new, rid, ends.last_seq);
        let row = HeadRow { blinded_key, head };
        written.insert(blinded_key, row);
        steps.push(Step {
            is_new: known.is_none(),
            seq: ends.last_seq,
            row,
        });
    }
    for purge in &set.purges {
        let written = written.values().find(|row| row.head.rid == purge.rid);
        check_purge(view, written, purge)?;
    }
    for mend in &set.mends {
        mend::check(view, engine, mend)?;
    }
    Ok(steps)
}

/// A gap below a deletion tells a purge from a loss, so versions go from the newest down.
fn check_purge(
    view: &View<'_>,
    written: Option<&HeadRow>,
    purge: &Purge,
) -> Result<(), StoreError> {
    let known = match written {
        Some(row) => Some(row.head),
        None => view.head_of(purge.rid)?,
    };
    let is_gone = |head: &Head| head.deleted && !head.review_open && head.version == head.newest;
    let Some(head) = known.filter(is_gone) else {
        return Err(invalid("only a deleted resource can be purged"));
    };
    let (from, to) = (purge.from.0, purge.to.0);
    if from == 0 || from > to || to >= head.version.0 || to - from >= PURGED_MAX {
        return Err(invalid(
            "a purge takes 1 to 16,384 versions before the head",
        ));
    }
    let next = VersionId(to + 1);
    if next != head.version && view.version(purge.rid, next)?.is_some() {
        return Err(invalid("a purge goes from the newest version down"));
    }
    Ok(())
}

fn head_after(before: Option<Head>, new: &NewVersion, rid: Rid, seq: Seq) -> Head {
    let open_before = before.is_some_and(|head| head.review_open);
    let review_open = new.review_open.unwrap_or(open_before);
    match before {
        Some(head) if !new.becomes_head => Head {
            newest: new.version,
            review_open,
            ..head
        },
        _ => Head {
            rid,
            version: new.version,
            newest: new.version,
            seq,
            deleted: new.deleted,
            review_open,
            time_ms: new.time_ms,
            hlc: new.hlc,
        },
    }
}

fn invalid(why: impl Into<String>) -> StoreError {
    StoreError::Invalid(why.into())
}

fn check_form(new: &NewVersion) -> Result<(), StoreError> {
    let ResourceKey { resource_type, id } = &new.key;
    let named = |name: &str| (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains('\0');
    if !named(resource_type) || !named(id) {
        return Err(invalid("a type and an id need 1 to 255 bytes"));
    }
    if new.deleted != new.body.is_empty() {
        return Err(invalid(
            "a body is empty exactly when its version is a deletion",
        ));
    }
    if new.body.len().max(new.values.len()) > BODY_BYTES_MAX {
        return Err(invalid("a body is longer than 128 MiB"));
    }
    if new.terms_added.len().max(new.terms_removed.len()) > TERMS_MAX {
        return Err(invalid("a version has more than 1,048,576 terms"));
    }
    Ok(())
}

fn check_indexes(view: &View<'_>, set: &WriteSet) -> Result<(), StoreError> {
    for index in &set.indexes {
        if index.values.len() > BODY_BYTES_MAX {
            return Err(invalid("search values are longer than 128 MiB"));
        }
        if view.head_of(index.rid)?.is_none_or(|head| head.deleted) {
            return Err(invalid("a resource that is not there cannot be indexed"));
        }
    }
    Ok(())
}

fn check_rows(set: &WriteSet) -> Result<(), StoreError> {
    if set
        .rows
        .iter()
        .any(|row| !(1..=ROW_KEY_BYTES_MAX).contains(&row.key.len()))
    {
        return Err(invalid("the key of a row needs 1 to 480 bytes"));
    }
    let values = set.rows.iter().filter_map(|row| row.value.as_ref());
    if values
        .chain(&set.audit)
        .any(|value| value.len() > BODY_BYTES_MAX)
    {
        return Err(invalid("a row is longer than 128 MiB"));
    }
    Ok(())
}

/// Turns checked sets into writes.
pub(crate) struct Applier<'a> {
    engine: &'a Engine,
    nonces: &'a mut Nonces,
    items: Vec<Item>,
    postings: Vec<Posting>,
}

impl<'a> Applier<'a> {
    pub(crate) fn new(engine: &'a Engine, nonces: &'a mut Nonces) -> Self {
        Self {
            engine,
            nonces,
            items: Vec::new(),
            postings: Vec::new(),
        }
    }

    /// The writes of a set that [`check`] has passed below the same ends.
    pub(crate) fn apply(
        mut self,
        ends: &mut Ends,
        set: &WriteSet,
        steps: &[Step],
    ) -> Result<(Committed, Run), StoreError> {
        for (new, step) in set.versions.iter().zip(steps) {
            self.write_version(new, step)?;
            let rid = step.row.head.rid;
            self.write_postings(rid, &new.terms_removed, &new.terms_added);
            ends.last_seq = step.seq;
            ends.last_rid = ends.last_rid.max(step.row.head.rid);
        }
        for purge in &set.purges {
            for version in purge.from.0..=purge.to.0 {
                let key = codec::version_key(purge.rid, VersionId(version));
                self.put(Tree::Versions, &key, None);
            }
        }
        for index in &set.indexes {
            let key = codec::number_key(index.rid.0);
            self.put_sealed(Tree::Values, &key, Value::body(&index.values))?;
            self.write_postings(index.rid, &index.terms_removed, &index.terms_added);
        }
        for row in &set.rows {
            let key = row_key(self.engine, row.table, &row.key);
            match &row.value {
                Some(value) => self.put_sealed(Tree::Rows, &key, Value::body(value))?,
                None => self.put(Tree::Rows, &key, None),
            }
        }
        for mend in &set.mends {
            self.mend(mend)?;
        }
        for body in &set.audit {
            ends.chain = chain_link(&ends.chain, body);
            ends.last_audit += 1;
            let key = codec::number_key(ends.last_audit);
            self.put_sealed(
                Tree::Audit,
                &key,
                Value {
                    clear: &ends.chain,
                    ..Value::body(body)
                },
            )?;
        }
        let seqs = steps.iter().map(|step| step.seq).collect();
        Ok((Committed { seqs }, Run::new(self.items, self.postings)))
    }

    fn write_version(&mut self, new: &NewVersion, step: &Step) -> Result<(), StoreError> {
        let rid = step.row.head.rid;
        let rid_key = codec::number_key(rid.0);
        if step.is_new {
            self.put(Tree::Keys, &step.row.blinded_key, Some(&rid_key));
        }
        self.put_version(&stored(new, rid, step.seq), &new.body)?;
        let head = codec::encode_head(&step.row);
        self.put_sealed(Tree::Heads, &rid_key, Value::clear(&head))?;
        if new.becomes_head && new.deleted {
            self.put(Tree::Values, &rid_key, None);
        } else if new.becomes_head {
            self.put_sealed(Tree::Values, &rid_key, Value::body(&new.values))?;
        }
        let seq_key = codec::number_key(step.seq.0);
        let change = codec::encode_change(&change(new, rid, step.seq));
        self.put_sealed(Tree::Changes, &seq_key, Value::clear(&change))
    }

    fn put_version(&mut self, version: &StoredVersion, body: &[u8]) -> Result<(), StoreError> {
        let (front, start) = (codec::encode_version(version), Start::of(version));
        let key = codec::version_key(version.rid, version.version);
        let value = Value {
            clear: &front,
            known: start.known(),
            ..Value::body(body)
        };
        self.put_sealed(Tree::Versions, &key, value)
    }

    fn mend(&mut self, mend: &Mend) -> Result<(), StoreError> {
        match mend {
            Mend::Version(version) => self.put_version(version, &version.body),
            Mend::Head(key, head) => {
                let blinded_key = self.engine.blinder.key(key);
                let row = codec::encode_head(&HeadRow {
                    blinded_key,
                    head: *head,
                });
                let key = codec::number_key(head.rid.0);
                self.put_sealed(Tree::Heads, &key, Value::clear(&row))
            }
            Mend::Change(change) => {
                let row = codec::encode_change(change);
                let key = codec::number_key(change.seq.0);
                self.put_sealed(Tree::Changes, &key, Value::clear(&row))
            }
            Mend::Audit(entry) => {
                let key = codec::number_key(entry.number);
                self.put_sealed(
                    Tree::Audit,
                    &key,
                    Value {
                        clear: &entry.chain,
                        ..Value::body(&entry.body)
                    },
                )
            }
            Mend::Key(key, rid) => {
                let blinded_key = self.engine.blinder.key(key);
                let rid_key = codec::number_key(rid.0);
                self.put(Tree::Keys, &blinded_key, Some(&rid_key));
                Ok(())
            }
            Mend::Stray(rid, blinded) => {
                self.postings.push(Posting {
                    key: postings::span_key(blinded, *rid),
                    place: postings::place_of(*rid),
                    posted: false,
                });
                Ok(())
            }
        }
    }

    /// Takes away and posts terms; of two changes to one place the later one counts.
    fn write_postings(&mut self, rid: Rid, removed: &[Term], added: &[Term]) {
        let removed = removed.iter().map(|term| (term, false));
        for (term, posted) in removed.chain(added.iter().map(|term| (term, true))) {
            let blinded = self.engine.blinder.term(term);
            self.postings.push(Posting {
                key: postings::span_key(&blinded, rid),
                place: postings::place_of(rid),
                posted,
            });
        }
    }

    /// Seals a part in clear and a body that may be packed.
    fn put_sealed(&mut self, tree: Tree, key: &[u8], value: Value<'_>) -> Result<(), StoreError> {
        let place = Place {
            database: tree.name(),
            key,
        };
        let nonce = self.nonces.next();
        let sealed = self.engine.seal.seal(place, nonce, &value)?;
        self.put(tree, key, Some(&sealed));
        Ok(())
    }

    fn put(&mut self, tree: Tree, key: &[u8], value: Option<&[u8]>) {
        self.items.push(Item {
            tree,
            key: key.into(),
            value: value.map(Box::from),
        });
    }
}

/// The version as it will be read, without its body.
fn stored(new: &NewVersion, rid: Rid, seq: Seq) -> StoredVersion {
    StoredVersion {
        key: new.key.clone(),
        rid,
        version: VersionId(new.version.0),
        seq,
        deleted: new.deleted,
        was_head: new.becomes_head,
        making: new.making,
        time_ms: new.time_ms,
        hlc: new.hlc,
        origin: new.origin,
        body: Vec::new(),
    }
}

fn change(new: &NewVersion, rid: Rid, seq: Seq) -> Change {
    Change {
        seq,
        rid,
        version: new.version,
        origin: new.origin,
        hlc: new.hlc,
        urgency: new.urgency,
        deleted: new.deleted,
        became_head: new.becomes_head,
    }
}
