"""The kernel's surface: system calls by number and by each entry, capabilities, settings, modules."""

import os
import platform
import struct
import subprocess

from suite.instance import KEY
from suite.technique import category, program, shell, technique

category("kernel")


def where(scene):
    return "inside" if scene.inside else "outside"


def not_x86(_):
    return "" if platform.machine() == "x86_64" else "this entry belongs to x86-64"


technique("system-calls", 4, "every refused system call by its number", attack=program("system-calls"),
          layers=(("seccomp",),))  # fmt: skip
technique("system-calls-int80", 4, "the same through the 32-bit entry", attack=program("system-calls-int80", where),
          impossible=not_x86, layers=(("seccomp",),))  # fmt: skip
technique("system-calls-x32", 4, "the same with the x32 bit", attack=program("system-calls-x32", where),
          impossible=not_x86)  # fmt: skip
technique("system-calls-unknown", 4, "numbers that the sandbox does not know", attack=program("system-calls-unknown"))
technique("int80-namespace", 4, "a user namespace through the 32-bit entry", attack=program("int80-namespace", where),
          impossible=not_x86)  # fmt: skip
technique("int80-set-id", 4, "set-user-ID bits through the 32-bit entry", attack=program("int80-set-id", where),
          impossible=not_x86)  # fmt: skip


def elf32(scene):
    """A 32-bit program: write(1, text), exit(0)."""
    text = b"THROUGH a 32-bit program runs\n"
    base, entry = 0x08048000, 84
    code_size = 34
    code = (b"\xb8" + struct.pack("<I", 4) + b"\xbb" + struct.pack("<I", 1)
            + b"\xb9" + struct.pack("<I", base + entry + code_size) + b"\xba" + struct.pack("<I", len(text))
            + b"\xcd\x80" + b"\xb8" + struct.pack("<I", 1) + b"\x31\xdb" + b"\xcd\x80" + b"\x90\x90\x90")  # fmt: skip
    assert len(code) == code_size
    size = entry + len(code) + len(text)
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 3, 1, base + entry, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 4096)
    path = scene.workspace + "/elf32"
    with open(path, "wb") as stream:
        stream.write(header + segment + code + text)
    os.chmod(path, 0o755)


technique("elf32-program", 4, "a whole 32-bit program", prepare=elf32, impossible=not_x86,
          attack=shell("./elf32 || echo ended with $?"))  # fmt: skip
technique("io-uring", 4, "a ring, past which no filter sees", attack=program("io-uring"))
technique("userfaultfd", 4, "page faults handled by the attack", attack=program("userfaultfd"))
technique("bpf", 4, "a map of the kernel's virtual machine", only="root", attack=program("bpf"))
technique("perf-events", 4, "a performance counter", attack=program("perf-events"), impossible=lambda _: perf_is_closed())


def perf_is_closed():
    try:
        with open("/proc/sys/kernel/perf_event_paranoid", encoding="utf-8") as stream:
            level = int(stream.read())
    except OSError:
        return "this kernel has no performance counters"
    return "perf_event_paranoid refuses it to every ordinary user" if level > 2 and os.geteuid() != 0 else ""


technique("key-of-session", 5, "a key of the session that the supervisor was started in",
          attack=lambda s: [*([] if s.inside else s.instance.with_key()), s.program, "read-key", KEY],
          observe=lambda s, r: "read the key" if s.instance.secret in r.text else None, layers=(("seccomp",),))  # fmt: skip
technique("keys-in-proc", 5, "the lists of keys in /proc", layers=(("proc",),),
          attack=program("open-to-read", lambda _: "/proc/keys", lambda _: "/proc/key-users"))  # fmt: skip
technique("kernel-memory", 3, "the kernel's memory and log", only="root",
          attack=program("open-to-read", *[lambda _, p=p: p for p in ("/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/kmsg")]))  # fmt: skip
technique("kernel-symbols", 3, "the kernel's symbols and modules' names",
          attack=program("open-to-read", *[lambda _, p=p: p for p in ("/proc/kallsyms", "/proc/timer_list",
                         "/proc/sched_debug", "/proc/latency_stats")]), layers=(("proc",),))  # fmt: skip
technique("sysctl", 4, "settings of the kernel below /proc/sys", attack=program("sysctl"))
technique("sysrq", 4, "commands to the kernel by /proc/sysrq-trigger", only="root",
          attack=program("open-to-write", lambda _: "/proc/sysrq-trigger"),
          impossible=lambda _: "" if os.path.exists("/proc/sysrq-trigger") else "this kernel has no such file")  # fmt: skip
technique("core-pattern", 4, "the program that gets core dumps, which is run by the host's root", only="root",
          attack=program("open-to-write", lambda _: "/proc/sys/kernel/core_pattern", lambda _: "/proc/sys/kernel/modprobe",
                         lambda _: "/proc/sys/kernel/hotplug", lambda _: "/proc/sys/fs/binfmt_misc/register"))  # fmt: skip
technique("own-proc-files", 3, "own settings in /proc that the kernel takes from every process",
          attack=program("open-to-write", lambda _: "/proc/self/oom_score_adj", lambda _: "/proc/self/uid_map",
                         lambda _: "/proc/self/setgroups", lambda _: "/proc/self/clear_refs"))  # fmt: skip
technique("capabilities", 4, "a capability in any set", attack=program("capabilities"), layers=(("privileges",),))
technique("regain-capabilities", 4, "what executing a program could give back", attack=program("regain"),
          layers=(("privileges",),))  # fmt: skip
technique("become-root", 4, "user id 0, in whatever namespace", attack=program("become", lambda _: 0),
          setting="a user namespace of its own, for an ordinary user", only="root")  # fmt: skip


def set_user_id_copy(scene):
    path = scene.workspace + "/set-id"
    with open(scene.program, "rb") as source, open(path, "wb") as copy:
        copy.write(source.read())
    os.chmod(path, 0o4755)


technique("set-user-id-program", 4, "a set-user-ID program that lies in the workspace", only="root",
          prepare=set_user_id_copy, attack=lambda s: ["sh", "-c", "setpriv --reuid 65534 --clear-groups "
          "./set-id effective-root || ./set-id effective-root", "sh"])  # fmt: skip

# --- Sockets that load modules, or are more than TCP and UDP.

SOCKETS = {
    "netlink": (16, 3, 0), "packet": (17, 3, 0x300), "raw": (2, 3, 1), "raw6": (10, 3, 58), "alg": (38, 5, 0),
    "vsock": (40, 1, 0), "bluetooth": (31, 3, 1), "can": (29, 3, 1), "tipc": (30, 1, 0), "rds": (21, 5, 0),
    "xdp": (44, 3, 0), "sctp": (2, 1, 132), "kcm": (41, 5, 0), "key": (15, 3, 2),
}  # fmt: skip
for name, (family, kind, protocol) in SOCKETS.items():
    technique(f"{name}-socket", 3, f"a socket of the family or protocol {name}",
              attack=program("socket", *[lambda _, n=n: n for n in (family, kind, protocol)], where))  # fmt: skip
technique("netlink-socket-upper-bits", 3, "the same with a bit set that the kernel does not look at",
          attack=program("socket", lambda _: 16 | 1 << 32, lambda _: 3, lambda _: 0), layers=(("seccomp",),))  # fmt: skip
technique("raw-socket-upper-bits", 3, "a raw socket with such a bit in the type",
          attack=program("socket", lambda _: 2, lambda _: 3 | 1 << 32, lambda _: 1))  # fmt: skip

# --- Communication by keys and names.


def planted(kind):
    def plant(scene):
        number = str(int.from_bytes(os.urandom(3), "big") + 1)
        command = [scene.instance.attacks, "ipc-plant", kind, number]
        ran = subprocess.run([*command, scene.outside + "/secret"], capture_output=True, text=True, check=False)
        if ran.returncode == 4:
            scene.absent = ran.stdout.strip()
        scene.notes.append(number)
        scene.at_end(lambda: subprocess.run(command, capture_output=True, check=False))

    return plant


for kind, what in (("shm", "shared memory"), ("msg", "a message queue"), ("sem", "a semaphore"), ("mq", "a POSIX queue")):
    technique(f"ipc-{kind}", 3, f"{what} of the host, by its key or name", prepare=planted(kind),
              attack=program("ipc-take", lambda _, kind=kind: kind), layers=(("ipc",),) if kind == "sem" else ())  # fmt: skip
technique("host-name", 3, "the name of the host", attack=lambda s: ["sh", "-c", "uname -n"],
          observe=lambda s, r: "its name" if r.text.split()[:1] == [platform.node()] else None)  # fmt: skip
