//! What clients see while the search index is made anew.

use super::Site;
use fhir_mapping::model::Json;

/// Names that the CapabilityStatement claims for Patient under this member.
async fn claimed(site: &Site, member: &str) -> Vec<String> {
    let statement = site.ask("GET metadata", &[], "").await.ok(200);
    let rest = &statement.items("rest")[0];
    let resources = rest.items("resource");
    let is_patient = |row: &&Json| row.str_at(&["type"]) == Some("Patient");
    let patient = resources.iter().find(is_patient).unwrap();
    let items = patient.items(member).iter();
    let name = |item: &Json| item.str_at(&["name"]).or(item.as_str()).unwrap().to_owned();
    items.map(name).collect()
}

/// Complaint 11 of fhir-rest.md: includes vanish and old data are invisible while an index is made
/// anew, and nothing tells.
#[tokio::test]
async fn until_a_reindex_is_through_all_is_found_and_less_is_claimed() {
    let site = Site::new();
    for (id, gender) in [("a", "female"), ("b", "female"), ("c", "male")] {
        let body = format!(
            r#"{{"resourceType":"Patient","id":"{id}","gender":"{gender}","birthDate":"1980-05","managingOrganization":{{"reference":"Organization/o"}}}}"#
        );
        let put = site.ask(&format!("PUT Patient/{id}"), &[], &body).await;
        assert_eq!(put.status, 201);
    }
    let organization = r#"{"resourceType":"Organization","id":"o","name":"Clinic"}"#;
    site.ask("PUT Organization/o", &[], organization).await;
    assert!(
        claimed(&site, "searchParam")
            .await
            .contains(&"gender".to_owned())
    );

    let repository = &site.surface.repository;
    repository.doubt_index().await.unwrap();
    assert!(claimed(&site, "searchParam").await.is_empty());
    assert!(claimed(&site, "searchRevInclude").await.is_empty());
    found_by_all(&site).await;
    while !repository.reindex_batch().await.unwrap() {
        found_by_all(&site).await;
    }
    found_by_all(&site).await;
    assert!(
        claimed(&site, "searchParam")
            .await
            .contains(&"gender".to_owned())
    );
    let reverse = claimed(&site, "searchRevInclude").await;
    assert!(reverse.contains(&"Observation:subject".to_owned()));
}

async fn found_by_all(site: &Site) {
    for (asked, expected) in [
        ("Patient?gender=female", 2),
        ("Patient?birthdate=1980", 3),
        ("Patient?gender=male&_include=Patient:organization", 2),
        ("Organization?_has:Patient:organization:gender=male", 1),
        ("Patient?organization.name=clinic&_sort=-birthdate", 3),
    ] {
        let bundle = site.ask(&format!("GET {asked}"), &[], "").await.ok(200);
        assert_eq!(bundle.items("entry").len(), expected, "{asked}");
    }
    let counted = site
        .ask("GET Patient?_summary=count", &[], "")
        .await
        .ok(200);
    assert_eq!(counted.get("total").and_then(Json::as_number), Some("3"));
}
