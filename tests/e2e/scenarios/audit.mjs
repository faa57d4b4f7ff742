// Last: everything that the other scenarios did is in the log, and the log is what was written.

import { spawnSync } from 'node:child_process';
import path from 'node:path';

import { exec } from '../lib/calls.mjs';
import { kBin } from '../lib/instance.mjs';
import { copyOf, tamper } from '../lib/log.mjs';

export const name = 'the audit log';

export async function run({ instance, gateway, model, canary, report }) {
  await gateway.turn('agent:main:one', 'refused', [exec('true', { elevated: true })]);
  const verdicts = instance.audit().filter((r) => r.kind === 'verdict');
  const known = new Set(verdicts.map((r) => r.payload.host_call));
  const expected = model.calls.filter((call) => !model.unrecorded.includes(call.id));
  const missing = expected.filter((call) => !known.has(call.id));
  report.check(
    `each of the ${expected.length} tool calls of the model is in sc audit`,
    expected.length > 0 && missing.length === 0,
    missing,
  );

  const blocked = new Set(instance.audit('--blocked').map((r) => r.seq));
  const refused = verdicts.filter((r) => r.decision === 'block');
  const unlisted = refused.filter((r) => !blocked.has(r.seq));
  report.check(
    `each of the ${refused.length} blocked calls is in sc audit --blocked`,
    refused.length > 0 && unlisted.length === 0,
    unlisted,
  );
  const allowed = verdicts.filter((r) => r.decision === 'allow' && blocked.has(r.seq));
  report.check('which lists no call that was allowed', allowed.length === 0, allowed);

  const verified = instance.sc('audit', 'verify');
  report.check(
    'sc audit verify passes',
    verified.code === 0 && /intact/.test(verified.stdout),
    verified.stdout + verified.stderr,
  );
  const home = copyOf(instance);
  const verify = () =>
    spawnSync(path.join(kBin, 'sc'), ['audit', 'verify'], {
      env: { ...instance.environment, SHARKCAGE_HOME: home },
      encoding: 'utf8',
    });
  const before = verify();
  tamper(home);
  const after = verify();
  report.control(
    'a copy of the log with one refusal edited does not',
    before.status === 0 && after.status === 1,
    [before.stdout, after.stdout],
  );

  report.check(
    'in all of this neither the private key nor the gateway token reached the model',
    !model.saw(canary) && !model.saw(gateway.token),
  );
}
