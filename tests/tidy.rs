//! Style is a test: arrows, sizes, words, fixtures, numbers, reasons. A rule that is in the way is
//! changed here, in the open, with its reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice
)] // panics are a test's answers

use std::collections::{BTreeMap, BTreeSet};
use tests::source::{self, Source};

const CRATES: [&str; 6] = [
    "store",
    "fhir-mapping",
    "gateway",
    "conformance",
    "examples",
    "tests",
];

/// Files that are registries of equals; they and their tables may be long.
const LONG_FILES: [&str; 2] = [
    "fhir-mapping/src/conflict/policy.rs",
    "fhir-mapping/src/validate/fault.rs",
];

/// Folders that are registries of equals and may be wide.
const WIDE_FOLDERS: [&str; 5] = [
    "gateway/src/cli",
    "gateway/http/src/interactions/operations",
    "gateway/http/src/interactions",
    "store/src/codec",
    "fhir-mapping/src/search",
];

/// What each crate must not name: its invariant, stated as what is absent.
const ABSENT: [(&str, &[&str]); 12] = [
    (
        "store/vault/src",
        &[
            "tokio",
            "hyper",
            "heed",
            "fhir_mapping",
            "gateway_ground",
            "SystemTime",
        ],
    ),
    (
        "store/src",
        &[
            "tokio",
            "hyper",
            "fhir_sdk",
            "fhir_mapping",
            "gateway",
            "SystemTime",
        ],
    ),
    (
        "fhir-mapping/src",
        &[
            "heed", "tokio", "hyper", "std::fs", "std::net", "store", "gateway",
        ],
    ),
    ("conformance", &["store", "fhir_mapping", "gateway"]),
    ("examples", &["store", "fhir_mapping", "gateway"]),
    (
        "gateway/src",
        &["heed", "fhir_sdk", "conformance", "examples"],
    ),
    (
        "gateway/ground/src",
        &["heed", "fhir_sdk", "gateway_repository"],
    ),
    (
        "gateway/repository/src",
        &["heed", "hyper", "http", "std::net", "gateway_http"],
    ),
    (
        "gateway/http/src",
        &["heed", "gateway_devices", "gateway_sync", "gateway_jobs"],
    ),
    (
        "gateway/devices/src",
        &[
            "heed",
            "hyper",
            "gateway_http",
            "gateway_sync",
            "gateway_jobs",
        ],
    ),
    (
        "gateway/sync/src",
        &["heed", "gateway_http", "gateway_devices", "gateway_jobs"],
    ),
    (
        "gateway/jobs/src",
        &["heed", "gateway_http", "gateway_devices", "gateway_sync"],
    ),
];

/// Where the code that ships lies.
const SHIPPED: [&str; 10] = [
    "store/src",
    "store/vault/src",
    "fhir-mapping/src",
    "gateway/src",
    "gateway/ground/src",
    "gateway/repository/src",
    "gateway/http/src",
    "gateway/devices/src",
    "gateway/sync/src",
    "gateway/jobs/src",
];

/// Inside a crate: the rank of each module; a module may use lower ranks and its own files only.
const GATEWAY_RANKS: [(&str, u8); 4] = [("main", 3), ("cli", 2), ("app", 1), ("config", 0)];
const MAPPING_RANKS: [(&str, u8); 11] = [
    ("patch", 4),
    ("xml", 4),
    ("v2", 3),
    ("conflict", 3),
    ("search", 3),
    ("validate", 3),
    ("draft", 2),
    ("fhirpath", 2),
    ("terminology", 1),
    ("structure", 1),
    ("model", 0),
];

const BANNED_WORDS: [&str; 14] = [
    "manager",
    "managers",
    "helper",
    "helpers",
    "util",
    "utils",
    "common",
    "misc",
    "data2",
    "payload",
    "bookmark",
    "watermark",
    "mutation",
    "quarantine",
];

/// Names of other people's crates and standards that hold a banned word.
const FOREIGN_NAMES: [&str; 4] = ["futures_util", "hyper_util", "http_body_util", "CommonName"];

#[test]
fn every_crate_keeps_its_invariant() {
    let mut findings = Vec::new();
    for (folder, absent) in ABSENT {
        for file in source::sources(&[folder]) {
            for name in absent {
                if names_path(&file.code, name) {
                    findings.push(format!("{}: names `{name}`", file.path));
                }
            }
        }
    }
    report("crates that name what they must not", findings);
}

#[test]
fn arrows_inside_the_gateway_point_one_way() {
    let mut findings = arrows("gateway/src", &GATEWAY_RANKS);
    for file in source::sources(&["gateway/src"]) {
        let module = module_of(&file.path, "gateway/src/");
        let reads_config = file.code.contains("crate::config");
        if reads_config && !["app", "cli", "config", "main"].contains(&module.as_str()) {
            findings.push(format!("{}: config is read by app and cli only", file.path));
        }
    }
    report("arrows that point the wrong way", findings);
}

#[test]
fn arrows_inside_the_mapping_point_one_way() {
    report(
        "arrows that point the wrong way",
        arrows("fhir-mapping/src", &MAPPING_RANKS),
    );
}

#[test]
fn files_and_functions_stay_small() {
    let mut findings = Vec::new();
    for file in source::sources(&CRATES) {
        if LONG_FILES.contains(&file.path.as_str()) {
            continue;
        }
        let lines = file.shipped.lines().count();
        if lines > 600 {
            findings.push(format!("{}: {lines} lines, at most 600", file.path));
        }
        for (name, length) in functions(&file.code) {
            if length > 70 {
                findings.push(format!(
                    "{}: fn {name} has {length} lines, at most 70",
                    file.path
                ));
            }
        }
    }
    report("too large", findings);
}

#[test]
fn folders_stay_narrow() {
    let mut widths: BTreeMap<String, usize> = BTreeMap::new();
    for file in source::sources(&CRATES) {
        let folder = file.path.rsplit_once('/').unwrap().0.to_owned();
        *widths.entry(folder).or_default() += 1;
    }
    widths.retain(|folder, width| *width > 15 && !WIDE_FOLDERS.contains(&folder.as_str()));
    report(
        "folders of more than 15 files",
        widths.keys().cloned().collect(),
    );
}

#[test]
fn no_banned_word_names_anything() {
    let mut findings = Vec::new();
    for file in source::sources(&CRATES) {
        if file.path == "tests/tidy.rs" {
            continue;
        }
        let mut names: BTreeSet<&str> = identifiers(&file.code).collect();
        names.insert(&file.path);
        for name in names {
            if FOREIGN_NAMES.contains(&name) {
                continue;
            }
            if words(name)
                .iter()
                .any(|w| BANNED_WORDS.contains(&w.as_str()))
            {
                findings.push(format!("{}: `{name}`", file.path));
            }
        }
    }
    report("banned words", findings);
}

#[test]
fn every_fixture_is_named_by_a_test() {
    let texts: String = source::sources(&CRATES)
        .into_iter()
        .map(|s| s.text)
        .collect();
    let mut findings = Vec::new();
    for crate_name in CRATES {
        for path in source::files(&format!("{crate_name}/fixtures")) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !texts.contains(&name) {
                findings.push(path.display().to_string());
            }
        }
    }
    report("fixtures that nobody names", findings);
}

#[test]
fn every_stable_number_is_given_once() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in source::sources(&SHIPPED) {
        for piece in file.shipped.split('"') {
            if is_stable_number(piece) {
                places
                    .entry(piece.to_owned())
                    .or_default()
                    .push(file.path.clone());
            }
        }
    }
    assert!(places.len() > 20, "the numbers are found at all");
    places.retain(|_, files| files.len() > 1);
    report(
        "numbers given twice",
        places.iter().map(|(n, f)| format!("{n}: {f:?}")).collect(),
    );
}

#[test]
fn every_dependency_has_its_reason() {
    let text = std::fs::read_to_string(source::root().join("Cargo.toml")).unwrap();
    let section = text.split("[workspace.dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let findings = section
        .lines()
        .filter(|l| l.contains('=') && !l.contains("path =") && !l.starts_with('#'))
        .filter(|l| !l.contains("# "))
        .map(str::to_owned)
        .collect();
    report("dependencies without a reason", findings);
}

#[test]
fn nothing_else_stands_in_the_root() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "gateway",
        "fhir-mapping",
        "store",
        "conformance",
        "examples",
        "tests",
        "target",
        "wayside-data",
        "wayside-data.key",
        "wayside-data.admin-token",
        "wayside-data.recovery-sheet",
    ];
    let findings = std::fs::read_dir(source::root())
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !allowed.contains(&name.as_str()))
        .collect();
    report("strangers in the root", findings);
}

#[test]
fn no_test_is_ignored() {
    let findings = source::sources(&CRATES)
        .into_iter()
        .filter(|s| s.code.contains("#[ignore"))
        .map(|s| s.path)
        .collect();
    report("ignored tests", findings);
}

/// With `arbitrary_precision` switched on anywhere, Cargo switches it on for everyone, and the typed
/// client then drops decimals without a word.
#[test]
fn serde_json_keeps_its_plain_numbers() {
    let value: serde_json::Value = serde_json::from_str("1.00").unwrap();
    assert_eq!(
        value.to_string(),
        "1.0",
        "a crate turned on serde_json's arbitrary_precision"
    );
}

#[test]
fn the_rules_find_what_they_look_for() {
    assert!(names_path("use tokio::net;", "tokio"));
    assert!(!names_path("let restore::x = 1; self.store::y", "tokio"));
    assert!(!names_path("let datastore = 1;", "store"));
    assert_eq!(functions("fn a() {\n\n}\n"), [("a".to_owned(), 3)]);
    assert_eq!(words("fooManager"), ["foo", "manager"]);
    assert!(is_stable_number("E-JSON-1"));
    assert!(!is_stable_number("E-JSON"));
}

fn report(what: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{what}:\n  {}", findings.join("\n  "));
}

/// Is `name` used as the first step of a path (`name::`) or imported whole?
fn names_path(code: &str, name: &str) -> bool {
    let starts = |at: usize| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    };
    let ends = |at: usize| {
        let rest = &code[at + name.len()..];
        rest.starts_with("::") || rest.starts_with(';') || rest.starts_with(" as ")
    };
    let is_import =
        |at: usize| code[..at].ends_with("use ") || code[at + name.len()..].starts_with("::");
    code.match_indices(name)
        .any(|(at, _)| starts(at) && ends(at) && is_import(at))
}

fn arrows(folder: &str, ranks: &[(&str, u8)]) -> Vec<String> {
    let rank = |module: &str| ranks.iter().find(|(m, _)| *m == module).map(|(_, r)| *r);
    let mut findings = Vec::new();
    for file in source::sources(&[folder]) {
        let module = module_of(&file.path, &format!("{folder}/"));
        let Some(own) = rank(&module) else { continue };
        for used in crate_modules(&file) {
            let Some(other) = rank(&used) else { continue };
            if used != module && other >= own {
                findings.push(format!("{}: {module} must not use {used}", file.path));
            }
        }
    }
    findings
}

fn module_of(path: &str, prefix: &str) -> String {
    let rest = path.strip_prefix(prefix).unwrap_or(path);
    rest.split(['/', '.']).next().unwrap().to_owned()
}

fn crate_modules(file: &Source) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for piece in file.code.split("crate::").skip(1) {
        let braces = piece
            .strip_prefix('{')
            .map(|p| p.split('}').next().unwrap());
        let list = braces.unwrap_or(piece);
        let heads = if braces.is_some() {
            list.split(',').collect()
        } else {
            vec![list]
        };
        for head in heads {
            let name: String = head
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            modules.insert(name);
        }
    }
    modules
}

/// Every function with a body: its name and how many lines it spans.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_')
        {
            continue;
        }
        let rest = &code[at + 3..];
        let name: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let Some(open) = rest.find(['{', ';']) else {
            continue;
        };
        if name.is_empty() || rest.as_bytes()[open] == b';' {
            continue;
        }
        let length = block_length(&rest[open..]);
        found.push((name, rest[..open].lines().count().max(1) + length - 1));
    }
    found
}

fn block_length(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text[..=at].lines().count();
        }
    }
    text.lines().count()
}

fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|w| !w.is_empty())
}

/// The words of a snake_case, CamelCase or path name, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

fn is_stable_number(text: &str) -> bool {
    let mut parts = text.split('-');
    let letters = |p: Option<&str>| {
        p.is_some_and(|p| {
            !p.is_empty()
                && p.bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        })
    };
    let digits =
        |p: Option<&str>| p.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    parts.next() == Some("E")
        && letters(parts.next())
        && digits(parts.next())
        && parts.next().is_none()
}
