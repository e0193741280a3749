//! Search values and postings made by earlier rules, or in another zone, are made anew: in small
//! commits of their own, while everybody reads and writes. Until the last one, searches trust only
//! the postings of parameters that are as they were, and for others look at every resource of the
//! type.

use super::standing::{self, Standing, Trust};
use crate::plan::commit_failure;
use crate::{Repository, indexing};
use fhir_mapping::model::IssueCode;
use fhir_mapping::search::{Doubt, SearchValues, Zone};
use gateway_ground::failure::{Category, Failure};
use std::sync::atomic::Ordering;
use store::{Head, NewIndex, Rid, StoreError, VersionId, View, WriteSet};

/// Heads looked at for one commit, and bytes of what it writes: it takes the one writer a few
/// milliseconds.
const HEADS_MAX: usize = if cfg!(test) { 32 } else { 128 };
const BYTES_MAX: usize = 512 << 10;
/// Bytes of a term on its way, about.
const TERM_BYTES: usize = 64;

/// How far the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexState {
    /// Postings are the whole truth.
    pub is_whole: bool,
    /// Resources looked at, deleted ones included, of how many.
    pub looked_at: u64,
    pub of: u64,
}

/// What one commit is to index.
struct Batch {
    /// Where it began.
    after: Rid,
    /// Each with the version that it was made of.
    indexes: Vec<(VersionId, NewIndex)>,
    /// The last one looked at; `None` when there was none left.
    last: Option<Rid>,
}

impl Repository {
    pub fn index_state(&self) -> Result<IndexState, StoreError> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let Rid(of) = view.last_rid()?;
        Ok(match standing::standing(&view, self.zone())? {
            Standing::Whole => IndexState {
                is_whole: true,
                looked_at: of,
                of,
            },
            Standing::Upto { rid: Rid(rid), .. } => IndexState {
                is_whole: false,
                looked_at: rid.min(of),
                of,
            },
        })
    }

    /// The parameters that are searched without postings, until the index is whole; `None` when it is.
    pub fn index_doubt(&self) -> Result<Option<Doubt>, StoreError> {
        if self.inner.is_index_whole.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let snapshot = self.inner.store.snapshot()?;
        Ok(match Trust::of(&snapshot.view(), self.zone())? {
            Trust::Whole => None,
            Trust::But(doubt) => Some(doubt),
        })
    }

    /// Has all be indexed anew, though the rules are the same: somebody doubts the index. Until
    /// [`Repository::reindex_batch`] has come to the end, no postings are trusted but those of types.
    pub async fn doubt_index(&self) -> Result<(), Failure> {
        self.inner.is_index_whole.store(false, Ordering::SeqCst);
        let zone = self.zone().clone();
        let plan = move |view: &View<'_>| -> Result<_, Failure> {
            let standing = Standing::Upto {
                rid: Rid(0),
                posts_all: true,
            };
            Ok((set_of(view, &zone, standing)?, ()))
        };
        self.submit(plan).await.map_err(commit_failure)?;
        self.inner.reindex_asked.notify_one();
        Ok(())
    }

    /// Returns when somebody asked for a reindex, at once if that was before.
    pub async fn reindex_asked(&self) {
        self.inner.reindex_asked.notified().await;
    }

    /// Reindexes the next resources; true when nothing is left to do. Starts where a former run
    /// ended, also after a crash. Values are made on a thread of their own, so that the writer only
    /// writes.
    pub async fn reindex_batch(&self) -> Result<bool, Failure> {
        self.adopt_parameters().await?;
        let _alone = self.inner.indexing.lock().await;
        let repository = self.clone();
        let prepared = tokio::task::spawn_blocking(move || repository.prepare());
        let Some(batch) = prepared.await.map_err(|_panicked| stopped())?? else {
            return Ok(true);
        };
        let zone = self.zone().clone();
        let plan = move |view: &View<'_>| -> Result<_, Failure> { planned(view, &zone, batch) };
        let committed = self.submit(plan).await;
        let (_, is_whole) = committed.map_err(commit_failure)?;
        if is_whole {
            // Nobody changes the rules while this batch has the lock.
            self.inner.is_index_whole.store(true, Ordering::SeqCst);
        }
        Ok(is_whole)
    }

    /// `None` when the index is whole.
    fn prepare(&self) -> Result<Option<Batch>, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let Standing::Upto { rid, posts_all } = standing::standing(&view, self.zone())? else {
            return Ok(None);
        };
        let mut batch = Batch {
            after: rid,
            indexes: Vec::new(),
            last: None,
        };
        let after = Some(rid).filter(|rid| *rid != Rid(0));
        let mut bytes = 0_usize;
        for head in view.scan_heads(after, HEADS_MAX)? {
            batch.last = Some(head.rid);
            let renewed = renewed((&view, self.zone()), &head, posts_all)?;
            bytes = bytes.saturating_add(renewed.as_ref().map_or(0, size_of));
            batch
                .indexes
                .extend(renewed.map(|index| (head.version, index)));
            if bytes > BYTES_MAX {
                break;
            }
        }
        Ok(Some(batch))
    }
}

/// What the batch writes, and whether it was the last one.
fn planned(view: &View<'_>, zone: &Zone, batch: Batch) -> Result<(WriteSet, bool), Failure> {
    let standing = standing::standing(view, zone)?;
    let Standing::Upto { rid, posts_all } = standing else {
        return Ok((WriteSet::default(), true));
    };
    if rid != batch.after {
        // Begun anew since the batch was made.
        return Ok((WriteSet::default(), false));
    }
    let next = match batch.last {
        Some(rid) => Standing::Upto { rid, posts_all },
        None => Standing::Whole,
    };
    let mut set = set_of(view, zone, next)?;
    for (version, index) in batch.indexes {
        // Who wrote since, indexed too.
        let head = view.head_of(index.rid)?;
        if head.is_some_and(|head| head.version == version && !head.deleted) {
            set.indexes.push(index);
        }
    }
    Ok((set, next == Standing::Whole))
}

fn set_of(view: &View<'_>, zone: &Zone, standing: Standing) -> Result<WriteSet, StoreError> {
    Ok(WriteSet {
        rows: standing::rows(view, zone, standing)?,
        ..WriteSet::default()
    })
}

/// The present index of a head; `None` when it is what is stored.
fn renewed(
    (view, zone): (&View<'_>, &Zone),
    head: &Head,
    posts_all: bool,
) -> Result<Option<NewIndex>, StoreError> {
    let Some(new) = indexing::extracted(view, head.rid, zone)? else {
        return Ok(None);
    };
    let values = new.encode();
    let kept = view.values(head.rid)?.unwrap_or_default();
    if kept == values && !posts_all {
        return Ok(None);
    }
    // Terms that only other rules posted stay: they propose a candidate too many.
    let old = SearchValues::decode_former(&kept, zone).map(|old| old.terms());
    let terms = new.terms();
    let mut diff = indexing::diff(old.unwrap_or_default(), terms.clone());
    if posts_all {
        diff.added = terms.into_iter().map(store::Term).collect();
    }
    Ok(Some(NewIndex {
        rid: head.rid,
        terms_added: diff.added,
        terms_removed: diff.removed,
        values,
    }))
}

fn size_of(index: &NewIndex) -> usize {
    let terms = index.terms_added.len() + index.terms_removed.len();
    index.values.len() + terms * TERM_BYTES
}

fn stopped() -> Failure {
    let text = "making search values stopped unexpectedly; it is tried again";
    Failure::new(Category::Fault, "E-INDEX-1", IssueCode::Exception, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fresh;
    use crate::{Actor, Transaction, Write};
    use fhir_mapping::model::{Limits, parse};
    use fhir_mapping::search::{Handling, Query};
    use gateway_ground::clock::Clock;
    use store::{NewVersion, Origin, OriginKind, ResourceKey, Store, Urgency};

    /// As an earlier release would have left them: values of other rules, and none of today's terms.
    fn leave_behind(store: &Store, count: u64) {
        for number in 0..count {
            let id = format!("p{number}");
            let body = format!(
                r#"{{"resourceType":"Patient","id":"{id}","gender":"female","birthDate":"1980-01-01"}}"#
            );
            let version = NewVersion {
                key: ResourceKey {
                    resource_type: "Patient".to_owned(),
                    id,
                },
                version: VersionId(1),
                body: body.into_bytes(),
                deleted: false,
                becomes_head: true,
                making: store::Making::Untold,
                review_open: None,
                terms_added: vec![store::Term(b"Patient".to_vec())],
                terms_removed: Vec::new(),
                values: b"of other rules".to_vec(),
                origin: Origin {
                    kind: OriginKind::Client,
                    number: 0,
                },
                urgency: Urgency::Routine,
                time_ms: 0,
                hlc: number,
            };
            let set = WriteSet {
                versions: vec![version],
                ..WriteSet::default()
            };
            store.commit(move |_| Ok::<_, ()>((set, ()))).unwrap();
        }
    }

    fn count(repository: &Repository, asked: &str) -> usize {
        let (name, value) = asked.split_once('=').unwrap();
        let pairs = [(name.to_owned(), value.to_owned())];
        let query = Query::parse("Patient", &pairs, Handling::Strict, repository.zone()).unwrap();
        let snapshot = repository.store().snapshot().unwrap();
        let finder = crate::search::Finder::new((snapshot.view(), repository.zone()), 1);
        finder.keys(&query, 1000).unwrap().len()
    }

    fn posted(repository: &Repository, term: &str) -> u64 {
        let snapshot = repository.store().snapshot().unwrap();
        let view = snapshot.view();
        view.postings(&store::Term(term.as_bytes().to_vec()))
            .unwrap()
            .count()
    }

    fn is_whole(repository: &Repository) -> bool {
        repository.index_state().unwrap().is_whole
    }

    async fn finish(repository: &Repository) -> usize {
        let mut batches = 1;
        while !repository.reindex_batch().await.unwrap() {
            batches += 1;
        }
        batches
    }

    fn doubts(repository: &Repository, parameter: &str) -> bool {
        let doubt = repository.index_doubt().unwrap();
        doubt.is_some_and(|doubt| doubt.holds("Patient", parameter))
    }

    /// Complaint 11 of fhir-rest.md: search parameters change, and old data are silently invisible
    /// until somebody reindexes by hand.
    #[tokio::test]
    async fn old_data_are_never_invisible_and_are_reindexed_unasked() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = fresh::store(&folder.path().join("data"));
        leave_behind(&store, 100);
        let zone = || Zone::of(jiff::tz::TimeZone::UTC);
        let made = || Repository::new(store.clone(), Clock::system(0), zone());
        let repository = made();
        assert!(!is_whole(&repository) && doubts(&repository, "gender"));
        for asked in ["gender=female", "birthdate=1980-01-01", "_id=p7"] {
            let expected = if asked.starts_with('_') { 1 } else { 100 };
            assert_eq!(count(&repository, asked), expected, "{asked}");
        }
        assert_eq!(posted(&repository, "Patient/gender=female"), 0);
        assert!(!repository.reindex_batch().await.unwrap());
        // Cut off here, and begun again where it was.
        let repository = made();
        assert!(!is_whole(&repository));
        assert_eq!(posted(&repository, "Patient/gender=female"), 32);
        assert_eq!(finish(&repository).await, 4);
        assert!(is_whole(&repository) && is_whole(&made()));
        assert!(!doubts(&repository, "gender"));
        assert_eq!(posted(&repository, "Patient/gender=female"), 100);
        assert_eq!(count(&repository, "gender=female"), 100);
        assert_eq!(count(&repository, "_id=p7"), 1);
    }

    /// Complaint 11: in another zone a date is another span of time.
    #[tokio::test]
    async fn another_zone_reads_all_dates_anew_and_trusts_the_rest() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = fresh::store(&folder.path().join("data"));
        let made = |zone: &str| {
            let zone = Zone::of(jiff::tz::TimeZone::get(zone).unwrap());
            Repository::new(store.clone(), Clock::system(0), zone)
        };
        let before = made("UTC");
        leave_behind(&store, 40);
        assert!(is_whole(&before), "a site that began empty");
        before.doubt_index().await.unwrap();
        finish(&before).await;
        let night = "birthdate=1980-01-01T02:00:00Z";
        let morning = "birthdate=ap1980-01-01";
        assert_eq!(posted(&before, "Patient/birthdateD1980-01-01"), 40);
        let moved = made("Asia/Karachi");
        assert!(!is_whole(&moved));
        assert!(doubts(&moved, "birthdate") && !doubts(&moved, "gender"));
        for asked in ["birthdate=1980-01-01", morning, "gender=female"] {
            assert_eq!(count(&moved, asked), 40, "{asked}");
        }
        assert_eq!(count(&moved, night), 0, "an instant is no day");
        finish(&moved).await;
        assert_eq!(count(&moved, "birthdate=1980-01-01"), 40);
        // The day began the evening before, by the hours that buckets are of.
        assert_eq!(posted(&moved, "Patient/birthdateD1979-12-31"), 40);
        assert!(is_whole(&moved) && !is_whole(&made("UTC")));
    }

    /// A parameter of the site's own: old resources are posted, it is in force after a restart, and
    /// its postings are trusted only when all have them; when it comes back, it is made anew.
    #[tokio::test]
    async fn own_parameters_are_indexed_and_outlive_a_restart() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = fresh::store(&folder.path().join("data"));
        let zone = || Zone::of(jiff::tz::TimeZone::UTC);
        let made = || Repository::new(store.clone(), Clock::system(0), zone());
        let repository = made();
        leave_behind(&store, 70);
        repository.doubt_index().await.unwrap();
        finish(&repository).await;
        let put = async |repository: &Repository, status: &str| {
            let text = format!(
                r#"{{"resourceType":"SearchParameter","id":"sex","url":"http://x.org/sex","status":"{status}",
                  "base":["Patient"],"code":"sex","type":"token","expression":"Patient.gender"}}"#
            );
            write(repository, "sex", &text).await;
        };
        put(&repository, "active").await;
        assert!(repository.adopt_parameters().await.unwrap());
        assert!(!repository.adopt_parameters().await.unwrap(), "nothing new");
        assert!(doubts(&repository, "sex") && !doubts(&repository, "gender"));
        assert_eq!(count(&repository, "sex=female"), 70);
        assert_eq!(posted(&repository, "Patient/sex=female"), 0);
        assert!(!repository.reindex_batch().await.unwrap());
        // Cut off here: the next start knows it, and goes on.
        let repository = made();
        assert!(doubts(&repository, "sex"));
        assert_eq!(count(&repository, "sex=female"), 70);
        finish(&repository).await;
        assert_eq!(posted(&repository, "Patient/sex=female"), 70);
        assert!(is_whole(&made()) && count(&made(), "sex=female") == 70);
        put(&repository, "retired").await;
        finish(&repository).await;
        assert_eq!(
            posted(&repository, "Patient/sex=female"),
            0,
            "they are taken away"
        );
        let pairs = [("sex".to_owned(), "female".to_owned())];
        assert!(Query::parse("Patient", &pairs, Handling::Strict, repository.zone()).is_err());
        let text = r#"{"resourceType":"Patient","id":"new","gender":"female"}"#;
        write(&repository, "new", text).await;
        put(&repository, "active").await;
        repository.adopt_parameters().await.unwrap();
        assert!(
            doubts(&repository, "sex"),
            "the new one has no such posting"
        );
        assert_eq!(count(&repository, "sex=female"), 71);
        finish(&repository).await;
        assert_eq!(count(&repository, "sex=female"), 71);
        assert_eq!(posted(&repository, "Patient/sex=female"), 71);
    }

    async fn write(repository: &Repository, id: &str, text: &str) {
        let transaction = Transaction {
            actor: Actor {
                name: "test".to_owned(),
                origin: Origin {
                    kind: OriginKind::Client,
                    number: 0,
                },
            },
            writes: vec![Write::Update {
                id: id.to_owned(),
                resource: parse(text.as_bytes(), Limits::default()).unwrap(),
                if_match: None,
            }],
            rows: Vec::new(),
            resolve_conditional_references: false,
        };
        repository.write(transaction).await.unwrap();
    }

    #[tokio::test]
    async fn a_new_site_is_indexed_from_the_start() {
        let (repository, _folder) = fresh::repository(Clock::system(0));
        assert!(is_whole(&repository));
        assert!(repository.reindex_batch().await.unwrap());
    }

    /// What is written while a reindex is under way is found at once, and what is deleted is gone,
    /// from the counts too.
    #[tokio::test]
    async fn writes_over_old_data_are_indexed_whole() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = fresh::store(&folder.path().join("data"));
        leave_behind(&store, 3);
        let zone = Zone::of(jiff::tz::TimeZone::UTC);
        let repository = Repository::new(store, Clock::system(0), zone);
        let actor = Actor {
            name: "test".to_owned(),
            origin: Origin {
                kind: OriginKind::Client,
                number: 0,
            },
        };
        let text = r#"{"resourceType":"Patient","id":"p0","gender":"male"}"#;
        let resource = parse(text.as_bytes(), Limits::default()).unwrap();
        let writes = vec![
            Write::Update {
                id: "p0".to_owned(),
                resource,
                if_match: None,
            },
            Write::Delete {
                key: ResourceKey {
                    resource_type: "Patient".to_owned(),
                    id: "p1".to_owned(),
                },
                if_match: None,
            },
        ];
        let transaction = Transaction {
            actor,
            writes,
            rows: Vec::new(),
            resolve_conditional_references: false,
        };
        repository.write(transaction).await.unwrap();
        assert_eq!(posted(&repository, "Patient"), 2);
        assert_eq!(posted(&repository, "Patient/gender=male"), 1);
        assert_eq!(count(&repository, "gender=male"), 1);
        finish(&repository).await;
        assert_eq!(posted(&repository, "Patient/gender=female"), 1);
        assert_eq!(count(&repository, "gender=female"), 1);
    }

    /// A doubted index: a posting that was lost on the disk is posted again.
    #[tokio::test]
    async fn a_doubted_index_is_made_anew() {
        let (repository, _folder) = fresh::repository(Clock::system(0));
        leave_behind(repository.store(), 40);
        assert!(is_whole(&repository));
        assert_eq!(count(&repository, "gender=female"), 0, "its terms are lost");
        repository.doubt_index().await.unwrap();
        repository.reindex_asked().await;
        assert!(!is_whole(&repository) && doubts(&repository, "gender"));
        assert_eq!(count(&repository, "gender=female"), 40);
        finish(&repository).await;
        assert_eq!(posted(&repository, "Patient/gender=female"), 40);
        assert!(is_whole(&repository));
    }
}
