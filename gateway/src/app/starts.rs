//! Starts that did not last a minute are counted in a file beside the store: a box that crashes again
//! and again ends with a store open for reading, and says so, instead of wearing out its disk.

use super::StartError;
use gateway_ground::keys;
use std::path::PathBuf;
use std::time::Duration;

/// A start that lasts so long is a good one.
pub(super) const GOOD: Duration = Duration::from_secs(60);

/// The count of starts in a row that did not last.
pub(super) struct Starts {
    file: PathBuf,
}

impl Starts {
    pub(super) fn at(file: PathBuf) -> Starts {
        Starts { file }
    }

    /// Counts this start; why nothing may be written when there were `most` before it that did not
    /// last. 0 sets no limit. A start for reading does not count.
    pub(super) fn begin(&self, most: u32) -> Result<Option<String>, StartError> {
        let before = self.count();
        if most > 0 && before >= most {
            return Ok(Some(format!(
                "{before} starts in a row did not last a minute; look at the log, then start with --leave-read-only"
            )));
        }
        self.write(before.saturating_add(1))?;
        Ok(None)
    }

    /// Nothing before counts any more: this start lasted, ended as asked, or an operator says so.
    pub(super) fn forget(&self) -> Result<(), StartError> {
        match self.count() {
            0 => Ok(()),
            _ => self.write(0),
        }
    }

    fn count(&self) -> u32 {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn write(&self, count: u32) -> Result<(), StartError> {
        Ok(keys::replace_secret(&self.file, &count.to_string())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loop_ends_and_is_left_by_an_operator() {
        let folder = tempfile::tempdir().unwrap();
        let starts = Starts::at(folder.path().join("starts"));
        let begin = || starts.begin(3).unwrap();
        assert_eq!([begin(), begin(), begin()], [None, None, None]);
        for _ in 0..2 {
            let why = begin().unwrap();
            assert!(why.starts_with("3 starts"), "{why}");
        }
        assert_eq!(starts.begin(0).unwrap(), None);
        starts.forget().unwrap();
        assert_eq!(begin(), None);
    }
}
