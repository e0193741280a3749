//! `cargo run --release -p tests --bin kill-campaign -- [ROUNDS] [SEED]`: kill -9 at random moments
//! under 16 writers; exits 1 when anything acknowledged is lost or anything is half there.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a report's only output is what it prints

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().unwrap());
    let rounds = arguments.next().unwrap_or(200);
    let seed = arguments.next().unwrap_or(1);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let findings = tests::kills::run(rounds, seed, &data, |line| println!("{line}")).await;
    let sound = findings.lost == 0 && findings.half_applied == 0 && findings.unsound == 0;
    std::process::ExitCode::from(u8::from(!sound))
}
