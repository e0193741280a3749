//! Turns the entries of a transaction into writes: every entry checked, ids chosen, references to
//! full URLs rewritten, twins collapsed or refused, order of effect settled. Pure but for new ids.

use super::entries::{Entry, located};
use super::full_urls::FullUrls;
use super::operations::Effect;
use super::{content, preconditions};
use crate::failure::{Category, Failure};
use crate::http::route::Interaction;
use crate::repository::Write;
use fhir_mapping::model::{Issue, IssueCode, Json};
use fhir_mapping::search::Zone;
use std::collections::HashMap;
use store::ResourceKey;
use uuid::Uuid;

/// A transaction ready to be written.
pub(super) struct Arranged {
    /// Entry index and write, in order of effect.
    pub(super) writes: Vec<(usize, Write)>,
    /// To be answered after the commit.
    pub(super) reads: Vec<Entry>,
    /// Entries that ask for the same conditional create as an earlier one.
    pub(super) same_as: HashMap<usize, usize>,
}

/// Findings beyond this are not listed.
const ISSUES_MAX: usize = 100;

pub(super) fn arrange(
    entries: Vec<Result<Entry, Failure>>,
    zone: &Zone,
) -> Result<Arranged, Failure> {
    let (mut drafted, mut reads, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (index, entry) in entries.into_iter().enumerate() {
        match entry.and_then(|entry| draft(entry, zone)) {
            Ok(Drafted::Write(write)) => drafted.push(write),
            Ok(Drafted::Read(entry)) => reads.push(entry),
            Err(failure) => refused.push(located(failure, index)),
        }
    }
    if !refused.is_empty() {
        return Err(all(refused));
    }
    let (mut drafted, same_as, urls) = settle(drafted)?;
    drafted.sort_by_key(|one| order(&one.write));
    for one in &mut drafted {
        if let Write::Create { resource, .. } | Write::Update { resource, .. } = &mut one.write {
            urls.rewrite(resource);
        }
    }
    Ok(Arranged {
        writes: drafted
            .into_iter()
            .map(|one| (one.index, one.write))
            .collect(),
        reads,
        same_as,
    })
}

enum Drafted {
    Write(DraftedWrite),
    Read(Entry),
}

struct DraftedWrite {
    index: usize,
    full_url: Option<String>,
    write: Write,
}

fn draft(entry: Entry, zone: &Zone) -> Result<Drafted, Failure> {
    let write = match &entry.interaction {
        Interaction::Create { resource_type } => {
            let if_none_exist = preconditions::if_none_exist(&entry.headers, resource_type, zone)?;
            let resource = checked(entry.resource, resource_type)?;
            Write::Create {
                id: Uuid::new_v4().to_string(),
                resource,
                if_none_exist,
            }
        }
        Interaction::Update { resource_type, id } => {
            let if_match = preconditions::if_match(&entry.headers)?;
            let resource = checked(entry.resource, resource_type)?;
            content::check_id(&resource, id)?;
            Write::Update {
                id: id.clone(),
                resource,
                if_match,
            }
        }
        Interaction::Delete { resource_type, id } => Write::Delete {
            key: ResourceKey {
                resource_type: resource_type.clone(),
                id: id.clone(),
            },
            if_match: preconditions::if_match(&entry.headers)?,
        },
        interaction if !is_read(interaction) => {
            let text = "a transaction holds create, update, delete, read, search and operations that change nothing";
            return Err(Failure::new(
                Category::Incorrect,
                "E-TX-1",
                IssueCode::NotSupported,
                text,
            ));
        }
        _ => return Ok(Drafted::Read(entry)),
    };
    Ok(Drafted::Write(DraftedWrite {
        index: entry.index,
        full_url: entry.full_url,
        write,
    }))
}

/// What a transaction runs after its writes.
fn is_read(interaction: &Interaction) -> bool {
    match interaction {
        Interaction::Operation(call) => call.operation.effect == Effect::Reads,
        other => !matches!(other, Interaction::Bundle),
    }
}

fn checked(resource: Option<Json>, resource_type: &str) -> Result<Json, Failure> {
    let Some(resource) = resource else {
        let text = "this entry needs a resource";
        return Err(Failure::new(
            Category::Incorrect,
            "E-TX-2",
            IssueCode::Required,
            text,
        ));
    };
    content::check_type(&resource, resource_type)?;
    content::check(&resource)?;
    Ok(resource)
}

type Settled = (Vec<DraftedWrite>, HashMap<usize, usize>, FullUrls);

/// Collapses twins, refuses what contradicts itself, and learns which full URL means which id.
fn settle(drafted: Vec<DraftedWrite>) -> Result<Settled, Failure> {
    let (mut same_as, mut urls) = (HashMap::new(), FullUrls::default());
    let (mut by_url, mut by_key, mut by_criteria) =
        (HashMap::new(), HashMap::new(), HashMap::new());
    let mut kept: Vec<DraftedWrite> = Vec::with_capacity(drafted.len());
    for one in drafted {
        let twin = criteria(&one.write).and_then(|asked| by_criteria.insert(asked, kept.len()));
        let twin = twin.and_then(|at: usize| Some((at, kept.get(at)?)));
        let key = twin.map_or_else(|| one.write.key(), |(_, twin)| twin.write.key());
        if let Some(url) = &one.full_url {
            if let Some((first, meant)) = by_url.insert(url.clone(), (one.index, key.clone()))
                && meant != key
            {
                return Err(both((first, one.index), "E-TX-3", "have one fullUrl"));
            }
            urls.insert(url, &format!("{}/{}", key.resource_type, key.id));
        }
        if let Some((at, twin)) = twin {
            if twin.write.resource() != one.write.resource() {
                let text = "have one ifNoneExist but different content";
                return Err(both((twin.index, one.index), "E-TX-4", text));
            }
            same_as.insert(one.index, twin.index);
            by_criteria.extend(criteria(&one.write).map(|asked| (asked, at)));
            continue;
        }
        if let Some(first) = by_key.insert(key, one.index) {
            return Err(both((first, one.index), "E-TX-5", "change one resource"));
        }
        kept.push(one);
    }
    Ok((kept, same_as, urls))
}

/// Type and criteria of a conditional create, in one spelling.
fn criteria(write: &Write) -> Option<(String, String)> {
    match write {
        Write::Create {
            resource,
            if_none_exist: Some(query),
            ..
        } => Some((resource.resource_type()?.to_owned(), query.self_link())),
        _ => None,
    }
}

/// The place of DELETE, POST and PUT in the order of effect.
fn order(write: &Write) -> u8 {
    match write {
        Write::Delete { .. } => 0,
        Write::Create { .. } => 1,
        Write::Update { .. } => 2,
    }
}

fn both((first, second): (usize, usize), number: &'static str, text: &str) -> Failure {
    let text =
        format!("Bundle.entry[{first}] and Bundle.entry[{second}] {text}; nothing was written");
    Failure::new(Category::Incorrect, number, IssueCode::Duplicate, text)
        .at(&format!("Bundle.entry[{second}]"))
}

/// One failure with the findings of all; its category is the first one's.
fn all(refused: Vec<Failure>) -> Failure {
    let category = refused
        .first()
        .map_or(Category::Incorrect, |first| first.category);
    let issues: Vec<Issue> = refused
        .into_iter()
        .flat_map(|one| one.issues)
        .take(ISSUES_MAX)
        .collect();
    Failure::of(category, issues)
}
