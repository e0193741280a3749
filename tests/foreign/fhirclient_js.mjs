// A SMART app's calls through fhirclient.js. Argument: the FHIR base. Prints each action that came out right.
import assert from 'node:assert';
import fhirclient from 'fhirclient';

const serverUrl = process.argv[2];
// Its adapter for Node wants a request and a response of a web server; no login takes place here.
const request = { url: '/', headers: {}, socket: {} };
const client = fhirclient(request, {}, {}).client({ serverUrl });

const patient = await client.create({
  resourceType: 'Patient',
  name: [{ family: 'Barasa', given: ['Isaac'] }],
  identifier: [{ system: 'urn:clinic', value: 'fj-1' }],
});
assert(patient.id);
console.log('create');
const url = `Patient/${patient.id}`;
assert.equal((await client.request(url)).name[0].family, 'Barasa');
console.log('read');

const updated = await client.update({ ...patient, active: true });
assert.equal(updated.active, true);
console.log('update');

for (let day = 1; day <= 7; day += 1) {
  await client.create({
    resourceType: 'Observation',
    status: 'final',
    code: { coding: [{ system: 'http://loinc.org', code: '8867-4' }] },
    subject: { reference: url },
    effectiveDateTime: `2026-01-0${day}`,
  });
}
const observations = await client.request(
  `Observation?subject=${encodeURIComponent(url)}&_sort=-date&_count=3`,
  { pageLimit: 0, flat: true },
);
const days = observations.map((observation) => observation.effectiveDateTime.slice(-1));
assert.equal(days.join(''), '7654321', 'the pages together are the set, in order');
const resolved = await client.request(`Observation/${observations[0].id}`, {
  resolveReferences: 'subject',
});
assert.equal(resolved.subject.id, patient.id, 'references are resolved');
console.log('search');

const patched = await client.patch(url, [{ op: 'replace', path: '/active', value: false }]);
assert.equal(patched.active, false);
console.log('patch');

const stale = { headers: { 'if-match': `W/"${patient.meta.versionId}"` } };
await assert.rejects(client.update({ ...patient, gender: 'male' }, stale), (refusal) => {
  assert.equal(refusal.status, 412);
  return true;
});
assert.equal((await client.request(url)).gender, undefined, 'the stale update changed nothing');
console.log('conflict');

await client.delete(url);
await assert.rejects(client.request(url), (refusal) => [404, 410].includes(refusal.status));
console.log('delete');
