//! Over the wire: what is sent comes back, as JSON and as XML, packed or not; bytes stay bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // answers of our own server may be read whole
#![allow(clippy::print_stdout)] // a skipped test says so
#![allow(unreachable_pub)] // one test, in several files

mod fidelity;
mod forms;
mod kept;
mod wire;
