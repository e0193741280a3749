//! The FHIR REST surface and the few pages beside it. Reading order: listen, auth, limit, route,
//! body, exchange, interactions, respond.

pub mod exchange;
pub mod interactions;
pub mod route;
