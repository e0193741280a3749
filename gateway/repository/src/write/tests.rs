//! Patches that take long to judge beside everybody else.

use super::*;
use crate::fresh;
use fhir_mapping::model::{Json, Limits, parse};
use fhir_mapping::patch::Patch;
use gateway_ground::clock::Clock;
use std::sync::{Condvar, Mutex};
use std::time::Duration;
use store::{Origin, OriginKind};
use tokio::task::JoinSet;

/// Long enough for any machine; nothing waits so long that is not stuck.
const PATIENCE: Duration = Duration::from_secs(120);

fn tree(text: &str) -> Json {
    parse(text.as_bytes(), Limits::default()).unwrap()
}

fn key() -> ResourceKey {
    ResourceKey {
        resource_type: "Patient".to_owned(),
        id: "a".to_owned(),
    }
}

fn update(id: &str, more: &str) -> Write {
    let text = format!(r#"{{"resourceType":"Patient","id":"{id}"{more}}}"#);
    Write::Update {
        id: id.to_owned(),
        resource: tree(&text),
        if_match: None,
    }
}

/// Adds one phone.
fn patch(number: usize, check: Check) -> Write {
    let text = format!(r#"[{{"op":"add","path":"/telecom/-","value":{{"value":"n{number}"}}}}]"#);
    Write::Patch {
        which: Which::Key(key()),
        patch: Patch::json(&tree(&text)).unwrap(),
        if_match: None,
        check,
    }
}

async fn write(repository: &Repository, write: Write) -> Written {
    let transaction = Transaction {
        actor: Actor {
            name: "emr".to_owned(),
            origin: Origin {
                kind: OriginKind::Client,
                number: 0,
            },
        },
        writes: vec![write],
        rows: Vec::new(),
        resolve_conditional_references: false,
    };
    let outcome = tokio::time::timeout(PATIENCE, repository.write(transaction)).await;
    let (mut written, _) = outcome.expect("somebody is held up").unwrap();
    written.remove(0)
}

fn phones(repository: &Repository) -> usize {
    let stored = repository.read(&key()).unwrap();
    let body = String::from_utf8(stored.body).unwrap();
    tree(&body).items("telecom").len()
}

/// A judge that waits to be let go, and counts how often it was asked.
#[derive(Default)]
struct Gate {
    asked: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    fn check(self: &Arc<Gate>) -> Check {
        let gate = Arc::clone(self);
        Check {
            judge: Arc::new(move |_| {
                let mut asked = gate.asked.lock().unwrap();
                asked.0 += 1;
                gate.changed.notify_all();
                let waited = gate
                    .changed
                    .wait_timeout_while(asked, PATIENCE, |asked| !asked.1);
                drop(waited.unwrap());
                Ok(())
            }),
            is_long: true,
        }
    }

    fn wait_until_asked(&self) {
        let asked = self.asked.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(asked, PATIENCE, |asked| asked.0 == 0);
        assert!(waited.unwrap().0.0 > 0, "the judge was never asked");
    }

    fn open(&self) {
        self.asked.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// While one patch is judged all others write, the same resource included; then it is judged anew
/// on what they left, and loses nothing of theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_that_is_long_to_judge_holds_nobody_up() {
    let (repository, _folder) = fresh::repository(Clock::driven(0));
    write(
        &repository,
        update("a", r#","telecom":[{"value":"first"}]"#),
    )
    .await;
    let gate = Arc::new(Gate::default());
    let (long, check) = (repository.clone(), gate.check());
    let patched = tokio::spawn(async move { write(&long, patch(0, check)).await });
    let waiting = Arc::clone(&gate);
    tokio::task::spawn_blocking(move || waiting.wait_until_asked())
        .await
        .unwrap();
    for number in 0..20 {
        write(&repository, update(&format!("other{number}"), "")).await;
    }
    let more = r#","active":true,"telecom":[{"value":"first"},{"value":"second"}]"#;
    write(&repository, update("a", more)).await;
    assert!(!patched.is_finished());
    gate.open();
    let written = patched.await.unwrap();
    assert_eq!(written.version, store::VersionId(3));
    let body = String::from_utf8(written.body).unwrap();
    assert_eq!(phones(&repository), 3, "{body}");
    assert!(body.contains(r#""active":true"#), "{body}");
    let (asked, _) = *gate.asked.lock().unwrap();
    assert_eq!(asked, 2, "judged again on what it was made of in the end");
}

/// Long ones, short ones and others at once: every one takes effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn long_patches_of_one_resource_all_take_effect_while_others_write() {
    /// Fewer together than attempts, so that nobody can lose too often.
    const OF_EACH: usize = 12;
    let (repository, _folder) = fresh::repository(Clock::driven(0));
    write(
        &repository,
        update("a", r#","telecom":[{"value":"first"}]"#),
    )
    .await;
    let mut asks = JoinSet::new();
    for number in 0..OF_EACH {
        for is_long in [true, false] {
            let check = Check {
                judge: Arc::new(move |_| {
                    if is_long {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    Ok(())
                }),
                is_long,
            };
            let (repository, one) = (repository.clone(), patch(number, check));
            asks.spawn(async move { write(&repository, one).await.kind });
        }
        let (repository, other) = (repository.clone(), update(&format!("other{number}"), ""));
        asks.spawn(async move { write(&repository, other).await.kind });
    }
    let kinds = asks.join_all().await;
    let count = |wanted| kinds.iter().filter(|kind| **kind == wanted).count();
    assert_eq!(count(WrittenKind::Updated), 2 * OF_EACH);
    assert_eq!(count(WrittenKind::Created), OF_EACH);
    assert_eq!(phones(&repository), 2 * OF_EACH + 1);
}
