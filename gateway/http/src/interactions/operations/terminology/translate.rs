//! `$translate`: a code in another code system.
//! <https://hl7.org/fhir/R4/conceptmap-operation-translate.html>

use super::super::{Asked, Inputs, inputs, parameter, parameters, resource};
use super::{Coding, Subject, codings, subject, with_parts};
use crate::exchange::Answer;
use crate::interactions::aside;
use fhir_mapping::model::{Issue, IssueCode, Json};
use fhir_mapping::terminology::concept_map::Question;
use fhir_mapping::terminology::{ConceptMap, Mapping, Terminology};
use gateway_ground::failure::Failure;
use std::sync::Arc;

/// Maps that refer to other maps, no further than this.
const MAPS_MAX: usize = 16;

const KNOWN: [&str; 13] = [
    "url",
    "conceptMap",
    "conceptMapVersion",
    "code",
    "system",
    "version",
    "display",
    "source",
    "coding",
    "codeableConcept",
    "target",
    "targetsystem",
    "reverse",
];

/// What narrows the maps and their answers.
struct Wishes {
    source: Option<String>,
    target: Option<String>,
    target_system: Option<String>,
    is_reverse: bool,
}

pub(in super::super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    asked.inputs.check_known(&KNOWN)?;
    let codings = codings(&asked.inputs, "version")?;
    let wishes = wishes(&asked.inputs)?;
    let repository = asked.surface.repository.clone();
    let body = aside(move || {
        let from = (&asked.target, &asked.inputs);
        let found = subject(
            &repository,
            from,
            ("url", "conceptMap"),
            "conceptMapVersion",
        )?;
        if found.is_none() && codings.iter().all(|coding| coding.system.is_none()) {
            return Err(inputs::missing("system"));
        }
        repository.with_terminology(|terminology| {
            let mut mappings: Vec<Mapping> = Vec::new();
            for coding in &codings {
                let maps = maps(terminology, (&found, &wishes), coding)?;
                for mapping in translated(terminology, maps, (coding, &wishes))? {
                    if !mappings.contains(&mapping) {
                        mappings.push(mapping);
                    }
                }
            }
            Ok(body(terminology, &mappings))
        })
    })
    .await?;
    Ok(resource(&body))
}

fn wishes(inputs: &Inputs) -> Result<Wishes, Failure> {
    let text = |name: &str| Ok::<_, Failure>(inputs.text(name)?.map(str::to_owned));
    Ok(Wishes {
        source: text("source")?,
        target: text("target")?,
        target_system: text("targetsystem")?,
        is_reverse: inputs.flag("reverse")?.unwrap_or(false),
    })
}

fn maps(
    terminology: &Terminology<'_>,
    (found, wishes): (&Option<Subject>, &Wishes),
    coding: &Coding,
) -> Result<Vec<Arc<ConceptMap>>, Issue> {
    let library = terminology.loaded();
    match found {
        Some(Subject::Given(tree)) => Ok(vec![Arc::new(ConceptMap::of(tree))]),
        Some(Subject::Canonical(url)) => {
            let map = library.concept_map(url)?;
            map.map(|map| vec![map]).ok_or_else(unknown)
        }
        None => {
            let system = match wishes.is_reverse {
                false => coding.system.as_deref().unwrap_or_default(),
                true => wishes.target_system.as_deref().unwrap_or_default(),
            };
            let fits = |wanted: &Option<String>, given: &Option<String>| {
                wanted.is_none() || wanted == given
            };
            let mut maps = library.concept_maps_from(system)?;
            maps.retain(|map| {
                fits(&wishes.source, &map.source) && fits(&wishes.target, &map.target)
            });
            Ok(maps)
        }
    }
}

fn translated(
    terminology: &Terminology<'_>,
    mut maps: Vec<Arc<ConceptMap>>,
    (coding, wishes): (&Coding, &Wishes),
) -> Result<Vec<Mapping>, Issue> {
    let question = Question {
        system: coding.system.as_deref(),
        code: &coding.code,
        target_system: wishes.target_system.as_deref(),
        is_reverse: wishes.is_reverse,
    };
    let mut found = Vec::new();
    let mut asked: Vec<String> = Vec::new();
    while let Some(map) = maps.pop() {
        let (mappings, elsewhere) = map.translate(&question);
        found.splice(0..0, mappings);
        for url in elsewhere {
            if asked.len() < MAPS_MAX && !asked.contains(&url) {
                maps.extend(terminology.loaded().concept_map(&url)?);
                asked.push(url);
            }
        }
    }
    Ok(found)
}

fn body(terminology: &Terminology<'_>, mappings: &[Mapping]) -> Json {
    let says_no =
        |mapping: &&Mapping| matches!(mapping.equivalence.as_str(), "unmatched" | "disjoint");
    let is_found = mappings.iter().any(|mapping| !says_no(&mapping));
    let mut list = vec![parameter("result", "valueBoolean", is_found.into())];
    if !is_found {
        let text = "no map here translates the code";
        list.push(parameter("message", "valueString", text.into()));
    }
    list.extend(mappings.iter().map(|mapping| matched(terminology, mapping)));
    parameters(list)
}

fn matched(terminology: &Terminology<'_>, mapping: &Mapping) -> Json {
    let equivalence = mapping.equivalence.as_str();
    let mut parts = vec![parameter("equivalence", "valueCode", equivalence.into())];
    if let Some(code) = &mapping.code {
        let system = mapping.system.as_deref();
        let known = system.and_then(|url| terminology.loaded().code_system(url).ok().flatten());
        let known = known.and_then(|system| system.find(code)?.display.clone());
        let mut coding = Vec::new();
        coding.extend(system.map(|system| ("system", Json::from(system))));
        coding.push(("code", code.as_str().into()));
        let display = mapping.display.clone().or(known);
        coding.extend(display.map(|display| ("display", display.into())));
        parts.push(parameter("concept", "valueCoding", Json::object(coding)));
    }
    if !mapping.map.is_empty() {
        parts.push(parameter("source", "valueUri", mapping.map.as_str().into()));
    }
    with_parts("match", parts)
}

fn unknown() -> Issue {
    let text = "this concept map is not known here";
    Issue::error("E-TRANSLATE-1", IssueCode::NotFound, "", text)
}
