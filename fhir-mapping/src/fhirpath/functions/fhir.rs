//! What FHIR adds (R4 2.9.1.4): extensions, references, terminology, narrative.

use super::super::Stop;
use super::super::evaluate::{Items, Run};
use super::super::item::{Item, Node, Value};
use super::super::operators::single;
use super::super::types::specialises;
use super::{Arguments, Call, text};
use crate::model::{Json, Reference};
use crate::structure::narrative;
use crate::structure::table::table;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhirpath) enum Name {
    Extension,
    GetValue,
    Resolve,
    MemberOf,
    ConformsTo,
    HtmlChecks,
    Type,
    Comparable,
}

pub(in crate::fhirpath) const NAMES: [(&str, Name, Arguments); 8] = [
    ("extension", Name::Extension, Arguments::ONE),
    ("getValue", Name::GetValue, Arguments::NONE),
    ("resolve", Name::Resolve, Arguments::NONE),
    ("memberOf", Name::MemberOf, Arguments::ONE),
    ("conformsTo", Name::ConformsTo, Arguments::ONE),
    ("htmlChecks", Name::HtmlChecks, Arguments::NONE),
    ("type", Name::Type, Arguments::NONE),
    ("comparable", Name::Comparable, Arguments::ONE),
];

pub(in crate::fhirpath) fn call<'a>(
    run: &mut Run<'a, '_>,
    name: Name,
    input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    match name {
        Name::Extension => {
            let Some(url) = call.text(run, 0)? else {
                return Ok(Vec::new());
            };
            let all = run.member(&input, "extension")?;
            let fits = |item: &Item<'a>| {
                let json = item.node().and_then(Node::json);
                json.and_then(|j| j.get("url")?.as_str()) == Some(&*url)
            };
            Ok(all.into_iter().filter(fits).collect())
        }
        Name::GetValue => match single(&input, "getValue()")? {
            Some(item) => Ok(item.value()?.map(Item::Value).into_iter().collect()),
            None => Ok(Vec::new()),
        },
        Name::Resolve => {
            let resolved = input.iter().filter_map(|item| resolve(run, item));
            Ok(resolved.map(Item::Node).collect())
        }
        Name::MemberOf => member_of(run, &input, call),
        Name::ConformsTo => conforms_to(run, &input, call),
        Name::HtmlChecks => {
            let Some(text) = text(&input, "htmlChecks()")? else {
                return Ok(vec![Item::bool(true)]);
            };
            run.budget.spend(text.len() / 64)?;
            Ok(vec![Item::bool(narrative::fault(&text).is_none())])
        }
        Name::Comparable => {
            let other = call.items(run, 0)?;
            comparable(&input, &other)
        }
        Name::Type => {
            let types = input.iter().map(|item| {
                let (space, name) = match item {
                    Item::Node(node) => ("FHIR", node.type_name().to_owned()),
                    Item::Value(value) => ("System", value.type_name().to_owned()),
                };
                Item::Value(Value::Type(space, name))
            });
            Ok(types.collect())
        }
    }
}

/// Whether two quantities measure the same.
fn comparable<'a>(input: &[Item<'a>], other: &[Item<'a>]) -> Result<Items<'a>, Stop> {
    let who = "comparable()";
    let (Some(one), Some(two)) = (single(input, who)?, single(other, who)?) else {
        return Ok(Vec::new());
    };
    match (one.value()?, two.value()?) {
        (Some(Value::Quantity(one)), Some(Value::Quantity(two))) => {
            Ok(vec![Item::bool(one.order(&two).is_some())])
        }
        _ => Err(Stop::Type(who)),
    }
}

/// What a reference, or a text that is one, points at: a contained resource, an entry of the
/// Bundle around it, else what its text tells about the type.
fn resolve<'a>(run: &Run<'a, '_>, item: &Item<'a>) -> Option<Node<'a>> {
    let text = match item {
        Item::Node(node) => match node.json()? {
            Json::String(text) => text.as_str(),
            other => match other.get("reference") {
                Some(reference) => reference.as_str()?,
                None => return named_type(other),
            },
        },
        Item::Value(Value::Text(std::borrow::Cow::Borrowed(text))) => text,
        Item::Value(_) => return None,
    };
    if let Some(id) = text.strip_prefix('#') {
        let root = run.scope.root.json()?;
        if id.is_empty() {
            return Some(run.scope.root.clone());
        }
        let found = root
            .items("contained")
            .iter()
            .find(|r| r.id() == Some(id))?;
        return Some(Node::root(found));
    }
    let entries = run.scope.root.json()?.items("entry");
    let entry = entries
        .iter()
        .find(|e| e.str_at(&["fullUrl"]) == Some(text));
    if let Some(resource) = entry.and_then(|e| e.get("resource")) {
        return Some(Node::root(resource));
    }
    match Reference::parse(text) {
        Reference::Literal { resource_type, .. } | Reference::Conditional { resource_type, .. } => {
            table().resource(resource_type).map(Node::elsewhere)
        }
        _ => item.node().and_then(Node::json).and_then(named_type),
    }
}

fn named_type<'a>(reference: &Json) -> Option<Node<'a>> {
    let name = reference.get("type")?.as_str()?;
    table().resource(name).map(Node::elsewhere)
}

/// A code, Coding or CodeableConcept of which one coding is in the value set.
fn member_of<'a>(
    run: &mut Run<'a, '_>,
    input: &[Item<'a>],
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let Some(url) = call.text(run, 0)? else {
        return Ok(Vec::new());
    };
    let Some(Item::Node(node)) = single(input, "memberOf()")? else {
        return Ok(Vec::new());
    };
    let outside = run.scope.outside.ok_or(Stop::Unknown("memberOf()"))?;
    let coding = |json: &Json| {
        let code = json.str_at(&["code"])?;
        outside.member_of(&url, json.get("system").and_then(Json::as_str), code)
    };
    let answers: Vec<Option<bool>> = match node.json() {
        Some(Json::String(code)) => vec![outside.member_of(&url, None, code)],
        Some(json) if json.get("coding").is_some() => {
            json.items("coding").iter().map(coding).collect()
        }
        Some(json) => vec![coding(json)],
        None => return Ok(Vec::new()),
    };
    if answers.contains(&Some(true)) {
        return Ok(vec![Item::bool(true)]);
    }
    if answers.contains(&None) {
        return Err(Stop::Unknown("memberOf()"));
    }
    Ok(vec![Item::bool(false)])
}

fn conforms_to<'a>(
    run: &mut Run<'a, '_>,
    input: &[Item<'a>],
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let Some(url) = call.text(run, 0)? else {
        return Ok(Vec::new());
    };
    let Some(Item::Node(node)) = single(input, "conformsTo()")? else {
        return Ok(Vec::new());
    };
    let base = url.strip_prefix("http://hl7.org/fhir/StructureDefinition/");
    if let Some(name) = base.filter(|name| table().type_named(name).is_some()) {
        return Ok(vec![Item::bool(specialises(node.type_name(), name))]);
    }
    let known = match (run.scope.outside, node.json()) {
        (Some(outside), Some(json)) => outside.conforms_to(json, &url),
        _ => None,
    };
    let answer = known.ok_or(Stop::Unknown("conformsTo()"))?;
    Ok(vec![Item::bool(answer)])
}
