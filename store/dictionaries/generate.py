#!/usr/bin/env python3
"""Makes the dictionaries beside this file, which src/packing packs with.

Usage: generate.py DATA [--held-out]

DATA is the folder of public test data: `synthea` (bundles, bzip2) and `r4-examples` (one resource a
file). With --held-out nothing is written: half of the bundles train, and what the other half comes to is printed.

Nothing personal gets in. The data is synthetic to begin with; of it only texts stay that stand in bundles
of at least three patients, and never names, addresses, contacts, identifiers, narratives or displays of
references. All others become random letters and digits of the same shape. UUIDs are taken out, as packing does.

A dictionary that was given out is never made anew: bodies on disks need its very bytes. A better one
gets the next number. Training is that of libzstd (ZDICT_trainFromBuffer), with a fixed seed.
"""

import base64, bz2, collections, ctypes, ctypes.util, glob, json, os, random, re, sys

SIZE_VERSIONS, SIZE_AUDIT = 64 << 10, 4 << 10
LEVEL = 3
FILES_MIN = 3
PERSONAL = {"family", "given", "prefix", "line", "city", "postalCode", "district", "div", "birthDate"}
PERSONS = re.compile("Patient|Practitioner|RelatedPerson|Person|Group|Organization|Location|CareTeam|Device|[^A-Z]")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
BASE64 = re.compile(rb'"([A-Za-z0-9+/]{64,}={0,2})"')
LETTERS = "eeeeeeetttttaaaaoooooiiiinnnnsssshhhrrrddllcumwfgypbvk"
rng = random.Random(1)


def main():
    held_out = "--held-out" in sys.argv
    folder = sys.argv[1]
    bundles = [json.loads(bz2.open(f).read()) for f in sorted(glob.glob(f"{folder}/synthea/*.bz2"))]
    files = [resources(bundle) for bundle in bundles]
    examples = [[json.load(open(f))] for f in sorted(glob.glob(f"{folder}/r4-examples/*.json"))]
    examples = [f for f in examples if len(json.dumps(f)) < 20_000]
    train = files[::2] if held_out else files
    common = common_texts(train + examples)
    samples = [lean(redacted(r, common)) for f in train + examples for r in f]
    versions = trained(samples, SIZE_VERSIONS)
    audit = trained([audit_block(train) for _ in range(400)], SIZE_AUDIT)
    if held_out:
        packer = Packer(versions)
        test = [r for f in files[1::2] for r in f]
        report(test, packer)
        return
    here = os.path.dirname(os.path.abspath(__file__))
    for name, dictionary in (("1-versions", versions), ("2-audit", audit)):
        with open(os.path.join(here, name), "xb") as out:
            out.write(dictionary)


def resources(bundle):
    """Resources as they are stored: references by type and id."""
    places = {e["fullUrl"]: f'{e["resource"]["resourceType"]}/{e["resource"]["id"]}' for e in bundle["entry"]}

    def settled(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "reference" and isinstance(value, str):
                    node[key] = places.get(value) or found(value)
                else:
                    settled(value)
        elif isinstance(node, list):
            for item in node:
                settled(item)
        return node

    return [settled(e["resource"]) for e in bundle["entry"]]


def found(reference):
    """A conditional reference becomes the id of what it finds."""
    if "?" not in reference:
        return reference
    digits = random.Random(reference)
    parts = ["".join(digits.choice("0123456789abcdef") for _ in range(n)) for n in (8, 4, 4, 4, 12)]
    return reference.split("?")[0] + "/" + "-".join(parts)


def texts(node):
    if isinstance(node, dict):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for item in node:
            yield from texts(item)
    elif isinstance(node, str):
        yield node
        yield from (lines(node) or ())


def lines(text):
    """The lines that base64 stands for."""
    if len(text) < 64 or len(text) % 4:
        return None
    try:
        return base64.b64decode(text, validate=True).decode().split("\n")
    except ValueError:
        return None


def common_texts(files):
    seen = collections.Counter()
    for file in files:
        seen.update({t for r in file for t in texts(r)})
    return {text for text, count in seen.items() if count >= FILES_MIN}


def redacted(node, common, key="", is_named=False):
    if isinstance(node, dict):
        named = PERSONS.match(str(node.get("reference", ""))) or "family" in node or "resourceType" in node
        named = named or node.keys() >= {"system", "value"}
        return {k: redacted(v, common, k, named) for k, v in node.items() if k not in ("meta", "text")} | (
            {"meta": redacted(node["meta"], common)} if "meta" in node else {}
        )
    if isinstance(node, list):
        return [redacted(item, common, key, is_named) for item in node]
    if not isinstance(node, str):
        return node
    if key in PERSONAL or (is_named and key in ("display", "name", "value", "text")):
        return shaped(node)
    inner = lines(node)
    if inner is not None:
        kept = [line if line in common else shaped(line) for line in inner]
        return base64.b64encode("\n".join(kept).encode()).decode()
    is_canonical = key in ("system", "url", "profile") and node.startswith("http")
    if is_canonical or UUID.search(node) or node in common or key == "resourceType":
        return node
    return shaped(node)


def shaped(text):
    """Random letters and digits of the same shape; of a date the century stays."""
    start = 2 if re.match(r"(19|20)\d\d-\d\d", text) else 0
    return text[:start] + "".join(shape(c) for c in text[start:])


def shape(c):
    if c.isdigit():
        return rng.choice("0123456789")
    if c.islower():
        return rng.choice(LETTERS)
    return rng.choice(LETTERS).upper() if c.isupper() else c


def lean(resource):
    """What packing makes of the stored text: see src/packing/lean.rs."""
    resource = dict(resource)
    own = resource.pop("id", "")
    del resource["resourceType"]
    meta = json.dumps(resource.pop("meta", {}), **COMPACT)[1:]
    rest = json.dumps(resource, **COMPACT)[1:]
    text = ("," if meta != "}" else "") + meta + "," + rest
    ids = [own] if UUID.fullmatch(own) else []

    def id_of(match):
        if match[0] in ids[:256]:
            return "\0again" + chr(ids.index(match[0])) if ids.index(match[0]) < 128 else "\0new"
        ids.append(match[0])
        return "\0new"

    body = UUID.sub(id_of, text).encode()
    body = BASE64.sub(lambda m: b'"\xfa' + number(base64.b64decode(m[1])) + base64.b64decode(m[1]) + b'"', body)
    return b"\xfb" + body.replace(b"\0again", b"\xf9").replace(b"\0new", b"\xf8")


COMPACT = {"separators": (",", ":"), "ensure_ascii": False}


def number(content):
    n, out = len(content), b""
    while n >= 0x80:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def audit_block(files):
    """Entries of a commit or a few, as packing sees a block of them."""
    types = [r["resourceType"] for f in files[:8] for r in f]
    at, block = rng.randrange(1_600_000_000, 2_000_000_000), b""
    who = rng.choice(["administrator", "import", "console", "lab-device", shaped("Name Name")])
    for _ in range(rng.choice([1, 1, 2, 4, 16, 48])):
        what = rng.choice(["create", "create", "create", "update", "delete"])
        at += rng.choice([0, 0, 1, 60])
        stamp = __import__("time").strftime("%Y-%m-%dT%H:%M:%S", __import__("time").gmtime(at))
        entry = {
            "at": f"{stamp}.{rng.randrange(1000):03}Z",
            "who": who,
            "by": rng.choice(["client", "client", "client", "device", "target", "reviewer"]),
            "what": what,
            "key": rng.choice(types) + "/ID",
            "version": 1 if what == "create" else rng.randrange(2, 20),
        }
        text = json.dumps(entry, **COMPACT).encode()
        block += number(b" " * (len(text) + 34)) + text.replace(b"/ID", b"/\xf8")
    return block


def report(test, packer):
    sizes, raw, count = collections.Counter(), collections.Counter(), collections.Counter()
    for r in test:
        text = lean(r)
        kind = r["resourceType"]
        sizes[kind] += packer(text) + 16 * text.count(b"\xf8") + 1
        raw[kind] += len(json.dumps(r, **COMPACT).encode())
        count[kind] += 1
    print(f"{sum(count.values())} bodies: {sum(raw.values()) / sum(count.values()):.0f} bytes become {sum(sizes.values()) / sum(count.values()):.0f}")
    for kind, n in count.most_common():
        print(f"{kind:25} {n:5} {raw[kind] / n:8.0f} {sizes[kind] / n:8.0f}")


Z = ctypes.CDLL(ctypes.util.find_library("zstd"))
Z.ZDICT_trainFromBuffer.restype = Z.ZSTD_compress2.restype = Z.ZSTD_compressBound.restype = ctypes.c_size_t
Z.ZSTD_createCCtx.restype = Z.ZSTD_createCDict.restype = ctypes.c_void_p
Z.ZSTD_createCDict.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
Z.ZSTD_CCtx_refCDict.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
Z.ZSTD_CCtx_setParameter.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
Z.ZSTD_compress2.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]


def trained(samples, size):
    lengths = (ctypes.c_size_t * len(samples))(*map(len, samples))
    out = ctypes.create_string_buffer(size)
    length = Z.ZDICT_trainFromBuffer(out, ctypes.c_size_t(size), b"".join(samples), lengths, len(samples))
    assert length <= size, "training failed"
    return out.raw[:length]


class Packer:
    def __init__(self, dictionary):
        self.context = Z.ZSTD_createCCtx()
        Z.ZSTD_CCtx_setParameter(self.context, 202, 0)
        Z.ZSTD_CCtx_refCDict(self.context, Z.ZSTD_createCDict(dictionary, len(dictionary), LEVEL))

    def __call__(self, text):
        room = Z.ZSTD_compressBound(len(text))
        return Z.ZSTD_compress2(self.context, ctypes.create_string_buffer(room), room, text, len(text)) - 4


main()
