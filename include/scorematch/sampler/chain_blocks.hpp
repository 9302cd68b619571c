// Blocks of chains, and what runs of them share: how chains are cut into blocks, where they start, work on all blocks.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/ranks/agreement.hpp"
#include "scorematch/ranks/parcel.hpp"
#include "scorematch/sampler/chain_start.hpp"
#include "scorematch/simd/lanes.hpp"
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

/// Where chains start: at given points, at draws of a callable, or at `deviation` times N(0, I), which threads draw
/// apart.
class StartPoints {
 public:
  StartPoints(const ChainStart& start, Index dimension, Index chains, std::uint64_t seed, const char* argument,
              double deviation = 1)
      : dimension_(dimension), seed_(seed), deviation_(deviation), normal_(start.standard_normal()) {
    if (!normal_) points_ = start.points(dimension, chains, seed, argument);
  }

  bool normal() const { return normal_; }

  /// Chains first … first + count − 1 as a block of whole registers, the last repeated. Of N(0, I) another `attempt`,
  /// other points.
  template <class T>
  void gather(Index first, Index count, Matrix<T>& X, std::uint64_t attempt = 0) const {
    const Index rows = evaluate::padded_rows<T>(count);
    if (!normal_) return evaluate::gather_columns(points_, first, count, rows, X);
    Eigen::MatrixXd z;
    ChainStart::draw(first, count, dimension_, seed_, z, attempt);
    X.resize(rows, dimension_);
    for (Index j = 0; j < dimension_; ++j)
      for (Index i = 0; i < rows; ++i) X(i, j) = static_cast<T>(deviation_ * z(std::min(i, count - 1), j));
  }

 private:
  Eigen::MatrixXd points_;  ///< d × chains, unless the start is normal
  Index dimension_;
  std::uint64_t seed_;
  double deviation_;
  bool normal_;
};

/// All blocks of a run, and a target for each thread. On several ranks each has the blocks that it owns; of the others
/// it knows what was exchanged.
template <class T, class Target, class Block>
class ChainLoop {
 public:
  ChainLoop(Index chains, std::function<std::unique_ptr<Target>()> make_target, const Communicator& communicator = {})
      : cut_(chains, simd::width<simd::Lanes<T>>),
        make_target_(std::move(make_target)),
        blocks_(static_cast<std::size_t>(cut_.count)),
        ranks_(communicator),
        first_own_(first_of(communicator.rank())),
        end_own_(first_of(communicator.rank() + 1)) {}

  const ChainBlocks& cut() const { return cut_; }
  const Communicator& ranks() const { return ranks_; }
  /// This rank's blocks: all of them on one.
  Index first_own() const { return first_own_; }
  Index end_own() const { return end_own_; }
  bool owns(Index b, int rank) const { return first_of(rank) <= b && b < first_of(rank + 1); }
  bool owns(Index b) const { return first_own_ <= b && b < end_own_; }
  /// The block of a chain.
  Index block_of(Index chain) const {
    Index b = 0;
    while (cut_.first(b) + cut_.size(b) <= chain) ++b;
    return b;
  }

  /// visit(parcel, b) passes what all ranks have to know of a block from the rank that owns it to the others.
  template <class Visit>
  void exchange(Visit visit) {
    scorematch::ranks::exchange(ranks_, [&](scorematch::ranks::Parcel& parcel, int rank) {
      for (Index b = first_of(rank); b < first_of(rank + 1); ++b) visit(parcel, b);
    });
  }
  Block& operator[](Index b) { return blocks_[static_cast<std::size_t>(b)]; }
  const Block& operator[](Index b) const { return blocks_[static_cast<std::size_t>(b)]; }

  /// work(target, b) for every block b that this rank owns, on all threads.
  template <class Work>
  void each(Work work) {
    evaluate::for_each_piece(
        end_own_ - first_own_, targets_,
        [&](std::unique_ptr<Target>& target) {
          if (!target) target = make_target_();
        },
        [&](std::unique_ptr<Target>& target, Index k) { work(*target, first_own_ + k); });
  }

 private:
  // Rank 0 has the first block, however few there are.
  Index first_of(int rank) const { return (rank * cut_.count + ranks_.size() - 1) / ranks_.size(); }

  ChainBlocks cut_;
  std::function<std::unique_ptr<Target>()> make_target_;
  std::vector<Block> blocks_;
  Communicator ranks_;
  Index first_own_, end_own_;
  evaluate::PerThread<std::unique_ptr<Target>> targets_;
};

/// Calls advance(from, until) until `total` steps are done: at once or, with progress, some steps at a time, so that a
/// stop finds all chains at the same step. go_on(done) reports; whether it stopped the run before its end.
template <class Advance, class GoOn>
bool in_strides(Index total, const ProgressCallback& progress, Advance advance, GoOn go_on) {
  const Index stride = progress ? std::clamp<Index>(total / 100, 1, 1000) : total;
  for (Index done = 0; done < total;) {
    const Index from = done;
    done = std::min(total, from + stride);
    advance(from, done);
    if (progress && !go_on(done) && done < total) return true;
  }
  return false;
}

}  // namespace scorematch::sampling
