"""What is refused, and the record that must tell it.

Each case is a command in a sandbox of its own and the list of what its outcome must say was refused: all of it, and
nothing else. In commands, paths and files these words stand for places of the run:

  {home}     the person's home, with things in it; private in the sandbox, so that none of them are there
  {work}     the case's workspace
  {place}    the directory above both, which a sandbox does not show
  {calls}    the static program made of calls.c
  {name}     a name that nobody else has
"""

from dataclasses import dataclass, field

PYTHON = "/usr/bin/python3"


@dataclass
class Case:
    name: str
    language: str
    argv: list
    refused: list
    skill: str = ""  # of SKILLS; without one the agent's own policy
    access: str = "rw"  # of the workspace
    timeout: str = "30s"
    files: dict = field(default_factory=dict)  # in the workspace, before; text, or None for a directory
    setup: str = ""  # a shell line in the workspace, outside, before
    needs: list = field(default_factory=list)  # programs; without them the case is left out
    server: str = ""  # something of the host's that listens meanwhile: "unix:PATH" or "abstract:NAME"
    as_well: list = field(default_factory=list)  # records that may appear, because versions of a program differ


def entry(operation, member, target, program, count, to=None):
    expected = {"operation": operation, member: target}
    if to is not None:
        expected["to"] = to
    if program is not None:
        expected["program"] = program
    if count is not None:
        expected["count"] = count
    return expected


def on_path(operation):
    return lambda path, program, count=1: entry(operation, "path", path, program, count)


def on_paths(operation):
    return lambda path, to, program, count=1: entry(operation, "path", path, program, count, to)


def on_address(operation):
    return lambda address, program, count=1: entry(operation, "address", address, program, count)


read, list_, stat, access = on_path("read"), on_path("list"), on_path("stat"), on_path("access")
write, create, delete, execute = on_path("write"), on_path("create"), on_path("delete"), on_path("execute")
rename, link = on_paths("rename"), on_paths("link")
connect, bind = on_address("connect"), on_address("bind")


def system_call(name, program, count=1):
    return entry("system call", "call", name, program, count)


def limit(name):
    """How often a limit is hit depends on the machine's pace; a limit of the whole call has no program."""
    return entry("limit", "limit", name, None, None)


# Skills that cases run as: what their manifests ask for, and the limits.
ANY = {"capability": "system.exec", "reason": "test"}


def programs(*names):
    return {"capability": "system.exec", "scope": list(names), "reason": "test"}


SKILLS = {
    "scoped-cat": {"capabilities": [programs("cat")]},
    "scoped-python": {"capabilities": [programs("python3")]},
    "scoped-node": {"capabilities": [programs("node")]},
    "small-memory": {"capabilities": [ANY], "limits": {"memory": "128M"}},
    "few-processes": {"capabilities": [ANY], "limits": {"pids": 16}},
    "small-files": {"capabilities": [ANY], "limits": {"file_size": "1M"}},
    "few-files": {"capabilities": [ANY], "limits": {"open_files": 32}},
    "little-output": {"capabilities": [ANY], "limits": {"output": "64K"}},
    "short": {"capabilities": [ANY], "limits": {"wall": "1s"}},
}

# The home outside. Nothing that every shell or git would look for on its own: what they find missing was refused,
# and a case says so where it is wanted.
HOME = {
    ".ssh/id_rsa": "the key\n",
    ".ssh/authorized_keys": "",
    ".aws/credentials": "the secret\n",
    ".netrc": "machine x login y\n",
    ".gnupg/private-keys-v1.d/key": "",
    ".kube/config": "the cluster\n",
    ".config/gh/hosts.yml": "the token\n",
    ".docker/config.json": "{}\n",
    ".python_history": "",
    "notes.txt": "private\n",
    "letter with a space.txt": "private\n",
    "grüße.txt": "private\n",
    "patch.diff": "",
    "settings.ini": "[a]\nb = c\n",
    "Documents/letter.txt": "private\n",
    "Documents/taxes/2025.txt": "private\n",
    "lib/mine.py": "x = 1\n",
    "lib/mine.js": "module.exports = 1\n",
    "bin/tool": "#!/bin/sh\necho tool\n",
    "data.db": "",
    ".gitconfig": "[user]\n\tname = Ada\n\temail = ada@a.example\n[core]\n\teditor = vi\n",
    ".config/git/config": "",
    ".config/git/ignore": "",
    ".config/git/attributes": "",
    ".npm/_update-notifier-last-checked": "",
}


def sh(name, script, refused, **more):
    return Case(name, "shell", ["/bin/sh", "-c", script], refused, **more)


def bash(name, script, refused, **more):
    return Case(name, "shell", ["/bin/bash", "-c", script], refused, needs=["bash"], **more)


def python(name, code, refused, **more):
    """`code` may fail: the record tells."""
    code = "import os, socket, subprocess, shutil, pathlib\ntry:\n" + "".join(
        f"  {line}\n" for line in code.splitlines()
    )
    code += "except (OSError, MemoryError, subprocess.SubprocessError, shutil.Error, ImportError) as e: print(e)\n"
    return Case(name, "python", [PYTHON, "-I", "-S", "-c", code], refused, needs=["python3"], **more)


def node(name, code, refused, **more):
    code = f"const fs = require('fs');\n(async () => {{ {code} }})().catch((e) => console.log(e.message));"
    return Case(name, "node", ["node", "-e", code], refused, needs=["node"], **more)


def git(name, arguments, refused, **more):
    script = f"git {arguments}; true"
    return Case(name, "git", ["/bin/sh", "-c", script], refused, needs=["git"], setup="git init -q .", **more)


def static(name, words, refused, **more):
    return Case(name, "C", ["{calls}", *words.split()], refused, **more)


def start(name, argv, refused, **more):
    return Case(name, "start", argv, refused, **more)


SHELL = [
    sh("cat-key", "cat ~/.ssh/id_rsa", [read("{home}/.ssh/id_rsa", "cat")]),
    sh("cat-twice", "cat ~/.aws/credentials; cat ~/.aws/credentials; true", [read("{home}/.aws/credentials", "cat", 2)]),
    sh("two-programs", "cat ~/.netrc; head ~/.netrc; true", [read("{home}/.netrc", "cat"), read("{home}/.netrc", "head")]),
    sh("two-files", "cat ~/notes.txt ~/.kube/config",
       [read("{home}/notes.txt", "cat"), read("{home}/.kube/config", "cat")]),
    sh("space-in-name", "cat ~/'letter with a space.txt'", [read("{home}/letter with a space.txt", "cat")]),
    sh("umlaut-in-name", "cat ~/grüße.txt", [read("{home}/grüße.txt", "cat")]),
    sh("one-there-one-not", "cat mine ~/notes.txt ~/nothing", [read("{home}/notes.txt", "cat")], files={"mine": "x"}),
    sh("redirected-input", "cat < ~/notes.txt", [read("{home}/notes.txt", "sh")]),
    sh("sourced", ". ~/Documents/letter.txt", [read("{home}/Documents/letter.txt", "sh")]),
    sh("relative", "cd ../.. ; cat home/notes.txt", [read("{home}/notes.txt", "cat")]),
    sh("dot-dot", "cat {work}/../../home/notes.txt", [read("{home}/notes.txt", "cat")]),
    sh("link-that-leads-out", "ln -s {home}/notes.txt link; cat link", [read("{home}/notes.txt", "cat")]),
    sh("shadow", "cat /etc/shadow", [read("/etc/shadow", "cat")]),
    sh("package-list", "cat /var/lib/dpkg/status", [read("/var/lib/dpkg/status", "cat")], needs=["dpkg"]),
    sh("beside-the-home", "cat {place}/outside.txt", [read("{place}/outside.txt", "cat")]),
    sh("grep", "grep -s secret ~/.aws/credentials", [read("{home}/.aws/credentials", "grep")]),
    sh("ls-directory", "ls ~/Documents", [stat("{home}/Documents", "ls", 2)]),
    sh("stat", "stat ~/.gnupg", [stat("{home}/.gnupg", "stat")]),
    sh("find", "find ~/Documents/taxes", [stat("{home}/Documents/taxes", "find")]),
    sh("copy-from", "cp ~/notes.txt .", [stat("{home}/notes.txt", "cp")]),
    sh("test-exists", "[ -e ~/.kube/config ]", [stat("{home}/.kube/config", "sh")]),
    sh("test-readable", "[ -r ~/.kube/config ]", [access("{home}/.kube/config", "sh")]),
    sh("move-from", "mv ~/notes.txt stolen", [stat("{home}/notes.txt", "mv")]),
    sh("change-directory", "cd ~/Documents", [access("{home}/Documents", "sh")]),
    sh("readlink", "readlink -e ~/Documents/letter.txt; true", [stat("{home}/Documents", "readlink")]),
    sh("overwrite-key", "echo x > ~/.ssh/id_rsa", [write("{home}/.ssh/id_rsa", "sh")]),
    sh("add-key", "echo x > ~/.ssh/new_key", [create("{home}/.ssh/new_key", "sh")]),
    sh("write-to-usr", "echo x > /usr/bin/{name}", [create("/usr/bin/{name}", "sh")]),
    sh("append-to-hosts", "echo x >> /etc/hosts", [write("/etc/hosts", "sh")]),
    sh("touch", "touch /usr/share/{name}", [create("/usr/share/{name}", "touch")]),
    sh("directory-in-root", "mkdir /{name}", [create("/{name}", "mkdir")]),
    sh("delete-program", "rm -f /usr/bin/env", [delete("/usr/bin/env", "rm")]),
    sh("delete-directory", "rmdir /usr/share/doc", [delete("/usr/share/doc", "rmdir")]),
    sh("move-program", "mv -f /usr/bin/env /usr/bin/{name}", [rename("/usr/bin/env", "/usr/bin/{name}", "mv")]),
    sh("mode-of-program", "chmod 700 /usr/bin/env", [write("/usr/bin/env", "chmod")]),
    sh("read-only-workspace", "echo x > new; cat old", [create("{work}/new", "sh")], access="ro", files={"old": "x"}),
    sh("delete-in-read-only", "rm -f old", [delete("{work}/old", "rm")], access="ro", files={"old": "x"}),
    sh("tool-in-home", "~/bin/tool; true", [execute("{home}/bin/tool", "sh")]),
    sh("envrc", "echo x > .envrc", [create("{work}/.envrc", "sh")]),
    sh("editor-settings", "mkdir .vscode", [create("{work}/.vscode", "mkdir")]),
    sh("renamed-to-startup-file", "mv good .bashrc", [rename("{work}/good", "{work}/.bashrc", "mv")], files={"good": "x"}),
    sh("linked-to-agent-settings", "ln good .mcp.json", [link("{work}/good", "{work}/.mcp.json", "ln")],
       files={"good": "x"}),
    sh("unapproved-program", "/usr/bin/sort old; true", [execute("/usr/bin/sort", "sh")], skill="scoped-cat",
       files={"old": "x"}),
    sh("copied-program", "{calls} list . ; true", [execute("{calls}", "sh")], skill="scoped-cat"),
    bash("bash-connects", "exec 3<>/dev/tcp/93.184.216.34/80", [connect("93.184.216.34:80", "bash")]),
    sh("curl-around-the-proxy", "curl -sS --noproxy '*' -m 5 http://93.184.216.34/; true",
       [connect("93.184.216.34:80", "curl")], needs=["curl"]),
    sh("unshare", "unshare -U true", [system_call("unshare", "unshare")]),
    sh("mount", "mount -t tmpfs x . ; true", [system_call("mount", "mount")],
       as_well=[system_call("fsopen", "mount"), create("/run/mount", "mount")]),
    sh("host-name", "hostname {name}", [system_call("sethostname", "hostname")], needs=["hostname"]),
    sh("set-user-id", "chmod u+s good", [system_call("fchmodat", "chmod")], files={"good": "x"}),
]  # fmt: skip

PYTHONS = [
    python("py-open", "open('{home}/.netrc')", [read("{home}/.netrc", "python3")]),
    python("py-pathlib", "pathlib.Path('{home}/notes.txt').read_text()", [read("{home}/notes.txt", "python3")]),
    python("py-listdir", "os.listdir('{home}/Documents')", [list_("{home}/Documents", "python3")]),
    python("py-scandir", "list(os.scandir('{home}/.ssh'))", [list_("{home}/.ssh", "python3")]),
    python("py-stat", "os.stat('{home}/.aws')", [stat("{home}/.aws", "python3")]),
    python("py-exists", "os.path.exists('{home}/.gnupg')\nos.path.exists('{home}/no')", [stat("{home}/.gnupg", "python3")]),
    python("py-access", "os.access('{home}/.kube/config', os.R_OK)", [access("{home}/.kube/config", "python3")]),
    python("py-write", "open('/usr/lib/{name}', 'w')", [create("/usr/lib/{name}", "python3")]),
    python("py-append", "open('/etc/hosts', 'a')", [write("/etc/hosts", "python3")]),
    python("py-rename", "os.rename('/usr/bin/env', '/usr/bin/{name}')",
           [rename("/usr/bin/env", "/usr/bin/{name}", "python3")]),
    python("py-unlink", "os.unlink('/usr/bin/env')", [delete("/usr/bin/env", "python3")]),
    python("py-hidden-unlink", "os.unlink('{home}/notes.txt')", [delete("{home}/notes.txt", "python3")]),
    python("py-hidden-rename", "os.rename('{home}/notes.txt', '{home}/stolen')",
           [rename("{home}/notes.txt", "{home}/stolen", "python3")]),
    python("py-chdir", "os.chdir('{home}/Documents')", [access("{home}/Documents", "python3")]),
    python("py-glob", "import glob\nglob.glob('{home}/.ssh/*')", [list_("{home}/.ssh", "python3")]),
    python("py-rmtree", "shutil.rmtree('{home}/Documents')", [stat("{home}/Documents", "python3")]),
    python("py-mkdir", "os.mkdir('/opt-{name}')", [create("/opt-{name}", "python3")]),
    python("py-link", "os.link('{work}/good', '{work}/.envrc')", [link("{work}/good", "{work}/.envrc", "python3")],
           files={"good": "x"}),
    python("py-truncate", "os.truncate('/usr/bin/env', 0)", [write("/usr/bin/env", "python3")]),
    python("py-execute", "subprocess.run(['{home}/bin/tool'])", [execute("{home}/bin/tool", "python3")]),
    python("py-unapproved-program", "subprocess.run(['/usr/bin/sort', '/dev/null'])",
           [execute("/usr/bin/sort", "python3")], skill="scoped-python"),
    python("py-connect", "socket.create_connection(('93.184.216.34', 443), 5)",
           [connect("93.184.216.34:443", "python3")]),
    python("py-connect-6", "socket.create_connection(('2606:2800:220:1::1', 443), 5)",
           [connect("[2606:2800:220:1::1]:443", "python3")]),
    python("py-metadata", "socket.create_connection(('169.254.169.254', 80), 5)",
           [connect("169.254.169.254:80", "python3")]),
    python("py-host-socket", "socket.socket(socket.AF_UNIX).connect('{work}/host.sock')",
           [connect("{work}/host.sock", "python3")], server="unix:{work}/host.sock"),
    python("py-hidden-socket", "socket.socket(socket.AF_UNIX).connect('{place}/hidden.sock')",
           [connect("{place}/hidden.sock", "python3")], server="unix:{place}/hidden.sock"),
    python("py-many", "for i in range(200):\n  os.path.exists('{home}/.ssh/id_rsa')",
           [stat("{home}/.ssh/id_rsa", "python3", 200)]),
    python("py-in-a-thread",
           "import threading\nt = threading.Thread(target=lambda: os.path.exists('{home}/notes.txt'))\nt.start()\nt.join()",
           [stat("{home}/notes.txt", "python3")]),
]  # fmt: skip

NODES = [
    node("js-read", "fs.readFileSync('{home}/.netrc')", [read("{home}/.netrc", "node")]),
    node("js-read-async", "await fs.promises.readFile('{home}/.aws/credentials')", [read("{home}/.aws/credentials", "node")]),
    node("js-stat", "fs.statSync('{home}/Documents')", [stat("{home}/Documents", "node")]),
    node("js-access", "fs.accessSync('{home}/notes.txt')", [access("{home}/notes.txt", "node")]),
    node("js-list", "fs.readdirSync('{home}/.ssh')", [list_("{home}/.ssh", "node")]),
    node("js-write", "fs.writeFileSync('/usr/lib/{name}', 'x')", [create("/usr/lib/{name}", "node")]),
    node("js-rename", "fs.renameSync('{work}/good', '{work}/.envrc')", [rename("{work}/good", "{work}/.envrc", "node")],
         files={"good": "x"}),
    node("js-unlink", "await fs.promises.unlink('/usr/bin/env')", [delete("/usr/bin/env", "node")]),
    node("js-hidden-unlink", "fs.unlinkSync('{home}/notes.txt')", [delete("{home}/notes.txt", "node")]),
    node("js-hidden-rename", "await fs.promises.rename('{home}/notes.txt', '{home}/stolen')",
         [rename("{home}/notes.txt", "{home}/stolen", "node")]),
    node("js-mkdir", "fs.mkdirSync('/usr/{name}')", [create("/usr/{name}", "node")]),
    node("js-spawn", "require('child_process').spawnSync('{home}/bin/tool')", [execute("{home}/bin/tool", "node")]),
    node("js-connect",
         "await new Promise((done) => require('net').connect(443, '93.184.216.34').on('error', done).on('connect', done))",
         [connect("93.184.216.34:443", "node")]),
]  # fmt: skip

GITS = [
    git("git-hash", "hash-object {home}/notes.txt", [read("{home}/notes.txt", "git")]),
    git("git-config-file", "config -f {home}/settings.ini -l", [read("{home}/settings.ini", "git")]),
    git("git-apply", "apply {home}/patch.diff", [read("{home}/patch.diff", "git")]),
    git("git-init-in-usr", "init -q /usr/{name}", [create("/usr/{name}", "git")]),
    git("git-hook", "status >/dev/null; echo x > .git/hooks/pre-commit", [create("{work}/.git/hooks/pre-commit", "sh")]),
    git("git-new-repository-hooks", "init -q new; mkdir new/.git/hooks", [create("{work}/new/.git/hooks", "mkdir")]),
    git("git-config-by-hand", "status >/dev/null; echo x >> .git/config", [write("{work}/.git/config", "sh")]),
]  # fmt: skip

STATICS = [
    static("c-open", "open {home}/.ssh/id_rsa", [read("{home}/.ssh/id_rsa", "calls")]),
    static("c-open-write", "open /etc/hosts write", [write("/etc/hosts", "calls")]),
    static("c-open-both", "open /usr/bin/env both", [write("/usr/bin/env", "calls")]),
    static("c-open-truncate", "open /usr/bin/env write,truncate", [write("/usr/bin/env", "calls")]),
    static("c-open-create", "open /usr/{name} write,create", [create("/usr/{name}", "calls")]),
    static("c-open-below", "open-below {place} outside.txt", [read("{place}/outside.txt", "calls")]),
    static("c-often", "open-often {home}/notes.txt 1000", [read("{home}/notes.txt", "calls", 1000)]),
    static("c-thread", "open-in-thread {home}/notes.txt", [read("{home}/notes.txt", "calls")]),
    static("c-orphan", "open-in-orphan {home}/notes.txt", [read("{home}/notes.txt", "calls")]),
    static("c-stat", "stat {home}/.aws/credentials", [stat("{home}/.aws/credentials", "calls")]),
    static("c-lstat", "lstat {home}/.aws/credentials", [stat("{home}/.aws/credentials", "calls")]),
    static("c-statx", "statx {home}/.aws/credentials", [stat("{home}/.aws/credentials", "calls")]),
    static("c-access", "access {home}/.kube/config 4", [access("{home}/.kube/config", "calls")]),
    static("c-access2", "access2 {home}/.kube/config 4", [access("{home}/.kube/config", "calls")]),
    static("c-list", "list {home}/Documents", [list_("{home}/Documents", "calls")]),
    static("c-execve", "execve {home}/bin/tool", [execute("{home}/bin/tool", "calls")]),
    static("c-execveat", "execveat {home}/bin/tool", [execute("{home}/bin/tool", "calls")]),
    static("c-rename", "rename /usr/bin/env /usr/bin/{name}", [rename("/usr/bin/env", "/usr/bin/{name}", "calls")]),
    static("c-unlink", "unlink /usr/bin/env", [delete("/usr/bin/env", "calls")]),
    static("c-rmdir", "rmdir /usr/share/doc", [delete("/usr/share/doc", "calls")]),
    static("c-mkdir", "mkdir /usr/{name}", [create("/usr/{name}", "calls")]),
    static("c-link", "link /usr/bin/env /usr/bin/{name}", [link("/usr/bin/env", "/usr/bin/{name}", "calls")]),
    static("c-symlink", "symlink target /usr/bin/{name}", [create("/usr/bin/{name}", "calls")]),
    static("c-truncate", "truncate /usr/bin/env", [write("/usr/bin/env", "calls")]),
    static("c-chmod", "chmod /usr/bin/env 0700", [write("/usr/bin/env", "calls")]),
    static("c-chown", "chown /usr/bin/env", [write("/usr/bin/env", "calls")]),
    static("c-utimens", "utimens /usr/bin/env", [write("/usr/bin/env", "calls")]),
    static("c-mkfifo", "mkfifo /usr/{name}", [create("/usr/{name}", "calls")]),
    static("c-hidden-unlink", "unlink {home}/notes.txt", [delete("{home}/notes.txt", "calls")]),
    static("c-hidden-rmdir", "rmdir {home}/Documents", [delete("{home}/Documents", "calls")]),
    static("c-hidden-rename", "rename {home}/notes.txt {home}/stolen",
           [rename("{home}/notes.txt", "{home}/stolen", "calls")]),
    static("c-rename-to-hidden", "rename {work}/good {home}/Documents/good",
           [rename("{work}/good", "{home}/Documents/good", "calls")], files={"good": "x"}),
    static("c-hidden-link", "link {home}/notes.txt {work}/stolen", [link("{home}/notes.txt", "{work}/stolen", "calls")]),
    static("c-hidden-truncate", "truncate {home}/notes.txt", [write("{home}/notes.txt", "calls")]),
    static("c-hidden-chmod", "chmod {home}/notes.txt 0644", [write("{home}/notes.txt", "calls")]),
    static("c-hidden-mkdir", "mkdir {home}/Documents/new", [create("{home}/Documents/new", "calls")]),
    static("c-hidden-open-both", "open {home}/notes.txt both", [write("{home}/notes.txt", "calls")]),
    static("c-hidden-place", "open {home}/notes.txt place", [stat("{home}/notes.txt", "calls")]),
    static("c-readlink", "readlink {home}/notes.txt", [stat("{home}/notes.txt", "calls")]),
    static("c-chdir", "chdir {home}/Documents", [access("{home}/Documents", "calls")]),
    static("c-old-open", "old-open {home}/.netrc", [read("{home}/.netrc", "calls")], needs=["x86"]),
    static("c-old-creat", "old-creat /usr/{name}", [create("/usr/{name}", "calls")], needs=["x86"]),
    static("c-old-stat", "old-stat {home}/.netrc", [stat("{home}/.netrc", "calls")], needs=["x86"]),
    static("c-old-access", "old-access {home}/.netrc 0", [access("{home}/.netrc", "calls")], needs=["x86"]),
    static("c-old-rename", "old-rename {work}/good {work}/.bashrc", [rename("{work}/good", "{work}/.bashrc", "calls")],
           needs=["x86"], files={"good": "x"}),
    static("c-old-unlink", "old-unlink /usr/bin/env", [delete("/usr/bin/env", "calls")], needs=["x86"]),
    static("c-old-mkdir", "old-mkdir {work}/.idea", [create("{work}/.idea", "calls")], needs=["x86"]),
    static("c-old-link", "old-link {work}/good {work}/.envrc", [link("{work}/good", "{work}/.envrc", "calls")],
           needs=["x86"], files={"good": "x"}),
    static("c-old-symlink", "old-symlink target {work}/.mcp.json", [create("{work}/.mcp.json", "calls")], needs=["x86"]),
    static("c-connect", "connect4 93.184.216.34 443", [connect("93.184.216.34:443", "calls")]),
    static("c-connect-6", "connect6 2606:2800:220:1::1 443", [connect("[2606:2800:220:1::1]:443", "calls")]),
    static("c-connect-udp", "connect-udp 9.9.9.9 53", [connect("9.9.9.9:53/udp", "calls")]),
    static("c-connect-unix", "connect-unix {work}/host.sock", [connect("{work}/host.sock", "calls")],
           server="unix:{work}/host.sock"),
    static("c-connect-abstract", "connect-abstract {name}", [connect("@{name}", "calls")], server="abstract:{name}"),
    static("c-bind-unix", "bind-unix /usr/{name}", [bind("/usr/{name}", "calls")]),
    static("c-ptrace", "number {ptrace}", [system_call("ptrace", "calls")]),
    static("c-bpf", "number {bpf}", [system_call("bpf", "calls")]),
    static("c-setns", "number {setns} -1 0", [system_call("setns", "calls")]),
    static("c-keyctl", "number {keyctl}", [system_call("keyctl", "calls")]),
    static("c-add-key", "number {add_key}", [system_call("add_key", "calls")]),
    static("c-userfaultfd", "number {userfaultfd} 0", [system_call("userfaultfd", "calls")]),
    static("c-perf", "number {perf_event_open}", [system_call("perf_event_open", "calls")]),
    static("c-other-memory", "number {process_vm_readv} 1", [system_call("process_vm_readv", "calls")]),
    static("c-chroot", "number {chroot}", [system_call("chroot", "calls")]),
    static("c-inject", "inject", [system_call("ioctl", "calls")]),
]  # fmt: skip

# The command's own program: what our own process is refused that would execute it.
STARTS = [
    start("own-program", ["{home}/bin/tool"], [execute("{home}/bin/tool", "tool")]),
    start("own-program-below-a-file", ["{home}/notes.txt/tool"], []),
    start("own-program-of-nobody", ["{home}/bin/none"], []),
    start("own-program-by-a-way-around", ["{work}/../../home/./bin/tool"], [execute("{home}/bin/tool", "tool")]),
    start("own-program-by-name", ["sort"], [execute("/usr/bin/sort", "sort")], skill="scoped-cat"),
    start("own-program-not-approved", ["/usr/bin/sort"], [execute("/usr/bin/sort", "sort")], skill="scoped-cat"),
]  # fmt: skip

LIMITS = [
    python("limit-memory", "x = [bytearray(1 << 20) for i in range(512)]", [limit("memory")], skill="small-memory"),
    sh("limit-processes", "i=0; while [ $i -lt 40 ]; do sleep 3 & i=$((i+1)); done; wait", [limit("pids")],
       skill="few-processes"),
    sh("limit-file-size", "head -c 4000000 /dev/zero > big", [limit("file size")], skill="small-files"),
    python("limit-open-files", "x = [open('/dev/null') for i in range(100)]", [limit("open files")], skill="few-files"),
    python("limit-open-files-written", "x = [open('f', 'a') for i in range(100)]", [limit("open files")], skill="few-files"),
    sh("limit-output", "head -c 4000000 /dev/zero", [limit("output")], skill="little-output"),
    sh("limit-time", "sleep 20", [limit("wall")], skill="short"),
]  # fmt: skip

CASES = SHELL + PYTHONS + NODES + GITS + STATICS + STARTS + LIMITS

# System call numbers of calls that have none in Python, as the kernel's own tables have them.
NUMBERS = {
    "x86_64": {"ptrace": 101, "bpf": 321, "setns": 308, "keyctl": 250, "add_key": 248, "userfaultfd": 323,
               "perf_event_open": 298, "process_vm_readv": 310, "chroot": 161},
    "aarch64": {"ptrace": 117, "bpf": 280, "setns": 268, "keyctl": 219, "add_key": 217, "userfaultfd": 282,
                "perf_event_open": 241, "process_vm_readv": 270, "chroot": 51},
}  # fmt: skip
