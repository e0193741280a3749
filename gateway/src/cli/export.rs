//! `wayside export`: the newest version of every resource, as NDJSON, exactly as stored.

use super::{CliError, Exit, PlaceArgs, tell};
use crate::app;
use clap::Args;
use fhir_mapping::model::{Limits, format, parse};
use fhir_mapping::validate;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use store::{Store, StoredVersion};

#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only this type; may be given several times
    #[arg(long = "type", value_name = "TYPE", value_parser = resource_type)]
    types: Vec<String>,
    /// Folder for one TYPE.ndjson each (made when absent, no file is overwritten), or - for stdout
    #[arg(long, value_name = "DIR", default_value = "-")]
    out: PathBuf,
}

/// Resources read under one snapshot: long ones would hold back the reuse of pages.
const RESOURCES_A_SNAPSHOT: usize = 256;

fn resource_type(name: &str) -> Result<String, String> {
    match validate::is_resource_type(name) {
        true => Ok(name.to_owned()),
        false => Err("no resource type of R4".to_owned()),
    }
}

pub(super) fn run(args: ExportArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    let store = app::open_store(&config)?;
    let types = args.types.into_iter().collect();
    let counts = if args.out == Path::new("-") {
        export(&store, &types, &mut Stdout(io::stdout().lock()))
    } else {
        let mut folder = Folder::make(&args.out)?;
        export(&store, &types, &mut folder).and_then(|counts| folder.finish().map(|()| counts))
    };
    store.close();
    for (name, count) in counts? {
        tell(&format!("{name:<30} {count:>8}"));
    }
    Ok(Exit::Done)
}

/// Where lines go.
trait Sink {
    fn put(&mut self, name: &str, line: &[u8]) -> io::Result<()>;
    fn flush(&mut self) -> io::Result<()>;
}

/// Resources written, by type.
type Counts = BTreeMap<String, u64>;

fn export(
    store: &Store,
    types: &BTreeSet<String>,
    sink: &mut impl Sink,
) -> Result<Counts, CliError> {
    let mut counts = Counts::new();
    let mut after = None;
    loop {
        let snapshot = store.snapshot()?;
        let view = snapshot.view();
        let heads = view.scan_heads(after, RESOURCES_A_SNAPSHOT)?;
        let Some(last) = heads.last() else {
            sink.flush().map_err(|e| unwritable(&e))?;
            return Ok(counts);
        };
        after = Some(last.rid);
        for head in heads.iter().filter(|head| !head.deleted) {
            let stored = view.version(head.rid, head.version)?.ok_or_else(|| {
                CliError::failed(format!(
                    "E-EXPORT-1: resource {} has no head version; run wayside verify",
                    head.rid.0
                ))
            })?;
            let name = &stored.key.resource_type;
            if types.is_empty() || types.contains(name) {
                let written = sink.put(name, &line_of(&stored));
                written.map_err(|e| unwritable(&e))?;
                *counts.entry(name.clone()).or_default() += 1;
            }
        }
    }
}

/// The stored text; line ends, were there any, would break NDJSON.
fn line_of(stored: &StoredVersion) -> Vec<u8> {
    let body = &stored.body;
    let mut line = match body
        .contains(&b'\n')
        .then(|| parse(body, Limits::default()))
    {
        Some(Ok(json)) => format(&json).into_bytes(),
        _ => body.clone(),
    };
    line.push(b'\n');
    line
}

fn unwritable(error: &io::Error) -> CliError {
    CliError::failed(format!("E-EXPORT-2: cannot write the export: {error}"))
}

struct Stdout(io::StdoutLock<'static>);

impl Sink for Stdout {
    fn put(&mut self, _name: &str, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// One file a type, named `.part` until all are complete.
struct Folder {
    folder: PathBuf,
    files: BTreeMap<String, BufWriter<File>>,
}

impl Folder {
    fn make(folder: &Path) -> Result<Folder, CliError> {
        std::fs::create_dir_all(folder).map_err(|e| unwritable(&e))?;
        Ok(Folder {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
        })
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.ndjson{ending}"))
    }

    fn open(&self, name: &str) -> io::Result<BufWriter<File>> {
        let path = self.path(name, "");
        if path.exists() {
            let text = format!("{} exists already; choose another folder", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        // Patients' data: for the owner's eyes only.
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(self.path(name, ".part")).map(BufWriter::new)
    }

    fn finish(self) -> Result<(), CliError> {
        for name in self.files.keys() {
            let renamed = std::fs::rename(self.path(name, ".part"), self.path(name, ""));
            renamed.map_err(|e| unwritable(&e))?;
        }
        Ok(())
    }
}

impl Sink for Folder {
    fn put(&mut self, name: &str, line: &[u8]) -> io::Result<()> {
        if !self.files.contains_key(name) {
            let file = self.open(name)?;
            self.files.insert(name.to_owned(), file);
        }
        match self.files.get_mut(name) {
            Some(file) => file.write_all(line),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        for file in self.files.values_mut() {
            file.flush()?;
            file.get_ref().sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_repository::fresh;
    use store::{
        NewVersion, Origin, OriginKind, ResourceKey, StoreError, Urgency, VersionId, WriteSet,
    };

    const ORIGIN: Origin = Origin {
        kind: OriginKind::Client,
        number: 0,
    };

    /// `body` empty: a deletion.
    fn version(resource_type: &str, number: u64, body: &str) -> NewVersion {
        NewVersion {
            key: ResourceKey {
                resource_type: resource_type.to_owned(),
                id: "1".to_owned(),
            },
            version: VersionId(number),
            body: body.as_bytes().to_vec(),
            deleted: body.is_empty(),
            becomes_head: true,
            making: store::Making::Untold,
            review_open: None,
            terms_added: Vec::new(),
            terms_removed: Vec::new(),
            values: b"v".to_vec(),
            origin: ORIGIN,
            urgency: Urgency::Routine,
            time_ms: 0,
            hlc: number,
        }
    }

    fn store(folder: &Path, versions: Vec<NewVersion>) -> Store {
        let store = fresh::store(&folder.join("data"));
        for version in versions {
            let write_set = WriteSet {
                versions: vec![version],
                ..WriteSet::default()
            };
            let plan = move |_: &store::View<'_>| Ok::<_, StoreError>((write_set, ()));
            store.commit(plan).unwrap();
        }
        store
    }

    #[test]
    fn newest_versions_come_out_as_stored() {
        let folder = tempfile::tempdir().unwrap();
        let versions = vec![
            version("Patient", 1, "{\"a\":1}"),
            version("Patient", 2, "{\"a\":1.00}"),
            version("Task", 1, "{\"b\":\n2}"),
            version("Basic", 1, "{}"),
            version("Basic", 2, ""),
        ];
        let store = store(folder.path(), versions);
        let out = folder.path().join("out");
        let write = |types: &[&str]| {
            let types = types.iter().map(|name| (*name).to_owned()).collect();
            let mut sink = Folder::make(&out)?;
            let counts = export(&store, &types, &mut sink)?;
            sink.finish().map(|()| counts)
        };
        assert_eq!(
            write(&["Patient"]).unwrap(),
            Counts::from([("Patient".to_owned(), 1)])
        );
        let read = |name: &str| std::fs::read_to_string(out.join(name));
        assert_eq!(read("Patient.ndjson").unwrap(), "{\"a\":1.00}\n");
        assert!(read("Task.ndjson").is_err());
        let refused = write(&[]).unwrap_err();
        assert!(refused.text.contains("exists already"), "{}", refused.text);
        std::fs::remove_file(out.join("Patient.ndjson")).unwrap();
        assert_eq!(write(&[]).unwrap().len(), 2);
        assert_eq!(read("Task.ndjson").unwrap(), "{\"b\":2}\n");
        assert!(read("Basic.ndjson").is_err());
    }
}
