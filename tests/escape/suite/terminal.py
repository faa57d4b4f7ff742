"""Terminals: input put into the person's, and text that reaches it by the log."""

import os

from suite.technique import Stopped, category, program, technique

category("terminal")


def legacy_only(_):
    if os.geteuid() == 0:
        return ""
    try:
        with open("/proc/sys/dev/tty/legacy_tiocsti", encoding="utf-8") as stream:
            return "" if stream.read().strip() == "1" else "this kernel has no TIOCSTI for ordinary users"
    except OSError:
        return ""  # older kernels allow it


def injected(_, result):
    text = result.line("INJECTED")
    return f"{text!r} is in the terminal's input" if text else None


technique("inject-input", 3, "TIOCSTI: a command line for the person's shell", terminal=True, observe=injected,
          attack=program("inject", lambda _: "evil"), impossible=legacy_only)  # fmt: skip
technique("inject-input-upper-bits", 3, "the same with a bit set that the kernel does not look at", terminal=True,
          observe=injected, attack=program("inject", lambda _: "evil", lambda _: 1), impossible=legacy_only)  # fmt: skip


def shown_on_terminal(scene, result):
    return "it is on the person's terminal" if "onto-the-terminal" in result.text else None


technique("controlling-terminal", 3, "text onto the client's terminal though its output goes elsewhere", terminal=True,
          attack=lambda s: [s.program, "write-terminal", "/dev/tty", "onto-the-terminal"], observe=shown_on_terminal,
          redirected=True)  # fmt: skip

# --- What a record says to the terminal of whoever reads it.

ESCAPES = {
    "colour": "\x1b[31mred\x1b[0m", "title": "\x1b]0;owned\x07", "clear": "\x1b[2J\x1b[H", "c1": "\x9b31m",
    "back": "block\b\b\b\b\ballow", "return": "block\rallow", "bidi": "\u202eevil\u202c", "line": "x\n2026-01-01 allow",
}  # fmt: skip
# Whatever a terminal obeys; a line break is the view's own.
COMMANDS = [chr(c) for c in range(32) if chr(c) not in "\n\t"] + ["\x7f", "\x9b", "\u202e", "\u202c", "\u2066", "\u200b"]


def obeyed(text):
    found = sorted({c for c in text if c in COMMANDS or 0x80 <= ord(c) < 0xA0})
    if found:
        return f"{found!r} reached the terminal"
    return None


def shown(scene, inside, act, *view):
    """`act` brings the texts into a record; the view must not obey them. Outside: a plain view of the same."""
    if not inside:
        return obeyed("".join(ESCAPES.values()))
    before = scene.instance.sc("audit", "--all", "--json").stdout.count("\n")
    act(scene)
    records = scene.instance.sc("audit", "--all", "--json").stdout.count("\n") - before
    view = view or ("audit", "--all")
    text = scene.instance.sc(*view, check=False).stdout
    evidence = obeyed(text)
    lines = [line for line in text.splitlines() if line.startswith("2026-01-01 allow")]
    if evidence or lines:
        return evidence or "a line of its own in the log"
    if records == 0 and view[0] == "audit":
        raise AssertionError("nothing was recorded")
    raise Stopped("every control character is shown as text")


def client(scene):
    from suite.instance import Client  # pylint: disable=import-outside-toplevel

    return Client(scene.instance.socket())


def attempt(scene, method, **params):
    from suite.instance import ProtocolError  # pylint: disable=import-outside-toplevel

    connection = client(scene)
    try:
        return connection.call(method, **params)
    except ProtocolError:
        return None
    finally:
        connection.close()


def in_arguments(scene):
    for text in ESCAPES.values():
        scene.instance.sc("run", "--workspace", scene.workspace, "--", "no-such-program", text, check=False)


def in_session(scene):
    for text in ESCAPES.values():
        scene.instance.sc("run", "--workspace", scene.workspace, "--session", text, "--", "true", check=False)


def in_tool(scene):
    for text in ESCAPES.values():
        attempt(scene, "session.open", session="s" + text, workspace=scene.workspace, access="rw")
        attempt(scene, "tool.authorize", tool=text, params={text: text}, session="s" + text, agent=text, run=text, call=text,
                prompt=False)  # fmt: skip
        attempt(scene, "exec.prepare", session="s" + text, command=text, kind="exec", env={})


def in_path(scene):
    for text in ESCAPES.values():
        name = text.replace("/", "_")
        os.makedirs(f"{scene.workspace}/{name}", exist_ok=True)
        scene.instance.sc("run", "--workspace", f"{scene.workspace}/{name}", "--", "cat", f"/{name}", check=False)
        scene.instance.sc("run", "--workspace", f"{scene.workspace}/{name}/not-there", "--", "true", check=False)


def in_host_name(scene):
    for text in ESCAPES.values():
        scene.instance.sc("run", "--workspace", scene.workspace, "--skill", "networked", "--", scene.program, "proxy", text,
                          "80", check=False)  # fmt: skip


def in_skill(scene):
    """In every text of a manifest: either it is refused, or it is shown as text."""
    for number, text in enumerate(ESCAPES.values()):
        name = f"texts-{number}"
        folder = scene.instance.write_skill(
            name, [{"capability": "system.files.read", "scope": [scene.instance.files], "reason": "because " + text}],
            description="Says " + text,
        )  # fmt: skip
        scene.instance.sc("skill", "add", folder, check=False)


for name, act, what, view in (
    ("arguments", in_arguments, "a command's arguments", ()),
    ("session", in_session, "a session's name", ()),
    ("tool", in_tool, "tool, parameters, agent, run and call", ()),
    ("path", in_path, "names of directories and files", ()),
    ("host", in_host_name, "a host's name, asked of the proxy", ()),
    ("manifest", in_skill, "the texts of a manifest, in the list of skills", ("skill", "list")),
):
    technique(f"escape-in-{name}", 9, f"terminal commands in {what}, shown by sc", limit=60,
              trial=lambda s, inside, act=act, view=view: shown(s, inside, act, *view))  # fmt: skip
technique("escape-in-blocked", 9, "the same texts in the view of what was blocked", limit=60,
          trial=lambda s, inside: shown(s, inside, lambda s: (in_path(s), in_host_name(s)), "audit", "--blocked", "--all"))  # fmt: skip
