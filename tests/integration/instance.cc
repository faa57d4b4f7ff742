#include "tests/integration/instance.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "audit/query.h"
#include "common/errors.h"

namespace sharkcage::testing {
namespace {

const std::string kPrograms = SHARKCAGE_PROGRAMS;

std::string make_root() {
  const char* base = std::getenv("TMPDIR");
  std::string path =
      std::filesystem::canonical(base != nullptr && *base != '\0' ? base : "/tmp").string() +
      "/sharkcage-test-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) throw_errno("mkdtemp", path);
  if (::chmod(path.c_str(), 0755) != 0) throw_errno("chmod", path);
  return path;
}

// Where the supervisor says that it is ready (sd_notify(3)).
UniqueFd listen_for_ready(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw_errno(ENAMETOOLONG, "bind", path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ::unlink(path.c_str());
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw_errno("bind", path);
  }
  return socket;
}

// The content store's directories are read-only.
void remove_tree(const std::string& root) {
  std::error_code ignored;
  std::filesystem::permissions(root, std::filesystem::perms::owner_all, ignored);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root, ignored)) {
    if (!entry.is_directory(ignored) || entry.is_symlink(ignored)) continue;
    std::filesystem::permissions(entry.path(), std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add, ignored);
  }
  std::filesystem::remove_all(root, ignored);
}

}  // namespace

void write_text(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}

Instance::Instance() : root_(make_root()), workspace_(root_ + "/work") {
  for (const char* folder : {"/home", "/work", "/cage", "/skills"}) {
    std::filesystem::create_directory(root_ + folder);
  }
  places_.install = Places::Install::kHome;
  places_.config_dir = root_ + "/cage/etc";
  places_.state_dir = root_ + "/cage/var";
  places_.run_dir = root_ + "/cage/run";
}

Instance::~Instance() {
  // An orderly stop first, so that the sanitizers can report.
  if (daemon_) {
    daemon_->signal(SIGTERM);
    try {
      const Output end = daemon_->finish();
      if (::testing::Test::HasFailure())
        std::fprintf(stderr, "sharkcaged wrote:\n%s\n", end.err.c_str());
      EXPECT_EQ(end.status, 0) << "sharkcaged: " << end.err;
    } catch (const std::exception& error) {
      ADD_FAILURE() << "sharkcaged did not stop: " << error.what();
    }
  }
  remove_tree(root_);
}

std::map<std::string, std::string> Instance::environment() const {
  std::map<std::string, std::string> out = {{"SHARKCAGE_HOME", root_ + "/cage"},
                                            {"HOME", home()},
                                            {"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                            {"LANG", "C.UTF-8"}};
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) out[name] = value;
  }
  return out;
}

void Instance::configure(const std::string& text) const {
  write_text(places_.config_file(), text);
}

void Instance::start(std::function<void()> before_exec) {
  const UniqueFd ready = listen_for_ready(root_ + "/ready");
  Process::Options options{environment(), root_, std::move(before_exec)};
  options.environment["NOTIFY_SOCKET"] = root_ + "/ready";
  daemon_.emplace(std::vector<std::string>{kPrograms + "/sharkcaged"}, options);
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, daemon_->pid(), 0)));
  pollfd wanted[] = {{ready.get(), POLLIN, 0}, {process.get(), POLLIN, 0}};
  ::poll(wanted, 2, static_cast<int>(std::chrono::milliseconds(kPatience).count()));
  if ((wanted[0].revents & POLLIN) != 0) return;
  daemon_->signal(SIGKILL);
  const Output end = wait_for_end();
  throw std::runtime_error("sharkcaged did not start: " + end.err);
}

Output Instance::start_in_vain() {
  return Process({kPrograms + "/sharkcaged"}, {environment(), root_, {}}).finish();
}

std::vector<pid_t> Instance::processes() const {
  std::vector<pid_t> tree = {supervisor()};
  for (std::size_t i = 0; i < tree.size(); ++i) {
    std::error_code error;  // it may have ended meanwhile
    const std::string tasks = "/proc/" + std::to_string(tree[i]) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
      std::ifstream children(task.path() / "children");
      for (pid_t child = 0; children >> child;) tree.push_back(child);
    }
  }
  return tree;
}

Output Instance::stop() {
  daemon_->signal(SIGTERM);
  return wait_for_end();
}

void Instance::kill() {
  daemon_->signal(SIGKILL);
  wait_for_end();
}

Output Instance::wait_for_end() {
  Output end = daemon_->finish();
  daemon_.reset();
  return end;
}

Process Instance::spawn(const std::string& program, const std::vector<std::string>& arguments,
                        const std::map<std::string, std::string>& variables) const {
  std::vector<std::string> argv = {kPrograms + "/" + program};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  Process::Options options{environment(), workspace_, {}};
  for (const auto& [name, value] : variables) options.environment[name] = value;
  return Process(argv, options);
}

Output Instance::shell(const std::string& script,
                       const std::map<std::string, std::string>& variables) const {
  Process::Options options{environment(), workspace_, {}};
  options.environment["PATH"] = kPrograms + ":/usr/local/bin:/usr/bin:/bin";
  for (const auto& [name, value] : variables) options.environment[name] = value;
  return Process({"/bin/bash", "-c", script}, options).finish();
}

Output Instance::run(const std::vector<std::string>& argv) const {
  std::vector<std::string> arguments = {"run", "--"};
  arguments.insert(arguments.end(), argv.begin(), argv.end());
  return sc(arguments);
}

std::string Instance::write_skill(const std::string& name, const Json& capabilities) const {
  const std::string folder = root_ + "/skills/" + name;
  write_text(folder + "/SKILL.md", "---\nname: " + name + "\ndescription: for a test\n---\n");
  write_text(folder + "/sharkcage.json", Json{{"name", name},
                                              {"version", "1.0.0"},
                                              {"description", "for a test"},
                                              {"capabilities", capabilities}}
                                             .dump());
  return folder;
}

void Instance::approve_skill(const std::string& name, const Json& capabilities) const {
  const Output added = sc({"skill", "add", write_skill(name, capabilities)});
  if (added.status != 0) throw std::runtime_error("sc skill add: " + added.err);
  const Output approved = sc({"approve", name, "--yes"});
  if (approved.status != 0) throw std::runtime_error("sc approve: " + approved.err);
}

std::vector<Json> Instance::records(const std::string& kind) const {
  // Outcomes are written behind the answer: the supervisor's own reader waits for them.
  if (daemon_) client().call("audit.query", {{"limit", 1}});
  std::vector<Json> out;
  audit::Reader(places_.audit_db()).read({}, [&](const audit::Record& record) {
    if (kind.empty() || record.kind == kind) out.push_back(record.to_json());
    return true;
  });
  return out;
}

std::vector<Json> Instance::blocked() const {
  const Output output = sc({"audit", "--blocked", "--all", "--json"});
  EXPECT_EQ(output.status, 0) << output.err;
  std::vector<Json> out;
  std::istringstream lines(output.out);
  for (std::string line; std::getline(lines, line);) out.push_back(Json::parse(line));
  return out;
}

bool Instance::blocked_has(const std::string& text) const {
  for (const auto& record : blocked()) {
    if (record.dump().find(text) != std::string::npos) return true;
  }
  return false;
}

rpc::Error error_of(const std::function<void()>& request) {
  try {
    request();
  } catch (const rpc::RemoteError& error) {
    return error.error();
  }
  ADD_FAILURE() << "the request was not refused";
  return {0, "", {}};
}

}  // namespace sharkcage::testing
