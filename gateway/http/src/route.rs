//! Method and path to one interaction, a closed set (R4 3.1.0).

use super::interactions::operations::{self, Call, Effect, Target};
use fhir_mapping::compartment;
use fhir_mapping::model::{IssueCode, is_valid_id};
use fhir_mapping::validate::is_resource_type;
use gateway_ground::failure::{Category, Failure};
use http::Method;
use percent_encoding::percent_decode_str;
use store::ResourceKey;

/// Every FHIR request that this server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interaction {
    Capabilities,
    Read {
        resource_type: String,
        id: String,
    },
    Vread {
        resource_type: String,
        id: String,
        version: String,
    },
    History {
        resource_type: String,
        id: String,
    },
    /// History of all resources of a type.
    TypeHistory {
        resource_type: String,
    },
    /// History of the whole site.
    SystemHistory,
    /// GET or POST `_search`.
    Search {
        resource_type: String,
    },
    /// GET or POST `_search` in everything, or in the types that `_type` names.
    SearchSystem,
    /// `Patient/1/Observation`, `Patient/1/*`
    SearchCompartment(Compartment),
    Create {
        resource_type: String,
    },
    Update {
        resource_type: String,
        id: String,
    },
    /// PUT, PATCH or DELETE of a type: the resource is named by search criteria.
    UpdateWhere {
        resource_type: String,
    },
    PatchWhere {
        resource_type: String,
    },
    DeleteWhere {
        resource_type: String,
    },
    Patch {
        resource_type: String,
        id: String,
    },
    Delete {
        resource_type: String,
        id: String,
    },
    /// POST of a batch or transaction Bundle to the base.
    Bundle,
    /// GET or DELETE `_jobs/{id}`: a long task that the caller asked for.
    JobStatus {
        id: String,
    },
    JobCancel {
        id: String,
    },
    /// GET `_jobs/{id}/{number}`
    JobFile {
        id: String,
        number: u32,
    },
    /// `$name` at the base, a type or an instance.
    Operation(Call),
}

impl Interaction {
    /// Name in metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Read { .. } => "read",
            Self::Vread { .. } => "vread",
            Self::History { .. } => "history",
            Self::TypeHistory { .. } => "history-type",
            Self::SystemHistory => "history-system",
            Self::Search { .. } => "search",
            Self::SearchSystem => "search-system",
            Self::SearchCompartment(_) => "search-compartment",
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::UpdateWhere { .. } => "conditional-update",
            Self::PatchWhere { .. } => "conditional-patch",
            Self::DeleteWhere { .. } => "conditional-delete",
            Self::Patch { .. } => "patch",
            Self::Delete { .. } => "delete",
            Self::Bundle => "bundle",
            Self::JobStatus { .. } => "job-status",
            Self::JobCancel { .. } => "job-cancel",
            Self::JobFile { .. } => "job-file",
            Self::Operation(call) => call.operation.name,
        }
    }

    /// True when parameters come in the query or in a form.
    pub fn is_search(&self) -> bool {
        matches!(
            self,
            Self::Search { .. } | Self::SearchSystem | Self::SearchCompartment(_)
        )
    }

    /// True when `Prefer: return` has a meaning for the answer.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Create { .. }
                | Self::Update { .. }
                | Self::UpdateWhere { .. }
                | Self::Patch { .. }
                | Self::PatchWhere { .. }
                | Self::Delete { .. }
                | Self::DeleteWhere { .. }
        )
    }
}

/// A search limited to what belongs to one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compartment {
    pub focus: ResourceKey,
    /// `None` for `*`.
    pub resource_type: Option<String>,
}

/// No interaction: the failure, and the methods that the path does know.
#[derive(Clone, Debug, PartialEq)]
pub struct Unrouted {
    pub failure: Failure,
    pub allow: Option<&'static str>,
}

impl From<Failure> for Unrouted {
    fn from(failure: Failure) -> Unrouted {
        Unrouted {
            failure,
            allow: None,
        }
    }
}

const PATH_SEGMENTS_MAX: usize = 8;

/// Finds the interaction. `path` is the part after `/fhir`, still percent-encoded.
pub fn route(method: &Method, path: &str) -> Result<Interaction, Unrouted> {
    let segments = segments(path)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        [] => base(method),
        ["_history"] => only(
            method,
            &Method::GET,
            "GET, HEAD",
            Interaction::SystemHistory,
        ),
        ["metadata"] => only(method, &Method::GET, "GET, HEAD", Interaction::Capabilities),
        ["_search"] => only(method, &Method::POST, "POST", Interaction::SearchSystem),
        [resource_type] if !resource_type.starts_with('$') => {
            of_type(method, known_type(resource_type)?)
        }
        [resource_type, "_search"] => {
            let resource_type = known_type(resource_type)?;
            only(
                method,
                &Method::POST,
                "POST",
                Interaction::Search { resource_type },
            )
        }
        [resource_type, "_history"] => {
            let resource_type = known_type(resource_type)?;
            let history = Interaction::TypeHistory { resource_type };
            only(method, &Method::GET, "GET, HEAD", history)
        }
        ["_jobs", rest @ ..] => job(method, rest),
        [.., name] if name.starts_with('$') => operation(method, &segments),
        [resource_type, id] => of_instance(method, known_type(resource_type)?, valid_id(id)?),
        [resource_type, id, "_history"] => {
            let (resource_type, id) = (known_type(resource_type)?, valid_id(id)?);
            let history = Interaction::History { resource_type, id };
            only(method, &Method::GET, "GET, HEAD", history)
        }
        [resource_type, id, "_history", version] => {
            let vread = Interaction::Vread {
                resource_type: known_type(resource_type)?,
                id: valid_id(id)?,
                version: valid_id(version)?,
            };
            only(method, &Method::GET, "GET, HEAD", vread)
        }
        [focus, id, name] if is_compartment(focus) => {
            let search = compartment((focus, id), name)?;
            only(method, &Method::GET, "GET, HEAD", search)
        }
        [focus, id, name, "_search"] if is_compartment(focus) => {
            let search = compartment((focus, id), name)?;
            only(method, &Method::POST, "POST", search)
        }
        _ => Err(unknown_path()),
    }
}

/// Decoded pairs of a query string or a form; `+` is a blank.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((
                decode(&name.replace('+', " "))?,
                decode(&value.replace('+', " "))?,
            ))
        })
        .collect()
}

/// Decoded segments of a path; refuses everything that could mean another path to somebody else.
pub fn segments(path: &str) -> Result<Vec<String>, Failure> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let segments: Vec<&str> = path.split('/').collect();
    if segments.len() > PATH_SEGMENTS_MAX {
        return Err(malformed("the path has too many parts"));
    }
    segments.into_iter().map(segment).collect()
}

fn segment(text: &str) -> Result<String, Failure> {
    let text = decode(text)?;
    let is_bad = |c: char| c.is_control() || c == '/' || c == '\\';
    if text.is_empty() || text == "." || text == ".." || text.contains(is_bad) {
        return Err(malformed("a part of the path is empty or not allowed"));
    }
    Ok(text)
}

fn decode(text: &str) -> Result<String, Failure> {
    let bytes = text.as_bytes();
    let is_cut = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let mut escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    if escapes.any(|(at, _)| is_cut(at)) {
        return Err(malformed(
            "a percent sign is not followed by two hex digits",
        ));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_not_utf8| malformed("the text is not UTF-8"))?;
    if decoded.contains('\0') {
        return Err(malformed("the text holds a NUL"));
    }
    Ok(decoded.into_owned())
}

fn base(method: &Method) -> Result<Interaction, Unrouted> {
    match *method {
        Method::GET | Method::HEAD => Ok(Interaction::SearchSystem),
        Method::POST => Ok(Interaction::Bundle),
        _ => Err(wrong_method("GET, HEAD, POST")),
    }
}

fn is_compartment(name: &str) -> bool {
    compartment::members(name).is_some()
}

fn compartment((focus, id): (&str, &str), name: &str) -> Result<Interaction, Unrouted> {
    let focus = ResourceKey {
        resource_type: known_type(focus)?,
        id: valid_id(id)?,
    };
    let resource_type = match name {
        "*" => None,
        name => Some(known_type(name)?),
    };
    if let Some(name) = &resource_type
        && compartment::parameters(&focus.resource_type, name).is_none()
    {
        let text = format!("{name} never belongs to a {}", focus.resource_type);
        let code = IssueCode::NotSupported;
        return Err(Failure::new(Category::NotFound, "E-ROUTE-7", code, text).into());
    }
    Ok(Interaction::SearchCompartment(Compartment {
        focus,
        resource_type,
    }))
}

fn of_type(method: &Method, resource_type: String) -> Result<Interaction, Unrouted> {
    match *method {
        Method::GET | Method::HEAD => Ok(Interaction::Search { resource_type }),
        Method::POST => Ok(Interaction::Create { resource_type }),
        Method::PUT => Ok(Interaction::UpdateWhere { resource_type }),
        Method::PATCH => Ok(Interaction::PatchWhere { resource_type }),
        Method::DELETE => Ok(Interaction::DeleteWhere { resource_type }),
        _ => Err(wrong_method("GET, HEAD, POST, PUT, PATCH, DELETE")),
    }
}

fn of_instance(
    method: &Method,
    resource_type: String,
    id: String,
) -> Result<Interaction, Unrouted> {
    match *method {
        Method::GET | Method::HEAD => Ok(Interaction::Read { resource_type, id }),
        Method::PUT => Ok(Interaction::Update { resource_type, id }),
        Method::PATCH => Ok(Interaction::Patch { resource_type, id }),
        Method::DELETE => Ok(Interaction::Delete { resource_type, id }),
        _ => Err(wrong_method("GET, HEAD, PUT, PATCH, DELETE")),
    }
}

fn job(method: &Method, rest: &[&str]) -> Result<Interaction, Unrouted> {
    match rest {
        [id] => {
            let id = valid_id(id)?;
            match *method {
                Method::GET | Method::HEAD => Ok(Interaction::JobStatus { id }),
                Method::DELETE => Ok(Interaction::JobCancel { id }),
                _ => Err(wrong_method("GET, HEAD, DELETE")),
            }
        }
        [id, number] => {
            let id = valid_id(id)?;
            let number = number.parse().map_err(|_no_number| unknown_path())?;
            let file = Interaction::JobFile { id, number };
            only(method, &Method::GET, "GET, HEAD", file)
        }
        _ => Err(unknown_path()),
    }
}

fn operation(method: &Method, segments: &[&str]) -> Result<Interaction, Unrouted> {
    let (target, name) = match segments {
        [name] => (Target::System, name),
        [resource_type, name] => (Target::Type(known_type(resource_type)?), name),
        [resource_type, id, name] => {
            let resource_type = known_type(resource_type)?;
            let id = valid_id(id)?;
            (Target::Instance(ResourceKey { resource_type, id }), name)
        }
        _ => return Err(unknown_path()),
    };
    let operation = operations::find(name, &target).ok_or_else(unknown_operation)?;
    let call = Interaction::Operation(Call { operation, target });
    match (operation.effect, method) {
        (_, &Method::POST) | (Effect::Reads, &Method::GET | &Method::HEAD) => Ok(call),
        (Effect::Reads, _) => Err(wrong_method("GET, HEAD, POST")),
        _ => Err(wrong_method("POST")),
    }
}

fn only(
    method: &Method,
    wanted: &Method,
    allow: &'static str,
    interaction: Interaction,
) -> Result<Interaction, Unrouted> {
    let is_head = method == Method::HEAD && wanted == Method::GET;
    if method == wanted || is_head {
        return Ok(interaction);
    }
    Err(wrong_method(allow))
}

fn known_type(name: &str) -> Result<String, Unrouted> {
    if is_resource_type(name) {
        return Ok(name.to_owned());
    }
    let text = "no such resource type in FHIR R4";
    let code = IssueCode::NotSupported;
    Err(Failure::new(Category::NotFound, "E-ROUTE-1", code, text).into())
}

fn valid_id(id: &str) -> Result<String, Failure> {
    if is_valid_id(id) {
        return Ok(id.to_owned());
    }
    let text = "an id has 1 to 64 letters, digits, - or .";
    Err(Failure::new(
        Category::Incorrect,
        "E-ROUTE-2",
        IssueCode::Value,
        text,
    ))
}

fn malformed(text: &str) -> Failure {
    Failure::new(Category::Incorrect, "E-ROUTE-3", IssueCode::Value, text)
}

fn unknown_path() -> Unrouted {
    let text = "nothing is here; see /fhir/metadata for what is";
    Failure::new(Category::NotFound, "E-ROUTE-4", IssueCode::NotFound, text).into()
}

fn unknown_operation() -> Unrouted {
    let text = "no such operation here; see /fhir/metadata for those that are";
    Failure::new(
        Category::NotFound,
        "E-ROUTE-5",
        IssueCode::NotSupported,
        text,
    )
    .into()
}

fn wrong_method(allow: &'static str) -> Unrouted {
    let text = format!("this path knows {allow} only");
    let code = IssueCode::NotSupported;
    Unrouted {
        failure: Failure::new(Category::MethodNotAllowed, "E-ROUTE-6", code, text),
        allow: Some(allow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(method: &str, path: &str) -> String {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        match route(&method, path) {
            Ok(interaction) => format!("{interaction:?}"),
            Err(Unrouted { failure, allow }) => {
                let status = failure.category.status();
                format!(
                    "{status} {} {}",
                    failure.issues[0].number,
                    allow.unwrap_or_default()
                )
            }
        }
    }

    #[track_caller]
    fn check(request: &str, expected: &str) {
        let (method, path) = request.split_once(' ').unwrap();
        assert_eq!(show(method, path).trim(), expected);
    }

    #[test]
    fn every_interaction_has_its_path() {
        check("GET /metadata", "Capabilities");
        check("POST ", "Bundle");
        check("GET ", "SearchSystem");
        check("POST /_search", "SearchSystem");
        let compartment = |name: &str| {
            format!(
                "SearchCompartment(Compartment {{ focus: ResourceKey {{ resource_type: \"Patient\", id: \"a\" }}, resource_type: {name} }})"
            )
        };
        check("GET /Patient/a/*", &compartment("None"));
        check("GET /Patient/a/Flag", &compartment("Some(\"Flag\")"));
        check(
            "POST /Patient/a/Flag/_search",
            &compartment("Some(\"Flag\")"),
        );
        check("GET /Patient/a/Location", "404 E-ROUTE-7");
        check("GET /Location/a/Flag", "404 E-ROUTE-4");
        check("POST /", "Bundle");
        check("GET /Patient", "Search { resource_type: \"Patient\" }");
        check("HEAD /Patient/", "Search { resource_type: \"Patient\" }");
        check(
            "POST /Patient/_search",
            "Search { resource_type: \"Patient\" }",
        );
        check("POST /Patient", "Create { resource_type: \"Patient\" }");
        for (method, name) in [("PUT", "Update"), ("PATCH", "Patch"), ("DELETE", "Delete")] {
            let expected = format!("{name}Where {{ resource_type: \"Patient\" }}");
            check(&format!("{method} /Patient"), &expected);
        }
        check(
            "PATCH /Patient/a",
            "Patch { resource_type: \"Patient\", id: \"a\" }",
        );
        check("GET /_history", "SystemHistory");
        check(
            "GET /Patient/_history",
            "TypeHistory { resource_type: \"Patient\" }",
        );
        check(
            "GET /Patient/a",
            "Read { resource_type: \"Patient\", id: \"a\" }",
        );
        check(
            "HEAD /Patient/%61",
            "Read { resource_type: \"Patient\", id: \"a\" }",
        );
        check(
            "PUT /Patient/a",
            "Update { resource_type: \"Patient\", id: \"a\" }",
        );
        check(
            "DELETE /Patient/a",
            "Delete { resource_type: \"Patient\", id: \"a\" }",
        );
        check(
            "GET /Patient/a/_history",
            "History { resource_type: \"Patient\", id: \"a\" }",
        );
        let resolve = "Operation(Call { operation: $resolve, target: Instance(ResourceKey { resource_type: \"Task\", id: \"7\" }) })";
        check("POST /Task/7/$resolve", resolve);
        let vread = "Vread { resource_type: \"Patient\", id: \"a\", version: \"2\" }";
        check("GET /Patient/a/_history/2", vread);
    }

    #[test]
    fn everything_else_is_refused_by_its_cause() {
        check("GET /Nothing", "404 E-ROUTE-1");
        check("GET /patient/a", "404 E-ROUTE-1");
        check("GET /Patient/a_b", "400 E-ROUTE-2");
        check(&format!("GET /Patient/{}", "a".repeat(65)), "400 E-ROUTE-2");
        check("GET /Patient/%2e%2e", "400 E-ROUTE-3");
        check("GET /Patient/../x", "400 E-ROUTE-3");
        check("GET /Patient/%00", "400 E-ROUTE-3");
        check("GET /Patient/a%2fb", "400 E-ROUTE-3");
        check("GET /Patient/a%5Cb", "400 E-ROUTE-3");
        check("GET /Patient//a", "400 E-ROUTE-3");
        check("GET /Patient/%c0%ae", "400 E-ROUTE-3");
        check("GET /Patient/%4", "400 E-ROUTE-3");
        check("GET /Patient/a/b/c", "404 E-ROUTE-4");
        check("GET /Patient/a/$nothing", "404 E-ROUTE-5");
        check("GET /$nothing", "404 E-ROUTE-5");
        check("GET /Patient/a/$resolve", "404 E-ROUTE-5");
        check("GET /Task/$resolve", "404 E-ROUTE-5");
        check("GET /Task/a_b/$resolve", "400 E-ROUTE-2");
        check("GET /_jobs", "404 E-ROUTE-1");
        check("GET /_jobs/a/b", "404 E-ROUTE-4");
        check("POST /_jobs/a", "405 E-ROUTE-6 GET, HEAD, DELETE");
        check("GET /Nothing/$resolve", "404 E-ROUTE-1");
        check("PUT /", "405 E-ROUTE-6 GET, HEAD, POST");
        check("POST /metadata", "405 E-ROUTE-6 GET, HEAD");
        check(
            "TRACE /Patient",
            "405 E-ROUTE-6 GET, HEAD, POST, PUT, PATCH, DELETE",
        );
        check(
            "POST /Patient/a",
            "405 E-ROUTE-6 GET, HEAD, PUT, PATCH, DELETE",
        );
        check("POST /_history", "405 E-ROUTE-6 GET, HEAD");
        check("GET /Task/7/$resolve", "405 E-ROUTE-6 POST");
    }

    #[test]
    fn query_pairs_are_decoded() {
        let pairs = pairs("name=J%C3%BCrgen+A&flag&a=b=c&&%5Fid=1").unwrap();
        let expected = [
            ("name", "Jürgen A"),
            ("flag", ""),
            ("a", "b=c"),
            ("_id", "1"),
        ];
        let expected = expected.map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(pairs, expected);
        assert!(super::pairs("name=%zz").is_err());
        assert!(super::pairs("name=%ff").is_err());
        assert!(super::pairs("name=%00").is_err());
    }
}
