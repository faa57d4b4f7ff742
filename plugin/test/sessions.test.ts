import assert from 'node:assert/strict';
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { test } from 'node:test';

import { Client } from '../src/client.js';
import { type Session, sessionOf, Sessions } from '../src/sessions.js';
import { makeFolder, type Message, reply, startServer, type TestServer } from './server.js';

function sessionIn(workspace: string, more: Partial<Session> = {}): Session {
  const base = { session: 's', scope: 's:1', workspace, access: 'rw', skills: [], readOnly: [] };
  return { ...(base as Session), ...more };
}

async function server(socket: string, instance: string, workspace: string): Promise<TestServer> {
  return startServer(socket, instance, (message, connection) => {
    if (message.method === 'hello') return;
    reply(connection, message, { runtime: 'r', workdir: workspace });
  });
}

function opened(received: Message[]): number {
  return received.filter((m) => m.method === 'session.open').length;
}

test('Sessions.AreOpenedOnceForEachInstance', async () => {
  const workspace = makeFolder();
  const socket = `${makeFolder()}/s`;
  const first = await server(socket, 'i1', workspace);
  const client = new Client(() => socket);
  const sessions = new Sessions(client);
  sessions.remember(sessionIn(workspace));
  await Promise.all([sessions.call('s', 'x', {}), sessions.call('s', 'x', {})]);
  sessions.remember(sessionIn(workspace));
  await sessions.call('s', 'x', {});
  assert.equal(opened(first.received), 1);
  await first.stop();
  await assert.rejects(client.call('x', {})); // now the client knows

  const second = await server(socket, 'i2', workspace);
  await sessions.call('s', 'x', {});
  assert.equal(opened(second.received), 1);
  client.close();
  await second.stop();
});

test('Sessions.AreOpenedAgainWhenWhatTheyShowChanged', async () => {
  const workspace = makeFolder();
  const running = await server(`${makeFolder()}/s`, 'i1', workspace);
  const client = new Client(() => running.socket);
  const sessions = new Sessions(client);
  sessions.remember(sessionIn(workspace));
  await sessions.call('s', 'x', {});
  sessions.remember(sessionIn(workspace, { access: 'ro' }));
  await sessions.call('s', 'x', {});
  assert.equal(opened(running.received), 2);
  client.close();
  await running.stop();
});

test('Sessions.WithoutASandboxAreNotOpened', async () => {
  const running = await server(`${makeFolder()}/s`, 'i1', '/');
  const client = new Client(() => running.socket);
  await new Sessions(client).call('unknown', 'x', {});
  assert.deepEqual(
    running.received.map((m) => m.method),
    ['hello', 'x'],
  );
  client.close();
  await running.stop();
});

test('Sessions.FollowNoLinkWhenTheyMakeMountPoints', async () => {
  const workspace = makeFolder();
  const outside = makeFolder();
  const running = await server(`${makeFolder()}/s`, 'i1', workspace);
  const client = new Client(() => running.socket);
  const sessions = new Sessions(client);
  const views = [{ source: '/usr/share', path: `${workspace}/.openclaw/skills` }];

  symlinkSync(outside, `${workspace}/.openclaw`);
  sessions.remember(sessionIn(workspace, { readOnly: views }));
  await assert.rejects(sessions.call('s', 'x', {}));
  assert.equal(existsSync(`${outside}/skills`), false);
  assert.equal(opened(running.received), 0);

  const other = makeFolder();
  mkdirSync(`${other}/x`);
  const fine = [{ source: '/usr/share', path: `${other}/x/y/z` }];
  sessions.remember({ ...sessionIn(other), session: 't', readOnly: fine });
  await assert.rejects(sessions.call('t', 'x', {}), /at another path/); // this server names the first workspace
  assert.equal(existsSync(`${other}/x/y/z`), true);
  client.close();
  await running.stop();
});

test('Sessions.HaveOneNameForTheFactoryAndTheHooks', () => {
  assert.equal(sessionOf(' agent:main:explicit:S1'), sessionOf('agent:main:explicit:s1'));
});
