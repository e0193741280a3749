//! The rows: adding an operation is one row here and one file beside it.

use super::{
    Effect, Level, Operation, convert, everything, export, import, lastn, match_patients, merge,
    meta, purge, resolve, subscription_status, terminology, validate,
};

pub(super) static ALL: &[Operation] = &[
    SUBSCRIPTION_STATUS,
    PATIENT_EVERYTHING,
    ENCOUNTER_EVERYTHING,
    LASTN,
    META,
    META_ADD,
    META_DELETE,
    EXPAND,
    VALUE_SET_VALIDATE_CODE,
    CODE_SYSTEM_VALIDATE_CODE,
    LOOKUP,
    SUBSUMES,
    TRANSLATE,
    EXPORT,
    PATIENT_EXPORT,
    GROUP_EXPORT,
    IMPORT,
    MATCH,
    MERGE,
    CONVERT,
    VALIDATE,
    RESOLVE,
    PURGE,
];

const VALIDATE: Operation = Operation {
    name: "validate",
    definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate",
    levels: &[Level::Type, Level::Instance],
    types: &[],
    effect: Effect::Reads,
    run: |asked| Box::pin(validate::answer(asked)),
};

pub(super) const RESOLVE: Operation = Operation {
    name: "resolve",
    definition: "https://wayside.example/fhir/OperationDefinition/Task-resolve",
    levels: &[Level::Instance],
    types: &["Task"],
    effect: Effect::Decides,
    run: |asked| Box::pin(resolve::answer(asked)),
};

const PURGE: Operation = Operation {
    name: "purge",
    definition: "https://wayside.example/fhir/OperationDefinition/Patient-purge",
    levels: &[Level::Instance],
    types: &["Patient"],
    effect: Effect::Administers,
    run: |asked| Box::pin(purge::answer(asked)),
};

const SUBSCRIPTION_STATUS: Operation = Operation {
    name: "status",
    definition: "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-status",
    levels: &[Level::Instance],
    types: &["Subscription"],
    effect: Effect::Reads,
    run: |asked| Box::pin(subscription_status::answer(asked)),
};

const META: Operation = Operation {
    name: "meta",
    definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta",
    levels: &[Level::System, Level::Type, Level::Instance],
    types: &[],
    effect: Effect::Reads,
    run: |asked| Box::pin(meta::answer(asked)),
};

const META_ADD: Operation = Operation {
    name: "meta-add",
    definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta-add",
    levels: &[Level::Instance],
    types: &[],
    effect: Effect::Writes,
    run: |asked| Box::pin(meta::change(asked, meta::added)),
};

const META_DELETE: Operation = Operation {
    name: "meta-delete",
    definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta-delete",
    levels: &[Level::Instance],
    types: &[],
    effect: Effect::Writes,
    run: |asked| Box::pin(meta::change(asked, meta::deleted)),
};

const PATIENT_EVERYTHING: Operation = Operation {
    name: "everything",
    definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything",
    levels: &[Level::Type, Level::Instance],
    types: &["Patient"],
    effect: Effect::Reads,
    run: |asked| Box::pin(everything::answer(asked)),
};

const ENCOUNTER_EVERYTHING: Operation = Operation {
    name: "everything",
    definition: "http://hl7.org/fhir/OperationDefinition/Encounter-everything",
    levels: &[Level::Instance],
    types: &["Encounter"],
    effect: Effect::Reads,
    run: |asked| Box::pin(everything::answer(asked)),
};

const EXPAND: Operation = Operation {
    name: "expand",
    definition: "http://hl7.org/fhir/OperationDefinition/ValueSet-expand",
    levels: &[Level::Type, Level::Instance],
    types: &["ValueSet"],
    effect: Effect::Reads,
    run: |asked| Box::pin(terminology::expand(asked)),
};

const VALUE_SET_VALIDATE_CODE: Operation = Operation {
    name: "validate-code",
    definition: "http://hl7.org/fhir/OperationDefinition/ValueSet-validate-code",
    levels: &[Level::Type, Level::Instance],
    types: &["ValueSet"],
    effect: Effect::Reads,
    run: |asked| Box::pin(terminology::of_value_set(asked)),
};

const CODE_SYSTEM_VALIDATE_CODE: Operation = Operation {
    name: "validate-code",
    definition: "http://hl7.org/fhir/OperationDefinition/CodeSystem-validate-code",
    levels: &[Level::Type, Level::Instance],
    types: &["CodeSystem"],
    effect: Effect::Reads,
    run: |asked| Box::pin(terminology::of_code_system(asked)),
};

const LOOKUP: Operation = Operation {
    name: "lookup",
    definition: "http://hl7.org/fhir/OperationDefinition/CodeSystem-lookup",
    levels: &[Level::Type],
    types: &["CodeSystem"],
    effect: Effect::Reads,
    run: |asked| Box::pin(terminology::lookup(asked)),
};

const SUBSUMES: Operation = Operation {
    name: "subsumes",
    definition: "http://hl7.org/fhir/OperationDefinition/CodeSystem-subsumes",
    levels: &[Level::Type, Level::Instance],
    types: &["CodeSystem"],
    effect: Effect::Reads,
    run: |asked| Box::pin(terminology::subsumes(asked)),
};

const TRANSLATE: Operation = Operation {
    name: "translate",
    definition: "http://hl7.org/fhir/OperationDefinition/ConceptMap-translate",
    levels: &[Level::Type, Level::Instance],
    types: &["ConceptMap"],
    effect: Effect::Reads,
    run: |asked| Box::pin(terminology::translate(asked)),
};

const LASTN: Operation = Operation {
    name: "lastn",
    definition: "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
    levels: &[Level::Type],
    types: &["Observation"],
    effect: Effect::Reads,
    run: |asked| Box::pin(lastn::answer(asked)),
};

const EXPORT: Operation = Operation {
    name: "export",
    definition: "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export",
    levels: &[Level::System],
    types: &[],
    effect: Effect::Reads,
    run: |asked| Box::pin(export::answer(asked)),
};

const PATIENT_EXPORT: Operation = Operation {
    name: "export",
    definition: "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export",
    levels: &[Level::Type],
    types: &["Patient"],
    effect: Effect::Reads,
    run: |asked| Box::pin(export::answer(asked)),
};

const GROUP_EXPORT: Operation = Operation {
    name: "export",
    definition: "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/group-export",
    levels: &[Level::Instance],
    types: &["Group"],
    effect: Effect::Reads,
    run: |asked| Box::pin(export::answer(asked)),
};

const IMPORT: Operation = Operation {
    name: "import",
    definition: "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/import",
    levels: &[Level::System],
    types: &[],
    effect: Effect::Administers,
    run: |asked| Box::pin(import::answer(asked)),
};

const MATCH: Operation = Operation {
    name: "match",
    definition: "http://hl7.org/fhir/OperationDefinition/Patient-match",
    levels: &[Level::Type],
    types: &["Patient"],
    effect: Effect::Asks,
    run: |asked| Box::pin(match_patients::answer(asked)),
};

const MERGE: Operation = Operation {
    name: "merge",
    definition: "http://hl7.org/fhir/OperationDefinition/Patient-merge",
    levels: &[Level::Type],
    types: &["Patient"],
    effect: Effect::Writes,
    run: |asked| Box::pin(merge::answer(asked)),
};

const CONVERT: Operation = Operation {
    name: "convert",
    definition: "http://hl7.org/fhir/OperationDefinition/Resource-convert",
    levels: &[Level::System],
    types: &[],
    effect: Effect::Asks,
    run: |asked| Box::pin(convert::answer(asked)),
};
