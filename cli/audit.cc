// sc audit: what happened. Asks the supervisor, or reads the file where none runs.
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <optional>

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

struct Options {
  bool blocked = false;
  bool follow = false;
  bool all = false;
  std::string skill;
  std::string tool;
  std::string session;
  std::string since;
  std::optional<std::uint64_t> tail;
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

audit::Query query_of(const Options& options) {
  audit::Query query;
  query.blocked = options.blocked;
  if (!options.skill.empty()) query.skill = options.skill;
  if (!options.tool.empty()) query.tool = options.tool;
  if (!options.session.empty()) query.session = options.session;
  if (!options.since.empty()) {
    query.since = std::chrono::system_clock::now() - parse_duration(options.since, "--since");
  }
  if (options.tail) {
    query.tail = options.tail;
  } else if (!options.all && options.since.empty()) {
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

int audit(const Invocation& invocation, const Options& options) {
  Source source(find_places());
  View view{.colours = colours_on(STDOUT_FILENO), .home = home_of_reader()};
  audit::Query query = query_of(options);
  std::uint64_t shown = 0;
  const auto show = [&](const audit::Record& record) {
    ++shown;
    query.after_seq = record.seq;
    if (invocation.json) {
      print_json(record.to_json());
    } else {
      view.now = std::chrono::system_clock::now();
      print(lines_of(record, view, options.blocked));
    }
  };
  source.read(query, show);
  if (!options.follow && !invocation.json) {
    if (shown == 0) print("No record matches.\n");
    if (query.tail && *query.tail == shown && !options.tail) {
      print("The newest " + std::to_string(shown) + "; see all of them with --all.\n");
    }
  }
  // Ends with ^C, or when nobody reads any more (SIGPIPE).
  query.tail.reset();
  query.since.reset();
  while (options.follow) {
    ::usleep(kFollowMs * 1000);
    source.read(query, show);
  }
  return kDone;
}

}  // namespace

void add_audit(CLI::App& app, Invocation& invocation) {
  CLI::App* command = add_command(app, invocation, "audit", "Show what happened, newest last",
                                  "sc audit --blocked --since 1h");
  auto options = std::make_shared<Options>();
  command->add_flag("--blocked", options->blocked, "Only what was refused");
  command->add_option("--skill", options->skill, "Only this skill")->type_name("NAME");
  command->add_option("--tool", options->tool, "Only this tool")->type_name("NAME");
  command->add_option("--session", options->session, "Only this session")->type_name("KEY");
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
