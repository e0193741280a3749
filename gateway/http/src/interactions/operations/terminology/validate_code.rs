//! `$validate-code`: is a code in a value set, or in a code system?
//! <https://hl7.org/fhir/R4/valueset-operation-validate-code.html>

use super::super::{Asked, inputs, parameter, parameters, resource};
use super::expand::set_of;
use super::{Coding, Subject, codings, subject};
use crate::exchange::Answer;
use crate::interactions::aside;
use fhir_mapping::model::{Issue, IssueCode, Json};
use fhir_mapping::terminology::{CodeSystem, Concept, Terminology, ValueSet};
use gateway_ground::failure::Failure;
use std::sync::Arc;

const OF_VALUE_SET: [&str; 12] = [
    "url",
    "valueSet",
    "valueSetVersion",
    "code",
    "system",
    "systemVersion",
    "display",
    "coding",
    "codeableConcept",
    "abstract",
    "displayLanguage",
    "inferSystem",
];
const OF_CODE_SYSTEM: [&str; 9] = [
    "url",
    "codeSystem",
    "version",
    "code",
    "display",
    "coding",
    "codeableConcept",
    "abstract",
    "displayLanguage",
];

/// What came of one coding.
enum Verdict {
    Valid(Option<String>),
    Invalid(String, Option<String>),
}

pub(in super::super) async fn of_value_set(asked: Asked) -> Result<Answer, Failure> {
    asked.inputs.check_known(&OF_VALUE_SET)?;
    let codings = codings(&asked.inputs, "systemVersion")?;
    let allows_abstract = asked.inputs.flag("abstract")? != Some(false);
    let repository = asked.surface.repository.clone();
    let body = aside(move || {
        let from = (&asked.target, &asked.inputs);
        let found = subject(&repository, from, ("url", "valueSet"), "valueSetVersion")?;
        let found = found.ok_or_else(|| inputs::missing("url"))?;
        repository.with_terminology(|terminology| {
            let set = set_of(terminology, &found)?;
            any(&codings, |coding| {
                in_set(terminology, &set, (coding, allows_abstract))
            })
        })
    })
    .await?;
    Ok(resource(&body))
}

pub(in super::super) async fn of_code_system(asked: Asked) -> Result<Answer, Failure> {
    asked.inputs.check_known(&OF_CODE_SYSTEM)?;
    let codings = codings(&asked.inputs, "version")?;
    let allows_abstract = asked.inputs.flag("abstract")? != Some(false);
    let repository = asked.surface.repository.clone();
    let body = aside(move || {
        let from = (&asked.target, &asked.inputs);
        let found = subject(&repository, from, ("url", "codeSystem"), "version")?;
        repository.with_terminology(|terminology| {
            any(&codings, |coding| {
                let system = system_of(terminology, (&found, coding))?;
                let is_other = coding.system.as_ref().is_some_and(|url| *url != system.url);
                if is_other {
                    let text = "the code is of another code system".to_owned();
                    return Ok(Verdict::Invalid(text, None));
                }
                Ok(in_system(&system, (coding, allows_abstract)))
            })
        })
    })
    .await?;
    Ok(resource(&body))
}

/// The system that is asked about, or that the coding names.
pub(super) fn system_of(
    terminology: &Terminology<'_>,
    (found, coding): (&Option<Subject>, &Coding),
) -> Result<Arc<CodeSystem>, Issue> {
    match (found, coding.system()) {
        (Some(Subject::Canonical(url)), _) => terminology.code_system(url),
        (Some(Subject::Given(tree)), _) => Ok(Arc::new(CodeSystem::of(tree))),
        (None, Some(url)) => terminology.code_system(&url),
        (None, None) => {
            let text = "the parameter url or a system is needed";
            Err(Issue::error("E-CODE-1", IssueCode::Required, "", text))
        }
    }
}

/// Valid when one of the codings is.
fn any(
    codings: &[Coding],
    judge: impl Fn(&Coding) -> Result<Verdict, Issue>,
) -> Result<Json, Issue> {
    let mut last = None;
    for coding in codings {
        match judge(coding)? {
            Verdict::Valid(display) => {
                let mut list = vec![parameter("result", "valueBoolean", true.into())];
                let display = display.map(|text| parameter("display", "valueString", text.into()));
                list.extend(display);
                return Ok(parameters(list));
            }
            invalid => last = Some(invalid),
        }
    }
    let mut list = vec![parameter("result", "valueBoolean", false.into())];
    if let Some(Verdict::Invalid(text, display)) = last {
        list.push(parameter("message", "valueString", text.into()));
        list.extend(display.map(|text| parameter("display", "valueString", text.into())));
    }
    Ok(parameters(list))
}

fn in_set(
    terminology: &Terminology<'_>,
    set: &ValueSet,
    (coding, allows_abstract): (&Coding, bool),
) -> Result<Verdict, Issue> {
    let code = coding.code.as_str();
    match terminology.holds(set, coding.system.as_deref(), code) {
        Ok(true) => {}
        Ok(false) => {
            let text = "the code is not in the value set".to_owned();
            return Ok(Verdict::Invalid(text, None));
        }
        Err(issue) if issue.code == IssueCode::NotFound => {
            return Ok(Verdict::Invalid(issue.text, None));
        }
        Err(issue) => return Err(issue),
    }
    let listed = set.includes.iter().flat_map(|rule| &rule.concepts);
    let listed = listed.chain(&set.expanded).find(|item| item.code == code);
    let listed = listed.and_then(|item| item.display.clone());
    let systems = set.includes.iter().filter_map(|rule| rule.system.clone());
    let systems: Vec<String> = coding
        .system
        .clone()
        .map_or_else(|| systems.collect(), |s| vec![s]);
    let library = terminology.loaded();
    for url in systems {
        let system = library.code_system(&url)?;
        let concept = system.as_ref().and_then(|system| system.find(code));
        if let Some(concept) = concept {
            return Ok(shown(concept, listed, (coding, allows_abstract)));
        }
    }
    Ok(match (&coding.display, &listed) {
        (Some(given), Some(known)) if !given.eq_ignore_ascii_case(known) => wrong_display(listed),
        _ => Verdict::Valid(listed),
    })
}

fn in_system(system: &CodeSystem, (coding, allows_abstract): (&Coding, bool)) -> Verdict {
    match system.find(&coding.code) {
        Some(concept) => shown(concept, None, (coding, allows_abstract)),
        None if system.is_whole => {
            Verdict::Invalid("the code is not in the code system".to_owned(), None)
        }
        None => {
            let text = "only a part of the code system is here, and the code is not in it";
            Verdict::Invalid(text.to_owned(), None)
        }
    }
}

fn shown(
    concept: &Concept,
    listed: Option<String>,
    (coding, allows_abstract): (&Coding, bool),
) -> Verdict {
    let display = listed.clone().or_else(|| concept.display.clone());
    if concept.is_abstract() && !allows_abstract {
        let text = "the code is abstract".to_owned();
        return Verdict::Invalid(text, display);
    }
    let designations = concept.designations.iter();
    let designations = designations.filter_map(|one| one.str_at(&["value"]));
    let mut known = [listed.as_deref(), concept.display.as_deref()]
        .into_iter()
        .flatten()
        .chain(designations);
    match &coding.display {
        Some(given) if !known.any(|known| known.to_lowercase() == given.to_lowercase()) => {
            wrong_display(display)
        }
        _ => Verdict::Valid(display),
    }
}

fn wrong_display(display: Option<String>) -> Verdict {
    Verdict::Invalid("the code is right, its display is not".to_owned(), display)
}
