//! Restoring on trial: a backup that was never restored is a hope.

use super::read::{Opened, Proof, digest_of_store};
use crate::VaultError;
use store::{OpenOptions, Store};

/// Restores a backup into a folder that holds no store, compares it row by row with what was backed
/// up, and verifies the store. The folder stays sealed, and is the caller's to delete.
pub fn drill(
    opened: &Opened<'_>,
    name: &str,
    options: impl Fn() -> OpenOptions,
) -> Result<Proof, VaultError> {
    let (proof, keys) = opened.restore_aside(name, &options())?;
    let store = Store::open(options(), keys)?;
    let digest = digest_of_store(&store)?;
    let report = store.verify(None)?;
    store.close();
    let detail = match (digest == proof.digest, report.findings_total) {
        (true, 0) => return Ok(proof),
        (false, _) => "the restored store differs from the one that was backed up",
        (true, _) => "the restored store does not verify",
    };
    Err(VaultError::DamagedBackup {
        name: name.to_owned(),
        detail,
    })
}
