// How chains are cut into blocks: for sample, generate, and annealing alike.
#pragma once

#include <algorithm>

#include "scorematch/types.hpp"

namespace scorematch::sampling {

/// Chains that advance side by side at most: state, score and noise stay in cache, and fill whole tiles of matrix
/// products.
inline constexpr Index chains_a_block = 96;

/// Chains in blocks of whole registers, as equal as can be, four blocks or a multiple of it where there are so many, so
/// that threads share them evenly. Depends on the number of chains alone.
struct ChainBlocks {
  Index chains, lanes, registers, count;

  ChainBlocks(Index chain_count, Index lane_count)
      : chains(chain_count), lanes(lane_count), registers((chains + lanes - 1) / lanes) {
    count = (chains + chains_a_block - 1) / chains_a_block;
    if (count > 3) count = std::min((count + 3) / 4 * 4, registers);
  }
  Index first(Index b) const { return std::min(chains, b * registers / count * lanes); }
  Index size(Index b) const { return first(b + 1) - first(b); }
};

}  // namespace scorematch::sampling
