//! Profiles (R4 StructureDefinition): what a site or a guide asks beyond R4.
//! <https://hl7.org/fhir/R4/profiling.html>
//!
//! `read` makes a tree of rules from a snapshot or a differential, `check` goes through a resource
//! with it, `slicing` tells which slice an element belongs to.

mod check;
mod extensions;
mod read;
mod slicing;

#[cfg(test)]
mod tests;

pub(super) use check::check;
pub use check::conforms;
pub(super) use extensions::check_extensions;

use crate::fhirpath::{Budget, Expression};
use crate::model::{Json, Severity};
use std::collections::HashMap;
use std::sync::Arc;

/// A profile, read and compiled.
#[derive(Debug)]
pub struct Profile {
    /// Its canonical URL, without a version.
    pub url: String,
    /// The type that it constrains: `Patient`, `Extension`.
    pub of_type: String,
    /// The profile it is based on; `None` for R4's own types.
    pub base: Option<String>,
    root: Rule,
}

impl Profile {
    /// The rule of an element by its id: `Questionnaire.item`.
    fn rule_at(&self, id: &str) -> Option<&Rule> {
        id.split('.').skip(1).try_fold(&self.root, |rule, segment| {
            let (name, slice) = segment.split_once(':').unwrap_or((segment, ""));
            let name = name.trim_end_matches("[x]");
            let child = rule.children.iter().find(|child| child.name == name)?;
            match slice {
                "" => Some(child),
                _ => {
                    let found = child.slices.iter().find(|s| s.name == slice)?;
                    Some(&found.rule)
                }
            }
        })
    }
}

/// What a profile asks of one element, and below it.
#[derive(Debug, Default)]
struct Rule {
    /// Without `[x]`; a choice may be named with its type, as `valueQuantity`.
    name: String,
    min: usize,
    max: Option<usize>,
    /// Equal to this.
    fixed: Option<Json>,
    /// Holds at least this.
    pattern: Option<Json>,
    /// Empty for any.
    types: Vec<AllowedType>,
    binding: Option<Binding>,
    invariants: Vec<Constraint>,
    slicing: Option<Slicing>,
    slices: Vec<Slice>,
    children: Vec<Rule>,
    /// The id of the element whose children it has (contentReference).
    same_as: Option<String>,
}

#[derive(Debug, Default)]
struct AllowedType {
    code: String,
    profiles: Vec<String>,
    targets: Vec<String>,
}

#[derive(Debug)]
struct Binding {
    value_set: String,
    is_required: bool,
}

#[derive(Debug)]
struct Constraint {
    key: String,
    severity: Severity,
    text: String,
    expression: Expression,
}

#[derive(Debug, Default)]
struct Slicing {
    discriminators: Vec<Discriminator>,
    rules: SlicingRules,
    /// Slices come in the order of the profile.
    is_ordered: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SlicingRules {
    #[default]
    Open,
    Closed,
    /// What is in no slice comes after what is.
    OpenAtEnd,
}

#[derive(Debug)]
struct Discriminator {
    kind: DiscriminatorKind,
    path: Expression,
    /// The steps of the path, for finding what a slice asks there.
    steps: Vec<PathStep>,
}

/// A step of a discriminator's path (R4 ElementDefinition.slicing.discriminator.path).
#[derive(Debug, PartialEq, Eq)]
enum PathStep {
    Name(String),
    /// `extension('url')`
    Extension(String),
    /// `resolve()`: the target of a reference.
    Resolve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiscriminatorKind {
    /// A fixed value, pattern or binding at the path.
    Value,
    Exists,
    Type,
    /// Conforming to a profile that the slice names at the path.
    Profile,
}

#[derive(Debug)]
struct Slice {
    name: String,
    rule: Rule,
}

/// The profiles that a judgement may need, by URL.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    by_url: HashMap<String, Arc<Profile>>,
    /// The definitions of the resource's extensions were looked for.
    has_extensions: bool,
}

/// Profiles that name each other, followed no further.
const PROFILES_MAX: usize = 64;

impl Profiles {
    /// Fetches profiles, what they are based on, and those their elements name. The second part
    /// are the URLs asked for (`urls`) that were not found.
    pub fn gather(
        urls: &[String],
        fetch: &mut dyn FnMut(&str) -> Option<Arc<Profile>>,
    ) -> (Profiles, Vec<String>) {
        let mut profiles = Profiles::default();
        let mut missing = Vec::new();
        let mut open: Vec<(String, bool)> = urls.iter().map(|u| (plain(u), true)).collect();
        let mut asked = 0;
        while let Some((url, is_wanted)) = open.pop() {
            if profiles.by_url.contains_key(&url) || is_core(&url) || asked >= PROFILES_MAX {
                continue;
            }
            asked += 1;
            match fetch(&url) {
                Some(profile) => {
                    let more = profile.named().into_iter().map(|url| (url, false));
                    open.extend(more);
                    profiles.by_url.insert(url, profile);
                }
                None if is_wanted => missing.push(url),
                None => {}
            }
        }
        (profiles, missing)
    }

    /// Adds the definitions of the extensions that a resource has, as far as they are found.
    pub fn gather_extensions(
        &mut self,
        resource: &Json,
        fetch: &mut dyn FnMut(&str) -> Option<Arc<Profile>>,
    ) {
        let urls = extensions::urls(resource, PROFILES_MAX);
        let (more, _not_loaded) = Profiles::gather(&urls, fetch);
        for (url, profile) in more.by_url {
            self.by_url.entry(url).or_insert(profile);
        }
        self.has_extensions = true;
    }

    /// By canonical URL; a version behind `|` does not matter.
    pub fn get(&self, url: &str) -> Option<&Profile> {
        self.by_url.get(&plain(url)).map(Arc::as_ref)
    }
}

impl Profile {
    /// The other profiles that it names.
    fn named(&self) -> Vec<String> {
        let mut named: Vec<String> = self.base.iter().map(|url| plain(url)).collect();
        self.root.named(&mut named);
        named
    }
}

impl Rule {
    fn named(&self, named: &mut Vec<String>) {
        let profiles = self.types.iter().flat_map(|of| &of.profiles);
        named.extend(profiles.map(|url| plain(url)));
        let slices = self.slices.iter().map(|slice| &slice.rule);
        for inner in self.children.iter().chain(slices) {
            inner.named(named);
        }
        let by = self.slicing.iter().flat_map(|s| &s.discriminators);
        if by
            .into_iter()
            .any(|by| by.kind == DiscriminatorKind::Profile)
        {
            for slice in &self.slices {
                slice.rule.named_targets(named);
            }
        }
    }

    /// The profiles of references' targets, which tell slices apart.
    fn named_targets(&self, named: &mut Vec<String>) {
        let targets = self.types.iter().flat_map(|of| &of.targets);
        named.extend(targets.map(|url| plain(url)));
        for inner in &self.children {
            inner.named_targets(named);
        }
    }
}

/// The URL of a canonical.
fn plain(url: &str) -> String {
    url.split('|').next().unwrap_or_default().to_owned()
}

/// R4's own types are judged without a profile.
fn is_core(url: &str) -> bool {
    let name = url.strip_prefix("http://hl7.org/fhir/StructureDefinition/");
    name.is_some_and(|name| crate::structure::table::table().type_named(name).is_some())
}

/// Steps of one discriminator at one element.
fn small_budget() -> Budget {
    Budget { steps: 20_000 }
}
