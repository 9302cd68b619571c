// The units of the data: what fits measure starts, steps and verdicts with.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/ranks/shards.hpp"

namespace scorematch::fitting {

/// Location and scale of each coordinate.
struct DataScale {
  Eigen::VectorXd mean;
  Eigen::VectorXd deviation;    ///< of a constant coordinate its distance from 0, or 1
  std::vector<Index> constant;  ///< coordinates whose values are all the same, to rounding
  bool degenerate = false;      ///< a coordinate is constant, or a combination of others is

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
  /// By what factor the units of the coordinates differ; from 10 on a sum over them says little of some.
  double unevenness() const {
    double least = std::numeric_limits<double>::infinity(), most = 0;
    for (Index j = 0; j < deviation.size(); ++j) {
      least = std::min(least, deviation[j]);
      most = std::max(most, deviation[j]);
    }
    return most / least;
  }
  bool is_uneven() const { return unevenness() > 10; }
  /// A loss of score matching below this, `weight` being the second derivative of the loss in the score, means
  /// structure finer than 10⁻⁸ of the data's spread: it falls without bound.
  double loss_floor(double weight = 1) const {
    const double finest = degenerate ? 1e6 : 1e16;  // of degenerate data 10⁻³ is enough
    return -finest * std::max(weight, 1e-300) * 0.5 * score_square();
  }
  /// The same of the implicit loss in units of the deviations, which no noise bounds: of degenerate data 10⁻² is
  /// enough.
  double implicit_floor_in_units() const {
    return -(degenerate ? 1e4 : 1e16) * 0.5 * static_cast<double>(deviation.size());
  }
};

/// Sums over the samples of one coordinate, in units of its largest number: squares of 1e300, and of 1e-300, are none.
struct CoordinateSums {
  double least = std::numeric_limits<double>::infinity(), most = -std::numeric_limits<double>::infinity();
  double unit = 1, count = 0, mean = 0, squares = 0;

  double largest() const { return std::max(std::abs(least), std::abs(most)); }
};

/// The sums of all coordinates, sample by sample in their order, on whatever rank they are.
template <class T>
std::vector<CoordinateSums> coordinate_sums(const ranks::RankedData<T>& data) {
  const Index d = data.rows(), own = data.own.cols();
  const T* const numbers = data.own.data();
  const Index stride = data.own.outerStride();
  std::vector<CoordinateSums> all(static_cast<std::size_t>(d));
  const auto each = [&](auto add) {
    for (Index j = 0; j < d; ++j) {
      CoordinateSums sums = all[static_cast<std::size_t>(j)];  // in registers
      for (Index n = 0; n < own; ++n) add(sums, static_cast<double>(numbers[n * stride + j]));
      all[static_cast<std::size_t>(j)] = sums;
    }
  };
  data.shards.in_turn(all, [&] {
    each([](CoordinateSums& sums, double number) {
      sums.least = std::min(sums.least, number);
      sums.most = std::max(sums.most, number);
    });
  });
  for (CoordinateSums& sums : all) sums.unit = sums.largest() > 0 ? sums.largest() : 1;
  data.shards.in_turn(all, [&] {
    each([](CoordinateSums& sums, double number) { sums.mean += (number / sums.unit - sums.mean) / ++sums.count; });
  });
  data.shards.in_turn(all, [&] {
    each([](CoordinateSums& sums, double number) {
      const double from_mean = number / sums.unit - sums.mean;
      sums.squares += from_mean * from_mean;
    });
  });
  return all;
}

/// Throws std::invalid_argument where T cannot tell the samples of a coordinate apart: below a hundred steps of
/// rounding in a standard deviation.
template <class T>
DataScale data_scale(const ranks::RankedData<T>& data) {
  const Index d = data.rows(), N = data.cols();
  DataScale scale{Eigen::VectorXd::Zero(d), Eigen::VectorXd::Zero(d), {}};
  const std::vector<CoordinateSums> sums = coordinate_sums<T>(data);
  double other = 0;
  const auto look_at = [&](Index j) {
    const auto& [least, most, unit, count, mean, squares] = sums[static_cast<std::size_t>(j)];
    const double largest = sums[static_cast<std::size_t>(j)].largest();
    scale.mean[j] = mean * unit;
    const double deviation = std::sqrt(squares / static_cast<double>(N)) * unit,
                 epsilon = std::numeric_limits<T>::epsilon();
    if (most - least <= 2 * epsilon * largest) {
      scale.constant.push_back(j);
      scale.deviation[j] = 0;
      return;
    }
    scale.deviation[j] = deviation;
    other = std::max(other, deviation);
    extend::require(deviation >= 100 * epsilon * std::abs(scale.mean[j]),
                    {"data: row ", j, " has mean ", scale.mean[j], " and standard deviation ", deviation, ", but ",
                     std::numeric_limits<T>::digits < 30 ? "float" : "double", " resolves no more than ",
                     epsilon * std::abs(scale.mean[j]), " there: subtract a number near the mean first",
                     std::numeric_limits<T>::digits < 30 ? ", or give the data in double" : ""});
  };
  ranks::agree(data.shards.communicator(), [&] {
    for (Index j = 0; j < d; ++j) look_at(j);
  });
  scale.degenerate = !scale.constant.empty();
  for (const Index j : scale.constant)
    scale.deviation[j] = scale.mean[j] != 0 ? std::abs(scale.mean[j]) : other > 0 ? other : 1;
  return scale;
}
template <class T>
DataScale data_scale(const MatrixView<T>& X) {
  return data_scale<T>(ranks::RankedData<T>{X, ranks::Shards()});
}

}  // namespace scorematch::fitting
