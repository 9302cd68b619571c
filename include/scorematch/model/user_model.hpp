// Users' classes as models: what they did not write is derived, by central differences of what they did.
//
//   given                    derived                                                cost a sample
//   gradient or score        Σ_v vᵀ(∂s/∂x)v along the axes or given directions      2 calls a direction
//   … and pull_back          ∂/∂θ of that curvature                                 2 pull_backs a direction
//
// Central differences with steps h = ε^{1/3} max(1, |x|) have a relative error near 1e-10 (ε: double precision). Users'
// classes work in double; float data are converted at this border, which is also where blocks are transposed.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "scorematch/check.hpp"
#include "scorematch/concepts.hpp"
#include "scorematch/model/bound_model.hpp"

namespace scorematch {

namespace detail {

/// A user's class (Energy or Score), bound at one θ.
template <class T, class M>
class UserScore {
  static constexpr bool is_energy = extend::has_gradient<M>;
  static constexpr double sign = is_energy ? -1 : 1;  // s = −∇f

 public:
  using Scalar = T;

  /// Everything here is d × B, in double.
  struct Workspace {
    Eigen::MatrixXd X, field, V, moved, other, weights;
    Eigen::VectorXd step, curvature, sigma;
  };

  explicit UserScore(const M& model) : model_(model) {}

  Index dimension() const { return static_cast<Index>(model_.dimension()); }
  Index block_size(extend::Along, Index) const { return 128; }
  Index sum_size() const { return parameter_count(); }

  /// 0 for a class that cannot be fitted: its parameters are its own affair.
  Index parameter_count() const {
    if constexpr (extend::has_trained_parameters<M>)
      return Eigen::VectorXd(model_.parameters()).size();
    else
      return 0;
  }

  void bind(const Eigen::VectorXd& theta) {
    if constexpr (extend::has_trained_parameters<M>) model_.set_parameters(theta);
  }

  void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) { gradient = sums; }

  void energy(const extend::Points<T>& points, Workspace& w, Vector<T>& f) const requires extend::has_energy<M> {
    w.X = points.X.transpose().template cast<double>();
    w.curvature.resize(w.X.cols());
    model_.energy(w.X, w.curvature);
    f = w.curvature.template cast<T>();
  }

  void energy_and_score(const extend::Points<T>& points, Workspace& w, Vector<T>& f,
                        Matrix<T>& S) const requires extend::has_energy<M> {
    energy(points, w, f);
    field(w, w.X, w.field);
    S = (sign * w.field.transpose()).template cast<T>();
  }

  void pull_back_energy(const extend::Points<T>& points, Workspace& w, const Vector<T>& weights,
                        Eigen::VectorXd& sums) const requires extend::has_energy<M> && extend::has_energy_pull_back<M> {
    w.X = points.X.transpose().template cast<double>();
    w.step = weights.template cast<double>();
    model_.pull_back_energy(w.X, w.step, sums);
  }

  void evaluate(const extend::Points<T>& points, Workspace& w, extend::ScoreValues<T>& values) const {
    w.X = points.X.transpose().template cast<double>();
    if constexpr (extend::has_score_at_sigma<M>) {
      extend::require(
          extend::has_score<M> || points.sigma.size() == points.X.rows(),
          {"the class's score takes sigma, but nothing here gives one: use an objective with a noise level, or "
           "generate for samples"});
      w.sigma = points.sigma.template cast<double>();
    }
    if (points.score || points.along != extend::Along::given) {
      field(w, w.X, w.field);
      values.S = (sign * w.field.transpose()).template cast<T>();
    } else {
      field(w, w.X, w.field);
    }
    if (points.along == extend::Along::none) return;
    w.curvature.setZero(w.X.cols());
    if (points.along == extend::Along::axes) {
      if constexpr (is_energy && extend::has_laplacian<M>) {
        model_.laplacian(w.X, w.curvature);
        w.curvature = -w.curvature;
      } else if constexpr (!is_energy && extend::has_trace<M>) {
        model_.trace(w.X, w.curvature);
      } else {
        for_each_direction(points, w, [&](Index) { add_curvature(w); });
      }
    } else {
      values.slopes.resize(points.X.rows(), points.directions);
      for_each_direction(points, w, [&](Index m) {
        values.slopes.col(m) = (sign * (w.V.array() * w.field.array()).colwise().sum()).transpose().template cast<T>();
        add_curvature(w);
      });
    }
    values.curvature = w.curvature.template cast<T>();
  }

  void pull_back(const extend::Points<T>& points, Workspace& w, const extend::ScoreAdjoints<T>& bar,
                 Eigen::VectorXd& sums) const {
    if constexpr (extend::has_pull_back<M>) {
      if (points.score || points.along != extend::Along::given) {
        w.weights = sign * bar.S.transpose().template cast<double>();
        model_.pull_back(w.X, w.weights, sums);
      }
      if (points.along == extend::Along::none) return;
      for_each_direction(points, w, [&](Index m) {
        if (points.along == extend::Along::given) {
          w.weights = sign * (w.V * bar.slopes.col(m).template cast<double>().asDiagonal());
          model_.pull_back(w.X, w.weights, sums);
        }
        // ∂θ c̄ vᵀ(∂s/∂x)v = d/dh ∂θ (c̄ v · s(x + h v))
        w.weights =
            sign * (w.V * (bar.curvature.template cast<double>().array() / (2 * w.step.array())).matrix().asDiagonal());
        w.moved = w.X + w.V * w.step.asDiagonal();
        model_.pull_back(w.moved, w.weights, sums);
        w.weights = -w.weights;
        w.moved = w.X - w.V * w.step.asDiagonal();
        model_.pull_back(w.moved, w.weights, sums);
      });
    }
  }

 private:
  // At X, the points themselves or moved ones: the same noise levels.
  void field(const Workspace& w, const Eigen::MatrixXd& X, Eigen::MatrixXd& F) const {
    F.resize(X.rows(), X.cols());
    if constexpr (is_energy) {
      model_.gradient(X, F);
    } else {
      if constexpr (extend::has_score_at_sigma<M>)
        if (!extend::has_score<M> || w.sigma.size() > 0) return model_.score(X, w.sigma, F);
      if constexpr (extend::has_score<M>) model_.score(X, F);
    }
  }

  // Sets w.V to each direction in turn, and w.step to its difference step.
  template <class Visit>
  void for_each_direction(const extend::Points<T>& points, Workspace& w, Visit visit) const {
    const Index d = w.X.rows(), B = w.X.cols(), count = points.along == extend::Along::axes ? d : points.directions;
    w.step.resize(B);
    for (Index m = 0; m < count; ++m) {
      if (points.along == extend::Along::axes) {
        w.V.setZero(d, B);
        w.V.row(m).setOnes();
      } else {
        w.V = points.V.middleCols(m * d, d).transpose().template cast<double>();
      }
      for (Index b = 0; b < B; ++b) {
        const double length = std::max(w.V.col(b).template lpNorm<Eigen::Infinity>(), 1e-300);
        w.step[b] = 6.0554544523933429e-06 /* ε^{1/3} */ *
                    std::max(1.0, w.X.col(b).template lpNorm<Eigen::Infinity>()) / length;
      }
      visit(m);
    }
  }

  // w.curvature += vᵀ(∂s/∂x)v
  void add_curvature(Workspace& w) const {
    if constexpr (is_energy && extend::has_hessian_vector<M>) {
      w.other.resize(w.X.rows(), w.X.cols());
      model_.hessian_vector(w.X, w.V, w.other);
      w.curvature -= (w.V.array() * w.other.array()).colwise().sum().matrix().transpose();
    } else {
      w.moved = w.X + w.V * w.step.asDiagonal();
      field(w, w.moved, w.other);
      w.curvature.array() += sign * (w.V.array() * w.other.array()).colwise().sum().transpose() / (2 * w.step.array());
      w.moved = w.X - w.V * w.step.asDiagonal();
      field(w, w.moved, w.other);
      w.curvature.array() -= sign * (w.V.array() * w.other.array()).colwise().sum().transpose() / (2 * w.step.array());
    }
  }

  M model_;
};

/// Any model that generic code accepts: the library's own, or a user's class.
template <class M>
concept AnyModel = Model<M> || EnergyClass<M> || ScoreClass<M>;

/// The same, with parameters that can be fitted.
template <class M>
concept AnyTrainableModel = Model<M> || TrainableEnergyClass<M> || TrainableScoreClass<M>;

/// What a fit returns: it holds a model, and is none.
template <class M>
concept HoldsModel = !Model<M> && !extend::has_dimension<M> && requires(const M& m) {
  m.model.parameters();
};

/// One sentence for each thing that a class lacks; entry points go on only where this is true, so that nothing else is
/// said.
template <class M>
constexpr bool check_model() {
  static_assert(!HoldsModel<M>, "this is the result of a fit, not a model: pass its member  model,  as in fit.model");
  if constexpr (!Model<M> && !HoldsModel<M>) {
    static_assert(extend::has_dimension<M>, "a class used as a model must provide  Eigen::Index dimension() const");
    static_assert(
        extend::has_gradient<M> || extend::has_score<M> || extend::has_score_at_sigma<M>,
        "a class used as a model must provide  void gradient(Eigen::Ref<const Eigen::MatrixXd> X, "
        "Eigen::Ref<Eigen::MatrixXd> G) const  "
        "(the gradient of its energy at every column of X), or  void score(X, S) const  with the same arguments");
    static_assert(std::copyable<M>, "a class used as a model must be copyable");
  }
  return AnyModel<M>;
}

/// The same for a class that is to be fitted.
template <class M>
constexpr bool check_trainable_model() {
  if constexpr (!Model<M> && !HoldsModel<M>) {
    static_assert(extend::has_parameters<M>,
                  "a class to be fitted must provide  Eigen::VectorXd parameters() const  and  "
                  "void set_parameters(const Eigen::VectorXd& theta)");
    static_assert(extend::has_pull_back<M>,
                  "a class to be fitted must provide  void pull_back(Eigen::Ref<const Eigen::MatrixXd> X, "
                  "Eigen::Ref<const Eigen::MatrixXd> W, "
                  "Eigen::Ref<Eigen::VectorXd> g) const,  which adds to g the derivative with respect to theta of the "
                  "sum over columns of W · "
                  "gradient(X) (or W · score(X))");
  }
  return check_model<M>() && AnyTrainableModel<M>;
}

/// A model at its present θ, in the arithmetic T: what generic code is written against.
template <class T, AnyModel M>
extend::BoundModel<T> bind(const M& model) {
  if constexpr (!Model<M>)
    return extend::BoundModel<T>(UserScore<T, M>(model));
  else if constexpr (std::same_as<decltype(model.template at<T>()), extend::BoundModel<T>>)
    return model.template at<T>();
  else
    return extend::BoundModel<T>(model.template at<T>());
}

}  // namespace detail

namespace extend {

/// The abilities of a model, by its type.
template <detail::AnyModel M>
constexpr Abilities abilities_of() {
  if constexpr (!Model<M>) {
    return {.energy = has_energy<M>, .energy_gradient = has_energy<M> && has_energy_pull_back<M>};
  } else if constexpr (requires { M::abilities; }) {
    return M::abilities;
  } else {
    using Bound = decltype(std::declval<const M&>().template at<double>());
    return {.energy = BoundEnergy<Bound, double>, .energy_gradient = BoundTrainableEnergy<Bound, double>};
  }
}

}  // namespace extend

namespace detail {

/// A model that also knows its energy.
template <class M>
concept KnowsEnergy = AnyModel<M> && extend::abilities_of<M>()
.energy;

}  // namespace detail

}  // namespace scorematch
