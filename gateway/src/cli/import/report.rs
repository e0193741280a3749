//! What became of each file: counts by type, and each reject with its place and reason.

use super::files;
use super::posting::{Place, Posting};
use fhir_mapping::model::{Json, format};
use std::collections::BTreeMap;
use std::path::Path;

/// An answer of the gateway: status and JSON body.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Json,
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[derive(Default)]
pub(super) struct Report {
    pub(super) files: Vec<FileReport>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Imported,
    /// Came in whole before.
    Skipped,
}

/// How many resources of a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) created: u64,
    /// Updated, or already there unchanged.
    pub(super) known: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reject {
    pub(super) place: Place,
    /// FHIRPath of the element; may be empty.
    pub(super) expression: String,
    /// Number and reason.
    pub(super) text: String,
}

pub(super) struct FileReport {
    pub(super) file: String,
    pub(super) outcome: Outcome,
    /// Lines that an earlier run had imported.
    pub(super) resumed_after: u64,
    pub(super) counts: BTreeMap<String, Count>,
    pub(super) rejected: u64,
    /// The first of them.
    pub(super) rejects: Vec<Reject>,
}

/// A file may be wrong in every line: the report stays readable and small.
const REJECTS_KEPT: usize = 100;

impl FileReport {
    pub(super) fn new(path: &Path) -> FileReport {
        FileReport {
            file: files::name(path),
            outcome: Outcome::Imported,
            resumed_after: 0,
            counts: BTreeMap::new(),
            rejected: 0,
            rejects: Vec::new(),
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.rejected == 0
    }

    pub(super) fn reject_file(&mut self, text: String) {
        self.reject(Place::File, "", text);
    }

    pub(super) fn reject(&mut self, place: Place, expression: &str, text: String) {
        self.rejected += 1;
        if self.rejects.len() < REJECTS_KEPT {
            let expression = expression.to_owned();
            self.rejects.push(Reject {
                place,
                expression,
                text,
            });
        }
    }

    /// Counts what a reply says of each entry.
    pub(super) fn settle(&mut self, posting: &Posting, reply: &Reply) {
        if !reply.is_success() {
            return self.refused(posting, reply);
        }
        let answers = reply.body.items("entry");
        for (index, (place, kind)) in posting.entries.iter().enumerate() {
            let response = answers.get(index).and_then(|entry| entry.get("response"));
            let status = response.and_then(|r| r.get("status")?.as_str()?.get(..3)?.parse().ok());
            match status.unwrap_or(0) {
                201 => self.counts.entry(kind.clone()).or_default().created += 1,
                200..300 => self.counts.entry(kind.clone()).or_default().known += 1,
                status => {
                    let outcome = response.and_then(|r| r.get("outcome"));
                    let (expression, text) = first_issue(outcome, status);
                    self.reject(*place, &inside(&expression, kind), text);
                }
            }
        }
    }

    /// A Bundle refused as a whole; the findings name entries.
    fn refused(&mut self, posting: &Posting, reply: &Reply) {
        let issues = reply.body.items("issue");
        if issues.is_empty() {
            return self.reject_file(format!("E-IMPORT-13: refused with status {}", reply.status));
        }
        for issue in issues {
            let (expression, text) = of_issue(issue);
            match entry_index(&expression).and_then(|i| posting.entries.get(i)) {
                Some((place, kind)) => self.reject(*place, &inside(&expression, kind), text),
                None => self.reject(Place::File, &expression, text),
            }
        }
    }
}

fn first_issue(outcome: Option<&Json>, status: u16) -> (String, String) {
    match outcome.and_then(|outcome| outcome.items("issue").first()) {
        Some(issue) => of_issue(issue),
        None => {
            let text = format!("E-IMPORT-14: refused with status {status}");
            (String::new(), text)
        }
    }
}

fn of_issue(issue: &Json) -> (String, String) {
    let expression = issue.str_at(&["expression"]).unwrap_or_default();
    let text = issue.str_at(&["diagnostics"]);
    let text = text.or_else(|| issue.str_at(&["details", "text"]));
    let text = text
        .or_else(|| issue.str_at(&["code"]))
        .unwrap_or("refused");
    (expression.to_owned(), text.to_owned())
}

/// `Patient.name` of `Bundle.entry[3].resource.name`: the place says the rest.
fn inside(expression: &str, kind: &str) -> String {
    let rest = expression.strip_prefix("Bundle.entry[");
    let rest = rest
        .and_then(|rest| rest.split_once(']'))
        .map(|(_, rest)| rest);
    match rest.map(|rest| (rest.strip_prefix(".resource"), rest)) {
        Some((Some(element), _)) => format!("{kind}{element}"),
        Some((None, rest)) => rest.trim_start_matches('.').to_owned(),
        None => expression.to_owned(),
    }
}

/// 3 of `Bundle.entry[3].resource.name`.
fn entry_index(expression: &str) -> Option<usize> {
    let rest = expression.strip_prefix("Bundle.entry[")?;
    rest.split_once(']')?.0.parse().ok()
}

impl Report {
    pub(super) fn is_clean(&self) -> bool {
        self.files.iter().all(FileReport::is_clean)
    }

    pub(super) fn counts(&self) -> BTreeMap<&str, Count> {
        let mut sums: BTreeMap<&str, Count> = BTreeMap::new();
        for (kind, count) in self.files.iter().flat_map(|file| &file.counts) {
            let sum = sums.entry(kind).or_default();
            sum.created += count.created;
            sum.known += count.known;
        }
        sums
    }

    /// For people: what was skipped and rejected, then the sums by type.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.files
            .iter()
            .for_each(|file| file.add_lines(&mut lines));
        let counts = self.counts();
        for (kind, count) in &counts {
            let (created, known) = (count.created, count.known);
            lines.push(format!("{kind:<30} {created:>8} created {known:>8} known"));
        }
        let created: u64 = counts.values().map(|count| count.created).sum();
        let known: u64 = counts.values().map(|count| count.known).sum();
        let rejected: u64 = self.files.iter().map(|file| file.rejected).sum();
        let files = self.files.len();
        lines.push(format!(
            "{files} files: {created} resources created, {known} known before, {rejected} rejects"
        ));
        lines
    }

    pub(super) fn json(&self) -> String {
        let counts = self
            .counts()
            .into_iter()
            .map(|(kind, count)| (kind, count.json()));
        format(&Json::object([
            (
                "files",
                Json::array(self.files.iter().map(FileReport::json)),
            ),
            ("counts", Json::object(counts)),
        ]))
    }
}

impl Count {
    fn json(self) -> Json {
        Json::object([
            ("created", self.created.into()),
            ("known", self.known.into()),
        ])
    }
}

impl FileReport {
    fn add_lines(&self, lines: &mut Vec<String>) {
        let file = &self.file;
        if self.outcome == Outcome::Skipped {
            lines.push(format!(
                "{file}: in already, skipped; --again imports it anew"
            ));
        }
        if self.resumed_after > 0 {
            lines.push(format!(
                "{file}: continued after line {}",
                self.resumed_after
            ));
        }
        for reject in &self.rejects {
            let place = match reject.place {
                Place::File => String::new(),
                Place::Entry(index) => format!(" entry {index}"),
                Place::Line(number) => format!(" line {number}"),
            };
            let element = match reject.expression.as_str() {
                "" => String::new(),
                expression => format!(" {expression}"),
            };
            lines.push(format!("{file}{place}{element}: {}", reject.text));
        }
        let kept = u64::try_from(self.rejects.len()).unwrap_or(u64::MAX);
        if self.rejected > kept {
            lines.push(format!("{file}: {} more rejects", self.rejected - kept));
        }
    }

    fn json(&self) -> Json {
        let outcome = match self.outcome {
            Outcome::Skipped => "skipped",
            Outcome::Imported if self.is_clean() => "imported",
            Outcome::Imported => "rejects",
        };
        let counts = self
            .counts
            .iter()
            .map(|(kind, count)| (kind.as_str(), count.json()));
        Json::object([
            ("file", self.file.as_str().into()),
            ("outcome", outcome.into()),
            ("counts", Json::object(counts)),
            ("rejected", self.rejected.into()),
            (
                "rejects",
                Json::array(self.rejects.iter().map(Reject::json)),
            ),
        ])
    }
}

impl Reject {
    fn json(&self) -> Json {
        let mut members = Vec::new();
        match self.place {
            Place::File => {}
            Place::Entry(index) => {
                let index = u64::try_from(index).unwrap_or(u64::MAX);
                members.push(("entry", index.into()));
            }
            Place::Line(number) => members.push(("line", number.into())),
        }
        if !self.expression.is_empty() {
            members.push(("expression", self.expression.as_str().into()));
        }
        members.push(("text", self.text.as_str().into()));
        Json::object(members)
    }
}
