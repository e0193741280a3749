//! What the site's level lets in, by every way in.

use super::*;
use crate::interactions::{Door, Strictness};

const UNSOUND: &str = r#"{"resourceType":"Patient","id":"a","nam":1}"#;
const BREAKS_A_RULE: &str = r#"{"resourceType":"Patient","id":"a","contact":[{"gender":"male"}]}"#;

fn site(level: Strictness, profiles: &[(&str, Strictness)]) -> Site {
    let mut site = Site::new();
    let profiles = profiles.iter().map(|(url, of)| ((*url).to_owned(), *of));
    site.surface.door = Arc::new(Door {
        level,
        profiles: profiles.collect(),
        ..Door::default()
    });
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn levels() {
    let cases = [
        (Strictness::Off, 201, 201),
        (Strictness::Structure, 422, 201),
        (Strictness::Full, 422, 422),
    ];
    for (level, unsound, breaks) in cases {
        let site = site(level, &[]);
        let put = |body: &'static str| site.ask("PUT Patient/a", &[], body);
        assert_eq!(put(UNSOUND).await.status, unsound, "{level:?}");
        let site = self::site(level, &[]);
        let reply = site.ask("PUT Patient/a", &[], BREAKS_A_RULE).await;
        assert_eq!(reply.status, breaks, "{level:?}");
    }
    let site = site(Strictness::Full, &[]);
    let reply = site.ask("POST Patient", &[], BREAKS_A_RULE).await;
    reply.refused(422, "E-VAL-20", "Patient.contact[0]");
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_and_patches_are_judged_too() {
    let site = site(Strictness::Full, &[]);
    let entry =
        format!(r#"{{"resource":{BREAKS_A_RULE},"request":{{"method":"POST","url":"Patient"}}}}"#);
    let reply = site.bundle("transaction", &[entry]).await;
    reply.refused(422, "E-VAL-20", "Bundle.entry[0].resource.contact[0]");
    let sound = r#"{"resourceType":"Patient","id":"a","active":true}"#;
    site.ask("PUT Patient/a", &[], sound).await.ok(201);
    let patch = r#"[{"op":"add","path":"/contact","value":[{"gender":"male"}]}]"#;
    let headers = ["Content-Type: application/json-patch+json"];
    let reply = site.ask("PATCH Patient/a", &headers, patch).await;
    reply.refused(422, "E-VAL-20", "Patient.contact[0]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_has_a_level_of_its_own() {
    let site = site(Strictness::Structure, &[("urn:strict", Strictness::Full)]);
    let claims = |url: &str| {
        BREAKS_A_RULE.replace(
            r#""contact""#,
            &format!(r#""meta":{{"profile":["{url}"]}},"contact""#),
        )
    };
    let put = |body: String| {
        let site = &site;
        async move { site.ask("PUT Patient/a", &[], &body).await }
    };
    assert_eq!(put(claims("urn:lax")).await.status, 201);
    put(claims("urn:strict|2.0"))
        .await
        .refused(422, "E-VAL-20", "Patient.contact[0]");
    let sound =
        r#"{"resourceType":"Patient","id":"a","meta":{"profile":["urn:strict"]},"active":true}"#;
    let reply = put(sound.to_owned()).await;
    reply.refused(422, "E-VALID-1", "");
    let profile = r#"{"resourceType":"StructureDefinition","url":"urn:strict","name":"S","status":"active","kind":"resource",
      "abstract":false,"type":"Patient","baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient","derivation":"constraint",
      "differential":{"element":[{"id":"Patient","path":"Patient"},{"id":"Patient.name","path":"Patient.name","min":1}]}}"#;
    site.ask("POST StructureDefinition", &[], profile)
        .await
        .ok(201);
    put(sound.to_owned())
        .await
        .refused(422, "E-VAL-32", "Patient.name");
    assert_eq!(
        put(sound.replace(r#""active":true"#, r#""name":[{"text":"x"}]"#))
            .await
            .status,
        200
    );
}
