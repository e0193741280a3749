//! `$expand`, `$validate-code`, `$lookup`, `$subsumes`, `$translate`.

use super::*;

const PLANTS: &str = r#"{"resourceType":"CodeSystem","id":"plants","url":"urn:plants","version":"2","name":"Plants","status":"active","content":"complete","concept":[
    {"code":"tree","display":"Tree","definition":"A large plant","property":[{"code":"notSelectable","valueBoolean":true}],"concept":[
        {"code":"oak","display":"Oak","designation":[{"language":"de","value":"Eiche"}]},
        {"code":"pine","display":"Mountain pine","property":[{"code":"status","valueCode":"retired"}]}]},
    {"code":"herb","display":"Herb"}]}"#;
const SET: &str = r#"{"resourceType":"ValueSet","id":"s","url":"urn:set","status":"active","compose":{"include":[{"system":"urn:plants"}],"exclude":[{"system":"urn:plants","concept":[{"code":"herb"}]}]}}"#;
const MAP: &str = r#"{"resourceType":"ConceptMap","id":"m","url":"urn:map","status":"active","sourceUri":"urn:set","targetUri":"urn:set2","group":[{"source":"urn:plants","target":"urn:other","element":[{"code":"oak","target":[{"code":"O","equivalence":"equivalent"}]},{"code":"herb","target":[{"equivalence":"unmatched"}]}]}]}"#;

async fn site() -> Site {
    let site = Site::new();
    for resource in [PLANTS, SET, MAP] {
        site.put(resource).await;
    }
    site
}

fn codes(set: &Json) -> String {
    let contains = set.get("expansion").unwrap().items("contains").iter();
    let codes: Vec<&str> = contains
        .map(|item| item.str_at(&["code"]).unwrap())
        .collect();
    codes.join(" ")
}

#[tokio::test]
async fn value_sets_are_expanded() {
    let site = site().await;
    for (request, expected) in [
        ("GET ValueSet/s/$expand", "tree oak pine"),
        ("GET ValueSet/$expand?url=urn:set", "tree oak pine"),
        ("POST ValueSet/$expand?url=urn:set", "tree oak pine"),
        ("GET ValueSet/$expand?url=urn:set&filter=mou%20p", "pine"),
        ("GET ValueSet/$expand?url=urn:set&filter=OA", "oak"),
        (
            "GET ValueSet/$expand?url=urn:set&activeOnly=true",
            "tree oak",
        ),
        (
            "GET ValueSet/$expand?url=urn:set&excludeNotForUI=true",
            "oak pine",
        ),
        ("GET ValueSet/$expand?url=urn:set&offset=1&count=1", "oak"),
        (
            "GET ValueSet/$expand?url=urn:plants?fhir_vs",
            "tree oak pine herb",
        ),
        (
            "GET ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1",
            "male female other unknown",
        ),
    ] {
        let set = site.ask(request, &[], "").await.ok(200);
        assert_eq!(codes(&set), expected, "{request}");
        assert_eq!(set.get("compose"), None);
    }
    let set = site
        .ask("GET ValueSet/s/$expand?displayLanguage=de&count=0", &[], "")
        .await
        .ok(200);
    assert_eq!(
        set.at(&["expansion", "total"]).and_then(Json::as_number),
        Some("3")
    );
    let set = site
        .ask(
            "GET ValueSet/s/$expand?displayLanguage=de&filter=oak",
            &[],
            "",
        )
        .await
        .ok(200);
    assert_eq!(
        set.str_at(&["expansion", "contains", "display"]),
        Some("Eiche")
    );
    assert_eq!(set.str_at(&["url"]), Some("urn:set"));
    let given = SET.replace("herb", "oak");
    let set = site.ask("POST ValueSet/$expand", &[], &given).await.ok(200);
    assert_eq!(codes(&set), "tree pine herb");
}

#[tokio::test]
async fn expansions_that_cannot_be_say_why() {
    let site = site().await;
    let many: Vec<String> = (0..10_001)
        .map(|n| format!(r#"{{"code":"{n}"}}"#))
        .collect();
    let many = format!(
        r#"{{"resourceType":"CodeSystem","id":"many","url":"urn:many","status":"active","content":"complete","concept":[{}]}}"#,
        many.join(",")
    );
    site.put(&many).await;
    let reply = site
        .ask("GET ValueSet/$expand?url=urn:many?fhir_vs", &[], "")
        .await;
    reply.refused(422, "E-EXPAND-1", "");
    assert!(reply.text.contains("too-costly"));
    let page = site
        .ask(
            "GET ValueSet/$expand?url=urn:many?fhir_vs&offset=10000&count=5",
            &[],
            "",
        )
        .await
        .ok(200);
    assert_eq!(codes(&page), "10000");
    let refused = [
        ("GET ValueSet/$expand", 400, "E-OPERATION-2"),
        ("GET ValueSet/$expand?url=urn:nothing", 404, "E-TERM-4"),
        (
            "GET ValueSet/$expand?url=http://snomed.info/sct?fhir_vs",
            404,
            "E-TERM-11",
        ),
        (
            "GET ValueSet/$expand?url=urn:set&count=x",
            400,
            "E-OPERATION-1",
        ),
        (
            "GET ValueSet/$expand?url=urn:set&nonsense=x",
            400,
            "E-OPERATION-3",
        ),
        ("GET ValueSet/none/$expand", 404, "E-READ-1"),
    ];
    for (request, status, number) in refused {
        let reply = site.ask(request, &[], "").await;
        assert_eq!(
            (reply.status, reply.text.contains(number)),
            (status, true),
            "{request} {}",
            reply.text
        );
    }
}

#[track_caller]
fn result(reply: &Json) -> (bool, &str) {
    let text = |name| {
        value(reply, name, "valueString")
            .and_then(Json::as_str)
            .unwrap_or("")
    };
    let result = value(reply, "result", "valueBoolean")
        .and_then(Json::as_bool)
        .unwrap();
    (
        result,
        if result {
            text("display")
        } else {
            text("message")
        },
    )
}

#[tokio::test]
async fn codes_are_validated() {
    let site = site().await;
    let no = "the code is not in the value set";
    for (request, expected) in [
        (
            "ValueSet/$validate-code?url=urn:set&system=urn:plants&code=oak",
            (true, "Oak"),
        ),
        (
            "ValueSet/s/$validate-code?system=urn:plants&code=oak",
            (true, "Oak"),
        ),
        ("ValueSet/s/$validate-code?code=oak", (true, "Oak")),
        (
            "ValueSet/s/$validate-code?system=urn:plants&code=oak&display=oak",
            (true, "Oak"),
        ),
        (
            "ValueSet/s/$validate-code?system=urn:plants&code=oak&display=Eiche",
            (true, "Oak"),
        ),
        (
            "ValueSet/s/$validate-code?system=urn:plants&code=oak&display=Elm",
            (false, "the code is right, its display is not"),
        ),
        (
            "ValueSet/s/$validate-code?system=urn:plants&code=herb",
            (false, no),
        ),
        (
            "ValueSet/s/$validate-code?system=urn:other&code=oak",
            (false, no),
        ),
        (
            "ValueSet/s/$validate-code?system=urn:plants&code=tree&abstract=false",
            (false, "the code is abstract"),
        ),
        (
            "CodeSystem/$validate-code?url=urn:plants&code=herb",
            (true, "Herb"),
        ),
        ("CodeSystem/plants/$validate-code?code=herb", (true, "Herb")),
        (
            "CodeSystem/$validate-code?url=urn:plants|2&code=stone",
            (false, "the code is not in the code system"),
        ),
    ] {
        let reply = site.ask(&format!("GET {request}"), &[], "").await.ok(200);
        assert_eq!(result(&reply), expected, "{request}");
    }
    let concept = r#"{"name":"codeableConcept","valueCodeableConcept":{"coding":[{"system":"urn:x","code":"1"},{"system":"urn:plants","code":"pine"}]}}"#;
    let url = r#"{"name":"url","valueUri":"urn:set"}"#;
    let reply = site
        .ask(
            "POST ValueSet/$validate-code",
            &[],
            &parameters(&[url, concept]),
        )
        .await
        .ok(200);
    assert_eq!(result(&reply), (true, "Mountain pine"));
    let coding = r#"{"name":"coding","valueCoding":{"system":"urn:plants","code":"stone"}}"#;
    let reply = site
        .ask(
            "POST CodeSystem/$validate-code",
            &[],
            &parameters(&[coding]),
        )
        .await
        .ok(200);
    assert!(!result(&reply).0);
    let both = parameters(&[coding, r#"{"name":"code","valueCode":"oak"}"#, url]);
    let reply = site.ask("POST ValueSet/$validate-code", &[], &both).await;
    reply.refused(
        400,
        "E-OPERATION-1",
        "Parameters.parameter.where(name='code')",
    );
    let reply = site.ask("GET ValueSet/s/$validate-code", &[], "").await;
    reply.refused(
        400,
        "E-OPERATION-2",
        "Parameters.parameter.where(name='code')",
    );
    assert_eq!(
        site.ask(
            "GET CodeSystem/$validate-code?url=urn:plants|9&code=oak",
            &[],
            ""
        )
        .await
        .status,
        404
    );
}

#[tokio::test]
async fn codes_are_looked_up() {
    let site = site().await;
    let reply = site
        .ask(
            "GET CodeSystem/$lookup?system=urn:plants&code=tree",
            &[],
            "",
        )
        .await
        .ok(200);
    let text = |name| value(&reply, name, "valueString").and_then(Json::as_str);
    assert_eq!(
        (text("name"), text("version"), text("display")),
        (Some("Plants"), Some("2"), Some("Tree"))
    );
    let properties: Vec<String> = reply
        .items("parameter")
        .iter()
        .filter(|item| item.str_at(&["name"]) == Some("property"))
        .map(|item| {
            let part = |at: usize| {
                item.items("part")[at]
                    .as_object()
                    .unwrap()
                    .iter()
                    .nth(1)
                    .unwrap()
                    .1
                    .clone()
            };
            format!(
                "{}={}",
                part(0).as_str().unwrap(),
                fhir_mapping::model::format(&part(1))
            )
        })
        .collect();
    assert_eq!(
        properties,
        [
            "definition=\"A large plant\"",
            "notSelectable=true",
            "child=\"oak\"",
            "child=\"pine\""
        ]
    );
    let reply = site
        .ask(
            "GET CodeSystem/$lookup?system=urn:plants&code=oak&property=parent",
            &[],
            "",
        )
        .await
        .ok(200);
    assert_eq!(reply.items("parameter").len(), 4);
    let own = "GET CodeSystem/$lookup?system=http://hl7.org/fhir/administrative-gender&code=male";
    let reply = site.ask(own, &[], "").await.ok(200);
    assert_eq!(
        value(&reply, "display", "valueString").and_then(Json::as_str),
        Some("Male")
    );
    for (request, status) in [
        ("system=urn:plants&code=x", 404),
        ("system=urn:x&code=x", 404),
        ("code=x", 400),
        ("system=urn:plants", 400),
    ] {
        assert_eq!(
            site.ask(&format!("GET CodeSystem/$lookup?{request}"), &[], "")
                .await
                .status,
            status,
            "{request}"
        );
    }
}

#[tokio::test]
async fn codes_subsume_each_other() {
    let site = site().await;
    for (request, expected) in [
        (
            "$subsumes?system=urn:plants&codeA=tree&codeB=oak",
            "subsumes",
        ),
        (
            "$subsumes?system=urn:plants&codeA=oak&codeB=tree",
            "subsumed-by",
        ),
        (
            "$subsumes?system=urn:plants&codeA=oak&codeB=oak",
            "equivalent",
        ),
        ("plants/$subsumes?codeA=oak&codeB=herb", "not-subsumed"),
    ] {
        let reply = site
            .ask(&format!("GET CodeSystem/{request}"), &[], "")
            .await
            .ok(200);
        assert_eq!(
            value(&reply, "outcome", "valueCode").and_then(Json::as_str),
            Some(expected),
            "{request}"
        );
    }
    let coding = |name: &str, code: &str| {
        format!(r#"{{"name":"{name}","valueCoding":{{"system":"urn:plants","code":"{code}"}}}}"#)
    };
    let body = parameters(&[&coding("codingA", "tree"), &coding("codingB", "pine")]);
    let reply = site
        .ask("POST CodeSystem/$subsumes", &[], &body)
        .await
        .ok(200);
    assert_eq!(
        value(&reply, "outcome", "valueCode").and_then(Json::as_str),
        Some("subsumes")
    );
    assert_eq!(
        site.ask("GET CodeSystem/plants/$subsumes?codeA=oak&codeB=x", &[], "")
            .await
            .status,
        404
    );
    assert_eq!(
        site.ask("GET CodeSystem/plants/$subsumes?codeA=oak", &[], "")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn codes_are_translated() {
    let site = site().await;
    let found = |reply: &Json| {
        let result = value(reply, "result", "valueBoolean")
            .and_then(Json::as_bool)
            .unwrap();
        let part = value(reply, "match", "part")
            .and_then(Json::as_array)
            .unwrap_or_default()
            .to_vec();
        let coding = part.iter().find_map(|part| part.get("valueCoding"));
        let code = coding
            .and_then(|coding| coding.str_at(&["code"]))
            .unwrap_or("-");
        format!("{result} {code}")
    };
    for (request, expected) in [
        (
            "$translate?url=urn:map&system=urn:plants&code=oak",
            "true O",
        ),
        ("m/$translate?system=urn:plants&code=oak", "true O"),
        ("$translate?system=urn:plants&code=oak", "true O"),
        (
            "$translate?system=urn:plants&code=oak&targetsystem=urn:other",
            "true O",
        ),
        (
            "$translate?system=urn:plants&code=oak&targetsystem=urn:none",
            "false -",
        ),
        (
            "$translate?system=urn:plants&code=oak&target=urn:set2",
            "true O",
        ),
        (
            "$translate?system=urn:plants&code=oak&target=urn:set3",
            "false -",
        ),
        (
            "$translate?url=urn:map&system=urn:plants&code=herb",
            "false -",
        ),
        (
            "$translate?url=urn:map&system=urn:other&code=O&reverse=true",
            "true oak",
        ),
        (
            "$translate?url=http://hl7.org/fhir/ConceptMap/cm-address-use-v3&system=http://hl7.org/fhir/address-use&code=home",
            "true H",
        ),
    ] {
        let reply = site
            .ask(&format!("GET ConceptMap/{request}"), &[], "")
            .await
            .ok(200);
        assert_eq!(found(&reply), expected, "{request}");
    }
    assert_eq!(
        site.ask("GET ConceptMap/$translate?url=urn:none&code=x", &[], "")
            .await
            .status,
        404
    );
    assert_eq!(
        site.ask("GET ConceptMap/$translate?code=x", &[], "")
            .await
            .status,
        400
    );
}
