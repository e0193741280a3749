//! GET metadata: what works, from the same lists that routing and searching use.
//! <https://hl7.org/fhir/R4/http.html#capabilities>

use super::answers;
use super::operations::{self, Operation, Target};
use crate::http::exchange::Answer;
use fhir_mapping::model::{Json, format};
use fhir_mapping::search::definitions;
use fhir_mapping::validate::resource_types;
use std::sync::OnceLock;

/// Day of the last change to what this statement claims.
const STATEMENT_DATE: &str = "2026-11-24";

/// Types that are spoken on the wire but never stored.
const NOT_STORED: [&str; 4] = [
    "DomainResource",
    "OperationOutcome",
    "Parameters",
    "Resource",
];

/// What every stored type can do.
const INTERACTIONS: [&str; 7] = [
    "read",
    "vread",
    "update",
    "delete",
    "history-instance",
    "create",
    "search-type",
];

/// What resources come and go as.
const FORMATS: [&str; 4] = [
    "application/fhir+json",
    "application/fhir+xml",
    "json",
    "xml",
];

pub(super) fn answer() -> Answer {
    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
    let text = TEXT.get_or_init(|| format(&statement()).into_bytes());
    answers::body(text.clone())
}

fn statement() -> Json {
    let software = Json::object([
        ("name", "Wayside".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
    ]);
    let implementation = Json::object([(
        "description",
        "Wayside, an offline-first FHIR gateway".into(),
    )]);
    Json::object([
        ("resourceType", "CapabilityStatement".into()),
        ("status", "active".into()),
        ("date", STATEMENT_DATE.into()),
        ("kind", "instance".into()),
        ("software", software),
        ("implementation", implementation),
        ("fhirVersion", "4.0.1".into()),
        ("format", Json::array(FORMATS.map(Json::from))),
        ("rest", Json::array([rest()])),
    ])
}

fn rest() -> Json {
    let types = resource_types()
        .iter()
        .filter(|name| !NOT_STORED.contains(name));
    let security = "A bearer token is sent with each request (Authorization: Bearer ...); the administrator makes tokens with `wayside token create`.";
    Json::object([
        ("mode", "server".into()),
        ("security", Json::object([("description", security.into())])),
        ("resource", Json::array(types.map(|name| resource(name)))),
        ("interaction", codes(["transaction", "batch"])),
        ("operation", operations(|row| row.is_for(&Target::System))),
    ])
}

fn resource(name: &str) -> Json {
    let definitions = definitions(name);
    let parameters = definitions.iter().map(|definition| {
        let mut parameter = vec![("name", Json::from(definition.name))];
        if !definition.url.is_empty() {
            parameter.push(("definition", definition.url.into()));
        }
        parameter.push(("type", definition.kind.into()));
        Json::object(parameter)
    });
    let includes = definitions
        .iter()
        .filter(|definition| definition.kind == "reference");
    let includes: Vec<Json> = includes
        .map(|definition| format!("{name}:{}", definition.name).into())
        .collect();
    let mut row = vec![
        ("type", Json::from(name)),
        ("interaction", codes(INTERACTIONS)),
        ("versioning", "versioned".into()),
        ("readHistory", true.into()),
        ("updateCreate", true.into()),
        ("conditionalCreate", true.into()),
        ("conditionalRead", "not-match".into()),
        ("conditionalUpdate", false.into()),
        ("conditionalDelete", "not-supported".into()),
    ];
    if !includes.is_empty() {
        row.push(("searchInclude", Json::array(includes)));
    }
    if !definitions.is_empty() {
        row.push(("searchParam", Json::array(parameters)));
    }
    let operations = operations(|row| row.is_of_type(name));
    if operations != Json::array([]) {
        row.push(("operation", operations));
    }
    Json::object(row)
}

fn codes<const N: usize>(codes: [&str; N]) -> Json {
    Json::array(codes.map(|code| Json::object([("code", code.into())])))
}

/// The rows of the table of operations that `wanted` picks.
fn operations(wanted: impl Fn(&Operation) -> bool) -> Json {
    let rows = operations::all().iter().filter(|row| wanted(row));
    Json::array(rows.map(|row| {
        Json::object([
            ("name", row.name.into()),
            ("definition", row.definition.into()),
        ])
    }))
}
