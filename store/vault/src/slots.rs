//! The ways into a store: `keys.json` in its folder. Each way (slot) holds the master key, sealed to
//! a public key whose secret is a key file, comes from a passphrase, or stands on the recovery sheet.
//! Sealing needs the public keys alone, so the master key is changed without asking anybody.

use crate::error::unusable;
use crate::{VaultError, envelope, files};
use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Name of the file in the folder of the store.
pub const SLOTS_FILE: &str = "keys.json";
const NEXT_FILE: &str = "keys.json.next";
const LOCK_FILE: &str = "keys.lock";
const FORMAT: u32 = 1;
/// Argon2id for new passphrases: a third of a second on a small box, and 64 MiB for each guess.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// What a file may ask for at most, whoever wrote it.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 64;

/// The key-encryption key of the store.
#[derive(Clone)]
pub struct Master {
    pub current: Zeroizing<[u8; 32]>,
}

/// What is passed in instead of being asked of the machine: randomness, and the time in milliseconds
/// since 1970.
pub type Stamp = (fn(&mut [u8]), i64);

/// What a person or a file brings to open a store.
pub enum Secret {
    KeyFile(Zeroizing<[u8; 32]>),
    Passphrase(Zeroizing<String>),
    /// From the sheet, or from enough shares.
    Recovery(Zeroizing<[u8; 32]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotKind {
    KeyFile,
    Passphrase,
    Recovery,
}

/// The parameters of one Argon2id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stretching {
    memory_kib: u32,
    passes: u32,
    salt: String,
}

/// How a recovery key was split; the shares themselves are nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharing {
    pub needed: u8,
    pub of: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot {
    number: u32,
    kind: SlotKind,
    made_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    argon2id: Option<Stretching>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shares: Option<Sharing>,
    public: String,
    sealed: String,
}

/// What may be shown of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotView {
    pub number: u32,
    pub kind: SlotKind,
    pub made_ms: i64,
    pub shares: Option<Sharing>,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    format: u32,
    /// Names the store on the recovery sheet.
    store: String,
    /// Numbers are never given again.
    next: u32,
    slots: Vec<Slot>,
    /// SHA-256 of all the above: tells damage from a wrong secret.
    digest: String,
}

impl Secret {
    fn kind(&self) -> SlotKind {
        match self {
            Secret::KeyFile(_) => SlotKind::KeyFile,
            Secret::Passphrase(_) => SlotKind::Passphrase,
            Secret::Recovery(_) => SlotKind::Recovery,
        }
    }

    /// The 32 bytes that a slot's key pair is derived from.
    fn bytes(&self, stretching: Option<&Stretching>) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        match (self, stretching) {
            (Secret::KeyFile(bytes) | Secret::Recovery(bytes), None) => Ok(bytes.clone()),
            (Secret::Passphrase(text), Some(stretching)) => stretching.stretch(text),
            _ => Err(VaultError::Refused(self.kind().words())),
        }
    }
}

impl SlotKind {
    /// As a sentence says it.
    pub fn words(self) -> &'static str {
        match self {
            SlotKind::KeyFile => "key file",
            SlotKind::Passphrase => "passphrase",
            SlotKind::Recovery => "recovery key",
        }
    }
}

impl Stretching {
    fn new(random: fn(&mut [u8])) -> Stretching {
        let mut salt = [0; 16];
        random(&mut salt);
        Stretching {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            salt: HEXLOWER.encode(&salt),
        }
    }

    fn stretch(&self, passphrase: &str) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        let fault = |e: argon2::Error| VaultError::Derivation(e.to_string());
        if self.memory_kib > MEMORY_KIB_MAX || self.passes > PASSES_MAX {
            let why = "its parameters are beyond what this program computes".to_owned();
            return Err(VaultError::Derivation(why));
        }
        let salt = unhex(&self.salt).ok_or_else(|| VaultError::Derivation("no salt".to_owned()))?;
        let params = Params::new(self.memory_kib, self.passes, 1, Some(32)).map_err(fault)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut out = Zeroizing::new([0; 32]);
        let done = argon2.hash_password_into(passphrase.as_bytes(), &salt, out.as_mut_slice());
        done.map_err(fault)?;
        Ok(out)
    }
}

impl Slots {
    /// A file without any way yet.
    pub fn new(random: fn(&mut [u8])) -> Slots {
        let mut store = [0; 8];
        random(&mut store);
        Slots {
            format: FORMAT,
            store: HEXLOWER.encode(&store),
            next: 1,
            slots: Vec::new(),
            digest: String::new(),
        }
    }

    pub fn path(folder: &Path) -> PathBuf {
        folder.join(SLOTS_FILE)
    }

    /// Reads the file of a store's folder; `None` when it has none.
    pub fn load(folder: &Path) -> Result<Option<Slots>, VaultError> {
        Slots::load_from(&Slots::path(folder))
    }

    /// The file that is to take its place; there while the master key is being changed.
    pub fn load_next(folder: &Path) -> Result<Option<Slots>, VaultError> {
        Slots::load_from(&folder.join(NEXT_FILE))
    }

    fn load_from(path: &Path) -> Result<Option<Slots>, VaultError> {
        let Some(bytes) = files::read(path)? else {
            return Ok(None);
        };
        Slots::parse(&bytes, &path.display().to_string()).map(Some)
    }

    /// The file from its bytes; `path` is for the error only.
    pub fn parse(bytes: &[u8], path: &str) -> Result<Slots, VaultError> {
        let damaged = |detail: String| VaultError::Damaged {
            path: path.to_owned(),
            detail,
        };
        let slots: Slots =
            serde_json::from_slice(bytes).map_err(|e| damaged(format!("no keys: {e}")))?;
        if slots.format != FORMAT {
            return Err(damaged(format!("format {} is not known", slots.format)));
        }
        if slots.digest != slots.digest()? {
            return Err(damaged("its digest does not match".to_owned()));
        }
        Ok(slots)
    }

    /// The bytes of the file.
    pub fn to_text(&mut self) -> Result<Vec<u8>, VaultError> {
        self.digest = self.digest()?;
        serde_json::to_vec_pretty(self).map_err(|e| unwritable(&e))
    }

    /// Puts the file in its place in one step: after a crash the former or the new one is there.
    pub fn save(&mut self, folder: &Path) -> Result<(), VaultError> {
        let text = self.to_text()?;
        files::replace(&Slots::path(folder), &text)
    }

    /// Writes the file that is to take its place.
    pub fn save_next(&mut self, folder: &Path) -> Result<(), VaultError> {
        let text = self.to_text()?;
        files::replace(&folder.join(NEXT_FILE), &text)
    }

    /// Lets it take its place, in one step.
    pub fn promote_next(folder: &Path) -> Result<(), VaultError> {
        let path = Slots::path(folder);
        let moved = std::fs::rename(folder.join(NEXT_FILE), &path);
        moved.map_err(|e| unusable(&path, &e))?;
        files::sync_folder_of(&path)
    }

    /// Keeps others from changing the ways until the answer is dropped.
    pub fn hold(folder: &Path) -> Result<File, VaultError> {
        let path = folder.join(LOCK_FILE);
        let mut options = File::options();
        let opened = options.create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(|e| unusable(&path, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(VaultError::Held),
            Err(TryLockError::Error(e)) => Err(unusable(&path, &e)),
        }
    }

    /// Name of the store, on its recovery sheet and in its backups.
    pub fn store(&self) -> &str {
        &self.store
    }

    pub fn ways(&self) -> Vec<SlotView> {
        let view = |slot: &Slot| SlotView {
            number: slot.number,
            kind: slot.kind,
            made_ms: slot.made_ms,
            shares: slot.shares,
        };
        self.slots.iter().map(view).collect()
    }

    pub fn has(&self, kind: SlotKind) -> bool {
        self.slots.iter().any(|slot| slot.kind == kind)
    }

    /// Public keys of all recovery slots: what a backup is sealed to.
    pub fn recovery_keys(&self) -> Vec<[u8; 32]> {
        let recovery = |slot: &&Slot| slot.kind == SlotKind::Recovery;
        let keys = self.slots.iter().filter(recovery);
        keys.filter_map(|slot| unhex(&slot.public)?.try_into().ok())
            .collect()
    }

    /// The master key, by whichever way of its kind the secret opens.
    pub fn unlock(&self, secret: &Secret) -> Result<Master, VaultError> {
        let words = secret.kind().words();
        if !self.has(secret.kind()) {
            return Err(VaultError::NoSuchWay(words));
        }
        let ways = self.slots.iter().filter(|slot| slot.kind == secret.kind());
        for slot in ways {
            let bytes = secret.bytes(slot.argon2id.as_ref())?;
            if let Some(master) = self.opened(slot, &bytes) {
                return Ok(master);
            }
        }
        Err(VaultError::Refused(words))
    }

    fn opened(&self, slot: &Slot, secret: &[u8; 32]) -> Option<Master> {
        let sealed = unhex(&slot.sealed)?;
        let content = envelope::open(secret, &self.associated(slot), &sealed)?;
        Some(Master {
            current: Zeroizing::new(content.as_slice().try_into().ok()?),
        })
    }

    /// Adds a way; answers its number. Nothing is written before `save`.
    pub fn add(
        &mut self,
        master: &Master,
        (secret, shares): (&Secret, Option<Sharing>),
        (random, now_ms): Stamp,
    ) -> Result<u32, VaultError> {
        let stretching = (secret.kind() == SlotKind::Passphrase).then(|| Stretching::new(random));
        let bytes = secret.bytes(stretching.as_ref())?;
        let mut slot = Slot {
            number: self.next,
            kind: secret.kind(),
            made_ms: now_ms,
            argon2id: stretching,
            shares,
            public: HEXLOWER.encode(&envelope::public_key(&bytes)),
            sealed: String::new(),
        };
        slot.sealed = self.sealed(&slot, master)?;
        self.next += 1;
        self.slots.push(slot);
        Ok(self.next - 1)
    }

    /// Takes a way out, unless it is the last.
    pub fn remove(&mut self, number: u32) -> Result<SlotKind, VaultError> {
        let at = self.slots.iter().position(|slot| slot.number == number);
        let at = at.ok_or(VaultError::NoSuchSlot(number))?;
        if self.slots.len() == 1 {
            return Err(VaultError::LastWay(number));
        }
        Ok(self.slots.remove(at).kind)
    }

    /// Seals another master key into every way.
    pub fn reseal(&mut self, master: &Master) -> Result<(), VaultError> {
        let sealed = self.slots.iter().map(|slot| self.sealed(slot, master));
        let sealed: Vec<String> = sealed.collect::<Result<_, _>>()?;
        for (slot, sealed) in self.slots.iter_mut().zip(sealed) {
            slot.sealed = sealed;
        }
        Ok(())
    }

    fn sealed(&self, slot: &Slot, master: &Master) -> Result<String, VaultError> {
        let public = unhex(&slot.public).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let public = public.ok_or_else(|| VaultError::Envelope("no public key".to_owned()))?;
        let content = master.current.as_slice();
        let sealed = envelope::seal(&public, &self.associated(slot), content)?;
        Ok(HEXLOWER.encode(&sealed))
    }

    /// A sealed master key belongs to its slot and its store.
    fn associated(&self, slot: &Slot) -> Vec<u8> {
        let Slot { number, public, .. } = slot;
        format!("wayside way 1 {} {number} {public}", self.store).into_bytes()
    }

    fn digest(&self) -> Result<String, VaultError> {
        let bare = Slots {
            digest: String::new(),
            ..self.clone()
        };
        let text = serde_json::to_vec(&bare).map_err(|e| unwritable(&e))?;
        Ok(HEXLOWER.encode(&Sha256::digest(text)))
    }
}

fn unwritable(error: &serde_json::Error) -> VaultError {
    VaultError::Envelope(error.to_string())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(buffer: &mut [u8]) {
        buffer.fill(0x21);
    }

    fn master(byte: u8) -> Master {
        Master {
            current: Zeroizing::new([byte; 32]),
        }
    }

    fn file(byte: u8) -> Secret {
        Secret::KeyFile(Zeroizing::new([byte; 32]))
    }

    fn sheet(byte: u8) -> Secret {
        Secret::Recovery(Zeroizing::new([byte; 32]))
    }

    fn passphrase(text: &str) -> Secret {
        Secret::Passphrase(Zeroizing::new(text.to_owned()))
    }

    fn with(secrets: &[Secret]) -> Slots {
        let mut slots = Slots::new(random);
        for secret in secrets {
            slots.add(&master(5), (secret, None), (random, 7)).unwrap();
        }
        slots
    }

    #[test]
    fn every_way_opens_and_no_other() {
        let slots = with(&[file(1), passphrase("open"), sheet(3)]);
        for secret in [file(1), passphrase("open"), sheet(3)] {
            assert_eq!(*slots.unlock(&secret).unwrap().current, [5; 32]);
        }
        for secret in [file(3), passphrase("shut"), sheet(1)] {
            let error = slots.unlock(&secret).err().unwrap().to_string();
            assert!(error.starts_with("E-KEY-9"), "{error}");
        }
        let error = with(&[file(1)]).unlock(&sheet(1)).err().unwrap();
        assert!(error.to_string().starts_with("E-KEY-10"), "{error}");
    }

    #[test]
    fn the_last_way_stays() {
        let mut slots = with(&[file(1), sheet(3)]);
        assert!(matches!(slots.remove(9), Err(VaultError::NoSuchSlot(9))));
        assert_eq!(slots.remove(1).unwrap(), SlotKind::KeyFile);
        assert!(matches!(slots.remove(2), Err(VaultError::LastWay(2))));
        let number = slots
            .add(&master(5), (&file(1), None), (random, 7))
            .unwrap();
        assert_eq!(number, 3, "a number is never given again");
    }

    #[test]
    fn another_master_key_needs_nobody() {
        let mut slots = with(&[file(1), sheet(3)]);
        slots.reseal(&master(6)).unwrap();
        for secret in [file(1), sheet(3)] {
            assert_eq!(*slots.unlock(&secret).unwrap().current, [6; 32]);
        }
    }

    #[test]
    fn the_next_file_takes_the_place_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut slots = with(&[file(1)]);
        slots.save(folder).unwrap();
        assert!(Slots::load_next(folder).unwrap().is_none());
        slots.reseal(&master(6)).unwrap();
        slots.save_next(folder).unwrap();
        let first = Slots::load(folder).unwrap().unwrap();
        assert_eq!(*first.unlock(&file(1)).unwrap().current, [5; 32]);
        let next = Slots::load_next(folder).unwrap().unwrap();
        assert_eq!(*next.unlock(&file(1)).unwrap().current, [6; 32]);
        Slots::promote_next(folder).unwrap();
        assert_eq!(Slots::load(folder).unwrap().unwrap(), next);
        assert!(Slots::load_next(folder).unwrap().is_none());
        let held = Slots::hold(folder).unwrap();
        assert!(matches!(Slots::hold(folder), Err(VaultError::Held)));
        drop(held);
        assert!(Slots::hold(folder).is_ok());
    }

    #[test]
    fn the_file_comes_back_and_every_flip_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Slots::load(folder.path()).unwrap().is_none());
        let mut slots = with(&[file(1), sheet(3)]);
        slots.save(folder.path()).unwrap();
        assert_eq!(Slots::load(folder.path()).unwrap().unwrap(), slots);
        let path = Slots::path(folder.path());
        let sound = std::fs::read(&path).unwrap();
        for at in 0..sound.len() {
            if sound[at].is_ascii_whitespace() {
                continue;
            }
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let loaded = Slots::load(folder.path());
            assert!(
                matches!(loaded, Err(VaultError::Damaged { .. })),
                "byte {at}: {loaded:?}"
            );
        }
        std::fs::write(&path, &sound[..sound.len() / 2]).unwrap();
        assert!(Slots::load(folder.path()).is_err());
    }
}
