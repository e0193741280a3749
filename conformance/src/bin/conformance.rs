//! `conformance http://HOST/fhir`: tests a FHIR R4 server from outside and reports by capability.

#![allow(clippy::disallowed_methods)] // the rule on time is the gateway's

use clap::Parser;
use conformance::case::{self, Theme};
use conformance::generated;
use conformance::report::{Report, page};
use conformance::runner::{Access, Outcome, Runner, Verdict};
use conformance::select;
use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");

/// Tests any FHIR R4 server from outside, over HTTP alone.
///
/// Every case names the section of the specification that it comes from. What the server's
/// CapabilityStatement does not claim is reported as "not claimed" and is no failure. What no
/// statement can claim (a modifier, say) may be declined with a clear OperationOutcome, and what the
/// specification only recommends (compression, say) may be left out: both are "declined". All other
/// answers that differ from the specification are failures.
///
/// The cases create resources with identifiers and tags of their own, see no others, and delete
/// what they made at the end. Do not point them at a server whose data you cannot spare.
///
/// Exit code: 0 when nothing failed, 1 when a case failed, 2 when the run was not possible.
#[derive(Parser, Debug)]
#[command(name = "conformance", version)]
struct Arguments {
    /// FHIR base of the server under test: http://HOST/fhir or https://HOST/fhir
    #[arg(required_unless_present = "list")]
    base: Option<String>,
    /// Bearer token to send with each request
    #[arg(long, env = "CONFORMANCE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Name and password to send with each request, when there is no token: NAME:PASSWORD
    #[arg(long, env = "CONFORMANCE_USER", hide_env_values = true)]
    user: Option<String>,
    /// PEM file of the authorities to trust, in place of the public ones
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file of the certificate to show to a server that asks for one (mutual TLS), with its chain
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// PEM file of the private key of --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Seconds to wait for one answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Run only cases whose name or capability contains this text (case ignored; * is anything)
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Folder of the cases, when not those this program was built with
    #[arg(long, value_name = "FOLDER", default_value = CASES, hide_default_value = true)]
    cases: PathBuf,
    /// Leave out the requests made from the server's own claims (each type, each search parameter)
    #[arg(long)]
    no_claims: bool,
    /// Address of this machine that the server may call, for rest-hook Subscriptions; port 0 picks a
    /// free one [default: 127.0.0.1:0 when the server is on this machine; else none are tested]
    #[arg(long, value_name = "ADDR:PORT")]
    hook: Option<SocketAddr>,
    /// Leave on the server what the cases made
    #[arg(long)]
    keep: bool,
    /// Only list the cases with their sections of the specification; asks no server
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.list {
        true => list(&arguments).map(|text| (text, true)),
        false => test(&arguments),
    };
    match ended {
        Ok((text, true)) => say(&text, ExitCode::SUCCESS),
        Ok((text, false)) => say(&text, ExitCode::FAILURE),
        Err(problem) => {
            // Nothing is left to tell when standard error is closed.
            let _told = writeln!(std::io::stderr(), "conformance: {problem}").is_ok();
            ExitCode::from(2)
        }
    }
}

fn list(arguments: &Arguments) -> Result<String, String> {
    let themes = wanted(case::read_all(&arguments.cases)?, arguments);
    let mut text = String::new();
    let mut count = 0;
    for theme in &themes {
        text.push_str(&format!("{}\n", theme.capability));
        for case in &theme.cases {
            count += 1;
            text.push_str(&format!(
                "  {}  [{} <{}>]\n",
                case.name, case.section, case.spec
            ));
        }
    }
    Ok(format!("{text}{count} cases\n"))
}

/// The themes with the cases that `--only` asks for.
fn wanted(mut themes: Vec<Theme>, arguments: &Arguments) -> Vec<Theme> {
    if let Some(only) = &arguments.only {
        let pattern = format!("*{}*", only.to_lowercase());
        for theme in &mut themes {
            if !select::fits(&pattern, &theme.capability.to_lowercase()) {
                theme
                    .cases
                    .retain(|case| select::fits(&pattern, &case.name.to_lowercase()));
            }
        }
        themes.retain(|theme| !theme.cases.is_empty());
    }
    themes
}

fn test(arguments: &Arguments) -> Result<(String, bool), String> {
    let begun = jiff::Timestamp::now();
    let clock = Instant::now();
    let base = arguments.base.as_deref().unwrap_or_default();
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let access = Access {
        token: arguments.token.clone(),
        user: arguments.user.clone(),
        authorities: arguments.ca.clone(),
        certificate: arguments.cert.clone().zip(arguments.key.clone()),
        timeout: Duration::from_secs(arguments.timeout),
    };
    let mut runner = runtime.block_on(Runner::new(base, &access))?;
    runner.keeps_data = arguments.keep;
    let is_here = ["//127.0.0.1", "//localhost"]
        .iter()
        .any(|here| base.contains(here));
    let here = is_here.then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    if let Some(address) = arguments.hook.or(here) {
        runtime.block_on(runner.listen(address))?;
    }
    let mut themes = case::read_all(&arguments.cases)?;
    if !arguments.no_claims {
        themes.extend(generated::themes(&runner.claims));
    }
    let themes = wanted(themes, arguments);
    if themes.is_empty() {
        return Err("no case has such a name".to_owned());
    }
    let total = themes.iter().map(|theme| theme.cases.len()).sum();
    let mut verdicts: Vec<Verdict> = Vec::new();
    for (number, theme) in themes.iter().enumerate() {
        verdicts.extend(runtime.block_on(Box::pin(runner.run(theme, number))));
        progress(&verdicts, total, theme);
    }
    let report = Report {
        base: base.to_owned(),
        software: runner.claims.software.clone(),
        fhir_version: runner.claims.fhir_version.clone(),
        claims: runner.claims.len(),
        begun: begun.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        took: clock.elapsed(),
        verdicts,
    };
    write(&arguments.json, || format!("{:#}\n", report.json()))?;
    write(&arguments.html, || page(&report))?;
    Ok((report.table(), report.tally().failed == 0))
}

/// One line that moves on a terminal; a line for each theme elsewhere.
fn progress(verdicts: &[Verdict], total: usize, theme: &Theme) {
    let failed = verdicts.iter();
    let failed = failed
        .filter(|v| matches!(v.outcome, Outcome::Failed(_)))
        .count();
    let mut out = std::io::stderr();
    let (before, after) = match (out.is_terminal(), verdicts.len() == total) {
        (true, false) => ("\r\u{1b}[K", ""),
        (true, true) => ("\r\u{1b}[K", "\n"),
        (false, _) => ("", "\n"),
    };
    let line = format!(
        "[{}/{total}, {failed} failed] {}",
        verdicts.len(),
        theme.file
    );
    // A closed standard error only costs the progress.
    let _told = write!(out, "{before}{line}{after}")
        .and_then(|()| out.flush())
        .is_ok();
}

fn write(file: &Option<PathBuf>, text: impl Fn() -> String) -> Result<(), String> {
    match file {
        Some(path) => std::fs::write(path, text()).map_err(|e| format!("{}: {e}", path.display())),
        None => Ok(()),
    }
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
