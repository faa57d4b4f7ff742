// A Sharkcage instance of its own: the supervisor, the `sc` commands against it, and skills made from tests/e2e/skills.

import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { until } from './wait.mjs';

const kRoot = path.join(import.meta.dirname, '../../..');
const kSkills = path.join(import.meta.dirname, '../skills');
const kStart = 30_000;

/** Where the programs under test are: build/<preset>/bin, the preset from SHARKCAGE_PRESET. */
export const kBin = path.join(kRoot, 'build', process.env.SHARKCAGE_PRESET ?? 'release', 'bin');
export const kPlugin = path.join(kRoot, 'plugin');

export class Instance {
  #supervisor;

  /** `home` is SHARKCAGE_HOME; `person` the home directory of the person whose agent this is. */
  constructor({ home, person }) {
    this.home = home;
    this.person = person;
    this.skills = path.join(home, '..', 'skills');
    fs.mkdirSync(home, { recursive: true, mode: 0o700 });
    fs.mkdirSync(this.skills, { recursive: true });
  }

  get environment() {
    return {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      HOME: this.person,
      LANG: 'C.UTF-8',
      SHARKCAGE_HOME: this.home,
    };
  }

  get log() {
    return path.join(this.home, 'sharkcaged.log');
  }

  async start() {
    const log = fs.openSync(this.log, 'a');
    this.#supervisor = spawn(path.join(kBin, 'sharkcaged'), [], {
      env: this.environment,
      cwd: '/',
      stdio: ['ignore', log, log],
    });
    fs.closeSync(log);
    const ended = () => this.#supervisor.exitCode !== null || this.#supervisor.signalCode !== null;
    await until(() => ended() || this.sc('status').code === 0, kStart, 'the supervisor');
    if (ended())
      throw new Error(
        `the supervisor did not start:\n${fs.readFileSync(this.log, 'utf8').slice(-3000)}`,
      );
    return this;
  }

  get pid() {
    return this.#supervisor.pid;
  }

  #end(signal) {
    if (
      this.#supervisor === undefined ||
      this.#supervisor.exitCode !== null ||
      this.#supervisor.signalCode !== null
    )
      return;
    const ended = new Promise((resolve) => this.#supervisor.once('exit', resolve));
    this.#supervisor.kill(signal);
    return ended;
  }

  /** SIGKILL: no chance to write, to tidy up or to say goodbye. */
  async kill() {
    await this.#end('SIGKILL');
  }

  async stop() {
    await this.#end('SIGTERM');
  }

  /** Runs `sc ARGS`: {code, stdout, stderr}. */
  sc(...args) {
    const done = spawnSync(path.join(kBin, 'sc'), args, {
      env: this.environment,
      cwd: '/',
      encoding: 'utf8',
    });
    if (done.error !== undefined) throw done.error;
    return { code: done.status, stdout: done.stdout, stderr: done.stderr };
  }

  /** The same; throws unless it worked. */
  must(...args) {
    const done = this.sc(...args);
    if (done.code !== 0)
      throw new Error(
        `sc ${args.join(' ')} exited with ${done.code}: ${done.stderr}${done.stdout}`,
      );
    return done.stdout;
  }

  status() {
    return JSON.parse(this.must('status', '--json'));
  }

  /** Records of the log, oldest first, as `sc audit --json` prints them. */
  audit(...args) {
    return this.must('audit', '--json', ...(args.length > 0 ? args : ['--all']))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  }

  /** The verdict on the call to which the model gave this id. */
  verdict(hostCall) {
    return this.audit().find(
      (record) => record.kind === 'verdict' && record.payload.host_call === hostCall,
    );
  }

  /**
   * Copies tests/e2e/skills/<template> to a directory of its own as the skill `name`, with every @KEY@ in it replaced, and
   * registers it. Nothing is approved.
   */
  addSkill(template, name, values = {}) {
    const target = path.join(this.skills, name);
    copyTemplate(path.join(kSkills, template), target, { NAME: name, ...values });
    this.must('skill', 'add', target);
    return target;
  }

  approve(name) {
    this.must('approve', name, '--yes');
  }
}

function copyTemplate(source, target, values) {
  fs.mkdirSync(target, { recursive: true });
  for (const entry of fs.readdirSync(source, { withFileTypes: true })) {
    const from = path.join(source, entry.name);
    const to = path.join(target, entry.name);
    if (entry.isDirectory()) {
      copyTemplate(from, to, values);
    } else {
      const text = fs
        .readFileSync(from, 'utf8')
        .replaceAll(/@([A-Z]+)@/g, (whole, key) => values[key] ?? whole);
      fs.writeFileSync(to, text, { mode: fs.statSync(from).mode });
    }
  }
}
