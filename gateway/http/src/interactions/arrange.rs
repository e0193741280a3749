//! Turns the entries of a transaction into writes: every entry checked, ids chosen, references to
//! full URLs rewritten, twins collapsed or refused, order of effect settled. Pure but for new ids.

use super::entries::{Entry, located};
use super::full_urls::FullUrls;
use super::operations::Effect;
use super::{Surface, content, create, door, patch, preconditions, update};
use crate::route::Interaction;
use fhir_mapping::model::{Issue, IssueCode, Json};
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{Which, Write, own_id};
use std::collections::HashMap;
use store::{ResourceKey, VersionId};

/// A transaction ready to be written.
pub(super) struct Arranged {
    /// Entry index and write, in order of effect.
    pub(super) writes: Vec<(usize, Write)>,
    /// To be answered after the commit.
    pub(super) reads: Vec<Entry>,
    /// Entries that ask for the same conditional create or update as an earlier one.
    pub(super) same_as: HashMap<usize, usize>,
}

/// Findings beyond this are not listed.
const ISSUES_MAX: usize = 100;

pub(super) fn arrange(
    entries: Vec<Result<Entry, Failure>>,
    surface: &Surface,
) -> Result<Arranged, Failure> {
    let (mut drafted, mut reads, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (index, entry) in entries.into_iter().enumerate() {
        match entry.and_then(|entry| draft(entry, surface)) {
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
        one.write.rewrite_trees(&mut |tree| urls.rewrite(tree));
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

fn draft(entry: Entry, surface: &Surface) -> Result<Drafted, Failure> {
    let repository = &surface.repository;
    let criteria = |name: &str| preconditions::criteria_of(&entry.query, name, repository);
    let if_match = || preconditions::if_match(&entry.headers);
    let write = match &entry.interaction {
        Interaction::Create { resource_type } => Write::Create {
            id: own_id(),
            if_none_exist: create::condition(
                (&entry.headers, &entry.query),
                resource_type,
                repository,
            )?,
            resource: checked(surface, entry.resource, resource_type)?,
        },
        Interaction::Update { resource_type, id } => {
            let if_match = preconditions::of_update(&entry.headers)?;
            let resource = checked(surface, entry.resource, resource_type)?;
            content::check_id(&resource, id)?;
            Write::Update {
                id: id.clone(),
                resource,
                if_match,
            }
        }
        Interaction::UpdateWhere { resource_type } => {
            let query = criteria(resource_type)?;
            let if_match = preconditions::of_update(&entry.headers)?;
            let resource = checked(surface, entry.resource, resource_type)?;
            update::of_matching(resource, query, if_match)
        }
        Interaction::Patch { resource_type, id } => {
            let key = key(resource_type, id);
            patched(surface, (Which::Key(key), if_match()?), entry.resource)?
        }
        Interaction::PatchWhere { resource_type } => {
            let which = Which::Where {
                query: criteria(resource_type)?,
                resource_type: resource_type.clone(),
            };
            patched(surface, (which, if_match()?), entry.resource)?
        }
        Interaction::Delete { resource_type, id } => Write::Delete {
            key: key(resource_type, id),
            if_match: if_match()?,
        },
        Interaction::DeleteWhere { resource_type } => Write::DeleteWhere {
            resource_type: resource_type.clone(),
            query: criteria(resource_type)?,
            most: surface.conditional_delete_max,
            if_match: if_match()?,
        },
        interaction if !is_read(interaction) => return Err(not_here()),
        _ => return Ok(Drafted::Read(entry)),
    };
    Ok(Drafted::Write(DraftedWrite {
        index: entry.index,
        full_url: entry.full_url,
        write,
    }))
}

fn key(resource_type: &str, id: &str) -> ResourceKey {
    ResourceKey {
        resource_type: resource_type.to_owned(),
        id: id.to_owned(),
    }
}

fn patched(
    surface: &Surface,
    (which, if_match): (Which, Option<VersionId>),
    resource: Option<Json>,
) -> Result<Write, Failure> {
    let (kind, body) = patch::unpacked(resource)?;
    Ok(Write::Patch {
        which,
        patch: patch::read(&kind, &body)?,
        if_match,
        check: patch::check(surface),
    })
}

fn not_here() -> Failure {
    let text = "a transaction holds create, update, patch, delete, read, search and operations that change nothing";
    Failure::new(Category::Incorrect, "E-TX-1", IssueCode::NotSupported, text)
}

/// What a transaction runs after its writes.
fn is_read(interaction: &Interaction) -> bool {
    match interaction {
        Interaction::Operation(call) => {
            matches!(call.operation.effect, Effect::Reads | Effect::Asks)
        }
        other => !matches!(other, Interaction::Bundle | Interaction::JobCancel { .. }),
    }
}

fn checked(
    surface: &Surface,
    resource: Option<Json>,
    resource_type: &str,
) -> Result<Json, Failure> {
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
    door::check(surface, &resource)?;
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
            if let Some(key) = &key {
                urls.insert(url, &format!("{}/{}", key.resource_type, key.id));
            }
        }
        if let Some((at, twin)) = twin {
            if twin.write.resource() != one.write.resource() {
                let text = "have the same criteria but different content";
                return Err(both((twin.index, one.index), "E-TX-4", text));
            }
            same_as.insert(one.index, twin.index);
            by_criteria.extend(criteria(&one.write).map(|asked| (asked, at)));
            continue;
        }
        if let Some(key) = key
            && let Some(first) = by_key.insert(key, one.index)
        {
            return Err(both((first, one.index), "E-TX-5", "change one resource"));
        }
        kept.push(one);
    }
    Ok((kept, same_as, urls))
}

/// Kind, type and criteria of a conditional create or update, in one spelling.
fn criteria(write: &Write) -> Option<(u8, String, String)> {
    let query = match write {
        Write::Create { if_none_exist, .. } => if_none_exist.as_ref()?,
        Write::UpdateWhere { query, .. } => query,
        _ => return None,
    };
    let resource_type = write.resource()?.resource_type()?;
    Some((order(write), resource_type.to_owned(), query.self_link()))
}

/// The place of DELETE, POST, PUT and PATCH in the order of effect.
fn order(write: &Write) -> u8 {
    match write {
        Write::Delete { .. } | Write::DeleteWhere { .. } => 0,
        Write::Create { .. } => 1,
        Write::Update { .. } | Write::UpdateWhere { .. } => 2,
        Write::Patch { .. } => 3,
    }
}

fn both((first, second): (usize, usize), number: &'static str, text: &str) -> Failure {
    let text =
        format!("Bundle.entry[{first}] and Bundle.entry[{second}] {text}; nothing was written");
    let about = |index: usize| {
        let expression = format!("Bundle.entry[{index}]");
        Issue::error(number, IssueCode::Duplicate, expression, text.clone())
    };
    Failure::of(Category::Incorrect, vec![about(second), about(first)])
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
