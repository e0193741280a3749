//! `$export`.

use super::*;
use gateway_repository::{FILE_PIECE_BYTES, JobLane};

const ASYNC: &[&str] = &["Prefer: respond-async"];

async fn site() -> Site {
    let site = Site::new();
    for resource in [
        r#"{"resourceType":"Organization","id":"org"}"#,
        r#"{"resourceType":"Patient","id":"p"}"#,
        r#"{"resourceType":"Patient","id":"q"}"#,
        r#"{"resourceType":"Group","id":"g","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/p"}},{"entity":{"reference":"Patient/q"},"inactive":true}]}"#,
        r#"{"resourceType":"Observation","id":"op","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"},"valueQuantity":{"value":1.00}}"#,
        r#"{"resourceType":"Observation","id":"oq","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/q"}}"#,
    ] {
        site.put(resource).await;
    }
    site
}

/// The status path of a job that was accepted.
async fn start(site: &Site, request: &str) -> String {
    let reply = site.ask(request, ASYNC, "").await;
    assert_eq!(reply.status, 202, "{request} {}", reply.text);
    let location = reply.header("content-location").to_owned();
    location.rsplit_once("/fhir/").unwrap().1.to_owned()
}

/// Carries out what waits, as the loop does.
async fn carry_out(site: &Site) {
    let repository = &site.surface.repository;
    while let Some(id) = repository.next_job(JobLane::Exports).unwrap() {
        site.surface.repository.export(id).await.unwrap();
    }
}

/// `Type/id` of all files of a job that is done.
async fn exported(site: &Site, job: &str) -> Vec<String> {
    let manifest = site.ask(&format!("GET {job}"), &[], "").await.ok(200);
    assert_eq!(manifest.get("requiresAccessToken"), Some(&Json::Bool(true)));
    let mut all = Vec::new();
    for output in manifest.items("output") {
        let url = output
            .str_at(&["url"])
            .unwrap()
            .rsplit_once("/fhir/")
            .unwrap()
            .1
            .to_owned();
        let file = site.ask(&format!("GET {url}"), &[], "").await;
        assert_eq!(file.header("content-type"), "application/fhir+ndjson");
        let kind = output.str_at(&["type"]).unwrap();
        let ids: Vec<String> = file
            .text
            .lines()
            .map(|line| {
                let tree = fhir_mapping::model::parse(line.as_bytes(), Default::default()).unwrap();
                assert_eq!(tree.resource_type(), Some(kind));
                format!("{kind}/{}", tree.id().unwrap())
            })
            .collect();
        assert_eq!(
            output.get("count").and_then(Json::as_number),
            Some(ids.len().to_string().as_str())
        );
        all.extend(ids);
    }
    all.sort();
    all
}

#[tokio::test]
async fn exports_hold_what_their_scope_says() {
    let site = site().await;
    for (request, expected) in [
        (
            "GET $export",
            "Group/g Observation/op Observation/oq Organization/org Patient/p Patient/q",
        ),
        (
            "POST $export",
            "Group/g Observation/op Observation/oq Organization/org Patient/p Patient/q",
        ),
        (
            "GET $export?_type=Patient,Organization",
            "Organization/org Patient/p Patient/q",
        ),
        (
            "GET Patient/$export?_outputFormat=ndjson",
            "Group/g Observation/op Observation/oq Patient/p Patient/q",
        ),
        ("GET Group/g/$export", "Group/g Observation/op Patient/p"),
        (
            "GET Patient/$export?patient=Patient/q&_type=Patient,Observation",
            "Observation/oq Patient/q",
        ),
        ("GET Group/g/$export?patient=Patient/q", ""),
        (
            "GET $export?_type=Patient,Observation&_typeFilter=Observation%3Fsubject%3DPatient/q",
            "Observation/oq Patient/p Patient/q",
        ),
        (
            "GET $export?_typeFilter=Observation%3F_id%3Dop,oq,Patient%3F_id%3Dp&_type=Patient,Observation",
            "Observation/op Observation/oq Patient/p",
        ),
    ] {
        let job = start(&site, request).await;
        let waiting = site.ask(&format!("GET {job}"), &[], "").await;
        assert_eq!(
            (
                waiting.status,
                waiting.header("x-progress"),
                waiting.header("retry-after")
            ),
            (202, "waiting", "1")
        );
        carry_out(&site).await;
        assert_eq!(exported(&site, &job).await.join(" "), expected, "{request}");
    }
}

#[tokio::test]
async fn an_export_is_the_site_as_it_was_when_asked() {
    let site = site().await;
    let job = start(&site, "GET $export").await;
    site.ask("DELETE Patient/q", &[], "").await;
    site.put(r#"{"resourceType":"Patient","id":"new"}"#).await;
    site.put(r#"{"resourceType":"Observation","id":"op","status":"amended","code":{"text":"x"},"subject":{"reference":"Patient/q"}}"#).await;
    carry_out(&site).await;
    // Changes after the walk do not show either.
    site.ask("DELETE Organization/org", &[], "").await;
    let expected = "Group/g Observation/op Observation/oq Organization/org Patient/p Patient/q";
    assert_eq!(exported(&site, &job).await.join(" "), expected);
    let manifest = site.ask(&format!("GET {job}"), &[], "").await.ok(200);
    let outputs = manifest.items("output").iter();
    let at = outputs
        .enumerate()
        .find(|(_, o)| o.str_at(&["type"]) == Some("Observation"))
        .unwrap()
        .0;
    let file = site.ask(&format!("GET {job}/{at}"), &[], "").await;
    assert!(
        file.text.contains("1.00") && !file.text.contains("amended"),
        "{}",
        file.text
    );
}

#[tokio::test]
async fn since_leaves_out_what_is_older() {
    let site = site().await;
    site.clock.advance(std::time::Duration::from_secs(60));
    let since = gateway_ground::clock::format_instant(site.clock.now_ms() - 1);
    site.put(r#"{"resourceType":"Patient","id":"late"}"#).await;
    let job = start(&site, &format!("GET $export?_since={since}")).await;
    carry_out(&site).await;
    assert_eq!(exported(&site, &job).await, ["Patient/late"]);
}

#[tokio::test]
async fn a_job_ends_when_deleted_and_when_its_time_is_over() {
    let site = site().await;
    let job = start(&site, "GET $export").await;
    assert_eq!(
        site.ask(&format!("DELETE {job}"), &[], "").await.status,
        202
    );
    assert_eq!(site.ask(&format!("GET {job}"), &[], "").await.status, 404);
    let next = site.surface.repository.next_job(JobLane::Exports);
    assert_eq!(next.unwrap(), None);
    let job = start(&site, "GET $export").await;
    carry_out(&site).await;
    site.clock
        .advance(std::time::Duration::from_secs(23 * 3600));
    site.surface.repository.expire_jobs().await.unwrap();
    assert_eq!(site.ask(&format!("GET {job}"), &[], "").await.status, 200);
    site.clock.advance(std::time::Duration::from_secs(2 * 3600));
    site.surface.repository.expire_jobs().await.unwrap();
    assert_eq!(site.ask(&format!("GET {job}"), &[], "").await.status, 404);
    assert_eq!(site.ask(&format!("GET {job}/0"), &[], "").await.status, 404);
}

#[tokio::test]
async fn mistakes_are_named() {
    let site = site().await;
    site.ask("GET $export", &[], "")
        .await
        .refused(400, "E-EXPORT-1", "");
    for (query, number, name) in [
        ("_type=Nothing", "E-OPERATION-1", "_type"),
        ("_since=yesterday", "E-OPERATION-1", "_since"),
        ("_outputFormat=csv", "E-OPERATION-1", "_outputFormat"),
        ("_typeFilter=x", "E-OPERATION-1", "_typeFilter"),
        ("patient=Patient/p", "E-OPERATION-1", "patient"),
        ("_elements=Nothing.id", "E-OPERATION-1", "_elements"),
        ("_elements=name.family", "E-OPERATION-1", "_elements"),
        (
            "organizeOutputBy=Patient",
            "E-OPERATION-3",
            "organizeOutputBy",
        ),
        (
            "includeAssociatedData=LatestProvenanceResources",
            "E-OPERATION-1",
            "includeAssociatedData",
        ),
    ] {
        let reply = site.ask(&format!("GET $export?{query}"), ASYNC, "").await;
        reply.refused(
            400,
            number,
            &format!("Parameters.parameter.where(name='{name}')"),
        );
    }
    assert_eq!(
        site.ask("GET Group/none/$export", ASYNC, "").await.status,
        404
    );
    assert_eq!(
        site.ask("GET Patient/p/$export", ASYNC, "").await.status,
        404
    );
    assert_eq!(site.ask("GET _jobs/nonsense", &[], "").await.status, 404);
    for (query, status, number) in [
        (
            "$export?_typeFilter=Patient%3Fcolour%3Dred",
            400,
            "E-SEARCH",
        ),
        (
            "$export?_type=Group&_typeFilter=Patient%3F_id%3Dp",
            400,
            "E-EXPORT-2",
        ),
        ("Patient/$export?patient=Patient/none", 404, "E-READ-1"),
        ("Patient/$export?patient=Group/g", 400, "E-OPERATION-1"),
    ] {
        let reply = site.ask(&format!("GET {query}"), ASYNC, "").await;
        assert_eq!(reply.status, status, "{query} {}", reply.text);
        assert!(reply.text.contains(number), "{query} {}", reply.text);
    }
}

/// Text of the only file of a list of the manifest.
async fn only_file(site: &Site, job: &str, list: &str) -> String {
    let manifest = site.ask(&format!("GET {job}"), &[], "").await.ok(200);
    let files = manifest.items(list);
    assert_eq!(files.len(), 1, "{list}");
    let url = files[0].str_at(&["url"]).unwrap();
    let path = url.rsplit_once("/fhir/").unwrap().1;
    site.ask(&format!("GET {path}"), &[], "").await.text
}

#[tokio::test]
async fn an_export_since_a_time_names_what_was_deleted_and_belonged_to_it() {
    let site = site().await;
    site.ask("DELETE Organization/org", &[], "").await;
    site.clock.advance(std::time::Duration::from_secs(60));
    let since = gateway_ground::clock::format_instant(site.clock.now_ms() - 1);
    for gone in ["Observation/op", "Observation/oq", "Patient/q"] {
        site.ask(&format!("DELETE {gone}"), &[], "").await;
    }
    for (request, expected) in [
        (
            format!("GET $export?_since={since}"),
            "Patient/q Observation/op Observation/oq",
        ),
        (
            format!("GET Group/g/$export?_since={since}"),
            "Observation/op",
        ),
        (
            format!("GET $export?_since={since}&_type=Patient"),
            "Patient/q",
        ),
        (
            format!(
                "GET $export?_since={since}&_typeFilter=Observation%3Fsubject%3DPatient/q&_type=Observation"
            ),
            "Observation/oq",
        ),
    ] {
        let job = start(&site, &request).await;
        carry_out(&site).await;
        let text = only_file(&site, &job, "deleted").await;
        let urls: Vec<String> = text
            .lines()
            .map(|line| {
                let bundle = fhir_mapping::model::parse(line.as_bytes(), Default::default());
                let bundle = bundle.unwrap();
                assert_eq!(bundle.str_at(&["type"]), Some("transaction"));
                let request = bundle.items("entry")[0].get("request").unwrap();
                assert_eq!(request.str_at(&["method"]), Some("DELETE"));
                request.str_at(&["url"]).unwrap().to_owned()
            })
            .collect();
        assert_eq!(urls.join(" "), expected, "{request}");
    }
    // Without a time there is nothing that the client could have had before.
    let job = start(&site, "GET $export").await;
    carry_out(&site).await;
    let manifest = site.ask(&format!("GET {job}"), &[], "").await.ok(200);
    assert_eq!(manifest.get("deleted"), None);
}

#[tokio::test]
async fn elements_leave_the_rest_out_and_say_so() {
    let site = site().await;
    let lenient = &["Prefer: respond-async", "Prefer: handling=lenient"];
    let query = "_type=Observation&_elements=Observation.subject&includeAssociatedData=x";
    let reply = site.ask(&format!("GET $export?{query}"), lenient, "").await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    let job = reply.header("content-location").to_owned();
    let job = job.rsplit_once("/fhir/").unwrap().1;
    carry_out(&site).await;
    let text = only_file(&site, job, "output").await;
    assert_eq!(text.lines().count(), 2);
    for part in ["\"subject\"", "\"status\"", "SUBSETTED"] {
        assert_eq!(text.matches(part).count(), 2, "{part} {text}");
    }
    assert!(!text.contains("valueQuantity"), "{text}");
}

#[tokio::test]
async fn the_queue_of_jobs_is_bounded_and_the_oldest_comes_first() {
    let site = site().await;
    let mut jobs = Vec::new();
    for _ in 0..16 {
        site.clock.advance(std::time::Duration::from_millis(1));
        jobs.push(start(&site, "GET $export?_type=Patient").await);
    }
    let full = site.ask("GET $export", ASYNC, "").await;
    assert_eq!(full.status, 429, "{}", full.text);
    assert!(full.text.contains("E-JOB-5"), "{}", full.text);
    let repository = &site.surface.repository;
    for job in &jobs {
        let next = repository.next_job(JobLane::Exports).unwrap().unwrap();
        assert!(job.ends_with(&next.to_string()), "{job} {next}");
        repository.export(next).await.unwrap();
        assert_eq!(exported(&site, job).await, ["Patient/p", "Patient/q"]);
    }
    assert_eq!(repository.next_job(JobLane::Imports).unwrap(), None);
    start(&site, "GET $export").await;
}

#[tokio::test]
async fn a_file_is_made_in_pieces_of_bounded_size() {
    let site = Site::new();
    let text = "x".repeat(10_000);
    for number in 0..100 {
        site.put(&format!(
            r#"{{"resourceType":"Patient","id":"p{number}","name":[{{"text":"{text}"}}]}}"#
        ))
        .await;
    }
    let job = start(&site, "GET $export?_type=Patient").await;
    carry_out(&site).await;
    let id = job.rsplit_once('/').unwrap().1;
    let pieces = site.surface.repository.job_file(id, 0, "emr").unwrap();
    let pieces: Vec<Vec<u8>> = pieces.map(|piece| piece.unwrap()).collect();
    assert!(pieces.len() > 3, "{}", pieces.len());
    for piece in &pieces {
        assert!(piece.len() < FILE_PIECE_BYTES + 11_000, "{}", piece.len());
        assert!(piece.ends_with(b"\n"));
    }
    let lines = pieces
        .concat()
        .iter()
        .filter(|byte| **byte == b'\n')
        .count();
    assert_eq!(lines, 100);
    let others = site.surface.repository.job_file(id, 0, "somebody else");
    assert!(others.is_err());
}
