//! What is known of the scrub: how far the round under way is, and what the last one found. One sealed
//! row, so that a round goes on after a restart.

use serde::{Deserialize, Serialize};
use store::VerifyReport;

/// Findings that a round names; of what is beyond, only the number is kept.
const NAMED_MAX: usize = 100;

/// How it stands with the scrub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubState {
    pub under_way: Option<Round>,
    /// How far the round under way is, in hundredths, about.
    pub percent: u64,
    /// The last round that came to its end.
    pub last: Option<Round>,
    /// Where the round under way goes on.
    #[serde(default)]
    pub(super) stage: u32,
    #[serde(default)]
    pub(super) after: Vec<u8>,
}

/// One look over everything stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    pub started_ms: i64,
    /// Absent while it is under way.
    pub ended_ms: Option<i64>,
    pub resources: u64,
    pub versions: u64,
    pub values: u64,
    pub postings: u64,
    pub changes: u64,
    pub audit_entries: u64,
    pub rows: u64,
    /// How much was found damaged, and how much of it was put right at once.
    pub findings: u64,
    pub mended: u64,
    /// The first 100 of them.
    pub named: Vec<Found>,
}

/// Something that was found damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub database: String,
    pub text: String,
    /// `Type/id`, when it is about a resource whose name is still known.
    pub resource: Option<String>,
    pub mended: bool,
}

impl Round {
    /// What is found and not put right.
    pub fn open(&self) -> u64 {
        self.findings.saturating_sub(self.mended)
    }

    /// Adds what a look has counted on top of `before`.
    pub(super) fn count(&mut self, before: &Round, report: &VerifyReport) {
        self.resources = before.resources + report.heads;
        self.versions = before.versions + report.versions;
        self.values = before.values + report.values;
        self.postings = before.postings + report.postings;
        self.changes = before.changes + report.changes;
        self.audit_entries = before.audit_entries + report.audit_entries;
        self.rows = before.rows + report.rows;
    }

    /// A round that goes on after a restart may come by the same damage twice.
    pub(super) fn knows(&self, database: &str, text: &str) -> bool {
        let same = |found: &Found| found.database == database && found.text == text;
        self.named.iter().any(same)
    }

    pub(super) fn add(&mut self, found: Found) {
        self.findings += 1;
        self.mended += u64::from(found.mended);
        if self.named.len() < NAMED_MAX {
            self.named.push(found);
        }
    }
}

impl ScrubState {
    /// What the round under way, or else the last one, found and could not put right.
    pub fn open(&self) -> u64 {
        let rounds = self.under_way.iter().chain(&self.last);
        rounds.map(Round::open).max().unwrap_or(0)
    }
}
