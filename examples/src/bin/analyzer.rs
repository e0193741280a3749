//! `analyzer ADDR:PORT PATIENT-NUMBER [SAMPLE]`: sends a blood count over MLLP and waits until it
//! is stored.
#![allow(clippy::print_stdout)] // it shows what it was answered

use examples::analyzer::{Analyzer, PatientLabel, blood_count};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, patient, rest @ ..] = words.as_slice() else {
        println!("usage: analyzer 127.0.0.1:2575 PATIENT-NUMBER [SAMPLE]");
        return ExitCode::from(2);
    };
    let address = match address.parse() {
        Ok(address) => address,
        Err(reason) => {
            println!("{address}: {reason}");
            return ExitCode::from(2);
        }
    };
    let label = PatientLabel {
        id: patient.clone(),
        ..PatientLabel::default()
    };
    let sample = rest.first().map_or("S-0001", String::as_str);
    let result = blood_count(label, sample, &now());
    match Analyzer::new(address).send_result(&result).await {
        Ok(ack) => {
            println!(
                "{} for {} after {} attempt(s)",
                ack.code, ack.control_id, ack.attempts
            );
            ExitCode::SUCCESS
        }
        Err(reason) => {
            println!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// `20261124101500+0000`
#[allow(clippy::disallowed_methods)] // an instrument has a clock of its own
fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y%m%d%H%M%S+0000")
        .to_string()
}
