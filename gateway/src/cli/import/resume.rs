//! How far a file came, kept in the store under the file's digest.

use super::CliError;
use fhir_mapping::model::{Json, Limits, format, parse};
use store::{CommitError, RowWrite, Store, StoreError, Table, WriteSet};

/// What earlier runs did with a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Nothing is left to do.
    pub(super) is_done: bool,
    /// Lines of an NDJSON file that are in.
    pub(super) lines: u64,
}

impl Mark {
    pub(super) fn done() -> Mark {
        Mark {
            is_done: true,
            lines: 0,
        }
    }

    pub(super) fn at_line(lines: u64) -> Mark {
        Mark {
            is_done: false,
            lines,
        }
    }

    pub(super) fn read(store: &Store, digest: &[u8; 32]) -> Result<Mark, CliError> {
        let row = store.snapshot()?.view().row(Table::Imports, digest)?;
        let json = row.and_then(|row| parse(&row, Limits::default()).ok());
        let lines = |json: &Json| json.get("lines")?.as_number()?.parse().ok();
        Ok(json.map_or_else(Mark::default, |json| Mark {
            is_done: json.get("done").and_then(Json::as_bool) == Some(true),
            lines: lines(&json).unwrap_or(0),
        }))
    }

    pub(super) fn write(self, store: &Store, digest: &[u8; 32]) -> Result<(), CliError> {
        let value = Json::object([("done", self.is_done.into()), ("lines", self.lines.into())]);
        let row = RowWrite {
            table: Table::Imports,
            key: digest.to_vec(),
            value: Some(format(&value).into_bytes()),
        };
        let write_set = WriteSet {
            rows: vec![row],
            ..WriteSet::default()
        };
        let committed = store.commit(move |_view| Ok::<_, StoreError>((write_set, ())));
        match committed {
            Ok(_) => Ok(()),
            Err(CommitError::Store(error) | CommitError::Refused(error)) => Err(error.into()),
        }
    }
}
