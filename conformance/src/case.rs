//! A case file: steps of requests and expectations, with `${name}` for values kept on the way.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One case, read from `cases/<capability>/<name>.json`.
#[derive(Clone, Debug)]
pub struct Case {
    /// `<capability>/<name>`
    pub name: String,
    /// Claims of the CapabilityStatement, as `statement` spells them, that this case proves.
    pub proves: Vec<String>,
    pub steps: Vec<Step>,
}

/// One request and what must come back; the members are described in `cases/README.md`.
#[derive(Clone, Debug)]
pub struct Step {
    pub members: Map<String, Value>,
}

/// Values kept by earlier steps, and `run`, which no other run has.
pub type Kept = BTreeMap<String, String>;

const STEP_MEMBERS: [&str; 20] = [
    "send",
    "headers",
    "body",
    "text",
    "repeat",
    "parallel",
    "pages",
    "status",
    "statuses",
    "header",
    "no_header",
    "is",
    "has",
    "absent",
    "count",
    "ids",
    "issue",
    "at",
    "keep",
    "raw",
];

/// All cases below a folder, sorted by name.
pub fn read_all(folder: &Path) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for capability in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        for file in entries(&capability)? {
            cases.push(read(folder, &file)?);
        }
    }
    Ok(cases)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let listing = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn read(folder: &Path, file: &Path) -> Result<Case, String> {
    let name = file.strip_prefix(folder).unwrap_or(file).with_extension("");
    let name = name.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|e| format!("{name}: {e}"))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| format!("{name}: {e}"))?;
    let list = |key: &str| {
        let items = value.get(key).and_then(Value::as_array).cloned();
        items.ok_or_else(|| format!("{name}: `{key}` must be a list"))
    };
    let proves = list("proves")?
        .iter()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect();
    let steps: Result<Vec<Step>, String> = list("steps")?
        .into_iter()
        .map(|step| Step::check(&name, step))
        .collect();
    Ok(Case {
        name,
        proves,
        steps: steps?,
    })
}

impl Step {
    /// Refuses a member that no step has: a misspelt expectation would never fail.
    fn check(case: &str, step: Value) -> Result<Step, String> {
        let Value::Object(members) = step else {
            return Err(format!("{case}: a step must be an object"));
        };
        let unknown = members.keys().find(|k| !STEP_MEMBERS.contains(&k.as_str()));
        match unknown {
            Some(unknown) => Err(format!("{case}: a step has no member `{unknown}`")),
            None if !members.contains_key("send") => Err(format!("{case}: a step needs `send`")),
            None => Ok(Step { members }),
        }
    }

    /// The step with the kept values put in.
    pub(crate) fn fill(&self, kept: &Kept) -> Map<String, Value> {
        let pairs = self.members.iter();
        pairs
            .map(|(key, value)| (key.clone(), fill(value, kept)))
            .collect()
    }
}

fn fill(value: &Value, kept: &Kept) -> Value {
    match value {
        Value::String(text) => Value::String(fill_text(text, kept)),
        Value::Array(items) => items.iter().map(|item| fill(item, kept)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, item)| (fill_text(key, kept), fill(item, kept)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn fill_text(text: &str, kept: &Kept) -> String {
    kept.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kept_values_are_put_in_everywhere() {
        let kept = Kept::from([("run".to_owned(), "r7".to_owned())]);
        let step = json!({"send": "GET Patient/${run}", "is": {"/${run}": ["${run}", 1]}});
        let filled = Step::check("c", step).unwrap().fill(&kept);
        assert_eq!(
            Value::Object(filled),
            json!({"send": "GET Patient/r7", "is": {"/r7": ["r7", 1]}})
        );
    }

    #[test]
    fn misspelt_members_are_refused() {
        for (step, expected) in [
            (
                json!({"send": "GET x", "statsu": 200}),
                "c: a step has no member `statsu`",
            ),
            (json!({"status": 200}), "c: a step needs `send`"),
            (json!("GET x"), "c: a step must be an object"),
        ] {
            assert_eq!(Step::check("c", step).unwrap_err(), expected);
        }
    }
}
