"""A supervisor of its own with a person's home, workspaces, skills and servers, all of it thrown away afterwards."""

import http.server
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

from cases import HOME, NUMBERS, SKILLS

HERE = os.path.dirname(os.path.realpath(__file__))
# What a sandbox has for PATH.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def throwaway_directory():
    """Below the account's home where that is possible: what lies beside workspaces there is the person's, while /tmp
    is private in a sandbox. Root's sandboxes cannot use an overlay file system."""
    for parent in (pwd.getpwuid(os.geteuid()).pw_dir, os.environ.get("TMPDIR", "/tmp"), "/var/tmp"):
        if not os.access(parent, os.W_OK):
            continue
        kind = subprocess.run(["stat", "-f", "-c", "%T", parent], capture_output=True, text=True, check=False)
        if os.geteuid() == 0 and kind.stdout.strip() == "overlayfs":
            continue
        return os.path.realpath(tempfile.mkdtemp(prefix="sharkcage-refusals-", dir=parent))
    sys.exit("tests/refusals/run: there is no place for root's sandboxes: set TMPDIR to a directory on ext4, xfs or btrfs")


def write_files(folder, files):
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(path if text is None else os.path.dirname(path), exist_ok=True)
        if text is not None:
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
        if name == "bin/tool":
            os.chmod(path, 0o755)


class Greeting(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # pylint: disable=invalid-name
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"hello\n")

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


class World:
    """`with World(bin, full_home) as world:` starts it, stops it and removes everything."""

    def __init__(self, programs, full_home):
        self.programs = programs
        self.place = throwaway_directory()
        self.home = self.place + "/home"
        self.work = self.place + "/work"
        self.name = "refusals-" + secrets.token_hex(4)
        self.calls = self.place + "/calls"
        self.environment = {
            "SHARKCAGE_HOME": self.place + "/cage", "HOME": self.home, "PATH": PATH, "LANG": "C.UTF-8",
        }  # fmt: skip
        self.full_home = full_home
        self.web = None
        self.started = False

    def __enter__(self):
        try:
            os.chmod(self.place, 0o755)
            for folder in (self.home, self.work, self.place + "/cage"):
                os.mkdir(folder)
            if self.full_home:
                write_files(self.home, HOME)
            write_files(self.place, {"outside.txt": "private\n"})
            subprocess.run(["cc", "-static", "-O1", "-o", self.calls, HERE + "/calls.c"], check=True)
            self.sc("start")
            self.started = True
            self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Greeting)
            threading.Thread(target=self.web.serve_forever, daemon=True).start()
            self.add_skills()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.started:
            self.sc("stop")
        if self.web:
            self.web.shutdown()
            self.web.server_close()
        for folder, _, _ in os.walk(self.place):
            os.chmod(folder, 0o700)
        shutil.rmtree(self.place)

    def sc(self, *arguments, folder=None):
        ran = subprocess.run(
            [self.programs + "/sc", *arguments], env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, check=True, cwd=folder or self.place,
        )  # fmt: skip
        return ran.stdout

    @property
    def url(self):
        return f"http://localhost:{self.web.server_port}/"

    def add_skills(self):
        net = {"capability": "network.internal", "scope": [f"localhost:{self.web.server_port}"], "reason": "test"}
        skills = dict(SKILLS, net={"capabilities": [{"capability": "system.exec", "reason": "test"}, net]})
        for name, manifest in skills.items():
            folder = f"{self.place}/skills/{name}"
            text = json.dumps({"name": name, "version": "1.0.0", "description": "for a test", **manifest})
            write_files(folder, {"SKILL.md": f"---\nname: {name}\n---\n", "sharkcage.json": text})
            self.sc("skill", "add", folder)
            self.sc("approve", name, "--yes")

    def workspace_of(self, case):
        return f"{self.work}/{case.name}"

    def filled(self, value, case):
        """The words in braces replaced, in all strings of a value."""
        if isinstance(value, str):
            words = {
                "home": self.home, "work": self.workspace_of(case), "place": self.place, "name": self.name,
                "calls": self.workspace_of(case) + "/calls", "url": self.url if self.web else "",
            }  # fmt: skip
            words.update({name: str(number) for name, number in NUMBERS.get(os.uname().machine, {}).items()})
            for word, text in words.items():
                value = value.replace("{" + word + "}", text)
            return value
        if isinstance(value, list):
            return [self.filled(item, case) for item in value]
        if isinstance(value, dict):
            return {key: self.filled(item, case) for key, item in value.items()}
        return value

    def prepare(self, case):
        folder = self.workspace_of(case)
        os.mkdir(folder)
        write_files(folder, case.files)
        shutil.copy(self.calls, folder + "/calls")
        if case.setup:
            env = dict(self.environment, HOME=self.place + "/nobody", GIT_CONFIG_NOSYSTEM="1")
            subprocess.run(
                ["/bin/sh", "-c", case.setup], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        return folder

    def run(self, case, argv, access, timeout):
        """What `sc run --json` says: status, call, stdout, stderr."""
        folder = self.workspace_of(case)
        arguments = ["run", "--json", "--workspace", f"{folder}:{access}", "--timeout", timeout]
        if case.skill:
            arguments += ["--skill", case.skill]
        ran = subprocess.run(
            [self.programs + "/sc", *arguments, "--", *argv], env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, cwd=folder,
        )  # fmt: skip
        try:
            return json.loads(ran.stdout)
        except ValueError:
            said = ran.stderr.decode(errors="replace").strip()
            return {"status": ran.returncode, "stdout": "", "stderr": said}

    def outcomes(self):
        """By call: the outcome's record, with what was refused to processes that its command left running."""
        outcomes = {}
        for record in (json.loads(line) for line in self.sc("audit", "--all", "--json").splitlines()):
            if record["kind"] != "outcome":
                continue
            payload = outcomes.setdefault(record["call"], record)["payload"]
            if record["payload"].get("left_running"):
                payload["refused"] = payload.get("refused", []) + record["payload"].get("refused", [])
                more = payload.get("refused_more", 0) + record["payload"].get("refused_more", 0)
                payload.update({"refused_more": more} if more else {})
        return outcomes


class Server:
    """Something of the host's that listens: "unix:PATH" or "abstract:NAME"."""

    def __init__(self, address):
        kind, _, name = address.partition(":")
        self.path = name if kind == "unix" else None
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(name if kind == "unix" else "\0" + name)
        self.socket.listen()
        if self.path:
            os.chmod(self.path, 0o777)

    def close(self):
        self.socket.close()
        if self.path:
            os.unlink(self.path)
