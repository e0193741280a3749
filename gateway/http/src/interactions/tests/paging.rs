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

/// One transaction for each five hundred of them.
async fn write_all(site: &Site, entries: &[String]) {
    for part in entries.chunks(500) {
        site.bundle("transaction", part).await.ok(200);
        site.clock.advance(Duration::from_secs(1));
    }
}

fn put_patient(number: usize, family: &str, active: bool) -> String {
    let body = format!(
        r#"{{"resourceType":"Patient","id":"q{number:04}","active":{active},"birthDate":"19{:02}-0{}-11","name":[{{"family":"{family}"}}]}}"#,
        number % 90 + 10,
        number % 9 + 1,
    );
    entry("PUT", &format!("Patient/q{number:04}"), "", &body)
}

fn put_observation(number: usize, of: usize, status: &str) -> String {
    let body = format!(
        r#"{{"resourceType":"Observation","id":"o{number:04}","status":"{status}","code":{{"coding":[{{"code":"x"}}]}},"subject":{{"reference":"Patient/q{of:04}"}}}}"#
    );
    entry("PUT", &format!("Observation/o{number:04}"), "", &body)
}

const MANY: usize = 2_400;
const OBSERVED: usize = 300;

/// Thousands of changes: nearly all are renamed, deactivated, moved in time or deleted, some
/// several times, and others come.
async fn upset(site: &Site, round: usize) {
    let patients = (0..MANY).map(|number| match (number + round) % 5 {
        0 if round > 0 => entry("DELETE", &format!("Patient/q{number:04}"), "", ""),
        _ => {
            let family = ["Aaron", "Zola", "Moyo"][(number + round) % 3];
            put_patient(number, family, number % 4 == round % 4)
        }
    });
    let observations = (0..OBSERVED).map(|number| match (number + round) % 4 {
        0 => entry("DELETE", &format!("Observation/o{number:04}"), "", ""),
        _ => put_observation(number, (number * 11 + round) % MANY, "amended"),
    });
    let new = (0..200).map(|number| put_patient(5_000 + round * 200 + number, "Abe", true));
    let all: Vec<String> = patients.chain(observations).chain(new).collect();
    write_all(site, &all).await;
}

/// Complaint 4, with thousands of changes between two pages, a restart among them.
#[tokio::test]
async fn pages_hold_when_everything_else_changes() {
    let site = Site::new();
    let patients = (0..MANY).map(|number| {
        let family = ["Abe", "Baraka", "Chipo"][number % 3];
        put_patient(number, family, number % 2 == 0)
    });
    let observations = (0..OBSERVED).map(|number| put_observation(number, number * 7, "final"));
    let all: Vec<String> = patients.chain(observations).collect();
    write_all(&site, &all).await;
    let mut searches = Vec::new();
    for request in [
        "GET Patient?_count=900",
        "GET Patient?_count=1000&_sort=-birthdate",
        "GET Patient?_count=500&active=true&_sort=family,_id",
        "GET Patient?_count=70&_has:Observation:patient:status=final&_sort=-family",
        "GET Observation?_count=60&patient.family=abe,chipo&_include=Observation:patient",
        "GET Patient?_count=90&birthdate=ge1970&family=baraka&_revinclude=Observation:patient",
    ] {
        let expected = answers(&site, request).await;
        assert!(expected.len() > 2, "{request}: one page");
        let (_, next) = site.page(request).await;
        searches.push((request, expected, next.unwrap()));
    }
    upset(&site, 0).await;
    upset(&site, 1).await;
    let restarted = Site {
        surface: Surface {
            repository: restarted(&site),
            ..site.surface.clone()
        },
        ..Site::new()
    };
    for (at, (request, expected, next)) in searches.iter().enumerate() {
        if at == 3 {
            upset(&site, 2).await;
        }
        let of = if at % 2 == 0 { &site } else { &restarted };
        let found = answers(of, next).await;
        assert!(found == expected[1..], "{request}");
    }
}

/// A gateway that has nothing in memory yet, on the same store.
fn restarted(site: &Site) -> gateway_repository::Repository {
    let repository = &site.surface.repository;
    let (store, zone) = (repository.store().clone(), repository.zone().clone());
    gateway_repository::Repository::new(store, site.clock.clone(), zone)
}

/// Every page to the end: matches in order, and what else is there, sorted; each as its type, id
/// and version.
async fn answers(site: &Site, request: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let (mut pages, mut next) = (Vec::new(), Some(request.to_owned()));
    while let Some(request) = next {
        let tree = site.ask(&request, &[], "").await.ok(200);
        let of = |mode: &str| -> Vec<String> {
            let entries = tree.items("entry").iter();
            let entries = entries.filter(|e| e.str_at(&["search", "mode"]) == Some(mode));
            let name = |e: &Json| {
                let url = e.str_at(&["fullUrl"]).unwrap().replace(BASE, "");
                let version = e.str_at(&["resource", "meta", "versionId"]).unwrap();
                format!("{url} {version}")
            };
            entries.map(name).collect()
        };
        let mut included = of("include");
        included.sort();
        pages.push((of("match"), included));
        next = site.page(&request).await.1;
    }
    pages
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
