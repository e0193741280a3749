//! What is sent to the gateway for a file, or a group of its lines: always one Bundle, whose entries
//! remember where they came from. Pure.

use fhir_mapping::model::{Json, Object};
use uuid::Uuid;

/// Where in its file a resource stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The file as a whole.
    File,
    /// Index in `Bundle.entry`.
    Entry(usize),
    /// Line of an NDJSON file, from 1.
    Line(u64),
}

pub(super) struct Posting {
    pub(super) bundle: Json,
    /// Place and type of each entry of the Bundle.
    pub(super) entries: Vec<(Place, String)>,
    /// Each entry may come in without the others: tried together first, for that is one commit
    /// instead of many.
    pub(super) stands_apart: bool,
}

/// Entries of a batch that are tried together.
const TOGETHER_MAX: usize = 1000;

/// Names ids that are derived from files.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0d_52e2_7f0b_4c0e_9d35_0a8c_51f2_77b1);

impl Posting {
    /// A Bundle to be run as it is, a Bundle of resources, or a single resource. `Err` says why it
    /// is nothing to import.
    pub(super) fn of_document(mut json: Json, seed: &str) -> Result<Posting, String> {
        let is_bundle = json.resource_type() == Some("Bundle");
        let kind = json.get("type").and_then(Json::as_str);
        match kind.filter(|_| is_bundle) {
            Some(kind @ ("transaction" | "batch")) => {
                let stands_apart = kind == "batch";
                fix_ids(&mut json, seed);
                let mut posting = Posting::of_bundle(json, stands_apart);
                if stands_apart && posting.entries.len() <= TOGETHER_MAX {
                    posting.set_type("transaction");
                }
                Ok(posting)
            }
            Some("collection" | "searchset") => Posting::of_collection(json, seed),
            Some(kind @ ("history" | "transaction-response" | "batch-response")) => Err(format!(
                "E-IMPORT-10: a Bundle of type {kind} is no input; take a collection or transaction"
            )),
            _ if json.resource_type().is_none() => {
                Err("E-IMPORT-11: no resource: resourceType is missing".to_owned())
            }
            _ => Ok(Posting::of_resources(vec![(Place::File, json)], seed)),
        }
    }

    /// Resources of an NDJSON file with their line numbers, as a transaction.
    pub(super) fn of_lines(lines: Vec<(u64, Json)>, seed: &str) -> Posting {
        let placed = lines.into_iter().map(|(n, json)| (Place::Line(n), json));
        Posting::of_resources(placed.collect(), seed)
    }

    /// Runs the entries by themselves (`batch`) or together (`transaction`).
    pub(super) fn set_type(&mut self, kind: &str) {
        if let Some(bundle) = self.bundle.as_object_mut() {
            bundle.set("type", kind.into());
        }
    }

    fn of_bundle(bundle: Json, stands_apart: bool) -> Posting {
        let entry_type = |entry: &Json| {
            let resource = entry.get("resource").and_then(Json::resource_type);
            let url = || {
                entry
                    .get("request")?
                    .get("url")?
                    .as_str()?
                    .split(['/', '?'])
                    .next()
            };
            resource.or_else(url).unwrap_or_default().to_owned()
        };
        let entries = bundle.items("entry").iter().enumerate();
        let entries = entries.map(|(i, entry)| (Place::Entry(i), entry_type(entry)));
        let entries = entries.collect();
        Posting {
            bundle,
            entries,
            stands_apart,
        }
    }

    /// Entries may name each other by a `fullUrl` that means nothing outside: those go in together.
    fn of_collection(bundle: Json, seed: &str) -> Result<Posting, String> {
        let mut entries = Vec::new();
        for (index, entry) in bundle.items("entry").iter().enumerate() {
            if entry.str_at(&["search", "mode"]) == Some("outcome") {
                continue;
            }
            let Some(resource) = entry.get("resource") else {
                return Err(format!("E-IMPORT-12: entry {index} holds no resource"));
            };
            let full_url = entry.get("fullUrl").cloned();
            entries.push((Place::Entry(index), resource.clone(), full_url));
        }
        let names_by_urn = |(_, _, full_url): &(Place, Json, Option<Json>)| {
            let text = full_url.as_ref().and_then(Json::as_str);
            text.is_some_and(|text| text.starts_with("urn:"))
        };
        let stands_apart = !entries.iter().any(names_by_urn);
        let posting = Posting::assemble(entries, seed);
        Ok(Posting {
            stands_apart,
            ..posting
        })
    }

    fn of_resources(resources: Vec<(Place, Json)>, seed: &str) -> Posting {
        let entries = resources
            .into_iter()
            .map(|(place, json)| (place, json, None));
        Posting::assemble(entries.collect(), seed)
    }

    fn assemble(resources: Vec<(Place, Json, Option<Json>)>, seed: &str) -> Posting {
        let mut places = Vec::with_capacity(resources.len());
        let mut entries = Vec::with_capacity(resources.len());
        for (place, mut resource, full_url) in resources {
            let kind = resource.resource_type().unwrap_or_default().to_owned();
            let id = id_of(&mut resource, || derived_id(seed, place));
            let mut entry = Object::new();
            if let Some(full_url) = full_url {
                entry.set("fullUrl", full_url);
            }
            entry.set("resource", resource);
            entry.set("request", put(&kind, &id));
            entries.push(Json::Object(entry));
            places.push((place, kind));
        }
        let bundle = Json::object([
            ("resourceType", "Bundle".into()),
            ("type", "transaction".into()),
            ("entry", Json::Array(entries)),
        ]);
        Posting {
            bundle,
            entries: places,
            stands_apart: true,
        }
    }
}

/// The id that a resource has, or is given. An id that is no id stays: the gateway says so.
fn id_of(resource: &mut Json, make: impl Fn() -> String) -> String {
    if let Some(id) = resource.id() {
        return id.to_owned();
    }
    let id = make();
    if let Some(object) = resource.as_object_mut()
        && object.get("id").is_none()
    {
        object.set_at(1, "id", id.as_str().into());
    }
    id
}

fn put(kind: &str, id: &str) -> Json {
    // An id that is none must not change the URL's meaning; the entry is refused all the same.
    let id = id.split(['/', '?', '#']).next().unwrap_or_default();
    Json::object([
        ("method", "PUT".into()),
        ("url", format!("{kind}/{id}").into()),
    ])
}

/// A POST without condition becomes a PUT under an id derived from file and place: should the
/// import be cut off between the commit and its note, the next run changes nothing.
fn fix_ids(bundle: &mut Json, seed: &str) {
    let entries = bundle.get_mut("entry").and_then(Json::as_array_mut);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let is_plain_post = entry.get("request").is_some_and(|request| {
            let url = request.get("url").and_then(Json::as_str);
            let kind = entry.get("resource").and_then(Json::resource_type);
            request.get("method").and_then(Json::as_str) == Some("POST")
                && request.get("ifNoneExist").is_none()
                && url == kind
        });
        let Some(kind) = entry.get("resource").and_then(Json::resource_type) else {
            continue;
        };
        if is_plain_post {
            let id = derived_id(seed, Place::Entry(index));
            let request = put(kind, &id);
            let resource = entry.get_mut("resource").and_then(Json::as_object_mut);
            if let Some(resource) = resource {
                resource.set_at(1, "id", id.into());
            }
            if let Some(entry) = entry.as_object_mut() {
                entry.set("request", request);
            }
        }
    }
}

fn derived_id(seed: &str, place: Place) -> String {
    let number = match place {
        Place::File => "file".to_owned(),
        Place::Entry(index) => format!("entry {index}"),
        Place::Line(number) => format!("line {number}"),
    };
    Uuid::new_v5(&NAMESPACE, format!("{seed} {number}").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::model::{Limits, format, parse};
    use insta::assert_snapshot;

    /// The requests of the posting that `text` becomes, or why it becomes none.
    fn check(text: &str) -> String {
        let json = parse(text.as_bytes(), Limits::default()).unwrap();
        let posting = match Posting::of_document(json, "seed") {
            Ok(posting) => posting,
            Err(text) => return text,
        };
        let kind = posting.bundle.str_at(&["type"]).unwrap().to_owned();
        let apart = posting.stands_apart;
        let mut lines = vec![format!("{kind} apart={apart}")];
        for (entry, place) in posting.bundle.items("entry").iter().zip(&posting.entries) {
            let text = |path: &[&str]| entry.str_at(path).unwrap_or("-").to_owned();
            let (method, url) = (text(&["request", "method"]), text(&["request", "url"]));
            let (full_url, id) = (text(&["fullUrl"]), text(&["resource", "id"]));
            let (place, kind) = place;
            lines.push(format!(
                "{method} {url} id={id} fullUrl={full_url} {place:?} {kind}"
            ));
        }
        lines.join("\n")
    }

    #[test]
    fn what_files_become() {
        assert_snapshot!(check(r#"{"resourceType":"Patient","id":"a"}"#), @"
        transaction apart=true
        PUT Patient/a id=a fullUrl=- File Patient
        ");
        assert_snapshot!(check(r#"{"resourceType":"Patient"}"#), @"
        transaction apart=true
        PUT Patient/b7b67a93-464e-5fed-b4a1-5c0cb77c0b0f id=b7b67a93-464e-5fed-b4a1-5c0cb77c0b0f fullUrl=- File Patient
        ");
        assert_snapshot!(check(r#"{"resourceType":"Bundle","type":"document","id":"d"}"#), @"
        transaction apart=true
        PUT Bundle/d id=d fullUrl=- File Bundle
        ");
        assert_snapshot!(check(r#"{"resourceType":"Bundle","type":"batch-response"}"#), @"E-IMPORT-10: a Bundle of type batch-response is no input; take a collection or transaction");
        assert_snapshot!(check(r#"{"resourceType":"Bundle","type":"collection","entry":[{}]}"#), @"E-IMPORT-12: entry 0 holds no resource");
        assert_snapshot!(check(r#"{"resourceType":"Bundle","type":"collection","entry":[
            {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Basic","id":"b"}}]}"#), @"
        transaction apart=false
        PUT Basic/b id=b fullUrl=urn:uuid:1 Entry(0) Basic
        ");
        assert_snapshot!(check("[]"), @"E-IMPORT-11: no resource: resourceType is missing");
        assert_snapshot!(check(r#"{"resourceType":"Bundle","type":"searchset","entry":[
            {"fullUrl":"http://x/fhir/Patient/a","resource":{"resourceType":"Patient","id":"a"}},
            {"search":{"mode":"outcome"},"resource":{"resourceType":"OperationOutcome"}},
            {"resource":{"resourceType":"Basic","id":"../Patient/a?x"}}]}"#), @"
        transaction apart=true
        PUT Patient/a id=a fullUrl=http://x/fhir/Patient/a Entry(0) Patient
        PUT Basic/.. id=../Patient/a?x fullUrl=- Entry(2) Basic
        ");
        assert_snapshot!(check(r#"{"resourceType":"Bundle","type":"batch","entry":[
            {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"sent"},
             "request":{"method":"POST","url":"Patient"}},
            {"resource":{"resourceType":"Organization"},
             "request":{"method":"POST","url":"Organization","ifNoneExist":"identifier=x"}},
            {"resource":{"resourceType":"Basic","id":"b"},"request":{"method":"PUT","url":"Basic/b"}},
            {"request":{"method":"DELETE","url":"Basic/c"}}]}"#), @"
        transaction apart=true
        PUT Patient/69d5a2e3-28bd-5dec-b6ad-0e0e175ba62f id=69d5a2e3-28bd-5dec-b6ad-0e0e175ba62f fullUrl=urn:uuid:1 Entry(0) Patient
        POST Organization id=- fullUrl=- Entry(1) Organization
        PUT Basic/b id=b fullUrl=- Entry(2) Basic
        DELETE Basic/c id=- fullUrl=- Entry(3) Basic
        ");
    }

    #[test]
    fn derived_ids_depend_on_file_and_place() {
        let ids = [
            derived_id("a", Place::Line(1)),
            derived_id("a", Place::Line(2)),
            derived_id("a", Place::Entry(1)),
            derived_id("b", Place::Line(1)),
        ];
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
        assert_eq!(derived_id("a", Place::Line(1)), ids[0]);
    }

    #[test]
    fn lines_keep_their_text() {
        let json = parse(br#"{"resourceType":"Basic","x":1.00}"#, Limits::default()).unwrap();
        let posting = Posting::of_lines(vec![(7, json)], "seed");
        assert!(format(&posting.bundle).contains(r#""x":1.00}"#));
        assert_eq!(posting.entries, [(Place::Line(7), "Basic".to_owned())]);
    }
}
