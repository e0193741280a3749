//! A file of an export, made while it is fetched: straight from the store, as the resources stood
//! when the export was asked for. Nothing lies on disk in clear text, and no more than one piece in
//! memory.

use super::rids::Rids;
use super::{FileKind, Job, JobOrder, file_key, import, key_of, snapshots, unknown};
use crate::Repository;
use fhir_mapping::model::{Json, Limits, format, parse};
use fhir_mapping::subset::{Subset, subset};
use gateway_ground::failure::{Category, Failure};
use store::{Rid, Seq, StoredVersion, Table, View};
use uuid::Uuid;

/// Resources read with one short snapshot, and bytes after which a piece ends.
const STEP: usize = 256;
pub const PIECE_BYTES: usize = 256 << 10;

/// NDJSON of one file in pieces of whole lines: each is `PIECE_BYTES` and one line at most. Making
/// one is CPU bound: for a blocking thread.
pub struct FilePieces {
    repository: Repository,
    lines: Lines,
}

enum Lines {
    Resources {
        rids: Rids,
        seq: Seq,
        subset: Option<Subset>,
    },
    Deletions {
        rids: Rids,
        seq: Seq,
    },
    /// Kept as they are.
    Whole(Option<Vec<u8>>),
    /// Why lines of an import were refused.
    Reasons(import::Reasons),
}

impl Repository {
    /// A file of a job of this owner. 404 for everything else.
    pub fn job_file(&self, id: &str, number: u32, owner: &str) -> Result<FilePieces, Failure> {
        let job = self.job(id, owner)?;
        let id = key_of(id)?;
        let lines = match &job.order {
            JobOrder::Import(_) => Lines::Reasons(import::Reasons::of(&id, number)),
            JobOrder::Export(order) => {
                let elements = &order.elements;
                let subset = (!elements.is_empty()).then(|| Subset::Elements(elements.clone()));
                self.listed((&id, number), &job, (Seq(order.seq), subset))?
            }
        };
        Ok(FilePieces {
            repository: self.clone(),
            lines,
        })
    }

    fn listed(
        &self,
        (id, number): (&Uuid, u32),
        job: &Job,
        (seq, subset): (Seq, Option<Subset>),
    ) -> Result<Lines, Failure> {
        let key = file_key(id, number);
        let list = self.store().snapshot()?.view().row(Table::Jobs, &key)?;
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let (Some(file), Some(list)) = (job.files.get(place), list) else {
            return Err(unknown());
        };
        Ok(match file.kind {
            FileKind::Output => Lines::Resources {
                rids: Rids::of(list),
                seq,
                subset,
            },
            FileKind::Deleted => Lines::Deletions {
                rids: Rids::of(list),
                seq,
            },
            FileKind::Error => Lines::Whole(Some(list)),
        })
    }
}

impl Iterator for FilePieces {
    type Item = Result<Vec<u8>, Failure>;

    fn next(&mut self) -> Option<Result<Vec<u8>, Failure>> {
        let repository = &self.repository;
        match &mut self.lines {
            Lines::Whole(text) => text.take().map(Ok),
            Lines::Reasons(reasons) => reasons.next(repository).transpose(),
            Lines::Deletions { rids, seq } => piece(repository, rids, |view, rid, out| {
                deletion(view, (rid, *seq), out)
            }),
            Lines::Resources { rids, seq, subset } => piece(repository, rids, |view, rid, out| {
                // Purged meanwhile: nothing of it may be told any more.
                let Some((stored, _)) = snapshots::at(view, rid, *seq)? else {
                    return Ok(());
                };
                match subset {
                    None => out.extend(&stored.body),
                    Some(how) => out.extend(lessened(&stored, how)?),
                }
                out.push(b'\n');
                Ok(())
            }),
        }
    }
}

/// The next lines; `None` at the end.
fn piece(
    repository: &Repository,
    rids: &mut Rids,
    mut add: impl FnMut(&View<'_>, Rid, &mut Vec<u8>) -> Result<(), Failure>,
) -> Option<Result<Vec<u8>, Failure>> {
    let mut out = Vec::new();
    loop {
        let snapshot = match repository.store().snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return Some(Err(error.into())),
        };
        let view = snapshot.view();
        for _ in 0..STEP {
            match rids.next().map(|rid| add(&view, rid, &mut out)) {
                None => return (!out.is_empty()).then_some(Ok(out)),
                Some(Err(failure)) => return Some(Err(failure)),
                Some(Ok(())) if out.len() >= PIECE_BYTES => return Some(Ok(out)),
                Some(Ok(())) => {}
            }
        }
        if !out.is_empty() {
            return Some(Ok(out));
        }
    }
}

/// A transaction Bundle that deletes it, as the guide wants deletions told.
fn deletion(view: &View<'_>, (rid, seq): (Rid, Seq), out: &mut Vec<u8>) -> Result<(), Failure> {
    let found = snapshots::stand(view, rid, seq)?;
    let Some((stored, _)) = found.filter(|(stored, _)| stored.deleted) else {
        return Ok(());
    };
    let url = std::format!("{}/{}", stored.key.resource_type, stored.key.id);
    let request = Json::object([("method", "DELETE".into()), ("url", url.into())]);
    let bundle = Json::object([
        ("resourceType", "Bundle".into()),
        ("type", "transaction".into()),
        ("entry", Json::array([Json::object([("request", request)])])),
    ]);
    out.extend(format(&bundle).into_bytes());
    out.push(b'\n');
    Ok(())
}

fn lessened(stored: &StoredVersion, how: &Subset) -> Result<Vec<u8>, Failure> {
    let tree = parse(&stored.body, Limits::default());
    let tree = tree.map_err(|issue| Failure::of(Category::Fault, vec![issue]))?;
    Ok(format(&subset(&tree, how)).into_bytes())
}
