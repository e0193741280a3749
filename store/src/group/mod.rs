//! One group after another on the writer thread: run every waiting plan on one moment of the store,
//! check what it wants and turn it into writes, log them all with one sync, publish, answer all.
//!
//! A plan only reads, and its write set is checked before anything of it is kept, so a refusal
//! leaves the others alone.

mod durable;
#[cfg(test)]
mod tests;

pub(crate) use durable::Durable;

use crate::apply::{self, Applier, Ends};
use crate::env::{Engine, Reading};
use crate::overlay::{Layers, Run, push, united};
use crate::seal::Nonces;
use crate::snapshot::View;
use crate::writer::{Shared, Wake};
use crate::{Committed, StoreError, WriteSet};
use std::sync::Arc;

/// Most plans in one commit.
const GROUP_PLANS_MAX: usize = 1024;
/// No plan is added to a group that already writes this much.
const GROUP_BYTES_MAX: usize = 8 << 20;

pub(crate) type Outcome = Result<Committed, StoreError>;

/// What a plan came to.
pub(crate) enum Planned {
    Write(WriteSet),
    Refused,
    Panicked,
}

/// A waiting plan without its types.
pub(crate) trait Job: Send {
    /// Runs the plan, once.
    fn plan(&mut self, view: &View<'_>) -> Planned;
    /// Gives the outcome to whoever waits; a refusal is answered as such when `outcome` is good.
    fn answer(self: Box<Self>, outcome: Outcome);
}

/// A plan that has run, and its outcome if the group becomes durable.
struct Member {
    job: Box<dyn Job>,
    outcome: Outcome,
}

/// A group on its way: the layers with its own runs on top, which nobody else sees yet.
struct Draft {
    reading: Reading,
    layers: Layers,
    /// How many of the runs are published ones.
    published: usize,
    ends: Ends,
}

/// What the writer thread owns.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    engine: Arc<Engine>,
    nonces: Nonces,
    /// The ends behind the last group, once they were read.
    ends: Option<Ends>,
    durable: Durable,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, engine: Arc<Engine>, random: fn(&mut [u8])) -> Self {
        Self {
            shared,
            durable: Durable::new(Arc::clone(&engine), random),
            engine,
            nonces: Nonces::new(random),
            ends: None,
        }
    }

    /// Every group is answered so, and nothing is written.
    pub(crate) fn refuse(&mut self, why: StoreError) {
        self.durable.refuse(why);
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Groups until the store closes.
    pub(crate) fn run(&mut self) {
        self.durable.start();
        let (mut plans, mut ticks) = (1, 0);
        loop {
            match self.shared.wait(self.durable.has_work()) {
                Wake::Job(job) => {
                    if plans > 1 {
                        self.shared.gather(plans - 1);
                    }
                    plans = self.run_group(job);
                    ticks = 0;
                }
                Wake::Fold(order) => {
                    let done = self.durable.settle(&order);
                    // Whoever asked may have gone.
                    order.answer.send(done).unwrap_or_default();
                }
                Wake::Quiet => {
                    ticks += 1;
                    self.durable.rest(ticks);
                }
                Wake::Closed => break,
            }
        }
        self.durable.close();
    }

    /// Commits the first plan and all that wait behind it, and answers them; how many they were.
    pub(crate) fn run_group(&mut self, first: Box<dyn Job>) -> usize {
        let mut members = Vec::new();
        let mut next = Some(first);
        if let Err(error) = self.commit_group(&mut next, &mut members) {
            for job in next
                .into_iter()
                .chain(members.into_iter().map(|member| member.job))
            {
                job.answer(Err(error.clone()));
            }
            return 1;
        }
        let plans = members.len();
        let wrote = |outcome: &Outcome| outcome.as_ref().ok()?.seqs.last().copied();
        let last = members
            .iter()
            .filter_map(|member| wrote(&member.outcome))
            .max();
        for member in members {
            member.job.answer(member.outcome);
        }
        if let Some(last) = last {
            self.shared.tell_listeners(last);
        }
        plans
    }

    /// Runs the plans, makes what they write durable, and publishes it.
    fn commit_group(
        &mut self,
        next: &mut Option<Box<dyn Job>>,
        members: &mut Vec<Member>,
    ) -> Result<(), StoreError> {
        self.durable.ready()?;
        let (run, ends) = self.gather_writes(next, members)?;
        if !run.is_empty() {
            self.durable.commit(run, self.nonces.next())?;
        }
        self.ends = Some(ends);
        Ok(())
    }

    /// Plans, first the one that woke the writer, until none waits or the group is large.
    fn gather_writes(
        &mut self,
        next: &mut Option<Box<dyn Job>>,
        members: &mut Vec<Member>,
    ) -> Result<(Run, Ends), StoreError> {
        let reading = self.engine.read()?;
        let layers = (*reading.layers).clone();
        let ends = match self.ends {
            Some(ends) => ends,
            None => Ends::read(&reading.view(&layers))?,
        };
        let mut draft = Draft {
            published: layers.runs.len(),
            reading,
            layers,
            ends,
        };
        let mut size_bytes = 0;
        while members.len() < GROUP_PLANS_MAX && size_bytes < GROUP_BYTES_MAX {
            let Some(mut job) = next.take().or_else(|| self.shared.next_job()) else {
                break;
            };
            let planned = job.plan(&draft.view());
            // In the list before anything can fail, so that it is answered.
            members.push(Member {
                job,
                outcome: Ok(Committed { seqs: Vec::new() }),
            });
            let outcome = match planned {
                Planned::Write(set) => {
                    size_bytes += size_of(&set);
                    self.add(&mut draft, &set)?
                }
                Planned::Refused => continue,
                Planned::Panicked => Err(StoreError::Invalid("the plan panicked".to_owned())),
            };
            if let Some(member) = members.last_mut() {
                member.outcome = outcome;
            }
        }
        let own = draft.layers.runs.get(draft.published..);
        Ok((united(own.unwrap_or_default()), draft.ends))
    }

    /// Checks a set and adds its writes. The inner error is the set's own, the outer one the group's.
    fn add(&mut self, draft: &mut Draft, set: &WriteSet) -> Result<Outcome, StoreError> {
        let steps = match apply::check(&draft.view(), &self.engine, &draft.ends, set) {
            Ok(steps) => steps,
            Err(error) => return Ok(Err(error)),
        };
        let applier = Applier::new(&self.engine, &mut self.nonces);
        let (committed, run) = applier.apply(&mut draft.ends, set, &steps)?;
        if !run.is_empty() {
            push(&mut draft.layers.runs, draft.published, run);
        }
        Ok(Ok(committed))
    }
}

impl Draft {
    fn view(&self) -> View<'_> {
        self.reading.view(&self.layers)
    }
}

/// About how much a set writes.
fn size_of(set: &WriteSet) -> usize {
    let versions = set.versions.iter().map(|new| {
        let terms = new.terms_added.len() + new.terms_removed.len();
        new.body.len() + new.values.len() + 64 * terms + 512
    });
    let indexes = set.indexes.iter().map(|new| {
        let terms = new.terms_added.len() + new.terms_removed.len();
        new.values.len() + 64 * terms + 64
    });
    let rows = set
        .rows
        .iter()
        .map(|row| row.key.len() + row.value.as_ref().map_or(0, Vec::len));
    let audit = set.audit.iter().map(|body| body.len() + 128);
    let purged = set.purges.iter().map(|purge| {
        let count = purge.to.0.saturating_sub(purge.from.0).saturating_add(1);
        usize::try_from(count)
            .unwrap_or(usize::MAX)
            .saturating_mul(64)
    });
    let purged = purged.fold(0, usize::saturating_add);
    purged
        + versions.sum::<usize>()
        + indexes.sum::<usize>()
        + rows.sum::<usize>()
        + audit.sum::<usize>()
}
