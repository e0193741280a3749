//! `$meta`, `$meta-add`, `$meta-delete`: profiles, security labels and tags.
//! <https://hl7.org/fhir/R4/resource-operation-meta.html>

use super::{Asked, Target, inputs, instance, parameter, parameters, resource};
use crate::exchange::Answer;
use crate::interactions::create::write_one;
use crate::interactions::{aside, preconditions};
use fhir_mapping::model::{IssueCode, Json, Limits, Object, parse};
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{Repository, Write};
use store::{ResourceKey, StoredVersion};

/// More resources than this, and the labels of all of them are not gathered.
const GATHERED_MAX: usize = 50_000;

/// How often a change is made anew because the resource changed meanwhile.
const ATTEMPTS_MAX: usize = 8;

/// The lists that the operations are about.
const LISTS: [&str; 3] = ["profile", "security", "tag"];

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    asked.inputs.check_known(&[])?;
    let repository = asked.surface.repository.clone();
    let target = asked.target;
    let meta = aside(move || match &target {
        Target::Instance(key) => meta_of(&repository.read(key)?),
        Target::Type(name) => gathered(&repository, Some(name)),
        Target::System => gathered(&repository, None),
    })
    .await?;
    Ok(returned(meta))
}

/// How the lists of the resource's meta come out of the old ones and those asked for.
pub(super) type Change = fn(&[Json], &[Json]) -> Vec<Json>;

/// Union, the old ones first.
pub(super) fn added(old: &[Json], asked: &[Json]) -> Vec<Json> {
    let new = asked.iter().filter(|item| !holds(old, item));
    old.iter().chain(new).cloned().collect()
}

/// What was not asked to go.
pub(super) fn deleted(old: &[Json], asked: &[Json]) -> Vec<Json> {
    let kept = old.iter().filter(|item| !holds(asked, item));
    kept.cloned().collect()
}

pub(super) async fn change(asked: Asked, change: Change) -> Result<Answer, Failure> {
    asked.inputs.check_known(&["meta"])?;
    let key = instance(&asked.target)?;
    let meta = asked.inputs.complex("meta")?;
    let meta = meta.ok_or_else(|| inputs::missing("meta"))?;
    let wanted = preconditions::if_match(&asked.exchange.headers)?;
    for _ in 0..ATTEMPTS_MAX {
        let stored = asked.surface.repository.read(key)?;
        let update = Write::Update {
            id: key.id.clone(),
            resource: changed(tree(&stored)?, meta, change),
            if_match: Some(wanted.unwrap_or(stored.version)),
        };
        match write_one(&asked.surface, &asked.exchange, update).await {
            Err(failure)
                if failure.category == Category::PreconditionFailed && wanted.is_none() => {}
            Err(failure) => return Err(failure),
            Ok(_) => return Ok(returned(meta_of(&asked.surface.repository.read(key)?)?)),
        }
    }
    Err(contended(key))
}

fn changed(mut resource: Json, asked: &Json, change: Change) -> Json {
    let mut meta = resource
        .get("meta")
        .and_then(Json::as_object)
        .cloned()
        .unwrap_or_default();
    for name in LISTS {
        let old = meta.get(name).and_then(Json::as_array).unwrap_or_default();
        match change(old, asked.items(name)) {
            list if list.is_empty() => drop(meta.remove(name)),
            list => meta.set(name, Json::Array(list)),
        }
    }
    if let Some(object) = resource.as_object_mut() {
        object.set_at(2, "meta", Json::Object(meta));
    }
    resource
}

/// The same profile, or a label of the same system and code.
fn holds(list: &[Json], wanted: &Json) -> bool {
    let key = |item: &Json| match item {
        Json::String(url) => (Some(url.clone()), None),
        other => {
            let text = |name| other.get(name).and_then(Json::as_str).map(str::to_owned);
            (text("system"), text("code"))
        }
    };
    let wanted = key(wanted);
    list.iter().any(|item| key(item) == wanted)
}

fn gathered(repository: &Repository, of_type: Option<&str>) -> Result<Json, Failure> {
    let mut lists: [Vec<Json>; 3] = Default::default();
    let mut seen = std::collections::HashSet::new();
    let visited = repository.visit(of_type, GATHERED_MAX, &mut |stored| {
        let meta = meta_of(&stored)?;
        for (name, list) in LISTS.iter().zip(&mut lists) {
            for item in meta.items(name) {
                if seen.insert((*name, item.clone())) {
                    list.push(item.clone());
                }
            }
        }
        Ok(())
    })?;
    if !visited {
        let text = std::format!("labels are gathered from at most {GATHERED_MAX} resources");
        let code = IssueCode::TooCostly;
        return Err(Failure::new(
            Category::Unprocessable,
            "E-META-1",
            code,
            text,
        ));
    }
    let lists = LISTS.iter().zip(lists).filter(|(_, list)| !list.is_empty());
    Ok(Json::object(
        lists.map(|(name, list)| (*name, Json::Array(list))),
    ))
}

fn meta_of(stored: &StoredVersion) -> Result<Json, Failure> {
    let meta = tree(stored)?.get("meta").cloned();
    Ok(meta.unwrap_or_else(|| Json::Object(Object::new())))
}

fn tree(stored: &StoredVersion) -> Result<Json, Failure> {
    let tree = parse(&stored.body, Limits::default());
    tree.map_err(|issue| Failure::of(Category::Fault, vec![issue]))
}

/// An object that holds nothing is no FHIR: where there are no labels, nothing is returned.
fn returned(meta: Json) -> Answer {
    let is_empty = meta.as_object().is_none_or(Object::is_empty);
    let returned = (!is_empty).then(|| parameter("return", "valueMeta", meta));
    resource(&match returned {
        Some(returned) => parameters([returned]),
        None => Json::object([("resourceType", "Parameters".into())]),
    })
}

fn contended(key: &ResourceKey) -> Failure {
    let text = std::format!(
        "others kept changing this {}; try again shortly",
        key.resource_type
    );
    Failure::new(Category::Busy, "E-META-2", IssueCode::Throttled, text)
}
