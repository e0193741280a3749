//! The change log and the audit, entry by entry: what is broken in them, and since when.

use crate::Repository;
use fhir_mapping::model::{Json, Limits, parse};
use gateway_ground::clock::format_instant;
use gateway_ground::failure::Failure;
use serde::{Deserialize, Serialize};
use store::{Damage, Finding, LookOptions, Reached, Seq, View};

/// The stages of a look that are about them: the change log, then the audit.
const FIRST_STAGE: u32 = 1;
const STAGE_AFTER: u32 = 3;

/// What a part of a walk over both came by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainsLooked {
    pub changes: u64,
    pub audit_entries: u64,
    pub broken: Vec<Broken>,
    /// Where the next part begins; absent at the end.
    pub next: Option<ChainsPlace>,
}

/// Where a part of a walk begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainsPlace {
    pub stage: u32,
    pub after: Vec<u8>,
}

/// One entry that does not open, is missing or does not follow the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// `changes` or `audit`.
    pub log: String,
    pub number: u64,
    pub text: String,
    /// Of the entry, or of the last one before it that tells.
    pub time: Option<String>,
}

impl Repository {
    /// The next part of a walk over both, of at most so many steps of 256 entries.
    pub fn look_at_chains(
        &self,
        from: Option<ChainsPlace>,
        steps: usize,
    ) -> Result<ChainsLooked, Failure> {
        let from = from.unwrap_or(ChainsPlace {
            stage: FIRST_STAGE,
            after: 0_u64.to_be_bytes().to_vec(),
        });
        let mut look = self.store().look(LookOptions {
            from: Some(Reached {
                stage: from.stage.max(FIRST_STAGE),
                after: from.after,
            }),
            ..LookOptions::default()
        })?;
        let mut next = look.reached();
        for _ in 0..steps {
            if next.stage >= STAGE_AFTER {
                break;
            }
            look.step()?;
            next = look.reached();
        }
        let findings = look.take_findings();
        let snapshot = self.store().snapshot()?;
        let view = snapshot.view();
        let broken = findings.into_iter();
        Ok(ChainsLooked {
            changes: look.report().changes,
            audit_entries: look.report().audit_entries,
            broken: broken.map(|finding| told(&view, finding)).collect(),
            next: (next.stage < STAGE_AFTER).then_some(ChainsPlace {
                stage: next.stage,
                after: next.after,
            }),
        })
    }
}

fn told(view: &View<'_>, finding: Finding) -> Broken {
    let (number, time) = match finding.about {
        Damage::Audit(number) => (number, last_time(number, |number| audit_time(view, number))),
        Damage::Change(Seq(seq)) => (seq, last_time(seq, |seq| change_time(view, seq))),
        _ => (0, None),
    };
    Broken {
        log: finding.database.to_owned(),
        number,
        text: finding.text,
        time,
    }
}

/// Entries before a broken one that are asked for their time.
const TRIES_MAX: u64 = 16;

fn last_time(number: u64, time_of: impl Fn(u64) -> Option<String>) -> Option<String> {
    let numbers = (number.saturating_sub(TRIES_MAX).max(1)..=number).rev();
    numbers.map(time_of).find(Option::is_some).flatten()
}

fn audit_time(view: &View<'_>, number: u64) -> Option<String> {
    let entry = view.audit(number.checked_sub(1)?, 1).ok()?.pop()?;
    let entry = (entry.number == number).then_some(entry)?;
    let tree = parse(&entry.body, Limits::default()).ok()?;
    tree.get("at").and_then(Json::as_str).map(str::to_owned)
}

fn change_time(view: &View<'_>, seq: u64) -> Option<String> {
    let change = view.changes(Seq(seq.checked_sub(1)?), 1).ok()?.pop()?;
    let change = (change.seq == Seq(seq)).then_some(change)?;
    let version = view.version(change.rid, change.version).ok()??;
    Some(format_instant(version.time_ms))
}
