//! Reads and searches, client by client.

use crate::ward;
use crate::wire::{Reply, Site};
use fhir_mapping::model::Json;

/// Client, request, and the ids that come back: matches, then after a bar the others. Without
/// `_sort` in any order.
const SEARCHES: [(&str, &str, &str); 74] = [
    (
        "Android FHIR SDK",
        "Patient?address-city=NAIROBI&_sort=_lastUpdated&_lastUpdated=gt2020-01-01T00:00:00.000Z",
        "p1",
    ),
    (
        "Android FHIR SDK",
        "Patient?address-city=NAIROBI&_sort=_lastUpdated&_lastUpdated=gt2020-01-01T00:00:00.000Z&_summary=count",
        "",
    ),
    (
        "OpenSRP fhircore",
        "ImplementationGuide?&name:exact=quest&context-quantity=le5&_sort=-context-quantity&_count=1",
        "i1",
    ),
    (
        "OpenSRP fhircore",
        "ImplementationGuide?&name:exact=quest&context-quantity=le2&_sort=-context-quantity&_count=1",
        "",
    ),
    (
        "OpenSRP fhircore",
        "Composition?identifier=app&_count=200",
        "z1",
    ),
    ("OpenSRP fhircore", "Binary?_id=y1,b,c&_count=200", "y1"),
    ("OpenSRP fhircore", "List?_id=x1&_page=1&_count=200", "x1"),
    ("OpenSRP fhircore", "List?_id=x1&_page=2&_count=200", ""),
    (
        "OpenSRP fhircore",
        "Patient?_lastUpdated=ge2020-01-01&_count=200",
        "p1 p2",
    ),
    (
        "OpenSRP fhircore",
        "Location?_tag=Login%20Location&_count=200",
        "l1",
    ),
    (
        "OpenMRS O3",
        "Observation?patient=p1&code=718-7&_sort=-date&_count=500",
        "b2 b1",
    ),
    (
        "OpenMRS O3",
        "Observation?subject:Patient=p1&code=http://loinc.org%7C718-7",
        "b1 b2",
    ),
    (
        "OpenMRS O3",
        "Observation/$lastn?patient=p1&code=718-7,8867-4&max=1",
        "b2 b3",
    ),
    (
        "OpenMRS O3",
        "Observation/$lastn?subject=Patient/p1&category=laboratory&max=3",
        "b1",
    ),
    (
        "OpenMRS O3",
        "Condition?patient=p1&category=problem-list-item&_count=100",
        "c1",
    ),
    ("OpenMRS O3", "AllergyIntolerance?patient=p1", "a1"),
    ("OpenMRS O3", "Immunization?patient=p1", "n1"),
    (
        "OpenMRS O3",
        "Location?_summary=data&_count=50&_getpagesoffset=0&_tag=Login%20Location&name:contains=ard",
        "l1",
    ),
    (
        "OpenMRS O3",
        "Location?_summary=data&_count=50&_getpagesoffset=50&_tag=Login+Location&name:contains=ard",
        "",
    ),
    ("OpenMRS O3", "Location?_id=l1", "l1"),
    (
        "OpenMRS O3",
        "ChargeItemDefinition?code=xray",
        "j1 | outcome",
    ),
    ("OpenMRS fhir2", "Observation?encounter=e1", "b1"),
    (
        "OpenMRS fhir2",
        "Observation?patient.identifier=sys%7Cval&has-member=b1",
        "b2",
    ),
    (
        "OpenMRS fhir2",
        "Observation?subject.given=amina&subject.family=juma&_sort=date",
        "b1 b2 b3 b4",
    ),
    (
        "OpenMRS fhir2",
        "Observation?patient.name=Amina&value-concept=x",
        "b2",
    ),
    ("OpenMRS fhir2", "Observation?value-date=2026-03-03", "b3"),
    ("OpenMRS fhir2", "Observation?value-string=cle", "b4"),
    (
        "OpenMRS fhir2",
        "Observation?value-quantity=gt13&_include=Observation:encounter",
        "b1 | e1",
    ),
    (
        "OpenMRS fhir2",
        "Observation?_revinclude=Observation:has-member&encounter=e1",
        "b1 | b2",
    ),
    (
        "OpenMRS fhir2",
        "Observation?date=2026-03-02&category:missing=true&_id=b2&_lastUpdated=ge2020",
        "b2",
    ),
    ("OpenELIS", "Task?status=requested,received", "t1"),
    (
        "OpenELIS",
        "Task?owner=Practitioner/d1&_include=Task:based-on",
        "t1 | s1",
    ),
    ("OpenELIS", "Task?based-on=ServiceRequest/s1", "t1"),
    ("OpenELIS", "Task?identifier=sys%7Cval", "t1"),
    ("OpenELIS", "ServiceRequest?identifier=sys%7Cval", "s1"),
    ("OpenELIS", "Specimen?identifier=sys%7Cval", "w1"),
    ("OpenELIS", "Practitioner?identifier=sys%7Cval", "d1"),
    ("OpenELIS", "Patient?identifier=sys%7Cval", "p1"),
    (
        "OpenELIS",
        "ServiceRequest?_id=s1&_include:iterate=ServiceRequest:requester",
        "s1 | d1",
    ),
    (
        "OpenELIS",
        "ServiceRequest?_id=s1&_revinclude:iterate=Observation:based-on",
        "s1 | b3",
    ),
    (
        "OpenELIS",
        "DiagnosticReport?based-on=ServiceRequest/s1",
        "g1",
    ),
    ("OpenELIS", "Organization?name:exact=St.%20Mary", "o1"),
    ("fhirpy", "Patient?_count=0&_totalMethod=count", ""),
    ("fhirpy", "Patient?gender=female&_count=1", "p1"),
    ("US Core", "Patient?_id=p1", "p1"),
    ("US Core", "Patient?name=Juma", "p1"),
    ("US Core", "Patient?birthdate=1990-05-05&name=Juma", "p1"),
    ("US Core", "Patient?gender=female&name=amina", "p1"),
    (
        "US Core",
        "Observation?patient=Patient/p1&category=laboratory&date=ge2026-03-01",
        "b1",
    ),
    (
        "US Core",
        "Observation?patient=p1&category=laboratory",
        "b1",
    ),
    (
        "US Core",
        "Observation?patient=p1&code=http://loinc.org%7C8867-4&date=2026-03-03",
        "b3",
    ),
    ("US Core", "Condition?patient=p1", "c1"),
    ("US Core", "AllergyIntolerance?patient=Patient/p1", "a1"),
    ("US Core", "Immunization?patient=Patient/p1", "n1"),
    (
        "US Core",
        "Procedure?patient=p1&date=ge2026-02-01&date=le2026-02-28",
        "u1",
    ),
    (
        "US Core",
        "DiagnosticReport?patient=p1&category=LAB&date=2026-03",
        "g1",
    ),
    (
        "US Core",
        "DiagnosticReport?patient=p1&code=58410-2&date=ge2026",
        "g1",
    ),
    ("US Core", "Encounter?_id=e1", "e1"),
    ("US Core", "Encounter?patient=p1", "e1"),
    ("US Core", "Encounter?date=ge2026-03-02&patient=p1", "e1"),
    (
        "US Core",
        "MedicationRequest?patient=p1&intent=order&status=active&_include=MedicationRequest:medication",
        "q1 | m1",
    ),
    (
        "US Core",
        "DocumentReference?patient=p1&type=http://loinc.org%7C34133-9",
        "f1",
    ),
    (
        "US Core",
        "DocumentReference?patient=p1&category=clinical-note&date=ge2026-03-01",
        "f1",
    ),
    ("US Core", "CareTeam?patient=p1&status=active", "k1"),
    (
        "US Core",
        "CarePlan?patient=p1&category=http://hl7.org/fhir/us/core/CodeSystem/careplan-category%7Cassess-plan",
        "h1",
    ),
    ("US Core", "Location?name=ward", "l1"),
    ("US Core", "Location?address-city=nairobi", "l1"),
    ("US Core", "Organization?address=nairobi", "o1"),
    ("US Core", "Practitioner?name=okello", "d1"),
    ("US Core", "PractitionerRole?practitioner=d1", "r1"),
    (
        "US Core",
        "PractitionerRole?practitioner.identifier=val&specialty=207Q",
        "r1",
    ),
    (
        "US Core",
        "Observation?_id=b1&_revinclude=Provenance:target",
        "b1 | v1",
    ),
    (
        "the minimum of all",
        "Patient?_total=accurate&_elements=birthDate&_format=json&family:exact=Juma",
        "p1",
    ),
    (
        "the minimum of all",
        "Patient?gender:not=male&active:missing=false",
        "p1",
    ),
];

#[tokio::test]
async fn what_each_client_searches_for_is_found() {
    let site = ward().await;
    for (client, request, expected) in SEARCHES {
        let reply = site.ask(&format!("GET {request}"), &[], "").await;
        check(&reply, (client, request), expected);
        let (path, query) = request.split_once('?').unwrap();
        if path.contains('$') {
            continue;
        }
        let form = ("content-type", "application/x-www-form-urlencoded");
        let posted = format!("POST {path}/_search");
        let reply = site.ask(&posted, &[form], query.to_owned()).await;
        check(&reply, (client, &posted), expected);
    }
}

#[track_caller]
fn check(reply: &Reply, (client, request): (&str, &str), expected: &str) {
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!(reply.status, 200, "{client}: {request}: {text}");
    let tree = reply.tree();
    assert_eq!(
        tree.str_at(&["type"]),
        Some("searchset"),
        "{client}: {request}"
    );
    assert_eq!(shown(&tree), expected, "{client}: {request}");
}

fn shown(bundle: &Json) -> String {
    let (mut matches, mut others) = (Vec::new(), Vec::new());
    for entry in bundle.items("entry") {
        let id = entry.str_at(&["resource", "id"]).unwrap_or("outcome");
        match entry.str_at(&["search", "mode"]) {
            Some("include" | "outcome") => others.push(id),
            _ => matches.push(id),
        }
    }
    let own = link(bundle, "self").unwrap();
    if !own.contains("_sort") {
        matches.sort_unstable();
    }
    others.sort_unstable();
    let mut shown = matches.join(" ");
    if !others.is_empty() {
        shown = format!("{shown} | {}", others.join(" "));
    }
    shown
}

fn link(bundle: &Json, relation: &str) -> Option<String> {
    let mut links = bundle.items("link").iter();
    let found = links.find(|link| link.str_at(&["relation"]) == Some(relation));
    found.and_then(|link| link.str_at(&["url"]).map(str::to_owned))
}

/// What is asked for by counting clients: the total, and nothing else.
#[tokio::test]
async fn clients_that_count_get_a_total() {
    let site = ward().await;
    for (request, total) in [
        ("Patient?_count=0&_totalMethod=count", 2_u64),
        ("Patient?address-city=NAIROBI&_summary=count", 1),
        ("Patient?_total=accurate&_count=1", 2),
        ("Observation?patient=p1&_summary=count", 4),
        ("Immunization?patient=p2&_summary=count", 0),
    ] {
        let tree = site.ask(&format!("GET {request}"), &[], "").await.tree();
        assert_eq!(tree.get("total"), Some(&Json::from(total)), "{request}");
    }
}

/// Android's download and O3's lists: `next` is followed as it is, and ends.
#[tokio::test]
async fn next_links_are_followed_verbatim_to_their_end() {
    let site = ward().await;
    for (request, expected) in [
        ("Observation?patient=p1&_sort=-date&_count=1", "b4 b3 b2 b1"),
        (
            "Observation?_sort=_lastUpdated&_lastUpdated=gt2020-01-01T00:00:00Z&_count=3",
            "b1 b2 b3 b4",
        ),
        ("Patient/p1/$everything?_count=4", ""),
    ] {
        let (mut seen, mut pages) = (Vec::new(), 0);
        let mut next = Some(request.to_owned());
        while let Some(request) = next {
            let tree = get(&site, &request).await;
            let entries = tree.items("entry").iter();
            let ids = entries.map(|entry| entry.str_at(&["resource", "id"]).unwrap().to_owned());
            let before = seen.len();
            seen.extend(ids);
            assert!(seen.len() > before, "an empty page: {request}");
            pages += 1;
            next = link(&tree, "next");
        }
        assert!(pages > 1, "{request}");
        if expected.is_empty() {
            let count = seen.len();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), count, "twice: {seen:?}");
            assert!(seen.contains(&"b4".to_owned()) && seen.contains(&"p1".to_owned()));
        } else {
            assert_eq!(seen.join(" "), expected, "{request}");
        }
    }
}

/// By a path below the base, or by a whole URL as links have it.
async fn get(site: &Site, url: &str) -> Json {
    let path = url.split_once("/fhir/").map_or(url, |(_, path)| path);
    site.ask(&format!("GET {path}"), &[], "").await.tree()
}

#[tokio::test]
async fn everything_since_a_moment() {
    let site = ward().await;
    let whole = get(
        &site,
        "Patient/p1/$everything?_since=2020-01-01T00:00:00.000Z",
    )
    .await;
    assert_eq!(whole.str_at(&["type"]), Some("searchset"));
    assert!(whole.items("entry").len() > 15);
    let later = get(&site, "Patient/p1/$everything?_since=2999-01-01T00:00:00Z").await;
    assert_eq!(later.items("entry").len(), 0);
}

/// A type of a later release is told from a mistake in the path.
#[tokio::test]
async fn what_r4_does_not_have_is_refused_by_name() {
    let site = ward().await;
    let refused = site.ask("GET InventoryItem?code=x", &[], "").await;
    assert_eq!(refused.status, 404);
    let tree = refused.tree();
    assert_eq!(tree.resource_type(), Some("OperationOutcome"));
    let read = site.ask("GET Patient/p1", &[], "").await;
    assert_eq!((read.status, read.header("etag")), (200, "W/\"1\""));
    assert!(!read.header("last-modified").is_empty());
}
