//! Pulls a target's changes, page by page, and applies them. The checkpoint moves only behind what
//! is durable here.

use super::TargetSettings;
use super::inbound::{self, Arrival, Progress};
use super::loops::Courier;
use super::outbound::{self, Past, Verdict};
use super::outbox;
use super::shadow::{self, Shadow};
use super::target::{Answer, PageRequest, Pulled};
use super::{delivery, takeover};
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{Applied, Incoming};
use store::{ResourceKey, RowWrite, Table, VersionId};

/// Pulled when the configuration names no types: what a clinic and a national system exchange.
/// Referenced ones first.
pub(super) const TYPES_PULLED: &[&str] = &[
    "Organization",
    "Location",
    "Practitioner",
    "Patient",
    "Encounter",
    "Condition",
    "AllergyIntolerance",
    "MedicationRequest",
    "MedicationDispense",
    "Immunization",
    "Procedure",
    "ServiceRequest",
    "Specimen",
    "Observation",
    "DiagnosticReport",
    "CarePlan",
];

/// Most pages of one type in one round: afterwards what waits to leave has its turn.
const PAGES_MAX: usize = 100;

impl Courier {
    /// One round over all types. Stops quietly when the link goes down.
    pub(super) async fn pull(&mut self) -> Result<(), Failure> {
        for resource_type in types(&self.settings) {
            self.pull_type(&resource_type).await?;
            if !self.is_up() || self.lives_again() {
                return Ok(());
            }
        }
        self.pull_due_ms = self.after(self.settings.pull_interval_ms);
        Ok(())
    }

    async fn pull_type(&mut self, resource_type: &str) -> Result<(), Failure> {
        let mut progress = Progress::resume(self.pulled_ms(resource_type)?);
        let mut request = PageRequest::Since {
            resource_type: resource_type.to_owned(),
            since_ms: progress.since_ms(),
        };
        for _page in 0..PAGES_MAX {
            let mut page = match self.target.pull(request).await {
                Ok(page) => page,
                Err(answer) => {
                    self.pull_failed(resource_type, answer);
                    return Ok(());
                }
            };
            if self.lives_again() {
                return Ok(());
            }
            let mut rows = Vec::new();
            let before_ms = progress.pulled_ms;
            progress.page_applied(&page);
            for pulled in page.entries.drain(..) {
                self.receive(pulled, &mut rows).await?;
            }
            if progress.pulled_ms != before_ms {
                rows.extend(self.checkpoint_row(resource_type, &progress));
            }
            self.commit(rows).await?;
            match page.next {
                Some(url) => {
                    request = PageRequest::Next {
                        url,
                        resource_type: resource_type.to_owned(),
                    }
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// A type that the target does not serve is skipped; anything else may concern the link.
    fn pull_failed(&mut self, resource_type: &str, answer: Answer) {
        let why = match &answer {
            Answer::Unreachable { why } => why.clone(),
            other => format!("{other:?}"),
        };
        let past = Past {
            attempts: 0,
            faults: 0,
            rounds: 0,
            busy_tries: self.busy_tries,
        };
        match outbound::judge(
            answer,
            past,
            &self.settings,
            gateway_ground::link::retry::random(),
        ) {
            Verdict::Link(link) => self.set_link(&link, &why),
            _ => {
                let name = &self.settings.name;
                tracing::debug!(target_name = %name, resource_type, why, "no pull of this type");
            }
        }
    }

    /// One resource of a page: known, an echo, or a change to apply.
    async fn receive(&mut self, pulled: Pulled, rows: &mut Vec<RowWrite>) -> Result<(), Failure> {
        let (arrival, base) = self.look_up(&pulled)?;
        match arrival {
            Arrival::Known => {}
            Arrival::Echo(version) => rows.extend(self.echo_rows(&pulled, version)?),
            Arrival::Change => match self.apply(pulled, base).await {
                Ok(_applied) => {}
                Err(failure) if is_ours(failure.category) => return Err(failure),
                Err(failure) => self.log_unusable(&failure),
            },
        }
        Ok(())
    }

    fn look_up(&self, pulled: &Pulled) -> Result<(Arrival, Option<VersionId>), Failure> {
        let snapshot = self.store().snapshot()?;
        let view = snapshot.view();
        let shadow = shadow::read(&view, self.settings.there(), &pulled.key)?;
        let base = shadow.as_ref().and_then(Shadow::base);
        let arrival = match outbox::known(&view, self.settings.there(), &pulled.key)? {
            None => Arrival::Change,
            Some(known) => {
                let head = known.head.version;
                inbound::classify(pulled, shadow.as_ref(), head, &known.ours)
            }
        };
        Ok((arrival, base))
    }

    /// Our own version came back: both sides agree on it, and a delivery of it is settled.
    fn echo_rows(&self, pulled: &Pulled, version: VersionId) -> Result<Vec<RowWrite>, Failure> {
        let number = self.settings.number;
        let shadow = Shadow {
            remote_version: pulled.remote_version.clone(),
            agreed: version.0,
            deleted: false,
        };
        let mut rows = vec![shadow::row(self.settings.there(), &pulled.key, &shadow)];
        let snapshot = self.store().snapshot()?;
        let view = snapshot.view();
        if let Some(head) = view.head(&pulled.key)?
            && head.version == version
            && let Some((at, _)) = takeover::read_by_resource(&view, number, head.rid)?
        {
            rows.extend(delivery::take_away(at, head.rid));
        }
        Ok(rows)
    }

    /// Applies a change of the target; its shadow row is part of the commit.
    pub(super) async fn apply(
        &mut self,
        pulled: Pulled,
        base: Option<VersionId>,
    ) -> Result<Applied, Failure> {
        let hlc = u64::try_from(pulled.updated_ms).unwrap_or(0) << 16;
        self.repository.clock().observe_hlc(hlc);
        let incoming = Incoming {
            target: self.settings.number,
            life: self.settings.life,
            target_name: self.settings.name.clone(),
            key: pulled.key,
            resource: Some(pulled.resource),
            base,
            hlc,
            rows: Vec::new(),
            shadow_row: Some(shadow::row_of_incoming),
            remote_version: pulled.remote_version,
        };
        Box::pin(self.repository.apply(incoming)).await
    }

    /// Applies a deletion at the target.
    pub(super) async fn take_in_deletion(
        &mut self,
        key: &ResourceKey,
        base: Option<VersionId>,
    ) -> Result<(), Failure> {
        let incoming = Incoming {
            target: self.settings.number,
            life: self.settings.life,
            target_name: self.settings.name.clone(),
            key: key.clone(),
            resource: None,
            base,
            hlc: self.repository.clock().next_hlc(),
            rows: Vec::new(),
            shadow_row: Some(shadow::row_of_incoming),
            remote_version: String::new(),
        };
        Box::pin(self.repository.apply(incoming))
            .await
            .map(|_applied| ())
    }

    fn pulled_ms(&self, resource_type: &str) -> Result<Option<i64>, Failure> {
        let snapshot = self.store().snapshot()?;
        let key = checkpoint_key(self.settings.number, resource_type);
        let row = snapshot.view().row(Table::Checkpoints, &key)?;
        Ok(row.and_then(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?))))
    }

    fn checkpoint_row(&self, resource_type: &str, progress: &Progress) -> Option<RowWrite> {
        Some(RowWrite {
            table: Table::Checkpoints,
            key: checkpoint_key(self.settings.number, resource_type),
            value: Some(progress.pulled_ms?.to_be_bytes().to_vec()),
        })
    }

    fn log_unusable(&self, failure: &Failure) {
        let numbers: Vec<&str> = failure.issues.iter().map(|issue| issue.number).collect();
        let name = &self.settings.name;
        tracing::warn!(target_name = %name, ?numbers, "E-SYNC-5: a pulled resource is unusable");
    }
}

/// The store's own trouble: nothing may be passed over because of it.
fn is_ours(category: Category) -> bool {
    matches!(
        category,
        Category::Busy
            | Category::DiskFull
            | Category::Fault
            | Category::Throttled
            | Category::Timeout
    )
}

fn types(settings: &TargetSettings) -> Vec<String> {
    if settings.types.is_empty() {
        return TYPES_PULLED.iter().map(|name| (*name).to_owned()).collect();
    }
    settings.types.clone()
}

/// How far a type was pulled: target (u16 BE), `pulled/Type` -> milliseconds since 1970 (i64 BE).
fn checkpoint_key(target: u16, resource_type: &str) -> Vec<u8> {
    let mut key = target.to_be_bytes().to_vec();
    key.extend(b"pulled/");
    key.extend(resource_type.as_bytes());
    key
}
