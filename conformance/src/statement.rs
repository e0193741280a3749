//! Compares the CapabilityStatement with what the cases prove: no claim without a case, and no
//! proven ability that is left unclaimed.

use crate::runner::Verdict;
use serde_json::Value;
use std::collections::BTreeSet;

/// Proofs that no member of a CapabilityStatement can claim.
const BEYOND_CLAIMS: [&str; 6] = [
    "paging",
    "outcomes",
    "format",
    "preconditions",
    "sorting",
    "decimals",
];

/// The claims of a statement, each once: `read`, `search:token`, `system:batch`, `include`, ...
pub fn claims(statement: &Value) -> BTreeSet<String> {
    let mut claims = BTreeSet::new();
    for rest in list(statement, "rest") {
        for interaction in list(rest, "interaction") {
            claims.extend(code(interaction, "code").map(|c| format!("system:{c}")));
        }
        for resource in list(rest, "resource") {
            claims.extend(of_resource(resource));
        }
    }
    claims
}

fn of_resource(resource: &Value) -> BTreeSet<String> {
    let mut claims = BTreeSet::new();
    claims.extend(list(resource, "interaction").filter_map(|i| code(i, "code")));
    let kinds = list(resource, "searchParam").filter_map(|p| code(p, "type"));
    claims.extend(kinds.map(|kind| format!("search:{kind}")));
    for flag in [
        "updateCreate",
        "conditionalCreate",
        "conditionalUpdate",
        "readHistory",
    ] {
        if resource.get(flag) == Some(&Value::Bool(true)) {
            claims.insert(flag.to_owned());
        }
    }
    for (member, none) in [
        ("conditionalRead", "not-supported"),
        ("conditionalDelete", "not-supported"),
    ] {
        claims.extend(
            code(resource, member)
                .filter(|c| c != none)
                .map(|c| format!("{member}:{c}")),
        );
    }
    claims.extend(
        code(resource, "versioning")
            .filter(|c| c != "no-version")
            .map(|c| format!("versioning:{c}")),
    );
    for member in ["searchInclude", "searchRevInclude"] {
        if list(resource, member).next().is_some() {
            claims.insert(member.to_owned());
        }
    }
    claims
}

/// What is claimed without a case that holds, and what is proven but not claimed.
pub fn compare(statement: &Value, verdicts: &[Verdict]) -> Vec<String> {
    let claimed = claims(statement);
    let proven: BTreeSet<String> = verdicts
        .iter()
        .filter(|verdict| verdict.failures.is_empty())
        .flat_map(|verdict| verdict.proves.iter().cloned())
        .filter(|proof| !BEYOND_CLAIMS.contains(&proof.as_str()))
        .collect();
    let bare = claimed.difference(&proven);
    let silent = proven.difference(&claimed);
    bare.map(|claim| format!("claimed, but no case proves it: {claim}"))
        .chain(silent.map(|proof| format!("proven by a case, but not claimed: {proof}")))
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let items = value.get(key).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn code(value: &Value, key: &str) -> Option<String> {
    Some(value.get(key)?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_and_proofs_must_be_equal() {
        let statement = json!({"rest": [{"interaction": [{"code": "batch"}], "resource": [
            {"interaction": [{"code": "read"}], "searchParam": [{"type": "date"}],
             "conditionalDelete": "not-supported", "updateCreate": false, "versioning": "versioned"}]}]});
        let verdict = |proves: &[&str], failures: &[&str]| Verdict {
            case: "c".to_owned(),
            proves: proves.iter().map(|p| (*p).to_owned()).collect(),
            failures: failures.iter().map(|f| (*f).to_owned()).collect(),
        };
        let all = [
            "system:batch",
            "read",
            "search:date",
            "versioning:versioned",
            "paging",
        ];
        assert_eq!(
            compare(&statement, &[verdict(&all, &[])]),
            Vec::<String>::new()
        );
        let found = compare(
            &statement,
            &[verdict(&all, &["broken"]), verdict(&["vread"], &[])],
        );
        assert_eq!(found.len(), 5);
        assert_eq!(
            found.last().unwrap(),
            "proven by a case, but not claimed: vread"
        );
    }
}
