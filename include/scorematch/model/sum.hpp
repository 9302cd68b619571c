// Sums and multiples of models that are not formulas alone: a user's class and a formula, an energy and a score_model.
//
// Score and curvature are linear in the model, so that s = s_a + s_b and s = β s_a are a few lines on what is bound.
// model/algebra.hpp has the operators that make them.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/model/decorator.hpp"
#include "scorematch/model/user_model.hpp"

namespace scorematch {

namespace detail {

/// s = s_a + s_b and, where both know their energies, f = f_a + f_b. θ is that of a, then that of b.
template <class T>
class BoundSum {
 public:
  using Scalar = T;

  struct Workspace {
    extend::Room a, b;
    extend::ScoreValues<T> values;
    Vector<T> f;
    Matrix<T> S;
    Eigen::VectorXd a_sums, b_sums;
  };

  BoundSum(extend::BoundModel<T> a, extend::BoundModel<T> b) : a_(std::move(a)), b_(std::move(b)) {}

  extend::Abilities abilities() const { return a_.abilities() & b_.abilities(); }
  Index dimension() const { return a_.dimension(); }
  Index parameter_count() const { return a_.parameter_count() + b_.parameter_count(); }
  Index sum_size() const { return a_.sum_size() + b_.sum_size(); }
  Index block_size(extend::Along along, Index directions) const {
    return std::min<Index>(a_.block_size(along, directions), b_.block_size(along, directions));
  }
  void bind(const Eigen::VectorXd& theta) {
    a_.bind(theta.head(a_.parameter_count()));
    b_.bind(theta.tail(b_.parameter_count()));
  }

  void evaluate(const extend::Points<T>& points, Workspace& w, extend::ScoreValues<T>& values) const {
    a_.evaluate(points, w.a, values);
    b_.evaluate(points, w.b, w.values);
    if (points.score || points.along != extend::Along::given) values.S += w.values.S;
    if (points.along == extend::Along::given) values.slopes += w.values.slopes;
    if (points.along != extend::Along::none) values.curvature += w.values.curvature;
  }

  void pull_back(const extend::Points<T>& points, Workspace& w, const extend::ScoreAdjoints<T>& bar,
                 Eigen::VectorXd& sums) const {
    of_both(w, sums, [&](const extend::BoundModel<T>& part, extend::Room& room, Eigen::VectorXd& own) {
      part.pull_back(points, room, bar, own);
    });
  }

  void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) {
    Eigen::VectorXd a_sums = sums.head(a_.sum_size()), b_sums = sums.tail(b_.sum_size());
    Eigen::VectorXd a_gradient(a_.parameter_count()), b_gradient(b_.parameter_count());
    a_.finish(a_sums, a_gradient);
    b_.finish(b_sums, b_gradient);
    gradient.resize(a_gradient.size() + b_gradient.size());
    gradient << a_gradient, b_gradient;
  }

  void energy(const extend::Points<T>& points, Workspace& w, Vector<T>& f) const {
    a_.energy(points, w.a, f);
    b_.energy(points, w.b, w.f);
    f += w.f;
  }

  void energy_and_score(const extend::Points<T>& points, Workspace& w, Vector<T>& f, Matrix<T>& S) const {
    a_.energy_and_score(points, w.a, f, S);
    b_.energy_and_score(points, w.b, w.f, w.S);
    f += w.f;
    S += w.S;
  }

  void pull_back_energy(const extend::Points<T>& points, Workspace& w, const Vector<T>& weights,
                        Eigen::VectorXd& sums) const {
    of_both(w, sums, [&](const extend::BoundModel<T>& part, extend::Room& room, Eigen::VectorXd& own) {
      part.pull_back_energy(points, room, weights, own);
    });
  }

 private:
  // sums += what each part adds to its own.
  template <class Add>
  void of_both(Workspace& w, Eigen::VectorXd& sums, Add add) const {
    w.a_sums.setZero(a_.sum_size());
    w.b_sums.setZero(b_.sum_size());
    add(a_, w.a, w.a_sums);
    add(b_, w.b, w.b_sums);
    sums.head(w.a_sums.size()) += w.a_sums;
    sums.tail(w.b_sums.size()) += w.b_sums;
  }

  extend::BoundModel<T> a_, b_;
};

/// s = β s_a and, where a knows its energy, f = β f_a.
template <class T>
class BoundMultiple : public extend::BoundDecorator<T> {
  using extend::BoundDecorator<T>::inner_;

 public:
  struct Workspace {
    extend::Room inner;
    extend::ScoreAdjoints<T> bar;
    Vector<T> weights;
  };

  BoundMultiple(double beta, extend::BoundModel<T> a)
      : extend::BoundDecorator<T>(std::move(a)), beta_(static_cast<T>(beta)) {}

  void evaluate(const extend::Points<T>& points, Workspace& w, extend::ScoreValues<T>& values) const {
    inner_.evaluate(points, w.inner, values);
    if (points.score || points.along != extend::Along::given) values.S *= beta_;
    if (points.along == extend::Along::given) values.slopes *= beta_;
    if (points.along != extend::Along::none) values.curvature *= beta_;
  }

  void pull_back(const extend::Points<T>& points, Workspace& w, const extend::ScoreAdjoints<T>& bar,
                 Eigen::VectorXd& sums) const {
    w.bar.S = beta_ * bar.S;
    w.bar.slopes = beta_ * bar.slopes;
    w.bar.curvature = beta_ * bar.curvature;
    inner_.pull_back(points, w.inner, w.bar, sums);
  }

  void energy(const extend::Points<T>& points, Workspace& w, Vector<T>& f) const {
    inner_.energy(points, w.inner, f);
    f *= beta_;
  }

  void energy_and_score(const extend::Points<T>& points, Workspace& w, Vector<T>& f, Matrix<T>& S) const {
    inner_.energy_and_score(points, w.inner, f, S);
    f *= beta_;
    S *= beta_;
  }

  void pull_back_energy(const extend::Points<T>& points, Workspace& w, const Vector<T>& weights,
                        Eigen::VectorXd& sums) const {
    w.weights = beta_ * weights;
    inner_.pull_back_energy(points, w.inner, w.weights, sums);
  }

 private:
  T beta_;
};

}  // namespace detail

/// The sum of two models, each the library's own or a user's class. θ is that of a, then that of b; of a user's class
/// without pull_back it holds nothing, so that this part stays as it is in a fit.
template <detail::AnyModel A, detail::AnyModel B>
class ModelSum {
 public:
  /// Throws std::invalid_argument unless dimensions and classes agree and no name of a parameter occurs twice.
  ModelSum(A a, B b) : a_(std::move(a)), b_(std::move(b)) {
    extend::require(static_cast<Index>(a_.dimension()) == static_cast<Index>(b_.dimension()),
                    {"a model of dimension ", static_cast<Index>(a_.dimension()), " is combined with one of dimension ",
                     static_cast<Index>(b_.dimension()), "; they must agree"});
    extend::require(
        extend::classes_of(a_) == 0 || extend::classes_of(b_) == 0 || extend::classes_of(a_) == extend::classes_of(b_),
        {"a model of ", extend::classes_of(a_), " classes is combined with one of ", extend::classes_of(b_),
         "; they must agree"});
    const std::vector<std::string> names = detail::known_names(a_);
    for (const std::string& name : detail::known_names(b_))
      extend::require(std::find(names.begin(), names.end(), name) == names.end(),
                      {"the parameter \"", name, "\" occurs twice among the models to be combined; a name is one ",
                       "parameter, so give those of one model another name: named(\"prior\", model)"});
  }

  /// The members of a model, of both parts together.
  ///@{
  Index dimension() const { return static_cast<Index>(a_.dimension()); }
  Index classes() const { return std::max(extend::classes_of(a_), extend::classes_of(b_)); }
  bool takes_sigma() const { return scorematch::extend::takes_sigma(a_) || scorematch::extend::takes_sigma(b_); }
  static constexpr extend::Abilities abilities = extend::abilities_of<A>() & extend::abilities_of<B>();
  const A& first() const { return a_; }
  const B& second() const { return b_; }

  Eigen::VectorXd parameters() const {
    const Eigen::VectorXd a = detail::trained_parameters(a_), b = detail::trained_parameters(b_);
    Eigen::VectorXd theta(a.size() + b.size());
    theta << a, b;
    return theta;
  }
  ///@}

  /// Throws std::invalid_argument unless θ has the right size.
  void set_parameters(const Eigen::VectorXd& theta) {
    const Index a = detail::trained_parameters(a_).size(), b = detail::trained_parameters(b_).size();
    extend::require(theta.size() == a + b, {"theta has ", theta.size(), " numbers; this model has ", a + b});
    detail::set_trained_parameters<A>(a_, theta.head(a));
    detail::set_trained_parameters<B>(b_, theta.tail(b));
  }

  /// The names of those parameters that have one.
  std::vector<std::string> known_names() const {
    std::vector<std::string> names = detail::known_names(a_);
    for (std::string& name : detail::known_names(b_)) names.push_back(std::move(name));
    return names;
  }

  /// Where every part has names for all of its θ.
  std::vector<NamedParameter> named_parameters() const requires detail::fully_named<A> && detail::fully_named<B> {
    std::vector<NamedParameter> all = detail::names_of(a_);
    for (NamedParameter& parameter : detail::names_of(b_)) all.push_back(std::move(parameter));
    return all;
  }

  /// Throws std::invalid_argument, the model untouched, unless names and shapes are this model's.
  void set_named_parameters(
      const std::vector<NamedParameter>& all) requires detail::fully_named<A> && detail::fully_named<B> {
    const std::vector<NamedParameter> names = detail::names_of(a_);
    std::vector<NamedParameter> a, b;
    for (const NamedParameter& parameter : all)
      (detail::holds_name(names, parameter.name) ? a : b).push_back(parameter);
    ModelSum changed = *this;
    if constexpr (detail::names_parameters<A>) changed.a_.set_named_parameters(a);
    if constexpr (detail::names_parameters<B>)
      changed.b_.set_named_parameters(b);
    else
      extend::require(b.empty(),
                      {"a parameter \"", b.empty() ? "" : b.front().name, "\" is given that this model does not have"});
    *this = std::move(changed);
  }

  /// The model at its present θ, in the arithmetic T: for generic code.
  template <class T>
  auto at() const {
    return detail::BoundSum<T>(detail::bind<T>(a_), detail::bind<T>(b_));
  }

 private:
  A a_;
  B b_;
};

/// β times a model: the library's own or a user's class.
template <detail::AnyModel M>
class ModelMultiple : public extend::ModelDecorator<M> {
 public:
  /// Throws std::invalid_argument unless β is a finite number above 0.
  ModelMultiple(double beta, M model) : extend::ModelDecorator<M>(std::move(model)), beta_(beta) {
    extend::require_positive(beta, "beta");
  }

  /// The factor.
  double beta() const { return beta_; }

  /// The model at its present θ, in the arithmetic T: for generic code.
  template <class T>
  auto at() const {
    return detail::BoundMultiple<T>(beta_, detail::bind<T>(this->model_));
  }

 private:
  double beta_;
};

/// A model whose parameters are called prefix.NAME; one without names, a user's class, has one block, the prefix.
template <detail::AnyModel M>
class NamedModel : public extend::ModelDecorator<M> {
  using extend::ModelDecorator<M>::model_;

 public:
  /// The model with `prefix` before the names of its parameters.
  NamedModel(std::string prefix, M model) : extend::ModelDecorator<M>(std::move(model)), prefix_(std::move(prefix)) {}

  /// The names, with the prefix.
  std::vector<std::string> known_names() const {
    std::vector<std::string> names;
    for (const NamedParameter& parameter : named_parameters()) names.push_back(parameter.name);
    return names;
  }

  /// The blocks of θ, with the prefix.
  std::vector<NamedParameter> named_parameters() const {
    std::vector<NamedParameter> all = detail::names_of(model_);
    for (NamedParameter& parameter : all) parameter.name = prefix_ + "." + parameter.name;
    if constexpr (!detail::names_parameters<M>)
      if (const Eigen::VectorXd theta = this->parameters(); theta.size() > 0) all = {{prefix_, theta.size(), 1, theta}};
    return all;
  }

  /// Throws std::invalid_argument, the model untouched, unless names and shapes are this model's.
  void set_named_parameters(const std::vector<NamedParameter>& all) {
    std::vector<NamedParameter> inner = all;
    for (NamedParameter& parameter : inner) {
      const bool known = detail::holds_name(named_parameters(), parameter.name);
      extend::require(known, {"a parameter \"", parameter.name, "\" is given that this model does not have"});
      if constexpr (detail::names_parameters<M>) parameter.name = parameter.name.substr(prefix_.size() + 1);
    }
    if constexpr (detail::names_parameters<M>) {
      model_.set_named_parameters(inner);
    } else {
      const Index count = this->parameters().size();
      extend::require(count == 0 || (inner.size() == 1 && inner.front().values.size() == count),
                      {"the parameter \"", prefix_, "\" must be given, with ", count, " numbers"});
      if (count > 0) this->set_parameters(inner.front().values);
    }
  }

  /// The model at its present θ, in the arithmetic T: for generic code.
  template <class T>
  auto at() const {
    return detail::bind<T>(model_);
  }

 private:
  std::string prefix_;
};

}  // namespace scorematch
