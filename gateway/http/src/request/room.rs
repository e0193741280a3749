//! What a request asks of the disk: the less room it has, the more is refused.

use crate::interactions::operations::Effect;
use crate::route::Interaction;
use gateway_ground::failure::Failure;
use gateway_ground::space::SpaceWatch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// It reads, or makes room.
    Nothing,
    Room,
    /// Bulk work.
    Plenty,
}

/// 507 when the disk has no room for what this does.
pub(super) fn check(space: &SpaceWatch, interaction: &Interaction) -> Result<(), Failure> {
    match needs(interaction) {
        Needs::Nothing => Ok(()),
        Needs::Room => space.check_write(),
        Needs::Plenty => space.check_bulk(),
    }
}

fn needs(interaction: &Interaction) -> Needs {
    match interaction {
        Interaction::Create { .. }
        | Interaction::Update { .. }
        | Interaction::UpdateWhere { .. }
        | Interaction::Patch { .. }
        | Interaction::PatchWhere { .. }
        | Interaction::Bundle => Needs::Room,
        Interaction::Operation(call) => match (call.operation.name, call.operation.effect) {
            ("export" | "import", _) => Needs::Plenty,
            ("purge", _) | (_, Effect::Reads | Effect::Asks) => Needs::Nothing,
            (_, Effect::Writes | Effect::Decides | Effect::Administers) => Needs::Room,
        },
        Interaction::Capabilities
        | Interaction::Read { .. }
        | Interaction::Vread { .. }
        | Interaction::History { .. }
        | Interaction::TypeHistory { .. }
        | Interaction::SystemHistory
        | Interaction::Search { .. }
        | Interaction::SearchSystem
        | Interaction::SearchCompartment(_)
        | Interaction::Delete { .. }
        | Interaction::DeleteWhere { .. }
        | Interaction::JobStatus { .. }
        | Interaction::JobCancel { .. }
        | Interaction::JobFile { .. } => Needs::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::route;
    use gateway_ground::space::Room;
    use http::Method;

    /// Statuses when there is room, when it is short, and when there is none.
    #[track_caller]
    fn check_statuses(method: &Method, path: &str, expected: [u16; 3]) {
        let interaction = route(method, path).map_err(|unrouted| unrouted.failure);
        let interaction = interaction.unwrap();
        let status = |free_mb: u64| {
            let space = SpaceWatch::default();
            let room = Room {
                free: free_mb << 20,
                whole: 10_000 << 20,
            };
            space.note(0, room, true);
            match check(&space, &interaction) {
                Ok(()) => 200,
                Err(failure) => failure.category.status(),
            }
        };
        assert_eq!([5_000, 400, 50].map(status), expected, "{method} {path}");
    }

    #[test]
    fn bulk_work_goes_first_then_writes_and_never_reading_or_making_room() {
        for path in [
            "/$export",
            "/Patient/$export",
            "/Group/g/$export",
            "/_jobs/7/0",
        ] {
            let is_file = path.starts_with("/_jobs");
            let expected = if is_file { [200; 3] } else { [200, 507, 507] };
            check_statuses(&Method::GET, path, expected);
        }
        check_statuses(&Method::POST, "/$import", [200, 507, 507]);
        for path in ["/Patient", "/", "/Patient/p/$meta-add", "/Patient/$merge"] {
            check_statuses(&Method::POST, path, [200, 200, 507]);
        }
        for method in [Method::PUT, Method::PATCH] {
            check_statuses(&method, "/Patient/p", [200, 200, 507]);
        }
        for path in [
            "/Patient/p",
            "/Patient",
            "/metadata",
            "/Patient/p/$everything",
        ] {
            check_statuses(&Method::GET, path, [200; 3]);
        }
        check_statuses(&Method::DELETE, "/Patient/p", [200; 3]);
        check_statuses(&Method::POST, "/Patient/p/$purge", [200; 3]);
        check_statuses(&Method::POST, "/Patient/_search", [200; 3]);
        check_statuses(&Method::POST, "/Patient/$validate", [200; 3]);
    }
}
