//! `$expand`: the codes of a value set. <https://hl7.org/fhir/R4/valueset-operation-expand.html>

use super::super::{Asked, Inputs, inputs, resource};
use super::{Subject, subject};
use crate::exchange::Answer;
use crate::interactions::aside;
use fhir_mapping::model::{IssueCode, Json};
use fhir_mapping::terminology::{Member, Terminology, ValueSet};
use gateway_ground::clock::format_instant;
use gateway_ground::failure::{Category, Failure};
use std::sync::Arc;
use uuid::Uuid;

/// More codes than this are given in pages only.
const LISTED_MAX: usize = 10_000;

/// What shapes the list.
pub(in crate::interactions) const HEEDED: [&str; 9] = [
    "filter",
    "offset",
    "count",
    "includeDesignations",
    "includeDefinition",
    "activeOnly",
    "excludeNested",
    "excludeNotForUI",
    "displayLanguage",
];

/// Of R4, but not here.
const REFUSED: [&str; 3] = ["date", "context", "contextDirection"];

/// How the list is to look.
struct Wishes {
    filter: Option<String>,
    offset: usize,
    count: Option<usize>,
    with_designations: bool,
    with_definition: bool,
    active_only: bool,
    selectable_only: bool,
    language: Option<String>,
}

pub(in super::super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    let known = [
        &["url", "valueSet", "valueSetVersion"],
        &HEEDED[..],
        &REFUSED,
    ];
    asked.inputs.check_known(&known.concat())?;
    for name in REFUSED {
        if asked.inputs.text(name)?.is_some() {
            return Err(inputs::wrong(
                name,
                "is not supported: give url or valueSet",
            ));
        }
    }
    let wishes = wishes(&asked.inputs)?;
    let repository = asked.surface.repository.clone();
    let timestamp = format_instant(repository.clock().now_ms());
    let body = aside(move || {
        let from = (&asked.target, &asked.inputs);
        let found = subject(&repository, from, ("url", "valueSet"), "valueSetVersion")?;
        let found = found.ok_or_else(|| inputs::missing("url"))?;
        let (set, members) = repository.with_terminology(|terminology| {
            let set = set_of(terminology, &found)?;
            let members = terminology.expand(&set)?;
            Ok((set, members))
        })?;
        let members: Vec<Member> = members.into_iter().filter(|m| wishes.wants(m)).collect();
        expansion(&set, &members, (&wishes, &timestamp))
    })
    .await?;
    Ok(resource(&body))
}

pub(super) fn set_of(
    terminology: &Terminology<'_>,
    found: &Subject,
) -> Result<Arc<ValueSet>, fhir_mapping::model::Issue> {
    match found {
        Subject::Canonical(url) => terminology.value_set(url),
        Subject::Given(tree) => Ok(Arc::new(ValueSet::of(tree))),
    }
}

fn wishes(inputs: &Inputs) -> Result<Wishes, Failure> {
    let flag = |name: &str| Ok::<bool, Failure>(inputs.flag(name)?.unwrap_or(false));
    flag("excludeNested")?; // the list is flat anyway
    Ok(Wishes {
        filter: inputs.text("filter")?.map(str::to_lowercase),
        offset: inputs.number("offset")?.unwrap_or(0),
        count: inputs.number("count")?,
        with_designations: flag("includeDesignations")?,
        with_definition: flag("includeDefinition")?,
        active_only: flag("activeOnly")?,
        selectable_only: flag("excludeNotForUI")?,
        language: inputs.text("displayLanguage")?.map(str::to_owned),
    })
}

impl Wishes {
    fn wants(&self, member: &Member) -> bool {
        let is_out = self.active_only && member.is_inactive;
        let is_heading = self.selectable_only && member.is_abstract;
        !is_out
            && !is_heading
            && self
                .filter
                .as_ref()
                .is_none_or(|filter| is_found(filter, member))
    }
}

/// Every word of the filter starts a word of the display, or the code.
fn is_found(filter: &str, member: &Member) -> bool {
    let display = member.display.as_deref().unwrap_or_default().to_lowercase();
    let code = member.code.to_lowercase();
    let is_break = |c: char| !c.is_alphanumeric();
    filter.split_whitespace().all(|asked| {
        code.starts_with(asked)
            || display.starts_with(asked)
            || display.split(is_break).any(|word| word.starts_with(asked))
    })
}

fn expansion(
    set: &ValueSet,
    members: &[Member],
    (wishes, timestamp): (&Wishes, &str),
) -> Result<Json, Failure> {
    let count = match wishes.count {
        Some(count) => count.min(LISTED_MAX),
        None if members.len() > LISTED_MAX => return Err(too_long(members.len())),
        None => members.len(),
    };
    let total = u64::try_from(members.len()).unwrap_or(u64::MAX);
    let offset = u64::try_from(wishes.offset).unwrap_or(u64::MAX);
    let shown = members.iter().skip(wishes.offset).take(count);
    let contains = Json::array(shown.map(|member| contained(member, wishes)));
    let mut expansion = vec![
        (
            "identifier",
            Json::from(format!("urn:uuid:{}", Uuid::new_v4())),
        ),
        ("timestamp", timestamp.into()),
        ("total", total.into()),
        ("offset", offset.into()),
    ];
    if contains != Json::array([]) {
        expansion.push(("contains", contains));
    }
    let mut body = definition(set);
    if let Some(object) = body.as_object_mut() {
        if !wishes.with_definition {
            object.remove("compose");
        }
        object.set("expansion", Json::object(expansion));
    }
    Ok(body)
}

fn definition(set: &ValueSet) -> Json {
    if let Some(resource) = &set.resource {
        return resource.clone();
    }
    let mut members = vec![
        ("resourceType", Json::from("ValueSet")),
        ("url", set.url.as_str().into()),
    ];
    members.extend(
        set.version
            .as_deref()
            .map(|version| ("version", version.into())),
    );
    members.extend(set.name.as_deref().map(|name| ("name", name.into())));
    members.push(("status", "active".into()));
    Json::object(members)
}

fn contained(member: &Member, wishes: &Wishes) -> Json {
    let mut item = Vec::new();
    item.extend(
        member
            .system
            .as_deref()
            .map(|system| ("system", Json::from(system))),
    );
    item.extend(member.is_abstract.then(|| ("abstract", true.into())));
    item.extend(member.is_inactive.then(|| ("inactive", true.into())));
    item.extend(
        member
            .version
            .as_deref()
            .map(|version| ("version", version.into())),
    );
    item.push(("code", member.code.as_str().into()));
    let translated = wishes.language.as_deref().and_then(|language| {
        let mut all = member.designations.iter();
        let found = all.find(|one| one.str_at(&["language"]) == Some(language));
        found.and_then(|one| one.str_at(&["value"]))
    });
    let display = translated.or(member.display.as_deref());
    item.extend(display.map(|display| ("display", display.into())));
    if wishes.with_designations && !member.designations.is_empty() {
        item.push(("designation", Json::Array(member.designations.clone())));
    }
    Json::object(item)
}

fn too_long(count: usize) -> Failure {
    let text = format!(
        "the value set has {count} codes, more than the {LISTED_MAX} that one answer lists: use filter, or count and offset"
    );
    let code = IssueCode::TooCostly;
    Failure::new(Category::Unprocessable, "E-EXPAND-1", code, text)
}
