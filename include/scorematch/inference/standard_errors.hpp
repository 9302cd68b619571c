// standard_errors: how far an estimate may be from the truth, and which parameters the data do not tell.
//
// A fit by score matching minimises a mean of losses, J(θ) = (1/n) Σ_i ℓ_i(θ): it is an M-estimator, and
//
//   √n (θ̂ − θ₀) → N(0, H⁻¹ V H⁻¹),   H = E[∂²ℓ/∂θ²],   V = Var[∂ℓ/∂θ]
//
// (Huber 1967; White 1982, "Maximum likelihood estimation of misspecified models", theorem 3.2; for score matching
// Song, Garg, Shi & Ermon 2019, theorem 3). Unlike for a likelihood, V ≠ H even when the model is right.
//
// H is exact for models linear in θ (inference/closed_form.hpp), else the difference quotient of gradients; V comes
// from each sample's own gradient.
#pragma once

#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/inference/closed_form.hpp"

namespace scorematch {

/// Options of standard_errors.
struct StandardErrorOptions {
  double level = 0.95;  ///< of the confidence intervals; between 0 and 1
  Index draws = 1;  ///< 1 … 10⁶ draws of the objective's noise that each sample's loss is averaged over. 1 is right
                    ///< for fits on frozen noise (lbfgs, closed_form); after many passes of adam on fresh noise take
                    ///< more
  /// Ranks, of which each gives its own columns of the data (d × 0 for none); all get the same result, that of one
  /// process with all columns, bit for bit. Default: one process.
  Communicator communicator = {};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require(level > 0 && level < 1, {"StandardErrorOptions: level is ", level, "; it must be between 0 and 1"});
    extend::require_within(draws, 1, 1'000'000, "StandardErrorOptions: draws");
  }
};

/// Whether standard errors mean something.
enum class ErrorStatus {
  identified,      ///< nothing speaks against the intervals
  not_identified,  ///< some parameters are not told by the data, or hardly: `weak` says which and why
  not_a_minimum,   ///< H has a negative eigenvalue, or θ is many standard errors from where the gradient is 0
  non_finite,      ///< a gradient at θ or beside it is not finite
};

/// The status in a word or two.
inline const char* to_string(ErrorStatus status) {
  switch (status) {
    case ErrorStatus::identified:
      return "identified";
    case ErrorStatus::not_identified:
      return "not identified";
    case ErrorStatus::not_a_minimum:
      return "not a minimum";
    case ErrorStatus::non_finite:
      return "non-finite";
  }
  return "";
}

/// Why an error is not to be trusted.
enum class Weakness {
  flat,           ///< the loss has no curvature along this direction, to rounding: the error is infinite
  few_samples,    ///< the estimate rests on fewer than 5 samples, and hardly any other has influence
  not_quadratic,  ///< over the width of the interval the curvature changes more than threefold
};

/// A direction of θ that the data tell little about. Separated modes, say: where the score is large it does not depend
/// on the weights, and the few samples between the modes decide.
struct WeakDirection : ParameterDirection {
  Weakness weakness{};      ///< the reason why it is weak
  std::string reason = {};  ///< in words
};

/// One number of θ.
struct ParameterError {
  std::string name;           ///< as parameter_names has it
  double estimate = 0;        ///< the number itself
  double standard_error = 0;  ///< ∞ where the data leave the parameter open
  double lower = 0;           ///< the lower end of the confidence interval
  double upper = 0;           ///< its upper end
  double effective_samples = 0;  ///< (Σ a²)²/Σ a⁴ of the samples' influences a on the estimate; n/3 if they are normal
};

/// Standard errors and confidence intervals of θ by the sandwich H⁻¹ V H⁻¹/n, H the loss's curvature and V the variance
/// of a sample's gradient.
struct [[nodiscard]] StandardErrors {
  ErrorStatus status = ErrorStatus::identified;  ///< whether the intervals mean something
  std::vector<ParameterError> parameters = {};   ///< in the order of θ
  std::vector<WeakDirection> weak = {};          ///< empty where `identified`
  Eigen::MatrixXd covariance = {};   ///< of θ̂, H⁻¹ V H⁻¹/n; across flat directions alone where there are any
  Eigen::MatrixXd curvature = {};    ///< H
  Eigen::MatrixXd variability = {};  ///< V
  Eigen::VectorXd remaining_step = {};  ///< −H⁻¹ ∇J: from θ to the minimum, as the curvature has it
  double level = 0.95;                  ///< of the intervals
  Index samples = 0;                    ///< n
  Communication communication = {};     ///< of this rank, with the others

  /// A table, a line a parameter, and the warnings.
  std::string text() const {
    std::string all;
    char line[256];
    for (const ParameterError& p : parameters) {
      std::snprintf(line, sizeof line, "%-20s %12.5g ± %-10.3g [%.5g, %.5g]\n", p.name.c_str(), p.estimate,
                    p.standard_error, p.lower, p.upper);
      all += line;
    }
    for (const WeakDirection& w : weak) all += "warning: " + w.text + ": " + w.reason + "\n";
    if (status == ErrorStatus::not_a_minimum) all += "warning: theta is not a minimum of the loss\n";
    if (status == ErrorStatus::non_finite) all += "warning: gradients beside theta are not finite\n";
    return all;
  }
};

namespace fitting {

/// z with P(|N(0, 1)| < z) = level.
inline double normal_quantile(double level) {
  double low = 0, high = 40;
  for (int i = 0; i < 80; ++i) {
    const double middle = 0.5 * (low + high);
    (std::erfc(middle / 1.4142135623730951) > 1 - level ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

/// Sums over the samples' gradients g, for the sandwich.
struct GradientSums {
  Eigen::MatrixXd products;                 ///< Σ (g − centre)(g − centre)ᵀ
  Eigen::VectorXd sizes, squares, fourths;  ///< Σ |a|, Σ a², Σ a⁴ of the influences a = K (g − centre)

  explicit GradientSums(Index p = 0) { reset(p); }

  void reset(Index p) {
    products.setZero(p, p);
    for (Eigen::VectorXd* each : {&sizes, &squares, &fourths}) each->setZero(p);
  }

  /// The columns of G are gradients; it is used up.
  template <class Real>
  void add(Matrix<Real>& G, const Matrix<Real>& influence, const Vector<Real>& centre) {
    G.colwise() -= centre;
    products += G * G.transpose();
    const Matrix<Real> a = influence * G;
    sizes += a.cwiseAbs().rowwise().sum();
    squares += a.cwiseAbs2().rowwise().sum();
    fourths += a.cwiseAbs2().cwiseAbs2().rowwise().sum();
  }

  void add(const GradientSums& other) {
    products += other.products;
    sizes += other.sizes;
    squares += other.squares;
    fourths += other.fourths;
  }
};

/// A fit by a mean of losses, whatever these are.
class MeanOfLosses {
 public:
  virtual ~MeanOfLosses() = default;
  virtual Eigen::VectorXd gradient(const Eigen::VectorXd& theta) = 0;  ///< of the mean loss
  virtual bool quadratic() const = 0;                                  ///< whether that is linear in θ
  virtual Eigen::MatrixXd curvature() = 0;                             ///< its derivative, where it is
  virtual bool deterministic() const = 0;                              ///< whether the loss has no noise of its own
  /// Of the samples at the fitted θ.
  virtual GradientSums sums(const Eigen::MatrixXd& influence, const Eigen::VectorXd& centre) = 0;
};

/// Each sample's gradient at one θ.
template <class T, class Real = double>
class SampleGradients {
  using Bound = extend::BoundModel<T>;
  static constexpr Index lanes = simd::width<simd::Lanes<T>>;
  static constexpr Index block = lanes, chunk = 64;  ///< samples swept together; samples whose products are added up

 public:
  /// bind() gives a bound model for a thread of its own.
  SampleGradients(std::function<Bound()> bind, const objective::BoundObjective<T>& objective,
                  const ranks::RankedData<T>& data, Index draws, Index p)
      : bind_(std::move(bind)), objective_(objective), data_(data), draws_(draws), p_(p) {}

  /// `influence` is the matrix K.
  GradientSums sums(const Matrix<Real>& influence, const Vector<Real>& centre) {
    const Index N = data_.cols(), pieces = std::min<Index>(64, (N + chunk - 1) / chunk);
    const Index chunks = (N + chunk - 1) / chunk, per_piece = (chunks + pieces - 1) / pieces;
    const Index all = (chunks + per_piece - 1) / per_piece;
    if (!data_.shards.alone()) {
      ranks_.emplace(data_.shards);
      ranks_->share_out(data_.own, {}, N, per_piece * chunk, all);
      ranks_->bring({}, false);
    }
    const Index first = ranks_ ? ranks_->part().first_run : 0, end = ranks_ ? ranks_->part().end_run : all;
    GradientSums total(p_);
    std::vector<GradientSums> kept;  // until the ranks before have added theirs
    evaluate::PerThread<State> states;
    evaluate::for_each_piece(
        end - first, states,
        [&](State& s) {
          if (!s.bound) s.bound = std::make_unique<Bound>(bind_());
        },
        [&](State& s, Index k) {
          const Index piece = first + k;
          s.sums.reset(p_);
          for (Index c = piece * per_piece; c < std::min(chunks, (piece + 1) * per_piece); ++c)
            add_chunk(s, c * chunk, std::min(chunk, N - c * chunk), influence, centre);
        },
        [&](State& s, Index) {
          if (first > 0)
            kept.push_back(s.sums);
          else
            total.add(s.sums);
        });
    if (ranks_) add_in_turn(total, kept);
    return total;
  }

 private:
  struct State {
    std::unique_ptr<Bound> bound;
    extend::Room workspace, notes;
    extend::Samples<T> samples;
    extend::Points<T> points;
    extend::ScoreValues<T> values;
    extend::Losses<T> losses;
    extend::ScoreAdjoints<T> bar;
    Vector<Real> adjoints, gradient;
    Matrix<Real> G;  ///< p × samples of the chunk
    Matrix<T> in_pieces;
    std::vector<int> labels_in_pieces;
    GradientSums sums;
  };

  void add_in_turn(GradientSums& total, const std::vector<GradientSums>& kept) const {
    const Index p = p_;
    const auto each = [p](GradientSums& sums, auto visit) {
      visit(sums.products.data(), p * p);
      for (Eigen::VectorXd* part : {&sums.sizes, &sums.squares, &sums.fourths}) visit(part->data(), p);
    };
    each(total, [&, part = 0](double* numbers, Index size) mutable {
      ranks_->add_in_turn(numbers, size, [&](Index first, Index count) {
        for (const GradientSums& sums : kept) {
          const double* own = part == 0   ? sums.products.data()
                              : part == 1 ? sums.sizes.data()
                              : part == 2 ? sums.squares.data()
                                          : sums.fourths.data();
          for (Index i = first; i < first + count; ++i) numbers[i] += own[i];
        }
      });
      ++part;
    });
  }

  void add_chunk(State& s, Index first, Index count, const Matrix<Real>& influence, const Vector<Real>& centre) const {
    s.G.setZero(p_, count);
    for (Index draw = 0; draw < draws_; ++draw)
      for (Index at = 0; at < count; at += block) add_gradients(s, first + at, std::min(block, count - at), draw, at);
    s.G /= static_cast<double>(draws_);
    s.sums.add(s.G, influence, centre);
  }

  // One pull_back a sample, with the adjoints of the others at 0.
  void add_gradients(State& s, Index first, Index count, Index draw, Index column) const {
    if (!ranks_) {
      objective::gather_samples(data_.own, {}, first, count, lanes, static_cast<std::uint64_t>(draw), s.samples);
    } else {
      const auto source = ranks_->block(first, count, s.in_pieces, s.labels_in_pieces);
      objective::gather_samples<T>(source.view(data_.rows(), count), {}, 0, count, lanes,
                                   static_cast<std::uint64_t>(draw), s.samples);
      objective::number_samples<T>({}, first, count, s.samples);
    }
    objective::prepare_points(objective_, s.samples, s.points, s.notes);
    s.points.gradient = true;
    s.bound->evaluate(s.points, s.workspace, s.values);
    const objective::Asked asked{lanes, count, static_cast<Index>(objective_.term_names().size()),
                                 static_cast<Index>(objective_.level_names().size()), true};
    objective::score_points(objective_, s.samples, s.points, s.notes, asked, s.values, s.losses);
    for (Index i = 0; i < count; ++i) {
      keep_sample(s.losses.bar.S, i, s.bar.S);
      keep_sample(s.losses.bar.slopes, i, s.bar.slopes);
      keep_sample(s.losses.bar.curvature, i, s.bar.curvature);
      s.adjoints.setZero(s.bound->sum_size());
      s.bound->pull_back(s.points, s.workspace, s.bar, s.adjoints);
      s.gradient.resize(p_);
      s.bound->finish(s.adjoints, s.gradient);
      s.G.col(column + i) += s.gradient;
    }
  }

  template <class A>
  static void keep_sample(const A& all, Index i, A& one) {
    one.setZero(all.rows(), all.cols());
    for (Index at = i; at < all.size(); at += lanes) one.data()[at] = all.data()[at];
  }

  std::function<Bound()> bind_;
  const objective::BoundObjective<T>& objective_;
  ranks::RankedData<T> data_;
  std::optional<objective::SamplesOnRanks<T>> ranks_;
  Index draws_, p_;
};

/// The gradient of the mean loss at any θ, averaged over draws.
template <class T, class Real = double>
class MeanGradient {
 public:
  MeanGradient(objective::LossFunction<T>& function, Index draws) : function_(function), draws_(draws) {}

  Vector<Real> operator()(const Vector<Real>& theta) {
    function_.bind(theta);
    Vector<Real> total = Vector<Real>::Zero(theta.size());
    for (Index draw = 0; draw < draws_; ++draw) {
      function_.evaluate({.draw = static_cast<std::uint64_t>(draw)}, true, loss_);
      total += loss_.gradient;
    }
    return total / static_cast<double>(draws_);
  }

 private:
  objective::LossFunction<T>& function_;
  Index draws_;
  Loss loss_;
};

/// ε^{1/3} of the arithmetic in which gradients come: what central differences want.
template <class T>
inline constexpr double difference_step = std::is_same_v<T, float> ? 5e-3 : 6e-6;

/// Below this, relative to the largest eigenvalue once the diagonal is 1, curvature is rounding.
template <class T>
inline constexpr double flat_below = std::is_same_v<T, float> ? 1e-3 : 1e-8;

template <class T, class Real>
Vector<Real> hessian_column(MeanOfLosses& fit, const Vector<Real>& theta, Index k, double widen) {
  const double h = widen * difference_step<T> * std::max(1.0, std::abs(theta[k]));
  Vector<Real> up = theta, down = theta;
  up[k] += h;
  down[k] -= h;
  const Vector<Real> difference = fit.gradient(up) - fit.gradient(down);
  return difference / (up[k] - down[k]);
}

/// H by central differences of the gradient. An entry that a tenfold step does not confirm is rounding, and set to 0.
///
/// Of H_jk and H_kj, the same number, the one counts more whose gradient has less rounding: the weight of two separated
/// modes has a gradient, and a curvature, that is smaller than the rounding of its centres' gradients. Rounding in
/// gradient j is taken to go with √H_jj, as the samples' own gradients do; θ_j is moved by a step ∝ size_j.
template <class T, class Real>
Matrix<Real> hessian_by_differences(MeanOfLosses& fit, const Vector<Real>& theta) {
  const Index p = theta.size();
  Matrix<Real> H(p, p);
  for (Index k = 0; k < p; ++k) H.col(k) = hessian_column<T>(fit, theta, k, 1);
  const Vector<Real> size = theta.cwiseAbs().cwiseMax(1.0);
  for (Index k = 0; k < p; ++k)
    for (Index j = 0; j < k; ++j) {
      const double of_j = std::abs(H(j, j)) * size[j] * size[j], of_k = std::abs(H(k, k)) * size[k] * size[k];
      const double share = of_j + of_k > 0 ? of_k / (of_j + of_k) : 0.5;
      H(j, k) = H(k, j) = share * H(j, k) + (1 - share) * H(k, j);
    }
  const double largest = (H.diagonal().cwiseAbs().cwiseProduct(size.cwiseAbs2())).maxCoeff();
  for (Index k = 0; k < p; ++k) {
    if (!(std::abs(H(k, k)) * size[k] * size[k] < 0.1 * flat_below<T> * largest)) continue;
    if (std::abs(hessian_column<T>(fit, theta, k, 10)[k] - H(k, k)) <= 0.5 * std::abs(H(k, k))) continue;
    H.row(k).setZero();
    H.col(k).setZero();
  }
  return H;
}

/// Up to which size the eigenvalues of a scaled H that came by differences are not told from 0. A fit ends where the
/// gradient is small, not 0, so that H is that of a place beside the minimum: where the scaled gradient is g, and s the
/// deviation of a sample's own, curvature is off by about |g|/s; three times that is allowed for. An eigenvalue that a
/// tenfold step along its vector does not confirm is rounding.
template <class T, class Real>
Vector<Real> uncertain_eigenvalues(MeanOfLosses& fit, const Vector<Real>& theta, const Vector<Real>& mean,
                                   const ScaledSpectrum& spectrum, Index n) {
  const Index p = theta.size();
  const double largest = spectrum.values.cwiseAbs().maxCoeff();
  Vector<Real> least = Vector<Real>::Constant(p, flat_below<T> * largest);
  if (!(spectrum.values[0] < 1e-3 * largest)) return least;
  const Matrix<Real> nothing = Matrix<Real>::Zero(p, p);
  const Vector<Real> variances = fit.sums(nothing, mean).products.diagonal() / static_cast<double>(n - 1);
  const double spread = std::sqrt(variances.dot(spectrum.scale.cwiseAbs2()) / static_cast<double>(p)),
               left = spectrum.scale.cwiseProduct(mean).norm();
  if (spread > 0) least.array() = least.array().max(largest * std::min(1e-3, 3 * left / spread));
  for (Index k = 0; k < p; ++k) {
    const double value = spectrum.values[k];
    if (!(value < 1e-3 * largest) || std::abs(value) <= least[k]) continue;
    const Vector<Real> along = spectrum.scale.cwiseProduct(spectrum.vectors.col(k));
    double longest = 0;
    for (Index i = 0; i < p; ++i) longest = std::max(longest, std::abs(along[i]) / std::max(1.0, std::abs(theta[i])));
    const Vector<Real> side = 10 * difference_step<T> / longest * along;
    const double again =
        along.dot(fit.gradient(theta + side) - fit.gradient(theta - side)) / (20 * difference_step<T> / longest);
    if (!(std::abs(again - value) <= 0.5 * std::abs(value))) least[k] = std::abs(value);
  }
  return least;
}

/// The inverse of H across what the data tell, and what they leave open.
template <class Real>
struct InverseCurvature {
  Matrix<Real> K;       ///< H⁻¹, 0 along what is flat
  Matrix<Real> open;    ///< directions along which H is flat, one a column
  bool saddle = false;  ///< H has a negative eigenvalue
};

/// Eigenvalues up to `flat` count as 0.
template <class Real>
InverseCurvature<Real> inverse_of(const ScaledSpectrum& spectrum, const Vector<Real>& flat) {
  const Index p = flat.size();
  const Vector<Real>&values = spectrum.values, &scale = spectrum.scale;
  const Matrix<Real>& vectors = spectrum.vectors;
  bool saddle = false;
  Vector<Real> inverse(p);
  Matrix<Real> open(p, 0);
  for (Index k = 0; k < p; ++k) {
    const bool is_flat = !(std::abs(values[k]) > flat[k]);
    saddle = saddle || values[k] < -flat[k];
    inverse[k] = is_flat ? 0 : 1 / values[k];
    if (!is_flat) continue;
    open.conservativeResize(p, open.cols() + 1);
    open.col(open.cols() - 1) = scale.cwiseProduct(vectors.col(k));
  }
  if (open.cols() > 0) open = sparse_basis(open);
  const Matrix<Real> scaled_vectors = scale.asDiagonal() * vectors;
  return {scaled_vectors * inverse.asDiagonal() * scaled_vectors.transpose(), open, saddle};
}

/// The sandwich of any fit by a mean of losses, whose gradients come in the arithmetic T.
template <class T, class Real = double>
class Sandwich {
 public:
  Sandwich(MeanOfLosses& fit, const Vector<Real>& theta, const std::vector<std::string>& names, Index n, double level,
           StandardErrors& result)
      : fit_(fit), theta_(theta), names_(names), p_(theta.size()), n_(n), level_(level), result_(result) {}

  void run() {
    begin();
    if (!invert_curvature()) return;
    sums_ = fit_.sums(inverse_.K, mean_);
    result_.variability = sums_.products / static_cast<double>(n_ - 1);
    result_.covariance = inverse_.K * result_.variability * inverse_.K / static_cast<double>(n_);
    result_.remaining_step = -inverse_.K * mean_;
    if (result_.covariance.allFinite()) judge();
  }

 private:
  static constexpr double infinity = std::numeric_limits<double>::infinity();

  // Nothing is known: the result of a computation that is given up.
  void begin() {
    result_.level = level_;
    result_.samples = n_;
    for (Index k = 0; k < p_; ++k)
      result_.parameters.push_back({names_[static_cast<std::size_t>(k)], theta_[k], infinity, -infinity, infinity, 0});
    result_.status = ErrorStatus::non_finite;
  }

  // False where gradients are not finite.
  bool invert_curvature() {
    mean_ = fit_.gradient(theta_);
    quadratic_ = fit_.quadratic();
    Matrix<Real>& H = result_.curvature;
    H = quadratic_ ? fit_.curvature() : hessian_by_differences<T>(fit_, theta_);
    if (!mean_.allFinite() || !H.allFinite()) return false;
    const ScaledSpectrum spectrum = scaled_spectrum(H);
    Vector<Real> flat = Vector<Real>::Constant(p_, rank_tolerance<T>(p_) * spectrum.values.cwiseAbs().maxCoeff());
    if (!quadratic_) flat = uncertain_eigenvalues<T>(fit_, theta_, mean_, spectrum, n_);
    if (!flat.allFinite()) return false;
    inverse_ = inverse_of(spectrum, flat);
    return true;
  }

  // Intervals and warnings.
  void judge() {
    const Matrix<Real>&K = inverse_.K, &open = inverse_.open;
    arrived_ = mean_.dot(K * mean_) <= 1e-4 * K.cwiseProduct(result_.variability).sum() / static_cast<double>(n_);
    near_ = fit_.deterministic() ? 0.5 : 5;
    z_ = normal_quantile(level_);
    for (Index j = 0; j < open.cols(); ++j)
      result_.weak.push_back(
          {{open.col(j), open.col(j).dot(result_.curvature * open.col(j)), describe(open.col(j), names_)},
           Weakness::flat,
           "the loss has no curvature along it; the data leave it open"});
    for (Index k = 0; k < p_; ++k)
      if (open.cols() == 0 || !(open.row(k).cwiseAbs().maxCoeff() > 1e-3)) judge_parameter(k);
    result_.status = far_ || inverse_.saddle ? ErrorStatus::not_a_minimum
                     : result_.weak.empty()  ? ErrorStatus::identified
                                             : ErrorStatus::not_identified;
  }

  void judge_parameter(Index k) {
    ParameterError& error = result_.parameters[static_cast<std::size_t>(k)];
    error.standard_error = std::sqrt(result_.covariance(k, k));
    error.lower = theta_[k] - z_ * error.standard_error;
    error.upper = theta_[k] + z_ * error.standard_error;
    error.effective_samples = sums_.fourths[k] > 0 ? sums_.squares[k] * sums_.squares[k] / sums_.fourths[k] : 0;
    if (std::abs(result_.remaining_step[k]) > near_ * error.standard_error) {
      if (arrived_) {  // ν → ∞ of a Student t that is normal, say: far in units of an error that says nothing
        error.standard_error = infinity;
        error.lower = -infinity;
        error.upper = infinity;
        warn(k, Weakness::flat, "the loss hardly depends on it, and falls on and on along it; the data leave it open");
        return;
      }
      far_ = true;
    }
    if (error.effective_samples < 5 && share_of_samples(k) < 0.03) {
      warn(k, Weakness::few_samples,
           detail::text("the estimate rests on about ", std::round(10 * error.effective_samples) / 10, " of ", n_,
                        " samples; its error is not to be trusted"));
    } else if (!quadratic_ && inverse_.K(k, k) > 0) {
      const double change = change_of_curvature(k, error.standard_error);
      if (!(change > 1.0 / 3 && change < 3))
        warn(k, Weakness::not_quadratic,
             detail::text("over its interval the mean curvature is ", std::round(100 * change) / 100,
                          " times that at the estimate; the interval is not to be trusted"));
    }
  }

  // How many samples have influence, by (Σ|a|)²/Σa². Heavy tails alone bring the effective samples down, a few samples
  // that decide bring down both.
  double share_of_samples(Index k) const {
    return sums_.squares[k] > 0 ? sums_.sizes[k] * sums_.sizes[k] / sums_.squares[k] / static_cast<double>(n_) : 0;
  }

  // The mean curvature over the interval beside that at the estimate, along the line on which the loss stays least.
  double change_of_curvature(Index k, double standard_error) {
    const Vector<Real> along = inverse_.K.col(k) / inverse_.K(k, k), side = z_ * standard_error * along;
    return along.dot(fit_.gradient(theta_ + side) - fit_.gradient(theta_ - side)) /
           (2 * z_ * standard_error * along.dot(result_.curvature * along));
  }

  void warn(Index k, Weakness weakness, const std::string& reason) {
    result_.weak.push_back(
        {{Vector<Real>::Unit(p_, k), result_.curvature(k, k), names_[static_cast<std::size_t>(k)]}, weakness, reason});
  }

  MeanOfLosses& fit_;
  Vector<Real> theta_;
  const std::vector<std::string>& names_;
  Index p_, n_;
  double level_;
  StandardErrors& result_;
  Vector<Real> mean_;  // of the samples' gradients
  bool quadratic_ = false;
  InverseCurvature<Real> inverse_;
  GradientSums sums_;
  bool arrived_ = false;  // going on to the minimum would gain nothing beside what the estimate loses by its errors
  bool far_ = false;      // some parameter is far from the minimum
  double near_ = 0.5;     // in standard errors: with fresh noise a fit ends where other draws of it have their minimum
  double z_ = 0;          // of the intervals
};

inline void require_enough(Index samples, Index parameters) {
  extend::require(parameters > 0, {"standard_errors: the model has no parameters"});
  extend::require(samples >= 2, {"standard_errors: data has ", samples, " column; at least 2 samples are needed"});
}

template <class T>
void sandwich(MeanOfLosses& fit, const Eigen::VectorXd& theta, const std::vector<std::string>& names, Index n,
              const StandardErrorOptions& options, StandardErrors& result) {
  options.validate();
  require_enough(n, theta.size());
  Sandwich<T>(fit, theta, names, n, options.level, result).run();
}

/// A fit by score matching, whatever the types of model and objective are.
template <class T>
class ScoreFit final : public MeanOfLosses {
 public:
  /// bind() gives the model, bound for a thread of its own; `linear` is its formula where H is known exactly, because
  /// the loss is a quadratic function of θ.
  ScoreFit(objective::LossFunction<T> function, std::function<extend::BoundModel<T>()> bind,
           std::optional<FormulaOf> linear, Index draws)
      : function_(std::move(function)),
        bind_(std::move(bind)),
        linear_(linear),
        draws_(draws),
        mean_gradient_(function_, draws) {}

  Eigen::VectorXd gradient(const Eigen::VectorXd& theta) override { return mean_gradient_(theta); }
  bool quadratic() const override { return linear_.has_value(); }
  bool deterministic() const override { return function_.objective().deterministic(); }

  Eigen::MatrixXd curvature() override {
    const Index p = function_.parameter_count();
    Eigen::MatrixXd H = Eigen::MatrixXd::Zero(p, p);
    FeatureGram<T> gram(*linear_, function_.objective(), function_.ranked_data());
    for (Index draw = 0; draw < draws_; ++draw)
      H += gram.mean(static_cast<std::uint64_t>(draw)) / static_cast<double>(draws_);
    return H;
  }

  GradientSums sums(const Eigen::MatrixXd& influence, const Eigen::VectorXd& centre) override {
    return SampleGradients<T>(bind_, function_.objective(), function_.ranked_data(), draws_,
                              function_.parameter_count())
        .sums(influence, centre);
  }

 private:
  objective::LossFunction<T> function_;
  std::function<extend::BoundModel<T>()> bind_;
  std::optional<FormulaOf> linear_;
  Index draws_;
  MeanGradient<T> mean_gradient_;
};

/// The model's formula, where its loss is a quadratic function of θ.
template <class M, class O>
std::optional<FormulaOf> formula_of_quadratic_loss(const M& model, const O& objective) {
  if constexpr (MayBeLinear<M> && requires { objective.half_squared_score(); }) {
    const FormulaOf formula = formula_of(model);
    if (objective.half_squared_score() && formula::linearity(formula.record).linear) return formula;
  }
  return {};
}

}  // namespace fitting

/// Standard errors and confidence intervals of a fitted model's parameters, by the sandwich H⁻¹ V H⁻¹/n:
///
///   auto fit = sm::fit(energy, sm::implicit_score_matching{}, data);
///   auto errors = sm::standard_errors(fit, sm::implicit_score_matching{}, data);   // the same objective and data
///   std::printf("%s", errors.text().c_str());
///
/// For every objective and every model that can be fitted, at the model's present θ. Read `status` first: where the
/// data do not tell a parameter the result says so, by name, instead of giving a number alone. Noise belongs to the
/// samples: with denoising or sliced score matching the errors include that of the noise as drawn. A ridge is no part
/// of the loss: a solution that it moved far is no minimum.
///
/// Cost: for models linear in θ two passes over the data, else 2p + 2 gradients (4p + 2 with the check of the
/// intervals), and the samples' own gradients, some ten gradients more. X: d × N, one column per sample. The same bits
/// for any number of threads. Throws std::invalid_argument for options out of range, a model without parameters, fewer
/// than two samples, and data as in `loss`.
template <class M, class O, class Derived>
requires detail::AnyModel<M> StandardErrors standard_errors(const M& model, const O& objective,
                                                            const Eigen::MatrixBase<Derived>& X,
                                                            const StandardErrorOptions& options = {}) {
  StandardErrors result;
  if constexpr (detail::check_trainable_model<M>()) {
    using T = typename Derived::Scalar;
    const MatrixView<T> data = X.derived();
    const Communicator& communicator = options.communicator;
    const Communication before = communicator.communication();
    ranks::on_ranks(communicator, [&] {
      const ranks::Shards shards(communicator, data.cols());
      const Index samples = shards.total(data.cols());
      ranks::agree(communicator, [&] {
        options.validate();
        fitting::require_enough(samples, model.parameters().size());
      });
      std::vector<ranks::Common> facts = objective::common_facts<T>(model, data.rows());
      facts.push_back({"StandardErrorOptions: draws", detail::text(options.draws)});
      facts.push_back({"StandardErrorOptions: level", detail::text(options.level)});
      ranks::require_same(communicator, facts);
      fitting::ScoreFit<T> fit(
          objective::loss_function<T>(model, objective, data, shards), [&model] { return detail::bind<T>(model); },
          fitting::formula_of_quadratic_loss(model, objective), options.draws);
      fitting::sandwich<T>(fit, model.parameters(), parameter_names(model), samples, options, result);
    });
    result.communication = communicator.communication().since(before);
  }
  return result;
}

/// The same for what fit and closed_form return.
template <class R, class O, class Derived>
requires requires(const R& r) {
  r.model;
  r.loss.value;
}
StandardErrors standard_errors(const R& fitted, const O& objective, const Eigen::MatrixBase<Derived>& X,
                               const StandardErrorOptions& options = {}) {
  return standard_errors(fitted.model, objective, X, options);
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled_inference.hpp"
#endif
