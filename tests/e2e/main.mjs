// Runs the scenarios against the real host: see run.

import fs from 'node:fs';

import { Report } from './lib/report.mjs';
import { World } from './lib/world.mjs';
import * as approvals from './scenarios/approvals.mjs';
import * as audit from './scenarios/audit.mjs';
import * as death from './scenarios/death.mjs';
import * as files from './scenarios/files.mjs';
import * as network from './scenarios/network.mjs';
import * as skills from './scenarios/skills.mjs';
import * as together from './scenarios/together.mjs';
import * as unsandboxed from './scenarios/unsandboxed.mjs';

const kScenarios = { skills, approvals, files, network, unsandboxed, together, death, audit };

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in kScenarios));
if (unknown.length > 0) {
  console.error(
    `tests/e2e/run: no such scenario: ${unknown.join(', ')}. There are: ${Object.keys(kScenarios).join(', ')}`,
  );
  process.exit(2);
}

const report = new Report();
const world = new World();
world.report = report;
let interrupted = false;

async function tidyUp() {
  try {
    await world.stop();
  } finally {
    world.remove();
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    interrupted = true;
    void tidyUp().finally(() => process.exit(1));
  });
}

await report.scenario('the supervisor and two gateways start', async () => {
  await world.start();
});
if (report.failed === 0) {
  for (const [key, scenario] of Object.entries(kScenarios)) {
    if (interrupted || (wanted.length > 0 && !wanted.includes(key))) continue;
    await report.scenario(scenario.name, () => scenario.run(world));
  }
}
if (report.failed > 0) showLogs();
await tidyUp();
report.end();
process.exitCode = report.failed === 0 ? 0 : 1;

function showLogs() {
  for (const log of [world.instance.log, world.gateway.log, world.control.log]) {
    if (fs.existsSync(log))
      console.log(`\nthe end of ${log}:\n${fs.readFileSync(log, 'utf8').slice(-3000)}`);
  }
}
