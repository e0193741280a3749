//! The FHIR REST surface and the few pages beside it. Reading order: listen, request, forwarded, auth, limit,
//! route, body, media, exchange, interactions, respond, flow; beside them sockets, pages, reviews, admin, health.

pub mod admin;
pub mod auth;
pub mod body;
pub mod exchange;
pub mod flow;
mod forwarded;
pub mod health;
pub mod interactions;
pub mod limit;
pub mod listen;
pub mod media;
pub mod pages;
pub mod request;
pub mod respond;
pub mod reviews;
pub mod route;
pub mod sockets;
pub mod tls;
pub mod tokens;
