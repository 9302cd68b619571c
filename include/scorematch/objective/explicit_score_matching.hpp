// Explicit score matching: the target's score is known at the samples (forces from a simulation, say).
#pragma once

#include <array>
#include <memory>
#include <type_traits>
#include <utility>

#include "scorematch/callable.hpp"
#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/loss/loss.hpp"

namespace scorematch {

namespace objective {

/// A model that is asked for its score block by block.
template <class M>
struct TargetModel {
  template <class T>
  struct State {
    std::unique_ptr<const extend::BoundModel<T>> bound;
    extend::Room workspace;
    extend::Points<T> points;
    extend::ScoreValues<T> values;
  };

  template <class T>
  static void score(const M& model, const Matrix<T>& X, State<T>& state, Matrix<T>& target) {
    if (!state.bound) state.bound = std::make_unique<const extend::BoundModel<T>>(detail::bind<T>(model));
    const Index B = X.rows();  // models take whole registers
    evaluate::gather_columns(X.transpose(), 0, B, evaluate::padded_rows<T>(B), state.points.X);
    state.bound->evaluate(state.points, state.workspace, state.values);
    target = state.values.S.topRows(B);
  }
};
struct NoTargetModel {
  template <class T>
  struct State {};
};

}  // namespace objective

/// J = ½ E‖∇ log p(x) − s(x)‖² (the study note's equation 1.26). The target ∇ log p is
///   a d × N matrix, one column per sample of the data:         sm::explicit_score_matching{forces}
///   a model, whose score is the target:                        sm::explicit_score_matching{sm::gaussian(2)}
///   or a callable S = target(X) on d × B matrices of double:   sm::explicit_score_matching{[](const Eigen::MatrixXd&
///   X) { … }}
/// Throws std::invalid_argument if a matrix has another shape than the data or a non-finite entry (with its column),
/// and if a model has another dimension or takes sigma.
template <class Target>
struct explicit_score_matching {
  Target target;  ///< the matrix, model or callable

  /// Whether the target is a matrix: an Eigen object, which a callable is not.
  static constexpr bool is_matrix = requires { typename Target::PlainObject; };
  static constexpr bool is_model = !is_matrix && detail::AnyModel<Target>;  ///< Whether it is a model
  static_assert(is_matrix || is_model || std::is_invocable_v<const Target&, const Eigen::MatrixXd&>,
                "the target of explicit_score_matching must be a d × N matrix, a model, or a callable that takes a "
                "const Eigen::MatrixXd& (d × B) and returns one");
  /// For the library: how a model is asked for its score.
  using TargetModel = std::conditional_t<is_model, objective::TargetModel<Target>, objective::NoTargetModel>;

  /// Handed from prepare to score.
  template <class T>
  struct Notes {
    Matrix<T> target;                               ///< B × d
    typename TargetModel::template State<T> model;  ///< the bound target, where it is a model
  };

  /// The members of an Objective, as the role says of each (concepts.hpp).
  ///@{
  void validate() const {
    if constexpr (is_model)
      extend::require(
          !extend::takes_sigma(target) || extend::has_score<Target>,
          {"the target of explicit_score_matching is a model that takes sigma: fix one, at_sigma(model, 0.3)"});
  }

  void validate_for(Index dimension, Index samples) const {
    if constexpr (is_matrix) {
      extend::require(target.rows() == dimension && target.cols() == samples,
                      {"the target of explicit_score_matching is ", target.rows(), " × ", target.cols(),
                       "; the data are ", dimension, " × ", samples, ", and it must have a column for each sample"});
      extend::require_samples<typename Target::Scalar>(target, dimension, "the target of explicit_score_matching");
    }
    if constexpr (is_model)
      extend::require(static_cast<Index>(target.dimension()) == dimension,
                      {"the target of explicit_score_matching is a model of dimension ",
                       static_cast<Index>(target.dimension()), "; the data have ", dimension, " rows"});
  }

  bool deterministic() const { return true; }
  bool half_squared_score() const { return true; }
  std::array<const char*, 1> term_names() const { return {"half squared distance"}; }

  template <class T>
  void prepare(const extend::Samples<T>& samples, extend::Points<T>& points, Notes<T>& notes) const {
    points.X = samples.X;
    points.along = extend::Along::none;
    if constexpr (is_matrix) {
      notes.target.resize(samples.X.rows(), samples.X.cols());
      for (Index i = 0; i < samples.X.rows(); ++i)
        notes.target.row(i) = target.col(samples.index[i]).transpose().template cast<T>();
    } else if constexpr (is_model) {
      TargetModel::template score<T>(target, samples.X, notes.model, notes.target);
    } else {
      static_assert(detail::returns_numbers<const Target&, Eigen::MatrixXd>,
                    "a target of explicit_score_matching returns an Eigen expression, whose numbers are gone once it "
                    "has returned: state the type, [](const Eigen::MatrixXd& X) -> Eigen::MatrixXd { … }");
      const Eigen::MatrixXd S = target(Eigen::MatrixXd(samples.X.transpose().template cast<double>()));
      extend::require(S.rows() == samples.X.cols() && S.cols() == samples.X.rows(),
                      {"the target of explicit_score_matching returned ", S.rows(), " × ", S.cols(), " for ",
                       samples.X.cols(), " × ", samples.X.rows(), " points; it must return a column for each"});
      notes.target = S.transpose().template cast<T>();
    }
  }

  template <class T>
  void score(const extend::Samples<T>&, const extend::Points<T>&, const Notes<T>& notes,
             const extend::ScoreValues<T>& values, extend::Losses<T>& losses) const {
    losses.bar.S = values.S - notes.target;
    losses.value = T(0.5) * losses.bar.S.rowwise().squaredNorm();
    losses.terms.col(0) = losses.value;
  }
  ///@}
};

/// Copies a matrix or block; keeps a model or a callable as it is.
///@{
template <class Derived>
requires std::is_base_of_v<Eigen::MatrixBase<Derived>, Derived> explicit_score_matching(const Derived&)
->explicit_score_matching<Matrix<typename Derived::Scalar>>;
template <class Target>
explicit_score_matching(const Target&) -> explicit_score_matching<Target>;
///@}

}  // namespace scorematch
