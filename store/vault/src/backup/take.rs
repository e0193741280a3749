//! Taking a backup: chunks that the newest one before holds already are not written again.

use super::chunk::{Cutter, Sealer, id_of};
use super::manifest::{Manifest, PACKS, Placed, id_text, listed};
use super::shelf::Shelf;
use crate::{Master, Slots, Stamp, VaultError};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use store::Store;

/// Bytes of a pack, and memory that taking a backup needs.
const PACK_BYTES: usize = 16 << 20;
pub(super) const KEY_LABEL: &[u8] = b"wayside backup key 1";
/// The ways to the key of the backups: the store's own, sealed to the same people.
pub(super) const WAYS: &str = "backup.json";

/// What a backup came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub name: String,
    pub time_ms: i64,
    pub seq: u64,
    pub resources: u64,
    /// Rows and their bytes in the store.
    pub rows: u64,
    pub bytes: u64,
    pub chunks: u64,
    /// Chunks and bytes that were not there before.
    pub chunks_new: u64,
    pub bytes_new: u64,
    /// The same for equal stores.
    pub digest: String,
}

/// Takes a backup of a moment of the store; writing goes on meanwhile. `slots` are the ways into the
/// store: each of them opens the backup too. Nothing counts before the manifest, which comes last.
pub fn take(
    store: &Store,
    slots: &Slots,
    shelf: &dyn Shelf,
    (random, now_ms): Stamp,
) -> Result<Taken, VaultError> {
    let key = store.derived_key(KEY_LABEL)?;
    write_ways(slots, &key, shelf)?;
    let sealer = Sealer::new(&key, random);
    let before = newest(shelf, &sealer)?;
    // Names tell backups apart by their time.
    let now_ms = before
        .as_ref()
        .map_or(now_ms, |b| now_ms.max(b.time_ms + 1));
    let mut packer = Packer::new(shelf, &sealer, before.as_ref());
    let image = store.image()?;
    let reach = image.reach()?;
    let mut cutter = Cutter::default();
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    image.each_row(|row| {
        rows += 1;
        bytes += u64::try_from(row.1.len() + row.2.len()).unwrap_or(0);
        match cutter.add(row) {
            Some(chunk) => packer.add(&chunk),
            None => Ok(()),
        }
    })?;
    drop(image);
    if let Some(chunk) = cutter.rest() {
        packer.add(&chunk)?;
    }
    packer.write_pack()?;
    let (chunks_new, bytes_new) = (packer.chunks_new, packer.bytes_new);
    let placed = packer.into_placed();
    let told = (&store.secrets()?, &store.incarnations()?);
    let mut manifest = Manifest::new((now_ms, reach), told, placed);
    (manifest.rows, manifest.bytes) = (rows, bytes);
    let name = manifest.save(shelf, &sealer)?;
    Ok(Taken {
        name,
        time_ms: now_ms,
        seq: reach.seq.0,
        resources: reach.resources,
        rows,
        bytes,
        chunks: u64::try_from(manifest.chunks.len()).unwrap_or(u64::MAX),
        chunks_new,
        bytes_new,
        digest: manifest.digest.clone(),
    })
}

/// The ways as they are now; another store's backups are left alone.
fn write_ways(slots: &Slots, key: &[u8; 32], shelf: &dyn Shelf) -> Result<(), VaultError> {
    if let Some(bytes) = shelf.get(WAYS)? {
        let there = Slots::parse(&bytes, WAYS)?;
        if there.store() != slots.store() {
            return Err(VaultError::OtherStore(there.store().to_owned()));
        }
    }
    let mut ways = slots.clone();
    ways.reseal(&Master {
        current: zeroize::Zeroizing::new(*key),
    })?;
    shelf.put(WAYS, &ways.to_text()?)
}

fn newest(shelf: &dyn Shelf, sealer: &Sealer) -> Result<Option<Manifest>, VaultError> {
    let last = listed(shelf)?.pop();
    // A damaged one is not built upon: this backup is then a full one again.
    Ok(last.and_then(|last| Manifest::load(shelf, sealer, &last.name).ok()))
}

/// Puts new chunks into packs, and notes where all of them lie.
struct Packer<'a> {
    shelf: &'a dyn Shelf,
    sealer: &'a Sealer,
    /// Chunks that are there, with the name of their pack.
    known: HashMap<String, (String, usize, usize)>,
    packs: Vec<String>,
    pack_of_name: HashMap<String, usize>,
    placed: Vec<Placed>,
    /// The pack being filled, and which chunks lie in it from where.
    filling: Vec<u8>,
    waiting: Vec<usize>,
    chunks_new: u64,
    bytes_new: u64,
}

impl<'a> Packer<'a> {
    fn new(shelf: &'a dyn Shelf, sealer: &'a Sealer, before: Option<&Manifest>) -> Self {
        let chunks = before
            .iter()
            .flat_map(|b| b.chunks.iter().map(move |c| (b, c)));
        let known = chunks.filter_map(|(before, chunk)| {
            let pack = before.packs.get(chunk.pack)?.clone();
            Some((chunk.id.clone(), (pack, chunk.at, chunk.bytes)))
        });
        Packer {
            shelf,
            sealer,
            known: known.collect(),
            packs: Vec::new(),
            pack_of_name: HashMap::new(),
            placed: Vec::new(),
            filling: Vec::new(),
            waiting: Vec::new(),
            chunks_new: 0,
            bytes_new: 0,
        }
    }

    fn add(&mut self, chunk: &[u8]) -> Result<(), VaultError> {
        let raw_id = id_of(chunk);
        let id = id_text(&raw_id);
        if let Some((pack, at, bytes)) = self.known.get(&id).cloned() {
            let pack = self.pack(pack);
            self.placed.push(Placed {
                id,
                pack,
                at,
                bytes,
            });
            return Ok(());
        }
        let sealed = self.sealer.seal(&raw_id, chunk)?;
        self.waiting.push(self.placed.len());
        self.placed.push(Placed {
            id,
            pack: 0,
            at: self.filling.len(),
            bytes: sealed.len(),
        });
        self.filling.extend_from_slice(&sealed);
        self.chunks_new += 1;
        if self.filling.len() >= PACK_BYTES {
            self.write_pack()?;
        }
        Ok(())
    }

    fn pack(&mut self, name: String) -> usize {
        let next = self.packs.len();
        let at = *self.pack_of_name.entry(name.clone()).or_insert(next);
        if at == next {
            self.packs.push(name);
        }
        at
    }

    /// Writes the pack being filled; its name is its digest.
    fn write_pack(&mut self) -> Result<(), VaultError> {
        if self.filling.is_empty() {
            return Ok(());
        }
        let name = HEXLOWER.encode(&Sha256::digest(&self.filling));
        self.shelf.put(&format!("{PACKS}/{name}"), &self.filling)?;
        self.bytes_new += u64::try_from(self.filling.len()).unwrap_or(0);
        let pack = self.pack(name);
        for at in self.waiting.drain(..) {
            if let Some(placed) = self.placed.get_mut(at) {
                placed.pack = pack;
            }
        }
        self.filling.clear();
        Ok(())
    }

    fn into_placed(self) -> (Vec<String>, Vec<Placed>) {
        (self.packs, self.placed)
    }
}
