//! What every outgoing HTTP link needs: one exchange, and how long to wait before the next try.

pub mod retry;
pub mod wire;
