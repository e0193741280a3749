#!/usr/bin/env python3
"""Writes types.txt and parameters.txt: for each resource type of R4 the smallest resource that its
mandatory elements allow, and for each simple search parameter such a resource with a value of it and
the query that finds it.

Source: the tables of FHIR 4.0.1 (HL7, CC0) in the folder given:

    python3 generate.py ../../fhir-mapping/definitions
"""

import json
import pathlib
import re
import sys

# Spoken on the wire, but no resource that a server stores.
NOT_STORED = {"Parameters", "OperationOutcome", "Resource", "DomainResource"}
ID = "gen-${run}"
URI = "http://example.org/gen/${run}"
INSTANT = "2026-02-03T04:05:06Z"
QUANTITY = {"value": 7.25, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
PRIMITIVES = {
    "boolean": True, "integer": 7, "unsignedInt": 7, "positiveInt": 7, "decimal": 0.25,
    "string": "Generated", "markdown": "Generated", "code": "generated", "id": "generated",
    "uri": URI, "url": URI, "canonical": URI, "oid": "urn:oid:1.2.3", "uuid": "urn:uuid:7f9c2b1e-0000-4000-8000-00000000000a",
    "date": "2026-02-03", "dateTime": INSTANT, "instant": INSTANT, "time": "04:05:06",
    "base64Binary": "AAAA",
    "xhtml": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>",
}
# What invariants ask for beyond mandatory elements.
ALSO = {
    "Bundle": {"type": "collection"},
    "AuditEvent": {"agent": [{"requestor": True, "who": {"display": "x"}}], "source": {"observer": {"display": "x"}}},
    "Communication": {}, "DeviceRequest": {}, "Organization": {"name": "Generated"},
    "Subscription": {"status": "off", "channel": {"type": "websocket"}, "criteria": "Patient?identifier=none"},
    "StructureMap": {},
    # An active one takes effect on servers that search by parameters of their own.
    "SearchParameter": {"status": "draft", "base": ["Patient"], "code": "generated", "type": "token"},
}


class Tables:
    def __init__(self, folder):
        self.codes, self.elements, self.bases = {}, {}, {}
        current = None
        for line in (folder / "structure.txt").read_text().splitlines():
            if line.startswith("V "):
                _, name, *codes = line.split(" ")
                self.codes[name] = codes
            elif line[:2] in ("R ", "C ", "B "):
                parts = line.split(" ")
                current, base = parts[1], parts[2] if len(parts) > 2 else None
                self.elements[current], self.bases[current] = {}, base
            elif line.startswith(" "):
                name, card, types, *bound = line.strip().split(" ")
                self.elements[current][name] = (card, types.split(","), bound[0] if bound else None)
        self.resources = [
            line.split(" ")[1]
            for line in (folder / "structure.txt").read_text().splitlines()
            if line.startswith("R ")
        ]

    def of(self, type_name):
        base = self.bases.get(type_name)
        found = dict(self.of(base)) if base in self.elements else {}
        found.update(self.elements.get(type_name, {}))
        return found

    def find(self, type_name, name):
        """Element and concrete type of a JSON member: valueQuantity is value[x] as a Quantity."""
        elements = self.of(type_name)
        if name in elements:
            card, types, bound = elements[name]
            return card, types[0], bound
        for element, (card, types, bound) in elements.items():
            if element.endswith("[x]") and name.startswith(element[:-3]):
                for one in types:
                    if name == element[:-3] + one[0].upper() + one[1:]:
                        return card, one, bound
        return None

    def siblings(self, type_name, name):
        """The other members of the choice that this one belongs to."""
        for element, (_, types, _) in self.of(type_name).items():
            members = [element[:-3] + one[0].upper() + one[1:] for one in types]
            if element.endswith("[x]") and name in members:
                return [member for member in members if member != name]
        return []

    def value(self, type_name, bound=None):
        if bound and type_name == "code":
            return self.codes[bound][0]
        if type_name in PRIMITIVES:
            return PRIMITIVES[type_name]
        if type_name == "Reference":
            return {"display": "Generated"}
        if type_name in ("CodeableConcept",):
            return {"text": "Generated"}
        if type_name == "Coding":
            return {"system": "urn:generated", "code": "generated"}
        if type_name == "Identifier":
            return {"system": "urn:generated", "value": "generated"}
        if type_name == "Attachment":
            return {"contentType": "text/plain"}
        if type_name == "Narrative":
            return {"status": "generated", "div": PRIMITIVES["xhtml"]}
        if type_name == "Resource":
            return {"resourceType": "Basic", "code": {"text": "x"}}
        made = self.smallest(type_name)
        return made or {"id": "generated"}

    def smallest(self, type_name):
        made = {}
        for name, (card, types, bound) in self.of(type_name).items():
            if card[0] not in "1+" and not re.match(r"[1-9]\.\.", card):
                continue
            member = name[:-3] + types[0][0].upper() + types[0][1:] if name.endswith("[x]") else name
            value = self.value(types[0], bound)
            made[member] = [value] if self.is_list(card) else value
        return made

    def is_list(self, card):
        return card in ("*", "+") or card.endswith("..*") or bool(re.search(r"\.\.[2-9]", card))

    def resource(self, type_name):
        return {"resourceType": type_name, **self.smallest(type_name), **ALSO.get(type_name, {})}


def value_and_query(kind, type_name, bound, target, tables):
    """A value of this type, and the text that finds it by a parameter of this kind."""
    q = {"system": "urn:gen", "value": ID}
    table = {
        ("t", "Identifier"): (q, f"urn:gen|{ID}"),
        ("t", "CodeableConcept"): ({"coding": [{"system": "urn:gen", "code": ID}]}, f"urn:gen|{ID}"),
        ("t", "Coding"): ({"system": "urn:gen", "code": ID}, f"urn:gen|{ID}"),
        ("t", "ContactPoint"): ({"system": "phone", "value": ID}, ID),
        ("t", "boolean"): (True, "true"),
        ("t", "string"): (ID, ID), ("t", "id"): (ID, ID),
        ("t", "uri"): (URI, URI), ("t", "url"): (URI, URI), ("t", "canonical"): (URI, URI),
        ("s", "string"): (f"Gen {ID}", f"gen {ID}"), ("s", "markdown"): (f"Gen {ID}", f"gen {ID}"),
        ("s", "HumanName"): ({"family": ID}, ID), ("s", "Address"): ({"city": ID}, ID),
        ("r", "canonical"): (URI, URI), ("r", "uri"): (URI, URI),
        ("d", "date"): ("2026-02-03", "2026-02-03"), ("d", "dateTime"): (INSTANT, INSTANT),
        ("d", "instant"): (INSTANT, INSTANT),
        ("d", "Period"): ({"start": "2026-02-03", "end": "2026-02-04"}, "2026-02"),
        ("d", "Timing"): ({"event": [INSTANT]}, "2026-02-03"),
        ("n", "decimal"): (0.25, "0.25"), ("n", "integer"): (7, "7"), ("n", "positiveInt"): (7, "7"),
        ("n", "unsignedInt"): (7, "7"),
        ("q", "Quantity"): (QUANTITY, "7.25|http://unitsofmeasure.org|mg"),
        ("q", "SimpleQuantity"): (QUANTITY, "7.25|http://unitsofmeasure.org|mg"),
        ("u", "uri"): (URI, URI), ("u", "url"): (URI, URI), ("u", "canonical"): (URI, URI),
    }
    if (kind, type_name) == ("t", "code"):
        codes = tables.codes[bound] if bound else ["gen-code"]
        code = "draft" if "draft" in codes else codes[0]  # a draft takes no effect
        return code, code
    if (kind, type_name) == ("r", "Reference"):
        return {"reference": f"{target}/{ID}"}, f"{target}/{ID}"
    return table.get((kind, type_name))


def put(tables, resource, path, leaf):
    """Puts the leaf at the path, with the mandatory siblings of what lies between."""
    type_name, at = resource["resourceType"], resource
    for number, name in enumerate(path):
        is_last = number + 1 == len(path)
        if name.endswith("[x]"):
            card, types, bound = tables.of(type_name)[name]
            fitting = [one for one in types if leaf(one, bound) is not None]
            if not fitting:
                return False
            name = name[:-3] + fitting[0][0].upper() + fitting[0][1:]
        element = tables.find(type_name, name)
        if element is None:
            return False
        for other in tables.siblings(type_name, name):
            at.pop(other, None)
        card, member_type, bound = element
        if is_last:
            made = leaf(member_type, bound)
            if made is None:
                return False
        else:
            made = tables.smallest(member_type)
        at[name] = [made] if tables.is_list(card) else made
        at, type_name = made, member_type
    return True


def simple(expression):
    """The first alternative without functions but a test of the type."""
    for part in expression.split("|"):
        part = part.split("{")[0].strip()
        part = re.sub(r"\.where\(resolve\(\) is \w+\)$", "", part)
        part = re.sub(r"\.isTrue\(\)$", "", part)
        if part and re.fullmatch(r"[A-Za-z.]+(\[x\])?", part):
            return part.split(".")
    return None


def parameters(tables, folder):
    of_type = None
    for line in (folder / "search_parameters.txt").read_text().splitlines():
        if "\t" not in line:
            of_type = line.strip()
            continue
        if of_type == "*" or of_type in NOT_STORED or of_type not in tables.resources:
            continue
        name, kind, *rest = line.split("\t")
        expression = rest[0] if rest else ""
        targets = rest[1].split(",") if len(rest) > 1 and rest[1] else ["Patient"]
        is_test = re.search(r"resolve\(\) is (\w+)", expression.split("|")[0])
        target = is_test.group(1) if is_test else targets[0]
        target = "Patient" if target == "*" else target
        path = simple(expression)
        if path is None or kind not in "tsrdnqu":
            continue
        found = {}

        def leaf(member_type, bound):
            pair = value_and_query(kind, member_type, bound, target, tables)
            if pair is None:
                return None
            found["query"] = pair[1]
            return pair[0]

        resource = tables.resource(of_type)
        if put(tables, resource, path, leaf):
            yield of_type, name, found["query"], resource


def main():
    source = pathlib.Path(sys.argv[1])
    here = pathlib.Path(__file__).parent
    tables = Tables(source)
    shown = lambda resource: json.dumps(resource, separators=(",", ":"))
    note = "# Written by generate.py; do not edit. Source: FHIR 4.0.1 (HL7, CC0).\n"
    stored = [name for name in tables.resources if name not in NOT_STORED]
    lines = [f"{name}\t{shown(tables.resource(name))}\n" for name in stored]
    (here / "types.txt").write_text(note + "".join(lines))
    rows = parameters(tables, source)
    lines = [f"{t}\t{name}\t{query}\t{shown(resource)}\n" for t, name, query, resource in rows]
    (here / "parameters.txt").write_text(note + "".join(lines))


if __name__ == "__main__":
    main()
