"""What a technique meets: a workspace, something beside it to get at, processes and listeners of the person's."""

import contextlib
import dataclasses
import fcntl
import os
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import time


@dataclasses.dataclass
class Result:
    status: int
    text: str
    late: bool  # ended by us
    seconds: float

    def line(self, word):
        """What follows `word` at the beginning of a line."""
        for line in self.text.splitlines():
            if line.startswith(word + " "):
                return line[len(word) + 1 :].strip()
        return None

    def last(self):
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1][-160:] if lines else f"status {self.status}"


class Scene:
    """`with Scene(instance, technique, inside) as scene:` plants it and clears it away."""

    def __init__(self, instance, technique, inside):
        self.instance = instance
        self.technique = technique
        self.inside = inside
        self.folder = f"{instance.base}/scenes/{technique.name}/{'inside' if inside else 'outside'}"
        self.workspace = self.folder + "/workspace"
        self.outside = self.folder + "/beside"
        self.secret = "secret-" + secrets.token_hex(12)
        self.notes = []
        self.program = self.workspace + "/attack"
        self.processes = []
        self.endings = []  # functions, last first

    def __enter__(self):
        os.makedirs(self.workspace)
        os.mkdir(self.outside)
        self.write("secret", self.secret + "\n")
        if self.technique.skill == "scoped":
            self.program = self.instance.skill_folder("scoped") + "/scripts/attack"
        else:
            self.link(self.instance.attacks, "attack")
        try:
            if self.technique.prepare:
                self.technique.prepare(self)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for ending in reversed(self.endings):
            with contextlib.suppress(OSError, ProcessLookupError):
                ending()
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdout, process.stdin):
                if stream:
                    stream.close()
        remove_tree(self.folder)

    def at_end(self, function):
        self.endings.append(function)

    # --- What is planted.

    def write(self, name, text, mode=0o644, where=None):
        """A file beside the workspace, or `where`. Returns its path."""
        path = f"{where or self.outside}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(path, mode)
        return path

    def work(self, name, text, mode=0o644):
        """A file of the workspace."""
        return self.write(name, text, mode, self.workspace)

    def link(self, program, name):
        """A program of the instance, in the workspace. Not a copy: a file that another thread's child has open for
        writing at that moment cannot be executed."""
        os.link(program, f"{self.workspace}/{name}")

    def read(self, path):
        """What a file says, or "" where there is none."""
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                return stream.read()
        except OSError:
            return ""

    def spawn(self, *argv, **options):
        """A process of the person's outside, which says one line when it is ready. Returns it and its line."""
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, env=dict(self.instance.environment, **options.pop("variables", {})),
            cwd=options.pop("cwd", self.outside), start_new_session=True, **options,
        )  # fmt: skip
        self.processes.append(process)
        return process, process.stdout.readline().decode(errors="replace").strip()

    def victim(self, *more, **options):
        """A process that holds the secret: in memory, in an open file, in its environment and its arguments."""
        variables = dict(options.pop("variables", {}), PLANTED=self.secret)
        process, line = self.spawn(
            self.instance.attacks, "victim", self.outside + "/secret", *more, variables=variables, **options
        )
        return process, line

    def listener(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, address=("127.0.0.1", 0)):
        """A server of the person's that answers with the secret and notes who came. Returns it."""
        server = Listener(self, family, kind, address)
        self.at_end(server.close)
        return server

    # --- The attack.

    def evidence(self, result):
        """How the attack got through, or None."""
        if self.secret in result.text:
            return "read the planted secret"
        return result.line("THROUGH") or (self.technique.observe and self.technique.observe(self, result))

    def run(self):
        argv = self.technique.attack(self)
        environment = dict(self.instance.environment)
        if self.technique.variables:
            environment.update(self.technique.variables(self))
        if self.inside:
            client = [self.instance.bin + "/sc", "run", "--workspace", f"{self.workspace}:{self.technique.access}"]
            if self.technique.skill:
                client += ["--skill", self.technique.skill]
            argv = [*client, "--", *argv]
        if self.technique.terminal:
            return self.on_terminal(argv, environment)
        stdin = self.technique.stdin(self) if self.technique.stdin else subprocess.DEVNULL
        start = time.monotonic()
        process = subprocess.Popen(
            argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=self.workspace,
            start_new_session=True, pass_fds=self.passed(),
        )  # fmt: skip
        self.processes.append(process)
        text, late = self.collect(process.stdout.fileno(), process)
        return Result(process.returncode, text, late, time.monotonic() - start)

    def passed(self):
        """Descriptors that the client has open, and perhaps the attack."""
        return [int(note[3:]) for note in self.notes if note.startswith("fd=")]

    def collect(self, descriptor, process):
        """All that comes until the process has ended; 64 MiB are enough."""
        end = time.monotonic() + self.technique.limit
        parts, size, late = [], 0, False
        while True:
            ended = process.poll() is not None
            ready, _, _ = select.select([descriptor], [], [], 0 if ended else 0.05)
            if ready:
                try:
                    part = os.read(descriptor, 1 << 16)
                except OSError:  # a terminal without anybody on its other side
                    part = b""
                if not part:
                    if ended:
                        break
                    time.sleep(0.01)
                elif size < 64 << 20:
                    parts.append(part)
                    size += len(part)
            elif ended:
                break
            if time.monotonic() > end:
                late = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                break
        process.wait()
        return b"".join(parts).decode(errors="replace"), late

    def on_terminal(self, argv, environment):
        """As from a shell on a terminal: what was put into its input afterwards is in the result's text."""
        master, slave = os.openpty()
        self.at_end(lambda: os.close(master))
        self.at_end(lambda: os.close(slave))
        raw = termios.tcgetattr(slave)
        raw[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(slave, termios.TCSANOW, raw)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        start = time.monotonic()
        output = subprocess.DEVNULL if self.technique.redirected else slave
        process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv], stdin=slave, stdout=output, stderr=output, env=environment,
            cwd=self.workspace,
        )  # fmt: skip
        self.processes.append(process)
        text, late = self.collect(master, process)
        os.set_blocking(slave, False)
        try:
            injected = os.read(slave, 4096).decode(errors="replace")
        except OSError:
            injected = ""
        if injected:
            text += "\nINJECTED " + injected
        return Result(process.returncode, text, late, time.monotonic() - start)


class Listener:
    def __init__(self, scene, family, kind, address):
        self.scene = scene
        self.visits = 0
        self.socket = socket.socket(family, kind)
        self.socket.bind(address)
        if kind != socket.SOCK_DGRAM:
            self.socket.listen(64)
        self.kind = kind
        self.address = self.socket.getsockname()
        self.open = True
        self.lock = threading.Lock()
        self.greeting = None  # called with each connection
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.address[1]

    def serve(self):
        while self.open:
            ready, _, _ = select.select([self.socket], [], [], 0.2)
            if not ready or not self.open:
                continue
            with self.lock, contextlib.suppress(OSError):
                self.visit()

    def visit(self):
        answer = (self.scene.secret + "\n").encode()
        if self.kind == socket.SOCK_DGRAM:
            _, peer = self.socket.recvfrom(2048)
            self.visits += 1
            if peer:
                self.socket.sendto(answer, peer)
            return
        connection, _ = self.socket.accept()
        self.visits += 1
        with connection:
            connection.settimeout(2)
            if self.greeting:
                self.greeting(connection)
            connection.sendall(answer)

    def visited(self):
        """Whether anybody came: what the kernel has queued is taken in first."""
        while True:
            with self.lock:
                if not select.select([self.socket], [], [], 0)[0]:
                    return self.visits > 0
            time.sleep(0.002)

    def close(self):
        self.open = False
        self.thread.join()
        self.socket.close()


def remove_tree(folder):
    """All of it, though somebody took rights away."""
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            path = f"{parent}/{name}"
            if not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
