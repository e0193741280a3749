//! Search parameters of a site's own: from the SearchParameter to what is found, claimed, and gone.

use super::*;

fn definition(code: &str, kind: &str, expression: &str, status: &str) -> String {
    let base = expression.split('.').next().unwrap();
    format!(
        r#"{{"resourceType":"SearchParameter","id":"{code}","url":"http://x.org/{code}","name":"n","description":"d",
          "status":"{status}","base":["{base}"],"code":"{code}","type":"{kind}","expression":"{expression}"}}"#
    )
}

async fn define(site: &Site, code: &str, kind: &str, expression: &str) {
    let body = definition(code, kind, expression, "active");
    let request = format!("PUT SearchParameter/{code}");
    site.ask(&request, &[], &body).await.ok(201);
}

async fn claims(site: &Site, code: &str) -> bool {
    let statement = site.ask("GET metadata", &[], "").await.ok(200);
    let resources = statement.items("rest")[0].items("resource");
    let parameters = resources.iter().flat_map(|row| row.items("searchParam"));
    let mut names = parameters.filter_map(|parameter| parameter.str_at(&["name"]));
    names.any(|name| name == code)
}

async fn reindex(site: &Site) {
    while !site.surface.repository.reindex_batch().await.unwrap() {}
}

async fn patients(site: &Site) {
    for (id, code, contact) in [("a", "M", "Abe"), ("b", "S", "Baraka"), ("c", "M", "Chipo")] {
        let body = format!(
            r#"{{"resourceType":"Patient","id":"{id}","maritalStatus":{{"coding":[{{"code":"{code}"}}]}},
              "contact":[{{"name":{{"family":"{contact}"}},"organization":{{"reference":"Organization/o"}}}}]}}"#
        );
        site.ask(&format!("PUT Patient/{id}"), &[], &body)
            .await
            .ok(201);
    }
}

const STRICT: &[&str] = &["Prefer: handling=strict"];

#[tokio::test]
async fn a_parameter_of_the_site_is_searched_claimed_and_retired() {
    let site = Site::new();
    patients(&site).await;
    let organization = r#"{"resourceType":"Organization","id":"o","name":"Clinic"}"#;
    site.ask("PUT Organization/o", &[], organization)
        .await
        .ok(201);
    site.ask("GET Patient?marital=M", STRICT, "")
        .await
        .refused(400, "E-SEARCH-6", "");
    define(&site, "marital", "token", "Patient.maritalStatus").await;
    define(&site, "contact-name", "string", "Patient.contact.name").await;
    define(
        &site,
        "contact-org",
        "reference",
        "Patient.contact.organization",
    )
    .await;
    let repository = &site.surface.repository;
    repository.adopt_parameters().await.unwrap();
    // Known at once, by looking at every patient; claimed when it is in the index.
    assert!(!repository.index_state().unwrap().is_whole);
    assert!(!claims(&site, "marital").await && claims(&site, "birthdate").await);
    assert_eq!(site.page("GET Patient?marital=M").await.0, ["a", "c"]);
    reindex(&site).await;
    assert!(repository.index_state().unwrap().is_whole);
    for code in ["marital", "contact-name", "contact-org"] {
        assert!(claims(&site, code).await, "{code}");
    }
    let body = r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/b"}}"#;
    site.ask("POST Observation", &[], body).await.ok(201);
    for (request, expected) in [
        ("GET Patient?marital=M", "a c"),
        ("GET Patient?marital:not=M", "b"),
        ("GET Patient?marital=M&contact-name=chip", "c"),
        ("GET Patient?_sort=-contact-name", "c b a"),
        ("GET Patient?contact-org=Organization/o&marital=S", "b"),
        (
            "GET Patient?contact-org:Organization.name=clinic&marital=S",
            "b",
        ),
        ("GET Organization?_has:Patient:contact-org:marital=S", "o"),
        ("GET Patient?_has:Observation:subject:status=final", "b"),
        ("GET Patient?marital=S&_include=Patient:contact-org", "b o"),
        (
            "GET Organization?_id=o&_revinclude=Patient:contact-org",
            "o a b c",
        ),
    ] {
        assert_eq!(site.page(request).await.0.join(" "), expected, "{request}");
    }
    let chained = site.page("GET Observation?subject:Patient.marital=S").await;
    assert_eq!(chained.0.len(), 1);
    // Written after it was defined.
    let body = r#"{"resourceType":"Patient","id":"d","maritalStatus":{"coding":[{"code":"M"}]}}"#;
    site.ask("PUT Patient/d", &[], body).await.ok(201);
    assert_eq!(site.page("GET Patient?marital=M").await.0, ["a", "c", "d"]);
    let retired = definition("marital", "token", "Patient.maritalStatus", "retired");
    site.ask("PUT SearchParameter/marital", &[], &retired)
        .await
        .ok(200);
    site.ask("DELETE SearchParameter/contact-name", &[], "")
        .await;
    reindex(&site).await;
    for request in ["GET Patient?marital=M", "GET Patient?contact-name=a"] {
        site.ask(request, STRICT, "")
            .await
            .refused(400, "E-SEARCH-6", "");
    }
    assert!(!claims(&site, "marital").await && claims(&site, "contact-org").await);
    assert_eq!(
        site.page("GET Patient?contact-org=Organization/o")
            .await
            .0
            .len(),
        3
    );
}

/// Complaint 11: what is written by the former rules while the new ones come into force is found.
#[tokio::test]
async fn nothing_written_meanwhile_is_missed() {
    let site = Arc::new(Site::new());
    patients(&site).await;
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..40 {
        let site = Arc::clone(&site);
        writes.spawn(async move {
            let body = format!(
                r#"{{"resourceType":"Patient","id":"n{number}","maritalStatus":{{"coding":[{{"code":"M"}}]}}}}"#
            );
            site.ask(&format!("PUT Patient/n{number}"), &[], &body).await.status
        });
    }
    define(&site, "marital", "token", "Patient.maritalStatus").await;
    reindex(&site).await;
    for status in writes.join_all().await {
        assert_eq!(status, 201);
    }
    reindex(&site).await;
    assert_eq!(
        site.page("GET Patient?marital=M&_count=100").await.0.len(),
        42
    );
}

#[tokio::test]
async fn what_cannot_be_searched_is_refused_at_the_door() {
    let site = Site::new();
    define(&site, "marital", "token", "Patient.maritalStatus").await;
    site.surface.repository.adopt_parameters().await.unwrap();
    for (code, kind, expression, number, element) in [
        ("gender", "token", "Patient.gender", "E-OWN-1", "code"),
        ("x", "token", "Patient.nonsense", "E-OWN-2", "expression"),
        (
            "x",
            "token",
            "Patient.name.exists()",
            "E-OWN-2",
            "expression",
        ),
        ("x", "date", "Patient.gender", "E-OWN-3", "type"),
        ("x", "special", "Patient.gender", "E-OWN-8", "type"),
        ("x", "token", "Nothing.gender", "E-VAL-15", "base"),
        ("marital", "token", "Patient.gender", "E-INDEX-2", "code"),
    ] {
        let body = definition(code, kind, expression, "active");
        let body = body.replace(&format!("x.org/{code}"), &format!("y.org/{code}"));
        let body = body.replace(&format!(r#""id":"{code}""#), r#""id":"other""#);
        let reply = site.ask("PUT SearchParameter/other", &[], &body).await;
        let place = format!("SearchParameter.{element}");
        let is_refusal = matches!(reply.status, 400 | 422);
        let shown = format!("{code} {expression}: {}", reply.text);
        assert!(is_refusal && reply.text.contains(number), "{shown}");
        assert!(reply.text.contains(&place), "{}", reply.text);
    }
    let patch = r#"[{"op":"replace","path":"/expression","value":"Patient.nonsense"}]"#;
    let headers = ["Content-Type: application/json-patch+json"];
    let reply = site
        .ask("PATCH SearchParameter/marital", &headers, patch)
        .await;
    assert_eq!(reply.status, 422, "{}", reply.text);
    // A draft may say anything; it is not in force.
    let draft = definition("x", "token", "Patient.nonsense", "draft");
    site.ask("PUT SearchParameter/x", &[], &draft).await.ok(201);
    reindex(&site).await;
    site.ask("GET Patient?x=1", STRICT, "")
        .await
        .refused(400, "E-SEARCH-6", "");
}
