// Sums over what ranks have one after another, in its order.
#pragma once

#include <cstddef>

#include "scorematch/ranks/communicator.hpp"
#include "scorematch/types.hpp"

namespace scorematch::ranks {

/// Calls work() on one rank after another, each with the bytes that the one before left in `state`. All have the last
/// ones in the end.
template <class Work>
void in_turn(const Communicator& ranks, void* state, std::size_t bytes, Work work) {
  if (ranks.alone()) return work();
  const int rank = ranks.rank(), last = ranks.size() - 1;
  if (rank > 0) ranks.receive(rank - 1, state, bytes);
  work();
  if (rank < last) ranks.send(rank + 1, state, bytes);
  ranks.broadcast(last, state, bytes);
}

/// The sum of `numbers`, of which this rank has those from `first` to `end` − 1 and the next rank those that follow: on
/// all ranks, with the bits of numbers.sum() in one process. Eigen adds to two registers in turn, then these and what
/// is left over; so ranks pass on the registers alone.
inline double sum_in_turn(const Communicator& ranks, const Eigen::VectorXd& numbers, Index first, Index end) {
  constexpr Index width = Eigen::internal::packet_traits<double>::size, lanes = width > 1 ? 2 * width : 1;
  const Index n = numbers.size(), whole = n / lanes * lanes, head = whole > 0 ? lanes : 0;
  Eigen::VectorXd state = Eigen::VectorXd::Zero(head + n - whole);
  in_turn(ranks, state.data(), static_cast<std::size_t>(state.size()) * sizeof(double), [&] {
    for (Index i = first; i < end; ++i) {
      if (i < head)
        state[i] = numbers[i];
      else if (i < whole)
        state[i % lanes] += numbers[i];
      else
        state[head + i - whole] = numbers[i];
    }
  });
  return state.sum();
}

}  // namespace scorematch::ranks
