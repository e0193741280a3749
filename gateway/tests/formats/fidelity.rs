//! What is sent comes back: every official example, every digit and character, as JSON and as XML.

use crate::wire::{AS_XML, JSON, Site, XML, content, json};
use fhir_mapping::model::{self, Json};
use fhir_mapping::validate::structure;
use fhir_mapping::xml;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Reasons why an official example is no resource that R4 lets a server store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Apart {
    /// Parameters and OperationOutcome have no address; they are stored within a Bundle.
    NoAddress,
    /// Published against R4's own definitions: 114 lack a required element.
    Unsound,
}

fn apart(resource: &Json) -> Option<Apart> {
    match resource.resource_type() {
        Some("Parameters" | "OperationOutcome") => Some(Apart::NoAddress),
        _ if !structure(resource).is_empty() => Some(Apart::Unsound),
        _ => None,
    }
}

/// The examples under their own ids, each with its file; those of one address stand together.
fn examples() -> Option<BTreeMap<(String, String), Vec<Json>>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/r4-examples");
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no {folder}");
        return None;
    };
    let mut examples: BTreeMap<_, Vec<Json>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut resource = json(&text);
        if apart(&resource) == Some(Apart::NoAddress) {
            let entry = Json::object([("resource", resource)]);
            let members = [
                ("type", "collection".into()),
                ("entry", Json::array([entry])),
            ];
            let kind = [("resourceType", Json::from("Bundle"))];
            resource = Json::object(kind.into_iter().chain(members));
        }
        if resource.id().is_none() {
            let object = resource.as_object_mut().unwrap();
            object.set_at(1, "id", "without-id".into());
        }
        let kind = resource.resource_type().unwrap().to_owned();
        let key = (kind, resource.id().unwrap().to_owned());
        examples.entry(key).or_default().push(resource);
    }
    Some(examples)
}

/// All of them, on a site that takes what breaks R4's rules.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_official_example_comes_back_in_both_forms() {
    let Some(examples) = examples() else { return };
    let site = Arc::new(Site::with("[validation]\nlevel = \"off\"\n"));
    let mut running = JoinSet::new();
    let mut seen = 0;
    for resources in examples.into_values() {
        seen += resources.len();
        let site = Arc::clone(&site);
        running.spawn(async move {
            for resource in resources {
                check_comes_back(&site, &resource).await;
            }
        });
        if running.len() >= 8 {
            running.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    assert_eq!(seen, 641);
}

/// As a site is without configuration: sound ones come back, the others are refused by name.
#[tokio::test]
async fn official_examples_that_break_r4_are_refused_by_name() {
    let Some(examples) = examples() else { return };
    let site = Site::start();
    let mut refused = 0;
    let mut taken = 0;
    for resource in examples.into_values().flatten() {
        let (kind, id) = (resource.resource_type().unwrap(), resource.id().unwrap());
        let put = format!("PUT {kind}/{id}");
        let put = site.ask(&put, &[JSON], model::format(&resource)).await;
        if apart(&resource).is_none() {
            assert!(matches!(put.status, 200 | 201), "{kind}/{id}");
            taken += 1;
            continue;
        }
        assert_eq!(put.status, 422, "{kind}/{id}");
        let issues = put.tree();
        let place = issues.items("issue")[0].items("expression")[0].as_str();
        let is_named = place.is_some_and(|place| {
            place.ends_with(".linkId") || place.ends_with("SearchParameter.base")
        });
        assert!(is_named, "{kind}/{id}: {place:?}");
        refused += 1;
    }
    assert_eq!((taken, refused), (527, 114));
}

#[tokio::test]
async fn every_character_and_digit_comes_back() {
    let site = Site::start();
    let resource = json(
        r##"{"resourceType":"Observation","id":"o","extension":[{"url":"urn:x","valueDecimal":1.00}],
        "contained":[{"resourceType":"Patient","id":"p","_birthDate":{"extension":[{"url":"urn:y","valueCode":"unknown"}]},
          "name":[{"given":[null,"Zoë","e\u0301","\ud83e\uddec","שלום","مرحبا\u200f","a\tb\r\nc","<&>\"'"],"_given":[{"id":"g"},null,null,null,null,null,null,null]}]}],
        "status":"final","code":{"text":" two  blanks "},"subject":{"reference":"#p"},
        "effectiveDateTime":"2020","issued":"2020-02-29T23:59:59.1200+05:30",
        "component":[{"code":{"text":"a"},"valueQuantity":{"value":0.10E-7}},{"code":{"text":"b"},"valueQuantity":{"value":-0.00}},
          {"code":{"text":"c"},"valueQuantity":{"value":123456789012345678901234567890.123456789}}]}"##,
    );
    check_comes_back(&site, &resource).await;
}

/// Sends it in both forms, reads it in both forms.
async fn check_comes_back(site: &Site, resource: &Json) {
    let (kind, id) = (resource.resource_type().unwrap(), resource.id().unwrap());
    let (put, get) = (format!("PUT {kind}/{id}"), format!("GET {kind}/{id}"));
    let accept = ("accept", "application/fhir+json");
    let expected = content(resource);
    let forms = [
        (JSON, model::format(resource)),
        (XML, xml::format(resource).unwrap()),
    ];
    for (content_type, text) in forms {
        let put = site.ask(&put, &[content_type], text).await;
        let said = String::from_utf8_lossy(&put.body);
        assert!(matches!(put.status, 200 | 201), "{kind}/{id}: {said}");
        for accept in [accept, AS_XML] {
            let got = site.ask(&get, &[accept], "").await;
            assert_eq!(got.status, 200);
            let got = content(&got.tree());
            assert!(got == expected, "{kind}/{id}: {}", model::format(&got));
        }
    }
}
