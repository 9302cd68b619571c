// For tests of log densities: functions of recorded values as models, and their values. The compiled path:
// constrained_parameters.cpp.
#pragma once

#include <functional>
#include <limits>
#include <vector>

#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/values.hpp"

namespace fixtures {

using Values = std::vector<double>;
constexpr double pi = 3.141592653589793, infinity = std::numeric_limits<double>::infinity();

// One type for all functions, which compiles faster than a lambda each.
using Value = scorematch::formula::Value;
using Function = std::function<Value(const Value&)>;

// A function as a model, whose energy it is.
inline scorematch::EnergyModel model_of(scorematch::Index dimension, const Function& f) {
  return scorematch::energy_model(dimension, [&](Value x, scorematch::formula::Theta) { return f(x); });
}

// f at one point.
inline double at(const Function& f, const Values& x) {
  const Eigen::MatrixXd X = Eigen::Map<const Eigen::VectorXd>(x.data(), static_cast<scorematch::Index>(x.size()));
  return scorematch::energy_of(model_of(X.rows(), f), X)[0];
}

}  // namespace fixtures
