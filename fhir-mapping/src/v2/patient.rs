//! PID: who the sender believes the patient to be (guide: PID[Patient], CX, XPN).

use super::Connection;
use super::dates;
use super::segments::{Field, Segment};
use super::shape::authority_system;
use crate::draft::Demographics;

/// Identifiers of PID-3 (PID-2 when that is empty) as (system, value), in the message's order.
pub(super) fn identifiers(pid: &Segment, connection: &Connection) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for number in [3, 2] {
        if !found.is_empty() {
            break;
        }
        for repeat in pid.field(number).repeats() {
            if let Some(value) = repeat.component(1).sub(1).text() {
                let pair = (system_of(repeat.component(4), connection), value);
                if !found.contains(&pair) {
                    found.push(pair);
                }
            }
        }
    }
    found
}

/// The connection's map first, then what the authority says of itself; without any authority the
/// connection's own system. A bare name gets a URN that a site can map.
fn system_of(authority: Field<'_>, connection: &Connection) -> String {
    let part = |n: usize| authority.sub(n).text_or_empty();
    let (namespace, universal, kind) = (part(1), part(2), part(3));
    if namespace.is_empty() && universal.is_empty() {
        return connection.patient_system.clone();
    }
    let names = [namespace.as_str(), universal.as_str(), authority.raw()];
    let mut mapped = connection.authorities.iter();
    if let Some((_, system)) = mapped.find(|(name, _)| names.contains(&name.as_str())) {
        return system.clone();
    }
    authority_system(&namespace, &universal, &kind).unwrap_or_else(|| {
        let name = if namespace.is_empty() {
            universal
        } else {
            namespace
        };
        let name = crate::terminology::systems::urn_part(&name);
        format!("urn:wayside:authority:{name}")
    })
}

/// Name, birth date and sex for checking an id match. Sex is an administrative-gender code; a word
/// that is none is left out.
pub(super) fn demographics(pid: &Segment) -> Demographics {
    let name = pid.field(5).first();
    let text = |field: Field<'_>| field.text();
    Demographics {
        family: name.component(1).sub(1).text(),
        given: name.component(2).sub(1).text(),
        birth_date: text(pid.field(7)).and_then(|t| dates::date(&t)),
        gender: text(pid.field(8).first().component(1)).and_then(|t| gender(&t)),
    }
}

/// HL7 table 0001, and the words and letters that instruments send instead.
fn gender(text: &str) -> Option<String> {
    let code = match text.to_lowercase().as_str() {
        "m" | "male" => "male",
        "f" | "female" | "w" => "female",
        "o" | "a" | "n" | "other" => "other",
        "u" | "unknown" => "unknown",
        _ => return None,
    };
    Some(code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{connection, segment};
    use super::*;

    fn check(pid: &str, expected: &[(&str, &str)]) {
        let mut connection = connection();
        connection.authorities = vec![("HOSP".to_owned(), "http://hosp.example/mrn".to_owned())];
        let found = identifiers(&segment(pid), &connection);
        let found: Vec<(&str, &str)> = found.iter().map(|(s, v)| (&**s, &**v)).collect();
        assert_eq!(found, expected, "{pid}");
    }

    #[test]
    fn identifiers_have_their_authority() {
        check("PID|1||7393670^^^^MR", &[("urn:clinic", "7393670")]);
        check("PID|1||1^^^HOSP^MR", &[("http://hosp.example/mrn", "1")]);
        check("PID|1||1^^^NAT&2.16.1&ISO", &[("urn:oid:2.16.1", "1")]);
        check(
            "PID|1||1^^^Some Lab",
            &[("urn:wayside:authority:Some-Lab", "1")],
        );
        check("PID|1||1^^^http://x/y", &[("http://x/y", "1")]);
        check(
            "PID|1||1~2^^^HOSP~1",
            &[("urn:clinic", "1"), ("http://hosp.example/mrn", "2")],
        );
        check("PID|1|99", &[("urn:clinic", "99")]);
        check("PID|1||\"\"", &[]);
    }

    #[test]
    fn demographics_as_far_as_they_are_plain() {
        let found = demographics(&segment("PID|1||1||Diallo&van^Awa||19900804000000|Female"));
        let expected = Demographics {
            family: Some("Diallo".to_owned()),
            given: Some("Awa".to_owned()),
            birth_date: Some("1990-08-04".to_owned()),
            gender: Some("female".to_owned()),
        };
        assert_eq!(found, expected);
        assert_eq!(
            demographics(&segment("PID|1||1||||x|??")),
            Demographics::default()
        );
    }
}
