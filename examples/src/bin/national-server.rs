//! `national-server [ADDR:PORT]`: the strict national double on its own. Lines on standard input
//! switch it: `cut`, `restore`, `portal`, `lose`, `refuse`, `count`.
#![allow(clippy::print_stdout)] // its answers are for the person at the keyboard

use examples::national::{Behaviour, National};
use std::process::ExitCode;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> ExitCode {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:8090".to_owned());
    let national = match National::start(&address).await {
        Ok(national) => national,
        Err(reason) => {
            println!("{address}: {reason}");
            return ExitCode::FAILURE;
        }
    };
    println!("ready {}", national.base());
    let (tell, mut lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = lines.recv().await {
        let behaviour = match line.trim() {
            "cut" => Behaviour::Cut,
            "restore" => Behaviour::Normal,
            "portal" => Behaviour::Portal,
            "lose" => Behaviour::LosesAcknowledgements,
            "refuse" => Behaviour::Unauthorised,
            "count" => {
                let received = national.received();
                let versions: usize = received.values().sum();
                println!(
                    "{} resources, {versions} versions from outside",
                    received.len()
                );
                continue;
            }
            _ => {
                println!("cut, restore, portal, lose, refuse or count");
                continue;
            }
        };
        national.behave(behaviour);
        println!("{behaviour:?}");
    }
    // Without a keyboard it serves until it is stopped.
    std::future::pending::<()>().await;
    ExitCode::SUCCESS
}
