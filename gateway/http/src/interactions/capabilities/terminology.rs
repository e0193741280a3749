//! GET metadata?mode=terminology: code systems at hand, and what the operations on them heed.
//! <https://hl7.org/fhir/R4/terminologycapabilities.html>

use super::about;
use crate::interactions::operations::{self, EXPANSION_PARAMETERS};
use crate::interactions::{Surface, aside};
use fhir_mapping::model::Json;
use fhir_mapping::terminology::{Base, filter};
use gateway_ground::failure::Failure;
use std::collections::BTreeMap;

/// More code systems of the site than this are not listed.
const LISTED_MAX: usize = 1_000;

/// Versions by URL; a system without one has `None`.
type Systems = BTreeMap<String, Vec<Option<String>>>;

pub(super) async fn statement(surface: &Surface) -> Result<Json, Failure> {
    let repository = surface.repository.clone();
    let own = aside(move || repository.code_systems(LISTED_MAX)).await?;
    let mut systems = Systems::new();
    for (url, version) in own {
        let versions = systems.entry(url).or_default();
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    // The site's own definition of a URL stands before R4's.
    for (url, version) in Base::code_systems() {
        systems.entry(url).or_insert_with(|| vec![version]);
    }
    Ok(told(&systems))
}

fn told(systems: &Systems) -> Json {
    let mut members = about("TerminologyCapabilities");
    let is_here = |name: &str| operations::all().iter().any(|row| row.name == name);
    let subsumes = is_here("subsumes");
    let systems = systems
        .iter()
        .map(|(url, versions)| system(url, versions, subsumes));
    members.push(("codeSystem", Json::array(systems)));
    if is_here("expand") {
        members.push(("expansion", expansion()));
    }
    // Searching ValueSets by code finds those that list it.
    members.push(("codeSearch", "explicit".into()));
    if is_here("validate-code") {
        let own = Json::object([("translations", false.into())]);
        members.push(("validateCode", own));
    }
    if is_here("translate") {
        let own = Json::object([("needsMap", true.into())]);
        members.push(("translation", own));
    }
    Json::object(members)
}

fn system(url: &str, versions: &[Option<String>], subsumes: bool) -> Json {
    let operators = Json::array(filter::OPERATORS.map(Json::from));
    let filter = Json::object([("code", "concept".into()), ("op", operators)]);
    let version = |version: &Option<String>| {
        let code = version.as_deref();
        let code = code.map(|version| ("code", Json::from(version)));
        let rest = [
            ("compositional", false.into()),
            ("filter", Json::array([filter.clone()])),
        ];
        Json::object(code.into_iter().chain(rest))
    };
    // A version without a code is the only one there is (tcp-1).
    let is_told = |one: &&Option<String>| versions.len() == 1 || one.is_some();
    let versions = versions.iter().filter(is_told).map(version);
    Json::object([
        ("uri", Json::from(url)),
        ("version", Json::array(versions)),
        ("subsumption", subsumes.into()),
    ])
}

fn expansion() -> Json {
    let parameters = EXPANSION_PARAMETERS.map(|name| Json::object([("name", name.into())]));
    Json::object([
        ("hierarchical", false.into()),
        ("paging", true.into()),
        ("incomplete", false.into()),
        ("parameter", Json::array(parameters)),
        (
            "textFilter",
            "every word of the filter starts the code or a word of the display".into(),
        ),
    ])
}
