//! `$lastn`: the newest observations of a patient, so many of each code.
//! <https://hl7.org/fhir/R4/observation-operation-lastn.html>

use super::{Asked, Inputs, inputs};
use crate::exchange::Answer;
use crate::interactions::bundle_text::BundleText;
use crate::interactions::{answers, aside};
use fhir_mapping::model::{IssueCode, Json, Limits, parse};
use fhir_mapping::search::{Handling, Query, encode_pairs};
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{Repository, SearchRequest};
use std::collections::HashMap;
use store::StoredVersion;

/// Observations read at a time.
const READ_AT_A_TIME: usize = 5000;
/// More than these are not looked through.
const LOOKED_AT_MAX: usize = 40_000;
/// The most of one code.
const MAX_MAX: usize = 1000;

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    let max = asked.inputs.number("max")?.unwrap_or(1);
    if max == 0 || max > MAX_MAX {
        let text = format!("is a number from 1 to {MAX_MAX}");
        return Err(inputs::wrong("max", &text));
    }
    let criteria = criteria(&asked.inputs)?;
    let base_url = asked.exchange.base_url.clone();
    let link = format!(
        "{base_url}/Observation/$lastn?max={max}&{}",
        encode_pairs(&criteria)
    );
    let repository = asked.surface.repository.clone();
    let body = aside(move || {
        let newest = newest(&repository, (criteria, &base_url), max)?;
        Ok(bundle(&newest, &link, &base_url))
    })
    .await?;
    Ok(answers::body(body))
}

/// What is searched for: everything but `max` and what says how the answer looks.
fn criteria(inputs: &Inputs) -> Result<Vec<(String, String)>, Failure> {
    let taken = ["max", "_sort", "_count", "_format", "_pretty"];
    let pairs = inputs.pairs().into_iter();
    let pairs: Vec<(String, String)> = pairs
        .filter(|(name, _)| !taken.contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let unserved = ["_include", "_revinclude", "_total", "_elements", "_summary"];
    let code = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
    if let Some((name, _)) = pairs
        .iter()
        .find(|(name, _)| unserved.contains(&code(name).as_str()))
    {
        return Err(inputs::wrong(name, "is not supported by this operation"));
    }
    let is_whose = |name: &str| {
        let code = name.split([':', '.']).next();
        matches!(code, Some("patient" | "subject"))
    };
    match pairs.iter().any(|(name, _)| is_whose(name)) {
        true => Ok(pairs),
        false => Err(inputs::missing("patient")),
    }
}

/// Code by code, the newest first.
fn newest(
    repository: &Repository,
    (criteria, base_url): (Vec<(String, String)>, &str),
    max: usize,
) -> Result<Vec<StoredVersion>, Failure> {
    let sort = ("_sort".to_owned(), "-date".to_owned());
    let pairs: Vec<(String, String)> = criteria.into_iter().chain([sort]).collect();
    let query = Query::parse_with("Observation", &pairs, &repository.asking(Handling::Strict));
    let mut query = query.map_err(|issues| Failure::of(Category::Incorrect, issues))?;
    query.localize(base_url);
    let mut request = SearchRequest::of(query, READ_AT_A_TIME);
    let (mut groups, mut looked_at) = (Groups::default(), 0);
    loop {
        let page = repository.search(&request)?;
        looked_at += page.matches.len();
        page.matches
            .into_iter()
            .for_each(|stored| groups.offer(stored, max));
        match page.next {
            None => return Ok(groups.kept.into_iter().flatten().collect()),
            Some(_) if looked_at >= LOOKED_AT_MAX => return Err(too_many()),
            after => request.after = after,
        }
    }
}

/// Observations by code; two with a coding alike are of one group.
#[derive(Default)]
struct Groups {
    by_code: HashMap<String, usize>,
    kept: Vec<Vec<StoredVersion>>,
}

impl Groups {
    fn offer(&mut self, stored: StoredVersion, max: usize) {
        let codes = codes(&stored);
        let known = codes
            .iter()
            .find_map(|code| self.by_code.get(code).copied());
        let group = known.unwrap_or(self.kept.len());
        if group == self.kept.len() {
            self.kept.push(Vec::new());
        }
        for code in codes {
            self.by_code.entry(code).or_insert(group);
        }
        if let Some(kept) = self.kept.get_mut(group).filter(|kept| kept.len() < max) {
            kept.push(stored);
        }
    }
}

/// What an observation's code is told by: its codings, or its text.
fn codes(stored: &StoredVersion) -> Vec<String> {
    let tree = parse(&stored.body, Limits::default()).unwrap_or(Json::Null);
    let Some(code) = tree.get("code") else {
        return vec![String::new()];
    };
    let codings = code.items("coding").iter();
    let codings: Vec<String> = codings
        .filter_map(|coding| {
            let system = coding
                .get("system")
                .and_then(Json::as_str)
                .unwrap_or_default();
            Some(format!("{system}|{}", coding.get("code")?.as_str()?))
        })
        .collect();
    let text = code.get("text").and_then(Json::as_str).unwrap_or_default();
    match codings.is_empty() {
        true => vec![format!("\"{}", text.to_lowercase())],
        false => codings,
    }
}

fn bundle(newest: &[StoredVersion], link: &str, base_url: &str) -> Vec<u8> {
    let total = u64::try_from(newest.len()).ok();
    let mut bundle = BundleText::new("searchset", total, &[("self", link.to_owned())]);
    for stored in newest {
        let full_url = format!("{base_url}/Observation/{}", stored.key.id);
        let mode = Json::object([("mode", "match".into())]);
        bundle.push(Some(&full_url), &stored.body, &[("search", mode)]);
    }
    bundle.finish()
}

fn too_many() -> Failure {
    let text =
        format!("more than {LOOKED_AT_MAX} observations match: narrow by code, category or date");
    let code = IssueCode::TooCostly;
    Failure::new(Category::Unprocessable, "E-LASTN-1", code, text)
}
