//! Where backups are kept: a folder, an S3-compatible store, or a folder of another machine over SFTP.

mod listing;
mod s3;
mod sftp;
mod signing;

pub use s3::S3Settings;
pub use sftp::SftpSettings;

use std::path::PathBuf;
use vault::VaultError;
use vault::backup::{Folder, Shelf};

/// A place for backups, as the configuration or the command line names it.
#[derive(Clone, Debug, PartialEq)]
pub enum BackupPlace {
    Folder(PathBuf),
    S3(S3Settings),
    Sftp(SftpSettings),
}

impl BackupPlace {
    /// The place, ready to read and write; nothing is asked of it yet.
    pub fn shelf(&self) -> Result<Box<dyn Shelf>, VaultError> {
        Ok(match self {
            BackupPlace::Folder(folder) => Box::new(Folder::new(folder)),
            BackupPlace::S3(settings) => Box::new(s3::Bucket::new(settings)?),
            BackupPlace::Sftp(settings) => Box::new(sftp::Remote::new(settings)?),
        })
    }

    /// The same with its folders made, where a place has any.
    pub fn made(&self) -> Result<Box<dyn Shelf>, VaultError> {
        match self {
            BackupPlace::Folder(folder) => {
                let folder = Folder::new(folder);
                folder.make()?;
                Ok(Box::new(folder))
            }
            BackupPlace::Sftp(settings) => {
                let remote = sftp::Remote::new(settings)?;
                remote.make()?;
                Ok(Box::new(remote))
            }
            BackupPlace::S3(_) => self.shelf(),
        }
    }

    /// For people: no secret is in it.
    pub fn words(&self) -> String {
        match self {
            BackupPlace::Folder(folder) => folder.display().to_string(),
            BackupPlace::S3(settings) => settings.words(),
            BackupPlace::Sftp(settings) => settings.words(),
        }
    }
}

fn refused(path: &str, detail: impl Into<String>) -> VaultError {
    VaultError::Shelf {
        path: path.to_owned(),
        detail: detail.into(),
    }
}
