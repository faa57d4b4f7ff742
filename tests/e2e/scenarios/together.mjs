// Two calls of two skills at the same time: each under its own policy.

import fs from 'node:fs';
import path from 'node:path';

import { exec } from '../lib/calls.mjs';

export const name = 'two skills at once';

export async function run({ instance, gateway, control, approved, report }) {
  const meeter = instance.addSkill('fetcher', 'meeter', { PORT: approved.port });
  const loner = instance.addSkill('loner', 'loner');
  instance.approve('meeter');
  instance.approve('loner');
  const url = `http://localhost:${approved.port}/together`;
  const meet = async (host, script) => {
    const one = exec(`${meeter}/scripts/meet.sh ${url} loner ${instance.skills}`);
    const two = exec(`${loner}/scripts/meet.sh ${url} meeter ${instance.skills}`);
    const [[first], [second]] = await Promise.all([
      host.turn('agent:main:one', `${script}1`, [one]),
      host.turn('agent:main:two', `${script}2`, [two]),
    ]);
    for (const skill of ['meeter', 'loner']) fs.rmSync(path.join(host.workspace, `here-${skill}`));
    return [first ?? '', second ?? ''];
  };
  const [first, second] = await meet(gateway, 'together');
  report.check(
    'they ran at the same time',
    first.includes('together with loner') && second.includes('together with meeter'),
    [first, second],
  );
  report.check(
    'the one with an approved service reached it',
    first.includes('network: the approved service'),
    first,
  );
  report.check('the other one did not', !second.includes('the approved service'), second);
  const each = (text, peer) =>
    text.includes('sees itself') && text.includes(`does not see ${peer}`);
  report.check(
    "each saw its own files and not the other's",
    each(first, 'loner') && each(second, 'meeter'),
    [first, second],
  );
  const policies = ['together10x0', 'together20x0'].map((call) => instance.verdict(call)?.policy);
  report.check(
    'each had a policy of its own',
    policies.every(Boolean) && policies[0] !== policies[1],
    policies,
  );

  const open = await meet(control, 'togetheropen');
  const mixed = open[1].includes('the approved service') && open[1].includes('sees meeter');
  report.control('without hook and sandbox the other one has network and sees both', mixed, open);
}
