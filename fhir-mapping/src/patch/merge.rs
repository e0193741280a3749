//! JSON Merge Patch (RFC 7386): members replace members, `null` takes one away, objects go deeper.

use crate::model::{Issue, IssueCode, Json, Object};

/// No element of FHIR has as many.
const MEMBERS_MAX: usize = 1_000;

pub(super) fn check(patch: &Json) -> Result<(), Issue> {
    if patch.as_object().is_none() {
        let text = "a merge patch is an object with the members to change";
        return Err(Issue::error("E-PATCH-7", IssueCode::Structure, "", text));
    }
    if !is_narrow(patch) {
        let text = format!("an object of the patch has more than {MEMBERS_MAX} members");
        return Err(Issue::error("E-PATCH-8", IssueCode::TooCostly, "", text));
    }
    Ok(())
}

fn is_narrow(patch: &Json) -> bool {
    patch.as_object().is_none_or(|object| {
        object.len() <= MEMBERS_MAX && object.iter().all(|(_, value)| is_narrow(value))
    })
}

pub(super) fn apply(target: &mut Json, patch: &Json) {
    let Some(members) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if target.as_object().is_none() {
        *target = Json::Object(Object::new());
    }
    let Some(object) = target.as_object_mut() else {
        return;
    };
    for (name, value) in members.iter() {
        if *value == Json::Null {
            object.remove(name);
            continue;
        }
        if let Some(place) = object.get_mut(name) {
            apply(place, value);
            continue;
        }
        let mut merged = Json::Null;
        apply(&mut merged, value);
        object.set(name, merged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Limits, format, parse};

    /// The test cases of RFC 7386's appendix, in its order.
    #[test]
    fn the_cases_of_the_rfc() {
        for (original, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let tree = |text: &str| parse(text.as_bytes(), Limits::default()).unwrap();
            let mut target = tree(original);
            apply(&mut target, &tree(patch));
            assert_eq!(format(&target), expected, "{original} {patch}");
        }
    }

    #[test]
    fn only_objects_are_patches_of_resources() {
        assert_eq!(check(&Json::array([])).unwrap_err().number, "E-PATCH-7");
        let wide = (0..=MEMBERS_MAX).map(|n| (n.to_string(), Json::Null));
        let wide = Json::object([("a", Json::Object(wide.collect()))]);
        assert_eq!(check(&wide).unwrap_err().number, "E-PATCH-8");
    }
}
