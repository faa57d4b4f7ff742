#include "cli/audit_view.h"

#include "cli/refusal_view.h"
#include "cli/style.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

// A command in a line of the log; the whole of it is in --json.
constexpr std::size_t kMaxCommand = 160;
// The session of `sc run` without --session.
constexpr std::string_view kUnnamedSession = "cli";
constexpr const char* kAfterReturn = "after its command returned";

std::string shortened(std::string text) {
  if (text.size() <= kMaxCommand) return text;
  std::size_t end = kMaxCommand;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

// A word as a shell would need it, so that ["a b"] and ["a", "b"] differ.
std::string quoted(const std::string& word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,~";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + '\'';
}

std::string command_of(const Json& payload) {
  if (!payload.is_object()) return {};
  if (payload.contains("argv") && payload["argv"].is_array()) {
    std::string line;
    for (const Json& word : payload["argv"]) {
      const std::string text = text_of({{"word", word}}, "word");
      line += (line.empty() ? "" : " ") + quoted(text);
    }
    return shortened(line);
  }
  if (payload.contains("command")) return shortened(text_of(payload, "command"));
  if (payload.contains("params") && payload["params"].is_object())
    return command_of(payload["params"]);
  return {};
}

// What a file tool works on.
std::string path_of(const Json& payload) {
  if (!payload.is_object()) return {};
  const std::string path = text_of(payload, "path");
  if (!path.empty()) return path;
  return payload.contains("params") ? path_of(payload["params"]) : std::string();
}

std::string because(const audit::Record& record) {
  return record.reason.empty() ? std::string() : " — " + record.reason;
}

std::string subject(const audit::Record& record) {
  // Outside of every sandbox: whoever connects to the client's port is none without its token.
  if (record.session.starts_with("egress client ")) {
    return (record.call.empty() ? "somebody without the token of " : "") + record.session;
  }
  return record.skill.empty() ? "the agent" : record.skill == "agent" ? "the agent" : record.skill;
}

std::string describe_verdict(const audit::Record& record) {
  const std::string command = command_of(record.payload);
  const std::string path = path_of(record.payload);
  std::string action = record.tool.empty() ? "make a call" : "use " + record.tool;
  if (!command.empty()) {
    action = "run: " + command;
  } else if (!path.empty()) {
    action += " on " + path;
  }
  if (record.decision == "allow") return subject(record) + " may " + action + because(record);
  if (record.decision == "block") return subject(record) + " wanted to " + action + because(record);
  return subject(record) + " asks to " + action + because(record);
}

// An outcome of what the command left running when it returned, of which another one tells.
bool is_of_what_was_left(const audit::Record& record) {
  const Json& payload = record.payload;
  return payload.is_object() && payload.value("left_running", Json()) == true;
}

// How it ended, without what was refused.
std::string describe_ending(const audit::Record& record) {
  const Json& payload = record.payload;
  const std::string whose = subject(record) + "'s " + (record.tool.empty() ? "call" : record.tool);
  std::string text;
  if (record.decision == "block") return whose + " did not run" + because(record);
  if (is_of_what_was_left(record)) {
    const std::string command = command_of(payload);
    const bool runs = payload.value("running", Json()) == true;
    text = "what " + whose + (runs ? " left running still runs" : " left running is over");
    return text + (command.empty() ? "" : ": " + command);
  }
  if (payload.contains("signal")) {
    text = whose + " was ended by signal " + std::to_string(number_of(payload, "signal"));
  } else if (payload.contains("exit")) {
    text = whose + " ended with status " + std::to_string(number_of(payload, "exit"));
  } else {
    text = whose + " is over";
  }
  if (record.reason == "wall") {
    text += " at its time limit";
  } else {
    text += because(record);
  }
  if (payload.contains("wall_us")) {
    text += ", " + human_duration(std::chrono::milliseconds(number_of(payload, "wall_us") / 1000));
  }
  return text;
}

std::string describe_outcome(const audit::Record& record, const std::string& home) {
  const std::string refused = refusals_in_short(record.payload, home);
  return describe_ending(record) + (refused.empty() ? "" : "; refused: " + refused);
}

std::string describe_connection(const audit::Record& record) {
  const Json& payload = record.payload;
  const std::string host = text_of(payload, "host");
  const std::int64_t port = number_of(payload, "port");
  std::string target = host;
  if (target.find(':') != std::string::npos) target = '[' + target + ']';
  if (port > 0) target += ':' + std::to_string(port);
  const bool blocked = record.decision == "block";
  const std::int64_t count = number_of(payload, "count");
  // As of other refusals: which program, and how often.
  std::string often = text_of(payload, "program");
  if (count > 1) often += (often.empty() ? "" : ", ") + std::to_string(count) + " times";
  if (!often.empty()) often = " (" + often + ")";
  // Those beyond the kinds that are told apart, and those of an egress that died.
  if (blocked && host.empty() && count > 1) {
    return subject(record) + " made " + std::to_string(count) + " attempts" + because(record);
  }
  if (text_of(payload, "protocol") == "dns") {
    return subject(record) + (blocked ? " tried to look up " : " looked up ") + target +
           because(record) + often;
  }
  // Nothing was understood of what it asked for, or nothing was read without a token.
  if (blocked && host.empty()) {
    return subject(record) + " tried to use the proxy" + because(record) + often;
  }
  if (blocked) return subject(record) + " tried to reach " + target + because(record) + often;
  if (text_of(payload, "phase") == "open")
    return subject(record) + " connects to " + target + often;
  const bool carried = number_of(payload, "bytes_up") > 0 || number_of(payload, "bytes_down") > 0;
  if (!carried && !record.reason.empty()) {
    const std::string address = text_of(payload, "address");
    // A name has several, of which each is tried.
    const std::string at = address.empty() || address == host ? "" : " at " + address;
    return subject(record) + " did not reach " + target + at + because(record) + often;
  }
  std::string text = subject(record) + " reached " + target;
  if (payload.contains("bytes_up")) {
    text += ", " + human_size(static_cast<std::uint64_t>(number_of(payload, "bytes_up"))) +
            " up, " + human_size(static_cast<std::uint64_t>(number_of(payload, "bytes_down"))) +
            " down";
  }
  return text + because(record);
}

// What a person decided, here or in the host's prompt.
std::string describe_approval(const audit::Record& record) {
  const std::string decision = text_of(record.payload, "decision");
  if (decision.empty()) return record.skill + " was " + record.reason;
  std::string text = "asked about " + record.skill + ", a person said " + decision;
  const std::string by = text_of(record.payload, "by");
  if (!by.empty()) text += " (" + by + ")";
  return text + because(record);
}

Colour colour_of(const audit::Record& record) {
  if (audit::is_blocked(record)) return Colour::kRed;
  if (record.decision == "ask") return Colour::kYellow;
  if (record.decision == "allow") return Colour::kGreen;
  return Colour::kDim;
}

// An entry of a limit, with what the outcome says about it: how much it was, and of which command.
Json with_limit(Json refusal, const audit::Record& record) {
  const std::string limit = text_of(refusal, "limit");
  if (limit.empty()) return refusal;
  if (record.payload.contains("limits")) {
    refusal["value"] = text_of(record.payload["limits"], limit.c_str());
  }
  if (text_of(refusal, "program").empty()) refusal["program"] = text_of(record.payload, "command");
  return refusal;
}

// A sentence for each thing that was refused: the record itself, or what an outcome lists.
std::vector<std::string> refused_sentences(const audit::Record& record, const View& view) {
  const std::string& home = view.home;
  const Json& refused = refusals_of(record.payload);
  if (record.kind != "outcome" || record.decision == "block" || refused.empty()) {
    const Json accesses = accesses_of(record);
    if (view.matches && std::none_of(accesses.begin(), accesses.end(), view.matches)) return {};
    return {describe(record, home)};
  }
  std::vector<std::string> out;
  for (const Json& refusal : refused) {
    if (view.matches && !view.matches(refusal)) continue;
    out.push_back(subject(record) + ' ' +
                  refusal_sentence(with_limit(refusal, record), home,
                                   is_of_what_was_left(record) ? kAfterReturn : ""));
  }
  const std::int64_t more = number_of(record.payload, "refused_more");
  if (more > 0 && !view.matches) {
    out.push_back(subject(record) + " tried " + std::to_string(more) +
                  " more, of which only the number was kept");
  }
  return out;
}

// "   #12  14:03:07  block  the agent tried …": a line a record, in columns that do not depend on
// the records that follow (--follow).
std::string line(const audit::Record& record, const std::string& sentence, const View& view) {
  const bool blocked = audit::is_blocked(record);
  const Colour colour = colour_of(record);
  std::string number = '#' + std::to_string(record.seq);
  if (number.size() < 6) number.insert(0, 6 - number.size(), ' ');
  std::string word = blocked ? "block" : record.decision;
  word.resize(std::max<std::size_t>(word.size(), 5), ' ');
  return Cell(number, Colour::kDim).painted(view.colours) + "  " +
         Cell(local_time(record.time, view.now), Colour::kDim).painted(view.colours) + "  " +
         Cell(word, colour).painted(view.colours) + "  " +
         Cell(sentence, blocked ? colour : Colour::kPlain).painted(view.colours);
}

// Where it happened, for who looks at refusals of many sessions; `sc run` has none unless one was
// named.
std::string place(const audit::Record& record, const View& view) {
  if (record.session.empty() || record.session == kUnnamedSession) return {};
  const std::string text = (record.tool.empty() ? "" : record.tool + " in ") + record.session;
  return "  " + Cell('[' + text + ']', Colour::kDim).painted(view.colours);
}

}  // namespace

std::string describe(const audit::Record& record, const std::string& home) {
  if (record.kind == "verdict") return describe_verdict(record);
  if (record.kind == "outcome") return describe_outcome(record, home);
  if (record.kind == "connection") return describe_connection(record);
  if (record.kind == "approval") return describe_approval(record);
  if (record.kind == "end") return record.reason;  // it is a sentence
  std::string text = record.kind;
  if (!record.skill.empty()) text += ' ' + record.skill;
  if (!record.tool.empty()) text += " (" + record.tool + ")";
  return text + because(record);
}

std::string audit_line(const audit::Record& record, const View& view) {
  return line(record, describe(record, view.home), view);
}

Json accesses_of(const audit::Record& record) {
  if (record.kind != "connection") return refusals_of(record.payload);
  const Json& payload = record.payload;
  const std::string host = text_of(payload, "host");
  const std::string shown = host.find(':') == std::string::npos ? host : '[' + host + ']';
  return Json::array({{{"operation", "connect"},
                       {"address", shown + ':' + std::to_string(number_of(payload, "port"))},
                       {"resolved", text_of(payload, "address")}}});
}

std::vector<std::string> blocked_lines(const audit::Record& record, const View& view) {
  std::vector<std::string> lines;
  for (const std::string& sentence : refused_sentences(record, view)) {
    if (view.wanted && !view.wanted(sentence)) continue;
    lines.push_back(line(record, sentence, view) + place(record, view));
  }
  return lines;
}

audit::Record record_from_json(const Json& value) {
  audit::Record record;
  record.seq = static_cast<std::uint64_t>(number_of(value, "seq"));
  record.version = static_cast<int>(number_of(value, "version"));
  for (auto& [member, name] : {std::pair{&audit::Record::time, "time"},
                               {&audit::Record::kind, "kind"},
                               {&audit::Record::session, "session"},
                               {&audit::Record::agent, "agent"},
                               {&audit::Record::skill, "skill"},
                               {&audit::Record::tool, "tool"},
                               {&audit::Record::call, "call"},
                               {&audit::Record::decision, "decision"},
                               {&audit::Record::reason, "reason"},
                               {&audit::Record::policy, "policy"},
                               {&audit::Record::prev_hash, "prev_hash"},
                               {&audit::Record::hash, "hash"}}) {
    record.*member = text_of(value, name);
  }
  if (value.is_object() && value.contains("payload") && value["payload"].is_object()) {
    record.payload = value["payload"];
  }
  return record;
}

}  // namespace sharkcage::cli
