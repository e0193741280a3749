//! Operations (`$name`): one table row and one file each; routing, permission and the
//! CapabilityStatement read the same row. <https://hl7.org/fhir/R4/operations.html>

mod convert;
mod everything;
mod export;
pub(super) mod import;
mod inputs;
mod lastn;
mod match_patients;
mod merge;
mod meta;
mod purge;
mod resolve;
mod subscription_status;
mod table;
mod terminology;
mod validate;

use super::{Surface, answers, aside, content};
use crate::exchange::{Answer, Exchange};
use fhir_mapping::model::{Json, format};
use gateway_ground::failure::Failure;
use std::fmt;
use std::pin::Pin;
use store::ResourceKey;

pub use inputs::Inputs;
pub(super) use terminology::EXPANSION_PARAMETERS;

#[cfg(test)]
mod tests;

/// One row of the table.
pub struct Operation {
    /// Without the dollar sign.
    pub name: &'static str,
    /// Canonical URL of its OperationDefinition.
    pub definition: &'static str,
    pub levels: &'static [Level],
    /// The types it is for; empty means every type. The system level needs none.
    pub types: &'static [&'static str],
    pub effect: Effect,
    pub(super) run: fn(Asked) -> Running,
}

/// Where in the URL an operation is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    System,
    Type,
    Instance,
}

/// What an operation does to the site: decides its methods and who may call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing: GET and POST, for everybody who may read.
    Reads,
    /// Changes nothing, but asks with a resource: POST, for everybody who may read.
    Asks,
    /// Changes resources: POST, for those who may write.
    Writes,
    /// A person's decision: POST, for reviewers.
    Decides,
    /// Concerns the site as a whole: POST, for administrators.
    Administers,
}

/// What an operation is called on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    System,
    Type(String),
    Instance(ResourceKey),
}

/// A routed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub operation: &'static Operation,
    pub target: Target,
}

/// What an operation is given.
pub(super) struct Asked {
    pub(super) surface: Surface,
    pub(super) exchange: Exchange,
    pub(super) target: Target,
    pub(super) inputs: Inputs,
}

pub(super) type Running = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

/// Every row, in the order of the CapabilityStatement.
pub fn all() -> &'static [Operation] {
    table::ALL
}

/// The row of that name for that target.
pub fn find(name: &str, target: &Target) -> Option<&'static Operation> {
    let name = name.strip_prefix('$')?;
    all()
        .iter()
        .find(|row| row.name == name && row.is_for(target))
}

/// Reads the parameters and runs.
pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    call: &Call,
) -> Result<Answer, Failure> {
    let is_question = call.operation.name == "validate";
    let inputs = if exchange.body.len() > content::AT_ONCE_BYTES_MAX {
        let exchange = exchange.clone();
        aside(move || Inputs::read(&exchange, is_question)).await?
    } else {
        Inputs::read(exchange, is_question)?
    };
    let asked = Asked {
        surface: surface.clone(),
        inputs,
        exchange: exchange.clone(),
        target: call.target.clone(),
    };
    (call.operation.run)(asked).await
}

/// The key of an instance; the table lets no other target through where this is asked.
fn instance(target: &Target) -> Result<&ResourceKey, Failure> {
    match target {
        Target::Instance(key) => Ok(key),
        _ => Err(inputs::missing("id")),
    }
}

/// 200 with a resource.
fn resource(resource: &Json) -> Answer {
    answers::body(format(resource).into_bytes())
}

/// A Parameters resource; each parameter as `parameter` makes them.
fn parameters(list: impl IntoIterator<Item = Json>) -> Json {
    Json::object([
        ("resourceType", "Parameters".into()),
        ("parameter", Json::array(list)),
    ])
}

/// `value` is the name of the element, as `valueBoolean` or `resource`.
fn parameter(name: &str, value: &str, content: Json) -> Json {
    Json::object([("name", name.into()), (value, content)])
}

impl Operation {
    /// True when the operation can be called there.
    pub fn is_for(&self, target: &Target) -> bool {
        let knows = |name: &str| self.types.is_empty() || self.types.contains(&name);
        match target {
            Target::System => self.levels.contains(&Level::System),
            Target::Type(name) => self.levels.contains(&Level::Type) && knows(name),
            Target::Instance(key) => {
                self.levels.contains(&Level::Instance) && knows(&key.resource_type)
            }
        }
    }

    /// True when something of that type can be asked.
    pub fn is_of_type(&self, name: &str) -> bool {
        let has_level = self.levels.iter().any(|level| *level != Level::System);
        has_level && (self.types.is_empty() || self.types.contains(&name))
    }
}

impl Call {
    /// The decision on the review with that Task.
    pub fn resolve(task_id: &str) -> Call {
        Call {
            operation: &table::RESOLVE,
            target: Target::Instance(ResourceKey {
                resource_type: "Task".to_owned(),
                id: task_id.to_owned(),
            }),
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "${}", self.name)
    }
}

impl PartialEq for Operation {
    fn eq(&self, other: &Operation) -> bool {
        self.name == other.name && self.definition == other.definition
    }
}

impl Eq for Operation {}
