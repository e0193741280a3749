//! Complaints that only the whole gateway can be tested for.

use std::fmt::Write as _;
use tests::client::Connection;
use tests::site::Site;

/// Entries and bytes of the largest bundle that users of other servers reported.
const ENTRIES: usize = 3_419;
const BUNDLE_BYTES: usize = 11_000_000;
/// Private memory that a whole gateway may take, in bytes.
const PRIVATE_BYTES_MAX: u64 = 1_200_000_000;

/// Complaint 12.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_bounded_by_a_large_bundle_and_a_search_of_a_whole_type() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(&folder.path().join("data"), &[]);
    let mut client = Connection::open(site.http).await.unwrap();
    let filler = "all went well. ".repeat(BUNDLE_BYTES / ENTRIES / 15);
    let mut entries = String::new();
    for n in 0..ENTRIES {
        let comma = if n == 0 { "" } else { "," };
        write!(
            entries,
            r#"{comma}{{"request":{{"method":"PUT","url":"Observation/o{n}"}},"resource":{{"resourceType":"Observation","id":"o{n}","status":"final","code":{{"text":"c"}},"valueQuantity":{{"value":{n}.10}},"note":[{{"text":"{filler}"}}]}}}}"#
        )
        .unwrap();
    }
    let body = format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{entries}]}}"#);
    assert!(body.len() > BUNDLE_BYTES, "{}", body.len());
    for _ in 0..2 {
        let told = client
            .send("POST", "/fhir", &[], body.clone())
            .await
            .unwrap();
        assert_eq!(told.status, 200, "{}", told.text());
        assert!(
            site.private_bytes() < PRIVATE_BYTES_MAX,
            "{}",
            site.private_bytes()
        );
    }
    let (mut seen, mut next) = (0, Some("/fhir/Observation?_count=1000".to_owned()));
    while let Some(url) = next {
        let page = client.get(&url).await.unwrap().json();
        seen += page["entry"].as_array().unwrap().len();
        let links = page["link"].as_array().unwrap();
        let link = links.iter().find(|link| link["relation"] == "next");
        next = link.map(|link| {
            let url = link["url"].as_str().unwrap();
            url[url.find("/fhir/").unwrap()..].to_owned()
        });
        assert!(
            site.private_bytes() < PRIVATE_BYTES_MAX,
            "{}",
            site.private_bytes()
        );
    }
    assert_eq!(seen, ENTRIES);
    assert!(site.terminate());
}

/// Complaint 10: the same search, again and again, each time just after a write that changes its
/// answer, by another connection than the one that wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_just_after_a_write_is_never_stale() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(&folder.path().join("data"), &[]);
    let mut writer = Connection::open(site.http).await.unwrap();
    let mut reader = Connection::open(site.http).await.unwrap();
    let found = async |reader: &mut Connection, query: &str| {
        let page = reader.get(&format!("/fhir/Patient?{query}")).await.unwrap();
        let page = page.json();
        let total = page["total"].as_u64();
        (total, page["entry"].as_array().map_or(0, Vec::len))
    };
    for n in 0..100_u64 {
        let gender = if n % 2 == 0 { "male" } else { "female" };
        let body = format!(r#"{{"resourceType":"Patient","id":"p","gender":"{gender}"}}"#);
        let told = writer
            .send("PUT", "/fhir/Patient/p", &[], body)
            .await
            .unwrap();
        assert!(told.status < 300, "{}", told.text());
        let is_male = usize::from(n % 2 == 0);
        assert_eq!(found(&mut reader, "gender=male").await.1, is_male, "{n}");
        assert_eq!(
            found(&mut reader, "gender=female").await.1,
            1 - is_male,
            "{n}"
        );
        let made = r#"{"resourceType":"Patient","identifier":[{"value":"many"}]}"#;
        let told = writer
            .send("POST", "/fhir/Patient", &[], made)
            .await
            .unwrap();
        assert_eq!(told.status, 201, "{}", told.text());
        let (total, _) = found(&mut reader, "identifier=many&_summary=count").await;
        assert_eq!(total, Some(n + 1));
    }
    let gone = writer
        .send("DELETE", "/fhir/Patient/p", &[], "")
        .await
        .unwrap();
    assert!(gone.status < 300);
    assert_eq!(found(&mut reader, "gender=male,female").await.1, 0);
    assert!(site.terminate());
}
