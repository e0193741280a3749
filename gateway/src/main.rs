//! `wayside`: see `wayside --help`.

/// Each request makes and drops hundreds of small values: the figures stand in `Cargo.toml`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    gateway::cli::run()
}
