//! Looking over the whole store: figures for metrics, and a check that everything stored opens and
//! agrees.

mod structure;

pub use structure::Space;

use crate::apply::chain_link;
use crate::catalog;
use crate::datafile;

use crate::{AuditEntry, Change, Head, Rid, Seq, Snapshot, Store, StoreError, VersionId, View};

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
}

/// What [`Store::verify`] looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    pub heads: u64,
    pub versions: u64,
    pub values: u64,
    pub changes: u64,
    pub audit_entries: u64,
    pub rows: u64,
    /// How many findings there are; `findings` holds the first 100.
    pub findings_total: u64,
    pub findings: Vec<Finding>,
}

const FINDINGS_KEPT: u64 = 100;
/// Rows looked at under one snapshot, so that verifying holds back neither page reuse nor growth.
const ROWS_A_SNAPSHOT: u64 = 512;

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
    /// all else is checked in full. Writing goes on meanwhile.
    pub fn verify(&self, sample: Option<u64>) -> Result<VerifyReport, StoreError> {
        let resources = self.stats()?.resources;
        let stride = sample.map_or(1, |sample| (resources / sample.max(1)).max(1));
        let mut check = Check {
            store: self,
            stride,
            report: VerifyReport::default(),
        };
        check.heads()?;
        check.changes()?;
        check.audit()?;
        check.rows()?;
        structure::check(&self.engine()?, |database, text| check.find(database, text))?;
        Ok(check.report)
    }

    /// What each database takes in the data file; what is still in the log is not in it.
    pub fn space(&self) -> Result<Vec<Space>, StoreError> {
        structure::space(&self.engine()?)
    }
}

struct Check<'a> {
    store: &'a Store,
    stride: u64,
    report: VerifyReport,
}

impl Check<'_> {
    fn find(&mut self, database: &'static str, text: String) {
        if self.report.findings_total < FINDINGS_KEPT {
            self.report.findings.push(Finding { database, text });
        }
        self.report.findings_total += 1;
    }

    /// The value, or a finding when it is damaged; a fault of the disk ends the check.
    fn opened<T>(&mut self, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Corrupt { database, key }) => {
                self.find(database, format!("the value of {key} is damaged"));
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn heads(&mut self) -> Result<(), StoreError> {
        let mut after = Rid(0);
        loop {
            let snapshot = self.store.snapshot()?;
            let view = snapshot.view();
            let last = view.last_rid()?;
            let until = Rid((after.0 + ROWS_A_SNAPSHOT).min(last.0));
            for rid in after.0 + 1..=until.0 {
                if let Some(head) = self.opened(view.head_of(Rid(rid)))? {
                    self.head(&view, Rid(rid), head)?;
                }
            }
            if until == last {
                return Ok(());
            }
            after = until;
        }
    }

    fn head(&mut self, view: &View<'_>, rid: Rid, head: Option<Head>) -> Result<(), StoreError> {
        let Some(head) = head else {
            self.find(catalog::HEADS, format!("there is no head {}", rid.0));
            return Ok(());
        };
        self.report.heads += 1;
        let row = self.opened(view.head_row(rid))?.flatten();
        if let Some(row) = row
            && self.opened(view.head_row_of_key(&row.blinded_key))? == Some(None)
        {
            self.find(catalog::KEYS, format!("no key leads to resource {}", rid.0));
        }
        let values = self.opened(view.values(rid))?;
        match values {
            Some(values) if values.is_some() == head.deleted => {
                let text = format!("search values and head of resource {} disagree", rid.0);
                self.find(catalog::VALUES, text);
            }
            Some(Some(_)) => self.report.values += 1,
            _ => {}
        }
        if rid.0.is_multiple_of(self.stride) {
            self.versions(view, &head)?;
        }
        Ok(())
    }

    fn versions(&mut self, view: &View<'_>, head: &Head) -> Result<(), StoreError> {
        let mut is_missing = false;
        for number in 1..=head.newest.0 {
            let read = view.version(head.rid, VersionId(number));
            let Some(version) = self.opened(read)? else {
                is_missing = false;
                continue;
            };
            let name = format!("version {number} of resource {}", head.rid.0);
            let Some(version) = version else {
                is_missing = true;
                continue;
            };
            // A purge leaves a gap below a deletion, and nothing else leaves one.
            if is_missing && !version.deleted {
                self.find(
                    catalog::VERSIONS,
                    format!("versions before {name} are missing"),
                );
            }
            is_missing = false;
            self.report.versions += 1;
            let blinded = self.store.engine()?.blinder.key(&version.key);
            if self
                .opened(view.head_row(head.rid))?
                .flatten()
                .map(|row| row.blinded_key)
                != Some(blinded)
            {
                self.find(
                    catalog::VERSIONS,
                    format!("{name} belongs to another resource"),
                );
            }
            let is_head = version.version == head.version;
            let agrees = (version.seq, version.deleted) == (head.seq, head.deleted);
            if is_head && !(agrees && version.was_head) {
                self.find(catalog::HEADS, format!("{name} and its head disagree"));
            }
        }
        if is_missing {
            let text = format!("the newest versions of resource {} are missing", head.rid.0);
            self.find(catalog::VERSIONS, text);
        }
        Ok(())
    }

    fn changes(&mut self) -> Result<(), StoreError> {
        let mut after = Seq(0);
        loop {
            let snapshot = self.store.snapshot()?;
            let view = snapshot.view();
            let last = view.last_seq()?;
            let until = Seq((after.0 + ROWS_A_SNAPSHOT).min(last.0));
            for seq in after.0 + 1..=until.0 {
                let read = view.changes(Seq(seq - 1), 1);
                let Some(found) = self.opened(read)? else {
                    continue;
                };
                match found.first() {
                    Some(change) if change.seq.0 == seq => self.change(&view, change)?,
                    _ => self.find(catalog::CHANGES, format!("change {seq} is missing")),
                }
            }
            if until == last {
                return Ok(());
            }
            after = until;
        }
    }

    fn change(&mut self, view: &View<'_>, change: &Change) -> Result<(), StoreError> {
        self.report.changes += 1;
        let newest = self.opened(view.head_of(change.rid))?;
        let known = newest.map(|head| head.is_some_and(|head| head.newest >= change.version));
        if known == Some(false) {
            let text = format!("change {} names a version that is not there", change.seq.0);
            self.find(catalog::CHANGES, text);
        }
        Ok(())
    }

    fn audit(&mut self) -> Result<(), StoreError> {
        let mut before: Option<AuditEntry> = None;
        let mut after = 0;
        loop {
            let snapshot = self.store.snapshot()?;
            let view = snapshot.view();
            let last = view.last_audit_number()?;
            let until = (after + ROWS_A_SNAPSHOT).min(last);
            for number in after + 1..=until {
                let read = view.audit(number - 1, 1);
                let entry = self.opened(read)?.and_then(|mut found| found.pop());
                if let Some(entry) = &entry {
                    self.link(before.as_ref(), entry, number);
                }
                before = entry;
            }
            if until == last {
                return Ok(());
            }
            after = until;
        }
    }

    /// Checks one link; without the entry before there is nothing to check it against.
    fn link(&mut self, before: Option<&AuditEntry>, entry: &AuditEntry, number: u64) {
        self.report.audit_entries += 1;
        let known = if number == 1 {
            Some([0; 32])
        } else {
            before.map(|before| before.chain)
        };
        if entry.number != number {
            self.find(catalog::AUDIT, format!("audit entry {number} is missing"));
        } else if known.is_some_and(|chain| entry.chain != chain_link(&chain, &entry.body)) {
            self.find(
                catalog::AUDIT,
                format!("the chain breaks at audit entry {number}"),
            );
        }
    }

    fn rows(&mut self) -> Result<(), StoreError> {
        let mut after = vec![0];
        loop {
            let limit = usize::try_from(ROWS_A_SNAPSHOT).unwrap_or(1);
            let read = self.store.snapshot()?.view().try_rows(&after, limit)?;
            let Some((last, rows)) = read else {
                return Ok(());
            };
            for row in rows {
                if self.opened(row)?.is_some() {
                    self.report.rows += 1;
                }
            }
            after = last;
        }
    }
}
