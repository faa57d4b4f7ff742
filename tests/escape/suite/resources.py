"""What a command can use up: the host must stay in reach, and the command must end."""

import subprocess
import time

from suite.technique import Stopped, category, program, technique

category("resources")


def bound(name, what, *arguments, **rest):
    """As the skill "bounded" (instance.py): 96 MiB, 24 processes, 8 MiB of /tmp, 6 seconds."""
    technique(name, 2, what, skill="bounded", attack=program(*arguments), **rest)


bound("fork-bomb", "150 processes at once", "fork-bomb", lambda _: 150, layers=(("limits",),))
bound("big-file", "a file of 5 MiB", "big-file", lambda _: 5, layers=(("limits",),))
bound("many-descriptors", "200 open descriptors", "many-descriptors", lambda _: 200)
for kind, what in (("private", "memory of its own"), ("shared", "shared memory"), ("memfd", "a file in memory"),
                   ("sysv", "System V memory")):  # fmt: skip
    bound(f"memory-{kind}", f"256 MiB of {what}", "memory-bomb", lambda _, kind=kind: kind, lambda _: 256,
          endings=(137,), killed=True)  # fmt: skip
for place in ("/tmp", "/dev/shm"):
    bound(f"fill{place.replace('/', '-')}", f"16 MiB in {place}", "fill", lambda _, place=place: place, lambda _: 16,
          impossible=lambda s: "")  # fmt: skip
bound("many-files", "5,000 files in /tmp", "many-files", lambda _: "/tmp", lambda _: 5000)
bound("flood", "16 MiB of output", "flood", lambda _: 16, endings=(137, 141, 124), killed=True,
      observe=lambda s, r: "all of it came" if "flooded" in r.text else None)  # fmt: skip
bound("deaf", "every signal ignored, for longer than the call may take", "deaf", lambda _: 7, endings=(124, 137),
      killed=True, limit=15)  # fmt: skip


def host_answers(scene, inside):
    """While a bomb of processes that eat the processor goes on, another call is served."""
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do (while :; do :; done) & done; wait"
    argv = ["sh", "-c", "echo begun; " + script]
    if not inside:
        process, _ = scene.spawn(*argv, cwd=scene.workspace)
        return "sixteen busy processes run" if process.poll() is None else None
    client = [scene.instance.bin + "/sc", "run", "--workspace", scene.workspace, "--skill", "bounded", "--", *argv]
    scene.spawn(*client, cwd=scene.workspace)
    start = time.monotonic()
    scene.instance.sc("run", "--workspace", scene.workspace, "--", "true")
    took = time.monotonic() - start
    if took > 5:
        return f"another call took {took:.1f} s"
    raise Stopped(f"another call took {took * 1000:.0f} ms meanwhile")


technique("busy-processes", 2, "sixteen processes that never rest, and another call meanwhile", trial=host_answers)


def watchers(scene, inside):
    """Uses up the person's inotify instances; does anybody else get one meanwhile?"""
    argv = [scene.program, "watchers", "9"]
    if inside:
        argv = [scene.instance.bin + "/sc", "run", "--workspace", scene.workspace, "--", *argv]
    _, line = scene.spawn(*argv, cwd=scene.workspace)  # "holds N"
    probe = subprocess.run([scene.instance.attacks, "watchers", "0"], capture_output=True, text=True, check=False)
    if probe.stdout.startswith("holds 0 "):
        return f"it {line}, and nobody else gets one"
    raise Stopped(f"it {line}; others get theirs")


technique("inotify-instances", 2, "all inotify instances that the person may have", trial=watchers)


PASS_ONE = """
import array, resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
here, there = socket.socketpair()
here.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]).tobytes())])
print("passed")
"""


def in_flight(scene, inside):
    """Descriptors that nobody takes; can a program of the person's, with the usual limit, still pass one?"""
    argv = [scene.program, "in-flight", "9"]
    if inside:
        argv = [scene.instance.bin + "/sc", "run", "--workspace", scene.workspace, "--", *argv]
    _, line = scene.spawn(*argv, cwd=scene.workspace)  # "holds N"
    probe = subprocess.run(["/usr/bin/python3", "-c", PASS_ONE], capture_output=True, text=True, check=False)
    if "passed" not in probe.stdout:
        return f"it {line}, and nobody else passes one: {probe.stderr.strip().splitlines()[-1]}"
    if inside:
        scene.instance.sc("run", "--workspace", scene.workspace, "--", "true")
    raise Stopped(f"it {line}; others pass theirs")


technique("descriptors-in-flight", 2, "all descriptors on their way that the person may have", trial=in_flight,
          only="user")  # fmt: skip


def storm(place):
    def trial(scene, inside):
        """Whoever serves the place must go on: outside the kernel, inside the facade as well."""
        where = scene.outside if not inside else place or "$HOME"
        argv = ["sh", "-c", f'./attack storm "{where}" 2500']
        if not inside:
            ran = subprocess.run(argv, cwd=scene.workspace, capture_output=True, text=True, timeout=60, check=False)
            return "ten thousand operations" if "weathered" in ran.stdout else None
        ran = scene.instance.sc("run", "--workspace", scene.workspace, "--", *argv, check=False)
        if "weathered" not in ran.stdout:
            return f"the sandbox did not go on: {(ran.stdout + ran.stderr).strip()[-200:]}"
        raise Stopped("it goes on as before")

    return trial


technique("storm-on-home", 12, "a storm of operations on the private home", trial=storm(""), limit=60)
technique("storm-on-tmp", 12, "the same on /tmp", trial=storm("/tmp"), limit=60)
