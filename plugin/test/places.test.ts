import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';

import { findExec, Places } from '../src/places.js';
import { makeFolder } from './server.js';

test('Places.ConfiguredHomeWinsOverTheEnvironment', () => {
  const environment = { SHARKCAGE_HOME: '/from/environment', HOME: '/home/x' };
  assert.equal(
    new Places('/from/config', environment).socket(),
    '/from/config/run/supervisor.sock',
  );
  assert.equal(
    new Places(undefined, environment).socket(),
    '/from/environment/run/supervisor.sock',
  );
  assert.throws(() => new Places('relative', environment), /not an absolute path/);
});

test('Places.ExecGetsTheTicketAndTheInstanceAndNothingElse', () => {
  const environment = { HOME: '/home/x', SECRET: 'x', LD_PRELOAD: 'x', PATH: '/evil' };
  assert.deepEqual(new Places('/instance', environment).execEnvironment('t'), {
    PATH: '/usr/bin:/bin',
    HOME: '/home/x',
    SHARKCAGE_TICKET: 't',
    SHARKCAGE_HOME: '/instance',
  });
});

test('Places.ExecIsFoundOnPathAndARelativeEntryIsIgnored', () => {
  const folder = makeFolder();
  mkdirSync(`${folder}/bin`);
  writeFileSync(`${folder}/bin/sc-exec`, '#!/bin/sh\n');
  chmodSync(`${folder}/bin/sc-exec`, 0o755);
  assert.equal(findExec(undefined, { PATH: `bin:${folder}/bin` }), `${folder}/bin/sc-exec`);
  assert.equal(findExec(`${folder}/bin/sc-exec`, {}), `${folder}/bin/sc-exec`);
  assert.throws(() => findExec(`${folder}/missing`, {}), /config.exec/);
});
