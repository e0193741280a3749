// A reviewer in a real browser: opens the queue, sees both doses, keeps this site's, says why.
// Arguments: the gateway's base without /fhir, and where to put a picture of the page.
import assert from 'node:assert';
import { chromium } from 'playwright-core';

const [base, picture] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
const refused = [];
page.on('console', (line) => line.type() === 'error' && refused.push(line.text()));

await page.goto(`${base}/admin/reviews`);
await page.click('a[href*="/admin/reviews/review-"]');
const seen = await page.textContent('body');
for (const wanted of ['Amina Juma', '5 mg once daily', '10 mg once daily', '20 mg once daily']) {
  assert(seen.includes(wanted), `the page shows ${wanted}: ${seen}`);
}
await page.screenshot({ path: picture, fullPage: true });
await page.check('input[type=radio][value=local]');
await page.fill('textarea[name=rationale]', 'Spoke with the prescriber: 10 mg.');
await page.click('text=Decide as chosen above');
await page.waitForLoadState();
const after = await page.textContent('body');
assert(after.includes('Decided'), after);
assert(after.includes('Spoke with the prescriber'), after);
assert.deepEqual(refused, [], 'the page breaks none of its own rules');
await browser.close();
