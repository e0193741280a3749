//! Fixed ids: a hash of the business key, so that a correction is a new version of the same
//! resource and a resend is no new one.

use uuid::Uuid;

/// The id of what these parts name. Parts are never glued: each is hashed with its length.
pub(super) fn fixed_id(parts: &[&str]) -> String {
    let space = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:wayside:device-resource");
    let mut key = Vec::new();
    for part in parts {
        let part = part.trim();
        key.extend_from_slice(part.len().to_string().as_bytes());
        key.push(b':');
        key.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&space, &key).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_every_part_and_on_nothing_else() {
        let id = fixed_id(&["report", "a", "b"]);
        assert_eq!(id, fixed_id(&["report", "a", "b "]));
        assert_eq!(id.len(), 36);
        for other in [
            &["report", "ab", ""][..],
            &["report", "", "ab"],
            &["report", "a", "c"],
        ] {
            assert_ne!(id, fixed_id(other));
        }
    }
}
