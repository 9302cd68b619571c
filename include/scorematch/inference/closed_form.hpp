// closed_form: models that are affine in θ, solved instead of iterated.
//
// For such a model s = s₀ + Φ θ with Φ(x) d × p. Every loss that is ½‖s‖² plus something linear in s and the curvature
// (explicit, implicit, denoising; sliced with the exact norm) is then a quadratic function of θ (Hyvärinen 2007,
// "Some extensions of score matching", §4; exponential families):
//
//   J(θ) = ½ θᵀ A θ + bᵀ θ + c,    A = E[ΦᵀΦ],  b = ∇J(0),  c = J(0),    θ* = −A⁻¹ b
//
// A is a matter of the data's units and origin, θ* is not: the features are made orthonormal first where A's rounding
// needs it (inference/feature_basis.hpp), and θ* is refined by the gradient that the model itself has there.
//
// Φ comes from the record of the features (formula/linear_form.hpp): one order-1 sweep along the axes for an energy
// (Φ_ik = −∂φ_k/∂x_i), an order-0 sweep for a score. A is accumulated by the library's own products, panel by panel on
// and above the diagonal.
#pragma once

#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "scorematch/evaluate/formula_workspace.hpp"
#include "scorematch/fit/symmetric_system.hpp"
#include "scorematch/formula/linear_form.hpp"
#include "scorematch/inference/feature_basis.hpp"
#include "scorematch/loss/loss.hpp"
#include "scorematch/model/parameter_names.hpp"
#include "scorematch/model/values.hpp"

namespace scorematch {

/// Options of closed_form.
struct ClosedFormOptions {
  double ridge = 0;  ///< adds ½ ridge ‖θ‖² to the loss; ≥ 0
  /// Ranks, of which each gives its own columns of the data (d × 0 for none); all get the same result, that of one
  /// process with all columns, bit for bit. Default: one process.
  Communicator communicator = {};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require(std::isfinite(ridge) && ridge >= 0,
                    {"ClosedFormOptions: ridge is ", ridge, "; it must be at least 0"});
  }
};

/// How a closed form ended.
enum class ClosedFormStatus {
  solved,          ///< the one minimum
  rank_deficient,  ///< the data leave directions of θ open (null_directions): the shortest of the minima
  unbounded,       ///< the loss falls without bound along a null direction; θ is the minimum across them
  inaccurate,      ///< at θ, rounding leaves the score in some coordinate uncertain by more than a millionth (float
                   ///< data: a hundredth): the data are too far from the origin for this formula, say
  non_finite,      ///< A or b is not finite; θ is the model's own
};

/// The status in a word or two.
inline const char* to_string(ClosedFormStatus status) {
  switch (status) {
    case ClosedFormStatus::solved:
      return "solved";
    case ClosedFormStatus::rank_deficient:
      return "rank-deficient";
    case ClosedFormStatus::unbounded:
      return "unbounded";
    case ClosedFormStatus::inaccurate:
      return "inaccurate";
    case ClosedFormStatus::non_finite:
      return "non-finite";
  }
  return "";
}

/// All of a ClosedForm but its model.
struct [[nodiscard]] ClosedFormOutcome {
  Loss loss = {};  ///< at θ* on the data, at the objective's draw 0, without the ridge; with its gradient
  ClosedFormStatus status = ClosedFormStatus::solved;  ///< whether θ is the one minimum
  Eigen::MatrixXd A = {};                              ///< p × p, without the ridge
  Eigen::VectorXd b = {};                              ///< p
  double c = 0;                                        ///< the loss at θ = 0
  Index rank = 0;        ///< how many features are linearly independent on the data, to their rounding
  double condition = 0;  ///< of what was solved, A + ridge I, its diagonal scaled to 1; ∞ where that is singular
  Eigen::VectorXd remaining_step = {};  ///< from θ to the minimum, as the gradient there has it: rounding
  std::vector<ParameterDirection> null_directions =
      {};                            ///< of A: the loss does not depend on θ along them, or is linear
  Communication communication = {};  ///< of this rank, with the others
};

/// J(θ) = ½ θᵀ A θ + bᵀ θ + c, its minimum, and how sure that minimum is.
template <class M>
struct [[nodiscard]] ClosedForm : ClosedFormOutcome {
  M model;  ///< at θ*
};

namespace fitting {

template <class M>
concept FromFormula = requires(const M& m) {
  { m.record() } -> std::convertible_to<const formula::Record&>;
};

/// A model from a formula, perhaps at a fixed noise level.
template <class M>
concept MayBeLinear = FromFormula<M> || requires(const M& m) {
  requires FromFormula<std::remove_cvref_t<decltype(m.model())>>;
  m.sigma();
  m.label();
};

/// The formula of a model, whatever its type: it must outlive this.
struct FormulaOf {
  const formula::Record& record;
  bool is_energy = false;
  double sigma = 0;  ///< 0: the objective's
  int label = -1;    ///< beside a sigma of its own
};

template <MayBeLinear M>
FormulaOf formula_of(const M& model) {
  if constexpr (FromFormula<M>)
    return {model.record(), detail::KnowsEnergy<M>};
  else
    return {model.model().record(), detail::KnowsEnergy<M>, model.sigma(), model.label()};
}

/// Σ over samples of ΦᵀΦ for the points at which an objective asks for the score.
template <class T>
class FeatureGram {
  using Gemm = evaluate::Gemm<T>;

 public:
  FeatureGram(const FormulaOf& model, const objective::BoundObjective<T>& objective, const ranks::RankedData<T>& data)
      : features_(formula::features_of(model.record)),
        part_(features_),
        objective_(objective),
        data_(data),
        count_(model.record.parameter_count()),
        is_energy_(model.is_energy),
        sigma_(model.sigma),
        label_(model.label) {
    part_.bind(Eigen::VectorXd(0));
  }

  /// p × p, the mean over samples, at this draw of the objective's noise; or that of ΦT, for T (p × q), q × q.
  Eigen::MatrixXd mean(std::uint64_t draw) { return mean(draw, Matrix<T>()); }
  Eigen::MatrixXd mean(std::uint64_t draw, const Matrix<T>& basis) {
    draw_ = draw;
    basis_ = basis;
    constexpr Index lanes = simd::width<simd::Lanes<T>>;
    const Index d = data_.rows(), N = data_.cols(), p = basis.size() > 0 ? basis.cols() : count_;
    const evaluate::Jets jets{0, is_energy_ ? static_cast<int>(evaluate::chunk_of(d)) : 0};
    const Index block = std::min(block_size(jets), N), padded = (block + lanes - 1) / lanes * lanes;
    const Index blocks = (N + block - 1) / block;
    const Index most_runs = std::max<Index>(8, std::min<Index>(64, (Index(1) << 24) / (p * p)));
    const Index per_run = (blocks + most_runs - 1) / most_runs, runs = (blocks + per_run - 1) / per_run;
    Index size = 0;
    for (Index row = 0; row < p; row += Gemm::panel) size += std::min(Gemm::panel, p - row) * (p - row);
    Eigen::VectorXd total = Eigen::VectorXd::Zero(size);
    evaluate::PerThread<State> states;
    const auto prepare = [&](State& state) { state.sums.resize(size); };
    const auto sum_run = [&](State& state, Index run) {
      state.sums.setZero();
      for (Index b = run * per_run; b < std::min(blocks, (run + 1) * per_run); ++b)
        add_block(state, jets, b * block, std::min(block, N - b * block), padded);
    };
    const auto add = [&](const Eigen::VectorXd& sums, Index first, Index count) {
      for (Index i = first; i < first + count; ++i) total[i] += sums[i];
    };
    if (data_.shards.alone()) {
      evaluate::for_each_piece(
          runs, states, prepare, sum_run, [](State&, Index) {}, size,
          [&](State& state, Index, Index first, Index count) { add(state.sums, first, count); });
    } else {
      if (!ranks_) ranks_.emplace(data_.shards);
      ranks_->share_out(data_.own, {}, N, per_run * block, runs);
      ranks_->bring({}, false);
      const Index first_run = ranks_->part().first_run;
      std::vector<Eigen::VectorXd> own(static_cast<std::size_t>(ranks_->part().end_run - first_run),
                                       Eigen::VectorXd::Zero(size));
      evaluate::for_each_piece(
          static_cast<Index>(own.size()), states, prepare,
          [&](State& state, Index k) { sum_run(state, first_run + k); },
          [&](State& state, Index k) { own[static_cast<std::size_t>(k)].swap(state.sums); });
      ranks_->add_in_turn(total.data(), size, [&](Index first, Index count) {
        for (const Eigen::VectorXd& sums : own) add(sums, first, count);
      });
    }
    Eigen::MatrixXd A(p, p);
    Index at = 0;
    for (Index row = 0; row < p; row += Gemm::panel)
      for (Index j = row; j < p; ++j)
        for (Index i = row; i < std::min(row + Gemm::panel, p); ++i, ++at)
          if (i <= j) A(i, j) = A(j, i) = total[at] / static_cast<double>(N);
    return A;
  }

 private:
  struct State {
    evaluate::FormulaWorkspace<T> workspace;
    extend::Samples<T> samples;
    extend::Points<T> points;
    extend::Room notes;
    Eigen::VectorXd sums;
    Matrix<T> product, masked, in_pieces;
    std::vector<int> labels_in_pieces;
    evaluate::Buffer<T> room;
  };

  Index block_size(evaluate::Jets jets) const { return evaluate::block_size<T>(features_, jets); }

  void add_block(State& s, evaluate::Jets jets, Index first, Index count, Index rows) {
    if (!ranks_) {
      objective::gather_samples(data_.own, {}, first, count, rows, draw_, s.samples);
    } else {
      const auto source = ranks_->block(first, count, s.in_pieces, s.labels_in_pieces);
      objective::gather_samples<T>(source.view(data_.rows(), count), {}, 0, count, rows, draw_, s.samples);
      objective::number_samples<T>({}, first, count, s.samples);
    }
    objective::prepare_points(objective_, s.samples, s.points, s.notes);
    if (sigma_ > 0) {
      s.points.sigma.setConstant(rows, static_cast<T>(sigma_));
      s.points.label.setConstant(rows, label_);
    }
    auto& replay = s.workspace.replay(features_, part_, jets, rows, nullptr);
    evaluate::set_points(replay, features_, s.points);
    if (!is_energy_) {
      replay.forward();
      for (Index i = 0; i < data_.rows(); ++i) add_rows(s, replay, i * count_, 0, 1, count, rows);
      return;
    }
    const Index d = data_.rows(), chunk = jets.directions();
    for (Index axis = 0; axis < d; axis += chunk) {
      replay.set_axes(axis);
      replay.forward();
      if (replay.result(0, 1) != nullptr) add_rows(s, replay, 0, 1, std::min(chunk, d - axis), count, rows);
    }
  }

  // Adds the products of the output's p columns from `column` on, in `height` derivative rows from `row` on.
  void add_rows(State& s, evaluate::Replay<T>& replay, Index column, int row, Index height, Index count, Index rows) {
    const T* phi = replay.result(column, row);
    Index p = count_, stride = p > 1 ? replay.result(column + 1, row) - phi : 0, tall = height * rows;
    if (basis_.size() > 0) {
      s.product.resize(tall, basis_.cols());
      Gemm::multiply(tall, basis_.cols(), p, phi, stride, basis_.data(), p, s.product.data(), tall, false);
      phi = s.product.data();
      p = basis_.cols();
      stride = tall;
    }
    if (count < rows) {  // padding has no part in the sums
      s.masked.resize(tall, p);
      for (Index k = 0; k < p; ++k)
        for (Index i = 0; i < tall; ++i) s.masked(i, k) = i % rows < count ? phi[k * stride + i] : T(0);
      phi = s.masked.data();
      stride = tall;
    }
    double* sums = s.sums.data();
    for (Index k = 0; k < p; k += Gemm::panel) {
      const Index panel = std::min(Gemm::panel, p - k);
      Gemm::multiply_transposed(panel, p - k, tall, phi + k * stride, stride, phi + k * stride, stride, sums,
                                s.room.reserve(Gemm::transposed_room));
      sums += panel * (p - k);
    }
  }

  formula::Record features_;
  evaluate::UniformPart<T> part_;
  const objective::BoundObjective<T>& objective_;
  ranks::RankedData<T> data_;
  std::optional<objective::SamplesOnRanks<T>> ranks_;
  Index count_;
  bool is_energy_;
  double sigma_;
  int label_;
  std::uint64_t draw_ = 0;
  Matrix<T> basis_;  ///< empty: the unit matrix
};

/// Rounding of A, relative to its largest eigenvalue once its diagonal is 1: of the sums, and of float features.
template <class T>
double rank_tolerance(Index p) {
  return 8 * static_cast<double>(p) * std::numeric_limits<double>::epsilon() +
         (std::is_same_v<T, float> ? 64.0 * std::numeric_limits<float>::epsilon() : 0);
}

/// Throws, with the reason, unless the model is affine in θ.
inline void require_linear(const formula::Record& record) {
  extend::require(record.parameter_count() > 0, {"closed_form: the model has no parameters"});
  const formula::Linearity linearity = formula::linearity(record);
  bool cholesky = false;
  for (const formula::ParameterBlock& block : record.parameters)
    cholesky = cholesky || (block.name.size() >= 12 && block.name.substr(block.name.size() - 12) == "log_diagonal");
  extend::require(
      linearity.linear,
      {"closed_form: the model is not linear in its parameters: its formula takes ", linearity.reason,
       cholesky ? " (a gaussian's mean and Cholesky factor enter so; natural_gaussian is the same energy, linear in "
                  "its parameters)"
                : ""});
}

/// A basis of the same null space that names few parameters, each in the unit of its feature: parts of a direction that
/// are rounding there would not be in θ's own. Columns of length 1.
template <class Real>
Matrix<Real> sparse_in_units_of(const Matrix<Real>& A, Matrix<Real> null) {
  if (null.cols() == 0) return null;
  Vector<Real> size(A.rows());
  for (Index k = 0; k < A.rows(); ++k) size[k] = A(k, k) > 0 ? std::sqrt(A(k, k)) : 1;
  for (Index k = 0; k < A.rows(); ++k) null.row(k) *= size[k];
  null = sparse_basis<>(null);
  for (Index k = 0; k < A.rows(); ++k) null.row(k) /= size[k];
  for (Index j = 0; j < null.cols(); ++j) null.col(j).normalize();
  return null;
}

/// The system J has, in a basis of θ in which it is well conditioned, and its solution for any gradient.
template <class Real>
class NewtonStep {
 public:
  NewtonStep(const FeatureBasis<Real>& basis, double ridge, double tolerance) : ridge_(ridge), directions_(basis.T) {
    Matrix<Real> G = basis.gram;
    if (ridge > 0) {
      directions_.conservativeResize(basis.T.rows(), basis.T.cols() + basis.null.cols());
      directions_.rightCols(basis.null.cols()) = basis.null;
      G = ridge * directions_.transpose() * directions_;
      G.topLeftCorner(basis.rank(), basis.rank()) += basis.gram;
    }
    for (Index k = 0; k < G.rows(); ++k) directions_.col(k) /= std::sqrt(G(k, k));
    const Vector<Real> scale = G.diagonal().cwiseSqrt().cwiseInverse();
    for (Index j = 0; j < G.cols(); ++j)
      for (Index i = 0; i < G.rows(); ++i) G(i, j) *= scale[i] * scale[j];
    factor_ = std::make_unique<PivotedCholesky<Real>>(G, 1e-3 * tolerance);
    solvable_ = factor_->rank == G.rows();
    if (basis.null.cols() > 0 && ridge == 0) project_out_ = orthonormal(basis.null);
  }

  /// From θ to the minimum, where J has the gradient g; without a ridge across the null space alone.
  Vector<Real> operator()(const Vector<Real>& theta, const Vector<Real>& gradient) const {
    const Vector<Real> g = gradient + ridge_ * theta;
    if (!solvable_ || directions_.cols() == 0) return Vector<Real>::Zero(theta.size());
    const Vector<Real> right = -(directions_.transpose() * g);
    return without_null_space(directions_ * factor_->solve(right));
  }

  bool solvable() const { return solvable_; }

 private:
  Vector<Real> without_null_space(Vector<Real> step) const {
    for (Index j = 0; j < project_out_.cols(); ++j)
      step -= Vector<Real>(project_out_.col(j).dot(step) * project_out_.col(j));
    return step;
  }
  static Matrix<Real> orthonormal(Matrix<Real> Q) {  // Gram and Schmidt, twice
    for (int turn = 0; turn < 2; ++turn)
      for (Index j = 0; j < Q.cols(); ++j) {
        for (Index k = 0; k < j; ++k) Q.col(j) -= Vector<Real>(Q.col(k).dot(Q.col(j)) * Q.col(k));
        Q.col(j).normalize();
      }
    return Q;
  }

  double ridge_;
  Matrix<Real> directions_, project_out_;
  std::unique_ptr<PivotedCholesky<Real>> factor_;
  bool solvable_ = true;
};

/// Whether the step changes the score of each coordinate by little beside the score itself, or the inverse of the
/// data's deviation: a measure without units. On the first samples.
template <class T, class Real>
bool changes_score_little(extend::BoundModel<T>& bound, const Vector<Real>& theta, const Vector<Real>& step,
                          const ranks::RankedData<T>& data, double little) {
  const Index N = std::min<Index>(data.cols(), 1000);
  std::vector<Index> first(static_cast<std::size_t>(N));
  std::iota(first.begin(), first.end(), Index{0});
  const Matrix<T> points = data.columns(first);
  Matrix<T> S(data.rows(), N), change(data.rows(), N);
  bound.bind(theta);
  detail::score<T>(bound, points, S);
  bound.bind(theta + step);
  detail::score<T>(bound, points, change);
  change -= S;
  for (Index i = 0; i < data.rows(); ++i) {
    double mean = 0, variance = 0, square = 0, changed = 0;
    for (Index k = 0; k < N; ++k) mean += static_cast<double>(points(i, k)) / static_cast<double>(N);
    for (Index k = 0; k < N; ++k) {
      variance += std::pow(static_cast<double>(points(i, k)) - mean, 2) / static_cast<double>(N);
      square += std::pow(static_cast<double>(S(i, k)), 2) / static_cast<double>(N);
      changed += std::pow(static_cast<double>(change(i, k)), 2) / static_cast<double>(N);
    }
    const double size = std::sqrt(square) + (variance > 0 ? 1 / std::sqrt(variance) : 0);
    if (!(std::sqrt(changed) <= little * size)) return false;
  }
  return true;
}

/// Largest by smallest eigenvalue of a symmetric matrix, its diagonal scaled to 1; ∞ where that is singular.
template <class Real>
double condition_of(const Matrix<Real>& A) {
  const Vector<Real> values = scaled_spectrum(A).values;
  const double least = values[0], largest = values[values.size() - 1];
  return least > 0 ? largest / least : std::numeric_limits<double>::infinity();
}

/// The same where A's smallest eigenvalue is lost in A's rounding: it is 1/(the largest one of A⁻¹ = T G⁻¹ Tᵀ).
template <class Real>
double condition_of(const Matrix<Real>& A, const FeatureBasis<Real>& basis) {
  if (!basis.repeated) return condition_of(A);
  const PivotedCholesky<Real> factor(basis.gram, 0);
  if (factor.rank < basis.rank()) return std::numeric_limits<double>::infinity();
  const ScaledSpectrum spectrum = scaled_spectrum(A);
  Matrix<Real> rows = basis.T, solved(basis.rank(), A.rows());
  for (Index k = 0; k < A.rows(); ++k) {
    rows.row(k) /= spectrum.scale[k];
    solved.col(k) = factor.solve(rows.row(k).transpose());
  }
  const Matrix<Real> inverse = rows * solved;
  const Eigen::SelfAdjointEigenSolver<Matrix<Real>> solver(inverse, Eigen::EigenvaluesOnly);
  return spectrum.values[A.rows() - 1] * solver.eigenvalues()[A.rows() - 1];
}

/// Of A + ridge I.
template <class Real>
double condition_of(const Matrix<Real>& A, const FeatureBasis<Real>& basis, double ridge) {
  if (ridge > 0) {
    Matrix<Real> raised = A;
    for (Index k = 0; k < A.rows(); ++k) raised(k, k) += ridge;
    return condition_of(raised);
  }
  return basis.rank() < A.rows() ? std::numeric_limits<double>::infinity() : condition_of(A, basis);
}

/// Goes on from θ by steps that the gradient at θ gives, until they are rounding. `remaining` is the last, not gone.
template <class Evaluate, class Step, class Real>
void refine(Evaluate evaluate, const Loss& loss, const Step& step, Vector<Real>& theta, Vector<Real>& remaining) {
  double before = std::numeric_limits<double>::infinity();
  for (int turn = 0;; ++turn) {
    evaluate(theta);
    remaining = step(theta, loss.gradient);
    double change = 0;  // each number of θ by its own size: parameters may have any unit
    for (Index k = 0; k < theta.size(); ++k)
      if (remaining[k] != 0) change = std::max(change, std::abs(remaining[k] / theta[k]));
    if (!(change > 1e-14 && change <= 0.5 * before) || turn == 5) return;
    before = change;
    theta += remaining;
  }
}

/// The features' basis on the data, its null space in few parameters a direction.
template <class T, class Real>
FeatureBasis<Real> basis_on(FeatureGram<T>& gram, const Matrix<Real>& A, double tolerance) {
  const auto gram_of = [&](Matrix<Real>& columns) {
    const Matrix<T> rounded = columns.template cast<T>();  // the product is that of what is multiplied
    columns = rounded.template cast<double>();
    return Matrix<Real>(gram.mean(0, rounded));
  };
  FeatureBasis<Real> basis = feature_basis(A, gram_of, tolerance, std::numeric_limits<T>::epsilon());
  basis.null = sparse_in_units_of(A, basis.null);
  return basis;
}

/// Lists the directions that the data leave open. Whether the loss, which is linear along them, is constant there.
template <class Real>
bool list_null_directions(const Matrix<Real>& null, double tolerance, const std::vector<std::string>& names,
                          ClosedFormOutcome& result) {
  bool bounded = true;
  for (Index k = 0; k < null.cols(); ++k) {
    const Vector<Real> direction = null.col(k);
    result.null_directions.push_back({direction, direction.dot(result.A * direction), describe(direction, names)});
    const Vector<Real> terms = direction.cwiseProduct(result.b);
    bounded = bounded && std::abs(terms.sum()) <= std::sqrt(tolerance) * terms.cwiseAbs().sum();
  }
  return bounded;
}

/// A model that is affine in θ, with an objective, whatever their types are.
template <class T>
struct LinearProblem {
  FormulaOf formula;
  objective::LossFunction<T> loss;
  std::vector<std::string> names = {};  ///< of the numbers of θ
  bool takes_sigma = false;             ///< what noise it has, the objective alone knows
};

/// A and b are those of the data, `loss` is the problem's where evaluate was last. The answer.
template <class T, class Evaluate, class Real = double>
Vector<Real> solve_system(LinearProblem<T>& problem, FeatureGram<T>& gram, double ridge, Evaluate evaluate,
                          const Loss& loss, ClosedFormOutcome& result) {
  const Matrix<Real>& A = result.A;
  const double tolerance = rank_tolerance<T>(A.rows()), little = std::is_same_v<T, float> ? 1e-2 : 1e-6;
  const FeatureBasis<Real> basis = basis_on(gram, A, tolerance);
  result.rank = basis.rank();
  const bool bounded = list_null_directions(basis.null, tolerance, problem.names, result);
  result.status = ridge > 0 || result.rank == A.rows() ? ClosedFormStatus::solved
                  : bounded                            ? ClosedFormStatus::rank_deficient
                                                       : ClosedFormStatus::unbounded;
  result.condition = condition_of(A, basis, ridge);
  const NewtonStep<Real> step(basis, ridge, tolerance);
  Vector<Real> theta = step(Vector<Real>::Zero(A.rows()), result.b);
  refine(evaluate, loss, step, theta, result.remaining_step);
  problem.loss.evaluate({}, false, result.loss);
  const auto little_changes = [&] {
    return problem.takes_sigma || changes_score_little<T, Real>(problem.loss.bound(), theta, result.remaining_step,
                                                                problem.loss.ranked_data(), little);
  };
  if (result.status != ClosedFormStatus::unbounded && (!step.solvable() || !little_changes()))
    result.status = ClosedFormStatus::inaccurate;
  return theta;
}

/// θ* where A and b are finite, else `own`.
template <class T>
Eigen::VectorXd solve(LinearProblem<T>& problem, const Eigen::VectorXd& own, double ridge, ClosedFormOutcome& result) {
  FeatureGram<T> gram(problem.formula, problem.loss.objective(), problem.loss.ranked_data());
  result.A = gram.mean(0);
  Loss loss;
  const auto evaluate = [&](const Eigen::VectorXd& theta) {
    problem.loss.bind(theta);
    problem.loss.evaluate({}, true, loss);
  };
  evaluate(Eigen::VectorXd::Zero(own.size()));
  result.b = loss.gradient;
  result.c = loss.value;
  result.status = ClosedFormStatus::non_finite;
  Eigen::VectorXd theta = own;
  if (result.A.allFinite() && result.b.allFinite() && std::isfinite(result.c)) {
    theta = solve_system(problem, gram, ridge, evaluate, loss, result);
  } else {
    evaluate(own);
    problem.loss.evaluate({}, false, result.loss);
  }
  result.loss.gradient = loss.gradient;
  return theta;
}

template <class T, class M, class O>
void solve(const O& objective, MatrixView<T> data, const ClosedFormOptions& options, ClosedForm<M>& result) {
  const M& model = result.model;
  const FormulaOf formula = formula_of(model);
  const Communicator& communicator = options.communicator;
  const Communication before = communicator.communication();
  ranks::on_ranks(communicator, [&] {
    ranks::agree(communicator, [&] {
      options.validate();
      require_linear(formula.record);
      extend::require(
          objective.half_squared_score(),
          {"closed_form needs a loss that is half the squared score plus what is linear in the score and the "
           "curvature; this objective's options make it another (sliced_score_matching: set exact_norm)"});
    });
    std::vector<ranks::Common> facts = objective::common_facts<T>(model, data.rows());
    facts.push_back({"ClosedFormOptions: ridge", scorematch::detail::text(options.ridge)});
    ranks::require_same(communicator, facts);
    const ranks::Shards shards(communicator, data.cols());
    LinearProblem<T> problem{formula, objective::loss_function<T>(model, objective, data, shards),
                             parameter_names(model), extend::takes_sigma(model)};
    result.model.set_parameters(solve(problem, model.parameters(), options.ridge, result));
  });
  result.communication = communicator.communication().since(before);
}

}  // namespace fitting

/// Minimises the loss of a model that is affine in θ, exactly:
///
///   auto energy = sm::energy_model(2, [](auto x, auto theta) {
///     return dot(theta("a", 2), square(square(x))) + theta("b") * x[0] * x[1] - dot(theta("c", 2), x);
///   });
///   auto fit = sm::closed_form(energy, sm::implicit_score_matching{}, data);   // status, θ*, A, b, rank, condition
///
/// Energies and scores from formulas; explicit, implicit and denoising score matching, and sliced with the exact norm;
/// noise and projections as frozen ones are, at draw 0. X: d × N, one column per sample, in float or double (sums are
/// in double). Reproducible: the same bits for any number of threads.
///
/// A rank-deficient or unbounded system is a status, with the directions of θ that the data leave open by name; a ridge
/// makes every system solvable. `solved` does not depend on the units of the data, nor on their origin: where rounding
/// leaves too little, the status is `inaccurate`. Throws std::invalid_argument, with the operation and the parameter,
/// for a model that is not affine in θ (is_linear_in_parameters asks beforehand); for a model without parameters; for
/// ridge < 0; for data as in `loss`.
template <class M, class O, class Derived>
ClosedForm<M> closed_form(const M& model, const O& objective, const Eigen::MatrixBase<Derived>& X,
                          const ClosedFormOptions& options = {}) {
  constexpr bool objective_known = requires {
    { objective.half_squared_score() } -> std::same_as<bool>;
  };
  static_assert(fitting::MayBeLinear<M>,
                "closed_form needs a model from a formula (energy_model, score_model): only a formula's record proves "
                "that it is linear in its parameters");
  static_assert(objective_known,
                "closed_form needs an objective with  bool half_squared_score() const,  true where its loss is half "
                "the squared score plus what is linear in the score and the curvature");
  ClosedForm<M> result{{}, model};
  if constexpr (fitting::MayBeLinear<M> && objective_known)
    fitting::solve<typename Derived::Scalar>(objective, X.derived(), options, result);
  return result;
}

}  // namespace scorematch
