//! Subcommands beside the gateway, and what they say.
#![allow(unreachable_pub)] // one test, in two files

use std::path::Path;
use std::process::{Command, Output};

pub fn run_in(folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_wayside"))
        .args(arguments)
        .current_dir(folder)
        .output();
    output.unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

#[track_caller]
pub fn check_exit(output: &Output, code: i32, expected: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(expected), "{said}");
}
