//! Putting right what a look found damaged: a row is replaced only while it does not open, and only by
//! one that everything around it confirms, so nothing that was acknowledged can change.

use crate::apply::chain_link;
use crate::env::Engine;
use crate::{AuditEntry, Change, Head, Mend, ResourceKey, Seq, StoreError, StoredVersion, View};
use crate::{Rid, VersionId};

/// May this be put in the place of what is there?
pub(crate) fn check(view: &View<'_>, engine: &Engine, mend: &Mend) -> Result<(), StoreError> {
    match mend {
        Mend::Version(version) => check_version(view, engine, version),
        Mend::Head(key, head) => check_head(view, (key, head)),
        Mend::Change(change) => check_change(view, change),
        Mend::Audit(entry) => check_audit(view, entry),
        Mend::Key(key, rid) => check_key(view, engine, (key, *rid)),
        Mend::Stray(..) => Ok(()),
    }
}

fn refused(why: &str) -> StoreError {
    StoreError::Invalid(format!("this cannot be mended: {why}"))
}

/// What a row holds, when it opens and is there.
fn sound<T>(read: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Corrupt { .. }) => Ok(None),
        other => other,
    }
}

fn check_version(
    view: &View<'_>,
    engine: &Engine,
    version: &StoredVersion,
) -> Result<(), StoreError> {
    let (rid, number) = (version.rid, version.version);
    if sound(view.version(rid, number))?.is_some() {
        return Err(refused("the version is whole"));
    }
    if let Some(row) = sound(view.head_row(rid))? {
        if row.blinded_key != engine.blinder.key(&version.key) {
            return Err(refused("the version is another resource's"));
        }
        let same = (row.head.seq, row.head.deleted) == (version.seq, version.deleted);
        if row.head.newest < number || row.head.version == number && !same {
            return Err(refused("the head knows another version"));
        }
    }
    match change_of(view, version.seq)? {
        Some(change) if !is_of(&change, version) => {
            Err(refused("the change log knows another version"))
        }
        Some(_) => Ok(()),
        // The change is damaged too; then the head must know the version.
        None if sound(view.head_of(rid))?.is_some() => Ok(()),
        None => Err(refused("nothing is left that confirms it")),
    }
}

fn change_of(view: &View<'_>, seq: Seq) -> Result<Option<Change>, StoreError> {
    let before = Seq(seq.0.saturating_sub(1));
    let read = view.changes(before, 1).map(|mut found| found.pop());
    Ok(sound(read)?.filter(|change| change.seq == seq))
}

fn is_of(change: &Change, version: &StoredVersion) -> bool {
    (change.rid, change.version, change.seq) == (version.rid, version.version, version.seq)
        && (change.hlc, change.origin) == (version.hlc, version.origin)
        && (change.deleted, change.became_head) == (version.deleted, version.was_head)
}

fn check_head(view: &View<'_>, (key, head): (&ResourceKey, &Head)) -> Result<(), StoreError> {
    if sound(view.head_row(head.rid))?.is_some() {
        return Err(refused("the head is whole"));
    }
    match view.head_from_versions(head.rid)? {
        Some((known, found)) if known == *key && same_but_review(&found, head) => Ok(()),
        _ => Err(refused("the versions make another head")),
    }
}

fn check_key(
    view: &View<'_>,
    engine: &Engine,
    (key, rid): (&ResourceKey, Rid),
) -> Result<(), StoreError> {
    let blinded = engine.blinder.key(key);
    if sound(view.head_row_of_key(&blinded))?.is_some() {
        return Err(refused("the key is whole"));
    }
    match sound(view.head_row(rid))? {
        Some(row) if row.blinded_key == blinded => Ok(()),
        _ => Err(refused("the head has another key")),
    }
}

fn same_but_review(found: &Head, head: &Head) -> bool {
    let review_open = head.review_open;
    Head {
        review_open,
        ..*found
    } == *head
}

fn check_change(view: &View<'_>, change: &Change) -> Result<(), StoreError> {
    if change.seq > view.last_seq()? || change_of(view, change.seq)?.is_some() {
        return Err(refused("the change is whole, or there is none such"));
    }
    let version = sound(view.version(change.rid, change.version))?;
    match version.is_some_and(|version| is_of(change, &version)) {
        true => Ok(()),
        false => Err(refused("the version of the change does not confirm it")),
    }
}

fn check_audit(view: &View<'_>, entry: &AuditEntry) -> Result<(), StoreError> {
    let at = |number: u64| {
        let read = view.audit(number - 1, 1).map(|mut found| found.pop());
        Ok::<_, StoreError>(sound(read)?.filter(|found| found.number == number))
    };
    if entry.number == 0 || entry.number > view.last_audit_number()? {
        return Err(refused("there is no such entry"));
    }
    if at(entry.number)?.is_some() {
        return Err(refused("the entry is whole"));
    }
    let before = match entry.number {
        1 => Some([0; 32]),
        number => at(number - 1)?.map(|before| before.chain),
    };
    let follows = before.map(|chain| chain_link(&chain, &entry.body) == entry.chain);
    let after = at(entry.number + 1)?;
    let leads = after.map(|after| chain_link(&entry.chain, &after.body) == after.chain);
    match (follows, leads) {
        (Some(false), _) | (_, Some(false)) | (None, None) => {
            Err(refused("the chain does not confirm the entry"))
        }
        _ => Ok(()),
    }
}

impl View<'_> {
    /// The head as a resource's versions tell it, for one that is damaged; the review flag is not among
    /// what they know. `None` when the versions that tell it do not open.
    pub fn head_from_versions(&self, rid: Rid) -> Result<Option<(ResourceKey, Head)>, StoreError> {
        let mut newest = None;
        let mut before = None;
        loop {
            let read = self.history(rid, before, 1).map(|mut found| found.pop());
            let Some((number, _)) = sound(read)? else {
                return Ok(None);
            };
            let newest = *newest.get_or_insert(number);
            let Some(version) = sound(self.version(rid, number))? else {
                return Ok(None);
            };
            if version.was_head {
                return Ok(Some((version.key.clone(), head_of(&version, newest))));
            }
            before = Some(number);
        }
    }
}

fn head_of(version: &StoredVersion, newest: VersionId) -> Head {
    Head {
        rid: version.rid,
        version: version.version,
        newest,
        seq: version.seq,
        deleted: version.deleted,
        review_open: false,
        time_ms: version.time_ms,
        hlc: version.hlc,
    }
}
