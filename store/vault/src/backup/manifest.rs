//! The manifest: which chunks make up one moment of the store, where they lie, and the keys that open
//! its values. Sealed, and written last: without one there is no backup.

use super::chunk::{ChunkId, Sealer};
use super::shelf::Shelf;
use crate::VaultError;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

pub(super) const MANIFESTS: &str = "manifests";
pub(super) const PACKS: &str = "packs";
const FORMAT: u32 = 1;

/// A backup as its name tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// When it was taken, milliseconds since 1970.
    pub time_ms: i64,
    /// The last change that it holds.
    pub seq: u64,
}

/// A chunk and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placed {
    pub(super) id: String,
    /// Which of the manifest's packs, from which byte on, how many bytes.
    pub(super) pack: usize,
    pub(super) at: usize,
    pub(super) bytes: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) time_ms: i64,
    pub(super) seq: u64,
    pub(super) audit: u64,
    pub(super) resources: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// The store's keys, hexadecimal.
    secrets: String,
    /// The lives of the store, hexadecimal; empty in backups of older programs.
    #[serde(default)]
    incarnations: String,
    /// Names of packs, each the digest of its bytes.
    pub(super) packs: Vec<String>,
    pub(super) chunks: Vec<Placed>,
    /// SHA-256 over the ids of all chunks: equal for equal stores.
    pub(super) digest: String,
}

impl Drop for Manifest {
    fn drop(&mut self) {
        self.secrets.zeroize();
    }
}

impl Manifest {
    pub(super) fn new(
        (time_ms, reach): (i64, store::Reach),
        (secrets, lives): (&store::Secrets, &store::Incarnations),
        placed: (Vec<String>, Vec<Placed>),
    ) -> Manifest {
        let digest = digest_of(placed.1.iter().map(|chunk| chunk.id.as_str()));
        Manifest {
            format: FORMAT,
            time_ms,
            seq: reach.seq.0,
            audit: reach.audit,
            resources: reach.resources,
            rows: 0,
            bytes: 0,
            secrets: HEXLOWER.encode(&secrets.to_bytes()),
            incarnations: HEXLOWER.encode(&lives.to_bytes()),
            packs: placed.0,
            chunks: placed.1,
            digest,
        }
    }

    pub(super) fn secrets(&self) -> Option<store::Secrets> {
        let bytes = HEXLOWER.decode(self.secrets.as_bytes()).ok()?;
        store::Secrets::from_bytes(&zeroize::Zeroizing::new(bytes))
    }

    /// The lives of the store up to the backup.
    pub(super) fn incarnations(&self, secrets: &store::Secrets) -> Option<store::Incarnations> {
        if self.incarnations.is_empty() {
            return Some(secrets.first_incarnation());
        }
        let bytes = HEXLOWER.decode(self.incarnations.as_bytes()).ok()?;
        store::Incarnations::from_bytes(&bytes)
    }

    /// Names sort by time; the time and the seq stand in them for who has no key.
    pub(super) fn name(&self) -> String {
        format!("{MANIFESTS}/{:015}-{:015}", self.time_ms, self.seq)
    }

    pub(super) fn save(&self, shelf: &dyn Shelf, sealer: &Sealer) -> Result<String, VaultError> {
        let name = self.name();
        let text = serde_json::to_vec(self).map_err(|e| VaultError::Envelope(e.to_string()))?;
        let text = zeroize::Zeroizing::new(text);
        shelf.put(&name, &sealer.seal(name.as_bytes(), &text)?)?;
        Ok(name)
    }

    pub(super) fn load(
        shelf: &dyn Shelf,
        sealer: &Sealer,
        name: &str,
    ) -> Result<Manifest, VaultError> {
        let damaged = || VaultError::DamagedBackup {
            name: name.to_owned(),
            detail: "the manifest does not open",
        };
        let sealed = shelf.get(name)?.ok_or_else(damaged)?;
        let text = sealer.open(name.as_bytes(), &sealed).ok_or_else(damaged)?;
        let manifest = serde_json::from_slice(&zeroize::Zeroizing::new(text));
        let manifest: Manifest = manifest.map_err(|_no_manifest| damaged())?;
        if manifest.format != FORMAT || manifest.name() != name {
            return Err(damaged());
        }
        Ok(manifest)
    }
}

/// The digest of a store whose chunks have these ids.
pub(super) fn digest_of<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    ids.for_each(|id| digest.update(id.as_bytes()));
    HEXLOWER.encode(&digest.finalize())
}

/// All backups of a shelf, the oldest first. Other names are not ours.
pub(super) fn listed(shelf: &dyn Shelf) -> Result<Vec<Listed>, VaultError> {
    let names = shelf.list(MANIFESTS)?;
    Ok(names.into_iter().filter_map(of_name).collect())
}

fn of_name(name: String) -> Option<Listed> {
    let rest = name.strip_prefix(MANIFESTS)?.strip_prefix('/')?;
    let (time, seq) = rest.split_once('-')?;
    let digits = |text: &str| text.len() == 15 && text.bytes().all(|b| b.is_ascii_digit());
    (digits(time) && digits(seq)).then_some(())?;
    let (time_ms, seq) = (time.parse().ok()?, seq.parse().ok()?);
    Some(Listed { name, time_ms, seq })
}

pub(super) fn id_text(id: &ChunkId) -> String {
    HEXLOWER.encode(id)
}
