//! Operations on codes: value sets, code systems, concept maps.
//! <https://hl7.org/fhir/R4/terminology-service.html>

mod expand;
mod lookup;
mod subsumes;
mod translate;
mod validate_code;

pub(in crate::interactions) use expand::HEEDED as EXPANSION_PARAMETERS;
pub(super) use expand::answer as expand;
pub(super) use lookup::answer as lookup;
pub(super) use subsumes::answer as subsumes;
pub(super) use translate::answer as translate;
pub(super) use validate_code::{of_code_system, of_value_set};

use super::{Inputs, Target, inputs, parameter};
use fhir_mapping::model::{Json, Limits, parse};
use gateway_ground::failure::{Category, Failure};
use gateway_repository::Repository;
use store::ResourceKey;

/// A code that is asked about.
#[derive(Clone, Debug, Default)]
struct Coding {
    system: Option<String>,
    version: Option<String>,
    code: String,
    display: Option<String>,
}

/// The definition that is asked about.
enum Subject {
    /// By canonical URL, with its version.
    Canonical(String),
    /// In the request, or the instance that the URL names.
    Given(Json),
}

impl Coding {
    fn of(coding: &Json) -> Option<Coding> {
        let text = |name: &str| coding.get(name).and_then(Json::as_str).map(str::to_owned);
        Some(Coding {
            system: text("system"),
            version: text("version"),
            code: text("code")?,
            display: text("display"),
        })
    }

    /// System and version as one canonical.
    fn system(&self) -> Option<String> {
        let system = self.system.as_ref()?;
        Some(match &self.version {
            Some(version) => format!("{system}|{version}"),
            None => system.clone(),
        })
    }
}

/// `code` with `system`, `version` and `display`, or `coding`, or the codings of a
/// `codeableConcept`: exactly one of the three.
fn codings(inputs: &Inputs, version: &str) -> Result<Vec<Coding>, Failure> {
    let code = inputs.text("code")?;
    let (coding, concept) = (
        inputs.complex("coding")?,
        inputs.complex("codeableConcept")?,
    );
    let owned = |name: &str| inputs.text(name).map(|text| text.map(str::to_owned));
    let found = match (code, coding, concept) {
        (Some(code), None, None) => vec![Coding {
            system: owned("system")?,
            version: owned(version)?,
            code: code.to_owned(),
            display: owned("display")?,
        }],
        (None, Some(coding), None) => Coding::of(coding).into_iter().collect(),
        (None, None, Some(concept)) => concept
            .items("coding")
            .iter()
            .filter_map(Coding::of)
            .collect(),
        (None, None, None) => return Err(inputs::missing("code")),
        _ => {
            let text = "excludes coding and codeableConcept: give one of them";
            return Err(inputs::wrong("code", text));
        }
    };
    match found.is_empty() {
        true => Err(inputs::wrong("coding", "holds no code")),
        false => Ok(found),
    }
}

/// The instance of the URL, the resource in the parameter `resource`, or the canonical in `url`.
/// `None` when none is named.
fn subject(
    repository: &Repository,
    (target, inputs): (&Target, &Inputs),
    (url, resource): (&str, &str),
    version: &str,
) -> Result<Option<Subject>, Failure> {
    if let Target::Instance(key) = target {
        return read(repository, key).map(|tree| Some(Subject::Given(tree)));
    }
    if let Some(given) = inputs.resource(resource)? {
        return Ok(Some(Subject::Given(given.clone())));
    }
    let Some(url) = inputs.text(url)? else {
        return Ok(None);
    };
    Ok(Some(Subject::Canonical(match inputs.text(version)? {
        Some(version) => format!("{url}|{version}"),
        None => url.to_owned(),
    })))
}

fn read(repository: &Repository, key: &ResourceKey) -> Result<Json, Failure> {
    let stored = repository.read(key)?;
    let tree = parse(&stored.body, Limits::default());
    tree.map_err(|issue| Failure::of(Category::Fault, vec![issue]))
}

/// A parameter with parts.
fn with_parts(name: &str, parts: Vec<Json>) -> Json {
    parameter(name, "part", Json::Array(parts))
}
