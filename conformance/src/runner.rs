//! Runs themes against a server, one after the other, each with a `${run}` of its own so that none
//! sees another's data, nor that of strangers on the same server.

use crate::body::request;
use crate::case::{Case, Theme};
use crate::claims::Claims;
use crate::expect;
use crate::fill::fill_members;
use crate::found::find;
use crate::hook::Hook;
use crate::needs;
pub use crate::wire::Access;
use crate::wire::{Reply, Sent, Server};
use crate::world::{Exchange, World};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The need of a case for an endpoint that the server can call; no statement claims it.
const HOOK: &str = "an address that the server may call (--hook)";

/// What became of one case.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub case: String,
    pub capability: String,
    pub section: String,
    pub spec: String,
    /// The claims that the case uses.
    pub needs: BTreeSet<String>,
    pub outcome: Outcome,
    pub took: Duration,
    /// What was said, when the case failed.
    pub said: Vec<Exchange>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// What does not hold, a line each.
    Failed(Vec<String>),
    /// The server does not claim these.
    NotClaimed(Vec<String>),
    /// No statement can claim it, and the server refuses it clearly; or it is left to the server.
    Declined(String),
}

/// A server under test.
#[derive(Debug)]
pub struct Runner {
    server: Server,
    pub claims: Claims,
    /// In every `${run}` of this runner and no other.
    site: String,
    hook: Option<Hook>,
    /// Leaves on the server what the cases made.
    pub keeps_data: bool,
}

impl Runner {
    /// Asks the server who it is and what it claims.
    pub async fn new(base: &str, access: &Access) -> Result<Runner, String> {
        let mut server = Server::new(base, access)?;
        let reply = server.get("metadata").await?;
        let statement = reply.json();
        let is_statement = statement.get("resourceType") == Some(&"CapabilityStatement".into());
        if reply.status != 200 || !is_statement {
            let status = reply.status;
            return Err(format!(
                "GET {}/metadata: no CapabilityStatement ({status})",
                server.base
            ));
        }
        let site = std::collections::hash_map::RandomState::new();
        let claims = Claims::read(&statement);
        server.socket = claims.socket.clone();
        Ok(Runner {
            server,
            claims,
            site: format!("{:x}", site.build_hasher().finish()),
            hook: None,
            keeps_data: false,
        })
    }

    /// Listens at this address of the machine, which the server under test may call.
    pub async fn listen(&mut self, address: SocketAddr) -> Result<(), String> {
        self.hook = Some(Hook::listen(address).await?);
        Ok(())
    }

    /// All cases of a theme, in order. `number` differs for every theme.
    pub async fn run(&self, theme: &Theme, number: usize) -> Vec<Verdict> {
        let run = format!("{}-{number}", self.site);
        let mut world = World::new(&self.server, self.hook.as_ref(), &run);
        let claimed = theme.given.iter().all(|given| {
            let need = format!("{}.create", needs::type_of(&given.resource));
            self.claims.hold(&need)
        });
        let mut given = Ok(());
        if claimed && theme.cases.iter().any(|case| case.given.is_empty()) {
            given = Box::pin(world.give(&theme.given)).await;
        }
        let mut verdicts = Vec::new();
        for (number, case) in theme.cases.iter().enumerate() {
            let begun = Instant::now();
            let mut of_case = match case.given.is_empty() {
                true => world.of_case(&format!("{run}-{number}")),
                false => World::new(&self.server, self.hook.as_ref(), &format!("{run}-{number}")),
            };
            let needs = needs::of_case(theme, case);
            let outcome = match &given {
                Err(problem) if case.given.is_empty() => Outcome::Failed(vec![problem.clone()]),
                _ => Box::pin(self.outcome(&mut of_case, theme, case, &needs)).await,
            };
            let is_failed = matches!(outcome, Outcome::Failed(_));
            let said = std::mem::take(&mut of_case.said);
            verdicts.push(Verdict {
                case: case.name.clone(),
                capability: theme.capability.clone(),
                section: case.section.clone(),
                spec: case.spec.clone(),
                needs,
                outcome,
                took: begun.elapsed(),
                said: if is_failed { said } else { Vec::new() },
            });
            self.clean_up(&of_case).await;
        }
        self.clean_up(&world).await;
        verdicts
    }

    async fn clean_up(&self, world: &World) {
        if !self.keeps_data {
            world.clean_up().await;
        }
    }

    async fn outcome(
        &self,
        world: &mut World,
        theme: &Theme,
        case: &Case,
        needs: &BTreeSet<String>,
    ) -> Outcome {
        let holds = |need: &str| match need {
            HOOK => self.hook.is_some(),
            _ => self.claims.hold(need),
        };
        let missing: Vec<String> = needs.iter().filter(|n| !holds(n)).cloned().collect();
        if !missing.is_empty() {
            return Outcome::NotClaimed(missing);
        }
        if let Err(problem) = world.give(&case.given).await {
            return Outcome::Failed(vec![problem]);
        }
        let mut failures = Vec::new();
        for (number, step) in case.steps.iter().enumerate() {
            let (reply, found) = match run_step(world, step, &theme.of_type).await {
                Ok((reply, found)) => (reply, found),
                Err(failure) => (None, vec![failure]),
            };
            if found.is_empty() {
                continue;
            }
            if let Some(reason) = reply
                .as_ref()
                .and_then(refusal)
                .filter(|_| case.is_optional)
            {
                return Outcome::Declined(reason);
            }
            if case.is_free && reply.is_some_and(|reply| reply.status < 500) {
                let found = found.join("; ");
                return Outcome::Declined(format!("left to the server, which does not: {found}"));
            }
            let place = match case.steps.len() {
                1 => String::new(),
                _ => format!("step {} ({}): ", number + 1, shown(step)),
            };
            failures.extend(found.into_iter().map(|f| format!("{place}{f}")));
            // What follows builds on what came before.
            break;
        }
        match failures.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Failed(failures),
        }
    }
}

fn shown(step: &Map<String, Value>) -> String {
    let asked = ["send", "find", "hooked", "socket"];
    let asked = asked.iter().find_map(|member| step.get(*member));
    let text = match asked {
        Some(Value::String(text)) => text.clone(),
        other => other.map(Value::to_string).unwrap_or_default(),
    };
    text.chars().take(120).collect()
}

/// A clear refusal: a client error with an OperationOutcome, or 501.
fn refusal(reply: &Reply) -> Option<String> {
    let json = reply.json();
    let is_outcome = json.get("resourceType") == Some(&"OperationOutcome".into());
    let is_refusal = [400, 403, 404, 405, 406, 415, 422].contains(&reply.status) && is_outcome;
    let words = json.pointer("/issue/0/diagnostics").and_then(Value::as_str);
    (is_refusal || reply.status == 501)
        .then(|| format!("answered {}: {}", reply.status, words.unwrap_or("no words")))
}

/// The reply, where the step has a single one, and what does not hold.
async fn run_step(
    world: &mut World,
    step: &Map<String, Value>,
    of_type: &str,
) -> Result<(Option<Reply>, Vec<String>), String> {
    let step = fill_members(step, &world.kept);
    let patience = step.get("eventually").and_then(Value::as_u64).unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(patience);
    let mut pause = Duration::from_millis(50);
    loop {
        let (reply, failures) = once(world, &step, of_type).await?;
        if failures.is_empty() || Instant::now() >= until {
            if let Some(reply) = &reply {
                expect::keep(&step, reply, &mut world.kept);
            }
            return Ok((reply, failures));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

async fn once(
    world: &mut World,
    step: &Map<String, Value>,
    of_type: &str,
) -> Result<(Option<Reply>, Vec<String>), String> {
    if step.contains_key("find") {
        let (reply, failures) = find(world, step, of_type).await?;
        return Ok((Some(reply), failures));
    }
    if let Some(path) = step.get("hooked").and_then(Value::as_str) {
        return Ok((None, hooked(world, step, path)));
    }
    if let Some(lines) = step.get("socket") {
        let failure = Box::pin(world.converse(lines)).await.err();
        return Ok((None, failure.into_iter().collect()));
    }
    let sent = request(step, &world.tag)?;
    if let Some(count) = step.get("parallel").and_then(Value::as_u64) {
        let wanted = step.get("statuses").cloned().unwrap_or_default();
        return Ok((None, parallel(world, &sent, count, &wanted).await?));
    }
    let reply = world.send(&sent).await?;
    let failures = expect::failures(step, &reply);
    Ok((Some(reply), failures))
}

/// What the endpoint was told at this path, and how often.
fn hooked(world: &World, step: &Map<String, Value>, path: &str) -> Vec<String> {
    let (times, last) = match &world.hook {
        Some(hook) => hook.told(path),
        None => (0, None),
    };
    let wanted = step.get("times").and_then(Value::as_u64);
    if wanted.is_some_and(|wanted| u64::try_from(times) != Ok(wanted)) {
        return vec![format!(
            "times: wanted {wanted:?}, was called {times} times"
        )];
    }
    match last {
        Some(reply) => expect::failures(step, &reply),
        None if wanted == Some(0) => Vec::new(),
        None => vec![format!("{path}: was not called")],
    }
}

/// Sends one request many times at once; the statuses must come up as often as wanted.
async fn parallel(
    world: &mut World,
    sent: &Sent,
    count: u64,
    wanted: &Value,
) -> Result<Vec<String>, String> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (server, sent) = (world.server.clone(), sent.clone());
        tasks.spawn(async move { server.send(&sent).await });
    }
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for reply in tasks.join_all().await {
        let reply = reply?;
        *found.entry(reply.status.to_string()).or_default() += 1;
        world.remember(sent, &reply);
    }
    let found = found
        .into_iter()
        .map(|(status, times)| (status, times.into()));
    let found = Value::Object(found.collect());
    let differs = found != *wanted;
    Ok(differs
        .then(|| format!("wanted {wanted}, found {found}"))
        .into_iter()
        .collect())
}
