// One thread's replays of one record, made when first asked for and kept.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "scorematch/concepts.hpp"
#include "scorematch/evaluate/replay.hpp"
#include "scorematch/simd/arrays.hpp"

namespace scorematch::evaluate {

template <class T>
class FormulaWorkspace {
 public:
  /// The replay for these jets over blocks of `samples` rows, θ attached; adjoint sums go to `sums` (may be null).
  Replay<T>& replay(const Record& record, const UniformPart<T>& part, Jets jets, Index samples, double* sums) {
    for (auto& known : replays_)
      if (known->jets() == jets && known->samples() == samples) {
        known->attach(part, sums, withholds_ ? &withheld_ : nullptr);
        return *known;
      }
    replays_.push_back(std::make_unique<Replay<T>>(record, jets, samples));
    replays_.back()->attach(part, sums, withholds_ ? &withheld_ : nullptr);
    return *replays_.back();
  }

  /// From now on the products of a reverse sweep are left in withheld(), until the next one: so that those of several
  /// blocks are added to a large matrix at once. For sweeps that `may_withhold` allows.
  void withhold() {
    withholds_ = true;
    withheld_.clear();
  }
  bool withholds() const { return withholds_; }
  const Withheld<T>& withheld() const { return withheld_; }

 private:
  std::vector<std::unique_ptr<Replay<T>>> replays_;
  bool withholds_ = false;
  Withheld<T> withheld_;
};

/// Directions are taken in chunks of at most this many.
inline constexpr Index most_directions = 64;

/// How many directions each of the fewest equal chunks takes.
inline Index chunk_of(Index directions) {
  const Index chunks = (directions + most_directions - 1) / most_directions;
  return chunks == 0 ? 0 : (directions + chunks - 1) / chunks;
}

/// Whether the θ-sweeps of these points can withhold their products: one sweep whose directions are not the axes.
inline bool may_withhold(extend::Along along, Index directions) {
  return along == extend::Along::none || (along == extend::Along::given && directions <= most_directions);
}

/// An objective may not ask for other derivatives than those that the withholding was decided by.
inline void require_may_withhold(extend::Along along, Index directions) {
  extend::require(may_withhold(along, directions), {"an objective must ask for the same derivatives in every call"});
}

/// Samples a block. Elementwise operations want a working set that stays in the second-level cache; matrix products
/// want some hundred rows (samples times derivative rows) to meet each number of a matrix. Depends on record and jets
/// alone, so that results are the same bits for any number of threads.
template <class T>
Index block_size(const Record& record, Jets jets) {
  constexpr Index lanes = simd::width<simd::Lanes<T>>, cache = 512 * 1024, most = 256;
  constexpr Index product_rows = 512, most_for_products = 128;
  Index numbers = 1;
  bool products = false;
  for (const Node& n : record.nodes) {
    if (n.uniform || n.operation == Operation::segment) continue;
    numbers += n.size() * jets.rows(n.in_x);
    products = products || n.operation == Operation::matrix_vector;
  }
  Index samples = std::min(most, cache / (2 * numbers * static_cast<Index>(sizeof(T))));
  if (products) samples = std::max(samples, std::min(most_for_products, product_rows / jets.rows(InX::curved)));
  return std::max(lanes, samples / lanes * lanes);
}

/// Writes α row to out, 0 where the row is null.
template <class T>
void copy_row(const T* row, T alpha, T* out, Index count) {
  if (row == nullptr) {
    std::fill_n(out, count, T(0));
    return;
  }
  simd::for_lanes<simd::Lanes<T>>(count, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
    simd::store<V>(out + i, alpha * simd::load<V>(row + i));
  });
}

template <class T>
void add_row(const T* row, T alpha, T* out, Index count) {
  if (row == nullptr) return;
  simd::for_lanes<simd::Lanes<T>>(count, [&]<class V>(V, Index i) SCOREMATCH_INLINE_LAMBDA {
    simd::store<V>(out + i, simd::load<V>(out + i) + alpha * simd::load<V>(row + i));
  });
}

/// Throws std::invalid_argument unless the points have the sigma and the labels that the record takes.
template <class T>
void require_given(const Record& record, const extend::Points<T>& points) {
  extend::require(!record.takes_sigma || points.sigma.size() == points.X.rows(),
                  {"the model's formula takes sigma, but nothing here gives one: use an objective with a noise level, "
                   "or fix it with at_sigma(model, sigma)"});
  extend::require(record.classes == 0 || points.label.size() == points.X.rows(),
                  {"the model's formula takes a label, but nothing here gives one: give labels in the options, "
                   "or fix it with at_sigma(model, sigma, label)"});
}

/// Writes a replay's points: X, and sigma and label for records that take them.
template <class T>
void set_points(Replay<T>& replay, const Record& record, const extend::Points<T>& points) {
  require_given(record, points);
  replay.set_points(points.X.data(), points.sigma.data(), points.label.data());
}

/// Writes directions first … first + count − 1 of the points (axes or given) to the jets' directions from 0 on;
/// directions beyond the last are 0.
template <class T>
void set_directions(Replay<T>& replay, const extend::Points<T>& points, Index first, Index count) {
  const Index d = points.X.cols();
  if (points.along == extend::Along::axes) return replay.set_axes(first);
  for (Index c = 0; c < count; ++c)
    if (first + c < points.directions)
      replay.set_direction(static_cast<int>(c), points.V.col((first + c) * d).data(), points.V.outerStride());
    else
      replay.set_direction(static_cast<int>(c), nullptr, 0);
}

}  // namespace scorematch::evaluate
