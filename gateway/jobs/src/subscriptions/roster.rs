//! Which Subscriptions are served: every version of each is judged once.

use super::SubscriptionSettings;
use super::matching::Asking;
use super::subscription::Subscription;
use fhir_mapping::model::{self, Json, Limits};
use gateway_ground::failure::Failure;
use gateway_repository::{Repository, Standing};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use store::{Head, Rid, Table, VersionId};

/// More are refused: each is asked about every change.
const SERVED_MAX: usize = 500;
/// Subscription resources looked at, whatever their status.
const HEADS_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Roster {
    served: BTreeMap<Rid, Served>,
    /// The version of each Subscription that was judged last.
    judged: HashMap<Rid, VersionId>,
    is_loaded: bool,
}

pub(super) struct Served {
    pub(super) subscription: Arc<Subscription>,
    pub(super) standing: Standing,
}

/// What a new version of a Subscription came to.
pub(super) enum Ruling {
    /// Served from now on; `activate` when its status does not say so yet.
    Serve { rid: Rid, activate: bool },
    /// Cannot be served; its status shall say why.
    Refuse {
        at: (Rid, VersionId),
        resource: Json,
        reason: String,
    },
    /// Not served any more; its rows go.
    Drop(Rid),
}

impl Roster {
    /// Judges what changed since the last look.
    pub(super) fn reload(
        &mut self,
        repository: &Repository,
        settings: &SubscriptionSettings,
    ) -> Result<Vec<Ruling>, Failure> {
        let heads = repository.heads("Subscription", HEADS_MAX)?;
        let mut rulings = self.vanished(repository, &heads)?;
        let changed = heads
            .iter()
            .filter(|head| self.judged.get(&head.rid) != Some(&head.version));
        for head in changed.copied().collect::<Vec<_>>() {
            rulings.extend(self.judge(repository, settings, &head)?);
            self.judged.insert(head.rid, head.version);
        }
        Ok(rulings)
    }

    /// Deleted ones; at the first look also those deleted while nothing ran.
    fn vanished(
        &mut self,
        repository: &Repository,
        heads: &[Head],
    ) -> Result<Vec<Ruling>, Failure> {
        let mut known: Vec<Rid> = self.judged.keys().copied().collect();
        if !self.is_loaded {
            let snapshot = repository.store().snapshot()?;
            let rows = snapshot
                .view()
                .rows(Table::Subscriptions, &[], None, HEADS_MAX)?;
            let rid = |key: &[u8]| Some(Rid(u64::from_be_bytes(key.try_into().ok()?)));
            known.extend(rows.iter().filter_map(|(key, _)| rid(key)));
            self.is_loaded = true;
        }
        let live: std::collections::HashSet<Rid> = heads.iter().map(|head| head.rid).collect();
        known.retain(|rid| !live.contains(rid));
        for rid in &known {
            self.judged.remove(rid);
            self.served.remove(rid);
        }
        Ok(known.into_iter().map(Ruling::Drop).collect())
    }

    fn judge(
        &mut self,
        repository: &Repository,
        settings: &SubscriptionSettings,
        head: &Head,
    ) -> Result<Option<Ruling>, Failure> {
        let snapshot = repository.store().snapshot()?;
        let view = snapshot.view();
        let Some(stored) = view.version(head.rid, head.version)? else {
            return Ok(None);
        };
        let former = self.served.remove(&head.rid).map(|served| served.standing);
        let standing = former.map_or_else(|| Standing::read(&view, head.rid), |s| Ok(Some(s)))?;
        let resource = model::parse(&stored.body, Limits::default());
        let resource = resource
            .map_err(|issue| Failure::of(gateway_ground::failure::Category::Fault, vec![issue]))?;
        let status = resource.str_at(&["status"]).unwrap_or_default().to_owned();
        let is_over = status == "off" || (status == "error" && standing.is_none());
        if is_over {
            return Ok(standing.map(|_| Ruling::Drop(head.rid)));
        }
        let at = (head.rid, head.version);
        let allowed = (repository, settings.hosts.as_slice());
        let read = Subscription::read(at, resource.clone(), allowed);
        let read = read.and_then(|subscription| match self.served.len() < SERVED_MAX {
            true => Ok(subscription),
            false => Err("this site serves as many subscriptions as it can".to_owned()),
        });
        Ok(Some(match read {
            Err(_known) if status == "error" => Ruling::Drop(head.rid),
            Err(reason) => Ruling::Refuse {
                at,
                resource,
                reason,
            },
            Ok(subscription) => {
                let is_new = standing.is_none();
                let standing = standing.unwrap_or(Standing {
                    since: head.seq.0,
                    ..Standing::default()
                });
                let activate = status == "requested";
                let standing = match activate {
                    true => Standing {
                        tries: 0,
                        next_try_ms: 0,
                        ..standing
                    },
                    false => standing,
                };
                let subscription = Arc::new(subscription);
                let served = Served {
                    subscription,
                    standing,
                };
                self.served.insert(head.rid, served);
                if !activate && !is_new {
                    return Ok(None);
                }
                Ruling::Serve {
                    rid: head.rid,
                    activate,
                }
            }
        }))
    }

    pub(super) fn get(&self, rid: Rid) -> Option<&Served> {
        self.served.get(&rid)
    }

    pub(super) fn get_mut(&mut self, rid: Rid) -> Option<&mut Served> {
        self.served.get_mut(&rid)
    }

    pub(super) fn remove(&mut self, rid: Rid) {
        self.served.remove(&rid);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Rid, &Served)> {
        self.served.iter().map(|(rid, served)| (*rid, served))
    }

    /// Everybody who is to be asked about changes.
    pub(super) fn asking(&self) -> Vec<Asking> {
        let served = self.served.values();
        let asking = served.map(|served| Asking {
            subscription: Arc::clone(&served.subscription),
            since: served.standing.since,
        });
        asking.collect()
    }

    /// The first change that anybody wants told lies after this; `None` when nobody is served.
    pub(super) fn since(&self) -> Option<u64> {
        self.served.values().map(|s| s.standing.since).min()
    }
}
