// run.js TEST...: starts a router and runs the test files against it, one after the other. Ends with "N passed, N failed, N skipped".
import { spawn } from 'node:child_process';
import { startRouter } from './router.js';

const COUNT = /^(?:ℹ|#) (pass|fail|skipped) (\d+)$/;

/** Runs the tests and gives what Node's own closing lines say of them. */
async function run(files, env) {
  const counts = { pass: 0, fail: 0, skipped: 0 };
  const child = spawn(process.execPath, ['--test', '--test-concurrency=1', ...files], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => child.kill(signal)); // then the router is stopped as always
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece) => {
    process.stdout.write(piece);
    text += piece;
  });
  const code = await new Promise((done) => child.on('close', done));
  for (const line of text.split('\n')) {
    const m = COUNT.exec(line);
    if (m) counts[m[1]] = Number(m[2]);
  }
  if (code !== 0 && !counts.fail) counts.fail = 1;
  if (!counts.pass && !counts.fail && !counts.skipped) counts.fail = 1; // nothing ran
  return counts;
}

const router = await startRouter();
const counts = await run(process.argv.slice(2), { ...process.env, ROUTER_URL: router.url });
await router.stop().catch((error) => {
  console.log(`FAIL ${error.message}`);
  counts.fail += 1;
});
console.log(`${counts.pass} passed, ${counts.fail} failed, ${counts.skipped} skipped`);
process.exitCode = counts.fail ? 1 : 0;
