//! Plans from many threads: isolation within a group, refusals, panics, listeners, a full queue,
//! closing, and growth of the map under readers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use store::{CommitError, Committed, Rid, Seq, Store, StoreError, VersionId, View, WriteSet};

type Answer = Result<(Committed, u64), CommitError<String>>;

/// Adds one to a counter kept in the body of one resource.
fn count_up(view: &View<'_>) -> Result<(WriteSet, u64), String> {
    let head = view
        .head(&support::key("counter"))
        .map_err(|e| e.to_string())?;
    let (number, count) = match head {
        None => (1, 1),
        Some(head) => {
            let version = view.version(head.rid, head.version).unwrap().unwrap();
            let count: u64 = String::from_utf8(version.body).unwrap().parse().unwrap();
            (head.newest.0 + 1, count + 1)
        }
    };
    let new = support::version("counter", number, &count.to_string());
    Ok((support::set_of(vec![new]), count))
}

#[test]
fn plans_of_one_group_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(folder.path());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    store.on_commit(move |seq| listener.lock().unwrap().push(seq.0));
    let mut counts: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..25)
                        .map(|_| store.commit(count_up).unwrap().1)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    counts.sort_unstable();
    assert_eq!(counts, (1..=200).collect::<Vec<_>>());
    store.close();
    let heard = heard.lock().unwrap();
    assert_eq!(heard.last(), Some(&200));
    assert!(heard.is_sorted() && heard.len() <= 200);
}

/// One slow plan holds the writer while the others queue up: all of them make one group.
#[test]
fn a_refusal_a_panic_and_an_invalid_set_leave_their_group_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(folder.path());
    let (release, gate) = mpsc::sync_channel::<()>(1);
    let (answers, answered) = mpsc::sync_channel::<(u8, Answer)>(16);
    let submit = |name: u8, plan: fn(&View<'_>) -> Result<(WriteSet, u64), String>| {
        let answers = answers.clone();
        store
            .submit(plan, move |answer| answers.send((name, answer)).unwrap())
            .unwrap();
    };
    store
        .submit(
            move |_| {
                gate.recv().unwrap();
                Ok::<_, String>((WriteSet::default(), 0))
            },
            |_: Answer| {},
        )
        .unwrap();
    submit(1, count_up);
    submit(2, |_| Err("no".to_owned()));
    submit(3, |_| panic!("a defect of the plan"));
    submit(4, |_| {
        Ok((
            support::set_of(vec![support::version("counter", 9, "{}")]),
            0,
        ))
    });
    submit(5, count_up);
    release.send(()).unwrap();
    for _ in 0..5 {
        match answered.recv_timeout(Duration::from_secs(20)).unwrap() {
            (1, Ok((committed, 1))) => assert_eq!(committed.seqs, vec![Seq(1)]),
            (2, Err(CommitError::Refused(why))) => assert_eq!(why, "no"),
            (3 | 4, Err(CommitError::Store(StoreError::Invalid(_)))) => {}
            (5, Ok((committed, 2))) => assert_eq!(committed.seqs, vec![Seq(2)]),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_full_queue_answers_busy_and_closing_answers_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = support::options(folder.path());
    options.queue_length_max = 2;
    let store = Store::open(options, support::keys()).unwrap();
    let (release, gate) = mpsc::sync_channel::<()>(1);
    let (started, running) = mpsc::sync_channel::<()>(1);
    store
        .submit(
            move |_| {
                started.send(()).unwrap();
                gate.recv().unwrap();
                Ok::<_, ()>((WriteSet::default(), ()))
            },
            |_| {},
        )
        .unwrap();
    running.recv().unwrap();
    let (answers, answered) = mpsc::sync_channel(4);
    for _ in 0..2 {
        let answers = answers.clone();
        store
            .submit(count_up, move |answer| {
                answers.send(answer.is_ok()).unwrap()
            })
            .unwrap();
    }
    let third = store.submit(count_up, |_| {});
    assert!(matches!(third, Err(StoreError::Busy)));
    let other = store.clone();
    release.send(()).unwrap();
    store.close();
    assert_eq!((answered.recv(), answered.recv()), (Ok(true), Ok(true)));
    assert!(matches!(
        other.submit(count_up, |_| {}),
        Err(StoreError::Closed)
    ));
    assert!(matches!(other.snapshot().err(), Some(StoreError::Closed)));
    assert!(support::open(folder.path()).stats().unwrap().versions == 2);
}

#[test]
fn commit_on_the_writer_thread_is_refused_instead_of_hanging() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(folder.path());
    let inner = store.clone();
    let (answers, answered) = mpsc::sync_channel(1);
    store
        .submit(
            |_| Ok::<_, ()>((WriteSet::default(), ())),
            move |_| answers.send(inner.commit(count_up).is_err()).unwrap(),
        )
        .unwrap();
    assert_eq!(answered.recv_timeout(Duration::from_secs(20)), Ok(true));
}

#[test]
fn the_map_grows_under_readers_and_writers() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = support::options(folder.path());
    options.map_size_bytes = 1 << 18;
    let store = Store::open(options, support::keys()).unwrap();
    let mut bytes = [0; 4000];
    support::random(&mut bytes);
    let body: String = bytes
        .iter()
        .map(|byte| char::from(b'!' + byte % 90))
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (store, body) = (&store, &body);
            scope.spawn(move || {
                for number in 0..100 {
                    let set = (0..50)
                        .map(|n| support::version(&format!("{thread}-{number}-{n}"), 1, body))
                        .collect();
                    if number % 5 == 0 {
                        support::write(store, support::set_of(set));
                    }
                    let snapshot = store.snapshot().unwrap();
                    let heads = snapshot.view().scan_heads(None, 3).unwrap();
                    for head in heads {
                        let found = snapshot.view().version(head.rid, head.version).unwrap();
                        assert_eq!(found.unwrap().body, body.as_bytes());
                    }
                }
            });
        }
    });
    let stats = store.stats().unwrap();
    assert_eq!(stats.resources, 3000);
    assert!(stats.file_bytes > 8 << 20, "{stats:?}");
    assert_eq!(store.verify(Some(100)).unwrap().findings, vec![]);
}

#[test]
fn snapshots_keep_their_moment_and_postings_jump() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(folder.path());
    for bundle in 0..13_u64 {
        let versions = (0..400_u64)
            .map(|n| {
                let number = bundle * 400 + n;
                let mut new = support::version(&number.to_string(), 1, "{\"a\":1}");
                new.terms_added = vec![support::term("all")];
                if number % 100 == 0 {
                    new.terms_added.push(support::term("some"));
                }
                new
            })
            .collect();
        support::write(&store, support::set_of(versions));
    }
    let snapshot = store.snapshot().unwrap();
    let mut removal = support::version("0", 2, "");
    removal.terms_added.clear();
    removal.terms_removed = vec![support::term("all"), support::term("some")];
    support::write(&store, support::set_of(vec![removal]));
    let view = snapshot.view();
    let mut all = view.postings(&support::term("all")).unwrap();
    let mut some = view.postings(&support::term("some")).unwrap();
    assert_eq!((all.count(), some.count()), (5200, 52));
    assert_eq!(some.next().unwrap(), Some(Rid(1)));
    assert_eq!(all.seek(Rid(4095)).unwrap(), Some(Rid(4095)));
    assert_eq!(all.next().unwrap(), Some(Rid(4096)));
    assert_eq!(some.seek(Rid(4096)).unwrap(), Some(Rid(4101)));
    assert_eq!(some.seek(Rid(2)).unwrap(), Some(Rid(101)));
    assert_eq!(all.seek(Rid(5201)).unwrap(), None);
    assert_eq!(all.seek(Rid(u64::MAX)).unwrap(), None);
    let later = store.snapshot().unwrap();
    let mut all = later.view().postings(&support::term("all")).unwrap();
    assert_eq!((all.count(), all.next().unwrap()), (5199, Some(Rid(2))));
    let head = later.view().head(&support::key("0")).unwrap().unwrap();
    assert_eq!((head.deleted, head.version), (true, VersionId(2)));
    assert_eq!(later.view().values(head.rid).unwrap(), None);
}

/// Whoever keeps something of a resource must learn of every write to it.
#[test]
fn a_write_to_a_head_ends_what_was_kept_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(folder.path());
    let counted = |store: &Store| store.commit(count_up).unwrap();
    counted(&store);
    let other = support::version("other", 1, "other");
    let other = support::set_of(vec![other]);
    store.commit(move |_| Ok::<_, String>((other, ()))).unwrap();
    let rid = |name: &str| {
        let snapshot = store.snapshot().unwrap();
        let head = snapshot.view().head(&support::key(name)).unwrap();
        (head.unwrap().rid, snapshot.moment())
    };
    for _ in 0..50 {
        let (counter, since) = rid("counter");
        let (other, _) = rid("other");
        assert!(store.is_unchanged(counter, since));
        counted(&store);
        assert!(!store.is_unchanged(counter, since));
        assert!(store.is_unchanged(other, since));
    }
}
