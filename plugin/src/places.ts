// Where the supervisor's socket and the program `sc-exec` are. The rules for the socket are those of common/places.cc.

import { accessSync, constants, existsSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

type Environment = Readonly<Record<string, string | undefined>>;

const SYSTEM_RUN = '/run/sharkcage';

/** What sc-exec needs of the environment to find the same supervisor, and no more. */
const PLACE_VARIABLES = ['HOME', 'XDG_CONFIG_HOME', 'XDG_STATE_HOME', 'XDG_RUNTIME_DIR'];

export class Places {
  /** `home` is SHARKCAGE_HOME where the plugin's configuration names one. */
  constructor(
    private readonly home: string | undefined,
    private readonly environment: Environment = process.env,
  ) {
    if (home !== undefined && !path.isAbsolute(home)) {
      throw new Error(
        `plugins.entries.sharkcage.config.home is "${home}", which is not an absolute path`,
      );
    }
  }

  private instanceHome(): string | undefined {
    return this.home ?? (this.environment['SHARKCAGE_HOME'] || undefined);
  }

  /** The socket of the instance, looked up anew each time: an install may appear while the host runs. */
  socket(): string {
    const home = this.instanceHome();
    if (home !== undefined) return `${home}/run/supervisor.sock`;
    const user = this.userSocket();
    const system = `${SYSTEM_RUN}/supervisor.sock`;
    if (process.geteuid?.() === 0) return system;
    return existsSync(system) && !existsSync(user) ? system : user;
  }

  private userSocket(): string {
    // XDG Base Directory Specification: a relative value must be ignored.
    const xdg = (name: string): string | undefined => {
      const value = this.environment[name];
      return value?.startsWith('/') ? value : undefined;
    };
    const runtime = xdg('XDG_RUNTIME_DIR');
    if (runtime !== undefined) return `${runtime}/sharkcage/supervisor.sock`;
    const home = this.environment['HOME'] || homedir();
    return `${xdg('XDG_STATE_HOME') ?? `${home}/.local/state`}/sharkcage/run/supervisor.sock`;
  }

  /** The environment in which sc-exec is started. */
  execEnvironment(ticket: string): Record<string, string> {
    const result: Record<string, string> = { PATH: '/usr/bin:/bin', SHARKCAGE_TICKET: ticket };
    for (const name of PLACE_VARIABLES) {
      const value = this.environment[name];
      if (value !== undefined) result[name] = value;
    }
    const home = this.instanceHome();
    if (home !== undefined) result['SHARKCAGE_HOME'] = home;
    return result;
  }
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The absolute path of sc-exec: as configured, beside this plugin where install.sh puts both, on PATH, in the usual places, or in the build this plugin is part of. */
export function findExec(
  configured: string | undefined,
  environment: Environment = process.env,
): string {
  if (configured !== undefined) {
    if (path.isAbsolute(configured) && isProgram(configured)) return configured;
    throw new Error(
      `plugins.entries.sharkcage.config.exec is "${configured}", which is not the absolute path of a program. ` +
        'Correct it, or remove it to have sc-exec found on PATH.',
    );
  }
  const checkout = fileURLToPath(new URL('../../build/release/bin', import.meta.url));
  const folders = [
    fileURLToPath(new URL('../..', import.meta.url)),
    ...(environment['PATH'] ?? '').split(':').filter((folder) => path.isAbsolute(folder)),
    '/usr/local/bin',
    '/usr/bin',
    path.join(environment['HOME'] || homedir(), '.local/bin'),
    checkout,
  ];
  for (const folder of folders) {
    const candidate = path.join(folder, 'sc-exec');
    if (isProgram(candidate)) return candidate;
  }
  throw new Error(
    'the program sc-exec was not found on PATH. Install Sharkcage (install.sh), or name it in plugins.entries.sharkcage.config.exec.',
  );
}
