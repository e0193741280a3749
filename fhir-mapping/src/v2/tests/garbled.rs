//! Messages with bytes struck at random: refused, or sound resources; never a panic.

use super::*;
use proptest::prelude::*;

/// Bytes that mean something to HL7 or to FHIR.
const STRIKING: &[u8] = b"|^~\\&\r\n\" \t09.-+<AZ\x00\x0c\xc3\xa9\xff";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn messages_are_refused_or_become_sound_resources(
        is_odd in any::<bool>(),
        strikes in proptest::collection::vec((any::<prop::sample::Index>(), 0..STRIKING.len()), 0..40),
    ) {
        let mut bytes = if is_odd { MINDRAY } else { CBC }.join("\r").into_bytes();
        for (place, with) in strikes {
            let at = place.index(bytes.len());
            bytes[at] = STRIKING[with];
        }
        let answer = acknowledge(&bytes, AckCode::Accept, "x", "1", "20261124");
        let parsed = parse(&bytes, &connection());
        prop_assert!(answer.is_some() || parsed.is_err(), "what is read can be answered");
        let Ok((message, _)) = parsed else { return Ok(()) };
        let Ok(draft) = map_oru(&message, &connection()) else { return Ok(()) };
        for mut resource in draft.groups.into_iter().flat_map(|g| g.resources) {
            let subject = Json::object([("reference", "Patient/1".into())]);
            resource.as_object_mut().unwrap().set("subject", subject);
            let issues = crate::validate::structure(&resource);
            prop_assert!(issues.is_empty(), "{:?} {}", issues, format_pretty(&resource));
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [b"MSH|^~\\&|", bytes.as_slice()].concat();
        let _answer = acknowledge(&bytes, AckCode::Error, "x", "1", "20261124");
        if let Ok((message, _)) = parse(&bytes, &connection()) {
            let _draft = map_oru(&message, &connection());
        }
    }
}
