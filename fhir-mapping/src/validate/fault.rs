//! The findings that structure validation can make, with their numbers. No text shows a value.

use crate::model::{Issue, IssueCode};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault<'a> {
    NoObject,
    NoResourceType,
    UnknownResourceType,
    ContainedInContained,
    UnknownElement,
    Required,
    /// The JSON names of both.
    ChoiceTwice(&'a str, &'a str),
    EmptyArray,
    EmptyObject,
    ArrayWanted,
    SingleWanted,
    LoneNull,
    JsonType(&'static str),
    Pattern(&'static str),
    Code,
    Narrative(&'static str),
    CompanionCount,
    CompanionShape,
    CompanionEmpty,
}

impl Fault<'_> {
    pub(super) fn issue(self, expression: String) -> Issue {
        let (number, code, text) = self.parts();
        let text = match self {
            Fault::ChoiceTwice(one, other) => format!("{text}, here are {one} and {other}"),
            Fault::JsonType(wanted) => format!("{wanted} is wanted here{text}"),
            Fault::Pattern(wanted) => format!("this is not {wanted}{text}"),
            Fault::Narrative(fault) => format!("the narrative {fault}{text}"),
            _ => text.to_owned(),
        };
        Issue::error(number, code, expression, text)
    }

    fn parts(self) -> (&'static str, IssueCode, &'static str) {
        use IssueCode::{CodeInvalid, Invariant, Required, Structure, Value};
        match self {
            Fault::NoObject => ("E-VAL-1", Structure, "a resource is a JSON object"),
            Fault::NoResourceType => (
                "E-VAL-2",
                Structure,
                "resourceType is missing or is no string",
            ),
            Fault::UnknownResourceType => (
                "E-VAL-3",
                Structure,
                "resourceType names no resource type of R4",
            ),
            Fault::ContainedInContained => (
                "E-VAL-4",
                Invariant,
                "a contained resource may not contain resources (dom-2)",
            ),
            Fault::UnknownElement => ("E-VAL-5", Structure, "R4 has no such element here"),
            Fault::Required => ("E-VAL-6", Required, "this element is required"),
            Fault::ChoiceTwice(..) => ("E-VAL-7", Structure, "only one type may be given"),
            Fault::EmptyArray => (
                "E-VAL-8",
                Structure,
                "an array may not be empty: leave it out",
            ),
            Fault::EmptyObject => (
                "E-VAL-9",
                Structure,
                "an object may not be empty: leave it out",
            ),
            Fault::ArrayWanted => (
                "E-VAL-10",
                Structure,
                "this element repeats: use a JSON array",
            ),
            Fault::SingleWanted => (
                "E-VAL-11",
                Structure,
                "this element does not repeat: use no JSON array",
            ),
            Fault::LoneNull => (
                "E-VAL-12",
                Structure,
                "null stands only for a primitive item whose '_' companion has an object there",
            ),
            Fault::JsonType(_) => ("E-VAL-13", Structure, ""),
            Fault::Pattern(_) => ("E-VAL-14", Value, ""),
            Fault::Code => (
                "E-VAL-15",
                CodeInvalid,
                "the code is not in the list that R4 requires here",
            ),
            Fault::Narrative(_) => ("E-VAL-16", Value, ""),
            Fault::CompanionCount => (
                "E-VAL-17",
                Structure,
                "the '_' companion has another number of items than the element",
            ),
            Fault::CompanionShape => (
                "E-VAL-18",
                Structure,
                "the '_' companion is an object, or for an element that repeats an array of \
                 objects and nulls",
            ),
            Fault::CompanionEmpty => (
                "E-VAL-19",
                Structure,
                "a '_' companion holds an id or extensions",
            ),
        }
    }
}
