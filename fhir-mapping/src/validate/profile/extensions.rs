//! Extensions beside their definitions (R4 2.4): each is judged by the one that is loaded; one that
//! may change the meaning of what it stands in must have one.

use super::super::rules::Walk;
use super::check::check_at;
use super::{Profiles, plain};
use crate::model::{Issue, IssueCode, Json};

/// Adds the findings about the extensions that the walk has met.
pub(in crate::validate) fn check_extensions<'a>(
    walk: &mut Walk<'a>,
    resource: &'a Json,
    profiles: &'a Profiles,
) {
    let scope = walk.scope(resource);
    for node in std::mem::take(&mut walk.extensions) {
        let url = node.json().and_then(|json| json.get("url")?.as_str());
        let Some(url) = url else { continue };
        let is_modifier = node.name() == Some("modifierExtension");
        match profiles.get(url) {
            Some(profile) => {
                let path = walk.path(&node);
                check_at(walk, (&scope.at(node), &path), (profile, profiles));
            }
            None if is_modifier && profiles.has_extensions => {
                let text = "this extension may change the meaning of the element, and is not known \
                            here: PUT its StructureDefinition";
                let path = walk.path(&node);
                walk.note(Issue::error("E-VAL-41", IssueCode::Extension, path, text));
            }
            None => {}
        }
    }
}

/// The URLs of a resource's extensions, each once, at most so many.
pub(super) fn urls(resource: &Json, most: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = vec![resource];
    while let Some(json) = open.pop() {
        match json {
            Json::Array(items) => open.extend(items),
            Json::Object(object) => {
                for (name, value) in object.iter() {
                    if name == "extension" || name == "modifierExtension" {
                        note(value, most, &mut found);
                    }
                    open.push(value);
                }
            }
            _ => {}
        }
    }
    found
}

/// Extensions of extensions have names, not URLs, unless they are defined by themselves.
fn note(list: &Json, most: usize, found: &mut Vec<String>) {
    let items = list.as_array().unwrap_or_default();
    let urls = items.iter().filter_map(|item| item.get("url")?.as_str());
    for url in urls.filter(|url| url.contains(':')).map(plain) {
        if found.len() < most && !found.contains(&url) {
            found.push(url);
        }
    }
}
