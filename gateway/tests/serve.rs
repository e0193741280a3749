//! The real binary: how it starts, whom it lets in, what it refuses, how it stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // a test measures real time

#[path = "serve/said.rs"]
mod said;

use said::{check_exit, run_in, stderr, stdout};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const WAYSIDE: &str = env!("CARGO_BIN_EXE_wayside");

/// Well below the fifteen seconds for which a silent client is borne.
const STOP_MAX: Duration = Duration::from_secs(12);
const ANSWER_MAX: Duration = Duration::from_secs(12);

/// A running gateway in a folder of its own; killed when dropped.
struct Site {
    folder: tempfile::TempDir,
    child: Child,
    /// What it said on stdout, `ready` last.
    said: Vec<String>,
}

/// Status, head and body of an answer.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Site {
    fn start(more: &[&str]) -> Site {
        Site::start_in(tempfile::tempdir().unwrap(), more)
    }

    fn start_in(folder: tempfile::TempDir, more: &[&str]) -> Site {
        let mut command = Command::new(WAYSIDE);
        command.args(["serve", "--mllp", "127.0.0.1:0"]).args(more);
        if !more.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut child = command
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut said = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            said.push(line.unwrap());
            if said.last().is_some_and(|line| line.starts_with("ready ")) {
                return Site {
                    folder,
                    child,
                    said,
                };
            }
        }
        child.wait().unwrap();
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        panic!("it ended before it was ready: {log}");
    }

    fn base(&self) -> &str {
        self.said.last().unwrap().strip_prefix("ready ").unwrap()
    }

    fn port(&self) -> u16 {
        let authority = self.base().split('/').nth(2).unwrap();
        authority.rsplit(':').next().unwrap().parse().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    fn admin_token(&self) -> String {
        let text = std::fs::read_to_string(self.path("wayside-data.admin-token")).unwrap();
        text.trim().to_owned()
    }

    /// Sends a request; `head` is its first line and headers without the end.
    fn ask(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let length = body.len();
        let shared = "Host: localhost\r\nConnection: close\r\n";
        write!(stream, "{head}\r\n{shared}Content-Length: {length}\r\n\r\n").unwrap();
        // A refusal may come, and the connection end, before all is written.
        stream.write_all(body).ok();
        read_answer(stream)
    }

    fn ask_as(&self, token: &str, line: &str) -> Answer {
        self.ask(
            &format!("{line} HTTP/1.1\r\nAuthorization: Bearer {token}"),
            b"",
        )
    }

    fn connect(&self) -> TcpStream {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port()));
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// A subcommand beside the running gateway.
    fn run(&self, arguments: &[&str]) -> Output {
        run_in(self.folder.path(), arguments)
    }

    /// SIGTERM; how long it took to end, and whether it ended well.
    fn terminate(mut self) -> (Duration, bool, tempfile::TempDir) {
        let id = self.child.id().to_string();
        let asked = Instant::now();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        let status = self.child.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        (asked.elapsed(), status.success(), folder)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read_answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no answer but {text:?}")),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

#[test]
fn the_first_start_says_what_is_where_and_lets_nobody_in_without_a_token() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::start(&[]);
    assert!(
        site.said[0].starts_with("listening mllp 127.0.0.1:"),
        "{:?}",
        site.said
    );
    assert!(
        site.base().starts_with("http://127.0.0.1:"),
        "{:?}",
        site.said
    );
    assert!(site.base().ends_with("/fhir"));
    for secret in ["wayside-data.key", "wayside-data.admin-token"] {
        let mode = std::fs::metadata(site.path(secret))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
        assert!(site.log().contains(secret), "{}", site.log());
    }
    let refused = site.ask("GET /fhir/Patient HTTP/1.1", b"");
    assert_eq!(refused.status, 401);
    assert!(
        refused.head.contains("www-authenticate: bearer"),
        "{}",
        refused.head
    );
    assert!(refused.body.contains("E-AUTH-1"), "{}", refused.body);
    assert_eq!(site.ask_as("wrong", "GET /fhir/Patient").status, 401);
    assert_eq!(
        site.ask_as(&site.admin_token(), "GET /admin/tokens").status,
        200
    );
    assert!(!site.log().contains(&site.admin_token()));
}

#[test]
fn a_stop_is_quick_and_the_next_start_finds_everything() {
    let site = Site::start(&[]);
    let token = site.admin_token();
    let _idle = site.connect();
    let (took, ended_well, folder) = site.terminate();
    assert!(ended_well);
    assert!(took < STOP_MAX, "{took:?}");
    let site = Site::start_in(folder, &[]);
    assert_eq!(site.admin_token(), token, "no second administrator is made");
    assert_eq!(site.ask_as(&token, "GET /admin/tokens").status, 200);
}

#[test]
fn a_request_under_way_is_finished_before_the_stop() {
    let site = Site::start(&["--open"]);
    let mut stream = site.connect();
    let body = br#"{"resourceType":"Patient","active":true}"#;
    let (first, rest) = body.split_at(10);
    let head = "POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
    let length = body.len();
    let more = format!("Content-Length: {length}\r\nExpect: 100-continue");
    write!(stream, "{head}\r\n{more}\r\n\r\n").unwrap();
    await_continue(&mut stream);
    stream.write_all(first).unwrap();
    let port = site.port();
    let sender = std::thread::spawn(move || {
        // Nobody new is let in once the stop has begun.
        while TcpStream::connect(("127.0.0.1", port)).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        stream.write_all(rest).unwrap();
        read_answer(stream)
    });
    let (took, ended_well, _folder) = site.terminate();
    let answer = sender.join().unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(ended_well);
    assert!(took < STOP_MAX, "{took:?}");
}

/// The server waits for the body: the request is under way.
fn await_continue(stream: &mut TcpStream) {
    let mut told = [0; 25];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn a_client_that_never_finishes_does_not_hold_the_stop_up() {
    let site = Site::start(&["--open"]);
    let mut stream = site.connect();
    let head = "POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000";
    write!(stream, "{head}\r\nExpect: 100-continue\r\n\r\n").unwrap();
    await_continue(&mut stream);
    stream.write_all(b"{").unwrap();
    let (took, ended_well, _folder) = site.terminate();
    assert!(ended_well);
    assert!(took < STOP_MAX, "{took:?}");
}

#[test]
fn answers_take_the_form_the_client_asks_for() {
    let site = Site::start(&["--open"]);
    let put = "PUT /fhir/Patient/a HTTP/1.1\r\nContent-Type: application/fhir+json";
    let body = br#"{"resourceType":"Patient","id":"a","active":true}"#;
    let answer = site.ask(&format!("{put}\r\nPrefer: return=minimal"), body);
    assert_eq!((answer.status, answer.body.as_str()), (201, ""));
    assert!(answer.head.contains("etag: w/\"1\""), "{}", answer.head);
    let outcome = site.ask(&format!("{put}\r\nPrefer: return=OperationOutcome"), body);
    assert!(outcome.body.contains("I-HTTP-1"), "{}", outcome.body);
    let head = site.ask("HEAD /fhir/Patient/a HTTP/1.1", b"");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(
        head.head.contains("content-type: application/fhir+json"),
        "{}",
        head.head
    );
    let pretty = site.ask("GET /fhir/Patient/a?_pretty=true HTTP/1.1", b"");
    assert!(pretty.body.contains("\n  \"id\": \"a\""), "{}", pretty.body);
    let packed = site.ask("GET /fhir/metadata HTTP/1.1\r\nAccept-Encoding: gzip", b"");
    assert!(
        packed.head.contains("content-encoding: gzip"),
        "{}",
        packed.head
    );
    let form = "POST /fhir/Patient/_search HTTP/1.1\r\n\
                Content-Type: application/x-www-form-urlencoded";
    let found = site.ask(form, b"active=true");
    assert!(found.body.contains("\"total\":1"), "{}", found.body);
    let metadata = site.ask("GET /fhir/metadata HTTP/1.1", b"");
    assert!(
        metadata.body.contains("CapabilityStatement"),
        "{}",
        metadata.body
    );
}

#[test]
fn a_token_that_asks_too_often_is_told_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    let slow = "[http]\nrequests_per_second = 1\nburst = 3\n";
    std::fs::write(folder.path().join("w.toml"), slow).unwrap();
    let site = Site::start_in(folder, &["--config", "w.toml"]);
    let token = site.admin_token();
    let ask = || site.ask_as(&token, "GET /admin/tokens");
    let statuses: Vec<u16> = (0..5).map(|_| ask().status).collect();
    assert_eq!(statuses[..3], [200, 200, 200]);
    let refused = ask();
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
}

#[test]
fn a_second_gateway_on_the_same_folder_is_refused() {
    let site = Site::start(&[]);
    let arguments = ["--listen", "127.0.0.1:0", "--mllp", "127.0.0.1:0"];
    check_exit(&site.run(&arguments), 1, "E-STORE-7");
}

#[test]
fn a_store_without_its_key_is_left_alone() {
    let (_, _, folder) = Site::start(&[]).terminate();
    std::fs::remove_file(folder.path().join("wayside-data.key")).unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--mllp", "127.0.0.1:0"];
    check_exit(&run_in(folder.path(), &arguments), 1, "E-KEY-1");
    assert!(!folder.path().join("wayside-data.key").exists());
}

#[test]
fn open_means_no_token_and_loopback_only() {
    let site = Site::start(&["--open"]);
    assert_eq!(site.ask("GET /admin/tokens HTTP/1.1", b"").status, 200);
    let listed = site.run(&["token", "list"]);
    assert!(listed.status.success(), "{}", stderr(&listed));
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "serve",
        "--open",
        "--listen",
        "0.0.0.0:0",
        "--mllp",
        "127.0.0.1:0",
    ];
    check_exit(&run_in(folder.path(), &arguments), 2, "E-START-2");
    assert!(
        !folder.path().join("wayside-data").exists(),
        "nothing is made"
    );
}

#[test]
fn settings_that_nobody_knows_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("w.toml"), "[http]\nport = 1\n").unwrap();
    let arguments = ["serve", "--config", "w.toml"];
    check_exit(
        &run_in(folder.path(), &arguments),
        2,
        "unknown field `port`",
    );
    let arguments = ["serve", "--config", "absent.toml"];
    check_exit(&run_in(folder.path(), &arguments), 2, "E-CONFIG-1");
}

#[test]
fn bodies_over_the_cap_are_refused_and_the_sender_hears_it() {
    let site = Site::start(&["--open"]);
    let head = "POST /fhir/Patient HTTP/1.1\r\nContent-Type: application/fhir+json";
    let asked = Instant::now();
    let refused = site.ask(head, &vec![b' '; 60 * 1024 * 1024]);
    assert_eq!(refused.status, 413, "{}", refused.body);
    assert!(asked.elapsed() < ANSWER_MAX);
    // A declared length is enough: nothing needs to be sent.
    let asked = Instant::now();
    let mut stream = site.connect();
    let more = "Host: localhost\r\nContent-Length: 62914560\r\nConnection: close";
    write!(stream, "{head}\r\n{more}\r\n\r\n").unwrap();
    assert_eq!(read_answer(stream).status, 413);
    assert!(asked.elapsed() < ANSWER_MAX);
    // Without a declared length the cap holds while reading.
    let mut stream = site.connect();
    let more = "Host: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close";
    write!(stream, "{head}\r\n{more}\r\n\r\n").unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 0x10_0000], b"\r\n"].concat();
    for _ in 0..60 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let refused = read_answer(stream);
    assert_eq!(refused.status, 413, "{}", refused.body);
    assert_eq!(
        site.ask("GET /livez HTTP/1.1", b"").status,
        200,
        "others are served"
    );
}

#[test]
fn without_a_token_the_body_is_not_waited_for() {
    let site = Site::start(&[]);
    let mut stream = site.connect();
    let head = "POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000";
    write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(read_answer(stream).status, 401);
}

#[test]
fn odd_paths_names_and_methods_are_refused() {
    let site = Site::start(&["--open"]);
    let check = |line: &str, expected: u16| {
        let answer = site.ask(&format!("{line} HTTP/1.1"), b"");
        assert_eq!(answer.status, expected, "{line}: {}", answer.body);
        if line.contains("/fhir") {
            assert!(answer.body.contains("OperationOutcome"), "{}", answer.body);
        }
    };
    check("GET /fhir/Patient/%2e%2e/x", 400);
    check("GET /fhir/Patient/%00", 400);
    check("GET /fhir/Patient/a_b", 400);
    check("GET /fhir/Patient?name=%ff", 400);
    check("GET /fhir/Nothing/1", 404);
    check("GET /elsewhere", 404);
    check("PUT /fhir/Patient/a/_history", 405);
    check("POST /livez", 405);
    let foreign = "GET /livez HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let mut stream = site.connect();
    stream.write_all(foreign.as_bytes()).unwrap();
    assert_eq!(read_answer(stream).status, 403);
    let table = "GET /fhir/Patient HTTP/1.1\r\nAccept: text/csv";
    assert_eq!(site.ask(table, b"").status, 406);
}

#[test]
fn health_and_metrics_are_there_for_machines() {
    let site = Site::start(&[]);
    assert_eq!(site.ask("GET /livez HTTP/1.1", b"").body, "alive\n");
    assert_eq!(site.ask("GET /readyz HTTP/1.1", b"").body, "ready\n");
    site.ask("GET /fhir/Patient HTTP/1.1", b"");
    let metrics = site.ask("GET /metrics HTTP/1.1", b"").body;
    let expected = [
        "wayside_http_requests_total{interaction=\"refused\",status=\"401\"} 1",
        "wayside_build_info{version=",
        "wayside_store_last_seq ",
        "wayside_reviews_open 0",
        "# EOF",
    ];
    for line in expected {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
}

#[test]
fn tokens_are_made_and_revoked_beside_a_running_gateway_and_on_its_folder() {
    let site = Site::start(&[]);
    let base = site.base().to_owned();
    let made = site.run(&["token", "create", "--name", "ward 3", "--url", &base]);
    assert!(made.status.success(), "{}", stderr(&made));
    let token = stdout(&made);
    assert_eq!(
        site.ask_as(&token, "GET /fhir/Patient/a_b").status,
        400,
        "it is let in"
    );
    assert_eq!(
        site.ask_as(&token, "GET /admin/tokens").status,
        403,
        "it is no administrator"
    );
    let again = site.run(&["token", "create", "--name", "ward 3", "--url", &base]);
    check_exit(&again, 1, "E-TOKEN-1");
    let listed = stdout(&site.run(&["token", "list", "--url", &base]));
    assert!(listed.contains("ward 3\tclient\t"), "{listed}");
    assert!(!listed.contains(&token));
    let revoked = site.run(&["token", "revoke", "ward 3"]); // it finds the gateway by itself
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    assert_eq!(
        site.ask_as(&token, "GET /fhir/Patient/a_b").status,
        401,
        "at once"
    );
    check_exit(
        &site.run(&["token", "revoke", "x", "--url", &base]),
        1,
        "E-TOKEN-4",
    );

    let (_, _, folder) = site.terminate();
    let arguments = [
        "token",
        "create",
        "--name",
        "late",
        "--role",
        "reader",
        "--expires",
        "1",
    ];
    let made = run_in(folder.path(), &arguments);
    assert!(made.status.success(), "{}", stderr(&made));
    let site = Site::start_in(folder, &[]);
    let refused = site.ask_as(&stdout(&made), "DELETE /fhir/Patient/a");
    assert_eq!(refused.status, 403, "{}", refused.body);
}

#[test]
fn other_than_loopback_is_tls_with_a_certificate_of_its_own() {
    let site = Site::start(&["--listen", "0.0.0.0:0"]);
    assert!(
        site.base().starts_with("https://0.0.0.0:"),
        "{:?}",
        site.said
    );
    assert!(site.path("wayside-data.cert.pem").exists());
    let url = format!("https://127.0.0.1:{}", site.port());
    let listed = site.run(&["token", "list", "--url", &url]);
    assert!(
        stdout(&listed).contains("administrator\tadmin"),
        "{}",
        stderr(&listed)
    );
    let plain = format!("http://127.0.0.1:{}", site.port());
    assert!(
        !site
            .run(&["token", "list", "--url", &plain])
            .status
            .success()
    );
}

#[test]
fn a_passphrase_opens_what_it_made() {
    let folder = tempfile::tempdir().unwrap();
    let create = |passphrase: &str| {
        Command::new(WAYSIDE)
            .args(["token", "create", "--name", "a"])
            .current_dir(folder.path())
            .env("WAYSIDE_PASSPHRASE", passphrase)
            .output()
            .unwrap()
    };
    let made = create("correct horse");
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(!folder.path().join("wayside-data.key").exists());
    check_exit(&create("wrong horse"), 1, "E-KEY-9");
    check_exit(&run_in(folder.path(), &["token", "list"]), 1, "E-KEY-3");
}

#[test]
fn a_browser_signs_in_with_a_token() {
    let site = Site::start(&[]);
    let form = "Content-Type: application/x-www-form-urlencoded";
    assert_eq!(site.ask("GET /admin/reviews HTTP/1.1", b"").status, 303);
    assert!(
        site.ask("GET /admin/login HTTP/1.1", b"")
            .body
            .contains("<form")
    );
    let login = format!("POST /admin/login HTTP/1.1\r\n{form}");
    assert_eq!(site.ask(&login, b"token=wrong").status, 401);
    let body = format!("token={}", site.admin_token());
    let right = site.ask(&login, body.as_bytes());
    assert_eq!(right.status, 303, "{}", right.body);
    let is_strict = right.head.contains("httponly; samesite=strict");
    assert!(is_strict, "{}", right.head);
    let cookie = right.head.split("set-cookie: ").nth(1).unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let ask = format!("GET /admin/reviews HTTP/1.1\r\nCookie: {cookie}");
    let page = site.ask(&ask, b"");
    assert_ne!(page.status, 303, "signed in");
    let forged = format!("POST /admin/reviews/1 HTTP/1.1\r\n{form}\r\nCookie: {cookie}");
    let forged = site.ask(&forged, b"choice=local");
    assert_eq!(forged.status, 403, "no form key");
}

#[test]
fn slow_heads_do_not_hold_others_up() {
    let site = Site::start(&["--open"]);
    let mut slow: Vec<TcpStream> = (0..50).map(|_| site.connect()).collect();
    slow.iter_mut()
        .for_each(|stream| stream.write_all(b"GET /livez HT").unwrap());
    let asked = Instant::now();
    assert_eq!(site.ask("GET /livez HTTP/1.1", b"").status, 200);
    assert!(asked.elapsed() < ANSWER_MAX);
}
