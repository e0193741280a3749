//! Case files: a theme of one capability, what is given, and its cases. `cases/README.md` tells
//! the members.

use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// One file: small cases of one capability that may share what is given.
#[derive(Clone, Debug)]
pub struct Theme {
    /// Path below the folder of cases, without `.json`.
    pub file: String,
    pub capability: String,
    /// The type that `find` asks when it names none.
    pub of_type: String,
    pub given: Vec<Given>,
    pub cases: Vec<Case>,
}

/// A resource, or several of one kind, made before the steps.
#[derive(Clone, Debug)]
pub struct Given {
    pub name: String,
    /// How many, when the case asks for more than one: `p` becomes `p0`, `p1`, ...
    pub times: Option<u64>,
    /// An object, or its exact text.
    pub resource: Value,
}

/// What one case sends and what must come back.
#[derive(Clone, Debug)]
pub struct Case {
    /// `file: name`, different for every case.
    pub name: String,
    /// Title of the specification's section.
    pub section: String,
    /// Its address.
    pub spec: String,
    /// Claims beyond those that its requests name by themselves.
    pub needs: Vec<String>,
    /// No member of a CapabilityStatement states it: a clear refusal is not a failure.
    pub is_optional: bool,
    /// The specification leaves it to the server: one that answers, and does not do it, has not failed.
    pub is_free: bool,
    pub given: Vec<Given>,
    pub steps: Vec<Map<String, Value>>,
}

const THEME_MEMBERS: [&str; 8] = [
    "capability",
    "section",
    "spec",
    "type",
    "needs",
    "optional",
    "given",
    "cases",
];
const CASE_MEMBERS: [&str; 8] = [
    "name", "section", "spec", "needs", "optional", "free", "given", "steps",
];
const STEP_MEMBERS: [&str; 47] = [
    "send",
    "find",
    "hooked",
    "socket",
    "times",
    "headers",
    "body",
    "text",
    "repeat",
    "xml",
    "form",
    "hex",
    "packed",
    "tag",
    "parallel",
    "statuses",
    "eventually",
    "prefer",
    "by",
    "scope",
    "status",
    "header",
    "no_header",
    "is",
    "every",
    "some",
    "none",
    "list",
    "bag",
    "has",
    "absent",
    "present",
    "count",
    "least",
    "number",
    "equal",
    "raw",
    "no_raw",
    "issue",
    "at",
    "types",
    "ids",
    "ordered",
    "included",
    "total",
    "size",
    "keep",
];

/// All themes below a folder, sorted by file.
pub fn read_all(folder: &Path) -> Result<Vec<Theme>, String> {
    let mut themes = Vec::new();
    for area in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        for file in entries(&area)? {
            themes.push(read(folder, &file)?);
        }
    }
    Ok(themes)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let listing = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn read(folder: &Path, file: &Path) -> Result<Theme, String> {
    let name = file.strip_prefix(folder).unwrap_or(file).with_extension("");
    let name = name.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|e| format!("{name}: {e}"))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| format!("{name}: {e}"))?;
    theme(&name, &value).map_err(|problem| format!("{name}: {problem}"))
}

/// Refuses a member that nothing reads: a misspelt expectation would never fail.
fn theme(file: &str, value: &Value) -> Result<Theme, String> {
    let members = value.as_object().ok_or("a theme must be an object")?;
    known(members, &THEME_MEMBERS, "a theme")?;
    let cases = members.get("cases").and_then(Value::as_array);
    let cases: Result<Vec<Case>, String> = cases
        .ok_or("`cases` must be a list")?
        .iter()
        .map(|case| read_case(file, members, case))
        .collect();
    let cases = cases?;
    let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair.first() == pair.last()) {
        return Err(format!("two cases have the name {:?}", twice.first()));
    }
    Ok(Theme {
        file: file.to_owned(),
        capability: text(members, "capability")?,
        of_type: text(members, "type").unwrap_or_default(),
        given: given(members)?,
        cases,
    })
}

fn read_case(file: &str, theme: &Map<String, Value>, case: &Value) -> Result<Case, String> {
    let members = case.as_object().ok_or("a case must be an object")?;
    let name = text(members, "name")?;
    let inherited = |key: &str| text(members, key).or_else(|_missing| text(theme, key));
    let flag = |from: &Map<String, Value>, key: &str| from.get(key) == Some(&Value::Bool(true));
    let steps = steps(members).map_err(|problem| format!("{name}: {problem}"))?;
    let needs = [theme, members]
        .iter()
        .filter_map(|from| from.get("needs")?.as_array())
        .flatten()
        .filter_map(|need| need.as_str().map(str::to_owned))
        .collect();
    Ok(Case {
        section: inherited("section")?,
        spec: inherited("spec")?,
        needs,
        is_optional: flag(theme, "optional") || flag(members, "optional"),
        is_free: flag(members, "free"),
        given: given(members)?,
        steps,
        name: format!("{file}: {name}"),
    })
}

/// A case without `steps` is a step itself.
fn steps(case: &Map<String, Value>) -> Result<Vec<Map<String, Value>>, String> {
    let steps = match case.get("steps").and_then(Value::as_array) {
        Some(steps) => {
            known(case, &CASE_MEMBERS, "a case with steps")?;
            let objects = steps.iter().map(|step| step.as_object().cloned());
            let objects: Option<Vec<_>> = objects.collect();
            objects.ok_or("a step must be an object")?
        }
        None => {
            let own = case.iter();
            let own = own.filter(|(key, _)| !CASE_MEMBERS.contains(&key.as_str()));
            vec![
                own.map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            ]
        }
    };
    for step in &steps {
        known(step, &STEP_MEMBERS, "a step")?;
        let asks = ["send", "find", "hooked", "socket"];
        if !asks.iter().any(|key| step.contains_key(*key)) {
            return Err("a step needs `send`, `find`, `hooked` or `socket`".to_owned());
        }
    }
    Ok(steps)
}

fn known(members: &Map<String, Value>, names: &[&str], what: &str) -> Result<(), String> {
    match members.keys().find(|key| !names.contains(&key.as_str())) {
        Some(unknown) => Err(format!("{what} has no member `{unknown}`")),
        None => Ok(()),
    }
}

fn text(members: &Map<String, Value>, key: &str) -> Result<String, String> {
    let found = members.get(key).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or(format!("`{key}` must be a text"))
}

fn given(members: &Map<String, Value>) -> Result<Vec<Given>, String> {
    let rows = members.get("given").and_then(Value::as_array);
    let mut given = Vec::new();
    for row in rows.into_iter().flatten() {
        let row = row.as_object().ok_or("`given` holds objects")?;
        let times = row.get("times").and_then(Value::as_u64);
        let named = row.iter().find(|(name, _)| *name != "times");
        let (name, resource) = named.ok_or("`given` needs a name and a resource")?;
        given.push(Given {
            name: name.clone(),
            times,
            resource: resource.clone(),
        });
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(case: Value) -> Result<Theme, String> {
        theme(
            "f",
            &json!({"capability": "c", "section": "s", "spec": "u", "cases": [case]}),
        )
    }

    #[test]
    fn a_case_without_steps_is_a_step() {
        let theme = read(json!({"name": "n", "find": "a=b", "ids": ["x"]})).unwrap();
        assert_eq!(theme.cases[0].name, "f: n");
        assert_eq!(
            Value::Object(theme.cases[0].steps[0].clone()),
            json!({"find": "a=b", "ids": ["x"]})
        );
    }

    #[test]
    fn misspelt_members_are_refused() {
        for (case, expected) in [
            (
                json!({"name": "n", "send": "GET x", "statsu": 200}),
                "n: a step has no member `statsu`",
            ),
            (
                json!({"name": "n", "status": 200}),
                "n: a step needs `send`, `find`, `hooked` or `socket`",
            ),
            (
                json!({"name": "n", "steps": [], "status": 200}),
                "n: a case with steps has no member `status`",
            ),
            (json!({"send": "GET x"}), "`name` must be a text"),
            (json!("GET x"), "a case must be an object"),
        ] {
            assert_eq!(read(case).unwrap_err(), expected);
        }
    }
}
