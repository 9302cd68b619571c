// Where chains start.
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "scorematch/callable.hpp"
#include "scorematch/check.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/random/stream.hpp"

namespace scorematch {

/// Where chains start: N(0, I), given points, or a distribution π.
class ChainStart {
 public:
  ChainStart() = default;

  /// d × chains, one column per chain.
  template <class Derived>
  ChainStart(const Eigen::MatrixBase<Derived>& points) : points_(points.template cast<double>()), given_(true) {}

  /// π, drawn once per chain: a callable Eigen::VectorXd(Stream&), with stream.normal(), stream.uniform(), ….
  ///
  ///   .start = [](sm::Stream& stream) -> Eigen::VectorXd { return 0.5 * stream.normals(3); }
  template <class F>
  requires(!requires { typename F::PlainObject; } /* Eigen's own: callable too, with indices */) &&
      std::is_invocable_r_v<Eigen::VectorXd, F&, Stream&> ChainStart(F distribution)
      : distribution_(std::move(distribution)) {
    static_assert(detail::returns_numbers<F&, Stream&>,
                  "a start returns an Eigen expression, whose numbers are gone once it has returned: state the type, "
                  "[](scorematch::Stream& stream) -> Eigen::VectorXd { … }");
  }

  /// d × chains. Throws std::invalid_argument for another shape or a non-finite number; `argument` is what the user
  /// calls the start.
  Eigen::MatrixXd points(Index dimension, Index chains, std::uint64_t seed,
                         const char* argument = "SampleOptions: start") const {
    if (given_) {
      extend::require(points_.rows() == dimension && points_.cols() == chains,
                      {argument, " is ", points_.rows(), " × ", points_.cols(), "; it must be ", dimension, " × ",
                       chains, ", one column per chain"});
      extend::require_samples<double>(points_, dimension, argument);
      return points_;
    }
    Eigen::MatrixXd points(dimension, chains);
    if (standard_normal()) {
      Eigen::MatrixXd z;
      draw(0, chains, dimension, seed, z);
      return z.transpose();
    }
    for (Index c = 0; c < chains; ++c) {
      Stream stream({seed, extend::Purpose::chain_start}, c);
      const Eigen::VectorXd x = distribution_(stream);
      extend::require(x.size() == dimension,
                      {argument, " returned a point of size ", x.size(), "; the model has dimension ", dimension});
      for (Index j = 0; j < dimension; ++j) points(j, c) = x[j];
    }
    extend::require_samples<double>(points, dimension, argument);
    return points;
  }

  /// Whether it is N(0, I), which threads may draw apart.
  bool standard_normal() const { return !given_ && !distribution_; }

  /// Chains first … first + count − 1 of N(0, I): count × d. Another `attempt`, other points.
  static void draw(Index first, Index count, Index dimension, std::uint64_t seed, Eigen::MatrixXd& z,
                   std::uint64_t attempt = 0) {
    z.resize(count, dimension);
    extend::fill_normals<double>({seed, extend::Purpose::chain_start}, extend::Ids::from(first), count, attempt,
                                 dimension, z.data(), count);
  }

 private:
  Eigen::MatrixXd points_;
  bool given_ = false;
  std::function<Eigen::VectorXd(Stream&)> distribution_;
};

}  // namespace scorematch
