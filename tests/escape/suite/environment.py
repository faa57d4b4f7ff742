"""Environment, loader, and programs that nobody approved."""

import glob
import os
import shlex
import shutil
import subprocess

from suite.confusion import Command
from suite.technique import Stopped, category, shell, technique

category("environment")



def variable(name, invariant, what, variables, argv, evidence="THROUGH", **rest):
    """Variables that a host passes with a command, or a client has; argv is what they are to change."""

    def trial(scene, inside):
        given = {key: value(scene) for key, value in variables.items()}
        if not inside:
            ran = subprocess.run(argv, env=dict(scene.instance.environment, **given), cwd=scene.workspace, text=True,
                                 capture_output=True, timeout=20, check=False)  # fmt: skip
            text = ran.stdout + ran.stderr
        else:
            command = Command(scene, shlex.join(argv))
            text = command.open(command.ticket(env=given))
        if evidence in text or scene.secret in text:
            return "the variable was obeyed" if evidence in text else "the variable was there"
        raise Stopped("the variable is not there")

    technique(name, invariant, what, trial=trial, **rest)


def workspace_file(name, text, mode=0o755):
    return lambda s: s.work(name, text, mode)


variable("loader-variable", 8, "LD_PRELOAD, from the host", {"LD_PRELOAD": lambda s: s.instance.preload}, ["sh", "-c", ":"],
         prepare=lambda s: s.link(s.instance.preload, "evil.so"))  # fmt: skip
for name in ("LD_PRELOAD", "LD_AUDIT"):
    variable(f"workspace-{name.lower().replace('_', '-')}", 8, f"{name}, a library of the workspace",
             {name: lambda s: s.workspace + "/evil.so"}, ["sh", "-c", ":"],
             prepare=lambda s: s.link(s.instance.preload, "evil.so"))  # fmt: skip
variable("shell-start-up-variable", 8, "BASH_ENV, from the host", {"BASH_ENV": lambda s: s.workspace + "/start-up"},
         ["bash", "-c", ":"], prepare=workspace_file("start-up", "echo THROUGH\n"),
         impossible=lambda s: "" if shutil.which("bash") else "there is no bash")  # fmt: skip
variable("python-variable", 8, "PYTHONPATH, from the host", {"PYTHONPATH": lambda s: s.workspace},
         ["/usr/bin/python3", "-c", "pass"], prepare=workspace_file("sitecustomize.py", "print('THROUGH')\n"),
         impossible=lambda s: "" if os.access("/usr/bin/python3", os.X_OK) else "there is no /usr/bin/python3")  # fmt: skip
variable("git-variable", 8, "GIT_EXTERNAL_DIFF, from the host", {"GIT_EXTERNAL_DIFF": lambda s: s.workspace + "/evil"},
         ["sh", "-c", "git init -q . && echo b > b && git add b && echo c > b && git diff"],
         prepare=workspace_file("evil", "#!/bin/sh\necho THROUGH\n"),
         impossible=lambda s: "" if shutil.which("git") else "there is no git")  # fmt: skip
variable("node-variable", 8, "NODE_OPTIONS, from the host", {"NODE_OPTIONS": lambda s: f"--require={s.workspace}/evil.js"},
         ["/usr/bin/node", "-e", "0"], prepare=workspace_file("evil.js", "console.log('THROUGH')\n"),
         impossible=lambda s: "" if os.access("/usr/bin/node", os.X_OK) else "there is no /usr/bin/node")  # fmt: skip
technique("secret-variable", 3, "secrets in the client's environment", attack=shell("env"),
          variables=lambda s: {"GITHUB_TOKEN": s.secret, "DATABASE_URL": s.secret})  # fmt: skip
technique("search-path", 8, "PATH in the client's environment", prepare=workspace_file("bin/true", "#!/bin/sh\necho THROUGH "
          "the workspace is in PATH\n"), attack=lambda s: ["sh", "-c", "true; env true"],
          variables=lambda s: {"PATH": s.workspace + "/bin:" + s.instance.environment["PATH"]})  # fmt: skip

# --- system.exec with a list of programs: no other file is executed.


def evil_program(scene):
    scene.evil = scene.workspace + "/evil"
    scene.link(scene.instance.attacks, "evil")


def execute(name, what, how, path=None, **rest):
    technique(name, 3, what, prepare=evil_program, skill="scoped",
              attack=lambda s: [s.program, "execute", how, path or s.evil, s.workspace if how == "copy" else "x"], **rest)  # fmt: skip


execute("program-of-workspace", "a program in the workspace", "path", layers=(("noexec", "landlock"),))
execute("program-by-link", "the same by a symbolic link", "symlink")
execute("program-by-hard-link", "the same by a hard link", "link")
execute("program-copied", "a copy that the attack makes", "copy")
execute("program-by-descriptor", "the same by execveat and a descriptor", "descriptor")
execute("program-in-memory", "a file in memory", "memory", layers=(("seccomp",),))


def evil_elsewhere(scene):
    """Where the copies go outside is cleared away again."""
    evil_program(scene)
    for place in ("/tmp", "/dev/shm", scene.instance.home):
        scene.at_end(lambda place=place: os.unlink(f"{place}/copied"))


technique("program-in-tmp", 3, "a copy in /tmp, /dev/shm and the home", prepare=evil_elsewhere, skill="scoped",
          attack=lambda s: ["sh", "-c", 'for d in /tmp /dev/shm "$HOME"; do "$1" execute copy "$2" "$d" && exit; done', "sh",
                            s.program, s.evil])  # fmt: skip


def dynamic(scene):
    """A program that needs the loader: the loader is asked to run it."""
    scene.evil = scene.workspace + "/evil"
    scene.link(scene.instance.dynamic, "evil")


technique("program-by-loader", 3, "ld.so, which runs a program without executing it", prepare=dynamic, skill="scoped",
          attack=lambda s: [s.program, "execute", "loader", s.evil], layers=(("noexec", "landlock"),), endings=(127,),
          observe=lambda s, r: None)  # fmt: skip
technique("library-of-workspace", 3, "a library in the workspace, loaded by an approved program", skill="scoped",
          prepare=lambda s: s.link(s.instance.preload, "evil.so"),
          attack=lambda s: ["sh", "-c", "LD_PRELOAD=$PWD/evil.so cat /dev/null"], layers=(("noexec",),))  # fmt: skip


def library_elsewhere(scene):
    scene.link(scene.instance.preload, "evil.so")
    scene.notes.append(f"/tmp/{scene.secret[-12:]}.so")
    scene.at_end(lambda: os.unlink(scene.notes[0]))


technique("library-copied", 3, "the same, copied to /tmp", skill="scoped", prepare=library_elsewhere,
          attack=lambda s: ["sh", "-c", 'cat evil.so > "$1"; LD_PRELOAD=$1 cat /dev/null', "sh", *s.notes])  # fmt: skip
technique("other-program", 3, "a program of the system that is not in the list", skill="scoped",
          attack=lambda s: ["sh", "-c", "uname | grep -q Linux && echo THROUGH uname and grep; id | head -c 3; printenv >/dev/null "
                            "&& echo THROUGH printenv"], endings=(126, 127))  # fmt: skip


def libc():
    """A library that is a program, too: libc says its version."""
    for path in glob.glob("/usr/lib/*-linux-gnu*/libc.so.6") + ["/usr/lib64/libc.so.6"]:
        if os.access(path, os.X_OK):
            return path
    return ""


technique("library-as-program", 3, "a library of the system, executed", skill="scoped",
          attack=lambda s: [s.program, "execute", "path", libc()],
          observe=lambda s, r: "it ran" if "GNU C Library" in r.text else None, layers=(("landlock",),),
          impossible=lambda s: "" if libc() else "libc cannot be executed here")  # fmt: skip

technique("programs-in-sight", 3, "programs that were not approved, which the loader could run", skill="scoped", limit=60,
          attack=lambda s: [s.program, "programs", "true", "cat", "ls", "sh", "dash", "bash"])  # fmt: skip
