//! Bringing in lines of NDJSON for an import job: a group of lines is one commit, a line that is
//! refused costs the others nothing, and how far each input came is kept beside the job, so that a
//! restart goes on there. Asked twice, nothing is written twice: a line is an update under its id.

use super::{job_key, read};
use crate::plan::commit_failure;
use crate::{Actor, Repository, Transaction, Write, WrittenKind};
use fhir_mapping::model::{Issue, IssueCode, Json, Limits, format, is_valid_id, parse};
use fhir_mapping::validate::is_resource_type;
use gateway_ground::failure::{Category, Failure, outcome};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use store::{Origin, OriginKind, ResourceKey, RowWrite, Table, View, WriteSet};
use uuid::Uuid;

/// What is imported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportOrder {
    pub inputs: Vec<ImportInput>,
    /// Lines of one commit.
    pub together: usize,
}

/// One file of NDJSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportInput {
    pub url: String,
    /// Every line must be of this type, when given.
    pub resource_type: Option<String>,
    /// The file must have this ETag, when given.
    pub etag: Option<String>,
}

/// How far an input came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImportMark {
    /// Lines that are done, rejected ones included.
    pub lines: u64,
    /// Resources that are in, by type; those that were here already and equal are counted too.
    pub taken: BTreeMap<String, u64>,
    pub rejected: u64,
    /// Written anew or changed.
    pub changed: u64,
    /// Nothing more comes of it.
    pub is_ended: bool,
}

/// A line with its number, from 1; `Err` when it could not be read.
pub type ImportLine = (u64, Result<Vec<u8>, Issue>);

/// Judges a resource as the site's door does.
pub type ImportCheck = Arc<dyn Fn(&Json) -> Result<(), Failure> + Send + Sync>;

/// Lines of one input that go in together.
pub struct ImportBatch {
    pub job: Uuid,
    /// Index of the input.
    pub input: u32,
    pub lines: Vec<ImportLine>,
    /// No lines follow.
    pub is_last: bool,
}

/// Rejected lines of one input whose reasons are kept; all are counted.
const REASONS_MAX: u64 = 10_000;
/// Refusals in one commit until its lines are tried one by one.
const TOGETHER_TRIES: usize = 8;
/// Names ids that are derived from lines.
const NAMESPACE: Uuid = Uuid::from_u128(0x2b6c_7f0e_51d3_4a3e_8a63_90be_6d1a_44c5);

impl Repository {
    /// The order and its actor; `None` when the job was cancelled or is no import.
    pub fn import_order(&self, id: &Uuid) -> Result<Option<(ImportOrder, Actor)>, Failure> {
        let job = read(&self.store().snapshot()?.view(), id)?;
        Ok(job.and_then(|job| {
            let actor = Actor {
                name: job.owner,
                origin: Origin {
                    kind: OriginKind::Client,
                    number: 0,
                },
            };
            match job.order {
                super::JobOrder::Import(order) => Some((order, actor)),
                super::JobOrder::Export(_) => None,
            }
        }))
    }

    /// How far an input came.
    pub fn import_mark(&self, id: &Uuid, input: u32) -> Result<ImportMark, Failure> {
        let value = self
            .store()
            .snapshot()?
            .view()
            .row(Table::Jobs, &mark_key(id, input))?;
        let mark = value.map(|value| serde_json::from_slice(&value));
        let mark = mark.transpose().map_err(|_unreadable| super::damaged())?;
        Ok(mark.unwrap_or_default())
    }

    /// How far all inputs of a job came.
    pub fn import_marks(&self, id: &str, order: &ImportOrder) -> Result<Vec<ImportMark>, Failure> {
        let id = super::key_of(id)?;
        let numbers = (0_u32..).zip(&order.inputs);
        numbers
            .map(|(number, _)| self.import_mark(&id, number))
            .collect()
    }

    /// Brings in the lines; gives the mark behind them, or `None` when the job was cancelled. Fails
    /// for faults of the site alone: then nothing of the group counts, and it can be tried again.
    pub async fn import_lines(
        &self,
        (actor, order): (&Actor, &ImportOrder),
        batch: ImportBatch,
        check: &ImportCheck,
    ) -> Result<Option<ImportMark>, Failure> {
        let ImportBatch {
            job, input, lines, ..
        } = batch;
        let place = usize::try_from(input).unwrap_or(usize::MAX);
        let source = order.inputs.get(place).ok_or_else(super::damaged)?.clone();
        let mut mark = self.import_mark(&job, input)?;
        mark.lines = lines.last().map_or(mark.lines, |(number, _)| *number);
        mark.is_ended = batch.is_last;
        let check = Arc::clone(check);
        let judged = tokio::task::spawn_blocking(move || judged(lines, &source, &check));
        let (writes, mut refused) = judged.await.map_err(|_panicked| stopped())?;
        for part in without_repeats(writes) {
            self.write_apart(actor, part, (&mut mark, &mut refused))
                .await?;
        }
        self.note_lines((job, input), mark, refused).await
    }

    /// Ends an input that cannot be read, with the reason; `false` when the job was cancelled.
    pub async fn end_import_input(
        &self,
        job: Uuid,
        input: u32,
        reason: String,
    ) -> Result<bool, Failure> {
        let mut mark = self.import_mark(&job, input)?;
        mark.is_ended = true;
        let issue = Issue::error("E-BULK-1", IssueCode::NotFound, "", reason);
        let refused = vec![(mark.lines, vec![issue])];
        let noted = self.note_lines((job, input), mark, refused).await?;
        Ok(noted.is_some())
    }

    /// Writes them together; those that are refused are taken out, and the others tried again.
    async fn write_apart(
        &self,
        actor: &Actor,
        mut part: Vec<Numbered>,
        (mark, refused): (&mut ImportMark, &mut Vec<Refused>),
    ) -> Result<(), Failure> {
        let mut tries = 0;
        while !part.is_empty() {
            let is_apart = tries >= TOGETHER_TRIES;
            let rest = match is_apart {
                true => part.split_off(1),
                false => Vec::new(),
            };
            match self.write_lines(actor, &part).await {
                Ok(changed) => {
                    mark.changed += changed;
                    for (_, write) in part {
                        let name = write.resource().and_then(Json::resource_type);
                        *mark.taken.entry(name.unwrap_or("").to_owned()).or_default() += 1;
                    }
                    part = rest;
                }
                Err((index, failure)) if index < part.len() => {
                    tries += 1;
                    let (number, _) = part.remove(index);
                    refused.push((number, failure.issues));
                    part.extend(rest);
                }
                Err((_, failure)) => return Err(failure),
            }
        }
        Ok(())
    }

    async fn write_lines(&self, actor: &Actor, part: &[Numbered]) -> Result<u64, (usize, Failure)> {
        let transaction = Transaction {
            actor: actor.clone(),
            writes: part.iter().map(|(_, write)| write.clone()).collect(),
            rows: Vec::new(),
            resolve_conditional_references: false,
        };
        let (written, _) = self.write(transaction).await?;
        let changed = written
            .iter()
            .filter(|one| one.kind != WrittenKind::Unchanged);
        Ok(u64::try_from(changed.count()).unwrap_or(u64::MAX))
    }

    async fn note_lines(
        &self,
        (job, input): (Uuid, u32),
        mut mark: ImportMark,
        mut refused: Vec<Refused>,
    ) -> Result<Option<ImportMark>, Failure> {
        let kept = REASONS_MAX.saturating_sub(mark.rejected);
        mark.rejected += u64::try_from(refused.len()).unwrap_or(u64::MAX);
        refused.sort_by_key(|(number, _)| *number);
        let first = refused.first().map(|(number, _)| *number);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        let text: String = refused.into_iter().take(kept).map(reason).collect();
        let plan = move |view: &View<'_>| {
            if view.row(Table::Jobs, &job_key(&job))?.is_none() {
                return Ok((WriteSet::default(), None));
            }
            let value = serde_json::to_vec(&mark).map_err(|_no_json| super::damaged())?;
            let put = |key, value| RowWrite {
                table: Table::Jobs,
                key,
                value: Some(value),
            };
            let mut rows = vec![put(mark_key(&job, input), value)];
            if let Some(first) = first.filter(|_| !text.is_empty()) {
                let mut key = reasons_prefix(&job, input);
                key.extend(first.to_be_bytes());
                rows.push(put(key, text.into_bytes()));
            }
            let set = WriteSet {
                rows,
                ..WriteSet::default()
            };
            Ok::<_, Failure>((set, Some(mark)))
        };
        let noted = self.submit(plan).await.map_err(commit_failure)?;
        Ok(noted.1)
    }
}

/// Why lines of an input were refused, as OperationOutcomes: one row after the other.
pub(super) struct Reasons {
    prefix: Vec<u8>,
    after: Option<Vec<u8>>,
}

impl Reasons {
    pub(super) fn of(job: &Uuid, input: u32) -> Reasons {
        Reasons {
            prefix: reasons_prefix(job, input),
            after: None,
        }
    }

    /// The lines of the next row; a row is of one group of lines.
    pub(super) fn next(&mut self, repository: &Repository) -> Result<Option<Vec<u8>>, Failure> {
        let snapshot = repository.store().snapshot()?;
        let view = snapshot.view();
        let mut rows = view.rows(Table::Jobs, &self.prefix, self.after.as_deref(), 1)?;
        Ok(rows.pop().map(|(key, text)| {
            self.after = Some(key);
            text
        }))
    }
}

type Numbered = (u64, Write);
type Refused = (u64, Vec<Issue>);

/// Lines as writes, and those that are none with the reasons. Blank lines are neither.
fn judged(
    lines: Vec<ImportLine>,
    source: &ImportInput,
    check: &ImportCheck,
) -> (Vec<Numbered>, Vec<Refused>) {
    let (mut writes, mut refused) = (Vec::with_capacity(lines.len()), Vec::new());
    for (number, line) in lines {
        let text = match line {
            Ok(text) if text.iter().all(u8::is_ascii_whitespace) => continue,
            Ok(text) => text,
            Err(issue) => {
                refused.push((number, vec![issue]));
                continue;
            }
        };
        match write_of(&text, (number, source), check) {
            Ok(write) => writes.push((number, write)),
            Err(issues) => refused.push((number, issues)),
        }
    }
    (writes, refused)
}

fn write_of(
    text: &[u8],
    (number, source): (u64, &ImportInput),
    check: &ImportCheck,
) -> Result<Write, Vec<Issue>> {
    let resource = parse(text, Limits::default()).map_err(|issue| vec![issue])?;
    let wrong =
        |path: &str, text: &str| vec![Issue::error("E-BULK-2", IssueCode::Value, path, text)];
    let name = resource.resource_type().unwrap_or_default();
    if !is_resource_type(name) {
        return Err(wrong("resourceType", "is no resource of R4"));
    }
    let expected = source.resource_type.as_deref();
    if expected.is_some_and(|expected| expected != name) {
        return Err(wrong("resourceType", "is of another type than its input"));
    }
    let id = match resource.id() {
        Some(id) if is_valid_id(id) => id.to_owned(),
        Some(_) => {
            let text = "an id has 1 to 64 letters, digits, - or .";
            return Err(wrong(&format!("{name}.id"), text));
        }
        None => derived_id(text, (number, source)),
    };
    check(&resource).map_err(|failure| failure.issues)?;
    Ok(Write::Update {
        id,
        resource,
        if_match: None,
    })
}

/// The same for a line each time it is imported: by its place, and by itself where many files have
/// the same place.
fn derived_id(text: &[u8], (number, source): (u64, &ImportInput)) -> String {
    let mut seed = format!("{} {number}", source.url).into_bytes();
    if source.url == super::UPLOAD_URL {
        seed.extend(text);
    }
    Uuid::new_v5(&NAMESPACE, &seed).to_string()
}

/// Parts in which no resource is written twice, in the order of the lines.
fn without_repeats(writes: Vec<Numbered>) -> Vec<Vec<Numbered>> {
    let mut parts: Vec<Vec<Numbered>> = Vec::new();
    let mut seen: HashSet<ResourceKey> = HashSet::new();
    for (number, write) in writes {
        let is_new = write.key().is_none_or(|key| seen.insert(key));
        match parts.last_mut() {
            Some(part) if is_new => part.push((number, write)),
            _ => {
                seen = write.key().into_iter().collect();
                parts.push(vec![(number, write)]);
            }
        }
    }
    parts
}

/// One line of a file of reasons.
fn reason((number, mut issues): Refused) -> String {
    for issue in &mut issues {
        issue.text = format!("line {number}: {}", issue.text);
    }
    format(&outcome(&issues)) + "\n"
}

pub(super) fn mark_key(job: &Uuid, input: u32) -> Vec<u8> {
    [b"p", job.as_bytes().as_slice(), &input.to_be_bytes()].concat()
}

fn reasons_prefix(job: &Uuid, input: u32) -> Vec<u8> {
    [b"e", job.as_bytes().as_slice(), &input.to_be_bytes()].concat()
}

fn stopped() -> Failure {
    let text = "judging the lines of an import stopped unexpectedly; none of them counts";
    Failure::new(Category::Fault, "E-BULK-3", IssueCode::Exception, text)
}
