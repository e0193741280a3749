//! The requests of section 2 of the client survey, each against a small ward; and what every client
//! may count on: nothing is left out silently, less is marked as less.

use super::*;

async fn ward() -> Site {
    let site = Site::new();
    let entries = [
        (
            "Organization/o1",
            r#"{"resourceType":"Organization","id":"o1","name":"St. Mary","address":[{"city":"NAIROBI"}]}"#,
        ),
        (
            "Location/l1",
            r#"{"resourceType":"Location","id":"l1","name":"Ward 3","meta":{"tag":[{"code":"Login Location","display":"Login Location"}]},"address":{"city":"NAIROBI"}}"#,
        ),
        (
            "Location/l2",
            r#"{"resourceType":"Location","id":"l2","name":"Bed 1","partOf":{"reference":"Location/l1"}}"#,
        ),
        (
            "Location/l3",
            r#"{"resourceType":"Location","id":"l3","name":"Drawer","partOf":{"reference":"Location/l2"}}"#,
        ),
        (
            "Practitioner/d1",
            r#"{"resourceType":"Practitioner","id":"d1","identifier":[{"system":"sys","value":"val"}],"name":[{"family":"Okello"}]}"#,
        ),
        (
            "PractitionerRole/r1",
            r#"{"resourceType":"PractitionerRole","id":"r1","practitioner":{"reference":"Practitioner/d1"},"specialty":[{"coding":[{"code":"207Q"}]}]}"#,
        ),
        (
            "Patient/p1",
            r#"{"resourceType":"Patient","id":"p1","active":true,"identifier":[{"system":"sys","value":"val"}],"gender":"female","birthDate":"1990-05-05","name":[{"family":"Juma","given":["Amina"]}],"address":[{"city":"NAIROBI"}],"managingOrganization":{"reference":"Organization/o1"}}"#,
        ),
        (
            "Patient/p2",
            r#"{"resourceType":"Patient","id":"p2","gender":"male","name":[{"family":"Otieno"}],"link":[{"other":{"reference":"Patient/p1"},"type":"seealso"}]}"#,
        ),
        (
            "Encounter/e1",
            r#"{"resourceType":"Encounter","id":"e1","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/p1"},"period":{"start":"2026-03-01","end":"2026-03-02"},"location":[{"location":{"reference":"Location/l2"}}]}"#,
        ),
        (
            "Observation/b1",
            r#"{"resourceType":"Observation","id":"b1","status":"final","category":[{"coding":[{"code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"718-7"}]},"subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e1"},"effectiveDateTime":"2026-03-01T10:00:00Z","valueQuantity":{"value":13.5,"unit":"g/dL","system":"http://unitsofmeasure.org","code":"g/dL"}}"#,
        ),
        (
            "Observation/b2",
            r#"{"resourceType":"Observation","id":"b2","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"718-7"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-03-02","hasMember":[{"reference":"Observation/b1"}],"valueCodeableConcept":{"coding":[{"code":"x"}]}}"#,
        ),
        (
            "ServiceRequest/s1",
            r#"{"resourceType":"ServiceRequest","id":"s1","identifier":[{"system":"sys","value":"val"}],"status":"active","intent":"order","subject":{"reference":"Patient/p1"},"requester":{"reference":"Practitioner/d1"}}"#,
        ),
        (
            "Task/t1",
            r#"{"resourceType":"Task","id":"t1","identifier":[{"system":"sys","value":"val"}],"status":"requested","intent":"order","basedOn":[{"reference":"ServiceRequest/s1"}],"owner":{"reference":"Practitioner/d1"}}"#,
        ),
        (
            "DiagnosticReport/g1",
            r#"{"resourceType":"DiagnosticReport","id":"g1","status":"final","category":[{"coding":[{"code":"LAB"}]}],"code":{"coding":[{"code":"58410-2"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-03-01","basedOn":[{"reference":"ServiceRequest/s1"}]}"#,
        ),
        (
            "Condition/c1",
            r#"{"resourceType":"Condition","id":"c1","category":[{"coding":[{"code":"problem-list-item"}]}],"code":{"coding":[{"code":"B50"}]},"subject":{"reference":"Patient/p1"}}"#,
        ),
        (
            "Medication/m1",
            r#"{"resourceType":"Medication","id":"m1","code":{"coding":[{"code":"amox"}]}}"#,
        ),
        (
            "MedicationRequest/q1",
            r#"{"resourceType":"MedicationRequest","id":"q1","status":"active","intent":"order","medicationReference":{"reference":"Medication/m1"},"subject":{"reference":"Patient/p1"}}"#,
        ),
        (
            "Provenance/v1",
            r#"{"resourceType":"Provenance","id":"v1","target":[{"reference":"Observation/b1"}],"recorded":"2026-03-01T10:00:00Z","agent":[{"who":{"reference":"Practitioner/d1"}}]}"#,
        ),
        (
            "List/x1",
            r#"{"resourceType":"List","id":"x1","status":"current","mode":"working","subject":{"reference":"Patient/p1"},"entry":[{"item":{"reference":"Condition/c1"}},{"item":{"reference":"Patient/p2"}}]}"#,
        ),
        (
            "ImplementationGuide/i1",
            r#"{"resourceType":"ImplementationGuide","id":"i1","url":"urn:ig","name":"quest","status":"active","packageId":"q","fhirVersion":["4.0.1"],"useContext":[{"code":{"code":"age"},"valueQuantity":{"value":3}}]}"#,
        ),
        (
            "Binary/y1",
            r#"{"resourceType":"Binary","id":"y1","contentType":"text/plain","data":"aGk="}"#,
        ),
        (
            "Composition/z1",
            r#"{"resourceType":"Composition","id":"z1","identifier":{"value":"app"},"status":"final","type":{"text":"t"},"date":"2026-03-01","author":[{"reference":"Practitioner/d1"}],"title":"t"}"#,
        ),
    ];
    let entries: Vec<String> = entries
        .iter()
        .map(|(url, resource)| entry("PUT", url, "", resource))
        .collect();
    site.bundle("transaction", &entries).await.ok(200);
    site
}

/// Each request, and the ids that come back in order: matches, then after a bar the others.
#[tokio::test]
async fn every_request_of_the_clients_we_know_is_answered() {
    let site = ward().await;
    for (request, expected) in [
        // Android FHIR SDK
        (
            "Patient?address-city=NAIROBI&_sort=_lastUpdated&_lastUpdated=gt2020-01-01T00:00:00Z",
            "p1",
        ),
        ("Patient?address-city=NAIROBI&_summary=count", ""),
        // OpenSRP
        (
            "ImplementationGuide?&name:exact=quest&context-quantity=le5&_sort=-context-quantity&_count=1",
            "i1",
        ),
        ("Composition?identifier=app&_count=5", "z1"),
        ("Binary?_id=y1,b,c&_count=3", "y1"),
        ("List?_id=x1&_page=1&_count=20", "x1"),
        // OpenMRS O3
        (
            "Observation?patient=p1&code=718-7&_sort=-date&_count=500",
            "b2 b1",
        ),
        (
            "Observation?subject:Patient=p1&code=http://loinc.org|718-7",
            "b1 b2",
        ),
        (
            "Condition?patient=p1&category=problem-list-item&_count=100",
            "c1",
        ),
        ("AllergyIntolerance?patient=p1", ""),
        ("Immunization?patient=Patient/p1", ""),
        (
            "Location?_summary=data&_count=50&_getpagesoffset=0&_tag=Login Location&name:contains=ard",
            "l1",
        ),
        ("Location?_id=l1", "l1"),
        ("ChargeItemDefinition?code=x", "| outcome"),
        // OpenMRS fhir2 as the national side
        ("Observation?patient.identifier=sys|val&has-member=b1", "b2"),
        (
            "Observation?subject.given=amina&subject.family=juma&_sort=date",
            "b1 b2",
        ),
        ("Observation?patient.name=Amina&value-concept=x", "b2"),
        (
            "Observation?value-quantity=gt13&_include=Observation:encounter",
            "b1 | e1",
        ),
        (
            "Observation?_revinclude=Observation:has-member&encounter=e1",
            "b1 | b2",
        ),
        // OpenELIS
        (
            "Task?status=requested,received&_include=Task:based-on",
            "t1 | s1",
        ),
        (
            "Task?owner=Practitioner/d1&based-on=ServiceRequest/s1",
            "t1",
        ),
        ("ServiceRequest?identifier=sys|val", "s1"),
        (
            "ServiceRequest?_id=s1&_include:iterate=ServiceRequest:requester",
            "s1 | d1",
        ),
        (
            "ServiceRequest?_id=s1&_revinclude:iterate=DiagnosticReport:based-on&_revinclude=Task:based-on",
            "s1 | g1 t1",
        ),
        ("DiagnosticReport?based-on=ServiceRequest/s1", "g1"),
        ("Organization?name:exact=St. Mary", "o1"),
        // fhirpy
        ("Patient?_count=0&_totalMethod=count", ""),
        // US Core
        ("Patient?birthdate=1990-05-05&name=Juma", "p1"),
        ("Patient?gender=female&name=amina", "p1"),
        (
            "Observation?patient=p1&category=laboratory&date=ge2026-03-01",
            "b1",
        ),
        (
            "DiagnosticReport?patient=p1&category=LAB&date=2026-03",
            "g1",
        ),
        ("Encounter?date=ge2026-03-02&patient=p1", "e1"),
        (
            "MedicationRequest?patient=p1&intent=order&status=active&_include=MedicationRequest:medication",
            "q1 | m1",
        ),
        (
            "PractitionerRole?practitioner.identifier=val&specialty=207Q",
            "r1",
        ),
        ("Location?address-city=nairobi", "l1"),
        (
            "Observation?_id=b1&_revinclude=Provenance:target",
            "b1 | v1",
        ),
        // and the rest of the standard's search
        (
            "Observation?patient.organization.name=St.&_sort=_id",
            "b1 b2",
        ),
        ("Patient?_has:Observation:patient:code=718-7", "p1"),
        (
            "Patient?_has:Observation:patient:_has:Provenance:target:agent.family=Okello",
            "p1",
        ),
        ("Patient?_list=x1", "p2"),
        ("Location?partof:below=Location/l1", "l2 l3"),
        ("Location?partof:above=Location/l2", "l2 l3"),
        ("Encounter?location:below=Location/l1", "e1"),
        ("Patient?_filter=family eq juma or gender eq male", "p1 p2"),
        ("Observation?_content=718", "b1 b2"),
        ("?_type=Patient,Practitioner&identifier=sys|val", "d1 p1"),
        ("?_id=p1,e1", "e1 p1"),
        ("Patient/p1/Observation?code=718-7&_sort=-date", "b2 b1"),
        ("Patient/p1/*?_type=Condition,Encounter,Patient", "c1 e1 p2"),
        ("Encounter/e1/Observation", "b1"),
        ("Practitioner/d1/Provenance", "v1"),
    ] {
        let tree = site.ask(&format!("GET {request}"), &[], "").await;
        assert_eq!(tree.status, 200, "{request}: {}", tree.text);
        assert_eq!(shown(&tree.tree()), expected, "{request}");
        let (path, query) = request.split_once('?').unwrap_or((request, ""));
        let slash = if path.is_empty() { "" } else { "/" };
        let posted = format!("POST {path}{slash}_search?{query}");
        let posted = site.ask(&posted, &[], "").await;
        assert_eq!(shown(&posted.tree()), expected, "POST {request}");
    }
}

fn shown(bundle: &Json) -> String {
    assert_eq!(bundle.str_at(&["type"]), Some("searchset"));
    let (mut matches, mut others) = (Vec::new(), Vec::new());
    for entry in bundle.items("entry") {
        let id = entry
            .str_at(&["resource", "id"])
            .unwrap_or("outcome")
            .to_owned();
        match entry.str_at(&["search", "mode"]) {
            Some("match") => matches.push(id),
            _ => others.push(id),
        }
    }
    let is_sorted = bundle.str_at(&["link", "url"]).unwrap().contains("_sort");
    if !is_sorted {
        matches.sort();
    }
    others.sort();
    let matches = matches.join(" ");
    match others.as_slice() {
        [] => matches,
        others => format!("{matches} | {}", others.join(" "))
            .trim()
            .to_owned(),
    }
}

/// Complaint 17: modifiers ignored or 500 in chains. Complaint 18: standard parameters refused,
/// unknown ones ignored silently.
#[tokio::test]
async fn nothing_is_left_out_silently() {
    let site = ward().await;
    let strict = ["Prefer: handling=strict"];
    for (request, number) in [
        ("Patient?nonsense=1", "E-SEARCH-6"),
        ("Observation?subject:Patient.nonsense=x", "E-SEARCH-12"),
        ("Observation?patient.name:nonsense=x", "E-SEARCH-2"),
        ("Patient?name:nonsense=x", "E-SEARCH-2"),
        ("Patient?_sort=nonsense", "E-SEARCH-6"),
        ("Patient?_include=Patient:nonsense", "E-SEARCH-6"),
        ("?_type=Patient,Observation&gender=male", "E-SEARCH-6"),
    ] {
        let refused = site.ask(&format!("GET {request}"), &strict, "").await;
        assert_eq!(refused.status, 400, "{request}: {}", refused.text);
        assert!(refused.text.contains(number), "{request}: {}", refused.text);
    }
    let lenient = site
        .ask(
            "GET Patient?nonsense=1&gender=male&_format=json&_pretty=true",
            &[],
            "",
        )
        .await;
    assert!(lenient.text.contains("E-SCAN-5"), "{}", lenient.text);
    let tree = lenient.ok(200);
    assert_eq!(shown(&tree), "p2 | outcome");
    assert!(!tree.str_at(&["link", "url"]).unwrap().contains("nonsense"));
    site.ask("GET ?_type=Patient,Observation&gender=male", &[], "")
        .await
        .refused(400, "E-SCAN-3", "");
    for request in [
        "Observation?patient.name:exact=Juma",
        "Observation?subject:Patient.family:exact=juma",
    ] {
        let tree = site
            .ask(&format!("GET {request}"), &strict, "")
            .await
            .ok(200);
        let expected = if request.contains("Juma") {
            "b1 b2"
        } else {
            ""
        };
        assert_eq!(shown(&tree), expected, "{request}");
    }
}

#[tokio::test]
async fn less_than_the_whole_resource_is_marked() {
    let site = ward().await;
    for (request, holds, lacks) in [
        ("Patient?_id=p1&_summary=true", "\"gender\"", "\"contact\""),
        (
            "Patient?_id=p1&_elements=birthDate",
            "\"birthDate\"",
            "\"gender\"",
        ),
        (
            "Observation?_id=b1&_elements=subject",
            "\"status\":\"final\"",
            "valueQuantity",
        ),
        ("Observation?_id=b1&_summary=text", "\"code\"", "subject"),
        ("Patient?_id=p1&_summary=data", "\"gender\"", "\"text\""),
    ] {
        let reply = site.ask(&format!("GET {request}"), &[], "").await;
        assert_eq!(reply.status, 200, "{request}: {}", reply.text);
        assert!(
            reply.text.contains("SUBSETTED"),
            "{request}: {}",
            reply.text
        );
        let body = reply.text.split_once("\"entry\"").unwrap().1;
        assert!(
            body.contains(holds) && !body.contains(lacks),
            "{request}: {body}"
        );
    }
    let whole = site.ask("GET Patient?_id=p1&_summary=false", &[], "").await;
    assert!(!whole.text.contains("SUBSETTED"), "{}", whole.text);
}

/// Hostile queries end soon, with an answer or a clear refusal, and harm nobody.
#[tokio::test]
async fn hostile_queries_are_bounded() {
    let site = ward().await;
    let values: Vec<String> = (0..999).map(|n| format!("nobody{n}")).collect();
    let many = values.join(",");
    let deep = "_has:Observation:has-member:".repeat(10);
    let long = "partof.".repeat(200);
    for (request, expected) in [
        (
            format!("Observation?patient.identifier={many},val"),
            Ok("b1 b2"),
        ),
        (format!("Observation?patient.family={many}"), Ok("")),
        (format!("Patient?_id={many},p1"), Ok("p1")),
        (format!("Patient?identifier={many},x,y"), Err("E-SEARCH-1")),
        (format!("Observation?{deep}code=1"), Err("E-SEARCH-10")),
        (format!("Location?{long}name=x"), Err("E-SEARCH-9")),
        ("Patient?_count=1000000".to_owned(), Ok("p1 p2")),
        (
            "Patient?_count=99999999999999999999999".to_owned(),
            Err("E-SEARCH-7"),
        ),
        (
            "Patient?_include:iterate=*&_revinclude:iterate=Patient:link&_id=p1".to_owned(),
            Ok("p1 | o1 p2"),
        ),
        (
            "Patient?_id=p2&_include:iterate=Patient:link&_revinclude:iterate=Patient:link"
                .to_owned(),
            Ok("p2 | p1"),
        ),
        (
            format!("Patient?{}", "gender=male&".repeat(100)),
            Err("E-SEARCH-4"),
        ),
    ] {
        let reply = site.ask(&format!("GET {request}"), &[], "").await;
        let shown_request: String = request.chars().take(80).collect();
        match expected {
            Ok(expected) => assert_eq!(shown(&reply.ok(200)), expected, "{shown_request}"),
            Err(number) => {
                assert_eq!(reply.status, 400, "{shown_request}: {}", reply.text);
                assert!(
                    reply.text.contains(&format!("{number}: ")),
                    "{shown_request}: {}",
                    reply.text
                );
            }
        }
    }
    assert_eq!(site.page("GET Patient?identifier=sys|val").await.0, ["p1"]);
}
