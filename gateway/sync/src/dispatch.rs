//! Sends one group: notes what is about to leave, sends, and records what became of it.

use super::delivery;
use super::loops::Courier;
use super::outbound::{self, Finding, Link, Past, Verdict};
use super::outbox::{self, Group, Item};
use super::shadow::{self, Shadow};
use super::target::{Answer, Pulled};
use gateway_ground::failure::Failure;
use gateway_ground::link::retry;
use std::collections::HashSet;
use store::{Rid, RowWrite, VersionId};

/// A delivery that waits for a decision is looked at again this often; a new version of its
/// resource brings it forward at once.
const HELD_MS: u64 = 60_000;

/// Faults in a row after which the target as a whole is left alone for a while.
const FAULTS_IN_ROW_MAX: u32 = 3;

impl Courier {
    /// Sends the next group. Gives the time the next delivery is due: `Some(0)` when more may leave
    /// at once, `None` when nothing waits.
    pub(super) async fn send_group(&mut self) -> Result<Option<i64>, Failure> {
        let mut group = {
            let snapshot = self.store().snapshot()?;
            outbox::next_group(&snapshot.view(), &self.settings, self.now_ms())?
        };
        let rows = self.rows_before(&mut group);
        // Without any, nothing is due; rows without a sending make way for the next in line.
        let is_idle = rows.is_empty();
        self.commit(rows).await?;
        if group.send.is_empty() {
            return Ok(if is_idle { group.next_due_ms } else { Some(0) });
        }
        let mut rows = Vec::new();
        let mut outcome = Ok(());
        let mut missing: HashSet<Rid> = HashSet::new();
        for item in group.send {
            let rid = item.stored.rid;
            if item.needs.iter().any(|need| missing.contains(need)) {
                missing.insert(rid);
                continue;
            }
            outcome = self.deliver(item, &mut rows).await.map(|is_settled| {
                if !is_settled {
                    missing.insert(rid);
                }
            });
            if outcome.is_err() || !self.is_up() || self.lives_again() {
                break;
            }
        }
        self.commit(rows).await?;
        outcome.map(|()| Some(0))
    }

    /// Before the first byte leaves: which versions may arrive, even if we never hear of it.
    fn rows_before(&self, group: &mut Group) -> Vec<RowWrite> {
        let mut rows = Vec::new();
        for (at, rid) in group.void.drain(..) {
            rows.extend(delivery::take_away(at, rid));
        }
        let held_ms = self.after(HELD_MS);
        let blocked_ms = self.after(self.settings.probe_interval_ms);
        for mut item in group.held.drain(..) {
            item.delivery.next_try_ms = held_ms;
            rows.extend(delivery::put(item.at, &item.delivery));
        }
        for mut item in group.blocked.drain(..) {
            item.delivery.blocked = true;
            item.delivery.next_try_ms = blocked_ms;
            rows.extend(delivery::put(item.at, &item.delivery));
        }
        for item in &mut group.send {
            item.delivery.blocked = false;
            item.delivery.note_sent(item.stored.version.0);
            rows.extend(delivery::put(item.at, &item.delivery));
        }
        rows
    }

    /// Sends one; true when the target holds it now.
    async fn deliver(&mut self, item: Item, rows: &mut Vec<RowWrite>) -> Result<bool, Failure> {
        let plan = self.target.plan(&item.sending());
        let answer = self.target.send(plan).await;
        if self.lives_again() {
            return Ok(false);
        }
        match self.judge(&item, answer) {
            Verdict::Reconcile => self.reconcile(item, rows).await,
            verdict => {
                let is_settled = matches!(verdict, Verdict::Settled { .. });
                self.record(item, verdict, rows);
                Ok(is_settled)
            }
        }
    }

    /// The verdict on an answer, and what it says of the target as a whole.
    fn judge(&mut self, item: &Item, answer: Answer) -> Verdict {
        let why = match &answer {
            Answer::Unreachable { why } => why.clone(),
            _ => String::new(),
        };
        let past = Past {
            attempts: item.delivery.attempts,
            faults: item.delivery.faults,
            rounds: item.delivery.rounds,
            busy_tries: self.busy_tries,
        };
        let verdict = outbound::judge(answer, past, &self.settings, retry::random());
        match &verdict {
            Verdict::Link(link) => self.set_link(link, &why),
            Verdict::Failed { wait_ms } => {
                self.faults_in_row += 1;
                if self.faults_in_row >= FAULTS_IN_ROW_MAX {
                    let wait_ms = *wait_ms;
                    self.set_link(&Link::Busy { wait_ms }, "faults in a row");
                }
            }
            _ => {
                self.faults_in_row = 0;
                self.busy_tries = 0;
            }
        }
        verdict
    }

    /// The rows of a verdict.
    fn record(&self, mut item: Item, verdict: Verdict, rows: &mut Vec<RowWrite>) {
        match verdict {
            Verdict::Settled { remote_version } => {
                self.settle(&item, remote_version, rows);
                return;
            }
            Verdict::Again { wait_ms, refusal } => {
                item.delivery.attempts += 1;
                item.delivery.refusal = Some(refusal);
                item.delivery.next_try_ms = self.after(wait_ms);
            }
            Verdict::Failed { wait_ms } => {
                item.delivery.faults += 1;
                item.delivery.next_try_ms = self.after(wait_ms);
            }
            Verdict::Parked { refusal } => {
                let key = &item.stored.key;
                tracing::warn!(
                    target_name = %self.settings.name,
                    resource_type = %key.resource_type,
                    id = %key.id,
                    "E-SYNC-4: the target refuses this resource for good; its delivery is parked"
                );
                item.delivery.parked = true;
                item.delivery.refusal = Some(refusal);
            }
            Verdict::Reconcile | Verdict::Link(_) => return,
        }
        rows.extend(delivery::put(item.at, &item.delivery));
    }

    /// The target holds the version that was sent. A newer head is another change in the log: it
    /// makes a delivery of its own, so this one may go whatever happened meanwhile.
    fn settle(&self, item: &Item, remote_version: String, rows: &mut Vec<RowWrite>) {
        let shadow = Shadow {
            remote_version,
            agreed: item.stored.version.0,
            deleted: item.stored.deleted,
        };
        rows.push(shadow::row(
            self.settings.there(),
            &item.stored.key,
            &shadow,
        ));
        rows.extend(delivery::take_away(item.at, item.stored.rid));
    }

    /// The target holds something else than expected: find out what, and act on that. True when it
    /// turns out to hold what was sent.
    async fn reconcile(
        &mut self,
        mut item: Item,
        rows: &mut Vec<RowWrite>,
    ) -> Result<bool, Failure> {
        let reading = self.target.read(&item.stored.key).await;
        if self.lives_again() {
            return Ok(false);
        }
        let ours = {
            let snapshot = self.store().snapshot()?;
            outbox::ours(&snapshot.view(), self.settings.there(), &item.stored)?
        };
        let there = self.settings.there();
        match outbound::compare(reading, &ours, item.shadow.as_ref()) {
            Finding::Settled { remote_version } => {
                self.settle(&item, remote_version, rows);
                return Ok(true);
            }
            Finding::Agreed {
                remote_version,
                version,
            } => {
                let shadow = Shadow {
                    remote_version,
                    agreed: version.0,
                    deleted: false,
                };
                rows.push(shadow::row(there, &item.stored.key, &shadow));
            }
            Finding::Incoming(pulled) => self.take_in(*pulled, item.shadow.as_ref()).await?,
            Finding::Deleted => {
                let base = item.shadow.as_ref().and_then(Shadow::base);
                self.take_in_deletion(&item.stored.key, base).await?;
            }
            Finding::Unknown => rows.push(shadow::forget(there, &item.stored.key)),
            finding @ (Finding::Unchanged | Finding::Unanswered(_)) => {
                let verdict = self.judge_finding(&item, finding);
                self.record(item, verdict, rows);
                return Ok(false);
            }
        }
        item.delivery.rounds += 1;
        item.delivery.next_try_ms = 0;
        rows.extend(delivery::put(item.at, &item.delivery));
        Ok(false)
    }

    fn judge_finding(&mut self, item: &Item, finding: Finding) -> Verdict {
        match finding {
            Finding::Unanswered(answer @ Answer::Stale { .. })
            | Finding::Unanswered(answer @ Answer::Stored { .. }) => {
                let refusal = format!("reading it back was answered with {answer:?}");
                self.refused_again(item, refusal)
            }
            Finding::Unanswered(answer) => self.judge(item, answer),
            _ => self.refused_again(item, "refused although unchanged over there".to_owned()),
        }
    }

    fn refused_again(&self, item: &Item, refusal: String) -> Verdict {
        let past = Past {
            attempts: item.delivery.attempts,
            faults: item.delivery.faults,
            rounds: item.delivery.rounds,
            busy_tries: self.busy_tries,
        };
        outbound::refuse(refusal, past, &self.settings, retry::random())
    }

    /// Applies what the target holds; the shadow is written by the same commit.
    async fn take_in(&mut self, pulled: Pulled, shadow: Option<&Shadow>) -> Result<(), Failure> {
        let base: Option<VersionId> = shadow.and_then(Shadow::base);
        self.apply(pulled, base).await.map(|_applied| ())
    }
}
