"""Processes: those of the host, and those that want to outlive their call."""

import os
import signal
import subprocess
import time

from suite.technique import Stopped, category, program, shell, technique

category("processes")


def victim(scene):
    """Notes its number, the address of the secret, the descriptor that is open."""
    scene.target, line = scene.victim()
    scene.notes.extend(line.split())


def ended(scene, _):
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        if scene.target.poll() is not None:
            return f"the process outside ended by signal {-scene.target.returncode}"
        time.sleep(0.01)
    return None


for how in ("kill", "group", "tkill", "tgkill", "queue", "pidfd"):
    technique(f"signal-by-{how}", 3, f"a signal to a process outside, by {how}", prepare=victim, observe=ended,
              attack=program("signal", lambda _, how=how: how))  # fmt: skip
technique("signal-of-descriptor", 3, "a pipe that signals a process outside", prepare=victim, observe=ended,
          attack=program("signal-of-descriptor"))  # fmt: skip
technique("ptrace", 3, "a process outside, traced", prepare=victim, attack=program("ptrace"))
technique("process-vm-readv", 3, "the memory of a process outside", prepare=victim, attack=program("process-vm-readv"))
technique("proc-mem", 3, "the same by /proc/PID/mem", prepare=victim, attack=program("proc-mem"))
technique("steal-descriptor", 3, "an open file of a process outside, by pidfd_getfd", prepare=victim,
          attack=program("steal-descriptor"))  # fmt: skip


def first_process(scene):
    victim(scene)
    if scene.inside:
        scene.notes[0] = "1"


technique("inspect-first-process", 3, "memory, files and program of the sandbox's first process",
          prepare=first_process, attack=program("inspect"))  # fmt: skip
technique("write-first-process", 4, "the same, opened for writing by whoever carries that out", prepare=first_process,
          attack=program("write-into"))  # fmt: skip
technique("trace-first-process", 3, "the sandbox's first process, traced", prepare=first_process,
          attack=program("ptrace"))  # fmt: skip


def limit_changed(scene, _):
    return "the limit is 7" if "7                    7" in " ".join(
        line for line in scene.read(f"/proc/{scene.target.pid}/limits").splitlines() if "open files" in line
    ) else None  # fmt: skip


technique("limit-of-another", 3, "the resource limits of a process outside", prepare=victim, observe=limit_changed,
          attack=program("limit-of-another"))  # fmt: skip
technique("priority-of-another", 3, "priority and processors of a process outside", prepare=victim,
          observe=lambda s, _: "changed" if os.getpriority(os.PRIO_PROCESS, s.target.pid) == 19 else None,
          attack=program("priority-of-another"))  # fmt: skip


def apart(scene):
    scene.target, line = scene.spawn(scene.instance.attacks, "victim-apart", scene.outside + "/secret")
    scene.notes.append(line.split()[0])


for how in ("files", "pidfd"):
    technique(f"join-namespaces-by-{how}", 4, f"the namespaces of a process outside, by {how}", prepare=apart,
              attack=program("join-namespaces", lambda _, how=how: how))  # fmt: skip
for how in ("unshare", "clone", "clone3"):
    technique(f"new-namespace-by-{how}", 4, f"a user namespace by {how}", attack=program("new-namespace", lambda _, how=how: how),
              **({"layers": (("seccomp",),)} if how == "unshare" else {}))  # fmt: skip


# --- Staying.


def still_there(scene, _):
    """Whether the file grows, and goes on to: what ends with its call may take a moment."""
    path = scene.workspace + "/alive"
    end = time.monotonic() + 2
    while time.monotonic() < end and not os.path.exists(path):
        time.sleep(0.01)
    end = time.monotonic() + (3 if scene.inside else 0.1)
    grows = True
    while grows and time.monotonic() < end:
        before = len(scene.read(path))
        time.sleep(0.3)
        grows = len(scene.read(path)) > before
    if not grows:
        return None
    # Outside, and where the pid namespace is left out, its number is ours.
    number = scene.read(path).split()[-1]
    if "\0orphan\0" in scene.read(f"/proc/{number}/cmdline"):
        os.kill(int(number), signal.SIGKILL)
    return "a process goes on after the call"


technique("orphan", 11, "a process that leaves session, terminal and signals behind", observe=still_there,
          attack=program("orphan", lambda _: "alive"), layers=(("pids",),))  # fmt: skip
technique("outlive-by-nohup", 11, "nohup, setsid and &", observe=still_there,
          attack=shell("nohup setsid ./attack orphan alive >/dev/null 2>&1 & sleep 0.3"))  # fmt: skip


def outlive_client(scene, inside):
    """Kills the client with SIGKILL while the command runs; outside that is the shell that started it."""
    argv = [scene.program, "orphan", "alive"]
    script = '"$@" & sleep 30'
    client = ["sh", "-c", script, "sh", *argv]
    if inside:
        client = [scene.instance.bin + "/sc", "run", "--workspace", scene.workspace, "--", *client]
    process, _ = scene.spawn(*client, cwd=scene.workspace)  # "left it"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    evidence = still_there(scene, None)
    if not evidence:
        raise Stopped("everything ended with the client")
    return evidence


technique("outlive-client", 11, "the client is killed; the command goes on", trial=outlive_client)


# --- The next call, and the one beside.


def in_session(scene, inside, key, *argv, skill=None):
    if not inside:
        return list(argv)
    client = [scene.instance.bin + "/sc", "run", "--workspace", scene.workspace, "--session", scene.technique.name + key]
    return [*client, *(["--skill", skill] if skill else []), "--", *argv]


def leftovers(second):
    """One call leaves a file in /tmp and a process; another one, of another session or skill, looks for them."""

    def trial(scene, inside):
        mark = f"/tmp/{scene.secret[-10:]}"
        scene.at_end(lambda: os.unlink(mark))
        leave = f"echo {scene.secret} > {mark}; PLANTED={scene.secret} ./attack deaf 20 & echo left; wait"
        scene.spawn(*in_session(scene, inside, "-one", "sh", "-c", leave), cwd=scene.workspace)
        look = f"cat {mark}; cat /proc/[0-9]*/environ | tr '\\0' '\\n'; cat /proc/[0-9]*/root{mark}"
        ran = subprocess.run(in_session(scene, inside, *second, "sh", "-c", look, **({"skill": "reader"} if second == ("-one",) else {})),
                             cwd=scene.workspace, env=scene.instance.environment, capture_output=True, text=True, timeout=20,
                             check=False)  # fmt: skip
        if scene.secret in ran.stdout:
            return "found what the other one left"
        raise Stopped("nothing of the other one is there")

    return trial


technique("other-session", 7, "files and processes of another session's call", trial=leftovers(("-two",)))
technique("other-skill", 7, "files and processes of another skill's call in the same session", trial=leftovers(("-one",)))


def stop_parent(scene, inside):
    """Does the call end, though the process that looks after it was stopped?"""
    start = time.monotonic()
    if not inside:
        process, _ = scene.spawn("sh", "-c", './attack stop-parent; sleep 20', cwd=scene.workspace)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if scene.read(f"/proc/{process.pid}/stat").split(") ")[-1][:1] == "T":
                return "the shell that started it stands still"
            time.sleep(0.01)
        return None
    client = in_session(scene, inside, "-stop", "./attack", "stop-parent", skill="bounded")
    try:
        subprocess.run(client, cwd=scene.workspace, env=scene.instance.environment, capture_output=True, timeout=15, check=False)
    except subprocess.TimeoutExpired:
        return f"the call has not ended after {time.monotonic() - start:.0f} s, its limit is 6 s"
    raise Stopped(f"the call ended after {time.monotonic() - start:.1f} s")


technique("stop-parent", 2, "the process that looks after the command is stopped", trial=stop_parent, limit=30)


def revoked(scene, inside):
    """A process that a skill's call left in its session's sandbox goes on after the approval is revoked."""
    name = scene.technique.name
    if not inside:
        scene.spawn("./attack", "orphan", "alive", cwd=scene.workspace)
        return still_there(scene, None)
    folder = scene.instance.write_skill(name, [{"capability": "system.exec", "reason": "run"}])
    for step in (("skill", "add", folder), ("approve", name, "--yes")):
        scene.instance.sc(*step)
    ran = subprocess.run(in_session(scene, inside, "", "./attack", "orphan", "alive", skill=name), cwd=scene.workspace,
                         env=scene.instance.environment, capture_output=True, text=True, timeout=20, check=False)  # fmt: skip
    if "left it" not in ran.stdout:
        raise AssertionError(ran.stdout + ran.stderr)
    scene.instance.sc("revoke", name)
    evidence = still_there(scene, None)
    if evidence:
        return evidence
    raise Stopped("the sandbox ended with the approval")


technique("outlive-approval", 8, "a process of a skill whose approval is revoked", trial=revoked)
