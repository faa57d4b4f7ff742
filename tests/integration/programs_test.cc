// Programs that people use work in a sandbox, as they do outside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Where a sandbox would find it.
bool is_installed(const std::string& program) {
  std::istringstream places(kPath);
  for (std::string place; std::getline(places, place, ':');) {
    if (::access((place + "/" + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

class Programs : public ::testing::Test {
 protected:
  Programs() { instance_.start(); }

  // Runs a shell's script in the workspace, in one sandbox. It must succeed. Returns what it wrote.
  std::string script(const std::string& text) const {
    const Output output = instance_.run({"/bin/sh", "-e", "-c", text});
    EXPECT_EQ(output.status, 0) << output.out << output.err;
    return output.out;
  }

  void file(const std::string& name, const std::string& text) const {
    write_text(instance_.workspace() + "/" + name, text);
  }

  Instance instance_;
};

#define NEEDS(program) \
  if (!is_installed(program)) GTEST_SKIP() << program << " is not installed"

TEST_F(Programs, Bash) {
  NEEDS("bash");
  const Output output = instance_.run(
      {"/bin/bash", "-lc",
       "set -o pipefail; a=(1 2 3); f() { printf '%s\n' \"$@\"; }; f \"${a[@]}\" | sort -rn | "
       "tee >(cat >&2) | head -1; sleep 0 & wait $!; cat <<< here; cat <(echo there); (exit 3) || "
       "echo $?"});
  EXPECT_EQ(output.status, 0) << output.err;
  EXPECT_EQ(output.out, "3\nhere\nthere\n3\n");
}

constexpr const char* kIdentity =
    "git config --global user.name a; git config --global user.email a@b.example\n";

TEST_F(Programs, GitMakesRepositoriesAndCommits) {
  NEEDS("git");
  const std::string out = script(std::string(kIdentity) + R"(
    git init -q new; cd new
    echo one > a; git add a; git commit -q -m one
    git checkout -q -b side; echo two >> a; git commit -q -a -m two
    git checkout -q -; git merge -q side
    git remote add origin https://example.com/x.git; git remote -v
    git tag v1; git stash list; git status --short; git log --format=%s
    git gc -q; git fsck --strict)");
  EXPECT_THAT(out, HasSubstr("origin\thttps://example.com/x.git (push)\n"));
  EXPECT_THAT(out, HasSubstr("two\none\n"));
  // What it made is the person's, outside.
  EXPECT_TRUE(std::filesystem::exists(instance_.workspace() + "/new/.git/HEAD"));
}

TEST_F(Programs, GitClonesALocalRepositoryAndAddsAWorktree) {
  NEEDS("git");
  const std::string out = script(std::string(kIdentity) + R"(
    git init -q first; cd first; echo one > a; git add a; git commit -q -m one; cd ..
    git clone -q first second; cd second; echo two > b; git add b; git commit -q -m two
    git push -q origin HEAD:refs/heads/pushed; git -C ../first log --format=%s pushed
    git worktree add -q ../tree HEAD; cd ../tree; git log --format=%s; ls; git worktree list)");
  EXPECT_THAT(out, HasSubstr("two\none\ntwo\none\na\nb\n"));
}

TEST_F(Programs, GitWorksOnARepositoryThatWasThereBefore) {
  NEEDS("git");
  const Output made =
      Process({"/bin/sh", "-ec",
               "git init -q .; git config user.name a; git config user.email "
               "a@b.example; echo one > a; git add a; git commit -q -m one"},
              {{{"PATH", kPath}, {"HOME", instance_.home()}}, instance_.workspace(), {}})
          .finish();
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_EQ(script("echo two >> a; git diff --stat | tail -1; git commit -q -a -m two; git log "
                   "--format=%s; git status --short"),
            " 1 file changed, 1 insertion(+)\ntwo\none\n");
}

TEST_F(Programs, CompilerAndMake) {
  NEEDS("gcc");
  NEEDS("make");
  file("hello.c", "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n");
  file("Makefile",
       "all: hello static\n"
       "hello: hello.o\n\tgcc -o $@ $^\n"
       "static: hello.o\n\tgcc -static -o $@ $^\n"
       "%.o: %.c\n\tgcc -O2 -g -flto -ffat-lto-objects -c -o $@ $<\n");
  EXPECT_EQ(script("make -s -j4; ./hello; ./static; make -q"), "hello\nhello\n");
}

TEST_F(Programs, SanitizedProgram) {
  NEEDS("gcc");
  file("hello.c", "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n");
  // Leaks are looked for with ptrace(2), which a sandbox refuses.
  EXPECT_EQ(script("gcc -fsanitize=address,undefined -o hello hello.c; "
                   "ASAN_OPTIONS=detect_leaks=0 ./hello"),
            "hello\n");
}

TEST_F(Programs, Cmake) {
  NEEDS("cmake");
  NEEDS("g++");
  file("hello.cc", "#include <iostream>\nint main() { std::cout << \"hello\\n\"; }\n");
  file("CMakeLists.txt",
       "cmake_minimum_required(VERSION 3.16)\nproject(hello CXX)\nfind_package(Threads REQUIRED)\n"
       "add_executable(hello hello.cc)\n");
  EXPECT_THAT(script("cmake -S . -B build; cmake --build build --parallel 2; build/hello"),
              EndsWith("hello\n"));
}

TEST_F(Programs, PythonWithThreadsAndProcesses) {
  NEEDS("python3");
  file("many.py", R"(
import concurrent.futures, multiprocessing, threading

def square(number):
  return number * number

if __name__ == "__main__":
  squares = [square(n) for n in range(100)]
  with concurrent.futures.ThreadPoolExecutor(8) as threads:
    assert list(threads.map(square, range(100))) == squares
  for method in ("fork", "spawn", "forkserver"):
    context = multiprocessing.get_context(method)
    with context.Pool(4) as pool:
      assert pool.map(square, range(100)) == squares
  with multiprocessing.Manager() as manager:
    shared = manager.list([1])
    child = multiprocessing.Process(target=shared.append, args=(2,))
    child.start()
    child.join()
    assert list(shared) == [1, 2]
  lock, value = multiprocessing.Lock(), multiprocessing.Value("i", 0)
  with lock:
    value.value += 1
  print("done", value.value)
)");
  EXPECT_EQ(script("python3 many.py"), "done 1\n");
}

TEST_F(Programs, PythonEnvironmentAndServer) {
  NEEDS("python3");
  file("serve.py", R"(
import http.server, threading, urllib.request
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(f"http://127.0.0.1:{server.server_port}/serve.py").status)
)");
  EXPECT_EQ(script("python3 -m venv --without-pip v; v/bin/python serve.py 2>/dev/null"), "200\n");
}

TEST_F(Programs, Node) {
  NEEDS("node");
  file("main.mjs", R"(
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs/promises';
import http from 'node:http';
if (!isMainThread) {
  parentPort.postMessage(41);
} else {
  const worker = new Worker(new URL(import.meta.url));
  const number = await new Promise((done) => worker.on('message', done));
  await fs.writeFile('number', String(number + 1));
  const server = http.createServer((request, answer) => answer.end('x'));
  await new Promise((done) => server.listen('socket', done));
  await new Promise((done) => http.get({ socketPath: 'socket' }, (a) => a.resume().on('end', done)));
  server.close();
  console.log(execFileSync('cat', ['number']).toString());
}
)");
  EXPECT_EQ(script("node main.mjs"), "42\n");
}

TEST_F(Programs, NpmInstallsWithoutANetwork) {
  NEEDS("npm");
  NEEDS("tar");
  file("package/package.json", R"({"name": "dep", "version": "1.0.0", "main": "index.js"})");
  file("package/index.js", "module.exports = 42;\n");
  file("package.json", R"({"name": "x", "version": "1.0.0", "scripts": {"start": "node main.js"},
    "dependencies": {"dep": "file:dep-1.0.0.tgz"}})");
  file("main.js", "console.log(require('dep'));\n");
  EXPECT_THAT(script("tar czf dep-1.0.0.tgz package; rm -r package; "
                     "npm install --offline --package-lock-only --no-audit --no-fund --silent; "
                     "npm ci --offline --no-audit --no-fund --silent; npm start --silent"),
              EndsWith("42\n"));
}

TEST_F(Programs, Sqlite) {
  NEEDS("sqlite3");
  EXPECT_THAT(script("sqlite3 x.db 'pragma journal_mode = wal; create table t (a); insert into t "
                     "values (1), (2);'; sqlite3 x.db 'select sum(a) from t; vacuum'"),
              EndsWith("3\n"));
}

TEST_F(Programs, JqAndRipgrep) {
  NEEDS("jq");
  NEEDS("rg");
  file("data.json", R"({"a": [1, 2, {"b": "needle"}]})");
  EXPECT_EQ(script("jq -c '.a[2]' data.json; rg -l needle ."), "{\"b\":\"needle\"}\n./data.json\n");
}

TEST_F(Programs, Tar) {
  NEEDS("tar");
  NEEDS("gzip");
  file("d/a", "one");
  EXPECT_EQ(script("ln d/a d/hard; ln -s a d/soft; chmod 755 d/a; tar czpf t.tgz d; rm -r d; "
                   "tar xzpf t.tgz; cat d/hard d/soft; stat -c %a d/a"),
            "oneone755\n");
}

TEST_F(Programs, Tmux) {
  NEEDS("tmux");
  EXPECT_THAT(script("tmux -L t new-session -d -x 80 -y 24 sh; "
                     "tmux -L t send-keys 'echo in-$((40+2)); tmux -L t wait-for -S done' Enter; "
                     "tmux -L t wait-for done; tmux -L t capture-pane -p; tmux -L t kill-server"),
              HasSubstr("in-42\n"));
}

// fzf is written in Go, and as small as such programs get.
TEST_F(Programs, GoProgram) {
  NEEDS("fzf");
  EXPECT_EQ(script("seq 100 | fzf --filter 99"), "99\n");
}

TEST_F(Programs, GoCompiler) {
  NEEDS("go");
  file("go.mod", "module hello\n");
  file("hello.go",
       "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tc := make(chan int)\n\tgo func() { c <- "
       "42 "
       "}()\n\tfmt.Println(<-c)\n}\n");
  EXPECT_EQ(script("CGO_ENABLED=0 go build -o hello .; ./hello"), "42\n");
}

TEST_F(Programs, Java) {
  NEEDS("javac");
  file("Hello.java",
       "class Hello { public static void main(String[] a) { new Thread(() -> "
       "System.out.println(\"hello\")).start(); } }\n");
  EXPECT_EQ(script("java Hello.java"), "hello\n");
}

}  // namespace
}  // namespace sharkcage::testing
