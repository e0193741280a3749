//! Bulk export and import against the real binary: the loops carry them out, and a kill does not lose
//! them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // a test waits in real time

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running gateway that lets everybody in; killed when dropped.
struct Site {
    child: Child,
    authority: String,
}

impl Site {
    fn start(folder: &Path) -> Site {
        Site::start_with(folder, &[])
    }

    fn start_with(folder: &Path, more: &[&str]) -> Site {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wayside"))
            .args([
                "serve",
                "--open",
                "--mllp",
                "127.0.0.1:0",
                "--listen",
                "127.0.0.1:0",
            ])
            .args(more)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.unwrap());
        let ready = lines.find(|line| line.starts_with("ready ")).unwrap();
        let authority = ready.split('/').nth(2).unwrap().to_owned();
        Site { child, authority }
    }

    /// Status, head and body.
    fn ask(&self, line: &str, headers: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.authority).unwrap();
        let length = body.len();
        let text = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_streamed = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = match is_streamed && !line.starts_with("HEAD") {
            true => unchunked(body),
            false => body.to_owned(),
        };
        (status, head.to_owned(), body)
    }
}

/// A body of chunks (RFC 9112 7.1), which must have its end.
fn unchunked(mut chunks: &str) -> String {
    let mut body = String::new();
    loop {
        let (length, rest) = chunks.split_once("\r\n").expect("the last chunk is empty");
        let length = usize::from_str_radix(length, 16).unwrap();
        let (chunk, rest) = rest.split_at(length);
        chunks = rest.strip_prefix("\r\n").unwrap();
        if length == 0 {
            return body;
        }
        body.push_str(chunk);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_file_longer_than_any_buffer_comes_whole() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path());
    let json = "Content-Type: application/fhir+json\r\n";
    let data = "QUJD".repeat(100_000);
    for number in 0..40 {
        let binary = format!(
            r#"{{"resourceType":"Binary","id":"b{number}","contentType":"text/plain","data":"{data}"}}"#
        );
        let ask = format!("PUT /fhir/Binary/b{number}");
        assert_eq!(site.ask(&ask, json, &binary).0, 201);
    }
    let wishes = "Prefer: respond-async\r\nAccept: application/fhir+json\r\n";
    let (_, head, _) = site.ask("GET /fhir/$export?_type=Binary", wishes, "");
    let location = head
        .lines()
        .find(|line| line.to_lowercase().starts_with("content-location:"));
    let location = path(location.unwrap());
    let manifest = done(&site, &location);
    assert!(manifest.contains(r#""count":40"#), "{manifest}");
    let accept = "Accept: application/fhir+ndjson\r\n";
    let (status, head, file) = site.ask(&format!("GET {location}/0"), accept, "");
    assert_eq!(status, 200, "{head}");
    // Nobody knew its length when it began.
    assert!(
        head.to_lowercase().contains("transfer-encoding: chunked"),
        "{head}"
    );
    assert_eq!(file.matches("\"resourceType\":\"Binary\"").count(), 40);
    assert_eq!(
        (file.lines().count(), file.len() > 40 * data.len()),
        (40, true)
    );
    // A client that hangs up in the middle harms nobody.
    let mut stream = TcpStream::connect(&site.authority).unwrap();
    write!(
        stream,
        "GET {location}/0 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    .unwrap();
    let mut start = [0; 5_000];
    stream.read_exact(&mut start).unwrap();
    drop(stream);
    assert_eq!(site.ask(&format!("HEAD {location}/0"), accept, "").0, 200);
    assert_eq!(site.ask(&format!("DELETE {location}"), "", "").0, 202);
    assert_eq!(site.ask(&format!("GET {location}/0"), accept, "").0, 404);
}

/// Starts a job and gives the path to come back to.
fn started(site: &Site, body: &str) -> String {
    let wishes = "Prefer: respond-async\r\nContent-Type: application/fhir+json\r\n";
    let (status, head, body) = site.ask("POST /fhir/$import", wishes, body);
    assert_eq!(status, 202, "{head} {body}");
    let mut lines = head.lines();
    let location = lines.find(|line| line.to_lowercase().starts_with("content-location:"));
    path(location.unwrap())
}

/// The manifest of a job, once it is done.
fn done(site: &Site, location: &str) -> String {
    for _ in 0..600 {
        let ask = format!("GET {location}");
        let (status, head, body) = site.ask(&ask, "Accept: application/json\r\n", "");
        match status {
            200 => return body,
            202 => assert!(head.to_lowercase().contains("x-progress: "), "{head}"),
            _ => panic!("{status} {body}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the job is carried out");
}

/// The path of a URL in a text that starts with it.
fn path(text: &str) -> String {
    let rest = text.split_once("/fhir").unwrap().1;
    let end = rest.find(['"', '\r', '\n']).unwrap_or(rest.len());
    format!("/fhir{}", rest.split_at(end).0)
}

#[test]
fn an_export_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path());
    let patient = r#"{"resourceType":"Patient","id":"p","multipleBirthInteger":1}"#;
    let json = "Content-Type: application/fhir+json\r\n";
    assert_eq!(site.ask("PUT /fhir/Patient/p", json, patient).0, 201);
    let wishes = "Prefer: respond-async\r\nAccept: application/fhir+json\r\n";
    let (status, head, body) = site.ask("GET /fhir/$export", wishes, "");
    assert_eq!(status, 202, "{head} {body}");
    let location = head
        .lines()
        .find(|line| line.to_lowercase().starts_with("content-location:"));
    let location = path(location.unwrap());
    drop(site); // SIGKILL
    let site = Site::start(folder.path());
    let manifest = (0..1200).find_map(|_| {
        let (status, _, body) = site.ask(
            &format!("GET {location}"),
            "Accept: application/json\r\n",
            "",
        );
        match status {
            200 => Some(body),
            202 => {
                std::thread::sleep(Duration::from_millis(50));
                None
            }
            _ => panic!("{status} {body}"),
        }
    });
    let manifest = manifest.expect("the export is carried out");
    let url = path(manifest.split_once("\"url\":\"").unwrap().1);
    let (status, head, file) = site.ask(
        &format!("GET {url}"),
        "Accept: application/fhir+ndjson\r\n",
        "",
    );
    assert_eq!(status, 200, "{file}");
    assert!(
        head.to_lowercase()
            .contains("content-type: application/fhir+ndjson"),
        "{head}"
    );
    assert!(
        file.contains("\"multipleBirthInteger\":1") && file.ends_with('\n'),
        "{file}"
    );
}

/// Lines of patients, every tenth of them broken in its own way.
fn patients(count: u32) -> (String, u32) {
    let (mut text, mut broken) = (String::new(), 0);
    for n in 0..count {
        text += &match n % 30 {
            9 => format!("{{\"resourceType\":\"Patient\",\"id\":\"p{n}\",\"name\"\n"),
            19 => format!("{{\"resourceType\":\"Patient\",\"id\":\"p{n}\",\"actve\":true}}\n"),
            29 => format!(
                "{{\"resourceType\":\"Basic\",\"id\":\"p{n}\",\"code\":{{\"text\":\"x\"}}}}\n"
            ),
            _ => format!(
                "{{\"resourceType\":\"Patient\",\"id\":\"p{n}\",\"multipleBirthInteger\":1}}\n"
            ),
        };
        broken += u32::from(n % 10 == 9);
    }
    (text, broken)
}

fn kick_off(inputs: &[String]) -> String {
    let part = |url: &String| {
        format!(
            r#"{{"name":"input","part":[{{"name":"type","valueCode":"Patient"}},{{"name":"url","valueUri":"{url}"}}]}}"#
        )
    };
    let parts: Vec<String> = inputs.iter().map(part).collect();
    format!(
        r#"{{"resourceType":"Parameters","parameter":[{{"name":"inputFormat","valueCode":"application/fhir+ndjson"}},{{"name":"inputSource","valueUri":"https://example.org"}},{{"name":"storageDetail","part":[{{"name":"type","valueCode":"file"}}]}},{}]}}"#,
        parts.join(",")
    )
}

fn total(site: &Site, query: &str) -> String {
    let ask = format!("GET /fhir/{query}");
    let (_, _, body) = site.ask(&ask, "Accept: application/fhir+json\r\n", "");
    let rest = body.split_once("\"total\":").unwrap().1;
    rest.split([',', '}']).next().unwrap().to_owned()
}

#[test]
fn an_import_takes_what_is_good_names_what_is_not_and_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let config = folder.path().join("wayside.toml");
    std::fs::write(
        &config,
        "[import]\nfolder = \"in\"\nhosts = [\"127.0.0.1\"]\n",
    )
    .unwrap();
    let (text, broken) = patients(6_000);
    std::fs::write(folder.path().join("in/p.ndjson"), &text).unwrap();
    std::fs::write(folder.path().join("secret.ndjson"), "{}").unwrap();
    std::os::unix::fs::symlink("../secret.ndjson", folder.path().join("in/out.ndjson")).unwrap();
    let more = ["--config", config.to_str().unwrap()];
    let site = Site::start_with(folder.path(), &more);
    let inputs = ["file:p.ndjson", "file:none.ndjson", "file:out.ndjson"].map(str::to_owned);
    let location = started(&site, &kick_off(&inputs));
    // Somewhere in the middle.
    while total(&site, "Patient?_summary=count") == "0" {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(site); // SIGKILL
    let site = Site::start_with(folder.path(), &more);
    let manifest = done(&site, &location);
    let good = 6_000 - broken;
    assert!(
        manifest.contains(&format!(
            r#""output":[{{"type":"Patient","count":{good},"inputUrl":"file:p.ndjson"}}]"#
        )),
        "{manifest}"
    );
    assert_eq!(total(&site, "Patient?_summary=count"), good.to_string());
    assert_eq!(total(&site, "Basic?_summary=count"), "0");
    for (input, count, part) in [
        (0, broken, "line 10: "),
        (1, 1, "cannot be read"),
        (2, 1, "below import.folder"),
    ] {
        let error = format!("\"count\":{count},\"inputUrl\":\"{}\"", inputs[input]);
        assert!(manifest.contains(&error), "{error} {manifest}");
        let ask = format!("GET {location}/{input}");
        let (status, _, file) = site.ask(&ask, "Accept: application/fhir+ndjson\r\n", "");
        assert_eq!(status, 200, "{file}");
        assert_eq!(
            file.lines().count(),
            usize::try_from(count).unwrap(),
            "{file}"
        );
        assert!(file.contains(part), "{file}");
    }
    // Again: nothing changes.
    let (_, _, before) = site.ask("GET /fhir/Patient/p0", "", "");
    let again = done(&site, &started(&site, &kick_off(&inputs[..1])));
    assert!(again.contains(&format!("\"count\":{good}")), "{again}");
    let (_, _, after) = site.ask("GET /fhir/Patient/p0", "", "");
    assert_eq!(before, after);
    assert_eq!(site.ask(&format!("DELETE {location}"), "", "").0, 202);
    assert_eq!(site.ask(&format!("GET {location}/0"), "", "").0, 404);
}

/// One answer a connection, `text` after a head that says 200; the first is cut off half-way.
fn flaky_server(text: String) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 2048];
            let _length = stream.read(&mut asked).unwrap();
            let length = text.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nETag: \"7\"\r\nContent-Length: {length}\r\n\r\n");
            let sent = if number == 0 { length / 2 } else { length };
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&text.as_bytes()[..sent]).unwrap();
        }
    });
    address
}

#[test]
fn an_import_from_the_web_goes_on_after_a_cut_and_only_where_the_site_allows() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("wayside.toml");
    let (text, broken) = patients(2_000);
    let address = flaky_server(text);
    std::fs::write(&config, format!("[import]\nhosts = [\"{address}\"]\n")).unwrap();
    let site = Site::start_with(folder.path(), &["--config", config.to_str().unwrap()]);
    // The manifest of the SMART proposal, as plain JSON.
    let manifest = format!(
        r#"{{"inputFormat":"application/fhir+ndjson","inputSource":"http://x","storageDetail":{{"type":"http"}},"input":[{{"type":"Patient","url":"http://{address}/p","etag":"7"}},{{"type":"Patient","url":"http://{address}/q","etag":"8"}}]}}"#
    );
    let manifest = done(&site, &started(&site, &manifest));
    let good = 2_000 - broken;
    assert!(
        manifest.contains(&format!("\"count\":{good},")),
        "{manifest}"
    );
    assert_eq!(total(&site, "Patient?_summary=count"), good.to_string());
    assert!(
        manifest.contains(&format!("\"count\":1,\"inputUrl\":\"http://{address}/q\"")),
        "{manifest}"
    );
    let wishes = "Prefer: respond-async\r\nContent-Type: application/fhir+json\r\n";
    for url in [
        "http://127.0.0.1:1/p",
        "http://169.254.169.254/",
        "file:p.ndjson",
        "ftp://x/p",
    ] {
        let (status, _, body) =
            site.ask("POST /fhir/$import", wishes, &kick_off(&[url.to_owned()]));
        assert_eq!(status, 400, "{url} {body}");
        assert!(body.contains("E-OPERATION-1"), "{body}");
    }
}

/// Starts an import of lines that come along.
fn sent(site: &Site, headers: &str, lines: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(&site.authority).unwrap();
    let head = format!(
        "POST /fhir/$import HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Type: application/fhir+ndjson\r\nContent-Length: {}\r\n\r\n",
        lines.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(lines).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

const ASYNC: &str = "Prefer: respond-async\r\n";

fn location_of(answer: &str) -> String {
    let mut lines = answer.lines();
    let location = lines.find(|line| line.to_lowercase().starts_with("content-location:"));
    path(location.unwrap())
}

#[test]
fn lines_sent_along_are_all_in_though_the_gateway_is_killed_once_it_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path());
    let (text, broken) = patients(6_000);
    let (status, answer) = sent(&site, ASYNC, text.as_bytes());
    assert_eq!(status, 202, "{answer}");
    let location = location_of(&answer);
    drop(site); // SIGKILL
    let site = Site::start(folder.path());
    let manifest = done(&site, &location);
    let good = 6_000 - broken;
    assert!(
        manifest.contains(&format!("\"count\":{good},")),
        "{manifest}"
    );
    assert_eq!(total(&site, "Patient?_summary=count"), good.to_string());
    let (_, _, refused) = site.ask(&format!("GET {location}/0"), "Accept: */*\r\n", "");
    let first = refused.split_once("line 10: ");
    assert!(first.is_some(), "{refused}");
    // The same again, packed: nothing changes, not even what has no id of its own.
    let nameless = "{\"resourceType\":\"Basic\",\"code\":{\"text\":\"x\"}}\n";
    let both = format!("{text}{nameless}");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(both.as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    let headers = format!("{ASYNC}Content-Encoding: gzip\r\n");
    for _ in 0..2 {
        let (status, answer) = sent(&site, &headers, &packed);
        assert_eq!(status, 202, "{answer}");
        done(&site, &location_of(&answer));
        assert_eq!(total(&site, "Patient?_summary=count"), good.to_string());
        // A third of what a file of Patients refuses are of another type, which this takes.
        let others = (broken / 3 + 1).to_string();
        assert_eq!(total(&site, "Basic?_summary=count"), others);
    }
    let (_, _, history) = site.ask("GET /fhir/Patient/p0/_history", "", "");
    assert!(history.contains("\"total\":1"), "{history}");
}

#[test]
fn lines_that_do_not_come_whole_are_not_taken_and_keep_no_place_in_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path());
    let (text, _) = patients(6_000);
    for _ in 0..17 {
        let mut stream = TcpStream::connect(&site.authority).unwrap();
        let head = format!(
            "POST /fhir/$import HTTP/1.1\r\nHost: localhost\r\n{ASYNC}\
             Content-Type: application/fhir+ndjson\r\nContent-Length: {}\r\n\r\n",
            text.len() + 1
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _cut = stream.read_to_string(&mut answer).is_err();
        let is = |status: &str| answer.starts_with(&format!("HTTP/1.1 {status}"));
        assert!(!is("202") && !is("429"), "{answer}");
    }
    for (headers, lines, number) in [
        ("", text.as_str(), "E-UPLOAD-1"),
        (ASYNC, "", "E-UPLOAD-9"),
        (
            "Prefer: respond-async\r\nContent-Encoding: gzip\r\n",
            "{}",
            "E-UPLOAD-8",
        ),
        (
            "Prefer: respond-async\r\nContent-Encoding: br\r\n",
            "{}",
            "E-UPLOAD-4",
        ),
    ] {
        let (status, answer) = sent(&site, headers, lines.as_bytes());
        assert!(
            (400..500).contains(&status) && answer.contains(number),
            "{answer}"
        );
    }
    assert_eq!(total(&site, "Patient?_summary=count"), "0");
    let (status, answer) = sent(&site, ASYNC, b"{\"resourceType\":\"Patient\",\"id\":\"a\"}");
    assert_eq!(status, 202, "{answer}");
    done(&site, &location_of(&answer));
    assert_eq!(total(&site, "Patient?_summary=count"), "1");
}
