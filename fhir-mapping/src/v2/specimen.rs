//! SPM (or the older OBR-15) to Specimen (guide: SPM[Specimen], OBR[Specimen]).

use super::Context;
use super::dates;
use super::groups::Order;
use super::keys::fixed_id;
use super::segments::{Field, Segment};
use super::shape::{Shape, code_key, codeable, coding, concept};
use crate::model::Json;

/// SPM-2: the filler's id, else the placer's.
pub(super) fn specimen_id(spm: &Segment) -> Option<String> {
    let id = spm.field(2).first();
    let of = |n: usize| id.component(n).sub(1).text();
    of(2).or_else(|| of(1))
}

/// SPM-11 (or OBR-11) says that this is a control, not a patient's sample.
pub(super) fn is_control(order: &Order<'_>) -> bool {
    let role = order
        .specimen
        .map(|spm| spm.field(11).component(1).text_or_empty());
    let action = order.obr.field(11).text_or_empty();
    matches!(role.as_deref(), Some("Q" | "C" | "E" | "V" | "O")) || action == "Q"
}

/// The order's Specimen, if the message tells of one. `order_number` stands in for a missing id.
pub(super) fn map(context: &Context<'_>, order: &Order<'_>, order_number: &str) -> Option<Json> {
    match order.specimen {
        Some(spm) => Some(from_spm(context, spm, order_number)),
        None => from_obr(context, order.obr, order_number),
    }
}

fn from_spm(context: &Context<'_>, spm: &Segment, order_number: &str) -> Json {
    let number = specimen_id(spm);
    let name = &context.connection.name;
    let key = number.as_deref().unwrap_or(order_number);
    let (kind, _) = code_key(spm.field(4).first());
    let id = fixed_id(&["specimen", name, &context.facility(), key, &kind]);
    let accession = spm.field(30).first().component(1).text();
    let received = context.moment(spm.field(18));
    let conditions = spm.field(24).repeats();
    let conditions = conditions.filter_map(|c| codeable(c, name)).collect();
    let note = spm
        .field(14)
        .text()
        .map(|text| Json::object([("text", text.into())]));
    Shape::resource("Specimen", &id)
        .with_list("identifier", identifiers(spm))
        .with_some(
            "accessionIdentifier",
            accession.map(|value| Json::object([("value", value.into())])),
        )
        .with_some("type", codeable(spm.field(4).first(), name))
        .with_some("receivedTime", received.map(|m| m.text))
        .with_some("collection", collection(context, spm))
        .with_list("condition", conditions)
        .with_list("note", note.into_iter().collect())
        .json()
}

fn identifiers(spm: &Segment) -> Vec<Json> {
    let id = spm.field(2).first();
    let one = |n: usize, kind: &str| {
        let value = id.component(n).sub(1).text()?;
        let kind = concept(coding(
            "http://terminology.hl7.org/CodeSystem/v2-0203",
            kind,
            None,
        ));
        Some(Json::object([("type", kind), ("value", value.into())]))
    };
    [one(1, "PLAC"), one(2, "FILL")]
        .into_iter()
        .flatten()
        .collect()
}

/// SPM-7 method, SPM-8 site, SPM-17 time or period of collection.
fn collection(context: &Context<'_>, spm: &Segment) -> Option<Json> {
    let name = &context.connection.name;
    let time = spm.field(17).first();
    let (start, end) = (
        context.moment(time.component(1)),
        context.moment(time.component(2)),
    );
    let shape = match (start, end) {
        (start, Some(end)) => {
            let start = start.map(|m| m.text);
            let period = Shape::default()
                .with_some("start", start)
                .with("end", end.text);
            Shape::default().with("collectedPeriod", period.json())
        }
        (start, None) => Shape::default().with_some("collectedDateTime", start.map(|m| m.text)),
    };
    shape
        .with_some("method", codeable(spm.field(7).first(), name))
        .with_some("bodySite", codeable(spm.field(8).first(), name))
        .json_if_any()
}

/// OBR-15 as HL7 v2.3 to v2.5 have it: source, additives, text, body site. OBR-14 is the receipt.
fn from_obr(context: &Context<'_>, obr: &Segment, order_number: &str) -> Option<Json> {
    let source = obr.field(15).first().component(1);
    let name = &context.connection.name;
    let code = source.sub(1).text().or_else(|| source.sub(2).text())?;
    let system = source_system(source, name);
    let display = source.sub(2).text();
    let id = fixed_id(&["specimen", name, &context.facility(), order_number, &code]);
    let kind = concept(coding(&system, &code, display.as_deref()));
    let received = obr.field(14).text();
    let received = received.and_then(|t| dates::date_time(&t, &context.connection.zone));
    let specimen = Shape::resource("Specimen", &id)
        .with("type", kind)
        .with_some("receivedTime", received.map(|m| m.text));
    Some(specimen.json())
}

fn source_system(source: Field<'_>, connection: &str) -> String {
    let system = source.sub(3).text_or_empty();
    crate::terminology::systems::coding_system(&system, connection)
}
