// closed_form: models that are affine in θ, solved instead of iterated.
//
// For such a model s = s₀ + Φ θ with Φ(x) d × p. Every loss that is ½‖s‖² plus something linear in s and the curvature
// (explicit, implicit, denoising; sliced with the exact norm) is then a quadratic function of θ (Hyvärinen 2007,
// "Some extensions of score matching", §4; exponential families):
//
//   J(θ) = ½ θᵀ A θ + bᵀ θ + c,    A = E[ΦᵀΦ],  b = ∇J(0),  c = J(0),    θ* = −A⁻¹ b
//
// Φ comes from the record of the features (formula/linear_form.hpp): one order-1 sweep along the axes for an energy
// (Φ_ik = −∂φ_k/∂x_i), an order-0 sweep for a score. A is accumulated by the library's own products, panel by panel on
// and above the diagonal.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "scorematch/evaluate/formula_workspace.hpp"
#include "scorematch/fit/parameter_names.hpp"
#include "scorematch/fit/symmetric_system.hpp"
#include "scorematch/formula/linear_form.hpp"
#include "scorematch/objective/loss.hpp"

namespace scorematch {

struct ClosedFormOptions {
  double ridge = 0;  ///< adds ½ ridge ‖θ‖² to the loss; ≥ 0

  void validate() const {
    require(std::isfinite(ridge) && ridge >= 0, {"ClosedFormOptions: ridge is ", ridge, "; it must be at least 0"});
  }
};

enum class ClosedFormStatus {
  solved,          ///< the one minimum
  rank_deficient,  ///< the data leave directions of θ open (null_directions): the shortest of the minima
  unbounded,       ///< the loss falls without bound along a null direction; θ is the minimum across them
  non_finite,      ///< A or b is not finite; θ is the model's own
};

inline const char* to_string(ClosedFormStatus status) {
  switch (status) {
    case ClosedFormStatus::solved:
      return "solved";
    case ClosedFormStatus::rank_deficient:
      return "rank-deficient";
    case ClosedFormStatus::unbounded:
      return "unbounded";
    case ClosedFormStatus::non_finite:
      return "non-finite";
  }
  return "";
}

/// J(θ) = ½ θᵀ A θ + bᵀ θ + c, its minimum, and how sure that minimum is.
template <class M>
struct [[nodiscard]] ClosedForm {
  M model;         ///< at θ*
  Loss loss = {};  ///< of `model` on the data, at the objective's draw 0, without the ridge; with its gradient Aθ* + b
  ClosedFormStatus status = ClosedFormStatus::solved;
  Eigen::MatrixXd A = {};  ///< p × p, without the ridge
  Eigen::VectorXd b = {};  ///< p
  double c = 0;            ///< the loss at θ = 0
  Index rank = 0;          ///< of A, to rounding, with its diagonal scaled to 1
  double condition = 0;    ///< of what was solved, A + ridge I, so scaled; ∞ where that is singular
  std::vector<ParameterDirection> null_directions =
      {};  ///< of A: the loss does not depend on θ along them, or is linear
};

namespace fitting {

/// Σ over samples of ΦᵀΦ for the points at which an objective asks for the score.
template <class T, class O>
class FeatureGram {
  using Gemm = evaluate::Gemm<T>;

 public:
  FeatureGram(const formula::Record& record, bool is_energy, const O& objective, MatrixView<T> data, double sigma,
              int label)
      : features_(formula::features_of(record)),
        part_(features_),
        objective_(objective),
        data_(data),
        count_(record.parameter_count()),
        is_energy_(is_energy),
        sigma_(sigma),
        label_(label) {
    part_.bind(Eigen::VectorXd(0));
  }

  /// p × p, the mean over samples, at this draw of the objective's noise.
  Eigen::MatrixXd mean(std::uint64_t draw) {
    draw_ = draw;
    constexpr Index lanes = simd::width<simd::Lanes<T>>;
    const Index d = data_.rows(), N = data_.cols(), p = count_;
    const evaluate::Jets jets{0, is_energy_ ? static_cast<int>(evaluate::chunk_of(d)) : 0};
    const Index block = std::min(block_size(jets), N), padded = (block + lanes - 1) / lanes * lanes;
    const Index blocks = (N + block - 1) / block;
    const Index most_runs = std::max<Index>(8, std::min<Index>(64, (Index(1) << 24) / (p * p)));
    const Index per_run = (blocks + most_runs - 1) / most_runs, runs = (blocks + per_run - 1) / per_run;
    Index size = 0;
    for (Index row = 0; row < p; row += Gemm::panel) size += std::min(Gemm::panel, p - row) * (p - row);
    Eigen::VectorXd total = Eigen::VectorXd::Zero(size);
    evaluate::PerThread<State> states;
    evaluate::for_each_piece(
        runs, states, [&](State& state) { state.sums.resize(size); },
        [&](State& state, Index run) {
          state.sums.setZero();
          for (Index b = run * per_run; b < std::min(blocks, (run + 1) * per_run); ++b)
            add_block(state, jets, b * block, std::min(block, N - b * block), padded);
        },
        [](State&, Index) {}, size,
        [&](State& state, Index, Index first, Index count) {
          for (Index i = first; i < first + count; ++i) total[i] += state.sums[i];
        });
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
    Samples<T> samples;
    Points<T> points;
    typename O::template Notes<T> notes;
    Eigen::VectorXd sums;
    Matrix<T> masked;
    evaluate::Buffer<T> room;
  };

  Index block_size(evaluate::Jets jets) const { return evaluate::block_size<T>(features_, jets); }

  void add_block(State& s, evaluate::Jets jets, Index first, Index count, Index rows) {
    objective::gather_samples(data_, {}, first, count, rows, draw_, s.samples);
    objective_.prepare(s.samples, s.points, s.notes);
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
    const Index p = count_;
    const T* phi = replay.result(column, row);
    Index stride = p > 1 ? replay.result(column + 1, row) - phi : 0, tall = height * rows;
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
  const O& objective_;
  MatrixView<T> data_;
  Index count_;
  bool is_energy_;
  double sigma_;  ///< 0: the objective's
  int label_;     ///< beside a sigma of its own
  std::uint64_t draw_ = 0;
};

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

template <class T, MayBeLinear M, class O>
Eigen::MatrixXd mean_feature_gram(const M& model, const O& objective, MatrixView<T> data, std::uint64_t draw = 0) {
  if constexpr (FromFormula<M>)
    return FeatureGram<T, O>(model.record(), KnowsEnergy<M, T>, objective, data, 0, -1).mean(draw);
  else
    return FeatureGram<T, O>(model.model().record(), KnowsEnergy<M, T>, objective, data, model.sigma(), model.label())
        .mean(draw);
}

/// Rounding of A, relative to its largest eigenvalue once its diagonal is 1: of the sums, and of float features.
template <class T>
double rank_tolerance(Index p) {
  return 8 * static_cast<double>(p) * std::numeric_limits<double>::epsilon() +
         (std::is_same_v<T, float> ? 64.0 * std::numeric_limits<float>::epsilon() : 0);
}

template <class T, class M, class O>
void solve(const O& objective, MatrixView<T> data, const ClosedFormOptions& options, ClosedForm<M>& result) {
  options.validate();
  const Index p = static_cast<Index>(result.model.parameters().size());
  auto function = objective::loss_function<T>(result.model, objective, data);
  require(objective.half_squared_score(),
          {"closed_form needs a loss that is half the squared score plus what is linear in the score and the "
           "curvature; this objective's options make it another (sliced_score_matching: set exact_norm)"});
  result.A = mean_feature_gram<T>(result.model, objective, data);
  Loss at_zero;
  function.bind(Eigen::VectorXd::Zero(p));
  function.evaluate({}, true, at_zero);
  result.b = at_zero.gradient;
  result.c = at_zero.value;
  Eigen::VectorXd theta = result.model.parameters();
  if (result.A.allFinite() && result.b.allFinite() && std::isfinite(result.c)) {
    const double tolerance = rank_tolerance<T>(p);
    SystemSolution solution = solve_semi_definite(result.A, result.b, tolerance);
    result.rank = solution.rank;
    result.status = solution.rank == p ? ClosedFormStatus::solved
                    : solution.bounded ? ClosedFormStatus::rank_deficient
                                       : ClosedFormStatus::unbounded;
    const std::vector<std::string> names = parameter_names(result.model);
    const DependentMatrix<M>& null = solution.null;
    for (Index k = 0; k < null.cols(); ++k) {
      const DependentVector<M> direction = null.col(k);
      result.null_directions.push_back({direction, direction.dot(result.A * direction), describe(direction, names)});
    }
    if (options.ridge > 0) {
      Eigen::MatrixXd raised = result.A;
      for (Index k = 0; k < p; ++k) raised(k, k) += options.ridge;
      solution = solve_semi_definite(raised, result.b, tolerance);
      result.status = ClosedFormStatus::solved;
    }
    result.condition = solution.condition;
    theta = solution.theta;
  } else {
    result.status = ClosedFormStatus::non_finite;
  }
  result.model.set_parameters(theta);
  function.bind(theta);
  function.evaluate({}, false, result.loss);
  result.loss.gradient = result.A * theta + result.b;
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
/// noise and projections as frozen ones are, at draw 0. X: d × N, a column a sample, in float or double (sums are in
/// double). Reproducible: the same bits for any number of threads.
///
/// A rank-deficient or unbounded system is a status, with the directions of θ that the data leave open by name; a ridge
/// makes every system solvable. Throws std::invalid_argument, with the operation and the parameter, for a model that is
/// not affine in θ (is_linear_in_parameters asks beforehand); for a model without parameters; for ridge < 0; for data
/// as in `loss`.
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
  ClosedForm<M> result{.model = model};
  if constexpr (fitting::MayBeLinear<M> && objective_known)
    fitting::solve<typename Derived::Scalar>(objective, X.derived(), options, result);
  return result;
}

}  // namespace scorematch
