//! Where the site's secrets are kept, and how its store is opened: by a key file beside the data
//! folder or elsewhere, by a passphrase, or by what stands on the recovery sheet.

mod first_form;
mod guard;
mod sheet;

pub use guard::guard_memory;
pub use sheet::{share_text, sheet_text};

use crate::clock::Clock;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use vault::slots::Master;
use vault::{Secret, SlotKind, Slots, VaultError, files};
use zeroize::Zeroizing;

/// The files that belong to one data folder: `wayside-data` has `wayside-data.key` beside it.
#[derive(Clone, Debug, Default)]
pub struct Places {
    pub data: PathBuf,
    /// The key file when it is not beside the data folder, as on a stick.
    pub key: Option<PathBuf>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "E-KEY-1: {data} holds a store but {key} is missing; put its key file back, or run \
         `wayside keys recover` with the recovery sheet"
    )]
    Missing { data: String, key: String },
    #[error(
        "E-KEY-2: {0} is no key file: 64 hexadecimal digits are expected; put the right one back, \
         or run `wayside keys recover` with the recovery sheet"
    )]
    Malformed(String),
    #[error(
        "E-KEY-3: the store in {0} opens with a passphrase; set WAYSIDE_PASSPHRASE, or \
         store.passphrase_file"
    )]
    PassphraseNeeded(String),
    #[error("E-KEY-4: the store in {0} opens with its key file; give no passphrase")]
    PassphraseUnwanted(String),
    #[error("E-KEY-6: others may read {0}; run chmod 600 on it")]
    Exposed(String),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Places {
    pub fn key_file(&self) -> PathBuf {
        self.key.clone().unwrap_or_else(|| self.beside(".key"))
    }

    pub fn admin_token_file(&self) -> PathBuf {
        self.beside(".admin-token")
    }

    /// To be printed and taken away after the first start.
    pub fn sheet_file(&self) -> PathBuf {
        self.beside(".recovery-sheet")
    }

    /// The self-signed certificate and its key.
    pub fn tls_files(&self) -> (PathBuf, PathBuf) {
        (self.beside(".cert.pem"), self.beside(".cert-key.pem"))
    }

    /// Where a running gateway answers, for subcommands beside it.
    pub fn url_file(&self) -> PathBuf {
        self.beside(".url")
    }

    /// How many starts in a row did not last.
    pub fn starts_file(&self) -> PathBuf {
        self.beside(".starts")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.data.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    }

    /// There while a store is being restored into this folder, or was when that was cut off.
    pub fn restore_mark(folder: &Path) -> PathBuf {
        folder.join("restoring")
    }

    /// Was a restore into this place cut off before it had a store?
    pub fn is_half_restored(&self) -> bool {
        Places::restore_mark(&self.data).exists() && !self.has_store()
    }

    /// True once the folder holds a data file, readable or not.
    pub fn has_store(&self) -> bool {
        let entries = std::fs::read_dir(&self.data).into_iter().flatten();
        entries.flatten().any(|entry| {
            let path = entry.path();
            path.extension().is_some_and(|end| end == "mdb")
        })
    }
}

/// The key that opens the store: found, or made when there is no store yet. Never makes a new key
/// over a store.
pub fn obtain(places: &Places, passphrase: Option<Zeroizing<String>>) -> Result<Master, KeyError> {
    match Slots::load(&places.data)? {
        Some(slots) => unlocked(places, &slots, passphrase),
        None if places.has_store() || first_form::has_salt(places) => {
            first_form::obtain(places, passphrase)
        }
        None => first_start(places, passphrase),
    }
}

/// The key that a rotation was about to put in the place of the first, when it was cut off.
pub fn obtain_next(
    places: &Places,
    passphrase: Option<Zeroizing<String>>,
) -> Result<Option<Master>, KeyError> {
    let next = Slots::load_next(&places.data)?;
    next.map(|slots| unlocked(places, &slots, passphrase))
        .transpose()
}

fn unlocked(
    places: &Places,
    slots: &Slots,
    passphrase: Option<Zeroizing<String>>,
) -> Result<Master, KeyError> {
    let data = places.data.display().to_string();
    let secret = match passphrase {
        Some(_) if !slots.has(SlotKind::Passphrase) => {
            return Err(KeyError::PassphraseUnwanted(data));
        }
        Some(passphrase) => Secret::Passphrase(passphrase),
        None if slots.has(SlotKind::Passphrase) && !places.key_file().exists() => {
            return Err(KeyError::PassphraseNeeded(data));
        }
        None => Secret::KeyFile(existing_key_file(places)?),
    };
    Ok(slots.unlock(&secret)?)
}

/// Puts another master key in the place of the present one; all ways go on opening. The next file of the
/// ways is written, then the store takes the key, then the file takes its place: a crash between
/// two of them leaves one of the files right, and the start finds out which.
pub fn rotate(data: &Path, store: &store::Store) -> Result<(), KeyError> {
    let _held = Slots::hold(data)?;
    let mut slots = Slots::load(data)?.ok_or(VaultError::NoSuchWay("recovery key"))?;
    let master = Master {
        current: random_key(),
    };
    slots.reseal(&master)?;
    slots.save_next(data)?;
    let mut nonce = [0; 12];
    random(&mut nonce);
    let keys = store::Keys {
        key_encryption_key: *master.current,
    };
    store.rewrap(&keys, nonce).map_err(VaultError::from)?;
    Ok(Slots::promote_next(data)?)
}

/// `obtain` and the ways into the store. A store of the first form, whose key file was the key
/// itself, gets the file of its ways here.
pub fn ways(
    places: &Places,
    secret: Option<Secret>,
    passphrase: Option<Zeroizing<String>>,
) -> Result<(Slots, Master), KeyError> {
    let Some(slots) = Slots::load(&places.data)? else {
        let used = passphrase.clone();
        let master = obtain(places, passphrase)?;
        let slots = match Slots::load(&places.data)? {
            Some(slots) => slots,
            None => first_form::with_ways(places, &master, used)?,
        };
        return Ok((slots, master));
    };
    let master = match secret {
        Some(secret) => slots.unlock(&secret)?,
        None => obtain(places, passphrase)?,
    };
    Ok((slots, master))
}

/// Makes the ways into a store that is not there yet: a key file or a passphrase, and a recovery
/// key. The file of the ways comes last: what a crash leaves before it is used or made again.
fn first_start(places: &Places, passphrase: Option<Zeroizing<String>>) -> Result<Master, KeyError> {
    ensure_folder(&places.data)?;
    let master = Master {
        current: random_key(),
    };
    let secret = match passphrase {
        Some(passphrase) => Secret::Passphrase(passphrase),
        None => Secret::KeyFile(own_key_file(places)?),
    };
    let recovery = random_key();
    let now_ms = Clock::system(0).now_ms();
    let mut slots = Slots::new(random);
    slots.add(&master, (&secret, None), (random, now_ms))?;
    let sheet = sheet_text(slots.store(), now_ms, &recovery);
    slots.add(
        &master,
        (&Secret::Recovery(recovery), None),
        (random, now_ms),
    )?;
    files::replace(&places.sheet_file(), sheet.as_bytes())?;
    slots.save(&places.data)?;
    Ok(master)
}

fn existing_key_file(places: &Places) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let path = places.key_file();
    if !path.exists() {
        return Err(KeyError::Missing {
            data: places.data.display().to_string(),
            key: path.display().to_string(),
        });
    }
    read_key_file(&path)
}

fn own_key_file(places: &Places) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let path = places.key_file();
    if !path.exists() {
        write_key_file(&path, &random_key())?;
    }
    read_key_file(&path)
}

/// Writes a key file, never over another one.
pub fn write_key_file(path: &Path, key: &[u8; 32]) -> Result<(), KeyError> {
    let mut text = Zeroizing::new(format_hex(key));
    text.push('\n');
    Ok(files::write_once(path, text.as_bytes())?)
}

/// A key that nobody knows yet.
pub fn random_key() -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    random(bytes.as_mut_slice());
    bytes
}

/// The data folder, readable by its owner only when it is made here.
pub fn ensure_folder(path: &Path) -> Result<(), KeyError> {
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(path);
    made.map_err(|e| unusable(path, &e))?;
    Ok(files::sync_folder_of(path)?)
}

/// Lower-case hexadecimal digits.
pub fn format_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The 32 bytes of a key file that nobody else may read.
pub fn read_key_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let malformed = || KeyError::Malformed(path.display().to_string());
    let text = read_secret(path)?;
    let text = text.trim();
    if text.len() != 64 {
        return Err(malformed());
    }
    let mut key = Zeroizing::new([0; 32]);
    for (index, byte) in key.iter_mut().enumerate() {
        let digits = text.get(index * 2..index * 2 + 2).ok_or_else(malformed)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_no_hex| malformed())?;
    }
    Ok(key)
}

/// The text of a file that nobody else may read.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let mode = std::fs::metadata(path).map_err(|e| unusable(path, &e))?;
    if mode.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Exposed(path.display().to_string()));
    }
    let text = std::fs::read_to_string(path).map_err(|e| unusable(path, &e))?;
    Ok(Zeroizing::new(text))
}

/// Writes a file that only its owner may read, whole and synced; takes the place of an existing one.
pub fn replace_secret(path: &Path, text: &str) -> Result<(), KeyError> {
    let line = Zeroizing::new(format!("{}\n", text.trim_end()));
    Ok(files::replace(path, line.as_bytes())?)
}

fn unusable(path: &Path, error: &std::io::Error) -> VaultError {
    VaultError::Unusable {
        path: path.display().to_string(),
        detail: error.to_string(),
    }
}

/// Fills the buffer from the operating system; a machine without randomness must not go on.
pub fn random(buffer: &mut [u8]) {
    if getrandom::fill(buffer).is_err() {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests;
