//! Every database of the data file, one sentence each, and their handles.

use crate::{StoreError, Table};
use heed::types::Bytes;
use heed::{CommitOrAbort, Env, RoTxn, RwTxn, WithoutTls};

/// A database of raw keys and values; `codec` and `postings` give them their shapes.
pub(crate) type Database = heed::Database<'static, Bytes, Bytes>;

/// Format version, wrapped keys and their check: what opening needs before any key is known.
pub(crate) const META: &str = "meta";
/// From a blinded (type, id) to the rid it was given once.
pub(crate) const KEYS: &str = "keys";
/// From a rid to the newest state of its resource.
pub(crate) const HEADS: &str = "heads";
/// From (rid, version) to that version with its body.
pub(crate) const VERSIONS: &str = "versions";
/// From a rid to the search values of its head.
pub(crate) const VALUES: &str = "values";
/// From (blinded term, rid / 4096) to which rids of that span posted the term.
pub(crate) const POSTINGS: &str = "postings";
/// From a seq to the change that was given it.
pub(crate) const CHANGES: &str = "changes";
/// From the number of an audit entry to the entry and its link of the chain.
pub(crate) const AUDIT: &str = "audit";
/// From (table, key) to a small row of the gateway's loops.
pub(crate) const ROWS: &str = "rows";

/// Every name above, in the order of [`Databases`].
pub(crate) const NAMES: [&str; 9] = [
    META, KEYS, HEADS, VERSIONS, VALUES, POSTINGS, CHANGES, AUDIT, ROWS,
];

/// The databases of whole values, which the log and the overlay name by number. `meta` and
/// `postings` are not among them: the one is no part of a group, the other is changed place by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tree {
    Keys,
    Heads,
    Versions,
    Values,
    Changes,
    Audit,
    Rows,
}

/// The number of `postings` in the log, beside those of the trees.
pub(crate) const POSTINGS_NUMBER: u8 = 5;

impl Tree {
    pub(crate) const ALL: [Tree; 7] = [
        Tree::Keys,
        Tree::Heads,
        Tree::Versions,
        Tree::Values,
        Tree::Changes,
        Tree::Audit,
        Tree::Rows,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Tree::Keys => KEYS,
            Tree::Heads => HEADS,
            Tree::Versions => VERSIONS,
            Tree::Values => VALUES,
            Tree::Changes => CHANGES,
            Tree::Audit => AUDIT,
            Tree::Rows => ROWS,
        }
    }

    /// The byte in the log; ascending as the trees are, and never given to another.
    pub(crate) fn number(self) -> u8 {
        match self {
            Tree::Keys => 1,
            Tree::Heads => 2,
            Tree::Versions => 3,
            Tree::Values => 4,
            Tree::Changes => 6,
            Tree::Audit => 7,
            Tree::Rows => 8,
        }
    }

    pub(crate) fn of_number(number: u8) -> Option<Tree> {
        Tree::ALL.into_iter().find(|tree| tree.number() == number)
    }
}

/// Handles of all databases, alike for every transaction of the environment.
#[derive(Clone, Copy)]
pub(crate) struct Databases {
    pub(crate) meta: Database,
    pub(crate) keys: Database,
    pub(crate) heads: Database,
    pub(crate) versions: Database,
    pub(crate) values: Database,
    pub(crate) postings: Database,
    pub(crate) changes: Database,
    pub(crate) audit: Database,
    pub(crate) rows: Database,
}

impl Databases {
    /// In the order of [`NAMES`].
    pub(crate) fn all(&self) -> [Database; NAMES.len()] {
        [
            self.meta,
            self.keys,
            self.heads,
            self.versions,
            self.values,
            self.postings,
            self.changes,
            self.audit,
            self.rows,
        ]
    }

    pub(crate) fn of(&self, tree: Tree) -> Database {
        match tree {
            Tree::Keys => self.keys,
            Tree::Heads => self.heads,
            Tree::Versions => self.versions,
            Tree::Values => self.values,
            Tree::Changes => self.changes,
            Tree::Audit => self.audit,
            Tree::Rows => self.rows,
        }
    }

    /// Opens what is there, writing nothing; `None` when one of them is missing.
    pub(crate) fn open(env: &Env<WithoutTls>) -> Result<Option<Self>, StoreError> {
        let fault = |e: heed::Error| StoreError::disk("opening the databases", &e);
        let transaction: RoTxn<'_, WithoutTls> = env.read_txn().map_err(fault)?;
        let opened = env
            .open_databases_and_commit(transaction, |opener, transaction| {
                let mut found = Vec::with_capacity(NAMES.len());
                for name in NAMES {
                    let mut options = opener.database_options().types::<Bytes, Bytes>();
                    found.push(options.name(name).open(transaction)?);
                }
                let Ok(found) = <[_; NAMES.len()]>::try_from(found) else {
                    return Ok(CommitOrAbort::Abort(()));
                };
                Ok::<_, heed::Error>(CommitOrAbort::Commit(found))
            })
            .map_err(fault)?;
        let Some(all) = opened.commit() else {
            return Ok(None);
        };
        let [
            meta,
            keys,
            heads,
            versions,
            values,
            postings,
            changes,
            audit,
            rows,
        ] = all;
        let all = (|| {
            Some(Self {
                meta: meta?,
                keys: keys?,
                heads: heads?,
                versions: versions?,
                values: values?,
                postings: postings?,
                changes: changes?,
                audit: audit?,
                rows: rows?,
            })
        })();
        Ok(all)
    }

    /// Creates all databases of a new data file in one transaction, with the rows of `meta`.
    pub(crate) fn create(
        env: &Env<WithoutTls>,
        meta_rows: &[(&str, Vec<u8>)],
    ) -> Result<(), heed::Error> {
        let transaction: RwTxn<'_> = env.write_txn()?;
        env.create_databases_and_commit(transaction, |opener, transaction| {
            for name in NAMES {
                let mut options = opener.database_options().types::<Bytes, Bytes>();
                let database = options.name(name).create(transaction)?;
                if name == META {
                    for (key, value) in meta_rows {
                        database.put(transaction, key.as_bytes(), value)?;
                    }
                }
            }
            Ok::<_, heed::Error>(CommitOrAbort::<(), ()>::Commit(()))
        })?;
        Ok(())
    }
}

/// The byte that keeps the rows of one table together; never changes once given.
pub(crate) fn table_byte(table: Table) -> u8 {
    match table {
        Table::Intake => 1,
        Table::IntakeDigests => 2,
        Table::IntakeWaiting => 3,
        Table::Deliveries => 4,
        Table::DeliveryByResource => 5,
        Table::Checkpoints => 6,
        Table::Shadows => 7,
        Table::Reviews => 8,
        Table::Tokens => 9,
        Table::Imports => 10,
        Table::Site => 11,
        Table::Subscriptions => 12,
        Table::Notices => 13,
        Table::Jobs => 14,
    }
}
