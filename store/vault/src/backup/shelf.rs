//! Where backups are kept: named bytes that are whole or not there.

use crate::{VaultError, files};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A place for backups. Names are those of this module alone: letters, digits, `-`, `.` and one `/`.
pub trait Shelf {
    /// Durable once it returns, and never half there.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), VaultError>;
    /// `None` when there is no such name.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError>;
    /// All names below a folder, ascending.
    fn list(&self, folder: &str) -> Result<Vec<String>, VaultError>;
    fn remove(&self, name: &str) -> Result<(), VaultError>;
}

/// A folder, as on a stick or a mounted share.
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Made by [`Folder::make`]; nothing is written here.
    pub fn new(root: &Path) -> Folder {
        Folder {
            root: root.to_owned(),
        }
    }

    /// Was it made for backups?
    pub fn is_made(&self) -> bool {
        self.root.join("manifests").is_dir()
    }

    /// Makes the folders, if they are not there.
    pub fn make(&self) -> Result<(), VaultError> {
        for folder in ["packs", "manifests"] {
            let path = self.root.join(folder);
            fs::create_dir_all(&path).map_err(|e| refused(&path, &e))?;
            files::sync_folder_of(&path)?;
        }
        files::sync_folder_of(&self.root)
    }
}

impl Shelf for Folder {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
        let path = self.root.join(name);
        // Folders of older programs lack the newer ones; the root itself is never made here, for
        // without it the stick is not plugged in.
        if let Some(folder) = path.parent().filter(|folder| *folder != self.root)
            && !folder.is_dir()
        {
            fs::create_dir(folder).map_err(|e| refused(folder, &e))?;
            files::sync_folder_of(folder)?;
        }
        files::replace(&path, bytes)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        files::read(&self.root.join(name))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        let path = self.root.join(folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(refused(&path, &e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| refused(&path, &e))?;
            names.extend(entry.file_name().to_str().map(|n| format!("{folder}/{n}")));
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), VaultError> {
        let path = self.root.join(name);
        fs::remove_file(&path).map_err(|e| refused(&path, &e))
    }
}

fn refused(path: &Path, error: &std::io::Error) -> VaultError {
    VaultError::Shelf {
        path: path.display().to_string(),
        detail: error.to_string(),
    }
}
