//! Bodies of every kind come back, and shrink as they should.

use super::*;
use crate::catalog;

fn packed(database: &str, body: &[u8]) -> (u8, usize) {
    let known = Known {
        start: b"{\"resourceType\":\"Patient\",\"id\":\"1\"",
        id: None,
    };
    let mut out = b"front".to_vec();
    let form = pack(database, (body, &known), &mut out);
    let packed = out.strip_prefix(b"front").unwrap();
    assert_eq!(unpack(form, packed, &known).as_deref(), Some(body));
    for length in 0..packed.len().min(64) {
        // What a cut body gives is something else or nothing; the seal keeps it from happening.
        assert_ne!(
            unpack(form, &packed[..length], &known).as_deref(),
            Some(body)
        );
    }
    (form, packed.len())
}

const TEXT: &str = r#"{"resourceType":"Patient","id":"1","meta":{"versionId":"1"},"link":[{"other":{"reference":"Patient/0a1b2c3d-0000-4fff-8000-00000000000f"}}]}"#;

#[test]
fn bodies_come_back() {
    for database in [catalog::VERSIONS, catalog::AUDIT, catalog::ROWS] {
        for length in [0, 1, 23, 24, 191, 192, 5000, 2 << 20] {
            let body: Vec<u8> = TEXT.bytes().cycle().take(length).collect();
            let (form, packed) = packed(database, &body);
            assert_eq!(form == AS_IS, packed == length, "{database} {length}");
            assert!(packed <= length);
            assert!(length < 192 || packed < length, "{database} {length}");
        }
        let noise: Vec<u8> = (0..4096_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[1])
            .collect();
        packed(database, &noise);
    }
}

#[test]
fn a_dictionary_and_what_is_known_make_a_small_resource_smaller() {
    let (form, with) = packed(catalog::VERSIONS, TEXT.as_bytes());
    let (_, without) = packed(catalog::ROWS, TEXT.as_bytes());
    assert_eq!(form, LEAN + 1);
    assert!(with * 2 < without, "{with} {without}");
}

#[test]
fn what_no_program_packed_is_refused() {
    let known = Known::default();
    for form in [2, 0x0f, LEAN, 0x7f] {
        assert_eq!(unpack(form, b"0123456789", &known), None, "{form}");
    }
    assert_eq!(unpack(LEAN + 1, b"", &known), None);
    assert_eq!(unpack(LEAN + 1, &[200, 1, 0], &known), None);
    assert_eq!(unpack(LEAN + 1, &[0, 1, 2, 3], &known), None);
    assert_eq!(unpack(ZSTD, b"no frame", &known), None);
}
