"""A supervisor of its own for one pass, with the person's home and the skills that attacks are run as."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time

from suite.technique import ALL

# The key that the supervisor's session keyring holds.
KEY = "escape:session"
PROGRAMS = ("sc", "sharkcaged", "sc-exec", "sc-attend", "sharkcage-launcher", "sharkcage-egress")
ATTACKS = "escape_attacks"
PRELOAD = "escape_preload.so"
WEAKENED = "sharkcage-launcher-weakened"
START_TIME = 30
LIMITS = {"memory": "2G", "pids": 256, "tmp": "64M", "wall": "60s", "output": "4M"}

# By name: the capabilities, and limits of the manifest. FILES is the directory of files to read.
SKILLS = {
    # Reads a directory beside the workspace, may run any program.
    "reader": ([{"capability": "system.files.read", "scope": ["FILES"], "reason": "read"},
                {"capability": "system.exec", "reason": "run"}], {}),
    # Runs programs by name only.
    "scoped": ([{"capability": "system.exec", "scope": ["true", "cat", "ls"], "reason": "run"}], {}),
    # One host, and a proxy to reach it.
    "networked": ([{"capability": "network.external", "scope": ["approved.example:443"], "reason": "fetch"},
                   {"capability": "system.exec", "reason": "run"}], {}),
    # As little of everything as can be had.
    "bounded": ([{"capability": "system.exec", "reason": "run"}],
                {"memory": "96M", "pids": 24, "tmp": "8M", "wall": "6s", "output": "1M", "file_size": "4M",
                 "open_files": 128}),
}  # fmt: skip


class Client:
    """The protocol over the socket, with descriptors where a request takes them."""

    def __init__(self, path, greet=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(15)
        self.socket.connect(path)
        self.buffer = b""
        self.last = 0
        self.notifications = []
        if greet:
            self.call("hello", client="escape", versions=[1])

    def send(self, method, params, fds=()):
        self.last += 1
        line = json.dumps({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}).encode() + b"\n"
        if fds:
            socket.send_fds(self.socket, [line[:1]], list(fds))
            line = line[1:]
        self.socket.sendall(line)
        return self.last

    def receive(self):
        """The next message, or None at the end of the connection."""
        while b"\n" not in self.buffer:
            part = self.socket.recv(65536)
            if not part:
                return None
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def answer(self, number):
        while True:
            message = self.receive()
            if message is None:
                raise ProtocolError({"code": 0, "message": "the connection was closed"})
            if message.get("id") == number and "method" not in message:
                if "error" in message:
                    raise ProtocolError(message["error"])
                return message["result"]
            self.notifications.append(message)

    def answer_or_error(self, method, params):
        """The whole answer, whatever it is."""
        number = self.send(method, params)
        while True:
            message = self.receive()
            if message is None:
                return {"error": {"message": "the connection was closed"}}
            if message.get("id") == number:
                return message

    def call(self, method, fds=(), **params):
        return self.answer(self.send(method, params, fds))

    def notification(self, method):
        """Waits for the next one of this name."""
        while True:
            for index, message in enumerate(self.notifications):
                if message.get("method") == method:
                    return self.notifications.pop(index)["params"]
            message = self.receive()
            if message is None:
                raise ProtocolError({"code": 0, "message": "the connection was closed"})
            self.notifications.append(message)

    def close(self):
        self.socket.close()


class ProtocolError(Exception):
    def __init__(self, error):
        super().__init__(f"{error['message']} ({error['code']})")
        self.code = error["code"]


class Instance:
    """`with Instance(base, programs) as instance:` starts it, stops it and removes everything."""

    def __init__(self, base, programs, weakened=""):
        self.base = base
        self.bin = base + "/bin"
        self.home = base + "/home"
        self.state = base + "/state"
        self.files = self.home + "/files"  # what the skill "reader" may read
        self.secret = "secret-" + secrets.token_hex(12)
        self.attacks = self.bin + "/" + ATTACKS
        self.preload = self.bin + "/" + PRELOAD
        self.weakened = weakened
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.home,
            "SHARKCAGE_HOME": self.state, "LANG": "C.UTF-8",
        }  # fmt: skip
        if weakened:
            self.environment["SHARKCAGE_WEAKENED"] = weakened
        os.makedirs(self.bin)
        for name in (*PROGRAMS, ATTACKS, PRELOAD):
            shutil.copy(f"{programs}/{name}", self.bin)
        if weakened:
            shutil.copy(f"{programs}/{WEAKENED}", self.bin)
        for folder in (self.home, self.files, self.state + "/etc"):
            os.makedirs(folder)
        with open(self.state + "/etc/config.json", "w", encoding="utf-8") as stream:
            json.dump(self.configuration(), stream)
        self.dynamic = self.bin + "/printf"
        shutil.copy("/usr/bin/printf", self.dynamic)
        with open(base + "/key", "w", encoding="utf-8") as stream:
            stream.write(self.secret)
        self.client = None

    def configuration(self):
        """What techniques want hidden is protected where their scenes will be (scene.py)."""
        hidden = [f"{self.base}/scenes/{t.name}/inside/workspace/{t.hides}" for t in ALL.values() if t.hides]
        return {"limits": LIMITS, "protected_paths": hidden}

    def with_key(self):
        """What to put before a command so that it starts in a session keyring with a secret in it."""
        return [self.attacks, "with-key", KEY, self.base + "/key"]

    def start(self):
        """From a session with a key, where the kernel has keys."""
        ran = subprocess.run(
            [*self.with_key(), self.bin + "/sc", "start"], env=self.environment, check=False, capture_output=True, text=True
        )  # fmt: skip
        if ran.returncode == 4:  # no keyrings
            self.sc("start")
        elif ran.returncode != 0:
            raise RuntimeError("sc start: " + ran.stdout + ran.stderr)

    def __enter__(self):
        try:
            self.start()
            self.client = Client(self.socket())
            for name, (capabilities, limits) in SKILLS.items():
                self.add_skill(name, capabilities, limits)
            if self.weakened:
                self.take_weakened_launcher()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.client:
            self.client.close()
        subprocess.run([self.bin + "/sc", "stop"], env=self.environment, check=False, capture_output=True)

    def socket(self):
        return self.state + "/run/supervisor.sock"

    def sc(self, *arguments, check=True, text=True):
        return subprocess.run(
            [self.bin + "/sc", *arguments], env=self.environment, check=check, capture_output=True, text=text,
            timeout=START_TIME,
        )  # fmt: skip

    def take_weakened_launcher(self):
        """Behind the supervisor's back: with it from the start, the supervisor would not serve."""
        os.rename(f"{self.bin}/{WEAKENED}", self.bin + "/sharkcage-launcher")
        before = self.client.call("status.get")["processes"]["launcher"]["pid"]
        os.kill(before, signal.SIGKILL)
        end = time.monotonic() + START_TIME
        while time.monotonic() < end:
            now = self.client.call("status.get")["processes"]["launcher"]["pid"]
            if now not in (0, before):
                return
            time.sleep(0.02)
        raise RuntimeError("the launcher was not started again")

    def skill_folder(self, name):
        return f"{self.base}/skills/{name}"

    def write_skill(self, name, capabilities, limits=None, **more):
        folder = self.skill_folder(name)
        os.makedirs(folder + "/scripts")
        shutil.copy(self.attacks, folder + "/scripts/attack")
        with open(folder + "/SKILL.md", "w", encoding="utf-8") as stream:
            stream.write(f"---\nname: {name}\ndescription: attacks\n---\n# {name}\n")
        text = json.dumps(capabilities).replace("FILES", self.files)
        manifest = {"name": name, "version": "1.0.0", "description": "Attacks", "capabilities": json.loads(text)}
        if limits:
            manifest["limits"] = limits
        manifest.update(more)
        with open(folder + "/sharkcage.json", "w", encoding="utf-8") as stream:
            json.dump(manifest, stream)
        return folder

    def add_skill(self, name, capabilities, limits=None):
        folder = self.write_skill(name, capabilities, limits)
        added = self.client.call("skill.add", path=folder)
        self.client.call("skill.approve", name=name, content_digest=added["skill"]["content_digest"])
        return folder
