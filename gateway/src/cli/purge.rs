//! `wayside purge`: shows what a purge of a patient would take away, and does it when that is
//! confirmed; the certificate is printed, and kept in a file when one is named.

use super::operate::{GatewayArgs, operate};
use super::{CliError, Exit, PlaceArgs, say, tell};
use clap::Args;
use fhir_mapping::model::{Json, format_pretty, is_valid_id};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
#[command(
    after_help = "Without --confirm nothing is changed: it is shown what would go. What is purged is \
                  gone for good; it does not reach backups made before, messages of devices as they \
                  came in, or other sites."
)]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    /// The patient's id, as 17 or Patient/17
    #[arg(value_name = "PATIENT", value_parser = patient_id)]
    patient: String,
    /// Purge, instead of showing what would be purged
    #[arg(long, requires = "reason")]
    confirm: bool,
    /// Why; stands in the audit and on the certificate
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Purge also what a remote system was to get and has not
    #[arg(long)]
    with_unsent: bool,
    /// Where the certificate is kept (made with mode 600, never over another file)
    #[arg(long, value_name = "FILE", requires = "confirm")]
    certificate: Option<PathBuf>,
}

fn patient_id(text: &str) -> Result<String, String> {
    let id = text.strip_prefix("Patient/").unwrap_or(text);
    match is_valid_id(id) {
        true => Ok(id.to_owned()),
        false => Err("no id of a resource: it has 1 to 64 letters, digits, - or .".to_owned()),
    }
}

pub(super) fn run(args: PurgeArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    let path = format!("/Patient/{}/$purge", args.patient);
    // Whoever cannot keep the certificate should know before there is one.
    let file = args.certificate.as_deref().map(made).transpose()?;
    let answer = operate(&config, &args.gateway, (&path, parameters(&args)));
    let answer = match (answer, file) {
        (Ok(answer), file) => keep(&answer, (file, &args)).map(|()| answer),
        (Err(error), _) => {
            let left = args.certificate.as_deref();
            left.map(std::fs::remove_file)
                .transpose()
                .unwrap_or_default();
            Err(error)
        }
    }?;
    lines(&answer, &args).iter().for_each(|line| say(line));
    Ok(Exit::Done)
}

fn parameters(args: &PurgeArgs) -> String {
    let mut list = vec![Json::object([
        ("name", "with-unsent".into()),
        ("valueBoolean", args.with_unsent.into()),
    ])];
    list.push(match (&args.reason, args.confirm) {
        (Some(reason), true) => Json::object([
            ("name", "reason".into()),
            ("valueString", reason.as_str().into()),
        ]),
        _ => Json::object([("name", "preview".into()), ("valueBoolean", true.into())]),
    });
    let parameters = Json::object([
        ("resourceType", "Parameters".into()),
        ("parameter", Json::array(list)),
    ]);
    fhir_mapping::model::format(&parameters)
}

fn made(path: &Path) -> Result<File, CliError> {
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|e| {
        let path = path.display();
        CliError::failed(format!(
            "E-PURGE-6: the certificate cannot be kept in {path}: {e}; nothing was purged"
        ))
    })
}

fn keep(answer: &Json, (file, args): (Option<File>, &PurgeArgs)) -> Result<(), CliError> {
    let Some(mut file) = file else {
        return Ok(());
    };
    let text = format_pretty(answer) + "\n";
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|e| {
        lines(answer, args).iter().for_each(|line| tell(line));
        CliError::failed(format!(
            "E-PURGE-7: it is purged, but the certificate could not be kept: {e}; the audit has it"
        ))
    })
}

/// What a person reads.
fn lines(answer: &Json, args: &PurgeArgs) -> Vec<String> {
    let patient = &args.patient;
    let mut lines = vec![match args.confirm {
        true => format!("Purged for good, the record of Patient/{patient}:"),
        false => format!("A purge of Patient/{patient} would take away for good:"),
    }];
    let mut kept = Vec::new();
    for item in answer.items("parameter") {
        match item.str_at(&["name"]) {
            Some("purged") => lines.push(counted(item)),
            Some("kept") => kept.push(counted(item)),
            Some(name) => lines.extend(value(item).map(|value| format!("  {name}: {value}"))),
            None => {}
        }
    }
    if !kept.is_empty() {
        lines.push("It leaves, for they are other patients' too:".to_owned());
        lines.append(&mut kept);
    }
    lines.push(match args.confirm {
        true => {
            "This is the certificate; audit-entry and audit-chain find it in the audit.".to_owned()
        }
        false => "Nothing was changed. To purge: --confirm --reason TEXT".to_owned(),
    });
    lines
}

fn counted(item: &Json) -> String {
    let part = |name: &str| {
        let mut parts = item.items("part").iter();
        let part = parts.find(|part| part.str_at(&["name"]) == Some(name));
        part.and_then(value).unwrap_or("?")
    };
    format!("  {:<30} {:>8}", part("type"), part("count"))
}

fn value(item: &Json) -> Option<&str> {
    let mut members = item.as_object()?.iter();
    let value = members.find_map(|(name, value)| name.starts_with("value").then_some(value))?;
    value.as_str().or(value.as_number())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::model::{Limits, parse};

    fn args(confirm: bool) -> PurgeArgs {
        PurgeArgs {
            place: PlaceArgs::default(),
            gateway: GatewayArgs::default(),
            patient: "17".to_owned(),
            confirm,
            reason: confirm.then(|| "asked \"so\"".to_owned()),
            with_unsent: false,
            certificate: None,
        }
    }

    const ANSWER: &str = r#"{"resourceType":"Parameters","parameter":[
        {"name":"patient","valueString":"Patient/17"},
        {"name":"purged","part":[{"name":"type","valueCode":"Observation"},{"name":"count","valueDecimal":12}]},
        {"name":"purged","part":[{"name":"type","valueCode":"Patient"},{"name":"count","valueDecimal":1}]},
        {"name":"versions","valueDecimal":15},
        {"name":"kept","part":[{"name":"type","valueCode":"Group"},{"name":"count","valueDecimal":2}]}]}"#;

    #[test]
    fn a_person_reads_what_would_go_and_what_stays() {
        let answer = parse(ANSWER.as_bytes(), Limits::default()).unwrap();
        insta::assert_snapshot!(lines(&answer, &args(false)).join("\n"), @r"
        A purge of Patient/17 would take away for good:
          patient: Patient/17
          Observation                          12
          Patient                               1
          versions: 15
        It leaves, for they are other patients' too:
          Group                                 2
        Nothing was changed. To purge: --confirm --reason TEXT
        ");
    }

    #[test]
    fn without_confirmation_a_preview_is_asked_for() {
        assert!(parameters(&args(false)).contains(r#""preview","valueBoolean":true"#));
        let asked = parameters(&args(true));
        assert!(!asked.contains("preview"), "{asked}");
        assert!(asked.contains(r#""valueString":"asked \"so\"""#), "{asked}");
    }

    #[test]
    fn a_patient_is_named_by_its_id() {
        assert_eq!(patient_id("Patient/17").as_deref(), Ok("17"));
        assert_eq!(patient_id("17").as_deref(), Ok("17"));
        for wrong in ["", "Group/17", "a b", "../x"] {
            assert!(patient_id(wrong).is_err(), "{wrong}");
        }
    }
}
