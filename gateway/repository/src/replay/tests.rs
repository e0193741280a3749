use super::*;
use crate::{Actor, Applied, Incoming, Transaction, Write, fresh};
use fhir_mapping::model::Json;
use gateway_ground::clock::Clock;
use gateway_ground::keys;
use std::path::Path;
use std::time::Duration;
use store::{Assembly, Keys, OpenOptions, Origin, OriginKind, Table};

/// A site, and how it looked after each commit.
struct Site {
    repository: Repository,
    folder: tempfile::TempDir,
    looked: Vec<(Seq, i64, Vec<String>)>,
}

impl Site {
    fn new() -> Site {
        let (repository, folder) = fresh::repository(Clock::driven(1_700_000_000_000));
        Site {
            repository,
            folder,
            looked: Vec::new(),
        }
    }

    async fn write(&mut self, write: Write) {
        let transaction = Transaction {
            actor: Actor {
                name: "nurse".to_owned(),
                origin: Origin {
                    kind: OriginKind::Client,
                    number: 0,
                },
            },
            writes: vec![write],
            rows: Vec::new(),
            resolve_conditional_references: false,
        };
        self.repository.write(transaction).await.unwrap();
        self.look();
    }

    async fn put(&mut self, text: &str) {
        let resource = json(text);
        self.write(Write::Update {
            id: resource.id().unwrap().to_owned(),
            resource,
            if_match: None,
        })
        .await;
    }

    async fn delete(&mut self, id: &str) {
        let key = key(id);
        self.write(Write::Delete {
            key,
            if_match: None,
        })
        .await;
    }

    async fn pull(&mut self, text: &str, base: u64) -> Applied {
        let resource = json(text);
        let incoming = Incoming {
            target: 1,
            life: 0,
            target_name: "national".to_owned(),
            key: key(resource.id().unwrap()),
            resource: Some(resource),
            base: Some(VersionId(base)),
            hlc: self.repository.clock().next_hlc(),
            rows: Vec::new(),
            shadow_row: None,
            remote_version: "1".to_owned(),
        };
        let applied = self.repository.apply(incoming).await.unwrap();
        self.look();
        applied
    }

    fn look(&mut self) {
        let store = self.repository.store();
        let last = store.stats().unwrap().last_seq;
        let now_ms = self.repository.clock().now_ms();
        self.looked.push((last, now_ms, state(store)));
        self.repository.clock().advance(Duration::from_secs(1));
    }

    /// What a restore of a backup of now would give.
    fn copied(&self, name: &str) -> Repository {
        let store = copied(self.repository.store(), &self.folder.path().join(name));
        let clock = Clock::driven(1_800_000_000_000);
        Repository::new(store, clock, self.repository.zone().clone())
    }
}

fn copied(store: &Store, folder: &Path) -> Store {
    let options = || OpenOptions {
        folder: folder.to_owned(),
        map_size_bytes: 1 << 26,
        queue_length_max: 16,
        random: keys::random,
    };
    let key = || Keys {
        key_encryption_key: [7; 32],
    };
    let secrets = store.secrets().unwrap();
    let mut assembly = Assembly::begin(&options(), (&secrets, &key()), 1 << 20, None).unwrap();
    let image = store.image().unwrap();
    image.each_row(|row| assembly.put(row)).unwrap();
    drop(image);
    assembly.finish().unwrap();
    Store::open(options(), key()).unwrap()
}

fn key(id: &str) -> ResourceKey {
    ResourceKey {
        resource_type: "Patient".to_owned(),
        id: id.to_owned(),
    }
}

fn json(text: &str) -> Json {
    parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap()
}

/// Everything that a client can see, opened; and the rows that are not sealed, as they lie.
fn state(store: &Store) -> Vec<String> {
    let snapshot = store.snapshot().unwrap();
    let view = snapshot.view();
    let mut lines = Vec::new();
    for head in view.scan_heads(None, 1_000).unwrap() {
        lines.push(format!("{head:?} {:?}", view.values(head.rid).unwrap()));
        for (version, _) in view.history(head.rid, None, 1_000).unwrap() {
            lines.push(format!("{:?}", view.version(head.rid, version).unwrap()));
        }
    }
    lines.extend(
        view.changes(Seq(0), 1_000)
            .unwrap()
            .iter()
            .map(|c| format!("{c:?}")),
    );
    let open = view.rows(Table::Reviews, &[], None, 100).unwrap();
    lines.extend(open.iter().map(|(key, _)| format!("review {key:?}")));
    drop(snapshot);
    let image = store.image().unwrap();
    let read = image.each_row(|(number, key, value)| {
        if matches!(number, 1 | 5) {
            lines.push(format!("{number} {key:?} {value:?}"));
        }
        Ok::<_, StoreError>(())
    });
    read.unwrap();
    lines
}

fn audit(store: &Store) -> Vec<[u8; 32]> {
    let entries = store.snapshot().unwrap().view().audit(0, 1_000).unwrap();
    entries.into_iter().map(|entry| entry.chain).collect()
}

fn patient(id: &str, family: &str) -> String {
    format!("{{'resourceType':'Patient','id':'{id}','name':[{{'family':'{family}'}}]}}")
}

async fn lived() -> (Site, usize, Repository) {
    let mut site = Site::new();
    for number in 0..5 {
        site.put(&patient(&format!("p{number}"), "Before")).await;
    }
    site.delete("p4").await;
    let base = site.copied("base");
    let begun = site.looked.len();
    site.put(&patient("p0", "After")).await;
    site.put(&patient("p9", "New")).await;
    site.delete("p1").await;
    site.put(&patient("p4", "Back")).await;
    site.put("{'resourceType':'Patient','id':'p2','birthDate':'1970-01-01'}")
        .await;
    // Both sides changed the same element: a person is asked.
    let asked = site.pull(
        "{'resourceType':'Patient','id':'p2','birthDate':'1971-01-01'}",
        1,
    );
    assert!(matches!(asked.await, Applied::Asked { .. }));
    site.put(&patient("p3", "Last")).await;
    (site, begun, base)
}

#[tokio::test]
async fn every_commit_since_a_backup_can_be_gone_back_to() {
    let (site, begun, first) = lived().await;
    let later = site.copied("later");
    let moments = &site.looked[begun - 1..];
    assert!(moments.len() > 7);
    for (at, (seq, time_ms, expected)) in moments.iter().enumerate() {
        for (how, until) in [("seq", Until::Seq(*seq)), ("time", Until::Time(*time_ms))] {
            let base = copied(
                first.store(),
                &site.folder.path().join(format!("{how}{at}")),
            );
            let base = Repository::new(base, Clock::driven(0), site.repository.zone().clone());
            let told = base.replay(later.store(), until).unwrap();
            assert_eq!(told.last, seq.0);
            assert_eq!(&state(base.store()), expected, "{how} {at}");
            assert_eq!(audit(base.store()), audit(site.repository.store()));
            assert_eq!(base.store().verify(None).unwrap().findings, []);
        }
    }
}

#[tokio::test]
async fn what_was_erased_since_does_not_come_back() {
    let (mut site, _begun, base) = lived().await;
    site.delete("p0").await;
    let head = site
        .repository
        .store()
        .snapshot()
        .unwrap()
        .view()
        .head(&key("p0"));
    let head = head.unwrap().unwrap();
    let purge = Purge {
        rid: head.rid,
        from: VersionId(1),
        to: VersionId(head.version.0 - 1),
    };
    let set = WriteSet {
        purges: vec![purge],
        ..WriteSet::default()
    };
    let plan = move |_: &View<'_>| Ok::<_, Failure>((set, ()));
    site.repository.store().commit(plan).unwrap();
    let later = site.copied("later");
    let (last, _, _) = site.looked[site.looked.len() - 2];
    let told = base.replay(later.store(), Until::Seq(last)).unwrap();
    assert_eq!((told.erased, told.last), (1, last.0));
    assert!(base.read(&key("p0")).is_err());
    let versions = base.store().snapshot().unwrap();
    let versions = versions.view().history(head.rid, None, 10).unwrap();
    assert_eq!(versions.len(), 1, "the deletion alone is left");
    assert_eq!(base.store().verify(None).unwrap().findings, []);
}

#[tokio::test]
async fn backups_of_two_pasts_are_not_mixed() {
    let (site, _begun, base) = lived().await;
    let mut other = Site::new();
    for _ in 0..12 {
        other.put(&patient("p0", "Other")).await;
    }
    let refused = base.replay(other.repository.store(), Until::Seq(Seq(12)));
    assert_eq!(refused.unwrap_err().issues[0].number, "E-RESTORE-6");
    drop(site);
}
