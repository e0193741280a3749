//! The disk itself: what it has left, and a file that holds some of it back, to be given up when
//! nothing else is left.

use super::{Room, Stage};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Asks the disk of a folder.
pub fn measure(folder: &Path) -> io::Result<Room> {
    let about = rustix::fs::statvfs(folder)?;
    Ok(Room {
        free: about.f_bavail.saturating_mul(about.f_frsize),
        whole: about.f_blocks.saturating_mul(about.f_frsize),
    })
}

/// A file of nothing.
pub struct Reserve {
    path: PathBuf,
}

const BYTES_MIN: u64 = 4 << 20;
const BYTES_MAX: u64 = 64 << 20;
/// What is written at once where a file cannot be made long otherwise.
const PIECE_BYTES: usize = 1 << 20;

impl Reserve {
    pub fn at(path: PathBuf) -> Reserve {
        Reserve { path }
    }

    /// How large it is on such a disk: one part in two hundred, 4 to 64 MiB.
    pub fn bytes(whole: u64) -> u64 {
        (whole / 200).clamp(BYTES_MIN, BYTES_MAX)
    }

    /// Makes it where there is room, gives it up where there is none. In between it stays as it is.
    /// True when it is there afterwards.
    pub fn keep(&self, stage: Stage, whole: u64) -> io::Result<bool> {
        match (stage, self.is_held()) {
            (Stage::Out, true) => fs::remove_file(&self.path).map(|()| false),
            (Stage::Out, false) => Ok(false),
            (Stage::Short, is_held) => Ok(is_held),
            (_, true) => Ok(true),
            (_, false) => self.make(Reserve::bytes(whole)).map(|()| true),
        }
    }

    pub fn is_held(&self) -> bool {
        self.path.exists()
    }

    /// Under another name until it is whole.
    fn make(&self, bytes: u64) -> io::Result<()> {
        let unfinished = self.path.with_extension("making");
        let made = fill(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &self.path));
        if made.is_err() {
            fs::remove_file(&unfinished).unwrap_or_default();
        }
        made
    }
}

fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let no_flags = rustix::fs::FallocateFlags::empty();
    match rustix::fs::fallocate(&file, no_flags, 0, bytes) {
        Ok(()) => {}
        Err(error) => {
            let error = io::Error::from(error);
            if error.kind() == ErrorKind::StorageFull {
                return Err(error);
            }
            // A file system that knows no such wish.
            let piece = vec![0; PIECE_BYTES];
            let mut left = usize::try_from(bytes).unwrap_or(PIECE_BYTES);
            while let Some(part) = piece.get(..left.min(PIECE_BYTES)).filter(|p| !p.is_empty()) {
                file.write_all(part)?;
                left -= part.len();
            }
        }
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_asked() {
        let room = measure(Path::new("/")).unwrap();
        assert!(room.whole > 0 && room.free <= room.whole, "{room:?}");
        assert!(measure(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn the_reserve_is_given_up_last_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::at(folder.path().join("reserve"));
        let length = || fs::metadata(folder.path().join("reserve")).map(|about| about.len());
        let keep = |stage| reserve.keep(stage, 1 << 30).unwrap();
        assert!(!keep(Stage::Short), "there is no room to make it");
        assert!(keep(Stage::Scarce));
        assert_eq!(length().unwrap(), (1 << 30) / 200);
        assert!(keep(Stage::Short));
        assert!(!keep(Stage::Out));
        assert!(length().is_err());
        assert!(!keep(Stage::Out));
        assert!(
            !keep(Stage::Short),
            "what little came back is not taken again"
        );
        assert!(keep(Stage::Low));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        for (whole, bytes) in [(0, 4 << 20), (1 << 32, 21_474_836), (1 << 40, 64 << 20)] {
            assert_eq!(Reserve::bytes(whole), bytes);
        }
    }
}
