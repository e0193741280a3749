//! `$match`: patients that may be the one described, the likeliest first.
//! <https://hl7.org/fhir/R4/patient-operation-match.html>

use super::{Asked, inputs};
use crate::exchange::Answer;
use crate::interactions::bundle_text::BundleText;
use crate::interactions::{answers, aside, content};
use fhir_mapping::model::{Json, Limits, parse};
use fhir_mapping::search::resemblance::{Grade, Resemblance, resemblance};
use fhir_mapping::search::{Handling, Query};
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{Repository, SearchRequest};
use std::collections::HashMap;
use store::{Rid, StoredVersion};

/// Patients that one trait of the description may propose.
const PROPOSED_MAX: usize = 500;
/// Values of one field that are looked for.
const VALUES_MAX: usize = 8;
const COUNT_MAX: usize = 100;
const GRADE: &str = "http://hl7.org/fhir/StructureDefinition/match-grade";

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    asked
        .inputs
        .check_known(&["resource", "onlyCertainMatches", "count"])?;
    let patient = asked.inputs.resource("resource")?.cloned();
    let patient = patient.ok_or_else(|| inputs::missing("resource"))?;
    if patient.resource_type() != Some("Patient") {
        return Err(inputs::wrong("resource", "is a Patient"));
    }
    content::check(&patient)?;
    let only_certain = asked.inputs.flag("onlyCertainMatches")?.unwrap_or(false);
    let count = asked
        .inputs
        .number("count")?
        .unwrap_or(COUNT_MAX)
        .min(COUNT_MAX);
    let (repository, base_url) = (
        asked.surface.repository.clone(),
        asked.exchange.base_url.clone(),
    );
    let body = aside(move || {
        let mut found = judged(&repository, &patient)?;
        if only_certain {
            found.retain(|(how, _)| how.grade == Grade::Certain);
            // Two that are certain contradict each other: neither is.
            found.truncate(if found.len() == 1 { 1 } else { 0 });
        }
        found.truncate(count);
        Ok(bundle(&found, &base_url))
    })
    .await?;
    Ok(answers::body(body))
}

type Judged = Vec<(Resemblance, StoredVersion)>;

fn judged(repository: &Repository, asked: &Json) -> Result<Judged, Failure> {
    let mut proposed: HashMap<Rid, StoredVersion> = HashMap::new();
    for criteria in questions(asked) {
        let query = Query::parse("Patient", &criteria, Handling::Strict, repository.zone());
        let query = query.map_err(|issues| Failure::of(Category::Incorrect, issues))?;
        let page = repository.search(&SearchRequest::of(query, PROPOSED_MAX))?;
        proposed.extend(page.matches.into_iter().map(|stored| (stored.rid, stored)));
    }
    let mut judged: Judged = Vec::new();
    for stored in proposed.into_values() {
        let tree = parse(&stored.body, Limits::default());
        let tree = tree.map_err(|issue| Failure::of(Category::Fault, vec![issue]))?;
        let how = resemblance(asked, &tree);
        // One that was merged away is found by the one that replaced it.
        let is_merged = tree
            .items("link")
            .iter()
            .any(|link| link.str_at(&["type"]) == Some("replaced-by"));
        if how.grade > Grade::Not && !is_merged {
            judged.push((how, stored));
        }
    }
    judged.sort_by_key(|(how, stored)| (std::cmp::Reverse((how.grade, how.score)), stored.rid));
    Ok(judged)
}

/// Searches that any likely candidate answers to one of.
fn questions(asked: &Json) -> Vec<Vec<(String, String)>> {
    let pair = |name: &str, value: &str| (name.to_owned(), escaped(value));
    let mut all = Vec::new();
    for identifier in asked.items("identifier").iter().take(VALUES_MAX) {
        let value = identifier.str_at(&["value"]).map(escaped);
        let system = identifier.str_at(&["system"]).map(escaped);
        all.extend(value.map(|value| {
            let token = match system {
                Some(system) => format!("{system}|{value}"),
                None => value,
            };
            vec![("identifier".to_owned(), token)]
        }));
    }
    let birth = asked.str_at(&["birthDate"]);
    let gender = asked.str_at(&["gender"]);
    for name in asked.items("name").iter().take(VALUES_MAX) {
        let family = name.str_at(&["family"]);
        let given = name.str_at(&["given"]);
        if let (Some(family), Some(given)) = (family, given) {
            all.push(vec![pair("family", family), pair("given", given)]);
        }
        if let (Some(family), Some(birth)) = (family, birth) {
            all.push(vec![pair("family", family), pair("birthdate", birth)]);
        }
        if let (Some(given), Some(birth)) = (given, birth) {
            all.push(vec![pair("given", given), pair("birthdate", birth)]);
        }
        if let (Some(family), None) = (family, given) {
            all.push(vec![pair("family", family)]);
        }
    }
    if let (Some(birth), Some(gender)) = (birth, gender) {
        all.push(vec![pair("birthdate", birth), pair("gender", gender)]);
    }
    for contact in asked.items("telecom").iter().take(VALUES_MAX) {
        let value = contact.str_at(&["value"]);
        all.extend(value.map(|value| vec![pair("telecom", value)]));
    }
    all
}

/// A value that stands for itself (R4 3.1.1.4.1).
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, ',' | '|' | '$' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn bundle(found: &Judged, base_url: &str) -> Vec<u8> {
    let total = u64::try_from(found.len()).ok();
    let mut bundle = BundleText::new(
        "searchset",
        total,
        &[("self", format!("{base_url}/Patient/$match"))],
    );
    for (how, stored) in found {
        let full_url = format!("{base_url}/Patient/{}", stored.key.id);
        let grade = Json::object([
            ("url", GRADE.into()),
            ("valueCode", how.grade.code().into()),
        ]);
        let score = format!("{}.{:02}", how.score / 100, how.score % 100);
        let search = Json::object([
            ("extension", Json::array([grade])),
            ("mode", "match".into()),
            ("score", Json::Number(score.into())),
        ]);
        bundle.push(Some(&full_url), &stored.body, &[("search", search)]);
    }
    bundle.finish()
}
