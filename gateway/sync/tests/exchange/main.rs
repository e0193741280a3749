//! Exchange with a target, against the strict national double: what arrives, how often, and what
//! becomes of lost acknowledgements, portals, refusals, edits on both sides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers

mod restored;

use examples::national::{Behaviour, By, National};
use fhir_mapping::model::{self, Json, Limits};
use fhir_mapping::search::Zone;
use gateway_ground::clock::Clock;
use gateway_repository::{Actor, Repository, Transaction, Write};
use gateway_sync::TargetSettings;
use std::sync::Mutex;
use std::time::Duration;
use store::{Keys, OpenOptions, Origin, OriginKind, ResourceKey, Store};
use tokio::sync::watch;

/// A repository, a national double, and the loop between them.
struct Site {
    national: National,
    repository: Repository,
    stop: watch::Sender<bool>,
    /// The loop that runs now.
    running: Mutex<Option<tokio::task::JoinHandle<()>>>,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn start() -> Site {
        let national = National::start("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            folder: folder.path().join("data"),
            map_size_bytes: 64 << 20,
            queue_length_max: 256,
            random: |bytes| getrandom::fill(bytes).unwrap(),
        };
        let keys = Keys {
            key_encryption_key: [7; 32],
        };
        let store = Store::open(options, keys).unwrap();
        let zone = Zone::of(jiff::tz::TimeZone::UTC);
        let site = Site {
            national,
            repository: Repository::new(store, Clock::system(0), zone),
            stop: watch::Sender::new(false),
            running: Mutex::default(),
            _folder: folder,
        };
        site.run();
        site
    }

    /// Starts the loop; a former one has been stopped.
    fn run(&self) {
        self.stop.send_replace(false);
        let settings = TargetSettings {
            pull_interval_ms: 100,
            probe_interval_ms: 100,
            retry_cap_ms: 100,
            attempts_max: 3,
            types: ["Patient", "Encounter", "Observation"]
                .map(str::to_owned)
                .to_vec(),
            ..TargetSettings::new(1, "national", self.national.base())
        };
        let running = tokio::spawn(gateway_sync::run(
            settings,
            self.repository.clone(),
            self.stop.subscribe(),
        ));
        self.running.lock().unwrap().replace(running);
    }

    async fn stop(&self) {
        self.stop.send_replace(true);
        let running = self.running.lock().unwrap().take().unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), running).await;
        ended.expect("the loop ends when told to").unwrap();
    }

    async fn put(&self, text: &str) -> u64 {
        self.put_all(&[text.to_owned()]).await
    }

    /// All in one transaction; gives the first one's version.
    async fn put_all(&self, texts: &[String]) -> u64 {
        let update = |text: &String| {
            let resource = json(text);
            Write::Update {
                id: resource.id().unwrap().to_owned(),
                resource,
                if_match: None,
            }
        };
        self.write(texts.iter().map(update).collect()).await
    }

    async fn delete(&self, path: &str) -> u64 {
        let key = key(path);
        self.write(vec![Write::Delete {
            key,
            if_match: None,
        }])
        .await
    }

    async fn write(&self, writes: Vec<Write>) -> u64 {
        let transaction = Transaction {
            actor: Actor {
                name: "doctor".to_owned(),
                origin: Origin {
                    kind: OriginKind::Client,
                    number: 0,
                },
            },
            writes,
            rows: Vec::new(),
            resolve_conditional_references: false,
        };
        let (written, _) = self.repository.write(transaction).await.unwrap();
        written[0].version.0
    }

    fn head(&self, path: &str) -> Json {
        let head = self.repository.read(&key(path)).unwrap();
        model::parse(&head.body, Limits::default()).unwrap()
    }

    fn versions_here(&self, path: &str) -> u64 {
        self.repository
            .history(&key(path), None, 100)
            .unwrap()
            .total
    }

    fn backlog(&self) -> usize {
        gateway_sync::backlog(&self.repository, 1, 1_000)
            .unwrap()
            .deliveries
    }

    /// Versions that came over HTTP.
    fn arrived(&self, path: &str) -> usize {
        let versions = self.national.versions(path);
        versions.iter().filter(|v| v.by == By::Outside).count()
    }

    fn there(&self, path: &str, pointer: &str) -> String {
        let resource = self.national.current(path).unwrap_or_default();
        let value = resource.pointer(pointer).and_then(|v| v.as_str());
        value.unwrap_or_default().to_owned()
    }
}

fn key(path: &str) -> ResourceKey {
    let (resource_type, id) = path.split_once('/').unwrap();
    ResourceKey {
        resource_type: resource_type.to_owned(),
        id: id.to_owned(),
    }
}

fn json(text: &str) -> Json {
    model::parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap()
}

fn patient(more: &str) -> String {
    format!("{{'resourceType':'Patient','id':'p','active':true{more}}}")
}

/// Waits at most a minute.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_400 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not within a minute: {what}");
}

/// Long enough for several pulls, probes and tries.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(600)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn referenced_resources_arrive_first_and_everything_once() {
    let site = Site::start().await;
    site.national.behave(Behaviour::Cut);
    let observation = "{'resourceType':'Observation','id':'o','status':'final','code':{'text':'x'},
        'subject':{'reference':'Patient/p'},'encounter':{'reference':'Encounter/e'}}";
    site.put(observation).await;
    let encounter =
        "{'resourceType':'Encounter','id':'e','status':'finished','class':{'code':'AMB'},
        'subject':{'reference':'Patient/p'}}";
    site.put(encounter).await;
    site.put(&patient("")).await;
    site.put("{'resourceType':'Basic','id':'b','code':{'text':'not selected'}}")
        .await;
    site.national.behave(Behaviour::Normal);
    until("all settled", || {
        site.arrived("Observation/o") == 1 && site.backlog() == 0
    })
    .await;
    assert_eq!(site.national.refusals(), Vec::<String>::new());
    a_while().await;
    // What comes back by the pulls is no change, here or there.
    for path in ["Patient/p", "Encounter/e", "Observation/o"] {
        assert_eq!(
            (site.arrived(path), site.versions_here(path)),
            (1, 1),
            "{path}"
        );
    }
    assert!(site.national.current("Basic/b").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_acknowledgement_makes_no_second_version() {
    let site = Site::start().await;
    site.national.behave(Behaviour::LosesAcknowledgements);
    site.put(&patient("")).await;
    until("written there", || site.arrived("Patient/p") == 1).await;
    a_while().await;
    site.national.behave(Behaviour::Normal);
    until("settled", || site.backlog() == 0).await;
    assert_eq!(site.arrived("Patient/p"), 1);
    // The agreement is known: the next version goes out over it.
    site.put(&patient(",'gender':'female'")).await;
    until("the update", || {
        site.there("Patient/p", "/gender") == "female"
    })
    .await;
    assert_eq!(
        (site.arrived("Patient/p"), site.versions_here("Patient/p")),
        (2, 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_after_a_lost_acknowledgement_is_no_conflict_even_after_a_restart() {
    let site = Site::start().await;
    site.national.behave(Behaviour::LosesAcknowledgements);
    site.put(&patient("")).await;
    until("written there", || site.arrived("Patient/p") == 1).await;
    site.stop().await;
    site.put(&patient(",'gender':'female'")).await;
    site.national.behave(Behaviour::Normal);
    site.run();
    until("the update", || {
        site.there("Patient/p", "/gender") == "female"
    })
    .await;
    until("settled", || site.backlog() == 0).await;
    assert_eq!(
        (site.arrived("Patient/p"), site.versions_here("Patient/p")),
        (2, 2)
    );
    assert!(site.repository.reviews(10).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captive_portal_acknowledges_nothing() {
    let site = Site::start().await;
    site.national.behave(Behaviour::Portal);
    site.put(&patient("")).await;
    a_while().await;
    assert_eq!((site.arrived("Patient/p"), site.backlog()), (0, 1));
    site.national.behave(Behaviour::Normal);
    until("arrived", || {
        site.arrived("Patient/p") == 1 && site.backlog() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_poison_nothing() {
    let site = Site::start().await;
    site.national.behave(Behaviour::Unauthorised);
    site.put(&patient("")).await;
    a_while().await;
    assert_eq!((site.arrived("Patient/p"), site.backlog()), (0, 1));
    site.stop().await;
    site.national.behave(Behaviour::Normal);
    site.run();
    until("arrived", || {
        site.arrived("Patient/p") == 1 && site.backlog() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_edits_are_one_delivery_and_an_unsent_resource_can_vanish() {
    let site = Site::start().await;
    site.national.behave(Behaviour::Cut);
    for n in 0..20 {
        site.put(&patient(&format!(",'birthDate':'19{:02}'", 50 + n)))
            .await;
    }
    site.put("{'resourceType':'Patient','id':'gone'}").await;
    site.delete("Patient/gone").await;
    site.national.behave(Behaviour::Normal);
    until("settled", || {
        site.arrived("Patient/p") > 0 && site.backlog() == 0
    })
    .await;
    assert_eq!(
        (site.arrived("Patient/p"), site.versions_here("Patient/p")),
        (1, 20)
    );
    assert_eq!(site.there("Patient/p", "/birthDate"), "1969");
    assert!(site.national.versions("Patient/gone").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_delivered() {
    let site = Site::start().await;
    site.put(&patient("")).await;
    until("arrived", || site.arrived("Patient/p") == 1).await;
    site.delete("Patient/p").await;
    until("deleted", || site.national.current("Patient/p").is_none()).await;
    until("settled", || site.backlog() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_over_there_arrive_and_are_not_sent_back() {
    let site = Site::start().await;
    site.put(&patient("")).await;
    until("arrived", || site.arrived("Patient/p") == 1).await;
    site.national
        .edit("Patient/p", |json| json["gender"] = "male".into());
    let gender = || {
        site.head("Patient/p")
            .str_at(&["gender"])
            .map(str::to_owned)
    };
    until("pulled", || gender().as_deref() == Some("male")).await;
    site.national.edit("Patient/new", |json| {
        *json = serde_json::json!({"resourceType": "Patient", "id": "new"});
    });
    until("made there", || {
        site.repository.read(&key("Patient/new")).is_ok()
    })
    .await;
    a_while().await;
    assert_eq!(
        (site.arrived("Patient/p"), site.versions_here("Patient/p")),
        (1, 2)
    );
    assert_eq!(
        (
            site.arrived("Patient/new"),
            site.versions_here("Patient/new")
        ),
        (0, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_different_elements_merge_on_both_sides() {
    let site = Site::start().await;
    site.put(&patient("")).await;
    until("arrived", || {
        site.arrived("Patient/p") == 1 && site.backlog() == 0
    })
    .await;
    site.national.behave(Behaviour::Cut);
    site.national.edit("Patient/p", |json| {
        json["telecom"] = serde_json::json!([{"system": "phone", "value": "+254700000001"}]);
    });
    site.put(&patient(",'address':[{'city':'Kisumu'}]")).await;
    site.national.behave(Behaviour::Normal);
    until("merged there", || {
        site.there("Patient/p", "/address/0/city") == "Kisumu"
            && site.there("Patient/p", "/telecom/0/value") == "+254700000001"
    })
    .await;
    until("settled", || site.backlog() == 0).await;
    let head = site.head("Patient/p");
    assert_eq!(head.str_at(&["telecom", "value"]), Some("+254700000001"));
    assert!(site.repository.reviews(10).unwrap().is_empty());
    a_while().await;
    assert_eq!(site.arrived("Patient/p"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_resource_is_parked_with_its_dependents_and_the_rest_flows() {
    let site = Site::start().await;
    site.national.behave(Behaviour::Cut);
    // The double wants a status; what refers to the visit cannot go before it.
    let encounter = |status: &str| {
        format!("{{'resourceType':'Encounter','id':'e','class':{{'code':'AMB'}}{status}}}")
    };
    site.put(&encounter("")).await;
    site.put(
        "{'resourceType':'Observation','id':'o','status':'final','code':{'text':'x'},
        'encounter':{'reference':'Encounter/e'}}",
    )
    .await;
    for n in 0..50 {
        site.put(&format!("{{'resourceType':'Patient','id':'p{n}'}}"))
            .await;
    }
    site.national.behave(Behaviour::Normal);
    until("the rest", || {
        site.backlog() == 2 && site.national.refusals().len() == 3
    })
    .await;
    a_while().await;
    assert_eq!(
        (
            site.national.refusals().len(),
            site.national.received().len()
        ),
        (3, 50)
    );
    // A new version tries again, and takes its dependents along.
    site.put(&encounter(",'status':'finished'")).await;
    until("all", || site.backlog() == 0).await;
    assert_eq!(
        (site.arrived("Encounter/e"), site.arrived("Observation/o")),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_here_of_what_was_deleted_there_waits_for_a_person() {
    let site = Site::start().await;
    site.put(&patient("")).await;
    until("arrived", || {
        site.arrived("Patient/p") == 1 && site.backlog() == 0
    })
    .await;
    site.national.behave(Behaviour::Cut);
    site.national.delete("Patient/p");
    site.put(&patient(",'gender':'female'")).await;
    site.national.behave(Behaviour::Normal);
    until("a review", || {
        site.repository.reviews(10).unwrap().len() == 1
    })
    .await;
    a_while().await;
    // The update stays in force here, and nothing undoes the deletion there before the decision.
    assert_eq!(site.head("Patient/p").str_at(&["gender"]), Some("female"));
    assert!(site.national.current("Patient/p").is_none());
    assert_eq!(site.backlog(), 1);
}

/// A report over hundreds of results, each of a visit of its own: more than one group can hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_wide_and_deep_net_of_references_arrives_in_order() {
    const RESULTS: usize = 600;
    let site = Site::start().await;
    site.national.behave(Behaviour::Cut);
    let members: Vec<String> = (0..RESULTS)
        .map(|n| format!("{{'reference':'Observation/o{n}'}}"))
        .collect();
    let mut texts = vec![format!(
        "{{'resourceType':'Observation','id':'panel','status':'final','code':{{'text':'x'}},
            'subject':{{'reference':'Patient/p'}},'hasMember':[{}]}}",
        members.join(",")
    )];
    for n in 0..RESULTS {
        texts.push(format!(
            "{{'resourceType':'Observation','id':'o{n}','status':'final','code':{{'text':'x'}},
                'encounter':{{'reference':'Encounter/e{n}'}}}}"
        ));
    }
    for n in 0..RESULTS {
        texts.push(format!(
            "{{'resourceType':'Encounter','id':'e{n}','status':'finished','class':{{'code':'AMB'}},
                'subject':{{'reference':'Patient/p'}}}}"
        ));
    }
    texts.push(patient(""));
    site.put_all(&texts).await;
    site.national.behave(Behaviour::Normal);
    until("all arrived", || {
        site.backlog() == 0 && site.arrived("Observation/panel") == 1
    })
    .await;
    assert_eq!(site.national.refusals(), Vec::<String>::new());
    assert!(site.national.received().values().all(|times| *times == 1));
}
