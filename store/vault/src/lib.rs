//! What an administrator keeps: the ways into a store (key file, passphrase, recovery sheet, shares)
//! and its backups.
//!
//! Absent here, on purpose: sockets, async, FHIR, the wall clock and randomness (both passed in).

pub mod backup;
pub mod envelope;
mod error;
pub mod files;
pub mod recovery;
pub mod slots;

pub use error::VaultError;
pub use slots::{Master, Secret, SlotKind, SlotView, Slots, Stamp};
