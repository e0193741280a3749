//! Everything that can go wrong in the store, and what an operator does about it.

/// A closed set; every variant's text carries a stable number.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused to read or write. Check the disk and its cables, then restart.
    #[error("E-STORE-1: the disk refused {what}: {detail}")]
    Io { what: &'static str, detail: String },
    /// No room left. Free space; writing resumes by itself.
    #[error("E-STORE-2: the disk is full; free space and writing resumes by itself")]
    Full,
    /// A stored value fails its seal. The rest stays readable; restore this one from a backup.
    #[error("E-STORE-3: a value in {database} is damaged (key {key}); restore it from a backup")]
    Corrupt { database: &'static str, key: String },
    /// The key does not open this store. Give the right key file or passphrase.
    #[error("E-STORE-4: the given key does not open this store; use the key it was made with")]
    WrongKey,
    /// A failed sync leaves the disk's state unknown: no more writes until a restart.
    #[error("E-STORE-5: writing stopped after a failed sync ({0}); check the disk, then restart")]
    Poisoned(String),
    /// The write queue is full. Try again shortly.
    #[error("E-STORE-6: the write queue is full; try again shortly")]
    Busy,
    /// Another process holds this store. Stop it first.
    #[error("E-STORE-7: another process uses this store; stop it first")]
    Locked,
    /// The folder holds something that is not this version's store. Nothing was changed.
    #[error("E-STORE-8: {0}; nothing was changed")]
    Foreign(String),
    /// A write set breaks a rule of the store; a defect of the caller.
    #[error("E-STORE-9: the write set is invalid: {0}")]
    Invalid(String),
    /// The store is closing.
    #[error("E-STORE-10: the store is closed")]
    Closed,
    /// The store was opened for reading alone; the text says why and how to leave that.
    #[error("E-STORE-11: the store is open for reading only: {0}")]
    ReadOnly(String),
}

/// Why a commit did not happen: the plan refused, or the store failed.
#[derive(Debug)]
pub enum CommitError<E> {
    Refused(E),
    Store(StoreError),
}

impl StoreError {
    /// A fault of LMDB or of the disk below it, met while doing `what`.
    pub(crate) fn disk(what: &'static str, error: &heed::Error) -> Self {
        match error {
            heed::Error::Mdb(heed::MdbError::ReadersFull) => Self::Busy,
            heed::Error::Mdb(heed::MdbError::Corrupted | heed::MdbError::PageNotFound) => {
                Self::Corrupt {
                    database: what,
                    key: "unknown".to_owned(),
                }
            }
            heed::Error::EnvAlreadyOpened => Self::Locked,
            other => Self::Io {
                what,
                detail: other.to_string(),
            },
        }
    }

    /// A fault of a plain file.
    pub(crate) fn file(what: &'static str, error: &std::io::Error) -> Self {
        Self::Io {
            what,
            detail: error.to_string(),
        }
    }
}

impl<E> From<StoreError> for CommitError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
