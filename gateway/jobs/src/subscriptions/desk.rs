//! The loop around all Subscriptions: wakes for commits, for due tries, for ends; decides nothing
//! that a pure module can.

use super::channel::Channel;
use super::hook::{self, Outcome};
use super::roster::{Roster, Ruling, Served};
use super::subscription::{Subscription, with_status};
use super::{Bell, SubscriptionSettings, matching};
use fhir_mapping::model::{IssueCode, Json};
use gateway_ground::failure::{Category, Failure};
use gateway_ground::link::retry;
use gateway_ground::link::wire::Wire;
use gateway_repository::{Actor, Notice, Repository, Standing, Transaction, Write};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use store::{Origin, OriginKind, Rid, RowWrite, Seq, Table, VersionId};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// Longest sleep: nothing depends on waking later than this.
const SLEEP_MAX_MS: u64 = 60_000;
/// Pause after the store failed us.
const FAULT_PAUSE_MS: u64 = 5_000;
/// Notices sent in one go.
const GROUP_MAX: usize = 32;
/// Failures in a row until the resource says so.
const TRIES_QUIET: u32 = 3;
/// Notices that may wait for one endpoint.
const WAITING_MAX: usize = 100_000;
/// Rows taken away in one commit.
const DROPPED_MAX: usize = 1_000;
/// How far the log was read, under the target number that no target has.
const CHECKPOINT: &[u8] = b"\0\0subscriptions";

pub(super) struct Desk {
    settings: SubscriptionSettings,
    repository: Repository,
    bell: Bell,
    wire: Arc<Wire>,
    roster: Roster,
    position: Option<Seq>,
    /// Every Subscription committed up to here is in the roster, so the log may be read up to here.
    horizon: Seq,
    sending: JoinSet<Outcome>,
    /// Subscriptions that `sending` works for.
    busy: HashSet<Rid>,
}

impl Desk {
    pub(super) fn new(settings: SubscriptionSettings, repository: Repository, bell: Bell) -> Desk {
        Desk {
            settings,
            repository,
            bell,
            wire: Arc::new(Wire::open()),
            roster: Roster::default(),
            position: None,
            horizon: Seq(0),
            sending: JoinSet::new(),
            busy: HashSet::new(),
        }
    }

    /// Serves for ever; stopping is dropping this future.
    pub(super) async fn serve(mut self, mut wake: watch::Receiver<u64>) {
        loop {
            wake.mark_unchanged();
            let pause_ms = self.round().await.unwrap_or_else(|failure| {
                log_fault(&failure);
                FAULT_PAUSE_MS
            });
            let pause = tokio::time::sleep(Duration::from_millis(pause_ms.min(SLEEP_MAX_MS)));
            tokio::select! {
                woken = wake.changed() => {
                    if woken.is_err() {
                        return; // the store is closed
                    }
                }
                Some(ended) = self.sending.join_next() => {
                    if let Err(failure) = self.settle(ended).await {
                        log_fault(&failure);
                    }
                }
                () = pause => {}
            }
        }
    }

    /// One round; gives the milliseconds until the next has anything to do.
    async fn round(&mut self) -> Result<u64, Failure> {
        self.horizon = self.repository.store().snapshot()?.view().last_seq()?;
        for ruling in self.roster.reload(&self.repository, &self.settings)? {
            self.carry_out(ruling).await?;
        }
        self.end_expired().await?;
        while self.take_over().await? {
            tokio::task::yield_now().await;
        }
        self.start_sending()
    }

    async fn carry_out(&mut self, ruling: Ruling) -> Result<(), Failure> {
        match ruling {
            Ruling::Drop(rid) => {
                self.roster.remove(rid);
                self.drop_rows(rid).await
            }
            Ruling::Refuse {
                at,
                resource,
                reason,
            } => {
                let changed = with_status(&resource, "error", Some(&reason));
                self.write(at, changed, vec![Standing::ended(at.0)]).await?;
                self.drop_rows(at.0).await
            }
            Ruling::Serve { rid, activate } => {
                let Some(served) = self.roster.get(rid) else {
                    return Ok(());
                };
                let rows = vec![served.standing.row(rid)];
                if !activate {
                    return self.repository.commit_rows(rows).await;
                }
                let subscription = Arc::clone(&served.subscription);
                self.set_status(&subscription, ("active", None), rows).await
            }
        }
    }

    /// Turns off those whose `end` has passed.
    async fn end_expired(&mut self) -> Result<(), Failure> {
        let now_ms = self.repository.clock().now_ms();
        let is_over = |served: &Served| served.subscription.end_ms.is_some_and(|end| end <= now_ms);
        let over = self.roster.iter().filter(|(_, served)| is_over(served));
        let over: Vec<_> = over.map(|(_, s)| Arc::clone(&s.subscription)).collect();
        for subscription in over {
            self.turn_off(&subscription, "its end has come").await?;
        }
        Ok(())
    }

    /// Reads on in the log; true when there is more.
    async fn take_over(&mut self) -> Result<bool, Failure> {
        let Some(since) = self.roster.since() else {
            self.position = None;
            return Ok(false);
        };
        let after = {
            let snapshot = self.repository.store().snapshot()?;
            let view = snapshot.view();
            let stored = match self.position {
                Some(position) => Some(position.0),
                None => view
                    .row(Table::Checkpoints, CHECKPOINT)?
                    .and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?))),
            };
            Seq(stored.unwrap_or(0).max(since))
        };
        let (repository, asking) = (self.repository.clone(), self.roster.asking());
        let part = (after, self.horizon);
        let matching = move || matching::next(&repository, &asking, part);
        let matched = tokio::task::spawn_blocking(matching).await;
        let matched = matched.map_err(|_panicked| stopped())??;
        let Some(last) = matched.last else {
            return Ok(false);
        };
        let mut rows: Vec<RowWrite> = matched.notices.iter().map(|notice| notice.row()).collect();
        for rid in &matched.events {
            if let Some(served) = self.roster.get_mut(*rid) {
                served.standing.events = served.standing.events.saturating_add(1);
            }
        }
        let concerned: HashSet<Rid> = matched.events.iter().copied().collect();
        let served = concerned.iter().filter_map(|rid| self.roster.get(*rid));
        rows.extend(served.map(|served| served.standing.row(served.subscription.rid)));
        // What matched nobody need not be remembered: it is soon read again.
        if !rows.is_empty() {
            rows.push(RowWrite {
                table: Table::Checkpoints,
                key: CHECKPOINT.to_vec(),
                value: Some(last.0.to_be_bytes().to_vec()),
            });
        }
        self.repository.commit_rows(rows).await?;
        self.position = Some(last);
        self.ring(&matched.events);
        for (rid, reason) in &matched.hopeless {
            let served = self.roster.get(*rid);
            let subscription = served.map(|served| Arc::clone(&served.subscription));
            if let Some(subscription) = subscription {
                self.turn_off(&subscription, reason).await?;
            }
        }
        Ok(matched.has_more)
    }

    fn ring(&self, events: &[Rid]) {
        for rid in events {
            let Some(served) = self.roster.get(*rid) else {
                continue;
            };
            if served.subscription.channel == Channel::Socket {
                // Nobody is bound to it: nobody is told.
                let _heard = self.bell.send(served.subscription.id.clone()).is_ok();
            }
        }
    }

    /// Starts a sender for each that is due; gives the milliseconds until the next try or end.
    fn start_sending(&mut self) -> Result<u64, Failure> {
        let now_ms = self.repository.clock().now_ms();
        let snapshot = self.repository.store().snapshot()?;
        let view = snapshot.view();
        let mut next_ms: Option<i64> = None;
        for (rid, served) in self.roster.iter() {
            let mut later = |at_ms: i64| next_ms = Some(next_ms.map_or(at_ms, |n| n.min(at_ms)));
            served.subscription.end_ms.into_iter().for_each(&mut later);
            let is_hook = matches!(served.subscription.channel, Channel::Hook(_));
            if !is_hook || self.busy.contains(&rid) {
                continue;
            }
            let waiting = Notice::waiting(&view, rid, GROUP_MAX)?;
            if waiting.is_empty() {
                continue;
            }
            let due_ms = served.standing.next_try_ms;
            if !retry::is_over(due_ms, now_ms, self.settings.retry_cap_ms) {
                later(due_ms);
                continue;
            }
            let mut group = Vec::with_capacity(waiting.len());
            for notice in waiting {
                group.push((notice, view.version(notice.rid, notice.version)?));
            }
            let subscription = Arc::clone(&served.subscription);
            self.sending
                .spawn(hook::send(Arc::clone(&self.wire), subscription, group));
            self.busy.insert(rid);
        }
        let wait_ms = next_ms.map(|at_ms| u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0));
        Ok(wait_ms.map_or(SLEEP_MAX_MS, |wait_ms| wait_ms.max(1)))
    }

    /// Takes away what was told; a failure moves the next try, and in the end turns it off.
    async fn settle(&mut self, ended: Result<Outcome, JoinError>) -> Result<(), Failure> {
        let Ok(outcome) = ended else {
            self.busy.clear(); // a panic: what waits is sent again
            return Ok(());
        };
        let rid = outcome.subscription;
        self.busy.remove(&rid);
        let mut rows: Vec<RowWrite> = outcome.told.iter().map(|notice| notice.settled()).collect();
        let has_told = !rows.is_empty();
        let cap_ms = self.settings.retry_cap_ms;
        let now_ms = self.repository.clock().now_ms();
        let Some(served) = self.roster.get_mut(rid) else {
            return self.repository.commit_rows(rows).await;
        };
        let standing = &mut served.standing;
        if has_told || outcome.failure.is_none() {
            (standing.tries, standing.next_try_ms) = (0, 0);
        }
        if outcome.failure.is_some() {
            let wait_ms = retry::wait_ms(standing.tries, cap_ms, retry::random());
            let wait_ms = i64::try_from(wait_ms).unwrap_or(i64::MAX);
            standing.tries = standing.tries.saturating_add(1);
            standing.next_try_ms = now_ms.saturating_add(wait_ms);
        }
        rows.push(standing.row(rid));
        let tries = standing.tries;
        let subscription = Arc::clone(&served.subscription);
        let says_error = subscription.resource.str_at(&["status"]) == Some("error");
        match outcome.failure {
            None if says_error => self.set_status(&subscription, ("active", None), rows).await,
            Some(why) if tries >= self.settings.tries_max || self.is_overfull(rid)? => {
                self.repository.commit_rows(rows).await?;
                let reason = format!("{why}; turned off after {tries} failures in a row");
                self.turn_off(&subscription, &reason).await
            }
            Some(why) if tries >= TRIES_QUIET && !says_error => {
                let reason = format!("{why}; trying again");
                self.set_status(&subscription, ("error", Some(&reason)), rows)
                    .await
            }
            _ => self.repository.commit_rows(rows).await,
        }
    }

    fn is_overfull(&self, rid: Rid) -> Result<bool, Failure> {
        let standing = self.repository.standing(rid, WAITING_MAX)?;
        Ok(standing.is_some_and(|(_, waiting)| waiting >= WAITING_MAX))
    }

    async fn turn_off(&mut self, subscription: &Subscription, reason: &str) -> Result<(), Failure> {
        self.set_status(subscription, ("off", Some(reason)), Vec::new())
            .await?;
        self.roster.remove(subscription.rid);
        self.drop_rows(subscription.rid).await
    }

    async fn set_status(
        &self,
        subscription: &Subscription,
        (status, error): (&str, Option<&str>),
        rows: Vec<RowWrite>,
    ) -> Result<(), Failure> {
        let changed = with_status(&subscription.resource, status, error);
        let at = (subscription.rid, subscription.version);
        self.write(at, changed, rows).await
    }

    /// Writes the resource unless its owner was faster: then the next round sees their version.
    async fn write(
        &self,
        (_, version): (Rid, VersionId),
        resource: Json,
        rows: Vec<RowWrite>,
    ) -> Result<(), Failure> {
        let update = Write::Update {
            id: resource.id().unwrap_or_default().to_owned(),
            resource,
            if_match: Some(version),
        };
        let transaction = Transaction {
            actor: Actor {
                name: "subscriptions".to_owned(),
                origin: Origin {
                    kind: OriginKind::Client,
                    number: 0,
                },
            },
            writes: vec![update],
            rows: rows.clone(),
            resolve_conditional_references: false,
        };
        match self.repository.write(transaction).await {
            Ok(_) => Ok(()),
            Err((_, failure)) if failure.category == Category::PreconditionFailed => {
                self.repository.commit_rows(rows).await
            }
            Err((_, failure)) => Err(failure),
        }
    }

    /// Forgets how it stands and what waits.
    async fn drop_rows(&self, rid: Rid) -> Result<(), Failure> {
        let mut rows = vec![Standing::ended(rid)];
        while !rows.is_empty() {
            self.repository.commit_rows(rows).await?;
            let snapshot = self.repository.store().snapshot()?;
            let waiting = Notice::waiting(&snapshot.view(), rid, DROPPED_MAX)?;
            rows = waiting.into_iter().map(Notice::settled).collect();
        }
        Ok(())
    }
}

fn stopped() -> Failure {
    let text = "looking for whom changes concern stopped unexpectedly; it is tried again";
    Failure::new(
        Category::Fault,
        "E-SUBSCRIPTION-2",
        IssueCode::Exception,
        text,
    )
}

fn log_fault(failure: &Failure) {
    let numbers: Vec<&str> = failure.issues.iter().map(|issue| issue.number).collect();
    tracing::error!(
        ?numbers,
        "the store refused a subscription's state; trying again"
    );
}
