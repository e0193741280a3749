//! Format 3 brought the short seal, lean bodies packed with dictionaries, and shorter fronts. Every value says of itself in its first byte which of both it is, so
//! values of format 2 stay as they are and are read for ever; what is written from now on is short.

use crate::env::Engine;
use heed::RwTxn;

pub(super) fn raise(_engine: &Engine, _transaction: &mut RwTxn<'_>) -> Result<(), heed::Error> {
    Ok(())
}
