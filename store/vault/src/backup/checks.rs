//! What came of looking at a backup: a small sealed file beside it, so that whoever lists the backups
//! sees when each was last found good.

use super::manifest::MANIFESTS;
use super::read::Opened;
use crate::VaultError;
use serde::{Deserialize, Serialize};

pub(super) const CHECKS: &str = "checks";

/// How closely a backup was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Every part was opened and compared with its digest.
    Opened,
    /// It was restored on trial, compared row by row, and the store verified.
    Restored,
}

/// One look at a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Milliseconds since 1970.
    pub time_ms: i64,
    pub depth: Depth,
    pub is_sound: bool,
    /// What was found; it names nobody.
    pub text: String,
}

impl Opened<'_> {
    /// Writes down what was found of a backup; takes the place of what was known before.
    pub fn note(&self, name: &str, check: &Check) -> Result<(), VaultError> {
        let (shelf, sealer) = self.parts();
        let called = called(name);
        let text = serde_json::to_vec(check).map_err(|e| VaultError::Envelope(e.to_string()))?;
        shelf.put(&called, &sealer.seal(called.as_bytes(), &text)?)
    }

    /// What was found last; `None` when nobody looked, or the note is damaged.
    pub fn last_check(&self, name: &str) -> Result<Option<Check>, VaultError> {
        let (shelf, sealer) = self.parts();
        let called = called(name);
        let Some(sealed) = shelf.get(&called)? else {
            return Ok(None);
        };
        let text = sealer.open(called.as_bytes(), &sealed);
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }
}

/// The name of what is known of a backup.
pub(super) fn called(name: &str) -> String {
    let tail = name.strip_prefix(MANIFESTS).unwrap_or(name);
    format!("{CHECKS}/{}", tail.trim_start_matches('/'))
}
