// Data of which each rank holds some columns: who has which, and how columns get to who needs them.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/ranks/agreement.hpp"
#include "scorematch/ranks/communicator.hpp"
#include "scorematch/ranks/in_turn.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

namespace ranks {

/// Which columns of the whole data each rank has: rank 0 the first ones, rank 1 those that follow, … By default there
/// is one process, which has all.
class Shards {
 public:
  Shards() = default;
  /// Asked of all ranks together; `own` is how many columns this one has, ≥ 0.
  Shards(const Communicator& communicator, Index own) : communicator_(communicator) {
    if (communicator.alone()) return;
    Index end = 0;
    for (const Index count : gather(communicator, own)) ends_.push_back(end += count);
  }

  const Communicator& communicator() const { return communicator_; }
  bool alone() const { return communicator_.alone(); }
  int rank() const { return communicator_.rank(); }
  int size() const { return communicator_.size(); }

  /// Of all ranks, where this one has `own`.
  Index total(Index own) const { return alone() ? own : ends_.back(); }
  Index begin(int rank) const { return rank == 0 ? 0 : ends_[static_cast<std::size_t>(rank - 1)]; }
  Index end(int rank) const { return ends_[static_cast<std::size_t>(rank)]; }
  /// The number of this rank's first column.
  Index first() const { return alone() ? 0 : begin(rank()); }
  /// Who has a column.
  int owner(Index column) const {
    return static_cast<int>(std::upper_bound(ends_.begin(), ends_.end(), column) - ends_.begin());
  }

  /// Calls work() on one rank after another, each with the state that the one before left: a sum in the order of the
  /// columns. All have the last state in the end.
  template <class State, class Work>
  requires std::is_trivially_copyable_v<State>
  void in_turn(std::vector<State>& state, Work work) const {
    ranks::in_turn(communicator_, state.data(), state.size() * sizeof(State), work);
  }

 private:
  Communicator communicator_;
  std::vector<Index> ends_;  ///< empty for one process
};

/// Data of which each rank holds some columns, as one matrix; it must not outlive either.
template <class T>
struct RankedData {
  const MatrixView<T>& own;
  const Shards& shards;

  Index rows() const { return own.rows(); }
  Index cols() const { return shards.total(own.cols()); }

  /// All columns, on every rank.
  Matrix<T> all() const {
    if (shards.alone()) return own;
    Matrix<T> whole(rows(), cols());
    whole.middleCols(shards.first(), own.cols()) = own;
    for (int rank = 0; rank < shards.size(); ++rank) {
      const Index first = shards.begin(rank), count = shards.end(rank) - first;
      shards.communicator().broadcast(rank, whole.data() + first * rows(),
                                      static_cast<std::size_t>(count * rows()) * sizeof(T));
    }
    return whole;
  }

  /// These columns of the whole data, on every rank. All ranks ask for the same.
  Matrix<T> columns(std::span<const Index> list) const {
    const Index d = rows();
    Matrix<T> all(d, static_cast<Index>(list.size()));
    const auto copy = [d](const T* from, T* to) { std::copy_n(from, d, to); };
    if (shards.alone()) {
      for (std::size_t k = 0; k < list.size(); ++k)
        copy(own.data() + list[k] * own.outerStride(), all.data() + static_cast<Index>(k) * d);
      return all;
    }
    std::vector<std::vector<Index>> of_rank(static_cast<std::size_t>(shards.size()));
    for (std::size_t k = 0; k < list.size(); ++k)
      of_rank[static_cast<std::size_t>(shards.owner(list[k]))].push_back(static_cast<Index>(k));
    std::vector<T> packed;
    for (int rank = 0; rank < shards.size(); ++rank) {
      const std::vector<Index>& places = of_rank[static_cast<std::size_t>(rank)];
      packed.resize(places.size() * static_cast<std::size_t>(d));
      for (std::size_t k = 0; k < places.size() && rank == shards.rank(); ++k)
        copy(own.data() + (list[static_cast<std::size_t>(places[k])] - shards.first()) * own.outerStride(),
             packed.data() + static_cast<Index>(k) * d);
      shards.communicator().broadcast(rank, packed.data(), packed.size() * sizeof(T));
      for (std::size_t k = 0; k < places.size(); ++k)
        copy(packed.data() + static_cast<Index>(k) * d, all.data() + places[k] * d);
    }
    return all;
  }
};

/// extend::require_samples of data of which each rank has some: one without any may be, as d × 0.
template <class T>
void require_samples(const MatrixView<T>& X, const Shards& shards, Index dimension, const char* argument) {
  if (shards.alone() || X.cols() > 0) return extend::require_samples<T>(X, dimension, argument);
  extend::require(X.rows() == dimension, {argument, " has ", X.rows(), " rows and no columns; the model has dimension ",
                                          dimension, ", so a rank without data gives ", dimension, " × 0"});
  extend::require(shards.total(0) >= 1, {argument, " has no columns on any rank; at least one sample is needed"});
}

}  // namespace ranks

}  // namespace scorematch
