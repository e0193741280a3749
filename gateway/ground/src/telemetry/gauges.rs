//! Levels sampled when somebody asks for `/metrics`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// One sample of the site's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    pub last_seq: u64,
    pub resources: u64,
    pub store_bytes: u64,
    pub connections: u64,
    pub intake_waiting: u64,
    pub intake_held: u64,
    pub reviews_open: u64,
    /// Seconds since 1970 of the last good backup and trial restore; 0 never.
    pub backup_last: u64,
    pub backup_drill_last: u64,
    /// 1 when the newest of each failed.
    pub backup_failed: u64,
    pub backup_drill_failed: u64,
    /// Resources that a reindex has not looked at.
    pub index_behind: u64,
    /// When the last look over everything stored ended, in seconds since 1970; 0 never.
    pub scrub_last: u64,
    /// What it found damaged and could not put right.
    pub scrub_damaged: u64,
    pub disk_free_bytes: u64,
    /// 0 to 4, as `space::Stage` numbers them.
    pub disk_stage: u64,
    pub disk_days_left: u64,
    pub targets: Vec<TargetGauges>,
}

/// One sample of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGauges {
    pub name: String,
    pub waiting: u64,
    pub parked: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Target {
    target: String,
}

pub(super) struct Registered {
    last_seq: Gauge,
    resources: Gauge,
    store_bytes: Gauge,
    connections: Gauge,
    intake_waiting: Gauge,
    intake_held: Gauge,
    reviews_open: Gauge,
    backup_last: Gauge,
    backup_drill_last: Gauge,
    backup_failed: Gauge,
    backup_drill_failed: Gauge,
    index_behind: Gauge,
    scrub_last: Gauge,
    scrub_damaged: Gauge,
    disk_free_bytes: Gauge,
    disk_stage: Gauge,
    disk_days_left: Gauge,
    deliveries_waiting: Family<Target, Gauge>,
    deliveries_parked: Family<Target, Gauge>,
}

impl Registered {
    pub(super) fn register(registry: &mut Registry) -> Registered {
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", version);
        let mut gauge = |name: &str, help: &str| {
            let gauge = <Gauge>::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Registered {
            last_seq: gauge("store_last_seq", "Newest position of the change log"),
            resources: gauge("store_resources", "Resources, deleted ones included"),
            store_bytes: gauge("store_bytes", "Bytes of the data file in use"),
            connections: gauge("http_connections", "Open HTTP connections"),
            intake_waiting: gauge("intake_waiting", "Device messages not yet interpreted"),
            intake_held: gauge("intake_held", "Device messages that wait for a person"),
            reviews_open: gauge("reviews_open", "Conflicts that wait for a person"),
            backup_last: gauge("backup_last_seconds", "When the last good backup was taken"),
            backup_drill_last: gauge(
                "backup_drill_last_seconds",
                "When one was restored on trial",
            ),
            backup_failed: gauge("backup_failed", "1 when the newest backup failed"),
            backup_drill_failed: gauge("backup_drill_failed", "1 when the newest trial failed"),
            index_behind: gauge(
                "search_index_behind",
                "Resources that a reindex has not looked at",
            ),
            scrub_last: gauge("scrub_last_seconds", "When everything stored was looked at"),
            scrub_damaged: gauge("scrub_damaged", "What is damaged and not put right"),
            disk_free_bytes: gauge("disk_free_bytes", "Bytes that the disk has left"),
            disk_stage: gauge("disk_stage", "0 ample, 1 low, 2 scarce, 3 short, 4 out"),
            disk_days_left: gauge(
                "disk_days_left",
                "Days until writes are refused, at the growth of the last days",
            ),
            deliveries_waiting: family(registry, "deliveries_waiting", "Changes not yet settled"),
            deliveries_parked: family(registry, "deliveries_parked", "Changes refused for good"),
        }
    }

    pub(super) fn set(&self, sample: &Gauges) {
        set(&self.last_seq, sample.last_seq);
        set(&self.resources, sample.resources);
        set(&self.store_bytes, sample.store_bytes);
        set(&self.connections, sample.connections);
        set(&self.intake_waiting, sample.intake_waiting);
        set(&self.intake_held, sample.intake_held);
        set(&self.reviews_open, sample.reviews_open);
        set(&self.backup_last, sample.backup_last);
        set(&self.backup_drill_last, sample.backup_drill_last);
        set(&self.backup_failed, sample.backup_failed);
        set(&self.backup_drill_failed, sample.backup_drill_failed);
        set(&self.index_behind, sample.index_behind);
        set(&self.scrub_last, sample.scrub_last);
        set(&self.scrub_damaged, sample.scrub_damaged);
        set(&self.disk_free_bytes, sample.disk_free_bytes);
        set(&self.disk_stage, sample.disk_stage);
        set(&self.disk_days_left, sample.disk_days_left);
        for target in &sample.targets {
            let label = Target {
                target: target.name.clone(),
            };
            set(
                &self.deliveries_waiting.get_or_create(&label),
                target.waiting,
            );
            set(&self.deliveries_parked.get_or_create(&label), target.parked);
        }
    }
}

fn family(registry: &mut Registry, name: &str, help: &str) -> Family<Target, Gauge> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}
