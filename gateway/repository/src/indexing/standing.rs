//! What the index is worth: by which rules its postings were made, and how far a reindex has come.
//! Two rows of the site tell: one where it stands, one by which rules all resources are posted.

use fhir_mapping::search::{Doubt, Rules, Zone};
use store::{Rid, RowWrite, Store, StoreError, Table, View, WriteSet};

/// Number of the rules it is for, and `done`, or the last resource looked at, with `all` behind it
/// when everything is posted anew.
const STANDING: &[u8] = b"search-index";
/// The rules by which every resource is posted, those of a reindex under way not among them.
const MADE_BY: &[u8] = b"search-index-rules";
const DONE: &str = "done";
const ALL: &str = "all";

/// How far the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Whole,
    /// All up to this resource are indexed by the present rules.
    Upto {
        rid: Rid,
        /// Terms are posted that should be there already: somebody doubts it.
        posts_all: bool,
    },
}

/// Which postings are the whole truth.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    Whole,
    /// All but these.
    But(Doubt),
}

impl Trust {
    pub(crate) fn of(view: &View<'_>, zone: &Zone) -> Result<Trust, StoreError> {
        Ok(match standing(view, zone)? {
            Standing::Whole => Trust::Whole,
            Standing::Upto { .. } => Trust::But(Doubt::of(zone, &made_by(view)?)),
        })
    }

    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Trust::Whole)
    }

    /// The terms to look up: these, or the type's own, when one of them is in doubt.
    pub(crate) fn terms(&self, terms: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let Trust::But(doubt) = self else {
            return terms;
        };
        if !terms.iter().any(|term| doubt.holds_term(term)) {
            return terms;
        }
        let of_type = |term: &Vec<u8>| term.split(|b| *b == b'/').next().map(<[u8]>::to_vec);
        let mut types: Vec<Vec<u8>> = terms.iter().filter_map(of_type).collect();
        types.sort_unstable();
        types.dedup();
        types
    }
}

pub(crate) fn standing(view: &View<'_>, zone: &Zone) -> Result<Standing, StoreError> {
    let from_start = Standing::Upto {
        rid: Rid(0),
        posts_all: false,
    };
    let row = view.row(Table::Site, STANDING)?.unwrap_or_default();
    let text = std::str::from_utf8(&row).unwrap_or_default();
    let mut words = text.split(' ');
    if words.next() != Some(number_of(&zone.rules()).as_str()) {
        return Ok(from_start);
    }
    Ok(match words.next() {
        Some(DONE) => Standing::Whole,
        Some(rid) => Standing::Upto {
            rid: Rid(rid.parse().unwrap_or(0)),
            posts_all: words.next() == Some(ALL),
        },
        None => from_start,
    })
}

/// The rows that note a standing. What all resources are posted by only shrinks until it is whole:
/// as soon as other rules begin to write, their own terms are missing and ours are taken away.
pub(super) fn rows(
    view: &View<'_>,
    zone: &Zone,
    standing: Standing,
) -> Result<Vec<RowWrite>, StoreError> {
    let rules = zone.rules();
    let made_by = match standing {
        Standing::Whole => rules.clone(),
        Standing::Upto {
            posts_all: true, ..
        } => Rules::default(),
        Standing::Upto { .. } => made_by(view)?.shared(&rules),
    };
    let state = match standing {
        Standing::Whole => DONE.to_owned(),
        Standing::Upto { rid, posts_all } if posts_all => format!("{} {ALL}", rid.0),
        Standing::Upto { rid, .. } => rid.0.to_string(),
    };
    let standing = format!("{} {state}", number_of(&rules));
    let mut rows = vec![row(STANDING, standing.into_bytes())];
    let made_by = made_by.encode();
    if view.row(Table::Site, MADE_BY)?.as_ref() != Some(&made_by) {
        rows.push(row(MADE_BY, made_by));
    }
    Ok(rows)
}

/// At a start, before anything is written by the present rules: notes that they are, and tells
/// whether the index is whole. A store without resources is. What cannot be read or written now is
/// left to the reindex, which says so.
pub(crate) fn begin(store: &Store, zone: &Zone) -> bool {
    let snapshot = store.snapshot();
    let known = snapshot.map(|snapshot| standing(&snapshot.view(), zone));
    if let Ok(Ok(Standing::Whole)) = known {
        return true;
    }
    let zone = zone.clone();
    let noted = store.commit(move |view| {
        let is_new = view.last_rid()? == Rid(0);
        let standing = match standing(view, &zone)? {
            Standing::Upto { .. } if is_new => Standing::Whole,
            standing => standing,
        };
        let set = WriteSet {
            rows: rows(view, &zone, standing)?,
            ..WriteSet::default()
        };
        Ok::<_, StoreError>((set, standing == Standing::Whole))
    });
    noted.is_ok_and(|(_, is_whole)| is_whole)
}

fn made_by(view: &View<'_>) -> Result<Rules, StoreError> {
    let row = view.row(Table::Site, MADE_BY)?;
    Ok(row.map(|bytes| Rules::decode(&bytes)).unwrap_or_default())
}

fn number_of(rules: &Rules) -> String {
    format!("{:08x}", rules.number())
}

fn row(key: &[u8], value: Vec<u8>) -> RowWrite {
    RowWrite {
        table: Table::Site,
        key: key.to_vec(),
        value: Some(value),
    }
}
