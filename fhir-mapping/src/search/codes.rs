//! The mapping's own terminology answers `:in`, `:not-in`, `:above` and `:below`.

use super::asking::{Code, Terminology};
use crate::model::Issue;
use crate::terminology;

impl Terminology for terminology::Terminology<'_> {
    fn members(&self, value_set: &str) -> Result<Vec<Code>, String> {
        let members = self
            .value_set(value_set)
            .and_then(|set| self.expand(&set))
            .map_err(why)?;
        let code = |member: terminology::Member| (member.system, member.code);
        Ok(members.into_iter().map(code).collect())
    }

    fn below(&self, system: &str, code: &str) -> Result<Vec<Code>, String> {
        let found = terminology::Terminology::below(self, system, code);
        found.map(|codes| of(system, codes)).map_err(why)
    }

    fn above(&self, system: &str, code: &str) -> Result<Vec<Code>, String> {
        let found = terminology::Terminology::above(self, system, code);
        found.map(|codes| of(system, codes)).map_err(why)
    }
}

fn of(system: &str, codes: Vec<String>) -> Vec<Code> {
    let code = |code: String| (Some(system.to_owned()), code);
    codes.into_iter().map(code).collect()
}

fn why(issue: Issue) -> String {
    issue.text
}
