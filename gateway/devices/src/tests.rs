//! From the wire to the record and back, on a real store.

use super::*;
use fhir_mapping::model::{Json, Limits, parse};
use gateway_ground::clock::Clock;
use gateway_repository::fresh;
use gateway_repository::{Actor, Repository, Transaction, Write};
use std::net::SocketAddr;
use store::{Origin, OriginKind, ResourceKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A gateway's device side on a store of its own.
struct Bench {
    repository: Repository,
    settings: DeviceSettings,
    stop: watch::Sender<bool>,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Bench {
        Bench::with(|_settings| {}).await
    }

    async fn with(adjust: impl FnOnce(&mut DeviceSettings)) -> Bench {
        let (repository, folder) = fresh::repository(Clock::system(0));
        let mut settings = DeviceSettings::for_zone(TimeZone::UTC);
        adjust(&mut settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = watch::Sender::new(false);
        let (clone, stopped) = (repository.clone(), stop.subscribe());
        tokio::spawn(serve(listener, settings.clone(), clone, stopped));
        let (clone, stopped) = (repository.clone(), stop.subscribe());
        tokio::spawn(interpret_loop(settings.clone(), clone, stopped));
        Bench {
            repository,
            settings,
            stop,
            address,
            _folder: folder,
        }
    }

    async fn put(&self, text: &str) {
        let resource = parse(text.as_bytes(), Limits::default()).unwrap();
        let kind = OriginKind::Client;
        let transaction = Transaction {
            actor: Actor {
                name: "emr".to_owned(),
                origin: Origin { kind, number: 0 },
            },
            writes: vec![Write::Update {
                id: resource.id().unwrap().to_owned(),
                resource,
                if_match: None,
            }],
            rows: Vec::new(),
            resolve_conditional_references: false,
        };
        self.repository.write(transaction).await.unwrap();
    }

    async fn patient(&self, number: &str, birth_date: &str) {
        self.put(&format!(
            r#"{{"resourceType":"Patient","id":"p{number}","identifier":[{{"system":"urn:wayside:patient","value":"{number}"}}],"birthDate":"{birth_date}"}}"#
        ))
        .await;
    }

    /// Waits until no message waits any more.
    async fn idle(&self) {
        for _ in 0..6_000 {
            let waiting = {
                let snapshot = self.repository.store().snapshot().unwrap();
                stored::oldest_waiting(&snapshot.view(), None).unwrap()
            };
            if waiting.is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("messages keep waiting");
    }

    /// State and finding numbers of a message.
    fn state(&self, seq: u64) -> String {
        let snapshot = self.repository.store().snapshot().unwrap();
        let intake = stored::read(&snapshot.view(), seq).unwrap();
        let Some(intake) = intake else {
            return "none".to_owned();
        };
        let numbers = intake
            .head
            .issues
            .iter()
            .map(|(number, ..)| number.as_str());
        let mut words = vec![match intake.head.state {
            stored::State::Waiting => "waiting",
            stored::State::Settled => "settled",
            stored::State::Held => "held",
            stored::State::HeldForPatient => "held for patient",
        }];
        words.extend(numbers);
        words.join(" ")
    }

    async fn reaches(&self, seq: u64, expected: &str) {
        for _ in 0..6_000 {
            if self.state(seq) == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.state(seq), expected, "message {seq}");
    }

    /// All heads of a type, as `status version subject value`.
    fn heads(&self, resource_type: &str) -> Vec<String> {
        let snapshot = self.repository.store().snapshot().unwrap();
        let view = snapshot.view();
        let mut found = Vec::new();
        for head in view.scan_heads(None, 10_000).unwrap() {
            let stored = view.version(head.rid, head.version).unwrap().unwrap();
            if stored.key.resource_type == resource_type {
                let tree = parse(&stored.body, Limits::default()).unwrap();
                found.push(shown(&tree, stored.version.0));
            }
        }
        found
    }
}

fn shown(tree: &Json, version: u64) -> String {
    let text = |path: &[&str]| {
        let found = path.iter().try_fold(tree, |at, key| at.get(key));
        let text = found.map(fhir_mapping::model::format).unwrap_or_default();
        text.replace('"', "")
    };
    let parts = [
        text(&["status"]),
        format!("v{version}"),
        text(&["subject", "reference"]),
        text(&["valueQuantity", "value"]),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|p| !p.is_empty()).collect();
    parts.join(" ")
}

/// An ORU^R01: control id, patient, sample, status, value.
fn oru(control_id: &str, patient: &str, sample: &str, (status, value): (&str, &str)) -> String {
    let report = if status == "D" { "" } else { status };
    [
        format!("MSH|^~\\&|SIM|LAB|||20261124100000||ORU^R01^ORU_R01|{control_id}|P|2.5.1"),
        format!("PID|1||{patient}^^^^MR||Diallo^Awa||19900804|F"),
        format!("OBR|1||{sample}|57021-8^CBC^LN{}{report}", "|".repeat(21)),
        format!("OBX|1|NM|718-7^HGB^LN||{value}|g/dL|12-16||||{status}"),
    ]
    .join("\r")
}

/// Reads acknowledgements as `AA 1`.
async fn answers(stream: &mut TcpStream, count: usize) -> Vec<String> {
    let mut framer = mllp::Framer::new(1 << 20);
    let mut found = Vec::new();
    let mut buffer = [0; 4096];
    while found.len() < count {
        let reading = stream.read(&mut buffer);
        let read = tokio::time::timeout(Duration::from_secs(60), reading).await;
        let size = read.expect("an acknowledgement in time").unwrap_or(0);
        if size == 0 {
            found.push("closed".to_owned());
            break;
        }
        framer.push(&buffer[..size]);
        while let Some(mllp::Received::Frame(frame)) = framer.next() {
            let text = String::from_utf8(frame).unwrap();
            let msa = text.split('\r').find(|l| l.starts_with("MSA")).unwrap();
            let fields: Vec<&str> = msa.split('|').collect();
            found.push(format!("{} {}", fields[1], fields[2]));
        }
    }
    found
}

async fn send(bench: &Bench, message: &str) -> String {
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    let frame = mllp::framed(message.as_bytes());
    stream.write_all(&frame).await.unwrap();
    answers(&mut stream, 1).await.remove(0)
}

#[tokio::test]
async fn a_result_is_stored_before_it_is_acknowledged_and_reaches_the_patient() {
    let bench = Bench::start().await;
    bench.patient("4711", "1990-08-04").await;
    assert_eq!(
        send(&bench, &oru("1", "4711", "S1", ("F", "9.10"))).await,
        "AA 1"
    );
    assert_ne!(bench.state(1), "none", "acknowledged means stored");
    bench.reaches(1, "settled").await;
    assert_eq!(bench.heads("Observation"), ["final v1 Patient/p4711 9.10"]);
    assert_eq!(bench.heads("DiagnosticReport"), ["final v1 Patient/p4711"]);
    assert_eq!(bench.heads("Task"), [""; 0]);
}

#[tokio::test]
async fn the_same_bytes_again_change_nothing_and_hear_the_same() {
    let bench = Bench::start().await;
    bench.patient("4711", "1990-08-04").await;
    let message = oru("1", "4711", "S1", ("F", "9.10"));
    assert_eq!(send(&bench, &message).await, "AA 1");
    bench.reaches(1, "settled").await;
    assert_eq!(send(&bench, &message).await, "AA 1");
    let other = oru("1", "4711", "S2", ("F", "9.20"));
    assert_eq!(
        send(&bench, &other).await,
        "AA 1",
        "a used control id, but another message"
    );
    bench.reaches(2, "settled").await;
    assert_eq!(bench.state(3), "none");
    assert_eq!(bench.heads("Observation").len(), 2);
}

#[tokio::test]
async fn statuses_in_any_order_end_in_the_right_state() {
    let bench = Bench::start().await;
    bench.patient("4711", "1990-08-04").await;
    let table = [
        ("P", "9.0", "preliminary v1 Patient/p4711 9.0", "settled"),
        ("F", "9.1", "final v2 Patient/p4711 9.1", "settled"),
        ("C", "9.2", "corrected v3 Patient/p4711 9.2", "settled"),
        (
            "F",
            "9.3",
            "corrected v3 Patient/p4711 9.2",
            "settled E-DEV-14 E-DEV-14",
        ),
        (
            "D",
            "9.2",
            "entered-in-error v4 Patient/p4711 9.2",
            "settled",
        ),
        (
            "F",
            "9.4",
            "entered-in-error v4 Patient/p4711 9.2",
            "settled E-DEV-14 E-DEV-14",
        ),
    ];
    for (seq, (status, value, expected, state)) in (1..).zip(table) {
        send(
            &bench,
            &oru(&seq.to_string(), "4711", "S1", (status, value)),
        )
        .await;
        bench.reaches(seq, state).await;
        assert_eq!(
            bench.heads("Observation"),
            [expected],
            "after {status} {value}"
        );
    }
}

#[tokio::test]
async fn an_unknown_patients_result_is_held_and_released() {
    let bench = Bench::start().await;
    assert_eq!(
        send(&bench, &oru("1", "4711", "S1", ("F", "9.1"))).await,
        "AA 1"
    );
    bench.reaches(1, "held for patient E-DEV-4").await;
    assert_eq!(bench.heads("Task"), ["on-hold v1"]);
    assert_eq!(bench.heads("Observation"), [""; 0]);
    bench.patient("1", "1990-08-04").await;
    bench.idle().await;
    assert_eq!(bench.state(1), "held for patient E-DEV-4");
    bench.patient("4711", "1990-08-04").await;
    bench.reaches(1, "settled").await;
    assert_eq!(bench.heads("Task"), ["completed v2"]);
    assert_eq!(bench.heads("Observation"), ["final v1 Patient/p4711 9.1"]);
}

#[tokio::test]
async fn many_held_messages_are_released_together_with_others_in_between() {
    let bench = Bench::start().await;
    for seq in 1..=150 {
        let message = oru(&seq.to_string(), "4711", &format!("S{seq}"), ("F", "9.1"));
        let message = match seq % 2 {
            0 => message.replace("|P|2.5.1", "|T|2.5.1"),
            _ => message,
        };
        send(&bench, &message).await;
    }
    bench.idle().await;
    assert_eq!(bench.heads("Task"), vec!["on-hold v1"; 150]);
    bench.patient("4711", "1990-08-04").await;
    bench.reaches(149, "settled").await;
    assert_eq!(bench.heads("Observation").len(), 75);
    assert_eq!(bench.state(150), "held E-DEV-3");
}

#[tokio::test]
async fn what_cannot_be_attributed_is_held_alone() {
    let bench = Bench::start().await;
    bench.patient("4711", "1990-08-04").await;
    bench.patient("4712", "1971-01-01").await;
    let good = |seq: &str, sample: &str| oru(seq, "4711", sample, ("F", "9.1"));
    let control = good("3", "QC").replace("|P|2.5.1", "|T|2.5.1");
    let no_order = good("4", "S4").replace("OBR", "ZBR");
    let table = [
        (
            oru("1", "4712", "S1", ("F", "9.1")),
            "held for patient E-DEV-5",
        ),
        (
            good("2", "S2").replace("ORU^R01^ORU_R01", "ADT^A04"),
            "held E-V2-7",
        ),
        (control, "held E-DEV-3"),
        (no_order, "held E-V2-8"),
        (good("5", "S5"), "settled"),
    ];
    for (seq, (message, expected)) in (1..).zip(table) {
        assert_eq!(send(&bench, &message).await, format!("AA {seq}"));
        bench.reaches(seq, expected).await;
    }
    assert_eq!(bench.heads("Observation").len(), 1);
    assert_eq!(bench.heads("Task").len(), 4);
}

#[tokio::test]
async fn one_sample_number_never_crosses_patients() {
    let bench = Bench::start().await;
    bench.patient("4711", "1990-08-04").await;
    bench.patient("4713", "1990-08-04").await;
    send(&bench, &oru("1", "4711", "S1", ("F", "9.1"))).await;
    bench.reaches(1, "settled").await;
    send(&bench, &oru("2", "4713", "S1", ("F", "5.5"))).await;
    bench.reaches(2, "held E-DEV-12 E-DEV-12").await;
    assert_eq!(bench.heads("Observation"), ["final v1 Patient/p4711 9.1"]);
}

#[tokio::test]
async fn a_persons_change_is_not_overwritten() {
    let bench = Bench::start().await;
    bench.patient("4711", "1990-08-04").await;
    send(&bench, &oru("1", "4711", "S1", ("P", "9.1"))).await;
    bench.reaches(1, "settled").await;
    let page = {
        let snapshot = bench.repository.store().snapshot().unwrap();
        let view = snapshot.view();
        let heads = view.scan_heads(None, 100).unwrap();
        let bodies = heads
            .iter()
            .map(|h| view.version(h.rid, h.version).unwrap().unwrap());
        let mut observations = bodies.filter(|s| s.key.resource_type == "Observation");
        String::from_utf8(observations.next().unwrap().body).unwrap()
    };
    let noted = page.replacen('{', r#"{"note":[{"text":"seen by the nurse"}],"#, 1);
    bench.put(&noted).await;
    send(&bench, &oru("2", "4711", "S1", ("F", "9.1"))).await;
    bench.reaches(2, "settled").await;
    let id = parse(page.as_bytes(), Limits::default()).unwrap();
    let key = ResourceKey {
        resource_type: "Observation".to_owned(),
        id: id.id().unwrap().to_owned(),
    };
    let body = String::from_utf8(bench.repository.read(&key).unwrap().body).unwrap();
    assert!(
        body.contains("seen by the nurse") && body.contains("\"final\""),
        "{body}"
    );
}

#[tokio::test]
async fn results_point_at_the_order_that_was_placed() {
    let bench = Bench::start().await;
    bench.patient("4711", "1990-08-04").await;
    bench
        .put(
            r#"{"resourceType":"ServiceRequest","id":"order","status":"active","intent":"order","identifier":[{"value":"ORD-9"}],"subject":{"reference":"Patient/p4711"}}"#,
        )
        .await;
    let message = oru("1", "4711", "S1", ("F", "9.1")).replace("OBR|1||", "OBR|1|ORD-9|");
    send(&bench, &message).await;
    bench.reaches(1, "settled").await;
    assert_eq!(bench.heads("ServiceRequest").len(), 1);
    let snapshot = bench.repository.store().snapshot().unwrap();
    let view = snapshot.view();
    let heads = view.scan_heads(None, 100).unwrap();
    let based = heads.iter().filter(|head| {
        let stored = view.version(head.rid, head.version).unwrap().unwrap();
        String::from_utf8(stored.body)
            .unwrap()
            .contains("ServiceRequest/order")
    });
    assert_eq!(based.count(), 2, "report and result");
}

#[tokio::test]
async fn every_frame_of_a_burst_is_answered_in_order() {
    let bench = Bench::start().await;
    bench.patient("4711", "1990-08-04").await;
    let mut bytes = b"junk".to_vec();
    for n in 1..=50 {
        let message = oru(&n.to_string(), "4711", &format!("S{n}"), ("F", "9.1"));
        bytes.extend(mllp::framed(message.as_bytes()));
    }
    bytes.extend(b"\x0bMSH|^~\\&|cut off");
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let expected: Vec<String> = (1..=50).map(|n| format!("AA {n}")).collect();
    assert_eq!(answers(&mut stream, 50).await, expected);
    bench.idle().await;
    assert_eq!(bench.heads("Observation").len(), 50);
    assert_eq!(bench.state(51), "none", "half a frame is no message");
}

#[tokio::test]
async fn a_message_without_a_header_is_kept_and_the_connection_closed() {
    let bench = Bench::start().await;
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_all(&mllp::framed(b"hello?")).await.unwrap();
    assert_eq!(answers(&mut stream, 1).await, ["closed"]);
    bench.reaches(1, "held E-V2-1").await;
    assert_eq!(bench.heads("Task"), ["on-hold v1"]);
}

#[tokio::test]
async fn slow_large_and_too_many_connections_are_closed() {
    let bench = Bench::with(|settings| {
        settings.partial_frame_timeout = Duration::from_millis(100);
        settings.frame_bytes_max = 1000;
        settings.connections_max = 2;
    })
    .await;
    let mut slow = TcpStream::connect(bench.address).await.unwrap();
    slow.write_all(b"\x0bMSH|").await.unwrap();
    assert_eq!(answers(&mut slow, 1).await, ["closed"]);
    let mut large = TcpStream::connect(bench.address).await.unwrap();
    let sent = large.write_all(&mllp::framed(&[b'x'; 1001])).await;
    assert!(sent.is_ok());
    assert_eq!(answers(&mut large, 1).await, ["closed"]);
    let mut idle = TcpStream::connect(bench.address).await.unwrap();
    let second = TcpStream::connect(bench.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    let mut third = TcpStream::connect(bench.address).await.unwrap();
    assert_eq!(answers(&mut third, 1).await, ["closed"]);
    let message = oru("1", "4711", "S1", ("F", "9.1"));
    idle.write_all(&mllp::framed(message.as_bytes()))
        .await
        .unwrap();
    assert_eq!(answers(&mut idle, 1).await, ["AA 1"], "idle is no fault");
    drop(second);
}

#[tokio::test]
async fn a_closing_store_never_says_accepted() {
    let bench = Bench::start().await;
    let connection = bench.settings.connection_named("default").unwrap().clone();
    bench.stop.send_replace(true);
    bench.repository.store().clone().close();
    let message = oru("1", "4711", "S1", ("F", "9.1")).into_bytes();
    let reply = intake::take_in(&bench.repository, &bench.settings, &connection, message).await;
    let intake::Reply::Acknowledge(bytes) = reply else {
        panic!("a readable message is answered");
    };
    assert!(String::from_utf8(bytes).unwrap().contains("MSA|AE|1|"));
}

#[test]
fn peers_get_the_connection_that_names_them() {
    let mut settings = DeviceSettings::for_zone(TimeZone::UTC);
    let mut named = settings.rules[0].clone();
    named.address = Some("192.0.2.7".parse().unwrap());
    named.connection.name = "bench".to_owned();
    settings.rules.insert(0, named);
    let name = |peer: &str| {
        let connection = settings.connection_of(peer.parse().unwrap());
        connection.map(|c| c.name.clone()).unwrap_or_default()
    };
    assert_eq!(
        (name("192.0.2.7"), name("192.0.2.8")),
        ("bench".into(), "default".into())
    );
    settings.rules.truncate(1);
    assert!(
        settings
            .connection_of("192.0.2.8".parse().unwrap())
            .is_none()
    );
}
