//! Requests that real clients send, as they send them, to the real binary over its socket: what they
//! read (`reads`) and what they write (`writes`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // answers of our own server may be read whole
#![allow(unreachable_pub)] // one test, in several files

mod reads;
#[allow(dead_code)] // shared with the tests of formats
#[path = "../formats/wire.rs"]
mod wire;
mod writes;

use wire::{JSON, Site};

/// A gateway that holds a small ward.
async fn ward() -> Site {
    let site = Site::start();
    let loaded = site.ask("POST ", &[JSON], include_str!("ward.json")).await;
    assert_eq!(loaded.status, 200, "{:?}", loaded.body);
    site
}
