"""The other proxies: SOCKS5 servers on loopback, beside which the egress is measured."""

import contextlib
import glob
import json
import os
import shutil
import socket
import subprocess
import time

import peers

START_SECONDS = 30
USER = "bench"
PASSWORD = "of-no-account"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_it_listens(process, port):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise LookupError(f"ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise LookupError(f"did not listen within {START_SECONDS} s")


@contextlib.contextmanager
def ended(process):
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def microsocks(_home):
    program = shutil.which("microsocks")
    if program is None:
        raise LookupError("not installed: apt-get install microsocks")
    port = free_port()
    command = [program, "-i", "127.0.0.1", "-p", str(port), "-u", USER, "-P", PASSWORD]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with ended(subprocess.Popen(command, stdin=subprocess.DEVNULL, **quiet)) as process:
        wait_until_it_listens(process, port)
        yield {"port": port, "user": USER, "password": PASSWORD}


# The proxy that srt starts for its sandboxes, reached without the bridge that leads out of them.
@contextlib.contextmanager
def srt(home):
    nodes = glob.glob(f"{peers.HERE}/node_modules/node-linux-*/bin/node")
    if not nodes or not os.path.isdir(f"{peers.HERE}/node_modules/@anthropic-ai/sandbox-runtime"):
        raise LookupError(peers.NPM_REMEDY)
    command = [nodes[0], f"{peers.HERE}/srt_proxy.mjs", "127.0.0.1"]
    with ended(
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=dict(os.environ, HOME=home),
        )
    ) as process:  # fmt: skip
        line = process.stdout.readline()
        if not line:
            said = [line for line in process.stderr.read().splitlines() if "Error: " in line]
            raise LookupError(said[0] if said else "its proxy did not start")
        yield json.loads(line)


# Name, how it is started, in which share of the rounds, whether it takes HTTP CONNECT too.
ALL = [("microsocks", microsocks, 1, False), ("srt", srt, 4, True)]
