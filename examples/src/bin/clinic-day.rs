//! `clinic-day [--kill] [--synthea DIR | --generated]`: plays a clinic's whole day and checks every step.
#![allow(clippy::print_stdout)] // telling the day is what it is for

use examples::day::{Day, Outcome, Stage};
use examples::patients;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::time::Instant;

/// What the command line asks for.
struct Arguments {
    kill: bool,
    folder: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(reason) => {
            println!("{reason}\nusage: clinic-day [--kill] [--synthea DIR | --generated]");
            return ExitCode::from(2);
        }
    };
    match Box::pin(play(&arguments)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(()) => ExitCode::FAILURE,
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        kill: false,
        folder: patients::synthea_folder(),
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--kill" => arguments.kill = true,
            "--generated" => arguments.folder = None,
            "--synthea" => {
                let folder = words.next().ok_or("--synthea needs a folder")?;
                arguments.folder = Some(PathBuf::from(folder));
            }
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(arguments)
}

/// All steps in order; the first wrong outcome ends the day.
async fn play(arguments: &Arguments) -> Result<(), ()> {
    let start = Instant::now();
    let loading = patients::patients(arguments.folder.as_deref());
    let patients = loading.map_err(|e| println!("{e}"))?;
    let stage = Stage::set().await.map_err(|e| println!("{e}"))?;
    let mut teller = Teller::default();
    println!(
        "gateway {}  national server {}",
        stage.emr.web.base,
        stage.national.base()
    );
    let mut day = Day::new(stage, arguments.kill);
    let outcome = Box::pin(steps(&mut day, &patients, &mut teller)).await;
    let seconds = start.elapsed().as_secs_f32();
    match outcome {
        Ok(()) => println!("The day came out right, in {seconds:.1} s."),
        Err(()) => println!("The day went WRONG.\n{}", day.stage.clues()),
    }
    outcome
}

async fn steps(day: &mut Day, patients: &patients::Patients, tell: &mut Teller) -> Result<(), ()> {
    tell.step("patients are loaded", day.load(patients).await)?;
    tell.step("the EMR searches", day.search().await)?;
    tell.step(
        "everything reaches the national server",
        day.await_replication().await,
    )?;
    tell.step("the analyzer reports", day.analyze().await)?;
    tell.step("the uplink is cut, work goes on", day.work_offline().await)?;
    tell.step("two doctors disagree", day.disagree().await)?;
    if day.kills {
        tell.step(
            "the gateway dies (kill -9)",
            day.kill_with_changes_waiting().await,
        )?;
    }
    tell.step("the uplink is back", day.restore_link().await)?;
    tell.step("the conflict waits in review", day.review().await)?;
    tell.step("the administrator decides", day.decide().await)?;
    tell.step("nothing is forgotten", day.history().await)?;
    tell.step("the day closes", day.close().await)
}

/// Prints one line a step.
struct Teller {
    number: u32,
    since: Instant,
}

impl Default for Teller {
    fn default() -> Teller {
        Teller {
            number: 0,
            since: Instant::now(),
        }
    }
}

impl Teller {
    fn step(&mut self, title: &str, outcome: Outcome) -> Result<(), ()> {
        self.number += 1;
        let seconds = self.since.elapsed().as_secs_f32();
        self.since = Instant::now();
        let (mark, told) = match &outcome {
            Ok(told) => ("right", told),
            Err(reason) => ("WRONG", reason),
        };
        println!(
            "{:>2} {mark} {seconds:>5.1} s  {title}: {told}",
            self.number
        );
        outcome.map(|_told| ()).map_err(|_told_already| ())
    }
}
