//! Putting right what a look found damaged: search values, posting lists and heads from what is stored
//! itself; versions, changes and audit entries from a backup. No version is made, and nothing that
//! opens is touched.

use crate::{Repository, indexing};
use fhir_mapping::search::{SearchValues, Zone};
use gateway_ground::failure::Failure;
use store::{
    CommitError, Damage, Mend, NewIndex, Rid, Seq, StoreError, Table, Term, View, WriteSet,
};

impl Repository {
    /// Puts right what can be made of what is stored; true when it is.
    pub async fn mend(&self, about: Damage) -> Result<bool, Failure> {
        let zone = self.zone().clone();
        self.mended(move |view| planned(view, &zone, about)).await
    }

    /// Takes what is damaged from another store, which a backup was restored into; true when it is put right.
    pub async fn mend_from(&self, backup: &Repository, about: Damage) -> Result<bool, Failure> {
        let found = {
            let snapshot = backup.store().snapshot()?;
            kept_in(&snapshot.view(), about)
        };
        match found {
            Ok(Some(mend)) => self.mended(move |_| Ok(Some(set_of(mend)))).await,
            Ok(None) | Err(StoreError::Corrupt { .. }) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    /// `Type/id` of the resource that damage is about, while anything of it still tells.
    pub fn name_of_damaged(&self, about: Damage) -> Result<Option<String>, Failure> {
        let (Damage::Head(rid)
        | Damage::Key(rid)
        | Damage::Version(rid, _)
        | Damage::Values(rid)
        | Damage::Unlisted(rid)
        | Damage::Stray(rid, _)) = about
        else {
            return Ok(None);
        };
        let snapshot = self.store().snapshot()?;
        Ok(name_of((&snapshot.view(), self.zone()), rid))
    }

    async fn mended(
        &self,
        plan: impl FnOnce(&View<'_>) -> Result<Option<WriteSet>, StoreError> + Send + 'static,
    ) -> Result<bool, Failure> {
        let plan = move |view: &View<'_>| -> Result<_, StoreError> {
            let set = plan(view)?;
            let is_mended = set.is_some();
            Ok((set.unwrap_or_default(), is_mended))
        };
        match self.submit(plan).await {
            Ok((_, is_mended)) => Ok(is_mended),
            // What confirms it is damaged too, or speaks against it.
            Err(
                CommitError::Store(StoreError::Invalid(_) | StoreError::Corrupt { .. })
                | CommitError::Refused(StoreError::Corrupt { .. }),
            ) => Ok(false),
            Err(CommitError::Store(error) | CommitError::Refused(error)) => Err(error.into()),
        }
    }
}

/// What puts it right, made of what is stored; `None` when nothing can be.
fn planned(view: &View<'_>, zone: &Zone, about: Damage) -> Result<Option<WriteSet>, StoreError> {
    match about {
        Damage::Unlisted(rid) => {
            let Some(values) = view.values(rid)? else {
                return Ok(None);
            };
            let terms = SearchValues::decode(&values, zone).map(|values| values.terms());
            Ok(terms.map(|terms| posted_anew(rid, terms, values)))
        }
        Damage::Values(rid) => {
            let made = indexing::extracted(view, rid, zone)?;
            Ok(made.map(|made| posted_anew(rid, made.terms(), made.encode())))
        }
        Damage::Stray(rid, blinded) => {
            let terms = match view.head_of(rid)? {
                Some(head) if !head.deleted => view.values(rid)?.map(|values| {
                    let values = SearchValues::decode(&values, zone);
                    values.map(|values| values.terms())
                }),
                _ => Some(Some(Vec::new())),
            };
            let Some(Some(terms)) = terms else {
                return Ok(None);
            };
            let has = |term| view.blinded_term(&Term(term)) == blinded;
            let has_it = terms.into_iter().any(has);
            Ok((!has_it).then(|| set_of(Mend::Stray(rid, blinded))))
        }
        Damage::Head(rid) => {
            let made = view.head_from_versions(rid)?;
            let reviews = view.row(Table::Reviews, &rid.0.to_be_bytes())?;
            Ok(made.map(|(key, mut head)| {
                head.review_open = reviews.is_some();
                set_of(Mend::Head(key, head))
            }))
        }
        Damage::Key(rid) => {
            let made = view.head_from_versions(rid)?;
            Ok(made.map(|(key, _)| set_of(Mend::Key(key, rid))))
        }
        Damage::Version(..) | Damage::Change(_) | Damage::Audit(_) => Ok(None),
        Damage::Row | Damage::Shape => Ok(None),
    }
}

fn posted_anew(rid: Rid, terms: Vec<Vec<u8>>, values: Vec<u8>) -> WriteSet {
    WriteSet {
        indexes: vec![NewIndex {
            rid,
            terms_added: terms.into_iter().map(Term).collect(),
            terms_removed: Vec::new(),
            values,
        }],
        ..WriteSet::default()
    }
}

fn set_of(mend: Mend) -> WriteSet {
    WriteSet {
        mends: vec![mend],
        ..WriteSet::default()
    }
}

/// What a backup has of it.
fn kept_in(view: &View<'_>, about: Damage) -> Result<Option<Mend>, StoreError> {
    Ok(match about {
        Damage::Version(rid, version) => view.version(rid, version)?.map(Mend::Version),
        Damage::Change(seq) => {
            let found = view.changes(Seq(seq.0.saturating_sub(1)), 1)?.pop();
            found.filter(|change| change.seq == seq).map(Mend::Change)
        }
        Damage::Audit(number) => {
            let found = view.audit(number.saturating_sub(1), 1)?.pop();
            found
                .filter(|entry| entry.number == number)
                .map(Mend::Audit)
        }
        _ => None,
    })
}

/// From any version that opens, or from the search values.
fn name_of((view, zone): (&View<'_>, &Zone), rid: Rid) -> Option<String> {
    let named = |resource_type: &str, id: &str| format!("{resource_type}/{id}");
    let mut before = None;
    while let Ok(found) = view.history(rid, before, 1) {
        let Some((number, _)) = found.first() else {
            break;
        };
        before = Some(*number);
        if let Ok(Some(version)) = view.version(rid, *number) {
            return Some(named(&version.key.resource_type, &version.key.id));
        }
    }
    let values = view.values(rid).ok().flatten()?;
    let values = SearchValues::decode(&values, zone)?;
    let (resource_type, id) = values.key();
    Some(named(resource_type, id))
}
