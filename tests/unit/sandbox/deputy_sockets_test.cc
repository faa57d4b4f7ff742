// Unix sockets: those of the sandbox, those of the host, and what is recorded of Internet
// addresses.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "common/errors.h"
#include "common/fd.h"
#include "tests/unit/sandbox/sandbox_fixture.h"

namespace sharkcage::sandbox::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DeputySockets : public Sandbox {
 protected:
  Trial python(const std::string& code) const {
    return spec({"/usr/bin/python3", "-I", "-c", "import os, socket, threading\n" + code});
  }
  // A server of the host, with room for one connection that nobody accepts.
  UniqueFd listen_outside(const std::string& path) const {
    UniqueFd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (::bind(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(server.get(), 4) != 0 || ::chmod(path.c_str(), 0777) != 0) {
      throw_errno("bind", path);
    }
    give_to_person(path);
    return server;
  }
};
INSTANTIATE_TEST_SUITE_P(Install, DeputySockets, ::testing::ValuesIn(installs()), name_of);

constexpr const char* kTalk = R"(
def talk(kind, bound, wanted):
    server = socket.socket(socket.AF_UNIX, kind); server.bind(bound); server.listen(1)
    def serve():
        peer, _ = server.accept(); peer.send(peer.recv(9).upper()); peer.close()
    thread = threading.Thread(target=serve); thread.start()
    client = socket.socket(socket.AF_UNIX, kind); client.connect(wanted)
    client.send(b'hello'); print(client.recv(9).decode(), server.getsockname(), end=' ')
    thread.join(); client.close(); server.close()
)";

TEST_P(DeputySockets, WorkInsideTheSandbox) {
  const Outcome outcome = run(python(std::string(kTalk) + R"(
os.umask(0o027)
talk(socket.SOCK_STREAM, 's', 's')
print(oct(os.stat('s').st_mode & 0o777), end=' ')
talk(socket.SOCK_SEQPACKET, '/tmp/q', '/tmp/q')
os.mkdir('d'); os.symlink('d/t', 'l')
talk(socket.SOCK_STREAM, os.path.expanduser('~/t'), os.path.expanduser('~/../home/t'))
talk(socket.SOCK_STREAM, './d/t', 'l')
try: socket.socket(socket.AF_UNIX).bind('s')
except OSError as error: print(error.errno)
)"));
  EXPECT_EQ(outcome.out, "HELLO s 0o750 HELLO /tmp/q HELLO " + home_ + "/t HELLO ./d/t 98\n")
      << outcome.text();
  EXPECT_THAT(outcome.told(), IsEmpty());
}

TEST_P(DeputySockets, OfTheHostAreReachedOnlyWhereGranted) {
  const std::string path = base_ + "/home/workspace/host";
  const UniqueFd server = listen_outside(path);
  write("home/other/file", "x");
  const std::string granted = base_ + "/home/other/granted";
  const UniqueFd other = listen_outside(granted);
  auto trial = python(R"(
for path in ('host', './host', 'l', '/proc/self/cwd/host', ')" +
                      granted + R"('):
    if path == 'l': os.symlink('host', 'l')
    client = socket.socket(socket.AF_UNIX)
    try: client.connect(path); print('connected', end=' ')
    except OSError as error: print(error.errno, end=' ')
os.link('host', 'again')
try: socket.socket(socket.AF_UNIX).connect('again')
except OSError as error: print(error.errno)
)");
  grant(trial, granted, Access::kReadWrite);
  const Outcome outcome = run(trial);
  EXPECT_EQ(outcome.out, "13 13 13 13 connected 13\n") << outcome.text();
  EXPECT_THAT(outcome.told(), ElementsAre("connect " + path, "connect " + workspace_ + "/again"));
}

TEST_P(DeputySockets, OfAnotherSandboxAreNotReached) {
  Call first(launcher(), python(R"(
server = socket.socket(socket.AF_UNIX); server.bind('s'); server.listen(1)
print('listening', flush=True); server.accept()
)"));
  first.start();
  first.wait_for_output("listening");
  const Outcome outcome = run(python(R"(
try: socket.socket(socket.AF_UNIX).connect('s')
except OSError as error: print(error.errno)
)"));
  EXPECT_EQ(outcome.out, "13\n") << outcome.text();
  EXPECT_THAT(outcome.told(), ElementsAre("connect " + workspace_ + "/s"));
}

TEST_P(DeputySockets, AbstractOnesAreNeverBoundNorReached) {
  const Outcome outcome = run(python(R"(
for call in ('bind', 'connect'):
    try: getattr(socket.socket(socket.AF_UNIX), call)('\0name')
    except OSError as error: print(error.errno, end=' ')
try: socket.socket(socket.AF_UNIX).bind('')
except OSError as error: print(error.errno)
)"));
  EXPECT_EQ(outcome.out, "13 111 13\n") << outcome.text();
  EXPECT_THAT(outcome.told(), ElementsAre("bind @name", "connect @name", "bind @"));
}

TEST_P(DeputySockets, AreNotBoundToProtectedNames) {
  const Outcome outcome = run(python(R"(
for path in ('.envrc', '/usr/s', 'Refs'):
    try: socket.socket(socket.AF_UNIX).bind(path)
    except OSError as error: print(error.errno, end=' ')
)"));
  EXPECT_EQ(outcome.out, "13 13 13 ") << outcome.text();
  EXPECT_THAT(outcome.told(), ElementsAre("bind " + workspace_ + "/.envrc", "bind /usr/s",
                                          "bind " + workspace_ + "/Refs"));
}

TEST_P(DeputySockets, OfTheInternetWorkAndAreRecordedUnlessInside) {
  const Outcome outcome = run(python(R"(
for family, address in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
    server = socket.socket(family); server.bind((address, 0)); server.listen(1)
    where = server.getsockname(); client = socket.socket(family); client.connect(where); print('in', end=' ')
    lazy = socket.socket(family); lazy.setblocking(False)
    print(lazy.connect_ex(server.getsockname()) in (0, 115), end=' ')
    server.close()
    try: socket.socket(family).connect(where)
    except OSError as error: print(error.errno, end=' ')
for family, kind, address in ((socket.AF_INET, socket.SOCK_STREAM, '192.0.2.1'), (socket.AF_INET, socket.SOCK_DGRAM, '192.0.2.2'),
                              (socket.AF_INET6, socket.SOCK_STREAM, '2001:db8::1')):
    try: socket.socket(family, kind).connect((address, 443))
    except OSError as error: print(error.errno, end=' ')
try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.3', 53))
except OSError as error: print(error.errno)
)"));
  EXPECT_EQ(outcome.out, "in True 111 in True 111 101 101 101 101\n") << outcome.text();
  EXPECT_THAT(outcome.told(), ElementsAre("connect 192.0.2.1:443", "connect 192.0.2.2:443/udp",
                                          "connect [2001:db8::1]:443", "connect 192.0.2.3:53/udp"));
}

// A connection whose SYN carries data is one that connect(2) was not asked for.
TEST_P(DeputySockets, ConnectByConnectAlone) {
  const Outcome outcome = run(python(R"(
import ctypes
FASTOPEN = 0x20000000
server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen(8)
where = server.getsockname()
address = (2).to_bytes(2, 'little') + where[1].to_bytes(2, 'big') + socket.inet_aton(where[0]) + bytes(8)
class Vector(ctypes.Structure): _fields_ = [('base', ctypes.c_char_p), ('size', ctypes.c_size_t)]
class Message(ctypes.Structure):
    _fields_ = [('name', ctypes.c_char_p), ('namelen', ctypes.c_uint), ('vectors', ctypes.POINTER(Vector)),
                ('count', ctypes.c_size_t), ('control', ctypes.c_void_p), ('controllen', ctypes.c_size_t),
                ('flags', ctypes.c_int), ('sent', ctypes.c_uint)]
def sendmmsg(client, flags):
    message = Message(address, 16, ctypes.pointer(Vector(b'x', 1)), 1, None, 0, 0, 0)
    if ctypes.CDLL(None, use_errno=True).sendmmsg(client.fileno(), ctypes.byref(message), 1, flags) < 0:
        raise OSError(ctypes.get_errno(), '')
for send in (lambda client, flags: client.sendto(b'x', flags, where),
             lambda client, flags: client.sendmsg([b'x'], [], flags, where), sendmmsg):
    for flags in (FASTOPEN, FASTOPEN | socket.MSG_DONTWAIT):
        client = socket.socket()
        try: send(client, flags); print('connected', end=' ')
        except OSError as error: print(error.errno, end=' ')
    client = socket.socket(); client.connect(where); send(client, 0)
    print(server.accept()[0].recv(9).decode(), end=' ')
)"));
  EXPECT_EQ(outcome.out, "95 95 x 95 95 x 95 95 x ") << outcome.text();
  EXPECT_THAT(outcome.told(), IsEmpty());
}

TEST_P(DeputySockets, AFullBacklogIsWaitedFor) {
  const Outcome outcome = run(python(R"(
server = socket.socket(socket.AF_UNIX); server.bind('s'); server.listen(0)
clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
clients[0].connect('s')
clients[1].setblocking(False)
print(clients[1].connect_ex('s'), end=' ')
def wait(): clients[2].connect('s'); print('through', end=' ')
thread = threading.Thread(target=wait); thread.start()
open('meanwhile', 'w').close()
server.accept(); thread.join(); print(clients[2].getblocking())
)"));
  EXPECT_EQ(outcome.out, "11 through True\n") << outcome.text();
}

// Whether a connect waits is a flag of the socket, which another thread changes back before the
// deputy's own connect.
TEST_P(DeputySockets, MadeToWaitHoldUpNobody) {
  const Outcome outcome = run(python(R"(
import fcntl, time
server = socket.socket(socket.AF_UNIX); server.bind('/tmp/s'); server.listen(0)
filling = socket.socket(socket.AF_UNIX); filling.connect('/tmp/s')
client = socket.socket(socket.AF_UNIX)
def flip():
    while True: fcntl.fcntl(client, fcntl.F_SETFL, 0)
def connect():
    while True:
        try: client.connect('/tmp/s')
        except OSError: pass
for body in flip, connect: threading.Thread(target=body, daemon=True).start()
until, longest, made = time.monotonic() + 1.5, 0, 0
while time.monotonic() < until:
    start = time.monotonic(); open(f'/tmp/{made}', 'w').close(); made += 1
    longest = max(longest, time.monotonic() - start)
try: os.mkdir('/usr/refused')
except OSError: pass
print('made', made > 0, longest < 1, flush=True)
os._exit(0)
)"));
  EXPECT_EQ(outcome.out, "made True True\n") << outcome.text();
  EXPECT_EQ(outcome.refused_unknown, "");
  EXPECT_THAT(outcome.told(), ElementsAre("create /usr/refused"));
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
