//! OBX to Observation (guide: OBX[Observation]).

use super::groups::ResultPart;
use super::keys::fixed_id;
use super::segments::Segment;
use super::shape::{Shape, code_key, codeable, coding, concept, note_text, person, text_concept};
use super::status::{ResultStatus, needs_original, result_status};
use super::values::{self, Values};
use super::{Context, warning};
use crate::model::{IssueCode, Json};
use crate::terminology::flags;
use std::collections::HashMap;

/// What the results of one order share.
pub(super) struct OrderFacts {
    pub report_id: String,
    /// OBR-25 as sent.
    pub status_code: String,
    pub effective: Option<String>,
    pub issued: Option<String>,
    pub is_imaging: bool,
    pub specimen: Option<Json>,
    pub request: Option<Json>,
    /// How often a code and sub-id was seen in this order: a rerun is another observation.
    pub seen: HashMap<[String; 3], usize>,
}

/// One result, mapped.
pub(super) struct Mapped {
    pub observation: Option<Json>,
    pub status: &'static str,
    pub attachments: Vec<Json>,
}

/// Maps one OBX. `None` when it is no result (run settings, order text) or has no code.
pub(super) fn map(
    context: &mut Context<'_>,
    facts: &mut OrderFacts,
    result: &ResultPart<'_>,
) -> Option<Mapped> {
    let obx = result.obx;
    let place = context.next_result_place();
    let key = code_key(obx.field(3).first());
    if key.0.is_empty() {
        let text = "a result without a code (OBX-3) was left in the raw message";
        context.note(warning("E-V2-20", IssueCode::Required, &place, text));
        return None;
    }
    if is_run_fact(&key.1, &key.0) {
        let text = format!(
            "{} is a setting of the run, not a result; left in the raw message",
            key.0
        );
        context.note(warning("E-V2-13", IssueCode::Informational, &place, &text));
        return None;
    }
    let status = status_of(context, facts, obx, &place)?;
    let values = values::read(context, obx, &place);
    let attachments = values.attachments.clone();
    let has_nothing_else = values.values.is_empty() && (values.is_aside || !attachments.is_empty());
    let observation =
        (!has_nothing_else).then(|| build(context, facts, result, (key, status, values)));
    Some(Mapped {
        observation,
        status,
        attachments,
    })
}

fn status_of(
    context: &mut Context<'_>,
    facts: &OrderFacts,
    obx: &Segment,
    place: &str,
) -> Option<&'static str> {
    let code = obx.field(11).text_or_empty();
    let place = format!("{place}-11");
    match result_status(&code, &facts.status_code) {
        ResultStatus::Is(status) => {
            if code.is_empty() && facts.status_code.is_empty() {
                let text = "no result status was sent; taken as preliminary";
                context.note(warning("E-V2-16", IssueCode::Required, &place, text));
            }
            Some(status)
        }
        ResultStatus::NoObservation => {
            let text = "the result was not asked for or only describes the order; no observation";
            context.note(warning("E-V2-15", IssueCode::Informational, &place, text));
            None
        }
        ResultStatus::Unknown => {
            let text = "the result status is not of HL7 table 0085; taken as preliminary";
            context.note(warning("E-V2-17", IssueCode::CodeInvalid, &place, text));
            Some("preliminary")
        }
    }
}

type Parts = ((String, String), &'static str, Values);

fn build(
    context: &mut Context<'_>,
    facts: &mut OrderFacts,
    result: &ResultPart<'_>,
    (key, status, values): Parts,
) -> Json {
    let obx = result.obx;
    let name = context.connection.name.clone();
    let code = codeable(obx.field(3).first(), &name);
    let is_mapped = code.iter().flat_map(|c| c.items("coding")).any(is_loinc);
    let id = observation_id(facts, key, &obx.field(4).text_or_empty());
    let status_code = obx.field(11).text_or_empty();
    let effective = context.moment(obx.field(14)).map(|m| m.text);
    let absent = values
        .values
        .is_empty()
        .then(|| absent_reason(&status_code));
    let category = if facts.is_imaging {
        "imaging"
    } else {
        "laboratory"
    };
    let shape = Shape::resource("Observation", &id)
        .with("meta", context.meta(!is_mapped))
        .with_list("identifier", instance_identifier(obx))
        .with_list("basedOn", facts.request.iter().cloned().collect())
        .with("status", status)
        .with_some("_status", original_status(&status_code))
        .with_list("category", vec![concept(coding(CATEGORY, category, None))])
        .with_some("code", code.clone())
        .with_some(
            "effectiveDateTime",
            effective.or_else(|| facts.effective.clone()),
        )
        .with_some("issued", facts.issued.clone())
        .with_list("performer", performers(obx));
    let (shape, components) = with_values(shape, values, code);
    shape
        .with_some("dataAbsentReason", absent)
        .with_list("interpretation", interpretations(obx))
        .with_list("note", notes(result, &status_code))
        .with_some("bodySite", codeable(obx.field(20).first(), &name))
        .with_some("method", codeable(obx.field(17).first(), &name))
        .with_some("specimen", facts.specimen.clone())
        .with_some("device", device(context, obx))
        .with_list(
            "referenceRange",
            values::reference_range(obx).into_iter().collect(),
        )
        .with_list("component", components)
        .json()
}

const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

fn is_loinc(coding: &Json) -> bool {
    coding.get("system").and_then(Json::as_str) == Some("http://loinc.org")
}

fn observation_id(facts: &mut OrderFacts, key: (String, String), sub_id: &str) -> String {
    let key = [key.0, key.1, sub_id.to_owned()];
    let seen = facts.seen.entry(key.clone()).or_default();
    *seen += 1;
    let run = seen.to_string();
    let [code, system, sub_id] = &key;
    fixed_id(&["observation", &facts.report_id, code, system, sub_id, &run])
}

/// One value stands for itself; several (OBX-5 repeats) become components of the same code.
fn with_values(shape: Shape, values: Values, code: Option<Json>) -> (Shape, Vec<Json>) {
    let mut values = values.values;
    if values.len() == 1 {
        let shape = values
            .drain(..)
            .fold(shape, |shape, (key, value)| shape.with(key, value));
        return (shape, Vec::new());
    }
    let component = |(key, value): (&'static str, Json)| {
        let component = Shape::default().with_some("code", code.clone());
        component.with(key, value).json()
    };
    (shape, values.into_iter().map(component).collect())
}

/// The sender's code, where FHIR's status says less than it.
fn original_status(code: &str) -> Option<Json> {
    if !needs_original(code) {
        return None;
    }
    let original = concept(coding(
        "http://terminology.hl7.org/CodeSystem/v2-0085",
        code,
        None,
    ));
    let extension = Json::object([
        (
            "url",
            "http://hl7.org/fhir/StructureDefinition/alternate-codes".into(),
        ),
        ("valueCodeableConcept", original),
    ]);
    Some(Json::object([("extension", Json::array([extension]))]))
}

fn absent_reason(status_code: &str) -> Json {
    let system = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
    let (code, text) = match status_code {
        "X" => ("unknown", "results cannot be obtained"),
        "I" => ("temp-unknown", "results pending"),
        _ => ("unknown", "no value was sent"),
    };
    Shape::default()
        .with_list("coding", vec![coding(system, code, None)])
        .with("text", text)
        .json()
}

/// OBX-8: every repetition, once.
fn interpretations(obx: &Segment) -> Vec<Json> {
    let mut sent: Vec<String> = Vec::new();
    for flag in obx.field(8).repeats().filter_map(|f| f.component(1).text()) {
        if !sent.contains(&flag) {
            sent.push(flag);
        }
    }
    let map = |flag: &String| match flags::interpretation(flag) {
        Some((code, display)) => concept(coding(flags::SYSTEM, code, Some(display))),
        None => text_concept(flag),
    };
    sent.iter().map(map).collect()
}

fn notes(result: &ResultPart<'_>, status_code: &str) -> Vec<Json> {
    let verified = (status_code == "V").then(|| "verified by the sender (OBX-11 V)".to_owned());
    let texts = [note_text(&result.notes), verified].into_iter().flatten();
    texts
        .map(|text| Json::object([("text", text.into())]))
        .collect()
}

fn performers(obx: &Segment) -> Vec<Json> {
    let observers = obx.field(16).repeats().filter_map(person);
    let organization = obx.field(23).first().component(1).text();
    let organization = organization.map(|name| Json::object([("display", name.into())]));
    observers.chain(organization).collect()
}

/// OBX-18, else the sending application.
fn device(context: &Context<'_>, obx: &Segment) -> Option<Json> {
    let instance = obx.field(18).first();
    let identifier = super::shape::numbered_identifier(instance, "");
    match identifier {
        Some(identifier) => Some(Json::object([("identifier", identifier)])),
        None => {
            let display = context.sender()?;
            Some(Json::object([("display", display.into())]))
        }
    }
}

fn instance_identifier(obx: &Segment) -> Vec<Json> {
    let identifier = super::shape::numbered_identifier(obx.field(21).first(), "FILL");
    identifier.into_iter().collect()
}

/// Settings, remarks and histograms that instruments send as OBX beside their results.
fn is_run_fact(system: &str, code: &str) -> bool {
    match system {
        "99MRC" => ["08", "01001", "01002", "01006", "09", "15"]
            .iter()
            .any(|p| code.starts_with(p)),
        "LN" => code == "30525-0",
        _ => false,
    }
}
