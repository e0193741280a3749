//! Full judgement of a resource: R4's rules and the profiles that this site has loaded, with the
//! terminology of one snapshot.

use super::Repository;
use super::resolved::Resolved;
use super::terminology::Shelf;
use fhir_mapping::fhirpath::Outside;
use fhir_mapping::model::{Issue, IssueCode, Json, Severity};
use fhir_mapping::terminology::Terminology;
use fhir_mapping::validate::{Judgement, Profile, Profiles, Surroundings, conforms, judge};
use gateway_ground::failure::{Category, Failure};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::{Rid, VersionId};

/// Profiles as last read: compiling takes longer than judging.
#[derive(Default)]
pub(super) struct ProfileCache(Mutex<HashMap<(Rid, VersionId), Arc<Profile>>>);

/// Profiles kept; with one more, all are read anew.
const CACHED_MAX: usize = 256;

impl Repository {
    /// Judges a resource by R4 and by the profiles of these URLs. A profile that is not loaded, or
    /// cannot be used, is a finding: an error when `is_wanted`, else a warning. Bounded, but long
    /// for a large resource: for a blocking thread.
    pub fn judge(
        &self,
        resource: &Json,
        urls: &[String],
        is_wanted: bool,
    ) -> Result<Judgement, Failure> {
        let snapshot = self.store().snapshot()?;
        let shelf = Shelf {
            view: snapshot.view(),
            zone: self.zone(),
            cache: &self.inner.terminology,
        };
        let mut unusable = Vec::new();
        let mut fetch = |url: &str| match self.profile(&shelf, url) {
            Ok(found) => found,
            Err(mut failure) => {
                unusable.append(&mut failure.issues);
                None
            }
        };
        let (mut profiles, missing) = Profiles::gather(urls, &mut fetch);
        profiles.gather_extensions(resource, &mut fetch);
        let now = gateway_ground::clock::format_instant(self.clock().now_ms());
        let view = snapshot.view();
        let loaded = |url: &str| self.profile(&shelf, url).ok().flatten();
        let around = Around {
            terminology: Terminology::new(&shelf),
            resolved: Resolved::new(&view, &self.inner.opened),
            loaded: &loaded,
            now: &now,
            steps: Cell::new(CONFORMS_STEPS_MAX),
            depth: Cell::new(0),
        };
        let surroundings = Surroundings {
            now: Some(&now),
            outside: Some(&around),
        };
        let mut judged = judge(resource, urls, (&profiles, surroundings));
        let missing = missing
            .iter()
            .filter(|_| unusable.is_empty())
            .map(|url| not_loaded(url));
        let mut about: Vec<Issue> = missing.chain(unusable.iter().cloned()).collect();
        if !is_wanted {
            about
                .iter_mut()
                .for_each(|issue| issue.severity = Severity::Warning);
        }
        judged.issues.append(&mut about);
        Ok(judged)
    }

    fn profile(&self, shelf: &Shelf<'_>, url: &str) -> Result<Option<Arc<Profile>>, Failure> {
        let Some((place, definition)) = shelf.definition("StructureDefinition", url)? else {
            return Ok(None);
        };
        let lock = || {
            self.inner
                .profiles
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(known) = lock().get(&place) {
            return Ok(Some(Arc::clone(known)));
        }
        let profile = Profile::read(&definition()?)
            .map_err(|issue| Failure::of(Category::Unprocessable, vec![issue]))?;
        let profile = Arc::new(profile);
        let mut cached = lock();
        if cached.len() >= CACHED_MAX {
            cached.clear();
        }
        cached.insert(place, Arc::clone(&profile));
        Ok(Some(profile))
    }
}

fn not_loaded(url: &str) -> Issue {
    let shown: String = url.chars().take(200).collect();
    let text = format!(
        "the profile {shown} is not loaded here, so it is not judged: PUT its StructureDefinition"
    );
    Issue::error("E-VALID-1", IssueCode::NotFound, "", text)
}

/// Value sets of the site and of R4, and what is stored.
struct Around<'t> {
    terminology: Terminology<'t>,
    resolved: Resolved<'t>,
    /// A profile that this site has loaded.
    loaded: &'t dyn Fn(&str) -> Option<Arc<Profile>>,
    now: &'t str,
    /// What all `conformsTo()` of one judgement may still take.
    steps: Cell<u64>,
    /// `conformsTo()` within each other.
    depth: Cell<usize>,
}

/// As many steps as the rules of the resource itself.
const CONFORMS_STEPS_MAX: u64 = 12_000_000;
/// A profile whose rule asks for itself is not followed further.
const CONFORMS_DEPTH_MAX: usize = 3;

impl Outside for Around<'_> {
    fn member_of(&self, value_set: &str, system: Option<&str>, code: &str) -> Option<bool> {
        let set = self.terminology.value_set(value_set).ok()?;
        self.terminology.holds(&set, system, code).ok()
    }

    /// Of whole resources: an element alone does not tell its type.
    fn conforms_to(&self, value: &Json, profile: &str) -> Option<bool> {
        value.resource_type()?;
        let depth = self.depth.get();
        if depth >= CONFORMS_DEPTH_MAX {
            return None;
        }
        let url = [profile.to_owned()];
        let (profiles, _missing) = Profiles::gather(&url, &mut |url: &str| (self.loaded)(url));
        let surroundings = Surroundings {
            now: Some(self.now),
            outside: Some(self),
        };
        let before = self.steps.get();
        let mut steps = before;
        self.depth.set(depth + 1);
        let answer = conforms(value, profile, (&profiles, surroundings), &mut steps);
        self.depth.set(depth);
        // Those within it have taken theirs.
        let left = self.steps.get().saturating_sub(before - steps);
        self.steps.set(left);
        answer
    }

    fn resolve(&self, reference: &str) -> Option<&Json> {
        self.resolved.get(reference)
    }
}
