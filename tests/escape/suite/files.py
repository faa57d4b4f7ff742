"""The file system: what is beside, above and below what a sandbox shows."""

import os
import socket
import subprocess

from suite.technique import category, program, shell, technique

category("files")


def note(*values):
    """A scene's notes, the attack's further arguments."""
    return lambda scene: scene.notes.extend(str(value(scene)) for value in values)


def beside(scene):
    return scene.outside


def beside_secret(scene):
    return scene.outside + "/secret"


# --- Paths that lead out.

technique("parent-directory", 3, "`..` out of the workspace", attack=shell("cat ../beside/secret"), layers=(("view",),))
technique("absolute-path", 3, "the secret's own path", attack=shell("cat $OUT/secret"), layers=(("view",),))
technique("many-parents", 3, "more `..` than there are directories",
          attack=shell("cat ../../../../../../../../../../../../../../..$OUT/secret"))  # fmt: skip
technique("link-out", 3, "a symbolic link made in the workspace", attack=shell("ln -s $OUT/secret l; cat l"))
technique("link-chain", 3, "a chain of links, by way of /proc/self/root",
          attack=shell("ln -s /proc/self/root a; ln -s a$OUT b; cat b/secret"))  # fmt: skip
technique("link-planted", 3, "a link that somebody left in the workspace",
          prepare=lambda s: os.symlink(s.outside, s.workspace + "/planted"), attack=shell("cat planted/secret"))  # fmt: skip
technique("proc-self-root", 3, "/proc/self/root and /proc/thread-self/root",
          attack=shell("cat /proc/self/root$OUT/secret /proc/thread-self/root$OUT/secret"))  # fmt: skip
technique("proc-every-root", 3, "the root of every process there is", prepare=lambda s: s.victim(),
          attack=shell('for p in /proc/[0-9]*; do cat "$p/root$OUT/secret"; done 2>/dev/null; cat /proc/1/root$OUT/secret'))  # fmt: skip
technique("proc-every-cwd", 3, "the working directory of every process there is", prepare=lambda s: s.victim(),
          attack=shell('for p in /proc/[0-9]*; do cat "$p/cwd/secret" "$p/cwd/../beside/secret"; done 2>/dev/null; :'))  # fmt: skip
technique("proc-every-descriptor", 3, "the open files of every process there is", prepare=lambda s: s.victim(),
          attack=shell('for f in /proc/[0-9]*/fd/*; do [ -f "$f" ] && head -c 200 "$f"; done 2>/dev/null; :'))  # fmt: skip
technique("proc-every-environment", 3, "the environment of every process there is", prepare=lambda s: s.victim(),
          attack=shell("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"))  # fmt: skip
technique("proc-every-command-line", 3, "the arguments of every process there is",
          prepare=lambda s: s.victim(s.secret), attack=shell("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"), layers=(("pids",),))  # fmt: skip
technique("link-race", 13, "a directory and a link exchanged while a path is walked", attack=program("link-race", beside))


# --- Links and renames between mounts.

def grant_file(scene):
    """A file of what the skill "reader" may read, for this scene alone; outside, of the scene's."""
    place = f"{scene.instance.files}/{scene.technique.name}"
    scene.write("file", "unchanged", where=place)
    scene.at_end(lambda: subprocess.run(["rm", "-rf", place], check=False))
    return place


def changed(scene, _):
    place = f"{scene.instance.files}/{scene.technique.name}"
    text = scene.read(place + "/file")
    if text != "unchanged":
        return f"the file says {text!r}"
    fresh = [name for name in os.listdir(place) if name != "file"]
    return f"made {fresh}" if fresh else None


def on_grant(name, invariant, what, attack, **rest):
    technique(name, invariant, what, prepare=lambda s: s.notes.append(grant_file(s)), attack=attack,
              observe=changed, skill="reader", **rest)  # fmt: skip


on_grant("write-through-grant", 3, "every call that changes a file, on one that may be read only",
         program("write-through"), layers=(("readonly",),))  # fmt: skip
on_grant("write-mapped", 3, "a shared mapping, or the descriptor opened again for writing", program("write-mapped"))
on_grant("hard-link-of-grant", 3, "a hard link of a read-only file into the workspace, written there",
         shell('ln "$1/file" own && echo changed > own'))  # fmt: skip
on_grant("rename-of-grant", 3, "a read-only file moved into the workspace",
         shell('mv -n "$1/file" own 2>&1; [ ! -e "$1/file" ] && echo changed > "$1/file"; :'))  # fmt: skip
on_grant("remount", 3, "a read-only grant remounted for writing", program("remount"))
on_grant("remount-by-attributes", 3, "the same with mount_setattr", program("remount-by-attributes"))
on_grant("write-by-proc-root", 3, "a read-only file by /proc/self/root and /proc/self/fd",
         shell('exec 5<"$1/file"; echo changed > /proc/self/root$1/file; echo changed > /proc/self/fd/5; :'))  # fmt: skip

technique("hard-link-of-secret", 3, "a hard link of the secret into the workspace",
          attack=shell("ln $OUT/secret own; cat own"))  # fmt: skip
technique("write-read-only-workspace", 3, "every call that changes a file, in a workspace for reading",
          prepare=lambda s: (s.work("file", "unchanged"), s.notes.append(s.workspace)), attack=program("write-through"),
          observe=lambda s, _: None if s.read(s.workspace + "/file") == "unchanged" else "the file changed",
          access="ro", layers=(("readonly",),))  # fmt: skip


def plant_fifo(scene):
    os.mkfifo(scene.workspace + "/fifo")
    scene.reader, _ = scene.spawn("sh", "-c", "echo ready; head -n 1 fifo > ../beside/heard", cwd=scene.workspace)
    scene.notes.append(scene.workspace + "/fifo")


def heard(scene, result):
    if "written" not in result.text:
        return None
    scene.reader.wait(5)
    return "the host's reader heard it" if "injected" in scene.read(scene.outside + "/heard") else None


technique("fifo-of-read-only-workspace", 3, "a pipe of the host's, in a workspace for reading", prepare=plant_fifo, observe=heard,
          attack=lambda s: ["sh", "-c", 'until "$@" | grep -v "No such device"; do sleep 0.1; done', "sh", s.program, "write-fifo", *s.notes],
          access="ro")  # fmt: skip


# --- What is hidden.

def hide(scene):
    scene.write("secret", scene.secret, where=scene.workspace + "/private")


technique("protected-in-workspace", 5, "a protected directory inside the workspace", prepare=hide,
          attack=shell("cat private/secret; ls -la private/"), hides="private", layers=(("hidden",),))  # fmt: skip
technique("protected-by-link", 5, "a protected directory by a link, and by /proc/self/cwd", prepare=hide,
          attack=shell("ln -s private other; cat other/secret /proc/self/cwd/private/secret"),
          hides="private")  # fmt: skip
technique("protected-by-hard-link", 5, "a hard link of a protected file", prepare=hide,
          attack=shell("ln private/secret own; cat own"), hides="private")  # fmt: skip
technique("uncover", 5, "the cover of a protected directory unmounted", prepare=hide,
          attack=lambda s: [s.program, "uncover", s.workspace + "/private"], hides="private")  # fmt: skip
technique("beneath-the-cover", 5, "the tree without its mounts, by open_tree", prepare=hide,
          attack=lambda s: [s.program, "beneath", s.workspace], hides="private")  # fmt: skip


def mount_point(scene):
    os.makedirs(scene.workspace + "/mount")
    return scene.workspace + "/mount"


technique("overlay", 5, "an overlay of the workspace, which sees beneath covers",
          prepare=lambda s: (hide(s), mount_point(s)),
          attack=lambda s: [s.program, "new-mount", "overlay", s.workspace + "/mount", s.workspace],
          hides="private")  # fmt: skip
technique("move-above-protected", 5, "the directory above a protected one is moved",
          prepare=lambda s: s.write("secret", s.secret, where=s.workspace + "/above/private"),
          attack=program("move-parent"), hides="above/private", layers=(("hidden",),))  # fmt: skip
technique("close-above-protected", 5, "the directory above is closed, so that a later call cannot look",
          prepare=lambda s: s.write("secret", s.secret, where=s.workspace + "/above/private"),
          attack=shell("chmod 0 above; chmod 755 above; cat above/private/secret"), hides="above/private")  # fmt: skip


def credentials(scene):
    """In the person's home, as every program finds them. The home is the instance's."""
    for name in (".ssh/id_ed25519", ".aws/credentials", ".gnupg/secring.gpg", ".config/gh/hosts.yml", ".netrc"):
        path = f"{scene.instance.home}/{name}"
        scene.write(name, scene.secret, where=scene.instance.home)
        scene.at_end(lambda path=path: os.unlink(path))


technique("credentials", 5, "keys and tokens in the person's home", prepare=credentials,
          attack=shell("cat ~/.ssh/id_ed25519 ~/.aws/credentials ~/.gnupg/secring.gpg ~/.config/gh/hosts.yml ~/.netrc"),
          layers=(("view",),))  # fmt: skip
technique("home-start-up-file", 5, "a line in the person's shell start-up files",
          prepare=lambda s: s.at_end(lambda: [os.unlink(f"{s.instance.home}/{n}") for n in (".profile", ".bashrc")]),
          attack=shell("echo evil >> ~/.profile; echo evil >> ~/.bashrc; cat ~/.bashrc"),
          observe=lambda s, _: "the file is there" if os.path.exists(s.instance.home + "/.bashrc") else None)  # fmt: skip
technique("state-of-sharkcage", 5, "the approvals, the key and the socket of the supervisor",
          attack=lambda s: ["sh", "-c", f"ls {s.instance.state}/var/* && echo THROUGH listed the state"])  # fmt: skip


def shared_places(scene):
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        path = f"{place}/{os.path.basename(scene.instance.base)}-{os.getpid()}-{scene.technique.name}"
        scene.write(os.path.basename(path), scene.secret, where=place)
        scene.notes.append(path)
        scene.at_end(lambda path=path: os.unlink(path))


technique("shared-directories", 3, "files in /tmp, /var/tmp and /dev/shm", prepare=shared_places,
          attack=shell('cat "$@"'), layers=(("view",),))  # fmt: skip
technique("accounts", 3, "who has an account here", attack=shell("grep -c . /etc/passwd; ls -d /home/* /root /etc/shadow"
          " | grep -q /etc/shadow && echo THROUGH /etc/shadow is there"))  # fmt: skip
technique("machine-id", 3, "what tells this machine from others",
          attack=program("open-to-read", lambda _: "/etc/machine-id", lambda _: "/var/lib/dbus/machine-id",
                         lambda _: "/sys/class/dmi/id/product_uuid",
                         lambda _: "/etc/fstab", lambda _: "/etc/ssh/ssh_config", lambda _: "/etc/login.defs"))  # fmt: skip

# --- Descriptors.


def directory_descriptor(scene):
    fd = os.open(scene.outside, os.O_RDONLY)
    scene.at_end(lambda: os.close(fd))
    scene.notes.append(f"fd={fd}")


technique("inherited-descriptor", 3, "a directory that the client had open", prepare=directory_descriptor,
          attack=program("descriptors"))  # fmt: skip
technique("directory-as-stdin", 3, "a directory as standard input",
          stdin=lambda s: os.open(s.outside, os.O_RDONLY), attack=shell("cat /proc/self/fd/0/secret"),
          endings=(125, 1, 2))  # fmt: skip
technique("path-descriptor-as-stdin", 3, "a directory opened with O_PATH as standard input",
          stdin=lambda s: os.open(s.outside, os.O_PATH), attack=shell("cat /proc/self/fd/0/secret"),
          endings=(125, 1, 2))  # fmt: skip


def read_only_stdin(scene):
    scene.write("input", "unchanged")
    return open(scene.outside + "/input", "rb")  # pylint: disable=consider-using-with


technique("reopened-stdin", 3, "standard input opened again for writing", stdin=read_only_stdin,
          attack=program("reopen-stdin"),
          observe=lambda s, _: None if s.read(s.outside + "/input") == "unchanged" else "the file changed")  # fmt: skip

# --- Devices and mounts.

technique("device-node", 4, "a device node of one's own", only="root", attack=program("device-node", lambda _: "kmsg"))
technique("devices", 3, "every device but the harmless ones", attack=program("devices"),
          setting="", only=None, impossible=lambda s: no_other_device())  # fmt: skip


def no_other_device():
    for place in ("/dev/fuse", "/dev/net/tun", "/dev/kvm", "/dev/kmsg", "/dev/mem"):
        try:
            os.close(os.open(place, os.O_RDONLY | os.O_NONBLOCK))
            return ""
        except OSError:
            continue
    return "this user can open no other device outside either"


def foreign_terminal(scene):
    master, slave = os.openpty()
    scene.at_end(lambda: os.close(master))
    scene.at_end(lambda: os.close(slave))
    scene.master = master
    scene.notes.extend([os.ttyname(slave), "injected"])


def on_terminal(scene, _):
    os.set_blocking(scene.master, False)
    try:
        return "the terminal shows it" if b"injected" in os.read(scene.master, 4096) else None
    except OSError:
        return None


technique("foreign-terminal", 3, "text onto another terminal of the person's", prepare=foreign_terminal,
          attack=program("write-terminal"), observe=on_terminal)  # fmt: skip
technique("bind-mount", 3, "the place beside the workspace, mounted into it", prepare=mount_point,
          attack=program("bind-mount", beside, mount_point_of := lambda s: s.workspace + "/mount"))  # fmt: skip
for kind in ("tmpfs", "proc", "fuse", "cgroup2", "sysfs"):
    technique(f"new-{kind}", 3, f"a new file system of type {kind}", prepare=mount_point,
              attack=program("new-mount", lambda _, kind=kind: kind, mount_point_of),
              **({"only": "root"} if kind in ("proc", "sysfs") else {}))  # fmt: skip
technique("new-mount-api", 3, "a file system by fsopen and fsmount", attack=program("new-mount-api"))
technique("open-by-handle", 3, "the secret by its handle, past all directories", only="root",
          attack=program("open-by-handle", beside_secret, lambda s: s.workspace))  # fmt: skip
technique("cgroup-files", 3, "the control groups of the host",
          attack=shell('find /sys/fs/cgroup -name cgroup.procs -o -name release_agent | head -n 1 | grep . '
                       "&& echo THROUGH control groups; :"),
          impossible=lambda s: "" if os.path.exists("/sys/fs/cgroup/cgroup.procs")
          or any(os.path.exists(f"/sys/fs/cgroup/{n}/cgroup.procs") for n in ("memory", "pids"))
          else "no control groups are mounted here")  # fmt: skip
technique("sysfs", 3, "the devices and settings of /sys", attack=program("list", *[
    lambda _, p=p: f"/sys/{p}" for p in ("class", "bus", "block", "dev", "devices/virtual", "devices/platform", "firmware", "module", "power", "fs/bpf", "kernel/debug",
                                         "kernel/security", "kernel/slab", "kernel/tracing")]))  # fmt: skip

# --- Rights that files carry.


def set_id(scene, _):
    path = scene.workspace + "/set-id"
    if os.path.exists(path) and os.stat(path).st_mode & 0o6000:
        return f"mode {os.stat(path).st_mode:o} in the workspace"
    return None


for how in ("chmod", "fchmod", "fchmodat", "fchmodat2", "open", "creat", "mknod", "tmpfile", "openat2"):
    technique(f"set-id-by-{how}", 4, f"set-user-ID and set-group-ID bits by {how}", observe=set_id,
              attack=program("set-id-bits", lambda _, how=how: how),
              **({"layers": (("seccomp",),)} if how == "chmod" else {}))  # fmt: skip
technique("set-group-id-directory", 4, "a directory that hands on its group",
          attack=shell("mkdir -m 2755 d || { mkdir d; chmod g+s d; }"),
          observe=lambda s, _: "set" if os.path.exists(s.workspace + "/d")
          and os.stat(s.workspace + "/d").st_mode & 0o2000 else None)  # fmt: skip
technique("file-capability", 4, "capabilities on a file", attack=program("file-capability"),
          observe=lambda s, _: "an attribute" if "security.capability" in os.listxattr(s.workspace + "/capable")
          else None)  # fmt: skip
technique("unix-socket-node", 6, "a device's way in: a node of the host's socket, linked into /tmp",
          prepare=lambda s: setattr(s, "server", s.listener(socket.AF_UNIX, address=s.workspace + "/host.sock")),
          attack=lambda s: ["sh", "-c", 'ln host.sock own.sock 2>/dev/null || mv host.sock own.sock; "$@"', "sh",
                            s.program, "unix", "own.sock"])  # fmt: skip
