// What the scenarios share: one protected host, and one with the protection taken away.
//
// Both hosts are as open as OpenClaw's own configuration allows (commands on the gateway and elevation need no approval), so
// that what is refused is refused by Sharkcage. The host for the controls has the same files, and the same plugin without its
// hook; its agent `main` has no sandbox, its agent `caged` has one.

import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { Gateway } from './gateway.mjs';
import { Instance, kBin, kPlugin } from './instance.mjs';
import { Model } from './model.mjs';
import { Web } from './web.mjs';

const kSandbox = { mode: 'all', backend: 'sharkcage', scope: 'session', workspaceAccess: 'rw' };

// Root's sandboxes reach the workspace through an idmapped mount, which overlayfs (containers) lacks.
const kOverlayfs = 0x794c7630;

function throwawayDirectory() {
  const parents = [os.tmpdir(), '/var/tmp', '/dev/shm'];
  const usable = parents.find(
    (p) => process.getuid() !== 0 || fs.statfsSync(p).type !== kOverlayfs,
  );
  return fs.realpathSync(fs.mkdtempSync(path.join(usable ?? os.tmpdir(), 'sharkcage-e2e-')));
}

export class World {
  constructor() {
    this.directory = throwawayDirectory();
    /** What stands in the person's private key. */
    this.canary = `canary-${randomUUID()}`;
    this.model = new Model();
    this.controlModel = new Model();
    this.instance = new Instance({
      home: path.join(this.directory, 'cage'),
      person: path.join(this.directory, 'host/home'),
    });
    this.gateway = new Gateway({
      directory: path.join(this.directory, 'host'),
      model: this.model,
      configure: (config) =>
        this.#configure(config, this.#plugin('plugin'), kSandbox, {
          loose: { workspace: '~/.openclaw/workspace-loose', sandbox: { mode: 'off' } },
        }),
    });
    this.control = new Gateway({
      directory: path.join(this.directory, 'control'),
      model: this.controlModel,
      configure: (config) =>
        this.#configure(
          config,
          this.#pluginWithoutHook(),
          { mode: 'off' },
          { caged: { workspace: '~/.openclaw/workspace-caged', sandbox: kSandbox } },
        ),
    });
    this.approved = new Web('the approved service');
    this.other = new Web('the other service');
  }

  async start() {
    this.privateKey = this.#plantCanary(this.gateway);
    this.controlKey = this.#plantCanary(this.control);
    await Promise.all(
      [this.model, this.controlModel, this.approved, this.other].map((server) => server.start()),
    );
    await this.instance.start();
    await Promise.all([this.gateway.start(), this.control.start()]);
  }

  async stop() {
    await Promise.all([this.gateway.stop(), this.control.stop()]);
    await this.instance.stop();
    await Promise.all(
      [this.model, this.controlModel, this.approved, this.other].map((server) => server.stop()),
    );
  }

  /** Copies of skills that were approved are read-only. */
  remove() {
    this.gateway.removeLocks();
    this.control.removeLocks();
    for (const entry of fs.readdirSync(this.directory, { recursive: true, withFileTypes: true })) {
      if (entry.isDirectory()) fs.chmodSync(path.join(entry.parentPath, entry.name), 0o700);
    }
    fs.rmSync(this.directory, { recursive: true, force: true });
  }

  #plantCanary(gateway) {
    const key = path.join(gateway.home, '.ssh/id_rsa');
    fs.mkdirSync(path.dirname(key), { recursive: true, mode: 0o700 });
    fs.writeFileSync(key, `${this.canary}\n`, { mode: 0o600 });
    return key;
  }

  #configure(config, plugin, sandbox, agents) {
    config.plugins = {
      allow: ['sharkcage'],
      slots: { memory: 'none' },
      load: { paths: [plugin] },
      entries: {
        sharkcage: {
          enabled: true,
          config: { home: this.instance.home, exec: path.join(kBin, 'sc-exec') },
        },
      },
    };
    config.agents.defaults.sandbox = sandbox;
    config.agents.defaults.elevatedDefault = 'full';
    // With several agents the host wants to be told each one's workspace.
    config.agents.entries = { main: { workspace: '~/.openclaw/workspace' }, ...agents };
    config.tools = {
      elevated: { enabled: true, allowFrom: { webchat: ['*'] } },
      exec: { security: 'full', ask: 'off' },
    };
    config.skills = { load: { extraDirs: [this.instance.skills] } };
  }

  /** The plugin as install.sh installs it. */
  #plugin(name) {
    const copy = path.join(this.directory, name);
    for (const part of ['dist', 'openclaw.plugin.json', 'package.json']) {
      fs.cpSync(path.join(kPlugin, part), path.join(copy, part), { recursive: true });
    }
    return copy;
  }

  #pluginWithoutHook() {
    const copy = this.#plugin('plugin-without-hook');
    const manifest = path.join(copy, 'package.json');
    const changed = JSON.parse(fs.readFileSync(manifest, 'utf8'));
    changed.openclaw.extensions = ['./without-hook.js'];
    fs.writeFileSync(manifest, JSON.stringify(changed));
    fs.copyFileSync(
      path.join(import.meta.dirname, 'without-hook.js'),
      path.join(copy, 'without-hook.js'),
    );
    return copy;
  }
}
