//! Posting lists held against the terms of each resource, both ways: no place is missing, none is
//! too many. Lists are not sealed, so this is what finds a place that was changed into another possible
//! one. A sealed or summed list would cost 4 to 28 bytes for each of some 40 rare terms of a
//! resource, and a look into the neighbour at every search; this costs nothing on the disk and at
//! a write.
//!
//! Of each resource of a window the terms are hashed and summed; one walk over all lists sums what is
//! posted. Where the sums agree the sets are the same (but for one chance in 2^64); where they do not,
//! that resource is looked at term by term. So a look costs one opening of all search values, and
//! one walk over all lists for every 262,144 resources, with 4 MiB of sums.

use super::look::TermsOf;
use super::{Damage, VerifyReport};
use crate::postings::{self, is_row, span_of_key};
use crate::{Head, Rid, Seq, Store, StoreError, Term, View, catalog};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Bound;

/// Resources whose sums are in memory at one time.
const WINDOW: u64 = if cfg!(test) { 64 } else { 1 << 18 };
/// Resources whose terms are in memory at one time, and looked at in one step.
const SUSPECTS_MAX: usize = if cfg!(test) { 8 } else { 4096 };
const SUSPECTS_A_STEP: usize = 64;
/// Rows of lists walked over in one step: two megabytes at most.
const ROWS_A_STEP: usize = 4096;

type Blinded = [u8; 16];

/// Resources in a row, and the sums of their terms.
pub(super) struct Window {
    /// The resource before the first one.
    before: Rid,
    /// The change log when the first one was looked at: what came later is left to the next look.
    began: Option<Seq>,
    /// `None` where nobody knows.
    expected: Vec<Option<u64>>,
}

impl Window {
    pub(super) fn after(before: Rid) -> Window {
        Window {
            before,
            began: None,
            expected: Vec::new(),
        }
    }

    pub(super) fn before(&self) -> Rid {
        self.before
    }

    /// The highest rid that may be in it.
    pub(super) fn last(&self) -> Rid {
        Rid(self.before.0.saturating_add(WINDOW))
    }

    /// The next resource posts these terms; `None` when nobody knows.
    pub(super) fn expect(
        &mut self,
        view: &View<'_>,
        terms: Option<Vec<Vec<u8>>>,
    ) -> Result<(), StoreError> {
        if self.began.is_none() {
            self.began = Some(view.last_seq()?);
        }
        let sum = |terms: Vec<Vec<u8>>| {
            let terms = terms
                .into_iter()
                .map(|term| hash(&view.blinded_term(&Term(term))));
            terms.fold(0_u64, u64::wrapping_add)
        };
        self.expected.push(terms.map(sum));
        Ok(())
    }

    /// Nobody knows of the resources up to this one.
    pub(super) fn skip_to(&mut self, rid: Rid) {
        let length = self.place(rid.0).map_or(0, |place| place + 1);
        if length > self.expected.len() {
            self.expected.resize(length, None);
        }
    }

    fn place(&self, rid: u64) -> Option<usize> {
        usize::try_from(rid.checked_sub(self.before.0 + 1)?).ok()
    }

    /// The head, when what was summed of it still counts.
    fn head(&self, view: &View<'_>, rid: Rid) -> Result<Option<Head>, StoreError> {
        let head = match view.head_of(rid) {
            // Found where heads are looked at.
            Err(StoreError::Corrupt { .. }) => None,
            other => other?,
        };
        Ok(head.filter(|head| Some(head.seq) <= self.began))
    }
}

/// Terms are blinded, so each is as good as random; mixed, so that no two changes cancel out.
fn hash(term: &Blinded) -> u64 {
    let (high, low) = term.split_at(8);
    let number = |part: &[u8]| part.try_into().map_or(0, u64::from_be_bytes);
    let mut mixed = number(high) ^ number(low).rotate_left(31);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Summing what the lists hold of a window.
pub(super) struct Walk {
    pub(super) window: Window,
    sums: Vec<u64>,
    /// Places of resources that do not exist.
    beyond: BTreeMap<u64, HashSet<Blinded>>,
    last: Vec<u8>,
    /// The lists cannot be walked: the check of their shape says so.
    is_broken: bool,
}

impl Walk {
    pub(super) fn begin(window: Window) -> Walk {
        let sums = vec![0; window.expected.len()];
        Walk {
            window,
            sums,
            beyond: BTreeMap::new(),
            last: Vec::new(),
            is_broken: false,
        }
    }

    /// The next rows; true at the end.
    pub(super) fn step(
        &mut self,
        store: &Store,
        report: &mut VerifyReport,
    ) -> Result<bool, StoreError> {
        let reading = store.engine()?.read()?;
        let last_rid = reading.view(&reading.layers).last_rid()?;
        let mut last = std::mem::take(&mut self.last);
        let walked = walk(store, &mut last, |term, rid| {
            if rid == 0 || rid > last_rid.0 {
                if self.beyond.len() < SUSPECTS_MAX {
                    self.beyond.entry(rid).or_default();
                }
                return;
            }
            let place = self.window.place(rid);
            if let Some(sum) = place.and_then(|place| self.sums.get_mut(place)) {
                *sum = sum.wrapping_add(hash(term));
                report.postings += 1;
            }
        });
        self.last = last;
        match walked {
            Ok(Walked::More) => Ok(false),
            Ok(Walked::End) => Ok(true),
            Ok(Walked::Broken) | Err(StoreError::Corrupt { .. }) => {
                self.is_broken = true;
                Ok(true)
            }
            Err(other) => Err(other),
        }
    }

    /// The resources to look at term by term, or the window back when there are none.
    pub(super) fn compare(self, terms_of: &TermsOf) -> Result<Search, Window> {
        let Walk { window, sums, .. } = self;
        if self.is_broken {
            return Err(window);
        }
        let differ = window.expected.iter().zip(&sums).zip(window.before.0 + 1..);
        let differ = differ.filter(|((expected, sum), _)| expected.is_some_and(|e| e != **sum));
        let suspects: VecDeque<u64> = differ.map(|(_, rid)| rid).collect();
        if suspects.is_empty() && self.beyond.is_empty() {
            return Err(window);
        }
        Ok(Search {
            window,
            suspects,
            wanted: self.beyond,
            terms_of: TermsOf::clone(terms_of),
            last: Vec::new(),
            is_walking: false,
        })
    }
}

/// Blinded terms of a resource as it is now; `None` when it was written since or nobody knows.
fn terms_now(
    view: &View<'_>,
    (window, rid): (&Window, Rid),
    terms_of: &TermsOf,
) -> Result<Option<HashSet<Blinded>>, StoreError> {
    let Some(head) = window.head(view, rid)? else {
        return Ok(None);
    };
    if head.deleted {
        return Ok(Some(HashSet::new()));
    }
    let values = match view.values(rid) {
        Err(StoreError::Corrupt { .. }) => None,
        other => other?,
    };
    let terms = values.and_then(|values| terms_of(&values));
    let blind = |term| view.blinded_term(&Term(term));
    Ok(terms.map(|terms| terms.into_iter().map(blind).collect()))
}

fn missing(
    view: &View<'_>,
    rid: Rid,
    terms: &HashSet<Blinded>,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let mut count = 0;
    for term in terms {
        let found = match view.postings_of_blinded(*term).seek(rid) {
            Err(StoreError::Corrupt { .. }) => None,
            other => other?,
        };
        count += usize::from(found != Some(rid));
    }
    if count > 0 {
        let (number, of) = (rid.0, terms.len());
        let text = format!("resource {number} is missing from {count} of its {of} lists");
        report.find(catalog::POSTINGS, Damage::Unlisted(rid), text);
    }
    Ok(())
}

/// Resources whose sums differ, some at a time: what is missing is seen at once, and what is too many
/// by another walk.
pub(super) struct Search {
    pub(super) window: Window,
    suspects: VecDeque<u64>,
    /// The terms of those of this walk.
    wanted: BTreeMap<u64, HashSet<Blinded>>,
    terms_of: TermsOf,
    last: Vec<u8>,
    is_walking: bool,
}

impl Search {
    /// The next resources, or the next rows; true at the end.
    pub(super) fn step(
        &mut self,
        store: &Store,
        report: &mut VerifyReport,
    ) -> Result<bool, StoreError> {
        if !self.is_walking {
            self.take_suspects(store, report)?;
            self.is_walking = self.suspects.is_empty() || self.wanted.len() >= SUSPECTS_MAX;
            return Ok(false);
        }
        if self.walk(store, report)? {
            self.wanted.clear();
            self.last.clear();
            self.is_walking = false;
            return Ok(self.suspects.is_empty());
        }
        Ok(false)
    }

    fn take_suspects(
        &mut self,
        store: &Store,
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let snapshot = store.snapshot()?;
        let view = snapshot.view();
        for _ in 0..SUSPECTS_A_STEP {
            let Some(rid) = self.suspects.pop_front() else {
                return Ok(());
            };
            let terms = terms_now(&view, (&self.window, Rid(rid)), &self.terms_of)?;
            let Some(terms) = terms else {
                continue;
            };
            missing(&view, Rid(rid), &terms, report)?;
            self.wanted.insert(rid, terms);
        }
        Ok(())
    }

    fn walk(&mut self, store: &Store, report: &mut VerifyReport) -> Result<bool, StoreError> {
        let mut strays = Vec::new();
        let wanted = &self.wanted;
        let walked = walk(store, &mut self.last, |term, rid| {
            if wanted.get(&rid).is_some_and(|terms| !terms.contains(term)) {
                strays.push((Rid(rid), *term));
            }
        })?;
        for (rid, term) in strays {
            self.judge(store, (rid, term), report)?;
        }
        Ok(walked != Walked::More)
    }

    /// Is it still so, seen through everything that was written since?
    fn judge(
        &self,
        store: &Store,
        (rid, term): (Rid, Blinded),
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let snapshot = store.snapshot()?;
        let view = snapshot.view();
        let exists = rid.0 != 0 && rid <= view.last_rid()?;
        let terms = match exists {
            true => terms_now(&view, (&self.window, rid), &self.terms_of)?,
            false => Some(HashSet::new()),
        };
        let is_stray = terms.is_some_and(|terms| !terms.contains(&term));
        let found = match view.postings_of_blinded(term).seek(rid) {
            Err(StoreError::Corrupt { .. }) => None,
            other => other?,
        };
        if is_stray && found == Some(rid) {
            let text = format!(
                "resource {} is in the list of a term that it has not",
                rid.0
            );
            report.find(catalog::POSTINGS, Damage::Stray(rid, term), text);
        }
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Walked {
    More,
    End,
    /// Keys do not ascend: from there the walk cannot be taken up again.
    Broken,
}

/// Tells `each` of every place in the next rows of the data file above `last`, and moves it.
fn walk(
    store: &Store,
    last: &mut Vec<u8>,
    mut each: impl FnMut(&Blinded, u64),
) -> Result<Walked, StoreError> {
    let fault = |e: heed::Error| StoreError::disk(catalog::POSTINGS, &e);
    let engine = store.engine()?;
    let reading = engine.read()?;
    let from = match last.is_empty() {
        true => Bound::Unbounded,
        false => Bound::Excluded(last.as_slice()),
    };
    let range = (from, Bound::<&[u8]>::Unbounded);
    let postings = engine.databases.postings;
    let rows = postings
        .range(&reading.transaction, &range)
        .map_err(fault)?;
    let (mut before, mut count) = (last.clone(), 0);
    for row in rows.take(ROWS_A_STEP) {
        let (key, value) = row.map_err(fault)?;
        if !before.is_empty() && key <= before.as_slice() {
            return Ok(Walked::Broken);
        }
        count += 1;
        if let Some((term, first)) = span_of_key(key).filter(|_| is_row(key, value)) {
            postings::each_place(value, |place| each(&term, first + u64::from(place)));
        }
        before.clear();
        before.extend_from_slice(key);
    }
    *last = before;
    Ok(match count < ROWS_A_STEP {
        true => Walked::End,
        false => Walked::More,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Keys, LookOptions, NewIndex, NewVersion, OpenOptions, Origin, OriginKind, ResourceKey,
        Urgency, VersionId, WriteSet,
    };
    use std::sync::Arc;

    fn version(id: u64) -> NewVersion {
        NewVersion {
            key: ResourceKey {
                resource_type: "Patient".to_owned(),
                id: id.to_string(),
            },
            version: VersionId(1),
            body: b"{}".to_vec(),
            deleted: false,
            becomes_head: true,
            review_open: None,
            terms_added: vec![Term(b"all".to_vec()), Term(id.to_string().into_bytes())],
            terms_removed: Vec::new(),
            values: id.to_string().into_bytes(),
            origin: Origin {
                kind: OriginKind::Client,
                number: 0,
            },
            urgency: Urgency::Routine,
            time_ms: 0,
            hlc: id,
            making: crate::Making::Untold,
        }
    }

    fn write(store: &Store, set: WriteSet) {
        store.commit(move |_| Ok::<_, ()>((set, ()))).unwrap();
    }

    fn index(rid: u64, (added, removed): (&[&str], &[&str])) -> NewIndex {
        let terms = |texts: &[&str]| {
            let term = |text: &&str| Term(text.as_bytes().to_vec());
            texts.iter().map(term).collect()
        };
        NewIndex {
            rid: Rid(rid),
            terms_added: terms(added),
            terms_removed: terms(removed),
            values: rid.to_string().into_bytes(),
        }
    }

    /// Each window is summed for itself, the last one in part, and none takes places of another for
    /// its own.
    #[test]
    fn every_window_is_compared() {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            folder: folder.path().to_owned(),
            map_size_bytes: 1 << 26,
            queue_length_max: 100,
            random: |buffer| buffer.fill(5),
        };
        let key_encryption_key = [7; 32];
        let store = Store::open(options, Keys { key_encryption_key }).unwrap();
        let versions = (1..=2 * WINDOW + 20).map(version).collect();
        write(
            &store,
            WriteSet {
                versions,
                ..WriteSet::default()
            },
        );
        let (last, second) = (2 * WINDOW + 20, WINDOW + 3);
        // More than are looked at in one walk.
        let mut indexes: Vec<NewIndex> = (20..40).map(|rid| index(rid, (&["9"], &[]))).collect();
        indexes.extend([
            index(2, (&[], &["all"])),
            index(second, (&["7"], &[])),
            index(last, (&[], &["148"])),
        ]);
        write(
            &store,
            WriteSet {
                indexes,
                ..WriteSet::default()
            },
        );
        let terms_of: TermsOf = Arc::new(|values| Some(vec![b"all".to_vec(), values.to_vec()]));
        let options = LookOptions {
            terms_of: Some(terms_of),
            ..LookOptions::default()
        };
        let mut look = store.look(options).unwrap();
        while !look.step().unwrap() {}
        let found = look.report().findings.iter().map(|f| f.about);
        let (many, found): (Vec<Damage>, Vec<Damage>) =
            found.partition(|about| matches!(about, Damage::Stray(Rid(20..40), _)));
        assert_eq!(many.len(), 20);
        assert!(
            matches!(
                found.as_slice(),
                [Damage::Unlisted(Rid(2)), Damage::Stray(Rid(rid), _), Damage::Unlisted(Rid(end))]
                    if (*rid, *end) == (second, last)
            ),
            "{found:?}"
        );
        assert_eq!(look.report().postings, 2 * last - 1 + 20);
        store.close();
    }
}
