//! Backups of a whole store: one moment of it, cut into chunks that later backups share, packed,
//! sealed and digested; the manifest that names them comes last. `store/vault/BACKUP.md` gives it byte by byte.

mod checks;
mod chunk;
mod drill;
mod manifest;
mod read;
mod retain;
mod shelf;
mod take;

pub use checks::{Check, Depth};
pub use drill::drill;
pub use manifest::Listed;
pub use read::{Opened, Proof, digest_of_store, open, open_own};
pub use retain::{Keep, prune};
pub use shelf::{Folder, Shelf};
pub use take::{Taken, take};

#[cfg(test)]
mod tests;
