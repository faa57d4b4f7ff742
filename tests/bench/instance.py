"""A supervisor of its own for a measurement: throwaway home, workspace and skills."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time

FIRST = "skill-0"
SETTLED_SECONDS = 4
MANIFEST = """{
  "name": "NAME", "version": "1.0.0", "description": "One of many skills, to measure with",
  "capabilities": [
    { "capability": "system.exec", "scope": ["true"], "reason": "measure" },
    { "capability": "network.external", "scope": ["NAME.example:443"], "reason": "measure" } ],
  "tools": [ { "name": "NAME_now", "description": "A tool", "parameters": { "type": "object" } } ],
  "runtime": "sh", "main": "scripts/run.sh" }
"""
SCRIPT = "#!/bin/sh\nexec true\n"


class Client:
    """The protocol over the socket, requests one after another or many at once."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")
        self.last = 0
        self.call_all("hello", [{"client": "bench", "versions": [1]}])

    def call_all(self, method, all_params):
        """The results, in order. Throws on the first error."""
        first = self.last + 1
        results = {}
        window = 32
        for begin in range(0, len(all_params), window):
            part = all_params[begin : begin + window]
            text = ""
            for params in part:
                self.last += 1
                text += json.dumps({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}) + "\n"
            self.socket.sendall(text.encode())
            for _ in part:
                answer = json.loads(self.lines.readline())
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                results[answer["id"]] = answer["result"]
        return [results[first + i] for i in range(len(all_params))]

    def call(self, method, **params):
        return self.call_all(method, [params])[0]

    def close(self):
        self.lines.close()
        self.socket.close()


class Instance:
    """`with Instance(bin) as instance:` starts it, stops it and removes everything."""

    def __init__(self, programs, config=None):
        self.programs = programs
        self.home = os.path.realpath(tempfile.mkdtemp(prefix="sharkcage-bench-"))
        self.state = self.home + "/instance"
        self.workspace = self.home + "/workspace"
        self.environment = dict(os.environ, SHARKCAGE_HOME=self.state)
        os.mkdir(self.workspace)
        self.client = None
        self.skill = None
        if config is not None:
            os.makedirs(self.state + "/etc", mode=0o700)
            with open(self.state + "/etc/config.json", "w", encoding="utf-8") as stream:
                json.dump(config, stream)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        self.remove()

    def sc(self, *arguments):
        subprocess.run(
            [self.programs + "/sc", *arguments], env=self.environment, check=True, stdout=subprocess.DEVNULL
        )

    def start(self):
        os.makedirs(self.state, exist_ok=True)
        self.sc("start")
        self.client = Client(self.state + "/run/supervisor.sock")

    def stop(self):
        self.client.close()
        self.sc("stop")

    def remove(self):
        for folder, _, _ in os.walk(self.home):
            os.chmod(folder, 0o700)
        shutil.rmtree(self.home)

    def add_skill(self):
        """Registers and approves a skill; returns it as a plan names it."""
        folder = f"{self.home}/skills/{FIRST}"
        os.makedirs(folder + "/scripts")
        for file, text, mode in (
            ("SKILL.md", "# A skill\n", 0o644),
            ("sharkcage.json", MANIFEST.replace("NAME", FIRST), 0o644),
            ("scripts/run.sh", SCRIPT, 0o755),
        ):
            with open(f"{folder}/{file}", "w", encoding="utf-8") as stream:
                stream.write(text)
            os.chmod(f"{folder}/{file}", mode)
        added = self.client.call("skill.add", path=folder)
        self.client.call("skill.approve", name=FIRST, content_digest=added["skill"]["content_digest"])
        return {"name": FIRST, "path": folder, "program": folder + "/scripts/run.sh"}

    def fill(self, skills, fill_log):
        """More rows like the first skill's, up to `skills` of them, and what `fill_log` adds to the log.

        Straight into the files while nobody has them open: adding thousands of skills one by one takes
        minutes, since each is copied and made durable."""
        self.stop()
        database = sqlite3.connect(self.state + "/var/approvals.db")
        columns = "name, source, manifest, content_digest, added, revoked"
        row = database.execute(f"SELECT {columns} FROM skills WHERE name = ?", (FIRST,)).fetchone()
        database.executemany(
            f"INSERT INTO skills ({columns}) VALUES (?, ?, ?, ?, ?, ?)",
            (
                [column.replace(FIRST, f"skill-{i}") if isinstance(column, str) else column for column in row]
                for i in range(1, skills)
            ),
        )
        database.commit()
        database.close()
        fill_log()
        self.start()
        # A directory that has just changed is looked at anew in every call (capabilities/protection_watch.h).
        time.sleep(SETTLED_SECONDS)
