//! History of an instance, a type and the site: order, deletions, times, pages.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// `Type/id/version method status` of all entries of all pages.
async fn lines(site: &Site, request: &str) -> Vec<String> {
    let (mut lines, mut next) = (Vec::new(), Some(request.to_owned()));
    while let Some(request) = next {
        let tree = site.ask(&request, &[], "").await.ok(200);
        assert_eq!(tree.str_at(&["type"]), Some("history"));
        for entry in tree.items("entry") {
            let text = |path: &[&str]| entry.str_at(path).unwrap();
            let url = text(&["fullUrl"]).replace(&format!("{BASE}/"), "");
            let version = text(&["response", "etag"])
                .trim_matches(['W', '/', '"'])
                .to_owned();
            let method = text(&["request", "method"]);
            assert_eq!(entry.get("resource").is_none(), method == "DELETE");
            assert!(entry.get("response").unwrap().get("lastModified").is_some());
            lines.push(format!(
                "{url}/{version} {method} {}",
                text(&["response", "status"])
            ));
        }
        let links = tree.items("link").iter();
        let mut links = links.filter(|link| link.str_at(&["relation"]) == Some("next"));
        next = links.next().map(|link| {
            let url = link.str_at(&["url"]).unwrap();
            format!("GET {}", url.replace(&format!("{BASE}/"), ""))
        });
    }
    lines
}

/// A second passes before each write.
async fn story(site: &Site) {
    for (request, body) in [
        ("PUT Patient/a", r#"{"resourceType":"Patient","id":"a"}"#),
        (
            "PUT Basic/b",
            r#"{"resourceType":"Basic","id":"b","code":{"text":"x"}}"#,
        ),
        (
            "PUT Patient/a",
            r#"{"resourceType":"Patient","id":"a","active":true}"#,
        ),
        ("PUT Patient/c", r#"{"resourceType":"Patient","id":"c"}"#),
        ("DELETE Patient/a", ""),
        ("DELETE Basic/b", ""),
    ] {
        site.clock.advance(Duration::from_secs(1));
        site.ask(request, &[], body).await;
    }
}

#[tokio::test]
async fn the_whole_site_the_type_and_the_instance_tell_one_story() {
    let site = Site::new();
    story(&site).await;
    let all = [
        "Basic/b/2 DELETE 204",
        "Patient/a/3 DELETE 204",
        "Patient/c/1 PUT 201",
        "Patient/a/2 PUT 200",
        "Basic/b/1 PUT 201",
        "Patient/a/1 PUT 201",
    ];
    assert_eq!(lines(&site, "GET _history").await, all);
    assert_eq!(lines(&site, "GET _history?_count=2").await, all);
    let of_type = |name: &str| -> Vec<&str> {
        all.iter()
            .copied()
            .filter(|line| line.starts_with(name))
            .collect()
    };
    for count in ["", "?_count=1"] {
        for name in ["Patient", "Basic", "Device"] {
            let found = lines(&site, &format!("GET {name}/_history{count}")).await;
            assert_eq!(found, of_type(name), "{name}{count}");
        }
        let found = lines(&site, &format!("GET Patient/a/_history{count}")).await;
        assert_eq!(found, of_type("Patient/a"));
    }
}

/// Replayed elsewhere, what was put under its id is put there again.
#[tokio::test]
async fn history_says_who_gave_the_id() {
    let site = Site::new();
    let posted = site.ask("POST Patient", &[], &patient("1")).await.ok(201);
    let id = posted.str_at(&["id"]).unwrap().to_owned();
    let in_bundle = [entry("POST", "Patient", "", &patient("2"))];
    site.bundle("transaction", &in_bundle).await.ok(200);
    let theirs = "7d444840-9dc0-41d1-b245-5ffdce74fad2";
    let put = format!(r#"{{"resourceType":"Patient","id":"{theirs}"}}"#);
    site.ask(&format!("PUT Patient/{theirs}"), &[], &put)
        .await
        .ok(201);
    let tree = site.ask("GET Patient/_history", &[], "").await.ok(200);
    let requests: Vec<_> = tree
        .items("entry")
        .iter()
        .map(|entry| {
            let text = |name| entry.str_at(&["request", name]).unwrap();
            let status = entry.str_at(&["response", "status"]).unwrap();
            format!("{} {} {status}", text("method"), text("url"))
        })
        .collect();
    let put = format!("PUT Patient/{theirs} 201");
    assert_eq!(
        requests,
        [put.as_str(), "POST Patient 201", "POST Patient 201"]
    );
    let own = lines(&site, &format!("GET Patient/{id}/_history")).await;
    assert_eq!(own, [format!("Patient/{id}/1 POST 201")]);
}

/// Whoever replays a history must do what was done.
#[tokio::test]
async fn history_tells_patches_and_what_was_made_again() {
    let site = Site::new();
    let own = |active: &str| format!(r#"{{"resourceType":"Patient","id":"a"{active}}}"#);
    let merge = ["Content-Type: application/merge-patch+json"];
    let binary = format!(
        r#"{{"resourceType":"Binary","contentType":"application/merge-patch+json","data":"{}"}}"#,
        STANDARD.encode(r#"{"active":true}"#)
    );
    site.ask("PUT Patient/a", &[], &own("")).await.ok(201);
    site.ask("PATCH Patient/a", &merge, r#"{"active":false}"#)
        .await
        .ok(200);
    let in_bundle = [entry("PATCH", "Patient/a", "", &binary)];
    site.bundle("transaction", &in_bundle).await.ok(200);
    site.ask("PATCH Patient?_id=a", &merge, r#"{"active":null}"#)
        .await
        .ok(200);
    site.ask("PUT Patient/a", &[], &own(r#","active":true"#))
        .await
        .ok(200);
    site.ask("DELETE Patient/a", &[], "").await;
    site.ask("PUT Patient/a", &[], &own("")).await.ok(201);
    let expected = [
        "Patient/a/7 PUT 201",
        "Patient/a/6 DELETE 204",
        "Patient/a/5 PUT 200",
        "Patient/a/4 PATCH 200",
        "Patient/a/3 PATCH 200",
        "Patient/a/2 PATCH 200",
        "Patient/a/1 PUT 201",
    ];
    for url in ["_history", "Patient/_history", "Patient/a/_history"] {
        assert_eq!(lines(&site, &format!("GET {url}")).await, expected, "{url}");
    }
    // An update that found nothing: the id is ours if the content brought none.
    let named = |id: &str| format!(r#"{{"resourceType":"Basic","code":{{"text":"x"}}{id}}}"#);
    let made = site.ask("PUT Basic?code=x", &[], &named("")).await.ok(201);
    let id = made.str_at(&["id"]).unwrap().to_owned();
    site.ask("PUT Basic?code=y", &[], &named(r#","id":"b""#))
        .await
        .ok(201);
    assert_eq!(
        lines(&site, "GET Basic/_history").await,
        [
            "Basic/b/1 PUT 201".to_owned(),
            format!("Basic/{id}/1 POST 201")
        ]
    );
}

#[tokio::test]
async fn oldest_first_is_the_same_story_backwards() {
    let site = Site::new();
    story(&site).await;
    let since = "_since=2026-11-24T19:06:21Z";
    for url in ["_history", "Patient/_history", "Patient/a/_history"] {
        for asked in ["", since] {
            let mut newest_first = lines(&site, &format!("GET {url}?{asked}")).await;
            newest_first.reverse();
            assert!(!newest_first.is_empty());
            for count in 1..4 {
                let asked = format!("GET {url}?_sort=_lastUpdated&_count={count}&{asked}");
                assert_eq!(lines(&site, &asked).await, newest_first, "{asked}");
            }
        }
        // What is written after the first page is on none.
        let first = format!("GET {url}?_sort=_lastUpdated&_count=1");
        let expected = lines(&site, &first).await;
        let tree = site.ask(&first, &[], "").await.ok(200);
        let mut links = tree.items("link").iter();
        let next = links.find(|link| link.str_at(&["relation"]) == Some("next"));
        let next = next.unwrap().str_at(&["url"]).unwrap();
        let next = format!("GET {}", next.replace(&format!("{BASE}/"), ""));
        let again = r#"{"resourceType":"Patient","id":"a","birthDate":"1990"}"#;
        site.ask("PUT Patient/a", &[], again).await;
        assert_eq!(lines(&site, &next).await, expected[1..], "{url}");
        site.ask("DELETE Patient/a", &[], "").await;
    }
}

#[tokio::test]
async fn parts_and_totals_of_histories() {
    let site = Site::new();
    story(&site).await;
    for url in ["_history", "Patient/_history", "Patient/a/_history"] {
        let tree = site
            .ask(&format!("GET {url}?_elements=active"), &[], "")
            .await
            .ok(200);
        let bodies = tree.items("entry").iter();
        for body in bodies.filter_map(|entry| entry.get("resource")) {
            assert!(body.get("meta").unwrap().get("tag").is_some(), "{url}");
            assert!(body.get("birthDate").is_none());
        }
        for summary in ["_summary=true", "_summary=data", "_summary=text"] {
            let strict = "Prefer: handling=strict";
            let tree = site
                .ask(&format!("GET {url}?{summary}"), &[strict], "")
                .await
                .ok(200);
            let text = fhir_mapping::model::format(&tree);
            assert!(
                text.contains("SUBSETTED") && text.contains(summary),
                "{url}"
            );
        }
        for (query, total) in [
            ("_summary=count", [6_u64, 4, 3]),
            ("_count=0", [6, 4, 3]),
            ("_count=0&_since=2026-11-24T19:06:22Z", [3, 2, 1]),
            ("_count=0&_sort=_lastUpdated", [6, 4, 3]),
        ] {
            let tree = site
                .ask(&format!("GET {url}?{query}"), &[], "")
                .await
                .ok(200);
            let total = match url {
                "_history" => total[0],
                "Patient/_history" => total[1],
                _ => total[2],
            };
            assert_eq!(tree.get("total"), Some(&Json::from(total)), "{url}");
            assert!(tree.get("entry").is_none());
        }
        site.ask(&format!("GET {url}?_summary=some"), &[], "")
            .await
            .refused(400, "E-READ-4", "");
    }
}

#[tokio::test]
async fn times_restrict_what_is_told() {
    let site = Site::new();
    story(&site).await;
    let check = async |query: &str, expected: &[&str]| {
        assert_eq!(
            lines(&site, &format!("GET {query}")).await,
            expected,
            "{query}"
        );
    };
    let since = "_since=2026-11-24T19:06:22Z";
    check(
        &format!("_history?{since}"),
        &[
            "Basic/b/2 DELETE 204",
            "Patient/a/3 DELETE 204",
            "Patient/c/1 PUT 201",
        ],
    )
    .await;
    check(
        &format!("_history?_count=1&{since}"),
        &[
            "Basic/b/2 DELETE 204",
            "Patient/a/3 DELETE 204",
            "Patient/c/1 PUT 201",
        ],
    )
    .await;
    check(
        &format!("Patient/_history?{since}"),
        &["Patient/a/3 DELETE 204", "Patient/c/1 PUT 201"],
    )
    .await;
    check(
        &format!("Patient/a/_history?{since}"),
        &["Patient/a/3 DELETE 204"],
    )
    .await;
    check(
        "_history?_since=2026-11-24T22:06:22.500+03:00",
        &["Basic/b/2 DELETE 204", "Patient/a/3 DELETE 204"],
    )
    .await;
    let at = "_at=2026-11-24T19:06:22.500Z";
    check(
        &format!("_history?{at}"),
        &[
            "Patient/c/1 PUT 201",
            "Patient/a/2 PUT 200",
            "Basic/b/1 PUT 201",
        ],
    )
    .await;
    check(
        &format!("Patient/a/_history?{at}"),
        &["Patient/a/2 PUT 200"],
    )
    .await;
    check(
        "Patient/a/_history?_at=2026-11-24T19:06:19Z",
        &["Patient/a/1 PUT 201"],
    )
    .await;
    check("_history?_at=2026-11-23", &[]).await;
    check(
        "Patient/a/_history?_at=2026-11-24",
        &[
            "Patient/a/3 DELETE 204",
            "Patient/a/2 PUT 200",
            "Patient/a/1 PUT 201",
        ],
    )
    .await;
    for (query, number) in [("_since=soon", "E-HISTORY-3"), ("_count=x", "E-HISTORY-1")] {
        for url in ["_history", "Patient/_history", "Patient/a/_history"] {
            site.ask(&format!("GET {url}?{query}"), &[], "")
                .await
                .refused(400, number, "");
        }
    }
    let strict = "Prefer: handling=strict";
    for query in ["_sort=name", "_sort=-_lastUpdated,_id", "name=x"] {
        site.ask(&format!("GET _history?{query}"), &[strict], "")
            .await
            .refused(400, "E-HISTORY-2", "");
    }
    site.ask("GET _history?_sort=-_lastUpdated", &[strict], "")
        .await
        .ok(200);
    site.ask("GET Patient/zz/_history", &[], "")
        .await
        .refused(404, "E-READ-1", "");
}

#[tokio::test]
async fn pages_of_history_are_those_of_the_first_look() {
    let site = Site::new();
    story(&site).await;
    let expected = lines(&site, "GET _history").await;
    let mut seen = Vec::new();
    let mut next = Some("GET _history?_count=2".to_owned());
    while let Some(request) = next {
        let tree = site.ask(&request, &[], "").await.ok(200);
        seen.extend(
            tree.items("entry")
                .iter()
                .map(|entry| entry.str_at(&["fullUrl"]).unwrap().to_owned()),
        );
        let (_, following) = {
            let links = tree.items("link").iter();
            let next = links
                .clone()
                .find(|link| link.str_at(&["relation"]) == Some("next"));
            (
                (),
                next.map(|link| {
                    link.str_at(&["url"])
                        .unwrap()
                        .replace(&format!("{BASE}/"), "GET ")
                }),
            )
        };
        next = following;
        // Others go on writing.
        site.clock.advance(Duration::from_secs(1));
        site.ask("POST Patient", &[], &patient("9")).await.ok(201);
        site.ask("DELETE Patient/c", &[], "").await;
    }
    let urls: Vec<String> = expected
        .iter()
        .map(|line| format!("{BASE}/{}", line.rsplit_once('/').unwrap().0))
        .collect();
    assert_eq!(seen, urls);
}

/// More than one stretch of the log, with nothing of the type in most of it.
#[tokio::test]
async fn a_rare_type_is_found_far_back() {
    let site = Site::new();
    site.ask(
        "PUT Basic/b",
        &[],
        r#"{"resourceType":"Basic","id":"b","code":{"text":"x"}}"#,
    )
    .await
    .ok(201);
    let many: Vec<String> = (0..1200)
        .map(|n| entry("POST", "Patient", "", &patient(&n.to_string())))
        .collect();
    site.bundle("transaction", &many).await.ok(200);
    assert_eq!(
        lines(&site, "GET Basic/_history").await,
        ["Basic/b/1 PUT 201"]
    );
    assert_eq!(lines(&site, "GET _history?_count=500").await.len(), 1201);
    assert_eq!(
        lines(&site, "GET Patient/_history?_count=500").await.len(),
        1200
    );
}
