//! A file of an export, made when it is fetched: straight from the store, as the resources stood
//! when the export was asked for. Nothing lies on disk in clear text.

use super::{JobOrder, export, file_key, key_of, snapshots, unknown};
use crate::Repository;
use gateway_ground::failure::Failure;
use store::{Seq, Table};

/// Resources read with one short snapshot.
const STEP: usize = 512;

impl Repository {
    /// NDJSON of one file. Bounded when the export cut its files; CPU bound: for a blocking thread.
    pub fn job_file(&self, id: &str, number: u32, owner: &str) -> Result<Vec<u8>, Failure> {
        let job = self.job(id, owner)?;
        let key = key_of(id)?;
        let seq = match job.order {
            JobOrder::Import(_) => return self.import_reasons(&key, number),
            JobOrder::Export(order) => Seq(order.seq),
        };
        let key = file_key(&key, number);
        let list = self.store().snapshot()?.view().row(Table::Jobs, &key)?;
        let list = list.ok_or_else(unknown)?;
        let rids: Vec<_> = export::rids(&list).collect();
        let mut text = Vec::new();
        for some in rids.chunks(STEP) {
            let snapshot = self.store().snapshot()?;
            let view = snapshot.view();
            for rid in some {
                if let Some((stored, _)) = snapshots::at(&view, *rid, seq)? {
                    text.extend(stored.body);
                    text.push(b'\n');
                }
            }
        }
        Ok(text)
    }
}
