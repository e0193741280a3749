//! `kill -9` rounds: writers log what was acknowledged, the gateway dies, and the log is held
//! against what the restarted gateway says.

use crate::client::Connection;
use crate::random::Random;
use crate::site::{Site, wayside};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Writers at work in each round.
const WRITERS: u64 = 16;
/// Resources in one transaction Bundle.
const BUNDLE_SIZE: u64 = 3;

/// What the rounds found. Everything but `acknowledged` must be zero.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub rounds: u64,
    pub acknowledged: u64,
    pub lost: u64,
    pub half_applied: u64,
    /// Rounds after which `wayside verify` found versions, heads, changes or audit apart.
    pub unsound: u64,
}

/// One write that a writer tried: what must be there if it was acknowledged.
pub(crate) struct Attempt {
    acknowledged: bool,
    /// Paths with the marker that each must hold.
    expected: Vec<(String, String)>,
}

pub(crate) type Log = Arc<Mutex<Vec<Attempt>>>;

/// Of which round the writers are, and whether the store may refuse them before it dies.
#[derive(Clone, Copy)]
pub(crate) struct Play {
    pub(crate) round: u64,
    pub(crate) may_fail: bool,
}

/// Plays the rounds on one folder. Prints a line now and then through `tell`.
pub async fn run(rounds: u64, seed: u64, folder: &Path, tell: impl Fn(String)) -> Findings {
    let mut random = Random::new(seed);
    let mut findings = Findings::default();
    for round in 0..rounds {
        let log: Log = Arc::default();
        let site = Site::start(folder, &["--leave-read-only"]);
        let play = Play {
            round,
            may_fail: false,
        };
        let writers = start_writers(play, &mut random, site.http, &log);
        tokio::time::sleep(Duration::from_millis(random.between(40, 600))).await;
        site.kill();
        for writer in writers {
            writer.await.unwrap();
        }
        let data = folder.to_string_lossy();
        let (code, text) = wayside(&["verify", "--data", &data]);
        if code != 0 {
            findings.unsound += 1;
            tell(format!("round {round}: wayside verify says {text}"));
        }
        check(&log, folder, &mut findings).await;
        findings.rounds += 1;
        if (round + 1) % 20 == 0 || round + 1 == rounds {
            tell(format!("{findings:?}"));
        }
    }
    findings
}

pub(crate) fn start_writers(
    play: Play,
    random: &mut Random,
    address: SocketAddr,
    log: &Log,
) -> Vec<tokio::task::JoinHandle<()>> {
    let start = |writer| {
        let (random, log) = (Random::new(random.draw()), log.clone());
        tokio::spawn(write_until_cut((play, writer), random, address, log))
    };
    (0..WRITERS).map(start).collect()
}

async fn write_until_cut(
    (play, writer): (Play, u64),
    mut random: Random,
    address: SocketAddr,
    log: Log,
) {
    let Ok(mut connection) = Connection::open(address).await else {
        return;
    };
    for step in 0.. {
        let marker = format!("r{}w{writer}s{step}", play.round);
        let is_bundle = random.between(0, 4) == 0;
        let (method, path, body) = if is_bundle {
            ("POST", "/fhir".to_owned(), bundle(&marker))
        } else {
            let id = format!("kill-{writer}-{}", random.between(0, 8));
            ("PUT", format!("/fhir/Basic/{id}"), basic(&id, &marker))
        };
        let reply = connection.send(method, &path, &[], body).await;
        let acknowledged = reply.as_ref().is_ok_and(|r| r.status < 300);
        if let Ok(reply) = &reply {
            let is_expected = acknowledged || play.may_fail && reply.status >= 500;
            assert!(is_expected, "a write was refused: {}", reply.text());
        }
        let expected = if is_bundle {
            bundle_ids(&marker)
                .map(|id| (format!("/fhir/Basic/{id}"), marker.clone()))
                .collect()
        } else {
            let tag = reply
                .as_ref()
                .ok()
                .and_then(|r| r.headers.get("etag")?.to_str().ok());
            let version = tag.map(|t| t.trim_start_matches("W/").trim_matches('"').to_owned());
            version
                .map(|v| (format!("{path}/_history/{v}"), marker.clone()))
                .into_iter()
                .collect()
        };
        log.lock().unwrap().push(Attempt {
            acknowledged,
            expected,
        });
        if !acknowledged {
            return;
        }
    }
}

pub(crate) async fn check(log: &Log, folder: &Path, findings: &mut Findings) {
    let site = Site::start(folder, &["--leave-read-only"]);
    let mut connection = Connection::open(site.http).await.unwrap();
    let attempts = std::mem::take(&mut *log.lock().unwrap());
    for attempt in attempts {
        let mut present = 0;
        for (path, marker) in &attempt.expected {
            let reply = connection.get(path).await.unwrap();
            present += usize::from(reply.status == 200 && reply.text().contains(marker));
        }
        let whole = present == attempt.expected.len();
        findings.acknowledged += u64::from(attempt.acknowledged);
        findings.lost += u64::from(attempt.acknowledged && !whole);
        findings.half_applied += u64::from(!whole && present > 0);
    }
    site.kill();
}

fn basic(id: &str, marker: &str) -> String {
    format!(r#"{{"resourceType":"Basic","id":"{id}","code":{{"text":"{marker}"}}}}"#)
}

fn bundle_ids(marker: &str) -> impl Iterator<Item = String> {
    let marker = marker.to_owned();
    (0..BUNDLE_SIZE).map(move |n| format!("{marker}-{n}"))
}

fn bundle(marker: &str) -> String {
    let entries: Vec<String> = bundle_ids(marker)
        .map(|id| {
            let resource = basic(&id, marker);
            format!(r#"{{"resource":{resource},"request":{{"method":"PUT","url":"Basic/{id}"}}}}"#)
        })
        .collect();
    let entries = entries.join(",");
    format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{entries}]}}"#)
}
