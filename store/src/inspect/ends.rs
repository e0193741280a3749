//! Where the change log and the audit end, noted with every fold beside them: so that a tail that was
//! cut off shows, which no chain tells.

use crate::catalog::{self, Databases};
use crate::codec;
use crate::env::Engine;
use crate::inspect::{Damage, VerifyReport};
use crate::keyring::Blinder;
use crate::{Seq, StoreError, View};
use heed::RoTxn;

/// Row of `meta`: the last seq, the last audit number, and a keyed sum of both. No hash of the last
/// entries is in it: each is sealed to its number, and none is ever written twice.
pub(crate) const ROW: &str = "ends";
const SUMMED_BYTES: usize = 16;

/// The row, as the data file stands within a transaction; `None` when that cannot be told.
pub(crate) fn of(
    databases: &Databases,
    transaction: &RoTxn<'_>,
    blinder: &Blinder,
) -> Result<Option<Vec<u8>>, heed::Error> {
    let mut row = Vec::with_capacity(SUMMED_BYTES + 16);
    for database in [databases.changes, databases.audit] {
        let number = match database.last(transaction)? {
            Some((key, _)) => codec::number_of_key(key),
            None => Some(0),
        };
        let Some(number) = number else {
            return Ok(None);
        };
        row.extend_from_slice(&codec::number_key(number));
    }
    let sum = blinder.ends(&row);
    row.extend_from_slice(&sum);
    Ok(Some(row))
}

/// Tells of a tail that is gone, and of a damaged row.
pub(crate) fn check(
    view: &View<'_>,
    engine: &Engine,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let Some(row) = view.meta(ROW)? else {
        return Ok(());
    };
    let summed = row.split_at_checked(SUMMED_BYTES);
    let Some((numbers, _)) = summed.filter(|(row, sum)| engine.blinder.ends(row) == *sum) else {
        let text = "the row that says where the logs end is damaged".to_owned();
        report.find(catalog::META, Damage::Shape, text);
        return Ok(());
    };
    let number = |from: usize| {
        let bytes = numbers.get(from..from + 8).unwrap_or_default();
        codec::number_of_key(bytes).unwrap_or(0)
    };
    let (seq, audit) = (number(0), number(8));
    let ends = [
        (
            catalog::CHANGES,
            seq,
            view.last_seq()?.0,
            Damage::Change(Seq(seq)),
        ),
        (
            catalog::AUDIT,
            audit,
            view.last_audit_number()?,
            Damage::Audit(audit),
        ),
    ];
    for (database, noted, found, about) in ends {
        if found < noted {
            let text = format!("what came after {found} is cut off, up to {noted}");
            report.find(database, about, text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Keys, OpenOptions, Store, WriteSet};

    /// Who cuts off the newest entries of the audit, and with them all that the chain tells of, is told.
    #[test]
    fn a_tail_that_is_cut_off_shows() {
        let folder = tempfile::tempdir().unwrap();
        let options = || OpenOptions {
            folder: folder.path().to_owned(),
            map_size_bytes: 1 << 26,
            queue_length_max: 100,
            random: |buffer| buffer.fill(5),
        };
        let keys = || Keys {
            key_encryption_key: [7; 32],
        };
        let store = Store::open(options(), keys()).unwrap();
        for entry in 0..5_u8 {
            let set = WriteSet {
                audit: vec![vec![entry]],
                ..WriteSet::default()
            };
            store.commit(move |_| Ok::<_, ()>((set, ()))).unwrap();
        }
        store.fold().unwrap();
        assert_eq!(store.verify(None).unwrap().findings, vec![]);
        let engine = store.engine().unwrap();
        let mut transaction = engine.env.write_txn().unwrap();
        for number in [4, 5] {
            let key = codec::number_key(number);
            engine
                .databases
                .audit
                .delete(&mut transaction, &key)
                .unwrap();
        }
        transaction.commit().unwrap();
        let found = store.verify(None).unwrap().findings;
        assert_eq!(found[0].about, Damage::Audit(5));
        assert_eq!(found[0].text, "what came after 3 is cut off, up to 5");
        drop(engine);
        store.close();
    }
}
