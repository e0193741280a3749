//! `wayside conflicts`: the queue of reviews of a running gateway, over plain FHIR.

use super::remote::Remote;
use super::{CliError, Exit, PlaceArgs, say, tell};
use clap::{Args, Subcommand, ValueEnum};
use fhir_mapping::model::{Json, Limits, format, format_pretty, parse};
use http::{HeaderMap, HeaderValue, Method, header};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(super) struct ConflictsArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Base URL of the running gateway, as its `ready` line shows it [default: the configured
    /// address]
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
    /// A reviewer's or administrator's token [default: that of --token-file]
    #[arg(
        long,
        value_name = "TOKEN",
        global = true,
        conflicts_with = "token_file"
    )]
    token: Option<String>,
    /// File with the token [default: the one made at the first start]
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: ConflictsCommand,
}

#[derive(Subcommand, Debug)]
enum ConflictsCommand {
    /// List the conflicts that wait for a person, most pressing first
    List,
    /// Show one conflict: what is in force, and base, local and incoming of each contested element
    Show {
        /// Id of the review's Task
        id: String,
        /// Show the whole versions too
        #[arg(long)]
        all: bool,
    },
    /// Decide one conflict
    Decide(DecideArgs),
}

#[derive(Args, Debug)]
struct DecideArgs {
    /// Id of the review's Task
    id: String,
    /// Take one whole version
    #[arg(
        long,
        value_name = "SIDE",
        conflicts_with = "pick",
        required_unless_present = "pick"
    )]
    take: Option<Side>,
    /// Take one contested element from one side; repeat for each element
    #[arg(long, value_name = "PATH=SIDE", value_parser = pick)]
    pick: Vec<(String, Side)>,
    /// Why; stands in the history
    #[arg(long, value_name = "TEXT")]
    rationale: String,
    /// Version of the Task that was looked at [default: the newest]
    #[arg(long, value_name = "N")]
    task_version: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    Local,
    Incoming,
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Side::Local => "local",
            Side::Incoming => "incoming",
        }
    }
}

fn pick(text: &str) -> Result<(String, Side), String> {
    let (path, side) = text.rsplit_once('=').unwrap_or((text, ""));
    match (path, side) {
        (path, "local") if !path.is_empty() => Ok((path.to_owned(), Side::Local)),
        (path, "incoming") if !path.is_empty() => Ok((path.to_owned(), Side::Incoming)),
        _ => Err("expected PATH=local or PATH=incoming".to_owned()),
    }
}

pub(super) fn run(args: ConflictsArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    let url = args.url.as_deref();
    let desk = Desk {
        remote: match &args.token {
            Some(token) => Remote::with_token(&config, url, token),
            None => Remote::new(&config, url, args.token_file.as_ref())?,
        },
    };
    match args.command {
        ConflictsCommand::List => desk.list(),
        ConflictsCommand::Show { id, all } => desk.show(&id, all),
        ConflictsCommand::Decide(decide) => desk.decide(&decide),
    }
}

/// Most conflicts listed.
const LISTED_MAX: usize = 200;

struct Desk {
    remote: Remote,
}

impl Desk {
    fn list(&self) -> Result<Exit, CliError> {
        let query = format!("Task?code=conflict-review&status=requested&_count={LISTED_MAX}");
        let bundle = self.get(&query)?;
        let mut tasks: Vec<&Json> = bundle
            .items("entry")
            .iter()
            .filter_map(|entry| entry.get("resource"))
            .filter(|resource| resource.resource_type() == Some("Task"))
            .collect();
        tasks.sort_by_key(|task| (rank(text(task, &["priority"])), text(task, &["authoredOn"])));
        tasks.iter().for_each(|task| say(&line_of(task)));
        if bundle
            .items("link")
            .iter()
            .any(|link| text(link, &["relation"]) == "next")
        {
            say(&format!(
                "(the first {LISTED_MAX}; decide some, then list again)"
            ));
        }
        if tasks.is_empty() {
            tell("no conflict waits");
        }
        Ok(Exit::Done)
    }

    fn show(&self, id: &str, all: bool) -> Result<Exit, CliError> {
        let task = self.get(&format!("Task/{}", checked(id)?))?;
        let focus = text(&task, &["focus", "reference"]);
        say(&line_of(&task));
        say(&format!("about     {focus}"));
        say(&format!("patient   {}", text(&task, &["for", "reference"])));
        let mut versions = Vec::new();
        for name in ["base", "local", "incoming"] {
            let reference = detail(&task, "input", name);
            let version = reference
                .map(|reference| self.version(reference))
                .transpose()?;
            say(&format!("{name:<9} {}", reference.unwrap_or("none")));
            versions.push((name, version.flatten()));
        }
        for path in details(&task, "conflicting-path") {
            say("");
            say(path);
            for (name, version) in &versions {
                let value = version.as_ref().map(|version| element(version, path));
                let value = value.unwrap_or_else(|| "(no such version, or deleted)".to_owned());
                say(&format!("  {name:<9} {value}"));
            }
        }
        for (name, text) in ["choice", "rationale", "reviewer", "resulting-version"]
            .iter()
            .filter_map(|name| Some((name, detail(&task, "output", name)?)))
        {
            say(&format!("{name}: {text}"));
        }
        for (name, version) in versions.iter().filter(|_| all) {
            if let Some(version) = version {
                say(&format!("\n{name}:\n{}", format_pretty(version)));
            }
        }
        Ok(Exit::Done)
    }

    fn decide(&self, args: &DecideArgs) -> Result<Exit, CliError> {
        let id = checked(&args.id)?;
        let version = match args.task_version {
            Some(version) => version.to_string(),
            None => text(&self.get(&format!("Task/{id}"))?, &["meta", "versionId"]).to_owned(),
        };
        let body = format(&parameters(args)).into_bytes();
        let mut headers = HeaderMap::new();
        let etag = HeaderValue::from_str(&format!("W/\"{version}\""));
        headers.insert(
            header::IF_MATCH,
            etag.map_err(|_not_text| CliError::usage("E-CLI-20: the Task has no version"))?,
        );
        let path = format!("/fhir/Task/{id}/$resolve");
        let answer = self.remote.ask_with(Method::POST, &path, headers, body)?;
        let decided = read(&answer)?;
        match decided.resource_type() {
            Some("OperationOutcome") => say("decided: deleted"),
            Some(resource_type) => say(&format!(
                "decided: {resource_type}/{}/_history/{}",
                text(&decided, &["id"]),
                text(&decided, &["meta", "versionId"])
            )),
            None => say("decided"),
        }
        Ok(Exit::Done)
    }

    fn get(&self, path: &str) -> Result<Json, CliError> {
        read(
            &self
                .remote
                .ask(Method::GET, &format!("/fhir/{path}"), Vec::new())?,
        )
    }

    /// `None` for a version that is a deletion.
    fn version(&self, reference: &str) -> Result<Option<Json>, CliError> {
        match self.get(reference) {
            Ok(resource) => Ok(Some(resource)),
            Err(error) if error.text.ends_with("(HTTP 410)") => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn parameters(args: &DecideArgs) -> Json {
    let text = |name: &str, value: &str| {
        Json::object([("name", name.into()), ("valueString", value.into())])
    };
    let choice = args.take.map_or("picks", Side::as_str);
    let mut all = vec![text("choice", choice), text("rationale", &args.rationale)];
    for (path, side) in &args.pick {
        let parts = [text("path", path), text("side", side.as_str())];
        all.push(Json::object([
            ("name", "pick".into()),
            ("part", Json::array(parts)),
        ]));
    }
    Json::object([
        ("resourceType", "Parameters".into()),
        ("parameter", Json::Array(all)),
    ])
}

fn read(body: &[u8]) -> Result<Json, CliError> {
    parse(body, Limits::default()).map_err(|issue| {
        CliError::failed(format!(
            "E-CLI-21: the answer is no JSON ({}); check --url",
            issue.text
        ))
    })
}

/// Ids go into a path.
fn checked(id: &str) -> Result<&str, CliError> {
    let id = id.strip_prefix("Task/").unwrap_or(id);
    match fhir_mapping::model::is_valid_id(id) {
        true => Ok(id),
        false => Err(CliError::usage(
            "E-CLI-22: not an id; `conflicts list` shows them",
        )),
    }
}

fn line_of(task: &Json) -> String {
    let paths: Vec<&str> = details(task, "conflicting-path").collect();
    format!(
        "{}  {:<7}  {}  {}  {}  {}",
        text(task, &["id"]),
        text(task, &["priority"]),
        text(task, &["authoredOn"]),
        text(task, &["status"]),
        text(task, &["focus", "reference"]),
        paths.join(", ")
    )
}

fn rank(priority: &str) -> usize {
    let order = ["stat", "asap", "urgent", "routine"];
    order
        .iter()
        .position(|p| *p == priority)
        .unwrap_or(order.len())
}

fn text<'j>(json: &'j Json, path: &[&str]) -> &'j str {
    json.str_at(path).unwrap_or_default()
}

fn detail<'t>(task: &'t Json, list: &str, code: &str) -> Option<&'t str> {
    let mut items = task.items(list).iter();
    let found = items.find(|item| item.str_at(&["type", "coding", "code"]) == Some(code))?;
    let text = found.get("valueString").and_then(Json::as_str);
    text.or_else(|| found.str_at(&["valueReference", "reference"]))
}

fn details<'t>(task: &'t Json, code: &'t str) -> impl Iterator<Item = &'t str> {
    let of_code = move |item: &&Json| item.str_at(&["type", "coding", "code"]) == Some(code);
    let items = task.items("input").iter().filter(of_code);
    items.filter_map(|item| item.get("valueString")?.as_str())
}

/// The element that a conflict's path names, as one line of JSON.
fn element(resource: &Json, path: &str) -> String {
    let Some((_, name)) = path.split_once('.') else {
        return "(the whole resource)".to_owned();
    };
    let (parent, name) = match name.strip_prefix("meta.") {
        Some(name) => (resource.get("meta"), name),
        None => (Some(resource), name),
    };
    let object = parent.and_then(Json::as_object);
    let is_choice = |key: &str| {
        let suffix = key.strip_prefix(name);
        suffix.is_some_and(|s| s.is_empty() || s.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    let exact = object.and_then(|object| object.get(name));
    let choice = || {
        let mut pairs = object?.iter();
        pairs
            .find(|(key, _)| is_choice(key))
            .map(|(_, value)| value)
    };
    exact
        .or_else(choice)
        .map_or_else(|| "(absent)".to_owned(), format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_path() {
        let text = br#"{"resourceType":"X","status":"a","statusReason":1,"valueQuantity":{"value":1.50},"meta":{"tag":[]}}"#;
        let resource = parse(text, Limits::default()).unwrap();
        for (path, expected) in [
            ("X.status", "\"a\""),
            ("X.value", "{\"value\":1.50}"),
            ("X.meta.tag", "[]"),
            ("X.other", "(absent)"),
            ("X", "(the whole resource)"),
        ] {
            assert_eq!(element(&resource, path), expected);
        }
    }

    #[test]
    fn picks_name_path_and_side() {
        let path = "MedicationRequest.status".to_owned();
        assert_eq!(
            pick("MedicationRequest.status=local"),
            Ok((path, Side::Local))
        );
        for text in ["", "=local", "a=both", "a"] {
            assert!(pick(text).is_err(), "{text}");
        }
    }
}
