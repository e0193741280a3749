//! `$everything`.

use super::*;
use std::collections::BTreeSet;

/// A patient with an encounter, three observations, a condition and what they refer to; beside it
/// another patient's record.
async fn record() -> Site {
    let site = Site::new();
    for resource in [
        r#"{"resourceType":"Practitioner","id":"dr"}"#,
        r#"{"resourceType":"Organization","id":"org"}"#,
        r#"{"resourceType":"Organization","id":"other"}"#,
        r#"{"resourceType":"Patient","id":"p","managingOrganization":{"reference":"Organization/org"}}"#,
        r#"{"resourceType":"Patient","id":"q"}"#,
        r#"{"resourceType":"Group","id":"g","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/p"}},{"entity":{"reference":"Patient/q"}}]}"#,
        r#"{"resourceType":"Encounter","id":"e","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/p"},"period":{"start":"2026-02-01","end":"2026-02-03"}}"#,
        r#"{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/p"},"encounter":{"reference":"Encounter/e"}}"#,
    ] {
        site.put(resource).await;
    }
    for (id, patient, date) in [
        ("o1", "p", "2026-01-01"),
        ("o2", "p", "2026-02-02"),
        ("o3", "p", "2026-03-01"),
        ("x", "q", "2026-02-02"),
    ] {
        site.put(&format!(r#"{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"text":"x"}},"subject":{{"reference":"Patient/{patient}"}},"encounter":{{"reference":"Encounter/{}"}},"performer":[{{"reference":"Practitioner/dr"}}],"effectiveDateTime":"{date}"}}"#, if patient == "p" { "e" } else { "none" })).await;
    }
    site
}

async fn ids(site: &Site, request: &str) -> String {
    let pages = site.pages(request).await;
    let all: Vec<String> = pages.concat();
    let set: BTreeSet<&String> = all.iter().collect();
    assert_eq!(set.len(), all.len(), "no repeats: {all:?}");
    set.into_iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn a_record_is_whole_and_nobody_elses() {
    let site = record().await;
    for (request, expected) in [
        ("GET Patient/p/$everything", "c dr e g o1 o2 o3 org p"),
        ("POST Patient/p/$everything", "c dr e g o1 o2 o3 org p"),
        ("GET Patient/q/$everything", "dr g q x"),
        (
            "GET Patient/p/$everything?_type=Observation,Practitioner",
            "dr o1 o2 o3",
        ),
        (
            "GET Patient/p/$everything?start=2026-02-01&end=2026-02-28",
            "c dr e g o2 org p",
        ),
        ("GET Patient/p/$everything?end=2026-01", "c dr g o1 org p"),
        ("GET Encounter/e/$everything", "c dr e o1 o2 o3 p"),
        ("GET Patient/$everything", "c dr e g o1 o2 o3 org p q x"),
        ("POST Patient/$everything?_type=Observation", "o1 o2 o3 x"),
        (
            "GET Patient/$everything?start=2026-02-01&end=2026-02-28&_type=Observation,Patient",
            "o2 p q x",
        ),
    ] {
        assert_eq!(ids(&site, request).await, expected, "{request}");
    }
}

#[tokio::test]
async fn since_answers_with_what_changed() {
    let site = record().await;
    site.clock.advance(std::time::Duration::from_secs(60));
    let since = gateway_ground::clock::format_instant(site.clock.now_ms() - 1);
    site.put(r#"{"resourceType":"Practitioner","id":"dr","active":true}"#)
        .await;
    let found = ids(&site, &format!("GET Patient/p/$everything?_since={since}")).await;
    assert_eq!(found, "dr");
}

#[tokio::test]
async fn pages_tile_the_record_while_others_write() {
    let site = record().await;
    for count in 1..=10 {
        let (mut all, mut next) = (
            Vec::new(),
            Some(format!("GET Patient/p/$everything?_count={count}")),
        );
        let mut sizes = Vec::new();
        while let Some(request) = next {
            let (ids, following) = site.page(&request).await;
            sizes.push(ids.len());
            all.extend(ids);
            next = following;
            // A new one belongs to no page; a changed one keeps its place.
            site.put(&format!(r#"{{"resourceType":"Observation","id":"n{count}-{}","status":"final","code":{{"text":"x"}},"subject":{{"reference":"Patient/p"}}}}"#, sizes.len())).await;
            site.put(&format!(r#"{{"resourceType":"Condition","id":"c","code":{{"text":"{}"}},"subject":{{"reference":"Patient/p"}}}}"#, sizes.len())).await;
        }
        assert!(
            sizes.iter().rev().skip(1).all(|size| *size == count),
            "{sizes:?}"
        );
        let set: BTreeSet<&str> = all
            .iter()
            .map(String::as_str)
            .filter(|id| !id.starts_with('n'))
            .collect();
        let joined: Vec<&str> = set.into_iter().collect();
        assert_eq!(joined.join(" "), "c dr e g o1 o2 o3 org p");
        let strangers = all
            .iter()
            .filter(|id| id.starts_with(&format!("n{count}-")))
            .count();
        assert_eq!(strangers, 0, "{all:?}");
    }
}

#[tokio::test]
async fn the_patient_comes_first_and_modes_are_told() {
    let site = record().await;
    let bundle = site.ask("GET Patient/p/$everything", &[], "").await.ok(200);
    assert_eq!(bundle.str_at(&["type"]), Some("searchset"));
    assert_eq!(bundle.get("total").and_then(Json::as_number), Some("9"));
    assert_eq!(bundle.str_at(&["entry", "resource", "id"]), Some("p"));
    let included: Vec<&str> = bundle
        .items("entry")
        .iter()
        .filter(|entry| entry.str_at(&["search", "mode"]) == Some("include"))
        .filter_map(|entry| entry.str_at(&["resource", "id"]))
        .collect();
    assert_eq!(included, ["dr", "org"]);
}

#[tokio::test]
async fn mistakes_are_named() {
    let site = record().await;
    for (query, parameter) in [
        ("_type=Nothing", "_type"),
        ("_since=x", "_since"),
        ("start=x", "start"),
        ("_count=x", "_count"),
    ] {
        let reply = site
            .ask(&format!("GET Patient/p/$everything?{query}"), &[], "")
            .await;
        reply.refused(
            400,
            "E-OPERATION-1",
            &format!("Parameters.parameter.where(name='{parameter}')"),
        );
    }
    assert_eq!(
        site.ask("GET Patient/p/$everything?_after=AAAA", &[], "")
            .await
            .status,
        400
    );
    assert_eq!(
        site.ask("GET Patient/none/$everything", &[], "")
            .await
            .status,
        404
    );
    assert_eq!(
        site.ask("GET Observation/o1/$everything", &[], "")
            .await
            .status,
        404
    );
    site.ask("DELETE Patient/p", &[], "").await;
    assert_eq!(
        site.ask("GET Patient/p/$everything", &[], "").await.status,
        410
    );
}

#[tokio::test]
async fn pages_tile_all_records_while_others_write() {
    let site = record().await;
    for count in 1..=12 {
        let pages = site
            .pages(&format!("GET Patient/$everything?_count={count}"))
            .await;
        assert!(pages.iter().all(|page| (1..=count).contains(&page.len())));
        let mut all: Vec<String> = pages.concat();
        // What several patients refer to may come again, on another page.
        all.sort();
        let mentioned = ["dr", "org"].map(str::to_owned);
        all.dedup_by(|a, b| a == b && mentioned.contains(a));
        assert_eq!(all.join(" "), "c dr e g o1 o2 o3 org p q x", "{count}");
    }
    let first = site
        .ask("GET Patient/$everything?_count=2", &[], "")
        .await
        .ok(200);
    site.put(r#"{"resourceType":"Patient","id":"late"}"#).await;
    site.ask("DELETE Patient/q", &[], "").await;
    let links = first.items("link").iter();
    let next = links
        .filter(|link| link.str_at(&["relation"]) == Some("next"))
        .find_map(|link| link.str_at(&["url"]));
    let rest = next.unwrap().rsplit_once("/fhir/").unwrap().1.to_owned();
    let rest = site.pages(&format!("GET {rest}")).await.concat();
    assert!(!rest.contains(&"late".to_owned()), "{rest:?}");
    assert!(rest.contains(&"o3".to_owned()), "{rest:?}");
}

/// Many resources in one commit each of 500.
async fn load(site: &Site, resources: Vec<String>) {
    for part in resources.chunks(500) {
        let entries: Vec<String> = part
            .iter()
            .map(|resource| {
                let tree = fhir_mapping::model::parse(resource.as_bytes(), Default::default());
                let tree = tree.unwrap();
                let url = format!("{}/{}", tree.resource_type().unwrap(), tree.id().unwrap());
                entry("PUT", &url, "", resource)
            })
            .collect();
        site.bundle("transaction", &entries).await.ok(200);
    }
}

/// However large a record is, each answer is bounded in resources and in bytes, and together they are
/// the whole, once.
#[tokio::test]
async fn a_record_of_5000_comes_in_bounded_pages() {
    const PAGE_BYTES: usize = 8 << 20;
    let site = Site::new();
    site.put(r#"{"resourceType":"Patient","id":"p"}"#).await;
    let observation = |number: usize| {
        // The first 800 are large: a page of them ends by its bytes.
        let length = if number < 800 { 20_000 } else { 20 };
        let text = "x".repeat(length);
        format!(
            r#"{{"resourceType":"Observation","id":"o{number}","status":"final","code":{{"text":"{text}"}},"subject":{{"reference":"Patient/p"}}}}"#
        )
    };
    load(&site, (0..5_000).map(observation).collect()).await;
    let (mut pages, mut all, mut ended_by_bytes) = (0, BTreeSet::new(), false);
    let mut next = Some("Patient/p/$everything".to_owned());
    while let Some(url) = next {
        let reply = site.ask(&format!("GET {url}"), &[], "").await;
        assert!(
            reply.text.len() <= PAGE_BYTES + 1_000 * 200 + 21_000,
            "{}",
            reply.text.len()
        );
        let bundle = reply.ok(200);
        let entries = bundle.items("entry");
        assert!(entries.len() <= 1_000);
        for one in entries {
            let id = one.str_at(&["resource", "id"]).unwrap().to_owned();
            assert!(all.insert(id), "no repeats");
        }
        let mut links = bundle.items("link").iter();
        let link = links.find(|link| link.str_at(&["relation"]) == Some("next"));
        next = link.map(|link| {
            let url = link.str_at(&["url"]).unwrap();
            url.rsplit_once("/fhir/").unwrap().1.to_owned()
        });
        ended_by_bytes |= next.is_some() && entries.len() < 1_000;
        pages += 1;
    }
    assert_eq!(all.len(), 5_001);
    assert!(pages >= 6 && ended_by_bytes, "{pages}");
}
