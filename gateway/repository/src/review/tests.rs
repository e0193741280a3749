//! What targets send, what people decide, and what is then readable: on a store of its own.

use super::super::{Actor, Applied, Incoming, Repository, Transaction, Write};
use super::*;
use crate::fresh;
use fhir_mapping::conflict::{Decision, Pick};
use fhir_mapping::model::format;
use fhir_mapping::validate::structure;
use gateway_ground::clock::Clock;
use std::time::Duration;
use store::{Origin, OriginKind, Table};

/// Everything that stood in force one after the other, and the versions beside it.
struct Site {
    repository: Repository,
    _folder: tempfile::TempDir,
}

fn json(text: &str) -> Json {
    parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap()
}

fn order(status: &str, dose: &str) -> Json {
    json(&std::format!(
        "{{'resourceType':'MedicationRequest','id':'m','status':'{status}','intent':'order',\
         'medicationCodeableConcept':{{'text':'X'}},'subject':{{'reference':'Patient/p'}},\
         'dosageInstruction':[{{'text':'{dose}'}}]}}"
    ))
}

fn key() -> ResourceKey {
    ResourceKey {
        resource_type: "MedicationRequest".to_owned(),
        id: "m".to_owned(),
    }
}

fn actor(kind: OriginKind) -> Actor {
    Actor {
        name: "amina".to_owned(),
        origin: Origin { kind, number: 0 },
    }
}

impl Site {
    fn new() -> Site {
        let (repository, _folder) = fresh::repository(Clock::driven(1_700_000_000_000));
        Site {
            repository,
            _folder,
        }
    }

    async fn put(&self, resource: &Json) -> VersionId {
        self.repository.clock().advance(Duration::from_secs(1));
        let writes = vec![Write::Update {
            id: resource.id().unwrap().to_owned(),
            resource: resource.clone(),
            if_match: None,
        }];
        self.write(writes).await
    }

    async fn delete(&self) -> VersionId {
        self.write(vec![Write::Delete {
            key: key(),
            if_match: None,
        }])
        .await
    }

    async fn write(&self, writes: Vec<Write>) -> VersionId {
        let transaction = Transaction {
            actor: actor(OriginKind::Client),
            writes,
            rows: Vec::new(),
            resolve_conditional_references: false,
        };
        self.repository.write(transaction).await.unwrap().0[0].version
    }

    async fn pull(&self, resource: Option<Json>, base: Option<VersionId>) -> Applied {
        self.repository.clock().advance(Duration::from_secs(1));
        let incoming = Incoming {
            target: 1,
            life: 0,
            target_name: "national".to_owned(),
            key: key(),
            resource,
            base,
            hlc: self.repository.clock().next_hlc(),
            rows: Vec::new(),
            shadow_row: None,
            remote_version: "1".to_owned(),
        };
        self.repository.apply(incoming).await.unwrap()
    }

    /// The conflict that most tests start from: 500 at first, 250 here, 1000 there.
    async fn asked(&self) -> String {
        let base = self.put(&order("active", "500")).await;
        self.put(&order("active", "250")).await;
        match self.pull(Some(order("active", "1000")), Some(base)).await {
            Applied::Asked { task, .. } => task,
            other => panic!("{other:?}"),
        }
    }

    async fn decide(
        &self,
        task: &str,
        decision: Decision,
        version: u64,
    ) -> Result<VersionId, Failure> {
        let decision = ReviewDecision {
            decision,
            rationale: "called the clinic".to_owned(),
            if_match: VersionId(version),
        };
        self.repository
            .decide(&actor(OriginKind::Reviewer), task, decision)
            .await
    }

    fn head(&self) -> Json {
        let stored = self.repository.read(&key()).unwrap();
        resource_of(&stored).unwrap().unwrap()
    }

    /// One line a version, oldest first: number, head or aside, status and dose, tags.
    fn history(&self) -> String {
        let page = self.repository.history(&key(), None, 100).unwrap();
        let mut lines: Vec<String> = page.versions.iter().map(|v| line(&v.stored)).collect();
        lines.reverse();
        lines.join("\n")
    }

    fn task(&self, id: &str) -> Json {
        let key = ResourceKey {
            resource_type: "Task".to_owned(),
            id: id.to_owned(),
        };
        let stored = self.repository.read(&key).unwrap();
        let task = resource_of(&stored).unwrap().unwrap();
        assert_eq!(structure(&task), []);
        task
    }

    fn open_rows(&self) -> usize {
        let snapshot = self.repository.store().snapshot().unwrap();
        snapshot
            .view()
            .count_rows(Table::Reviews, &[], 100)
            .unwrap()
    }
}

fn line(stored: &store::StoredVersion) -> String {
    let place = if stored.was_head { "head" } else { "aside" };
    let what = resource_of(stored)
        .unwrap()
        .map_or("deleted".to_owned(), |resource| {
            assert_eq!(structure(&resource), []);
            let pending = untagged(&resource) != resource;
            let mark = if pending { " pending" } else { "" };
            let status = resource.str_at(&["status"]).unwrap();
            let dose = resource.str_at(&["dosageInstruction", "text"]).unwrap();
            std::format!("{status} {dose}{mark}")
        });
    std::format!(
        "{} {place} {:?} {what}",
        stored.version.0,
        stored.origin.kind
    )
}

#[tokio::test]
async fn t19_two_doses_wait_for_a_person_and_both_are_kept() {
    let site = Site::new();
    let task = site.asked().await;
    insta::assert_snapshot!(site.history(), @r"
    1 head Client active 500
    2 head Client active 250
    3 aside Target active 1000
    4 head Target active 250 pending
    ");
    let review = site.repository.review(&task).unwrap();
    assert!(review.is_open);
    assert_eq!(
        review.conflicts[0].path,
        "MedicationRequest.dosageInstruction"
    );
    assert_eq!(
        review.base.unwrap().resource,
        Some(untagged(&site.stored(1)))
    );
    assert_eq!(site.task(&task).str_at(&["status"]), Some("requested"));
    assert_eq!(site.task(&task).str_at(&["priority"]), Some("asap"));
    let version = site.decide(&task, Decision::Incoming, 1).await.unwrap();
    assert_eq!(version, VersionId(5));
    insta::assert_snapshot!(site.history(), @r"
    1 head Client active 500
    2 head Client active 250
    3 aside Target active 1000
    4 head Target active 250 pending
    5 head Reviewer active 1000
    ");
    let ended = site.task(&task);
    assert_eq!(ended.str_at(&["status"]), Some("completed"));
    assert_eq!(site.open_rows(), 0);
    let review = site.repository.review(&task).unwrap();
    assert!(!review.is_open);
    let ended = review.ended.unwrap();
    assert_eq!(
        (ended.choice.as_str(), ended.reviewer.as_str()),
        ("incoming", "amina")
    );
    assert_eq!(ended.result, "MedicationRequest/m/_history/5");
    let local = review.local.resource.unwrap();
    assert_eq!(local.str_at(&["dosageInstruction", "text"]), Some("250"));
}

impl Site {
    fn stored(&self, version: u64) -> Json {
        let stored = self.repository.vread(&key(), VersionId(version)).unwrap();
        resource_of(&stored).unwrap().unwrap()
    }
}

#[tokio::test]
async fn t69_the_second_reviewer_is_told_the_first_decision() {
    let site = Site::new();
    let task = site.asked().await;
    site.decide(&task, Decision::Local, 1).await.unwrap();
    for version in [1, 2] {
        let failure = site
            .decide(&task, Decision::Incoming, version)
            .await
            .unwrap_err();
        assert_eq!(failure.category, Category::PreconditionFailed);
        assert!(
            failure.issues[0]
                .text
                .contains("by amina (local, MedicationRequest/m/_history/5)")
        );
    }
    assert_eq!(
        site.head().str_at(&["dosageInstruction", "text"]),
        Some("250")
    );
}

#[tokio::test]
async fn t73_an_unsound_decision_leaves_the_review_open() {
    let site = Site::new();
    let task = site.asked().await;
    let path = "MedicationRequest.dosageInstruction".to_owned();
    let other_id = json("{'resourceType':'MedicationRequest','id':'other','status':'active'}");
    let mut invalid = order("active", "1");
    invalid
        .as_object_mut()
        .unwrap()
        .set("status", "nonsense".into());
    let cases = [
        Decision::Picks(Vec::new()),
        Decision::Picks(vec![("MedicationRequest.status".to_owned(), Pick::Local)]),
        Decision::Picks(vec![
            (path.clone(), Pick::Local),
            (path.clone(), Pick::Incoming),
        ]),
        Decision::Edited(other_id),
        Decision::Edited(invalid),
    ];
    for decision in cases {
        let failure = site.decide(&task, decision.clone(), 1).await.unwrap_err();
        assert_eq!(failure.category, Category::Unprocessable, "{decision:?}");
    }
    assert!(site.repository.review(&task).unwrap().is_open);
    let picks = Decision::Picks(vec![(path, Pick::Incoming)]);
    site.decide(&task, picks, 1).await.unwrap();
    assert_eq!(format(&untagged(&site.head())), format(&site.head()));
    assert_eq!(
        site.head().str_at(&["dosageInstruction", "text"]),
        Some("1000")
    );
}

#[tokio::test]
async fn t11_a_deletion_against_a_change_waits_for_a_person() {
    let site = Site::new();
    let base = site.put(&order("active", "500")).await;
    site.delete().await;
    let Applied::Asked { task, .. } = site.pull(Some(order("active", "1")), Some(base)).await
    else {
        panic!("not asked");
    };
    insta::assert_snapshot!(site.history(), @r"
    1 head Client active 500
    2 head Client deleted
    3 aside Target active 1
    4 head Target active 1 pending
    ");
    let business = site.task(&task);
    assert_eq!(
        business.str_at(&["businessStatus", "coding", "code"]),
        Some("delete-update")
    );
    site.decide(&task, Decision::Local, 1).await.unwrap();
    assert_eq!(
        site.repository.read(&key()).unwrap_err().category,
        Category::Gone
    );

    let site = Site::new();
    let base = site.put(&order("active", "500")).await;
    site.put(&order("active", "250")).await;
    let Applied::Asked { task, .. } = site.pull(None, Some(base)).await else {
        panic!("not asked");
    };
    assert_eq!(
        site.head().str_at(&["dosageInstruction", "text"]),
        Some("250")
    );
    let pick = Decision::Picks(vec![("MedicationRequest".to_owned(), Pick::Local)]);
    site.decide(&task, pick, 1).await.unwrap();
    insta::assert_snapshot!(site.history(), @r"
    1 head Client active 500
    2 head Client active 250
    3 aside Target deleted
    4 head Target active 250 pending
    5 head Reviewer active 250
    ");
}

#[tokio::test]
async fn what_needs_no_person() {
    let site = Site::new();
    let base = site.put(&order("active", "500")).await;
    let unchanged = site.pull(Some(order("active", "500")), Some(base)).await;
    assert_eq!(unchanged, Applied::AlreadyHave);
    let taken = site.pull(Some(order("active", "250")), Some(base)).await;
    assert_eq!(taken, Applied::Taken(VersionId(2)));
    // T45: an older version come back
    let stale = site.pull(Some(order("active", "500")), Some(base)).await;
    assert_eq!(stale, Applied::AlreadyHave);
    let mut noted = order("active", "250");
    noted
        .as_object_mut()
        .unwrap()
        .set("note", json("[{'text':'here'}]"));
    site.put(&noted).await;
    let mut urgent = order("active", "250");
    urgent
        .as_object_mut()
        .unwrap()
        .set("priority", "urgent".into());
    let merged = site.pull(Some(urgent), Some(VersionId(2))).await;
    let expected = Applied::Merged {
        incoming: VersionId(4),
        head: VersionId(5),
    };
    assert_eq!(merged, expected);
    assert_eq!(site.head().str_at(&["note", "text"]), Some("here"));
    assert_eq!(site.head().str_at(&["priority"]), Some("urgent"));
    // T12: deleted on both sides
    site.delete().await;
    assert_eq!(
        site.pull(None, Some(VersionId(4))).await,
        Applied::AlreadyHave
    );
    assert_eq!(site.open_rows(), 0);
}

#[tokio::test]
async fn unknown_resources_are_taken_and_unknown_deletions_are_nothing() {
    let site = Site::new();
    assert_eq!(site.pull(None, None).await, Applied::AlreadyHave);
    let taken = site.pull(Some(order("active", "500")), None).await;
    assert_eq!(taken, Applied::Taken(VersionId(1)));
}

#[tokio::test]
async fn a_newer_change_renews_the_review() {
    let site = Site::new();
    let first = site.asked().await;
    // The same again is nothing new.
    let again = site
        .pull(Some(order("active", "1000")), Some(VersionId(3)))
        .await;
    assert_eq!(again, Applied::AlreadyHave);
    let renewed = site
        .pull(Some(order("active", "750")), Some(VersionId(3)))
        .await;
    let Applied::Asked { task, .. } = renewed else {
        panic!("{renewed:?}");
    };
    assert_ne!(task, first);
    assert_eq!(site.task(&first).str_at(&["status"]), Some("cancelled"));
    assert_eq!(site.open_rows(), 1);
    let failure = site.decide(&first, Decision::Local, 1).await.unwrap_err();
    assert_eq!(failure.category, Category::PreconditionFailed);
    let review = site.repository.review(&task).unwrap();
    assert_eq!(
        (review.base.unwrap().version, review.local.version),
        (VersionId(1), VersionId(2))
    );
    // The target comes round to our dose: nothing is left to ask.
    let settled = site
        .pull(Some(order("active", "250")), Some(VersionId(5)))
        .await;
    assert!(matches!(settled, Applied::Merged { .. }), "{settled:?}");
    assert_eq!(site.open_rows(), 0);
    assert_eq!(site.task(&task).str_at(&["status"]), Some("cancelled"));
    let (head, plain) = (site.head(), untagged(&site.head()));
    assert_eq!(head, plain);
}

#[tokio::test]
async fn a_write_during_the_review_extends_the_local_side() {
    let site = Site::new();
    let task = site.asked().await;
    let mut later = order("active", "250");
    later
        .as_object_mut()
        .unwrap()
        .set("note", json("[{'text':'seen again'}]"));
    site.put(&later).await;
    assert!(is_tagged(&site.head()));
    let review = site.repository.review(&task).unwrap();
    assert!(review.is_open);
    assert_eq!(review.conflicts.len(), 1);
    let path = review.conflicts[0].path.clone();
    site.decide(&task, Decision::Picks(vec![(path, Pick::Incoming)]), 1)
        .await
        .unwrap();
    assert_eq!(site.head().str_at(&["note", "text"]), Some("seen again"));
    assert_eq!(
        site.head().str_at(&["dosageInstruction", "text"]),
        Some("1000")
    );
    // A client that still holds the marked version cannot bring the mark back.
    site.put(&tagged(&later)).await;
    assert!(!is_tagged(&site.head()));
}

#[tokio::test]
async fn reviews_are_listed_by_urgency() {
    let site = Site::new();
    let task = site.asked().await;
    let reviews = site.repository.reviews(10).unwrap();
    let ids: Vec<&str> = reviews
        .iter()
        .map(|review| review.task_id.as_str())
        .collect();
    assert_eq!(ids, [task.as_str()]);
    assert!(site.repository.reviews(0).unwrap().is_empty());
    let unknown = site.repository.review("nothing").unwrap_err();
    assert_eq!(unknown.category, Category::NotFound);
}

#[tokio::test]
async fn every_step_is_audited_and_explained() {
    let site = Site::new();
    let task = site.asked().await;
    site.decide(&task, Decision::Local, 1).await.unwrap();
    let snapshot = site.repository.store().snapshot().unwrap();
    let entries = snapshot.view().audit(0, 100).unwrap();
    let read = |entry: &store::AuditEntry| {
        let entry = parse(&entry.body, Limits::default()).unwrap();
        let said = |name: &str| entry.str_at(&[name]).unwrap_or_default().to_owned();
        std::format!(
            "{} {} {}{}",
            said("who"),
            said("what"),
            said("key"),
            said("result")
        )
    };
    let lines: Vec<String> = entries.iter().map(read).collect();
    let lines = lines.join("\n").replace(&task, "TASK");
    let lines: Vec<&str> = lines
        .lines()
        .filter(|line| !line.contains("Provenance"))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    amina update MedicationRequest/m
    amina update MedicationRequest/m
    national apply MedicationRequest/m
    national apply MedicationRequest/m
    national apply Task/TASK
    conflict policy conflict-merge MedicationRequest/m/_history/4
    amina decide MedicationRequest/m
    amina decide Task/TASK
    amina conflict-decision MedicationRequest/m/_history/5
    ");
}
