//! ORU^R01, R30, R32 and OUL^R22 to a draft: per patient its reports, results, specimens and orders.

use super::groups::{self, Order, PatientPart};
use super::keys::fixed_id;
use super::observation::{self, OrderFacts};
use super::segments::Field;
use super::shape::{
    Shape, code_key, codeable, coding, concept, note_text, numbered_identifier, person, reference,
};
use super::status::{derived_status, report_status};
use super::{Connection, Context, Message, patient, specimen, warning};
use crate::draft::{Draft, PatientGroup};
use crate::model::{Issue, IssueCode, Json};
use std::collections::HashMap;

/// See [`super::map_oru`].
pub(super) fn map(message: &Message, connection: &Connection) -> Result<Draft, Issue> {
    let (kind, trigger) = message.message_type();
    if !matches!((kind, trigger), ("ORU" | "OUL", _)) {
        let text = format!("no mapping for messages of type {kind}^{trigger}");
        return Err(Issue::error(
            "E-V2-7",
            IssueCode::NotSupported,
            "MSH-9",
            text,
        ));
    }
    let mut context = Context::new(message, connection);
    let mut draft = Draft::default();
    for part in groups::group(message)? {
        draft.groups.push(map_patient(&mut context, &part)?);
    }
    draft.issues = context.issues;
    Ok(draft)
}

fn map_patient(context: &mut Context<'_>, part: &PatientPart<'_>) -> Result<PatientGroup, Issue> {
    let mut group = PatientGroup {
        is_control: context.is_test_run() || part.orders.iter().any(specimen::is_control),
        ..PatientGroup::default()
    };
    if let Some(pid) = part.pid {
        group.patient_identifiers = patient::identifiers(pid, context.connection);
        group.demographics = patient::demographics(pid);
    }
    for order in &part.orders {
        let resources = map_order(context, part, order)?;
        for resource in resources {
            let known =
                |r: &Json| (r.resource_type(), r.id()) == (resource.resource_type(), resource.id());
            if !group.resources.iter().any(known) {
                group.resources.push(resource);
            }
        }
    }
    Ok(group)
}

/// The order's resources: what others point at first.
fn map_order(
    context: &mut Context<'_>,
    part: &PatientPart<'_>,
    order: &Order<'_>,
) -> Result<Vec<Json>, Issue> {
    let status_code = order.obr.field(25).text_or_empty();
    let given_status = report_status(&status_code).map_err(|()| {
        let text = "OBR-25 says there is no such order or patient, or is no status at all";
        Issue::error("E-V2-9", IssueCode::BusinessRule, "OBR-25", text)
    })?;
    let number = order_number(context, part, order);
    let specimen = specimen::map(context, order, &number.0);
    let section = order.obr.field(24).text_or_empty();
    let issued = context.moment(order.obr.field(22));
    let mut facts = OrderFacts {
        report_id: report_id(context, order, &number),
        status_code,
        effective: context.moment(order.obr.field(7)).map(|m| m.text),
        issued: issued.filter(|m| m.is_instant).map(|m| m.text),
        is_imaging: matches!(
            section.as_str(),
            "RAD" | "RUS" | "CT" | "NMR" | "NMS" | "XRC"
        ),
        specimen: specimen.as_ref().and_then(reference_to),
        request: None,
        seen: HashMap::new(),
    };
    let request = placer(order).map(|placer| request(context, order, placer, &facts));
    facts.request = request.as_ref().and_then(reference_to);
    let mut resources: Vec<Json> = specimen.into_iter().chain(request).collect();
    let mut report = Report::default();
    for result in &order.results {
        if let Some(mapped) = observation::map(context, &mut facts, result) {
            report.statuses.push(mapped.status);
            report.forms.extend(mapped.attachments);
            report
                .results
                .extend(mapped.observation.as_ref().and_then(reference_to));
            resources.extend(mapped.observation);
        }
    }
    let status = given_status.unwrap_or_else(|| derived_status(&report.statuses));
    resources.push(report.build(context, order, &facts, status));
    Ok(resources)
}

/// Filler order number and its authority: OBR-3, ORC-3, SPM-2, OBR-2, ORC-2, whichever is given
/// first. Without any, patient and time of the observation stand in, or else the message itself.
fn order_number(
    context: &mut Context<'_>,
    part: &PatientPart<'_>,
    order: &Order<'_>,
) -> (String, String) {
    let number = |field: Field<'_>| {
        let value = field.component(1).sub(1).text()?;
        Some((value, field.component(2).sub(1).text_or_empty()))
    };
    let of_orc = |n: usize| order.orc.and_then(|orc| number(orc.field(n).first()));
    let specimen = || {
        Some((
            order.specimen.and_then(specimen::specimen_id)?,
            String::new(),
        ))
    };
    if let Some(filler) = number(order.obr.field(3).first()) {
        return filler;
    }
    let others = of_orc(3)
        .or_else(specimen)
        .or_else(|| number(order.obr.field(2).first()))
        .or_else(|| of_orc(2));
    let (used, number) = match others {
        Some(number) => ("another number of the order or specimen", number),
        None => ("patient and time", stand_in(context, part, order)),
    };
    let text = format!("no filler order number (OBR-3); {used} identifies the report");
    context.note(warning("E-V2-10", IssueCode::Required, "OBR-3", &text));
    number
}

fn stand_in(context: &Context<'_>, part: &PatientPart<'_>, order: &Order<'_>) -> (String, String) {
    let patient = part.pid.map(|pid| pid.field(3).first().raw().to_owned());
    let time = order.obr.field(7).text();
    match (patient.filter(|p| !p.is_empty()), time) {
        (Some(patient), Some(time)) => (patient, time),
        _ => (
            context.message.control_id().to_owned(),
            context.message_time(),
        ),
    }
}

fn report_id(context: &Context<'_>, order: &Order<'_>, number: &(String, String)) -> String {
    let (code, system) = code_key(order.obr.field(4).first());
    let name = &context.connection.name;
    let facility = context.facility();
    fixed_id(&[
        "report", name, &facility, &number.0, &number.1, &code, &system,
    ])
}

fn placer<'m>(order: &Order<'m>) -> Option<Field<'m>> {
    let fields = [Some(order.obr.field(2)), order.orc.map(|orc| orc.field(2))];
    let mut fields = fields.into_iter().flatten().map(Field::first);
    fields.find(|field| field.component(1).text().is_some())
}

/// The order that was placed, as far as the result tells of it.
fn request(
    context: &Context<'_>,
    order: &Order<'_>,
    placer: Field<'_>,
    facts: &OrderFacts,
) -> Json {
    let part = |n: usize| placer.component(n).sub(1).text_or_empty();
    let name = &context.connection.name;
    let id = fixed_id(&["order", name, &part(1), &part(2)]);
    let status = match facts.status_code.as_str() {
        "F" | "C" => "completed",
        "X" => "revoked",
        _ => "active",
    };
    Shape::resource("ServiceRequest", &id)
        .with("meta", context.meta(false))
        .with_list(
            "identifier",
            numbered_identifier(placer, "PLAC").into_iter().collect(),
        )
        .with("status", status)
        .with("intent", "order")
        .with_some("code", codeable(order.obr.field(4).first(), name))
        .with_some("requester", order.obr.field(16).repeats().find_map(person))
        .with_list("specimen", facts.specimen.iter().cloned().collect())
        .json()
}

fn reference_to(resource: &Json) -> Option<Json> {
    Some(reference(resource.resource_type()?, resource.id()?))
}

/// What the results of an order add up to.
#[derive(Default)]
struct Report {
    statuses: Vec<&'static str>,
    results: Vec<Json>,
    forms: Vec<Json>,
}

impl Report {
    fn build(
        self,
        context: &Context<'_>,
        order: &Order<'_>,
        facts: &OrderFacts,
        status: &str,
    ) -> Json {
        let obr = order.obr;
        let name = &context.connection.name;
        let code = codeable(obr.field(4).first(), name);
        let code = code.unwrap_or_else(|| super::shape::text_concept("not named by the sender"));
        let section = obr.field(24).text().unwrap_or_else(|| "LAB".to_owned());
        let section = coding(
            "http://terminology.hl7.org/CodeSystem/v2-0074",
            &section,
            None,
        );
        let end = context.moment(obr.field(8)).map(|m| m.text);
        let shape = Shape::resource("DiagnosticReport", &facts.report_id)
            .with("meta", context.meta(false))
            .with_list("extension", note_extension(order))
            .with_list("identifier", identifiers(order))
            .with_list("basedOn", facts.request.iter().cloned().collect())
            .with("status", status)
            .with_list("category", vec![concept(section)])
            .with("code", code);
        with_effective(shape, facts.effective.clone(), end)
            .with_some("issued", facts.issued.clone())
            .with_list(
                "resultsInterpreter",
                obr.field(32).repeats().filter_map(interpreter).collect(),
            )
            .with_list("specimen", facts.specimen.iter().cloned().collect())
            .with_list("result", self.results)
            .with_list("presentedForm", self.forms)
            .json()
    }
}

fn with_effective(shape: Shape, start: Option<String>, end: Option<String>) -> Shape {
    match end {
        None => shape.with_some("effectiveDateTime", start),
        Some(end) => {
            let period = Shape::default().with_some("start", start).with("end", end);
            shape.with("effectivePeriod", period.json())
        }
    }
}

fn identifiers(order: &Order<'_>) -> Vec<Json> {
    let filler = [Some(order.obr.field(3)), order.orc.map(|orc| orc.field(3))];
    let mut filler = filler.into_iter().flatten();
    let filler = filler.find_map(|field| numbered_identifier(field.first(), "FILL"));
    let placer = placer(order).and_then(|field| numbered_identifier(field, "PLAC"));
    placer.into_iter().chain(filler).collect()
}

/// NDL: the name is in the subcomponents of component 1.
fn interpreter(field: Field<'_>) -> Option<Json> {
    let name = field.component(1);
    let parts: Vec<String> = [3, 2]
        .into_iter()
        .filter_map(|n| name.sub(n).text())
        .collect();
    let display = if parts.is_empty() {
        name.sub(1).text()?
    } else {
        parts.join(" ")
    };
    Some(Json::object([("display", display.into())]))
}

/// R4 reports have no note; R5's element travels as an extension.
fn note_extension(order: &Order<'_>) -> Vec<Json> {
    let url = "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.note";
    let extension = |text: String| {
        let note = Json::object([("text", text.into())]);
        Json::object([("url", url.into()), ("valueAnnotation", note)])
    };
    note_text(&order.notes).map(extension).into_iter().collect()
}
