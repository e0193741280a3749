//! GET metadata: what works, from the same lists that routing and searching use; `mode`, and an ETag
//! by which a client need not load it again. <https://hl7.org/fhir/R4/http.html#capabilities>

mod terminology;

use super::operations::{self, Operation, Target};
use super::search::claims;
use super::{Surface, answers, preconditions, read};
use crate::exchange::{Answer, Exchange};
use fhir_mapping::model::{IssueCode, Json, format};
use fhir_mapping::search::{Doubt, Zone};
use fhir_mapping::validate::resource_types;
use gateway_ground::failure::{Category, Failure};
use http::{HeaderValue, header};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::OnceLock;

/// Day of the last change to what this statement claims.
const STATEMENT_DATE: &str = "2026-11-25";

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

pub(super) async fn answer(surface: &Surface, exchange: &Exchange) -> Result<Answer, Failure> {
    let mut modes = exchange.query.iter().rev();
    let mode = modes.find(|(name, value)| name == "mode" && !value.is_empty());
    let text = match mode.map_or("full", |(_, mode)| mode.as_str()) {
        // Nothing here is of a part of R4 that may still change without saying so.
        "full" | "normative" => whole(surface, &exchange.base_url)?,
        "terminology" => format(&terminology::statement(surface).await?),
        _ => return Err(unknown_mode()),
    };
    let text = match read::wanted(&exchange.query)? {
        Some(how) => read::lessened(text.as_bytes(), &how).into_owned(),
        None => text.into_bytes(),
    };
    Ok(cached(text, exchange))
}

/// What is searched here, and what of it is in doubt.
type Told<'a> = (&'a Zone, Option<&'a Doubt>);

/// While a reindex is under way, parameters that it must renew are not claimed.
fn whole(surface: &Surface, base_url: &str) -> Result<String, Failure> {
    static TEXTS: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    let [single, multiple] = &TEXTS;
    let (text, conditional_delete) = match surface.conditional_delete_max {
        0 | 1 => (single, "single"),
        _ => (multiple, "multiple"),
    };
    let zone = surface.repository.zone();
    let doubt = surface.repository.index_doubt()?;
    let told = (zone, doubt.as_ref());
    // A site without search parameters of its own says the same as all others.
    let text = match doubt.is_none() && zone.own().is_empty() {
        true => Cow::Borrowed(text.get_or_init(|| format(&statement(conditional_delete, told)))),
        false => Cow::Owned(format(&statement(conditional_delete, told))),
    };
    // `http` becomes `ws`, `https` becomes `wss`.
    let socket = base_url.replacen("http", "ws", 1) + "/websocket";
    Ok(text.replacen(SOCKET_PLACE, &socket, 1))
}

/// 304 to a client that has this text already.
fn cached(text: Vec<u8>, exchange: &Exchange) -> Answer {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let tag = format!("{:016x}", hasher.finish());
    let mut answer = match preconditions::has_tag(&exchange.headers, &tag) {
        true => answers::empty(304, None),
        false => answers::body(text),
    };
    let tag = HeaderValue::from_str(&format!("W/\"{tag}\"")).ok();
    answer.headers.extend(tag.map(|tag| (header::ETAG, tag)));
    answer
}

fn unknown_mode() -> Failure {
    let text = "mode takes full, normative or terminology";
    Failure::new(Category::Incorrect, "E-STATEMENT-1", IssueCode::Value, text)
}

/// What both statements say of this program.
fn about(kind: &str) -> Vec<(&'static str, Json)> {
    let software = Json::object([
        ("name", "Wayside".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
    ]);
    let text = "Wayside, an offline-first FHIR gateway";
    let implementation = Json::object([("description", text.into())]);
    vec![
        ("resourceType", kind.into()),
        ("status", "active".into()),
        ("date", STATEMENT_DATE.into()),
        ("kind", "instance".into()),
        ("software", software),
        ("implementation", implementation),
    ]
}

fn statement(conditional_delete: &str, told: Told) -> Json {
    let mut members = about("CapabilityStatement");
    members.extend([
        ("fhirVersion", "4.0.1".into()),
        ("format", Json::array(FORMATS.map(Json::from))),
        ("patchFormat", Json::array(PATCH_FORMATS.map(Json::from))),
        ("rest", Json::array([rest(conditional_delete, told)])),
    ]);
    Json::object(members)
}

fn rest(conditional_delete: &str, told: Told) -> Json {
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
            Json::array(types.map(|name| resource(name, conditional_delete, told))),
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

fn resource(name: &str, conditional_delete: &str, told: Told) -> Json {
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
    row.extend(claims::of_type(name, told));
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
