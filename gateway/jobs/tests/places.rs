//! Backups to places beside a folder: an S3 double that checks every signature, and a real sshd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a test waits in real time, and says what it skips

use gateway_ground::keys;
use gateway_jobs::places::{BackupPlace, S3Settings, SftpSettings};
use gateway_repository::fresh;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{
    NewVersion, OpenOptions, Origin, OriginKind, ResourceKey, Store, Urgency, VersionId, WriteSet,
};
use vault::backup::{self, Check, Depth, Keep};
use vault::{Master, Secret, Slots};
use zeroize::Zeroizing;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn write(store: &Store, from: u64, until: u64) {
    let new = |id: u64| NewVersion {
        key: ResourceKey {
            resource_type: "Patient".to_owned(),
            id: id.to_string(),
        },
        version: VersionId(1),
        body: format!("{{\"name\":\"Wanjiku\",\"n\":{id}}}").into_bytes(),
        deleted: false,
        becomes_head: true,
        making: store::Making::Untold,
        review_open: None,
        terms_added: Vec::new(),
        terms_removed: Vec::new(),
        values: b"values".to_vec(),
        origin: Origin {
            kind: OriginKind::Client,
            number: 1,
        },
        urgency: Urgency::Bulk,
        time_ms: 1,
        hlc: 1,
    };
    let set = WriteSet {
        versions: (from..until).map(new).collect(),
        ..WriteSet::default()
    };
    store.commit(move |_| Ok::<_, ()>((set, ()))).unwrap();
}

fn sheet() -> Secret {
    Secret::Recovery(Zeroizing::new([3; 32]))
}

fn slots() -> Slots {
    let mut slots = Slots::new(keys::random);
    let master = Master {
        current: Zeroizing::new([7; 32]),
    };
    let made = slots.add(&master, (&sheet(), None), (keys::random, 0));
    made.unwrap();
    slots
}

/// All that is ever done with a place: take, list, open, note, prune, restore.
fn exercise(place: &BackupPlace, folder: &Path) {
    let store = fresh::store(&folder.join("data"));
    let slots = slots();
    let shelf = place.made().unwrap();
    let take = |time_ms: i64| {
        let taken = backup::take(&store, &slots, &*shelf, (keys::random, time_ms));
        taken.unwrap()
    };
    write(&store, 0, 50);
    let first = take(1_000);
    write(&store, 50, 60);
    let second = take(2_000);
    let third = take(DAY_MS * 3);
    assert_eq!(third.bytes_new, 0, "nothing changed, nothing is sent again");
    let opened = backup::open(&*shelf, &sheet(), keys::random).unwrap();
    let names: Vec<String> = opened.list().unwrap().into_iter().map(|b| b.name).collect();
    assert_eq!(
        names,
        [&first.name, &second.name, &third.name].map(Clone::clone)
    );
    assert_eq!(opened.verify(&second.name).unwrap().digest, second.digest);
    assert_eq!(opened.last_check(&third.name).unwrap(), None);
    let check = Check {
        time_ms: 5,
        depth: Depth::Opened,
        is_sound: true,
        text: "60 rows".to_owned(),
    };
    opened.note(&third.name, &check).unwrap();
    assert_eq!(opened.last_check(&third.name).unwrap(), Some(check));
    let keep = Keep {
        daily: 1,
        weekly: 0,
        monthly: 0,
    };
    assert_eq!(backup::prune(&opened, keep).unwrap().0, 2);
    assert_eq!(opened.list().unwrap().len(), 1);
    let to = OpenOptions {
        folder: folder.join("restored"),
        map_size_bytes: 1 << 26,
        queue_length_max: 1,
        random: keys::random,
    };
    let proof = opened.restore(&third.name, &to, (None, 0)).unwrap();
    assert_eq!((proof.resources, proof.digest), (60, third.digest));
    assert_eq!(shelf.get("manifests/none").unwrap(), None);
}

/// A file that only its owner may read.
fn secret_file(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

/// What an S3 store holds, and how it behaves just now.
#[derive(Default)]
struct Held {
    objects: BTreeMap<String, Vec<u8>>,
    /// So many requests are answered 503.
    faults: usize,
    requests: usize,
}

/// An S3 double on a port of its own: one bucket, names in pages of three, every signature checked.
struct S3 {
    held: Arc<Mutex<Held>>,
    endpoint: String,
}

const BUCKET: &str = "backups";
const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REGION: &str = "africa-1";

struct Asked {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl S3 {
    fn start() -> S3 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let held = Arc::new(Mutex::new(Held::default()));
        let shared = Arc::clone(&held);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        S3 { held, endpoint }
    }

    fn place(&self, folder: &Path, (bucket, secret): (&str, &str)) -> BackupPlace {
        let credentials_file = folder.join("credentials");
        secret_file(&credentials_file, &format!("{ID}\n{secret}\n"));
        BackupPlace::S3(S3Settings {
            endpoint: self.endpoint.clone(),
            bucket: bucket.to_owned(),
            prefix: "clinic a+b/".to_owned(),
            region: REGION.to_owned(),
            credentials_file,
        })
    }
}

fn serve(stream: TcpStream, held: &Mutex<Held>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(asked) = read(&mut reader) {
        let (status, body) = answer(&asked, &mut held.lock().unwrap());
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let written = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&body));
        if written.is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl std::io::BufRead) -> Option<Asked> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked {
        method,
        path,
        query,
        headers,
        body,
    })
}

fn error(status: u16, code: &str) -> (u16, Vec<u8>) {
    let xml = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    (status, xml.into_bytes())
}

fn answer(asked: &Asked, held: &mut Held) -> (u16, Vec<u8>) {
    held.requests += 1;
    if held.faults > 0 {
        held.faults -= 1;
        return error(503, "SlowDown");
    }
    if !is_signed(asked) {
        return error(403, "SignatureDoesNotMatch");
    }
    let path = decoded(&asked.path);
    let Some(key) = path.strip_prefix(&format!("/{BUCKET}/")) else {
        return error(404, "NoSuchBucket");
    };
    match asked.method.as_str() {
        "PUT" => {
            held.objects.insert(key.to_owned(), asked.body.clone());
            (200, Vec::new())
        }
        "GET" if key.is_empty() => list(&asked.query, held),
        "GET" => match held.objects.get(key) {
            Some(bytes) => (200, bytes.clone()),
            None => error(404, "NoSuchKey"),
        },
        "DELETE" => {
            held.objects.remove(key);
            (204, Vec::new())
        }
        _ => error(405, "MethodNotAllowed"),
    }
}

fn list(query: &str, held: &Held) -> (u16, Vec<u8>) {
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.into_iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| decoded(value)).unwrap_or_default()
    };
    assert_eq!(value("list-type"), "2");
    let (prefix, after) = (value("prefix"), value("continuation-token"));
    let keys = held.objects.keys();
    let found: Vec<&String> = keys
        .filter(|key| key.starts_with(&prefix) && **key > after)
        .collect();
    let page: Vec<&String> = found.iter().copied().take(3).collect();
    let mut xml = "<ListBucketResult>".to_owned();
    for key in &page {
        xml.push_str(&format!("<Contents><Key>{key}</Key></Contents>"));
    }
    let is_cut = found.len() > page.len();
    xml.push_str(&format!("<IsTruncated>{is_cut}</IsTruncated>"));
    if is_cut {
        let last = page.last().unwrap();
        xml.push_str(&format!(
            "<NextContinuationToken>{last}</NextContinuationToken>"
        ));
    }
    xml.push_str("</ListBucketResult>");
    (200, xml.into_bytes())
}

fn decoded(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.unwrap().into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut state = Hmac::<Sha256>::new_from_slice(key).unwrap();
    state.update(text.as_bytes());
    state.finalize().into_bytes().to_vec()
}

/// Signature Version 4 as a server works it out, from the request as it came.
fn is_signed(asked: &Asked) -> bool {
    let header = |name: &str| {
        asked
            .headers
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    };
    let content = header("x-amz-content-sha256");
    let part = |name: &str| {
        let value = header("authorization")
            .strip_prefix("AWS4-HMAC-SHA256 ")
            .unwrap();
        let parts = value.split(',').filter_map(|part| part.split_once('='));
        let found = parts.into_iter().find(|(n, _)| *n == name);
        found.unwrap().1.to_owned()
    };
    let time = header("x-amz-date");
    let day = time.split('T').next().unwrap();
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let signed = part("SignedHeaders");
    let lines: Vec<String> = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", header(name)))
        .collect();
    let Asked {
        method,
        path,
        query,
        ..
    } = asked;
    let canonical = format!(
        "{method}\n{path}\n{query}\n{}\n{signed}\n{content}",
        lines.concat()
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hex(&Sha256::digest(canonical))
    );
    let key = mac(format!("AWS4{SECRET}").as_bytes(), day);
    let key = mac(&mac(&mac(&key, REGION), "s3"), "aws4_request");
    signed.contains("host")
        && content == hex(&Sha256::digest(&asked.body))
        && part("Credential") == format!("{ID}/{scope}")
        && part("Signature") == hex(&mac(&key, &text))
}

#[test]
fn an_s3_store_keeps_backups() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = S3::start();
    exercise(&s3.place(folder.path(), (BUCKET, SECRET)), folder.path());
    let held = s3.held.lock().unwrap();
    assert!(
        held.objects
            .keys()
            .all(|key| key.starts_with("clinic a+b/"))
    );
    for bytes in held.objects.values() {
        let named = bytes.windows(7).any(|at| at == b"Wanjiku");
        assert!(!named, "it leaves sealed");
    }
}

#[test]
fn an_s3_store_that_refuses_is_told_of_and_one_that_stumbles_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = S3::start();
    let failed = |place: &BackupPlace| {
        let shelf = place.shelf().unwrap();
        let error = shelf.put("backup.json", b"x").unwrap_err().to_string();
        assert!(!error.contains("wJalr"), "{error}");
        assert!(
            shelf.get("backup.json").is_err(),
            "no refusal is an absence"
        );
        assert!(shelf.list("manifests").is_err());
        error
    };
    let wrong = failed(&s3.place(folder.path(), (BUCKET, "another")));
    assert!(wrong.contains("403 SignatureDoesNotMatch"), "{wrong}");
    let nowhere = failed(&s3.place(folder.path(), ("nowhere", SECRET)));
    assert!(nowhere.contains("404 NoSuchBucket"), "{nowhere}");

    let place = s3.place(folder.path(), (BUCKET, SECRET));
    let shelf = place.shelf().unwrap();
    s3.held.lock().unwrap().faults = 2;
    shelf.put("backup.json", b"x").unwrap();
    let before = s3.held.lock().unwrap().requests;
    s3.held.lock().unwrap().faults = 9;
    let error = shelf.get("backup.json").unwrap_err().to_string();
    assert!(error.contains("503 SlowDown"), "{error}");
    assert_eq!(s3.held.lock().unwrap().requests - before, 3);

    let open = folder.path().join("open");
    std::fs::write(&open, "a\nb\n").unwrap();
    let BackupPlace::S3(settings) = place else {
        panic!("no S3");
    };
    let exposed = BackupPlace::S3(S3Settings {
        credentials_file: open,
        ..settings
    });
    assert!(exposed.shelf().is_err(), "others may read the credentials");
}

/// A real sshd on a port of its own; ended when dropped.
struct Sshd {
    child: Child,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn found(program: &str) -> Option<String> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let paths = folders.iter().map(|folder| format!("{folder}/{program}"));
    paths.into_iter().find(|path| Path::new(path).exists())
}

fn keygen(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}

fn sshd(program: &str, folder: &Path) -> Sshd {
    for name in ["host", "key", "stranger"] {
        keygen(&folder.join(name));
    }
    std::fs::copy(folder.join("key.pub"), folder.join("authorized")).unwrap();
    // Where it wants an empty folder when it runs as root.
    std::fs::create_dir_all("/run/sshd").ok();
    // Another may take the port between the two looks: then the next one.
    for _ in 0..20 {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let shown = folder.display();
        let settings = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nPidFile none\n\
             AuthorizedKeysFile {shown}/authorized\nStrictModes no\nUsePAM no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             Subsystem sftp internal-sftp\n"
        );
        std::fs::write(folder.join("sshd_config"), settings).unwrap();
        let mut child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(folder.join("sshd_config"))
            .stderr(std::fs::File::create(folder.join("sshd.log")).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Sshd { child, port };
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        child.kill().ok();
        child.wait().unwrap();
    }
    let log = std::fs::read_to_string(folder.join("sshd.log"));
    panic!("no sshd: {}", log.unwrap_or_default());
}

#[test]
fn a_folder_of_another_machine_keeps_backups_over_sftp() {
    let (Some(program), Some(_)) = (found("sshd"), found("sftp")) else {
        println!("skipped: sshd or sftp is not installed");
        return;
    };
    let folder = tempfile::Builder::new().prefix("sftp").tempdir().unwrap();
    let here = folder.path();
    let sshd = sshd(&program, here);
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap();
    let known = |key: &str| {
        let key = std::fs::read_to_string(here.join(key)).unwrap();
        let path = here.join("known_hosts");
        std::fs::write(&path, format!("[127.0.0.1]:{} {key}", sshd.port)).unwrap();
        path
    };
    let settings = SftpSettings {
        address: format!("{}@127.0.0.1", user.trim()),
        port: sshd.port,
        folder: here.join("there/below").display().to_string(),
        key_file: here.join("key"),
        known_hosts: Some(known("host.pub")),
        aside: here.join("data.transfer"),
    };
    exercise(&BackupPlace::Sftp(settings.clone()), here);
    assert!(!here.join("data.transfer").exists());
    let parts = std::fs::read_dir(here.join("there/below/manifests")).unwrap();
    assert!(parts.flatten().all(|file| !file.path().ends_with(".part")));

    // A stranger's key is refused, and so is a host that is another one.
    let stranger = SftpSettings {
        key_file: here.join("stranger"),
        ..settings.clone()
    };
    let shelf = BackupPlace::Sftp(stranger).shelf().unwrap();
    assert!(shelf.put("backup.json", b"x").is_err() && shelf.get("backup.json").is_err());
    known("stranger.pub");
    let shelf = BackupPlace::Sftp(settings).shelf().unwrap();
    let error = shelf.get("backup.json").unwrap_err().to_string();
    assert!(error.contains("E-BACKUP-1"), "{error}");
    assert!(shelf.list("manifests").is_err(), "no refusal is an absence");
}
