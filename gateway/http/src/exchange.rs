//! What an interaction is given and what it gives back; no sockets in sight.

use super::route::Interaction;
use bytes::Bytes;
use gateway_repository::Actor;
use http::{HeaderMap, HeaderName, HeaderValue};

/// A routed, authenticated request whose body has been read under its cap.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub interaction: Interaction,
    pub actor: Actor,
    /// Decoded pairs of the query string; for POST `_search` the form's pairs after them.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Base as the client sees it, without trailing slash: `http://127.0.0.1:8080/fhir`.
    pub base_url: String,
}

/// An answer before it is put on the wire.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON text; empty for 204 and 304.
    pub body: Vec<u8>,
}
