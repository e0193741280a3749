//! The pages over a real store, from a conflict to its decision.

use super::*;
use gateway_ground::clock::Clock;
use gateway_repository::fresh;
use crate::auth::{Caller, Session};
use crate::tokens::Role;
use gateway_repository::{Actor, Applied, Incoming, Repository, Transaction, Write};
use fhir_mapping::model::Json;
use fhir_mapping::search::Zone;
use store::{Keys, OpenOptions, Origin, OriginKind, ResourceKey, Store};

struct Desk {
    surface: Surface,
    task: String,
    _folder: tempfile::TempDir,
}

fn json(text: &str) -> Json {
    parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap()
}

fn order(dose: &str) -> Json {
    json(&format!(
        "{{'resourceType':'MedicationRequest','id':'m','status':'active','intent':'order',\
         'medicationCodeableConcept':{{'text':'X'}},'subject':{{'reference':'Patient/p'}},\
         'dosageInstruction':[{{'text':'{dose}'}}]}}"
    ))
}

impl Desk {
    async fn open() -> Desk {
        let (repository, folder) = fresh::repository(Clock::driven(1_795_547_178_123));
        let patient = "{'resourceType':'Patient','id':'p','birthDate':'1990-01-01','name':\
            [{'family':'<script>alert(1)</script>','given':['Asha']}]}";
        put(&repository, json(patient)).await;
        put(&repository, order("500 mg")).await;
        put(&repository, order("250 mg")).await;
        let incoming = Incoming {
            target: 1,
            life: 0,
            target_name: "national".to_owned(),
            key: ResourceKey {
                resource_type: "MedicationRequest".to_owned(),
                id: "m".to_owned(),
            },
            resource: Some(order("1000 mg")),
            base: Some(VersionId(1)),
            hlc: repository.clock().next_hlc(),
            rows: Vec::new(),
            shadow_row: None,
            remote_version: "2".to_owned(),
        };
        let Applied::Asked { task, .. } = repository.apply(incoming).await.unwrap() else {
            panic!("not asked");
        };
        Desk {
            surface: Surface {
                repository,
                page_size: 50,
                page_size_max: 1000,
                bundle_entries_max: 1000,
                conditional_delete_max: 1,
                lanes: Default::default(),
                door: Default::default(),
            },
            task,
            _folder: folder,
        }
    }

    async fn ask(&self, method: Method, segments: &[&str], form: &[(&str, &str)]) -> (u16, String) {
        let pairs = form.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let request = PageRequest {
            method,
            segments: segments.iter().map(|s| (*s).to_owned()).collect(),
            query: Vec::new(),
            form: pairs.collect(),
            session: Session {
                caller: Caller {
                    name: "amina".to_owned(),
                    role: Role::Reviewer,
                    is_limited: true,
                },
                form_key: "secret-key".to_owned(),
            },
        };
        match answer(&self.surface, request).await {
            Ok(answer) => (answer.status, String::from_utf8(answer.body).unwrap()),
            Err(failure) => (failure.category.status(), String::new()),
        }
    }
}

async fn put(repository: &Repository, resource: Json) {
    let transaction = Transaction {
        actor: Actor {
            name: "emr".to_owned(),
            origin: Origin {
                kind: OriginKind::Client,
                number: 0,
            },
        },
        writes: vec![Write::Update {
            id: resource.id().unwrap().to_owned(),
            resource,
            if_match: None,
        }],
        rows: Vec::new(),
        resolve_conditional_references: false,
    };
    repository.write(transaction).await.unwrap();
}

const DOSE: &str = "pick:MedicationRequest.dosageInstruction";

#[tokio::test]
async fn a_person_sees_everything_and_nothing_becomes_markup() {
    let desk = Desk::open().await;
    let (status, list) = desk.ask(Method::GET, &[], &[]).await;
    assert_eq!(status, 200);
    let (status, sheet) = desk.ask(Method::GET, &[&desk.task], &[]).await;
    assert_eq!(status, 200);
    for page in [&list, &sheet] {
        assert!(!page.contains("<script>"));
        assert!(page.contains("Asha &lt;script&gt;"));
        assert!(page.contains("secret-key"));
        assert!(page.contains("dosage instruction"));
    }
    for text in ["500 mg", "250 mg", "1000 mg", "36 years", DOSE, "national"] {
        assert!(sheet.contains(text), "{text}");
    }
}

#[tokio::test]
async fn a_decision_needs_all_of_the_form() {
    let desk = Desk::open().await;
    let task = desk.task.as_str();
    let cases: [(&[(&str, &str)], u16, &str); 5] = [
        (&[], 400, "E-PAGE-7"),
        (&[("choice", "local"), ("rationale", "why")], 400, "E-PAGE-7"),
        (&[("choice", "local"), ("if_match", "1")], 422, "E-REVIEW-5"),
        (
            &[("choice", "picks"), ("if_match", "1"), ("rationale", "typed")],
            422,
            "E-REVIEW-3",
        ),
        (
            &[
                ("choice", "local"),
                ("if_match", "9"),
                ("rationale", "why"),
                (DOSE, "local"),
            ],
            412,
            "E-REVIEW-7",
        ),
    ];
    for (form, status, number) in cases {
        let (found, page) = desk.ask(Method::POST, &[task], form).await;
        assert_eq!(found, status, "{form:?}");
        assert!(page.contains(number), "{form:?}");
        if let Some((_, entered)) = form.iter().find(|(name, _)| *name == "rationale") {
            assert!(page.contains(entered));
        }
    }
    let form = [
        ("choice", "picks"),
        ("if_match", "1"),
        ("rationale", "called the clinic"),
        (DOSE, "incoming"),
    ];
    assert_eq!(desk.ask(Method::POST, &[task], &form).await.0, 303);
    let (status, page) = desk.ask(Method::GET, &[task], &[]).await;
    assert_eq!(status, 200);
    assert!(page.contains("called the clinic") && !page.contains("name=\"choice\""));
    let (_, list) = desk.ask(Method::GET, &[], &[]).await;
    assert!(list.contains("None."));
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let desk = Desk::open().await;
    assert_eq!(desk.ask(Method::GET, &["nothing"], &[]).await.0, 404);
    assert_eq!(desk.ask(Method::GET, &["a", "b"], &[]).await.0, 404);
    assert_eq!(desk.ask(Method::DELETE, &[], &[]).await.0, 405);
}
