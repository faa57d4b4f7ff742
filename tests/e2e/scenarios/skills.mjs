// What a skill may do depends on what a person approved for exactly its content.

import fs from 'node:fs';
import path from 'node:path';

import { exec, read } from '../lib/calls.mjs';

export const name = 'skills: approved, unapproved, changed';

export async function run({ instance, gateway, control, model, report }) {
  const session = 'agent:main:one';
  const speaker = instance.addSkill('speaker', 'speaker');
  const stranger = instance.addSkill('speaker', 'stranger');
  instance.approve('speaker');
  const speak = exec(`${speaker}/scripts/say.sh hello`);
  const ask = exec(`${stranger}/scripts/say.sh hello`);

  const [said] = await gateway.turn(session, 'approved', [speak]);
  report.check(
    "an approved skill's command runs in the sandbox",
    said?.includes('speaker says hello from sharkcage'),
    said,
  );
  report.check('its output reaches the model', model.saw('speaker says hello from sharkcage'));
  const verdict = instance.verdict('approved0x0');
  report.check(
    'it ran as that skill',
    verdict?.skill === 'speaker' && verdict.decision === 'allow',
    verdict,
  );

  const [refused] = await gateway.promptlessTurn(session, 'stranger', [ask]);
  report.check(
    'an unapproved skill is blocked',
    /stranger.* is not approved.*sc approve stranger/.test(refused ?? ''),
    refused,
  );
  const pending = JSON.parse(instance.must('approve', '--pending', '--json'));
  report.check('its request is pending', JSON.stringify(pending).includes('"stranger"'), pending);
  const [unasked] = await control.turn('agent:main:one', 'unasked', [ask]);
  report.control(
    'without the hook and the sandbox it just runs',
    unasked?.includes('stranger says hello'),
    unasked,
  );
  instance.approve('stranger');
  const [now] = await gateway.promptlessTurn(session, 'stranger2', [ask]);
  report.check(
    'it runs after sc approve',
    now?.includes('stranger says hello from sharkcage'),
    now,
  );

  // As a real agent does it: the skill's document from where the host says it is, then the command that stands there.
  const document = locationOf(model, 'speaker');
  report.check("the host tells the model where the skill's copy is", document !== undefined);
  const directory = document?.replace('/SKILL.md', '');
  const [, followed] = await gateway.turn(session, 'document', [
    read(document),
    exec(`sh ${directory}/scripts/say.sh again && echo done`),
  ]);
  report.check(
    "a skill's document leads to its command",
    followed?.includes('speaker says again from sharkcage'),
    followed,
  );
  report.check(
    'which ran as that skill',
    instance.verdict('document1x0')?.skill === 'speaker',
    instance.verdict('document1x0'),
  );

  fs.appendFileSync(path.join(stranger, 'scripts/say.sh'), '#\n');
  const [changed] = await gateway.promptlessTurn(session, 'changed', [ask]);
  report.check(
    'a skill that changed by one byte is blocked',
    /has changed since it was approved/.test(changed ?? ''),
    changed,
  );
}

/** Where the host's prompt says that a skill's document is. */
function locationOf(model, skill) {
  const prompts = model.requests
    .flatMap((body) => JSON.parse(body).messages)
    .filter((m) => m.role === 'system');
  const listed = new RegExp(`<name>${skill}</name>[^]*?<location>([^<]+)</location>`);
  return prompts
    .map((m) => listed.exec(JSON.stringify(m.content))?.[1])
    .findLast((path) => path !== undefined);
}
