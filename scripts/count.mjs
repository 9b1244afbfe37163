/** Prints `N passed, N failed, N skipped` from the JSON report of the test runner. */
import { readFileSync } from 'node:fs';

let report;
try {
  report = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
} catch {
  // The runner ended before it could write one: that is a failure, and no test passed.
  console.log('0 passed, 1 failed, 0 skipped');
  process.exit(1);
}
const files = report.testResults ?? [];
// A file that does not load has no tests to fail.
const broken = files.filter((f) => f.status === 'failed' && f.assertionResults.length === 0).length;
const skipped = report.numPendingTests + report.numTodoTests;
for (const f of files)
  for (const t of f.assertionResults)
    if (t.status === 'pending' || t.status === 'skipped') console.log(`skipped: ${t.fullName}`);
const failed = report.numFailedTests + broken;
console.log(`${report.numPassedTests} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed > 0 || report.numPassedTests === 0 ? 1 : 0);
