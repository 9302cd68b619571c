// The θ-gradient of models with large matrices: products of a few blocks are withheld, and added to a matrix together.
// Where matrices take most of a θ whose sums are larger than a cache, passing over them costs more than keeping some
// blocks; and where a minibatch is cut finer for its threads, they share the matrices then.
#pragma once

#include <algorithm>
#include <vector>

#include "scorematch/evaluate/formula_workspace.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/ranks/parcel.hpp"

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

  /// A block's products, with what they point to.
  struct Received {
    std::vector<evaluate::TransposedProduct<T>> products;
    std::vector<int> matrices;
    std::vector<std::vector<T>> numbers;
  };

  template <class Loop>
  void exchange_blocks(Loop& loop, const evaluate::ProductMatrices& matrices, Index sum_size, Index swept);
  static void pass_products(ranks::Parcel& parcel, const evaluate::Withheld<T>& own, Received& received);

  std::vector<Received> received_;                                     ///< blocks of a round, of other ranks
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
    const Index swept = std::min(together, call.blocks - round), first_own = loop.bring_round(call, round, swept),
                end_own = loop.end_of_round(swept);
    sweeps_.each(end_own - first_own, true, [&](Index own) {
      const Index k = first_own + own;
      auto& s = loop.threads_[k];
      loop.prepare(s, call);
      loop.reset(s);
      matrices->for_each_gap(
          call.sum_size, [&](Index first, Index end) { std::fill(s.sums.data() + first, s.sums.data() + end, 0.0); });
      loop.bound_.formula_workspace(s.workspace)->withhold();
      loop.sweep_block(s, call, round + k);
    });
    exchange_blocks(loop, *matrices, call.sum_size, swept);
    for (auto& products : products_) products.clear();
    for (Index k = 0; k < swept; ++k) {
      auto& s = loop.threads_[k];
      loop.reduce(s);
      matrices->for_each_gap(call.sum_size, [&](Index first, Index end) {
        for (Index i = first; i < end; ++i) total[i] = (round + k == 0 ? 0 : total[i]) + s.sums[i];
      });
      const auto keep = [&](const auto& left) {
        for (std::size_t p = 0; p < left.products.size(); ++p)
          products_[static_cast<std::size_t>(left.matrices[p])].push_back(left.products[p]);
      };
      if (first_own <= k && k < end_own)
        keep(loop.bound_.formula_workspace(s.workspace)->withheld());
      else
        keep(received_[static_cast<std::size_t>(k)]);
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

// On several ranks: each has swept its blocks of the round; all of them get what is to be added up, and add it up.
template <class T>
template <class Loop>
void WithheldProducts<T>::exchange_blocks(Loop& loop, const evaluate::ProductMatrices& matrices, Index sum_size,
                                          Index swept) {
  const Communicator& communicator = loop.shards_.communicator();
  if (communicator.alone()) return;
  received_.resize(static_cast<std::size_t>(swept));
  ranks::exchange(communicator, [&](ranks::Parcel& parcel, int rank) {
    for (Index k = loop.first_of_round(swept, rank); k < loop.first_of_round(swept, rank + 1); ++k) {
      auto& s = loop.threads_[k];
      if (!parcel.packing) s.sums.resize(sum_size);
      parcel(s.loss, s.terms, s.levels);
      matrices.for_each_gap(sum_size, [&](Index first, Index end) {
        parcel.raw(s.sums.data() + first, static_cast<std::size_t>(end - first) * sizeof(double));
      });
      const evaluate::Withheld<T> none;
      pass_products(parcel, parcel.packing ? loop.bound_.formula_workspace(s.workspace)->withheld() : none,
                    received_[static_cast<std::size_t>(k)]);
    }
  });
}

template <class T>
void WithheldProducts<T>::pass_products(ranks::Parcel& parcel, const evaluate::Withheld<T>& own, Received& received) {
  std::vector<int> matrices = own.matrices;
  parcel(matrices);
  if (!parcel.packing) {
    received.products.assign(matrices.size(), {});
    received.matrices = matrices;
    received.numbers.resize(2 * matrices.size());
  }
  for (std::size_t p = 0; p < matrices.size(); ++p) {
    evaluate::TransposedProduct<T> product = parcel.packing ? own.products[p] : evaluate::TransposedProduct<T>{};
    parcel(product.m, product.n, product.k);
    const std::size_t packed = static_cast<std::size_t>(evaluate::Gemm<T>::packed_size(product.m, product.k)),
                      column = static_cast<std::size_t>(product.k);
    if (parcel.packing) {
      parcel.raw(const_cast<T*>(product.packed), packed * sizeof(T));  // only read
      for (Index j = 0; j < product.n; ++j) parcel.raw(const_cast<T*>(product.b + j * product.ldb), column * sizeof(T));
      continue;
    }
    std::vector<T>&a = received.numbers[2 * p], &b = received.numbers[2 * p + 1];
    a.resize(packed);
    b.resize(column * static_cast<std::size_t>(product.n));
    parcel.raw(a.data(), a.size() * sizeof(T));
    parcel.raw(b.data(), b.size() * sizeof(T));
    received.products[p] = {product.m, product.n, product.k, a.data(), b.data(), product.k};
  }
}

}  // namespace scorematch::objective
