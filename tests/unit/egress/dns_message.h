// Questions as bytes, and responses as glibc's own parser reads them.
#pragma once

#include <arpa/nameser.h>
#include <resolv.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/egress/dns.h"

namespace sharkcage::egress::testing {

inline std::string word(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 0xFF)};
}

// "www.example" as labels with the root's end.
inline std::string wire_name(std::string_view name) {
  std::string wire;
  while (!name.empty()) {
    const std::size_t dot = std::min(name.find('.'), name.size());
    wire += static_cast<char>(dot);
    wire += name.substr(0, dot);
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  return wire + '\0';
}

// An OPT record (RFC 6891, section 6.1.2).
inline std::string opt_record(unsigned version = 0, unsigned flags = 0,
                              const std::string& options = "") {
  return std::string(1, '\0') + word(ns_t_opt) + word(1232) + '\0' + static_cast<char>(version) +
         word(flags) + word(static_cast<unsigned>(options.size())) + options;
}

// A packet; what is not said is that of an ordinary question for an address.
struct Asked {
  unsigned id = 0x1234;
  unsigned flags = 0x0100;
  unsigned questions = 1;
  unsigned answers = 0;
  unsigned authorities = 0;
  unsigned additional = 0;
  std::string name = wire_name("www.example");
  unsigned type = ns_t_a;
  unsigned class_of_data = ns_c_in;
  std::string rest;

  Asked& with_opt(const std::string& record = opt_record()) {
    ++additional;
    rest += record;
    return *this;
  }
  std::string packet() const {
    return word(id) + word(flags) + word(questions) + word(answers) + word(authorities) +
           word(additional) + name + word(type) + word(class_of_data) + rest;
  }
};

inline dns::Bytes bytes_of(std::string_view packet) {
  return {reinterpret_cast<const std::uint8_t*>(packet.data()), packet.size()};
}

struct Response {
  bool readable = false;
  unsigned id = 0;
  unsigned flags = 0;
  unsigned code = 0;                   // with the upper half from the OPT
  std::string question;                // its bytes: name, type, class
  std::vector<std::string> addresses;  // data of the answers
  unsigned ttl = 0;
  std::string answer_name;
  bool opt = false;
  unsigned opt_flags = 0;
  std::string options;
};

inline Response read_response(const std::string& packet) {
  Response response;
  ns_msg message;
  const auto* bytes = reinterpret_cast<const unsigned char*>(packet.data());
  if (::ns_initparse(bytes, static_cast<int>(packet.size()), &message) != 0) return response;
  response.id = ns_msg_id(message);
  response.flags = static_cast<unsigned>(bytes[2] << 8 | bytes[3]);
  response.code = response.flags & 0xFu;
  ns_rr record;
  if (ns_msg_count(message, ns_s_qd) == 1) {
    if (::ns_parserr(&message, ns_s_qd, 0, &record) != 0) return response;
    const int name = ::dn_skipname(bytes + 12, bytes + packet.size());
    response.question = packet.substr(12, static_cast<std::size_t>(name) + 4);
  }
  for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
    if (::ns_parserr(&message, ns_s_an, i, &record) != 0) return response;
    response.addresses.emplace_back(reinterpret_cast<const char*>(ns_rr_rdata(record)),
                                    ns_rr_rdlen(record));
    response.ttl = ns_rr_ttl(record);
    response.answer_name = ns_rr_name(record);
  }
  if (ns_msg_count(message, ns_s_ar) == 1) {
    if (::ns_parserr(&message, ns_s_ar, 0, &record) != 0) return response;
    response.opt = ns_rr_type(record) == ns_t_opt;
    response.code |= (ns_rr_ttl(record) >> 24) << 4;
    response.opt_flags = ns_rr_ttl(record) & 0xFFFFu;
    response.options.assign(reinterpret_cast<const char*>(ns_rr_rdata(record)),
                            ns_rr_rdlen(record));
  }
  response.readable = ns_msg_count(message, ns_s_ns) == 0;
  return response;
}

}  // namespace sharkcage::egress::testing
