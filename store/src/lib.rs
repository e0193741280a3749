//! Bytes under keys, every version kept, one writer. Knows no FHIR.
//!
//! The public face is a vocabulary: a reader takes a [`Snapshot`] and looks through its [`View`];
//! a writer hands [`Store::submit`] a *plan*, which is given the [`View`] of the writing
//! transaction and answers with a [`WriteSet`] or a refusal. LMDB is the one engine behind it.
//!
//! Absent here, on purpose: sockets, async, the wall clock, randomness (passed in), FHIR.

mod apply;
mod catalog;
mod codec;
mod datafile;
mod env;
mod error;
mod group;
mod inspect;
mod keyring;
mod postings;
mod seal;
mod snapshot;
mod vocabulary;
mod writer;

pub use error::{CommitError, StoreError};
pub use inspect::{Finding, Stats, VerifyReport};
pub use postings::Postings;
pub use snapshot::{Snapshot, View};
pub use vocabulary::{
    AuditEntry, Change, Committed, Head, HistoryItem, NewVersion, Origin, OriginKind, ResourceKey,
    Rid, Row, RowWrite, Seq, StoredVersion, Table, Term, Urgency, VersionId, WriteSet,
};
pub use writer::{Keys, OpenOptions, Store};
