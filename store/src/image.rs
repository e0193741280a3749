//! The whole store as rows, as they lie: read at one moment for a backup, and put together again
//! from one. Values stay sealed on the way; the keys that open them travel apart.

use crate::catalog::{self, Database, Databases, Tree};
use crate::codec;
use crate::datafile::{self, Found};
use crate::env::{self, Engine, Reading};
use crate::formats;
use crate::incarnation::Incarnations;
use crate::keyring::{self, StoreKeys};
use crate::seal::Seal;
use crate::{Keys, OpenOptions, Seq, Store, StoreError};
use heed::{Env, MdbError, PutFlags, WithoutTls};
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Other folds may begin between ours and the read; each try waits for one.
const TRIES_MAX: usize = 20;
/// Bytes in one transaction while a store is put together.
const SLICE_BYTES: usize = 32 << 20;

/// The keys of a store in clear: what a backup seals to the recovery key, and what it is put together
/// with. Zeroized on drop.
pub struct Secrets(pub(crate) StoreKeys);

impl Secrets {
    /// The data keys by epoch, then the index key: 32 bytes each.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.0.to_bytes()
    }

    /// `None` unless the bytes are at least two keys long.
    pub fn from_bytes(bytes: &[u8]) -> Option<Secrets> {
        StoreKeys::from_bytes(bytes).map(Secrets)
    }

    /// The life of a store with these keys that was never restored.
    pub fn first_incarnation(&self) -> Incarnations {
        Incarnations::first(&self.0)
    }
}

/// One row as it lies: number of its database, key, value.
pub type RawRow<'a> = (u8, &'a [u8], &'a [u8]);

/// How far the store had come at the moment of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    pub seq: Seq,
    pub audit: u64,
    pub resources: u64,
}

/// A moment of the whole store. Drop it soon: pages are kept for it, and the map cannot grow.
pub struct Image {
    reading: Reading,
}

impl Store {
    /// A moment that holds everything committed before the call; writing goes on meanwhile. Never call it
    /// while holding a [`crate::Snapshot`], nor from a plan or an answer.
    pub fn image(&self) -> Result<Image, StoreError> {
        for _ in 0..TRIES_MAX {
            self.order_fold(Vec::new(), true)?;
            if let Some(image) = Image::begin(&self.engine()?)? {
                return Ok(image);
            }
        }
        Err(StoreError::Busy)
    }

    /// A key of 32 bytes for another use, the same whenever it is asked for.
    pub fn derived_key(&self, label: &[u8]) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let engine = self.engine()?;
        Ok(keyring::derived(&engine.secrets.index_key, label))
    }

    /// The keys in clear, for a backup that seals them to the recovery key.
    pub fn secrets(&self) -> Result<Secrets, StoreError> {
        let engine = self.engine()?;
        Ok(Secrets(engine.secrets.again()))
    }
}

impl Image {
    /// `None` while a fold is under way, whose first slices the data file already holds.
    fn begin(engine: &Arc<Engine>) -> Result<Option<Image>, StoreError> {
        let reading = engine.read()?;
        let settled = engine.is_settled(&reading.transaction)?;
        Ok(settled.then_some(Image { reading }))
    }

    fn databases(&self) -> &Databases {
        &self.reading.pass.0.databases
    }

    /// How far the store had come.
    pub fn reach(&self) -> Result<Reach, StoreError> {
        let databases = self.databases();
        Ok(Reach {
            seq: Seq(self.last(databases.changes, catalog::CHANGES)?),
            audit: self.last(databases.audit, catalog::AUDIT)?,
            resources: self.last(databases.heads, catalog::HEADS)?,
        })
    }

    fn last(&self, database: Database, name: &'static str) -> Result<u64, StoreError> {
        let last = database.last(&self.reading.transaction);
        let last = last.map_err(|e| StoreError::disk(name, &e))?;
        Ok(last
            .and_then(|(key, _)| codec::number_of_key(key))
            .unwrap_or(0))
    }

    /// Hands over every row, database by database and key by key, ascending.
    pub fn each_row<E: From<StoreError>>(
        &self,
        mut row: impl FnMut(RawRow<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for number in numbers() {
            let (database, name) = database_of(self.databases(), number)?;
            let fault = |e: heed::Error| StoreError::disk(name, &e);
            for entry in database.iter(&self.reading.transaction).map_err(fault)? {
                let (key, value) = entry.map_err(fault)?;
                row((number, key, value))?;
            }
        }
        Ok(())
    }
}

/// The numbers of all databases but `meta`, ascending.
fn numbers() -> impl Iterator<Item = u8> {
    1..=8
}

fn database_of(databases: &Databases, number: u8) -> Result<(Database, &'static str), StoreError> {
    if number == catalog::POSTINGS_NUMBER {
        return Ok((databases.postings, catalog::POSTINGS));
    }
    let tree = Tree::of_number(number);
    let tree = tree.ok_or_else(|| StoreError::Invalid(format!("there is no database {number}")))?;
    Ok((databases.of(tree), tree.name()))
}

/// A store being put together from the rows of an image. It is made beside its place and moved there
/// when whole: until [`Assembly::finish`] the folder holds no store.
pub struct Assembly {
    folder: PathBuf,
    env: Env<WithoutTls>,
    databases: Databases,
    waiting: Vec<(u8, Vec<u8>, Vec<u8>)>,
    waiting_bytes: usize,
}

impl Assembly {
    /// Begins in a folder that holds no store; `bytes` is about what the rows come to, and the last of
    /// `lives` is the one that the store is to live (`None`: one that never was restored).
    pub fn begin(
        options: &OpenOptions,
        (secrets, keys): (&Secrets, &Keys),
        bytes: usize,
        lives: Option<&Incarnations>,
    ) -> Result<Assembly, StoreError> {
        let folder = options.folder.clone();
        datafile::make_folder(&folder)?;
        if datafile::examine(&folder)? != Found::Nothing {
            return Err(datafile::foreign("the folder holds a store already"));
        }
        let unfinished = datafile::start_unfinished(&folder)?;
        let mut nonce = [0; 12];
        (options.random)(&mut nonce);
        let wrapped = secrets.0.wrap(&keys.key_encryption_key, nonce)?;
        let check = keyring::key_check(&keys.key_encryption_key).to_vec();
        let mut rows = vec![
            (formats::ROW, formats::row(formats::NEWEST)),
            (keyring::KEY_CHECK, check),
            (keyring::WRAPPED_KEYS, wrapped),
        ];
        if let Some(lives) = lives {
            (options.random)(&mut nonce);
            rows.push(lives.row(&Seal::new(&secrets.0.data_key), nonce)?);
        }
        let room = bytes.saturating_mul(4).max(options.map_size_bytes);
        let env = env::open_env(&unfinished, room.div_ceil(1 << 16) << 16)?;
        let fault = |e: heed::Error| StoreError::disk("making the store", &e);
        Databases::create(&env, &rows).map_err(fault)?;
        let databases =
            Databases::open(&env)?.ok_or_else(|| datafile::foreign("the data file went away"))?;
        Ok(Assembly {
            folder,
            env,
            databases,
            waiting: Vec::new(),
            waiting_bytes: 0,
        })
    }

    /// Takes a row; rows come as [`Image::each_row`] gives them.
    pub fn put(&mut self, (number, key, value): RawRow<'_>) -> Result<(), StoreError> {
        self.waiting_bytes += key.len() + value.len();
        self.waiting.push((number, key.to_vec(), value.to_vec()));
        if self.waiting_bytes < SLICE_BYTES {
            return Ok(());
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let fault = |e: heed::Error| match e {
            heed::Error::Mdb(MdbError::MapFull) => StoreError::Full,
            heed::Error::Mdb(MdbError::KeyExist | MdbError::BadValSize) => {
                StoreError::Invalid("the rows of an image are out of order".to_owned())
            }
            other => StoreError::disk("writing", &other),
        };
        let mut transaction = self.env.write_txn().map_err(fault)?;
        for (number, key, value) in self.waiting.drain(..) {
            let (database, _name) = database_of(&self.databases, number)?;
            database
                .put_with_flags(&mut transaction, PutFlags::APPEND, &key, &value)
                .map_err(fault)?;
        }
        self.waiting_bytes = 0;
        transaction.commit().map_err(fault)
    }

    /// Moves the store to its place. Opening it then takes the keys that it was begun with.
    pub fn finish(mut self) -> Result<(), StoreError> {
        self.write()?;
        self.env.prepare_for_closing().wait();
        datafile::finish(&self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewVersion, Origin, OriginKind, ResourceKey, Term, Urgency, VersionId, WriteSet};
    use std::path::Path;

    fn options(folder: &Path) -> OpenOptions {
        OpenOptions {
            folder: folder.to_owned(),
            map_size_bytes: 1 << 26,
            queue_length_max: 10,
            random: |buffer| {
                static CALLS: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(1);
                buffer.fill(CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            },
        }
    }

    fn keys(byte: u8) -> Keys {
        Keys {
            key_encryption_key: [byte; 32],
        }
    }

    fn patient(id: u64) -> NewVersion {
        NewVersion {
            key: ResourceKey {
                resource_type: "Patient".to_owned(),
                id: id.to_string(),
            },
            version: VersionId(1),
            body: b"{}".to_vec(),
            deleted: false,
            becomes_head: true,
            making: crate::Making::Untold,
            review_open: None,
            terms_added: vec![Term(b"all".to_vec())],
            terms_removed: Vec::new(),
            values: b"values".to_vec(),
            origin: Origin {
                kind: OriginKind::Client,
                number: 1,
            },
            urgency: Urgency::Bulk,
            time_ms: 1,
            hlc: 1,
        }
    }

    fn written(store: &Store, from: u64, until: u64) {
        let set = WriteSet {
            versions: (from..until).map(patient).collect(),
            audit: vec![b"entry".to_vec()],
            ..WriteSet::default()
        };
        store.commit(move |_| Ok::<_, ()>((set, ()))).unwrap();
    }

    fn rows_of(store: &Store) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        let image = store.image().unwrap();
        let read = image.each_row(|(number, key, value)| {
            rows.push((number, key.to_vec(), value.to_vec()));
            Ok::<_, StoreError>(())
        });
        read.unwrap();
        rows
    }

    #[test]
    fn a_store_put_together_from_its_image_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(options(&folder.path().join("a")), keys(1)).unwrap();
        written(&store, 0, 300);
        let reach = store.image().unwrap().reach().unwrap();
        assert_eq!(
            (reach.seq, reach.audit, reach.resources),
            (Seq(300), 1, 300)
        );
        let rows = rows_of(&store);

        let secrets = store.secrets().unwrap().to_bytes();
        let secrets = Secrets::from_bytes(&secrets).unwrap();
        let to = options(&folder.path().join("b"));
        let mut assembly = Assembly::begin(&to, (&secrets, &keys(2)), 1 << 20, None).unwrap();
        for (number, key, value) in &rows {
            assembly.put((*number, key, value)).unwrap();
        }
        assert!(!folder.path().join("b/data.mdb").exists());
        assembly.finish().unwrap();
        assert!(Assembly::begin(&to, (&secrets, &keys(2)), 0, None).is_err());
        assert!(matches!(
            Store::open(options(&folder.path().join("b")), keys(1)).err(),
            Some(StoreError::WrongKey)
        ));
        let other = Store::open(to, keys(2)).unwrap();
        assert_eq!(rows_of(&other), rows);
        let report = other.verify(None).unwrap();
        assert_eq!((report.findings_total, report.heads), (0, 300));
        assert_eq!(
            store.derived_key(b"x").unwrap(),
            other.derived_key(b"x").unwrap()
        );
        written(&other, 300, 301);
        assert_eq!(other.stats().unwrap().last_seq, Seq(301));
    }

    #[test]
    fn another_key_takes_the_place_of_the_first_while_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(options(folder.path()), keys(1)).unwrap();
        written(&store, 0, 10);
        let rows = rows_of(&store);
        store.rewrap(&keys(2), [4; 12]).unwrap();
        written(&store, 10, 20);
        store.close();
        let first = Store::open(options(folder.path()), keys(1)).err();
        assert!(matches!(first, Some(StoreError::WrongKey)));
        let store = Store::open(options(folder.path()), keys(2)).unwrap();
        assert!(rows.len() < rows_of(&store).len());
        assert_eq!(store.verify(None).unwrap().findings_total, 0);
    }

    #[test]
    fn rows_out_of_order_make_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::from_bytes(&[3; 64]).unwrap();
        let to = options(&folder.path().join("b"));
        let mut assembly = Assembly::begin(&to, (&secrets, &keys(2)), 0, None).unwrap();
        assembly.put((2, b"b", b"")).unwrap();
        assembly.put((2, b"a", b"")).unwrap();
        assert!(matches!(assembly.finish(), Err(StoreError::Invalid(_))));
        assert!(!folder.path().join("b/data.mdb").exists());
    }
}
