// Base of the models that are made of another one: they pass on all that they do not change.
#pragma once

#include <concepts>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/model/user_model.hpp"
#include "scorematch/named_parameter.hpp"

namespace scorematch {

namespace detail {

template <class M>
concept names_parameters = requires(const M& model) {
  { model.named_parameters() } -> std::convertible_to<std::vector<NamedParameter>>;
};

/// The part of a combined model's θ that belongs to one of its models: all of a library's model, all of a user's class
/// that can be fitted, and nothing of one without pull_back, which stays as it is.
template <class M>
Eigen::VectorXd trained_parameters(const M& model) {
  if constexpr (Model<M> || extend::has_trained_parameters<M>)
    return model.parameters();
  else
    return {};
}

template <class M>
void set_trained_parameters(M& model, const Eigen::VectorXd& theta) {
  if constexpr (Model<M> || extend::has_trained_parameters<M>) model.set_parameters(theta);
}

/// Names for all of a part's θ: its own, or none needed.
template <class M>
concept fully_named = names_parameters<M> || !(Model<M> || extend::has_trained_parameters<M>);

template <class M>
std::vector<NamedParameter> names_of(const M& model) {
  if constexpr (names_parameters<M>)
    return model.named_parameters();
  else
    return {};
}

/// The names of a part's θ, as far as it has any.
template <class M>
std::vector<std::string> known_names(const M& model) {
  std::vector<std::string> names;
  if constexpr (requires { model.known_names(); })
    names = model.known_names();
  else
    for (const NamedParameter& parameter : names_of(model)) names.push_back(parameter.name);
  return names;
}

inline bool holds_name(const std::vector<NamedParameter>& all, const std::string& name) {
  for (const NamedParameter& parameter : all)
    if (parameter.name == name) return true;
  return false;
}

}  // namespace detail

namespace extend {

/// Base of a model that changes another one, the library's own or a user's class.
template <detail::AnyModel M>
class ModelDecorator {
 public:
  /// The members of a model, those of the inner one: a decorator writes anew the ones that it changes.
  ///@{
  static constexpr Abilities abilities = abilities_of<M>();

  Index dimension() const { return static_cast<Index>(model_.dimension()); }
  Index classes() const { return classes_of(model_); }
  bool takes_sigma() const { return scorematch::extend::takes_sigma(model_); }
  const M& model() const { return model_; }
  Eigen::VectorXd parameters() const { return detail::trained_parameters(model_); }
  void set_parameters(const Eigen::VectorXd& theta) { detail::set_trained_parameters(model_, theta); }
  std::vector<std::string> known_names() const { return detail::known_names(model_); }
  std::vector<NamedParameter> named_parameters() const requires detail::fully_named<M> {
    return detail::names_of(model_);
  }
  void set_named_parameters(const std::vector<NamedParameter>& all) requires detail::names_parameters<M> {
    model_.set_named_parameters(all);
  }
  ///@}

 protected:
  /// For the class that inherits: the inner model.
  ///@{
  explicit ModelDecorator(M model) : model_(std::move(model)) {}

  M model_;
  ///@}
};

}  // namespace extend

}  // namespace scorematch
