"""connect(2) by a program that knows no proxy, inside a sandbox and outside, in turn."""

import json
import os
import shutil
import socket
import statistics
import subprocess
import threading

CONNECTIONS = 50  # a turn
MANIFEST = {
    "name": "caught", "version": "1.0.0", "description": "Connects, to measure with",
    "capabilities": [{"capability": "system.exec", "reason": "measure"}],
}  # fmt: skip


def serve():
    """A server on a port of its own that takes connections and ends them."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def accept():
        while True:
            listener.accept()[0].close()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def add_skill(instance, port):
    folder = instance.home + "/skills/caught"
    os.makedirs(folder)
    host = {"capability": "network.internal", "scope": [f"127.0.0.1:{port}"], "reason": "measure"}
    with open(folder + "/sharkcage.json", "w", encoding="utf-8") as stream:
        json.dump({**MANIFEST, "capabilities": [*MANIFEST["capabilities"], host]}, stream)
    instance.sc("skill", "add", folder)
    instance.sc("approve", "caught", "--yes")


def summary(samples):
    ordered = sorted(samples)
    return {
        "median_us": statistics.median(ordered), "p95_us": ordered[len(ordered) * 95 // 100], "samples": len(ordered)
    }  # fmt: skip


def measure(options, instance):
    """By name: the samples' summary."""
    port = serve()
    add_skill(instance, port)
    program = shutil.copy(options.bin + "/connect_bench", instance.workspace)
    command = [program, "127.0.0.1", str(port), str(CONNECTIONS)]
    ways = {
        "direct": command,
        "caught": [options.bin + "/sc", "run", "--skill", "caught", "--", *command],
    }
    samples = {}
    for turn in range(max(1, options.rounds // 10)):
        for way in sorted(ways, reverse=turn % 2 == 1):
            ran = subprocess.run(
                ways[way], cwd=instance.workspace, env=instance.environment, check=True, stdout=subprocess.PIPE
            )
            for kind, times in json.loads(ran.stdout).items():
                samples.setdefault(f"{way}, {kind}", []).extend(times)
    return {name: summary(times) for name, times in samples.items()}
