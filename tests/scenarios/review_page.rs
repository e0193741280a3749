//! A conflict on a prescription, decided by a person in a real browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // panics and skips are answers

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests::client::Connection;
use tests::site::{Site, binary};

const PATIENT: &str = r#"{"resourceType":"Patient","id":"amina","name":[{"family":"Juma","given":["Amina"]}],"birthDate":"1991-05-03"}"#;

/// The national double, which ends when its standard input closes.
struct National {
    child: Child,
    http: SocketAddr,
}

impl National {
    fn start() -> National {
        let program = binary().with_file_name("national-server");
        assert!(
            program.exists(),
            "build it first: cargo build -p examples --bins"
        );
        #[allow(clippy::zombie_processes)] // waited for when dropped
        let mut child = Command::new(program)
            .arg("127.0.0.1:0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let http = line
            .trim()
            .trim_start_matches("ready http://")
            .trim_end_matches("/fhir");
        let http = http.parse().unwrap();
        National { child, http }
    }
}

impl Drop for National {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reviewer_decides_between_two_doses_in_a_browser() {
    let foreign = tests::source::root().join("target/foreign");
    let has_all = foreign.join("node_modules/playwright-core").exists()
        && std::path::Path::new("/usr/bin/chromium").exists();
    if !has_all {
        println!("skipped: chromium or playwright-core is not installed; tests/run installs them");
        return;
    }
    let national = National::start();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("wayside.toml");
    let target = format!(
        "[[target]]\nname = \"national\"\nkind = \"fhir\"\nurl = \"http://{}/fhir\"\npull = true\n",
        national.http
    );
    std::fs::write(&config, target).unwrap();
    let data = folder.path().join("data");
    let site = Site::start(&data, &["--config", &config.to_string_lossy()]);
    make_conflict(site.http, national.http).await;
    let picture = foreign.join("review-page.png");
    let output = Command::new("node")
        .arg(foreign.join("review_page.mjs"))
        .arg(format!("http://{}", site.http))
        .arg(&picture)
        .output()
        .expect("node starts");
    let told = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&told)
    );
    let mut client = Connection::open(site.http).await.unwrap();
    let head = client.get("/fhir/MedicationRequest/rx").await.unwrap();
    assert!(head.text().contains("10 mg once daily"), "{}", head.text());
    assert!(!head.text().contains("conflict-pending"), "{}", head.text());
}

/// Both sides hold 5 mg; then the national side says 20 mg and this site 10 mg.
async fn make_conflict(site: SocketAddr, national: SocketAddr) {
    let mut here = Connection::open(site).await.unwrap();
    put(&mut here, "/fhir/Patient/amina", PATIENT, &[]).await;
    put(
        &mut here,
        "/fhir/MedicationRequest/rx",
        &prescription(5),
        &[],
    )
    .await;
    let mut there = Connection::open(national).await.unwrap();
    wait_for(&mut there, "/fhir/MedicationRequest/rx", "5 mg").await;
    put(
        &mut there,
        "/fhir/MedicationRequest/rx",
        &prescription(20),
        &[("if-match", "W/\"1\"")],
    )
    .await;
    put(
        &mut here,
        "/fhir/MedicationRequest/rx",
        &prescription(10),
        &[],
    )
    .await;
    let queue = "/fhir/Task?code=conflict-review&status=requested";
    wait_for(&mut here, queue, "MedicationRequest/rx").await;
}

async fn put(client: &mut Connection, path: &str, body: &str, headers: &[(&str, &str)]) {
    let reply = client
        .send("PUT", path, headers, body.to_owned())
        .await
        .unwrap();
    assert!(reply.status < 300, "{path}: {}", reply.text());
}

async fn wait_for(client: &mut Connection, path: &str, wanted: &str) {
    for _ in 0..300 {
        let reply = client.get(path).await.unwrap();
        if reply.status == 200 && reply.text().contains(wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} never held {wanted}");
}

fn prescription(dose: u32) -> String {
    format!(
        r#"{{"resourceType":"MedicationRequest","id":"rx","status":"active","intent":"order","medicationCodeableConcept":{{"text":"Amlodipine"}},"subject":{{"reference":"Patient/amina"}},"dosageInstruction":[{{"text":"{dose} mg once daily"}}]}}"#
    )
}
