//! Long tasks that a client asks for and comes back to: their rows, which survive a restart. What
//! they make is kept as lists of resources, never as copies of their content.

mod export;
mod files;
mod import;
mod rids;
mod snapshots;
mod sources;
mod upload;
mod wanted;

pub use export::{ExportOrder, Scope};
pub use files::{FilePieces, PIECE_BYTES as FILE_PIECE_BYTES};
pub use import::{ImportBatch, ImportCheck, ImportInput, ImportLine, ImportMark, ImportOrder};
pub use sources::{ImportPlace, ImportSources};
pub use upload::{UPLOAD_URL, Upload};

use super::plan::commit_failure;
use super::{Actor, Repository};
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use serde::{Deserialize, Serialize};
use store::{RowWrite, StoreError, Table, View, WriteSet};
use tokio::sync::Notify;
use uuid::Uuid;

/// A long task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Who asked; nobody else sees it.
    pub owner: String,
    /// As the client sent it.
    pub request: String,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub created_ms: i64,
    pub order: JobOrder,
    pub state: State,
    pub files: Vec<File>,
}

/// What is to be done; the first kind has a member that the other lacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JobOrder {
    Import(ImportOrder),
    Export(ExportOrder),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// Its lines are still being sent.
    Receiving,
    Waiting,
    /// Hundredths that are done.
    Running {
        percent: u8,
    },
    Done {
        ended_ms: i64,
    },
    Failed {
        ended_ms: i64,
        text: String,
    },
}

/// One file of an export: NDJSON of one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub resource_type: String,
    /// Lines.
    pub count: u64,
    #[serde(default)]
    pub kind: FileKind,
}

/// What a file of an export holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FileKind {
    #[default]
    Output,
    /// Transaction Bundles that delete what was exported before.
    Deleted,
    /// OperationOutcomes: what could not be exported, and why.
    Error,
}

/// Imports do not wait for exports, nor exports for imports: each kind is carried out one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Exports,
    Imports,
}

/// Woken when a job was asked for.
#[derive(Default)]
pub(crate) struct Bells {
    exports: Notify,
    imports: Notify,
    live: upload::Live,
}

/// Jobs that wait, run or can still be fetched.
const JOBS_MAX: usize = 64;
/// Jobs that wait or run.
const OPEN_MAX: usize = 16;
/// Seconds after which a place in the queue may be free.
const QUEUE_RETRY_S: u32 = 60;
/// A job can be fetched for this long after its end.
pub const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
/// Rows taken away in one commit.
const REMOVED_MAX: usize = 1000;

impl Repository {
    /// Keeps the order and wakes who carries it out; gives the job's id.
    pub async fn start_job(
        &self,
        actor: &Actor,
        request: &str,
        order: JobOrder,
    ) -> Result<String, Failure> {
        let id = Uuid::new_v4();
        let lane = order.lane();
        let named = (id, State::Waiting);
        self.keep_job((actor, request), order, named).await?;
        self.bell(lane).notify_one();
        Ok(id.to_string())
    }

    async fn keep_job(
        &self,
        (actor, request): (&Actor, &str),
        order: JobOrder,
        (id, state): (Uuid, State),
    ) -> Result<(), Failure> {
        let now_ms = self.clock().now_ms();
        let (owner, request) = (actor.name.clone(), request.to_owned());
        let plan = move |view: &View<'_>| {
            check_room(&kept(view)?)?;
            let (action, order) = match order {
                JobOrder::Import(order) => ("import", JobOrder::Import(order)),
                JobOrder::Export(order) => {
                    let (seq, rid_max) = (view.last_seq()?.0, view.last_rid()?.0);
                    let order = ExportOrder {
                        seq,
                        rid_max,
                        ..order
                    };
                    ("export", JobOrder::Export(order))
                }
            };
            let job = Job {
                owner,
                request,
                created_ms: now_ms,
                order,
                state,
                files: Vec::new(),
            };
            let audit = audit(action, &job.owner);
            let write_set = WriteSet {
                rows: vec![row(&id, &job)?],
                audit: vec![audit],
                ..WriteSet::default()
            };
            Ok((write_set, ()))
        };
        self.submit(plan).await.map_err(commit_failure)?;
        Ok(())
    }

    /// The job, when it is this owner's. 404 for everything else.
    pub fn job(&self, id: &str, owner: &str) -> Result<Job, Failure> {
        let key = key_of(id)?;
        let snapshot = self.store().snapshot()?;
        let job = read(&snapshot.view(), &key)?;
        job.filter(|job| job.owner == owner).ok_or_else(unknown)
    }

    /// Ends the job and forgets its files.
    pub async fn cancel_job(&self, id: &str, owner: &str) -> Result<(), Failure> {
        self.job(id, owner)?;
        self.forget_job(key_of(id)?).await
    }

    /// The same for an administrator, whoever asked for it.
    pub async fn end_job(&self, id: &str) -> Result<(), Failure> {
        let id = key_of(id)?;
        let job = read(&self.store().snapshot()?.view(), &id)?;
        job.ok_or_else(unknown)?;
        self.forget_job(id).await
    }

    /// Resolves when there may be a job to carry out.
    pub async fn job_asked(&self, lane: Lane) {
        self.bell(lane).notified().await;
    }

    fn bell(&self, lane: Lane) -> &Notify {
        match lane {
            Lane::Exports => &self.inner.jobs.exports,
            Lane::Imports => &self.inner.jobs.imports,
        }
    }

    /// The oldest job that waits, or was running when the site stopped.
    pub fn next_job(&self, lane: Lane) -> Result<Option<Uuid>, Failure> {
        let jobs = self.all_jobs()?.into_iter();
        let open = jobs.filter(|(_, job)| job.is_due() && job.order.lane() == lane);
        let oldest = open.min_by_key(|(id, job)| (job.created_ms, *id));
        Ok(oldest.map(|(id, _)| id))
    }

    /// Takes away the jobs whose time is over, and those whose lines never came whole.
    pub async fn expire_jobs(&self) -> Result<(), Failure> {
        let now_ms = self.clock().now_ms();
        for (id, job) in self.all_jobs()? {
            if self.is_broken_off(&id, &job) {
                self.forget_job(id).await?;
                continue;
            }
            let ended_ms = match job.state {
                State::Done { ended_ms } | State::Failed { ended_ms, .. } => ended_ms,
                State::Receiving | State::Waiting | State::Running { .. } => continue,
            };
            if ended_ms.saturating_add(KEPT_MS) < now_ms {
                self.forget_job(id).await?;
            }
        }
        Ok(())
    }

    /// Sets a job's state; `false` when the job was cancelled meanwhile.
    pub async fn set_job(&self, id: Uuid, state: State, files: Files) -> Result<bool, Failure> {
        let plan = move |view: &View<'_>| {
            let Some(mut job) = read(view, &id)? else {
                return Ok((WriteSet::default(), false));
            };
            job.state = state;
            let mut rows = Vec::new();
            if !files.is_empty() {
                job.files = files.iter().map(|(file, _)| file.clone()).collect();
                let numbers = 0_u32..;
                rows.extend(numbers.zip(files).map(|(number, (_, rids))| RowWrite {
                    table: Table::Jobs,
                    key: file_key(&id, number),
                    value: Some(rids),
                }));
            }
            rows.push(row(&id, &job)?);
            let write_set = WriteSet {
                rows,
                ..WriteSet::default()
            };
            Ok((write_set, true))
        };
        let (_, is_there) = self.submit(plan).await.map_err(commit_failure)?;
        Ok(is_there)
    }

    /// `None` when it was cancelled.
    fn job_order(&self, id: &Uuid) -> Result<Option<ExportOrder>, Failure> {
        let snapshot = self.store().snapshot()?;
        let job = read(&snapshot.view(), id)?;
        Ok(job.and_then(|job| match job.order {
            JobOrder::Export(order) => Some(order),
            JobOrder::Import(_) => None,
        }))
    }

    async fn forget_job(&self, id: Uuid) -> Result<(), Failure> {
        self.forget_upload(id).await?;
        loop {
            let plan = move |view: &View<'_>| {
                let mut files = Vec::new();
                for kind in [b"f", b"e", b"p"] {
                    let prefix = [kind, id.as_bytes().as_slice()].concat();
                    let room = REMOVED_MAX - files.len();
                    files.extend(view.rows(Table::Jobs, &prefix, None, room)?);
                }
                let is_last = files.len() < REMOVED_MAX;
                let mut rows: Vec<RowWrite> = files.into_iter().map(|(key, _)| gone(key)).collect();
                rows.push(gone(job_key(&id)));
                let write_set = WriteSet {
                    rows,
                    ..WriteSet::default()
                };
                Ok::<_, Failure>((write_set, is_last))
            };
            if self.submit(plan).await.map_err(commit_failure)?.1 {
                return Ok(());
            }
        }
    }

    /// Everybody's, at most 64.
    pub fn all_jobs(&self) -> Result<Vec<(Uuid, Job)>, Failure> {
        kept(&self.store().snapshot()?.view())
    }
}

impl Job {
    /// It waits, or is carried out.
    fn is_due(&self) -> bool {
        matches!(self.state, State::Waiting | State::Running { .. })
    }

    /// It has a place in the queue.
    fn is_open(&self) -> bool {
        self.is_due() || self.state == State::Receiving
    }
}

impl JobOrder {
    fn lane(&self) -> Lane {
        match self {
            JobOrder::Import(_) => Lane::Imports,
            JobOrder::Export(_) => Lane::Exports,
        }
    }
}

fn kept(view: &View<'_>) -> Result<Vec<(Uuid, Job)>, Failure> {
    let rows = view.rows(Table::Jobs, b"j", None, JOBS_MAX)?;
    rows.into_iter()
        .map(|(key, value)| {
            let id = key.get(1..).and_then(|id| Uuid::from_slice(id).ok());
            let id = id.ok_or_else(damaged)?;
            Ok((id, decode(&value)?))
        })
        .collect()
}

/// 429 when the queue is full, or too many results wait to be fetched.
fn check_room(jobs: &[(Uuid, Job)]) -> Result<(), Failure> {
    if jobs.len() >= JOBS_MAX {
        return Err(too_many());
    }
    let open = jobs.iter().filter(|(_, job)| job.is_open()).count();
    match open < OPEN_MAX {
        true => Ok(()),
        false => Err(queue_full()),
    }
}

/// Files with their encoded lists.
pub type Files = Vec<(File, Vec<u8>)>;

fn read(view: &View<'_>, id: &Uuid) -> Result<Option<Job>, Failure> {
    let value = view.row(Table::Jobs, &job_key(id))?;
    value.map(|value| decode(&value)).transpose()
}

fn decode(value: &[u8]) -> Result<Job, Failure> {
    serde_json::from_slice(value).map_err(|_of_another_format| damaged())
}

fn row(id: &Uuid, job: &Job) -> Result<RowWrite, Failure> {
    let value = serde_json::to_vec(job).map_err(|_no_json| damaged())?;
    Ok(RowWrite {
        table: Table::Jobs,
        key: job_key(id),
        value: Some(value),
    })
}

/// Takes a row away.
fn gone(key: Vec<u8>) -> RowWrite {
    RowWrite {
        table: Table::Jobs,
        key,
        value: None,
    }
}

fn job_key(id: &Uuid) -> Vec<u8> {
    [b"j", id.as_bytes().as_slice()].concat()
}

fn file_key(id: &Uuid, number: u32) -> Vec<u8> {
    [b"f", id.as_bytes().as_slice(), &number.to_be_bytes()].concat()
}

fn key_of(id: &str) -> Result<Uuid, Failure> {
    id.parse().map_err(|_no_uuid| unknown())
}

fn audit(action: &str, name: &str) -> Vec<u8> {
    let entry = serde_json::json!({ "action": action, "actor": name });
    entry.to_string().into_bytes()
}

fn unknown() -> Failure {
    let text = "no such job is known; it may have ended and expired";
    Failure::new(Category::NotFound, "E-JOB-1", IssueCode::NotFound, text)
}

fn too_many() -> Failure {
    let text = format!("the site keeps {JOBS_MAX} jobs already; delete one that is done");
    let full = Failure::new(Category::Throttled, "E-JOB-2", IssueCode::Throttled, text);
    Failure {
        retry_after_s: Some(QUEUE_RETRY_S),
        ..full
    }
}

fn queue_full() -> Failure {
    let text = format!("{OPEN_MAX} jobs wait or run already; ask again when one is done");
    let full = Failure::new(Category::Throttled, "E-JOB-5", IssueCode::Throttled, text);
    Failure {
        retry_after_s: Some(QUEUE_RETRY_S),
        ..full
    }
}

fn damaged() -> Failure {
    let text = "the row of a job cannot be read".to_owned();
    StoreError::Invalid(text).into()
}
