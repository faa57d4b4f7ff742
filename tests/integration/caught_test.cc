// Programs that know no proxy, or are told to use none, reach what is approved and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "common/fd.h"
#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;

// Serves HTTP, HTTPS (a git repository), and what ssh and psql hear first, on 127.0.0.1; tells its
// four ports, and ends when its standard input does.
constexpr const char* kServers = R"(
import http.server, os, socket, ssl, subprocess, sys, threading
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'hello\n')
    def log_message(self, *rest): pass
class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *rest): pass
hello = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Hello)
files = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Files)
run = lambda *argv: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
run('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'key', '-out', 'cert',
    '-days', '2', '-subj', '/CN=api.localhost')
run('git', 'init', '-q', 'source')
run('git', '-C', 'source', '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-q', '--allow-empty', '-m', 'x')
run('git', 'clone', '-q', '--bare', 'source', 'repo.git')
run('git', '-C', 'repo.git', 'update-server-info')
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain('cert', 'key')
files.socket = context.wrap_socket(files.socket, server_side=True)
def serve(listener, talk):
    while True:
        client = listener.accept()[0]
        threading.Thread(target=talk, args=(client,), daemon=True).start()
def ssh(client):
    client.sendall(b'SSH-2.0-fromtheserver\r\n'); client.recv(1000); client.close()
def psql(client):
    client.recv(8); client.sendall(b'N'); client.recv(1000)
    text = b'SFATAL\0VFATAL\0C28000\0Mfromtheserver\0\0'
    client.sendall(b'E' + (len(text) + 4).to_bytes(4, 'big') + text); client.close()
raw = [socket.create_server(('127.0.0.1', 0)) for _ in range(2)]
for server in (hello, files): threading.Thread(target=server.serve_forever, daemon=True).start()
for listener, talk in zip(raw, (ssh, psql)): threading.Thread(target=serve, args=(listener, talk), daemon=True).start()
print(hello.server_port, files.server_port, raw[0].getsockname()[1], raw[1].getsockname()[1], 'ready', flush=True)
sys.stdin.read()
)";

bool has(const std::string& program) {
  return ::access(program.c_str(), X_OK) == 0;
}

class Caught : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* needed : {"/usr/bin/python3", "/usr/bin/openssl", "/usr/bin/git"}) {
      if (!has(needed)) GTEST_SKIP() << needed << " is not installed";
    }
    instance_.start();
    const std::string directory = instance_.root() + "/servers";
    ASSERT_EQ(::mkdir(directory.c_str(), 0700), 0);
    servers_.emplace(
        std::vector<std::string>{"/usr/bin/python3", "-c", kServers},
        Process::Options{{{"PATH", "/usr/bin:/bin"}, {"HOME", directory}}, directory, {}});
    const std::string ports = servers_->wait_for("ready");
    std::istringstream(ports) >> http_ >> https_ >> ssh_ >> psql_;
    ASSERT_NE(psql_, "") << ports;
    approve("net", {"api.localhost:" + http_, "localhost:" + https_, "api.localhost:" + ssh_,
                    "api.localhost:" + psql_, "localhost:" + http_});
  }

  void approve(const std::string& skill, const std::vector<std::string>& destinations) const {
    instance_.approve_skill(
        skill,
        Json::array(
            {{{"capability", "network.internal"}, {"scope", destinations}, {"reason", "test"}},
             {{"capability", "system.exec"}, {"reason", "test"}}}));
  }

  // Without the variables that lead to the proxy.
  Output run(const std::vector<std::string>& argv, const std::string& skill = "net") const {
    std::vector<std::string> command = {"run", "--skill", skill, "--", "/usr/bin/env"};
    for (const char* name :
         {"ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
          "NODE_USE_ENV_PROXY", "JAVA_TOOL_OPTIONS", "GIT_SSH_COMMAND"}) {
      command.insert(command.end(), {"-u", name});
    }
    command.insert(command.end(), argv.begin(), argv.end());
    return instance_.sc(command);
  }
  Output python(const std::string& script, const std::vector<std::string>& arguments = {}) const {
    std::vector<std::string> argv = {"/usr/bin/python3", "-c", "import socket, sys\n" + script};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run(argv);
  }

  // Of the only sandbox: its deputy's parent.
  pid_t monitor_of_sandbox() const {
    std::vector<pid_t> tree = {
        instance_.status().at("processes").at("launcher").at("pid").get<pid_t>()};
    for (std::size_t i = 0; i < tree.size(); ++i) {
      const std::string process = "/proc/" + std::to_string(tree[i]);
      std::ifstream children(process + "/task/" + std::to_string(tree[i]) + "/children");
      for (pid_t child = 0; children >> child;) {
        std::string name;
        std::getline(std::ifstream("/proc/" + std::to_string(child) + "/comm"), name);
        if (name == "sc-deputy") return tree[i];
        tree.push_back(child);
      }
    }
    return -1;
  }

  Instance instance_;
  std::optional<Process> servers_;
  std::string http_, https_, ssh_, psql_;
};

TEST_F(Caught, ProgramsOfAllKindsReachWhatIsApproved) {
  const std::string url = "http://api.localhost:" + http_ + "/";
  const std::string java =
      "public class T { public static void main(String[] a) throws Exception { System.out.print("
      "new String(new java.net.URL(a[0]).openStream().readAllBytes())); } }";
  write_text(instance_.workspace() + "/T.java", java);
  const std::string net = "const s = require('net').connect(" + http_ +
                          ", 'api.localhost', () => s.write('GET / HTTP/1.0\\r\\n\\r\\n')); "
                          "s.on('data', d => process.stdout.write(d))";
  struct Trial {
    std::vector<std::string> argv;
    std::string expected = "hello";
  };
  const std::vector<Trial> trials = {
      // curl, and git with it, takes every name below localhost for the loopback address.
      {{"/usr/bin/curl", "-sS", "--noproxy", "*", "http://localhost:" + http_ + "/"}},
      {{"/usr/bin/wget", "-qO-", "--no-proxy", url}},
      {{"/usr/bin/python3", "-c",
        "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read())", url}},
      {{"/usr/bin/node", "-e", "fetch('" + url + "').then(r => r.text()).then(console.log)"}},
      {{"/usr/bin/node", "-e", net}},
      {{"/usr/bin/java", "T.java", url}},
      {{"/usr/bin/busybox", "wget", "-qO-", url}},
      {{"/usr/bin/git", "-c", "http.sslVerify=false", "ls-remote",
        "https://localhost:" + https_ + "/repo.git"},
       "refs/heads/"},
      {{"/usr/bin/ssh", "-v", "-o", "BatchMode=yes", "-p", ssh_, "x@api.localhost"},
       "fromtheserver"},
      {{"/usr/bin/psql", "-h", "api.localhost", "-p", psql_, "-U", "x", "x"}, "fromtheserver"},
  };
  int ran = 0;
  for (const Trial& trial : trials) {
    SCOPED_TRACE(trial.argv[0] + " " + trial.argv[1]);
    if (!has(trial.argv[0])) continue;
    const Output output = run(trial.argv);
    EXPECT_THAT(output.out + output.err, HasSubstr(trial.expected));
    ++ran;
  }
  EXPECT_GE(ran, 4);
  for (const Json& record : instance_.records("connection")) {
    EXPECT_EQ(record.at("decision"), "allow") << record.dump();
    EXPECT_NE(record.at("payload").at("program"), "") << record.dump();
  }
}

TEST_F(Caught, ARecordNamesTheProgramByWhicheverWayItWent) {
  if (!has("/usr/bin/curl")) GTEST_SKIP() << "curl is not installed";
  const auto programs_by = [&](const std::string& protocol) {
    std::set<std::string> programs;
    for (const Json& record : instance_.records("connection")) {
      const Json& payload = record.at("payload");
      if (payload.at("protocol") == protocol) programs.insert(payload.at("program"));
    }
    return programs;
  };
  const std::string fetch = "exec curl -sS http://localhost:" + http_ + "/ --noproxy ";
  for (const char* options : {"''", "'' --proxy $ALL_PROXY", "'*'"}) {
    const Output output =
        instance_.sc({"run", "--skill", "net", "--", "/bin/sh", "-c", fetch + options});
    EXPECT_EQ(output.out, "hello\n") << options << output.err;
  }
  for (const char* protocol : {"http", "socks5", "caught"}) {
    EXPECT_EQ(programs_by(protocol), std::set<std::string>{"curl"}) << protocol;
  }
}

// Go asks the name server itself and calls connect(2) without a C library.
TEST_F(Caught, AStaticGoProgramReachesWhatIsApproved) {
  if (!has("/usr/bin/go")) GTEST_SKIP() << "go is not installed";
  const std::string place = instance_.workspace();
  write_text(place + "/main.go",
             "package main\nimport (\"io\"; \"net/http\"; \"os\")\nfunc main() {\n"
             "r, e := http.Get(os.Args[1]); if e != nil { println(e.Error()); os.Exit(1) }\n"
             "io.Copy(os.Stdout, r.Body)\n}\n");
  const Output built = Process({"/usr/bin/go", "build", "-o", "program", "main.go"},
                               {{{"PATH", "/usr/bin:/bin"},
                                 {"HOME", instance_.root()},
                                 {"GOCACHE", instance_.root() + "/go-cache"},
                                 {"GO111MODULE", "off"},
                                 {"CGO_ENABLED", "0"}},
                                place,
                                {}})
                           .finish();
  ASSERT_EQ(built.status, 0) << built.err;
  const std::string program = place + "/program";
  EXPECT_THAT(run({program, "http://api.localhost:" + http_ + "/"}).out, HasSubstr("hello"));
  EXPECT_NE(run({program, "http://evil.example/"}).status, 0);
  EXPECT_TRUE(instance_.blocked_has("evil.example"));
}

constexpr const char* kFetch = R"(
def fetch(family, timeout, host, port):
    s = socket.socket(family); s.settimeout(timeout)
    s.connect(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4])
    s.sendall(b'GET / HTTP/1.0\r\n\r\n')
    got = b''
    while block := s.recv(1000): got += block
    return got
)";

TEST_F(Caught, SocketsOfBothFamiliesThatBlockOrDoNot) {
  const Output output = python(std::string(kFetch) + R"(
for family in (socket.AF_INET, socket.AF_INET6):
    for timeout in (None, 20):
        assert fetch(family, timeout, 'api.localhost', sys.argv[1]).endswith(b'hello\n'), (family, timeout)
# A socket for IPv6 that is given an IPv4 address, and one that is bound before.
address = socket.getaddrinfo('api.localhost', sys.argv[1], socket.AF_INET, socket.SOCK_STREAM)[0][4]
s = socket.socket(socket.AF_INET6); s.connect(('::ffff:' + address[0], address[1])); s.close()
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.connect(address); s.close()
print('all')
)",
                               {http_});
  EXPECT_EQ(output.out, "all\n") << output.err;
}

TEST_F(Caught, WhatIsNotApprovedIsRefusedAndSaysSo) {
  const Output output = python(R"(
import errno
def refused(connect):
    try: connect()
    except OSError as e: return e.errno
port, other = int(sys.argv[1]), int(sys.argv[2])
name = socket.getaddrinfo('api.localhost', port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
assert refused(lambda: socket.create_connection(('192.0.2.1', 80))) == errno.EACCES
assert refused(lambda: socket.create_connection((name, 1))) == errno.EACCES
assert refused(lambda: socket.create_connection(('198.18.0.1', 80))) == errno.EACCES
assert refused(lambda: socket.create_connection(('169.254.169.254', 80))) == errno.EACCES
assert refused(lambda: socket.create_connection(('2001:db8::1', 80))) == errno.EACCES
# The sandbox's own loopback, and the listener that only the deputy connects to.
assert refused(lambda: socket.create_connection(('127.0.0.1', other))) == errno.ECONNREFUSED
assert refused(lambda: socket.create_connection(('127.0.0.1', 18801))) == errno.ECONNREFUSED
assert refused(lambda: socket.create_connection(('::1', 18801))) == errno.ECONNREFUSED
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
assert refused(lambda: u.sendto(b'x', (name, port))) == errno.ENETUNREACH
try: socket.getaddrinfo('evil.example', 80); assert False
except socket.gaierror as e: assert e.errno == socket.EAI_NONAME, e
print('all')
)",
                               {http_, ssh_});
  EXPECT_EQ(output.out, "all\n") << output.err;
  for (const std::string& text :
       {std::string("192.0.2.1:80"), std::string("api.localhost:1"),
        "api.localhost:" + http_ + "/udp", std::string("169.254.169.254:80"),
        std::string("[2001:db8::1]:80"), std::string("evil.example")}) {
    EXPECT_TRUE(instance_.blocked_has(text)) << text;
  }
}

TEST_F(Caught, AServerThatIsNotThereIsAReset) {
  approve("gone", {"api.localhost:1"});
  const Output output = run({"/usr/bin/python3", "-c", R"(
import socket
s = socket.create_connection(('api.localhost', 1))
try: s.recv(1); print('data')
except ConnectionResetError: print('reset')
)"},
                            "gone");
  EXPECT_EQ(output.out, "reset\n") << output.err;
}

// In a sandbox that a session keeps, with what the call before left running; the second one calls
// itself what the keeper of the first is called, at the head of a session of its own.
TEST_F(Caught, EachCallOfAWarmSandboxHasItsOwnConnections) {
  const auto connect = [&](const std::string& before, const std::string& after) {
    const std::string script =
        "import ctypes, os, socket, sys, time\n" + before +
        "\ns = socket.create_connection(('api.localhost', int(sys.argv[1])))\n"
        "s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); s.recv(1)\n" +
        after;
    const Output output = instance_.sc(
        {"run", "--session", "s", "--skill", "net", "--", "/usr/bin/python3", "-c", script, http_});
    EXPECT_EQ(output.status, 0) << output.err;
  };
  connect("", "if os.fork() == 0: time.sleep(1000)");
  connect(
      "if os.fork(): os._exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
      "os.setsid(); ctypes.CDLL(None).prctl(15, b'sc-1', 0, 0, 0)",
      "");
  std::vector<std::string> calls;
  for (const Json& record : instance_.records("connection")) {
    if (record.at("payload").at("phase") == "open") calls.push_back(record.at("call"));
  }
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_NE(calls[0], "");
  EXPECT_NE(calls[1], "");
  EXPECT_NE(calls[0], calls[1]);
}

// The monitor ends the sandbox then; here it is stopped, so that there is time.
TEST_F(Caught, WhoeverKillsItsKeeperHasNobodyElsesName) {
  const auto spawn = [&](const std::string& script) {
    return instance_.spawn(
        "sc", {"run", "--session", "s", "--skill", "net", "--", "/usr/bin/python3", "-c",
               "import ctypes, os, socket, sys\n"
               "def reach():\n"
               "    s = socket.create_connection(('api.localhost', int(sys.argv[1])))\n"
               "    s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); assert s.recv(1)\n" +
                   script,
               http_});
  };
  Process first = spawn("reach(); print('up', flush=True); input()");
  first.wait_for("up");
  Process second = spawn(R"(
keeper = os.getppid()
ctypes.CDLL(None).prctl(15, b'sc-1', 0, 0, 0)
if os.fork() == 0:
    os.setsid()
    while os.path.exists(f'/proc/{keeper}'): pass
    try: reach()
    finally: os._exit(0)
print('ready', flush=True); input(); os.kill(keeper, 9); input()
)");
  second.wait_for("ready");
  const pid_t monitor = monitor_of_sandbox();
  ASSERT_GT(monitor, 0);
  ASSERT_EQ(::kill(monitor, SIGSTOP), 0);
  second.write("now\n");
  std::size_t opened = 0;
  std::size_t blocked = 0;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (opened < 2 && blocked == 0 && std::chrono::steady_clock::now() < deadline) {
    opened = blocked = 0;
    for (const Json& record : instance_.records("connection")) {
      if (record.at("payload").at("phase") == "open") ++opened;
      if (record.at("decision") == "block") ++blocked;
    }
  }
  EXPECT_EQ(opened, 1u);
  EXPECT_EQ(blocked, 1u);
  ASSERT_EQ(::kill(monitor, SIGCONT), 0);
}

// The egress is told of connections to it and of no others: what is left over of one would be taken
// for another one from the same port.
TEST_F(Caught, WhatIsNoConnectionYetOrOneInsideIsNotTakenForOne) {
  const Output output = python(std::string(R"(
import errno
at = socket.getaddrinfo('api.localhost', sys.argv[1], socket.AF_INET, socket.SOCK_STREAM)[0][4]
# One that would be made with the first data: TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_NO_COOKIE.
s = socket.socket(); s.setsockopt(socket.IPPROTO_TCP, 30, 1); s.setsockopt(socket.IPPROTO_TCP, 34, 1)
assert s.connect_ex(at) == errno.EOPNOTSUPP
s = socket.socket(); s.setsockopt(socket.IPPROTO_TCP, 30, 1)
s.connect(at); assert s.getpeername() == ('127.0.0.1', 18801)
# One that was begun inside: connect(2) tells of that one.
inside = socket.create_server(('127.0.0.1', 0))
s = socket.socket(); s.setblocking(False)
assert s.connect_ex(inside.getsockname()) == errno.EINPROGRESS
assert s.connect_ex(at) == 0
assert s.getpeername() == inside.getsockname()
assert s.connect_ex(at) == errno.EISCONN
print('all')
)"),
                               {http_});
  EXPECT_EQ(output.out, "all\n") << output.err;
}

// Whether or not the one before came so far as to be accepted, and was announced by then.
TEST_F(Caught, AConnectionIsNeverTakenForTheOneBeforeFromItsPort) {
  const Output output = python(R"(
import struct, threading
wrong = []
host = socket.getaddrinfo('api.localhost', 1, socket.AF_INET)[0][4][0]
def connect(own, port):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.bind(('127.0.0.1', own)); s.connect((host, port))
    return s
def talk(s):
    s.sendall(b'GET / HTTP/1.0\r\n\r\n')
    return s.recv(4)
def again_and_again(own):
    try:
        for i in range(700):
            ports, heard = (PORTS, b'SSH-') if i % 2 else (PORTS[::-1], b'HTTP')
            connect(own, ports[0]).close()
            s = connect(own, ports[1]); got = talk(s); s.close()
            if got != heard: wrong.append(got)
    except OSError as e: wrong.append(e)
PORTS = [int(port) for port in sys.argv[1:]]
threads = [threading.Thread(target=again_and_again, args=(20000 + i,)) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(wrong[:5] or 'all')
)",
                               {http_, ssh_});
  EXPECT_EQ(output.out, "all\n") << output.err;
}

TEST_F(Caught, ManyAtOnceAllCome) {
  const Output output = python(R"(
import errno
at = socket.getaddrinfo('api.localhost', sys.argv[1], socket.AF_INET)[0][4]
sockets = []
for i in range(400):
    s = socket.socket(); s.setblocking(False); sockets.append(s)
    assert s.connect_ex(at) == errno.EINPROGRESS, i
for s in sockets: s.setblocking(True); assert s.recv(4) == b'SSH-'
print('all')
)",
                               {ssh_});
  EXPECT_EQ(output.out, "all\n") << output.err;
}

TEST_F(Caught, ANameThatIsAskedAgainAndAgainIsRecordedOnce) {
  const Output output = python(R"(
for _ in range(50): socket.getaddrinfo('api.localhost', sys.argv[1])
print('asked')
)",
                               {http_});
  EXPECT_EQ(output.out, "asked\n") << output.err;
  EXPECT_EQ(instance_.records("connection").size(), 1u);
}

TEST_F(Caught, NamesAreRecordedWhereThereIsNoNetwork) {
  const Output output =
      instance_.run({"/usr/bin/python3", "-c",
                     "import socket\ntry: socket.getaddrinfo('secret.evil.example', 80)\n"
                     "except socket.gaierror as e: print(e.errno == socket.EAI_NONAME)"});
  EXPECT_EQ(output.out, "True\n") << output.err;
  std::vector<Json> asked;
  for (const Json& record : instance_.records("connection")) {
    if (record.at("payload").at("host") == "secret.evil.example") asked.push_back(record);
  }
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(asked[0].at("decision"), "block");
  EXPECT_NE(asked[0].at("call"), "");
}

TEST_F(Caught, TheLogIsAskedForAHost) {
  const Output both = instance_.sc(
      {"run", "--skill", "net", "--", "/bin/sh", "-c",
       "for i in localhost:" + http_ + " a.evil.example 203.0.113.7; do " +
           "/usr/bin/python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1])' " +
           "http://$i/ 2>&1; /usr/bin/python3 -c 'import sys, urllib.request as r; " +
           "r.install_opener(r.build_opener(r.ProxyHandler({}))); r.urlopen(sys.argv[1])' " +
           "http://$i/ 2>&1; done"});
  const auto lines_of = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "audit");
    const std::string out = instance_.sc(arguments).out;
    return out == "No record matches.\n" ? 0 : std::count(out.begin(), out.end(), '\n');
  };
  // By the proxy and by the name server; by the proxy and by connect(2).
  for (const char* host : {"a.evil.example", "Evil.Example.", "203.0.113.7"}) {
    EXPECT_EQ(lines_of({"--blocked", "--host", host}), 2) << host << both.out;
    EXPECT_EQ(lines_of({"--host", host}), 2) << host << both.out;
  }
  EXPECT_EQ(lines_of({"--blocked", "--operation", "connect"}), 4);
  // The newest of what is picked, whatever came after it.
  EXPECT_EQ(lines_of({"--host", "a.evil.example", "--tail", "1"}), 1);
  EXPECT_EQ(lines_of({"--blocked", "--host", "a.evil.example", "--tail", "7"}), 2);
  EXPECT_EQ(lines_of({"--host", "localhost"}), lines_of({"--host", "127.0.0.1"}));
  EXPECT_GE(lines_of({"--host", "localhost"}), 2);
  for (const char* host : {"vil.example", "b.evil.example", "203.0.113"}) {
    EXPECT_EQ(lines_of({"--host", host}), 0) << host;
  }
}

// By UDP with a connection and without one (musl's resolver), by TCP; with and without a network.
TEST_F(Caught, ARecordTellsWhoAskedForAName) {
  const std::string ask = R"(
import socket, sys
name = (sys.argv[2] + '.example').encode()
question = b'\0\1\1\0\0\1\0\0\0\0\0\0' + b''.join(bytes([len(l)]) + l for l in name.split(b'.')) + b'\0\0\1\0\1'
if sys.argv[1] == 'stream':
    s = socket.create_connection(('127.0.0.1', 53)); s.sendall(len(question).to_bytes(2, 'big') + question)
elif sys.argv[1] == 'datagram':
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 0)); s.sendto(question, ('127.0.0.1', 53))
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 53)); s.send(question)
print(len(s.recv(512)) > 0)
)";
  for (const std::string skill : {"net", "agent"}) {
    std::vector<std::string> ways = {"datagram", "connection"};
    if (skill == "net") ways.push_back("stream");
    for (const std::string& way : ways) {
      const std::string name = way + "-" + skill;
      std::vector<std::string> command = {"run", "--session", "s"};
      if (skill == "net") command.insert(command.end(), {"--skill", skill});
      const auto asking = [&](const std::string& before) {
        std::vector<std::string> arguments = command;
        arguments.insert(arguments.end(), {"--", "/bin/sh", "-c", before + "exec \"$0\" \"$@\"",
                                           "/usr/bin/python3", "-c", ask, way, name});
        return arguments;
      };
      // Another call of the same sandbox is under way.
      Process other = instance_.spawn("sc", asking("echo up; read -r line; "));
      other.wait_for("up");
      const Output output = instance_.sc(asking(""));
      EXPECT_EQ(output.out, "True\n") << name << output.err;
      std::vector<Json> asked;
      for (const Json& record : instance_.records("connection")) {
        if (record.at("payload").at("host") == name + ".example") asked.push_back(record);
      }
      ASSERT_EQ(asked.size(), 1u) << name;
      EXPECT_EQ(asked[0].at("payload").at("program"), "python3") << name;
      const auto outcomes = instance_.records("outcome");
      EXPECT_EQ(asked[0].at("call"), outcomes.back().at("call")) << name;
    }
  }
}

// sendmsg(2) is nobody's to see: such a question has no program, and not that of another one.
TEST_F(Caught, WhoAsksFromAPortThatOneAskedFromBeforeIsNotTakenForIt) {
  const Output output = python(R"(
import ctypes
def ask(name, port, send):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', port))
    send(s, b'\0\1\1\0\0\1\0\0\0\0\0\0' + bytes([len(name)]) + name + b'\7example\0\0\1\0\1', ('127.0.0.1', 53))
    s.recv(512); return s.getsockname()[1]
port = ask(b'first', 0, lambda s, question, to: s.sendto(question, to))
ctypes.CDLL(None).prctl(15, b'other', 0, 0, 0)
ask(b'second', port, lambda s, question, to: s.sendmsg([question], [], 0, to))
print('all')
)");
  EXPECT_EQ(output.out, "all\n") << output.err;
  std::map<std::string, std::string> programs;
  for (const Json& record : instance_.records("connection")) {
    programs[record.at("payload").at("host")] = record.at("payload").value("program", "");
  }
  EXPECT_EQ(programs["first.example"], "python3");
  EXPECT_EQ(programs["second.example"], "");
}

TEST_F(Caught, WorksAgainAfterTheEgressDied) {
  const auto pid = [&] {
    return instance_.status().at("processes").at("egress").at("pid").get<pid_t>();
  };
  const auto connect = [&] {
    return instance_.sc({"run", "--session", "s", "--skill", "net", "--", "/usr/bin/python3", "-c",
                         "import socket, sys\n" + std::string(kFetch) +
                             "print(fetch(socket.AF_INET, 20, 'api.localhost', sys.argv[1])[-6:])",
                         http_});
  };
  EXPECT_THAT(connect().out, HasSubstr("hello"));
  const pid_t first = pid();
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  wait_until_gone(first);
  // What is asked and connected meanwhile waits for the next one.
  const Output again = connect();
  EXPECT_THAT(again.out, HasSubstr("hello")) << again.err;
  EXPECT_NE(pid(), first);
}

}  // namespace
}  // namespace sharkcage::testing
