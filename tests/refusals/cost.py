"""What recording costs: a C compilation, and `git status` in a tree of 10,000 files.

The same program, in the same directory, in two supervisors' sandboxes, one with the launcher as it is built, one with the
tests' launcher (sharkcage-launcher-weakened) that leaves recording out and nothing else; beside them bubblewrap and no
sandbox at all. In each a loop waits for a line and runs the program once. They are run in turn, in another order every
time, so that what else the machine does meets all of them; the time is taken inside, so that making the sandbox is no
part of it. The figure is the median of the ratios of two runs that followed each other.
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
SOURCES = 1
WEAKENED = "sharkcage-launcher-weakened"
HEADERS = ["stdio", "stdlib", "string", "unistd", "errno", "fcntl", "sys/stat", "sys/socket", "netinet/in", "pthread"]

# Runs the arguments once for each line, and prints nanoseconds.
LOOP = """
import subprocess, sys, time
nowhere = open("/dev/null", "r+")
for _ in sys.stdin:
    start = time.perf_counter_ns()
    ran = subprocess.run(sys.argv[1:], stdin=nowhere, stdout=nowhere, check=False)
    print(ran.returncode, time.perf_counter_ns() - start, flush=True)
"""


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


# Name: what it is made of, the program, how often in one round.
WORK = {
    "c-compilation": (write_sources, ["gcc", "-O1", "-c", *[f"s{i}.c" for i in range(SOURCES)]], 5),
    "git-status": (write_tree, ["git", "status", "--porcelain"], 20),
}


class Setting:
    """One way to run the same program. `run` takes nanoseconds."""

    def __init__(self, name, command):
        self.name, self.command = name, command
        self.samples = []
        self.loop = None

    def start(self, folder, program, environment):
        self.loop = subprocess.Popen(  # pylint: disable=consider-using-with
            self.command(folder) + ["/usr/bin/python3", "-c", LOOP, *program], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self):
        self.loop.stdin.write("\n")
        self.loop.stdin.flush()
        said = self.loop.stdout.readline().split()
        if len(said) != 2 or said[0] != "0":
            sys.exit(f"tests/refusals/run: {self.name}: the program ended with {said[:1]}")
        self.samples.append(int(said[1]))

    def stop(self):
        self.loop.stdin.close()
        self.loop.wait()


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
            for name in ("sc", "sharkcaged", "sc-exec", "sc-attend", "sharkcage-egress"):
                shutil.copy2(f"{self.programs}/{name}", folder)
            shutil.copy2(f"{self.programs}/{WEAKENED}", folder + "/sharkcage-launcher")
        except BaseException:
            self.__exit__()
            raise
        self.programs = folder
        self.environment["SHARKCAGE_WEAKENED"] = "recording"
        return super().__enter__()


def refused_of(world):
    """How many accesses a command is told to have been refused that asks for one file that is not shown."""
    ran = subprocess.run(
        [world.programs + "/sc", "run", "--json", "--workspace", world.work, "--", "cat", world.place + "/outside.txt"],
        env=world.environment, stdout=subprocess.PIPE, check=False, cwd=world.work,
    )  # fmt: skip
    return json.loads(ran.stdout).get("refused", 0)


def measure(options, recording, plainly, name):
    fill, program, often = WORK[name]
    first = Setting("sharkcage", sharkcage(recording))
    second = Setting("sharkcage, recording left out", sharkcage(plainly))
    pair = [(first, recording), (second, plainly)]
    others = [(Setting("no sandbox", plain), recording)]
    if shutil.which("bwrap"):
        others.append((Setting("bubblewrap", bubblewrap), recording))
    # Git's index knows the files by their owner too, who is another one in a sandbox.
    for part in (pair, others):
        folder = f"{recording.work}/{name}-{'in' if part is pair else 'out'}"
        fill(folder)
        for setting, world in part:
            setting.start(folder, program, world.environment)
    for turn in range(options.rounds * often + 2):
        if turn == 2:  # the caches are full
            for setting, _ in pair + others:
                setting.samples.clear()
        for setting, _ in (pair if turn % 2 else pair[::-1]) + others:
            setting.run()
    for setting, _ in pair + others:
        setting.stop()
    medians = {setting.name: statistics.median(setting.samples) / 1e6 for setting, _ in pair + others}
    ratio = statistics.median(one / other for one, other in zip(first.samples, second.samples))
    return {"name": name, "unit": "ms", "measured": medians, "ratio": ratio,
            "budget": f"at most {BUDGET} of the same without recording", "held": ratio <= BUDGET}  # fmt: skip


def descendants(pid):
    found = [pid]
    for one in found:
        for task in os.listdir(f"/proc/{one}/task"):
            with open(f"/proc/{one}/task/{task}/children", encoding="ascii") as stream:
                found += [int(child) for child in stream.read().split()]
    return found


def make_real_time(pid):
    """The process and all that it has started, and will start."""
    for one in descendants(pid):
        for task in os.listdir(f"/proc/{one}/task"):
            os.sched_setscheduler(int(task), os.SCHED_FIFO, os.sched_param(10))


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
    names = options.names or list(WORK)
    if set(names) - set(WORK):
        sys.exit("tests/refusals/run: --cost measures " + ", ".join(WORK))
    with World(options.bin, False) as recording, WithoutRecording(options.bin, False) as plainly:
        if refused_of(recording) != 1 or refused_of(plainly) != 0:
            sys.exit("tests/refusals/run: the one does not record, or the other does: there is nothing to compare")
        if options.real_time:
            # Not from their start: a real-time process cannot enter a group that limits processors.
            for world in (recording, plainly):
                make_real_time(json.loads(world.sc("status", "--json"))["pid"])
            make_real_time(os.getpid())
        rows = [measure(options, recording, plainly, name) for name in names]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows)
    return 0
