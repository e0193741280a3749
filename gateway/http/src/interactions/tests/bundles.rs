//! Batches and transactions.

use super::*;

#[tokio::test]
async fn a_transaction_links_its_entries_both_ways() {
    let site = Site::new();
    let entries = [
        entry(
            "POST",
            "Observation",
            r#""fullUrl":"urn:uuid:2","#,
            &observation("urn:uuid:1", "urn:uuid:2"),
        ),
        entry(
            "POST",
            "Patient",
            r#""fullUrl":"urn:uuid:1","#,
            r#"{"resourceType":"Patient","link":[{"other":{"reference":"urn:uuid:1"},"type":"seealso"}]}"#,
        ),
        entry("GET", "Observation?code=x", "", ""),
    ];
    let tree = site.bundle("transaction", &entries).await.ok(200);
    assert_eq!(tree.str_at(&["type"]), Some("transaction-response"));
    let location = |index: usize| {
        let response = tree.items("entry")[index].get("response").unwrap();
        assert_eq!(response.str_at(&["status"]), Some("201 Created"));
        response
            .str_at(&["location"])
            .unwrap()
            .trim_end_matches("/_history/1")
            .to_owned()
    };
    let (observation, patient) = (location(0), location(1));
    let read = site
        .ask(&format!("GET {observation}"), &[], "")
        .await
        .ok(200);
    assert_eq!(
        read.str_at(&["subject", "reference"]),
        Some(patient.as_str())
    );
    assert_eq!(
        read.str_at(&["derivedFrom", "reference"]),
        Some(observation.as_str())
    );
    let value = read.at(&["valueQuantity", "value"]).unwrap().as_number();
    assert_eq!(value, Some("1.00"), "decimals are kept");
    let found = tree.items("entry")[2].get("resource").unwrap();
    assert_eq!(found.items("entry").len(), 1, "reads see what was written");
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let site = Site::new();
    let good = || entry("POST", "Patient", "", &patient("1"));
    let twin = |content: &str| entry_if_none_exist("identifier=urn:mrn|1", "urn:uuid:a", content);
    let cases: [(Vec<String>, u16, &str, &str); 9] = [
        (
            vec![
                good(),
                entry(
                    "PUT",
                    "Patient/x",
                    "",
                    r#"{"resourceType":"Patient","id":"y"}"#,
                ),
            ],
            400,
            "E-CONTENT-4",
            "Bundle.entry[1].resource.id",
        ),
        (
            vec![good(), entry("PATCH", "Patient/x", "", "")],
            400,
            "E-PATCH-15",
            "Bundle.entry[1]",
        ),
        (
            vec![good(), entry("POST", "Patient", "", "")],
            400,
            "E-TX-2",
            "Bundle.entry[1]",
        ),
        (
            vec![
                good(),
                entry("DELETE", "Patient/x", "", ""),
                entry("DELETE", "Patient/x", "", ""),
            ],
            400,
            "E-TX-5",
            "Bundle.entry[2]",
        ),
        (
            vec![
                good(),
                entry(
                    "POST",
                    "Observation",
                    "",
                    &observation("Patient?identifier=urn:mrn|9", "#a"),
                ),
            ],
            412,
            "E-WRITE-4",
            "Bundle.entry[1]",
        ),
        (
            vec![twin(&patient("1")), twin(r#"{"resourceType":"Patient"}"#)],
            400,
            "E-TX-4",
            "Bundle.entry[1]",
        ),
        (
            vec![
                entry(
                    "POST",
                    "Patient",
                    r#""fullUrl":"urn:uuid:1","#,
                    &patient("1"),
                ),
                entry(
                    "POST",
                    "Patient",
                    r#""fullUrl":"urn:uuid:1","#,
                    &patient("2"),
                ),
            ],
            400,
            "E-TX-3",
            "Bundle.entry[1]",
        ),
        (
            vec![good(), r#"{"fullUrl":"urn:uuid:z"}"#.to_owned()],
            400,
            "E-BUNDLE-3",
            "Bundle.entry[1].request",
        ),
        (
            vec![good(), entry("POST", "/", "", "")],
            400,
            "E-TX-1",
            "Bundle.entry[1]",
        ),
    ];
    for (entries, status, number, expression) in cases {
        site.bundle("transaction", &entries)
            .await
            .refused(status, number, expression);
    }
    let stale = r#"{"resource":{"resourceType":"Patient","id":"x"},"request":{"method":"PUT","url":"Patient/x","ifMatch":"W/\"4\""}}"#;
    site.bundle("transaction", &[good(), stale.to_owned()])
        .await
        .refused(412, "E-WRITE-1", "Bundle.entry[1]");
    assert_eq!(
        site.page("GET Patient").await.0,
        [""; 0],
        "nothing was stored"
    );
}

#[tokio::test]
async fn conditional_entries_find_what_exists() {
    let site = Site::new();
    let known = site.ask("POST Patient", &[], &patient("1")).await.ok(201);
    let known = format!("Patient/{}", known.id().unwrap());
    let twin = || entry_if_none_exist("identifier=urn:mrn|1", "urn:uuid:a", &patient("1"));
    let new = entry_if_none_exist("identifier=urn:mrn|2", "urn:uuid:b", &patient("2"));
    let by_url = entry(
        "POST",
        "Observation",
        "",
        &observation("urn:uuid:a", "Patient?identifier=urn:mrn%7C2"),
    );
    let tree = site
        .bundle("transaction", &[by_url, twin(), new, twin()])
        .await
        .ok(200);
    let status = |index: usize| {
        tree.items("entry")[index]
            .str_at(&["response", "status"])
            .unwrap()
    };
    assert_eq!(
        [status(0), status(1), status(2), status(3)],
        ["201 Created", "200 OK", "201 Created", "200 OK"]
    );
    let location = |index: usize| {
        let text = tree.items("entry")[index]
            .str_at(&["response", "location"])
            .unwrap();
        text.split_once("/_history").unwrap().0.to_owned()
    };
    assert_eq!((location(1), location(3)), (known.clone(), known.clone()));
    let read = site
        .ask(&format!("GET {}", location(0)), &[], "")
        .await
        .ok(200);
    assert_eq!(read.str_at(&["subject", "reference"]), Some(known.as_str()));
    assert_eq!(
        read.str_at(&["derivedFrom", "reference"]),
        Some(location(2).as_str()),
        "made in the same transaction"
    );
    assert_eq!(site.page("GET Patient").await.0.len(), 2);
}

/// Many devices send one new patient, each with an observation: all must end at the same patient.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_transactions_meet_at_one_resource() {
    let site = Arc::new(Site::new());
    let mut asks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let site = site.clone();
        asks.spawn(async move {
            let twin = entry_if_none_exist("identifier=urn:mrn|1", "urn:uuid:a", &patient("1"));
            let conditional = "Patient?identifier=urn:mrn|1";
            let reference = if number % 2 == 0 {
                "urn:uuid:a"
            } else {
                conditional
            };
            let observation = entry("POST", "Observation", "", &observation(reference, "#x"));
            site.bundle("transaction", &[observation, twin])
                .await
                .status
        });
    }
    assert_eq!(asks.join_all().await, [200; 12]);
    let patients = site.page("GET Patient").await.0;
    assert_eq!(patients.len(), 1);
    let request = format!("GET Observation?subject=Patient/{}", patients[0]);
    assert_eq!(site.page(&request).await.0.len(), 12);
}

#[tokio::test]
async fn a_batch_isolates_what_fails() {
    let site = Site::new();
    let entries = [
        entry(
            "PUT",
            "Patient/a",
            "",
            r#"{"resourceType":"Patient","id":"a"}"#,
        ),
        entry(
            "PUT",
            "Patient/b",
            "",
            r#"{"resourceType":"Patient","id":"c"}"#,
        ),
        entry("GET", "Patient/a", "", ""),
        entry("POST", "/", "", ""),
        entry("GET", "Patient/zz", "", ""),
    ];
    let tree = site.bundle("batch", &entries).await.ok(200);
    let status = |entry: &Json| entry.str_at(&["response", "status"]).unwrap().to_owned();
    let statuses: Vec<_> = tree.items("entry").iter().map(status).collect();
    let expected = [
        "201 Created",
        "400 Bad Request",
        "200 OK",
        "400 Bad Request",
        "404 Not Found",
    ];
    assert_eq!(statuses, expected);
    let expression = tree.items("entry")[1].str_at(&["response", "outcome", "issue", "expression"]);
    assert_eq!(expression, Some("Bundle.entry[1].resource.id"));
    assert_eq!(
        tree.items("entry")[2].str_at(&["resource", "id"]),
        Some("a")
    );
}

/// An entry that cannot even be read harms no other of a batch, and all of a transaction.
#[tokio::test]
async fn a_batch_isolates_what_cannot_be_read() {
    let site = Site::new();
    let put = |id: &str| {
        let own = format!(r#"{{"resourceType":"Patient","id":"{id}"}}"#);
        entry("PUT", &format!("Patient/{id}"), "", &own)
    };
    let cases = [
        (
            r#"{"resource":{"resourceType":"Patient"}}"#,
            "400 Bad Request",
            "E-BUNDLE-3",
            "Bundle.entry[1].request",
        ),
        (
            r#"{"request":{"method":"BREW","url":"Patient/p"}}"#,
            "422 Unprocessable Entity",
            "E-VAL-15",
            "Bundle.entry[1].request.method",
        ),
        (
            r#"{"request":{"method":"GET","url":"Patient/p"},"nonsense":1}"#,
            "422 Unprocessable Entity",
            "E-VAL-5",
            "Bundle.entry[1].nonsense",
        ),
        (
            r#"{"request":{"method":"DELETE","url":"Patient/a","ifMatch":"W/\"9\"\n"}}"#,
            "400 Bad Request",
            "E-BUNDLE-5",
            "Bundle.entry[1].request.ifMatch",
        ),
    ];
    for (bad, status, number, expression) in cases {
        let entries = [put("a"), bad.to_owned(), put("b")];
        let tree = site.bundle("batch", &entries).await.ok(200);
        let answers = tree.items("entry");
        let text = |at: usize, path: &[&str]| {
            let response = answers[at].get("response").unwrap();
            response.str_at(path).unwrap_or_default().to_owned()
        };
        for at in [0, 2] {
            assert!(text(at, &["status"]).starts_with('2'), "{bad}");
        }
        assert_eq!(text(1, &["status"]), status, "{bad}");
        assert_eq!(text(1, &["outcome", "issue", "expression"]), expression);
        let told = text(1, &["outcome", "issue", "diagnostics"]);
        assert!(told.starts_with(&format!("{number}: ")), "{told}");
        let status = status.split(' ').next().unwrap().parse().unwrap();
        let whole = site
            .bundle("transaction", &[put("c"), bad.to_owned()])
            .await;
        whole.refused(status, number, expression);
        assert_eq!(site.ask("GET Patient/c", &[], "").await.status, 404);
    }
    assert_eq!(site.ask("GET Patient/a", &[], "").await.status, 200);
}

/// Criteria with names as people write them.
#[tokio::test]
async fn conditions_of_entries_are_not_of_ascii_alone() {
    let site = Site::new();
    let own = r#"{"resourceType":"Patient","name":[{"family":"Müller"}]}"#;
    let again = entry_if_none_exist("family:exact=Müller", "urn:uuid:a", own);
    for expected in ["201", "200"] {
        let tree = site
            .bundle("transaction", std::slice::from_ref(&again))
            .await
            .ok(200);
        let status = tree.items("entry")[0].str_at(&["response", "status"]);
        assert!(status.unwrap().starts_with(expected), "{status:?}");
    }
    assert_eq!(site.page("GET Patient").await.0.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_synthea_bundle_loads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/synthea");
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no {folder}");
        return;
    };
    let site = Site::new();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let mut by_type = std::collections::BTreeMap::new();
    for path in paths {
        let mut text = String::new();
        let mut file = bzip2::read::MultiBzDecoder::new(std::fs::File::open(&path).unwrap());
        std::io::Read::read_to_string(&mut file, &mut text).unwrap();
        let reply = site.ask("POST ", &[], &text).await;
        assert_eq!(reply.status, 200, "{}: {:.600}", path.display(), reply.text);
        for entry in reply.tree().items("entry") {
            assert_eq!(entry.str_at(&["response", "status"]), Some("201 Created"));
            let location = entry.str_at(&["response", "location"]).unwrap();
            let resource_type = location.split_once('/').unwrap().0.to_owned();
            *by_type.entry(resource_type).or_insert(0_u64) += 1;
        }
    }
    for (resource_type, count) in by_type {
        let request = format!("GET {resource_type}?_summary=count");
        let reply = site.ask(&request, &[], "").await;
        assert_eq!(reply.status, 200, "{request}");
        let tree = reply.ok(200);
        assert_eq!(
            tree.get("total").unwrap().as_number(),
            Some(count.to_string().as_str()),
            "{resource_type}"
        );
    }
}
