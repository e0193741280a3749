//! `$merge`: two records of one patient become one; what refers to the first is made to refer to
//! the second. <https://hl7.org/fhir/R5/patient-operation-merge.html>

use super::{Asked, Inputs, inputs, parameter, parameters, resource};
use crate::exchange::Answer;
use crate::interactions::{aside, content, preconditions};
use fhir_mapping::model::{Issue, IssueCode, Json, Reference, Severity};
use fhir_mapping::search::{Handling, Query};
use gateway_ground::failure::{Category, Failure, outcome};
use gateway_repository::{MergeOrder, Repository, SearchRequest};

const KNOWN: [&str; 6] = [
    "source-patient",
    "source-patient-identifier",
    "target-patient",
    "target-patient-identifier",
    "result-patient",
    "preview",
];

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    asked.inputs.check_known(&KNOWN)?;
    let repository = asked.surface.repository.clone();
    let is_preview = asked.inputs.flag("preview")?.unwrap_or(false);
    let result = asked.inputs.resource("result-patient")?.cloned();
    if let Some(result) = &result {
        content::check_type(result, "Patient")?;
        content::check(result)?;
    }
    let if_match = preconditions::if_match(&asked.exchange.headers)?;
    let finder = repository.clone();
    let (given, inputs) = (asked.inputs.clone(), asked.inputs);
    let (source, target) = aside(move || {
        let source = patient(&finder, &given, "source-patient")?;
        Ok((source, patient(&finder, &given, "target-patient")?))
    })
    .await?;
    let order = MergeOrder {
        source,
        target,
        result,
        if_match,
    };
    let merged = match is_preview {
        true => aside(move || repository.preview_merge(&order)).await?,
        false => repository.merge(&asked.exchange.actor, order).await?,
    };
    let referring = match merged.referring {
        1 => "one resource".to_owned(),
        several => format!("{several} resources"),
    };
    let text = match is_preview {
        true => format!("{referring} would be made to refer to the target; nothing was"),
        false => format!(
            "merged in {}; {referring} made to refer to the target",
            match merged.transactions {
                1 => "one transaction".to_owned(),
                several => format!("{several} transactions"),
            },
        ),
    };
    let issue = Issue {
        severity: Severity::Information,
        code: IssueCode::Informational,
        expression: String::new(),
        number: "E-MERGE-1",
        text,
    };
    Ok(resource(&parameters([
        parameter("input", "resource", input(&inputs)),
        parameter("outcome", "resource", outcome(&[issue])),
        parameter("result", "resource", merged.result),
    ])))
}

/// The id that a reference or identifiers name.
fn patient(repository: &Repository, inputs: &Inputs, name: &str) -> Result<String, Failure> {
    if let Some(reference) = inputs.complex(name)? {
        let text = reference.str_at(&["reference"]).unwrap_or_default();
        return match Reference::parse(text) {
            Reference::Literal {
                base: None,
                resource_type: "Patient",
                id,
                version: None,
            } => Ok(id.to_owned()),
            _ => Err(inputs::wrong(name, "takes a reference as Patient/7")),
        };
    }
    let by_identifier = format!("{name}-identifier");
    let Some(identifier) = inputs.complex(&by_identifier)? else {
        return Err(inputs::missing(name));
    };
    let text = |member: &str| {
        let text = identifier.str_at(&[member]).unwrap_or_default();
        text.replace('\\', "\\\\")
            .replace(',', "\\,")
            .replace('|', "\\|")
            .replace('$', "\\$")
    };
    let token = format!("{}|{}", text("system"), text("value"));
    let pairs = [("identifier".to_owned(), token)];
    let query = Query::parse("Patient", &pairs, Handling::Strict, repository.zone());
    let query = query.map_err(|issues| Failure::of(Category::Incorrect, issues))?;
    let found = repository.search(&SearchRequest::of(query, 2))?.matches;
    match found.as_slice() {
        [one] => Ok(one.key.id.clone()),
        [] => Err(inputs::wrong(&by_identifier, "finds no patient")),
        _ => Err(inputs::wrong(&by_identifier, "finds several patients")),
    }
}

/// What was asked, as Parameters.
fn input(inputs: &Inputs) -> Json {
    let names = ["source-patient", "target-patient"];
    let found = names.iter().filter_map(|name| {
        let reference = inputs.complex(name).ok().flatten()?;
        Some(parameter(name, "valueReference", reference.clone()))
    });
    let list: Vec<Json> = found.collect();
    match list.is_empty() {
        true => Json::object([("resourceType", "Parameters".into())]),
        false => parameters(list),
    }
}
