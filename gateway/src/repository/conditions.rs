//! What a transaction's writes depend on: If-None-Exist and conditional references. Resolved twice
//! with one code: before the transaction, to prepare content away from the writer thread, and
//! inside it, where the answer counts.

use super::references::{self, Substitutions};
use super::search;
use super::stamp::Unstamped;
use super::write::{Transaction, Write};
use crate::failure::{Category, Failure};
use fhir_mapping::model::{IssueCode, Json};
use fhir_mapping::search::{Handling, Query, SearchValues, Zone, extract};
use std::collections::{BTreeMap, HashMap, HashSet};
use store::{ResourceKey, View};

/// A failure with the index of the write that it is about.
pub(super) type At = (usize, Failure);

/// The questions, parsed.
pub(super) struct Conditions {
    /// A single write: nothing else refers to the id chosen for it.
    is_lone: bool,
    /// Index of a conditional create, with its query.
    creates: Vec<(usize, Query)>,
    references: Vec<ConditionalReference>,
    /// Keys that the transaction updates or deletes: the store's state of them does not count.
    touched: HashSet<ResourceKey>,
    /// What it writes of the types that conditional references ask for.
    pending: Vec<(usize, ResourceKey, SearchValues)>,
}

struct ConditionalReference {
    index: usize,
    text: String,
    resource_type: String,
    query: Query,
}

/// The answers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Resolution {
    /// Conditional creates that found their resource.
    pub(super) existing: HashMap<usize, ResourceKey>,
    /// Conditional references to `Type/id`.
    references: Substitutions,
}

impl Conditions {
    pub(super) fn of(transaction: &Transaction, zone: &Zone) -> Result<Conditions, At> {
        let mut conditions = Conditions {
            is_lone: transaction.writes.len() == 1,
            creates: Vec::new(),
            references: Vec::new(),
            touched: HashSet::new(),
            pending: Vec::new(),
        };
        for (index, write) in transaction.writes.iter().enumerate() {
            if let Write::Create {
                if_none_exist: Some(query),
                ..
            } = write
            {
                conditions.creates.push((index, query.clone()));
            }
            if !matches!(write, Write::Create { .. }) {
                conditions.touched.insert(write.key());
            }
        }
        if transaction.resolve_conditional_references {
            conditions.references = conditional_references(transaction, zone)?;
            conditions.pending = conditions.pending(transaction, zone);
        }
        Ok(conditions)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.creates.is_empty() && self.references.is_empty()
    }

    /// Must content be prepared anew when the answers differ? Not for a lone conditional create.
    pub(super) fn is_changed(&self, expected: &Resolution, found: &Resolution) -> bool {
        let references = expected.references != found.references;
        references || (!self.is_lone && expected.existing != found.existing)
    }

    /// Answers from the state in `view` and from what the transaction itself writes.
    pub(super) fn resolve(&self, view: &View<'_>, zone: &Zone) -> Result<Resolution, At> {
        let mut resolution = Resolution::default();
        for (index, query) in &self.creates {
            let found = search::matching_keys(view, query, zone, 2).map_err(|f| (*index, f))?;
            match found.as_slice() {
                [] => {}
                [one] => drop(resolution.existing.insert(*index, one.clone())),
                _ => return Err((*index, several_exist())),
            }
        }
        for reference in &self.references {
            let target = self.target(reference, view, (zone, &resolution.existing))?;
            let target = format!("{}/{}", target.resource_type, target.id);
            resolution.references.insert(reference.text.clone(), target);
        }
        Ok(resolution)
    }

    fn target(
        &self,
        reference: &ConditionalReference,
        view: &View<'_>,
        (zone, existing): (&Zone, &HashMap<usize, ResourceKey>),
    ) -> Result<ResourceKey, At> {
        let limit = self.touched.len().saturating_add(2);
        let stored = search::matching_keys(view, &reference.query, zone, limit)
            .map_err(|failure| (reference.index, failure))?;
        let stored = stored.into_iter().filter(|key| !self.touched.contains(key));
        let pending = self.pending.iter().filter(|(index, key, values)| {
            !existing.contains_key(index)
                && key.resource_type == reference.resource_type
                && reference.query.matches(values)
        });
        let pending = pending.map(|(_, key, _)| key.clone());
        let mut found = stored.chain(pending);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err((reference.index, no_target(&reference.resource_type))),
            (Some(_), Some(_)) => Err((reference.index, several_targets(&reference.resource_type))),
        }
    }

    fn pending(
        &self,
        transaction: &Transaction,
        zone: &Zone,
    ) -> Vec<(usize, ResourceKey, SearchValues)> {
        let types: HashSet<_> = self
            .references
            .iter()
            .map(|r| r.resource_type.as_str())
            .collect();
        let writes = transaction.writes.iter().enumerate();
        writes
            .filter_map(|(index, write)| Some((index, write.key(), write.resource()?)))
            .filter(|(_, key, _)| types.contains(key.resource_type.as_str()))
            .map(|(index, key, resource)| (index, key, extract(resource, zone)))
            .collect()
    }
}

impl Resolution {
    /// What each write stores, given these answers; `None` for a deletion.
    pub(super) fn contents(
        &self,
        transaction: &Transaction,
        zone: &Zone,
    ) -> Vec<Option<Unstamped>> {
        let by = self.substitutions(transaction);
        let content = |resource: &Json| match references::substituted(resource, &by) {
            Some(copy) => Unstamped::new(&copy, zone),
            None => Unstamped::new(resource, zone),
        };
        let writes = transaction.writes.iter();
        writes.map(|write| write.resource().map(content)).collect()
    }

    /// The ids that were chosen for creates that turned out to exist stand for the existing ones.
    fn substitutions(&self, transaction: &Transaction) -> Substitutions {
        let mut by = self.references.clone();
        for (index, existing) in &self.existing {
            if let Some(write) = transaction.writes.get(*index) {
                let chosen = write.key();
                by.insert(
                    format!("{}/{}", chosen.resource_type, chosen.id),
                    format!("{}/{}", existing.resource_type, existing.id),
                );
            }
        }
        by
    }
}

fn conditional_references(
    transaction: &Transaction,
    zone: &Zone,
) -> Result<Vec<ConditionalReference>, At> {
    let mut by_text = BTreeMap::new();
    for (index, write) in transaction.writes.iter().enumerate() {
        for (text, resource_type, query) in write
            .resource()
            .map(references::conditional)
            .unwrap_or_default()
        {
            if by_text.contains_key(text) {
                continue;
            }
            let query = parse_query(resource_type, query, zone).map_err(|f| (index, f))?;
            let reference = ConditionalReference {
                index,
                text: text.to_owned(),
                resource_type: resource_type.to_owned(),
                query,
            };
            by_text.insert(text, reference);
        }
    }
    Ok(by_text.into_values().collect())
}

/// Strict: a criterion that is not understood must not widen the match.
fn parse_query(resource_type: &str, text: &str, zone: &Zone) -> Result<Query, Failure> {
    let pairs: Vec<(String, String)> = text
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(pair)
        .collect();
    let query = Query::parse(resource_type, &pairs, Handling::Strict, zone)
        .map_err(|issues| Failure::of(Category::Incorrect, issues))?;
    if query.is_unrestricted() {
        let text = format!("a conditional reference to {resource_type} restricts nothing");
        return Err(Failure::new(
            Category::PreconditionFailed,
            "E-WRITE-2",
            IssueCode::Value,
            text,
        ));
    }
    Ok(query)
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (decode(name), decode(value))
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8_lossy()
        .into_owned()
}

fn several_exist() -> Failure {
    let text = "If-None-Exist matches several resources; make the criteria name one";
    Failure::new(
        Category::PreconditionFailed,
        "E-WRITE-3",
        IssueCode::MultipleMatches,
        text,
    )
}

fn no_target(resource_type: &str) -> Failure {
    let text =
        format!("a conditional reference to {resource_type} matches nothing; one match is needed");
    Failure::new(
        Category::PreconditionFailed,
        "E-WRITE-4",
        IssueCode::NotFound,
        text,
    )
}

fn several_targets(resource_type: &str) -> Failure {
    let text = format!(
        "a conditional reference to {resource_type} matches several resources; one match is needed"
    );
    Failure::new(
        Category::PreconditionFailed,
        "E-WRITE-5",
        IssueCode::MultipleMatches,
        text,
    )
}
