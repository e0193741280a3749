use super::*;

fn places() -> (tempfile::TempDir, Places) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    (folder, Places { data, key: None })
}

fn pass(text: &str) -> Option<Zeroizing<String>> {
    Some(Zeroizing::new(text.to_owned()))
}

fn make_store(places: &Places) {
    std::fs::create_dir_all(&places.data).unwrap();
    std::fs::write(places.data.join("data.mdb"), b"x").unwrap();
}

fn key(places: &Places, passphrase: Option<Zeroizing<String>>) -> [u8; 32] {
    *obtain(places, passphrase).unwrap().current
}

#[track_caller]
fn check_refused(places: &Places, passphrase: Option<Zeroizing<String>>, number: &str) {
    let error = obtain(places, passphrase).err().unwrap().to_string();
    assert!(error.starts_with(number), "{error}");
}

#[test]
fn a_key_file_is_made_once_and_only_its_owner_reads_it() {
    let (_folder, places) = places();
    let first = key(&places, None);
    make_store(&places);
    assert_eq!(first, key(&places, None));
    assert_ne!(first, [0; 32]);
    for file in [
        places.key_file(),
        places.sheet_file(),
        Slots::path(&places.data),
    ] {
        let mode = std::fs::metadata(file).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
}

#[test]
fn a_store_without_its_key_never_gets_a_new_one() {
    let (_folder, places) = places();
    make_store(&places);
    check_refused(&places, None, "E-KEY-1");
    assert!(!places.key_file().exists());
}

#[test]
fn the_sheet_opens_a_store_whose_key_file_is_lost() {
    let (_folder, places) = places();
    let first = key(&places, None);
    make_store(&places);
    std::fs::remove_file(places.key_file()).unwrap();
    check_refused(&places, None, "E-KEY-1");
    let sheet = std::fs::read_to_string(places.sheet_file()).unwrap();
    let line = sheet.lines().find(|line| line.starts_with("R-")).unwrap();
    let secret = Secret::Recovery(vault::recovery::key_of_text(line).unwrap());
    let (slots, master) = ways(&places, Some(secret), None).unwrap();
    assert_eq!(*master.current, first);
    assert_eq!(slots.ways().len(), 2);
    let wrong = Secret::Recovery(Zeroizing::new([1; 32]));
    let error = ways(&places, Some(wrong), None).err().unwrap().to_string();
    assert!(error.starts_with("E-KEY-9"), "{error}");
}

/// Between its three steps a rotation may be cut off; one of the two files opens the store.
#[test]
fn a_rotation_cut_off_anywhere_leaves_a_key_that_opens() {
    let (_folder, places) = places();
    let open = |key: [u8; 32]| {
        let options = store::OpenOptions {
            folder: places.data.clone(),
            map_size_bytes: 1 << 26,
            queue_length_max: 1,
            random,
        };
        let keys = store::Keys {
            key_encryption_key: key,
        };
        store::Store::open(options, keys)
    };
    let first = key(&places, None);
    let store = open(first).unwrap();
    rotate(&places.data, &store).unwrap();
    let second = key(&places, None);
    assert_ne!(first, second);
    assert!(obtain_next(&places, None).unwrap().is_none());

    // Cut off after the next file, before the store took the key.
    let mut slots = Slots::load(&places.data).unwrap().unwrap();
    slots
        .reseal(&Master {
            current: Zeroizing::new([9; 32]),
        })
        .unwrap();
    slots.save_next(&places.data).unwrap();
    drop(store);
    let store = open(key(&places, None)).unwrap();

    // Cut off after the store took it, before the file took its place.
    let keys = store::Keys {
        key_encryption_key: [9; 32],
    };
    store.rewrap(&keys, [1; 12]).unwrap();
    drop(store);
    assert!(matches!(
        open(key(&places, None)),
        Err(store::StoreError::WrongKey)
    ));
    let next = obtain_next(&places, None).unwrap().unwrap();
    open(*next.current).unwrap();
    Slots::promote_next(&places.data).unwrap();
    assert_eq!(key(&places, None), [9; 32]);
}

#[test]
fn a_start_that_was_cut_off_is_made_good() {
    let (_folder, places) = places();
    key(&places, None);
    let file = std::fs::read(places.key_file()).unwrap();
    std::fs::remove_file(Slots::path(&places.data)).unwrap();
    let second = key(&places, None);
    assert_eq!(std::fs::read(places.key_file()).unwrap(), file);
    make_store(&places);
    assert_eq!(key(&places, None), second);
}

#[test]
fn a_passphrase_opens_and_another_does_not() {
    let (_folder, places) = places();
    let first = key(&places, pass("open"));
    make_store(&places);
    assert_eq!(first, key(&places, pass("open")));
    assert!(!places.key_file().exists());
    check_refused(&places, pass("shut"), "E-KEY-9");
    check_refused(&places, None, "E-KEY-3");
}

#[test]
fn a_passphrase_over_a_key_file_store_is_refused() {
    let (_folder, places) = places();
    key(&places, None);
    make_store(&places);
    check_refused(&places, pass("open"), "E-KEY-4");
}

#[test]
fn a_store_of_the_first_form_opens_and_gets_its_ways() {
    let (_folder, places) = places();
    make_store(&places);
    write_key_file(&places.key_file(), &[5; 32]).unwrap();
    assert_eq!(key(&places, None), [5; 32]);
    check_refused(&places, pass("open"), "E-KEY-4");
    let (mut slots, master) = ways(&places, None, None).unwrap();
    assert_eq!(*master.current, [5; 32]);
    slots.save(&places.data).unwrap();
    assert_eq!(key(&places, None), [5; 32]);
}

#[test]
fn a_passphrase_of_the_first_form_opens_and_gets_its_ways() {
    let (_folder, places) = places();
    make_store(&places);
    write_key_file(&places.data.join("passphrase.salt"), &[5; 32]).unwrap();
    let first = key(&places, pass("open"));
    assert_ne!(first, key(&places, pass("shut")));
    check_refused(&places, None, "E-KEY-3");
    let (mut slots, _master) = ways(&places, None, pass("open")).unwrap();
    slots.save(&places.data).unwrap();
    assert_eq!(first, key(&places, pass("open")));
}

#[test]
fn a_damaged_or_exposed_key_file_is_refused() {
    let (_folder, places) = places();
    key(&places, None);
    replace_secret(&places.key_file(), "0123").unwrap();
    check_refused(&places, None, "E-KEY-2");
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(places.key_file(), open).unwrap();
    check_refused(&places, None, "E-KEY-6");
}
