// Threads as ranks, for tests.
#pragma once

#include "catch.hpp"

#include <functional>
#include <string>
#include <vector>

#include "ranks_data.hpp"
#include "scorematch/ranks/thread_ranks.hpp"

namespace on_ranks {

/// What `work` returns on each of so many ranks.
inline std::vector<std::string> on(int size, const std::function<Bits(const Communicator&)>& work) {
  std::vector<std::string> all(static_cast<std::size_t>(size));
  scorematch::extend::run_as_ranks(
      size, [&](const Communicator& c) { all[static_cast<std::size_t>(c.rank())] = work(c).text(); });
  return all;
}

inline void require_same_bits(const std::function<Bits(const Communicator&)>& work,
                              const std::vector<int>& sizes = {2, 3, 5, 8}) {
  const std::string alone = work(Communicator()).text();
  for (const int size : sizes) {
    CAPTURE(size);
    for (const std::string& one : on(size, work)) CHECK((one == alone));
  }
}

}  // namespace on_ranks
