// What the benchmarks print of their samples, which tests/bench/run reads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "common/json.h"

namespace sharkcage::bench {

// Microseconds of one row, by phase; "" is the whole.
using Samples = std::map<std::string, std::vector<double>>;

inline Json summary(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<std::size_t>(static_cast<double>(values.size() - 1) * share)];
  };
  return {{"samples", values.size()},
          {"min_us", values.front()},
          {"median_us", at(0.5)},
          {"p95_us", at(0.95)},
          {"p99_us", at(0.99)}};
}

inline Json summary(const Json& name, Samples& samples) {
  Json out = {{"name", name}};
  for (auto& [phase, values] : samples) {
    if (phase.empty()) {
      out.update(summary(values));
    } else {
      out["phases"][phase] = summary(values);
    }
  }
  return out;
}

}  // namespace sharkcage::bench
