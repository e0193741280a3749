//! Looking over the whole store: figures for metrics, and a check that everything stored opens and
//! agrees, in one go or in small steps beside all other work.

mod chains;
pub(crate) mod ends;
mod lists;
mod look;
pub(crate) mod mend;
mod resources;
mod structure;

pub use look::{Look, LookOptions, Reached, TermsOf};
pub use structure::Space;

use crate::datafile;
use crate::{Rid, Seq, Snapshot, Store, StoreError, VersionId};

/// Figures of a store, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Resources ever written, deleted ones included.
    pub resources: u64,
    pub versions: u64,
    pub changes: u64,
    pub audit_entries: u64,
    pub last_seq: Seq,
    /// Bytes of the data file, free pages included.
    pub file_bytes: u64,
    /// Bytes still free on the disk of the data file.
    pub disk_free_bytes: u64,
}

/// Something that does not open or does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub database: &'static str,
    /// What is wrong, with numbers of rows; never stored values.
    pub text: String,
    /// What it is about, for who mends it.
    pub about: Damage,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    Head(Rid),
    /// Nothing leads from the name of the resource to it: its key is put anew.
    Key(Rid),
    Version(Rid, VersionId),
    /// Search values: they are made anew of the body.
    Values(Rid),
    /// The resource is missing from lists of its terms: it is posted anew.
    Unlisted(Rid),
    /// The resource is in the list of a term (blinded) that it has not: it is taken away.
    Stray(Rid, [u8; 16]),
    Change(Seq),
    Audit(u64),
    /// A small row of the gateway.
    Row,
    /// The shape of the trees.
    Shape,
}

/// What [`Store::verify`] looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    pub heads: u64,
    pub versions: u64,
    pub values: u64,
    /// Places of posting lists that were held against the terms of their resources.
    pub postings: u64,
    pub changes: u64,
    pub audit_entries: u64,
    pub rows: u64,
    /// How many findings there are; `findings` holds the first 5,000, less what was taken.
    pub findings_total: u64,
    pub findings: Vec<Finding>,
}

const FINDINGS_KEPT: usize = 5000;

impl VerifyReport {
    pub(crate) fn find(&mut self, database: &'static str, about: Damage, text: String) {
        if self.findings.len() < FINDINGS_KEPT {
            self.findings.push(Finding {
                database,
                text,
                about,
            });
        }
        self.findings_total += 1;
    }

    /// The value, or a finding when it is damaged; a fault of the disk ends the check.
    fn opened<T>(
        &mut self,
        about: Damage,
        read: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Corrupt { database, key }) => {
                self.find(database, about, format!("the value of {key} is damaged"));
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }
}

impl Store {
    /// Figures for metrics; cheap enough for every scrape.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let engine = self.engine()?;
        let snapshot = Snapshot::begin(&engine)?;
        let view = snapshot.view();
        let last_seq = view.last_seq()?;
        Ok(Stats {
            // Numbers are given without gaps and rows never taken away, so the last is the count.
            resources: view.last_rid()?.0,
            versions: last_seq.0,
            changes: last_seq.0,
            audit_entries: view.last_audit_number()?,
            last_seq,
            file_bytes: engine.end_of_pages(),
            disk_free_bytes: datafile::free_bytes(&engine.folder)?,
        })
    }

    /// Opens every sealed value and checks that heads, versions, changes and the audit chain
    /// agree. With `sample`, bodies of at most about that many resources are opened, evenly spread;
    /// all else is checked in full. Writing goes on meanwhile. Posting lists are looked at in shape
    /// alone: [`Store::look`] with terms checks each place.
    pub fn verify(&self, sample: Option<u64>) -> Result<VerifyReport, StoreError> {
        let options = LookOptions {
            sample,
            ..LookOptions::default()
        };
        let mut look = self.look(options)?;
        while !look.step()? {}
        Ok(look.into_report())
    }

    /// A check in small steps, from the start or from where another one came to.
    pub fn look(&self, options: LookOptions) -> Result<Look, StoreError> {
        Look::begin(self, options)
    }

    /// What each database takes in the data file; what is still in the log is not in it.
    pub fn space(&self) -> Result<Vec<Space>, StoreError> {
        structure::space(&self.engine()?)
    }
}
