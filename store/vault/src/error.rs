//! Everything that can go wrong with keys and backups, and what an operator does about it.

use std::path::Path;

/// A closed set; every variant's text carries a stable number and a next step.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VaultError {
    #[error("E-KEY-5: cannot use {path}: {detail}; check that it exists and is yours to write")]
    Unusable { path: String, detail: String },
    #[error("E-KEY-8: {path} is damaged ({detail}); put a copy of it back, nothing was changed")]
    Damaged { path: String, detail: String },
    #[error("E-KEY-9: this {0} does not open the store; nothing was changed, try the right one")]
    Refused(&'static str),
    #[error("E-KEY-10: the store has no {0} to open it with; `wayside keys status` lists its ways")]
    NoSuchWay(&'static str),
    #[error("E-KEY-11: {0}")]
    Text(String),
    #[error("E-KEY-12: there is no way {0}; `wayside keys status` lists them")]
    NoSuchSlot(u32),
    #[error("E-KEY-13: {0} is the last way into the store; add another one first")]
    LastWay(u32),
    #[error("E-KEY-7: the passphrase cannot be turned into a key: {0}")]
    Derivation(String),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error(
        "E-BACKUP-1: cannot use {path}: {detail}; check the stick, share or network, then try again"
    )]
    Shelf { path: String, detail: String },
    #[error("E-BACKUP-2: {name} is damaged: {detail}; nothing was replaced, take another backup")]
    DamagedBackup { name: String, detail: &'static str },
    #[error("E-BACKUP-3: there is no backup here; give the folder that `wayside backup` wrote to")]
    NoBackup,
    #[error("E-BACKUP-4: the folder holds backups of another store ({0}); give another folder")]
    OtherStore(String),
    #[error("E-KEY-15: somebody else changes the ways into the store now; try again in a moment")]
    Held,
    #[error("E-KEY-14: keys cannot be sealed: {0}")]
    Envelope(String),
}

pub(crate) fn unusable(path: &Path, error: &std::io::Error) -> VaultError {
    VaultError::Unusable {
        path: path.display().to_string(),
        detail: error.to_string(),
    }
}
