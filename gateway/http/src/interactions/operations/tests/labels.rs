//! `$meta`, `$meta-add`, `$meta-delete`.

use super::*;

const PATIENT: &str = r#"{"resourceType":"Patient","id":"a","meta":{"profile":["urn:p"],"tag":[{"system":"urn:t","code":"1"}]},"active":true}"#;

fn meta_parameter(meta: &str) -> String {
    parameters(&[&format!(r#"{{"name":"meta","valueMeta":{meta}}}"#)])
}

fn tags(reply: &Json) -> Vec<String> {
    let meta = value(reply, "return", "valueMeta").unwrap();
    let tags = meta.items("tag").iter();
    tags.map(|tag| tag.str_at(&["code"]).unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn labels_are_added_once_and_taken_away() {
    let site = Site::new();
    site.put(PATIENT).await;
    let add =
        meta_parameter(r#"{"tag":[{"system":"urn:t","code":"1"},{"system":"urn:t","code":"2"}]}"#);
    let reply = site
        .ask("POST Patient/a/$meta-add", &[], &add)
        .await
        .ok(200);
    assert_eq!(tags(&reply), ["1", "2"]);
    let read = site.ask("GET Patient/a", &[], "").await.ok(200);
    assert_eq!(read.at(&["active"]), Some(&Json::Bool(true)));
    assert_eq!(read.str_at(&["meta", "versionId"]), Some("2"));
    let found = site.page("GET Patient?_tag=urn:t|2").await.0;
    assert_eq!(found, ["a"]);
    // Nothing new: no new version.
    site.ask("POST Patient/a/$meta-add", &[], &add)
        .await
        .ok(200);
    let delete = meta_parameter(r#"{"tag":[{"system":"urn:t","code":"1"}],"profile":["urn:p"]}"#);
    let stale = site
        .ask(
            "POST Patient/a/$meta-delete",
            &["If-Match: W/\"1\""],
            &delete,
        )
        .await;
    assert_eq!(stale.status, 412, "{}", stale.text);
    let reply = site
        .ask(
            "POST Patient/a/$meta-delete",
            &["If-Match: W/\"2\""],
            &delete,
        )
        .await
        .ok(200);
    assert_eq!(tags(&reply), ["2"]);
    assert_eq!(
        value(&reply, "return", "valueMeta").unwrap().get("profile"),
        None
    );
}

#[tokio::test]
async fn labels_are_gathered_by_type_and_site() {
    let site = Site::new();
    site.put(PATIENT).await;
    site.put(&PATIENT.replace("\"a\"", "\"b\"")).await;
    let group = r#"{"resourceType":"Group","id":"g","meta":{"tag":[{"code":"3"}]},"type":"person","actual":true}"#;
    site.put(group).await;
    for (request, expected) in [
        ("GET Patient/a/$meta", vec!["1"]),
        ("GET Patient/$meta", vec!["1"]),
        ("GET Group/$meta", vec!["3"]),
        ("GET $meta", vec!["1", "3"]),
        ("POST $meta", vec!["1", "3"]),
    ] {
        let reply = site.ask(request, &[], "").await.ok(200);
        assert_eq!(tags(&reply), expected, "{request}");
    }
    let none = site.ask("GET Device/$meta", &[], "").await.ok(200);
    assert_eq!(fhir_mapping::validate::structure(&none), []);
}

#[tokio::test]
async fn mistakes_are_named() {
    let site = Site::new();
    site.put(PATIENT).await;
    let place = |name: &str| format!("Parameters.parameter.where(name='{name}')");
    let reply = site.ask("GET Patient/a/$meta?x=1", &[], "").await;
    reply.refused(400, "E-OPERATION-3", &place("x"));
    let reply = site.ask("POST Patient/a/$meta-add", &[], "").await;
    reply.refused(400, "E-OPERATION-2", &place("meta"));
    let text = parameters(&[r#"{"name":"meta","valueString":"x"}"#]);
    let reply = site.ask("POST Patient/a/$meta-add", &[], &text).await;
    reply.refused(400, "E-OPERATION-1", &place("meta"));
    assert_eq!(
        site.ask("GET Patient/none/$meta", &[], "").await.status,
        404
    );
}
