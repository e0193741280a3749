//! Where definitions come from: the store's resources and R4's own, by canonical URL.

use super::{CodeSystem, ConceptMap, ValueSet};
use crate::model::Issue;
use std::sync::Arc;

/// Finds definitions by canonical URL; `|version` may follow it. `None`: not known here. An issue
/// is a fault of the place they come from.
pub trait Library {
    fn code_system(&self, canonical: &str) -> Result<Option<Arc<CodeSystem>>, Issue>;
    fn value_set(&self, canonical: &str) -> Result<Option<Arc<ValueSet>>, Issue>;
    fn concept_map(&self, canonical: &str) -> Result<Option<Arc<ConceptMap>>, Issue>;
    /// The maps that may translate codes of a code system, for `$translate` without a URL.
    fn concept_maps_from(&self, system: &str) -> Result<Vec<Arc<ConceptMap>>, Issue>;
}

/// URL and version of a canonical. A few official URLs hold a bar themselves, so a caller looks for
/// the whole text first.
pub fn split_canonical(canonical: &str) -> (&str, Option<&str>) {
    match canonical.rsplit_once('|') {
        Some((url, version)) => (url, Some(version)),
        None => (canonical, None),
    }
}
