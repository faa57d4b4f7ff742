"""What a technique is, and the list of them."""

import dataclasses
from typing import Callable, Optional

ALL = {}


@dataclasses.dataclass
class Technique:
    """One way to get out of a sandbox, or past a decision about one.

    `attack(scene)` is the argument vector of the attack; its working directory is the scene's workspace. It runs
    first outside, then as `sc run` runs it. It got through when the scene's secret is in its output, when it
    says so ("THROUGH evidence"), or when `observe(scene, result)` returns evidence: a look at what the attack
    should not have been able to change. `prepare(scene)` plants what is attacked, each time anew.

    What attacks the supervisor instead of a sandbox has `trial(scene, inside)`: it returns the evidence that the
    attack got through, or raises Stopped. Outside it shows the same without what is attacked."""

    name: str
    invariant: int
    what: str
    category: str = ""
    attack: Optional[Callable] = None
    prepare: Optional[Callable] = None
    observe: Optional[Callable] = None
    trial: Optional[Callable] = None
    # Where the attack can be shown outside, when not as the person: said in the row.
    setting: str = ""
    # None: everyone. "root": the kernel refuses an ordinary user outside of any sandbox, too. "user": root is not
    # subject to it.
    only: Optional[str] = None
    skill: Optional[str] = None  # of instance.py
    access: str = "rw"
    terminal: bool = False  # on a terminal of its own
    stdin: Optional[Callable] = None  # scene -> file object or descriptor
    variables: Optional[Callable] = None  # scene -> variables of the client
    limit: float = 20.0  # seconds
    redirected: bool = False  # with a terminal: its output goes into a file all the same
    killed: bool = False  # being ended by force is how it is stopped
    # Endings of the client that are no failure of the run: the command was killed, say.
    endings: tuple = ()
    # The layers without which it gets through (see the guide): each a tuple of names.
    layers: tuple = ()
    hides: str = ""  # a path in the workspace that is protected by configuration
    # scene -> why this machine cannot run it although nothing is wrong, or "".
    impossible: Optional[Callable] = None


class Stopped(Exception):
    """A trial that did not get through; the text says what stopped it."""


def technique(name, invariant, what, **rest):
    """Adds a technique. Its category is the module that names it."""
    assert name not in ALL, name
    assert 1 <= invariant <= 13, name
    ALL[name] = Technique(name, invariant, what, category=CATEGORY[0], **rest)


CATEGORY = [""]


def category(name):
    CATEGORY[0] = name


def shell(text):
    """An attack in the shell's language: $OUT is the directory beside the workspace, $1 … what the scene notes."""
    return lambda scene: ["sh", "-c", f"OUT={scene.outside}\n{text}", "sh", *scene.notes]


def program(name, *arguments):
    """An attack of attacks/: arguments may be functions of the scene."""
    return lambda scene: [
        scene.program, name, *(str(a(scene) if callable(a) else a) for a in arguments), *scene.notes
    ]  # fmt: skip
