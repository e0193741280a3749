//! Every operation over a real store, and every row of the table.

mod bulk;
mod codes;
mod judging;
mod labels;
mod newest;
mod persons;
mod purging;
mod rows;
mod whole_records;

use crate::interactions::tests::{Site, entry};
use fhir_mapping::model::Json;

/// A Parameters body; each parameter is JSON text.
fn parameters(list: &[&str]) -> String {
    format!(
        r#"{{"resourceType":"Parameters","parameter":[{}]}}"#,
        list.join(",")
    )
}

/// The value of the first parameter of that name in a Parameters resource.
#[track_caller]
fn value<'p>(parameters: &'p Json, name: &str, element: &str) -> Option<&'p Json> {
    assert_eq!(parameters.resource_type(), Some("Parameters"));
    let list = parameters.items("parameter").iter();
    let mut named = list.filter(|item| item.str_at(&["name"]) == Some(name));
    named.next()?.get(element)
}

impl Site {
    /// Stores a resource under its own id.
    async fn put(&self, resource: &str) {
        let tree = fhir_mapping::model::parse(resource.as_bytes(), Default::default()).unwrap();
        let (kind, id) = (tree.resource_type().unwrap(), tree.id().unwrap());
        let reply = self.ask(&format!("PUT {kind}/{id}"), &[], resource).await;
        assert!(reply.status < 300, "{}", reply.text);
    }
}
