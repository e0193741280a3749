//! The table, the CapabilityStatement and the router say the same.

use super::*;
use crate::interactions::operations::{Effect, Target, all};
use crate::route::{Interaction, route};
use http::Method;
use store::ResourceKey;

#[tokio::test]
async fn the_statement_lists_what_is_routed() {
    let site = Site::new();
    let statement = site.ask("GET metadata", &[], "").await.ok(200);
    let rest = &statement.items("rest")[0];
    let listed = |holder: &Json, name: &str, definition: &str| {
        holder.items("operation").iter().any(|row| {
            row.str_at(&["name"]) == Some(name) && row.str_at(&["definition"]) == Some(definition)
        })
    };
    let resource = |name: &str| {
        let mut resources = rest.items("resource").iter();
        resources
            .find(|row| row.str_at(&["type"]) == Some(name))
            .unwrap()
    };
    for row in all() {
        assert_eq!(
            listed(rest, row.name, row.definition),
            row.is_for(&Target::System),
            "{row:?}"
        );
        for name in ["Patient", "Observation", "Task", "ValueSet"] {
            let found = listed(resource(name), row.name, row.definition);
            assert_eq!(found, row.is_of_type(name), "{row:?} on {name}");
        }
    }
}

#[test]
fn get_is_for_what_changes_nothing() {
    for row in all() {
        let types = if row.types.is_empty() {
            &["Patient"][..]
        } else {
            row.types
        };
        let instance = |name: &str| ResourceKey {
            resource_type: name.to_owned(),
            id: "a".to_owned(),
        };
        let mut paths = Vec::new();
        if row.is_for(&Target::System) {
            paths.push(format!("/${}", row.name));
        }
        for name in types {
            if row.is_for(&Target::Type((*name).to_owned())) {
                paths.push(format!("/{name}/${}", row.name));
            }
            if row.is_for(&Target::Instance(instance(name))) {
                paths.push(format!("/{name}/a/${}", row.name));
            }
        }
        assert!(!paths.is_empty(), "{row:?}");
        for path in paths {
            let by = |method: Method| match route(&method, &path) {
                Ok(Interaction::Operation(call)) => Ok(call.operation.definition),
                Ok(_) => panic!("{path}"),
                Err(unrouted) => Err(unrouted.failure.category.status()),
            };
            assert_eq!(by(Method::POST), Ok(row.definition), "{path}");
            let get = match row.effect {
                Effect::Reads => Ok(row.definition),
                _ => Err(405),
            };
            assert_eq!(by(Method::GET), get, "{path}");
            assert_eq!(by(Method::PUT), Err(405), "{path}");
        }
    }
}
