// Runs sc-exec for a ticket and collects what its command wrote: the shell commands of the host's file bridge.

import { spawn } from 'node:child_process';

import { SANDBOX_COMMAND_MAX_BUFFER_BYTES } from 'openclaw/plugin-sdk/sandbox';

import type { ShellCommand, ShellResult } from './host.js';

/** sc-exec's own exit statuses: the time limit, no sandbox, blocked. */
const NOT_RUN = new Set([124, 125, 126]);

export function runTicket(
  program: string,
  env: Record<string, string>,
  { stdin, signal, allowFailure }: ShellCommand,
): Promise<ShellResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [], {
      env,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(signal !== undefined && { signal }),
    });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    let size = 0;
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      size += chunk.length;
      if (size > SANDBOX_COMMAND_MAX_BUFFER_BYTES) child.kill('SIGTERM');
      else into.push(chunk);
    };
    child.stdout.on('data', collect(output));
    child.stderr.on('data', collect(errors));
    // A command that ends without reading its input is no error by itself.
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin);
    child.once('error', reject);
    child.once('close', (status) => {
      const result = {
        stdout: Buffer.concat(output),
        stderr: Buffer.concat(errors),
        code: status ?? 1,
      };
      const said = result.stderr.toString('utf8').trim();
      if (size > SANDBOX_COMMAND_MAX_BUFFER_BYTES) {
        reject(
          new Error(`the file is too large: more than ${SANDBOX_COMMAND_MAX_BUFFER_BYTES} bytes`),
        );
      } else if (NOT_RUN.has(result.code) || (result.code !== 0 && allowFailure !== true)) {
        reject(new Error(said === '' ? `the command exited with ${result.code}` : said));
      } else {
        resolve(result);
      }
    });
  });
}
