// The θ-gradient of models with large matrices: products of a few blocks are withheld, and added to a matrix together.
#pragma once

#include <algorithm>
#include <concepts>
#include <vector>

#include "scorematch/evaluate/formula_workspace.hpp"
#include "scorematch/loss/loss_loop.hpp"

namespace scorematch::objective {

/// Models whose matrices' gradients can be left for later, as products (evaluate/formula_workspace.hpp).
template <class Bound>
concept Withholding = requires(const Bound& bound, typename Bound::Workspace& workspace) {
  bound.product_matrices(Along::none, Index{});
  workspace.withhold();
  requires std::same_as<typename Bound::Workspace, evaluate::FormulaWorkspace<typename Bound::Scalar>>;
};

/// The loop of such models. Where matrices take most of a θ whose sums are larger than a cache, passing over them costs
/// more than keeping some blocks; and where a minibatch is cut finer for its threads, they share the matrices then.
template <class T>
class WithholdingLossLoop : public LossLoop<T> {
 protected:
  using typename LossLoop<T>::State;
  using typename LossLoop<T>::Call;
  using LossLoop<T>::LossLoop;

  using WorkspaceOf = evaluate::FormulaWorkspace<T>& (*)(State&);

  /// Sums up all blocks, if it pays and most of θ is in these matrices (may be null); else false.
  bool sum_with_products(const Call& call, const evaluate::ProductMatrices* matrices, WorkspaceOf workspace_of);
  static bool pays(const Call& call) { return call.few || call.sum_size >= Index(1) << 19; }

 private:
  /// Columns of a matrix, from `first` on, that are passed over together.
  struct Strip {
    std::size_t matrix;
    Index first;
  };

  std::vector<std::vector<evaluate::TransposedProduct<T>>> products_;  ///< of each matrix, those of a round
  std::vector<Strip> strips_;
  evaluate::Pieces pieces_;
};

// A few blocks are swept with their products withheld; then each part of the matrices is passed over once for all of
// them. The other sums are added block by block. Which blocks go together depends on nothing but their number.
template <class T>
bool WithholdingLossLoop<T>::sum_with_products(const Call& call, const evaluate::ProductMatrices* matrices,
                                               WorkspaceOf workspace_of) {
  if (!pays(call) || matrices == nullptr || 2 * matrices->size <= call.sum_size) return false;
  constexpr Index together = 8, width = evaluate::Gemm<T>::strip;
  const double scale = 1 / static_cast<double>(call.count);
  double* total = this->total_sums_.data();
  this->threads_.grow(std::min(together, call.blocks));
  products_.resize(matrices->list.size());
  strips_.clear();
  for (std::size_t k = 0; k < matrices->list.size(); ++k)
    for (Index first = 0; first < matrices->list[k].cols; first += width) strips_.push_back({k, first});
  for (Index round = 0; round < call.blocks; round += together) {
    const Index swept = std::min(together, call.blocks - round);
    pieces_.each(swept, true, [&](Index k) {
      auto& thread = this->threads_[k];
      this->prepare(thread, call);
      State& s = *thread.state;
      this->reset(s);
      matrices->for_each_gap(
          call.sum_size, [&](Index first, Index end) { std::fill(s.sums.data() + first, s.sums.data() + end, 0.0); });
      workspace_of(s).withhold();
      this->sweep_block(s, call, round + k);
    });
    for (auto& products : products_) products.clear();
    for (Index k = 0; k < swept; ++k) {
      State& s = *this->threads_[k].state;
      this->reduce(s);
      matrices->for_each_gap(call.sum_size, [&](Index first, Index end) {
        for (Index i = first; i < end; ++i) total[i] = (round + k == 0 ? 0 : total[i]) + s.sums[i];
      });
      const evaluate::Withheld<T>& left = workspace_of(s).withheld();
      for (std::size_t p = 0; p < left.products.size(); ++p)
        products_[static_cast<std::size_t>(left.matrices[p])].push_back(left.products[p]);
    }
    const double factor = round + together < call.blocks ? 1 : scale;
    pieces_.each(static_cast<Index>(strips_.size()), true, [&](Index i) {
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
