// Runs the long proofs (the tests of npm test, with all their rounds) and reports each of them.
import { spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';

const RESULTS = 'prove-results.json';
const PROOFS = ['test/path', 'test/target', 'test/ledger', 'test/simulation'];

await rm(RESULTS, { force: true });
const jest = spawn(
  process.execPath,
  [
    '--experimental-vm-modules',
    '--no-warnings',
    'node_modules/jest/bin/jest.js',
    '--runInBand',
    '--testTimeout=600000',
    '--json',
    `--outputFile=${RESULTS}`,
    ...PROOFS,
    ...process.argv.slice(2),
  ],
  { env: { ...process.env, MAYFLY_PROVE: '1' }, stdio: ['ignore', 'ignore', 'inherit'] },
);
const code = await new Promise((resolve) => jest.on('exit', resolve));
const results = JSON.parse(await readFile(RESULTS, 'utf8'));
for (const file of results.testResults) {
  console.log(`\n${file.name.replace(`${process.cwd()}/`, '')}`);
  for (const proof of file.assertionResults) {
    const seconds = ((proof.duration ?? 0) / 1000).toFixed(1).padStart(7);
    console.log(`  ${proof.status.padEnd(7)} ${seconds} s  ${proof.fullName}`);
  }
}
await writeFile(RESULTS, `${JSON.stringify(results, null, 2)}\n`);
console.log(`\n${results.numPassedTests} passed, ${results.numFailedTests} failed`);
process.exitCode = code ?? 1;
