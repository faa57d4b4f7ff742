// A skill reaches the service that was approved for it, by the proxy or without knowing of one, and
// nothing else.

import { exec } from '../lib/calls.mjs';

export const name = 'network: the approved service and no other';

export async function run({ instance, gateway, control, approved, other, report }) {
  const session = 'agent:main:one';
  const fetcher = instance.addSkill('fetcher', 'fetcher', { PORT: approved.port });
  instance.approve('fetcher');
  const fetch = `${fetcher}/scripts/fetch.sh`;
  const good = `http://localhost:${approved.port}`;
  const bad = `http://localhost:${other.port}`;

  const [yes, no, byAddress, agent] = await gateway.turn(session, 'network', [
    exec(`${fetch} ${good}/skill`),
    exec(`${fetch} ${bad}/skill`),
    exec(`${fetch} http://127.0.0.1:${other.port}/skill`),
    exec(`curl -sS --max-time 5 ${good}/agent 2>&1`),
  ]);
  report.check(
    'the approved service answers through the proxy',
    yes?.includes('proxied: the approved service'),
    yes,
  );
  report.check(
    'it answers a program as well that uses no proxy',
    yes?.includes('direct: the approved service'),
    yes,
  );
  report.check(
    'another service is refused',
    no !== undefined && !no.includes('the other service'),
    no,
  );
  report.check(
    'also by its address',
    byAddress !== undefined && !byAddress.includes('the other service'),
    byAddress,
  );
  report.check(
    'what is not the skill has no network',
    agent !== undefined && !agent.includes('the approved service'),
    agent,
  );
  report.check('the other service was never asked', other.asked.length === 0, other.asked);
  report.check(
    'the approved service was asked twice',
    approved.asked.join() === '/skill,/skill',
    approved.asked,
  );
  const refused = instance
    .audit('--blocked', '--skill', 'fetcher')
    .filter((r) => JSON.stringify(r).includes(`${other.port}`));
  report.check('the refused connection is in sc audit --blocked', refused.length > 0, refused);

  const [open] = await control.turn('agent:main:one', 'networkopen', [
    exec(`${fetch} ${bad}/control`),
  ]);
  report.control(
    'without hook and sandbox the other service answers',
    open?.includes('direct: the other service'),
    open,
  );
}
