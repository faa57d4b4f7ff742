import assert from 'node:assert/strict';
import { test } from 'node:test';

import { reasonOf, UnreachableError } from '../src/errors.js';

test('Errors.AReasonNamesTheRemedy', () => {
  assert.equal(reasonOf(new Error('no')), 'Sharkcage: no');
  assert.equal(reasonOf('no'), 'Sharkcage: no');
  const unreachable = new UnreachableError('it is not running.');
  assert.equal(reasonOf(unreachable), 'Sharkcage: it is not running. Start it with: sc start');
});

test('Errors.AReasonNamesTheRemedyOfAnErrorFromAnotherCopyOfThePlugin', () => {
  const foreign = Object.assign(new Error('it is not running'), { remedy: 'Start it.' });
  assert.equal(reasonOf(foreign), 'Sharkcage: it is not running. Start it.');
});
