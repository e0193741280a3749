//! History of a type or of the whole site: the change log walked backwards, newest first, a bounded
//! stretch at a time. The seq is the place of a page: what is written meanwhile comes before it.

use super::Repository;
use super::read::{VersionInfo, known_head, method};
use gateway_ground::failure::Failure;
use std::collections::HashSet;
use store::{Change, Head, ResourceKey, Rid, Seq, StoredVersion, Term, VersionId, View};

/// Which versions a history shows, by time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Made at or after this.
    pub since_ms: Option<i64>,
    /// In force at some time from the first up to the second.
    pub at_ms: Option<(i64, i64)>,
}

/// A page of versions, newest first, those kept aside in a conflict included.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    pub versions: Vec<VersionInfo>,
    /// Continue before this place.
    pub next: Option<u64>,
}

/// One page to read.
#[derive(Clone, Debug)]
pub struct LogRequest {
    /// `None`: the whole site.
    pub resource_type: Option<String>,
    pub period: Period,
    pub before: Option<u64>,
    pub count: usize,
}

/// Changes read from the log at once.
const WINDOW: u64 = 512;

/// Most work for one page, in changes looked at; opening a version counts ten. A page that ends here
/// has a `next` link, though it may hold little.
const WORK_MAX: usize = 1_000_000;
const OPENING: usize = 10;

/// So many older ones in a row end `_since`: times follow the log but where the clock was put back.
const OLDER_MAX: usize = 2_000;

/// Versions of one resource read at once.
const STEP: usize = 64;

impl Repository {
    /// A page of the history of a type or of the site. Long walks belong on a blocking thread.
    pub fn log(&self, request: &LogRequest) -> Result<LogPage, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let walk = Walk {
            view: &view,
            request,
            work: 0,
            older: 0,
            versions: Vec::new(),
        };
        walk.run()
    }

    /// A page of one resource's history; `before` is a version. 404 when the key was never written.
    pub fn history_within(
        &self,
        key: &ResourceKey,
        period: Period,
        (before, count): (Option<u64>, usize),
    ) -> Result<LogPage, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let head = known_head(&view, key)?;
        let mut versions = Vec::new();
        let mut before = before.map(VersionId);
        while versions.len() <= count {
            let items = view.history(head.rid, before, STEP)?;
            let Some((last, _)) = items.last() else { break };
            before = Some(*last);
            for (version, _) in &items {
                let stored = view.version(head.rid, *version)?;
                let Some(stored) = stored else { continue };
                if period.shows(&view, &head, &stored)? {
                    versions.push(VersionInfo::of(stored));
                }
            }
        }
        let more = versions.len() > count;
        versions.truncate(count);
        let last = versions.last().map(|last| last.stored.version.0);
        Ok(LogPage {
            next: last.filter(|_| more),
            versions,
        })
    }
}

impl Period {
    fn shows(self, view: &View<'_>, head: &Head, stored: &StoredVersion) -> Result<bool, Failure> {
        if self.since_ms.is_some_and(|since| stored.time_ms < since) {
            return Ok(false);
        }
        let Some((low, high)) = self.at_ms else {
            return Ok(true);
        };
        if !stored.was_head || stored.time_ms >= high {
            return Ok(false);
        }
        if stored.time_ms >= low {
            return Ok(true);
        }
        let next = successor(view, head, stored.version)?;
        Ok(next.is_none_or(|time_ms| time_ms > low))
    }
}

/// Time of the version that took the place of this one.
fn successor(view: &View<'_>, head: &Head, version: VersionId) -> Result<Option<i64>, Failure> {
    for number in version.0.saturating_add(1)..=head.newest.0 {
        let stored = view.version(head.rid, VersionId(number))?;
        if let Some(stored) = stored.filter(|stored| stored.was_head) {
            return Ok(Some(stored.time_ms));
        }
    }
    Ok(None)
}

/// A page in the making.
struct Walk<'a, 't> {
    view: &'a View<'t>,
    request: &'a LogRequest,
    work: usize,
    /// Versions before `_since` in a row.
    older: usize,
    versions: Vec<VersionInfo>,
}

/// Whether a walk goes on.
enum Step {
    On,
    Full,
    /// Nothing further can match.
    Over,
}

impl Walk<'_, '_> {
    fn run(mut self) -> Result<LogPage, Failure> {
        let newest = self.view.last_seq()?.0;
        let before = self.request.before.map(|seq| seq.saturating_sub(1));
        let mut end = before.map_or(newest, |before| before.min(newest));
        while end > 0 {
            let start = end.saturating_sub(WINDOW);
            let length = usize::try_from(end - start).unwrap_or(0);
            let changes = self.view.changes(Seq(start), length)?;
            let wanted = self.wanted(&changes)?;
            for change in changes.iter().rev() {
                if wanted
                    .as_ref()
                    .is_some_and(|rids| !rids.contains(&change.rid))
                {
                    continue;
                }
                match self.look(change)? {
                    Step::On => {}
                    Step::Full => return Ok(self.page()),
                    Step::Over => return Ok(self.last_page()),
                }
            }
            self.work += length;
            end = start;
            if self.work >= WORK_MAX && end > 0 {
                return Ok(LogPage {
                    versions: self.versions,
                    next: Some(end + 1),
                });
            }
        }
        Ok(self.last_page())
    }

    fn look(&mut self, change: &Change) -> Result<Step, Failure> {
        self.work += OPENING;
        let Some(stored) = self.view.version(change.rid, change.version)? else {
            return Ok(Step::On);
        };
        let of_type = self.request.resource_type.as_ref();
        if of_type.is_some_and(|wanted| *wanted != stored.key.resource_type) {
            return Ok(Step::On);
        }
        let period = self.request.period;
        if period.since_ms.is_some_and(|since| stored.time_ms < since) {
            self.older += 1;
            return Ok(match self.older > OLDER_MAX {
                true => Step::Over,
                false => Step::On,
            });
        }
        self.older = 0;
        if let Some(head) = self.view.head_of(change.rid)?
            && period.shows(self.view, &head, &stored)?
        {
            self.versions.push(VersionInfo::of(stored));
        }
        Ok(match self.versions.len() > self.request.count {
            true => Step::Full,
            false => Step::On,
        })
    }

    /// Resources of the wanted type, or deleted ones that may be; `None` when all are wanted.
    fn wanted(&self, changes: &[Change]) -> Result<Option<HashSet<Rid>>, Failure> {
        let Some(of_type) = &self.request.resource_type else {
            return Ok(None);
        };
        let mut rids: Vec<Rid> = changes.iter().map(|change| change.rid).collect();
        rids.sort_unstable();
        rids.dedup();
        let mut postings = self.view.postings(&Term(of_type.as_bytes().to_vec()))?;
        let mut wanted = HashSet::new();
        for rid in rids {
            let is_live = postings.seek(rid)? == Some(rid);
            let is_deleted = || Ok(self.view.head_of(rid)?.is_none_or(|head| head.deleted));
            if is_live || is_deleted().map_err(|fault: store::StoreError| fault)? {
                wanted.insert(rid);
            }
        }
        Ok(Some(wanted))
    }

    /// The one too many shows that there is a next page.
    fn page(mut self) -> LogPage {
        self.versions.truncate(self.request.count);
        let last = self.versions.last();
        LogPage {
            next: last.map(|last| last.stored.seq.0),
            versions: self.versions,
        }
    }

    fn last_page(self) -> LogPage {
        LogPage {
            versions: self.versions,
            next: None,
        }
    }
}

impl VersionInfo {
    fn of(stored: StoredVersion) -> VersionInfo {
        let method = method(&stored);
        VersionInfo { stored, method }
    }
}
