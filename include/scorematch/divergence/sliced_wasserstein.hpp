// How far two samples are apart, as what has to be moved: the sliced Wasserstein distance.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/divergence/nearest_samples.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/loss/moments.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

/// Options of sliced_wasserstein.
struct SlicedWassersteinOptions {
  Index projections = 1000;  ///< random directions, 1 … 10⁹
  std::uint64_t seed = 0;    ///< of the directions

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_within(projections, 1, 1'000'000'000, "SlicedWassersteinOptions: projections");
  }
};

/// The sliced 2-Wasserstein distance of two samples.
struct [[nodiscard]] SlicedWasserstein {
  double value = 0;                     ///< the distance, in the units of x
  double standard_error = 0;            ///< over the projections: what other directions would change
  Eigen::VectorXd per_projection = {};  ///< W₂² along each direction; value² is their mean
  Index samples_of_X = 0;               ///< columns of X
  Index samples_of_Y = 0;               ///< columns of Y
  Index dimension = 0;                  ///< d, the rows of both

  /// A line: the distance between so many samples in so many dimensions.
  std::string text() const {
    char line[160];
    std::snprintf(line, sizeof line, "n = %lld and %lld in d = %lld: sliced Wasserstein distance %.4g ± %.2g\n",
                  static_cast<long long>(samples_of_X), static_cast<long long>(samples_of_Y),
                  static_cast<long long>(dimension), value, standard_error);
    return line;
  }
};

namespace diagnostics {

/// W₂² of two samples on the line: ∫₀¹ (F⁻¹(u) − G⁻¹(u))² du over their quantile functions, the best coupling whatever
/// the two sizes are. Both ascending, and not empty.
inline double squared_wasserstein(const std::vector<double>& x, const std::vector<double>& y) {
  const Index N = static_cast<Index>(x.size()), M = static_cast<Index>(y.size());
  double sum = 0;
  Index of_x = M, of_y = N;  // what x[i] and y[j] have left to give, in units of 1/(N M)
  for (std::size_t i = 0, j = 0; i < x.size() && j < y.size();) {
    const Index moved = std::min(of_x, of_y);
    sum += static_cast<double>(moved) * (x[i] - y[j]) * (x[i] - y[j]);
    of_x -= moved;
    of_y -= moved;
    if (of_x == 0) {
      of_x = M;
      ++i;
    }
    if (of_y == 0) {
      of_y = N;
      ++j;
    }
  }
  return sum / (static_cast<double>(N) * static_cast<double>(M));
}

/// ⟨row i, direction⟩ for each of the `padded` rows of `rows` (padded × d), the first N of them sorted into `sorted`.
inline void project(const std::vector<double>& rows, Index padded, Index N, const std::vector<double>& direction,
                    std::vector<double>& sorted) {
  using V = simd::Lanes<double>;
  constexpr Index width = simd::width<V>;
  sorted.resize(static_cast<std::size_t>(padded));
  for (Index i = 0; i < padded; i += width) {
    V along{};
    for (std::size_t j = 0; j < direction.size(); ++j)
      along += direction[j] * simd::load<V>(rows.data() + static_cast<Index>(j) * padded + i);
    simd::store<V>(sorted.data() + i, along);
  }
  sorted.resize(static_cast<std::size_t>(N));
  std::sort(sorted.begin(), sorted.end());
}

/// The same for plain matrices in double.
template <class Samples>
SlicedWasserstein sliced_wasserstein(const Samples& X, const Samples& Y, const SlicedWassersteinOptions& options) {
  constexpr Index width = simd::width<simd::Lanes<double>>;
  const Index d = X.rows();
  const auto padded = [](Index count) { return (count + width - 1) / width * width; };
  const auto transposed = [&](const Samples& from) {
    std::vector<double> rows(static_cast<std::size_t>(padded(from.cols()) * d));
    for (Index i = 0; i < from.cols(); ++i)
      for (Index j = 0; j < d; ++j) rows[static_cast<std::size_t>(j * padded(from.cols()) + i)] = from(j, i);
    return rows;
  };
  const std::vector<double> x = transposed(X), y = transposed(Y);
  SlicedWasserstein result;
  result.per_projection.resize(options.projections);
  struct State {
    std::vector<double> direction, x, y;
  };
  evaluate::PerThread<State> states;
  evaluate::for_each_piece(
      options.projections, states, [&](State& state) { state.direction.resize(static_cast<std::size_t>(d)); },
      [&](State& state, Index piece) {
        double squares = 0;
        extend::fill_normals<double>({options.seed, extend::Purpose::projection}, extend::Ids::from(piece), 1, 0, d,
                                     state.direction.data(), 1);
        for (const double component : state.direction) squares += component * component;
        for (double& component : state.direction) component /= std::sqrt(squares);
        project(x, padded(X.cols()), X.cols(), state.direction, state.x);
        project(y, padded(Y.cols()), Y.cols(), state.direction, state.y);
        result.per_projection[piece] = squared_wasserstein(state.x, state.y);
      });
  objective::Moments moments;
  moments.add_all(result.per_projection.data(), options.projections);
  result.value = std::sqrt(moments.mean);
  if (result.value > 0) result.standard_error = moments.standard_error() / (2 * result.value);
  return result;
}

}  // namespace diagnostics

/// The sliced 2-Wasserstein distance (Rabin, Peyré, Delon & Bernot 2011; Bonneel, Rabin, Peyré & Pfister 2015):
///
///   SW = √( mean over directions θ of W₂²(⟨θ, X⟩, ⟨θ, Y⟩) ),   θ uniform on the unit sphere
///
/// of samples X (d × N) and Y (d × M), N and M as they are. W₂² on the line is exact, by the coupling of quantiles; the
/// directions are random. A shift by m has SW = ‖m‖/√d. The standard error does not contain the part that comes from
/// the finite number of samples: two samples of one law have SW > 0 too. Compare with the SW of two halves of the real
/// data:
///
///   sm::sliced_wasserstein(generated, real, {.projections = 1000})
///
/// Cost: projections × (N + M)(d + log(N + M)). Throws std::invalid_argument for other dimensions, no samples, entries
/// that are not finite, and no projections.
template <class D1, class D2>
SlicedWasserstein sliced_wasserstein(const Eigen::MatrixBase<D1>& X, const Eigen::MatrixBase<D2>& Y,
                                     const SlicedWassersteinOptions& options = {}) {
  options.validate();
  const Eigen::MatrixXd from = X.template cast<double>(), to = Y.template cast<double>();
  diagnostics::require_two_samples(from, to, "sliced_wasserstein");
  SlicedWasserstein result = diagnostics::sliced_wasserstein(from, to, options);
  result.samples_of_X = from.cols();
  result.samples_of_Y = to.cols();
  result.dimension = from.rows();
  return result;
}

}  // namespace scorematch
