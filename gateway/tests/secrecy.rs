//! 200 names, identifiers and values go in over FHIR, MLLP, import and bad requests, through a backup, a
//! kill -9 and a restart; then every file that was written is searched for them: as they are, in any
//! case, by their first six letters, in base64 and in UTF-16.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // a test waits in real time

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SEEDS: usize = 200;
/// Shorter parts are found by chance.
const PREFIX: usize = 6;

/// Words that no program holds: letters that alternate by a fixed sequence.
fn seeds() -> Vec<String> {
    let mut state = 0x0123_4567_89ab_cdef_u64;
    let mut letter = |from: &[u8]| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 40).unwrap() % from.len();
        char::from(from[at])
    };
    let mut word = || -> String { (0..12).map(|_| letter(b"bcdfghjkqvwxz")).collect() };
    (0..SEEDS).map(|_| word()).collect()
}

struct Site {
    child: Child,
    http: String,
    mllp: String,
}

impl Site {
    fn start(folder: &Path, log: &str) -> Site {
        let log = std::fs::File::create(folder.join(log)).unwrap();
        let config = "[log]\nlevel = \"debug\"\n\
                      [[mllp.connection]]\nname = \"analyzer\"\npatient_system = \"urn:clinic\"\n";
        std::fs::write(folder.join("wayside.toml"), config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wayside"))
            .args(["serve", "--open", "--mllp", "127.0.0.1:0"])
            .args(["--listen", "127.0.0.1:0", "--config", "wayside.toml"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.unwrap());
        let mut said = |start: &str| -> String {
            let line = lines.find(|line| line.starts_with(start)).unwrap();
            line[start.len()..].to_owned()
        };
        let mllp = said("listening mllp ");
        let http = said("ready http://").trim_end_matches("/fhir").to_owned();
        Site { child, http, mllp }
    }

    fn ask(&self, line: &str, body: &str) -> u16 {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        let length = body.len();
        let text = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/fhir+json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The code of the acknowledgement.
    fn device(&self, number: usize, (patient, name, value): (&str, &str, &str)) -> String {
        let mut stream = TcpStream::connect(&self.mllp).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let message = format!(
            "\u{b}MSH|^~\\&|CBC|LAB|WAYSIDE|SITE|20260301103000||ORU^R01|M{number}|P|2.5\r\
             PID|1||{patient}^^^urn:clinic||{name}\r\
             OBR|1||S-{number}|58410-2^CBC^LN|||20260301101500||||||||||||||||||F\r\
             OBX|1|ST|718-7^Hemoglobin^LN||{value}||||||F\r\u{1c}\r"
        );
        stream.write_all(message.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\x1c\r") {
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&answer).into_owned();
        let code = text.split("MSA|").nth(1).unwrap().split('|').next();
        code.unwrap().to_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn wayside(folder: &Path, arguments: &str) -> i32 {
    let output = Command::new(env!("CARGO_BIN_EXE_wayside"))
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    output.status.code().unwrap_or(-1)
}

fn patient(id: &str, word: &str, name: &str) -> String {
    format!(
        r#"{{"resourceType":"Patient","id":"{id}","identifier":[{{"system":"urn:clinic","value":"{word}"}}],"name":[{{"family":"{name}","given":["{word}"]}}],"address":[{{"line":["{name}"]}}]}}"#
    )
}

/// Every way in, each with words of its own.
fn tell_all(site: &Site, words: &[String], outside: &Path, here: &Path) {
    let (over_fhir, rest) = words.split_at(80);
    let (of_devices, rest) = rest.split_at(40);
    let (imported, refused) = rest.split_at(40);
    for two in over_fhir.chunks(2) {
        let body = patient(&two[0], &two[0], &two[1]);
        assert_eq!(
            site.ask(&format!("PUT /fhir/Patient/{}", two[0]), &body),
            201
        );
        let search = format!("GET /fhir/Patient?family={}&identifier={}", two[1], two[0]);
        assert_eq!(site.ask(&search, ""), 200);
    }
    for (number, two) in of_devices.chunks(2).enumerate() {
        let known = &over_fhir[number * 2];
        let (patient, name) = match number % 2 {
            0 => (known, &two[0]),
            // Nobody is known by it: held.
            _ => (&two[0], &two[0]),
        };
        let code = site.device(number, (patient, name, &two[1]));
        assert_eq!(code, "AA", "{number}");
    }
    let mut lines = String::new();
    for two in imported.chunks(2) {
        writeln!(lines, "{}", patient(&two[0], &two[0], &two[1])).unwrap();
    }
    let file = outside.join("incoming.ndjson");
    std::fs::write(&file, lines).unwrap();
    let import = format!("import {} --to http://{}/fhir", file.display(), site.http);
    assert_eq!(wayside(here, &import), 0);
    for word in refused {
        assert_eq!(site.ask(&format!("GET /fhir/Patient/{word}"), ""), 404);
        let wrong = format!(r#"{{"resourceType":"Patient","{word}":"{word}"}}"#);
        assert_eq!(site.ask("POST /fhir/Patient", &wrong), 422);
        let nowhere = format!("GET /fhir/Patient?{word}={word}");
        assert!(matches!(site.ask(&nowhere, ""), 200 | 400));
    }
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The letters that a word has in base64 whatever follows it, when it starts `skip` bytes into a
/// group of three.
fn base64(word: &[u8], skip: usize) -> Vec<u8> {
    let word = &word[(3 - skip) % 3..];
    let whole = word.chunks_exact(3).flat_map(|three| {
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        [18, 12, 6, 0].map(|shift| BASE64[usize::try_from(bits >> shift & 63).unwrap()])
    });
    whole.take(PREFIX).collect()
}

/// What is searched for, by six bytes each; UTF-16 is looked for with its zeros taken out.
struct Searched {
    any_case: HashSet<Vec<u8>>,
    as_it_is: HashSet<Vec<u8>>,
}

impl Searched {
    fn of(words: &[String]) -> Searched {
        let prefix = |word: &String| word.as_bytes()[..PREFIX].to_vec();
        let mut as_it_is = HashSet::new();
        for word in words {
            for form in [word.clone(), word.to_uppercase(), capital(word)] {
                (0..3).for_each(|skip| {
                    as_it_is.insert(base64(form.as_bytes(), skip));
                });
            }
        }
        Searched {
            any_case: words.iter().map(prefix).collect(),
            as_it_is,
        }
    }

    fn finds(&self, bytes: &[u8]) -> Option<String> {
        let mut lower = [0; PREFIX];
        for window in bytes.windows(PREFIX) {
            if !window.iter().all(u8::is_ascii_alphanumeric) {
                continue;
            }
            lower.copy_from_slice(window);
            lower.make_ascii_lowercase();
            if self.any_case.contains(&lower[..]) || self.as_it_is.contains(window) {
                return Some(String::from_utf8_lossy(window).into_owned());
            }
        }
        None
    }

    /// As it is, then every other byte from the first and from the second on, which is UTF-16.
    fn finds_in(&self, bytes: &[u8]) -> Option<String> {
        let every_other =
            |from: usize| -> Vec<u8> { bytes.iter().skip(from).step_by(2).copied().collect() };
        self.finds(bytes)
            .or_else(|| self.finds(&every_other(0)))
            .or_else(|| self.finds(&every_other(1)))
    }
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}

#[test]
fn no_file_ever_written_names_a_patient() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = folder.path();
    let words = seeds();
    assert_eq!(words.iter().collect::<HashSet<_>>().len(), SEEDS);
    let site = Site::start(here, "log-1");
    tell_all(&site, &words, outside.path(), here);
    assert_eq!(wayside(here, "backup stick"), 0);
    let half: Vec<String> = words.iter().map(|word| capital(word)).collect();
    for word in &half[..10] {
        let line = format!("PUT /fhir/Patient/{word}");
        assert_eq!(site.ask(&line, &patient(word, word, word)), 201);
    }
    // The power goes.
    drop(site);
    let site = Site::start(here, "log-2");
    assert_eq!(site.ask(&format!("GET /fhir/Patient/{}", half[9]), ""), 200);
    drop(site);
    let output = outside.path().join("out").display().to_string();
    assert_eq!(wayside(here, &format!("export --out {output}")), 0);
    assert_eq!(wayside(here, "backup stick"), 0);
    assert_eq!(wayside(here, "verify"), 0);

    let searched = Searched::of(&words);
    let mut files = Vec::new();
    files_below(here, &mut files);
    assert!(files.len() > 8, "{files:?}");
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        let found = searched.finds_in(&bytes);
        assert_eq!(found, None, "in {}", file.display());
    }
    // The search itself finds: what was exported names everybody, in each form.
    let mut exported = Vec::new();
    files_below(&outside.path().join("out"), &mut exported);
    let text = std::fs::read(&exported[0]).unwrap();
    assert!(searched.finds_in(&text).is_some());
    let wide: Vec<u8> = text.iter().flat_map(|byte| [*byte, 0]).collect();
    assert!(searched.finds_in(&wide).is_some());
    for skip in 0..3 {
        let coded = base64(words[0].as_bytes(), skip);
        assert!(coded.len() == PREFIX && searched.finds(&coded).is_some());
    }
}
