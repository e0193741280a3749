// A web app's calls through fhir-kit-client. Argument: the FHIR base. Prints each action that came out right.
import assert from 'node:assert';
import { Client } from 'fhir-kit-client';

const client = new Client({ baseUrl: process.argv[2] });

const statement = await client.capabilityStatement();
assert.equal(statement.fhirVersion, '4.0.1');

const urn = 'urn:uuid:5f7c1f0e-8a55-4c1f-9d8f-3f3f54a1b001';
const outcome = await client.transaction({
  body: {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [
      {
        fullUrl: urn,
        resource: { resourceType: 'Patient', name: [{ family: 'Okoth' }] },
        request: { method: 'POST', url: 'Patient' },
      },
      {
        resource: {
          resourceType: 'Encounter',
          status: 'planned',
          class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB' },
          subject: { reference: urn },
        },
        request: { method: 'POST', url: 'Encounter' },
      },
    ],
  },
});
assert.equal(outcome.type, 'transaction-response');
assert.deepEqual(outcome.entry.map((e) => e.response.status.slice(0, 3)), ['201', '201']);
const patientId = outcome.entry[0].response.location.match(/Patient\/([^/]+)/)[1];

const bundle = await client.search({
  resourceType: 'Encounter',
  searchParams: { patient: patientId, _include: 'Encounter:patient' },
});
assert.deepEqual(bundle.entry.map((e) => e.search.mode).sort(), ['include', 'match']);

const patient = await client.read({ resourceType: 'Patient', id: patientId });
assert.equal(patient.name[0].family, 'Okoth');
console.log('read');
patient.name[0].given = ['Achieng'];
const updated = await client.update({ resourceType: 'Patient', id: patientId, body: patient });
assert.deepEqual(updated.name[0].given, ['Achieng']);
const first = await client.vread({ resourceType: 'Patient', id: patientId, version: '1' });
assert.equal(first.name[0].given, undefined);
const history = await client.history({ resourceType: 'Patient', id: patientId });
assert.equal(history.total, 2);
console.log('update');

const patched = await client.patch({
  resourceType: 'Patient',
  id: patientId,
  jsonPatch: [{ op: 'add', path: '/active', value: true }],
});
assert.equal(patched.active, true);
console.log('patch');
const stale = { headers: { 'If-Match': 'W/"1"' } };
const late = client.update({ resourceType: 'Patient', id: patientId, body: patient, options: stale });
await assert.rejects(late, (refusal) => {
  assert.equal(refusal.response.status, 412);
  assert.equal(refusal.response.data.resourceType, 'OperationOutcome');
  return true;
});
assert.equal((await client.read({ resourceType: 'Patient', id: patientId })).active, true);
console.log('conflict');

for (let day = 1; day <= 7; day += 1) {
  const body = { resourceType: 'Basic', code: { text: `day ${day}` }, subject: { reference: `Patient/${patientId}` } };
  assert((await client.create({ resourceType: 'Basic', body })).id);
}
console.log('create');
let page = await client.search({ resourceType: 'Basic', searchParams: { subject: `Patient/${patientId}`, _count: 3 } });
const ids = new Set();
while (page) {
  page.entry.forEach((entry) => ids.add(entry.resource.id));
  page = await client.nextPage({ bundle: page });
}
assert.equal(ids.size, 7, 'the pages together are the set');
console.log('search');

const gone = [...ids][0];
await client.delete({ resourceType: 'Basic', id: gone });
await assert.rejects(client.read({ resourceType: 'Basic', id: gone }), (refusal) => refusal.response.status === 410);
console.log('delete');

await assert.rejects(client.read({ resourceType: 'Patient', id: 'nobody' }), (refusal) => {
  assert.equal(refusal.response.status, 404);
  assert.equal(refusal.response.data.resourceType, 'OperationOutcome');
  return true;
});
