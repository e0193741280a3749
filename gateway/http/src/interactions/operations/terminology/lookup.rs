//! `$lookup`: what a code system says of a code.
//! <https://hl7.org/fhir/R4/codesystem-operation-lookup.html>

use super::super::{Asked, inputs, parameter, parameters, resource};
use super::{codings, with_parts};
use crate::exchange::Answer;
use crate::interactions::aside;
use fhir_mapping::model::{Issue, IssueCode, Json};
use fhir_mapping::terminology::{CodeSystem, Concept};
use gateway_ground::failure::Failure;

const KNOWN: [&str; 8] = [
    "code",
    "system",
    "version",
    "coding",
    "date",
    "displayLanguage",
    "property",
    "codeableConcept",
];

pub(in super::super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    asked.inputs.check_known(&KNOWN)?;
    for name in ["date", "codeableConcept"] {
        if asked.inputs.complex(name).is_err() || asked.inputs.complex(name)?.is_some() {
            return Err(inputs::wrong(
                name,
                "is not supported: give code and system, or coding",
            ));
        }
    }
    let coding = codings(&asked.inputs, "version")?
        .into_iter()
        .next()
        .unwrap_or_default();
    let url = coding.system().ok_or_else(|| inputs::missing("system"))?;
    let wanted: Vec<String> = asked
        .inputs
        .texts("property")?
        .into_iter()
        .map(str::to_owned)
        .collect();
    let repository = asked.surface.repository.clone();
    let body = aside(move || {
        repository.with_terminology(|terminology| {
            let system = terminology.code_system(&url)?;
            let concept = system.find(&coding.code).ok_or_else(unknown)?;
            Ok(described(&system, concept, &wanted))
        })
    })
    .await?;
    Ok(resource(&body))
}

fn unknown() -> Issue {
    let text = "the code system has no such code";
    Issue::error("E-LOOKUP-1", IssueCode::NotFound, "", text)
}

fn described(system: &CodeSystem, concept: &Concept, wanted: &[String]) -> Json {
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name || one == "*");
    let name = system.name.as_deref().unwrap_or(&system.url);
    let mut list = vec![parameter("name", "valueString", name.into())];
    let version = system.version.as_deref();
    list.extend(version.map(|text| parameter("version", "valueString", text.into())));
    let display = concept.display.as_deref().unwrap_or(&concept.code);
    list.push(parameter("display", "valueString", display.into()));
    if is_wanted("designation") {
        list.extend(concept.designations.iter().map(designation));
    }
    let property = |name: &str, element: &str, value: Json| {
        let code = parameter("code", "valueCode", name.into());
        with_parts("property", vec![code, parameter("value", element, value)])
    };
    if let Some(text) = concept
        .definition
        .as_deref()
        .filter(|_| is_wanted("definition"))
    {
        list.push(property("definition", "valueString", text.into()));
    }
    for given in &concept.properties {
        let name = given.str_at(&["code"]).unwrap_or_default();
        let members = given
            .as_object()
            .into_iter()
            .flat_map(|object| object.iter());
        let value = members
            .into_iter()
            .find(|(name, _)| name.starts_with("value"));
        // The hierarchy is told below, whichever way it was given.
        let is_link = matches!(name, "parent" | "child");
        if let Some((element, value)) = value.filter(|_| is_wanted(name) && !is_link) {
            list.push(property(name, element, value.clone()));
        }
    }
    for (name, places) in [("parent", &concept.parents), ("child", &concept.children)] {
        let concepts = places
            .iter()
            .filter_map(|place| system.concepts.get(*place));
        let codes = concepts
            .map(|concept| concept.code.as_str())
            .filter(|_| is_wanted(name));
        list.extend(codes.map(|code| property(name, "valueCode", code.into())));
    }
    parameters(list)
}

fn designation(given: &Json) -> Json {
    let mut parts = Vec::new();
    for (name, element) in [
        ("language", "valueCode"),
        ("use", "valueCoding"),
        ("value", "valueString"),
    ] {
        parts.extend(
            given
                .get(name)
                .map(|value| parameter(name, element, value.clone())),
        );
    }
    with_parts("designation", parts)
}
