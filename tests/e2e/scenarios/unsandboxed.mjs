// Every way past the sandbox that the host offers. Its configuration allows all of them here.

import { exec, read, write } from '../lib/calls.mjs';

export const name = 'past the sandbox: elevation, other hosts, sessions without one';

const kKey = 'cat ~/.ssh/id_rsa';

export async function run(world) {
  const { gateway, canary, report } = world;
  const [results] = await Promise.all([
    gateway.turn('agent:main:past', 'past', [
      exec(kKey, { elevated: true }),
      exec(kKey, { host: 'gateway' }),
      exec(kKey, { host: 'node' }),
      exec(kKey, { node: 'other' }),
      exec(kKey),
      exec(kKey, { elevated: false, host: 'auto' }),
    ]),
    controls(world),
  ]);
  const blocked = (at, way) =>
    report.check(
      `exec with ${way} is blocked`,
      /^Sharkcage: exec .*outside the sandbox/.test(results[at] ?? ''),
      results[at],
    );
  blocked(0, 'elevated');
  blocked(1, 'host "gateway"');
  blocked(2, 'host "node"');
  blocked(3, 'another node');
  const inside = (text) => /No such file/.test(text ?? '') && !text.includes(canary);
  report.check(
    'a host that elevates by default does not: plain exec stays in the sandbox',
    inside(results[4]),
    results[4],
  );
  report.check('nor when the model says what the default is', inside(results[5]), results[5]);

  await without(world, 'an agent without sandbox', 'agent:loose:past', 'loose');
  await gateway.request('sessions.patch', { key: 'agent:main:past', sandboxMode: 'off' });
  await without(world, 'a chat whose sandbox was turned off', 'agent:main:past', 'optout');
  await gateway.request('sessions.patch', { key: 'agent:main:past', sandboxMode: null });
  const [back] = await gateway.turn('agent:main:past', 'backagain', [
    exec('echo back from $(hostname)'),
  ]);
  report.check(
    'turned on again, commands run in the sandbox',
    back?.includes('back from sharkcage'),
    back,
  );
}

async function without({ gateway, privateKey, instance, report }, which, session, script) {
  const results = await gateway.turn(session, script, [
    exec(kKey),
    read(privateKey),
    write('past.txt', 'x'),
  ]);
  const blocked = results.every((text) => /no Sharkcage sandbox/.test(text));
  report.check(
    `in ${which} exec, read and write are blocked`,
    blocked && results.length === 3,
    results,
  );
  const records = instance
    .audit('--blocked')
    .filter((r) => r.payload.host_call?.startsWith(script));
  report.check('which is in sc audit --blocked', records.length === 3, records.length);
}

async function controls({ control, canary, report }) {
  const [loose, elevated, byDefault, refused] = [
    ...(await control.turn('agent:main:one', 'pastopen', [exec(kKey, { host: 'gateway' })])),
    ...(await control.turn('agent:caged:past', 'pastcaged', [
      exec(kKey, { elevated: true }),
      exec(kKey),
      exec(kKey, { elevated: false }),
    ])),
  ];
  report.control(
    'host "gateway" without hook and sandbox reads the key',
    loose?.includes(canary),
    loose,
  );
  report.control(
    'elevated, in the sandbox but without the hook, reads the key',
    elevated?.includes(canary),
    elevated,
  );
  report.control(
    'so does plain exec where the host elevates by default',
    byDefault?.includes(canary),
    byDefault,
  );
  report.check(
    'a sandboxed command that no hook authorized is refused by the backend',
    /was not authorized/.test(refused ?? ''),
    refused,
  );
}
