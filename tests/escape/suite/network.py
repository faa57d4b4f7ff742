"""The network: listeners of the host that a sandbox must not reach, except through the egress."""

import array
import contextlib
import os
import socket
import subprocess

from suite.technique import Stopped, category, program, technique

category("network")


def listening(**how):
    def plant(scene):
        scene.server = scene.listener(**how)
        scene.notes.append(str(scene.server.port))

    return plant


def visited(scene, _):
    return "the listener was reached" if scene.server.visited() else None


def answered(name, what, host, program_name="connect", **how):
    layers = how.pop("layers", ())
    technique(name, 6, what, prepare=listening(**how), observe=visited, attack=program(program_name, lambda _: host),
              layers=layers)  # fmt: skip


EVERY = ("0.0.0.0", 0)
answered("tcp-loopback", "a server on the host's 127.0.0.1", "127.0.0.1", layers=(("network",),))
answered("tcp-other-loopback", "the same by another address of 127/8", "127.9.8.7", address=EVERY)
answered("tcp-any-address", "the same by 0.0.0.0", "0.0.0.0")
answered("tcp-mapped-address", "the same by ::ffff:127.0.0.1", "::ffff:127.0.0.1")
for how in ("sendto", "sendmsg", "sendmmsg", "connect"):
    technique(f"tcp-fast-open-{how}", 6, f"a connection that data makes, by {how}", prepare=listening(), observe=visited,
              attack=program("fast-open", how, "127.0.0.1"))  # fmt: skip
answered("udp-loopback", "a datagram to the host's 127.0.0.1", "127.0.0.1", program_name="datagram", kind=socket.SOCK_DGRAM)


def no_ipv6(_):
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return ""
    return "this host has no IPv6 loopback"


technique("tcp-loopback-6", 6, "a server on the host's ::1", impossible=no_ipv6, observe=visited,
          prepare=lambda s: listening(family=socket.AF_INET6, address=("::1", 0))(s),
          attack=program("connect", lambda _: "::1"))  # fmt: skip


def own_address(scene):
    """The address that the host has in its network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        address = probe.getsockname()[0]
    scene.server = scene.listener(address=(address, 0))
    scene.notes.extend([address, str(scene.server.port)])


def no_network(_):
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return ""
    return "this host has no route"


technique("tcp-host-address", 6, "a server on the host's own address", prepare=own_address, observe=visited,
          impossible=no_network, attack=program("connect"))  # fmt: skip
technique("interfaces", 6, "the host's interfaces", layers=(("network", "seccomp"),),
          attack=program("interfaces", lambda s: "inside" if s.inside else "outside"))  # fmt: skip
technique("ports-in-proc", 6, "the host's listeners in /proc/net", prepare=listening(), attack=program("ports-in-proc"),
          layers=(("network",),))  # fmt: skip


# --- Unix sockets.

def local(kind=socket.SOCK_STREAM, place="workspace", name="host.sock"):
    def plant(scene):
        path = f"{getattr(scene, place)}/{name}"
        if name.startswith("@"):
            path = f"{name}-{os.path.basename(scene.folder)}-{scene.secret[-8:]}"
        scene.server = scene.listener(socket.AF_UNIX, kind, path.replace("@", "\0"))
        scene.notes.append(path)

    return plant


technique("unix-abstract", 6, "an abstract socket of the host", prepare=local(name="@escape"), observe=visited,
          attack=program("unix"), layers=(("network", "landlock", "seccomp"),))  # fmt: skip
technique("unix-in-workspace", 6, "a socket of the host that lies in the workspace", prepare=local(), observe=visited,
          attack=program("unix"), layers=(("sockets",), ("seccomp",)))  # fmt: skip
technique("unix-by-link", 6, "the same by a link", prepare=local(), observe=visited,
          attack=lambda s: ["sh", "-c", 'ln -s "$2" l; exec "$1" unix l', "sh", s.program, *s.notes])  # fmt: skip
technique("unix-by-proc", 6, "the same by /proc/self/cwd and /proc/self/root", prepare=local(), observe=visited,
          attack=lambda s: ["sh", "-c", '"$1" unix /proc/self/cwd/host.sock; exec "$1" unix "/proc/self/root$2"', "sh",
                            s.program, *s.notes])  # fmt: skip
technique("unix-moved", 6, "the same, moved within the workspace", prepare=local(), observe=visited,
          attack=lambda s: ["sh", "-c", 'mkdir d; mv "$2" d/own.sock; exec "$1" unix d/own.sock', "sh", s.program, *s.notes])  # fmt: skip
technique("unix-address-race", 13, "the address exchanged while the connection is judged", prepare=local(),
          attack=program("address-race"), limit=40)  # fmt: skip
for how in ("rename", "link"):
    technique(f"unix-{how}-race", 13, f"a socket of one's own and the host's exchanged by {how} while it is judged",
              prepare=local(), attack=program("socket-swap", lambda s: s.notes[0], lambda _, how=how: how), limit=40)  # fmt: skip


def of_another_sandbox(scene, inside):
    """A server in one sandbox, a client in another one of the same workspace."""
    path = "theirs.sock"
    scene.work("answer", scene.secret)
    client = [scene.instance.bin + "/sc", "run", "--workspace", scene.workspace]
    one = [*client, "--session", scene.technique.name + "-one", "--"] if inside else []
    other = [*client, "--session", scene.technique.name + "-other", "--"] if inside else []
    _, line = scene.spawn(*one, scene.program, "serve", path, "answer", cwd=scene.workspace)
    if line != "serves":
        raise Stopped(line)
    ran = subprocess.run([*other, scene.program, "unix", path], cwd=scene.workspace, env=scene.instance.environment,
                         capture_output=True, text=True, timeout=20, check=False)  # fmt: skip
    if scene.secret in ran.stdout:
        return "the other sandbox's server answered"
    raise Stopped(ran.stdout.strip()[-100:])


technique("unix-of-another-sandbox", 7, "a server of another sandbox, by its socket in the workspace", trial=of_another_sandbox)
technique("unix-outside", 6, "a socket beside the workspace", prepare=local(place="outside"), observe=visited,
          attack=program("unix"))  # fmt: skip
for how in ("sendto", "sendmsg", "sendmmsg", "answered", "pair"):
    technique(f"unix-datagram-{how}", 6, f"a datagram to a socket of the host, {how}", observe=visited,
              prepare=local(kind=socket.SOCK_DGRAM),
              attack=program("unix-datagram", lambda _, how=how: how))  # fmt: skip
technique("supervisor-socket", 5, "the supervisor's own socket, asked for approvals",
          attack=lambda s: ["sh", "-c", '"$1" unix "$2" | grep -q "no answer" && echo THROUGH connected', "sh", s.program,
                            s.instance.socket()])  # fmt: skip


def hand_out(scene):
    """A server that passes a connection of the host's network to whoever comes."""
    network = scene.listener()
    local()(scene)

    def pass_on(connection):
        with socket.create_connection(network.address) as fd:
            connection.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd.fileno()]))])

    scene.server.greeting = pass_on


technique("received-socket", 6, "a socket of the host's network, handed over by a server", prepare=hand_out,
          attack=program("receive-descriptor"))  # fmt: skip


def network_stdin(scene):
    scene.server = scene.listener()
    connection = socket.create_connection(scene.server.address)
    scene.at_end(connection.close)
    return connection


technique("socket-as-stdin", 6, "a socket of the host's network as standard input", stdin=network_stdin,
          attack=program("stdin-socket"))  # fmt: skip

# --- By the proxy, with the token that the call has.


def proxied(name, what, host, **how):
    technique(name, 6, what, prepare=listening(**how), observe=visited, skill="networked",
              attack=lambda s: [s.program, "proxy", host, *s.notes])  # fmt: skip


proxied("proxy-loopback", "the host's 127.0.0.1, by the proxy", "127.0.0.1")
proxied("proxy-localhost", "the host's loopback by name", "localhost")
proxied("proxy-other-loopback", "another address of 127/8", "127.9.8.7", address=EVERY)
proxied("proxy-any-address", "0.0.0.0", "0.0.0.0")
proxied("proxy-decimal-address", "127.0.0.1 as one number", "2130706433")
proxied("proxy-octal-address", "127.0.0.1 with octal numbers", "0177.0.0.01")
proxied("proxy-short-address", "127.0.0.1 as 127.1", "127.1")
proxied("proxy-hexadecimal-address", "127.0.0.1 in base 16", "0x7f000001")
proxied("proxy-mapped-address", "127.0.0.1 as an IPv6 address", "::ffff:127.0.0.1")
technique("proxy-of-the-host", 6, "the proxy's port on the host: only the sandbox's own answers",
          prepare=listening(address=("127.0.0.1", 0)), observe=visited, skill="networked",
          attack=program("connect", lambda _: "127.0.0.1"))  # fmt: skip
technique("resolver", 6, "a name looked up at the host's resolver", prepare=listening(kind=socket.SOCK_DGRAM),
          observe=visited, skill="networked", attack=program("datagram", lambda _: "127.0.0.1"))  # fmt: skip
