"""What recording costs: a C compilation, and `git status` in a tree of 10,000 files.

The same command in two supervisors' sandboxes, one with the launcher as it is built, one with the tests' launcher
(sharkcage-launcher-weakened) that leaves recording out and nothing else; beside them bubblewrap and no sandbox at
all. Measured in turn, in an order that is another in every round; the time is taken inside, around many runs of the
program, so that making the sandbox is no part of it. The figure is the median.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys

from world import PATH, World

BUDGET = 1.03
FILES = 10_000
SOURCES = 12
WEAKENED = "sharkcage-launcher-weakened"
HEADERS = ["stdio", "stdlib", "string", "unistd", "errno", "fcntl", "sys/stat", "sys/socket", "netinet/in", "pthread"]

# Prints nanoseconds. %s is the program, %d how often.
TIMED = "s=$(date +%%s%%N); i=0; while [ $i -lt %d ]; do %s || exit 1; i=$((i+1)); done; e=$(date +%%s%%N); echo $((e-s))"


def write_sources(folder):
    os.makedirs(folder)
    includes = "".join(f"#include <{name}.h>\n" for name in HEADERS)
    for i in range(SOURCES):
        functions = "".join(
            f"int f{i}_{k}(int a, const char* b) {{ for (int j = 0; j < a; ++j) a += b[j % 7] * {k}; return a; }}\n"
            for k in range(60)
        )
        with open(f"{folder}/s{i}.c", "w", encoding="utf-8") as stream:
            stream.write(includes + functions)


def write_tree(folder):
    os.makedirs(folder)
    for i in range(FILES):
        place = f"{folder}/d{i // 100}"
        os.makedirs(place, exist_ok=True)
        with open(f"{place}/file{i}.txt", "w", encoding="utf-8") as stream:
            stream.write(f"{i}\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example"]
    for arguments in (["init", "-q", "."], ["add", "-A"], ["commit", "-q", "-m", "all"], ["status", "--porcelain"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


# Name: what it is made of, the program, how often in one measurement.
WORK = {
    "c-compilation": (write_sources, "gcc -O1 -c s*.c", 1),
    "git-status": (write_tree, "git status --porcelain", 20),
}


class Setting:
    """One way to run the same command. `run` gives nanoseconds."""

    def __init__(self, name, command):
        self.name, self.command = name, command
        self.samples = []

    def measure(self, folder, script, environment):
        ran = subprocess.run(
            self.command(folder) + ["/bin/sh", "-c", script], cwd=folder, env=environment, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if ran.returncode != 0:
            sys.exit(f"tests/refusals/run: {self.name}: {ran.stderr.strip() or ran.returncode}")
        self.samples.append(int(ran.stdout))


def plain(_):
    return []


def bubblewrap(folder):
    links = [name for name in ("/bin", "/sbin", "/lib", "/lib64") if os.path.islink(name)]
    return [
        "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr",
        *[word for name in links for word in ("--symlink", "usr" + name, name)],
        "--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache", "--ro-bind", "/etc/alternatives", "/etc/alternatives",
        "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--bind", folder, folder, "--chdir", folder,
    ]  # fmt: skip


def sharkcage(world):
    return lambda folder: [world.programs + "/sc", "run", "--workspace", folder, "--"]


class WithoutRecording(World):
    """The same programs with the tests' launcher in place of the launcher."""

    def __enter__(self):
        try:
            folder = self.place + "/programs"
            os.mkdir(folder)
            for name in ("sc", "sharkcaged", "sc-exec", "sharkcage-egress"):
                shutil.copy2(f"{self.programs}/{name}", folder)
            shutil.copy2(f"{self.programs}/{WEAKENED}", folder + "/sharkcage-launcher")
        except BaseException:
            self.__exit__()
            raise
        self.programs = folder
        self.environment["SHARKCAGE_WEAKENED"] = "recording"
        return super().__enter__()


def measure(self, folder, script, environment):
        ran = subprocess.run(
            self.command(folder) + ["/bin/sh", "-c", script], cwd=folder, env=environment, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if ran.returncode != 0:
            sys.exit(f"tests/refusals/run: {self.name}: {ran.stderr.strip() or ran.returncode}")
        self.samples.append(int(ran.stdout))


def plain(_):
    return []


def bubblewrap(folder):
    links = [name for name in ("/bin", "/sbin", "/lib", "/lib64") if os.path.islink(name)]
    return [
        "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr",
        *[word for name in links for word in ("--symlink", "usr" + name, name)],
        "--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache", "--ro-bind", "/etc/alternatives", "/etc/alternatives",
        "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--bind", folder, folder, "--chdir", folder,
    ]  # fmt: skip


def sharkcage(world):
    return lambda folder: [world.programs + "/sc", "run", "--workspace", folder, "--"]


def without_recording(programs, place):
    """A directory with the same programs and the tests' launcher in place of the launcher."""
    folder = place + "/programs"
    os.mkdir(folder)
    for name in ("sc", "sharkcaged", "sc-exec", "sharkcage-egress"):
        shutil.copy2(f"{programs}/{name}", folder)
    shutil.copy2(f"{programs}/{WEAKENED}", folder + "/sharkcage-launcher")
    return folder


def refused_of(world):
    """How many accesses a command is told to have been refused that asks for one file that is not shown."""
    ran = subprocess.run(
        [world.programs + "/sc", "run", "--json", "--workspace", world.work, "--", "cat", world.place + "/outside.txt"],
        env=world.environment, stdout=subprocess.PIPE, check=False, cwd=world.work,
    )  # fmt: skip
    return json.loads(ran.stdout).get("refused", 0)


def measure(options, recording, plainly, name):
    fill, program, often = WORK[name]
    script = TIMED % (often, program + " >/dev/null")
    settings = [(Setting("sharkcage", sharkcage(recording)), recording),
                (Setting("sharkcage, recording left out", sharkcage(plainly)), plainly),
                (Setting("no sandbox", plain), recording)]  # fmt: skip
    if shutil.which("bwrap"):
        settings.append((Setting("bubblewrap", bubblewrap), recording))
    folders = {}
    for setting, world in settings:
        folders[setting.name] = f"{world.work}/{name}"
        if not os.path.exists(folders[setting.name]):
            fill(folders[setting.name])
    for turn in range(options.rounds + 1):
        order = settings[turn % len(settings) :] + settings[: turn % len(settings)]
        for setting, world in order if turn % 2 else reversed(order):
            setting.measure(folders[setting.name], script, world.environment)
    # The first round filled the caches.
    medians = {setting.name: statistics.median(setting.samples[1:]) / 1e6 / often for setting, _ in settings}
    ratio = medians["sharkcage"] / medians["sharkcage, recording left out"]
    return {"name": name, "unit": "ms", "measured": medians, "ratio": ratio,
            "budget": f"at most {BUDGET} of the same without recording", "held": ratio <= BUDGET}  # fmt: skip


def show(rows):
    print(f"Linux {platform.release().split('-')[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"{'root' if os.geteuid() == 0 else 'ordinary user'}")  # fmt: skip
    for row in rows:
        print(f"\n{row['name']}")
        for name, value in row["measured"].items():
            print(f"  {name:32}{value:10.2f} ms")
        print(f"  ratio {row['ratio']:.3f}, budget: {row['budget']}: {'held' if row['held'] else 'NOT held'}")


def main(options):
    if not os.access(f"{options.bin}/{WEAKENED}", os.X_OK):
        sys.exit(f"tests/refusals/run: there is no {options.bin}/{WEAKENED}; build with -DSHARKCAGE_TESTS=ON")
    os.environ["PATH"] = PATH
    if options.real_time:  # all that is started from here inherits it
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    names = options.names or list(WORK)
    if set(names) - set(WORK):
        sys.exit("tests/refusals/run: --cost measures " + ", ".join(WORK))
    with World(options.bin, False) as recording, WithoutRecording(options.bin, False) as plainly:
        if refused_of(recording) != 1 or refused_of(plainly) != 0:
            sys.exit("tests/refusals/run: the one does not record, or the other does: there is nothing to compare")
        rows = [measure(options, recording, plainly, name) for name in names]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows)
    return 0
