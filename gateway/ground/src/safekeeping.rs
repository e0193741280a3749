//! What the running gateway knows of its backups, and how another one, or another key, is asked for. Who takes them and
//! who is asked over HTTP meet here.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How it stands with the backups of the site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupState {
    /// How many that were asked for since the start are done, or have failed.
    pub done: u64,
    /// The newest good one.
    pub last: Option<BackupDone>,
    /// Why the newest one failed; absent after a good one.
    pub failed: Option<BackupFailed>,
    /// The newest trial restore.
    pub drill: Option<Drill>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupDone {
    pub name: String,
    pub time_ms: i64,
    pub seq: u64,
    pub resources: u64,
    pub bytes: u64,
    pub bytes_new: u64,
    pub took_ms: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFailed {
    pub time_ms: i64,
    /// Number, cause and next step.
    pub text: String,
}

/// A restore of the newest backup on trial: every part opened, all rows compared, the store verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    pub time_ms: i64,
    /// Of which backup.
    pub name: String,
    pub is_sound: bool,
    /// What was found, or why it could not be restored.
    pub text: String,
    pub took_ms: u64,
}

/// The answer to who asks for a backup: it is done when `BackupState::done` reaches the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub number: u64,
}

/// Takes backups beside the work of the gateway.
pub trait Safekeeping: Send + Sync {
    fn state(&self) -> BackupState;
    /// Queues one, into a folder that `wayside backup` has made; absent, the configured one.
    fn ask(&self, folder: Option<PathBuf>) -> Result<Asked, Failure>;
    /// Puts another master key in the place of the present one.
    fn rotate_key(&self) -> Result<(), Failure>;
}
