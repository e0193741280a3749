//! Visiting all live resources of a type or of the site, in the store's order.

use super::Repository;
use gateway_ground::failure::Failure;
use store::{Head, Rid, StoredVersion, Term, View};

/// Heads looked at in one step through the whole site.
const STEP: usize = 512;

impl Repository {
    /// Shows every live resource in turn, of one type or of all; `false` when there are more than
    /// `limit` of them. One snapshot for the whole walk: for bounded work on a blocking thread.
    pub fn visit(
        &self,
        of_type: Option<&str>,
        limit: usize,
        show: &mut dyn FnMut(StoredVersion) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let snapshot = self.store().snapshot()?;
        let view = snapshot.view();
        let rids = match of_type {
            Some(name) => of_one_type(&view, name, limit)?,
            None => of_all(&view, limit)?,
        };
        let Some(rids) = rids else { return Ok(false) };
        for rid in rids {
            let head = view.head_of(rid)?.filter(|head| !head.deleted);
            let stored = head.map(|head| view.version(rid, head.version));
            if let Some(stored) = stored.transpose()?.flatten() {
                show(stored)?;
            }
        }
        Ok(true)
    }
}

impl Repository {
    /// The newest state of each live resource of a type, `limit` at most.
    pub fn heads(&self, of_type: &str, limit: usize) -> Result<Vec<Head>, Failure> {
        let snapshot = self.store().snapshot()?;
        let view = snapshot.view();
        let mut postings = view.postings(&Term(of_type.as_bytes().to_vec()))?;
        let mut heads = Vec::new();
        let mut at = Rid(0);
        while heads.len() < limit {
            let Some(rid) = postings.seek(at)? else { break };
            heads.extend(view.head_of(rid)?.filter(|head| !head.deleted));
            at = Rid(rid.0.saturating_add(1));
        }
        Ok(heads)
    }
}

fn of_one_type(view: &View<'_>, name: &str, limit: usize) -> Result<Option<Vec<Rid>>, Failure> {
    let mut postings = view.postings(&Term(name.as_bytes().to_vec()))?;
    let mut rids = Vec::new();
    let mut at = Rid(0);
    while let Some(rid) = postings.seek(at)? {
        if rids.len() == limit {
            return Ok(None);
        }
        rids.push(rid);
        at = Rid(rid.0.saturating_add(1));
    }
    Ok(Some(rids))
}

fn of_all(view: &View<'_>, limit: usize) -> Result<Option<Vec<Rid>>, Failure> {
    let mut rids = Vec::new();
    let mut after = None;
    loop {
        let heads = view.scan_heads(after, STEP)?;
        let Some(last) = heads.last() else {
            return Ok(Some(rids));
        };
        after = Some(last.rid);
        let live = heads.iter().filter(|head| !head.deleted);
        rids.extend(live.map(|head| head.rid));
        if rids.len() > limit {
            return Ok(None);
        }
    }
}
