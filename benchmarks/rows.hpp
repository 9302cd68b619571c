// What the rows of all benchmark programs share: their names, the arithmetic that an item needs, and their counters.
//
// Counting rule. An item's arithmetic is what its result needs, not what this library happens to execute; a number that
// is known already is not computed again. In small formulas +, −, ×, ÷ and √ count 1, exp, log, tanh and a sine
// together with its cosine 20 each; derivatives are those one would write by hand, and what depends on θ alone is free.
// Of networks the matrix products alone count, by the rows that a sample sends through each layer (`Rows`): 2 rows in
// out.
#pragma once

#include <benchmark/benchmark.h>

#include <scorematch/concepts.hpp>
#include <scorematch/progress.hpp>

#include <initializer_list>
#include <string>
#include <vector>

#include "gemm_rate.hpp"

namespace workload {

/// How many rows a sample sends through a layer, from `in` to `out` numbers: in forward products (rows × in × out), in
/// those that give the adjoint of the layer's input (rows × out × in), and in the weights' gradient (out × rows × in).
struct Rows {
  Index forward, adjoint, gradient;
};

struct Layer {
  Index in, out;
  Rows rows;
};

/// The arithmetic of an item; for networks by its layers.
struct Arithmetic {
  double flop = 0;
  std::vector<Layer> layers = {};
  sm::extend::Along along =
      sm::extend::Along::none;  ///< the curvature that the loss asks for: the block of samples depends on it
  Index directions = 0;
};

/// A network of these widths. The first layer differs: nobody needs its input's adjoint but who needs the score.
inline Arithmetic network(std::initializer_list<Index> widths, Rows first, Rows others) {
  Arithmetic arithmetic;
  for (auto in = widths.begin(), out = in + 1; out != widths.end(); ++in, ++out) {
    const Rows rows = in == widths.begin() ? first : others;
    arithmetic.layers.push_back({*in, *out, rows});
    arithmetic.flop += 2 * static_cast<double>(rows.forward + rows.adjoint + rows.gradient) * static_cast<double>(*in) *
                       static_cast<double>(*out);
  }
  return arithmetic;
}

/// Implicit score matching of an energy: value, d tangents and Laplacian, forward and back. The tangents behind the
/// first layer are its weights, and their share of its gradient is a sum, so there only the value counts.
inline Arithmetic implicit_energy(Index d, Index width) {
  const Index all = d + 2;
  Arithmetic arithmetic = network({d, width, width, 1}, {1, 0, 1}, {all, all, all});
  arithmetic.along = sm::extend::Along::axes;
  return arithmetic;
}

/// Denoising score matching of an energy: the value and its adjoint δ give the score; then the tangent along the
/// score's own adjoint, the second adjoint of the value (that of the tangent is δ again), and the gradient by both.
inline Arithmetic denoising_energy(Index d, Index width) { return network({d, width, width, 1}, {2, 1, 2}, {2, 2, 2}); }

/// Sliced score matching of an energy with one projection and the exact norm: rows as in denoising score matching, and
/// the projection's tangent and second derivative (whose adjoint is δ again), which an affine layer does not have.
inline Arithmetic sliced_energy(Index d, Index width) {
  Arithmetic arithmetic = network({d, width, width, 1}, {3, 1, 3}, {4, 3, 4});
  arithmetic.along = sm::extend::Along::given;
  arithmetic.directions = 1;
  return arithmetic;
}

/// Any loss of a score network without a trace: forward, back, gradient.
inline Arithmetic denoising_score(std::initializer_list<Index> widths) { return network(widths, {1, 0, 1}, {1, 1, 1}); }

/// A score from an energy network: forward and back. A Langevin step adds little to it.
inline Arithmetic energy_score(Index d, Index width) { return network({d, width, width, 1}, {1, 1, 0}, {1, 1, 0}); }

/// The matrix products of `samples` samples. Layers with fewer than four inputs or outputs are left out: they run as
/// fast as memory does.
inline std::vector<Product> products(const Arithmetic& arithmetic, Index samples) {
  std::vector<Product> all;
  for (const auto& [in, out, rows] : arithmetic.layers) {
    if (in < 4 || out < 4) continue;
    if (rows.forward > 0) all.push_back({rows.forward * samples, in, out});
    if (rows.adjoint > 0) all.push_back({rows.adjoint * samples, out, in});
    if (rows.gradient > 0) all.push_back({out, rows.gradient * samples, in});
  }
  return all;
}

/// Eigen's rate on a row's matrix products: as blocks of samples, and with the whole batch at once.
template <class T>
struct GemmRates {
  GemmRate<T> block, batch;

  GemmRates(const Arithmetic& arithmetic, Index block_size, Index batch_size)
      : block(products(arithmetic, block_size)), batch(products(arithmetic, batch_size)) {}

  void measure() {
    block.measure();
    batch.measure();
  }
};

/// Items and arithmetic of a row whose iterations process `items` items each and took `seconds` together.
inline void report(benchmark::State& state, double seconds, Index items, const Arithmetic& arithmetic) {
  state.SetItemsProcessed(state.iterations() * items);
  state.counters["flop_per_item"] = arithmetic.flop;
  state.counters["GFLOP/s"] = 1e-9 * arithmetic.flop * static_cast<double>(state.iterations() * items) / seconds;
}

/// The same with the row's share of Eigen's rates, for rows that consist of matrix products.
template <class T>
void report(benchmark::State& state, double seconds, Index items, const Arithmetic& arithmetic,
            const GemmRates<T>& gemm) {
  report(state, seconds, items, arithmetic);
  const double rate = 1e9 * state.counters["GFLOP/s"].value;
  if (arithmetic.layers.empty()) return;
  state.counters["gemm_share"] = rate / gemm.block.flop_per_second();
  state.counters["gemm_share_batch"] = rate / gemm.batch.flop_per_second();
}

/// Registers the row name/f32 or name/f64, timed by the wall clock as the peers are.
template <class T>
benchmark::internal::Benchmark* add(const std::string& name, void (*body)(benchmark::State&)) {
  return benchmark::RegisterBenchmark((name + (sizeof(T) == 4 ? "/f32" : "/f64")).c_str(), body)
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
}

}  // namespace workload
