//! The life of the store, told with every answer over FHIR: after a restore version numbers are given a second
//! time, so who matches by a number of before must be refused.

use super::Named;
use crate::media::Form;
use crate::respond;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use gateway_ground::keys::format_hex;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use store::Store;

/// Sixteen hexadecimal digits; another number after every restore.
pub(super) const INCARNATION: HeaderName = HeaderName::from_static("wayside-incarnation");

/// What the answers carry; nothing once the store is closed.
pub(super) fn header(store: &Store) -> Option<HeaderValue> {
    let lives = store.incarnations().ok()?;
    HeaderValue::from_str(&format_hex(&lives.last().id)).ok()
}

/// A write that is meant for another life is refused before it is looked at.
pub(super) fn check(head: &Parts, life: Option<&HeaderValue>) -> Option<Named> {
    let meant = head.headers.get(INCARNATION)?;
    let is_read = matches!(head.method, Method::GET | Method::HEAD);
    if is_read || Some(meant) == life {
        return None;
    }
    let text = "this site was restored since: version numbers of before mean something else; read the \
                resource again, then write with the Wayside-Incarnation of that answer";
    let failure = Failure::new(
        Category::PreconditionFailed,
        "E-COND-4",
        IssueCode::Conflict,
        text,
    );
    let mut reply = respond::refusal(&failure, &Form::default());
    reply
        .headers_mut()
        .extend(life.cloned().map(|life| (INCARNATION, life)));
    Some(("refused", reply))
}
