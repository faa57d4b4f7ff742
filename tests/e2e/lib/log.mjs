// The audit log's records as they are on the disk, read without the supervisor.

import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** A copy of the instance's directory, since SQLite writes when it recovers what a killed writer left. */
export function copyOf(instance) {
  const copy = fs.mkdtempSync(path.join(path.dirname(instance.home), 'copy-'));
  for (const folder of ['etc', 'var'])
    fs.cpSync(path.join(instance.home, folder), path.join(copy, folder), { recursive: true });
  fs.mkdirSync(path.join(copy, 'run'), { mode: 0o700 });
  return copy;
}

export function readLog(instance) {
  const copy = copyOf(instance);
  const database = new DatabaseSync(path.join(copy, 'var/audit/audit.db'));
  try {
    return database
      .prepare('SELECT kind, decision, payload FROM records ORDER BY seq')
      .all()
      .map((row) => ({ ...row, payload: JSON.parse(row.payload) }));
  } finally {
    database.close();
  }
}

/** Changes one record of the log in `home`, as somebody would who has the file. */
export function tamper(home) {
  const database = new DatabaseSync(path.join(home, 'var/audit/audit.db'));
  database.exec(
    "UPDATE records SET decision = 'allow' WHERE seq = (SELECT min(seq) FROM records WHERE decision = 'block')",
  );
  database.close();
}
