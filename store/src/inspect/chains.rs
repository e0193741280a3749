//! The change log, without gaps, and the audit, each entry bound to the one before.

use super::{Damage, VerifyReport};
use crate::apply::chain_link;
use crate::catalog::Tree;
use crate::{AuditEntry, Seq, StoreError, View, catalog};

/// Where rows are missing above `after`: the last number of the gap. One finding tells of all of it, for
/// a damaged key may stand for a number beyond all counting.
pub(super) fn gap(
    view: &View<'_>,
    (tree, after): (Tree, u64),
    (about, report): (Damage, &mut VerifyReport),
) -> Result<Option<u64>, StoreError> {
    let next = view.number_above(tree, after)?;
    let Some(next) = next.filter(|next| *next > after + 1) else {
        return Ok(None);
    };
    let (name, first, last) = (tree.name(), after + 1, next - 1);
    let text = match first == last {
        true => format!("number {first} is missing"),
        false => format!("numbers {first} to {last} are missing"),
    };
    report.find(name, about, text);
    Ok(Some(last))
}

/// One change: it opens, and names a version that is there.
pub(super) fn change(
    view: &View<'_>,
    seq: Seq,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let about = Damage::Change(seq);
    let read = view.changes(Seq(seq.0 - 1), 1);
    let Some(found) = report.opened(about, read)? else {
        return Ok(());
    };
    let Some(change) = found.first().filter(|change| change.seq == seq) else {
        return Ok(());
    };
    report.changes += 1;
    let newest = report.opened(Damage::Head(change.rid), view.head_of(change.rid))?;
    let known = newest.map(|head| head.is_some_and(|head| head.newest >= change.version));
    if known == Some(false) {
        let text = format!("change {} names a version that is not there", seq.0);
        report.find(catalog::CHANGES, about, text);
    }
    Ok(())
}

/// The entry of a number, or the next one there is.
pub(super) fn entry(view: &View<'_>, number: u64) -> Result<Option<AuditEntry>, StoreError> {
    Ok(view.audit(number - 1, 1)?.pop())
}

/// Checks one link; without the entry before there is nothing to check it against.
pub(super) fn link(
    before: Option<&AuditEntry>,
    entry: Option<&AuditEntry>,
    number: u64,
    report: &mut VerifyReport,
) {
    let about = Damage::Audit(number);
    let Some(entry) = entry.filter(|entry| entry.number == number) else {
        return;
    };
    report.audit_entries += 1;
    let known = match number {
        1 => Some([0; 32]),
        _ => before.map(|before| before.chain),
    };
    if known.is_some_and(|chain| entry.chain != chain_link(&chain, &entry.body)) {
        let text = format!("the chain breaks at audit entry {number}");
        report.find(catalog::AUDIT, about, text);
    }
}
