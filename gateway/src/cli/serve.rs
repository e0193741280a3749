//! `wayside serve`: starts the gateway, says where it listens, waits for the signal to stop.

use super::{CliError, Exit, PlaceArgs, say, tell};
use crate::app::{self, Gateway, StartError};
use crate::config::{Config, LogFormat};
use clap::Args;
use gateway_ground::telemetry;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// FHIR endpoint; port 0 picks a free one, other than loopback is always TLS
    /// [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// HL7 v2 listener for devices; port 0 picks a free one [default: 127.0.0.1:2575]
    #[arg(long, value_name = "ADDR:PORT")]
    mllp: Option<SocketAddr>,
    /// No authentication: everybody is administrator; refused on other than loopback addresses
    #[arg(long)]
    open: bool,
    /// Write again after a crash loop: the starts before this one no longer count
    #[arg(long)]
    leave_read_only: bool,
    /// PEM certificate chain for TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Form of the log on stderr [default: human]
    #[arg(long, value_name = "FORM")]
    log: Option<LogFormat>,
}

/// What the runtime still has to finish after everything was stopped.
const RUNTIME_END: Duration = Duration::from_millis(200);

pub(super) fn run(args: ServeArgs) -> Result<Exit, CliError> {
    let (is_open, leaves) = (args.open, args.leave_read_only);
    let config = args.into_config()?;
    let is_json = config.log.format == LogFormat::Json;
    telemetry::start_logging(is_json, &config.log.level).map_err(CliError::usage)?;
    if leaves {
        app::leave_read_only(&config)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::failed(format!("E-START-4: no threads to run on: {e}")))?;
    let ended = runtime.block_on(serve(&config, is_open));
    runtime.shutdown_timeout(RUNTIME_END);
    ended.map(|()| Exit::Done)
}

impl ServeArgs {
    fn into_config(self) -> Result<Config, CliError> {
        let mut config = self.place.load()?;
        config.http.listen = self.listen.unwrap_or(config.http.listen);
        config.mllp.listen = self.mllp.unwrap_or(config.mllp.listen);
        if self.tls_cert.is_some() {
            config.http.tls_cert = self.tls_cert;
            config.http.tls_key = self.tls_key;
        }
        config.log.format = self.log.unwrap_or(config.log.format);
        Ok(config)
    }
}

async fn serve(config: &Config, is_open: bool) -> Result<(), CliError> {
    let mut signals = Signals::listen()?;
    let gateway = Box::pin(Gateway::start(config, is_open)).await?;
    say(&format!("listening mllp {}", gateway.mllp));
    for line in first_steps(config, &gateway, is_open) {
        match config.log.format {
            LogFormat::Human => tell(&line),
            LogFormat::Json => tracing::info!(hint = %line, "first steps"),
        }
    }
    say(&format!("ready {}", gateway.base_url));
    signals.wait().await;
    gateway.stop().await;
    Ok(())
}

/// How to make the first request.
fn first_steps(config: &Config, gateway: &Gateway, is_open: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let places = app::places(config);
    if let Some(file) = &gateway.first_token {
        let file = file.display();
        lines.push(format!(
            "First start: the administrator's token is in {file}"
        ));
        if places.key_file().exists() {
            let key = places.key_file();
            let key = key.display();
            lines.push(format!(
                "The key of the store is {key}; keep a copy elsewhere"
            ));
        }
    }
    let sheet = places.sheet_file();
    if sheet.exists() {
        let sheet = sheet.display();
        lines.push(format!(
            "The recovery sheet is {sheet}: print it, keep it elsewhere, delete the file"
        ));
    }
    let token_file = places.admin_token_file();
    let authorization = match token_file.exists() && !is_open {
        true => format!(
            "-H \"Authorization: Bearer $(cat {})\" ",
            token_file.display()
        ),
        false if is_open => String::new(),
        false => "-H \"Authorization: Bearer <token>\" ".to_owned(),
    };
    let certificate = match &gateway.own_certificate {
        Some(file) => format!("--cacert {} ", file.display()),
        None => String::new(),
    };
    let base = gateway.base_url.replace("0.0.0.0", "127.0.0.1");
    lines.push(format!(
        "Try: curl {certificate}{authorization}{base}/Patient"
    ));
    let pages = base.replace("/fhir", "/admin/reviews");
    lines.push(format!("Conflicts that wait for a person: {pages}"));
    lines
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Signals, StartError> {
        let listen = |kind| {
            signal(kind).map_err(|e| {
                StartError::Refused(format!("E-START-5: signals cannot be received: {e}"))
            })
        };
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
