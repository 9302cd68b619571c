// The nearest sample of another set: to see whether what a model makes is new, or remembered.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch {

/// For each column of X its nearest column of another set.
struct [[nodiscard]] NearestSamples {
  Eigen::Matrix<Index, Eigen::Dynamic, 1> index = {};  ///< that column; the first one of several as near
  Eigen::VectorXd distance = {};                       ///< the Euclidean distance to it
  Index others = 0;                                    ///< how many columns that set has
  Index dimension = 0;                                 ///< how many rows

  /// The distances' least, quartiles and largest, in a line that begins with the numbers of samples and dimensions.
  std::string text() const {
    std::vector<double> sorted(distance.data(), distance.data() + distance.size());
    std::sort(sorted.begin(), sorted.end());
    const auto at = [&](std::size_t quarter) { return sorted[(sorted.size() - 1) * quarter / 4]; };
    char line[256];
    std::snprintf(line, sizeof line,
                  "n = %lld beside %lld in d = %lld: distance to the nearest: least %.4g, quartiles %.4g %.4g %.4g, "
                  "largest %.4g\n",
                  static_cast<long long>(distance.size()), static_cast<long long>(others),
                  static_cast<long long>(dimension), at(0), at(1), at(2), at(3), at(4));
    return line;
  }
};

namespace diagnostics {

/// The nearest columns of Y to each column of X, all that are exactly as near.
struct Neighbours {
  std::vector<double> squared_distance;     ///< to them, one a column of X
  std::vector<std::vector<Index>> columns;  ///< ascending
};

/// Asks every pair, (x − y)² by (x − y)², some registers of x's side by side: no distance suffers from cancellation,
/// copies are at 0, and the distance from x to y is that from y to x, bit by bit. NeighbourTree is faster in few
/// dimensions (where this is fast enough) and ten times slower in 64. With `own`, Y is X, and no column is its own
/// neighbour.
template <class Samples>
Neighbours neighbours(const Samples& X, const Samples& Y, bool own) {
  using V = simd::Lanes<double>;
  constexpr Index width = simd::width<V>, registers = 4, rows = width * registers;
  const Index d = X.rows(), N = X.cols(), M = Y.cols();
  Neighbours found;
  found.squared_distance.assign(static_cast<std::size_t>(N), std::numeric_limits<double>::infinity());
  found.columns.resize(static_cast<std::size_t>(N));
  evaluate::PerThread<std::vector<double>> blocks;  // one a thread: `rows` columns of X, transposed
  evaluate::for_each_piece((N + rows - 1) / rows, blocks,
                           [&](std::vector<double>& block) { block.resize(static_cast<std::size_t>(rows * d)); },
                           [&](std::vector<double>& block, Index piece) {
                             const Index first = piece * rows, count = std::min(rows, N - first);
                             for (Index i = 0; i < rows; ++i)
                               for (Index j = 0; j < d; ++j)
                                 block[static_cast<std::size_t>(j * rows + i)] = X(j, first + std::min(i, count - 1));
                             double* best = found.squared_distance.data() + first;
                             double limit[rows];  // best; of padding −1, which nothing is as near as
                             for (Index i = 0; i < rows; ++i)
                               limit[i] = i < count ? std::numeric_limits<double>::infinity() : -1;
                             for (Index y = 0; y < M; ++y) {
                               const double* point = Y.data() + y * d;
                               V squares[registers] = {};
                               for (Index j = 0; j < d; ++j) {
                                 const V other = simd::broadcast<V>(point[j]);
#pragma GCC unroll 4
                                 for (Index k = 0; k < registers; ++k) {
                                   const V difference = simd::load<V>(block.data() + j * rows + k * width) - other;
                                   squares[k] += difference * difference;
                                 }
                               }
                               simd::Integer<V> near[registers], any{};
#pragma GCC unroll 4
                               for (Index k = 0; k < registers; ++k)
                                 any |= near[k] = squares[k] <= simd::load<V>(limit + k * width);
                               std::int64_t some = 0;  // seldom: the k-th column is nearer than all before it once in k
                               for (Index lane = 0; lane < width; ++lane) some |= any[lane];
                               if (some == 0) continue;
                               for (Index i = 0; i < count; ++i) {
                                 if (near[i / width][i % width] == 0 || (own && y == first + i)) continue;
                                 std::vector<Index>& columns = found.columns[static_cast<std::size_t>(first + i)];
                                 const double square = squares[i / width][i % width];
                                 if (square < limit[i]) columns.clear();
                                 columns.push_back(y);
                                 limit[i] = best[i] = square;
                               }
                             }
                           });
  return found;
}

/// Throws unless X and Y have the same dimension d ≥ 1, samples, and finite entries only.
template <class Samples>
void require_two_samples(const Samples& X, const Samples& Y, const char* what) {
  extend::require(X.rows() >= 1, {what, ": X has no rows; its columns are the samples"});
  extend::require(X.rows() == Y.rows(),
                  {what, ": X has ", X.rows(), " rows, Y ", Y.rows(), "; both must be d × N, one column per sample"});
  extend::require_samples<double>(X, X.rows(), "X");
  extend::require_samples<double>(Y, Y.rows(), "Y");
}

/// The same for plain matrices: the first of those at the least distance; with `own` X and Y are the same set,
/// and no column is its own neighbour.
template <class Samples>
NearestSamples nearest_of(const Samples& X, const Samples& Y, bool own) {
  const Neighbours found = neighbours(X, Y, own);
  NearestSamples result{.others = Y.cols(), .dimension = X.rows()};
  result.index.resize(X.cols());
  result.distance.resize(X.cols());
  for (Index i = 0; i < X.cols(); ++i) {
    result.index[i] = found.columns[static_cast<std::size_t>(i)].front();
    result.distance[i] = std::sqrt(found.squared_distance[static_cast<std::size_t>(i)]);
  }
  return result;
}

}  // namespace diagnostics

/// For each column of X (d × N) the nearest column of Y (d × M): is a generated sample a copy of a real one?
///
///   std::printf("%s%s", sm::nearest_samples(generated, real).text().c_str(),
///   sm::nearest_samples(real).text().c_str());
///
/// Where X is new, from the law that Y came from, its distances are those of Y's own samples to each other; where X is
/// copied from Y they are nearly 0. Cost: N M d. Throws std::invalid_argument for other dimensions, no samples, and
/// entries that are not finite.
template <class D1, class D2>
NearestSamples nearest_samples(const Eigen::MatrixBase<D1>& X, const Eigen::MatrixBase<D2>& Y) {
  const Eigen::MatrixXd from = X.template cast<double>(), to = Y.template cast<double>();
  diagnostics::require_two_samples(from, to, "nearest_samples");
  return diagnostics::nearest_of(from, to, false);
}

/// For each column of Y (d × M, M ≥ 2) the nearest other column of Y.
template <class Derived>
NearestSamples nearest_samples(const Eigen::MatrixBase<Derived>& Y) {
  const Eigen::MatrixXd points = Y.template cast<double>();
  diagnostics::require_two_samples(points, points, "nearest_samples");
  extend::require(points.cols() >= 2, {"nearest_samples: Y has one column; with itself alone it has no neighbour"});
  return diagnostics::nearest_of(points, points, true);
}

}  // namespace scorematch
