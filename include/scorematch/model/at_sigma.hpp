// A noise-conditional model at one noise level: an ordinary model, to be sampled or looked at.
#pragma once

#include <optional>
#include <utility>

#include "scorematch/check.hpp"
#include "scorematch/model/bound_model.hpp"
#include "scorematch/model/decorator.hpp"

namespace scorematch {

namespace detail {

/// s(x) = s_θ(x, σ) at a fixed σ, and a fixed class where there are classes.
template <class T>
class BoundAtSigma : public extend::BoundDecorator<T> {
  using extend::BoundDecorator<T>::inner_;

 public:
  struct Workspace {
    extend::Room inner;
    extend::Points<T> points;
  };

  BoundAtSigma(extend::BoundModel<T> bound, double sigma, int label)
      : extend::BoundDecorator<T>(std::move(bound)), sigma_(static_cast<T>(sigma)), label_(label) {}

  void evaluate(const extend::Points<T>& points, Workspace& w, extend::ScoreValues<T>& values) const {
    inner_.evaluate(with_sigma(points, w), w.inner, values);
  }

  void pull_back(const extend::Points<T>&, Workspace& w, const extend::ScoreAdjoints<T>& bar,
                 Eigen::VectorXd& sums) const {
    inner_.pull_back(w.points, w.inner, bar, sums);
  }

  void energy(const extend::Points<T>& points, Workspace& w, Vector<T>& f) const {
    inner_.energy(with_sigma(points, w), w.inner, f);
  }

  void energy_and_score(const extend::Points<T>& points, Workspace& w, Vector<T>& f, Matrix<T>& S) const {
    inner_.energy_and_score(with_sigma(points, w), w.inner, f, S);
  }

  void pull_back_energy(const extend::Points<T>& points, Workspace& w, const Vector<T>& weights,
                        Eigen::VectorXd& sums) const {
    inner_.pull_back_energy(with_sigma(points, w), w.inner, weights, sums);
  }

 private:
  const extend::Points<T>& with_sigma(const extend::Points<T>& points, Workspace& w) const {
    w.points = points;
    w.points.sigma.setConstant(points.X.rows(), sigma_);
    w.points.label.setConstant(points.X.rows(), label_);
    return w.points;
  }

  T sigma_;
  int label_;
};

}  // namespace detail

/// A model at one noise level and class; made by at_sigma.
template <detail::AnyModel M>
class AtSigma : public extend::ModelDecorator<M> {
 public:
  /// For at_sigma, which checks the options.
  AtSigma(M model, double sigma, int label)
      : extend::ModelDecorator<M>(std::move(model)), sigma_(sigma), label_(label) {}

  /// 0: its class is fixed.
  Index classes() const { return 0; }
  /// false: its noise level is fixed.
  bool takes_sigma() const { return false; }
  /// The noise level, in the data's units.
  double sigma() const { return sigma_; }
  /// The class, −1 for none.
  int label() const { return label_; }

  /// The model at its present θ, in the arithmetic T: for generic code.
  template <class T>
  auto at() const {
    return detail::BoundAtSigma<T>(detail::bind<T>(this->model_), sigma_, label_);
  }

 private:
  double sigma_;
  int label_;
};

/// Fixes the noise level of a model whose formula is f(x, sigma, theta), or of a class that has score(X, sigma, S):
///   sm::sample(sm::at_sigma(fit.model, 0.3), sm::langevin{.step = 0.02});
/// and its class, where it has classes: from 0 on, or −1 for none (if it has learned without labels, too).
/// Throws std::invalid_argument unless sigma > 0, and the model takes a sigma and has that class.
template <detail::AnyModel M>
AtSigma<M> at_sigma(const M& model, double sigma, std::optional<int> label = {}) {
  extend::require_positive(sigma, "at_sigma: sigma");
  extend::require(extend::takes_sigma(model),
                  {"at_sigma fixes the noise level of a model that takes one, and this one takes no sigma: "
                   "it can be used as it is"});
  const Index classes = extend::classes_of(model);
  if (classes > 0)
    extend::require(label && *label >= -1 && *label < classes,
                    {"at_sigma: label is ", label ? detail::text(*label) : "missing", "; the model has ", classes,
                     " classes, so it must be from 0 to ", classes - 1, ", or -1 for none"});
  else
    extend::require(!label || *label == -1,
                    {"at_sigma: label is ", label.value_or(0), ", but the model's formula takes no label"});
  return AtSigma<M>(model, sigma, label.value_or(-1));
}

}  // namespace scorematch
