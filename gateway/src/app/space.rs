//! Looks at the disk every few seconds: tells when it fills up, holds the reserve or gives it up, and
//! remembers how fast the room went.

use gateway_ground::space::{Growth, Reserve, SpaceState, SpaceWatch, Stage, measure};
use gateway_ground::telemetry::{Gauges, Happening, Telemetry};
use gateway_repository::Repository;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::{RowWrite, Store, StoreError, Table, View, WriteSet};
use tokio::sync::watch;

/// Row of `Table::Site`: the growth, as JSON.
const GROWTH_KEY: &[u8] = b"growth";
/// Inside the store's folder, which is the disk that counts.
const RESERVE_FILE: &str = "reserve";
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Days that metrics show when nothing grows.
const DAYS_MAX: u64 = 36_500;

pub(super) struct Desk {
    space: Arc<SpaceWatch>,
    repository: Repository,
    telemetry: Telemetry,
    folder: PathBuf,
    reserve: Reserve,
    /// What was wrong at the last look; told once.
    trouble: Option<String>,
}

impl Desk {
    /// Looks once, so that what starts after it knows how it stands.
    pub(super) fn open(
        (repository, telemetry): (Repository, Telemetry),
        folder: PathBuf,
    ) -> Result<Desk, StoreError> {
        let growth = remembered(repository.store())?;
        let mut desk = Desk {
            space: Arc::new(SpaceWatch::new(growth)),
            reserve: Reserve::at(folder.join(RESERVE_FILE)),
            repository,
            telemetry,
            folder,
            trouble: None,
        };
        desk.look();
        Ok(desk)
    }

    pub(super) fn space(&self) -> Arc<SpaceWatch> {
        Arc::clone(&self.space)
    }

    /// Until the gateway stops.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::task::block_in_place(|| self.look());
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stop.changed() => return,
            }
        }
    }

    fn look(&mut self) {
        let looked = self.looked().err().map(|error| error.to_string());
        if looked != self.trouble {
            if let Some(trouble) = &looked {
                tracing::warn!("the room on the disk cannot be looked after: {trouble}");
            }
            self.trouble = looked;
        }
    }

    fn looked(&self) -> std::io::Result<()> {
        let room = measure(&self.folder)?;
        let before = self.space.state().stage;
        let now_ms = self.repository.clock().now_ms();
        let growth = self.space.note(now_ms, room, self.reserve.is_held());
        let state = self.space.state();
        if state.stage != before {
            self.telemetry.note(&Happening::Space { state: &state });
        }
        if let Some(growth) = growth {
            self.remember(&growth);
        }
        self.reserve
            .keep(state.stage, room.whole)
            .map(|_is_held| ())
    }

    /// A full disk forgets an hour of it.
    fn remember(&self, growth: &Growth) {
        let Ok(value) = serde_json::to_vec(growth) else {
            return;
        };
        let row = RowWrite {
            table: Table::Site,
            key: GROWTH_KEY.to_vec(),
            value: Some(value),
        };
        let plan = move |_: &View<'_>| {
            let mut set = WriteSet::default();
            set.rows.push(row);
            Ok::<_, std::convert::Infallible>((set, ()))
        };
        if self.repository.store().commit(plan).is_err() {
            tracing::debug!("how the room goes cannot be written down");
        }
    }
}

fn remembered(store: &Store) -> Result<Growth, StoreError> {
    let row = store.snapshot()?.view().row(Table::Site, GROWTH_KEY)?;
    // What another release wrote is only an estimate.
    let growth = row.and_then(|row| serde_json::from_slice(&row).ok());
    Ok(growth.unwrap_or_default())
}

pub(super) fn with_space(mut gauges: Gauges, state: &SpaceState) -> Gauges {
    gauges.disk_free_bytes = state.room.free;
    gauges.disk_stage = state.stage.number();
    gauges.disk_days_left = state.days_left.unwrap_or(DAYS_MAX).min(DAYS_MAX);
    gauges
}

/// Are clients' writes taken, for all that the disk has?
pub(super) fn standing(space: &SpaceWatch) -> Result<(), String> {
    let state = space.state();
    match state.stage {
        Stage::Out => Err(format!("the disk is full ({})", state.words())),
        _ => Ok(()),
    }
}
