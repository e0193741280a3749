//! Builds and starts the parts in the order they need each other; stops them in reverse.

mod settings;
mod space;
mod starts;
mod state;

pub(crate) use settings::backup_place;

use crate::config::{self, Config, ConfigError};
use fhir_mapping::search::Zone;
use gateway_ground::clock::Clock;
use gateway_ground::failure::Failure;
use gateway_ground::keys::{self, KeyError, Places};
use gateway_ground::safekeeping::Safekeeping;
use gateway_ground::space::SpaceWatch;
use gateway_ground::telemetry::{Happening, Telemetry};
use gateway_http::auth::Auth;
use gateway_http::body::BodyLimits;
use gateway_http::interactions::Surface;
use gateway_http::limit::Limits;
use gateway_http::listen::{self, Door};
use gateway_http::request::{Front, Hosts};
use gateway_http::sockets::Sockets;
use gateway_http::tls::{self, TlsError};
use gateway_http::tokens::{self, Role, Token};
use gateway_jobs::import::ImportSettings;
use gateway_jobs::{backups, orders, reindex, scrub, subscriptions};
use gateway_repository::Repository;
use starts::Starts;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::{OpenOptions, Seq, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use vault::{Master, Slots, VaultError};
use zeroize::Zeroizing;

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("E-START-1: cannot listen on {address} for {what}: {detail}; choose another address")]
    Listen {
        what: &'static str,
        address: SocketAddr,
        detail: String,
    },
    #[error("E-START-2: --open lets everybody in, so {0} must be a loopback address as 127.0.0.1")]
    OpenToOthers(SocketAddr),
    #[error("E-START-3: cannot read the token of target {target}: {detail}; check token_file")]
    TargetToken { target: String, detail: String },
    #[error(
        "E-START-8: a restore into {0} was cut off; run the same `wayside restore` again, or delete \
         the folder to begin an empty site"
    )]
    HalfRestored(String),
    #[error("{0}")]
    Refused(String),
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> StartError {
        let issues = failure.issues.iter();
        let texts: Vec<String> = issues
            .map(|i| format!("{}: {}", i.number, i.text))
            .collect();
        StartError::Refused(texts.join("; "))
    }
}

/// A running gateway. Dropping it does not stop it; `stop` does.
pub struct Gateway {
    /// As clients see it: `http://127.0.0.1:8080/fhir`.
    pub base_url: String,
    pub http: SocketAddr,
    pub mllp: SocketAddr,
    /// Where the administrator's token was written, when this was the first start.
    pub first_token: Option<PathBuf>,
    /// Where the self-signed certificate is, when one is in use.
    pub own_certificate: Option<PathBuf>,
    url_file: PathBuf,
    starts: Arc<Starts>,
    repository: Repository,
    telemetry: Telemetry,
    stop: watch::Sender<bool>,
    parts: Vec<JoinHandle<()>>,
}

/// Time for the parts to end once asked; what remains is cut.
const STOP_TIMEOUT: Duration = Duration::from_millis(2500);
const BODY_PROGRESS_TIMEOUT: Duration = Duration::from_secs(15);
const BODY_TOTAL_TIMEOUT: Duration = Duration::from_secs(300);
const PASSPHRASE_TRIES: u32 = 3;
/// Matches that a slow web socket may be behind.
const BELL_LENGTH: usize = 1024;
/// Changes looked at for the highest hybrid time given before.
const HLC_LOOK_BACK: u64 = 1000;

/// Where the configured store and its secrets are.
pub fn places(config: &Config) -> Places {
    Places {
        data: config.store.folder.clone(),
        key: config.store.key_file.clone(),
    }
}

/// Opens the store, making it and its key at the first start. For every subcommand that works on
/// the data folder.
pub fn open_store(config: &Config) -> Result<Store, StartError> {
    opening(config, Store::open)
}

/// The store of a gateway that serves: after too many starts that did not last, for reading alone.
fn open_counted(config: &Config, starts: &Starts) -> Result<Store, StartError> {
    let why = starts.begin(config.store.starts_until_read_only)?;
    opening(config, |options, keys| match &why {
        Some(why) => Store::open_read_only(options, keys, why.clone()),
        None => Store::open(options, keys),
    })
}

/// A person saw to why starts did not last: the next one writes again.
pub fn leave_read_only(config: &Config) -> Result<(), StartError> {
    Starts::at(places(config).starts_file()).forget()
}

/// Gives up what a damaged write log lost; how many groups of writes that were.
pub fn repair_store_log(config: &Config) -> Result<u64, StartError> {
    opening(config, Store::repair_log)
}

/// Opens with the key of the configured way.
fn opening<T>(
    config: &Config,
    open: impl Fn(OpenOptions, store::Keys) -> Result<T, StoreError>,
) -> Result<T, StartError> {
    let places = places(config);
    if places.is_half_restored() {
        return Err(StartError::HalfRestored(places.data.display().to_string()));
    }
    keys::ensure_folder(&places.data)?;
    let options = || OpenOptions {
        folder: places.data.clone(),
        map_size_bytes: config.store.map_size_bytes,
        queue_length_max: config.store.queue_length_max,
        random: keys::random,
    };
    let open_with = |master: &Master| {
        let key_encryption_key = *master.current;
        open(options(), store::Keys { key_encryption_key })
    };
    let opened = open_with(&obtain(config, |pass| keys::obtain(&places, pass))?);
    if !matches!(opened, Err(StoreError::WrongKey)) {
        return Ok(opened?);
    }
    // A rotation of the key may have been cut off right before its end.
    let next = obtain(config, |pass| keys::obtain_next(&places, pass))?;
    let opened = open_with(&next.ok_or(StoreError::WrongKey)?)?;
    Slots::promote_next(&places.data).map_err(KeyError::from)?;
    Ok(opened)
}

/// What a key gives, by the configured way; a passphrase is asked for where somebody can type it.
fn obtain<T>(
    config: &Config,
    open: impl Fn(Option<Zeroizing<String>>) -> Result<T, KeyError>,
) -> Result<T, StartError> {
    match open(passphrase(config)?) {
        Err(KeyError::PassphraseNeeded(_)) if std::io::stdin().is_terminal() => {
            ask(|passphrase| open(Some(passphrase)))
        }
        other => Ok(other?),
    }
}

/// The passphrase of the environment, of the service's credentials or of the configured file.
pub fn passphrase(config: &Config) -> Result<Option<Zeroizing<String>>, KeyError> {
    let text = match (config::passphrase(), &config.store.passphrase_file) {
        (Some(text), _) => text,
        (None, Some(file)) => keys::read_secret(file)?,
        (None, None) => return Ok(None),
    };
    let text = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    Ok((!text.is_empty()).then_some(text))
}

/// Asks at most three times.
pub fn ask<T>(open: impl Fn(Zeroizing<String>) -> Result<T, KeyError>) -> Result<T, StartError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let typed = rpassword::prompt_password("Passphrase of the store: ");
        let typed = typed.map_err(|e| {
            StartError::Refused(format!("E-START-7: no passphrase can be typed here: {e}"))
        })?;
        match open(Zeroizing::new(typed)) {
            Err(KeyError::Vault(VaultError::Refused(_))) if tries < PASSPHRASE_TRIES => {}
            other => return Ok(other?),
        }
    }
}

/// `open_store` with the repository over it.
pub fn open_repository(config: &Config) -> Result<Repository, StartError> {
    repository_over(config, open_store(config)?)
}

fn repository_over(config: &Config, store: Store) -> Result<Repository, StartError> {
    let clock = Clock::system(highest_hlc(&store)?);
    Ok(Repository::new(store, clock, Zone::of(config.zone()?)))
}

/// So that hybrid time goes on rising over a restart, whatever the wall clock says.
fn highest_hlc(store: &Store) -> Result<u64, StoreError> {
    let snapshot = store.snapshot()?;
    let view = snapshot.view();
    let Seq(last) = view.last_seq()?;
    let after = Seq(last.saturating_sub(HLC_LOOK_BACK));
    let limit = usize::try_from(HLC_LOOK_BACK).unwrap_or(usize::MAX);
    let changes = view.changes(after, limit)?;
    Ok(changes.iter().map(|change| change.hlc).max().unwrap_or(0))
}

impl Gateway {
    /// Starts all parts; they accept work once this returns. `is_open` is `--open`.
    pub async fn start(config: &Config, is_open: bool) -> Result<Gateway, StartError> {
        if is_open && !config.http.listen.ip().is_loopback() {
            return Err(StartError::OpenToOthers(config.http.listen));
        }
        let mllp = bind("mllp", config.mllp.listen).await?;
        let http = bind("http", config.http.listen).await?;
        let starts = Arc::new(Starts::at(places(config).starts_file()));
        let repository = tokio::task::block_in_place(|| {
            repository_over(config, open_counted(config, &starts)?)
        })?;
        let telemetry = Telemetry::new();
        let watched = (repository.clone(), telemetry.clone());
        let folder = config.store.folder.clone();
        let desk = tokio::task::block_in_place(|| space::Desk::open(watched, folder))?;
        let mut starting = Starting {
            config,
            is_open,
            repository,
            telemetry,
            space: desk.space(),
            stop: watch::Sender::new(false),
            targets: Vec::new(),
            bell: broadcast::Sender::new(BELL_LENGTH),
            parts: Vec::new(),
        };
        let first_token = starting.first_token()?;
        let mllp = starting.devices(config, mllp)?;
        starting.targets()?;
        starting.spawn(desk.run(starting.stop.subscribe()));
        starting.subscriptions();
        starting.orders();
        starting.reindex();
        starting.scrub();
        starting.standing(&starts);
        let backups = starting.backups()?;
        let (http, own_certificate) = starting.http(http, backups)?;
        let scheme = if starting.uses_tls() { "https" } else { "http" };
        let base_url = format!("{scheme}://{http}/fhir");
        let url_file = places(config).url_file();
        keys::replace_secret(&url_file, &base_url.replace("//0.0.0.0:", "//127.0.0.1:"))?;
        Ok(Gateway {
            base_url,
            url_file,
            starts,
            http,
            mllp,
            first_token,
            own_certificate,
            repository: starting.repository,
            telemetry: starting.telemetry,
            stop: starting.stop,
            parts: starting.parts,
        })
    }

    /// Stops accepting, lets what is under way finish, closes the store; at most 3 seconds.
    pub async fn stop(self) {
        self.telemetry.note(&Happening::Stopping { stage: "asked" });
        self.stop.send_replace(true);
        let mut parts = self.parts;
        let all_ended = async {
            for part in parts.iter_mut().rev() {
                let _cut_or_ended = part.await.is_ok();
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, all_ended).await.is_err() {
            parts.iter().for_each(JoinHandle::abort);
        }
        let _left_behind_is_harmless = std::fs::remove_file(&self.url_file).is_ok();
        let store = self.repository.store().clone();
        drop(self.repository);
        let _counted_once_more = self.starts.forget().is_err();
        let _closed = tokio::task::spawn_blocking(move || store.close())
            .await
            .is_ok();
        self.telemetry
            .note(&Happening::Stopping { stage: "stopped" });
    }
}

/// What is already there while the rest is being started.
struct Starting<'a> {
    config: &'a Config,
    is_open: bool,
    repository: Repository,
    telemetry: Telemetry,
    space: Arc<SpaceWatch>,
    stop: watch::Sender<bool>,
    /// Number and name of each target.
    targets: Vec<(u16, String)>,
    /// Rings for Subscriptions that matched.
    bell: subscriptions::Bell,
    parts: Vec<JoinHandle<()>>,
}

impl Starting<'_> {
    /// A site without any token gets its administrator's. The file is written before the row: a
    /// crash between the two makes a new pair next time.
    fn first_token(&self) -> Result<Option<PathBuf>, StartError> {
        let store = self.repository.store();
        let has_tokens = !tokens::list(&store.snapshot()?.view())?.is_empty();
        if self.is_open || has_tokens {
            return Ok(None);
        }
        let secret = tokens::make_secret();
        let file = places(self.config).admin_token_file();
        keys::replace_secret(&file, &secret)?;
        let token = Token {
            name: "administrator".to_owned(),
            role: Role::Admin,
            created_ms: self.repository.clock().now_ms(),
            expires_ms: None,
        };
        tokio::task::block_in_place(|| tokens::create(store, &secret, token))?;
        Ok(Some(file))
    }

    fn devices(
        &mut self,
        config: &Config,
        listener: TcpListener,
    ) -> Result<SocketAddr, StartError> {
        let settings = settings::device_settings(config)?;
        let address = local("mllp", &listener, config.mllp.listen)?;
        let (repository, stop) = (self.repository.clone(), self.stop.subscribe());
        self.spawn(gateway_devices::serve(
            listener,
            settings.clone(),
            repository,
            stop,
        ));
        let (repository, stop) = (self.repository.clone(), self.stop.subscribe());
        self.spawn(gateway_devices::interpret_loop(settings, repository, stop));
        self.listening("mllp", &address);
        Ok(address)
    }

    fn targets(&mut self) -> Result<(), StartError> {
        for target in settings::target_settings(self.config, &self.repository)? {
            self.targets.push((target.number, target.name.clone()));
            let (repository, stop) = (self.repository.clone(), self.stop.subscribe());
            self.spawn(gateway_sync::run(target, repository, stop));
        }
        Ok(())
    }

    fn subscriptions(&mut self) {
        let settings = settings::subscription_settings(self.config);
        let (repository, bell) = (self.repository.clone(), self.bell.clone());
        let stop = self.stop.subscribe();
        self.spawn(subscriptions::run(settings, repository, (bell, stop)));
    }

    /// Backups by the clock and when somebody asks.
    fn backups(&mut self) -> Result<Arc<dyn Safekeeping>, StartError> {
        let settings = settings::backup_settings(self.config);
        let (keeper, asks) = backups::Keeper::new(settings, self.repository.clone())?;
        let stop = self.stop.subscribe();
        self.spawn(backups::run(Arc::clone(&keeper), asks, stop));
        Ok(keeper)
    }

    /// Exports, imports and other long tasks that clients ask for.
    fn orders(&mut self) {
        let (repository, stop) = (self.repository.clone(), self.stop.subscribe());
        let door = Arc::new(settings::door(self.config));
        let settings = ImportSettings {
            sources: door.sources.clone(),
            check: door.for_imports(repository.clone()),
            space: Arc::clone(&self.space),
        };
        self.spawn(orders::run(settings, repository, stop));
    }

    fn reindex(&mut self) {
        let (repository, stop) = (self.repository.clone(), self.stop.subscribe());
        self.spawn(reindex::run(repository, stop));
    }

    fn scrub(&mut self) {
        let settings = settings::scrub_settings(self.config);
        let (repository, stop) = (self.repository.clone(), self.stop.subscribe());
        self.spawn(scrub::run(settings, repository, stop));
    }

    /// Says when the store stops taking writes, and why; a start that lasts is a good one.
    fn standing(&mut self, starts: &Arc<Starts>) {
        let probe = state::Probe::new(
            self.repository.store().clone(),
            self.repository.clock().clone(),
        );
        let (telemetry, stop) = (self.telemetry.clone(), self.stop.subscribe());
        let starts = Arc::clone(starts);
        self.spawn(state::watch(probe, (starts, telemetry), stop));
    }

    fn http(
        &mut self,
        listener: TcpListener,
        backups: Arc<dyn Safekeeping>,
    ) -> Result<(SocketAddr, Option<PathBuf>), StartError> {
        let address = local("http", &listener, self.config.http.listen)?;
        let (tls, own_certificate) = match self.uses_tls() {
            true => self.tls().map(|(tls, own)| (Some(tls), own))?,
            false => (None, None),
        };
        let permits = Arc::new(Semaphore::new(self.config.http.connections_max));
        let front = Arc::new(self.front(&permits, backups)?);
        let connections = permits;
        let door = Door {
            listener,
            tls,
            connections,
        };
        let stop = self.stop.subscribe();
        self.spawn(listen::serve(door, front, stop));
        self.listening("http", &address);
        Ok((address, own_certificate))
    }

    fn uses_tls(&self) -> bool {
        let http = &self.config.http;
        http.tls_cert.is_some() || !http.listen.ip().is_loopback()
    }

    fn tls(&self) -> Result<(TlsAcceptor, Option<PathBuf>), StartError> {
        let http = &self.config.http;
        if let (Some(cert), Some(key)) = (&http.tls_cert, &http.tls_key) {
            return Ok((tls::acceptor(cert, key)?, None));
        }
        let (cert, key) = places(self.config).tls_files();
        let mut names = http.host_names.clone();
        names.extend([
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ]);
        if !http.listen.ip().is_unspecified() {
            names.push(http.listen.ip().to_string());
        }
        tls::ensure_self_signed(&cert, &key, names)?;
        Ok((tls::acceptor(&cert, &key)?, Some(cert)))
    }

    fn front(
        &self,
        permits: &Arc<Semaphore>,
        backups: Arc<dyn Safekeeping>,
    ) -> Result<Front, StartError> {
        let http = &self.config.http;
        let repository = self.repository.clone();
        let (store, clock) = (repository.store().clone(), repository.clock().clone());
        let (sampled, probed) = (repository.clone(), store.clone());
        let (permits, connections_max) = (Arc::clone(permits), http.connections_max);
        let targets = self.targets.clone();
        let kept = Arc::clone(&backups);
        let (room, stood) = (Arc::clone(&self.space), Arc::clone(&self.space));
        let sample = move || {
            let open = connections_max.saturating_sub(permits.available_permits());
            let gauges = state::gauges(&sampled, open, &targets).unwrap_or_default();
            let gauges = space::with_space(gauges, &room.state());
            state::with_backups(gauges, &kept.state())
        };
        let probe = state::Probe::new(probed, clock.clone());
        Ok(Front {
            surface: Surface {
                repository,
                page_size: http.page_size,
                page_size_max: http.page_size_max,
                bundle_entries_max: http.bundle_entries_max,
                conditional_delete_max: http.conditional_delete_max,
                lanes: Default::default(),
                door: Arc::new(settings::door(self.config)),
            },
            auth: Auth::load(store, clock, self.is_open)?,
            limits: Limits::new(http.requests_per_second, http.burst),
            body: BodyLimits {
                size_bytes_max: http.body_size_bytes_max,
                progress_timeout: BODY_PROGRESS_TIMEOUT,
                total_timeout: BODY_TOTAL_TIMEOUT,
            },
            telemetry: self.telemetry.clone(),
            hosts: Hosts {
                base_url: self.config.site.base_url.clone(),
                names: http.host_names.clone(),
                is_loopback: http.listen.ip().is_loopback(),
            },
            sockets: Sockets::new(self.bell.clone()),
            ready: Default::default(),
            sample: Arc::new(sample),
            backups,
            space: Arc::clone(&self.space),
            uploads: Default::default(),
            standing: Arc::new(move || space::standing(&stood).and_then(|()| probe.standing())),
        })
    }

    fn listening(&self, what: &'static str, address: &SocketAddr) {
        self.telemetry.note(&Happening::Listening { what, address });
    }

    fn spawn(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        self.parts.push(tokio::spawn(part));
    }
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|e| unbound(what, address, &e))
}

fn local(
    what: &'static str,
    listener: &TcpListener,
    asked: SocketAddr,
) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|e| unbound(what, asked, &e))
}

fn unbound(what: &'static str, address: SocketAddr, error: &std::io::Error) -> StartError {
    let detail = error.to_string();
    StartError::Listen {
        what,
        address,
        detail,
    }
}
