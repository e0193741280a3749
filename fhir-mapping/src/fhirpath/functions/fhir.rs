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
            let mut resolved = Vec::new();
            for item in &input {
                resolved.extend(resolve(run, item)?.map(Item::Node));
            }
            Ok(resolved)
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
/// Bundle around it, a stored resource, else what its text tells about the type.
fn resolve<'a>(run: &mut Run<'a, '_>, item: &Item<'a>) -> Result<Option<Node<'a>>, Stop> {
    let json = item.node().and_then(Node::json);
    let text = match (item, json) {
        (Item::Node(_), Some(Json::String(text))) => text.as_str(),
        (Item::Node(_), Some(other)) => match other.get("reference").and_then(Json::as_str) {
            Some(reference) => reference,
            None => return Ok(named_type(other)),
        },
        (Item::Value(Value::Text(std::borrow::Cow::Borrowed(text))), _) => text,
        _ => return Ok(None),
    };
    if let Some(id) = text.strip_prefix('#') {
        return contained(run, id);
    }
    if let Some(found) = entry(run, text)? {
        return Ok(Some(Node::root(found)));
    }
    if let Some(stored) = run.scope.outside.and_then(|outside| outside.resolve(text)) {
        run.budget.spend(LOOK_UP_STEPS)?;
        return Ok(Some(Node::root(stored)));
    }
    Ok(match Reference::parse(text) {
        Reference::Literal { resource_type, .. } | Reference::Conditional { resource_type, .. } => {
            table().resource(resource_type).map(Node::elsewhere)
        }
        _ => json.and_then(named_type),
    })
}

/// Judging a profile costs as much as so many steps, and what the surroundings allow for it.
const JUDGE_STEPS: usize = 1_000;

/// Fetching a stored resource costs as much as so many steps.
const LOOK_UP_STEPS: usize = 100;

fn contained<'a>(run: &mut Run<'a, '_>, id: &str) -> Result<Option<Node<'a>>, Stop> {
    let root = &run.scope.root;
    if id.is_empty() {
        return Ok(Some(root.clone()));
    }
    let all = root.json().map_or(&[][..], |root| root.items("contained"));
    run.budget.spend(all.len() / 8)?;
    let found = all.iter().find(|resource| resource.id() == Some(id));
    Ok(found.map(Node::root))
}

/// The resource of the entry with this URL; a relative reference is meant on any server.
fn entry<'a>(run: &mut Run<'a, '_>, text: &str) -> Result<Option<&'a Json>, Stop> {
    let Some(bundle) = run.scope.bundle else {
        return Ok(None);
    };
    let entries = bundle.items("entry");
    run.budget.spend(entries.len() / 8)?;
    let is_relative = !text.contains(':');
    let is_meant = |url: &str| {
        url == text || (is_relative && url.strip_suffix(text).is_some_and(|r| r.ends_with('/')))
    };
    let found = entries
        .iter()
        .find(|entry| entry.str_at(&["fullUrl"]).is_some_and(is_meant));
    Ok(found.and_then(|entry| entry.get("resource")))
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
    run.budget.spend(JUDGE_STEPS)?;
    let known = match (run.scope.outside, node.json()) {
        (Some(outside), Some(json)) => outside.conforms_to(json, &url),
        _ => None,
    };
    let answer = known.ok_or(Stop::Unknown("conformsTo()"))?;
    Ok(vec![Item::bool(answer)])
}
