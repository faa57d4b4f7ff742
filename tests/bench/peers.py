"""The other programs: how each runs `true`, and why one cannot run here."""

import glob
import os
import platform
import shutil
import subprocess

HERE = os.path.dirname(os.path.realpath(__file__))
PROBE_SECONDS = 60
NPM_REMEDY = "not installed: npm ci --prefix tests/bench"
TRUE = "/bin/true"


def plain(_home, _workspace):
    return [TRUE], {}


# Our sandbox's outline in bwrap's words: all namespaces, a read-only system, private /tmp, /dev and
# /proc, and the workspace.
def bubblewrap(_home, workspace):
    program = shutil.which("bwrap")
    if program is None:
        raise LookupError("not installed: apt-get install bubblewrap")
    return [
        program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--tmpfs", "/tmp",
        "--dev", "/dev", "--proc", "/proc", "--bind", workspace, workspace, "--chdir", workspace, TRUE,
    ], {}  # fmt: skip


# Without the wrapper script of its npm package, which costs it another Node process.
def firejail(_home, workspace):
    program = shutil.which("firejail")
    if program is None:
        raise LookupError("not installed: apt-get install firejail")
    return [program, "--quiet", "--noprofile", "--net=none", "--private=" + workspace, TRUE], {}


def codex(_home, _workspace):
    machine = platform.machine()
    found = glob.glob(f"{HERE}/node_modules/@openai/codex-linux-*/vendor/{machine}-*/**/codex", recursive=True)
    programs = [path for path in found if os.path.isfile(path)]
    if not programs:
        raise LookupError(NPM_REMEDY)
    state = HERE + "/.cache/codex"  # it refuses a temporary directory
    os.makedirs(state, exist_ok=True)
    return [programs[0], "sandbox", TRUE], {"CODEX_HOME": state}


def srt(home, _workspace):
    script = f"{HERE}/node_modules/@anthropic-ai/sandbox-runtime/dist/cli.js"
    nodes = glob.glob(f"{HERE}/node_modules/node-linux-*/bin/node")
    if not os.path.isfile(script) or not nodes:
        raise LookupError(NPM_REMEDY)
    return [nodes[0], script, TRUE], {"HOME": home}


# Name, how it is run, in which share of the rounds: a slow one is run less often.
ALL = [("plain", plain, 1), ("bubblewrap", bubblewrap, 1), ("firejail", firejail, 4), ("codex", codex, 4), ("srt", srt, 10)]


def probe(how, home, workspace):
    """The row of a peer that runs here, or the reason why it does not."""
    try:
        argv, variables = how(home, workspace)
        ran = subprocess.run(
            argv, env=dict(os.environ, **variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=PROBE_SECONDS, check=False,
        )  # fmt: skip
    except LookupError as error:
        return None, str(error)
    except subprocess.TimeoutExpired:
        return None, f"did not end within {PROBE_SECONDS} s"
    except OSError as error:
        return None, str(error)
    if ran.returncode != 0:
        said = ran.stdout.decode(errors="replace").strip().splitlines()
        return None, f"ended with {ran.returncode}: {said[-1] if said else 'no message'}"
    return {"kind": "spawn", "argv": argv, "env": variables}, None
