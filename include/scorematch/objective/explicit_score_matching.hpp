// Explicit score matching: the target's score is known at the samples (forces from a simulation, say).
#pragma once

#include <type_traits>

#include "scorematch/callable.hpp"
#include "scorematch/objective/loss.hpp"

namespace scorematch {

/// J = ½ E‖∇ log p(x) − s(x)‖² (the study note's equation 1.26). The target ∇ log p is
///   a d × N matrix, a column for each sample of the data:      sm::explicit_score_matching{forces}
///   or a callable S = target(X) on d × B matrices of double:   sm::explicit_score_matching{[](const Eigen::MatrixXd&
///   X) { … }}
/// Throws std::invalid_argument if a matrix has another shape than the data or a non-finite entry (with its column).
template <class Target>
struct explicit_score_matching {
  Target target;

  static constexpr bool is_matrix = requires { typename Target::PlainObject; };  // Eigen's; a callable has none

  template <class T>
  struct Notes {
    Matrix<T> target;  ///< B × d
  };

  void validate() const {}

  void validate_for(Index dimension, Index samples) const {
    if constexpr (is_matrix) {
      require(target.rows() == dimension && target.cols() == samples,
              {"the target of explicit_score_matching is ", target.rows(), " × ", target.cols(), "; the data are ",
               dimension, " × ", samples, ", and it must have a column for each sample"});
      require_samples<typename Target::Scalar>(target, dimension, "the target of explicit_score_matching");
    }
  }

  bool deterministic() const { return true; }
  bool half_squared_score() const { return true; }
  std::array<const char*, 1> term_names() const { return {"half squared distance"}; }

  template <class T>
  void prepare(const Samples<T>& samples, Points<T>& points, Notes<T>& notes) const {
    points.X = samples.X;
    points.along = Along::none;
    if constexpr (is_matrix) {
      notes.target.resize(samples.X.rows(), samples.X.cols());
      for (Index i = 0; i < samples.X.rows(); ++i)
        notes.target.row(i) = target.col(samples.index[i]).transpose().template cast<T>();
    } else {
      static_assert(returns_numbers<const Target&, Eigen::MatrixXd>,
                    "a target of explicit_score_matching returns an Eigen expression, whose numbers are gone once it "
                    "has returned: state the type, [](const Eigen::MatrixXd& X) -> Eigen::MatrixXd { … }");
      const Eigen::MatrixXd S = target(Eigen::MatrixXd(samples.X.transpose().template cast<double>()));
      require(S.rows() == samples.X.cols() && S.cols() == samples.X.rows(),
              {"the target of explicit_score_matching returned ", S.rows(), " × ", S.cols(), " for ", samples.X.cols(),
               " × ", samples.X.rows(), " points; it must return a column for each"});
      notes.target = S.transpose().template cast<T>();
    }
  }

  template <class T>
  void score(const Samples<T>&, const Points<T>&, const Notes<T>& notes, const ScoreValues<T>& values,
             Losses<T>& losses) const {
    losses.bar.S = values.S - notes.target;
    losses.value = T(0.5) * losses.bar.S.rowwise().squaredNorm();
    losses.terms.col(0) = losses.value;
  }
};

template <class Derived>
requires std::is_base_of_v<Eigen::MatrixBase<Derived>, Derived> explicit_score_matching(const Derived&)
->explicit_score_matching<Matrix<typename Derived::Scalar>>;
template <class Target>
explicit_score_matching(const Target&) -> explicit_score_matching<Target>;

}  // namespace scorematch
