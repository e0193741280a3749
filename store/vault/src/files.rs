//! Files that are whole or not there: written aside, synced, named in one step, folder synced.

use crate::VaultError;
use crate::error::unusable;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes a file that only its owner may read; an existing one stays as it is, also when two race.
pub fn write_once(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    let fresh = write_aside(path, bytes)?;
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh).map_err(|e| unusable(&fresh, &e))?;
    match linked {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(unusable(path, &e)),
        _ => sync_folder_of(path),
    }
}

/// As `write_once`, but takes the place of an existing file: after a crash one of the two is there.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    let fresh = write_aside(path, bytes)?;
    fs::rename(&fresh, path).map_err(|e| unusable(path, &e))?;
    sync_folder_of(path)
}

/// The bytes of a file; `None` when there is none.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, VaultError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unusable(path, &e)),
    }
}

fn write_aside(path: &Path, bytes: &[u8]) -> Result<PathBuf, VaultError> {
    let mut fresh = path.to_path_buf().into_os_string();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&fresh).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(fresh),
        Err(e) => {
            // The refusal is already on its way; half a file would only puzzle.
            fs::remove_file(&fresh).unwrap_or_default();
            Err(unusable(&fresh, &e))
        }
    }
}

/// Makes the name of a file durable.
pub fn sync_folder_of(path: &Path) -> Result<(), VaultError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let synced: io::Result<()> = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|e| unusable(folder, &e))
}
