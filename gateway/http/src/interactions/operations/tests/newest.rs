//! `$lastn`.

use super::*;

async fn site() -> Site {
    let site = Site::new();
    for (id, patient, code, date, category) in [
        (
            "w1",
            "p",
            r#"{"coding":[{"system":"http://loinc.org","code":"29463-7"}]}"#,
            "2026-01-01",
            "vital-signs",
        ),
        (
            "w2",
            "p",
            r#"{"coding":[{"system":"urn:local","code":"W"},{"system":"http://loinc.org","code":"29463-7"}]}"#,
            "2026-03-01T08:00:00Z",
            "vital-signs",
        ),
        (
            "w3",
            "p",
            r#"{"coding":[{"system":"urn:local","code":"W"}]}"#,
            "2026-02",
            "vital-signs",
        ),
        (
            "h1",
            "p",
            r#"{"coding":[{"system":"http://loinc.org","code":"718-7"}]}"#,
            "2026-02-01",
            "laboratory",
        ),
        (
            "h2",
            "p",
            r#"{"coding":[{"system":"http://loinc.org","code":"718-7"}]}"#,
            "2025-02-01",
            "laboratory",
        ),
        ("t1", "p", r#"{"text":"Mood"}"#, "2024-02-01", "survey"),
        (
            "x",
            "q",
            r#"{"coding":[{"system":"http://loinc.org","code":"718-7"}]}"#,
            "2026-04-01",
            "laboratory",
        ),
    ] {
        site.put(&format!(r#"{{"resourceType":"Observation","id":"{id}","status":"final","category":[{{"coding":[{{"code":"{category}"}}]}}],"code":{code},"subject":{{"reference":"Patient/{patient}"}},"effectiveDateTime":"{date}"}}"#)).await;
    }
    site
}

#[tokio::test]
async fn the_newest_of_each_code() {
    let site = site().await;
    for (query, expected) in [
        ("patient=Patient/p", "w2 h1 t1"),
        ("patient=p&max=2", "w2 w3 h1 h2 t1"),
        ("subject=Patient/p&max=9", "w2 w3 w1 h1 h2 t1"),
        ("subject:Patient=p&category=laboratory", "h1"),
        ("patient=p&code=718-7,29463-7", "w2 h1"),
        ("patient=p&date=lt2026-01-15&max=3", "w1 h2 t1"),
        ("patient=nobody", ""),
    ] {
        let (ids, next) = site.page(&format!("GET Observation/$lastn?{query}")).await;
        assert_eq!((ids.join(" ").as_str(), next), (expected, None), "{query}");
    }
    let body = parameters(&[
        r#"{"name":"patient","valueString":"p"}"#,
        r#"{"name":"max","valuePositiveInt":2}"#,
    ]);
    let bundle = site
        .ask("POST Observation/$lastn", &[], &body)
        .await
        .ok(200);
    assert_eq!(bundle.get("total").and_then(Json::as_number), Some("5"));
}

#[tokio::test]
async fn mistakes_are_named() {
    let site = site().await;
    let place = |name: &str| format!("Parameters.parameter.where(name='{name}')");
    for (query, number, parameter) in [
        ("category=laboratory", "E-OPERATION-2", "patient"),
        ("patient=p&max=0", "E-OPERATION-1", "max"),
        ("patient=p&max=many", "E-OPERATION-1", "max"),
        (
            "patient=p&_include=Observation:patient",
            "E-OPERATION-1",
            "_include",
        ),
    ] {
        let reply = site
            .ask(&format!("GET Observation/$lastn?{query}"), &[], "")
            .await;
        reply.refused(400, number, &place(parameter));
    }
    let reply = site
        .ask("GET Observation/$lastn?patient=p&nonsense=1", &[], "")
        .await;
    assert_eq!(reply.status, 400, "{}", reply.text);
}
