//! The scrub: everything stored is opened again and again, in rounds of small steps beside all other
//! work. What can be made of what is stored is put right at once; the rest waits for a backup, and its
//! reads answer E-STORE-3 meanwhile.

mod chains;
mod mend;
mod state;
#[cfg(test)]
mod tests;

pub use chains::{Broken, ChainsLooked, ChainsPlace};
pub use state::{Found, Round, ScrubState};

use crate::{Repository, indexing};
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use store::{Finding, Look, LookOptions, Reached, RowWrite, Table};

/// Row of `Table::Site`: the state, as JSON.
const STATE_KEY: &[u8] = b"scrub";
/// After so many steps it is written down how far the round is.
const STEPS_A_NOTE: u64 = 32;

/// A round under way.
pub struct Scrub {
    repository: Repository,
    /// Absent only while a step is made.
    look: Option<Look>,
    /// The round as it was when this look began.
    before: Round,
    round: Round,
    state: ScrubState,
    steps: u64,
}

/// What one step came by.
pub struct Step {
    pub found: Vec<Found>,
    /// Of the whole round, at its end.
    pub ended: Option<Round>,
}

impl Repository {
    /// How it stands; what another release wrote in other words is only history.
    pub fn scrub_state(&self) -> Result<ScrubState, Failure> {
        let row = self
            .store()
            .snapshot()?
            .view()
            .row(Table::Site, STATE_KEY)?;
        let known = row.and_then(|row| serde_json::from_slice(&row).ok());
        Ok(known.unwrap_or_default())
    }

    /// Goes on with the round under way, or begins one.
    pub fn scrub(&self) -> Result<Scrub, Failure> {
        let state = self.scrub_state()?;
        let from = state.under_way.as_ref().map(|_| Reached {
            stage: state.stage,
            after: state.after.clone(),
        });
        let look = self.store().look(LookOptions {
            sample: None,
            terms_of: Some(indexing::terms_of(self.store())),
            from,
        })?;
        let now_ms = self.clock().now_ms();
        let round = state.under_way.clone().unwrap_or_else(|| Round {
            started_ms: now_ms,
            ..Round::default()
        });
        Ok(Scrub {
            repository: self.clone(),
            look: Some(look),
            before: round.clone(),
            round,
            state,
            steps: 0,
        })
    }

    /// Has a round made now, and quickly.
    pub fn ask_scrub(&self) {
        self.inner.scrub_asked.notify_one();
    }

    /// Returns when somebody asked for a round, at once if that was before.
    pub async fn scrub_asked(&self) {
        self.inner.scrub_asked.notified().await;
    }
}

impl Scrub {
    /// The next step: some milliseconds of work on a thread of its own.
    pub async fn step(&mut self) -> Result<Step, Failure> {
        let Some(mut look) = self.look.take() else {
            return Err(stopped());
        };
        let stepped = tokio::task::spawn_blocking(move || (look.step(), look)).await;
        let (done, mut look) = stepped.map_err(|_panicked| stopped())?;
        let findings = look.take_findings();
        self.round.count(&self.before, look.report());
        let reached = look.reached();
        self.state.percent = look.percent();
        self.look = Some(look);
        let is_over = done?;
        let mut found = Vec::new();
        for finding in findings {
            if !self.round.knows(finding.database, &finding.text) {
                let one = self.judged(finding).await;
                self.round.add(one.clone());
                found.push(one);
            }
        }
        self.steps += 1;
        (self.state.stage, self.state.after) = (reached.stage, reached.after);
        if is_over {
            self.round.ended_ms = Some(self.repository.clock().now_ms());
            self.state.last = Some(self.round.clone());
        }
        self.state.under_way = (!is_over).then(|| self.round.clone());
        if is_over || !found.is_empty() || self.steps.is_multiple_of(STEPS_A_NOTE) {
            self.note().await;
        }
        let ended = is_over.then(|| self.round.clone());
        Ok(Step { found, ended })
    }

    /// How many steps a round takes, about.
    pub fn steps_expected(&self) -> u64 {
        let stats = self.repository.store().stats();
        let rows = stats.map_or(0, |stats| {
            stats.resources + stats.changes + stats.audit_entries
        });
        rows / 256 + 64
    }

    async fn judged(&self, finding: Finding) -> Found {
        let mended = self.repository.mend(finding.about).await;
        let resource = self.repository.name_of_damaged(finding.about);
        Found {
            database: finding.database.to_owned(),
            text: finding.text,
            resource: resource.ok().flatten(),
            mended: mended.unwrap_or(false),
        }
    }

    /// A full disk forgets how far the round is, and it is begun anew.
    async fn note(&self) {
        let row = serde_json::to_vec(&self.state).map(|value| RowWrite {
            table: Table::Site,
            key: STATE_KEY.to_vec(),
            value: Some(value),
        });
        if let Ok(row) = row {
            let _unwritten = self.repository.commit_rows(vec![row]).await.is_err();
        }
    }
}

fn stopped() -> Failure {
    let text = "looking over the store stopped unexpectedly; it is begun again";
    Failure::new(Category::Fault, "E-SCRUB-2", IssueCode::Exception, text)
}
