//! GET metadata: what works, from the same lists that routing and searching use.
//! <https://hl7.org/fhir/R4/http.html#capabilities>

use super::operations::{self, Operation, Target};
use super::search::claims;
use super::{Surface, answers};
use crate::exchange::Answer;
use fhir_mapping::model::{Json, format};
use fhir_mapping::search::Doubt;
use fhir_mapping::validate::resource_types;
use gateway_ground::failure::Failure;
use std::borrow::Cow;
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
const INTERACTIONS: [&str; 9] = [
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
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

/// Content types of patches.
const PATCH_FORMATS: [&str; 4] = [
    "application/json-patch+json",
    "application/fhir+json",
    "application/merge-patch+json",
    "application/json",
];

/// Where the address of the web socket stands; it depends on the base that the client uses.
const SOCKET_PLACE: &str = "ws://websocket.invalid";

/// While a reindex is under way, parameters that it must renew are not claimed.
pub(super) fn answer(surface: &Surface, base_url: &str) -> Result<Answer, Failure> {
    static TEXTS: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    let [single, multiple] = &TEXTS;
    let (text, conditional_delete) = match surface.conditional_delete_max {
        0 | 1 => (single, "single"),
        _ => (multiple, "multiple"),
    };
    let text = match surface.repository.index_doubt()? {
        Some(doubt) => Cow::Owned(format(&statement(conditional_delete, Some(&doubt)))),
        None => Cow::Borrowed(text.get_or_init(|| format(&statement(conditional_delete, None)))),
    };
    // `http` becomes `ws`, `https` becomes `wss`.
    let socket = base_url.replacen("http", "ws", 1) + "/websocket";
    Ok(answers::body(
        text.replacen(SOCKET_PLACE, &socket, 1).into_bytes(),
    ))
}

fn statement(conditional_delete: &str, doubt: Option<&Doubt>) -> Json {
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
        ("patchFormat", Json::array(PATCH_FORMATS.map(Json::from))),
        ("rest", Json::array([rest(conditional_delete, doubt)])),
    ])
}

fn rest(conditional_delete: &str, doubt: Option<&Doubt>) -> Json {
    let types = resource_types()
        .iter()
        .filter(|name| !NOT_STORED.contains(name));
    let security = "A bearer token is sent with each request (Authorization: Bearer ...); the administrator makes tokens with `wayside token create`.";
    let socket = Json::object([
        (
            "url",
            "http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket".into(),
        ),
        ("valueUri", SOCKET_PLACE.into()),
    ]);
    Json::object([
        ("extension", Json::array([socket])),
        ("mode", "server".into()),
        ("security", Json::object([("description", security.into())])),
        (
            "resource",
            Json::array(types.map(|name| resource(name, conditional_delete, doubt))),
        ),
        (
            "interaction",
            codes(["transaction", "batch", "history-system", "search-system"]),
        ),
        ("searchParam", claims::of_everything()),
        ("operation", operations(|row| row.is_for(&Target::System))),
        ("compartment", claims::compartments()),
    ])
}

fn resource(name: &str, conditional_delete: &str, doubt: Option<&Doubt>) -> Json {
    let mut row = vec![
        ("type", Json::from(name)),
        ("interaction", codes(INTERACTIONS)),
        ("versioning", "versioned".into()),
        ("readHistory", true.into()),
        ("updateCreate", true.into()),
        ("conditionalCreate", true.into()),
        ("conditionalRead", "full-support".into()),
        ("conditionalUpdate", true.into()),
        ("conditionalDelete", conditional_delete.into()),
    ];
    row.extend(claims::of_type(name, doubt));
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
