//! HL7 v2 data types to FHIR data types (guide: CWE, EI, EIP, CX, XCN, HD).

use super::segments::Field;
use crate::model::{Json, Object};
use crate::terminology::systems::coding_system;

/// An object built key by key; absent values leave no trace, so nothing empty is ever made.
#[derive(Default)]
pub(super) struct Shape(Object);

impl Shape {
    pub(super) fn resource(resource_type: &str, id: &str) -> Shape {
        Shape::default()
            .with("resourceType", resource_type)
            .with("id", id)
    }

    pub(super) fn with(mut self, key: &str, value: impl Into<Json>) -> Shape {
        self.0.set(key, value.into());
        self
    }

    pub(super) fn with_some(self, key: &str, value: Option<impl Into<Json>>) -> Shape {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(super) fn with_list(self, key: &str, items: Vec<Json>) -> Shape {
        if items.is_empty() {
            return self;
        }
        self.with(key, Json::Array(items))
    }

    pub(super) fn json(self) -> Json {
        Json::Object(self.0)
    }

    /// `None` when nothing was put in.
    pub(super) fn json_if_any(self) -> Option<Json> {
        (!self.0.is_empty()).then_some(Json::Object(self.0))
    }
}

/// A coding, its system and code in the form that FHIR's `uri` and `code` have.
pub(super) fn coding(system: &str, code: &str, display: Option<&str>) -> Json {
    Shape::default()
        .with("system", without_space(system))
        .with("code", code_text(code))
        .with_some("display", display)
        .json()
}

pub(super) fn concept(coding: Json) -> Json {
    Json::object([("coding", Json::array([coding]))])
}

pub(super) fn text_concept(text: &str) -> Json {
    Json::object([("text", text.into())])
}

/// CWE, CE, CNE, CF, IS, ID to CodeableConcept: the code as sent first, its alternate second, the
/// original text or a name as text. `None` when nothing is there.
pub(super) fn codeable(field: Field<'_>, connection: &str) -> Option<Json> {
    let part = |n: usize| field.component(n).sub(1).text();
    let mut codings = Vec::new();
    for (code, display, system) in [(1, 2, 3), (4, 5, 6)] {
        if let Some(code) = part(code) {
            let system = coding_system(&part(system).unwrap_or_default(), connection);
            let display = part(display);
            codings.push(coding(&system, &code, display.as_deref()));
        }
    }
    let text = part(9).or_else(|| part(2)).or_else(|| part(5));
    let text = text.or_else(|| part(1)).or_else(|| part(4));
    Shape::default()
        .with_list("coding", codings)
        .with_some("text", text)
        .json_if_any()
}

/// FHIR codes have no outer and no double space.
fn code_text(code: &str) -> String {
    code.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn without_space(uri: &str) -> String {
    uri.chars().filter(|c| !c.is_whitespace()).collect()
}

/// What tells one code from another: code and system of the first coding that is there, else text.
pub(super) fn code_key(field: Field<'_>) -> (String, String) {
    let part = |n: usize| field.component(n).sub(1).text();
    for (code, system) in [(1, 3), (4, 6)] {
        if let Some(code) = part(code) {
            return (code, part(system).unwrap_or_default());
        }
    }
    (part(2).unwrap_or_default(), String::new())
}

/// The system that an assigning authority (namespace, universal id, its type) stands for.
pub(super) fn authority_system(namespace: &str, universal: &str, kind: &str) -> Option<String> {
    let is_url = |t: &str| t.starts_with("http") || t.starts_with("urn:");
    let (namespace, universal) = (without_space(namespace), without_space(universal));
    match kind {
        "ISO" if !universal.is_empty() => Some(format!("urn:oid:{universal}")),
        "UUID" | "GUID" if !universal.is_empty() && universal.contains('-') => {
            Some(format!("urn:uuid:{}", universal.to_lowercase()))
        }
        _ if is_url(&universal) => Some(universal),
        _ if is_url(&namespace) => Some(namespace),
        _ => None,
    }
}

/// EI to Identifier of a type of table 0203 (`PLAC`, `FILL`). `None` when component 1 is empty.
pub(super) fn numbered_identifier(field: Field<'_>, kind: &str) -> Option<Json> {
    let part = |n: usize| field.component(n).sub(1).text_or_empty();
    let value = field.component(1).sub(1).text()?;
    let namespace = part(2);
    let assigner =
        (!namespace.is_empty()).then(|| Json::object([("display", namespace.clone().into())]));
    let shape = match kind {
        "" => Shape::default(),
        kind => Shape::default().with("type", concept(coding(V2_0203, kind, None))),
    };
    let identifier = shape
        .with_some("system", authority_system(&namespace, &part(3), &part(4)))
        .with("value", value)
        .with_some("assigner", assigner);
    Some(identifier.json())
}

const V2_0203: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";

/// A reference to a resource with a fixed id.
pub(super) fn reference(resource_type: &str, id: &str) -> Json {
    Json::object([("reference", format!("{resource_type}/{id}").into())])
}

/// XCN or plain text to a reference that only displays a name.
pub(super) fn person(field: Field<'_>) -> Option<Json> {
    let part = |n: usize| field.component(n).sub(1).text();
    let name: Vec<String> = [part(3), part(2)].into_iter().flatten().collect();
    let display = if name.is_empty() {
        part(1)?
    } else {
        name.join(" ")
    };
    Some(Json::object([("display", display.into())]))
}

/// Segments of notes to one text.
pub(super) fn note_text(notes: &[&super::segments::Segment]) -> Option<String> {
    let lines = notes.iter().flat_map(|note| note.field(3).repeats());
    let lines: Vec<String> = lines.filter_map(Field::text).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
