//! Value sets over a small library and R4's own.

use super::*;
use crate::model::{Limits, parse};
use crate::terminology::{Base, ConceptMap};

/// Resources as text, and R4's own behind them.
struct Shelf(Vec<Json>);

impl Shelf {
    fn find(&self, kind: &str, canonical: &str) -> Option<&Json> {
        let mut all = self
            .0
            .iter()
            .filter(|one| one.resource_type() == Some(kind));
        all.find(|one| one.str_at(&["url"]) == Some(canonical))
    }
}

impl Library for Shelf {
    fn code_system(&self, canonical: &str) -> Result<Option<Arc<CodeSystem>>, Issue> {
        let found = self
            .find("CodeSystem", canonical)
            .map(|one| Arc::new(CodeSystem::of(one)));
        found.map_or_else(|| Base.code_system(canonical), |found| Ok(Some(found)))
    }

    fn value_set(&self, canonical: &str) -> Result<Option<Arc<ValueSet>>, Issue> {
        let found = self
            .find("ValueSet", canonical)
            .map(|one| Arc::new(ValueSet::of(one)));
        found.map_or_else(|| Base.value_set(canonical), |found| Ok(Some(found)))
    }

    fn concept_map(&self, canonical: &str) -> Result<Option<Arc<ConceptMap>>, Issue> {
        Base.concept_map(canonical)
    }

    fn concept_maps_from(&self, system: &str) -> Result<Vec<Arc<ConceptMap>>, Issue> {
        Base.concept_maps_from(system)
    }
}

fn tree(text: &str) -> Json {
    parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap()
}

const PLANTS: &str = "{'resourceType':'CodeSystem','url':'urn:plants','content':'complete','concept':[
    {'code':'tree','display':'Tree','concept':[
        {'code':'oak','display':'Oak','property':[{'code':'height','valueInteger':30}]},
        {'code':'pine','display':'Pine','property':[{'code':'height','valueInteger':40},{'code':'status','valueCode':'retired'}]}]},
    {'code':'herb','display':'Herb'}]}";

fn set(name: &str, compose: &str) -> Json {
    tree(&format!(
        "{{'resourceType':'ValueSet','url':'urn:{name}','status':'active','compose':{{{compose}}}}}"
    ))
}

fn shelf() -> Shelf {
    Shelf(vec![
        tree(PLANTS),
        set("all", "'include':[{'system':'urn:plants'}]"),
        set("circle", "'include':[{'valueSet':['urn:circle2']}]"),
        set("circle2", "'include':[{'valueSet':['urn:circle']}]"),
        set(
            "tall",
            "'include':[{'system':'urn:plants','filter':[{'property':'height','op':'exists','value':'true'}]}]",
        ),
    ])
}

/// The codes of a value set with this compose, or the number of the issue; and each of them is held
/// exactly when it is listed.
#[track_caller]
fn check(compose: &str, expected: &str) {
    let shelf = shelf();
    let terminology = Terminology::new(&shelf);
    let set = ValueSet::of(&set("x", compose));
    let codes = terminology.expand(&set).map(|members| {
        let codes: Vec<String> = members.into_iter().map(|member| member.code).collect();
        for code in ["tree", "oak", "pine", "herb"] {
            let is_held = terminology.holds(&set, Some("urn:plants"), code).unwrap();
            assert_eq!(
                is_held,
                codes.iter().any(|c| c == code),
                "{code} in {compose}"
            );
        }
        codes.join(" ")
    });
    let found = codes.unwrap_or_else(|issue| issue.number.to_owned());
    assert_eq!(found, expected, "{compose}");
}

fn filter(property: &str, op: &str, value: &str) -> String {
    format!(
        "'include':[{{'system':'urn:plants','filter':[{{'property':'{property}','op':'{op}','value':'{value}'}}]}}]"
    )
}

#[test]
fn rules_of_value_sets() {
    check("'include':[{'system':'urn:plants'}]", "tree oak pine herb");
    check(
        "'include':[{'system':'urn:plants','concept':[{'code':'herb'},{'code':'oak'}]}]",
        "herb oak",
    );
    check(
        "'include':[{'valueSet':['urn:all']}],'exclude':[{'system':'urn:plants','concept':[{'code':'oak'}]}]",
        "tree pine herb",
    );
    check(
        "'include':[{'valueSet':['urn:all','urn:tall']}]",
        "oak pine",
    );
    check(
        "'include':[{'system':'urn:plants','valueSet':['urn:tall']}]",
        "oak pine",
    );
    check(
        "'include':[{'system':'urn:plants'},{'system':'urn:plants'}],'exclude':[{'valueSet':['urn:tall']}]",
        "tree herb",
    );
    check("'include':[]", "");
}

#[test]
fn filters_of_value_sets() {
    check(&filter("concept", "is-a", "tree"), "tree oak pine");
    check(&filter("concept", "descendent-of", "tree"), "oak pine");
    check(&filter("concept", "is-not-a", "tree"), "herb");
    check(&filter("concept", "generalizes", "oak"), "tree oak");
    check(&filter("parent", "=", "tree"), "oak pine");
    check(&filter("child", "=", "oak"), "tree");
    check(&filter("height", "=", "30"), "oak");
    check(&filter("code", "in", "oak,herb"), "oak herb");
    check(&filter("code", "not-in", "oak,herb"), "tree pine");
    check(&filter("display", "regex", "[OP].*"), "oak pine");
    check(&filter("display", "regex", "O"), "");
    check(&filter("height", "exists", "false"), "tree herb");
    check(&filter("parent", "exists", "true"), "oak pine");
}

#[test]
fn what_cannot_be_listed_says_why() {
    check("'include':[{'valueSet':['urn:circle']}]", "E-TERM-8");
    check("'include':[{'system':'urn:nowhere'}]", "E-TERM-11");
    check("'include':[{'valueSet':['urn:nowhere']}]", "E-TERM-4");
    check("'include':[{'system':'urn:ietf:bcp:13'}]", "E-TERM-10");
    check(&filter("concept", "is-a", "stone"), "E-TERM-2");
    check(&filter("code", "like", "x"), "E-TERM-1");
    check(&filter("code", "regex", "("), "E-TERM-3");
}

#[test]
fn own_value_sets_are_listed_and_judged() {
    let terminology = Terminology::new(&Base);
    let gender = terminology
        .value_set("http://hl7.org/fhir/ValueSet/administrative-gender")
        .unwrap();
    let codes: Vec<String> = terminology
        .expand(&gender)
        .unwrap()
        .into_iter()
        .map(|m| m.code)
        .collect();
    assert_eq!(codes, ["male", "female", "other", "unknown"]);
    let holds = |url: &str, system: Option<&str>, code: &str| {
        let set = terminology.value_set(url).unwrap();
        terminology
            .holds(&set, system, code)
            .map_err(|issue| issue.number)
    };
    let gender = "http://hl7.org/fhir/ValueSet/administrative-gender";
    assert_eq!(holds(gender, None, "male"), Ok(true));
    assert_eq!(
        holds(
            gender,
            Some("http://hl7.org/fhir/administrative-gender"),
            "male"
        ),
        Ok(true)
    );
    assert_eq!(holds(gender, Some("urn:other"), "male"), Ok(false));
    assert_eq!(holds(gender, None, "Male"), Ok(false));
    let mime = "http://hl7.org/fhir/ValueSet/mimetypes";
    assert_eq!(holds(mime, None, "application/pdf"), Ok(true));
    // SNOMED CT is not here.
    let condition = "http://hl7.org/fhir/ValueSet/condition-code";
    assert_eq!(
        holds(condition, Some("http://snomed.info/sct"), "1"),
        Err("E-TERM-7")
    );
}

#[test]
fn hierarchies_are_walked_both_ways() {
    let shelf = shelf();
    let terminology = Terminology::new(&shelf);
    assert_eq!(
        terminology.below("urn:plants", "tree").unwrap(),
        ["oak", "pine", "tree"]
    );
    assert_eq!(
        terminology.above("urn:plants", "oak").unwrap(),
        ["oak", "tree"]
    );
    assert_eq!(
        terminology.above("urn:plants", "x").unwrap_err().number,
        "E-TERM-6"
    );
    assert_eq!(
        terminology.below("urn:x", "x").unwrap_err().number,
        "E-TERM-5"
    );
}
