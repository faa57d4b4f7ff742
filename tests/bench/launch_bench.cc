// How long a fresh sandbox that runs /bin/true takes through the launcher, beside a plain fork and
// exec. Usage: launch_bench [ROUNDS] [scoped|user]
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "supervisor/sandbox/launcher_client.h"

namespace {

using namespace sharkcage;
using namespace sharkcage::sandbox;
using Clock = std::chrono::steady_clock;

struct Marks {
  double ready, returned, ended;
};

double since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

Spec make_spec(const std::string& directory, bool scoped) {
  Spec spec;
  spec.policy.home = directory;
  spec.policy.workspace = directory;
  spec.policy.exec.any = !scoped;
  if (scoped) spec.policy.exec.programs = {"/usr/bin/true"};
  spec.identity.uid = ::getuid();
  spec.identity.gid = ::getgid();
  spec.identity.name = "bench";
  spec.identity.host_uid = ::geteuid() == 0 ? 1234567 : 0;
  spec.paths.push_back(judge_path(directory, directory, Access::kReadWrite));
  return spec;
}

Command make_command(const std::string& directory) {
  return {{"/bin/true"}, {"PATH=/usr/bin:/bin"}, directory, {}};
}

Marks run(Launcher& launcher, const Spec& spec, const Command& command) {
  Marks marks{};
  const auto start = Clock::now();
  auto [control, far] = make_control();
  launcher.launch(spec, far.get());
  far.reset();
  const int fds[3] = {0, 1, 2};
  open_gate(order_run(control.get(), {}, command, fds));
  for (;;) {
    pollfd waiting{control.get(), POLLIN, 0};
    ::poll(&waiting, 1, -1);
    const auto event = receive_event(control.get());
    if (!event) continue;
    if (event->kind == Event::Kind::kReady) marks.ready = since(start);
    if (event->kind == Event::Kind::kReturned) marks.returned = since(start);
    if (event->kind == Event::Kind::kFailed) {
      std::fprintf(stderr, "%s. %s\n", event->what.c_str(), event->remedy.c_str());
      std::exit(1);
    }
    if (event->kind == Event::Kind::kEnded) break;
  }
  marks.ended = since(start);
  return marks;
}

double plain() {
  const auto start = Clock::now();
  pid_t pid = 0;
  char name[] = "/bin/true";
  char* const argv[] = {name, nullptr};
  if (::posix_spawn(&pid, name, nullptr, nullptr, argv, environ) == 0) ::waitpid(pid, nullptr, 0);
  return since(start);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 200;
  const bool scoped = argc > 2 && std::strcmp(argv[2], "scoped") == 0;
  std::string directory = "/tmp/sharkcage-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return 1;
  Launcher launcher = Launcher::start();
  const Spec spec = make_spec(directory, scoped);
  const Command command = make_command(directory);
  run(launcher, spec, command);
  std::vector<double> ready, returned, ended, spawned;
  for (int i = 0; i < rounds; ++i) {
    const Marks marks = run(launcher, spec, command);
    ready.push_back(marks.ready);
    returned.push_back(marks.returned);
    ended.push_back(marks.ended);
    spawned.push_back(plain());
  }
  std::printf("median of %d, us: ready %.0f, returned %.0f, ended %.0f; plain %.0f\n", rounds,
              median(ready), median(returned), median(ended), median(spawned));
  ::rmdir(directory.c_str());
  return 0;
}
