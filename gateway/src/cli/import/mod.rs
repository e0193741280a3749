//! `wayside import`: Bundles, NDJSON and single resources from files into the store, or over HTTP
//! into a running gateway. A file that came in whole is not read again.

mod door;
mod files;
mod posting;
mod report;
mod resume;

#[cfg(test)]
mod tests;

use super::{CliError, Exit, PlaceArgs, say};
use clap::Args;
use door::Door;
use files::{Document, Form, Line, Source};
use indicatif::{ProgressBar, ProgressStyle};
use posting::{Place, Posting};
use report::{FileReport, Outcome, Report};
use resume::Mark;
use std::io::BufRead;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = NOTES)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Files, or folders whose files are taken in the order of their names
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
    /// Import files anew that came in whole before
    #[arg(long)]
    again: bool,
    /// Report as JSON on stdout
    #[arg(long)]
    json: bool,
    /// FHIR base of a running gateway to send to, instead of the data folder
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// File with the bearer token for --to [default: the administrator's of the data folder]
    #[arg(long, value_name = "FILE", requires = "to")]
    token_file: Option<PathBuf>,
}

const NOTES: &str = "Files:
  .json    a Bundle (transaction, batch, collection, searchset) or one resource
  .ndjson  one resource a line
  Compressed with gzip, bzip2 or zstd (.gz .bz2 .zst) too.

A transaction comes in whole or not at all, as does a collection whose entries name each other by
urn:uuid. Of all else each resource stands by itself. A resource without an id, and a plain POST of a Bundle, gets an id derived from the file
and its place in it: importing a file twice makes no second copy.

Exit code 3: something was rejected; the report names file, entry or line, element and reason.";

/// Resources of an NDJSON file that are committed together.
const GROUP_LINES: usize = 100;

pub(super) fn run(args: ImportArgs) -> Result<Exit, CliError> {
    let paths = files::expand(&args.paths)?;
    let door = Door::open(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| CliError::failed(format!("E-IMPORT-1: no threads to run on: {e}")))?;
    let bar = progress_bar(&paths);
    let import = Import {
        door: &door,
        again: args.again,
        bar: bar.clone(),
    };
    let ended = runtime.block_on(import.all(&paths));
    bar.finish_and_clear();
    drop(runtime);
    door.close();
    let report = ended?;
    match args.json {
        true => say(&report.json()),
        false => report.lines().iter().for_each(|line| say(line)),
    }
    Ok(if report.is_clean() {
        Exit::Done
    } else {
        Exit::Findings
    })
}

/// Drawn on stderr, and only when that is a terminal.
fn progress_bar(paths: &[PathBuf]) -> ProgressBar {
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
    let bar = ProgressBar::new(paths.iter().map(size).sum());
    let style = "{bar:30} {bytes}/{total_bytes} {wide_msg}";
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_malformed) => bar,
    }
}

struct Import<'a> {
    door: &'a Door,
    again: bool,
    bar: ProgressBar,
}

impl Import<'_> {
    async fn all(&self, paths: &[PathBuf]) -> Result<Report, CliError> {
        let mut report = Report::default();
        for path in paths {
            self.bar.set_message(files::name(path));
            let before = self.bar.position();
            let file = self.file(path).await?;
            report.files.push(file);
            let size = std::fs::metadata(path).map_or(0, |m| m.len());
            self.bar.set_position(before + size);
        }
        Ok(report)
    }

    async fn file(&self, path: &std::path::Path) -> Result<FileReport, CliError> {
        let mut report = FileReport::new(path);
        let source = match Source::read(path) {
            Ok(source) => source,
            Err(error) => {
                report.reject_file(format!("E-IMPORT-2: cannot be read: {error}"));
                return Ok(report);
            }
        };
        let mark = match self.again {
            true => Mark::default(),
            false => self.door.mark(&source.digest)?,
        };
        if mark.is_done {
            report.outcome = Outcome::Skipped;
            return Ok(report);
        }
        match source.form {
            Form::Document => self.document(&source, &mut report).await?,
            Form::Lines => self.lines(&source, mark, &mut report).await?,
        }
        if report.is_clean() {
            self.door.set_mark(&source.digest, &Mark::done())?;
        }
        Ok(report)
    }

    async fn document(&self, source: &Source, report: &mut FileReport) -> Result<(), CliError> {
        let posting = match source.document(&self.bar) {
            Ok(Document::Json(json)) => Posting::of_document(json, &source.seed),
            Ok(Document::TooLarge) => Err(format!(
                "E-IMPORT-3: holds more than {} MiB; split it, or use NDJSON",
                files::DOCUMENT_BYTES_MAX / files::MIB
            )),
            Ok(Document::Malformed(issue)) => Err(format!("{}: {}", issue.number, issue.text)),
            Err(error) => Err(format!("E-IMPORT-4: cannot be unpacked: {error}")),
        };
        match posting {
            Ok(posting) => self.settle(posting, report).await?,
            Err(text) => report.reject_file(text),
        }
        Ok(())
    }

    async fn lines(
        &self,
        source: &Source,
        mark: Mark,
        report: &mut FileReport,
    ) -> Result<(), CliError> {
        report.resumed_after = mark.lines;
        let mut reader = match source.open(&self.bar) {
            Ok(reader) => reader,
            Err(error) => {
                report.reject_file(format!("E-IMPORT-5: cannot be unpacked: {error}"));
                return Ok(());
            }
        };
        let mut number = 0;
        loop {
            let (group, is_end) = self.group(&mut reader, (&mut number, mark.lines), report);
            self.group_in(source, group, report).await?;
            if is_end {
                return Ok(());
            }
            // A file with rejects starts over next time: what is in already changes nothing.
            if report.is_clean() && number > mark.lines {
                self.door.set_mark(&source.digest, &Mark::at_line(number))?;
            }
        }
    }

    /// The next resources with their line numbers, and whether the file ended. Lines up to `done`
    /// are passed over.
    fn group(
        &self,
        reader: &mut impl BufRead,
        (number, done): (&mut u64, u64),
        report: &mut FileReport,
    ) -> (Vec<(u64, fhir_mapping::model::Json)>, bool) {
        let mut group = Vec::with_capacity(GROUP_LINES);
        while group.len() < GROUP_LINES {
            let line = files::next_line(reader);
            *number += 1;
            match line {
                Ok(Line::End) => return (group, true),
                Err(error) => {
                    let text = format!("E-IMPORT-6: the file breaks off: {error}");
                    report.reject(Place::Line(*number), "", text);
                    return (group, true);
                }
                Ok(_) if *number <= done => {}
                Ok(Line::Blank) => {}
                Ok(Line::Json(json)) => group.push((*number, json)),
                Ok(Line::TooLong) => {
                    let most = files::LINE_BYTES_MAX / files::MIB;
                    let text = format!("E-IMPORT-7: the line is longer than {most} MiB");
                    report.reject(Place::Line(*number), "", text);
                }
                Ok(Line::Malformed(issue)) => {
                    let text = format!("{}: {}", issue.number, issue.text);
                    report.reject(Place::Line(*number), &issue.expression, text);
                }
            }
        }
        (group, false)
    }

    async fn group_in(
        &self,
        source: &Source,
        group: Vec<(u64, fhir_mapping::model::Json)>,
        report: &mut FileReport,
    ) -> Result<(), CliError> {
        if group.is_empty() {
            return Ok(());
        }
        self.settle(Posting::of_lines(group, &source.seed), report)
            .await
    }

    /// All in one commit; when that is refused, each by itself, so that only the bad ones stay out.
    async fn settle(&self, mut posting: Posting, report: &mut FileReport) -> Result<(), CliError> {
        let mut reply = self.door.post(&posting).await?;
        if !reply.is_success() && posting.stands_apart {
            posting.set_type("batch");
            reply = self.door.post(&posting).await?;
        }
        report.settle(&posting, &reply);
        Ok(())
    }
}
