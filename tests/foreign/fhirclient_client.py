"""A clinic's script on fhirclient (SMART's Python client) by its ready-made calls. It has none for a
patch, which goes through its session. Argument: the FHIR base. Prints each action that came out right."""

import sys

from fhirclient import client
from fhirclient.models.fhirdate import FHIRDate
from fhirclient.models.humanname import HumanName
from fhirclient.models.identifier import Identifier
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException
from requests import HTTPError


def main(base: str) -> None:
    server = client.FHIRClient(settings={"app_id": "clinic", "api_base": base}).server

    patient = Patient()
    name = HumanName()
    name.family, name.given = "Nyerere", ["Joyce"]
    identifier = Identifier()
    identifier.system, identifier.value = "urn:clinic", "fc-1"
    patient.name, patient.identifier = [name], [identifier]
    patient.birthDate = FHIRDate("1984-03")
    patient_id = patient.create(server)["id"]
    print("create")

    again = Patient.read(patient_id, server)
    assert again.name[0].family == "Nyerere"
    assert again.birthDate.origval == "1984-03", "a partial date stays partial"
    first = again.meta.versionId
    print("read")

    again.active = True
    again.update(server)
    second = Patient.read(patient_id, server)
    assert second.active and second.meta.versionId != first
    print("update")

    for number in range(7):
        Observation({
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "subject": {"reference": f"Patient/{patient_id}"},
            "effectiveDateTime": f"2026-01-0{number + 1}",
        }).create(server)
    search = Observation.where({"subject": f"Patient/{patient_id}", "_count": "3", "_sort": "-date"})
    days = [o.effectiveDateTime.origval for o in search.perform_resources_iter(server)]
    assert days == [f"2026-01-0{n}" for n in range(7, 0, -1)], days
    found = Patient.where({"identifier": "urn:clinic|fc-1"}).perform_resources(server)
    assert [p.id for p in found] == [patient_id]
    print("search")

    url = f"{server.base_uri}Patient/{patient_id}"
    patched = server.session.patch(
        url,
        json=[{"op": "replace", "path": "/active", "value": False}],
        headers={"Content-Type": "application/json-patch+json"},
    )
    assert patched.status_code == 200 and patched.json()["active"] is False, patched.text
    print("patch")

    server.session.headers["If-Match"] = f'W/"{first}"'
    try:
        second.update(server)
        raise AssertionError("a stale update is a conflict")
    except HTTPError as refusal:
        assert refusal.response.status_code == 412, refusal
        assert refusal.response.json()["resourceType"] == "OperationOutcome"
    del server.session.headers["If-Match"]
    assert Patient.read(patient_id, server).active is False, "the stale update changed nothing"
    print("conflict")

    second.delete(server)
    try:
        Patient.read(patient_id, server)
        raise AssertionError("a deleted resource must not be read")
    except FHIRNotFoundException:
        pass
    except HTTPError as refusal:  # its server class knows no 410
        assert refusal.response.status_code == 410, refusal
    print("delete")


if __name__ == "__main__":
    main(sys.argv[1])
