//! History of a type or of the whole site: the change log walked backwards or forwards, a bounded
//! stretch at a time. The seq is the place of a page: what is written meanwhile is on none of them.

mod walk;

use super::Repository;
use super::read::{VersionInfo, known_head};
use gateway_ground::failure::Failure;
use store::{Head, ResourceKey, StoredVersion, VersionId, View};
use walk::Walk;

/// Which versions a history shows, by time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Made at or after this.
    pub since_ms: Option<i64>,
    /// In force at some time from the first up to the second.
    pub at_ms: Option<(i64, i64)>,
}

/// Which versions come first, and where a page begins: at a seq, or of one resource at a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// Newest first, below this one.
    Before(Option<u64>),
    /// Oldest first, above `last`, up to what was the newest when the first page was read.
    After { last: u64, until: Option<u64> },
}

/// A page of versions, those kept aside in a conflict included.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    pub versions: Vec<VersionInfo>,
    /// Continue there.
    pub next: Option<LogPlace>,
    /// How many there are on all pages, where that was asked or is known.
    pub total: Option<u64>,
}

/// One page to read.
#[derive(Clone, Debug)]
pub struct LogRequest {
    /// `None`: the whole site.
    pub resource_type: Option<String>,
    pub period: Period,
    pub place: LogPlace,
    /// 0 only counts.
    pub count: usize,
}

/// Versions of one resource read at once.
const STEP: usize = 64;

impl Repository {
    /// A page of the history of a type or of the site. Long walks belong on a blocking thread.
    pub fn log(&self, request: &LogRequest) -> Result<LogPage, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        Walk::new(&snapshot.view(), request).run()
    }

    /// A page of one resource's history; `count` 0 only counts. 404 when the key was never written.
    pub fn history_within(
        &self,
        key: &ResourceKey,
        period: Period,
        (place, count): (LogPlace, usize),
    ) -> Result<LogPage, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let head = known_head(&view, key)?;
        let mut page = Page {
            period,
            count,
            seen: 0,
            versions: Vec::new(),
        };
        let is_whole = period == Period::default();
        let until = match place {
            _ if is_whole && count == 0 => None,
            LogPlace::Before(before) => page.backwards(&view, &head, before)?,
            LogPlace::After { last, until } => page.forwards(&view, &head, (last, until))?,
        };
        let total = match (is_whole, count) {
            (true, _) => Some(self.history(key, None, 0)?.total),
            (false, 0) => Some(page.seen),
            (false, _) => None,
        };
        let more = page.versions.len() > count;
        page.versions.truncate(count);
        let last = page.versions.last().map(|last| last.stored.version.0);
        let next = last.filter(|_| more).map(|last| match place {
            LogPlace::Before(_) => LogPlace::Before(Some(last)),
            LogPlace::After { .. } => LogPlace::After { last, until },
        });
        Ok(LogPage {
            versions: page.versions,
            next,
            total,
        })
    }
}

/// A page of one resource in the making.
struct Page {
    period: Period,
    count: usize,
    seen: u64,
    /// One too many when there is a next page.
    versions: Vec<VersionInfo>,
}

impl Page {
    fn backwards(
        &mut self,
        view: &View<'_>,
        head: &Head,
        before: Option<u64>,
    ) -> Result<Option<u64>, Failure> {
        let mut before = before.map(VersionId);
        while !self.is_full() {
            let items = view.history(head.rid, before, STEP)?;
            let Some((last, _)) = items.last() else { break };
            before = Some(*last);
            for (version, _) in &items {
                self.look(view, head, *version)?;
            }
        }
        Ok(None)
    }

    fn forwards(
        &mut self,
        view: &View<'_>,
        head: &Head,
        (last, until): (u64, Option<u64>),
    ) -> Result<Option<u64>, Failure> {
        let until = until.map_or(head.newest.0, |until| until.min(head.newest.0));
        let mut next = last;
        while next < until && !self.is_full() {
            next += 1;
            self.look(view, head, VersionId(next))?;
        }
        Ok(Some(until))
    }

    fn is_full(&self) -> bool {
        self.count > 0 && self.versions.len() > self.count
    }

    fn look(&mut self, view: &View<'_>, head: &Head, version: VersionId) -> Result<(), Failure> {
        // A purged version is none.
        let Some(stored) = view.version(head.rid, version)? else {
            return Ok(());
        };
        if self.period.shows(view, head, &stored)? {
            self.seen += 1;
            if self.count > 0 {
                self.versions.push(VersionInfo::of(stored));
            }
        }
        Ok(())
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
