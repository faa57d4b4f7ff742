// Opens the connection to the supervisor, and only to one that root or this user runs.

import { closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';

import { UnreachableError } from './errors.js';

const GROUP_OR_OTHERS_WRITE = 0o022;

function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.();
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}

function describe(error: unknown, socket: string): UnreachableError {
  const code = codeOf(error);
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    return new UnreachableError(`the supervisor is not running (nothing answers at ${socket})`);
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new UnreachableError(
      `no permission to reach the supervisor at ${socket}`,
      'Add this user to the hosts of the configuration.',
    );
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new UnreachableError(`the supervisor cannot be reached at ${socket}: ${detail}`);
}

// The directory is held open from the check until the connection stands, and the socket is reached through it: so what was
// checked is what is connected to, and a path longer than the 108 bytes of unix(7) works.
function openFolder(socket: string): number {
  const fd = openSync(path.dirname(socket), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const folder = fstatSync(fd);
    if (!isTrusted(folder.uid) || (folder.mode & GROUP_OR_OTHERS_WRITE) !== 0) {
      throw new UnreachableError(
        `${path.dirname(socket)} can be changed by another user, so what listens there is not trusted`,
        'Check who owns that directory.',
      );
    }
    const status = lstatSync(throughFolder(fd, socket));
    if (!status.isSocket() || !isTrusted(status.uid)) {
      throw new UnreachableError(
        `${socket} is not a socket of root or of this user`,
        'Check who runs the supervisor.',
      );
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function throughFolder(fd: number, socket: string): string {
  return `/proc/self/fd/${fd}/${path.basename(socket)}`;
}

/** Connects to the Unix socket at `socket`. Rejects with UnreachableError. */
export async function openConnection(socket: string): Promise<Socket> {
  let folder: number;
  try {
    folder = openFolder(socket);
  } catch (error) {
    throw error instanceof UnreachableError ? error : describe(error, socket);
  }
  try {
    return await new Promise<Socket>((resolve, reject) => {
      const connection = connect(throughFolder(folder, socket));
      connection.once('error', reject);
      connection.once('connect', () => {
        connection.off('error', reject);
        resolve(connection);
      });
    });
  } catch (error) {
    throw describe(error, socket);
  } finally {
    closeSync(folder);
  }
}
