//! Two patients become one: everything that refers to the source is made to refer to the target, in
//! one transaction, or for very many in several; the last of them closes the source and changes the
//! target. Cut off in the middle it can be asked again, and goes on where it stood.

use super::{Actor, Repository, Transaction, Write};
use fhir_mapping::model::{IssueCode, Json, Limits, Object, parse, walk_references_mut};
use gateway_ground::failure::{Category, Failure};
use std::collections::BTreeSet;
use store::{ResourceKey, Rid, Seq, StoredVersion, VersionId, View};

/// What is asked.
#[derive(Clone, Debug)]
pub struct MergeOrder {
    /// Ids of the patients.
    pub source: String,
    pub target: String,
    /// What the target is to be; else it gets the source's identifiers.
    pub result: Option<Json>,
    /// The target's version that the asker saw.
    pub if_match: Option<VersionId>,
}

/// What it came to.
#[derive(Clone, Debug)]
pub struct Merged {
    pub result: Json,
    /// How many resources referred to the source.
    pub referring: usize,
    /// How many commits it took; one means that nobody ever saw a part of it.
    pub transactions: usize,
}

/// Resources changed in one transaction: a merge of so many is all or nothing. Of more it is done in
/// several, the patients themselves in the last, and says so.
const TOGETHER_MAX: usize = 10_000;
/// Heads, or changes, looked at in one step.
const STEP: usize = 512;
/// Resources that refer to one patient at most.
const REFERRING_MAX: usize = 100_000;
/// How often a transaction is made anew because others changed one of its resources.
const ATTEMPTS_MAX: usize = 8;

impl Repository {
    /// What a merge would come to; nothing is written. CPU bound: for a blocking thread.
    pub fn preview_merge(&self, order: &MergeOrder) -> Result<Merged, Failure> {
        let both = self.both(order)?;
        Ok(Merged {
            result: result(&both, order)?,
            referring: self.referring(order)?.len(),
            transactions: 0,
        })
    }

    /// Merges. 412 when the target is of another version than the asker saw.
    pub async fn merge(&self, actor: &Actor, order: MergeOrder) -> Result<Merged, Failure> {
        let (mut moved, mut transactions) = (0, 1);
        for _ in 0..ATTEMPTS_MAX {
            result(&self.both(&order)?, &order)?;
            let seq = self.store().snapshot()?.view().last_seq()?;
            let (repository, asked) = (self.clone(), order.clone());
            let found = tokio::task::spawn_blocking(move || repository.referring(&asked));
            let mut waiting = found.await.map_err(|_panicked| stopped())??;
            while waiting.len() > TOGETHER_MAX {
                let some = waiting.split_off(waiting.len() - TOGETHER_MAX);
                let writes = self.redirected_aside(&some, &order).await?;
                match self.write_all(actor, writes).await {
                    Ok(()) => (moved, transactions) = (moved + some.len(), transactions + 1),
                    Err(failure) if failure.category == Category::PreconditionFailed => break,
                    Err(failure) => return Err(failure),
                }
            }
            if waiting.len() > TOGETHER_MAX {
                continue;
            }
            let mut writes = self.redirected_aside(&waiting, &order).await?;
            let both = self.both(&order)?;
            let merged = result(&both, &order)?;
            writes.extend(closing(&both, (merged.clone(), &order)));
            match self.write_all(actor, writes).await {
                Ok(()) => {
                    let late = self.redirect_late(actor, seq, &order).await?;
                    return Ok(Merged {
                        result: self.tree(&key(&order.target))?.1,
                        referring: moved + waiting.len() + late,
                        transactions,
                    });
                }
                // The asker's own If-Match is checked above, so others were quicker.
                Err(failure) if failure.category == Category::PreconditionFailed => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(too_contended())
    }

    /// What others wrote about the source while it was being merged; gives how many.
    async fn redirect_late(
        &self,
        actor: &Actor,
        seq: Seq,
        order: &MergeOrder,
    ) -> Result<usize, Failure> {
        let mut moved = 0;
        for _ in 0..ATTEMPTS_MAX {
            let late = self.referring_since(seq, order)?;
            if late.is_empty() {
                return Ok(moved);
            }
            let some = late.get(..TOGETHER_MAX).unwrap_or(&late);
            let writes = self.redirected_aside(some, order).await?;
            match self.write_all(actor, writes).await {
                Ok(()) => moved += some.len(),
                Err(failure) if failure.category == Category::PreconditionFailed => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(too_contended())
    }

    async fn write_all(&self, actor: &Actor, writes: Vec<Write>) -> Result<(), Failure> {
        let transaction = Transaction {
            actor: actor.clone(),
            writes,
            rows: Vec::new(),
            resolve_conditional_references: false,
        };
        let written = self.write(transaction).await;
        written.map(drop).map_err(|(_, failure)| failure)
    }

    fn both(&self, order: &MergeOrder) -> Result<Both, Failure> {
        if order.source == order.target {
            let text = "source and target are one patient";
            let code = IssueCode::Value;
            return Err(Failure::new(
                Category::Unprocessable,
                "E-MERGE-3",
                code,
                text,
            ));
        }
        let source = self.tree(&key(&order.source))?;
        let target = self.tree(&key(&order.target))?;
        match order.if_match {
            Some(expected) if expected != target.0 => {
                Err(super::plan::stale(expected, Some(target.0)))
            }
            _ => Ok(Both { source, target }),
        }
    }

    fn tree(&self, key: &ResourceKey) -> Result<(VersionId, Json), Failure> {
        let stored = self.read(key)?;
        Ok((stored.version, tree(&stored)?))
    }

    /// All that refer to the source, in whatever element, but the two patients themselves;
    /// ascending. Not every element is indexed, so every resource is looked at.
    fn referring(&self, order: &MergeOrder) -> Result<Vec<Rid>, Failure> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let snapshot = self.store().snapshot()?;
            let view = snapshot.view();
            let heads = view.scan_heads(after, STEP)?;
            let Some(last) = heads.last() else {
                return Ok(found);
            };
            after = Some(last.rid);
            for head in heads {
                if refers(&view, head.rid, order)? {
                    found.push(head.rid);
                }
            }
            if found.len() > REFERRING_MAX {
                return Err(too_many());
            }
        }
    }

    /// Those that came to refer to the source after `seq`.
    fn referring_since(&self, seq: Seq, order: &MergeOrder) -> Result<Vec<Rid>, Failure> {
        let snapshot = self.store().snapshot()?;
        let view = snapshot.view();
        let mut found = BTreeSet::new();
        let mut seq = seq;
        loop {
            let changes = view.changes(seq, STEP)?;
            let Some(last) = changes.last() else {
                return Ok(found.into_iter().collect());
            };
            seq = last.seq;
            for change in changes {
                if !found.contains(&change.rid) && refers(&view, change.rid, order)? {
                    found.insert(change.rid);
                }
            }
        }
    }

    /// `redirected` on a thread that may block.
    async fn redirected_aside(
        &self,
        rids: &[Rid],
        order: &MergeOrder,
    ) -> Result<Vec<Write>, Failure> {
        let (repository, rids, order) = (self.clone(), rids.to_vec(), order.clone());
        let made = tokio::task::spawn_blocking(move || repository.redirected(&rids, &order));
        made.await.map_err(|_panicked| stopped())?
    }

    /// The resources with their references redirected.
    fn redirected(&self, rids: &[Rid], order: &MergeOrder) -> Result<Vec<Write>, Failure> {
        let snapshot = self.store().snapshot()?;
        let view = snapshot.view();
        let (from, to) = (
            format!("Patient/{}", order.source),
            format!("Patient/{}", order.target),
        );
        let mut writes = Vec::with_capacity(rids.len());
        for rid in rids {
            let Some(stored) = head(&view, *rid)? else {
                continue;
            };
            let mut resource = tree(&stored)?;
            walk_references_mut(&mut resource, &mut |reference| {
                if reference.get("reference").and_then(Json::as_str) == Some(&from) {
                    reference.set("reference", to.as_str().into());
                }
            });
            writes.push(Write::Update {
                id: stored.key.id,
                resource,
                if_match: Some(stored.version),
            });
        }
        Ok(writes)
    }
}

struct Both {
    source: (VersionId, Json),
    target: (VersionId, Json),
}

/// The target as it will be.
fn result(both: &Both, order: &MergeOrder) -> Result<Json, Failure> {
    let is_merged = both.source.1.items("link").iter().any(|link| {
        let other = link.str_at(&["other", "reference"]);
        link.str_at(&["type"]) == Some("replaced-by")
            && other != Some(&format!("Patient/{}", order.target))
    });
    if is_merged {
        let text = "the source was merged into another patient already";
        let code = IssueCode::BusinessRule;
        return Err(Failure::new(
            Category::Unprocessable,
            "E-MERGE-4",
            code,
            text,
        ));
    }
    let mut result = match &order.result {
        Some(result) if result.id() == Some(&order.target) => result.clone(),
        Some(_) => {
            let text = "result-patient has the id of the target";
            let code = IssueCode::Value;
            let failure = Failure::new(Category::Unprocessable, "E-MERGE-5", code, text);
            return Err(failure.at("Patient.id"));
        }
        None => with_identifiers(both.target.1.clone(), both.source.1.items("identifier")),
    };
    link(&mut result, "replaces", &order.source);
    Ok(result)
}

/// Adds those that are not there, marked as old.
fn with_identifiers(mut target: Json, more: &[Json]) -> Json {
    let key = |item: &Json| {
        let text = |name| item.str_at(&[name]).unwrap_or_default().to_owned();
        (text("system"), text("value"))
    };
    let mut all = target.items("identifier").to_vec();
    for item in more {
        if all.iter().any(|known| key(known) == key(item)) {
            continue;
        }
        let mut item = item.clone();
        if let Some(object) = item.as_object_mut() {
            object.set("use", "old".into());
        }
        all.push(item);
    }
    if let Some(object) = target.as_object_mut().filter(|_| !all.is_empty()) {
        object.set("identifier", Json::Array(all));
    }
    target
}

/// Adds the link unless it is there.
fn link(patient: &mut Json, kind: &str, other: &str) {
    let reference = format!("Patient/{other}");
    let mut links = patient.items("link").to_vec();
    let is_there = links.iter().any(|link| {
        link.str_at(&["type"]) == Some(kind)
            && link.str_at(&["other", "reference"]) == Some(&reference)
    });
    if is_there {
        return;
    }
    let other = Json::object([("reference", reference.into())]);
    links.push(Json::object([("other", other), ("type", kind.into())]));
    if let Some(object) = patient.as_object_mut() {
        object.set("link", Json::Array(links));
    }
}

/// The last two writes: the target, and the source that is no longer in use.
fn closing(both: &Both, (result, order): (Json, &MergeOrder)) -> [Write; 2] {
    let mut source = both.source.1.clone();
    if let Some(object) = source.as_object_mut() {
        set_inactive(object);
    }
    link(&mut source, "replaced-by", &order.target);
    [
        Write::Update {
            id: order.target.clone(),
            resource: result,
            if_match: Some(both.target.0),
        },
        Write::Update {
            id: order.source.clone(),
            resource: source,
            if_match: Some(both.source.0),
        },
    ]
}

fn set_inactive(patient: &mut Object) {
    patient.set("active", false.into());
}

/// Stored JSON is compact, and a quote inside a text is escaped, so the member stands for itself.
fn refers(view: &View<'_>, rid: Rid, order: &MergeOrder) -> Result<bool, Failure> {
    let Some(stored) = head(view, rid)? else {
        return Ok(false);
    };
    let is_one_of_both = stored.key.resource_type == "Patient"
        && (stored.key.id == order.source || stored.key.id == order.target);
    let mark = format!("\"reference\":\"Patient/{}\"", order.source);
    let text = std::str::from_utf8(&stored.body);
    Ok(!is_one_of_both && text.is_ok_and(|text| text.contains(&mark)))
}

fn head(view: &View<'_>, rid: Rid) -> Result<Option<StoredVersion>, Failure> {
    match view.head_of(rid)?.filter(|head| !head.deleted) {
        Some(head) => Ok(view.version(rid, head.version)?),
        None => Ok(None),
    }
}

fn key(id: &str) -> ResourceKey {
    ResourceKey {
        resource_type: "Patient".to_owned(),
        id: id.to_owned(),
    }
}

fn tree(stored: &StoredVersion) -> Result<Json, Failure> {
    let tree = parse(&stored.body, Limits::default());
    tree.map_err(|issue| Failure::of(Category::Fault, vec![issue]))
}

fn too_many() -> Failure {
    let text = format!("more than {REFERRING_MAX} resources refer to the source");
    let code = IssueCode::TooCostly;
    Failure::new(Category::Unprocessable, "E-MERGE-6", code, text)
}

fn too_contended() -> Failure {
    let text = "others kept changing these records; ask again, it goes on where it stopped";
    let code = IssueCode::Throttled;
    Failure::new(Category::Busy, "E-MERGE-2", code, text)
}

fn stopped() -> Failure {
    let text = "looking for what refers to the source stopped unexpectedly; nothing was written";
    Failure::new(Category::Fault, "E-MERGE-7", IssueCode::Exception, text)
}
