//! Complaints about pages: rows twice or never, totals that change, links that lead nowhere.

use super::*;

async fn patient_named(site: &Site, id: &str, family: &str, active: bool) {
    let body = format!(
        r#"{{"resourceType":"Patient","id":"{id}","active":{active},"name":[{{"family":"{family}"}}]}}"#
    );
    let reply = site.ask(&format!("PUT Patient/{id}"), &[], &body).await;
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text);
}

async fn thirty() -> Site {
    let site = Site::new();
    for number in 0..30 {
        let family = ["Abe", "Baraka", "Chipo"][number % 3];
        patient_named(&site, &format!("p{number:02}"), family, number % 2 == 0).await;
    }
    site
}

/// What others do between two pages: they insert, rename, deactivate, delete and bring back.
async fn disturb(site: &Site, round: usize) {
    patient_named(site, &format!("new{round}"), "Abe", true).await;
    for number in [round, 29 - round, 12 + round % 3] {
        let id = format!("p{number:02}");
        match (round + number) % 4 {
            0 => drop(site.ask(&format!("DELETE Patient/{id}"), &[], "").await),
            1 => patient_named(site, &id, "Zola", true).await,
            2 => patient_named(site, &id, "Aaron", false).await,
            _ => patient_named(site, &id, "Moyo", number % 2 == 1).await,
        }
    }
}

/// Complaint 4.
#[tokio::test]
async fn nobody_is_seen_twice_or_missed_while_others_write() {
    for request in [
        "GET Patient?_count=4",
        "GET Patient?_count=4&_sort=family",
        "GET Patient?_count=3&_sort=-family,_id",
        "GET Patient?_count=3&active=true&_sort=name",
        "GET Patient?_count=3&family=abe,chipo",
        "GET Patient?_count=5&_sort=-_lastUpdated",
    ] {
        let site = thirty().await;
        let whole = request.replace("_count=4", "_count=100");
        let whole = whole
            .replace("_count=3", "_count=100")
            .replace("_count=5", "_count=100");
        let expected = site.page(&whole).await.0;
        let (mut found, mut next) = site.page(request).await;
        let mut round = 0;
        while let Some(link) = next {
            disturb(&site, round).await;
            let page = site.page(&link).await;
            assert!(!page.0.is_empty(), "{request}: complaint 6, an empty page");
            found.extend(page.0);
            next = page.1;
            round += 1;
        }
        assert_eq!(found, expected, "{request}");
    }
}

/// Complaint 4, the content: a page shows what its place in the answer was judged by.
#[tokio::test]
async fn a_page_shows_the_versions_that_the_first_page_was_made_of() {
    let site = thirty().await;
    let (_, next) = site.page("GET Patient?_count=29&_sort=_id").await;
    patient_named(&site, "p29", "Zola", false).await;
    let page = site.ask(&next.unwrap(), &[], "").await;
    assert!(
        page.text.contains("Chipo") && !page.text.contains("Zola"),
        "{}",
        page.text
    );
    let fresh = site.ask("GET Patient?_id=p29", &[], "").await;
    assert!(
        fresh.text.contains("Zola"),
        "complaint 10: a new search sees it"
    );
}

/// Complaint 6.
#[tokio::test]
async fn a_next_link_always_leads_to_a_match() {
    let site = thirty().await;
    for (request, pages) in [
        ("GET Patient?_count=30", 1),
        ("GET Patient?_count=15", 2),
        ("GET Patient?_count=29", 2),
        ("GET Patient?active=true&_count=15", 1),
        ("GET Patient?family=nobody&_count=1", 1),
        ("GET Patient?family=abe&_sort=-_id&_count=5", 2),
        ("GET Patient?_summary=count", 1),
        ("GET Patient?_count=0", 1),
    ] {
        let found = site.pages(request).await;
        assert_eq!(found.len(), pages, "{request}");
    }
}

/// Complaint 7.
#[tokio::test]
async fn the_total_is_the_same_on_every_page() {
    let site = thirty().await;
    for (request, expected) in [
        ("GET Patient?_count=7&_total=accurate", Some("30")),
        (
            "GET Patient?_count=4&active=true&_sort=family&_total=estimate",
            Some("15"),
        ),
        ("GET Patient?_count=4&family=abe", Some("10")),
        ("GET Patient?_count=4&family=abe&_total=none", None),
        ("GET Patient?_count=0", Some("30")),
        ("GET Patient?active=false&_summary=count", Some("15")),
    ] {
        let (mut next, mut round) = (Some(request.to_owned()), 0);
        while let Some(link) = next {
            let tree = site.ask(&link, &[], "").await.ok(200);
            let total = tree.get("total").and_then(Json::as_number);
            assert_eq!(total, expected, "{request} page {round}");
            next = site.page(&link).await.1;
            disturb(&site, round).await;
            round += 1;
        }
        // Undo what was disturbed.
        for number in 0..30 {
            let family = ["Abe", "Baraka", "Chipo"][number % 3];
            patient_named(&site, &format!("p{number:02}"), family, number % 2 == 0).await;
        }
        for number in 0..round {
            site.ask(&format!("DELETE Patient/new{number}"), &[], "")
                .await;
        }
    }
}

#[tokio::test]
async fn offsets_as_some_clients_send_them() {
    let site = thirty().await;
    for (request, first, last) in [
        (
            "GET Patient?_count=10&_getpagesoffset=10&_sort=_id",
            "p10",
            "p19",
        ),
        ("GET Patient?_count=10&_page=1&_sort=_id", "p00", "p09"),
        ("GET Patient?_count=10&_page=3&_sort=_id", "p20", "p29"),
    ] {
        let (ids, _) = site.page(request).await;
        assert_eq!(
            (ids[0].as_str(), ids[9].as_str()),
            (first, last),
            "{request}"
        );
    }
    let rest = site
        .pages("GET Patient?_count=10&_getpagesoffset=15&_sort=_id")
        .await;
    assert_eq!(rest.concat().len(), 15);
    site.ask("GET Patient?_page=x", &[], "")
        .await
        .refused(400, "E-SCAN-4", "");
    site.ask("GET Patient?_getpagesoffset=99999999", &[], "")
        .await
        .refused(400, "E-SCAN-4", "");
}

/// Complaint 8: `_include` eats `_count`, includes are cut silently.
#[tokio::test]
async fn includes_are_whole_and_take_no_room_from_matches() {
    let site = Site::new();
    let patients: Vec<String> = (0..5)
        .map(|n| {
            entry(
                "PUT",
                &format!("Patient/a{n}"),
                "",
                &format!(r#"{{"resourceType":"Patient","id":"a{n}"}}"#),
            )
        })
        .collect();
    site.bundle("transaction", &patients).await.ok(200);
    let observations: Vec<String> = (0..1200)
        .map(|n| {
            entry(
                "POST",
                "Observation",
                "",
                &observation(&format!("Patient/a{}", n % 2), "#x"),
            )
        })
        .collect();
    site.bundle("batch", &observations).await.ok(200);
    let modes = |tree: &Json| {
        let of = |mode: &str| {
            let entries = tree.items("entry").iter();
            entries
                .filter(|e| e.str_at(&["search", "mode"]) == Some(mode))
                .count()
        };
        (of("match"), of("include"), of("outcome"))
    };
    for (request, expected) in [
        (
            "GET Observation?_count=10&_include=Observation:subject",
            (10, 2, 0),
        ),
        (
            "GET Patient?_id=a0&_revinclude=Observation:subject",
            (1, 600, 0),
        ),
        (
            "GET Patient?_count=2&_revinclude=Observation:patient",
            (2, 1200, 0),
        ),
        (
            "GET Patient?_id=a4&_revinclude=Observation:subject",
            (1, 0, 0),
        ),
        (
            "GET Patient?_id=nobody&_revinclude=Observation:subject",
            (0, 0, 0),
        ),
        ("GET Patient?_id=a0&_revinclude=*", (1, 600, 0)),
        (
            "GET Observation?_count=1&_include=*&_include:iterate=Patient:link",
            (1, 1, 0),
        ),
    ] {
        let tree = site.ask(request, &[], "").await.ok(200);
        assert_eq!(modes(&tree), expected, "{request}");
    }
}
