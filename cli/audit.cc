// sc audit: what happened. Asks the supervisor, or reads the file where none runs.
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <optional>
#include <set>

#include "audit/query.h"
#include "cli/audit_view.h"
#include "cli/commands.h"
#include "common/errors.h"
#include "common/places.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

constexpr std::uint64_t kDefaultTail = 50;
constexpr int kFollowMs = 500;

// docs/audit.md, "What was refused".
const std::set<std::string> kOperations = {"read",    "list",   "stat",   "access",      "write",
                                           "create",  "delete", "rename", "link",        "execute",
                                           "connect", "bind",   "limit",  "system call", "unknown"};

struct Options {
  bool blocked = false;
  bool follow = false;
  bool all = false;
  std::string skill;
  std::string tool;
  std::string session;
  std::string since;
  std::optional<std::uint64_t> tail;
  std::string operation;
  std::string path;
  std::string host;
  bool once = false;
};

// Empty for a number of records, else what is wrong with it.
std::string check_count(const std::string& text) {
  std::uint64_t count = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, count);
  if (error == std::errc() && stop == end && count > 0) return {};
  return '"' + printable(text) + "\" is not a number of records, from 1 on";
}

using Each = std::function<void(const audit::Record&)>;

// Records from the supervisor or from the file: whatever matches `query`, oldest first.
class Source {
 public:
  explicit Source(const Places& places) {
    try {
      client_.emplace(rpc::Client::connect(places, "sc " SHARKCAGE_VERSION));
    } catch (const UserError&) {
      reader_.emplace(places.audit_db());
    }
  }

  void read(audit::Query query, const Each& each) {
    if (reader_) {
      reader_->read(query, [&](const audit::Record& record) {
        each(record);
        return true;
      });
      return;
    }
    // An answer holds as many records as fit a line; the rest comes with the next question.
    for (;;) {
      const Json records = client_->call("audit.query", to_params(query)).at("records");
      if (records.empty()) return;
      for (const Json& record : records) each(record_from_json(record));
      query.after_seq = static_cast<std::uint64_t>(number_of(records.back(), "seq"));
      query.tail.reset();
    }
  }

 private:
  static Json to_params(const audit::Query& query) {
    Json params = Json::object();
    if (query.blocked) params["blocked"] = true;
    if (query.skill) params["skill"] = *query.skill;
    if (query.tool) params["tool"] = *query.tool;
    if (query.session) params["session"] = *query.session;
    if (query.since) {
      params["since_ms"] =
          std::chrono::duration_cast<std::chrono::milliseconds>(query.since->time_since_epoch())
              .count();
    }
    if (query.tail) params["tail"] = *query.tail;
    if (query.after_seq > 0) params["after"] = query.after_seq;
    return params;
  }

  std::optional<rpc::Client> client_;
  std::optional<audit::Reader> reader_;
};

bool picks(const Options& options) {
  return !options.operation.empty() || !options.path.empty() || !options.host.empty();
}

// "evil.example:80", "[::1]:80".
std::string host_in(const std::string& address) {
  const std::string host = address.substr(0, address.rfind(':'));
  return host.starts_with('[') ? host.substr(1, host.rfind(']') - 1) : host;
}

// To this host, a name below it, or this address.
bool is_to_host(const Json& access, std::string host) {
  if (host.ends_with('.')) host.pop_back();
  std::transform(host.begin(), host.end(), host.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string asked = host_in(text_of(access, "address"));
  return asked == host || asked.ends_with('.' + host) || text_of(access, "resolved") == host;
}

// An access of the named operation, at the named path or below it, to the named host.
bool is_picked(const Json& access, const Options& options) {
  if (!options.operation.empty() && text_of(access, "operation") != options.operation) return false;
  if (!options.host.empty() && !is_to_host(access, options.host)) return false;
  if (options.path.empty()) return true;
  for (const char* member : {"path", "to", "address", "call", "limit"}) {
    const std::string text = text_of(access, member);
    if (text == options.path || text.starts_with(options.path + '/')) return true;
  }
  return false;
}

audit::Query query_of(const Options& options) {
  audit::Query query;
  query.blocked = options.blocked;
  if (!options.skill.empty()) query.skill = options.skill;
  if (!options.tool.empty()) query.tool = options.tool;
  if (!options.session.empty()) query.session = options.session;
  if (!options.since.empty()) {
    query.since = std::chrono::system_clock::now() - parse_duration(options.since, "--since");
  }
  // Who picks means the newest of what is picked, which only we can count.
  if (options.tail && !picks(options)) {
    query.tail = options.tail;
  } else if (!options.all && options.since.empty() && !picks(options)) {
    query.tail = kDefaultTail;
  }
  return query;
}

std::string lines_of(const audit::Record& record, const View& view, bool blocked) {
  if (!blocked) return audit_line(record, view) + '\n';
  std::string out;
  for (const std::string& line : blocked_lines(record, view)) out += line + '\n';
  return out;
}

// Whose home is "~": that of who reads.
std::string home_of_reader() {
  const char* home = std::getenv("HOME");
  return home != nullptr && home[0] == '/' ? home : home_of(::geteuid());
}

// Those lines of --blocked that are like an earlier one but for number and time.
class Repeated {
 public:
  // Whether it is the first of its kind.
  bool add(const std::string& line) {
    const bool first = known_.insert(line).second;
    if (!first) ++more_;
    return first;
  }
  std::uint64_t more() const { return more_; }

 private:
  std::set<std::string> known_;
  std::uint64_t more_ = 0;
};

int audit(const Invocation& invocation, const Options& options) {
  Source source(find_places());
  View view{.colours = colours_on(STDOUT_FILENO), .home = home_of_reader()};
  Repeated repeated;
  if (options.once) {
    view.wanted = [&](const std::string& sentence) { return repeated.add(sentence); };
  }
  if (picks(options)) {
    view.matches = [&](const Json& access) { return is_picked(access, options); };
  }
  audit::Query query = query_of(options);
  std::uint64_t shown = 0;
  const auto show = [&](const audit::Record& record) {
    ++shown;
    if (invocation.json) {
      print_json(record.to_json());
    } else {
      view.now = std::chrono::system_clock::now();
      print(lines_of(record, view, options.blocked));
    }
  };
  std::deque<audit::Record> newest;
  bool following = false;
  const auto take = [&](const audit::Record& record) {
    query.after_seq = record.seq;
    if (picks(options)) {
      const Json accesses = accesses_of(record);
      if (std::none_of(accesses.begin(), accesses.end(), view.matches)) return;
    }
    if (!picks(options) || !options.tail || following) return show(record);
    newest.push_back(record);
    if (newest.size() > *options.tail) newest.pop_front();
  };
  source.read(query, take);
  for (const audit::Record& record : newest) show(record);
  if (!options.follow && !invocation.json) {
    if (shown == 0) print("No record matches.\n");
    if (repeated.more() > 0) {
      print(counted(repeated.more(), "line") +
            " more like these; without --once they are shown.\n");
    }
    if (query.tail && *query.tail == shown && !options.tail) {
      print("The newest " + std::to_string(shown) + "; see all of them with --all.\n");
    }
  }
  // Ends with ^C, or when nobody reads any more (SIGPIPE).
  query.tail.reset();
  query.since.reset();
  following = true;
  while (options.follow) {
    ::usleep(kFollowMs * 1000);
    source.read(query, take);
  }
  return kDone;
}

}  // namespace

void add_audit(CLI::App& app, Invocation& invocation) {
  CLI::App* command = add_command(app, invocation, "audit", "Show what happened, newest last",
                                  "sc audit --blocked --since 1h");
  auto options = std::make_shared<Options>();
  auto* blocked = command->add_flag("--blocked", options->blocked, "Only what was refused");
  command->add_option("--skill", options->skill, "Only this skill")->type_name("NAME");
  command->add_option("--tool", options->tool, "Only this tool")->type_name("NAME");
  command->add_option("--session", options->session, "Only this session")->type_name("KEY");
  auto* once = command->add_flag("--once", options->once,
                                 "With --blocked: lines that say the same only once, the oldest");
  auto* operation =
      command
          ->add_option(
              "--operation", options->operation,
              "With --blocked: only accesses of this kind (read, list, stat, access, write, "
              "create, delete, rename, link, execute, connect, bind, limit, system call)")
          ->type_name("WORD")
          ->check(CLI::IsMember(kOperations));
  auto* path = command
                   ->add_option("--path", options->path,
                                "With --blocked: only accesses to this path, or below it")
                   ->type_name("PATH");
  for (CLI::Option* option : {once, operation, path}) option->needs(blocked);
  command
      ->add_option("--host", options->host,
                   "Only connections to this host, names below it, or this address")
      ->type_name("HOST");
  command->add_option("--since", options->since, "Only what is younger, e.g. 30m, 1h, 7d")
      ->type_name("DURATION")
      ->check(check_duration);
  auto* tail = command->add_option("--tail", options->tail, "The newest N of them (default 50)")
                   ->type_name("N")
                   ->check(check_count);
  command->add_flag("--all", options->all, "All of them")->excludes(tail);
  command->add_flag("--follow", options->follow, "Go on with what comes; end with ^C");
  add_audit_verify(*command, invocation);
  command->final_callback([&invocation, options] {
    if (invocation.action) return;  // sc audit verify
    invocation.action = [&invocation, options] { return audit(invocation, *options); };
  });
}

}  // namespace sharkcage::cli
