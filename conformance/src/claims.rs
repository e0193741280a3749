//! What a CapabilityStatement claims, spelled so that cases can name it.
//! <https://hl7.org/fhir/R4/capabilitystatement.html>

use serde_json::Value;
use std::collections::BTreeSet;

/// The claims of a server, and who it says it is.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// `Patient.read`, `Patient?gender`, `Patient$everything`, `Patient+Patient:organization`
    /// (an include), `Patient-Observation:subject` (a revinclude), `system.transaction`,
    /// `system?_id`, `$export`, `format:json`, `patch:application/json-patch+json`, `websocket`.
    all: BTreeSet<String>,
    /// Type, name and kind of each search parameter.
    parameters: Vec<(String, String, String)>,
    /// `name version` of the software, or what else it says of itself.
    pub software: String,
    pub fhir_version: String,
    /// Where web sockets of Subscriptions are opened: `ws://host/path`.
    pub socket: Option<String>,
}

const SOCKET: &str = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket";

impl Claims {
    pub fn read(statement: &Value) -> Claims {
        let mut all = BTreeSet::new();
        let mut parameters = Vec::new();
        for rest in list(statement, "rest") {
            for interaction in list(rest, "interaction") {
                all.extend(code(interaction, "code").map(|c| format!("system.{c}")));
            }
            all.extend(names(rest, "searchParam").map(|name| format!("system?{name}")));
            all.extend(names(rest, "operation").map(|name| format!("${}", bare(&name))));
            for resource in list(rest, "resource") {
                of_resource(resource, &mut all);
                parameters.extend(parameters_of(resource));
            }
        }
        all.extend(texts(statement, "format").map(|format| format!("format:{format}")));
        all.extend(texts(statement, "patchFormat").map(|format| format!("patch:{format}")));
        let mut extensions = list(statement, "rest").flat_map(|rest| list(rest, "extension"));
        let socket = extensions.find(|e| e.get("url").is_some_and(|url| url == SOCKET));
        let socket = socket.and_then(|e| code(e, "valueUri").or(code(e, "valueUrl")));
        all.extend(socket.iter().map(|_| "websocket".to_owned()));
        Claims {
            all,
            socket,
            parameters,
            software: software(statement),
            fhir_version: code(statement, "fhirVersion").unwrap_or_default(),
        }
    }

    /// Every claim, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(String::as_str)
    }

    /// Type, name and kind (`token`, ...) of each search parameter of a type.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let rows = self.parameters.iter();
        rows.map(|(of_type, name, kind)| (of_type.as_str(), name.as_str(), kind.as_str()))
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Is this claimed, by itself or by something that says more?
    pub fn hold(&self, need: &str) -> bool {
        if self.all.contains(need) {
            return true;
        }
        if let Some(format) = need.strip_prefix("format:") {
            return self.format(format);
        }
        if let Some((of_type, operation)) = need.split_once('$') {
            // Many servers list the operations of their types with the system's.
            return self.all.contains(&format!("${operation}"))
                || of_type.is_empty() && self.any_type(&format!("${operation}"));
        }
        if let Some((of_type, _)) = need.split_once('+') {
            return self.all.contains(&format!("{of_type}+*"));
        }
        if let Some((of_type, _)) = need.split_once('-').filter(|_| need.contains(':')) {
            return self.all.contains(&format!("{of_type}-*"));
        }
        let Some((of_type, name)) = need.split_once('?') else {
            return false;
        };
        name.starts_with('_') && self.of_every_type(of_type, name)
    }

    fn format(&self, wanted: &str) -> bool {
        let short = |format: &str| {
            let format = format.split(';').next().unwrap_or_default();
            let tail = format.rsplit(['/', '+']).next().unwrap_or_default();
            tail.to_ascii_lowercase()
        };
        let mut formats = self.all.iter().filter_map(|c| c.strip_prefix("format:"));
        formats.any(|format| short(format) == short(wanted))
    }

    fn any_type(&self, tail: &str) -> bool {
        self.all.iter().any(|claim| claim.ends_with(tail))
    }

    /// `_id` and its like need no claim; the rarer ones may be claimed for the whole system.
    fn of_every_type(&self, of_type: &str, name: &str) -> bool {
        let rare = ["_text", "_content", "_filter", "_query", "_list", "_source"];
        !rare.contains(&name)
            || self.all.contains(&format!("system?{name}"))
            || self.all.contains(&format!("Resource?{name}"))
            || of_type == "system" && self.any_type(&format!("?{name}"))
    }

    /// Types that the server claims anything of.
    pub fn types(&self) -> BTreeSet<&str> {
        let dotted = self.all.iter().filter_map(|claim| claim.split_once('.'));
        dotted
            .map(|(of_type, _)| of_type)
            .filter(|of_type| *of_type != "system" && !of_type.contains(':'))
            .collect()
    }
}

fn of_resource(resource: &Value, all: &mut BTreeSet<String>) {
    let of_type = code(resource, "type").unwrap_or_default();
    for interaction in list(resource, "interaction") {
        all.extend(code(interaction, "code").map(|c| format!("{of_type}.{c}")));
    }
    all.extend(names(resource, "searchParam").map(|name| format!("{of_type}?{name}")));
    all.extend(names(resource, "operation").map(|name| format!("{of_type}${}", bare(&name))));
    all.extend(texts(resource, "searchInclude").map(|value| format!("{of_type}+{value}")));
    all.extend(texts(resource, "searchRevInclude").map(|value| format!("{of_type}-{value}")));
    for flag in [
        "updateCreate",
        "conditionalCreate",
        "conditionalUpdate",
        "readHistory",
    ] {
        if resource.get(flag) == Some(&Value::Bool(true)) {
            all.insert(format!("{of_type}.{flag}"));
        }
    }
    let conditional_read = code(resource, "conditionalRead").unwrap_or_default();
    for kind in ["not-match", "modified-since"] {
        if conditional_read == kind || conditional_read == "full-support" {
            all.insert(format!("{of_type}.conditionalRead:{kind}"));
        }
    }
    let conditional_delete = code(resource, "conditionalDelete").unwrap_or_default();
    if ["single", "multiple"].contains(&conditional_delete.as_str()) {
        all.insert(format!("{of_type}.conditionalDelete:{conditional_delete}"));
        all.insert(format!("{of_type}.conditionalDelete"));
    }
    if let Some(versioning) = code(resource, "versioning").filter(|v| v != "no-version") {
        all.insert(format!("{of_type}.versioning:{versioning}"));
    }
}

fn parameters_of(resource: &Value) -> Vec<(String, String, String)> {
    let of_type = code(resource, "type").unwrap_or_default();
    let row = |parameter: &Value| {
        let kind = code(parameter, "type").unwrap_or_default();
        Some((of_type.clone(), code(parameter, "name")?, kind))
    };
    list(resource, "searchParam").filter_map(row).collect()
}

fn software(statement: &Value) -> String {
    let part = |at: &str| statement.pointer(at).and_then(Value::as_str);
    let name = part("/software/name").or(part("/implementation/description"));
    let name = name.or(part("/name")).unwrap_or("a server without a name");
    let version = part("/software/version").unwrap_or_default();
    format!("{name} {version}").trim().to_owned()
}

/// Some servers write operations with their `$`.
fn bare(operation: &str) -> &str {
    operation.trim_start_matches('$')
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let items = value.get(key).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn names<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = String> + use<'a> {
    list(value, key).filter_map(|item| code(item, "name"))
}

fn texts<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = String> + use<'a> {
    list(value, key).filter_map(|item| item.as_str().map(str::to_owned))
}

fn code(value: &Value, key: &str) -> Option<String> {
    Some(value.get(key)?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_are_what_the_statement_says() {
        let statement = json!({"fhirVersion": "4.0.1", "software": {"name": "S", "version": "2"},
            "format": ["application/fhir+json", "xml"], "rest": [{
            "interaction": [{"code": "batch"}], "operation": [{"name": "$validate"}],
            "resource": [{"type": "Patient", "interaction": [{"code": "read"}],
             "searchParam": [{"name": "gender", "type": "token"}], "operation": [{"name": "everything"}],
             "searchInclude": ["Patient:link"], "searchRevInclude": ["*"], "versioning": "no-version",
             "conditionalRead": "full-support", "conditionalDelete": "single", "updateCreate": false}]}]});
        let claims = Claims::read(&statement);
        assert_eq!(claims.software, "S 2");
        for (need, expected) in [
            ("Patient.read", true),
            ("Patient.vread", false),
            ("Patient?gender", true),
            ("Patient?birthdate", false),
            ("Patient?_id", true),
            ("Patient?_filter", false),
            ("Patient$everything", true),
            ("Patient$validate", true),
            ("$validate", true),
            ("$everything", true),
            ("Patient$match", false),
            ("Patient+Patient:link", true),
            ("Patient+Patient:organization", false),
            ("Patient-Observation:subject", true),
            ("Patient.conditionalRead:modified-since", true),
            ("Patient.conditionalDelete", true),
            ("Patient.conditionalDelete:multiple", false),
            ("Patient.updateCreate", false),
            ("Patient.versioning:versioned", false),
            ("system.batch", true),
            ("system.transaction", false),
            ("format:json", true),
            ("format:application/fhir+xml", true),
            ("format:ttl", false),
        ] {
            assert_eq!(claims.hold(need), expected, "{need}");
        }
        assert_eq!(claims.types(), BTreeSet::from(["Patient"]));
    }
}
