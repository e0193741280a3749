//! Requests that ask for too much: each is answered or refused within bounds, and others are served.

use super::*;

/// Observations that are derived from one another in a circle.
async fn circle(site: &Site, count: usize) {
    let observations = (0..count).map(|number| {
        let body = observation(
            "Patient/p",
            &format!("Observation/o{}", (number + 1) % count),
        );
        let body = body.replace(
            r#""Observation","#,
            &format!(r#""Observation","id":"o{number}","#),
        );
        entry("PUT", &format!("Observation/o{number}"), "", &body)
    });
    let patient = entry(
        "PUT",
        "Patient/p",
        "",
        &patient("7").replace(r#""Patient","#, r#""Patient","id":"p","#),
    );
    let entries: Vec<String> = observations.chain([patient]).collect();
    site.bundle("transaction", &entries).await.ok(200);
}

fn values(count: usize) -> String {
    let values: Vec<String> = (0..count)
        .map(|number| format!("urn:mrn|{number}"))
        .collect();
    values.join(",")
}

fn nested(depth: usize) -> String {
    let has = "_has:Observation:derived-from:".repeat(depth);
    format!("GET Observation?{has}code=x&_count=1000")
}

#[tokio::test]
async fn lists_and_nestings_end_somewhere() {
    let site = Site::new();
    circle(&site, 30).await;
    let by_patient = |count| {
        format!(
            "GET Observation?_count=100&subject:Patient.identifier={}",
            values(count)
        )
    };
    assert_eq!(site.page(&by_patient(1_000)).await.0.len(), 30);
    site.ask(&by_patient(1_001), &[], "")
        .await
        .refused(400, "E-SEARCH-1", "");
    assert_eq!(site.page(&nested(6)).await.0.len(), 30);
    for depth in [7, 10] {
        site.ask(&nested(depth), &[], "")
            .await
            .refused(400, "E-SEARCH-10", "");
    }
    let long = format!("GET Observation?{}=x", "subject.".repeat(100));
    site.ask(&long, &[], "")
        .await
        .refused(400, "E-SEARCH-9", "");
}

#[tokio::test]
async fn includes_that_go_in_circles_come_to_an_end() {
    let site = Site::new();
    circle(&site, 40).await;
    let loops = "_include:iterate=Observation:derived-from&_revinclude:iterate=Observation:derived-from&_include:iterate=*&_revinclude:iterate=Observation:*";
    let tree = site
        .ask(&format!("GET Observation?_id=o3&{loops}"), &[], "")
        .await
        .ok(200);
    let mut urls: Vec<&str> = tree
        .items("entry")
        .iter()
        .map(|entry| entry.str_at(&["fullUrl"]).unwrap())
        .collect();
    urls.sort_unstable();
    let count = urls.len();
    urls.dedup();
    assert_eq!((count, urls.len()), (41, 41), "each comes once");
}

/// What a small search may read at once is no reason to leave anything out.
#[tokio::test]
async fn includes_of_a_small_search_are_whole() {
    let site = Site::new();
    circle(&site, 500).await;
    let request = "GET Patient?_id=p&_revinclude=Observation:subject";
    let tree = site.ask(request, &[], "").await.ok(200);
    let modes = tree.items("entry").iter();
    let modes = modes.filter_map(|entry| entry.str_at(&["search", "mode"]));
    assert_eq!(modes.filter(|mode| *mode == "include").count(), 500);
}

#[tokio::test]
async fn a_count_of_a_million_is_a_page_of_the_most_there_is() {
    let mut site = Site::new();
    site.surface.page_size_max = 7;
    circle(&site, 10).await;
    let pages = site.pages("GET Observation?_count=1000000").await;
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [7, 3]);
}

/// Complaint 8: what was left out is said.
#[tokio::test]
async fn includes_that_are_cut_are_said_to_be() {
    let site = Site::new();
    let patient = patient("1").replace(r#""Patient","#, r#""Patient","id":"p","#);
    site.ask("PUT Patient/p", &[], &patient).await.ok(201);
    let note = "word ".repeat(200 << 10);
    let body = observation("Patient/p", "#x").replace(
        r#""status""#,
        &format!(r#""note":[{{"text":"{note}"}}],"status""#),
    );
    for _ in 0..34 {
        site.ask("POST Observation", &[], &body).await.ok(201);
    }
    let request = "GET Patient?_id=p&_revinclude=Observation:patient";
    let tree = site.ask(request, &[], "").await.ok(200);
    let last = tree.items("entry").last().unwrap();
    assert_eq!(last.str_at(&["search", "mode"]), Some("outcome"));
    let text = fhir_mapping::model::format(last);
    assert!(text.contains("E-INCLUDE-1"), "{text}");
    let included = tree.items("entry").len() - 2;
    assert!((20..34).contains(&included), "{included}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_served_meanwhile() {
    let site = Arc::new(Site::new());
    circle(&site, 200).await;
    let hostile = [
        nested(6),
        nested(10),
        format!(
            "GET Observation?subject:Patient.identifier={}",
            values(1_000)
        ),
        "GET Observation?_count=1000000&_include:iterate=*&_revinclude:iterate=Observation:*"
            .to_owned(),
    ];
    let mut asks = tokio::task::JoinSet::new();
    for request in hostile.into_iter().cycle().take(24) {
        let site = Arc::clone(&site);
        asks.spawn(async move { site.ask(&request, &[], "").await.status });
    }
    for _ in 0..20 {
        let read = site.ask("GET Patient/p", &[], "");
        let reply = tokio::time::timeout(Duration::from_secs(60), read).await;
        reply.unwrap().ok(200);
    }
    let statuses = asks.join_all().await;
    assert!(
        statuses
            .iter()
            .all(|status| [200, 400, 429].contains(status)),
        "{statuses:?}"
    );
}
