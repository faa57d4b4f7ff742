"""Supervisor and client: forged, reused and exchanged, between a verdict and what it was given for."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time

from suite.instance import Client, ProtocolError
from suite.technique import Stopped, category, technique

category("confusion")


def connect(scene):
    connection = Client(scene.instance.socket())
    scene.at_end(connection.close)
    return connection


class Command:
    """A command that a host runs: session, verdict, ticket, start."""

    def __init__(self, scene, command, session=None, **authorize):
        self.scene = scene
        self.client = connect(scene)
        self.session = session or f"{scene.technique.name}-{os.getpid()}-{id(self)}"
        self.command = command
        self.client.call("session.open", session=self.session, workspace=scene.workspace, access="rw")
        verdict = self.client.call("tool.authorize", tool="exec", params={"command": command}, session=self.session,
                                   agent="main", run="r", call="c", prompt=False, **authorize)  # fmt: skip
        self.token = verdict.get("token")
        if verdict["verdict"] != "allow":
            raise Stopped(verdict.get("reason", verdict["verdict"]))

    def ticket(self, client=None, **other):
        params = {"session": self.session, "command": self.command, "token": self.token, "kind": "exec", "env": {},
                  "workdir": self.scene.workspace}  # fmt: skip
        params.update(other)
        return (client or self.client).call("exec.prepare", **params)["ticket"]

    def open(self, ticket, client=None, **other):
        """Runs it; returns what it says."""
        return run(client or self.client, "exec.open", dict({"ticket": ticket}, **other))


def run(client, method, params, fds=None):
    stdin, stdin_end = os.pipe()
    out, out_end = os.pipe()
    os.close(stdin_end)
    try:
        client.call(method, fds=fds or (stdin, out_end, out_end), **params)
    finally:
        os.close(stdin)
        os.close(out_end)
    with os.fdopen(out, "rb") as stream:
        text = stream.read().decode(errors="replace")
    client.notification("exec.exit")
    return text


def guarded(trial):
    """An error of the protocol is what stops a trial; without the confusion there is none."""

    def wrapper(scene, inside):
        try:
            return trial(scene, inside)
        except ProtocolError as error:
            if not inside:
                raise
            raise Stopped(str(error)) from None

    return wrapper


def confused(name, invariant, what, **rest):
    return lambda trial: technique(name, invariant, what, trial=guarded(trial),
                                   setting="the same request as it is meant", **rest)  # fmt: skip


SAY = "echo the-command-ran"


def ran(text, marker="the-command-ran"):
    if marker in text:
        return "the command ran"
    raise Stopped("the command did not run")


@confused("ticket-reused", 1, "a ticket used twice")
def _(scene, inside):
    command = Command(scene, SAY)
    ticket = command.ticket()
    text = command.open(ticket)
    return ran(command.open(ticket, connect(scene)) if inside else text)


@confused("ticket-raced", 1, "a ticket used by sixteen clients at once")
def _(scene, inside):
    command = Command(scene, "echo x >> count; " + SAY)
    ticket = command.ticket()
    if not inside:
        return ran(command.open(ticket))
    clients = [connect(scene) for _ in range(16)]

    def use(client):
        try:
            command.open(ticket, client)
        except ProtocolError:
            pass

    threads = [threading.Thread(target=use, args=(c,)) for c in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = scene.read(scene.workspace + "/count").count("x")
    if count > 1:
        return f"the command ran {count} times"
    raise Stopped(f"the command ran {count} times")


@confused("ticket-guessed", 1, "a ticket that nobody gave, and the empty one")
def _(scene, inside):
    command = Command(scene, SAY)
    ticket = command.ticket()
    if not inside:
        return ran(command.open(ticket))
    for guess in ("", "0" * len(ticket), ticket[:-1], ticket + "0", ticket.upper(), ticket[:-1] + "\u0000", "../" + ticket):
        if guess == ticket:
            continue
        try:
            return ran(command.open(guess, connect(scene)))
        except (ProtocolError, Stopped):
            continue
    raise Stopped("every guess is refused")


@confused("ticket-of-another-command", 1, "a ticket with another command line")
def _(scene, inside):
    command = Command(scene, SAY)
    ticket = command.ticket()
    argv = ["/bin/sh", "-c", SAY + "; cat ../beside/secret" if inside else SAY]
    return ran(command.open(ticket, argv=argv))


@confused("token-of-another-command", 1, "a verdict for one command, a ticket for another")
def _(scene, inside):
    command = Command(scene, SAY)
    return ran(command.open(command.ticket(command=SAY + " " if inside else SAY)))


@confused("token-of-another-directory", 1, "a verdict for one directory, a ticket for another")
def _(scene, inside):
    command = Command(scene, SAY)
    return ran(command.open(command.ticket(workdir="/tmp" if inside else scene.workspace)))


@confused("token-of-another-session", 1, "a verdict of one session, a ticket in another")
def _(scene, inside):
    command = Command(scene, SAY)
    other = Command(scene, "true")
    return ran(command.open(command.ticket(session=other.session if inside else command.session)))


@confused("token-reused", 1, "two tickets for one verdict")
def _(scene, inside):
    command = Command(scene, SAY)
    ticket = command.ticket()
    return ran(command.open(command.ticket() if inside else ticket))


@confused("no-token", 1, "a command without a verdict")
def _(scene, inside):
    command = Command(scene, SAY)
    if not inside:
        return ran(command.open(command.ticket()))
    client = connect(scene)
    params = {"session": command.session, "command": SAY, "kind": "exec", "env": {}, "workdir": scene.workspace}
    return ran(run(client, "exec.open", {"ticket": client.call("exec.prepare", **params)["ticket"]}))


@confused("bridge-with-more-rights", 7, "a bridge call that claims a skill's rights")
def _(scene, inside):
    path = f"{scene.instance.files}/{scene.technique.name}"
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(scene.secret)
    scene.at_end(lambda: os.unlink(path))
    client = connect(scene)
    if not inside:
        return run(client, "exec.run", {"argv": ["cat", path], "skill": "reader", "workdir": scene.workspace, "env": {},
                                        "workspace": {"path": scene.workspace, "access": "rw"}})  # fmt: skip
    command = Command(scene, "true")
    params = {"session": command.session, "argv": ["cat", path], "kind": "bridge", "env": {"SHARKCAGE_SKILL": "reader"}}
    text = run(client, "exec.open", {"ticket": client.call("exec.prepare", **params)["ticket"]})
    if scene.secret in text:
        return "read a skill's file"
    raise Stopped(text.strip()[-100:])


@confused("call-of-another-connection", 7, "signals to and the end of a call that another client opened")
def _(scene, inside):
    command = Command(scene, "trap 'echo the-command-ran; exit' TERM; echo > begun; while :; do sleep 0.05; done")
    ticket = command.ticket()
    text = []
    thread = threading.Thread(target=lambda: text.append(command.open(ticket)))
    thread.start()
    end = time.monotonic() + 10
    while not os.path.exists(scene.workspace + "/begun") and time.monotonic() < end:
        time.sleep(0.01)
    calls = [c["call"] for c in connect(scene).call("status.get")["calls"] if c["session"] == command.session]
    client = connect(scene)
    try:
        (client if inside else command.client).send("exec.signal", {"call": calls[0], "signal": 15})
        if inside:
            answer = client.receive()
            if "error" in answer:
                raise Stopped(answer["error"]["message"])
        thread.join(5)
        return ran("".join(text))
    finally:
        with contextlib.suppress(ProtocolError):  # it has ended
            connect(scene).call("call.cancel", call=calls[0])
        thread.join(5)


@confused("unregistered-skill", 8, "a call that names a skill nobody approved")
def _(scene, inside):
    name = "approved-not" if inside else "reader"
    if inside:
        scene.instance.write_skill(name, [{"capability": "system.files.read", "scope": [scene.instance.files], "reason": "x"}])
        connect(scene).call("skill.add", path=scene.instance.skill_folder(name))
        scene.at_end(lambda: shutil.rmtree(scene.instance.skill_folder(name)))
    return ran(run(connect(scene), "exec.run", {
        "argv": ["sh", "-c", SAY], "skill": name, "workdir": scene.workspace, "env": {},
        "workspace": {"path": scene.workspace, "access": "rw"}}))  # fmt: skip


@confused("skill-changed-after-approval", 8, "a program of a skill, exchanged after its approval")
def _(scene, inside):
    name = scene.technique.name + ("-in" if inside else "-out")
    folder = scene.instance.write_skill(name, [{"capability": "system.exec", "scope": ["true"], "reason": "run"}])
    script = folder + "/scripts/run.sh"
    with open(script, "w", encoding="utf-8") as stream:
        stream.write("#!/bin/sh\necho approved-text\n")
    os.chmod(script, 0o755)
    client = connect(scene)
    added = client.call("skill.add", path=folder)
    client.call("skill.approve", name=name, content_digest=added["skill"]["content_digest"])
    with open(script, "w", encoding="utf-8") as stream:
        stream.write("#!/bin/sh\n" + SAY + "\n")
    if not inside:
        return ran(os.popen(script).read())
    return ran(run(client, "exec.run", {"argv": [script], "skill": name, "workdir": scene.workspace, "env": {},
                                        "workspace": {"path": scene.workspace, "access": "rw"}}))  # fmt: skip


@confused("skill-changed-after-ticket", 8, "a program of a skill, exchanged between ticket and start")
def _(scene, inside):
    name = scene.technique.name + ("-in" if inside else "-out")
    folder = scene.instance.write_skill(name, [{"capability": "system.exec", "scope": ["true"], "reason": "run"}])
    script = folder + "/scripts/run.sh"
    with open(script, "w", encoding="utf-8") as stream:
        stream.write("#!/bin/sh\necho approved-text\n")
    os.chmod(script, 0o755)
    client = connect(scene)
    added = client.call("skill.add", path=folder)
    client.call("skill.approve", name=name, content_digest=added["skill"]["content_digest"])
    command = Command(scene, script)
    ticket = command.ticket()
    with open(script, "w", encoding="utf-8") as stream:
        stream.write("#!/bin/sh\n" + SAY + "\n")
    return ran(command.open(ticket) if inside else os.popen(script).read())


@confused("workspace-exchanged", 13, "the workspace becomes a link between verdict and start")
def _(scene, inside):
    command = Command(scene, "cat secret")
    ticket = command.ticket()
    os.rename(scene.workspace, scene.workspace + "-gone")
    os.symlink(scene.outside, scene.workspace)
    scene.at_end(lambda: (os.unlink(scene.workspace), os.rename(scene.workspace + "-gone", scene.workspace)))
    text = command.open(ticket) if inside else os.popen(f"cd {scene.workspace}; cat secret").read()
    if scene.secret in text:
        return "read the secret through the link"
    raise Stopped(text.strip()[-100:] or "no sandbox was made")


@confused("workspace-raced", 13, "the workspace is exchanged for a link again and again while calls start", limit=60)
def _(scene, inside):
    if not inside:
        os.rename(scene.workspace, scene.workspace + "-gone")
        os.symlink(scene.outside, scene.workspace)
        text = os.popen(f"cat {scene.workspace}/secret").read()
        os.unlink(scene.workspace)
        os.rename(scene.workspace + "-gone", scene.workspace)
        return "read the secret through the link" if scene.secret in text else None
    link = scene.folder + "/link"
    os.symlink(scene.outside, link)
    racer, _line = scene.spawn("/usr/bin/env", "sh", "-c", 'echo ready; "$1" swap-forever "$2" "$3"', "sh",
                               scene.instance.attacks, scene.workspace, link)  # fmt: skip
    tried, text = 0, ""
    end = time.monotonic() + 4
    while time.monotonic() < end and scene.secret not in text:
        try:
            text = run(Client(scene.instance.socket()), "exec.run", {
                "argv": ["cat", "secret"], "workdir": scene.workspace, "env": {},
                "workspace": {"path": scene.workspace, "access": "rw"}})  # fmt: skip
        except ProtocolError:
            pass
        tried += 1
    racer.kill()
    racer.wait()
    if os.path.islink(scene.workspace):
        os.rename(scene.workspace, link + "-other")
        os.rename(link, scene.workspace)
    if scene.secret in text:
        return "read the secret through the link"
    raise Stopped(f"not once in {tried} calls")


def in_directory(scene, inside, directory):
    """exec.run in a working directory; outside the same directory in a plain process."""
    fd = os.open(scene.outside, os.O_RDONLY)
    scene.at_end(lambda: os.close(fd))
    if not inside:
        return "read the secret" if scene.secret in os.popen(f"cd /proc/{os.getpid()}/fd/{fd} && cat secret").read() else None
    text = run(connect(scene), "exec.run", {
        "argv": ["cat", "secret"], "workdir": directory.replace("N", str(fd)).replace("SELF", str(os.getpid())), "env": {},
        "workspace": {"path": scene.workspace, "access": "rw"}})  # fmt: skip
    if scene.secret in text:
        return "read the secret"
    raise Stopped(text.strip()[-100:])


confused("directory-by-descriptor", 3, "a working directory in /proc/self/fd")(
    lambda s, inside: first_evidence(s, inside, [f"/proc/self/fd/{n}" for n in range(0, 40)]))  # fmt: skip
confused("directory-of-another", 3, "a working directory in another process's /proc")(
    lambda s, inside: first_evidence(s, inside, ["/proc/SELF/fd/N", "/proc/1/cwd", "/proc/SELF/root" + s.outside,
                                                 "/proc/self/cwd/../beside", s.workspace + "/../beside"]))  # fmt: skip


def first_evidence(scene, inside, directories):
    stopped = ""
    for directory in directories:
        try:
            return in_directory(scene, inside, directory)
        except (Stopped, ProtocolError) as error:
            stopped = str(error)
    raise Stopped(stopped)


def streams(scene, fds):
    return run(connect(scene), "exec.run", {
        "argv": ["cat", "/proc/self/fd/0/secret", "/proc/self/fd/0"], "workdir": scene.workspace, "env": {},
        "workspace": {"path": scene.workspace, "access": "rw"}}, fds)  # fmt: skip


def passed(name, what, make):
    @confused(name, 3, what)
    def _(scene, inside):
        fd = make(scene)
        number = fd if isinstance(fd, int) else fd.fileno()
        if not inside:
            text = subprocess.run(["cat", "/proc/self/fd/0/secret", "/proc/self/fd/0"], stdin=number, capture_output=True,
                                  text=True, timeout=10, check=False).stdout  # fmt: skip
            return "read by the descriptor" if scene.secret in text else None
        read, write = os.pipe()
        try:
            text = streams(scene, (number, write, write))
        finally:
            os.close(read)
            os.close(write)
        if scene.secret in text:
            return "read by the descriptor"
        raise Stopped(text[-100:])


def kept(scene, fd):
    scene.at_end(lambda: os.close(fd))
    return fd


passed("pass-directory", "a directory as standard input of a request", lambda s: kept(s, os.open(s.outside, os.O_RDONLY)))
passed("pass-path-descriptor", "one that was opened with O_PATH", lambda s: kept(s, os.open(s.outside, os.O_PATH)))
passed("pass-file", "a regular file", lambda s: kept(s, os.open(s.outside + "/secret", os.O_RDONLY)))


@confused("forged-notifications", 2, "frames that look like the supervisor's own")
def _(scene, inside):
    """A host that is told by a frame on its own connection; answers are only what the supervisor sends."""
    command = Command(scene, SAY)
    if not inside:
        return ran(command.open(command.ticket()))
    client = connect(scene)
    for method, params in (("exec.started", {"call": "x"}), ("exec.exit", {"call": "x", "exit": 0}),
                           ("approval.resolve", {"request": "x", "token": command.token, "decision": "allow-always"}),
                           ("tool.authorize", {"verdict": "allow"}), ("exec.open", {"ticket": {"b64": "AAAA"}}),
                           ("exec.open", {"ticket": None}), ("exec.run", {"argv": []}), ("skill.approve", {"name": "*"})):  # fmt: skip
        answer = client.answer_or_error(method, params)
        if "error" not in answer:
            return f"{method} was answered by {json.dumps(answer)[:80]}"
    raise Stopped("each is refused, and the connection goes on")


@confused("broken-frames", 12, "frames that are cut, too long, too deep, or no text")
def _(scene, inside):
    frames = [b"{", b"\x00\xff\n", b"[" * 100000 + b"\n", b'{"jsonrpc":"2.0","id":1,"method":"exec.run","params":' + b'{"a":' * 200
              + b"1" + b"}" * 201 + b"\n", b"x" * (9 << 20) + b"\n", b"\n" * 1000,
              b'{"jsonrpc":"2.0","id":{},"method":"hello"}\n', b'{"jsonrpc":"2.0","id":1,"id":2,"method":"exec.run"}\n']  # fmt: skip
    if not inside:
        # A reader without limits takes all of it.
        return f"{sum(map(len, frames))} bytes were read" if b"".join(frames) else None
    before = connect(scene).call("status.get")["pid"]
    for frame in frames:
        client = Client(scene.instance.socket(), greet=False)
        try:
            client.socket.sendall(frame)
            client.socket.shutdown(socket.SHUT_WR)
            while client.socket.recv(65536):
                pass
        except OSError:
            pass
        client.close()
    status = connect(scene).call("status.get")
    if status["pid"] != before:
        return "the supervisor is another one"
    raise Stopped("the supervisor answers as before")


@confused("answer-in-the-hosts-name", 1, "a request that waits for a person, answered by another connection")
def _(scene, inside):
    name = scene.technique.name + ("-in" if inside else "-out")
    folder = scene.instance.write_skill(name, [{"capability": "system.exec", "scope": ["true"], "reason": "run"}])
    client = connect(scene)
    client.call("skill.add", path=folder)
    client.call("session.open", session=name, workspace=scene.workspace, access="rw")
    verdict = client.call("tool.authorize", tool="exec", params={"command": folder + "/scripts/attack say"}, session=name,
                          agent="main", run="r", call="c", prompt=True)  # fmt: skip
    if verdict["verdict"] != "ask":
        raise AssertionError(f"the verdict is {verdict}")
    request = verdict["approval"]["request"]
    token = verdict["token"] if not inside else "0" * len(verdict["token"])
    answer = client.call("approval.resolve", request=request, token=token, decision="allow-once")
    if answer["verdict"] == "allow":
        return "it was answered"
    raise Stopped(answer.get("reason", "block"))


@confused("run-before-the-answer", 1, "a ticket for a call that still waits for a person")
def _(scene, inside):
    name = scene.technique.name + ("-in" if inside else "-out")
    folder = scene.instance.write_skill(name, [{"capability": "system.exec", "scope": ["true"], "reason": "run"}])
    client = connect(scene)
    client.call("skill.add", path=folder)
    client.call("session.open", session=name, workspace=scene.workspace, access="rw")
    command = folder + "/scripts/attack say"
    verdict = client.call("tool.authorize", tool="exec", params={"command": command}, session=name, agent="main", run="r",
                          call="c", prompt=True)  # fmt: skip
    if not inside:
        client.call("approval.resolve", request=verdict["approval"]["request"], token=verdict["token"], decision="allow-once")
    ticket = client.call("exec.prepare", session=name, command=command, token=verdict["token"], kind="exec", env={},
                         workdir=scene.workspace)["ticket"]  # fmt: skip
    return ran(run(client, "exec.open", {"ticket": ticket}), "THROUGH")


def protected_grant(scene, inside):
    """A directory that was approved becomes a link to credentials before the call."""
    place = scene.instance.home + "/granted-" + ("in" if inside else "out")
    target = scene.instance.home + "/.ssh"
    scene.write(scene.technique.name, scene.secret, where=target)
    os.makedirs(place)
    name = scene.technique.name + ("-in" if inside else "-out")
    folder = scene.instance.write_skill(name, [{"capability": "system.files.read", "scope": [place], "reason": "read"},
                                               {"capability": "system.exec", "reason": "run"}])  # fmt: skip
    client = connect(scene)
    added = client.call("skill.add", path=folder)
    client.call("skill.approve", name=name, content_digest=added["skill"]["content_digest"])
    os.rmdir(place)
    os.symlink(target, place)
    scene.at_end(lambda: (os.unlink(place), os.unlink(f"{target}/{scene.technique.name}")))
    if not inside:
        return "read the key" if scene.secret in os.popen(f"cat {place}/{scene.technique.name}").read() else None
    text = run(client, "exec.run", {"argv": ["cat", f"{place}/{scene.technique.name}"], "skill": name, "workdir": scene.workspace, "env": {},
                                    "workspace": {"path": scene.workspace, "access": "rw"}})  # fmt: skip
    if scene.secret in text:
        return "read the key"
    raise Stopped(text.strip()[-100:])


confused("grant-becomes-a-link", 5, "an approved directory that becomes a link to the person's keys")(protected_grant)


@confused("grant-over-credentials", 5, "a skill that asks for the home, with the keys in it")
def _(scene, inside):
    name = scene.technique.name + ("-in" if inside else "-out")
    scope = [scene.instance.home] if inside else [scene.instance.files]
    folder = scene.instance.write_skill(name, [{"capability": "system.files.read", "scope": scope, "reason": "read"}])
    scene.write(scene.technique.name, scene.secret, where=scene.instance.home + "/.ssh")
    client = connect(scene)
    added = client.call("skill.add", path=folder)
    client.call("skill.approve", name=name, content_digest=added["skill"]["content_digest"])
    return "it was approved"


@confused("protected-workspace", 5, "the person's keys as a workspace")
def _(scene, inside):
    place = scene.instance.home + "/.ssh" if inside else scene.workspace
    scene.write(scene.technique.name, "the-command-ran", where=place)
    return ran(run(connect(scene), "exec.run", {"argv": ["cat", scene.technique.name], "workdir": place, "env": {},
                                                "workspace": {"path": place, "access": "ro"}}))  # fmt: skip
