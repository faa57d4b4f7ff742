// The person's private key, and files inside and outside of the workspace.

import fs from 'node:fs';
import path from 'node:path';

import { edit, exec, read, write } from '../lib/calls.mjs';

export const name = 'files: the private key, the workspace, and everything else';

export async function run(world) {
  await Promise.all([privateKey(world), inTheWorkspace(world)]);
  await outside(world);
}

async function privateKey({
  gateway,
  control,
  model,
  controlModel,
  canary,
  privateKey,
  controlKey,
  instance,
  report,
}) {
  fs.mkdirSync(gateway.workspace, { recursive: true });
  const link = path.join(gateway.workspace, 'notes.txt');
  fs.symlinkSync(privateKey, link);
  const ways = {
    'cat ~/.ssh/id_rsa': exec('cat ~/.ssh/id_rsa'),
    'cat by its whole path': exec(`cat ${privateKey}`),
    'cat through a link in the workspace': exec('cat notes.txt'),
    'cat through /proc': exec(`cat /proc/1/root${privateKey} /proc/*/cwd/../../.ssh/id_rsa`),
    'a search of everything': exec(
      `grep -rIs ${canary.slice(0, 20)} / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr | head -c 300`,
    ),
    "the host's own configuration": exec('cat ~/.openclaw/openclaw.json; ls -la ~/.openclaw ..'),
    "the host's own configuration, with the tool read": read('~/.openclaw/openclaw.json'),
    'the tool read': read(privateKey),
    'the tool read, with ~': read('~/.ssh/id_rsa'),
    'the tool read, with ..': read('../../.ssh/id_rsa'),
    'the tool read, through the link': read('notes.txt'),
  };
  const results = await gateway.turn('agent:main:two', 'key', Object.values(ways));
  // A command holds the first part of the canary itself; the whole of it only the file.
  Object.keys(ways).forEach((way, i) =>
    report.check(
      `secrets stay unread: ${way}`,
      results[i] !== undefined &&
        !results[i].includes(canary) &&
        !results[i].includes(gateway.token),
      results[i],
    ),
  );
  const blocked = instance.audit('--blocked').filter((r) => r.payload.host_call?.startsWith('key'));
  report.check('refused reads are in sc audit --blocked', blocked.length >= 3, blocked.length);

  const open = await control.turn('agent:main:two', 'openkey', [
    exec('cat ~/.ssh/id_rsa'),
    read(controlKey),
    read(control.config),
  ]);
  report.control(
    'without hook and sandbox the command reads the key',
    open[0]?.includes(canary),
    open[0],
  );
  report.control('and so does the tool read', open[1]?.includes(canary), open[1]);
  report.control("and the host's own configuration", open[2]?.includes(control.token), open[2]);
  report.control('and the key was sent to the model', controlModel.saw(canary));
  report.check(
    'so far nothing that was sent to the model holds them',
    !model.saw(canary) && !model.saw(gateway.token),
  );
}

async function inTheWorkspace({ gateway, report }) {
  const file = path.join(gateway.workspace, 'list.md');
  const results = await gateway.turn('agent:main:one', 'inside', [
    write('list.md', 'bread\n'),
    read('list.md'),
    edit('list.md', 'bread', 'milk'),
    read(file),
    exec('cat list.md && echo cheese >> list.md'),
    write('deep/down/below.txt', 'deep\n'),
  ]);
  report.check('write and read work in the workspace', results[1]?.includes('bread'), results);
  report.check('edit works in the workspace', results[3]?.includes('milk'), results);
  report.check(
    'a command sees the same file and can change it',
    fs.readFileSync(file, 'utf8') === 'milk\ncheese\n',
    results,
  );
  report.check(
    'write makes folders',
    fs.readFileSync(path.join(gateway.workspace, 'deep/down/below.txt'), 'utf8') === 'deep\n',
    results[5],
  );
  const owner = fs.statSync(file).uid;
  report.check("the files are the person's", owner === process.getuid(), owner);
}

// Each place outside is tried with write, edit, read and a command.
async function outside({ gateway, control, report }) {
  const attempt = async (host, session, script) => {
    const place = path.join(host.state, 'outside');
    fs.mkdirSync(place);
    const there = path.join(place, 'there.txt');
    fs.writeFileSync(there, 'as it was\n');
    fs.symlinkSync(place, path.join(host.workspace, 'out'));
    const results = await host.turn(session, script, [
      read(there),
      write(path.join(place, 'written.txt'), 'x'),
      write('../outside/dotdot.txt', 'x'),
      write('out/linked.txt', 'x'),
      edit(there, 'as it was', 'changed'),
      exec(`: > ${place}/command.txt; : > out/command2.txt`),
    ]);
    return {
      read: results[0]?.includes('as it was'),
      edited: fs.readFileSync(there, 'utf8') !== 'as it was\n',
      made: fs
        .readdirSync(place)
        .filter((entry) => entry !== 'there.txt')
        .sort(),
      results,
    };
  };
  const [ours, open] = await Promise.all([
    attempt(gateway, 'agent:main:one', 'outside'),
    attempt(control, 'agent:main:one', 'outsideopen'),
  ]);
  report.check('read fails outside the workspace', ours.read === false, ours.results[0]);
  report.check('edit fails outside the workspace', !ours.edited, ours.results[4]);
  report.check(
    'write fails outside, also through .. and links, and so do commands',
    ours.made.length === 0,
    ours,
  );
  report.control(
    'without hook and sandbox all of that works',
    open.read && open.edited && open.made.length === 5,
    open,
  );
}
