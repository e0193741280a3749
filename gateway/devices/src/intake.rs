//! Store, then acknowledge: one commit holds the message, its digest and its place in the waiting
//! line; only after it is on disk the sender hears `AA`.

use super::DeviceSettings;
use super::stored::{self, Head, Intake, IntakeSeq, State};
use fhir_mapping::v2::{AckCode, Connection, acknowledge};
use gateway_repository::Repository;
use sha2::{Digest, Sha256};
use store::{CommitError, RowWrite, StoreError, Table, View, WriteSet};

/// What the listener sends back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Acknowledge(Vec<u8>),
    /// No header to answer to: the connection is closed, so that the sender notices.
    Close,
}

/// What became of a frame in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    New(IntakeSeq),
    Again(IntakeSeq),
}

/// Stores one frame and gives the reply. One without a readable header is stored too, for a person
/// to see, but there is nothing to answer to. A frame that came before over the same connection gets the
/// same answer and changes nothing.
pub(super) async fn take_in(
    repository: &Repository,
    settings: &DeviceSettings,
    connection: &Connection,
    frame: Vec<u8>,
) -> Reply {
    let control_id = format!("W{:x}", repository.clock().next_hlc());
    let now = wire_time(repository, connection);
    let answer = |code, text| acknowledge(&frame, code, text, &control_id, &now);
    match keep(repository, connection, frame.clone()).await {
        Ok(kept) => {
            let (seq, is_new) = match kept {
                Kept::New(seq) => (seq, true),
                Kept::Again(seq) => (seq, false),
            };
            tracing::info!(seq, is_new, connection = connection.name, "message stored");
            settings.woken.notify_one();
            answer(AckCode::Accept, "").map_or(Reply::Close, Reply::Acknowledge)
        }
        Err(error) => {
            tracing::warn!(%error, connection = connection.name, "message not stored");
            let refused = answer(AckCode::Error, "not stored, send it again");
            refused.map_or(Reply::Close, Reply::Acknowledge)
        }
    }
}

/// One commit, on disk when this returns.
async fn keep(
    repository: &Repository,
    connection: &Connection,
    message: Vec<u8>,
) -> Result<Kept, StoreError> {
    let digest = digest(&connection.name, &message);
    let intake = Intake {
        head: Head {
            connection: connection.name.clone(),
            received_ms: repository.clock().now_ms(),
            state: State::Waiting,
            issues: Vec::new(),
            task: None,
        },
        message,
    };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let plan = move |view: &View<'_>| plan(view, &digest, &intake);
    // The asker may have hung up; the commit stands all the same.
    let done = move |outcome| drop(sender.send(outcome));
    repository.store().submit(plan, done)?;
    let Ok(outcome) = receiver.await else {
        return Err(StoreError::Closed);
    };
    match outcome {
        Ok((_, kept)) => Ok(kept),
        Err(CommitError::Refused(Refusal::Again(seq))) => Ok(Kept::Again(seq)),
        Err(CommitError::Refused(Refusal::Store(error)) | CommitError::Store(error)) => Err(error),
    }
}

/// Why the plan wrote nothing.
#[derive(Debug)]
enum Refusal {
    Again(IntakeSeq),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::Store(error)
    }
}

fn plan(view: &View<'_>, digest: &[u8], intake: &Intake) -> Result<(WriteSet, Kept), Refusal> {
    if let Some(known) = view.row(Table::IntakeDigests, digest)? {
        let seq = stored::seq_of(&known);
        let damaged = || StoreError::Invalid("a digest row that names no message".to_owned());
        return Err(Refusal::Again(seq.ok_or_else(damaged)?));
    }
    let last = view.last_row(Table::Intake, &[])?;
    let last = last.and_then(|(key, _)| stored::seq_of(&key)).unwrap_or(0);
    let seq = last + 1;
    let mut rows = intake.rows(seq)?;
    rows.push(RowWrite {
        table: Table::IntakeDigests,
        key: digest.to_vec(),
        value: Some(stored::key(seq)),
    });
    let set = WriteSet {
        rows,
        ..WriteSet::default()
    };
    Ok((set, Kept::New(seq)))
}

/// SHA-256 of connection and message. Names never hold a zero byte, so the two cannot run together.
pub(super) fn digest(connection: &str, message: &[u8]) -> Vec<u8> {
    let mut hasher = Sha256::new();
    hasher.update(connection.as_bytes());
    hasher.update([0]);
    hasher.update(message);
    hasher.finalize().to_vec()
}

/// `YYYYMMDDHHMMSS+ZZZZ` in the connection's zone.
fn wire_time(repository: &Repository, connection: &Connection) -> String {
    let now = jiff::Timestamp::from_millisecond(repository.clock().now_ms());
    let local = now
        .unwrap_or_default()
        .to_zoned_datetime(connection.zone.clone());
    local.strftime("%Y%m%d%H%M%S%z").to_string()
}
