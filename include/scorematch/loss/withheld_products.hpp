// The θ-gradient of models with large matrices: products of a few blocks are withheld, and added to a matrix together.
// Where matrices take most of a θ whose sums are larger than a cache, passing over them costs more than keeping some
// blocks; and where a minibatch is cut finer for its threads, they share the matrices then.
#pragma once

#include <algorithm>
#include <vector>

#include "scorematch/evaluate/formula_workspace.hpp"
#include "scorematch/evaluate/threads.hpp"

namespace scorematch::objective {

template <class T>
class WithheldProducts {
 public:
  /// Whether it pays for a loss's call (LossFunction<T>), and most of θ is in such matrices.
  template <class Loop, class Call>
  static bool applies(Loop& loop, const Call& call);
  /// Sums up all blocks of a call to which it applies; else false.
  template <class Loop, class Call>
  bool sum(Loop& loop, const Call& call);

 private:
  /// Columns of a matrix, from `first` on, that are passed over together.
  struct Strip {
    std::size_t matrix;
    Index first;
  };

  std::vector<std::vector<evaluate::TransposedProduct<T>>> products_;  ///< of each matrix, those of a round
  std::vector<Strip> strips_;
  evaluate::Pieces sweeps_, passes_;
};

template <class T>
template <class Loop, class Call>
bool WithheldProducts<T>::applies(Loop& loop, const Call& call) {
  if (!call.few && call.sum_size < Index(1) << 19) return false;
  loop.block_size();  // learns which derivatives are asked for
  const evaluate::ProductMatrices* matrices = loop.bound_.product_matrices(loop.along_, loop.directions_);
  return matrices != nullptr && 2 * matrices->size > call.sum_size;
}

// A few blocks are swept with their products withheld; then each part of the matrices is passed over once for all of
// them. The other sums are added block by block. Which blocks go together depends on nothing but their number.
template <class T>
template <class Loop, class Call>
bool WithheldProducts<T>::sum(Loop& loop, const Call& call) {
  if (!applies(loop, call)) return false;
  const evaluate::ProductMatrices* matrices = loop.bound_.product_matrices(loop.along_, loop.directions_);
  constexpr Index together = 8, width = evaluate::Gemm<T>::strip;
  const double scale = 1 / static_cast<double>(call.count);
  double* total = loop.total_sums_.data();
  loop.threads_.grow(std::min(together, call.blocks));
  products_.resize(matrices->list.size());
  strips_.clear();
  for (std::size_t k = 0; k < matrices->list.size(); ++k)
    for (Index first = 0; first < matrices->list[k].cols; first += width) strips_.push_back({k, first});
  for (Index round = 0; round < call.blocks; round += together) {
    const Index swept = std::min(together, call.blocks - round);
    sweeps_.each(swept, true, [&](Index k) {
      auto& s = loop.threads_[k];
      loop.prepare(s, call);
      loop.reset(s);
      matrices->for_each_gap(
          call.sum_size, [&](Index first, Index end) { std::fill(s.sums.data() + first, s.sums.data() + end, 0.0); });
      loop.bound_.formula_workspace(s.workspace)->withhold();
      loop.sweep_block(s, call, round + k);
    });
    for (auto& products : products_) products.clear();
    for (Index k = 0; k < swept; ++k) {
      auto& s = loop.threads_[k];
      loop.reduce(s);
      matrices->for_each_gap(call.sum_size, [&](Index first, Index end) {
        for (Index i = first; i < end; ++i) total[i] = (round + k == 0 ? 0 : total[i]) + s.sums[i];
      });
      const evaluate::Withheld<T>& left = loop.bound_.formula_workspace(s.workspace)->withheld();
      for (std::size_t p = 0; p < left.products.size(); ++p)
        products_[static_cast<std::size_t>(left.matrices[p])].push_back(left.products[p]);
    }
    const double factor = round + together < call.blocks ? 1 : scale;
    passes_.each(static_cast<Index>(strips_.size()), true, [&](Index i) {
      const auto [k, first] = strips_[static_cast<std::size_t>(i)];
      const evaluate::ProductMatrix& matrix = matrices->list[k];
      evaluate::Gemm<T>::add_transposed(products_[k], matrix.rows, first, std::min(width, matrix.cols - first),
                                        total + matrix.place, round == 0, factor);
    });
  }
  matrices->for_each_gap(call.sum_size, [&](Index first, Index end) {
    for (Index i = first; i < end; ++i) total[i] *= scale;
  });
  return true;
}

}  // namespace scorematch::objective
