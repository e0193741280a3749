//! The async shell of one target: wakes for commits, for due tries, for the next pull and for a
//! link that may be back; decides nothing that a pure module can.

use super::TargetSettings;
use super::lives::{self, Life};
use super::outbound::{Link, PAUSE_MS};
use super::takeover;
use super::target::Target;
use gateway_ground::failure::Failure;
use gateway_ground::link::retry;
use gateway_repository::Repository;
use std::time::Duration;
use store::{RowWrite, Store};
use tokio::sync::watch;

/// Longest sleep: nothing depends on waking later than this.
const SLEEP_MAX_MS: u64 = 60_000;

/// Pause after the store failed us.
const FAULT_PAUSE_MS: u64 = 5_000;

/// Pause between two looks at the log while the link is down: taking over is no hurry then.
const DOWN_PAUSE: Duration = Duration::from_millis(250);

/// Everything one target's loop works with.
pub(super) struct Courier {
    pub(super) settings: TargetSettings,
    pub(super) repository: Repository,
    pub(super) target: Box<dyn Target>,
    link: LinkState,
    pub(super) pull_due_ms: i64,
    /// Tries in a row that were answered with "later".
    pub(super) busy_tries: u32,
    /// Faults (5xx) in a row: three different resources in a row are the target's own trouble.
    pub(super) faults_in_row: u32,
    /// The life that we deal with; `None` before the first round.
    life: Option<Life>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    Up,
    /// Probed at this time.
    Down {
        until_ms: i64,
    },
    /// Left alone until this time.
    Waiting {
        until_ms: i64,
    },
}

impl Courier {
    pub(super) fn new(
        settings: TargetSettings,
        repository: Repository,
        target: Box<dyn Target>,
    ) -> Courier {
        Courier {
            settings,
            repository,
            target,
            link: LinkState::Up,
            pull_due_ms: 0,
            busy_tries: 0,
            faults_in_row: 0,
            life: None,
        }
    }

    /// Serves for ever; stopping is dropping this future, which is as safe as a power cut.
    pub(super) async fn serve(mut self, mut wake: watch::Receiver<u64>) {
        loop {
            wake.mark_unchanged();
            let pause_ms = match Box::pin(self.round()).await {
                Ok(pause_ms) => pause_ms.min(SLEEP_MAX_MS),
                Err(failure) => {
                    self.log_fault(&failure);
                    FAULT_PAUSE_MS
                }
            };
            if pause_ms == 0 {
                continue;
            }
            if self.link != LinkState::Up {
                tokio::time::sleep(DOWN_PAUSE).await;
            }
            let pause = tokio::time::sleep(Duration::from_millis(pause_ms));
            tokio::select! {
                woken = wake.changed() => {
                    if woken.is_err() {
                        return; // the store is closed
                    }
                }
                () = pause => {}
            }
        }
    }

    /// One round; gives the milliseconds until the next has anything to do (0 is at once).
    async fn round(&mut self) -> Result<u64, Failure> {
        self.turn_to_life().await?;
        self.take_over_all().await?;
        if let Some(wait_ms) = self.await_link().await {
            return Ok(wait_ms);
        }
        if self.settings.pull && self.is_over(self.pull_due_ms) {
            self.pull().await?;
        }
        let next_due_ms = if self.is_up() {
            self.send_group().await?
        } else {
            Some(0)
        };
        if self.lives_again() {
            return Ok(0);
        }
        let pull_due_ms = self.settings.pull.then_some(self.pull_due_ms);
        let due_ms = next_due_ms.into_iter().chain(pull_due_ms).min();
        Ok(due_ms.map_or(SLEEP_MAX_MS, |due_ms| self.until(due_ms)))
    }

    /// Has the target told of another life than the one that we deal with?
    pub(super) fn lives_again(&self) -> bool {
        let known = self.life.as_ref().and_then(|life| life.id.as_ref());
        known.is_some_and(|known| self.target.life().is_some_and(|told| told != *known))
    }

    /// Takes note of the life that the target tells of; another one begins everything anew.
    async fn turn_to_life(&mut self) -> Result<(), Failure> {
        let number = self.settings.number;
        if self.life.is_none() {
            let life = lives::read(&self.store().snapshot()?.view(), number)?;
            self.live_with(life);
        }
        let known = self.life.as_ref().and_then(|life| life.id.clone());
        let Some(told) = self
            .target
            .life()
            .filter(|told| Some(told) != known.as_ref())
        else {
            return Ok(());
        };
        let (life, rows) = lives::turned(&self.store().snapshot()?.view(), number, &told)?;
        self.commit(rows).await?;
        if life.number != self.settings.life {
            tracing::warn!(
                target_name = %self.settings.name,
                "E-SYNC-6: the target was restored from a backup; everything is compared and offered anew"
            );
            self.pull_due_ms = 0;
        }
        self.live_with(life);
        Ok(())
    }

    fn live_with(&mut self, life: Life) {
        self.settings.life = life.number;
        self.target.mean(life.id.clone());
        self.life = Some(life);
    }

    async fn take_over_all(&self) -> Result<(), Failure> {
        loop {
            let take_over = {
                let snapshot = self.store().snapshot()?;
                takeover::take_over(&snapshot.view(), &self.settings)?
            };
            self.commit(take_over.rows).await?;
            if !take_over.has_more {
                return Ok(());
            }
        }
    }

    /// `None` when the link may be used; else how long it may not.
    async fn await_link(&mut self) -> Option<u64> {
        match self.link {
            LinkState::Up => None,
            LinkState::Down { until_ms } | LinkState::Waiting { until_ms }
                if !self.is_over(until_ms) =>
            {
                Some(self.until(until_ms).max(1))
            }
            LinkState::Waiting { .. } => {
                self.link = LinkState::Up;
                None
            }
            LinkState::Down { .. } => {
                if self.target.probe().await {
                    tracing::info!(target_name = %self.settings.name, "the link is back");
                    self.link = LinkState::Up;
                    self.pull_due_ms = 0;
                    return None;
                }
                self.link = self.down();
                Some(self.settings.probe_interval_ms.max(1))
            }
        }
    }

    /// Takes note of what an answer says of the target as a whole.
    pub(super) fn set_link(&mut self, link: &Link, why: &str) {
        let name = &self.settings.name;
        self.link = match link {
            Link::Down => {
                tracing::warn!(target_name = %name, why, "the link is down; changes wait");
                self.down()
            }
            Link::Busy { wait_ms } => {
                self.busy_tries = self.busy_tries.saturating_add(1);
                tracing::info!(target_name = %name, wait_ms, "the target asks to wait");
                self.waiting(*wait_ms)
            }
            Link::Paused { status } => {
                tracing::error!(
                    target_name = %name,
                    status,
                    "E-SYNC-3: the target refuses our credentials; give it a valid token"
                );
                self.waiting(PAUSE_MS)
            }
        };
    }

    /// Half to one and a half intervals: sites that lost one link do not come back in step.
    fn down(&self) -> LinkState {
        let interval_ms = self.settings.probe_interval_ms;
        let jitter_ms = retry::random().checked_rem(interval_ms.max(1)).unwrap_or(0);
        LinkState::Down {
            until_ms: self.after(interval_ms / 2 + jitter_ms),
        }
    }

    fn waiting(&self, wait_ms: u64) -> LinkState {
        LinkState::Waiting {
            until_ms: self.after(wait_ms),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.link == LinkState::Up
    }

    pub(super) fn store(&self) -> &Store {
        self.repository.store()
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.repository.clock().now_ms()
    }

    /// That many milliseconds from now.
    pub(super) fn after(&self, wait_ms: u64) -> i64 {
        self.now_ms()
            .saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX))
    }

    fn until(&self, due_ms: i64) -> u64 {
        u64::try_from(due_ms.saturating_sub(self.now_ms())).unwrap_or(0)
    }

    fn is_over(&self, until_ms: i64) -> bool {
        let longest_ms = self
            .settings
            .retry_cap_ms
            .max(self.settings.pull_interval_ms)
            .max(PAUSE_MS);
        retry::is_over(until_ms, self.now_ms(), longest_ms)
    }

    pub(super) async fn commit(&self, rows: Vec<RowWrite>) -> Result<(), Failure> {
        self.repository.commit_rows(rows).await
    }

    fn log_fault(&self, failure: &Failure) {
        let numbers: Vec<&str> = failure.issues.iter().map(|issue| issue.number).collect();
        let name = &self.settings.name;
        tracing::error!(target_name = %name, ?numbers, "the store refused; trying again");
    }
}
