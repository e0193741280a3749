// FHIR XML as the `fhir` package writes and reads it, against the server's. Arguments: the FHIR base
// and a folder of resources as JSON. Each is put as JSON and read as XML, put as XML and read as JSON;
// both must say the same as the file. Numbers are compared as JavaScript has them.
import assert from 'node:assert';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { Fhir } = createRequire(import.meta.url)('fhir/fhir');
const [base, folder] = process.argv.slice(2);
const oracle = new Fhir();
const headers = (type) => ({ 'content-type': `application/fhir+${type}`, accept: `application/fhir+${type}` });

// In one order, without what a server sets, without the white space of markup.
function plain(value, path = '') {
  if (Array.isArray(value)) return value.map((item) => plain(item, path));
  if (value && typeof value === 'object') {
    const names = Object.keys(value).sort().filter((name) => !(path === '' && name === 'meta'));
    return Object.fromEntries(names.map((name) => [name, plain(value[name], `${path}.${name}`)]));
  }
  return path.endsWith('.div') ? markup(value) : value;
}

// A narrative by its words: the package writes tags, white space and entities its own way.
const markup = (text) => text.replace(/<[^>]*>|&[^;]*;|[^\p{L}\p{N}]/gu, '');

async function put(url, type, body) {
  const reply = await fetch(url, { method: 'PUT', headers: headers(type), body });
  assert([200, 201].includes(reply.status), `PUT ${url} as ${type}: ${reply.status} ${await reply.text()}`);
}

async function get(url, type) {
  const reply = await fetch(url, { headers: headers(type) });
  assert.equal(reply.status, 200, `GET ${url} as ${type}`);
  return reply.text();
}

// The package refuses exponents and loses extensions of primitives without values: what it does not
// bring back from its own XML is no oracle for ours.
function ownXml(resource) {
  try {
    const xml = oracle.objToXml(resource);
    assert.deepEqual(plain(oracle.xmlToObj(xml)), plain(resource));
    return xml;
  } catch {
    return null;
  }
}

async function compare(file, number) {
  const resource = JSON.parse(readFileSync(join(folder, file), 'utf8'));
  resource.id = `x${number}`;
  const xml = ownXml(resource);
  if (xml === null) return;
  const url = `${base}/${resource.resourceType}/${resource.id}`;
  await put(url, 'json', JSON.stringify(resource));
  const read = oracle.xmlToObj(await get(url, 'xml'));
  // Loosely: the package leaves some numbers as text.
  assert.deepEqual(plain(read), plain(resource), 'our XML, as the package reads it');
  await put(url, 'xml', xml);
  const kept = JSON.parse(await get(url, 'json'));
  assert.deepEqual(plain(kept), plain(resource), 'its XML, as we read it');
  compared += 1;
}

const files = readdirSync(folder).filter((name) => name.endsWith('.json')).sort();
const open = files.entries();
const wrong = [];
let compared = 0;
async function worker() {
  for (const [number, file] of open) {
    try {
      await compare(file, number);
    } catch (problem) {
      wrong.push(`${file}: ${problem.message}`);
    }
  }
}
await Promise.all(Array.from({ length: 8 }, worker));
console.log(`${compared} of ${files.length} resources are the same in both`);
assert(compared > files.length * 0.95, 'too few were compared');
if (wrong.length > 0) {
  console.log(wrong.join('\n'));
  process.exitCode = 1;
}
