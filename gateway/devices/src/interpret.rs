//! Intake to resources: the oldest waiting message first, each settled or held by one commit. A
//! message that breaks something is held by itself; the ones behind it go on.

use super::attribute::{Attribution, attribute, stored_tree};
use super::intake::digest;
use super::stored::{self, Intake, IntakeSeq, State};
use super::{DeviceSettings, held};
use fhir_mapping::model::{Issue, IssueCode};
use gateway_ground::clock::Stopwatch;
use gateway_ground::failure::{Category, Failure};
use gateway_ground::lasting;
use gateway_repository::{Actor, Repository, Transaction, Write};
use std::sync::Arc;
use std::time::Duration;
use store::{Origin, OriginKind, ResourceKey, RowWrite, Seq, StoreError};
use tokio::sync::{Notify, watch};

/// Longest sleep when nothing wakes us.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// Pause after trouble of the store.
const FAULT_PAUSE: Duration = Duration::from_secs(2);
/// How often a message is attributed anew because others wrote its resources meanwhile.
const ATTEMPTS_MAX: usize = 5;
/// Held messages tried again in one go.
const RETRIED_AT_ONCE: usize = 64;
/// Pause between two sweeps over held messages: patients may come by the thousand.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);
/// Changes looked through for patients in one go.
const CHANGES_AT_ONCE: usize = 256;

/// Interprets stored messages until `stop` turns true.
pub async fn interpret_loop(
    devices: DeviceSettings,
    repository: Repository,
    stop: watch::Receiver<bool>,
) {
    let listener: Arc<Notify> = Arc::clone(&devices.woken);
    repository
        .store()
        .on_commit(move |_seq| listener.notify_one());
    let begin = || {
        let interpreter = Interpreter {
            devices: devices.clone(),
            repository: repository.clone(),
            seen: None,
            sweep_is_due: false,
            last_sweep: None,
        };
        interpreter.serve(stop.clone())
    };
    lasting::keep("interpreting", stop.clone(), begin).await;
}

fn log_failure(failure: &Failure) {
    let numbers: Vec<&str> = failure.issues.iter().map(|i| i.number).collect();
    tracing::warn!(?numbers, "interpreting pauses: the store has trouble");
}

struct Interpreter {
    devices: DeviceSettings,
    repository: Repository,
    /// Changes up to here were looked through for patients; `None` before the first round.
    seen: Option<Seq>,
    /// A patient came: what is held for one is to be tried again.
    sweep_is_due: bool,
    last_sweep: Option<Stopwatch>,
}

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Done,
    /// Others wrote what this one compares with.
    Raced,
}

impl Interpreter {
    /// Round after round; between two it sleeps until messages or patients may have come.
    async fn serve(mut self, mut stop: watch::Receiver<bool>) {
        let woken = Arc::clone(&self.devices.woken);
        loop {
            let (pause, may_wake) = match self.round(&stop).await {
                Ok(pause) => (pause, true),
                Err(failure) => {
                    log_failure(&failure);
                    (FAULT_PAUSE, false)
                }
            };
            tokio::select! {
                _stopped = stop.wait_for(|stop| *stop) => return,
                () = woken.notified(), if may_wake => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// All that waits, then what is held for a patient if patients came; gives the longest pause
    /// until the next round. `Err` when a message met trouble of the store; the others were served
    /// all the same.
    async fn round(&mut self, stop: &watch::Receiver<bool>) -> Result<Duration, Failure> {
        let mut after = None;
        let mut trouble = None;
        while let Some(seq) = self.next_waiting(after)? {
            if *stop.borrow() {
                return Ok(SLEEP_MAX);
            }
            if let Err(failure) = self.interpret(seq).await {
                trouble = Some(failure);
            }
            after = Some(seq);
        }
        self.sweep_is_due |= self.patients_came()?;
        let pause = if self.sweep_is_due {
            self.sweep(stop).await?
        } else {
            SLEEP_MAX
        };
        trouble.map_or(Ok(pause), Err)
    }

    /// Tries held messages again, unless that was done a moment ago.
    async fn sweep(&mut self, stop: &watch::Receiver<bool>) -> Result<Duration, Failure> {
        let since = self.last_sweep.map_or(SWEEP_PAUSE, Stopwatch::elapsed);
        if since < SWEEP_PAUSE {
            return Ok(SWEEP_PAUSE.saturating_sub(since));
        }
        self.retry_held(stop).await?;
        self.sweep_is_due = false;
        self.last_sweep = Some(Stopwatch::start());
        Ok(SLEEP_MAX)
    }

    fn next_waiting(&self, after: Option<IntakeSeq>) -> Result<Option<IntakeSeq>, StoreError> {
        let snapshot = self.repository.store().snapshot()?;
        stored::oldest_waiting(&snapshot.view(), after)
    }

    /// Did a patient change since the last look? Always at the first one; never while nothing is
    /// held for a patient.
    fn patients_came(&mut self) -> Result<bool, StoreError> {
        let snapshot = self.repository.store().snapshot()?;
        let view = snapshot.view();
        let last = view.last_seq()?;
        let is_any_held = !stored::held_for_patient(&view, None, 1)?.is_empty();
        let Some(mut seen) = self.seen.filter(|_| is_any_held) else {
            let is_first = self.seen.is_none();
            self.seen = Some(last);
            return Ok(is_first && is_any_held);
        };
        let mut came = false;
        while seen < last && !came {
            let changes = view.changes(seen, CHANGES_AT_ONCE)?;
            let Some(newest) = changes.last() else {
                break;
            };
            seen = newest.seq;
            for change in changes.iter().filter(|c| c.became_head && !c.deleted) {
                let stored = view.version(change.rid, change.version)?;
                came |= stored.is_some_and(|s| s.key.resource_type == "Patient");
            }
        }
        // Once one came, all held ones are tried: what follows up to `last` is covered too.
        self.seen = Some(last);
        Ok(came)
    }

    async fn retry_held(&self, stop: &watch::Receiver<bool>) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let seqs = {
                let snapshot = self.repository.store().snapshot()?;
                stored::held_for_patient(&snapshot.view(), after, RETRIED_AT_ONCE)?
            };
            for seq in &seqs {
                if *stop.borrow() {
                    return Ok(());
                }
                self.interpret(*seq).await?;
            }
            match seqs.last() {
                Some(last) => after = Some(*last),
                None => return Ok(()),
            }
        }
    }

    /// Settles or holds one message. `Err` is trouble of the store: the message stays as it is.
    async fn interpret(&self, seq: IntakeSeq) -> Result<(), Failure> {
        let read = {
            let snapshot = self.repository.store().snapshot()?;
            stored::read(&snapshot.view(), seq)?
        };
        let Some(intake) = read else {
            tracing::error!(
                seq,
                "E-DEV-6: an intake row is gone or damaged; restore a backup"
            );
            return self.forget(seq).await;
        };
        for _ in 0..ATTEMPTS_MAX {
            let attribution = self.attribute(&intake).await?;
            if self.commit(seq, &intake, attribution).await? == Progress::Done {
                return Ok(());
            }
        }
        let text = "its resources kept changing while it was interpreted";
        let held = hold(Issue::error("E-DEV-7", IssueCode::Conflict, "", text));
        self.commit(seq, &intake, held).await.map(|_done| ())
    }

    /// On a thread of its own: a large message takes its time, and a panic stays there.
    async fn attribute(&self, intake: &Intake) -> Result<Attribution, Failure> {
        let Some(connection) = self.devices.connection_named(&intake.head.connection) else {
            let text = "no device connection is configured";
            return Ok(hold(Issue::error("E-DEV-8", IssueCode::NotFound, "", text)));
        };
        let (repository, connection) = (self.repository.clone(), connection.clone());
        let message = intake.message.clone();
        let run = move || attribute(&repository, &connection, &message);
        match tokio::task::spawn_blocking(run).await {
            Ok(attributed) => attributed,
            Err(_panicked) => {
                let text = "interpreting this message broke an invariant; please report this";
                Ok(hold(Issue::error(
                    "E-DEV-2",
                    IssueCode::Exception,
                    "",
                    text,
                )))
            }
        }
    }

    async fn commit(
        &self,
        seq: IntakeSeq,
        intake: &Intake,
        attribution: Attribution,
    ) -> Result<Progress, Failure> {
        let Some(transaction) = self.transaction(seq, intake, &attribution)? else {
            return Ok(Progress::Done);
        };
        let is_held = !attribution.held.is_empty();
        let refused = match self.repository.write(transaction).await {
            Ok(_) => {
                tracing::info!(seq, is_held, "message interpreted");
                return Ok(Progress::Done);
            }
            Err((_, failure)) => failure,
        };
        match refused.category {
            Category::PreconditionFailed | Category::Conflict if !attribution.writes.is_empty() => {
                Ok(Progress::Raced)
            }
            Category::Busy | Category::Throttled | Category::DiskFull | Category::Fault => {
                Err(refused)
            }
            _ if attribution.writes.is_empty() => Err(refused),
            _ => {
                let refused = Attribution {
                    held: refused.issues,
                    notes: attribution.notes,
                    is_critical: attribution.is_critical,
                    ..Attribution::default()
                };
                Box::pin(self.commit(seq, intake, refused)).await
            }
        }
    }

    /// The writes, the Task and the rows of one message; `None` when nothing changed since it was
    /// held.
    fn transaction(
        &self,
        seq: IntakeSeq,
        intake: &Intake,
        attribution: &Attribution,
    ) -> Result<Option<Transaction>, StoreError> {
        let mut settled = intake.clone();
        settled.head.state = match (attribution.held.is_empty(), attribution.for_patient) {
            (true, _) => State::Settled,
            (false, true) => State::HeldForPatient,
            (false, false) => State::Held,
        };
        let issues = attribution.held.iter().chain(&attribution.notes);
        settled.head.issues = issues
            .map(|i| (i.number.to_owned(), i.expression.clone(), i.text.clone()))
            .collect();
        let mut writes = attribution.writes.clone();
        writes.extend(self.task(seq, intake, attribution));
        if settled.head.state != State::Settled {
            let digest = digest(&intake.head.connection, &intake.message);
            settled.head.task = Some(held::task_id(&digest));
        }
        if settled == *intake {
            return Ok(None);
        }
        Ok(Some(Transaction {
            actor: self.actor(&intake.head.connection),
            writes,
            rows: settled.rows(seq)?,
            resolve_conditional_references: false,
        }))
    }

    /// Opens, renews or closes the Task.
    fn task(&self, seq: IntakeSeq, intake: &Intake, attribution: &Attribution) -> Option<Write> {
        let digest = digest(&intake.head.connection, &intake.message);
        let id = held::task_id(&digest);
        let resource = if attribution.held.is_empty() {
            let key = ResourceKey {
                resource_type: "Task".to_owned(),
                id: intake.head.task.clone()?,
            };
            held::closed(stored_tree(&self.repository, &key)?)
        } else {
            held::open(intake, seq, attribution)
        };
        Some(Write::Update {
            id,
            resource,
            if_match: None,
        })
    }

    fn actor(&self, connection: &str) -> Actor {
        let mut rules = self.devices.rules.iter();
        let number = rules.position(|rule| rule.connection.name == connection);
        let number = number.and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
        Actor {
            name: connection.to_owned(),
            origin: Origin {
                kind: OriginKind::Device,
                number,
            },
        }
    }

    /// Takes a number without a row out of the waiting line.
    async fn forget(&self, seq: IntakeSeq) -> Result<(), Failure> {
        let row = RowWrite {
            table: store::Table::IntakeWaiting,
            key: stored::key(seq),
            value: None,
        };
        let transaction = Transaction {
            actor: self.actor(""),
            writes: Vec::new(),
            rows: vec![row],
            resolve_conditional_references: false,
        };
        let written = self.repository.write(transaction).await;
        written.map(|_written| ()).map_err(|(_, failure)| failure)
    }
}

fn hold(issue: Issue) -> Attribution {
    Attribution {
        held: vec![issue],
        ..Attribution::default()
    }
}
