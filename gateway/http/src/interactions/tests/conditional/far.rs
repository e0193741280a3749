//! Conditional interactions whose criteria look at other resources: chains and `_has`.

use super::*;

const CHAINED: &str = "subject:Patient.identifier=urn:mrn|1&code=x";

async fn with_patients() -> Site {
    let site = Site::new();
    for (id, number) in [("a", "1"), ("b", "2")] {
        let body = patient(number).replace(
            r#""Patient","#,
            &format!(r#""Patient","id":"{id}","active":true,"#),
        );
        site.ask(&format!("PUT Patient/{id}"), &[], &body)
            .await
            .ok(201);
    }
    site
}

fn of(subject: &str) -> String {
    observation(subject, "#x")
}

fn unless(criteria: &str, resource: &str) -> String {
    let resource_type = parse(resource.as_bytes(), Limits::default()).unwrap();
    let resource_type = resource_type.resource_type().unwrap();
    format!(
        r#"{{"resource":{resource},"request":{{"method":"POST","url":"{resource_type}","ifNoneExist":"{criteria}"}}}}"#
    )
}

/// Complaint 1, with a chain.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_creates_under_a_chain_make_one_resource() {
    let site = Arc::new(with_patients().await);
    let request = "POST Observation?subject:Patient.identifier=urn:mrn|1&code=x";
    let replies = site.race(request, &of("Patient/a")).await;
    let count = |status| replies.iter().filter(|(s, _)| *s == status).count();
    assert_eq!((count(201), count(200)), (1, 63), "{replies:?}");
    assert_eq!(site.page("GET Observation").await.0.len(), 1);
}

#[tokio::test]
async fn updates_patches_and_deletions_take_chains_and_has() {
    let site = with_patients().await;
    let url = format!("PUT Observation?{CHAINED}");
    let first = site.ask(&url, &[], &of("Patient/a")).await.ok(201);
    let changed = of("Patient/a").replace("final", "amended");
    let second = site.ask(&url, &[], &changed).await.ok(200);
    assert_eq!(first.id(), second.id());
    let other = format!("PUT Observation?{}", CHAINED.replace("|1", "|2"));
    site.ask(&other, &[], &of("Patient/b")).await.ok(201);
    let patch = r#"[{"op":"replace","path":"/status","value":"corrected"}]"#;
    let headers = ["Content-Type: application/json-patch+json"];
    site.ask(&format!("PATCH Observation?{CHAINED}"), &headers, patch)
        .await
        .ok(200);
    let found = site.page("GET Observation?status=corrected").await.0;
    assert_eq!(found, [first.id().unwrap()]);
    let nobody = "PATCH Observation?subject:Patient.identifier=urn:mrn|9";
    site.ask(nobody, &headers, patch)
        .await
        .refused(404, "E-WRITE-14", "");
    let both = "DELETE Observation?patient.active=true";
    site.ask(both, &[], "").await.refused(412, "E-WRITE-3", "");
    let of_a = "DELETE Patient?_has:Observation:patient:status=corrected";
    assert_eq!(site.ask(of_a, &[], "").await.status, 204);
    assert_eq!(site.page("GET Patient").await.0, ["b"]);
    // Its subject is gone, so nothing is found by it.
    let gone = format!("DELETE Observation?{CHAINED}");
    assert_eq!(site.ask(&gone, &[], "").await.status, 204);
    assert_eq!(site.page("GET Observation").await.0.len(), 2);
    site.ask("PUT Observation?patient.nonsense=1", &[], &of("Patient/b"))
        .await
        .refused(400, "E-SEARCH-12", "");
}

/// Complaint 16: what the criteria look at is stored, or made by the same transaction.
#[tokio::test]
async fn conditional_references_take_chains() {
    let site = with_patients().await;
    let encounter = |id: &str, subject: &str| {
        format!(
            r#"{{"resourceType":"Encounter","id":"{id}","status":"planned","class":{{"code":"AMB"}},"subject":{{"reference":"{subject}"}}}}"#
        )
    };
    site.ask("PUT Encounter/e1", &[], &encounter("e1", "Patient/a"))
        .await
        .ok(201);
    let during = |number: &str| {
        let criteria = format!("Encounter?patient.identifier=urn:mrn|{number}");
        entry(
            "POST",
            "Observation",
            "",
            &of("Patient/a").replace("#x", &criteria),
        )
    };
    site.bundle("transaction", &[during("1")]).await.ok(200);
    let stored = site
        .page("GET Observation?derived-from=Encounter/e1")
        .await
        .0;
    assert_eq!(stored.len(), 1);
    // Made by the transaction: a patient and the encounter that refers to it.
    let urn = "urn:uuid:0fc374a1-a226-4552-9683-55dd510e67c9";
    let made = [
        during("7"),
        entry("POST", "Encounter", "", &encounter("x", urn)),
        entry(
            "POST",
            "Patient",
            &format!(r#""fullUrl":"{urn}","#),
            &patient("7"),
        ),
    ];
    let reply = site.bundle("transaction", &made).await.ok(200);
    let location = reply.items("entry")[1].str_at(&["response", "location"]);
    let id = location.unwrap().split('/').rev().nth(2).unwrap();
    let url = format!("GET Observation?derived-from=Encounter/{id}");
    assert_eq!(
        site.page(&url).await.0.len(),
        1,
        "{}",
        site.ask("GET Observation", &[], "").await.text
    );
    // A deletion in the same transaction counts before.
    let deletion = entry("DELETE", "Encounter/e1", "", "");
    site.bundle("transaction", &[deletion, during("1")])
        .await
        .refused(412, "E-WRITE-4", "Bundle.entry[1]");
    let second = encounter("e2", "Patient/a");
    site.ask("PUT Encounter/e2", &[], &second).await.ok(201);
    site.bundle("transaction", &[during("1")])
        .await
        .refused(412, "E-WRITE-5", "Bundle.entry[0]");
}

/// Complaint 2, with a chain.
#[tokio::test]
async fn two_entries_that_would_make_one_under_a_chain_make_one_or_are_refused() {
    let site = with_patients().await;
    let by_reference = of("Patient?identifier=urn:mrn|1");
    let in_other_words = "code=x&subject:Patient.identifier=urn:mrn|1";
    let entries = [
        unless(CHAINED, &of("Patient/a")),
        unless(in_other_words, &by_reference),
    ];
    let reply = site.bundle("transaction", &entries).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    for part in ["E-WRITE-12", "Bundle.entry[0]", "Bundle.entry[1]"] {
        assert!(reply.text.contains(part), "{}", reply.text);
    }
    assert!(site.page("GET Observation").await.0.is_empty());
    let same = [
        unless(CHAINED, &by_reference),
        unless(CHAINED, &by_reference),
    ];
    site.bundle("transaction", &same).await.ok(200);
    assert_eq!(site.page("GET Observation").await.0.len(), 1);
    // One of them alone, twice: the second finds the first.
    let one = [unless(CHAINED, &of("Patient/a"))];
    site.bundle("transaction", &one).await.ok(200);
    site.bundle("transaction", &one).await.ok(200);
    assert_eq!(site.page("GET Observation").await.0.len(), 1);
    // Of another patient: no rival.
    let other = [
        unless(&CHAINED.replace("|1", "|2"), &of("Patient/b")),
        entry("POST", "Observation", "", &of("Patient/a")),
    ];
    site.bundle("transaction", &other).await.ok(200);
    assert_eq!(site.page("GET Observation").await.0.len(), 3);
}
