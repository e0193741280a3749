//! A conflict on a prescription, decided by a person in a real browser.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)] // panics and skips are answers

use examples::national::National;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tests::client::Connection;
use tests::site::Site;

const PATIENT: &str = r#"{"resourceType":"Patient","id":"amina","name":[{"family":"Juma","given":["Amina"]}],"birthDate":"1991-05-03"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reviewer_decides_between_two_doses_in_a_browser() {
    let foreign = tests::source::root().join("target/foreign");
    let has_all = foreign.join("node_modules/playwright-core").exists()
        && std::path::Path::new("/usr/bin/chromium").exists();
    if !has_all {
        println!("skipped: chromium or playwright-core is not installed; tests/run installs them");
        return;
    }
    let national = National::start("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("wayside.toml");
    let target = format!(
        "[[target]]\nname = \"national\"\nkind = \"fhir\"\nurl = \"{}\"\npull = true\n",
        national.base()
    );
    std::fs::write(&config, target).unwrap();
    let data = folder.path().join("data");
    let site = Site::start(&data, &["--config", &config.to_string_lossy()]);
    make_conflict(site.http, &national).await;
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
async fn make_conflict(site: SocketAddr, national: &National) {
    let path = "/fhir/MedicationRequest/rx";
    let mut here = Connection::open(site).await.unwrap();
    put(&mut here, "/fhir/Patient/amina", PATIENT).await;
    put(&mut here, path, &prescription(5)).await;
    until("the national side has it", || {
        national.current("MedicationRequest/rx").is_some()
    })
    .await;
    national.edit("MedicationRequest/rx", |resource| {
        resource["dosageInstruction"][0]["text"] = "20 mg once daily".into();
    });
    put(&mut here, path, &prescription(10)).await;
    for _ in 0..300 {
        let queue = "/fhir/Task?code=conflict-review&status=requested";
        if here
            .get(queue)
            .await
            .unwrap()
            .text()
            .contains("MedicationRequest/rx")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the conflict never came to review");
}

async fn put(client: &mut Connection, path: &str, body: &str) {
    let reply = client
        .send("PUT", path, &[], body.to_owned())
        .await
        .unwrap();
    assert!(reply.status < 300, "{path}: {}", reply.text());
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..300 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never came true that {what}");
}

fn prescription(dose: u32) -> String {
    format!(
        r#"{{"resourceType":"MedicationRequest","id":"rx","status":"active","intent":"order","medicationCodeableConcept":{{"text":"Amlodipine"}},"subject":{{"reference":"Patient/amina"}},"dosageInstruction":[{{"text":"{dose} mg once daily"}}]}}"#
    )
}
