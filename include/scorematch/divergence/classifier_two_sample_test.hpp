// Can a classifier tell generated samples from real ones? Of good ones it cannot.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/divergence/nearest_samples.hpp"
#include "scorematch/fit/quasi_newton.hpp"
#include "scorematch/random/stream.hpp"

namespace scorematch {

/// The classifier that tells the two samples apart.
enum class Classifier {
  nearest_neighbour,  ///< each sample is given the kind of its nearest other one
  logistic,           ///< log odds = b + Σ_i (v_i x_i + w_i x_i²), learned on one half, tried on the other
};

/// Options of classifier_two_sample_test.
struct TwoSampleTestOptions {
  Classifier classifier = Classifier::nearest_neighbour;  ///< the classifier that tells the samples apart
  double ridge = 0.01;  ///< logistic: the penalty ½ ridge ‖(v, w)‖² beside the mean loss, in standardised x; > 0
  std::uint64_t seed = 0;  ///< logistic: of the halves

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const { extend::require_positive(ridge, "TwoSampleTestOptions: ridge"); }
};

/// How well a classifier tells two samples apart.
struct [[nodiscard]] TwoSampleTest {
  double accuracy = 0;       ///< the share that it gets right, both kinds alike
  double accuracy_on_X = 0;  ///< of X's samples
  double accuracy_on_Y = 0;  ///< of Y's samples
  double expected = 0;  ///< the accuracy's mean if X and Y are of one law: ½, by nearest neighbours (N − 1)/(2N − 1)
  double standard_error = 0;  ///< the accuracy's standard deviation around `expected` if X and Y are of one law
  double p_value = 1;         ///< the probability, if they are, of an accuracy as far from `expected` on either side
  Index samples = 0;          ///< how many samples were classified
  Index dimension = 0;        ///< d of both: their number of rows
  Classifier classifier = Classifier::nearest_neighbour;  ///< which classifier it was

  /// Two lines: the accuracies of so many samples in so many dimensions, and what they say.
  std::string text() const {
    const char* meaning = "nothing tells the two apart\n";
    if (p_value < 0.01 && accuracy > expected) meaning = "the two are of different laws\n";
    if (p_value < 0.01 && accuracy < expected && classifier == Classifier::nearest_neighbour)
      meaning = "samples are nearer to those of the other kind than to their own: X has copies of Y\n";
    char line[256];
    std::snprintf(line, sizeof line,
                  "n = %lld in d = %lld: accuracy %.3f (on X %.3f, on Y %.3f); if of one law %.3f ± %.3f: p = %.2g\n",
                  static_cast<long long>(samples), static_cast<long long>(dimension), accuracy, accuracy_on_X,
                  accuracy_on_Y, expected, standard_error, p_value);
    return std::string(line) + meaning;
  }
};

namespace diagnostics {

/// Fills in what follows from the accuracies and the law of their mean.
inline void judge(TwoSampleTest& test, double expected, double standard_error) {
  test.accuracy = 0.5 * (test.accuracy_on_X + test.accuracy_on_Y);
  test.expected = expected;
  test.standard_error = standard_error;
  const double z = std::abs(test.accuracy - expected) / standard_error;
  // No spread at all (every sample a neighbour of every other, say): the accuracy is what it must be.
  test.p_value = standard_error > 0 ? std::erfc(z / std::sqrt(2.0)) : 1;
}

/// Each sample of the union is a node, with edges of total weight 1 to its nearest others. If X and Y are of one law
/// all ways to share out the two kinds over the nodes are equally likely, which gives the mean and the variance of S =
/// Σ weight over edges between nodes of one kind exactly, whatever the law (the moments of Schilling 1986 and Henze
/// 1988, for the graph at hand): with probabilities p₂, p₃ that two and three given nodes are of one kind and p₄ that
/// of four given ones the first two are, and the last two,
///   E S = n p₂,   E S² = a p₂ + (b − 2a) p₃ + (n² − b + a) p₄,
/// where a = Σ over pairs of nodes of (weight between them)², b = Σ over nodes of (weight at it)².
template <class Samples>
TwoSampleTest nearest_neighbour_test(const Samples& X, const Samples& Y) {
  const Index d = X.rows(), N = X.cols();
  Samples both(d, 2 * N);
  std::copy_n(X.data(), d * N, both.data());
  std::copy_n(Y.data(), d * N, both.data() + d * N);
  const Neighbours found = neighbours(both, both, true);
  const auto share = [&](Index from, Index to) {  // the weight of the edge
    const std::vector<Index>& columns = found.columns[static_cast<std::size_t>(from)];
    return std::binary_search(columns.begin(), columns.end(), to) ? 1 / static_cast<double>(columns.size()) : 0.0;
  };
  double right[2] = {0, 0}, between = 0, at_nodes = 0;
  std::vector<double> at(static_cast<std::size_t>(2 * N), 1.0);  // its own edges, and those that end here
  for (Index i = 0; i < 2 * N; ++i)
    for (const Index j : found.columns[static_cast<std::size_t>(i)]) {
      const double there = share(i, j), back = share(j, i), pair = there + back;
      at[static_cast<std::size_t>(j)] += there;
      between += back > 0 ? 0.5 * pair * pair : pair * pair;  // a pair with edges both ways is met twice
      if ((i < N) == (j < N)) right[i < N ? 0 : 1] += there;
    }
  for (const double weight : at) at_nodes += weight * weight;
  const double half = static_cast<double>(N), n = 2 * half;
  const double two = (half - 1) / (n - 1), three = two * (half - 2) / (n - 2),
               four = (half - 1) * ((half - 2) * (half - 3) + half * (half - 1)) / ((n - 1) * (n - 2) * (n - 3));
  const double variance =
      between * two + (at_nodes - 2 * between) * three + (n * n - at_nodes + between) * four - n * two * n * two;
  TwoSampleTest test;
  test.samples = 2 * N;
  test.accuracy_on_X = right[0] / half;
  test.accuracy_on_Y = right[1] / half;
  // Below the rounding of what was subtracted there is no spread.
  judge(test, two, variance > 1e-12 * n * n ? std::sqrt(variance) / n : 0);
  return test;
}

/// The log odds b + Σ_i (v_i u_i + w_i (u_i² − 1)) of u, x standardised by the learned halves: those of two samples
/// that come first in a permutation of each.
template <class Samples>
class LogisticClassifier {
 public:
  /// Standardises both samples and deals each into two halves.
  LogisticClassifier(const Samples& X, const Samples& Y, const TwoSampleTestOptions& options)
      : samples_{&X, &Y},
        order_{detail::permutation(options.seed, 0, X.cols()), detail::permutation(options.seed, 1, X.cols())},
        d_(X.rows()),
        features_(2 * X.rows()),
        learned_(X.cols() / 2),
        ridge_(options.ridge) {
    standardise();
  }

  /// Minimises the mean logistic loss of the first halves plus the penalty.
  void learn() {
    Eigen::VectorXd start(features_ + 1);
    std::fill_n(start.data(), features_ + 1, 0.0);
    const auto loss = [this](const Eigen::VectorXd& weights, Eigen::VectorXd& gradient) {
      return this->loss(weights, gradient);
    };
    weights_ = fitting::minimise(loss, fitting::unit_metric(), start,
                                 {.iterations = 500, .memory = 8, .tolerance = 1e-6, .resolution = 1e-4}, {})
                   .theta;
  }

  /// Of each kind, how many samples were not learned from, and how many of those it gets right; ties count half.
  Index tried() const { return static_cast<Index>(order_[0].size()) - learned_; }
  /// Of kind 0, X, or 1, Y: how many it gets right; ties count half.
  double right(int kind) const {
    double count = 0;
    for (Index i = learned_; i < learned_ + tried(); ++i) {
      const double odds = log_odds(sample(kind, i), weights_);
      count += odds == 0 ? 0.5 : (odds > 0) == (kind == 0) ? 1 : 0;
    }
    return count;
  }

 private:
  const double* sample(int kind, Index i) const {
    return samples_[kind]->data() + order_[kind][static_cast<std::size_t>(i)] * d_;
  }

  // Mean and inverse deviation of the learned halves; a coordinate that is constant has no say.
  void standardise() {
    scale_.resize(d_, 2);
    for (Index j = 0; j < d_; ++j) {
      double mean = 0, squares = 0;
      for (int kind = 0; kind < 2; ++kind)
        for (Index i = 0; i < learned_; ++i) mean += sample(kind, i)[j] / static_cast<double>(2 * learned_);
      for (int kind = 0; kind < 2; ++kind)
        for (Index i = 0; i < learned_; ++i) squares += (sample(kind, i)[j] - mean) * (sample(kind, i)[j] - mean);
      scale_(j, 0) = mean;
      scale_(j, 1) = squares > 0 ? std::sqrt(static_cast<double>(2 * learned_) / squares) : 0;
    }
  }

  double log_odds(const double* x, const Eigen::VectorXd& weights) const {
    double sum = weights[features_];
    for (Index j = 0; j < d_; ++j) {
      const double u = (x[j] - scale_(j, 0)) * scale_(j, 1);
      sum += weights[j] * u + weights[d_ + j] * (u * u - 1);
    }
    return sum;
  }

  // The mean of −log of the probability of a sample's kind, and the penalty.
  double loss(const Eigen::VectorXd& weights, Eigen::VectorXd& gradient) const {
    double total = 0;
    gradient.setZero(features_ + 1);
    for (int kind = 0; kind < 2; ++kind)
      for (Index i = 0; i < learned_; ++i) total += add_sample(kind, sample(kind, i), weights, gradient);
    double penalty = 0;
    for (Index k = 0; k <= features_; ++k) {
      gradient[k] /= static_cast<double>(2 * learned_);
      if (k == features_) break;
      gradient[k] += ridge_ * weights[k];
      penalty += 0.5 * ridge_ * weights[k] * weights[k];
    }
    return total / static_cast<double>(2 * learned_) + penalty;
  }

  // log(1 + exp(∓ log odds)), and its derivative.
  double add_sample(int kind, const double* x, const Eigen::VectorXd& weights, Eigen::VectorXd& gradient) const {
    const double sign = kind == 0 ? -1 : 1, odds = sign * log_odds(x, weights);
    const double slope = sign / (1 + std::exp(-odds));
    for (Index j = 0; j < d_; ++j) {
      const double u = (x[j] - scale_(j, 0)) * scale_(j, 1);
      gradient[j] += slope * u;
      gradient[d_ + j] += slope * (u * u - 1);
    }
    gradient[features_] += slope;
    return (odds > 0 ? odds : 0) + std::log1p(std::exp(-std::abs(odds)));
  }

  const Samples* samples_[2];
  std::vector<Index> order_[2];
  Index d_, features_, learned_;
  double ridge_;
  Samples scale_;
  Eigen::VectorXd weights_;
};

/// Logistic regression on the first half of each permuted sample, tried on the rest. If X and Y are of one law the
/// share q of the tried ones that go to X is the same for both, and the accuracy has mean ½ and variance
/// q(1 − q)/(number tried) ≤ 1/(4 · number tried) (Lopez-Paz & Oquab 2017, §3).
template <class Samples>
TwoSampleTest logistic_test(const Samples& X, const Samples& Y, const TwoSampleTestOptions& options) {
  LogisticClassifier<Samples> classifier(X, Y, options);
  classifier.learn();
  const double tried = static_cast<double>(classifier.tried());
  TwoSampleTest test;
  test.classifier = Classifier::logistic;
  test.samples = 2 * classifier.tried();
  test.accuracy_on_X = classifier.right(0) / tried;
  test.accuracy_on_Y = classifier.right(1) / tried;
  judge(test, 0.5, 0.5 / std::sqrt(static_cast<double>(test.samples)));
  return test;
}

/// Both samples divided by a power of two, where their numbers are so large or small that squares of differences would
/// over- or underflow; halved first, so that differences do not. Distances keep their order and ties. A coordinate in
/// which all are equal sets no scale.
template <class Samples>
void bring_into_range(Samples& X, Samples& Y) {
  for (Index j = 0; j < X.rows(); ++j) {
    const double first = X(j, 0);
    if ((X.row(j).array() != first).any() || (Y.row(j).array() != first).any()) continue;
    X.row(j).setZero();
    Y.row(j).setZero();
  }
  const double most = std::max(X.cwiseAbs().maxCoeff(), Y.cwiseAbs().maxCoeff());
  if (most == 0 || (most < 1e140 && most > 1e-140)) return;
  int exponent = 0;
  std::frexp(most, &exponent);
  for (Samples* samples : {&X, &Y})
    for (Index i = 0; i < samples->size(); ++i) samples->data()[i] = std::ldexp(samples->data()[i], -exponent - 1);
}

}  // namespace diagnostics

/// Classifies the samples of X and Y (d × N each) as of the one or the other (Lopez-Paz & Oquab 2017, "Revisiting
/// classifier two-sample tests"); X is what was generated, Y what is real:
///
///   auto test = sm::classifier_two_sample_test(generated, real);
///   std::printf("%s", test.text().c_str());
///
/// The nearest-neighbour classifier leaves one out: each sample against all others of both kinds; of several exactly as
/// near each has its share. An accuracy near `expected`, about ½, is the best; 1 means far apart. Below ½ X remembers
/// instead of generating: if X is a copy of Y sample by sample, the nearest of each is its twin, of the other kind, and
/// the accuracy is 0. High on X and low on Y: X is less spread than Y, and sits in its midst. The logistic classifier
/// sees means and variances alone, but needs no metric. Cost: (2N)² d, or some hundred times N d.
///
/// Throws std::invalid_argument for samples of different dimensions or sizes, fewer than 4 each, entries that are not
/// finite, and options out of range.
template <class D1, class D2>
TwoSampleTest classifier_two_sample_test(const Eigen::MatrixBase<D1>& X, const Eigen::MatrixBase<D2>& Y,
                                         const TwoSampleTestOptions& options = {}) {
  options.validate();
  Eigen::MatrixXd from = X.template cast<double>(), to = Y.template cast<double>();
  diagnostics::require_two_samples(from, to, "classifier_two_sample_test");
  extend::require(from.cols() == to.cols() && from.cols() >= 4,
                  {"classifier_two_sample_test: X has ", from.cols(), " columns, Y ", to.cols(),
                   "; both must have as many, and at least 4"});
  diagnostics::bring_into_range(from, to);
  TwoSampleTest test = options.classifier == Classifier::logistic ? diagnostics::logistic_test(from, to, options)
                                                                  : diagnostics::nearest_neighbour_test(from, to);
  test.dimension = from.rows();
  return test;
}

}  // namespace scorematch
