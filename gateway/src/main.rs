//! `wayside`: see `wayside --help`.

fn main() -> std::process::ExitCode {
    gateway::cli::run()
}
