import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';

import { Client, InstanceChanged } from '../src/client.js';
import { SupervisorError, UnreachableError } from '../src/errors.js';
import { makeFolder, reply, startServer } from './server.js';

const LIMIT_MS = 300;

function unreachable(pattern: RegExp) {
  return (error: unknown) => error instanceof UnreachableError && pattern.test(error.message);
}

test('Client.SaysHelloFirstAndMatchesAnswersToQuestions', async () => {
  const server = await startServer(`${makeFolder()}/s`, 'i1', (message, connection) => {
    if (message.method === 'slow') {
      server.connections.forEach((c) => c.once('fast', () => undefined));
      setImmediate(() => {
        reply(connection, message, { from: 'slow' });
      });
    } else if (message.method === 'fast') {
      reply(connection, message, { from: 'fast' });
    }
  });
  const client = new Client(() => server.socket);
  const [slow, fast] = await Promise.all([client.call('slow', {}), client.call('fast', {})]);
  assert.deepEqual([slow, fast], [{ from: 'slow' }, { from: 'fast' }]);
  assert.equal(server.received[0]?.method, 'hello');
  assert.equal(server.connections.size, 1);
  assert.equal(await client.instance(), 'i1');
  client.close();
  await server.stop();
});

test('Client.PutsAnswersTogetherThatArriveInPieces', async () => {
  const server = await startServer(`${makeFolder()}/s`, 'i1', (message, connection) => {
    if (message.method !== 'pieces') return;
    const line = Buffer.from(
      `${JSON.stringify({ jsonrpc: '2.0', id: message.id, result: { text: 'grün' } })}\n`,
    );
    const cut = line.indexOf(0xc3) + 1; // in the middle of a character
    connection.write(line.subarray(0, cut), () => connection.write(line.subarray(cut)));
  });
  const client = new Client(() => server.socket);
  assert.deepEqual(await client.call('pieces', {}), { text: 'grün' });
  client.close();
  await server.stop();
});

test('Client.HandsOnTheErrorOfTheSupervisorWithItsRemedy', async () => {
  const server = await startServer(`${makeFolder()}/s`, 'i1', (message, connection) => {
    if (message.method !== 'refused') return;
    const error = { code: -32001, message: 'no', data: { remedy: 'Do this.' } };
    connection.write(`${JSON.stringify({ jsonrpc: '2.0', id: message.id, error })}\n`);
  });
  const client = new Client(() => server.socket);
  await assert.rejects(
    client.call('refused', {}),
    (e) => e instanceof SupervisorError && e.code === -32001 && e.remedy === 'Do this.',
  );
  client.close();
  await server.stop();
});

test('Client.SaysThatNoSupervisorRuns', async () => {
  const client = new Client(() => `${makeFolder()}/nothing`);
  await assert.rejects(client.call('x', {}), (error) => {
    return (
      unreachable(/is not running/)(error) &&
      (error as UnreachableError).remedy.includes('sc start')
    );
  });
});

test('Client.GivesUpOnASupervisorThatDoesNotAnswer', async () => {
  const server = await startServer(`${makeFolder()}/s`, 'i1', () => undefined);
  const client = new Client(() => server.socket, LIMIT_MS);
  await assert.rejects(client.call('ignored', {}), unreachable(/did not answer ignored within/));
  client.close();
  await server.stop();
});

test('Client.RecoversFromASupervisorThatNeverSaidHello', async () => {
  let answering = false;
  const server = await startServer(`${makeFolder()}/s`, 'i1', (message, connection) => {
    if (message.method === 'hello') return !answering;
    reply(connection, message, {});
    return undefined;
  });
  const client = new Client(() => server.socket, LIMIT_MS);
  await assert.rejects(client.call('x', {}), UnreachableError);
  answering = true;
  assert.deepEqual(await client.call('x', {}), {});
  client.close();
  await server.stop();
});

test('Client.FailsWhatWasUnderWayWhenTheSupervisorDiesAndFindsTheNextOne', async () => {
  const socket = `${makeFolder()}/s`;
  const first = await startServer(socket, 'i1', (message, connection) => {
    if (message.method === 'die') connection.destroy();
  });
  const client = new Client(() => socket);
  await assert.rejects(client.call('die', {}), unreachable(/ended the connection/));
  await first.stop();
  const second = await startServer(socket, 'i2', (message, connection) => {
    if (message.method === 'x') reply(connection, message, { answered: true });
  });
  await assert.rejects(client.call('x', {}, 'i1'), InstanceChanged);
  assert.deepEqual(await client.call('x', {}, 'i2'), { answered: true });
  assert.deepEqual(
    second.received.map((m) => m.method),
    ['hello', 'x'],
  );
  client.close();
  await second.stop();
});

test('Client.ReachesASocketWhosePathIsTooLongForTheKernel', async () => {
  const socket = `${makeFolder(true)}/supervisor.sock`;
  assert.ok(socket.length > 108);
  const server = await startServer(socket, 'deep', () => undefined);
  const client = new Client(() => socket);
  assert.equal(await client.instance(), 'deep');
  client.close();
  await server.stop();
});

test('Client.RefusesASocketInADirectoryThatOthersCanChange', async () => {
  const folder = makeFolder();
  const server = await startServer(`${folder}/s`, 'i1', () => undefined);
  chmodSync(folder, 0o777);
  const client = new Client(() => server.socket);
  await assert.rejects(client.call('x', {}), unreachable(/can be changed by another user/));
  assert.equal(server.received.length, 0);
  await server.stop();
});

test('Client.RefusesWhatIsNoSocket', async () => {
  const file = `${makeFolder()}/s`;
  writeFileSync(file, '');
  const client = new Client(() => file);
  await assert.rejects(client.call('x', {}), unreachable(/is not a socket/));
});

test('Client.EndsAConnectionThatSendsSomethingElse', async () => {
  for (const nonsense of ['{]\n', '[]\n', 'x'.repeat(9 * 1024 * 1024)]) {
    const server = await startServer(`${makeFolder()}/s`, 'i1', (message, connection) => {
      if (message.method === 'x') connection.write(nonsense);
    });
    const client = new Client(() => server.socket);
    await assert.rejects(client.call('x', {}), unreachable(/is not the protocol/));
    client.close();
    await server.stop();
  }
});

test('Client.DoesNotSendALineThatIsTooLong', async () => {
  const server = await startServer(`${makeFolder()}/s`, 'i1', () => undefined);
  const client = new Client(() => server.socket);
  await assert.rejects(client.call('x', { text: 'x'.repeat(9 * 1024 * 1024) }), /exceed/);
  assert.deepEqual(
    server.received.map((m) => m.method),
    ['hello'],
  );
  client.close();
  await server.stop();
});
