//! Settings read and refused, and the example held against them.

use super::*;
use std::collections::BTreeSet;

const EXAMPLE: &str = include_str!("../../../examples/wayside.toml");

/// Every key set; a new field fails to compile here until it is added.
fn full() -> Config {
    let defaults = Config::default();
    Config {
        site: Site {
            base_url: Some("https://clinic.example.org/fhir".to_owned()),
            ..defaults.site
        },
        http: Http {
            tls_cert: Some("cert.pem".into()),
            tls_key: Some("key.pem".into()),
            ..defaults.http
        },
        mllp: Mllp {
            connections: vec![MllpConnection {
                name: "analyzer".to_owned(),
                address: Some(IpAddr::from([192, 0, 2, 1])),
                patient_system: "urn:x".to_owned(),
                charset: default_charset(),
                authorities: BTreeMap::new(),
            }],
            ..defaults.mllp
        },
        targets: vec![Target {
            name: "national".to_owned(),
            kind: TargetKind::Fhir,
            url: "https://example.org".to_owned(),
            token: Some(String::new()),
            token_file: Some(PathBuf::new()),
            types: Vec::new(),
            pull: true,
            pull_interval_s: default_pull_interval_s(),
            gzip: false,
        }],
        subscriptions: defaults.subscriptions,
        import: Import {
            folder: Some("incoming".into()),
            ..defaults.import
        },
        validation: defaults.validation,
        store: Store {
            key_file: Some("key".into()),
            passphrase_file: Some("passphrase".into()),
            ..defaults.store
        },
        backup: Backup {
            folder: Some("backup".into()),
            s3: Some(BackupS3 {
                endpoint: "https://s3.example.org".to_owned(),
                bucket: "b".to_owned(),
                prefix: String::new(),
                region: default_region(),
                credentials_file: "s3".into(),
            }),
            sftp: Some(BackupSftp {
                address: "a@b".to_owned(),
                port: default_ssh_port(),
                folder: "c".to_owned(),
                key_file: "d".into(),
                known_hosts: Some("e".into()),
            }),
            ..defaults.backup
        },
        integrity: defaults.integrity,
        log: defaults.log,
    }
}

fn keys(prefix: &str, value: &toml::Value, into: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) if !table.is_empty() => {
            for (key, value) in table {
                keys(&format!("{prefix}.{key}"), value, into);
            }
        }
        toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
            items.iter().for_each(|item| keys(prefix, item, into));
        }
        _ => {
            into.insert(prefix.trim_start_matches('.').to_owned());
        }
    }
}

fn keys_of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    keys("", &toml::from_str(text).unwrap(), &mut found);
    found
}

/// The example with its commented-out settings switched on.
fn example_switched_on() -> String {
    let on = |line: &str| match line.strip_prefix("#: ") {
        Some(setting) => setting.to_owned(),
        None => line.to_owned(),
    };
    EXAMPLE.lines().map(on).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_and_the_structs_have_the_same_keys() {
    let ours = keys_of(&toml::to_string(&full()).unwrap());
    assert_eq!(keys_of(&example_switched_on()), ours);
}

#[test]
fn the_example_as_it_is_equals_the_defaults() {
    let example = Config::parse(EXAMPLE, "example").unwrap();
    assert_eq!(example, Config::default());
}

#[test]
fn every_setting_of_the_example_has_a_comment_above() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let setting = line.trim_start_matches("#: ");
        if setting.contains(" = ") && !setting.starts_with("# ") {
            assert!(lines[index - 1].starts_with("# "), "no comment: {line}");
        }
    }
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let error = Config::parse(text, "wayside.toml").unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn bad_settings_are_refused_by_name() {
    check_refused("colour = 1", "unknown field `colour`");
    check_refused("[http]\nport = 1", "unknown field `port`");
    check_refused("[site]\nzone = \"Mars/Base\"", "E-CONFIG-3: site.zone");
    check_refused(
        "[validation]\nlevel = \"strict\"",
        "unknown variant `strict`",
    );
    check_refused("[http]\nlisten = \"localhost\"", "E-CONFIG-2");
    check_refused("[http]\ntls_cert = \"a\"", "go together");
    check_refused("[http]\npage_size = 0", "greater than 0");
    check_refused("[backup]\nevery_hours = 0", "greater than 0");
    let s3 = "[backup.s3]\nbucket = \"b\"\ncredentials_file = \"c\"\nendpoint = ";
    check_refused(&format!("{s3}\"s3.example.org\""), "backup.s3.endpoint");
    let two = format!("[backup]\nfolder = \"f\"\n{s3}\"https://s3.example.org\"");
    check_refused(&two, "one place alone");
    check_refused("[http]\nconditional_delete_max = 0", "from 1 to 1000");
    check_refused("[http]\nconditional_delete_max = 1001", "from 1 to 1000");
    check_refused("[http]\npage_size = 5000", "larger than page_size_max");
    check_refused("[site]\nbase_url = \"http://a/\"", "site.base_url");
    check_refused(
        "[[target]]\nname = \"n\"\nkind = \"fhir\"\nurl = \"ftp://x\"",
        "target.url",
    );
    let twice = "[[mllp.connection]]\nname = \"a\"\npatient_system = \"urn:x\"\n";
    check_refused(&twice.repeat(2), "mllp.connection.name");
}
