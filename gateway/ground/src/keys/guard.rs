//! Keeps what the process knows out of core files and away from other processes of the same user.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core files and looking into this process's memory. A kernel that refuses is told once.
pub fn guard_memory() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let limited = setrlimit(Resource::Core, none);
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if limited.is_err() || hidden.is_err() {
        tracing::warn!("core files cannot be forbidden here; run `ulimit -c 0` before starting");
    }
}
