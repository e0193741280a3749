//! Asks an operation of the gateway that runs on a folder, or carries it out here when none does.

use super::CliError;
use super::remote::Remote;
use crate::app::{self, StartError};
use crate::config::Config;
use clap::Args;
use fhir_mapping::model::{Json, Limits, parse};
use gateway_http::exchange::Exchange;
use gateway_http::interactions::{self, Surface};
use gateway_http::route;
use gateway_repository::{Actor, Repository};
use http::{HeaderMap, Method};
use std::path::PathBuf;
use std::time::Duration;
use store::{Origin, OriginKind, StoreError};

/// Where the running gateway is.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct GatewayArgs {
    /// Base URL of the running gateway, as its `ready` line shows it [default: where it
    /// left word that it answers]
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
    /// Administrator's token for a running gateway [default: the one made at the first start]
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

/// Large records take long.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The resource that the operation answers with; `path` starts after `/fhir`.
pub(super) fn operate(
    config: &Config,
    gateway: &GatewayArgs,
    (path, body): (&str, String),
) -> Result<Json, CliError> {
    let remote = || {
        let remote = Remote::new(config, gateway.url.as_deref(), gateway.token_file.as_ref())?;
        let path = format!("/fhir{path}");
        let remote = remote.patient(PATIENCE);
        remote.ask(Method::POST, &path, body.clone().into_bytes())
    };
    let answer = if gateway.url.is_some() {
        remote()?.to_vec()
    } else if !app::places(config).has_store() {
        let folder = config.store.folder.display();
        let text = format!("E-CLI-23: there is no store in {folder}; give --data");
        return Err(CliError::failed(text));
    } else {
        match app::open_repository(config) {
            Ok(repository) => here(repository, (path, body))?,
            Err(StartError::Store(StoreError::Locked)) => remote()?.to_vec(),
            Err(error) => return Err(error.into()),
        }
    };
    parse(&answer, Limits::default()).map_err(|_no_json| {
        CliError::failed("E-CLI-24: the gateway's answer cannot be read; check --url")
    })
}

fn here(repository: Repository, (path, body): (&str, String)) -> Result<Vec<u8>, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::failed(format!("E-CLI-25: no threads to run on: {e}")))?;
    let store = repository.store().clone();
    let answer = runtime.block_on(asked(repository, (path, body)));
    drop(runtime);
    store.close();
    answer
}

async fn asked(repository: Repository, (path, body): (&str, String)) -> Result<Vec<u8>, CliError> {
    let surface = Surface {
        repository,
        page_size: 1,
        page_size_max: 1,
        bundle_entries_max: 1,
        conditional_delete_max: 1,
        lanes: Default::default(),
        door: Default::default(),
    };
    let interaction = route::route(&Method::POST, path);
    let exchange = Exchange {
        interaction: interaction.map_err(|unrouted| unrouted.failure)?,
        actor: Actor {
            name: "command line".to_owned(),
            origin: Origin {
                kind: OriginKind::Client,
                number: 0,
            },
        },
        query: Vec::new(),
        headers: HeaderMap::new(),
        body: body.into(),
        base_url: "http://127.0.0.1:8080/fhir".to_owned(),
    };
    let answer = Box::pin(interactions::run(&surface, exchange)).await?;
    Ok(answer.body)
}
