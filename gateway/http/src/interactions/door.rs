//! How strict the site is with what comes in: by level, and by profile.

use super::Surface;
use fhir_mapping::model::{Issue, Json, Severity};
use fhir_mapping::validate::structure;
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{ImportCheck, ImportSources, Repository};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much of a resource is judged before it is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strictness {
    /// Its type and its id only.
    Off,
    /// Names, types, cardinality, codes.
    #[default]
    Structure,
    /// Invariants, bindings of concepts, and the profiles it claims, too.
    Full,
}

/// The site's settings for validation and imports.
#[derive(Clone, Debug, Default)]
pub struct Door {
    pub level: Strictness,
    /// Levels of resources that claim a profile; the strictest of those they claim counts.
    pub profiles: BTreeMap<String, Strictness>,
    /// Where imports may read from.
    pub sources: ImportSources,
}

impl Door {
    /// The level that a resource is judged at.
    pub fn level_of(&self, resource: &Json) -> Strictness {
        let levels = claimed(resource).into_iter().filter_map(|url| {
            let plain = url.split('|').next().unwrap_or_default();
            self.profiles
                .get(url)
                .or_else(|| self.profiles.get(plain))
                .copied()
        });
        levels.max().unwrap_or(self.level)
    }

    /// Judges lines of an import as requests are judged.
    pub fn for_imports(self: Arc<Self>, repository: Repository) -> ImportCheck {
        Arc::new(move |resource| self.check(&repository, resource))
    }

    fn check(&self, repository: &Repository, resource: &Json) -> Result<(), Failure> {
        let issues = match self.level_of(resource) {
            Strictness::Off => Vec::new(),
            Strictness::Structure => structure(resource),
            Strictness::Full => self.in_full(repository, resource)?,
        };
        let is_error = |issue: &Issue| issue.severity >= Severity::Error;
        let errors: Vec<Issue> = issues.into_iter().filter(is_error).collect();
        if errors.is_empty() {
            return Ok(());
        }
        Err(Failure::of(Category::Unprocessable, errors))
    }

    fn in_full(&self, repository: &Repository, resource: &Json) -> Result<Vec<Issue>, Failure> {
        let urls: Vec<String> = claimed(resource).into_iter().map(str::to_owned).collect();
        let is_wanted = urls.iter().any(|url| {
            let plain = url.split('|').next().unwrap_or_default();
            self.profiles.contains_key(plain) || self.profiles.contains_key(url)
        });
        Ok(repository.judge(resource, &urls, is_wanted)?.issues)
    }

    /// Whether any resource at all may be judged in full.
    pub fn is_ever_full(&self) -> bool {
        self.level == Strictness::Full
            || self
                .profiles
                .values()
                .any(|level| *level == Strictness::Full)
    }
}

/// The profiles in `meta.profile`.
fn claimed(resource: &Json) -> Vec<&str> {
    let claimed = resource
        .get("meta")
        .map_or(&[][..], |meta| meta.items("profile"));
    claimed.iter().filter_map(Json::as_str).collect()
}

/// 422 when the resource has errors at the level that it is judged at; warnings do not stop a
/// write. A profile that the site has set to `full` must be loaded; another one is judged when it is.
pub(super) fn check(surface: &Surface, resource: &Json) -> Result<(), Failure> {
    surface.door.check(&surface.repository, resource)
}
