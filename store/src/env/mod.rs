//! The LMDB environment: opening, creating, reading, growing. The one file with unsafe code, because heed
//! cannot know that no other process maps the file (the folder is locked) and that no transaction
//! is open while the map moves (the gate counts them).
#![allow(unsafe_code)]

mod changed;
mod gate;

pub(crate) use changed::Changed;
pub use changed::Moment;

use crate::catalog::{self, Databases};
use crate::codec;
use crate::datafile::{self, Found};
#[cfg(test)]
use crate::fold::FailurePoint;
use crate::fold::{FOLDED_ROW, LOG_ROW, REACHED_ROW};
use crate::formats;
use crate::incarnation::{self, Incarnations};
use crate::keyring::{self, Blinder, StoreKeys};
use crate::log::{self, LogId, Mark, Marks};
use crate::overlay::{Layers, push};
use crate::seal::Seal;
use crate::{Keys, OpenOptions, StoreError};
use gate::Gate;
use heed::{Env, EnvOpenOptions, RoTxn, WithoutTls};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Readers at one time, over all threads; each takes 64 bytes of the lock file.
const READERS_MAX: u32 = 512;
const DATABASES_MAX: u32 = 16;
/// A map is a multiple of this on every platform.
const MAP_GRAIN: usize = 65_536;
/// One step of growth is the present size, within these bounds.
const GROWTH_BYTES_MIN: usize = 16 << 20;
/// What a map has free at least before a long read.
const ROOM_BYTES_MIN: usize = 64 << 20;
const GROWTH_BYTES_MAX: usize = 16 << 30;
/// Shorter values never leave their page, whatever its size.
const VALUE_BYTES_IN_PAGE: usize = 512;

/// How a damaged log is taken at a start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// Refused.
    Whole,
    /// As far as it goes, the damaged files kept beside it.
    Salvaged,
}

/// Everything that a transaction needs, shared by the writer and all snapshots.
pub(crate) struct Engine {
    pub(crate) env: Env<WithoutTls>,
    pub(crate) databases: Databases,
    pub(crate) seal: Seal,
    pub(crate) blinder: Blinder,
    pub(crate) secrets: StoreKeys,
    pub(crate) incarnations: Incarnations,
    pub(crate) folder: PathBuf,
    /// The log that the data file had at the start, if it can go on.
    pub(crate) log: Option<LogId>,
    /// Groups of the log that were given up at the start.
    pub(crate) lost_groups: u64,
    /// Writes of groups up to this one may be in the data file.
    horizon: AtomicU64,
    gate: Gate,
    /// When heads changed last.
    pub(crate) changed: Arc<Changed>,
    #[cfg(test)]
    pub(crate) failures: std::sync::Mutex<Vec<FailurePoint>>,
    data_file: File,
    // Last, so that the folder is free only once the environment is closed.
    _lock: File,
}

impl Engine {
    /// Opens the store of a folder, or makes one where there is none.
    pub(crate) fn open(options: &OpenOptions, keys: &Keys, log: Log) -> Result<Self, StoreError> {
        let folder = &options.folder;
        datafile::examine(folder)?;
        datafile::make_folder(folder)?;
        let lock = datafile::lock(folder)?;
        if datafile::examine(folder)? == Found::Nothing {
            create(options, keys)?;
        }
        let Found::DataFile {
            length,
            missing_bytes,
        } = datafile::examine(folder)?
        else {
            return Err(datafile::foreign("the data file went away"));
        };
        let extended = Extension::begin(folder, length, missing_bytes)?;
        let env = open_env(
            folder,
            map_size(options, length.saturating_add(missing_bytes)),
        )?;
        let opened = read_start(&env, keys);
        let (databases, secrets) = match opened {
            Err(StoreError::Corrupt { .. }) if missing_bytes > 0 => return Err(cut_short()),
            other => other?,
        };
        let (seal, blinder) = (
            Seal::new(&secrets.data_key),
            Blinder::new(&secrets.index_key),
        );
        if missing_bytes > 0 {
            walk(&env, &databases)?;
        }
        let incarnations = incarnation::read(&env, &databases, (&seal, &secrets))?;
        let marks = read_marks(&env, &databases)?;
        let replayed = match log {
            Log::Whole => log::replay(folder, &seal, &marks)?,
            Log::Salvaged => log::salvage(folder, &seal, &marks)?,
        };
        if log == Log::Salvaged {
            log::Log::set_aside(folder)?;
        }
        extended.keep();
        let data_file = env
            .try_clone_inner_file()
            .map_err(|e| StoreError::disk("opening the data file", &e))?;
        let gate = Gate::default();
        let mut runs = Vec::new();
        for run in replayed.groups {
            push(&mut runs, 0, run);
        }
        gate.publish(|_| Layers::frozen(runs, replayed.last));
        Ok(Self {
            env,
            databases,
            seal,
            blinder,
            secrets,
            incarnations,
            folder: folder.clone(),
            log: replayed.id,
            lost_groups: replayed.lost,
            horizon: AtomicU64::new(marks.reached.max(marks.folded)),
            gate,
            changed: Arc::default(),
            #[cfg(test)]
            failures: std::sync::Mutex::default(),
            data_file,
            _lock: lock,
        })
    }

    /// A read transaction, counted so that the map does not move under it, and the layers that lie
    /// above it. The two belong together: the data file may hold less than the layers know, which
    /// these put right, but never more.
    pub(crate) fn read(self: &Arc<Self>) -> Result<Reading, StoreError> {
        loop {
            let layers = self.gate.enter().ok_or_else(unmapped)?;
            let pass = Pass(Arc::clone(self));
            let transaction = self
                .env
                .clone()
                .static_read_txn()
                .map_err(|e| StoreError::disk("starting a read", &e))?;
            // Whoever sees a fold in the transaction sees below that it had begun.
            fence(Ordering::SeqCst);
            if self.horizon.load(Ordering::SeqCst) <= layers.last
                || self.number(&transaction, REACHED_ROW)? <= layers.last
            {
                return Ok(Reading {
                    transaction,
                    layers,
                    pass,
                });
            }
            // Layers that know what was folded are published at any moment.
            drop((transaction, pass));
            std::thread::yield_now();
        }
    }

    /// A number of `meta`; 0 when it is not there.
    fn number(&self, transaction: &RoTxn<'_>, row: &'static str) -> Result<u64, StoreError> {
        read_number(&self.databases, transaction, row)
    }

    /// Does the transaction see whole groups only?
    pub(crate) fn is_settled(&self, transaction: &RoTxn<'_>) -> Result<bool, StoreError> {
        let folded = self.number(transaction, FOLDED_ROW)?;
        Ok(self.number(transaction, REACHED_ROW)? <= folded)
    }

    /// What lies above the data file now.
    pub(crate) fn layers(&self) -> Arc<Layers> {
        self.gate.layers()
    }

    /// What readers from now on see above the data file.
    pub(crate) fn publish(&self, change: impl FnOnce(&Layers) -> Layers) {
        self.gate.publish(change);
    }

    /// Says, before a transaction commits, up to which group it may hold writes.
    pub(crate) fn may_reach(&self, number: u64) {
        self.horizon.store(number, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    #[cfg(test)]
    pub(crate) fn fails(&self, point: FailurePoint) -> bool {
        let mut failures = self.failures.lock().unwrap();
        let at = failures.iter().position(|planned| *planned == point);
        at.map(|at| failures.remove(at)).is_some()
    }

    /// Makes the map larger once every snapshot is gone; the caller holds no transaction.
    pub(crate) fn grow(&self) -> Result<(), StoreError> {
        let present = self.env.info().map_size;
        let step = present.clamp(GROWTH_BYTES_MIN, GROWTH_BYTES_MAX);
        let size = present.saturating_add(step) / MAP_GRAIN * MAP_GRAIN;
        let Some(_closed) = self.gate.close() else {
            return Err(StoreError::Busy);
        };
        // SAFETY: the gate is closed: no reader is inside and none comes in while `_closed`
        // lives; the one writer is the caller, who holds no transaction.
        if unsafe { self.env.resize(size) }.is_err() {
            // LMDB gave up the old map first and makes no other: reading would kill the process.
            self.gate.unmapped();
            return Err(unmapped());
        }
        Ok(())
    }

    /// Grows the map ahead of need: while a long read holds it, it cannot grow. The caller is the
    /// writer and holds no transaction.
    pub(crate) fn make_room(&self) -> Result<(), StoreError> {
        let used = usize::try_from(self.end_of_pages()).unwrap_or(usize::MAX);
        let room = self.env.info().map_size.saturating_sub(used);
        if room >= (used / 4).saturating_add(ROOM_BYTES_MIN) {
            return Ok(());
        }
        match self.grow() {
            // Readers were inside all the time; the map is as it was, which may be enough.
            Err(StoreError::Busy) => Ok(()),
            other => other,
        }
    }

    /// LMDB never writes a page that was taken and given back in one transaction; at the end of
    /// the file that leaves it shorter than its last page. Filled up, a file that is too short
    /// later is known to be cut.
    pub(crate) fn fill_last_page(&self) -> Result<(), StoreError> {
        let fault = |e: std::io::Error| StoreError::file("extending the data file", &e);
        let end = self.end_of_pages();
        if self.data_file.metadata().map_err(fault)?.len() < end {
            self.data_file.set_len(end).map_err(fault)?;
        }
        Ok(())
    }

    /// A commit that met the end of the disk leaves the pages it managed to write behind the last
    /// page, where nothing refers to them: they go, and with them the reason for the next failure.
    pub(crate) fn trim_after_failure(&self) -> Result<(), StoreError> {
        self.data_file
            .set_len(self.end_of_pages())
            .map_err(|e| StoreError::file("shortening the data file", &e))
    }

    /// Bytes of the data file up to its last page.
    pub(crate) fn end_of_pages(&self) -> u64 {
        let pages = u64::try_from(self.env.info().last_page_number).unwrap_or(u64::MAX);
        let page_size = u64::from(self.env.unnamed_database_stat().page_size);
        pages.saturating_add(1).saturating_mul(page_size)
    }
}

/// A moment of the store: a transaction and what lies above it.
pub(crate) struct Reading {
    pub(crate) transaction: RoTxn<'static, WithoutTls>,
    pub(crate) layers: Arc<Layers>,
    // After the transaction, which must end before the map may move.
    pub(crate) pass: Pass,
}

/// Leave to read; given back when dropped.
pub(crate) struct Pass(pub(crate) Arc<Engine>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.gate.leave();
    }
}

/// A file that is shorter than its last page is filled with zeros while it is looked through, for
/// reading past its end would kill the process; if it turns out cut, it gets its length back.
struct Extension {
    file: Option<(File, u64)>,
}

impl Extension {
    fn begin(folder: &Path, length: u64, missing_bytes: u64) -> Result<Self, StoreError> {
        if missing_bytes == 0 {
            return Ok(Self { file: None });
        }
        let fault = |e: std::io::Error| StoreError::file("extending the data file", &e);
        let file = File::options()
            .write(true)
            .open(folder.join(datafile::DATA_FILE))
            .map_err(fault)?;
        file.set_len(length.saturating_add(missing_bytes))
            .map_err(fault)?;
        Ok(Self {
            file: Some((file, length)),
        })
    }

    fn keep(mut self) {
        self.file = None;
    }
}

impl Drop for Extension {
    fn drop(&mut self) {
        if let Some((file, length)) = &self.file {
            // Nothing better is left to do; the refusal is already on its way.
            file.set_len(*length).unwrap_or_default();
        }
    }
}

/// What every store starts with: its databases, its format, its keys.
fn read_start(env: &Env<WithoutTls>, keys: &Keys) -> Result<(Databases, StoreKeys), StoreError> {
    let databases = Databases::open(env)?
        .ok_or_else(|| datafile::foreign("the data file is not that of a store"))?;
    let secrets = unlock(env, &databases, keys)?;
    Ok((databases, secrets))
}

fn unmapped() -> StoreError {
    StoreError::Poisoned("the data file could not be mapped into memory".to_owned())
}

fn cut_short() -> StoreError {
    datafile::foreign("the data file is cut short")
}

/// Visits every page that is in use. A tree page of zeros shows as damage; a value that lost its
/// end has zeros in the place of its tag.
fn walk(env: &Env<WithoutTls>, databases: &Databases) -> Result<(), StoreError> {
    let cut = |_: heed::Error| cut_short();
    let transaction = env.read_txn().map_err(cut)?;
    for database in databases.all() {
        for entry in database.iter(&transaction).map_err(cut)? {
            let (_, value) = entry.map_err(cut)?;
            let end = value
                .last_chunk::<16>()
                .filter(|_| value.len() > VALUE_BYTES_IN_PAGE);
            if end == Some(&[0; 16]) {
                return Err(cut_short());
            }
        }
    }
    drop(transaction);
    // Taking a page visits the list of free pages.
    let mut transaction = env.write_txn().map_err(cut)?;
    databases
        .meta
        .put(&mut transaction, b"walk", b"")
        .map_err(cut)?;
    transaction.abort();
    Ok(())
}

/// Makes a whole store beside its place, then moves it there.
fn create(options: &OpenOptions, keys: &Keys) -> Result<(), StoreError> {
    let fault = |e: heed::Error| StoreError::disk("making the store", &e);
    let unfinished = datafile::start_unfinished(&options.folder)?;
    let mut nonce = [0; 12];
    (options.random)(&mut nonce);
    let wrapped = StoreKeys::generate(options.random).wrap(&keys.key_encryption_key, nonce)?;
    let rows = [
        (formats::ROW, formats::row(formats::NEWEST)),
        (
            keyring::KEY_CHECK,
            keyring::key_check(&keys.key_encryption_key).to_vec(),
        ),
        (keyring::WRAPPED_KEYS, wrapped),
    ];
    let env = open_env(&unfinished, map_size(options, 0))?;
    Databases::create(&env, &rows).map_err(fault)?;
    env.prepare_for_closing().wait();
    datafile::finish(&options.folder)
}

/// The initial map: at least what was asked for and room beside what is there.
fn map_size(options: &OpenOptions, length: u64) -> usize {
    let length = usize::try_from(length).unwrap_or(usize::MAX / 2);
    let room = length.saturating_add(GROWTH_BYTES_MIN);
    let wanted = if length > options.map_size_bytes {
        room
    } else {
        options.map_size_bytes
    };
    wanted
        .max(MAP_GRAIN)
        .div_ceil(MAP_GRAIN)
        .saturating_mul(MAP_GRAIN)
}

pub(crate) fn open_env(folder: &Path, map_size: usize) -> Result<Env<WithoutTls>, StoreError> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options
        .map_size(map_size)
        .max_readers(READERS_MAX)
        .max_dbs(DATABASES_MAX);
    // SAFETY: the folder is locked, so no other process writes or truncates the mapped file, and
    // the file was examined; heed refuses to open one path twice in a process.
    unsafe { options.open(folder) }.map_err(|e| StoreError::disk("opening the data file", &e))
}

/// How far the data file has come, and which log belongs to it.
fn read_marks(env: &Env<WithoutTls>, databases: &Databases) -> Result<Marks, StoreError> {
    let fault = |e: heed::Error| StoreError::disk(catalog::META, &e);
    let transaction = env.read_txn().map_err(fault)?;
    let row = databases.meta.get(&transaction, LOG_ROW.as_bytes());
    let mark = row.map_err(fault)?.map(|row| {
        Mark::decode(row).ok_or_else(|| StoreError::Corrupt {
            database: catalog::META,
            key: LOG_ROW.to_owned(),
        })
    });
    Ok(Marks {
        log: mark.transpose()?,
        folded: read_number(databases, &transaction, FOLDED_ROW)?,
        reached: read_number(databases, &transaction, REACHED_ROW)?,
    })
}

fn read_number(
    databases: &Databases,
    transaction: &RoTxn<'_>,
    row: &'static str,
) -> Result<u64, StoreError> {
    let found = databases.meta.get(transaction, row.as_bytes());
    let found = found.map_err(|e| StoreError::disk(catalog::META, &e))?;
    let number = found.map_or(Some(0), codec::number_of_key);
    number.ok_or_else(|| StoreError::Corrupt {
        database: catalog::META,
        key: row.to_owned(),
    })
}

/// Reads the format, then the keys. Nothing is written.
fn unlock(
    env: &Env<WithoutTls>,
    databases: &Databases,
    keys: &Keys,
) -> Result<StoreKeys, StoreError> {
    let fault = |e: heed::Error| StoreError::disk(catalog::META, &e);
    let transaction = env.read_txn().map_err(fault)?;
    let row = |name: &str| {
        databases
            .meta
            .get(&transaction, name.as_bytes())
            .map_err(fault)
    };
    let damaged = |name: &str| StoreError::Corrupt {
        database: catalog::META,
        key: name.to_owned(),
    };
    formats::accept(row(formats::ROW)?)?;
    let check = row(keyring::KEY_CHECK)?.ok_or_else(|| damaged(keyring::KEY_CHECK))?;
    let wrapped = row(keyring::WRAPPED_KEYS)?.ok_or_else(|| damaged(keyring::WRAPPED_KEYS))?;
    let opened = StoreKeys::unwrap_with(wrapped, &keys.key_encryption_key);
    let right_key = check == keyring::key_check(&keys.key_encryption_key);
    match opened {
        Some(opened) => Ok(opened),
        None if right_key => Err(damaged(keyring::WRAPPED_KEYS)),
        None => Err(StoreError::WrongKey),
    }
}
