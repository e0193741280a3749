//! A look over the store in steps: resources with their posting lists, changes, the audit, small rows,
//! the shape of the trees. Each step takes one snapshot and some milliseconds, and says where the next one
//! begins, so that a look goes on after a restart.

use super::ends;
use super::lists::{self, Window};
use super::structure::{self, Walk};
use super::{Damage, Finding, VerifyReport, chains, resources};
use crate::catalog::{NAMES, Tree};
use crate::{AuditEntry, Rid, Seq, Store, StoreError};
use std::sync::Arc;

/// The terms that stored search values have posted; `None` when other rules made the values, so that
/// nobody knows. The store itself does not know what values mean.
pub type TermsOf = Arc<dyn Fn(&[u8]) -> Option<Vec<Vec<u8>>> + Send + Sync>;

/// What a look looks at.
#[derive(Clone, Default)]
pub struct LookOptions {
    /// Bodies of at most about so many resources, evenly spread; absent, all.
    pub sample: Option<u64>,
    /// Without it posting lists are looked at in shape alone.
    pub terms_of: Option<TermsOf>,
    /// Where another look came to; absent, the start.
    pub from: Option<Reached>,
}

/// Where a look goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// 0 resources, 1 changes, 2 audit, 3 rows, from 4 on the shape of each tree.
    pub stage: u32,
    /// The last key that was looked at.
    pub after: Vec<u8>,
}

/// Rows looked at under one snapshot, so that verifying holds back neither page reuse nor growth.
const ROWS_A_SNAPSHOT: u64 = 256;

enum Stage {
    Resources { after: Rid, window: Window },
    Lists(lists::Walk),
    Strays(lists::Search),
    Changes(Seq),
    Audit(u64, Option<AuditEntry>),
    Rows(Vec<u8>),
    Trees(usize, Walk),
    Done,
}

/// A look under way.
pub struct Look {
    store: Store,
    stride: u64,
    terms_of: Option<TermsOf>,
    stage: Stage,
    report: VerifyReport,
}

impl Look {
    pub(super) fn begin(store: &Store, options: LookOptions) -> Result<Look, StoreError> {
        let resources = store.stats()?.resources;
        let stride = |sample: u64| (resources / sample.max(1)).max(1);
        let from = options.from.unwrap_or(Reached {
            stage: 0,
            after: Vec::new(),
        });
        Ok(Look {
            store: store.clone(),
            stride: options.sample.map_or(1, stride),
            terms_of: options.terms_of,
            stage: stage_of(&from),
            report: VerifyReport::default(),
        })
    }

    /// What was looked at and found so far.
    pub fn report(&self) -> &VerifyReport {
        &self.report
    }

    /// What was found since this was last asked.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.report.findings)
    }

    pub fn into_report(self) -> VerifyReport {
        self.report
    }

    /// Where a look that follows this one goes on. A window of posting lists is begun anew.
    pub fn reached(&self) -> Reached {
        let number = |stage: u32, number: u64| Reached {
            stage,
            after: number.to_be_bytes().to_vec(),
        };
        match &self.stage {
            Stage::Resources { window, .. } => number(0, window.before().0),
            Stage::Lists(walk) => number(0, walk.window.before().0),
            Stage::Strays(search) => number(0, search.window.before().0),
            Stage::Changes(after) => number(1, after.0),
            Stage::Audit(after, _) => number(2, *after),
            Stage::Rows(after) => Reached {
                stage: 3,
                after: after.clone(),
            },
            Stage::Trees(tree, _) => number(4 + u32::try_from(*tree).unwrap_or(0), 0),
            Stage::Done => number(u32::MAX, 0),
        }
    }

    /// How far the look is, in hundredths, about.
    pub fn percent(&self) -> u64 {
        match &self.stage {
            Stage::Resources { after, .. } => {
                let of = self.store.stats().map_or(1, |stats| stats.resources.max(1));
                after.0.saturating_mul(60) / of
            }
            Stage::Lists(_) | Stage::Strays(_) => 60,
            Stage::Changes(_) => 70,
            Stage::Audit(..) => 80,
            Stage::Rows(_) => 85,
            Stage::Trees(..) => 90,
            Stage::Done => 100,
        }
    }

    /// The next rows; true when there is nothing left to look at.
    pub fn step(&mut self) -> Result<bool, StoreError> {
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        self.stage = match stage {
            Stage::Resources { after, window } => self.resources(after, window)?,
            Stage::Lists(walk) => self.lists(walk)?,
            Stage::Strays(search) => self.strays(search)?,
            Stage::Changes(after) => self.changes(after)?,
            Stage::Audit(after, before) => self.audit(after, before)?,
            Stage::Rows(after) => self.rows(&after)?,
            Stage::Trees(tree, walk) => self.tree(tree, walk)?,
            Stage::Done => Stage::Done,
        };
        Ok(matches!(self.stage, Stage::Done))
    }

    fn resources(&mut self, after: Rid, mut window: Window) -> Result<Stage, StoreError> {
        let snapshot = self.store.snapshot()?;
        let view = snapshot.view();
        let last = view.last_rid()?;
        let until = Rid((after.0 + ROWS_A_SNAPSHOT).min(last.0).min(window.last().0));
        let mut rid = after.0;
        while rid < until.0 {
            let told = (Damage::Head(Rid(rid + 1)), &mut self.report);
            if let Some(gap_to) = chains::gap(&view, (Tree::Heads, rid), told)? {
                let gap_to = gap_to.min(window.last().0);
                window.skip_to(Rid(gap_to));
                rid = gap_to;
                continue;
            }
            rid += 1;
            let with_bodies = rid.is_multiple_of(self.stride);
            let values = resources::check(&view, Rid(rid), with_bodies, &mut self.report)?;
            let Some(terms_of) = &self.terms_of else {
                continue;
            };
            let terms = match values {
                resources::Found::Values(values) => terms_of(&values),
                resources::Found::None => Some(Vec::new()),
                resources::Found::Damaged => None,
            };
            window.expect(&view, terms)?;
        }
        let reached = Rid(rid.max(until.0));
        if reached < last && reached < window.last() {
            return Ok(Stage::Resources {
                after: reached,
                window,
            });
        }
        drop(snapshot);
        if self.terms_of.is_none() {
            return Ok(self.after_window(&window));
        }
        // What was written before the window began lies in the data file then, or in the way of nobody.
        match self.store.fold() {
            Ok(()) | Err(StoreError::ReadOnly(_) | StoreError::Full) => {}
            Err(other) => return Err(other),
        }
        Ok(Stage::Lists(lists::Walk::begin(window)))
    }

    fn lists(&mut self, mut walk: lists::Walk) -> Result<Stage, StoreError> {
        if !walk.step(&self.store, &mut self.report)? {
            return Ok(Stage::Lists(walk));
        }
        let Some(terms_of) = &self.terms_of else {
            return Ok(self.after_window(&walk.window));
        };
        match walk.compare(terms_of) {
            Ok(search) => Ok(Stage::Strays(search)),
            Err(window) => Ok(self.after_window(&window)),
        }
    }

    fn strays(&mut self, mut search: lists::Search) -> Result<Stage, StoreError> {
        match search.step(&self.store, &mut self.report)? {
            false => Ok(Stage::Strays(search)),
            true => Ok(self.after_window(&search.window)),
        }
    }

    fn after_window(&self, window: &Window) -> Stage {
        let last = self.store.stats().map_or(0, |stats| stats.resources);
        if window.last().0 >= last {
            return Stage::Changes(Seq(0));
        }
        // A damaged key may stand for a resource beyond all counting: nothing is in between.
        let snapshot = self.store.snapshot();
        let next = snapshot.and_then(|snapshot| {
            let view = snapshot.view();
            view.number_above(Tree::Heads, window.last().0)
        });
        let after = match next {
            Ok(Some(next)) => Rid(next - 1),
            _ => window.last(),
        };
        Stage::Resources {
            after,
            window: Window::after(after),
        }
    }

    fn changes(&mut self, after: Seq) -> Result<Stage, StoreError> {
        let snapshot = self.store.snapshot()?;
        let view = snapshot.view();
        let last = view.last_seq()?;
        if after == Seq(0) {
            ends::check(&view, &*self.store.engine()?, &mut self.report)?;
        }
        let until = Seq((after.0 + ROWS_A_SNAPSHOT).min(last.0));
        let mut seq = after.0;
        while seq < until.0 {
            let told = (Damage::Change(Seq(seq + 1)), &mut self.report);
            if let Some(gap_to) = chains::gap(&view, (Tree::Changes, seq), told)? {
                seq = gap_to;
                continue;
            }
            seq += 1;
            chains::change(&view, Seq(seq), &mut self.report)?;
        }
        let until = until.max(Seq(seq));
        Ok(match until < last {
            true => Stage::Changes(until),
            false => Stage::Audit(0, None),
        })
    }

    fn audit(&mut self, after: u64, before: Option<AuditEntry>) -> Result<Stage, StoreError> {
        let snapshot = self.store.snapshot()?;
        let view = snapshot.view();
        let last = view.last_audit_number()?;
        let until = (after + ROWS_A_SNAPSHOT).min(last);
        let mut before = match before {
            None if after > 0 => chains::entry(&view, after).ok().flatten(),
            known => known,
        };
        let mut number = after;
        while number < until {
            let told = (Damage::Audit(number + 1), &mut self.report);
            if let Some(gap_to) = chains::gap(&view, (Tree::Audit, number), told)? {
                (number, before) = (gap_to, None);
                continue;
            }
            number += 1;
            let about = Damage::Audit(number);
            let entry = self.report.opened(about, chains::entry(&view, number))?;
            if let Some(entry) = &entry {
                chains::link(before.as_ref(), entry.as_ref(), number, &mut self.report);
            }
            before = entry.flatten();
        }
        let until = until.max(number);
        Ok(match until < last {
            true => Stage::Audit(until, before),
            false => Stage::Rows(vec![0]),
        })
    }

    fn rows(&mut self, after: &[u8]) -> Result<Stage, StoreError> {
        let limit = usize::try_from(ROWS_A_SNAPSHOT).unwrap_or(1);
        let read = self.store.snapshot()?.view().try_rows(after, limit)?;
        let Some((last, rows)) = read else {
            return Ok(Stage::Trees(0, Walk::default()));
        };
        for row in rows {
            let opened = self.report.opened(Damage::Row, row)?;
            self.report.rows += u64::from(opened.is_some());
        }
        Ok(Stage::Rows(last))
    }

    fn tree(&mut self, tree: usize, mut walk: Walk) -> Result<Stage, StoreError> {
        let engine = self.store.engine()?;
        let find = |database, text| self.report.find(database, Damage::Shape, text);
        Ok(match structure::step(&engine, tree, &mut walk, find)? {
            false => Stage::Trees(tree, walk),
            true if tree + 1 < NAMES.len() => Stage::Trees(tree + 1, Walk::default()),
            true => Stage::Done,
        })
    }
}

fn stage_of(from: &Reached) -> Stage {
    let number = from
        .after
        .as_slice()
        .try_into()
        .map_or(0, u64::from_be_bytes);
    match from.stage {
        1 => Stage::Changes(Seq(number)),
        2 => Stage::Audit(number, None),
        3 => Stage::Rows(from.after.clone()),
        stage @ 4.. => match usize::try_from(stage - 4) {
            Ok(tree) if tree < NAMES.len() => Stage::Trees(tree, Walk::default()),
            _ => Stage::Done,
        },
        0 => Stage::Resources {
            after: Rid(number),
            window: Window::after(Rid(number)),
        },
    }
}
