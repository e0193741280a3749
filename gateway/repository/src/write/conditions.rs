//! What a transaction's writes depend on: the searches of conditional writes, what patches start
//! from, conditional references. Resolved twice with one code: before the transaction, to prepare
//! content away from the writer thread, and inside it, where the answer counts.

use super::super::search::Finder;
use super::asked::{Transaction, Which, Write};
use super::outlook::Outlook;
use super::pool::{Pending, Pool};
use super::resolution::{Base, Resolution};
use super::{both, references, same_key};
use fhir_mapping::model::IssueCode;
use fhir_mapping::search::{Asking, Query, Zone, extract};
use gateway_ground::failure::{Category, Failure};
use std::collections::{BTreeMap, HashMap, HashSet};
use store::{ResourceKey, View};

/// A failure with the index of the write that it is about.
pub(super) type At = (usize, Failure);

/// Of more resources that meet the criteria of a creation, none is looked for another maker.
const RIVALS_MAX: usize = 1_000;

/// The questions, parsed.
pub(super) struct Conditions {
    /// A single write: nothing else refers to the id chosen for it.
    is_lone: bool,
    questions: Vec<Question>,
    /// Patches by id: they start from what is stored.
    patches: Vec<(usize, ResourceKey)>,
    references: Vec<ConditionalReference>,
    /// Keys that the transaction writes, with the index of the write.
    written: Vec<(ResourceKey, usize)>,
    /// Keys that it deletes, before all else.
    deleted: HashSet<ResourceKey>,
    /// What it writes of the types that conditions ask for.
    pending: Pool,
}

/// A conditional write: which resources does it mean?
struct Question {
    index: usize,
    query: Query,
    asker: Asker,
}

enum Asker {
    Create,
    /// With the id in its content, if that has one.
    Update(Option<String>),
    Patch,
    /// Takes several, up to this many.
    Delete(usize),
}

struct ConditionalReference {
    index: usize,
    text: String,
    resource_type: String,
    query: Query,
}

impl Conditions {
    pub(super) fn of(transaction: &Transaction, asking: &Asking) -> Result<Conditions, At> {
        let mut conditions = Conditions {
            is_lone: transaction.writes.len() == 1,
            questions: Vec::new(),
            patches: Vec::new(),
            references: Vec::new(),
            written: Vec::new(),
            deleted: HashSet::new(),
            pending: Pool::default(),
        };
        for (index, write) in transaction.writes.iter().enumerate() {
            conditions.note(index, write);
        }
        if transaction.resolve_conditional_references {
            conditions.references = conditional_references(transaction, asking)?;
        }
        if !conditions.is_lone {
            conditions.pending = conditions.pending(transaction, asking.zone());
        }
        Ok(conditions)
    }

    fn note(&mut self, index: usize, write: &Write) {
        let mut ask = |query: &Query, asker: Asker| {
            self.questions.push(Question {
                index,
                query: query.clone(),
                asker,
            });
        };
        match write {
            Write::Create { if_none_exist, .. } => {
                if let Some(query) = if_none_exist {
                    ask(query, Asker::Create);
                }
            }
            Write::Update { .. } => self.written.extend(write.key().map(|key| (key, index))),
            Write::UpdateWhere {
                id,
                is_id_given,
                query,
                ..
            } => ask(query, Asker::Update(is_id_given.then(|| id.clone()))),
            Write::Delete { key, .. } => {
                self.written.push((key.clone(), index));
                self.deleted.insert(key.clone());
            }
            Write::DeleteWhere { query, most, .. } => ask(query, Asker::Delete(*most)),
            Write::Patch { which, .. } => match which {
                Which::Key(key) => {
                    self.written.push((key.clone(), index));
                    self.patches.push((index, key.clone()));
                }
                Which::Where { query, .. } => ask(query, Asker::Patch),
            },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.questions.is_empty() && self.patches.is_empty() && self.references.is_empty()
    }

    /// Must content be prepared anew when the answers differ? Not for a lone conditional create or
    /// deletion, whose content does not depend on them.
    pub(super) fn is_changed(&self, expected: &Resolution, found: &Resolution) -> bool {
        let asks_for_content =
            |question: &Question| matches!(question.asker, Asker::Update(_) | Asker::Patch);
        let is_free = self.is_lone && !self.questions.iter().any(asks_for_content);
        expected.references != found.references
            || expected.bases != found.bases
            || (!is_free && expected.existing != found.existing)
    }

    /// Answers from the state in `view` and from what the transaction itself writes.
    pub(super) fn resolve(
        &self,
        view: &View<'_>,
        transaction: &Transaction,
        zone: &Zone,
    ) -> Result<Resolution, At> {
        let mut resolution = Resolution::default();
        let mut deleted = self.deleted.clone();
        let (first, then): (Vec<&Question>, Vec<&Question>) = self
            .questions
            .iter()
            .partition(|question| matches!(question.asker, Asker::Delete(_)));
        let finder = Finder::new((*view, zone), self.questions.len() + self.references.len());
        for question in first.into_iter().chain(then) {
            let found = question.found(&finder, &deleted);
            let found = found.map_err(|failure| (question.index, failure))?;
            if matches!(question.asker, Asker::Delete(_)) {
                deleted.extend(found.iter().cloned());
            }
            if !found.is_empty() {
                resolution.existing.insert(question.index, found);
            }
        }
        self.check_rivals(&resolution)?;
        let written = self.written(&resolution)?;
        for (index, key) in self.patched(&resolution) {
            let base = Base::read(view, key, transaction.writes.get(index));
            let base = base.map_err(|failure| (index, failure))?;
            resolution.bases.insert(index, base);
        }
        for reference in self.references.iter().filter(|r| r.query.is_own()) {
            let target = self.target(reference, &finder, (&resolution, &written))?;
            resolution.refer(&reference.text, &target);
        }
        self.resolve_far(view, (transaction, zone), &mut resolution)?;
        Ok(resolution)
    }

    /// References whose criteria look at other resources, and creations with such criteria, are
    /// asked of the state that the transaction will leave: it may write those resources itself.
    fn resolve_far(
        &self,
        view: &View<'_>,
        (transaction, zone): (&Transaction, &Zone),
        resolution: &mut Resolution,
    ) -> Result<(), At> {
        let references: Vec<&ConditionalReference> = self
            .references
            .iter()
            .filter(|reference| !reference.query.is_own())
            .collect();
        if !references.is_empty() {
            let outlook = Outlook::of(view, (transaction, zone), resolution)?;
            let finder = Finder::after((*view, zone), &outlook.pending, references.len());
            for reference in references {
                let found = finder.keys(&reference.query, 2);
                let found = found.map_err(|failure| (reference.index, failure))?;
                let target = reference.only(found.into_iter())?;
                resolution.refer(&reference.text, &target);
            }
        }
        let questions: Vec<&Question> = self
            .questions
            .iter()
            .filter(|question| question.may_make(resolution) && !question.query.is_own())
            .collect();
        if self.is_lone || questions.is_empty() {
            return Ok(());
        }
        let outlook = Outlook::of(view, (transaction, zone), resolution)?;
        let finder = Finder::after((*view, zone), &outlook.pending, questions.len());
        for question in questions {
            let found = finder.keys(&question.query, RIVALS_MAX);
            let found = found.map_err(|failure| (question.index, failure))?;
            let maker = |key: &ResourceKey| {
                let index = outlook.makers.get(key)?;
                (*index != question.index).then_some((*index, key.clone()))
            };
            if let Some((rival, key)) = found.iter().find_map(maker) {
                return Err((question.index, rivals(&key, rival, question.index)));
            }
        }
        Ok(())
    }

    /// Do other resources decide some of the conditions? They may take long to resolve.
    pub(super) fn reach_far(&self) -> bool {
        let questions = self.questions.iter().map(|question| &question.query);
        let references = self.references.iter().map(|reference| &reference.query);
        !questions.chain(references).all(Query::is_own)
    }

    /// Every patch with its resource.
    fn patched(&self, resolution: &Resolution) -> Vec<(usize, ResourceKey)> {
        let asked = self.questions.iter().filter_map(|question| {
            let found = resolution.existing.get(&question.index)?.first()?;
            matches!(question.asker, Asker::Patch).then(|| (question.index, found.clone()))
        });
        self.patches.iter().cloned().chain(asked).collect()
    }

    /// Keys that the transaction changes; refused when one is changed twice.
    fn written(&self, resolution: &Resolution) -> Result<HashSet<ResourceKey>, At> {
        let asked = self.questions.iter().filter_map(|question| {
            let found = resolution.existing.get(&question.index)?;
            let is_write = !matches!(question.asker, Asker::Create);
            is_write.then(|| found.iter().map(|key| (key.clone(), question.index)))
        });
        let mut seen = HashMap::new();
        for (key, index) in self.written.iter().cloned().chain(asked.flatten()) {
            if let Some(first) = seen.insert(key.clone(), index) {
                return Err((index, same_key(&key, first, index)));
            }
        }
        Ok(seen.into_keys().collect())
    }

    /// A conditional write that finds nothing stored, but what another entry of the same transaction
    /// is about to make, would make it twice.
    fn check_rivals(&self, resolution: &Resolution) -> Result<(), At> {
        for question in &self.questions {
            if !question.may_make(resolution) {
                continue;
            }
            let is_rival = |pending: &&Pending| {
                pending.index != question.index && !resolution.existing.contains_key(&pending.index)
            };
            let mut matching = self.pending.matching(&question.query).into_iter();
            if let Some(rival) = matching.find(is_rival) {
                let (first, second) = (rival.index, question.index);
                return Err((second, rivals(&rival.key, first, second)));
            }
        }
        Ok(())
    }

    fn target(
        &self,
        reference: &ConditionalReference,
        finder: &Finder<'_>,
        (resolution, written): (&Resolution, &HashSet<ResourceKey>),
    ) -> Result<ResourceKey, At> {
        let patched: HashSet<&ResourceKey> =
            resolution.bases.values().map(|base| &base.key).collect();
        let is_replaced = |key: &ResourceKey| written.contains(key) && !patched.contains(key);
        let limit = written.len().saturating_add(2);
        let stored = finder
            .keys(&reference.query, limit)
            .map_err(|failure| (reference.index, failure))?;
        let stored = stored.into_iter().filter(|key| !is_replaced(key));
        let pending = self.pending.matching(&reference.query).into_iter();
        let pending = pending.filter_map(|pending| {
            let existing = resolution.existing.get(&pending.index);
            match existing.and_then(|found| found.first()) {
                None => Some(pending.key.clone()),
                Some(found) if written.contains(found) => Some(found.clone()),
                Some(_created_before) => None,
            }
        });
        reference.only(stored.chain(pending))
    }

    fn pending(&self, transaction: &Transaction, zone: &Zone) -> Pool {
        let asked = self.references.iter().map(|r| r.resource_type.as_str());
        let makers = self
            .questions
            .iter()
            .filter(|question| matches!(question.asker, Asker::Create | Asker::Update(_)));
        let makers = makers.filter_map(|question| {
            let write = transaction.writes.get(question.index)?;
            write.resource()?.resource_type()
        });
        let types: HashSet<&str> = asked.chain(makers).collect();
        let writes = transaction.writes.iter().enumerate();
        let contents =
            writes.filter_map(|(index, write)| Some((index, write.key()?, write.resource()?)));
        let mut pool = Pool::default();
        for (index, key, resource) in contents {
            if types.contains(key.resource_type.as_str()) {
                pool.add((index, key), extract(resource, zone));
            }
        }
        pool
    }
}

impl ConditionalReference {
    /// The one resource that it means.
    fn only(&self, mut found: impl Iterator<Item = ResourceKey>) -> Result<ResourceKey, At> {
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err((self.index, no_target(&self.resource_type))),
            (Some(_), Some(_)) => Err((self.index, several_targets(&self.resource_type))),
        }
    }
}

impl Question {
    /// Will it make a resource, because none was found?
    fn may_make(&self, resolution: &Resolution) -> bool {
        matches!(self.asker, Asker::Create | Asker::Update(_))
            && !resolution.existing.contains_key(&self.index)
    }

    /// What is stored and matches, as many as the asker may mean.
    fn found(
        &self,
        finder: &Finder<'_>,
        deleted: &HashSet<ResourceKey>,
    ) -> Result<Vec<ResourceKey>, Failure> {
        let most = match self.asker {
            Asker::Delete(most) => most,
            _ => 1,
        };
        let limit = most.saturating_add(1).saturating_add(deleted.len());
        let mut found = finder.keys(&self.query, limit)?;
        found.retain(|key| !deleted.contains(key));
        match (&self.asker, found.first()) {
            _ if found.len() > most => Err(self.several()),
            (Asker::Update(Some(given)), Some(one)) if one.id != *given => Err(other_id(one)),
            (Asker::Patch, None) => Err(nothing_to_patch()),
            _ => Ok(found),
        }
    }

    fn several(&self) -> Failure {
        let text = match self.asker {
            Asker::Create => {
                "If-None-Exist matches several resources; make the criteria name one".to_owned()
            }
            Asker::Delete(most) if most > 1 => format!(
                "the criteria match more than {most} resources, the most that are deleted at once \
                 here; nothing was deleted"
            ),
            _ => "the criteria match several resources; make them name one".to_owned(),
        };
        Failure::new(
            Category::PreconditionFailed,
            "E-WRITE-3",
            IssueCode::MultipleMatches,
            text,
        )
    }
}

fn conditional_references(
    transaction: &Transaction,
    asking: &Asking,
) -> Result<Vec<ConditionalReference>, At> {
    let mut by_text = BTreeMap::new();
    for (index, write) in transaction.writes.iter().enumerate() {
        let mut refused = None;
        write.visit_trees(&mut |tree| {
            for (text, resource_type, query) in references::conditional(tree) {
                if by_text.contains_key(text) {
                    continue;
                }
                match parse_query(resource_type, query, asking) {
                    Ok(query) => drop(by_text.insert(
                        text.to_owned(),
                        ConditionalReference {
                            index,
                            text: text.to_owned(),
                            resource_type: resource_type.to_owned(),
                            query,
                        },
                    )),
                    Err(failure) => refused = refused.take().or(Some((index, failure))),
                }
            }
        });
        if let Some(refused) = refused {
            return Err(refused);
        }
    }
    Ok(by_text.into_values().collect())
}

/// Strict: a criterion that is not understood must not widen the match.
fn parse_query(resource_type: &str, text: &str, asking: &Asking) -> Result<Query, Failure> {
    let pairs: Vec<(String, String)> = text
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(pair)
        .collect();
    let query = Query::parse_with(resource_type, &pairs, asking)
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

fn rivals(key: &ResourceKey, first: usize, second: usize) -> Failure {
    let text = format!(
        "two entries would each make the {} that the criteria of one of them name; nothing was written",
        key.resource_type
    );
    both((first, second), ("E-WRITE-12", IssueCode::Duplicate, text))
}

fn other_id(found: &ResourceKey) -> Failure {
    let text = "the criteria match a resource with another id than the content's";
    Failure::new(Category::Incorrect, "E-WRITE-13", IssueCode::Value, text)
        .at(&format!("{}.id", found.resource_type))
}

fn nothing_to_patch() -> Failure {
    let text = "the criteria match no resource to patch";
    Failure::new(Category::NotFound, "E-WRITE-14", IssueCode::NotFound, text)
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
