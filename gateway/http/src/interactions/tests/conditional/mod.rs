//! Conditional create, update, delete and read: what matches and what is written are one commit.

mod far;

use super::*;

fn with_id(id: &str, number: &str) -> String {
    format!(
        r#"{{"resourceType":"Patient","id":"{id}","identifier":[{{"system":"urn:mrn","value":"{number}"}}]}}"#
    )
}

const BY_NUMBER: &str = "PUT Patient?identifier=urn:mrn|1";

#[tokio::test]
async fn a_conditional_update_creates_updates_or_refuses() {
    let site = Site::new();
    let made = site.ask(BY_NUMBER, &[], &patient("1")).await;
    let id = made.ok(201).id().unwrap().to_owned();
    assert!(made.header("location").contains(&id));
    let active = patient("1").replace("\"identifier\"", "\"active\":true,\"identifier\"");
    let updated = site.ask(BY_NUMBER, &[], &active).await;
    assert_eq!(updated.ok(200).id(), Some(id.as_str()));
    assert_eq!(updated.header("etag"), "W/\"2\"");
    site.ask(BY_NUMBER, &[], &with_id(&id, "1")).await.ok(200);
    site.ask(BY_NUMBER, &[], &with_id("other", "1"))
        .await
        .refused(400, "E-WRITE-13", "Patient.id");
    let stale = site.ask(BY_NUMBER, &["If-Match: W/\"1\""], &active).await;
    stale.refused(412, "E-WRITE-1", "");
    let nobody = "PUT Patient?identifier=urn:mrn|2";
    let named = site.ask(nobody, &[], &with_id("two", "2")).await;
    assert_eq!(named.ok(201).id(), Some("two"));
    site.ask(
        "PUT Patient?identifier=urn:mrn|3",
        &[],
        &with_id("two", "3"),
    )
    .await
    .refused(409, "E-WRITE-15", "Patient.id");
    site.ask("POST Patient", &[], &patient("1")).await.ok(201);
    site.ask(BY_NUMBER, &[], &patient("1"))
        .await
        .refused(412, "E-WRITE-3", "");
    site.ask("PUT Patient", &[], &patient("1"))
        .await
        .refused(400, "E-COND-2", "");
    let unknown = site.ask("PUT Patient?colour=red", &[], &patient("1")).await;
    assert_eq!(
        unknown.status, 400,
        "an unknown criterion must not widen the match"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_conditional_updates_make_one_resource() {
    let site = Arc::new(Site::new());
    let replies = site.race(BY_NUMBER, &patient("1")).await;
    let count = |status| replies.iter().filter(|(s, _)| *s == status).count();
    assert_eq!((count(201), count(200)), (1, 63), "{replies:?}");
    assert!(replies.iter().all(|(_, id)| *id == replies[0].1));
    assert_eq!(site.page("GET Patient").await.0.len(), 1);
}

/// Complaint 17 where it would hurt most: a criterion left out would replace somebody else's.
#[tokio::test]
async fn a_chained_criterion_spares_what_it_does_not_mean() {
    let site = Site::new();
    let body = observation("Patient/a", "#x");
    site.ask("POST Observation", &[], &body).await.ok(201);
    let url = "Observation?code=x&subject:Patient.identifier=urn:mrn|2";
    site.ask(&format!("DELETE {url}"), &[], "").await.ok(204);
    site.ask(&format!("PUT {url}"), &[], &body).await.ok(201);
    site.ask(&format!("POST {url}"), &[], &body).await.ok(201);
    let history = site.ask("GET _history", &[], "").await.ok(200);
    let entries = history.items("entry").len();
    assert_eq!(
        entries, 3,
        "each made its own, and none took another's place"
    );
}

/// fhirpy's `get_or_create` sends the criteria in the URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_creates_with_criteria_in_the_url_make_one_resource() {
    let site = Arc::new(Site::new());
    let request = "POST Patient?identifier=urn:mrn|1";
    let replies = site.race(request, &patient("1")).await;
    let count = |status| replies.iter().filter(|(s, _)| *s == status).count();
    assert_eq!((count(201), count(200)), (1, 63), "{replies:?}");
    assert_eq!(site.page("GET Patient").await.0.len(), 1);
    site.ask("POST Patient?_format=json", &[], &patient("1"))
        .await
        .ok(201);
}

#[tokio::test]
async fn a_conditional_delete_takes_one_or_as_many_as_the_site_allows() {
    let mut site = Site::new();
    for number in ["1", "2", "2", "2", "3"] {
        site.ask("POST Patient", &[], &patient(number))
            .await
            .ok(201);
    }
    assert_eq!(
        site.ask("DELETE Patient?identifier=urn:mrn|1", &[], "")
            .await
            .status,
        204
    );
    assert_eq!(
        site.ask("DELETE Patient?identifier=urn:mrn|1", &[], "")
            .await
            .status,
        204
    );
    assert_eq!(site.page("GET Patient").await.0.len(), 4);
    let several = "DELETE Patient?identifier=urn:mrn|2";
    site.ask(several, &[], "")
        .await
        .refused(412, "E-WRITE-3", "");
    site.surface.conditional_delete_max = 2;
    site.ask(several, &[], "")
        .await
        .refused(412, "E-WRITE-3", "");
    assert_eq!(
        site.page("GET Patient").await.0.len(),
        4,
        "none of them went"
    );
    site.surface.conditional_delete_max = 3;
    assert_eq!(site.ask(several, &[], "").await.status, 204);
    assert_eq!(site.page("GET Patient").await.0.len(), 1);
    site.ask("DELETE Patient", &[], "")
        .await
        .refused(400, "E-COND-2", "");
    let statement = site.ask("GET metadata", &[], "").await.text;
    assert!(statement.contains("\"conditionalDelete\":\"multiple\""));
}

/// fhirpy's `refresh` sends the bare version.
#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let site = Site::new();
    site.ask("PUT Patient/a", &[], &with_id("a", "1"))
        .await
        .ok(201);
    for (header, expected) in [
        ("If-None-Match: W/\"1\"", 304),
        ("If-None-Match: 1", 304),
        ("If-None-Match: W/\"2\"", 200),
        ("If-Modified-Since: Tue, 24 Nov 2026 19:06:18 GMT", 304),
        ("If-Modified-Since: Tue, 24 Nov 2026 19:06:17 GMT", 200),
    ] {
        for url in [
            "GET Patient/a",
            "HEAD Patient/a",
            "GET Patient/a/_history/1",
        ] {
            let reply = site.ask(url, &[header], "").await;
            assert_eq!(reply.status, expected, "{url} {header}");
        }
    }
}

#[tokio::test]
async fn a_part_of_a_resource_is_marked_as_one() {
    let site = Site::new();
    let body = r#"{"resourceType":"Patient","id":"a","active":true,"photo":[{"title":"t"}],"birthDate":"1990"}"#;
    site.ask("PUT Patient/a", &[], body).await.ok(201);
    for (query, kept, left_out) in [
        ("_summary=true", "birthDate", "photo"),
        ("_elements=photo", "photo", "birthDate"),
        ("_summary=text", "SUBSETTED", "birthDate"),
    ] {
        for url in ["Patient/a", "Patient/a/_history/1"] {
            let reply = site.ask(&format!("GET {url}?{query}"), &[], "").await;
            reply.ok(200);
            let text = &reply.text;
            assert!(text.contains(kept) && !text.contains(left_out), "{text}");
            assert!(text.contains("SUBSETTED"), "{text}");
        }
    }
    let whole = site.ask("GET Patient/a?_summary=false", &[], "").await;
    assert!(whole.text.contains("photo") && !whole.text.contains("SUBSETTED"));
    let odd = site.ask("GET Patient/a?_summary=some", &[], "").await;
    odd.refused(400, "E-READ-4", "");
}

#[tokio::test]
async fn whatever_can_be_read_can_be_asked_for_its_head() {
    let site = Site::new();
    site.ask("PUT Patient/a", &[], &with_id("a", "1"))
        .await
        .ok(201);
    let urls = [
        "HEAD metadata",
        "HEAD Patient/a",
        "HEAD Patient/a/_history/1",
        "HEAD Patient/a/_history",
        "HEAD Patient/_history",
        "HEAD _history",
        "HEAD Patient?identifier=urn:mrn|1",
    ];
    assert_eq!(site.ask_all(&urls).await, [200; 7]);
}

/// The statement claims it for every type: each claim is one request here.
#[tokio::test]
async fn the_statement_claims_what_works() {
    let site = Site::new();
    let tree = site.ask("GET metadata", &[], "").await.ok(200);
    let rest = &tree.items("rest")[0];
    let codes = |holder: &Json| -> Vec<String> {
        let items = holder.items("interaction").iter();
        items
            .map(|item| item.str_at(&["code"]).unwrap().to_owned())
            .collect()
    };
    let mut rows = rest.items("resource").iter();
    let row = rows
        .find(|row| row.str_at(&["type"]) == Some("Patient"))
        .unwrap();
    let claimed = codes(row);
    for code in [
        "read",
        "vread",
        "update",
        "patch",
        "delete",
        "history-instance",
        "history-type",
        "create",
        "search-type",
    ] {
        assert!(claimed.iter().any(|one| one == code), "{code}");
    }
    for code in ["transaction", "batch", "history-system"] {
        assert!(codes(rest).iter().any(|one| one == code), "{code}");
    }
    assert_eq!(row.str_at(&["conditionalRead"]), Some("full-support"));
    assert_eq!(row.str_at(&["conditionalDelete"]), Some("single"));
    for flag in [
        "conditionalCreate",
        "conditionalUpdate",
        "updateCreate",
        "readHistory",
    ] {
        assert_eq!(row.get(flag).and_then(Json::as_bool), Some(true), "{flag}");
    }
    assert_eq!(tree.items("patchFormat").len(), 4);
}

/// `If-None-Match: *` on an update means: only where nothing is. Left out, it would overwrite.
#[tokio::test]
async fn an_update_that_wants_nothing_there_overwrites_nothing() {
    let site = Site::new();
    let own = |more: &str| format!(r#"{{"resourceType":"Patient","id":"a"{more}}}"#);
    let absent = ["If-None-Match: *"];
    let put = async |body: String| site.ask("PUT Patient/a", &absent, &body).await;
    put(own("")).await.ok(201);
    put(own(r#","active":true"#))
        .await
        .refused(412, "E-WRITE-16", "");
    put(own("")).await.refused(412, "E-WRITE-16", "");
    for kind in ["transaction", "batch"] {
        let entry = format!(
            r#"{{"resource":{},"request":{{"method":"PUT","url":"Patient/a","ifNoneMatch":"*"}}}}"#,
            own(r#","active":true"#)
        );
        let reply = site.bundle(kind, &[entry]).await;
        assert!(reply.text.contains("E-WRITE-16"), "{}", reply.text);
    }
    let query = "PUT Patient?_id=a";
    site.ask(query, &absent, &own(r#","active":true"#))
        .await
        .refused(412, "E-WRITE-16", "");
    let read = site.ask("GET Patient/a", &[], "").await;
    assert_eq!((read.status, read.header("etag")), (200, "W/\"1\""));
    site.ask("DELETE Patient/a", &[], "").await;
    put(own("")).await.ok(201);
}
