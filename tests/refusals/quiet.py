"""Programs that work in a sandbox and of which nothing may be recorded as refused.

Each runs in a workspace of its own, must end with 0, and leaves an outcome without refused accesses. The words in
braces are those of cases.py; {url} is an approved server, which the proxy reaches.
"""

from dataclasses import dataclass, field


@dataclass
class Quiet:
    name: str
    script: str
    needs: list = field(default_factory=list)
    files: dict = field(default_factory=dict)
    setup: str = ""  # outside, in the workspace, before
    shell: str = "/bin/sh"
    skill: str = ""
    home: str = ""  # "full": with the things in it that cases.py has; else one with nothing in it
    timeout: str = "120s"


def quiet(name, script, *needs, **more):
    return Quiet(name, script, list(needs), **more)


HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'
HELLO_CC = '#include <iostream>\n#include <map>\nint main() { std::cout << "hello" << std::endl; }\n'
CMAKE = "cmake_minimum_required(VERSION 3.16)\nproject(hello C CXX)\nadd_executable(hello hello.c)\n"
MAKEFILE = "hello: hello.o\n\t$(CC) -o $@ $^\n%.o: %.c\n\t$(CC) -O2 -c -o $@ $<\n.PHONY: test\ntest: hello\n\t./hello\n"
IDENTITY = "git config --global user.name a; git config --global user.email a@b.example"
REPOSITORY = (
    "git init -q . && git config user.name a && git config user.email a@b.example && echo one > a && "
    "git add a && git commit -q -m one && echo two >> a && git commit -q -a -m two"
)
THREADS = """
import threading
total = []
threads = [threading.Thread(target=total.append, args=(i,)) for i in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
assert sorted(total) == list(range(20))
"""
PROCESSES = """
import multiprocessing
def square(x): return x * x
if __name__ == "__main__":
    with multiprocessing.Pool(4) as pool:
        assert pool.map(square, range(50)) == [x * x for x in range(50)]
    with multiprocessing.Manager() as manager:
        shared = manager.dict(a=1)
        assert dict(shared) == {"a": 1}
"""
SERVER = """
import http.server, threading, urllib.request
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
assert opener.open(f"http://127.0.0.1:{server.server_port}/").status == 200
server.shutdown()
"""
ASYNCIO = """
import asyncio
async def main():
    child = await asyncio.create_subprocess_exec("echo", "x", stdout=asyncio.subprocess.PIPE)
    assert (await child.communicate())[0] == b"x\\n"
    server = await asyncio.start_unix_server(lambda r, w: w.close(), path="socket")
    reader, writer = await asyncio.open_unix_connection("socket")
    assert await reader.read() == b""
    server.close()
asyncio.run(main())
"""
NODE_SERVER = """
const http = require('http');
const server = http.createServer((q, a) => a.end('x')).listen(0, '127.0.0.1', () =>
  http.get({port: server.address().port, host: '127.0.0.1'}, (a) => a.resume().on('end', () => server.close())));
"""
NODE_WORKERS = """
const {Worker, isMainThread, parentPort} = require('worker_threads');
if (isMainThread) new Worker(__filename).on('message', (m) => process.exit(m === 1 ? 0 : 1));
else parentPort.postMessage(1);
"""
NPM = {
    "package.json": '{"name": "x", "version": "1.0.0", "scripts": {"start": "node -e 0"}, '
    '"dependencies": {"dep": "file:dep-1.0.0.tgz"}}',
    "dep/package.json": '{"name": "dep", "version": "1.0.0", "main": "index.js"}',
    "dep/index.js": "module.exports = 42\n",
}
NPM_SETUP = (
    "(cd dep && npm pack --silent --pack-destination .. >/dev/null) && rm -r dep && "
    "npm install --offline --package-lock-only --ignore-scripts --no-audit --no-fund --silent"
)
TMUX = """
tmux -L t new-session -d -x 80 -y 24 sh
tmux -L t send-keys 'echo in-$((40+2)); tmux -L t wait-for -S done' Enter
tmux -L t wait-for done
tmux -L t capture-pane -p | grep -q in-42 && tmux -L t kill-server
"""

GIT = [
    quiet("git-init", "git init -q . && git status", "git"),
    quiet("git-status", "git status --short", "git", setup=REPOSITORY),
    quiet("git-status-full-home", "git status --short", "git", setup=REPOSITORY, home="full"),
    quiet("git-commit-person", "echo b > b && git add b && git commit -q -m b && git log -1 --format='%an %ae' | "
          "grep -qx 'Ada ada@a.example' && git config --global core.editor true && ! git config --global core.pager",
          "git", setup=REPOSITORY + " && git config --unset user.name && git config --unset user.email", home="full"),
    quiet("git-everyday", "git status -s; git diff; git log -3; git branch; git stash list; git show; git remote -v; git tag; "
          "git blame a; git check-ignore x; git ls-files; git add -A; git rev-parse HEAD; git config -l", "git",
          setup=REPOSITORY, home="full"),
    quiet("git-log", "git log --oneline && git log -p", "git", setup=REPOSITORY),
    quiet("git-diff", "echo three >> a && git diff && git diff --stat HEAD~1", "git", setup=REPOSITORY),
    quiet("git-commit", "echo b > b && git add b && git commit -q -m b", "git", setup=REPOSITORY),
    quiet("git-commit-new", f"{IDENTITY}; git init -q . && echo b > b && git add b && git commit -q -m b", "git"),
    quiet("git-branch-merge", "git checkout -q -b x && echo b > b && git add b && git commit -q -m b && "
          "git checkout -q - && git merge -q x", "git", setup=REPOSITORY),
    quiet("git-rebase", "git checkout -q -b x HEAD~1 && echo b > b && git add b && git commit -q -m b && "
          "git rebase -q master 2>/dev/null || git rebase -q main", "git", setup=REPOSITORY),
    quiet("git-stash", "echo x >> a && git stash -q && git stash pop -q", "git", setup=REPOSITORY),
    quiet("git-clone-local", "git clone -q . copy && cd copy && git log --oneline", "git", setup=REPOSITORY),
    quiet("git-worktree", "git worktree add -q tree HEAD && cd tree && git status --short", "git", setup=REPOSITORY),
    quiet("git-grep-blame", "git grep two && git blame a && git show HEAD", "git", setup=REPOSITORY),
    quiet("git-gc", "git gc -q && git fsck", "git", setup=REPOSITORY),
    quiet("git-tag-archive", "git tag v1 && git archive v1 | tar t", "git", "tar", setup=REPOSITORY),
    quiet("git-remote", "git init -q new && cd new && git remote add origin https://a.example/b && git remote -v", "git"),
]  # fmt: skip

BUILD = [
    quiet("gcc", "gcc -o hello hello.c && ./hello", "gcc", files={"hello.c": HELLO}),
    quiet("gcc-optimised", "gcc -O2 -g -Wall -flto -o hello hello.c && ./hello", "gcc", files={"hello.c": HELLO}),
    quiet("gcc-static", "gcc -static -o hello hello.c && ./hello", "gcc", files={"hello.c": HELLO}),
    quiet("g++", "g++ -std=c++20 -o hello hello.cc && ./hello", "g++", files={"hello.cc": HELLO_CC}),
    quiet("gcc-sanitized", "gcc -fsanitize=address,undefined -o hello hello.c && ASAN_OPTIONS=detect_leaks=0 ./hello",
          "gcc", files={"hello.c": HELLO}),
    quiet("make", "make -j4 test && make test", "make", "gcc", files={"hello.c": HELLO, "Makefile": MAKEFILE}),
    quiet("cmake", "cmake -S . -B build >/dev/null && cmake --build build >/dev/null && build/hello", "cmake", "gcc", "g++",
          files={"hello.c": HELLO, "CMakeLists.txt": CMAKE}),
    quiet("cmake-ninja", "cmake -G Ninja -S . -B build >/dev/null && ninja -C build >/dev/null && build/hello",
          "cmake", "ninja", "gcc", "g++", files={"hello.c": HELLO, "CMakeLists.txt": CMAKE}),
    quiet("binutils", "gcc -c hello.c && ar rc l.a hello.o && nm l.a && objdump -d hello.o >/dev/null && strip hello.o",
          "gcc", "objdump", files={"hello.c": HELLO}),
    quiet("pkg-config", "pkg-config --list-all >/dev/null", "pkg-config"),
    quiet("go", "HOME=/tmp go build -o hello hello.go && ./hello", "go",
          files={"hello.go": 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n',
                 "go.mod": "module hello\n"}),
    quiet("java", "java Hello.java", "java", "javac",
          files={"Hello.java": 'class Hello { public static void main(String[] a) { System.out.println("hello"); } }\n'}),
]  # fmt: skip

PYTHON = [
    quiet("python", "python3 -c 'print(1)'", "python3"),
    quiet("python-imports", "python3 -c 'import json, ssl, sqlite3, ctypes, asyncio, http.client, urllib.request, email, "
          "xml.etree.ElementTree, decimal, zoneinfo, tempfile, logging, unittest, concurrent.futures, readline'", "python3"),
    quiet("python-threads", "python3 threads.py", "python3", files={"threads.py": THREADS}),
    quiet("python-multiprocessing", "python3 processes.py", "python3", files={"processes.py": PROCESSES}),
    quiet("python-venv", "python3 -m venv --without-pip v && v/bin/python -c 'import sys; assert sys.prefix.endswith(\"v\")'",
          "python3"),
    quiet("python-packages", "mkdir -p p/q && touch p/__init__.py p/q/__init__.py && python3 -c 'import p.q' && ls p/__pycache__",
          "python3"),
    quiet("python-server", "python3 server.py 2>/dev/null", "python3", files={"server.py": SERVER}),
    quiet("python-asyncio", "python3 main.py", "python3", files={"main.py": ASYNCIO}),
    quiet("python-sqlite", "python3 -c \"import sqlite3; c = sqlite3.connect('x.db'); c.execute('create table t (a)'); "
          "c.commit()\"", "python3"),
    quiet("python-unittest", "python3 -m unittest -q test_x.py", "python3",
          files={"test_x.py": "import unittest\nclass T(unittest.TestCase):\n  def test(self): self.assertTrue(True)\n"}),
    quiet("python-compileall", "python3 -m compileall -q .", "python3", files={"m.py": "x = 1\n"}),
    quiet("python-zip", "python3 -m zipfile -c z.zip a && python3 -m zipfile -l z.zip", "python3", files={"a": "x"}),
    quiet("python-subprocess", "python3 -c 'import subprocess; assert subprocess.check_output([\"echo\", \"x\"]) == b\"x\\n\"'",
          "python3"),
    quiet("python-user-site", "python3 -c 'import site; print(site.getusersitepackages())'", "python3", home="full"),
]  # fmt: skip

NODE = [
    quiet("node", "node -e 'console.log(1)'", "node"),
    quiet("node-files", "node -e \"const fs = require('fs'); fs.writeFileSync('a', 'x'); fs.readFileSync('a'); "
          "fs.mkdirSync('d/e', {recursive: true}); fs.readdirSync('.'); fs.rmSync('d', {recursive: true})\"", "node"),
    quiet("node-modules", "node main.js", "node",
          files={"main.js": "require('./m'); require('crypto').randomBytes(8); require('os').cpus()\n", "m.js": ""}),
    quiet("node-esm", "node main.mjs", "node",
          files={"main.mjs": "import fs from 'node:fs/promises'; await fs.readFile('main.mjs');\n"}),
    quiet("node-workers", "node main.js", "node", files={"main.js": NODE_WORKERS}),
    quiet("node-server", "node main.js", "node", files={"main.js": NODE_SERVER}),
    quiet("node-child", "node -e \"require('child_process').execSync('echo x')\"", "node"),
    quiet("node-test", "node --test", "node", files={"x.test.js": "require('node:test')('x', () => {})\n"}),
    quiet("npm-ci", "npm ci --offline --no-audit --no-fund --silent && node -e \"if (require('dep') !== 42) throw 1\"",
          "npm", files=NPM, setup=NPM_SETUP),
    quiet("npm-full-home", "npm start --silent && npm ls --silent", "npm", files={"package.json": '{"name": "x", '
          '"version": "1.0.0", "scripts": {"start": "true"}}'}, home="full"),
    quiet("npm-run", "npm start --silent", "npm", files={"package.json": NPM["package.json"]}),
]  # fmt: skip

NETWORK = [
    quiet("curl-approved", "curl -sS {url} | grep -q hello", "curl", skill="net"),
    quiet("python-approved", "python3 -c \"import socket; socket.create_connection(('127.0.0.1', 18800)).close()\"",
          "python3", skill="net"),
    quiet("curl-file", "curl -sS file://$PWD/a", "curl", files={"a": "x"}),
    quiet("own-loopback", "mkfifo p; python3 -u -m http.server -b 127.0.0.1 8000 > p 2>/dev/null & read line < p; "
          "curl -sS --noproxy '*' http://127.0.0.1:8000/ >/dev/null; s=$?; kill $!; exit $s", "python3", "curl"),
    quiet("closed-port", "! curl -sS --noproxy '*' http://127.0.0.1:9/ 2>/dev/null", "curl"),
]  # fmt: skip

TOOLS = [
    quiet("shell", "x=1; [ $x = 1 ] && echo $((x + 1)) | cat > out && test -s out"),
    quiet("shell-missing", "! cat nothing 2>/dev/null; ! [ -e ~/nothing ]; ! ls /nothing 2>/dev/null"),
    quiet("shell-missing-full-home", "! cat ~/nothing 2>/dev/null; ! [ -e ~/.config/nothing ]", home="full"),
    quiet("command-not-found", "! no-such-program 2>/dev/null"),
    quiet("bash-login", "true", "bash", shell="/bin/bash -l"),
    quiet("bash-arrays", "a=(1 2 3); printf '%s\\n' \"${a[@]}\" | sort -r; cat <(echo x) <<< y", "bash", shell="/bin/bash"),
    quiet("bash-job-control", "sleep 0.1 & wait; trap 'true' INT; kill -INT $$", "bash", shell="/bin/bash"),
    quiet("list-home", "ls -la ~; ls -la / >/dev/null"),
    quiet("list-full-home", "ls -la ~ && test -z \"$(ls ~)\"", home="full"),
    quiet("write-own-home", "echo x > ~/.bashrc && cat ~/.bashrc && rm ~/.bashrc", home="full"),
    quiet("directory-in-own-home", "mkdir -p ~/.ssh ~/.cache/x && echo x > ~/.ssh/id_rsa && cat ~/.ssh/id_rsa", home="full"),
    quiet("rename-in-own-home", "echo x > ~/a && mv ~/a ~/notes.txt && cat ~/notes.txt", home="full"),
    quiet("temporary", "f=$(mktemp) && d=$(mktemp -d) && echo x > $f && mv $f $d && rm -r $d && mkfifo /tmp/p"),
    quiet("find", "find . && find /usr/share -maxdepth 1 >/dev/null"),
    quiet("coreutils", "seq 1000 | sort -rn | uniq | head -5 | tee out | wc -l; cp out b; ln b c; ln -s b d; chmod 600 b; "
          "touch -d yesterday b; du -s .; df . >/dev/null; md5sum b; date; id; nproc; uname -a; realpath d; dd if=/dev/zero of=z "
          "bs=1k count=9 2>/dev/null; truncate -s 5 z; od z; base64 z; split -b 2 z; sync z; stat b; env >/dev/null; mv b e"),
    quiet("text", "printf 'a b\\nc d\\n' > t; sed -i s/a/x/ t; awk '{print $2}' t; tr a-z A-Z < t; cut -d' ' -f1 t; grep -r x ."),
    quiet("diff-patch", "printf 'a\\n' > a; printf 'b\\n' > b; diff -u a b > p; patch -s a p && cmp a b", "patch"),
    quiet("xargs", "seq 20 | xargs -P4 -n1 echo >/dev/null"),
    quiet("tar", "mkdir d && echo x > d/a && tar czf t.tgz d && rm -r d && tar xzf t.tgz && cat d/a", "tar", "gzip"),
    quiet("tar-xz", "echo x > a && tar cJf t.txz a && tar tJf t.txz", "tar", "xz"),
    quiet("zip", "echo x > a && zip -q z.zip a && unzip -q -o z.zip", "zip", "unzip"),
    quiet("sqlite3", "sqlite3 x.db 'create table t (a); insert into t values (1); select * from t'", "sqlite3"),
    quiet("jq", "echo '{\"a\": [1, 2]}' | jq -c .a", "jq"),
    quiet("rg", "echo needle > a && rg needle .", "rg"),
    quiet("go-program", "seq 100 | fzf --filter 99", "fzf"),
    quiet("perl", "perl -MJSON::PP -MFile::Temp -e 'print 1'", "perl"),
    quiet("tmux", TMUX, "tmux"),
    quiet("openssl", "openssl rand -hex 8 && echo x | openssl dgst -sha256 && openssl genrsa -out k 2048 2>/dev/null",
          "openssl"),
    quiet("rsync", "mkdir a && echo x > a/b && rsync -a a/ c/ && cat c/b", "rsync"),
    quiet("ssh-keygen", "ssh-keygen -q -t ed25519 -N '' -f key", "ssh-keygen"),
    quiet("processes", "ps aux >/dev/null; free >/dev/null; cat /proc/cpuinfo /proc/meminfo /proc/self/status >/dev/null", "ps"),
    quiet("vim", "vim -es -u NONE -c 'normal ix' -c 'wq! out' </dev/null; test -s out", "vim"),
    quiet("vim-settings", "TERM=xterm vim --not-a-term -c 'normal ix' -c 'w out' -c q! </dev/null >/dev/null 2>&1; test -s out", "vim"),
    quiet("wget-settings", "wget -q -O- --tries=1 http://127.0.0.1:1/ || true", "wget"),
    quiet("ssh-settings", "ssh -G localhost > settings && test -s settings", "ssh"),
    quiet("mounts", "mount >/dev/null && df >/dev/null && df -h . / /tmp >/dev/null && realpath . /mnt /usr >/dev/null",
          home="full"),
    quiet("locale-and-time", "locale >/dev/null; TZ=Europe/Berlin date; printf 'ä\\n' | LC_ALL=C.UTF-8 sort"),
    quiet("file", "file /bin/sh a", "file", files={"a": "x"}),
    quiet("flock-timeout", "flock lock true && timeout 5 true && nice true && setsid true"),
    quiet("writable-questions", "test -w /usr; test -w /etc/hosts; test -x /usr/bin/env"),
]  # fmt: skip

QUIET = GIT + BUILD + PYTHON + NODE + NETWORK + TOOLS
