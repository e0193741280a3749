//! `$subsumes`: how two codes of a system stand to each other.
//! <https://hl7.org/fhir/R4/codesystem-operation-subsumes.html>

use super::super::{Asked, Inputs, inputs, parameter, parameters, resource};
use super::validate_code::system_of;
use super::{Coding, subject};
use crate::exchange::Answer;
use crate::interactions::aside;
use fhir_mapping::model::{Issue, IssueCode};
use gateway_ground::failure::Failure;

const KNOWN: [&str; 6] = ["codeA", "codeB", "system", "version", "codingA", "codingB"];

pub(in super::super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    asked.inputs.check_known(&KNOWN)?;
    let a = coding(&asked.inputs, ("codeA", "codingA"))?;
    let b = coding(&asked.inputs, ("codeB", "codingB"))?;
    if a.system.is_some() && b.system.is_some() && a.system != b.system {
        return Err(inputs::wrong(
            "codingB",
            "is of another system than codingA",
        ));
    }
    let repository = asked.surface.repository.clone();
    let outcome = aside(move || {
        let from = (&asked.target, &asked.inputs);
        let found = subject(&repository, from, ("system", "codeSystem"), "version")?;
        repository.with_terminology(|terminology| {
            let with_system = if a.system.is_some() { &a } else { &b };
            let system = system_of(terminology, (&found, with_system))?;
            system.subsumption(&a.code, &b.code).ok_or_else(unknown)
        })
    })
    .await?;
    let outcome = parameter("outcome", "valueCode", outcome.code().into());
    Ok(resource(&parameters([outcome])))
}

fn coding(inputs: &Inputs, (code, coding): (&str, &str)) -> Result<Coding, Failure> {
    match (inputs.text(code)?, inputs.complex(coding)?) {
        (Some(code), None) => Ok(Coding {
            code: code.to_owned(),
            ..Coding::default()
        }),
        (None, Some(given)) => {
            Coding::of(given).ok_or_else(|| inputs::wrong(coding, "holds no code"))
        }
        (None, None) => Err(inputs::missing(code)),
        (Some(_), Some(_)) => Err(inputs::wrong(code, "excludes the coding: give one of them")),
    }
}

fn unknown() -> Issue {
    let text = "the code system lacks one of the codes";
    Issue::error("E-SUBSUMES-1", IssueCode::NotFound, "", text)
}
