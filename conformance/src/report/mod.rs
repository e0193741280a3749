//! What a run found: a table for the terminal, JSON for programs, HTML for people.

mod html;

pub use html::page;

use crate::runner::{Outcome, Verdict};
use crate::world::Exchange;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A whole run.
#[derive(Clone, Debug)]
pub struct Report {
    pub base: String,
    /// What the server says it is.
    pub software: String,
    pub fhir_version: String,
    /// How many claims its statement makes.
    pub claims: usize,
    /// Begin, in UTC, to the second.
    pub begun: String,
    pub took: Duration,
    pub verdicts: Vec<Verdict>,
}

/// How many cases came to which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub declined: usize,
    pub not_claimed: usize,
}

impl Tally {
    pub fn of<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>) -> Tally {
        let mut tally = Tally::default();
        for verdict in verdicts {
            match verdict.outcome {
                Outcome::Passed => tally.passed += 1,
                Outcome::Failed(_) => tally.failed += 1,
                Outcome::Declined(_) => tally.declined += 1,
                Outcome::NotClaimed(_) => tally.not_claimed += 1,
            }
        }
        tally
    }

    pub fn all(&self) -> usize {
        self.passed + self.failed + self.declined + self.not_claimed
    }
}

impl Report {
    pub fn tally(&self) -> Tally {
        Tally::of(&self.verdicts)
    }

    /// Verdicts by capability, capabilities by name.
    pub fn by_capability(&self) -> BTreeMap<&str, Vec<&Verdict>> {
        let mut rows: BTreeMap<&str, Vec<&Verdict>> = BTreeMap::new();
        for verdict in &self.verdicts {
            rows.entry(&verdict.capability).or_default().push(verdict);
        }
        rows
    }

    /// A table by capability, then what failed, and a summary.
    pub fn table(&self) -> String {
        let rows = self.by_capability();
        let width = rows.keys().map(|name| name.chars().count()).max();
        let width = width.unwrap_or_default().max(10);
        let mut text = format!(
            "\n{:width$}  passed  failed  declined  not claimed\n",
            "Capability"
        );
        for (name, verdicts) in &rows {
            text.push_str(&row(name, width, Tally::of(verdicts.iter().copied())));
        }
        text.push_str(&row("In all", width, self.tally()));
        for verdict in &self.verdicts {
            if let Outcome::Failed(failures) = &verdict.outcome {
                text.push_str(&format!("\nFAILED {}\n", verdict.case));
                text.push_str(&format!("  {} <{}>\n", verdict.section, verdict.spec));
                for failure in failures {
                    text.push_str(&format!("  {failure}\n"));
                }
            }
        }
        text.push_str(&format!("\n{}\n", self.summary()));
        text
    }

    /// One sentence that claims no more than was tested.
    pub fn summary(&self) -> String {
        let tally = self.tally();
        let applied = tally.passed + tally.failed;
        let mut text = format!(
            "{} (FHIR {}) at {}: {} of {applied} applicable cases passed in {:.1} s.",
            self.software,
            self.fhir_version,
            self.base,
            tally.passed,
            self.took.as_secs_f64()
        );
        if tally.not_claimed > 0 {
            text.push_str(&format!(
                " {} more were not run: the server does not claim what they need.",
                tally.not_claimed
            ));
        }
        if tally.declined > 0 {
            text.push_str(&format!(
                " {} ask for what the specification leaves to the server, and were declined.",
                tally.declined
            ));
        }
        text
    }

    pub fn json(&self) -> Value {
        let tally = self.tally();
        let cases: Vec<Value> = self.verdicts.iter().map(case_json).collect();
        json!({
            "server": {"base": self.base, "software": self.software,
                "fhirVersion": self.fhir_version, "claims": self.claims},
            "begun": self.begun,
            "seconds": round(self.took),
            "passed": tally.passed, "failed": tally.failed,
            "declined": tally.declined, "notClaimed": tally.not_claimed,
            "cases": cases,
        })
    }
}

fn row(name: &str, width: usize, tally: Tally) -> String {
    format!(
        "{name:width$}  {:6}  {:6}  {:8}  {:11}\n",
        tally.passed, tally.failed, tally.declined, tally.not_claimed
    )
}

/// Seconds to the millisecond.
fn round(took: Duration) -> f64 {
    (took.as_secs_f64() * 1000.0).round() / 1000.0
}

fn case_json(verdict: &Verdict) -> Value {
    let (outcome, reasons) = match &verdict.outcome {
        Outcome::Passed => ("passed", Vec::new()),
        Outcome::Failed(failures) => ("failed", failures.clone()),
        Outcome::Declined(reason) => ("declined", vec![reason.clone()]),
        Outcome::NotClaimed(needs) => ("not claimed", needs.clone()),
    };
    // Only failures keep what was said.
    let said: Vec<Value> = verdict.said.iter().map(exchange_json).collect();
    json!({"case": verdict.case, "capability": verdict.capability, "section": verdict.section,
        "spec": verdict.spec, "outcome": outcome, "reasons": reasons, "seconds": round(verdict.took),
        "exchanges": said})
}

fn exchange_json(exchange: &Exchange) -> Value {
    json!({"request": exchange.request, "headers": exchange.headers, "sent": exchange.sent,
        "status": exchange.status, "answerHeaders": exchange.answer_headers, "answer": exchange.answer})
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Report {
        let verdict = |case: &str, capability: &str, outcome: Outcome| Verdict {
            case: case.to_owned(),
            capability: capability.to_owned(),
            section: "read".to_owned(),
            spec: "https://hl7.org/fhir/R4/http.html#read".to_owned(),
            needs: Default::default(),
            said: match &outcome {
                Outcome::Failed(_) => vec![Exchange {
                    request: "GET Patient/1".to_owned(),
                    headers: "accept: application/fhir+json\n".to_owned(),
                    status: 500,
                    answer: "<oh>".to_owned(),
                    ..Exchange::default()
                }],
                _ => Vec::new(),
            },
            outcome,
            took: Duration::from_millis(12),
        };
        Report {
            base: "http://h/fhir".to_owned(),
            software: "S 1".to_owned(),
            fhir_version: "4.0.1".to_owned(),
            claims: 7,
            begun: "2026-01-01T00:00:00Z".to_owned(),
            took: Duration::from_millis(1500),
            verdicts: vec![
                verdict("read: a", "Read", Outcome::Passed),
                verdict(
                    "read: b",
                    "Read",
                    Outcome::Failed(vec!["status: wanted 200, found 500".to_owned()]),
                ),
                verdict(
                    "xml: c",
                    "XML",
                    Outcome::NotClaimed(vec!["format:xml".to_owned()]),
                ),
                verdict(
                    "date: d",
                    "Read",
                    Outcome::Declined("answered 400: no".to_owned()),
                ),
            ],
        }
    }

    #[test]
    fn the_table_tells_every_end_and_each_failure() {
        assert_eq!(
            sample().table(),
            "
Capability  passed  failed  declined  not claimed
Read             1       1         1            0
XML              0       0         0            1
In all           1       1         1            1

FAILED read: b
  read <https://hl7.org/fhir/R4/http.html#read>
  status: wanted 200, found 500

S 1 (FHIR 4.0.1) at http://h/fhir: 1 of 2 applicable cases passed in 1.5 s. \
1 more were not run: the server does not claim what they need. \
1 ask for what the specification leaves to the server, and were declined.
"
        );
    }

    #[test]
    fn the_json_holds_every_case() {
        let json = sample().json();
        assert_eq!(json["cases"].as_array().unwrap().len(), 4);
        assert_eq!(json["cases"][1]["outcome"], "failed");
        assert_eq!(json["failed"], 1);
    }
}
