//! `conformance --base http://HOST:PORT/fhir [--token TOKEN] [--cases FOLDER]`: runs the cases
//! against a server and tells, line by line, which hold.

use conformance::{case, runner, statement};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");

struct Arguments {
    base: String,
    token: Option<String>,
    cases: PathBuf,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(text) => return say(&format!("conformance: {text}\n"), ExitCode::from(2)),
    };
    match report(&arguments) {
        Ok((text, true)) => say(&text, ExitCode::SUCCESS),
        Ok((text, false)) => say(&text, ExitCode::FAILURE),
        Err(text) => say(&format!("conformance: {text}\n"), ExitCode::from(2)),
    }
}

fn arguments() -> Result<Arguments, String> {
    let mut given = std::env::args().skip(1);
    let (mut base, mut token, mut cases) = (None, None, PathBuf::from(CASES));
    while let Some(name) = given.next() {
        let value = given
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--base" => base = Some(value),
            "--token" => token = Some(value),
            "--cases" => cases = PathBuf::from(value),
            _ => return Err(format!("no such argument: {name}")),
        }
    }
    let base = base.ok_or("--base http://HOST:PORT/fhir is needed")?;
    Ok(Arguments { base, token, cases })
}

/// The text of the report, and whether everything holds.
fn report(arguments: &Arguments) -> Result<(String, bool), String> {
    let cases = case::read_all(&arguments.cases)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let token = arguments.token.as_deref();
    let verdicts = runtime.block_on(runner::run(&arguments.base, token, &cases));
    let metadata = runtime.block_on(runner::metadata(&arguments.base, token))?;
    let mut text = String::new();
    let mut holds = true;
    for verdict in &verdicts {
        let word = if verdict.failures.is_empty() {
            "holds"
        } else {
            "FAILS"
        };
        text.push_str(&format!("{word} {}\n", verdict.case));
        for failure in &verdict.failures {
            holds = false;
            text.push_str(&format!("      {failure}\n"));
        }
    }
    for difference in statement::compare(&metadata, &verdicts) {
        holds = false;
        text.push_str(&format!("FAILS statement: {difference}\n"));
    }
    Ok((text, holds))
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
