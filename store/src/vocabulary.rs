//! The words that cross the store's border. Plain values, no behaviour beyond conversion.

/// A resource's identity: FHIR type and logical id. Never a key on disk in clear text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    pub resource_type: String,
    pub id: String,
}

/// Dense internal number of a resource, given once to a (type, id) and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rid(pub u64);

/// Number of one immutable version of a resource, counting from 1; `meta.versionId` is its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId(pub u64);

/// Position in the one change log of this site, counting from 1, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

/// One search term in clear; the store blinds it (HMAC-SHA-256, 16 bytes) before it touches disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(pub Vec<u8>);

/// Which kind of party authored a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OriginKind {
    Client,
    Device,
    Target,
    Reviewer,
}

/// Who authored a change: a kind and a small number that the gateway gives (0 when there is one only).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub kind: OriginKind,
    pub number: u16,
}

/// How a version came to be, as a history tells it. What was written before this was kept, and what
/// nobody said it of, is [`Making::Untold`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Making {
    #[default]
    Untold,
    /// Under an id that this site gave.
    Posted,
    /// Under an id that was asked for, where nothing was, or nothing any more.
    Put,
    /// In the place of another version.
    Replaced,
    /// Another version, changed in part.
    Patched,
}

/// Send order class, most pressing first; the byte on disk is 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Urgency {
    Urgent,
    Clinical,
    Routine,
    Bulk,
}

/// The newest state of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub rid: Rid,
    /// The version a read answers with.
    pub version: VersionId,
    /// The highest version number given so far; above `version` when incoming versions were kept aside.
    pub newest: VersionId,
    pub seq: Seq,
    pub deleted: bool,
    pub review_open: bool,
    /// Milliseconds since 1970-01-01T00:00:00Z of the head version.
    pub time_ms: i64,
    /// Hybrid logical time of the head version.
    pub hlc: u64,
}

/// One version with its body, opened and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion {
    pub key: ResourceKey,
    pub rid: Rid,
    pub version: VersionId,
    pub seq: Seq,
    pub deleted: bool,
    /// False for a version that was kept aside (an incoming one of a conflict).
    pub was_head: bool,
    pub making: Making,
    pub time_ms: i64,
    pub hlc: u64,
    pub origin: Origin,
    /// Exact JSON text; empty when deleted.
    pub body: Vec<u8>,
}

/// One line of a resource's history: a version without its body.
pub type HistoryItem = (VersionId, Seq);

/// One committed version seen from the change log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub seq: Seq,
    pub rid: Rid,
    pub version: VersionId,
    pub origin: Origin,
    pub hlc: u64,
    pub urgency: Urgency,
    pub deleted: bool,
    pub became_head: bool,
}

/// A version to be written. The plan decides its number: `head.newest + 1`, or 1.
#[derive(Clone, Debug)]
pub struct NewVersion {
    pub key: ResourceKey,
    pub version: VersionId,
    pub body: Vec<u8>,
    pub deleted: bool,
    /// False keeps the version beside the head instead of replacing it.
    pub becomes_head: bool,
    pub making: Making,
    /// Sets the head's review flag after this write; `None` leaves it as it is.
    pub review_open: Option<bool>,
    /// Terms to post for this resource, and terms of its former head to take away.
    pub terms_added: Vec<Term>,
    pub terms_removed: Vec<Term>,
    /// Encoded search values of the new head; ignored when the version does not become head.
    pub values: Vec<u8>,
    pub origin: Origin,
    pub urgency: Urgency,
    pub time_ms: i64,
    pub hlc: u64,
}

/// Tables of small sealed rows that the gateway's loops keep their state in. Keys are numbers,
/// digests and random ids only: nothing personal, but in the blinded tables, whose keys the store
/// blinds as it does terms. Their rows are found by the whole key alone, never by a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// intake seq (u64 BE) -> raw device message, its state and connection
    Intake,
    /// blinded: SHA-256 of connection and message -> intake seq, for duplicates
    IntakeDigests,
    /// intake seq (u64 BE) of messages still waiting to be interpreted -> empty
    IntakeWaiting,
    /// target (u16 BE), urgency (u8), seq (u64 BE) -> delivery state
    Deliveries,
    /// target (u16 BE), rid (u64 BE) -> key of the one live delivery of that resource
    DeliveryByResource,
    /// target (u16 BE), name -> how far the change log was taken over, how far the target was pulled;
    /// 0 stands for the subscriptions of this site
    Checkpoints,
    /// blinded: target (u16 BE), `Type/id` -> remote version, base version. No rid: an incoming
    /// resource gets its row in the commit that numbers it
    Shadows,
    /// rid (u64 BE) of the resource in conflict -> the open review
    Reviews,
    /// SHA-256 of a bearer token -> whose it is
    Tokens,
    /// SHA-256 of an imported file -> how far it came
    Imports,
    /// name -> site-wide settings, as the number that each target was given
    Site,
    /// rid (u64 BE) of a Subscription -> since when it is served, and how it goes
    Subscriptions,
    /// rid (u64 BE) of a Subscription, seq (u64 BE) of a change that it wants told -> the change
    Notices,
    /// `j` and a random id -> a long task; `f`, id, number (u32 BE) -> the resources of a file of it;
    /// `p`, id, number -> how far an input of it came; `e`, id, number, line (u64 BE) -> what was
    /// refused of that input
    Jobs,
}

impl Table {
    /// Every table.
    pub const ALL: [Table; 14] = [
        Table::Intake,
        Table::IntakeDigests,
        Table::IntakeWaiting,
        Table::Deliveries,
        Table::DeliveryByResource,
        Table::Checkpoints,
        Table::Shadows,
        Table::Reviews,
        Table::Tokens,
        Table::Imports,
        Table::Site,
        Table::Subscriptions,
        Table::Notices,
        Table::Jobs,
    ];

    /// Are this table's keys blinded?
    pub(crate) fn is_blinded(self) -> bool {
        matches!(self, Table::IntakeDigests | Table::Shadows)
    }
}

/// A row as it is read: its key, without the byte of its table, and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// One change to a row: `None` takes it away.
#[derive(Clone, Debug)]
pub struct RowWrite {
    pub table: Table,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// One entry of the audit, opened. `chain` is SHA-256 over the previous chain value and the entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub number: u64,
    pub chain: [u8; 32],
    pub body: Vec<u8>,
}

/// Versions that are taken away for good, from the newest down: what is left of a resource is the
/// deletion that is its head. Its key, its rid and its changes stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// A resource that is deleted, after the versions of this write set.
    pub rid: Rid,
    /// The lowest version to take away.
    pub from: VersionId,
    /// The highest: the one before the head, or before those taken away already.
    pub to: VersionId,
}

/// Search values and postings of a live head, made anew; its versions stay as they are.
#[derive(Clone, Debug)]
pub struct NewIndex {
    pub rid: Rid,
    pub terms_added: Vec<Term>,
    pub terms_removed: Vec<Term>,
    pub values: Vec<u8>,
}

/// A row that a look found damaged, as it was: the store takes it only in the place of one that does
/// not open, and only when all that is around it confirms it. No version is made.
#[derive(Clone, Debug)]
pub enum Mend {
    /// As a backup has it.
    Version(StoredVersion),
    /// As the versions tell it ([`crate::View::head_from_versions`]), with the review flag.
    Head(ResourceKey, Head),
    /// As a backup has it.
    Change(Change),
    /// As a backup has it.
    Audit(AuditEntry),
    /// Leads from a name to the resource that has it, by its versions.
    Key(ResourceKey, Rid),
    /// Takes a resource out of the list of a term (blinded) that it has not.
    Stray(Rid, [u8; 16]),
}

/// Everything one commit writes, all or nothing.
#[derive(Clone, Debug, Default)]
pub struct WriteSet {
    pub versions: Vec<NewVersion>,
    /// Carried out after `versions`.
    pub purges: Vec<Purge>,
    pub rows: Vec<RowWrite>,
    /// Of resources that `versions` does not name.
    pub indexes: Vec<NewIndex>,
    /// Carried out last.
    pub mends: Vec<Mend>,
    /// Bodies of audit entries, oldest first; the store numbers, chains and seals them.
    pub audit: Vec<Vec<u8>>,
}

/// What the store gave to a committed write set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// One seq for each version of the write set, in its order.
    pub seqs: Vec<Seq>,
}
