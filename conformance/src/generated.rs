//! Cases made from the server's own statement: the life of one resource of every claimed type, and
//! one search by every claimed parameter.

use crate::case::Theme;
use crate::claims::Claims;

/// The themes that this server's claims ask for.
pub fn themes(_claims: &Claims) -> Vec<Theme> {
    Vec::new()
}
