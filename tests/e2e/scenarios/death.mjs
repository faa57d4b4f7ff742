// The supervisor dies without warning: nothing runs without it, and nothing that it acknowledged is lost.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { exec, read, write } from '../lib/calls.mjs';
import { kBin } from '../lib/instance.mjs';
import { readLog } from '../lib/log.mjs';
import { Rpc } from '../lib/rpc.mjs';
import { until } from '../lib/wait.mjs';

export const name = 'the supervisor is killed';

const kSession = 'agent:main:one';
const kLimit = 30_000;

export async function run(world) {
  await killedInTheMiddle(world);
  await killedBeforeTheStart(world);
  await killedBeforeTheVerdict(world);
  await killedWithATicket(world);
}

/** Whether a process on this machine has `word` among its arguments. */
function runs(word) {
  return fs.readdirSync('/proc').some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      return fs.readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0').includes(word);
    } catch {
      return false; // it ended meanwhile
    }
  });
}

async function killedInTheMiddle({ instance, gateway, model, report }) {
  const started = path.join(gateway.workspace, 'started');
  const after = path.join(gateway.workspace, 'after');
  const naptime = '86397';
  const turn = gateway.turn(kSession, 'middle', [
    exec(`: > started; sleep ${naptime}; : > after`),
    exec('echo it ran'),
    read('started'),
    write('unwatched.txt', 'x'),
  ]);
  await until(() => fs.existsSync(started), 180_000, 'the command to start');
  await until(() => runs(naptime), kLimit, 'the command to sleep');
  await instance.kill();
  const results = await turn;
  await until(() => !runs(naptime), kLimit, 'the command to end');
  report.check('killed in the middle: the command ends with it', !fs.existsSync(after), results[0]);
  report.check(
    'the model is told that it failed',
    /supervisor|exited|signal/i.test(results[0] ?? ''),
    results[0],
  );
  // The first call may be under way before the host has seen that the connection ended, and then hears of that. Every
  // later one hears that nobody is there.
  const lost = /^Sharkcage: the (connection to the supervisor failed|supervisor ended the connection).*sc start/;
  const why = /^Sharkcage: .*supervisor is not running.*sc start/;
  report.check(
    'exec is blocked, with the reason and the remedy',
    why.test(results[1] ?? '') || lost.test(results[1] ?? ''),
    results[1],
  );
  report.check('read is blocked', why.test(results[2] ?? ''), results[2]);
  report.check(
    'write is blocked',
    why.test(results[3] ?? '') && !fs.existsSync(path.join(gateway.workspace, 'unwatched.txt')),
    results[3],
  );
  model.unrecorded.push('middle1x0', 'middle2x0', 'middle3x0');
  const verdict = readLog(instance).find(
    (r) => r.kind === 'verdict' && r.payload.host_call === 'middle0x0',
  );
  report.check(
    'the dead supervisor left the verdict in the log',
    verdict?.decision === 'allow',
    verdict,
  );

  await instance.start();
  verified(instance, report);
  const [again] = await gateway.turn(kSession, 'restarted', [exec('echo it ran on $(hostname)')]);
  report.check(
    'after a restart the same session works again',
    again?.includes('it ran on sharkcage'),
    again,
  );
}

async function open(instance, workspace) {
  const rpc = await new Rpc().connect(instance.home);
  await rpc.call('session.open', { session: 'direct', workspace, access: 'rw' });
  return rpc;
}

const authorize = (rpc, mark, call) =>
  rpc.call('tool.authorize', {
    tool: 'exec',
    params: { command: `: > ${mark}` },
    session: 'direct',
    call,
    prompt: false,
  });

const verdictsOn = (instance, call) =>
  readLog(instance).filter((r) => r.kind === 'verdict' && r.payload.host_call === call);

function verified(instance, report) {
  const done = instance.sc('audit', 'verify');
  report.check('after the restart the log verifies', done.code === 0, done.stdout + done.stderr);
}

// Between the verdict and the start: the record is there, the command is not run, and its token is worth nothing.
async function killedBeforeTheStart({ instance, gateway, report }) {
  const mark = path.join(gateway.workspace, 'mark-start');
  const rpc = await open(instance, gateway.workspace);
  const verdict = await authorize(rpc, mark, 'direct-start');
  await instance.kill();
  rpc.close();
  const records = verdictsOn(instance, 'direct-start');
  report.check(
    'killed between verdict and start: the verdict is in the log',
    records.length === 1 && records[0].decision === 'allow',
    records,
  );
  report.check('and nothing ran', !fs.existsSync(mark));

  await instance.start();
  verified(instance, report);
  const next = await open(instance, gateway.workspace);
  const refusal = await next
    .call('exec.prepare', {
      session: 'direct',
      kind: 'exec',
      command: `: > ${mark}`,
      token: verdict.token,
      env: {},
    })
    .then(
      () => undefined,
      (error) => error,
    );
  report.check('the token of before is refused', refusal?.code === -32001, String(refusal));
  next.close();
}

// The reverse, which shows that the check above can fail: no verdict was answered, and none is in the log.
async function killedBeforeTheVerdict({ instance, gateway, report }) {
  const rpc = await open(instance, gateway.workspace);
  process.kill(instance.pid, 'SIGSTOP');
  const answer = authorize(
    rpc,
    path.join(gateway.workspace, 'mark-verdict'),
    'direct-verdict',
  ).catch((error) => error);
  await instance.kill();
  report.control('killed before the verdict: no answer', (await answer) instanceof Error);
  report.control('and no verdict in the log', verdictsOn(instance, 'direct-verdict').length === 0);
  await instance.start();
  verified(instance, report);
}

async function killedWithATicket({ instance, gateway, report }) {
  const spend = (ticket) =>
    spawnSync(path.join(kBin, 'sc-exec'), [], {
      env: { ...instance.environment, SHARKCAGE_TICKET: ticket },
      cwd: '/',
      stdio: 'pipe',
      encoding: 'utf8',
    });
  const ticketFor = async (mark, call) => {
    const rpc = await open(instance, gateway.workspace);
    const { token } = await authorize(rpc, mark, call);
    const command = `: > ${mark}`;
    const { ticket } = await rpc.call('exec.prepare', {
      session: 'direct',
      kind: 'exec',
      command,
      token,
      env: {},
    });
    rpc.close();
    return ticket;
  };
  const mark = path.join(gateway.workspace, 'mark-ticket');
  const used = spend(await ticketFor(mark, 'direct-used'));
  report.control(
    'a ticket runs its command',
    used.status === 0 && fs.existsSync(mark),
    used.stderr,
  );
  fs.rmSync(mark, { force: true });

  const ticket = await ticketFor(mark, 'direct-ticket');
  await instance.kill();
  const orphan = spend(ticket);
  report.check(
    'with no supervisor a ticket runs nothing',
    orphan.status !== 0 && !fs.existsSync(mark),
    orphan,
  );
  await instance.start();
  const late = spend(ticket);
  report.check('nor with the next one', late.status === 126 && !fs.existsSync(mark), late);
  verified(instance, report);
}
