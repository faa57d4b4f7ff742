// A server that speaks the protocol's framing, for tests of the transport. What it answers is each test's business.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

// One listener for each folder.
process.setMaxListeners(0);

export type Message = Record<string, unknown> & { id?: number; method?: string };

export interface TestServer {
  socket: string;
  received: Message[];
  connections: Set<Socket>;
  stop(): Promise<void>;
}

/** A directory of its own for a test, gone with the process; `deep` makes its path longer than sun_path. */
export function makeFolder(deep = false): string {
  let folder = mkdtempSync(path.join(tmpdir(), 'sharkcage-plugin-'));
  const top = folder;
  process.once('exit', () => {
    rmSync(top, { recursive: true, force: true });
  });
  if (deep) folder = path.join(folder, 'd'.repeat(60), 'e'.repeat(60));
  mkdirSync(folder, { recursive: true });
  return folder;
}

export function listen(server: Server, socket: string): Promise<void> {
  // bind(2) has the same limit as connect(2), so the path is relative to where the server listens.
  const here = process.cwd();
  process.chdir(path.dirname(socket));
  return new Promise((resolve) => {
    server.listen(path.basename(socket), () => {
      process.chdir(here);
      resolve();
    });
  });
}

/** Starts a server; `answer` gets each request and sends what it likes. `hello` is answered unless it returns true. */
export async function startServer(
  socket: string,
  instance: string,
  answer: (message: Message, connection: Socket) => unknown,
): Promise<TestServer> {
  const received: Message[] = [];
  const connections = new Set<Socket>();
  rmSync(socket, { force: true });
  const server = createServer((connection) => {
    connections.add(connection);
    connection.unref();
    connection.on('error', () => undefined);
    let text = '';
    connection.on('data', (chunk) => {
      text += chunk.toString('utf8');
      for (;;) {
        const end = text.indexOf('\n');
        if (end < 0) return;
        const message = JSON.parse(text.slice(0, end)) as Message;
        text = text.slice(end + 1);
        received.push(message);
        const handled = answer(message, connection);
        if (message.method === 'hello' && handled !== true) {
          reply(connection, message, { version: 1, instance });
        }
      }
    });
  });
  await listen(server, socket);
  server.unref(); // a test that fails must end all the same
  return {
    socket,
    received,
    connections,
    stop: () => {
      for (const connection of connections) connection.destroy();
      return new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      });
    },
  };
}

export function reply(connection: Socket, message: Message, result: unknown): void {
  connection.write(`${JSON.stringify({ jsonrpc: '2.0', id: message.id, result })}\n`);
}
