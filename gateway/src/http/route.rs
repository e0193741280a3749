//! Method and path to one interaction, a closed set (R4 3.1.0).

/// Every FHIR request that this server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interaction {
    Capabilities,
    Read {
        resource_type: String,
        id: String,
    },
    Vread {
        resource_type: String,
        id: String,
        version: String,
    },
    History {
        resource_type: String,
        id: String,
    },
    /// GET or POST `_search`.
    Search {
        resource_type: String,
    },
    Create {
        resource_type: String,
    },
    Update {
        resource_type: String,
        id: String,
    },
    Delete {
        resource_type: String,
        id: String,
    },
    /// POST of a batch or transaction Bundle to the base.
    Bundle,
    /// POST Task/{id}/$resolve: a person's decision on a conflict.
    Resolve {
        task_id: String,
    },
}
