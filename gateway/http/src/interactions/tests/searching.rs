//! Searching: what was used, pages, includes, times.

use super::*;

#[tokio::test]
async fn searching_tells_what_it_used() {
    let site = Site::new();
    let request = "GET Patient?active=true&nonsense=1&_pretty=true";
    let tree = site.ask(request, &[], "").await.ok(200);
    let link = tree.str_at(&["link", "url"]).unwrap();
    assert!(
        link.contains("active=true") && !link.contains("nonsense"),
        "{link}"
    );
    let strict = site.ask(request, &["Prefer: handling=strict"], "").await;
    assert_eq!(strict.status, 400, "{}", strict.text);
    let bad = site.ask("GET Patient?birthdate=yesterday", &[], "").await;
    assert_eq!(bad.status, 400, "{}", bad.text);
    let posted = site
        .ask("POST Patient/_search?active=true", &[], "")
        .await
        .ok(200);
    assert_eq!(posted.str_at(&["type"]), Some("searchset"));
}

#[tokio::test]
async fn pages_tile_the_answer() {
    let site = Site::new();
    let mut ids = Vec::new();
    for number in 0..25 {
        let id = format!("p{number:02}");
        let family = ["Abe", "Baraka", "Chipo"][number % 3];
        let body = format!(
            r#"{{"resourceType":"Patient","id":"{id}","active":{},"name":[{{"family":"{family}"}}]}}"#,
            number % 2 == 0
        );
        site.ask(&format!("PUT Patient/{id}"), &[], &body)
            .await
            .ok(201);
        ids.push(id);
    }
    for (request, expected) in [
        ("GET Patient?_count=7", 25),
        ("GET Patient?_count=25", 25),
        ("GET Patient?_count=7&_sort=family", 25),
        ("GET Patient?_count=7&_sort=-family", 25),
        ("GET Patient?_count=4&active=true&_sort=family", 13),
        ("GET Patient?_count=4&family=abe,chipo", 17),
        ("GET Patient?_count=4&family=nobody", 0),
    ] {
        let pages = site.pages(request).await;
        let mut all = pages.concat();
        assert!(
            pages.len() == 1 || pages.iter().all(|page| !page.is_empty()),
            "{request}: {pages:?}"
        );
        all.sort();
        all.dedup();
        assert_eq!(
            (all.len(), pages.concat().len()),
            (expected, expected),
            "{request}"
        );
    }
    let sorted = site
        .pages("GET Patient?_count=7&_sort=family")
        .await
        .concat();
    let family = |id: &String| id.trim_start_matches('p').parse::<usize>().unwrap() % 3;
    assert!(sorted.is_sorted_by_key(family), "{sorted:?}");
    let count = site
        .ask("GET Patient?_summary=count", &[], "")
        .await
        .ok(200);
    assert_eq!(count.get("total").unwrap().as_number(), Some("25"));
    assert_eq!(count.items("entry").len(), 0);
    let (_, next) = site.page("GET Patient?_count=7").await;
    let damaged = next.unwrap().replace("_after=", "_after=A");
    site.ask(&damaged, &[], "")
        .await
        .refused(400, "E-LINK-1", "");
}

/// `ap` depends on now: the pages of a search are all asked at the time of the first.
#[tokio::test]
async fn approximate_dates_mean_the_same_on_every_page() {
    let site = Site::new();
    for number in 0..5 {
        let body = format!(
            r#"{{"resourceType":"Patient","id":"p{number}","birthDate":"2036-11-2{number}"}}"#
        );
        let request = format!("PUT Patient/p{number}");
        site.ask(&request, &[], &body).await.ok(201);
    }
    // In November 2026 a tenth of eleven years, ten years later a tenth of one.
    let request = "GET Patient?birthdate=ap2037-11-01&_count=2";
    let (first, next) = site.page(request).await;
    site.clock.advance(Duration::from_secs(3_650 * 86_400));
    let rest = site.pages(&next.unwrap()).await.concat();
    assert_eq!((first.len(), rest.len()), (2, 3));
    assert_eq!(site.page(request).await.0.len(), 0);
}

/// What a client that asks for "everything since" relies on.
#[tokio::test]
async fn the_time_of_a_change_is_searchable() {
    let site = Site::new();
    let put = async |id: &str, active: bool| {
        let body = format!(r#"{{"resourceType":"Patient","id":"{id}","active":{active}}}"#);
        let reply = site.ask(&format!("PUT Patient/{id}"), &[], &body).await;
        site.clock.advance(Duration::from_secs(1));
        let tree = reply.tree();
        tree.str_at(&["meta", "lastUpdated"]).unwrap().to_owned()
    };
    put("a", true).await;
    let second = put("b", true).await;
    put("a", false).await;
    let since = format!("GET Patient?_lastUpdated=gt{second}&_sort=_lastUpdated");
    for (request, expected) in [
        ("GET Patient?_sort=_lastUpdated", vec!["b", "a"]),
        ("GET Patient?_sort=-_lastUpdated", vec!["a", "b"]),
        (since.as_str(), vec!["a"]),
        ("GET Patient?_lastUpdated=gt2100", vec![]),
        ("GET Patient?active=true", vec!["b"]),
        ("GET Patient?_id=a,b&active=false", vec!["a"]),
    ] {
        assert_eq!(site.page(request).await.0, expected, "{request}");
    }
    let first = site
        .ask("GET Patient/a/_history?_count=1", &[], "")
        .await
        .ok(200);
    assert_eq!(first.items("entry").len(), 1);
    let next = &first.items("link")[1];
    assert!(
        next.str_at(&["url"])
            .unwrap()
            .ends_with("/Patient/a/_history?_count=1&_before=2")
    );
    let rest = site
        .ask("GET Patient/a/_history?_count=1&_before=2", &[], "")
        .await
        .ok(200);
    assert_eq!(
        (rest.items("entry").len(), rest.items("link").len()),
        (1, 1)
    );
}

#[tokio::test]
async fn includes_come_beside_the_matches() {
    let site = Site::new();
    site.ask(
        "PUT Patient/a",
        &[],
        r#"{"resourceType":"Patient","id":"a"}"#,
    )
    .await
    .ok(201);
    for _ in 0..2 {
        site.ask("POST Observation", &[], &observation("Patient/a", "#x"))
            .await
            .ok(201);
    }
    let tree = site
        .ask("GET Observation?_include=Observation:subject", &[], "")
        .await
        .ok(200);
    let modes: Vec<_> = tree
        .items("entry")
        .iter()
        .map(|e| e.str_at(&["search", "mode"]).unwrap())
        .collect();
    assert_eq!(modes, ["match", "match", "include"]);
    assert_eq!(tree.get("total").unwrap().as_number(), Some("2"));
    assert_eq!(
        tree.items("entry")[2].str_at(&["fullUrl"]),
        Some("http://127.0.0.1:8080/fhir/Patient/a")
    );
}
