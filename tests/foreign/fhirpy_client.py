"""A clinic's script on fhirpy, by its ready-made calls. Argument: the FHIR base. Prints each action
that came out right."""

import sys

from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound


def main(base: str) -> None:
    client = SyncFHIRClient(base)

    patient = client.resource(
        "Patient",
        name=[{"family": "Mwangi", "given": ["Wanjirũ"]}],
        birthDate="1984-03",
        identifier=[{"system": "urn:clinic", "value": "py-1"}],
    )
    patient.save()
    assert patient.id, "the server gives an id"
    print("create")

    again = client.reference("Patient", patient.id).to_resource()
    assert again["birthDate"] == "1984-03", "a partial date stays partial"
    print("read")

    found = client.resources("Patient").search(identifier="urn:clinic|py-1").fetch_all()
    assert [p.id for p in found] == [patient.id], "a search right after the write finds it"

    for number in range(7):
        client.resource(
            "Observation",
            status="final",
            code={"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            subject=patient.to_reference(),
            effectiveDateTime=f"2026-01-0{number + 1}",
            valueQuantity={"value": 60 + number, "unit": "/min"},
        ).save()
    observations = client.resources("Observation").search(patient=patient.id)
    assert len(observations.limit(3).fetch_all()) == 7, "the pages together are the set"
    assert observations.count() == 7, "_count=0 answers a total"
    newest = observations.sort("-date").limit(1).fetch()
    assert newest[0]["effectiveDateTime"] == "2026-01-07", "sorted by date, newest first"
    print("search")

    patient["active"] = True
    patient.save()
    assert patient["meta"]["versionId"] == "2", "an update is the next version"
    print("update")

    stale = SyncFHIRClient(base, extra_headers={"If-Match": 'W/"1"'})
    try:
        stale.resource("Patient", id=patient.id, active=False).save()
        raise AssertionError("a stale update is a conflict")
    except MultipleResourcesFound as refusal:  # its name for 412
        assert "OperationOutcome" in str(refusal), refusal
    now = client.reference("Patient", patient.id).to_resource()
    assert now["active"] is True, "the stale update changed nothing"
    print("conflict")

    client.patch("Patient", patient.id, gender="female", birthDate=None)
    patched = client.reference("Patient", patient.id).to_resource()
    assert patched["gender"] == "female" and "birthDate" not in patched, "a patch merges"
    assert patched["active"] is True, "and leaves the rest"
    print("patch")

    new = client.resource("Patient", identifier=[{"system": "urn:clinic", "value": "py-2"}])
    wanted = client.resources("Patient").search(identifier="urn:clinic|py-2")
    made, is_new = wanted.get_or_create(new)
    same, is_new_again = wanted.get_or_create(new)
    assert (is_new, is_new_again) == (True, False), "get_or_create makes it once"
    assert made.id == same.id
    updated, is_new = wanted.update(client.resource("Patient", active=True, identifier=new["identifier"]))
    assert (updated.id, is_new) == (made.id, False), "a conditional update finds it"
    assert wanted.patch(gender="male")["gender"] == "male", "and a conditional patch"
    wanted.delete()
    assert wanted.fetch_all() == [], "and a conditional delete"

    try:
        client.resource("Patient", actve=True).save()
        raise AssertionError("an unknown element must be refused")
    except OperationOutcome as refusal:
        assert "actve" in str(refusal), refusal

    patient.delete()
    try:
        client.reference("Patient", patient.id).to_resource()
        raise AssertionError("a deleted resource must not be read")
    except ResourceNotFound:
        print("delete")


if __name__ == "__main__":
    main(sys.argv[1])
