//! What becomes of an exchange when one of the two sides goes back to yesterday: this site or its target.

use super::*;

impl Site {
    /// The site put together again from a backup of another moment, against the same target.
    fn restored(self, folder: tempfile::TempDir, national: National) -> Site {
        let keys = Keys {
            key_encryption_key: [7; 32],
        };
        let store = Store::open(options(folder.path()), keys).unwrap();
        let zone = Zone::of(jiff::tz::TimeZone::UTC);
        drop(self.repository);
        Site {
            national,
            repository: Repository::new(store, Clock::system(0), zone),
            stop: watch::Sender::new(false),
            running: Mutex::default(),
            _folder: folder,
        }
    }

    /// A backup of this moment, in a folder of its own.
    fn backup(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let store = self.repository.store();
        let (secrets, keys) = (
            store.secrets().unwrap(),
            Keys {
                key_encryption_key: [7; 32],
            },
        );
        let lives = store.incarnations().unwrap();
        let lives = lives.followed_by(store::Incarnation {
            id: [9; 8],
            after: store::Seq(1),
            time_ms: 1,
        });
        let to = options(folder.path());
        let mut assembly =
            store::Assembly::begin(&to, (&secrets, &keys), 1 << 20, Some(&lives)).unwrap();
        let image = store.image().unwrap();
        image.each_row(|row| assembly.put(row)).unwrap();
        drop(image);
        assembly.finish().unwrap();
        folder
    }
}

fn options(folder: &std::path::Path) -> OpenOptions {
    OpenOptions {
        folder: folder.join("data"),
        map_size_bytes: 64 << 20,
        queue_length_max: 256,
        random: |bytes| getrandom::fill(bytes).unwrap(),
    }
}

fn named(id: &str, gender: &str) -> String {
    format!("{{'resourceType':'Patient','id':'{id}','gender':'{gender}'}}")
}

/// T51 and T53: this site goes back to yesterday. What it had delivered comes back from the target; what it had
/// not is sent; nothing over there goes back; and version numbers that are given again hide nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_restored_from_yesterday_loses_nothing_that_was_delivered() {
    let mut site = Site::start().await;
    site.put(&named("old", "unknown")).await;
    until("settled", || {
        site.arrived("Patient/old") == 1 && site.backlog() == 0
    })
    .await;
    site.national.behave(Behaviour::Cut);
    site.put(&named("waiting", "unknown")).await;
    until("taken over", || site.backlog() == 1).await;
    let backup = site.backup();
    site.national.behave(Behaviour::Normal);
    site.put(&named("old", "male")).await;
    site.put(&named("new", "female")).await;
    until("all there", || {
        site.arrived("Patient/new") == 1
            && site.arrived("Patient/waiting") == 1
            && site.arrived("Patient/old") == 2
            && site.backlog() == 0
    })
    .await;
    site.stop().await;
    let national = std::mem::replace(
        &mut site.national,
        National::start("127.0.0.1:0").await.unwrap(),
    );
    let site = site.restored(backup, national);
    assert!(site.repository.read(&key("Patient/new")).is_err());
    // Version 2 of `old` is given a second time, to another content.
    site.put("{'resourceType':'Patient','id':'old','gender':'unknown','birthDate':'1970-01-01'}")
        .await;
    site.run();
    let is_merged = || {
        let here = site.head("Patient/old");
        here.str_at(&["gender"]) == Some("male")
            && site.there("Patient/old", "/birthDate") == "1970-01-01"
            && site.there("Patient/old", "/gender") == "male"
    };
    until("both edits on both sides", is_merged).await;
    until("what was lost is back", || {
        site.repository.read(&key("Patient/new")).is_ok()
    })
    .await;
    until("settled", || site.backlog() == 0).await;
    assert_eq!(site.arrived("Patient/waiting"), 1, "sent twice, kept once");
    assert_eq!(site.arrived("Patient/new"), 1);
    assert!(site.repository.reviews(10).unwrap().is_empty());
    site.stop().await;
}

/// The other way round: the target goes back to yesterday, and tells of another life. It is given what it lost;
/// what it still has is not sent again; and a version number that it gives again is no echo.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_restored_from_yesterday_is_given_what_it_lost() {
    let site = Site::start().await;
    site.national.live("first");
    site.put(&named("kept", "unknown")).await;
    site.put(&named("edited", "unknown")).await;
    site.put(&named("gone", "unknown")).await;
    until("settled", || {
        site.arrived("Patient/gone") == 1 && site.backlog() == 0
    })
    .await;
    let backup = site.national.backup();
    site.put(&named("edited", "male")).await;
    site.put(&named("lost", "female")).await;
    site.put(&named("both", "female")).await;
    site.delete("Patient/gone").await;
    until("all there", || {
        site.arrived("Patient/edited") == 2
            && site.arrived("Patient/lost") == 1
            && site.arrived("Patient/both") == 1
            && site.national.current("Patient/gone").is_none()
            && site.backlog() == 0
    })
    .await;
    site.national.behave(Behaviour::Cut);
    site.national.restore(backup, "second");
    // It gives version 1 of this one a second time, to another content.
    site.national.edit("Patient/both", |json| {
        *json = serde_json::json!({"resourceType": "Patient", "id": "both", "gender": "other"});
    });
    site.national.behave(Behaviour::Normal);
    until("given back", || {
        site.there("Patient/lost", "/gender") == "female"
            && site.there("Patient/edited", "/gender") == "male"
            && site.national.current("Patient/gone").is_none()
    })
    .await;
    until("the other content was seen", || {
        site.versions_here("Patient/both") > 1
    })
    .await;
    let head = site.head("Patient/edited");
    assert_eq!(
        head.str_at(&["gender"]),
        Some("male"),
        "not rolled back here"
    );
    assert_eq!(site.arrived("Patient/kept"), 1, "it has it still");
    assert_eq!(site.national.refusals(), Vec::<String>::new());
}
