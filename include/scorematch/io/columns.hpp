// Some neighbouring columns of data: a rank's part.
#pragma once

#include "scorematch/check.hpp"
#include "scorematch/ranks/communicator.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// Columns first … first + count − 1 of a d × N matrix: samples.
struct Columns {
  Index first = 0;  ///< counted from 0
  Index count = 0;  ///< how many
};

/// This rank's part of `total` columns, as even as can be: rank 0's are the first. Throws std::invalid_argument for
/// total < 0.
inline Columns shard(Index total, const Communicator& communicator) {
  extend::require_at_least(total, 0, "shard: total");
  const auto begin = [&](Index rank) {
    return total / communicator.size() * rank + total % communicator.size() * rank / communicator.size();
  };
  const Index first = begin(communicator.rank());
  return {first, begin(communicator.rank() + 1) - first};
}

}  // namespace scorematch
