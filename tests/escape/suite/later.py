"""Files that run code later: when the person, or a tool of hers, uses the workspace outside."""

import os
import shutil
import subprocess

from suite.technique import category, program, shell, technique

category("later")


def repository(scene):
    """A git repository as somebody left it, with an example of a hook."""
    for folder in ("hooks", "objects", "refs/heads", "info"):
        os.makedirs(f"{scene.workspace}/.git/{folder}")
    scene.work(".git/HEAD", "ref: refs/heads/main\n")
    scene.work(".git/config", "[core]\n\trepositoryformatversion = 0\n\tbare = false\n")
    scene.work(".git/hooks/post-merge", "#!/bin/sh\n", 0o755)


def there(*names):
    """Evidence: one of these exists, or says something else than before."""

    def look(scene, _):
        for name in names:
            path = f"{scene.workspace}/{name}"
            if os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
                return f"{name} is there"
        return None

    return look


def says(name, word):
    return lambda s, _: f"{name} says {word!r}" if word in s.read(f"{s.workspace}/{name}") else None


HOOK = ".git/hooks/post-checkout"

for how in ("open", "creat", "mknod", "link", "symlink", "rename", "renameat2", "tmpfile", "empty-path", "at"):
    technique(f"hook-by-{how}", 3, f"a hook made by {how}", prepare=repository, observe=there(HOOK),
              attack=program("make", lambda _, how=how: how, lambda _: HOOK), layers=(("names",),) if how == "open" else ())  # fmt: skip
technique("hook-by-fifo", 3, "a pipe in the place of a hook", prepare=repository, observe=there(HOOK),
          attack=program("make", lambda _: "fifo", lambda _: HOOK))  # fmt: skip
technique("hook-by-link-outside-name", 3, "a hook by a link to the directory of hooks", prepare=repository, observe=there(HOOK),
          attack=shell("ln -s .git/hooks h; echo evil > h/post-checkout"))  # fmt: skip
technique("hook-by-dots", 3, "a hook by a name with `..` and `.`", prepare=repository, observe=there(HOOK),
          attack=shell("mkdir d; echo evil > ./d/.././.git//hooks/./post-checkout"))  # fmt: skip
technique("hook-by-cwd", 3, "a hook from inside the directory", prepare=repository, observe=there(HOOK),
          attack=shell("cd .git/hooks && echo evil > post-checkout"))  # fmt: skip
technique("hook-by-proc", 3, "a hook by /proc/self/cwd and a descriptor", prepare=repository, observe=there(HOOK),
          attack=shell("echo evil > /proc/self/cwd/.git/hooks/post-checkout; exec 5<.git/hooks; "
                       "echo evil > /proc/self/fd/5/post-checkout"))  # fmt: skip
technique("hook-overwritten", 3, "a hook that exists, with another text", prepare=repository,
          observe=says(".git/hooks/post-merge", "evil"), attack=shell("echo evil >> .git/hooks/post-merge"),
          layers=(("names",),))  # fmt: skip
technique("hook-replaced", 3, "a hook that exists, replaced by rename and by exchange", prepare=repository,
          observe=says(".git/hooks/post-merge", "evil"),
          attack=lambda s: ["sh", "-c", 'echo evil > own; mv -f own .git/hooks/post-merge; echo evil > own; '
                            '"$1" exchange own .git/hooks/post-merge', "sh", s.program])  # fmt: skip
technique("hooks-moved-away", 3, "the directory of hooks moved, and another in its place", prepare=repository,
          observe=there(HOOK),
          attack=shell("mkdir own; echo evil > own/post-checkout; mv .git/hooks gone; mv own .git/hooks"))  # fmt: skip
technique("hooks-exchanged", 3, "the directory of hooks exchanged", prepare=repository, observe=there(HOOK),
          attack=lambda s: ["sh", "-c", 'mkdir own; echo evil > own/post-checkout; "$1" exchange own .git/hooks', "sh", s.program])  # fmt: skip
technique("git-directory-moved", 3, "the repository moved, and another in its place", prepare=repository,
          observe=there(HOOK), attack=shell("mkdir -p own/hooks; echo evil > own/hooks/post-checkout; mv .git gone; mv own .git"))  # fmt: skip
technique("git-directory-renamed", 3, "a directory that becomes .git by its name", observe=there(HOOK),
          attack=shell("mkdir -p own/hooks own/objects own/refs; echo evil > own/hooks/post-checkout; mv own .git"))  # fmt: skip
technique("git-parent-renamed", 3, "a directory that becomes .git/hooks's parent", observe=there("a/" + HOOK),
          attack=shell("mkdir -p b/own/hooks; echo evil > b/own/hooks/post-checkout; mv b a; mv a/own a/.git"))  # fmt: skip
technique("git-link", 3, "a link that is called .git",
          observe=lambda s, _: "a link" if os.path.islink(s.workspace + "/.git") else None,
          attack=shell("mkdir -p own/hooks; echo evil > own/hooks/post-checkout; ln -s own .git"))  # fmt: skip
technique("git-file", 3, "a file .git that points to a directory of the attack's", observe=there(".git"),
          attack=shell("mkdir -p own/hooks; echo evil > own/hooks/post-checkout; echo 'gitdir: own' > .git"))  # fmt: skip
technique("git-directory-linked", 3, "hard links of a hook into a repository", prepare=repository, observe=there(HOOK),
          attack=shell("echo evil > own; ln own .git/hooks/post-checkout; ln -s own .git/hooks/post-checkout"))  # fmt: skip
technique("nested-hook", 3, "a hook of a repository in a directory below", observe=there("sub/dir/" + HOOK),
          attack=shell("mkdir -p sub/dir/.git/hooks; echo evil > sub/dir/" + HOOK))  # fmt: skip


def git(*arguments):
    return " ".join(("git", *arguments))


def no_git(_):
    return "" if shutil.which("git") else "there is no git"


CONFIG = ".git/config"

technique("config-overwritten", 3, "the repository's configuration, with a program to run", prepare=repository,
          observe=says(CONFIG, "fsmonitor"),
          attack=shell("printf '[core]\\n\\tfsmonitor = ./evil\\n' >> .git/config"))  # fmt: skip
technique("config-replaced", 3, "the same by rename", prepare=repository, observe=says(CONFIG, "sshCommand"),
          attack=shell("printf '[core]\\n\\tsshCommand = ./evil\\n' > own; mv -f own .git/config"))  # fmt: skip
technique("config-by-lock", 3, "the same as git does it, by config.lock", prepare=repository, observe=says(CONFIG, "pager"),
          attack=shell("{ cat .git/config; printf '[core]\\n\\tpager = ./evil\\n'; } > .git/config.lock; "
                       "mv .git/config.lock .git/config"))  # fmt: skip


def setting(name, value):
    """A key that runs a program, set by git itself, in a repository that it makes."""
    word = name.rsplit(".", maxsplit=1)[-1]
    technique(f"config-{name.replace('.', '-').lower()}", 3, f"git config {name}", impossible=no_git, observe=says(CONFIG, word),
              attack=shell(git("init", "-q", ".") + "; " + git("config", f"'{name}'", f"'{value}'") + "; :"))  # fmt: skip


setting("core.hooksPath", "own")
setting("core.fsmonitor", "./evil")
setting("alias.st", "!./evil")
setting("filter.x.clean", "./evil")
setting("include.path", "../evil.config")
setting("credential.helper", "!./evil")
technique("config-of-clone", 3, "a key that runs a program, set while cloning", impossible=no_git,
          observe=says("copy/.git/config", "fsmonitor"),
          attack=shell("git init -q own; git -C own -c user.name=a -c user.email=a@b commit -q --allow-empty -m a; "
                       "git clone -q -c core.fsmonitor=./evil own copy; :"))  # fmt: skip
technique("hook-by-template", 3, "git init with a template of the attack's", impossible=no_git, observe=there(HOOK),
          attack=shell("mkdir -p t/hooks; echo evil > t/hooks/post-checkout; chmod +x t/hooks/*; git init -q --template=t ."))  # fmt: skip
technique("modules-file", 3, ".gitmodules with a command", prepare=repository, observe=there(".gitmodules"),
          attack=shell("printf '[submodule \"a\"]\\n\\tupdate = !./evil\\n' > .gitmodules"))  # fmt: skip
technique("modules-file-by-lock", 3, ".gitmodules by the name that git renames to it", prepare=repository,
          observe=there(".gitmodules.lock", ".gitmodules"),
          attack=shell("printf '[submodule \"a\"]\\n\\tupdate = !./evil\\n' > .gitmodules.lock; mv .gitmodules.lock .gitmodules"))  # fmt: skip


def person_configures(scene):
    """A repository in which the person sets a name, again and again."""
    nested(scene)
    loop = "i=0; echo ready; while :; do git config -f config --replace-all user.name pat$((i=i+1)); done"
    scene.spawn("sh", "-c", loop, cwd=scene.workspace + "/sub/dir/.git", stderr=subprocess.DEVNULL)


for how in ("written", "replaced"):
    technique(f"config-of-the-person-{how}", 3, f"the lock that the person's git is about to rename to the configuration, {how}",
              prepare=person_configures, impossible=no_git, observe=says("sub/dir/.git/config", "fsmonitor"), limit=60,
              attack=program("lock", lambda _, how=how: how, lambda _: "sub/dir/.git/config.lock"))  # fmt: skip
technique("old-remote", 3, "a remote in the old form, which nobody sees in the configuration", prepare=repository,
          observe=there(".git/remotes/backup", ".git/branches/backup"),
          attack=shell("mkdir -p .git/remotes .git/branches; echo URL: https://evil.example/ > .git/remotes/backup; "
                       "echo https://evil.example/ > .git/branches/backup"))  # fmt: skip
technique("hook-of-submodule", 3, "a hook in the repository of a submodule", prepare=repository,
          observe=there(".git/modules/a/hooks/post-checkout"),
          attack=shell("mkdir -p .git/modules/a/hooks; echo evil > .git/modules/a/hooks/post-checkout"))  # fmt: skip
technique("hook-of-worktree", 3, "hooks and configuration in a worktree's directory", prepare=repository,
          observe=there(".git/worktrees/a/hooks/x", ".git/worktrees/a/config.worktree"),
          attack=shell("mkdir -p .git/worktrees/a/hooks; echo evil > .git/worktrees/a/hooks/x; "
                       "printf '[core]\\n\\tfsmonitor = ./evil\\n' > .git/worktrees/a/config.worktree"))  # fmt: skip
technique("common-directory-file", 3, "a repository whose commondir leads elsewhere", prepare=repository,
          observe=there(".git/commondir"), attack=shell("echo ../own > .git/commondir"))  # fmt: skip

# --- Names that other programs obey.

NAMES = {
    "environment-file": ".envrc", "editor-tasks": ".vscode/tasks.json", "editor-settings": ".vscode/settings.json",
    "idea": ".idea/workspace.xml", "agent-servers": ".mcp.json", "claude-settings": ".claude/settings.json",
    "codex-configuration": ".codex/config.toml", "shell-profile": ".profile", "shell-bashrc": ".bashrc",
    "shell-zshrc": ".zshrc", "shell-login": ".bash_profile", "shell-aliases": ".bash_aliases", "shell-fish": ".config/fish/config.fish",
    "entering": ".mise.toml", "entering-cache": ".direnv/flake-profile.rc", "debugger": ".gdbinit", "interpreter": ".pdbrc",
    "terminal": ".tmux.conf", "session": ".xprofile", "keys": ".inputrc", "editor-container": ".devcontainer/devcontainer.json",
    "editor-workspace": "x.code-workspace", "editor-zed": ".zed/settings.json", "editor-vim": ".exrc", "editor-helix": ".helix/languages.toml",
    "agent-cursor": ".cursor/mcp.json", "agent-gemini": ".gemini/settings.json", "agent-hooks": ".github/hooks/a.json",
    "agent-opencode": "opencode.json", "mercurial": ".hg/hgrc", "jujutsu": ".jj/repo/config.toml", "husky": ".husky/pre-commit",
}  # fmt: skip
for label, path in NAMES.items():
    technique(f"new-{label}", 3, f"{path}, made", observe=there(path),
              attack=shell(f"mkdir -p \"$(dirname {path})\"; echo evil > {path}"))  # fmt: skip
technique("existing-environment-file", 3, ".envrc, changed", prepare=lambda s: s.work(".envrc", "# ours\n"),
          observe=says(".envrc", "evil"), attack=shell("echo evil >> .envrc; echo evil > own; mv -f own .envrc; cp own .envrc; :"),
          )  # fmt: skip
technique("existing-tasks", 3, ".vscode/tasks.json, changed or made beside what exists",
          prepare=lambda s: s.work(".vscode/settings.json", "{}\n"), observe=there(".vscode/tasks.json"),
          attack=shell("echo evil > .vscode/tasks.json; echo evil > own; mv own .vscode/tasks.json"))  # fmt: skip
technique("editor-directory-renamed", 3, "a directory that becomes .vscode by its name", observe=there(".vscode/tasks.json"),
          attack=shell("mkdir own; echo evil > own/tasks.json; mv own .vscode"))  # fmt: skip
technique("holder-renamed", 3, "directories that become .hg and .config by their names", observe=there(".hg/hgrc", ".config/fish"),
          attack=shell("mkdir own more more/fish; echo evil > own/hgrc; mv own .hg; echo evil > more/fish/config.fish; mv more .config"))  # fmt: skip
for label, name in {"unicode": ".ba\u017fhrc", "invisible": ".envrc\u200b", "dots": ".envrc. .", "stream": ".envrc::$DATA",
                    "dos": "GIT~1"}.items():  # fmt: skip
    technique(f"name-folded-{label}", 3, f"{name!a}, which is another name to some file systems", observe=there(name),
              attack=shell(f"echo evil > '{name}'"))  # fmt: skip
technique("name-in-subdirectory", 3, ".envrc in a directory that is moved to the top", observe=there("top/.envrc"),
          attack=shell("mkdir -p a/b; echo evil > a/b/.envrc; mv a/b top"))  # fmt: skip
technique("name-by-archive", 3, "tar, which makes names of its own", observe=there(".envrc", HOOK), impossible=lambda s:
          "" if shutil.which("tar") else "there is no tar", prepare=lambda s: archive(s), attack=shell("tar -xf evil.tar; :"))  # fmt: skip


def archive(scene):
    for name in (".envrc", HOOK):
        scene.write(name, "evil\n", 0o755, where=scene.outside + "/tree")
    subprocess.run(["tar", "-cf", scene.workspace + "/evil.tar", "-C", scene.outside + "/tree", "."], check=True)


# --- While the name is judged (invariant 13).

for how in ("open", "mkdir", "link", "symlink", "rename"):
    technique(f"name-race-by-{how}", 13, f"the name exchanged by a thread while {how} is judged", limit=60,
              attack=program("name-race", lambda _, how=how: how, lambda _: ".enxrc", lambda _: ".envrc"),
              **({"layers": (("names",),)} if how == "open" else {}))  # fmt: skip
technique("name-race-of-threads", 13, "the same with eight threads that write", limit=60,
          attack=program("name-race", lambda _: "open", lambda _: ".enxrc", lambda _: ".envrc", lambda _: 8))  # fmt: skip
technique("hook-race", 13, "a hook's name exchanged while it is judged",
          prepare=lambda s: (repository(s), os.makedirs(s.workspace + "/.git/hookz")), limit=60,
          attack=program("name-race", lambda _: "open", lambda _: ".git/hookz/abc", lambda _: ".git/hooks/abc"))  # fmt: skip
technique("parent-race", 13, "a directory exchanged for a link while a name below is judged", prepare=repository, limit=60,
          attack=program("parent-race", lambda _: ".git/hooks", lambda _: "post-checkout"))  # fmt: skip
technique("interrupted-call", 13, "signals that interrupt the call while it is judged", limit=60,
          attack=program("interrupted-make", lambda _: ".envrc"))  # fmt: skip
technique("dying-caller", 13, "callers that die while their call is judged", limit=60,
          attack=program("dying-make", lambda _: ".envrc"))  # fmt: skip


# --- Repositories in directories below, which exist already: by name, without mounts.

NESTED = "sub/dir/.git/hooks/post-merge"


def nested(scene):
    scene.work("sub/dir/.git/HEAD", "ref: refs/heads/main\n")
    scene.work("sub/dir/.git/config", "[core]\n\tbare = false\n")
    scene.work(NESTED, "#!/bin/sh\n", 0o755)


def on_nested(name, what, text):
    technique(f"nested-{name}", 3, f"a hook that exists in a directory below, {what}", prepare=nested,
              observe=lambda s, r: says(NESTED, "evil")(s, r) or (None if s.read(f"{s.workspace}/{NESTED}") else "it is empty")
              if os.path.exists(f"{s.workspace}/{NESTED}") else None,
              attack=lambda s: ["sh", "-c", f"H={NESTED}\n{text}", "sh", s.program])  # fmt: skip


on_nested("hook-appended", "appended to", 'echo evil >> "$H"')
on_nested("hook-opened", "opened for both", 'echo evil 1<> "$H"')
on_nested("hook-truncated", "cut off", ': > "$H"; truncate -s 0 "$H"')
on_nested("hook-linked", "by another name of it", 'ln "$H" own; echo evil >> own; cp -l "$H" own2; echo evil >> own2')
on_nested("hook-moved-away", "moved, written, moved back", 'mv "$H" own; echo evil >> own; mv own "$H"')
on_nested("hook-directory-moved-away", "with its directory moved away and back",
          'mv sub/dir/.git/hooks own; echo evil >> own/post-merge; mv own sub/dir/.git/hooks')  # fmt: skip
on_nested("hook-repository-moved-away", "with its repository moved away and back",
          'mv sub/dir/.git own; echo evil >> own/hooks/post-merge; mv own sub/dir/.git')  # fmt: skip
on_nested("hook-among-objects", "with its repository among another one's objects",
          'mkdir -p own/.git/objects; mv sub/dir own/.git/objects/d; echo evil >> own/.git/objects/d/.git/hooks/post-merge; '
          'mv own/.git/objects/d sub/dir')  # fmt: skip
on_nested("hook-with-parents-moved", "with the directories above it moved",
          'mv sub other; echo evil >> other/dir/.git/hooks/post-merge; mv other sub')  # fmt: skip
on_nested("hook-by-descriptor", "by a descriptor for reading, opened again",
          'exec 5< "$H"; echo evil >> /proc/self/fd/5; echo evil >> /dev/fd/5; echo evil >> /proc/$$/fd/5')  # fmt: skip
on_nested("hook-by-directory-descriptor", "by a descriptor of its directory",
          'exec 5< sub/dir/.git/hooks; echo evil >> /proc/self/fd/5/post-merge; cd sub/dir/.git/hooks; echo evil >> post-merge')  # fmt: skip
on_nested("hook-replaced", "replaced", 'echo evil > own; mv -f own "$H"; cp -f own "$H"; "$1" exchange own "$H"; ln -f own "$H"')
on_nested("hook-deleted-and-made", "deleted and made anew", 'rm -f "$H"; echo evil > "$H"')

# --- Configuration that is written in a way that only git understands.

DISGUISED = {
    "same-line": "[core] fsmonitor = ./evil\n", "capitals": "[CoRe]\n\tFSMonitor = ./evil\n",
    "continued": "[core]\n\tbare = fal\\\nse\n\tfsmonitor = \\\n./evil\n", "after-comment": "; [user]\n[core] ; x\nfsmonitor=./evil\n",
    "quoted": '[core]\n\tfsmonitor = "./evil"\n', "carriage-return": "[core]\r\n\tfsmonitor = ./evil\r\n",
    "byte-order-mark": "\ufeff[core]\n\tfsmonitor = ./evil\n", "old-form": "[filter.X]\n\tclean = ./evil\n",
    "conditional": '[includeIf "gitdir:/"]\n\tpath = ../evil.config\n', "empty-section": "[alias]st = !./evil\n",
    "no-value": "[core]\n\thooksPath\n\thookspath = own\n", "protocol": '[remote "o"]\n\tvcs = evil\n\tuploadpack = ./evil\n',
    "long": "[user]\n\tname = " + "x" * 70000 + "\n[core]\n\tfsmonitor = ./evil\n", "nul": "[user]\n\tname = a\x00\n[core]\n\tfsmonitor = ./evil\n",
}  # fmt: skip
RUNS = ("fsmonitor", "hookspath", "clean", "path", "alias.", "vcs", "uploadpack", "evil")


def git_reads(scene, _):
    """What git itself finds in the file."""
    path = scene.workspace + "/own/.git/config"
    ran = subprocess.run(["git", "config", "--file", path, "--list"], capture_output=True, text=True, errors="replace", check=False)
    found = [line for line in ran.stdout.lower().splitlines() if any(word in line for word in RUNS)]
    return f"git reads {found[0][:60]}" if found else None


for label, content in DISGUISED.items():
    technique(f"config-{label}", 3, f"a program in the configuration of a new repository, {label.replace('-', ' ')}",
              impossible=no_git, observe=git_reads,
              prepare=lambda s, content=content: s.work("evil.lock", content),
              attack=shell("git init -q own; cp evil.lock own/.git/config.lock; mv own/.git/config.lock own/.git/config; :"))  # fmt: skip

# --- Directories that git takes for a repository, whatever their name.

EVIL = "[core]\\n\\tbare = false\\n\\tworktree = .\\n\\tfsmonitor = ./evil\\n"


def is_repository(scene, _):
    """What git outside makes of it: it runs what the configuration names."""
    scene.write("gitconfig", "[safe]\n\tdirectory = *\n")
    for place in (".", "own", "own.git"):
        folder = f"{scene.workspace}/{place}"
        if not os.path.isdir(folder):
            continue
        ran = subprocess.run(["git", "config", "--get-regexp", "fsmonitor|hookspath"], cwd=folder, capture_output=True, text=True,
                             env=dict(scene.instance.environment, GIT_CONFIG_GLOBAL=scene.outside + "/gitconfig",
                                      GIT_CONFIG_NOSYSTEM="1"), check=False)  # fmt: skip
        if ran.stdout.strip():
            return f"git obeys {place}/config"
        if os.path.exists(folder + "/hooks/post-checkout") and os.path.exists(folder + "/HEAD"):
            return f"git finds a hook in {place}"
    return None


def disguised_repository(name, what, text, **rest):
    technique(f"repository-{name}", 3, what, impossible=no_git, observe=is_repository,
              attack=lambda s: ["sh", "-c", f"C='{EVIL}'\nR='ref: refs/heads/main'\n{text}", "sh", s.program], **rest)  # fmt: skip


disguised_repository("at-the-top", "HEAD, objects, refs and a configuration at the top of the workspace",
                     'mkdir objects refs; echo "$R" > HEAD; printf "$C" > config')  # fmt: skip
disguised_repository("below", "the same in a directory", 'mkdir -p own/objects own/refs; printf "$C" > own/config; echo "$R" > own/HEAD')
disguised_repository("by-links", "the same by links", 'mkdir o r own; echo "$R" > h; printf "$C" > own/config; cd own; ln -s ../o objects; '
                     'ln -s ../r refs; ln ../h HEAD')  # fmt: skip
disguised_repository("by-rename", "the same by renaming", 'mkdir -p own/o own/r; echo "$R" > own/h; printf "$C" > own/config; '
                     'mv own/h own/HEAD; mv own/o own/objects; mv own/r own/refs')  # fmt: skip
disguised_repository("by-exchange", "the same by exchanging", 'mkdir -p own/objects own/o own/r; echo x > own/refs; echo "$R" > own/HEAD; '
                     'printf "$C" > own/config; rm own/refs; mkdir own/r2; "$1" exchange own/r2 own/o; mv own/r2 own/refs')  # fmt: skip
disguised_repository("by-commondir", "the same by a file that names the directory of the others",
                     'mkdir -p own other/objects other/refs; printf "$C" > other/config; echo ../other > own/commondir; echo "$R" > own/HEAD')  # fmt: skip
disguised_repository("bare", "a bare repository with a hook", 'mkdir -p own.git/objects own.git/refs own.git/hooks; echo "$R" > own.git/HEAD; '
                     'echo evil > own.git/hooks/post-checkout; printf "$C" > own.git/config')  # fmt: skip
disguised_repository("bare-renamed", "a directory that is made before it is called a repository",
                     'mkdir -p own/objects own/refs own/hooks; echo evil > own/hooks/post-checkout; printf "$C" > own/config; '
                     'mv own own.git; echo "$R" > own.git/HEAD')  # fmt: skip
disguised_repository("by-pipe", "the same by a pipe that is moved to where git looks for a directory",
                     'mkdir -p own/objects; echo "$R" > own/HEAD; printf "$C" > own/config; mkfifo -m 777 own/p; mv own/p own/refs')  # fmt: skip
disguised_repository("of-git", "git init --bare, and then a hook and a configuration",
                     'git init -q --bare own.git; echo evil > own.git/hooks/post-checkout; git -C own.git config core.fsmonitor ./evil; '
                     'git init -q --bare own; echo evil > own/hooks/post-checkout; printf "$C" > own/config; :')  # fmt: skip


def separate(scene):
    """As git init --separate-git-dir makes it."""
    for folder in ("objects", "refs", "hooks"):
        os.makedirs(f"{scene.workspace}/own.git/{folder}")
    scene.work("own.git/HEAD", "ref: refs/heads/main\n")
    scene.work("own.git/config", "[core]\n\tbare = false\n")
    scene.work(".git", "gitdir: own.git\n")


def mirror(scene):
    """A bare repository under a name without .git."""
    for folder in ("objects", "refs", "hooks"):
        os.makedirs(f"{scene.workspace}/own/{folder}")
    scene.work("own/HEAD", "ref: refs/heads/main\n")
    scene.work("own/config", "[core]\n\tbare = true\n")


technique("bare-under-another-name", 3, "a hook and a key in a bare repository that exists and is not called so", prepare=mirror,
          impossible=no_git, observe=is_repository,
          attack=shell("echo evil > own/hooks/post-checkout; mv own/HEAD h; printf '[core]\n\tfsmonitor = ./evil\n' >> own/config; "
                       "mv h own/HEAD; mkdir more; echo evil > more/post-checkout; mv own/hooks gone; mv more own/hooks"))  # fmt: skip
technique("separate-git-directory", 3, "a hook and a key where the repository lies beside its files", prepare=separate,
          impossible=no_git, observe=is_repository,
          attack=shell("echo evil > own.git/hooks/post-checkout; printf '[core]\n\tfsmonitor = ./evil\n' >> own.git/config"))  # fmt: skip
