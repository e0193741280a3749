//! The clinic's day, once undisturbed and once with kill -9 of the gateway in the middle.
#![allow(clippy::expect_used)] // panics are a test's answers

use std::process::Command;

fn clinic_day(arguments: &[&str]) {
    let binary = tests::site::binary().with_file_name("clinic-day");
    assert!(
        binary.exists(),
        "build it first: cargo build -p examples --bins"
    );
    let output = Command::new(binary)
        .args(arguments)
        .output()
        .expect("clinic-day runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let faults = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}\n{faults}");
}

#[test]
fn a_whole_day_comes_out_right() {
    clinic_day(&[]);
}

#[test]
fn a_day_with_kill_9_in_the_middle_comes_out_right() {
    clinic_day(&["--kill"]);
}
