// The units of the data: what fits measure starts, steps and verdicts with.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/check.hpp"

namespace scorematch::fitting {

/// Location and scale of each coordinate.
struct DataScale {
  Eigen::VectorXd mean;
  Eigen::VectorXd deviation;  ///< of a constant coordinate its distance from 0, or 1
  std::vector<Index> constant;  ///< coordinates whose values are all the same, to rounding
  /// Coordinates that the others determine, to rounding: "row 2 of the data equals row 0", a sentence each.
  std::vector<std::string> dependent;

  /// Σ 1/deviation²: twice what the implicit loss of independent normals falls below 0.
  double score_square() const {
    double sum = 0;
    for (Index j = 0; j < deviation.size(); ++j) sum += 1 / (deviation[j] * deviation[j]);
    return sum;
  }
  /// Whether data that are like the unit normal law to a factor of about two.
  bool is_standard() const {
    for (Index j = 0; j < mean.size(); ++j)
      if (!(std::abs(mean[j]) < 0.5 && deviation[j] > 0.5 && deviation[j] < 2)) return false;
    return true;
  }
  /// A loss of score matching below this, `weight` being the second derivative of the loss in the score, means structure finer than
  /// 10⁻⁸ of the data's spread: it falls without bound.
  double loss_floor(double weight = 1) const {
    const double finest = constant.empty() && dependent.empty() ? 1e16 : 1e6;  // of degenerate data 10⁻³ is enough
    return -finest * std::max(weight, 1e-300) * 0.5 * score_square();
  }
};

/// Which coordinates the ones before them determine, from at most 4096 samples: what is left of each, in units of its deviation, after
/// its regression on those before it (Gram and Schmidt, twice). None is looked for above 256 coordinates.
template <class T>
std::vector<std::string> dependent_rows(const MatrixView<T>& X, const DataScale& scale) {
  const Index d = X.rows(), N = std::min<Index>(X.cols(), 4096);
  std::vector<std::string> sentences;
  if (d > 256) return sentences;
  Eigen::MatrixXd basis(N, d), made_of = Eigen::MatrixXd::Zero(d, d);  // basis column k = Σ_j made_of(j, k) row j
  Eigen::VectorXd rest(N), share(d);
  std::vector<Index> kept;
  for (Index j = 0; j < d; ++j) {
    if (std::find(scale.constant.begin(), scale.constant.end(), j) != scale.constant.end()) continue;
    double length = 0;
    for (Index n = 0; n < N; ++n) {
      rest[n] = (static_cast<double>(X(j, n * X.cols() / N)) - scale.mean[j]) / scale.deviation[j];
      length += rest[n] * rest[n];
    }
    share.setZero();
    double left = length;
    for (int pass = 0; pass < 2; ++pass)
      for (const Index k : kept) {
        double along = 0;
        for (Index n = 0; n < N; ++n) along += basis(n, k) * rest[n];
        for (Index n = 0; n < N; ++n) rest[n] -= along * basis(n, k);
        for (Index i = 0; i < d; ++i) share[i] += along * made_of(i, k);
      }
    left = 0;
    for (Index n = 0; n < N; ++n) left += rest[n] * rest[n];
    const double rounding = std::numeric_limits<T>::epsilon() * (1 + std::abs(scale.mean[j]) / scale.deviation[j]);
    if (left > length * std::max(1e-20, 1e4 * rounding * rounding)) {
      for (Index n = 0; n < N; ++n) basis(n, j) = rest[n] / std::sqrt(left);
      for (Index i = 0; i < d; ++i) made_of(i, j) = -share[i] / std::sqrt(left);
      made_of(j, j) = 1 / std::sqrt(left);
      kept.push_back(j);
      continue;
    }
    if (X.cols() <= d) {
      sentences.push_back(text("the data have ", X.cols(), " samples in ", d, " dimensions, which lie in a plane"));
      return sentences;
    }
    std::string others;
    Index count = 0;
    for (Index i = 0; i < d; ++i)
      if (std::abs(share[i]) > 1e-6) others += text(count++ == 0 ? "" : ", ", i);
    sentences.push_back(count == 1 ? text("row ", j, " of the data is row ", others, " in other units")
                                   : text("row ", j, " of the data is a sum of multiples of rows ", others));
  }
  return sentences;
}

/// Throws std::invalid_argument where T cannot tell the samples of a coordinate apart: below a hundred steps of rounding in a
/// standard deviation.
template <class T>
DataScale data_scale(const MatrixView<T>& X) {
  const Index d = X.rows(), N = X.cols();
  DataScale scale{Eigen::VectorXd::Zero(d), Eigen::VectorXd::Zero(d), {}, {}};
  const auto number = [&](Index j, Index n) { return static_cast<double>(X.data()[n * X.outerStride() + j]); };
  double other = 0;
  for (Index j = 0; j < d; ++j) {
    double mean = 0, largest = 0, least = number(j, 0), most = least;
    for (Index n = 0; n < N; ++n) {
      least = std::min(least, number(j, n));
      most = std::max(most, number(j, n));
    }
    largest = std::max(std::abs(least), std::abs(most));
    const double unit = largest > 0 ? largest : 1;  // squares of 1e300, and of 1e-300
    for (Index n = 0; n < N; ++n) mean += (number(j, n) / unit - mean) / static_cast<double>(n + 1);
    double squares = 0;
    for (Index n = 0; n < N; ++n) {
      const double from_mean = number(j, n) / unit - mean;
      squares += from_mean * from_mean;
    }
    scale.mean[j] = mean * unit;
    const double deviation = std::sqrt(squares / static_cast<double>(N)) * unit, epsilon = std::numeric_limits<T>::epsilon();
    if (most - least <= 2 * epsilon * largest) {
      scale.constant.push_back(j);
      scale.deviation[j] = 0;
      continue;
    }
    scale.deviation[j] = deviation;
    other = std::max(other, deviation);
    require(deviation >= 100 * epsilon * std::abs(scale.mean[j]),
            {"data: row ", j, " has mean ", scale.mean[j], " and standard deviation ", deviation, ", but ",
             std::numeric_limits<T>::digits < 30 ? "float" : "double", " resolves no more than ",
             epsilon * std::abs(scale.mean[j]), " there: subtract a number near the mean first",
             std::numeric_limits<T>::digits < 30 ? ", or give the data in double" : ""});
  }
  scale.dependent = dependent_rows<T>(X, scale);
  for (const Index j : scale.constant)
    scale.deviation[j] = scale.mean[j] != 0 ? std::abs(scale.mean[j]) : other > 0 ? other : 1;
  return scale;
}

}  // namespace scorematch::fitting
