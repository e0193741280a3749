// An app's calls through @medplum/core. Argument: the FHIR base. Prints each action that came out right.
import assert from 'node:assert';
import { MedplumClient } from '@medplum/core';

const base = new URL(process.argv[2]);
const medplum = new MedplumClient({
  baseUrl: `${base.origin}/`,
  fhirUrlPath: base.pathname.slice(1),
  cacheTime: 0,
  fetch,
});

const patient = await medplum.createResource({
  resourceType: 'Patient',
  name: [{ family: 'Wekesa', given: ['Ruth'] }],
  identifier: [{ system: 'urn:clinic', value: 'mc-1' }],
});
assert(patient.id);
console.log('create');
assert.equal((await medplum.readResource('Patient', patient.id)).name[0].family, 'Wekesa');
console.log('read');
const same = await medplum.createResourceIfNoneExist(
  { resourceType: 'Patient', identifier: [{ system: 'urn:clinic', value: 'mc-1' }] },
  'identifier=urn:clinic|mc-1',
);
assert.equal(same.id, patient.id, 'a conditional create finds the first');

const updated = await medplum.updateResource({ ...patient, active: true });
assert.equal(updated.active, true);
assert.notEqual(updated.meta.versionId, patient.meta.versionId);
console.log('update');

for (let day = 1; day <= 7; day += 1) {
  await medplum.createResource({
    resourceType: 'Observation',
    status: 'final',
    code: { coding: [{ system: 'http://loinc.org', code: '8867-4' }] },
    subject: { reference: `Patient/${patient.id}` },
    effectiveDateTime: `2026-01-0${day}`,
  });
}
const days = [];
const query = `subject=Patient/${patient.id}&_sort=-date&_count=3`;
for await (const page of medplum.searchResourcePages('Observation', query)) {
  assert(page.length <= 3);
  days.push(...page.map((observation) => observation.effectiveDateTime.slice(-1)));
}
assert.equal(days.join(''), '7654321', 'the pages together are the set, in order');
assert.equal((await medplum.searchOne('Patient', 'identifier=urn:clinic|mc-1')).id, patient.id);
console.log('search');

const patched = await medplum.patchResource('Patient', patient.id, [
  { op: 'test', path: '/active', value: true },
  { op: 'replace', path: '/active', value: false },
]);
assert.equal(patched.active, false);
console.log('patch');

// The stale copy: its version is asked for by If-Match and no longer the current one.
const stale = { headers: { 'If-Match': `W/"${patient.meta.versionId}"` } };
await assert.rejects(
  medplum.updateResource({ ...patient, gender: 'female' }, stale),
  (refusal) => refusal.outcome.issue.some((issue) => issue.code === 'conflict'),
);
assert.equal((await medplum.readResource('Patient', patient.id)).gender, undefined);
console.log('conflict');
assert.equal((await medplum.readHistory('Patient', patient.id)).entry.length, 3);

const reply = await medplum.executeBatch({
  resourceType: 'Bundle',
  type: 'batch',
  entry: [{ request: { method: 'GET', url: `Patient/${patient.id}` } }],
});
assert.equal(reply.entry[0].resource.id, patient.id);

await medplum.deleteResource('Patient', patient.id);
await assert.rejects(medplum.readResource('Patient', patient.id), (refusal) => {
  assert(['deleted', 'not-found'].includes(refusal.outcome.issue[0].code));
  return true;
});
console.log('delete');
