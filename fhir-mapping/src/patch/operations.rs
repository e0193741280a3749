//! JSON Patch: six operations on places named by pointers (RFC 6902).

use super::budget::Budget;
use super::equal::is_equal;
use super::pointer::{Pointer, index};
use super::{OPERATIONS_MAX, rewrite_member, shown};
use crate::model::{Issue, IssueCode, Json};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operation {
    verb: Verb,
    path: Pointer,
    /// As sent, for messages.
    text: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Verb {
    Add(Json),
    Remove,
    Replace(Json),
    Move(Pointer),
    Copy(Pointer),
    Test(Json),
}

/// Why an operation could not be made.
enum Refusal {
    NothingThere,
    NoPlace,
    IntoItself,
    Differs,
    TooCostly,
}

pub(super) fn read(patch: &Json) -> Result<Vec<Operation>, Issue> {
    let Some(items) = patch.as_array() else {
        let text = "a JSON Patch is an array of operations";
        return Err(Issue::error("E-PATCH-3", IssueCode::Structure, "", text));
    };
    if items.len() > OPERATIONS_MAX {
        let text = format!("a patch has at most {OPERATIONS_MAX} operations");
        return Err(Issue::error("E-PATCH-4", IssueCode::TooCostly, "", text));
    }
    let items = items.iter().enumerate();
    items
        .map(|(at, item)| {
            operation(item).map_err(|why| {
                let text = format!("operation {at}: {why}");
                Issue::error("E-PATCH-5", IssueCode::Structure, "", text)
            })
        })
        .collect()
}

fn operation(item: &Json) -> Result<Operation, String> {
    let pointer = |name: &str| {
        let text = item.get(name).and_then(Json::as_str);
        let text = text.ok_or_else(|| format!("{name} must be a JSON Pointer as text"))?;
        Pointer::parse(text).ok_or_else(|| format!("{name} is no JSON Pointer"))
    };
    let value = || {
        let value = item.get("value").cloned();
        value.ok_or_else(|| "value is missing".to_owned())
    };
    let path = pointer("path")?;
    let verb = match item.get("op").and_then(Json::as_str) {
        Some("add") => Verb::Add(value()?),
        Some("remove") => Verb::Remove,
        Some("replace") => Verb::Replace(value()?),
        Some("move") => Verb::Move(pointer("from")?),
        Some("copy") => Verb::Copy(pointer("from")?),
        Some("test") => Verb::Test(value()?),
        _ => return Err("op must be add, remove, replace, move, copy or test".to_owned()),
    };
    let text = item.get("path").and_then(Json::as_str).unwrap_or_default();
    Ok(Operation {
        verb,
        path,
        text: shown(text),
    })
}

/// Makes the operations in order; the first that does not fit ends it.
pub(super) fn apply(root: &mut Json, operations: &[Operation]) -> Result<(), Issue> {
    let mut budget = Budget::default();
    for (at, operation) in operations.iter().enumerate() {
        let made = operation.make(root, &mut budget);
        made.map_err(|refusal| operation.refused(at, &refusal))?;
    }
    Ok(())
}

impl Operation {
    fn make(&self, root: &mut Json, budget: &mut Budget) -> Result<(), Refusal> {
        match &self.verb {
            Verb::Add(value) => add(root, &self.path, (value.clone(), budget)),
            Verb::Remove => remove(root, &self.path, budget).map(drop),
            Verb::Replace(value) => replace(root, &self.path, value.clone()),
            Verb::Move(from) if from.is_above(&self.path) => Err(Refusal::IntoItself),
            Verb::Move(from) => {
                let value = remove(root, from, budget)?;
                add(root, &self.path, (value, budget))
            }
            Verb::Copy(from) => {
                let value = from.get(root).ok_or(Refusal::NothingThere)?;
                budget.spend_tree(value).ok_or(Refusal::TooCostly)?;
                let value = value.clone();
                add(root, &self.path, (value, budget))
            }
            Verb::Test(value) => match self.path.get(root) {
                None => Err(Refusal::NothingThere),
                Some(found) if is_equal(found, value) => Ok(()),
                Some(_) => Err(Refusal::Differs),
            },
        }
    }

    pub(super) fn rewrite(&mut self, rewrite: &mut impl FnMut(&mut Json)) {
        if let Verb::Add(value) | Verb::Replace(value) = &mut self.verb {
            rewrite_member(self.path.member_name(), value, rewrite);
        }
    }

    fn name(&self) -> &'static str {
        match self.verb {
            Verb::Add(_) => "add",
            Verb::Remove => "remove",
            Verb::Replace(_) => "replace",
            Verb::Move(_) => "move",
            Verb::Copy(_) => "copy",
            Verb::Test(_) => "test",
        }
    }

    fn refused(&self, at: usize, refusal: &Refusal) -> Issue {
        let (code, why) = match refusal {
            Refusal::NothingThere => (IssueCode::NotFound, "nothing is there"),
            Refusal::NoPlace => (IssueCode::NotFound, "there is no such place"),
            Refusal::IntoItself => (IssueCode::Value, "a value cannot be moved into itself"),
            Refusal::Differs => (IssueCode::BusinessRule, "the value there is another one"),
            Refusal::TooCostly => (IssueCode::TooCostly, "the patch makes too much work"),
        };
        let text = format!("operation {at} ({} {}): {why}", self.name(), self.text);
        Issue::error("E-PATCH-6", code, "", text)
    }
}

fn add(
    root: &mut Json,
    path: &Pointer,
    (value, budget): (Json, &mut Budget),
) -> Result<(), Refusal> {
    if path.is_root() {
        *root = value;
        return Ok(());
    }
    match path.parent_mut(root).ok_or(Refusal::NoPlace)? {
        (Json::Object(object), name) => {
            budget.spend(object.len()).ok_or(Refusal::TooCostly)?;
            object.set(name, value);
        }
        (Json::Array(items), "-") => items.push(value),
        (Json::Array(items), token) => {
            let at = index(token).filter(|at| *at <= items.len());
            let at = at.ok_or(Refusal::NoPlace)?;
            let work = items.len() - at + 1;
            budget.spend(work).ok_or(Refusal::TooCostly)?;
            items.insert(at, value);
        }
        _ => return Err(Refusal::NoPlace),
    }
    Ok(())
}

fn remove(root: &mut Json, path: &Pointer, budget: &mut Budget) -> Result<Json, Refusal> {
    match path.parent_mut(root).ok_or(Refusal::NothingThere)? {
        (Json::Object(object), name) => {
            budget.spend(object.len()).ok_or(Refusal::TooCostly)?;
            object.remove(name).ok_or(Refusal::NothingThere)
        }
        (Json::Array(items), token) => {
            let at = index(token).filter(|at| *at < items.len());
            let at = at.ok_or(Refusal::NothingThere)?;
            let work = items.len() - at;
            budget.spend(work).ok_or(Refusal::TooCostly)?;
            Ok(items.remove(at))
        }
        _ => Err(Refusal::NothingThere),
    }
}

fn replace(root: &mut Json, path: &Pointer, value: Json) -> Result<(), Refusal> {
    if path.is_root() {
        *root = value;
        return Ok(());
    }
    let place = match path.parent_mut(root).ok_or(Refusal::NothingThere)? {
        (Json::Object(object), name) => object.get_mut(name),
        (Json::Array(items), token) => index(token).and_then(|at| items.get_mut(at)),
        _ => None,
    };
    *place.ok_or(Refusal::NothingThere)? = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Limits, format, parse};

    /// `expected` is the document after the patch, or what the refusal says.
    #[track_caller]
    fn check(document: &str, patch: &str, expected: &str) {
        let tree = |text: &str| parse(text.as_bytes(), Limits::default()).unwrap();
        let mut root = tree(document);
        let made = read(&tree(patch)).and_then(|operations| apply(&mut root, &operations));
        match made {
            Ok(()) => {
                let expected = tree(expected);
                assert!(is_equal(&root, &expected), "{}", format(&root));
            }
            Err(issue) => assert!(
                !expected.is_empty() && issue.text.contains(expected),
                "{patch}: {}",
                issue.text
            ),
        }
    }

    /// The examples of RFC 6902's appendix, in its order.
    #[test]
    fn the_examples_of_the_rfc() {
        check(
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/baz","value":"qux"}]"#,
            r#"{"baz":"qux","foo":"bar"}"#,
        );
        check(
            r#"{"foo":["bar","baz"]}"#,
            r#"[{"op":"add","path":"/foo/1","value":"qux"}]"#,
            r#"{"foo":["bar","qux","baz"]}"#,
        );
        check(
            r#"{"baz":"qux","foo":"bar"}"#,
            r#"[{"op":"remove","path":"/baz"}]"#,
            r#"{"foo":"bar"}"#,
        );
        check(
            r#"{"foo":["bar","qux","baz"]}"#,
            r#"[{"op":"remove","path":"/foo/1"}]"#,
            r#"{"foo":["bar","baz"]}"#,
        );
        check(
            r#"{"baz":"qux","foo":"bar"}"#,
            r#"[{"op":"replace","path":"/baz","value":"boo"}]"#,
            r#"{"baz":"boo","foo":"bar"}"#,
        );
        check(
            r#"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
            r#"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
            r#"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#,
        );
        check(
            r#"{"foo":["all","grass","cows","eat"]}"#,
            r#"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
            r#"{"foo":["all","cows","eat","grass"]}"#,
        );
        check(
            r#"{"baz":"qux","foo":["a",2,"c"]}"#,
            r#"[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]"#,
            r#"{"baz":"qux","foo":["a",2,"c"]}"#,
        );
        check(
            r#"{"baz":"qux"}"#,
            r#"[{"op":"test","path":"/baz","value":"bar"}]"#,
            "operation 0 (test /baz): the value there is another one",
        );
        check(
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
            r#"{"foo":"bar","child":{"grandchild":{}}}"#,
        );
        check(
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/baz","value":"qux","xyz":123}]"#,
            r#"{"foo":"bar","baz":"qux"}"#,
        );
        check(
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/baz/bat","value":"qux"}]"#,
            "operation 0 (add /baz/bat): there is no such place",
        );
        check(
            r#"{"/":9,"~1":10}"#,
            r#"[{"op":"test","path":"/~01","value":10}]"#,
            r#"{"/":9,"~1":10}"#,
        );
        check(
            r#"{"/":9,"~1":10}"#,
            r#"[{"op":"test","path":"/~01","value":"10"}]"#,
            "another one",
        );
        check(
            r#"{"foo":["bar"]}"#,
            r#"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#,
            r#"{"foo":["bar",["abc","def"]]}"#,
        );
    }

    #[test]
    fn places_are_exact() {
        let list = r#"{"a":[1,2]}"#;
        let add = |path: &str| format!(r#"[{{"op":"add","path":"{path}","value":3}}]"#);
        check(list, &add("/a/2"), r#"{"a":[1,2,3]}"#);
        check(list, &add("/a/3"), "no such place");
        check(list, &add("/a/01"), "no such place");
        check(list, &add("/a/x"), "no such place");
        check(list, &add("/a/0/b"), "no such place");
        check(list, &add("/a"), r#"{"a":3}"#);
        check(list, &add(""), "3");
        check(r#"{"a":null}"#, &add("/a"), r#"{"a":3}"#);
        let remove = |path: &str| format!(r#"[{{"op":"remove","path":"{path}"}}]"#);
        check(list, &remove("/a/2"), "nothing is there");
        check(list, &remove("/a/-"), "nothing is there");
        check(list, &remove("/b"), "nothing is there");
        check(list, &remove(""), "nothing is there");
        check(r#"{"":1}"#, &remove("/"), "{}");
        let replace = |path: &str| format!(r#"[{{"op":"replace","path":"{path}","value":[]}}]"#);
        check(list, &replace("/b"), "nothing is there");
        check(list, &replace("/a/1"), r#"{"a":[1,[]]}"#);
        check(list, &replace(""), "[]");
    }

    #[test]
    fn moving_and_copying() {
        let pair = |op: &str, from: &str, path: &str| {
            format!(r#"[{{"op":"{op}","from":"{from}","path":"{path}"}}]"#)
        };
        let tree = r#"{"a":{"b":1.00},"c":[1]}"#;
        check(
            tree,
            &pair("copy", "/a/b", "/c/0"),
            r#"{"a":{"b":1},"c":[1,1]}"#,
        );
        check(
            tree,
            &pair("copy", "/a", "/a/x"),
            r#"{"a":{"b":1,"x":{"b":1}},"c":[1]}"#,
        );
        check(tree, &pair("move", "/a", "/a/x"), "into itself");
        check(tree, &pair("move", "/a", "/a"), r#"{"c":[1],"a":{"b":1}}"#);
        check(tree, &pair("move", "/x", "/a"), "nothing is there");
        check(tree, &pair("copy", "/x", "/a"), "nothing is there");
        check(tree, &pair("move", "/c/0", "/a"), r#"{"a":1,"c":[]}"#);
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        for (patch, expected) in [
            ("{}", "an array of operations"),
            ("[1]", "operation 0: path must be"),
            (r#"[{"op":"add","path":"/a"}]"#, "value is missing"),
            (r#"[{"op":"spam","path":"/a"}]"#, "op must be"),
            (r#"[{"path":"/a","value":1}]"#, "op must be"),
            (r#"[{"op":"remove","path":"a"}]"#, "path is no JSON Pointer"),
            (r#"[{"op":"move","path":"/a"}]"#, "from must be"),
        ] {
            check("{}", patch, expected);
        }
    }

    #[test]
    fn a_small_patch_cannot_grow_without_end() {
        let double = r#"{"op":"copy","from":"/a","path":"/a/-"}"#;
        let patch = format!("[{}]", vec![double; 40].join(","));
        check(r#"{"a":[1,2,3]}"#, &patch, "too much work");
    }
}
