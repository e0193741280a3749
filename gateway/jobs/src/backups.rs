//! Backups of the site: by the clock and when somebody asks, one at a time, beside all other work; and
//! the trial restores that show they are good.

use super::places::BackupPlace;
use fhir_mapping::model::IssueCode;
use gateway_ground::clock::Stopwatch;
use gateway_ground::failure::{Category, Failure};
use gateway_ground::keys;
use gateway_ground::safekeeping::{
    Asked, BackupDone, BackupFailed, BackupState, Drill, Safekeeping,
};
use gateway_repository::Repository;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{OpenOptions, RowWrite, Store, Table, View, WriteSet};
use tokio::sync::{mpsc, watch};
use vault::backup::{self, Check, Depth, Folder, Keep, Shelf, Taken};
use vault::{Slots, VaultError};

/// Row of `Table::Site`: the state, as JSON.
const STATE_KEY: &[u8] = b"backups";
/// Backups that may be asked for before the first is done.
const ASKED_MAX: usize = 8;
/// How often it is looked whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// After a failure the next one waits this long.
const RETRY_MS: i64 = 15 * 60 * 1000;

/// What the configuration says.
#[derive(Clone, Debug)]
pub struct BackupSettings {
    /// The store's folder: its ways are there, and trial restores happen beside it.
    pub data: PathBuf,
    /// Where backups go by themselves.
    pub place: Option<BackupPlace>,
    pub every_ms: i64,
    pub keep: Keep,
    /// 0 never.
    pub drill_every_ms: i64,
}

/// Keeps the state and takes what is asked for.
pub struct Keeper {
    settings: BackupSettings,
    repository: Repository,
    state: Mutex<State>,
    asks: mpsc::Sender<BackupPlace>,
}

#[derive(Default)]
struct State {
    told: BackupState,
    asked: u64,
}

/// What is still to be taken; given to [`run`].
pub type Asks = mpsc::Receiver<BackupPlace>;

impl Keeper {
    /// Reads what was known before the start.
    pub fn new(
        settings: BackupSettings,
        repository: Repository,
    ) -> Result<(Arc<Keeper>, Asks), Failure> {
        let mut told = stored(repository.store())?.unwrap_or_default();
        told.done = 0;
        let (asks, asked) = mpsc::channel(ASKED_MAX);
        let state = Mutex::new(State { told, asked: 0 });
        let keeper = Keeper {
            settings,
            repository,
            state,
            asks,
        };
        Ok((Arc::new(keeper), asked))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> i64 {
        self.repository.clock().now_ms()
    }

    /// One backup; what came of it is in the state.
    fn take(&self, place: &BackupPlace, is_asked: bool) {
        let watch = Stopwatch::start();
        let taken = self.taken(place);
        let took_ms = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut state = self.state();
        match taken {
            Ok(taken) => {
                tracing::info!(
                    seq = taken.seq,
                    bytes = taken.bytes_new,
                    took_ms,
                    "backup taken"
                );
                state.told.failed = None;
                state.told.last = Some(done(&taken, took_ms));
            }
            Err(error) => {
                tracing::error!("no backup: {error}");
                state.told.failed = Some(BackupFailed {
                    time_ms: self.now_ms(),
                    text: error.to_string(),
                });
            }
        }
        state.told.done += u64::from(is_asked);
        let told = state.told.clone();
        drop(state);
        self.remember(&told);
    }

    fn taken(&self, place: &BackupPlace) -> Result<Taken, VaultError> {
        let shelf = place.made()?;
        let slots =
            Slots::load(&self.settings.data)?.ok_or(VaultError::NoSuchWay("recovery key"))?;
        let store = self.repository.store();
        backup::take(store, &slots, &*shelf, (keys::random, self.now_ms()))
    }

    /// Restores the newest backup beside the store, and takes it away again.
    fn drill(&self, place: &BackupPlace) {
        let watch = Stopwatch::start();
        let mut aside = self.settings.data.clone().into_os_string();
        aside.push(".drill");
        let aside = PathBuf::from(aside);
        let drilled = clear(&aside).and_then(|()| self.drilled(&*place.shelf()?, &aside));
        // What stays behind is sealed, and goes before the next one.
        clear(&aside).unwrap_or_default();
        let took_ms = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
        let time_ms = self.now_ms();
        let drill = match drilled {
            Ok((name, rows)) => Drill {
                time_ms,
                name,
                is_sound: true,
                text: format!("{rows} rows restored, compared and verified"),
                took_ms,
            },
            Err(error) => Drill {
                time_ms,
                is_sound: false,
                text: error.to_string(),
                took_ms,
                ..Drill::default()
            },
        };
        if drill.is_sound {
            tracing::info!(took_ms, "a backup was restored on trial: {}", drill.text);
        } else {
            tracing::error!("a backup cannot be restored: {}", drill.text);
        }
        let mut state = self.state();
        state.told.drill = Some(drill);
        let told = state.told.clone();
        drop(state);
        self.remember(&told);
    }

    fn drilled(&self, shelf: &dyn Shelf, aside: &Path) -> Result<(String, u64), VaultError> {
        let opened = backup::open_own(shelf, self.repository.store(), keys::random)?;
        let last = opened.list()?.pop().ok_or(VaultError::NoBackup)?;
        let options = || OpenOptions {
            folder: aside.to_owned(),
            map_size_bytes: 1 << 26,
            queue_length_max: 1,
            random: keys::random,
        };
        let drilled = backup::drill(&opened, &last.name, options);
        let check = Check {
            time_ms: self.now_ms(),
            depth: Depth::Restored,
            is_sound: drilled.is_ok(),
            text: match &drilled {
                Ok(proof) => format!("{} rows", proof.rows),
                Err(error) => error.to_string(),
            },
        };
        let noted = opened.note(&last.name, &check);
        let proof = drilled?;
        noted?;
        Ok((last.name, proof.rows))
    }

    fn prune(&self, place: &BackupPlace) -> Result<(), VaultError> {
        let shelf = place.shelf()?;
        let opened = backup::open_own(&*shelf, self.repository.store(), keys::random);
        let pruned = opened.and_then(|opened| backup::prune(&opened, self.settings.keep));
        pruned.map(|_counts| ())
    }

    /// What is due by the clock.
    fn due(&self) {
        let Some(place) = self.settings.place.clone() else {
            return;
        };
        let (now_ms, told) = (self.now_ms(), self.state().told.clone());
        let last_ms = told.last.as_ref().map(|last| last.time_ms);
        let failed_ms = told.failed.as_ref().map(|failed| failed.time_ms);
        let waits = failed_ms.is_some_and(|failed| now_ms < failed.saturating_add(RETRY_MS));
        let is_due = |before: Option<i64>, every: i64| {
            before.is_none_or(|before| now_ms >= before.saturating_add(every))
        };
        if is_due(last_ms, self.settings.every_ms) && !waits {
            self.take(&place, false);
            if self.state().told.failed.is_none()
                && let Err(error) = self.prune(&place)
            {
                tracing::error!("old backups stay: {error}");
            }
        }
        let drilled_ms = told.drill.as_ref().map(|drill| drill.time_ms);
        let drill_every = self.settings.drill_every_ms;
        let has_one = self.state().told.last.is_some();
        if drill_every > 0 && has_one && is_due(drilled_ms, drill_every) {
            self.drill(&place);
        }
    }

    /// A full disk forgets the state, not the backup.
    fn remember(&self, told: &BackupState) {
        let row = serde_json::to_vec(told).map(|value| RowWrite {
            table: Table::Site,
            key: STATE_KEY.to_vec(),
            value: Some(value),
        });
        let Ok(row) = row else { return };
        let plan = move |_: &View<'_>| {
            let mut set = WriteSet::default();
            set.rows.push(row);
            Ok::<_, std::convert::Infallible>((set, ()))
        };
        if self.repository.store().commit(plan).is_err() {
            tracing::warn!("the state of the backups cannot be written down");
        }
    }
}

impl Safekeeping for Keeper {
    fn state(&self) -> BackupState {
        Keeper::state(self).told.clone()
    }

    fn ask(&self, folder: Option<PathBuf>) -> Result<Asked, Failure> {
        let given = folder.map(BackupPlace::Folder);
        let place = given.or_else(|| self.settings.place.clone());
        let known = place.filter(|place| {
            let is_own = self.settings.place.as_ref() == Some(place);
            is_own
                || matches!(place, BackupPlace::Folder(folder)
                    if folder.is_absolute() && Folder::new(folder).is_made())
        });
        let Some(place) = known else {
            let text = "the folder is none that `wayside backup FOLDER` has made; run that";
            return Err(Failure::new(
                Category::Incorrect,
                "E-BACKUP-5",
                IssueCode::Value,
                text,
            ));
        };
        let mut state = Keeper::state(self);
        if self.asks.try_send(place).is_err() {
            let text = "more backups wait than make sense; try again later";
            return Err(Failure::new(
                Category::Busy,
                "E-BACKUP-6",
                IssueCode::Throttled,
                text,
            ));
        }
        state.asked += 1;
        let number = state.asked;
        Ok(Asked { number })
    }

    fn rotate_key(&self) -> Result<(), Failure> {
        keys::rotate(&self.settings.data, self.repository.store()).map_err(|e| undone(&e))?;
        tracing::info!("the master key of the store was changed");
        Ok(())
    }
}

/// What somebody asked for cannot be done; the text says why and what to do.
fn undone(error: &keys::KeyError) -> Failure {
    Failure::new(
        Category::Conflict,
        "E-BACKUP-7",
        IssueCode::Conflict,
        error.to_string(),
    )
}

/// Takes backups until `stop` turns true. One that is cut off leaves the one before.
pub async fn run(keeper: Arc<Keeper>, mut asks: Asks, mut stop: watch::Receiver<bool>) {
    loop {
        let asked = tokio::select! {
            _stopped = stop.wait_for(|stop| *stop) => return,
            asked = asks.recv() => asked,
            () = tokio::time::sleep(LOOK_EVERY) => None,
        };
        tokio::task::block_in_place(|| match asked {
            Some(place) => keeper.take(&place, true),
            None => keeper.due(),
        });
    }
}

fn done(taken: &Taken, took_ms: u64) -> BackupDone {
    BackupDone {
        name: taken.name.clone(),
        time_ms: taken.time_ms,
        seq: taken.seq,
        resources: taken.resources,
        bytes: taken.bytes,
        bytes_new: taken.bytes_new,
        took_ms,
    }
}

fn stored(store: &Store) -> Result<Option<BackupState>, Failure> {
    let row = store.snapshot()?.view().row(Table::Site, STATE_KEY)?;
    // What another release wrote is only history.
    Ok(row.and_then(|row| serde_json::from_slice(&row).ok()))
}

fn clear(folder: &Path) -> Result<(), VaultError> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(VaultError::Shelf {
            path: folder.display().to_string(),
            detail: e.to_string(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_ground::clock::Clock;
    use gateway_repository::fresh;

    #[test]
    fn a_backup_is_taken_drilled_and_pruned_by_the_clock() {
        let clock = Clock::driven(1_700_000_000_000);
        let (repository, folder) = fresh::repository(clock.clone());
        let data = folder.path().join("data");
        let mut slots = Slots::new(keys::random);
        let master = vault::Master {
            current: keys::random_key(),
        };
        let secret = vault::Secret::Recovery(keys::random_key());
        slots
            .add(&master, (&secret, None), (keys::random, 0))
            .unwrap();
        slots.save(&data).unwrap();
        let to = folder.path().join("backups");
        let hour_ms = 3_600_000;
        let settings = BackupSettings {
            data,
            place: Some(BackupPlace::Folder(to.clone())),
            every_ms: hour_ms,
            keep: Keep {
                daily: 1,
                weekly: 0,
                monthly: 0,
            },
            drill_every_ms: 24 * hour_ms,
        };
        let (keeper, _asks) = Keeper::new(settings.clone(), repository.clone()).unwrap();
        keeper.due();
        let told = Safekeeping::state(&*keeper);
        assert_eq!(told.failed, None);
        let first = told.last.unwrap();
        assert!(told.drill.unwrap().is_sound);
        assert!(!folder.path().join("data.drill").exists());
        let shelf = Folder::new(&to);
        let opened = backup::open_own(&shelf, repository.store(), keys::random).unwrap();
        let check = opened.last_check(&first.name).unwrap().unwrap();
        assert!(
            check.is_sound && check.depth == Depth::Restored,
            "{check:?}"
        );

        keeper.due();
        let again = Safekeeping::state(&*keeper).last.unwrap();
        assert_eq!(again, first, "nothing was due");
        clock.advance(Duration::from_secs(3600));
        keeper.due();
        let second = Safekeeping::state(&*keeper).last.unwrap();
        assert!(second.time_ms > first.time_ms);
        assert!(!to.join(&first.name).exists(), "one a day is kept");
        assert!(to.join(&second.name).exists());

        let (anew, _asks) = Keeper::new(settings, repository).unwrap();
        assert_eq!(Safekeeping::state(&*anew).last.unwrap(), second);
        assert!(anew.ask(Some(folder.path().to_owned())).is_err());
        assert!(anew.ask(Some("/".into())).is_err());
        assert_eq!(anew.ask(None).unwrap().number, 1);

        let pack = std::fs::read_dir(to.join("packs")).unwrap().next().unwrap();
        std::fs::write(pack.unwrap().path(), b"rotten").unwrap();
        clock.advance(Duration::from_secs(24 * 3600));
        anew.drill(&BackupPlace::Folder(to.clone()));
        let drill = Safekeeping::state(&*anew).drill.unwrap();
        assert!(
            !drill.is_sound && drill.text.starts_with("E-BACKUP-2"),
            "{drill:?}"
        );
    }
}
