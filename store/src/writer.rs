//! The door to the one writer thread, which wakes for a submitted plan, for folding and for closing.
//! Plans wait in a bounded queue; `group` takes all that wait, syncs the log once, then answers them.

use crate::env::{Changed, Engine, Log, Moment};
use crate::group::{Job, Outcome, Planned, Writer};
use crate::keyring;
use crate::{CommitError, Committed, Rid, Seq, Snapshot, StoreError, View, WriteSet};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use zeroize::Zeroize;

/// The key-encryption key that opens a store; zeroized on drop.
pub struct Keys {
    pub key_encryption_key: [u8; 32],
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.key_encryption_key.zeroize();
    }
}

/// How to open a store.
pub struct OpenOptions {
    /// The folder of the data file; created (and synced) when absent.
    pub folder: PathBuf,
    /// Address space reserved at first, grown in steps without a restart.
    pub map_size_bytes: usize,
    /// Most plans that may wait; one more is answered `Busy`.
    pub queue_length_max: usize,
    /// Fills a buffer with random bytes (nonces, keys).
    pub random: fn(&mut [u8]),
}

/// A store, cheap to clone; the last clone dropped closes it.
#[derive(Clone)]
pub struct Store {
    running: Arc<Running>,
}

/// A group that gathers waits in steps of this, as long as each brings somebody.
const GATHER_STEP: Duration = Duration::from_micros(400);
const GATHER_STEPS: usize = 8;
/// How often the writer looks after the log while nobody writes.
const TICK: Duration = Duration::from_millis(250);

type Listener = Arc<dyn Fn(Seq) + Send + Sync>;

/// What the writer thread and the clones of a store share.
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    queue_length_max: usize,
    listeners: Mutex<Vec<Listener>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Box<dyn Job>>,
    /// Those who wait for a fold, each on a thread of its own.
    folds: Vec<FoldOrder>,
    closing: bool,
}

/// What is done once everything is folded, and who waits for it.
pub(crate) struct FoldOrder {
    /// Rows of `meta` to write then, in one transaction.
    pub(crate) rows: Vec<(&'static str, Vec<u8>)>,
    /// Whether the map is to have room for what others write while a long read holds it.
    pub(crate) with_room: bool,
    pub(crate) answer: mpsc::SyncSender<Result<(), StoreError>>,
}

/// Why the writer thread wakes.
pub(crate) enum Wake {
    Job(Box<dyn Job>),
    Fold(FoldOrder),
    /// Nothing came for one tick.
    Quiet,
    /// The store closes and nothing waits.
    Closed,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(queue_length_max: usize) -> Self {
        Self {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            queue_length_max: queue_length_max.max(1),
            listeners: Mutex::default(),
        }
    }

    /// Waits for something to do; with `ticking` for one tick at most.
    pub(crate) fn wait(&self, ticking: bool) -> Wake {
        let mut queue = locked(&self.queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Wake::Job(job);
            }
            if let Some(order) = queue.folds.pop() {
                return Wake::Fold(order);
            }
            if queue.closing {
                return Wake::Closed;
            }
            if ticking {
                let waited = self.arrived.wait_timeout(queue, TICK);
                let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                queue = after;
                let idle = queue.jobs.is_empty() && queue.folds.is_empty() && !queue.closing;
                if timeout.timed_out() && idle {
                    return Wake::Quiet;
                }
            } else {
                let waited = self.arrived.wait(queue);
                queue = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Lets a group gather. The clients of the group before, `expected` of them, were answered a
    /// moment ago and most come back at once; without this the first back would pay for a sync of
    /// its own while all others wait for it. Ends as soon as nobody new comes.
    pub(crate) fn gather(&self, expected: usize) {
        let mut queue = locked(&self.queue);
        for _ in 0..GATHER_STEPS {
            let waiting = queue.jobs.len();
            if waiting >= expected || queue.closing {
                return;
            }
            let gathered = self
                .arrived
                .wait_timeout_while(queue, GATHER_STEP, |queue| {
                    queue.jobs.len() < expected && !queue.closing
                });
            (queue, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            if queue.jobs.len() == waiting {
                return;
            }
        }
    }

    /// The next plan if one waits.
    pub(crate) fn next_job(&self) -> Option<Box<dyn Job>> {
        locked(&self.queue).jobs.pop_front()
    }

    pub(crate) fn tell_listeners(&self, last: Seq) {
        let listeners = locked(&self.listeners).clone();
        for listener in listeners {
            // A listener that panics must not take the writer along; the panic was reported.
            catch_unwind(AssertUnwindSafe(|| listener(last))).unwrap_or_default();
        }
    }

    /// No more plans; those that wait are still answered.
    fn start_closing(&self) {
        locked(&self.queue).closing = true;
        self.arrived.notify_all();
    }

    /// Drops what waits, unanswered, after the writer thread is gone.
    fn abandon(&self) {
        let mut queue = locked(&self.queue);
        queue.closing = true;
        let jobs = std::mem::take(&mut queue.jobs);
        queue.folds.clear();
        drop(queue);
        for job in jobs {
            job.answer(Err(StoreError::Closed));
        }
    }
}

/// The open store: its engine until it closes, and the writer thread.
struct Running {
    shared: Arc<Shared>,
    engine: Mutex<Option<Arc<Engine>>>,
    changed: Arc<Changed>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: thread::ThreadId,
}

impl Running {
    fn engine(&self) -> Result<Arc<Engine>, StoreError> {
        locked(&self.engine).clone().ok_or(StoreError::Closed)
    }

    fn on_writer_thread(&self) -> bool {
        thread::current().id() == self.thread_id
    }

    fn shut_down(&self) {
        self.shared.start_closing();
        let thread = locked(&self.thread).take();
        // The last clone may be dropped by an answer on the writer thread, which then ends by itself.
        if let Some(thread) = thread.filter(|_| !self.on_writer_thread()) {
            thread.join().unwrap_or_default();
        }
        locked(&self.engine).take();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Store {
    /// Opens or creates the store. Refuses (changing nothing) what it cannot read.
    pub fn open(options: OpenOptions, keys: Keys) -> Result<Store, StoreError> {
        let engine = Engine::open(&options, &keys, Log::Whole)?;
        Self::start(&options, engine, None)
    }

    /// Opens the store for reading: every write is answered `ReadOnly` with this reason, and
    /// nothing is folded or written.
    pub fn open_read_only(
        options: OpenOptions,
        keys: Keys,
        why: String,
    ) -> Result<Store, StoreError> {
        let engine = Engine::open(&options, &keys, Log::Whole)?;
        Self::start(&options, engine, Some(StoreError::ReadOnly(why)))
    }

    /// Opens a store whose log is damaged, giving up the groups that are gone and those behind them;
    /// the damaged files are kept as `log.0.damaged` and `log.1.damaged`. Answers how many groups
    /// were lost, each of one or more acknowledged writes. Afterwards the store opens as any other.
    pub fn repair_log(options: OpenOptions, keys: Keys) -> Result<u64, StoreError> {
        let engine = Engine::open(&options, &keys, Log::Salvaged)?;
        let lost = engine.lost_groups;
        let store = Self::start(&options, engine, None)?;
        // The first commit folds what was found and begins a new log.
        let begun = store.commit(|_| Ok::<_, Infallible>((WriteSet::default(), ())));
        store.close();
        match begun {
            Ok(_) => Ok(lost),
            Err(CommitError::Store(error)) => Err(error),
            Err(CommitError::Refused(never)) => match never {},
        }
    }

    fn start(
        options: &OpenOptions,
        engine: Engine,
        refusal: Option<StoreError>,
    ) -> Result<Store, StoreError> {
        let engine = Arc::new(engine);
        let shared = Arc::new(Shared::new(options.queue_length_max));
        let mut writer = Writer::new(Arc::clone(&shared), Arc::clone(&engine), options.random);
        if let Some(refusal) = refusal {
            writer.refuse(refusal);
        }
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                // A panic here is a defect of the store: whoever waits still gets an answer.
                catch_unwind(AssertUnwindSafe(|| writer.run())).unwrap_or_default();
                writer.shared().abandon();
            })
            .map_err(|e| StoreError::file("starting the writer thread", &e))?;
        let thread_id = thread.thread().id();
        let changed = Arc::clone(&engine.changed);
        let (engine, thread) = (Mutex::new(Some(engine)), Mutex::new(Some(thread)));
        Ok(Store {
            running: Arc::new(Running {
                shared,
                engine,
                changed,
                thread,
                thread_id,
            }),
        })
    }

    /// A consistent read view; hold it for one request, never across requests.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Snapshot::begin(&self.running.engine()?)
    }

    /// True while nothing was written to the head of a resource since a snapshot's moment. False
    /// may come too early, for resources share places.
    pub fn is_unchanged(&self, rid: Rid, since: Moment) -> bool {
        self.running.changed.is_unchanged(rid, since)
    }

    /// Queues a plan. `done` runs on the writer thread once the outcome is durable (or refused).
    /// The plan must be pure but for the view, and quick: everyone waits for it.
    pub fn submit<T, E>(
        &self,
        plan: impl FnOnce(&View<'_>) -> Result<(WriteSet, T), E> + Send + 'static,
        done: impl FnOnce(Result<(Committed, T), CommitError<E>>) + Send + 'static,
    ) -> Result<(), StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let job = Waiting {
            plan: Some(plan),
            done,
            kept: None,
        };
        let mut queue = locked(&self.running.shared.queue);
        if queue.closing {
            return Err(StoreError::Closed);
        }
        if queue.jobs.len() >= self.running.shared.queue_length_max {
            return Err(StoreError::Busy);
        }
        queue.jobs.push_back(Box::new(job));
        drop(queue);
        self.running.shared.arrived.notify_one();
        Ok(())
    }

    /// `submit` and wait, for callers that are not async. Never call it while holding a
    /// [`Snapshot`], nor from a plan or an answer.
    pub fn commit<T, E>(
        &self,
        plan: impl FnOnce(&View<'_>) -> Result<(WriteSet, T), E> + Send + 'static,
    ) -> Result<(Committed, T), CommitError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        if self.running.on_writer_thread() {
            let why = "commit was called on the writer thread, which would wait for itself";
            return Err(CommitError::Store(StoreError::Invalid(why.to_owned())));
        }
        let (answer, answered) = mpsc::sync_channel(1);
        self.submit(plan, move |outcome| {
            // The caller waits below, so there is room and a receiver.
            answer.send(outcome).unwrap_or_default();
        })?;
        answered
            .recv()
            .unwrap_or(Err(CommitError::Store(StoreError::Closed)))
    }

    /// Folds the log into the data file now and waits for it, so that the file holds everything
    /// committed so far. The store does so by itself when there is enough to fold or time for it.
    /// Never call it while holding a [`Snapshot`], nor from a plan or an answer.
    pub fn fold(&self) -> Result<(), StoreError> {
        self.order_fold(Vec::new(), false)
    }

    /// Wraps the keys of the store under another key-encryption key, in one small transaction: after a
    /// crash the former or the new one opens it. Reading and writing go on meanwhile.
    pub fn rewrap(&self, keys: &Keys, nonce: [u8; 12]) -> Result<(), StoreError> {
        let key = &keys.key_encryption_key;
        let wrapped = self.engine()?.secrets.wrap(key, nonce)?;
        let check = keyring::key_check(key).to_vec();
        let rows = vec![
            (keyring::WRAPPED_KEYS, wrapped),
            (keyring::KEY_CHECK, check),
        ];
        self.order_fold(rows, false)
    }

    pub(crate) fn order_fold(
        &self,
        rows: Vec<(&'static str, Vec<u8>)>,
        with_room: bool,
    ) -> Result<(), StoreError> {
        if self.running.on_writer_thread() {
            let why = "fold was called on the writer thread, which would wait for itself";
            return Err(StoreError::Invalid(why.to_owned()));
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let mut queue = locked(&self.running.shared.queue);
        if queue.closing {
            return Err(StoreError::Closed);
        }
        queue.folds.push(FoldOrder {
            rows,
            with_room,
            answer,
        });
        drop(queue);
        self.running.shared.arrived.notify_one();
        answered.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Calls `listener` on the writer thread after every commit that wrote versions, with the last seq.
    pub fn on_commit(&self, listener: impl Fn(Seq) + Send + Sync + 'static) {
        locked(&self.running.shared.listeners).push(Arc::new(listener));
    }

    /// Finishes the queue, stops the writer and closes the environment (once the last open
    /// snapshot is dropped). Other clones are answered `Closed` from then on.
    pub fn close(self) {
        self.running.shut_down();
    }

    pub(crate) fn engine(&self) -> Result<Arc<Engine>, StoreError> {
        self.running.engine()
    }
}

/// A plan in the queue, and what it answered until the group is durable.
struct Waiting<P, D, T, E> {
    plan: Option<P>,
    done: D,
    kept: Option<Result<T, E>>,
}

impl<P, D, T, E> Job for Waiting<P, D, T, E>
where
    P: FnOnce(&View<'_>) -> Result<(WriteSet, T), E> + Send,
    D: FnOnce(Result<(Committed, T), CommitError<E>>) + Send,
    T: Send,
    E: Send,
{
    fn plan(&mut self, view: &View<'_>) -> Planned {
        let Some(plan) = self.plan.take() else {
            return Planned::Panicked;
        };
        match catch_unwind(AssertUnwindSafe(|| plan(view))) {
            Ok(Ok((set, answer))) => {
                self.kept = Some(Ok(answer));
                Planned::Write(set)
            }
            Ok(Err(refusal)) => {
                self.kept = Some(Err(refusal));
                Planned::Refused
            }
            Err(_) => Planned::Panicked,
        }
    }

    fn answer(self: Box<Self>, outcome: Outcome) {
        let Self { done, kept, .. } = *self;
        let answer = match (outcome, kept) {
            (Err(error), _) => Err(CommitError::Store(error)),
            (Ok(committed), Some(Ok(answer))) => Ok((committed, answer)),
            (Ok(_), Some(Err(refusal))) => Err(CommitError::Refused(refusal)),
            (Ok(_), None) => Err(CommitError::Store(StoreError::Closed)),
        };
        // An answer that panics must not take the writer along; the panic was reported.
        catch_unwind(AssertUnwindSafe(|| done(answer))).unwrap_or_default();
    }
}
