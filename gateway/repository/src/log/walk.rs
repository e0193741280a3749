//! One walk over the change log, in either direction, for one page.

use super::super::read::VersionInfo;
use super::{LogPage, LogPlace, LogRequest};
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use std::collections::HashSet;
use store::{Change, Rid, Seq, Term, View};

/// Changes read from the log at once.
const WINDOW: u64 = 512;

/// Most work for one page, in changes looked at; opening a version counts ten. A page that ends here
/// has a `next` link, though it may hold little.
const WORK_MAX: usize = 1_000_000;
const OPENING: usize = 10;

/// So many older ones in a row end `_since`: times follow the log but where the clock was put back.
const OLDER_MAX: u64 = 2_000;

/// A page in the making.
pub(super) struct Walk<'a, 't> {
    view: &'a View<'t>,
    request: &'a LogRequest,
    work: usize,
    /// Versions before `_since` in a row.
    older: u64,
    seen: u64,
    versions: Vec<VersionInfo>,
}

/// Whether a walk goes on.
enum Step {
    On,
    Full,
    /// Nothing further can match.
    Over,
}

/// What is left to walk over: above the first, up to the second.
struct Stretch {
    low: u64,
    high: u64,
    is_backwards: bool,
}

impl<'a, 't> Walk<'a, 't> {
    pub(super) fn new(view: &'a View<'t>, request: &'a LogRequest) -> Walk<'a, 't> {
        Walk {
            view,
            request,
            work: 0,
            older: 0,
            seen: 0,
            versions: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> Result<LogPage, Failure> {
        let mut left = self.stretch()?;
        let until = left.high;
        while left.low < left.high {
            let changes = self.window(&mut left)?;
            let wanted = self.wanted(&changes)?;
            let is_wanted = |change: &&Change| {
                wanted
                    .as_ref()
                    .is_none_or(|rids| rids.contains(&change.rid))
            };
            for change in changes.iter().filter(is_wanted) {
                match self.look(change)? {
                    Step::On => {}
                    Step::Full => return Ok(self.page(until)),
                    Step::Over => return Ok(self.ended(None)),
                }
            }
            self.work += changes.len();
            if self.work >= WORK_MAX && left.low < left.high {
                return self.tired(&left, until);
            }
        }
        Ok(self.ended(None))
    }

    fn stretch(&self) -> Result<Stretch, Failure> {
        let newest = self.view.last_seq()?.0;
        Ok(match self.request.place {
            LogPlace::Before(before) => Stretch {
                low: 0,
                high: before.map_or(newest, |seq| seq.saturating_sub(1).min(newest)),
                is_backwards: true,
            },
            LogPlace::After { last, until } => Stretch {
                low: last.max(self.first_since(newest)?),
                high: until.map_or(newest, |until| until.min(newest)),
                is_backwards: false,
            },
        })
    }

    /// A place in the log that nothing of the period comes before: found by halving, with room for
    /// a clock that was put back.
    fn first_since(&self, newest: u64) -> Result<u64, Failure> {
        let Some(since) = self.request.period.since_ms else {
            return Ok(0);
        };
        let (mut low, mut high) = (0, newest);
        while low < high {
            let middle = low + (high - low) / 2;
            let change = self.view.changes(Seq(middle), 1)?;
            let stored = match change.first() {
                Some(change) => self.view.version(change.rid, change.version)?,
                None => None,
            };
            // What was purged has no time; it is as if it were later.
            match stored.is_some_and(|stored| stored.time_ms < since) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low.saturating_sub(OLDER_MAX))
    }

    /// The changes that come next, in their order.
    fn window(&self, left: &mut Stretch) -> Result<Vec<Change>, Failure> {
        let width = WINDOW.min(left.high - left.low);
        let start = match left.is_backwards {
            true => left.high - width,
            false => left.low,
        };
        let length = usize::try_from(width).unwrap_or(0);
        let mut changes = self.view.changes(Seq(start), length)?;
        match left.is_backwards {
            true => {
                changes.reverse();
                left.high = start;
            }
            false => left.low = start + width,
        }
        Ok(changes)
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
            let is_backwards = matches!(self.request.place, LogPlace::Before(_));
            return Ok(match is_backwards && self.older > OLDER_MAX {
                true => Step::Over,
                false => Step::On,
            });
        }
        self.older = 0;
        if let Some(head) = self.view.head_of(change.rid)?
            && period.shows(self.view, &head, &stored)?
        {
            self.seen += 1;
            if self.request.count > 0 {
                self.versions.push(VersionInfo::of(stored));
            }
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
    fn page(mut self, until: u64) -> LogPage {
        self.versions.truncate(self.request.count);
        let last = self.versions.last().map(|last| last.stored.seq.0);
        let next = last.map(|last| match self.request.place {
            LogPlace::Before(_) => LogPlace::Before(Some(last)),
            LogPlace::After { .. } => LogPlace::After {
                last,
                until: Some(until),
            },
        });
        self.ended(next)
    }

    /// The page ends for the work it was; a count that ends early would be a wrong one.
    fn tired(self, left: &Stretch, until: u64) -> Result<LogPage, Failure> {
        if self.request.count == 0 {
            let text = "there is more than is counted at once; narrow it by a type or _since";
            let code = IssueCode::TooCostly;
            return Err(Failure::new(
                Category::Unprocessable,
                "E-HISTORY-4",
                code,
                text,
            ));
        }
        let next = match left.is_backwards {
            true => LogPlace::Before(Some(left.high + 1)),
            false => LogPlace::After {
                last: left.low,
                until: Some(until),
            },
        };
        Ok(self.ended(Some(next)))
    }

    fn ended(self, next: Option<LogPlace>) -> LogPage {
        LogPage {
            versions: self.versions,
            next,
            total: (self.request.count == 0).then_some(self.seen),
        }
    }
}
