// A person answers the host's own prompt; the decision goes back to the supervisor.

import path from 'node:path';

import { exec } from '../lib/calls.mjs';

export const name = "approvals: the host's own prompt";

export async function run({ instance, gateway, model, report }) {
  const session = 'agent:main:one';
  /** Calls the skill; answers the prompt, if `decision` says that there will be one. */
  const call = async (skill, script, decision) => {
    const steps = [exec(`${path.join(instance.skills, skill)}/scripts/say.sh hello`)];
    const end = gateway.begin(session, model.script(script, steps));
    const prompt = decision === undefined ? undefined : await gateway.prompt();
    if (prompt !== undefined) await gateway.decide(prompt.id, decision);
    await end;
    return { prompt, result: model.results(script)[0] ?? '' };
  };
  const state = (skill) => JSON.parse(instance.must('skill', 'show', skill, '--json')).skill.state;
  const decisions = (skill) =>
    instance
      .audit('--skill', skill)
      .filter((r) => r.kind === 'approval')
      .map((r) => r.payload.decision);
  for (const skill of ['once', 'always', 'never']) instance.addSkill('speaker', skill);

  const once = await call('once', 'once', 'allow-once');
  report.check(
    'the prompt names the skill and what it asks for',
    /once/.test(once.prompt.title) && /hostname/.test(once.prompt.description),
    once.prompt,
  );
  report.check(
    'allow-once: the call runs in the sandbox',
    once.result.includes('once says hello from sharkcage'),
    once.result,
  );
  report.check('allow-once: nothing is approved by it', state('once') === 'pending', state('once'));
  const again = await call('once', 'onceagain', 'deny');
  report.check(
    'allow-once: the next call asks again, and deny blocks it',
    !again.result.includes('says hello'),
    again.result,
  );

  const always = await call('always', 'always', 'allow-always');
  report.check(
    'allow-always: the call runs in the sandbox',
    always.result.includes('always says hello from sharkcage'),
    always.result,
  );
  report.check(
    'allow-always: the approval is stored',
    state('always') === 'approved',
    state('always'),
  );
  const after = await call('always', 'alwaysagain', undefined);
  report.check(
    'allow-always: the next call runs without a prompt',
    after.result.includes('always says hello from sharkcage'),
    after.result,
  );

  const never = await call('never', 'never', 'deny');
  report.check('deny: the call does not run', !never.result.includes('says hello'), never.result);
  report.check('deny: nothing is approved by it', state('never') === 'pending', state('never'));
  const seen = { once: decisions('once'), always: decisions('always'), never: decisions('never') };
  const expected = { once: ['allow-once', 'deny'], always: ['allow-always'], never: ['deny'] };
  report.check(
    'each decision came back and is in the audit log',
    JSON.stringify(seen) === JSON.stringify(expected),
    seen,
  );
}
