//! Reading backups: opening a shelf with any way into the store, checking a backup whole, and putting
//! a store together from it. Whatever is damaged is refused before anything is replaced.

use super::chunk::{Cutter, Sealer, id_of, rows_of};
use super::manifest::{self, Listed, Manifest, PACKS, id_text};
use super::shelf::Shelf;
use super::take::{KEY_LABEL, WAYS};
use crate::{Master, Secret, Slots, Stamp, VaultError};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::path::Path;
use store::{Assembly, Keys, OpenOptions, RawRow, Store};
use zeroize::Zeroizing;

/// A shelf whose key is known.
pub struct Opened<'a> {
    shelf: &'a dyn Shelf,
    sealer: Sealer,
    slots: Slots,
}

/// What a whole backup was found to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub time_ms: i64,
    pub seq: u64,
    pub audit: u64,
    pub resources: u64,
    pub rows: u64,
    pub bytes: u64,
    pub packs: usize,
    pub digest: String,
}

/// Opens a shelf with a key file, a passphrase, or the recovery key.
pub fn open<'a>(
    shelf: &'a dyn Shelf,
    secret: &Secret,
    random: fn(&mut [u8]),
) -> Result<Opened<'a>, VaultError> {
    let bytes = shelf.get(WAYS)?.ok_or(VaultError::NoBackup)?;
    let slots = Slots::parse(&bytes, WAYS)?;
    let key = slots.unlock(secret)?.current;
    let sealer = Sealer::new(&key, random);
    Ok(Opened {
        shelf,
        sealer,
        slots,
    })
}

impl Opened<'_> {
    pub(super) fn parts(&self) -> (&dyn Shelf, &Sealer) {
        (self.shelf, &self.sealer)
    }

    /// Name of the store that the backups are of.
    pub fn store(&self) -> &str {
        self.slots.store()
    }

    /// All backups, the oldest first.
    pub fn list(&self) -> Result<Vec<Listed>, VaultError> {
        manifest::listed(self.shelf)
    }

    /// The lives of the store up to a backup.
    pub fn incarnations(&self, name: &str) -> Result<store::Incarnations, VaultError> {
        let manifest = Manifest::load(self.shelf, &self.sealer, name)?;
        let secrets = manifest.secrets().ok_or_else(|| damaged(name, "no keys"))?;
        let lives = manifest.incarnations(&secrets);
        lives.ok_or_else(|| damaged(name, "no incarnations"))
    }

    /// Opens every part of a backup and compares it with its digest.
    pub fn verify(&self, name: &str) -> Result<Proof, VaultError> {
        let manifest = Manifest::load(self.shelf, &self.sealer, name)?;
        let rows = self.each_row(&manifest, |_row| Ok(()))?;
        Ok(proof(&manifest, rows))
    }

    /// Is the secret a way into the store of these backups?
    pub fn opens(&self, secret: &Secret) -> bool {
        self.slots.unlock(secret).is_ok()
    }

    /// Puts a store together in a folder that holds none; it is there when everything was checked,
    /// begins another life ([`store::Incarnation`]), and opens by the ways that the backup opens by. With `added` that secret opens it too.
    pub fn restore(
        &self,
        name: &str,
        options: &OpenOptions,
        (added, now_ms): (Option<&Secret>, i64),
    ) -> Result<Proof, VaultError> {
        let (proof, _keys) = self.assemble(name, (options, Some(now_ms)), |current| {
            let stamp = (options.random, now_ms);
            self.save_ways(&options.folder, current, (added, stamp))
        })?;
        Ok(proof)
    }

    /// Puts a store together that only the returned keys open: to look at, and to be deleted.
    pub fn restore_aside(
        &self,
        name: &str,
        options: &OpenOptions,
    ) -> Result<(Proof, Keys), VaultError> {
        self.assemble(name, (options, None), |_current| Ok(()))
    }

    fn assemble(
        &self,
        name: &str,
        (options, begun_ms): (&OpenOptions, Option<i64>),
        before_the_end: impl FnOnce(Zeroizing<[u8; 32]>) -> Result<(), VaultError>,
    ) -> Result<(Proof, Keys), VaultError> {
        let manifest = Manifest::load(self.shelf, &self.sealer, name)?;
        let secrets = manifest.secrets().ok_or_else(|| damaged(name, "no keys"))?;
        let mut current = Zeroizing::new([0; 32]);
        (options.random)(current.as_mut_slice());
        let keys = Keys {
            key_encryption_key: *current,
        };
        let bytes = usize::try_from(manifest.bytes).unwrap_or(usize::MAX / 8);
        let lives = manifest.incarnations(&secrets);
        let mut lives = lives.ok_or_else(|| damaged(name, "no incarnations"))?;
        if let Some(time_ms) = begun_ms {
            let (mut id, after) = ([0; 8], store::Seq(manifest.seq));
            (options.random)(&mut id);
            lives = lives.followed_by(store::Incarnation { id, after, time_ms });
        }
        let mut assembly = Assembly::begin(options, (&secrets, &keys), bytes, Some(&lives))?;
        let rows = self.each_row(&manifest, |row| Ok(assembly.put(row)?))?;
        before_the_end(current)?;
        assembly.finish()?;
        Ok((proof(&manifest, rows), keys))
    }

    fn save_ways(
        &self,
        folder: &Path,
        current: Zeroizing<[u8; 32]>,
        (added, stamp): (Option<&Secret>, Stamp),
    ) -> Result<(), VaultError> {
        let master = Master { current };
        let mut slots = self.slots.clone();
        slots.reseal(&master)?;
        if let Some(secret) = added {
            slots.add(&master, (secret, None), stamp)?;
        }
        slots.save(folder)
    }

    /// Hands over every row, checked; answers how many they were.
    fn each_row(
        &self,
        manifest: &Manifest,
        mut row: impl FnMut(RawRow<'_>) -> Result<(), VaultError>,
    ) -> Result<u64, VaultError> {
        let name = manifest.name();
        let ids = manifest.chunks.iter().map(|chunk| chunk.id.as_str());
        if manifest::digest_of(ids) != manifest.digest {
            return Err(damaged(&name, "the digest of the manifest differs"));
        }
        let mut packs = Packs::new(self.shelf, manifest);
        let mut rows = 0;
        for placed in &manifest.chunks {
            let id = HEXLOWER.decode(placed.id.as_bytes());
            let id = id.map_err(|_no_hex| damaged(&name, "a chunk has no name"))?;
            let sealed = packs.chunk(placed.pack, placed.at, placed.bytes)?;
            let opened = sealed.and_then(|sealed| self.sealer.open(&id, sealed));
            let chunk = opened.ok_or_else(|| damaged(&name, "a chunk does not open"))?;
            if id_of(&chunk).as_slice() != id {
                return Err(damaged(&name, "a chunk is another one"));
            }
            let found = rows_of(&chunk).ok_or_else(|| damaged(&name, "a chunk holds no rows"))?;
            for one in found {
                rows += 1;
                row(one)?;
            }
        }
        if rows != manifest.rows {
            return Err(damaged(&name, "rows are missing"));
        }
        Ok(rows)
    }
}

/// Opens a shelf with the store that its backups are of.
pub fn open_own<'a>(
    shelf: &'a dyn Shelf,
    store: &Store,
    random: fn(&mut [u8]),
) -> Result<Opened<'a>, VaultError> {
    let bytes = shelf.get(WAYS)?.ok_or(VaultError::NoBackup)?;
    let slots = Slots::parse(&bytes, WAYS)?;
    let sealer = Sealer::new(&*store.derived_key(KEY_LABEL)?, random);
    Ok(Opened {
        shelf,
        sealer,
        slots,
    })
}

/// The digest of a store as it lies now: that of its backup when they are equal, row by row.
pub fn digest_of_store(store: &Store) -> Result<String, VaultError> {
    let image = store.image()?;
    let (mut cutter, mut ids) = (Cutter::default(), Vec::new());
    image.each_row(|row| {
        ids.extend(cutter.add(row).map(|chunk| id_text(&id_of(&chunk))));
        Ok::<_, VaultError>(())
    })?;
    ids.extend(cutter.rest().map(|chunk| id_text(&id_of(&chunk))));
    Ok(manifest::digest_of(ids.iter().map(String::as_str)))
}

/// Reads packs, keeping a few: chunks of one backup lie together.
struct Packs<'a> {
    shelf: &'a dyn Shelf,
    manifest: &'a Manifest,
    kept: Vec<(usize, Vec<u8>)>,
}

/// Packs kept in memory while a backup is read.
const PACKS_KEPT: usize = 3;

impl<'a> Packs<'a> {
    fn new(shelf: &'a dyn Shelf, manifest: &'a Manifest) -> Self {
        Packs {
            shelf,
            manifest,
            kept: Vec::new(),
        }
    }

    fn chunk(&mut self, pack: usize, at: usize, bytes: usize) -> Result<Option<&[u8]>, VaultError> {
        if !self.kept.iter().any(|(kept, _)| *kept == pack) {
            let read = self.read(pack)?;
            if self.kept.len() >= PACKS_KEPT {
                self.kept.remove(0);
            }
            self.kept.push((pack, read));
        }
        let found = self.kept.iter().find(|(kept, _)| *kept == pack);
        Ok(found.and_then(|(_, read)| read.get(at..at.checked_add(bytes)?)))
    }

    fn read(&self, pack: usize) -> Result<Vec<u8>, VaultError> {
        let name = self.manifest.packs.get(pack);
        let name = name.ok_or_else(|| damaged(&self.manifest.name(), "a pack has no name"))?;
        let path = format!("{PACKS}/{name}");
        let read = self.shelf.get(&path)?;
        let read = read.ok_or_else(|| damaged(&path, "the file is missing"))?;
        if HEXLOWER.encode(&Sha256::digest(&read)) != *name {
            return Err(damaged(&path, "its digest differs"));
        }
        Ok(read)
    }
}

fn damaged(name: &str, detail: &'static str) -> VaultError {
    VaultError::DamagedBackup {
        name: name.to_owned(),
        detail,
    }
}

fn proof(manifest: &Manifest, rows: u64) -> Proof {
    Proof {
        time_ms: manifest.time_ms,
        seq: manifest.seq,
        audit: manifest.audit,
        resources: manifest.resources,
        rows,
        bytes: manifest.bytes,
        packs: manifest.packs.len(),
        digest: manifest.digest.clone(),
    }
}
