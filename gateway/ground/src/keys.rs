//! Where the site's secrets are kept, and the key that opens its store: a key file beside the data
//! folder, or a passphrase with its salt inside the folder.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use store::Keys;
use zeroize::Zeroizing;

/// The files that belong to one data folder: `wayside-data` has `wayside-data.key` beside it.
#[derive(Clone, Debug)]
pub struct Places {
    pub data: PathBuf,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("E-KEY-1: {data} holds a store but {key} is missing; put its key file back")]
    Missing { data: String, key: String },
    #[error(
        "E-KEY-2: {0} is no key file: 64 hexadecimal digits are expected; put the right one back"
    )]
    Malformed(String),
    #[error("E-KEY-3: the store in {0} opens with a passphrase; set WAYSIDE_PASSPHRASE")]
    PassphraseNeeded(String),
    #[error("E-KEY-4: the store in {0} opens with its key file; unset WAYSIDE_PASSPHRASE")]
    PassphraseUnwanted(String),
    #[error("E-KEY-5: cannot use {path}: {detail}; check that it exists and is yours to write")]
    Unusable { path: String, detail: String },
    #[error("E-KEY-6: others may read {0}; run chmod 600 on it")]
    Exposed(String),
    #[error("E-KEY-7: the passphrase cannot be turned into a key: {0}")]
    Derivation(String),
}

impl Places {
    pub fn key_file(&self) -> PathBuf {
        self.beside(".key")
    }

    pub fn admin_token_file(&self) -> PathBuf {
        self.beside(".admin-token")
    }

    /// The self-signed certificate and its key.
    pub fn tls_files(&self) -> (PathBuf, PathBuf) {
        (self.beside(".cert.pem"), self.beside(".cert-key.pem"))
    }

    /// Where a running gateway answers, for subcommands beside it.
    pub fn url_file(&self) -> PathBuf {
        self.beside(".url")
    }

    fn salt_file(&self) -> PathBuf {
        self.data.join("passphrase.salt")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.data.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
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

/// The store's key: found, or made when there is no store yet. Never makes a new key over a store.
pub fn obtain(places: &Places, passphrase: Option<Zeroizing<String>>) -> Result<Keys, KeyError> {
    let data = places.data.display().to_string();
    match (passphrase, places.salt_file().exists()) {
        (None, true) => Err(KeyError::PassphraseNeeded(data)),
        (None, false) => from_key_file(places),
        (Some(_), false) if places.has_store() => Err(KeyError::PassphraseUnwanted(data)),
        (Some(passphrase), _) => from_passphrase(places, &passphrase),
    }
}

fn from_key_file(places: &Places) -> Result<Keys, KeyError> {
    let path = places.key_file();
    if !path.exists() {
        if places.has_store() {
            return Err(KeyError::Missing {
                data: places.data.display().to_string(),
                key: path.display().to_string(),
            });
        }
        write_secret_once(&path, &random_hex())?;
    }
    let key_encryption_key = read_hex(&path)?;
    Ok(Keys { key_encryption_key })
}

fn from_passphrase(places: &Places, passphrase: &str) -> Result<Keys, KeyError> {
    let path = places.salt_file();
    if !path.exists() {
        ensure_folder(&places.data)?;
        write_secret_once(&path, &random_hex())?;
    }
    let salt = read_hex(&path)?;
    let mut key_encryption_key = [0; 32];
    argon2::Argon2::default()
        .hash_password_into(passphrase.as_bytes(), &salt, &mut key_encryption_key)
        .map_err(|e| KeyError::Derivation(e.to_string()))?;
    Ok(Keys { key_encryption_key })
}

/// The data folder, readable by its owner only when it is made here.
pub fn ensure_folder(path: &Path) -> Result<(), KeyError> {
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(path);
    made.map_err(|e| unusable(path, &e))?;
    sync_folder_of(path)
}

fn random_hex() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    random(bytes.as_mut());
    Zeroizing::new(format_hex(bytes.as_ref()))
}

/// Lower-case hexadecimal digits.
pub fn format_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_hex(path: &Path) -> Result<[u8; 32], KeyError> {
    let malformed = || KeyError::Malformed(path.display().to_string());
    let mode = std::fs::metadata(path).map_err(|e| unusable(path, &e))?;
    if mode.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Exposed(path.display().to_string()));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| unusable(path, &e))?);
    let text = text.trim();
    if text.len() != 64 {
        return Err(malformed());
    }
    let mut key = [0; 32];
    for (index, byte) in key.iter_mut().enumerate() {
        let digits = text.get(index * 2..index * 2 + 2).ok_or_else(malformed)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_no_hex| malformed())?;
    }
    Ok(key)
}

/// Writes a file that only its owner may read, whole and synced or not at all; an existing file
/// stays as it is, also when two starts race.
pub fn write_secret_once(path: &Path, text: &str) -> Result<(), KeyError> {
    let fresh = write_aside(path, text)?;
    let linked = std::fs::hard_link(&fresh, path);
    std::fs::remove_file(&fresh).map_err(|e| unusable(&fresh, &e))?;
    match linked {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(unusable(path, &e)),
        _ => sync_folder_of(path),
    }
}

/// As `write_secret_once`, but replaces an existing file.
pub fn replace_secret(path: &Path, text: &str) -> Result<(), KeyError> {
    let fresh = write_aside(path, text)?;
    std::fs::rename(&fresh, path).map_err(|e| unusable(path, &e))?;
    sync_folder_of(path)
}

fn write_aside(path: &Path, text: &str) -> Result<PathBuf, KeyError> {
    let mut fresh = path.to_path_buf().into_os_string();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let mut options = std::fs::OpenOptions::new();
    let write = || {
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        writeln!(file, "{}", text.trim_end())?;
        file.sync_all()
    };
    let written: std::io::Result<()> = { write }();
    written.map_err(|e| unusable(&fresh, &e))?;
    Ok(fresh)
}

fn sync_folder_of(path: &Path) -> Result<(), KeyError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|e| unusable(folder, &e))
}

fn unusable(path: &Path, error: &std::io::Error) -> KeyError {
    KeyError::Unusable {
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
mod tests {
    use super::*;

    fn places() -> (tempfile::TempDir, Places) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        (folder, Places { data })
    }

    fn pass(text: &str) -> Option<Zeroizing<String>> {
        Some(Zeroizing::new(text.to_owned()))
    }

    fn make_store(places: &Places) {
        std::fs::create_dir_all(&places.data).unwrap();
        std::fs::write(places.data.join("data.mdb"), b"x").unwrap();
    }

    #[test]
    fn a_key_file_is_made_once_and_only_its_owner_reads_it() {
        let (_folder, places) = places();
        let first = obtain(&places, None).unwrap().key_encryption_key;
        let second = obtain(&places, None).unwrap().key_encryption_key;
        assert_eq!(first, second);
        assert_ne!(first, [0; 32]);
        let mode = std::fs::metadata(places.key_file()).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_store_without_its_key_never_gets_a_new_one() {
        let (_folder, places) = places();
        make_store(&places);
        let error = obtain(&places, None).err().unwrap().to_string();
        assert!(error.starts_with("E-KEY-1"), "{error}");
        assert!(!places.key_file().exists());
    }

    #[test]
    fn the_same_passphrase_gives_the_same_key() {
        let (_folder, places) = places();
        let first = obtain(&places, pass("open")).unwrap().key_encryption_key;
        make_store(&places);
        let again = obtain(&places, pass("open")).unwrap().key_encryption_key;
        let other = obtain(&places, pass("shut")).unwrap().key_encryption_key;
        assert_eq!(first, again);
        assert_ne!(first, other);
        let error = obtain(&places, None).err().unwrap().to_string();
        assert!(error.starts_with("E-KEY-3"), "{error}");
    }

    #[test]
    fn a_passphrase_over_a_key_file_store_is_refused() {
        let (_folder, places) = places();
        obtain(&places, None).unwrap();
        make_store(&places);
        let error = obtain(&places, pass("open")).err().unwrap().to_string();
        assert!(error.starts_with("E-KEY-4"), "{error}");
    }

    #[test]
    fn a_damaged_or_exposed_key_file_is_refused() {
        let (_folder, places) = places();
        replace_secret(&places.key_file(), "0123").unwrap();
        let error = obtain(&places, None).err().unwrap().to_string();
        assert!(error.starts_with("E-KEY-2"), "{error}");
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(places.key_file(), open).unwrap();
        let error = obtain(&places, None).err().unwrap().to_string();
        assert!(error.starts_with("E-KEY-6"), "{error}");
    }
}
