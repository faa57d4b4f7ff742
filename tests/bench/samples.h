// What the benchmarks print of their samples, which tests/bench/run reads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "common/json.h"

namespace sharkcage::bench {

// Microseconds of one row, by phase; "" is the whole.
using Samples = std::map<std::string, std::vector<double>>;

// Calls `measure(index, counts)` for each row in each round, in an order that is shuffled, though
// the same in every run. The first `warm_up` rounds do not count. A row's "every" is its share.
template <class Measure>
void in_rounds(const Json& rows, int rounds, int warm_up, Measure measure) {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), 0u);
  std::mt19937 random(1);
  for (int round = -warm_up; round < rounds; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t index : order) {
      const int every = rows[index].value("every", 1);
      if (round < 0 ? round != -1 && every > 1 : round % every != 0) continue;
      measure(index, round >= 0);
    }
  }
}

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
