//! `$purge`.

use super::*;
use gateway_repository::{PurgeOrder, Transaction, Write};

const REASON: &str = r#"{"name":"reason","valueString":"asked by the person"}"#;

async fn site() -> Site {
    let site = Site::new();
    for resource in [
        r#"{"resourceType":"Patient","id":"p","name":[{"family":"Juma"}]}"#,
        r#"{"resourceType":"Patient","id":"p","name":[{"family":"Juma"}],"active":true}"#,
        r#"{"resourceType":"Patient","id":"q","link":[{"other":{"reference":"Patient/p"},"type":"seealso"}]}"#,
        r#"{"resourceType":"Observation","id":"op","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"}}"#,
        r#"{"resourceType":"Observation","id":"gone","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"}}"#,
        r#"{"resourceType":"Observation","id":"oq","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/q"}}"#,
        r#"{"resourceType":"Group","id":"g","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/p"}},{"entity":{"reference":"Patient/q"}}]}"#,
        r#"{"resourceType":"Organization","id":"org"}"#,
    ] {
        site.put(resource).await;
    }
    site.ask("DELETE Observation/gone", &[], "").await.ok(204);
    site
}

/// `name=value` of all parts, in their order.
fn shown(parameters: &Json) -> String {
    let one = |item: &Json| {
        let text = |item: &Json| {
            let value = ["valueString", "valueDecimal", "valueCode"]
                .iter()
                .find_map(|name| item.get(name));
            value.map(|value| {
                value
                    .as_str()
                    .or(value.as_number())
                    .unwrap_or("")
                    .to_owned()
            })
        };
        let parts: Vec<String> = item.items("part").iter().filter_map(text).collect();
        let value = text(item).unwrap_or_else(|| parts.join(" "));
        format!("{}={value}", item.str_at(&["name"]).unwrap())
    };
    let list: Vec<String> = parameters.items("parameter").iter().map(one).collect();
    list.join("; ")
}

#[tokio::test]
async fn history_growth_is_ended_by_a_purge_with_a_certificate() {
    let site = site().await;
    let preview = parameters(&[r#"{"name":"preview","valueBoolean":true}"#]);
    let seen = site
        .ask("POST Patient/p/$purge", &[], &preview)
        .await
        .ok(200);
    let counts = "purged=Observation 2; purged=Patient 1; versions=5; bytes=";
    assert!(shown(&seen).starts_with(counts), "{}", shown(&seen));
    assert!(
        shown(&seen).ends_with("kept=Group 1; kept=Patient 1"),
        "{}",
        shown(&seen)
    );
    assert_eq!(site.ask("GET Patient/p", &[], "").await.status, 200);

    let certificate = site
        .ask("POST Patient/p/$purge", &[], &parameters(&[REASON]))
        .await
        .ok(200);
    let text = shown(&certificate);
    assert!(
        text.contains(counts) && text.contains("kept=Group 1; kept=Patient 1"),
        "{text}"
    );
    assert!(
        text.starts_with("patient=Patient/p; reason=asked by the person; who="),
        "{text}"
    );

    for path in [
        "Patient/p",
        "Patient/p/_history/1",
        "Observation/op",
        "Observation/gone/_history/1",
    ] {
        site.ask(&format!("GET {path}"), &[], "")
            .await
            .refused(410, "E-READ-5", "");
    }
    for (path, total) in [
        ("Patient?family=Juma", "0"),
        ("Observation?subject=Patient/p", "0"),
        ("Observation?_id=op", "0"),
        ("Observation", "1"),
        ("Patient", "1"),
        ("Patient/p/_history", "1"),
    ] {
        let bundle = site.ask(&format!("GET {path}"), &[], "").await.ok(200);
        assert_eq!(
            bundle.get("total").and_then(Json::as_number),
            Some(total),
            "{path}"
        );
    }
    let log = site.ask("GET _history", &[], "").await;
    assert!(!log.text.contains("Juma"), "{}", log.text);

    let store = site.surface.repository.store();
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
    let number: u64 = value(&certificate, "audit-entry", "valueString")
        .unwrap()
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let entry = store
        .snapshot()
        .unwrap()
        .view()
        .audit(number - 1, 1)
        .unwrap()
        .remove(0);
    let chain: String = entry
        .chain
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        value(&certificate, "audit-chain", "valueString")
            .unwrap()
            .as_str(),
        Some(chain.as_str())
    );
    let body = String::from_utf8(entry.body).unwrap();
    assert!(
        body.contains(r#""what":"purge-certificate""#)
            && body.contains(r#""purged":{"Observation":2,"Patient":1}"#),
        "{body}"
    );

    // Nothing is left to purge, and the id can live again.
    site.ask("POST Patient/p/$purge", &[], &parameters(&[REASON]))
        .await
        .refused(410, "E-READ-5", "");
    site.put(r#"{"resourceType":"Patient","id":"p"}"#).await;
    let again = site.ask("GET Patient/p", &[], "").await.ok(200);
    assert_eq!(again.str_at(&["meta", "versionId"]), Some("4"));
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
}

#[tokio::test]
async fn long_histories_go_in_bounded_commits() {
    let site = Site::new();
    let repository = &site.surface.repository;
    let actor = gateway_repository::Actor {
        name: "test".to_owned(),
        origin: store::Origin {
            kind: store::OriginKind::Client,
            number: 0,
        },
    };
    let resource =
        |text: &str| fhir_mapping::model::parse(text.as_bytes(), Default::default()).unwrap();
    let put = |id: &str, text: String| Write::Update {
        id: id.to_owned(),
        resource: resource(&text),
        if_match: None,
    };
    for round in 0..3 {
        let mut writes = vec![put(
            "p",
            format!(r#"{{"resourceType":"Patient","id":"p","multipleBirthInteger":{round}}}"#),
        )];
        writes.extend((0..250).map(|n| put(&format!("o{n}"), format!(
            r#"{{"resourceType":"Observation","id":"o{n}","status":"final","code":{{"text":"r{round}"}},"subject":{{"reference":"Patient/p"}}}}"#
        ))));
        let transaction = Transaction {
            actor: actor.clone(),
            writes,
            rows: Vec::new(),
            resolve_conditional_references: false,
        };
        repository.write(transaction).await.unwrap();
    }
    let order = PurgeOrder {
        patient: "p".to_owned(),
        reason: "test".to_owned(),
        with_unsent: false,
    };
    let certificate = repository.purge(&actor, order).await.unwrap();
    assert_eq!(
        (
            certificate.report.types["Observation"],
            certificate.report.versions
        ),
        (250, 753)
    );
    let store = repository.store();
    let report = store.verify(None).unwrap();
    assert_eq!(
        (report.findings, report.versions, report.values),
        (vec![], 251, 0)
    );
}

#[tokio::test]
async fn a_purge_is_for_administrators_and_says_why() {
    let site = site().await;
    site.ask("POST Patient/p/$purge", &[], "").await.refused(
        400,
        "E-OPERATION-2",
        "Parameters.parameter.where(name='reason')",
    );
    site.ask("POST Patient/none/$purge", &[], &parameters(&[REASON]))
        .await
        .refused(404, "E-READ-1", "");
    let extra = parameters(&[REASON, r#"{"name":"all","valueBoolean":true}"#]);
    let place = "Parameters.parameter.where(name='all')";
    site.ask("POST Patient/p/$purge", &[], &extra)
        .await
        .refused(400, "E-OPERATION-3", place);
    assert_eq!(site.ask("GET Patient/p", &[], "").await.status, 200);
}
