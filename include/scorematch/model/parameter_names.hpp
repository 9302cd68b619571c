// Names for single numbers of θ, and for directions in its space: what closed forms and standard errors report by.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "scorematch/check.hpp"

namespace scorematch {

/// A name for each number of θ, in its order, counted from 0: "a", "v[2]", "W(1,0)"; "theta[3]" where the model has no
/// named parameters.
template <class M>
std::vector<std::string> parameter_names(const M& model) {
  std::vector<std::string> names;
  if constexpr (requires { model.named_parameters(); }) {
    for (const auto& block : model.named_parameters())
      for (Index k = 0; k < block.rows * block.cols; ++k)
        names.push_back(block.rows * block.cols == 1 ? block.name
                        : block.cols == 1            ? detail::text(block.name, '[', k, ']')
                                          : detail::text(block.name, '(', k % block.rows, ',', k / block.rows, ')'));
  } else if constexpr (requires { model.model().parameters(); }) {
    names = parameter_names(model.model());
  } else {
    const Index count = static_cast<Index>(Eigen::VectorXd(model.parameters()).size());
    for (Index k = 0; k < count; ++k) names.push_back(detail::text("theta[", k, ']'));
  }
  return names;
}

/// A direction in the space of θ along which the data say little or nothing.
struct ParameterDirection {
  Eigen::VectorXd direction;  ///< of length 1
  double curvature = 0;       ///< of the loss along it, directionᵀ H direction
  std::string text = {};      ///< its largest components: "0.707 a − 0.707 v[2]"
};

namespace fitting {

/// The components above a tenth of the largest, at most six.
inline std::string describe(const Eigen::VectorXd& direction, const std::vector<std::string>& names) {
  std::vector<Index> order;
  double largest = 0;
  for (const double weight : direction) largest = std::max(largest, std::abs(weight));
  for (Index k = 0; k < direction.size(); ++k)
    if (std::abs(direction[k]) >= 0.1 * largest) order.push_back(k);
  std::stable_sort(order.begin(), order.end(),
                   [&](Index a, Index b) { return std::abs(direction[a]) > std::abs(direction[b]) * (1 + 1e-9); });
  if (order.size() == 1) return names[static_cast<std::size_t>(order.front())];
  std::string all;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i == 6) return all + " …";
    const double weight = direction[order[i]];
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.3g", std::abs(weight));
    all += i == 0 ? (weight < 0 ? "−" : "") : (weight < 0 ? " − " : " + ");
    all += detail::text(digits, ' ', names[static_cast<std::size_t>(order[i])]);
  }
  return all;
}

}  // namespace fitting

}  // namespace scorematch
