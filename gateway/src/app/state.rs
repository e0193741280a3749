//! What the running gateway says of its state: can it write, and how much waits.

use super::starts::{GOOD, Starts};
use gateway_ground::clock::Clock;
use gateway_ground::failure::Failure;
use gateway_ground::safekeeping::BackupState;
use gateway_ground::telemetry::{Gauges, Happening, TargetGauges, Telemetry};
use gateway_repository::Repository;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{CommitError, Store, StoreError, Table, View, WriteSet};
use tokio::sync::watch;

const PROBE_INTERVAL_MS: i64 = 1000;
/// Counting for gauges stops here.
const GAUGE_MAX: usize = 1_000_000;

/// Whether writes can be taken, or why not.
pub(super) type Standing = Result<(), String>;

/// Asks the store whether it takes writes, by a commit of nothing; once a second at most.
pub(super) struct Probe {
    store: Store,
    clock: Clock,
    last: Mutex<Option<(i64, Standing)>>,
}

impl Probe {
    pub(super) fn new(store: Store, clock: Clock) -> Probe {
        let last = Mutex::new(None);
        Probe { store, clock, last }
    }

    pub(super) fn standing(&self) -> Standing {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.clock.now_ms();
        if let Some((at_ms, standing)) = &*last
            && (0..PROBE_INTERVAL_MS).contains(&(now_ms - at_ms))
        {
            return standing.clone();
        }
        let nothing = |_: &View<'_>| Ok::<_, Infallible>((WriteSet::default(), ()));
        let standing = match tokio::task::block_in_place(|| self.store.commit(nothing)) {
            // A full queue is a busy store, not a broken one.
            Ok(_) | Err(CommitError::Store(StoreError::Busy)) => Ok(()),
            Err(CommitError::Store(error)) => Err(error.to_string()),
            Err(CommitError::Refused(never)) => match never {},
        };
        *last = Some((now_ms, standing.clone()));
        standing
    }
}

const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Logs when the store stops taking writes and when it takes them again, until the gateway stops;
/// after a minute the start counts as a good one.
pub(super) async fn watch(
    probe: Probe,
    (starts, telemetry): (Arc<Starts>, Telemetry),
    mut stop: watch::Receiver<bool>,
) {
    let begun = tokio::time::Instant::now();
    let (mut before, mut lasted) = (Ok(()), false);
    loop {
        let standing = probe.standing();
        if standing != before {
            let why_not = standing.as_ref().err().map(String::as_str);
            telemetry.note(&Happening::Writable { why_not });
        }
        if !lasted && standing.is_ok() && begun.elapsed() >= GOOD {
            // Not written: it is tried again in a moment.
            lasted = tokio::task::block_in_place(|| starts.forget()).is_ok();
        }
        before = standing;
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            _ = stop.changed() => return,
        }
    }
}

/// One sample; `targets` are (number, name).
pub(super) fn gauges(
    repository: &Repository,
    connections: usize,
    targets: &[(u16, String)],
) -> Result<Gauges, Failure> {
    let store = repository.store();
    let stats = store.stats()?;
    let snapshot = store.snapshot()?;
    let view = snapshot.view();
    let intake = gateway_devices::backlog(repository, GAUGE_MAX)?;
    let target = |(number, name): &(u16, String)| {
        let backlog = gateway_sync::backlog(repository, *number, GAUGE_MAX)?;
        Ok::<_, Failure>(TargetGauges {
            name: name.clone(),
            waiting: wide(backlog.deliveries.saturating_sub(backlog.parked)),
            parked: wide(backlog.parked),
        })
    };
    let index = repository.index_state()?;
    let scrub = repository.scrub_state()?;
    let looked_ms = scrub.last.as_ref().and_then(|last| last.ended_ms);
    Ok(Gauges {
        last_seq: stats.last_seq.0,
        resources: stats.resources,
        store_bytes: stats.file_bytes,
        connections: wide(connections),
        intake_waiting: wide(intake.waiting),
        intake_held: wide(intake.held),
        reviews_open: wide(view.count_rows(Table::Reviews, &[], GAUGE_MAX)?),
        scrub_last: looked_ms.map_or(0, |ms| u64::try_from(ms / 1000).unwrap_or(0)),
        scrub_damaged: scrub.open(),
        index_behind: index.of - index.looked_at,
        targets: targets.iter().map(target).collect::<Result<_, _>>()?,
        ..Gauges::default()
    })
}

/// When the last good backup and trial restore were, in seconds since 1970; 0 never.
pub(super) fn with_backups(mut gauges: Gauges, told: &BackupState) -> Gauges {
    let seconds = |time_ms: i64| u64::try_from(time_ms / 1000).unwrap_or(0);
    let last = told.last.as_ref();
    gauges.backup_last = last.map_or(0, |last| seconds(last.time_ms));
    gauges.backup_failed = u64::from(told.failed.is_some());
    let sound = told.drill.as_ref().filter(|drill| drill.is_sound);
    gauges.backup_drill_last = sound.map_or(0, |drill| seconds(drill.time_ms));
    let failed = told.drill.as_ref().is_some_and(|drill| !drill.is_sound);
    gauges.backup_drill_failed = u64::from(failed);
    gauges
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
