//! Files to import: found, told apart, unpacked and read under caps.

use super::CliError;
use fhir_mapping::model::{Issue, Json, Limits, parse};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

pub(super) const MIB: u64 = 1024 * 1024;
/// A Bundle or resource is read whole; larger exports come as NDJSON.
pub(super) const DOCUMENT_BYTES_MAX: u64 = 256 * MIB;
/// One resource; the largest real ones hold scans of a few MiB.
pub(super) const LINE_BYTES_MAX: u64 = 32 * MIB;

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Document,
    Lines,
}

/// A file with its digest.
pub(super) struct Source {
    path: PathBuf,
    pub(super) form: Form,
    pub(super) digest: [u8; 32],
    /// What ids of its resources without id are derived from.
    pub(super) seed: String,
}

pub(super) enum Document {
    Json(Json),
    TooLarge,
    Malformed(Issue),
}

pub(super) enum Line {
    Json(Json),
    Blank,
    TooLong,
    Malformed(Issue),
    End,
}

/// All files meant by the arguments, folders opened and sorted by name.
pub(super) fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    for path in paths {
        add(path, &mut found).map_err(|e| {
            CliError::usage(format!("E-IMPORT-8: cannot read {}: {e}", path.display()))
        })?;
    }
    if found.is_empty() {
        let text = "E-IMPORT-9: no .json or .ndjson file (.gz, .bz2, .zst too) is there";
        return Err(CliError::usage(text));
    }
    Ok(found)
}

fn add(path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let entries: Result<Vec<_>, _> = std::fs::read_dir(path)?.collect();
    let mut inside: Vec<PathBuf> = entries?.iter().map(std::fs::DirEntry::path).collect();
    inside.sort();
    for path in inside {
        if path.is_dir() || has_known_name(&path) {
            add(&path, found)?;
        }
    }
    Ok(())
}

fn has_known_name(path: &Path) -> bool {
    let name = name(path).to_ascii_lowercase();
    [".json", ".ndjson", ".jsonl"]
        .iter()
        .any(|ending| plain_name(&name).ends_with(ending))
}

/// The file's name without its folders.
pub(super) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// The name without the ending of a compressed file.
fn plain_name(name: &str) -> &str {
    let endings = [".gz", ".bz2", ".zst"];
    let plain = endings.iter().find_map(|ending| name.strip_suffix(ending));
    plain.unwrap_or(name)
}

impl Source {
    /// Reads the file once for its digest.
    pub(super) fn read(path: &Path) -> io::Result<Source> {
        let mut file = File::open(path)?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            digest.update(buffer.get(..length).unwrap_or_default());
        }
        let digest: [u8; 32] = digest.finalize().into();
        let name = name(path).to_ascii_lowercase();
        let plain = plain_name(&name);
        let is_lines = plain.ends_with(".ndjson") || plain.ends_with(".jsonl");
        Ok(Source {
            path: path.to_owned(),
            form: if is_lines {
                Form::Lines
            } else {
                Form::Document
            },
            seed: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            digest,
        })
    }

    /// Opens it, unpacked by what its first bytes say; `bar` moves with the bytes of the file.
    pub(super) fn open(&self, bar: &ProgressBar) -> io::Result<Box<dyn BufRead>> {
        let mut file = BufReader::new(bar.wrap_read(File::open(&self.path)?));
        let start = file.fill_buf()?;
        Ok(match start {
            [0x1f, 0x8b, ..] => buffered(flate2::bufread::MultiGzDecoder::new(file)),
            [b'B', b'Z', b'h', ..] => buffered(bzip2::bufread::MultiBzDecoder::new(file)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => buffered(zstd::Decoder::with_buffer(file)?),
            _ => Box::new(file),
        })
    }

    /// The whole file as one JSON text.
    pub(super) fn document(&self, bar: &ProgressBar) -> io::Result<Document> {
        let mut text = Vec::new();
        let reader = self.open(bar)?;
        let length = reader.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut text)?;
        if u64::try_from(length).is_ok_and(|length| length > DOCUMENT_BYTES_MAX) {
            return Ok(Document::TooLarge);
        }
        Ok(match parse(&text, Limits::default()) {
            Ok(json) => Document::Json(json),
            Err(issue) => Document::Malformed(issue),
        })
    }
}

fn buffered(reader: impl Read + 'static) -> Box<dyn BufRead> {
    Box::new(BufReader::with_capacity(1 << 16, reader))
}

/// Reads one line, holding at most [`LINE_BYTES_MAX`] of it.
pub(super) fn next_line(reader: &mut impl BufRead) -> io::Result<Line> {
    let mut text = Vec::new();
    let mut capped = reader.by_ref().take(LINE_BYTES_MAX + 1);
    if capped.read_until(b'\n', &mut text)? == 0 {
        return Ok(Line::End);
    }
    if text.last() != Some(&b'\n') && capped.limit() == 0 {
        skip_line(reader)?;
        return Ok(Line::TooLong);
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Line::Blank);
    }
    Ok(match parse(&text, Limits::default()) {
        Ok(json) => Line::Json(json),
        Err(issue) => Line::Malformed(issue),
    })
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(length);
        if end.is_some() || length == 0 {
            return Ok(());
        }
    }
}
