//! What makes a group durable: the log, and the folding of it into the data file. Folding has a
//! thread of its own while it lasts, so the writer goes on with the other half of the log; only when
//! that is full too does a group wait.

use crate::env::Engine;
#[cfg(test)]
use crate::fold::FailurePoint;
use crate::fold::{FREE_BYTES_MIN, fold, fold_whole, mark_log, put_meta};
use crate::log::{self, Broken, Log, Mark};
use crate::overlay::{Layers, Run, push};
use crate::seal::NONCE_BYTES;
use crate::writer::FoldOrder;
use crate::{StoreError, datafile};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// A group of more bytes goes straight into the data file: large bodies stay out of memory.
const LOGGED_BYTES_MAX: usize = 4 << 20;
/// After a quarter of a second without a group, so many are worth a fold...
const GROUPS_WORTH_FOLDING: usize = 256;
/// ...and after ten seconds any.
const TICKS_UNTIL_FOLDING: u32 = 40;
/// A fold that failed is tried again once a second while nobody writes.
pub(super) const TICKS_BETWEEN_TRIES: u32 = 4;

/// The writer's hold on the disk.
pub(crate) struct Durable {
    engine: Arc<Engine>,
    random: fn(&mut [u8]),
    /// Open, and marked in use in the data file, once the first group needs it.
    log: Option<Log>,
    /// The groups of the active half, oldest first, and how many they are.
    active: Vec<Arc<Run>>,
    groups: usize,
    /// No group follows the last one yet, so damage to it would look like a torn end.
    is_open_ended: bool,
    /// Number of the last durable group.
    last: u64,
    /// The fold at work on the frozen layers.
    folding: Option<JoinHandle<Result<(), StoreError>>>,
    /// Why there are no more writes, after a failed sync.
    poisoned: Option<StoreError>,
}

impl Durable {
    pub(crate) fn new(engine: Arc<Engine>, random: fn(&mut [u8])) -> Self {
        Self {
            last: engine.layers().last,
            engine,
            random,
            log: None,
            active: Vec::new(),
            groups: 0,
            is_open_ended: false,
            folding: None,
            poisoned: None,
        }
    }

    /// Every group is answered so from now on, and nothing is written.
    pub(crate) fn refuse(&mut self, why: StoreError) {
        self.poisoned = Some(why);
    }

    /// Begins to fold what a crash left in the log.
    pub(crate) fn start(&mut self) {
        if self.is_frozen() && self.poisoned.is_none() {
            self.begin_fold();
        }
    }

    /// Is there something that [`Self::rest`] should see to?
    pub(crate) fn has_work(&self) -> bool {
        self.poisoned.is_none() && (!self.active.is_empty() || self.is_frozen())
    }

    /// Whether writing makes sense at all; afterwards the log is open.
    pub(crate) fn ready(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        #[cfg(test)]
        if self.engine.fails(FailurePoint::ReserveGone) {
            return Err(StoreError::Full);
        }
        if datafile::free_bytes(&self.engine.folder)? < FREE_BYTES_MIN {
            return Err(StoreError::Full);
        }
        if self.log.is_none() {
            // Both files may hold what a crash left: it goes into the data file first.
            self.finish_fold()?;
            self.open_log()?;
        }
        Ok(())
    }

    fn open_log(&mut self) -> Result<(), StoreError> {
        let folder = &self.engine.folder;
        let log = match self.engine.log {
            Some(id) => Log::open(folder, id)?,
            None => Log::create(folder, &self.engine.seal, self.random)?,
        };
        self.mark(log.id, true)?;
        self.log = Some(log);
        Ok(())
    }

    fn mark(&mut self, id: log::LogId, in_use: bool) -> Result<(), StoreError> {
        let marked = mark_log(&self.engine, Mark { id, in_use });
        self.noted(marked)
    }

    /// Makes the next group durable, then visible; after an error it is neither.
    pub(crate) fn commit(&mut self, run: Run, nonce: [u8; NONCE_BYTES]) -> Result<(), StoreError> {
        let writes = log::encode(&run);
        let number = self.last + 1;
        if writes.len() > LOGGED_BYTES_MAX {
            return self.commit_whole(&run, number);
        }
        let Some(log) = &self.log else {
            return Err(StoreError::Closed);
        };
        let blocks = log::seal(&self.engine.seal, (&log.id, number), nonce, &writes)?;
        if !log.has_room(blocks.len()) {
            self.turn()?;
        }
        self.append(&blocks)?;
        self.engine.changed.note(&run, number);
        push(&mut self.active, 0, run);
        self.appended();
        self.is_open_ended = true;
        Ok(())
    }

    fn appended(&mut self) {
        self.last += 1;
        self.groups += 1;
        let (active, number) = (&self.active, self.last);
        self.engine
            .publish(|layers| layers.with_active(active, number));
    }

    /// Puts an empty group behind the last one, whose damage is then told from a torn end. Writers
    /// do not wait for it: it is done once nobody writes.
    fn end_group(&mut self) -> Result<(), StoreError> {
        let Some(log) = self.log.as_ref().filter(|_| self.is_open_ended) else {
            return Ok(());
        };
        let mut nonce = [0; NONCE_BYTES];
        (self.random)(&mut nonce);
        let blocks = log::seal(&self.engine.seal, (&log.id, self.last + 1), nonce, &[])?;
        if log.has_room(blocks.len()) {
            self.append(&blocks)?;
            self.appended();
        }
        self.is_open_ended = false;
        Ok(())
    }

    fn append(&mut self, blocks: &[u8]) -> Result<(), StoreError> {
        let Some(log) = &mut self.log else {
            return Err(StoreError::Closed);
        };
        #[cfg(test)]
        if self.engine.fails(FailurePoint::LogFull) {
            log.tear(blocks);
            return Err(StoreError::Full);
        }
        let appended = log.append(blocks);
        #[cfg(test)]
        let appended = match self.engine.fails(FailurePoint::LogSync) {
            true => Err(Broken::Sync(std::io::ErrorKind::Other.into())),
            false => appended,
        };
        let failed = match appended {
            Ok(()) => return Ok(()),
            Err(Broken::Write(error)) if log::is_full(&error) => return Err(StoreError::Full),
            Err(Broken::Write(error) | Broken::Sync(error)) => error,
        };
        self.noted(Err(StoreError::Poisoned(failed.to_string())))
    }

    /// A group too large for the log: everything before it is folded, then it is one transaction.
    fn commit_whole(&mut self, run: &Run, number: u64) -> Result<(), StoreError> {
        self.fold_all()?;
        self.engine.changed.note(run, number);
        let written = fold_whole(&self.engine, run, number);
        if written.is_err() {
            self.engine.may_reach(self.last);
        }
        self.noted(written)?;
        self.last = number;
        self.engine.publish(|_| Layers::none(number));
        Ok(())
    }

    /// Freezes the active half, begins to fold it, and goes on with the other, which must be folded.
    fn turn(&mut self) -> Result<(), StoreError> {
        self.finish_fold()?;
        if self.active.is_empty() {
            return Ok(());
        }
        self.engine.publish(Layers::freeze);
        self.active.clear();
        self.groups = 0;
        self.is_open_ended = false;
        if let Some(log) = &mut self.log {
            log.turn();
        }
        self.begin_fold();
        Ok(())
    }

    /// Folds everything and waits for it.
    pub(crate) fn fold_all(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        self.turn()?;
        self.finish_fold()
    }

    /// Folds everything, then does what else was ordered.
    pub(crate) fn settle(&mut self, order: &FoldOrder) -> Result<(), StoreError> {
        self.fold_all()?;
        if !order.rows.is_empty() {
            let written = put_meta(&self.engine, &order.rows);
            self.noted(written)?;
        }
        if order.with_room {
            self.engine.make_room()?;
        }
        Ok(())
    }

    /// Nobody wrote for so many ticks: folds when that is worth it.
    pub(crate) fn rest(&mut self, ticks: u32) {
        if self
            .folding
            .as_ref()
            .is_some_and(|fold| !fold.is_finished())
        {
            return;
        }
        let failed = self.join_fold().is_err();
        let worth = self.groups >= GROUPS_WORTH_FOLDING || ticks >= TICKS_UNTIL_FOLDING;
        if self.is_frozen() {
            if !failed && ticks.is_multiple_of(TICKS_BETWEEN_TRIES) {
                self.begin_fold();
            }
        } else if worth && self.poisoned.is_none() {
            // Nothing is frozen, so there is nothing to wait for and nothing to fail.
            self.turn().unwrap_or_default();
        }
        if self.poisoned.is_none() {
            // A failure is remembered, or will be met by the next group.
            self.end_group().unwrap_or_default();
        }
    }

    /// Folds what is left and says so in the data file, which then stands for itself.
    pub(crate) fn close(&mut self) {
        let folded = self.fold_all();
        if let (Ok(()), Some(log)) = (folded, self.log.take()) {
            // Without this mark the log is looked through at the next start, no more.
            self.mark(log.id, false).unwrap_or_default();
        }
        // A fold must not outlive the store.
        self.join_fold().unwrap_or_default();
    }

    fn is_frozen(&self) -> bool {
        !self.engine.layers().frozen_runs().is_empty()
    }

    fn begin_fold(&mut self) {
        let engine = Arc::clone(&self.engine);
        let through = self.last;
        let spawned = thread::Builder::new()
            .name("store-fold".to_owned())
            .spawn(move || fold_frozen(&engine, through));
        // Without a thread the next group that needs room folds on its own.
        self.folding = spawned.ok();
    }

    /// The outcome of the fold that was begun; nothing when there was none.
    fn join_fold(&mut self) -> Result<(), StoreError> {
        let Some(folding) = self.folding.take() else {
            return Ok(());
        };
        let folded = folding.join().unwrap_or_else(|_panicked| {
            Err(StoreError::Poisoned("folding the log panicked".to_owned()))
        });
        self.noted(folded)
    }

    /// Waits until nothing is frozen. A fold that failed is tried once more, for there may be room by now.
    fn finish_fold(&mut self) -> Result<(), StoreError> {
        let begun = self.join_fold();
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        if begun.is_err() || self.is_frozen() {
            let folded = fold_frozen(&self.engine, self.frozen_through());
            return self.noted(folded);
        }
        Ok(())
    }

    /// The last group of the frozen layers: all that are not active.
    fn frozen_through(&self) -> u64 {
        self.last
            .saturating_sub(u64::try_from(self.groups).unwrap_or(0))
    }

    /// Remembers a failure after which nothing may be written.
    fn noted<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ StoreError::Poisoned(_)) = &outcome {
            self.poisoned = Some(error.clone());
        }
        outcome
    }
}

fn fold_frozen(engine: &Engine, through: u64) -> Result<(), StoreError> {
    let layers = engine.layers();
    fold(engine, layers.frozen_runs(), through)?;
    engine.publish(Layers::without_frozen);
    Ok(())
}
