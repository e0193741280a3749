//! Which life of a store this is. A store that is put together from a backup gives the change numbers
//! behind the backup a second time; who remembers some from before tells them apart by the incarnation.

use crate::catalog::{self, Databases};
use crate::codec::{self, Input};
use crate::keyring::{self, StoreKeys};
use crate::seal::{NONCE_BYTES, Place, Seal, Value};
use crate::{Seq, Store, StoreError};
use heed::{Env, WithoutTls};

/// Row of `meta`, sealed; absent in a store that was never restored.
pub(crate) const INCARNATIONS: &str = "incarnations";
const FIRST_LABEL: &[u8] = b"wayside first incarnation 1";
/// Older ones are forgotten.
const KEPT_MAX: usize = 1_000;

/// One life of a store: from its making, or from a restore, to the next restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    pub id: [u8; 8],
    /// The last change of the life before that this one goes on from; 0 in the first.
    pub after: Seq,
    /// When it began, milliseconds since 1970; 0 for the first.
    pub time_ms: i64,
}

/// All lives, the first one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnations(Vec<Incarnation>);

impl Incarnations {
    /// Those of a store that was never restored: the same whenever they are asked for.
    pub(crate) fn first(keys: &StoreKeys) -> Incarnations {
        let derived = keyring::derived(&keys.index_key, FIRST_LABEL);
        let id = derived.first_chunk().copied().unwrap_or_default();
        Incarnations(vec![Incarnation {
            id,
            after: Seq(0),
            time_ms: 0,
        }])
    }

    /// The present one.
    pub fn last(&self) -> Incarnation {
        let nobody = Incarnation {
            id: [0; 8],
            after: Seq(0),
            time_ms: 0,
        };
        self.0.last().copied().unwrap_or(nobody)
    }

    pub fn all(&self) -> &[Incarnation] {
        &self.0
    }

    /// With another life behind them.
    pub fn followed_by(&self, next: Incarnation) -> Incarnations {
        let skipped = (self.0.len() + 1).saturating_sub(KEPT_MAX);
        let kept = self.0.iter().skip(skipped).copied();
        Incarnations(kept.chain([next]).collect())
    }

    /// Id (8), then `after` and `time_ms` (8 each, most significant byte first), for each.
    pub fn to_bytes(&self) -> Vec<u8> {
        let row = |one: &Incarnation| {
            let [after, time] = [one.after.0.to_be_bytes(), one.time_ms.to_be_bytes()];
            [one.id, after, time].concat()
        };
        self.0.iter().flat_map(row).collect()
    }

    /// `None` for bytes that are no lives.
    pub fn from_bytes(bytes: &[u8]) -> Option<Incarnations> {
        let mut input = Input(bytes);
        let mut all = Vec::new();
        while input.end().is_none() {
            all.push(Incarnation {
                id: input.take(8)?.try_into().ok()?,
                after: Seq(codec::number_of_key(input.take(8)?)?),
                time_ms: codec::number_of_key(input.take(8)?)?.cast_signed(),
            });
        }
        (!all.is_empty()).then_some(Incarnations(all))
    }

    /// The row of `meta`.
    pub(crate) fn row(
        &self,
        seal: &Seal,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<(&'static str, Vec<u8>), StoreError> {
        let sealed = seal.seal(PLACE, nonce, &Value::clear(&self.to_bytes()))?;
        Ok((INCARNATIONS, sealed))
    }
}

const PLACE: Place<'_> = Place {
    database: catalog::META,
    key: INCARNATIONS.as_bytes(),
};

/// What the row of `meta` says, or what stands without one.
pub(crate) fn read(
    env: &Env<WithoutTls>,
    databases: &Databases,
    (seal, keys): (&Seal, &StoreKeys),
) -> Result<Incarnations, StoreError> {
    let fault = |e: heed::Error| StoreError::disk(catalog::META, &e);
    let transaction = env.read_txn().map_err(fault)?;
    let row = databases.meta.get(&transaction, INCARNATIONS.as_bytes());
    let Some(row) = row.map_err(fault)? else {
        return Ok(Incarnations::first(keys));
    };
    let opened = seal.open(PLACE, row)?;
    Incarnations::from_bytes(&opened.content).ok_or_else(|| PLACE.damaged())
}

impl Store {
    /// The lives of the store; the last is the present one, and never changes while it is open.
    pub fn incarnations(&self) -> Result<Incarnations, StoreError> {
        Ok(self.engine()?.incarnations.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_come_back_and_old_ones_are_forgotten() {
        let keys = StoreKeys::generate(|buffer| buffer.fill(9));
        let first = Incarnations::first(&keys);
        assert_eq!(first, Incarnations::first(&keys));
        let mut all = first.clone();
        for n in 1..=1_200_u64 {
            let next = Incarnation {
                id: n.to_be_bytes(),
                after: Seq(n * 10),
                time_ms: -1,
            };
            all = all.followed_by(next);
            assert_eq!(all.last(), next);
            assert_eq!(Incarnations::from_bytes(&all.to_bytes()), Some(all.clone()));
        }
        assert_eq!(all.all().len(), KEPT_MAX);
        assert_ne!(all.all().first(), first.all().first());
        let bytes = first.to_bytes();
        for length in 0..bytes.len() {
            assert_eq!(Incarnations::from_bytes(&bytes[..length]), None);
        }
    }
}
