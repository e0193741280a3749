//! The command line: one file a subcommand.

/// Parses the arguments and runs the subcommand; the exit code is 0 when it did what was asked.
pub fn run() -> std::process::ExitCode {
    unimplemented!()
}
