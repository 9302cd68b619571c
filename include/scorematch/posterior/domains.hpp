// Where a parameter may lie, and the map to it from all of ℝⁿ: chains move in free numbers u, formulas and summaries
// read the parameter.
//
// A domain has
//   free, size                  how many free numbers there are, and how many numbers the parameter has
//   value(u)                    the parameter as values of a formula
//   log_jacobian(u)             log |∂value/∂u|, a number: p(u) = p(value(u)) exp(log_jacobian(u))
//   constrain(u), unconstrain(v, name)     the same map for plain numbers and its inverse, which throws outside
//   name_elements(name, names)  appends the parameter's elements' names
// `constrain` and `unconstrain` are plain loops: every program compiles them, and matrix expressions would take
// seconds. A further one is a struct here and an alternative of `AnyDomain` (layout.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "scorematch/posterior/correlation.hpp"

namespace scorematch::domain {

namespace engine {

/// Names for a block of n elements: NAME, or NAME[0] … NAME[n − 1].
inline void name_vector(const std::string& name, Index n, std::vector<std::string>& names) {
  for (Index i = 0; i < n; ++i) names.push_back(n == 1 ? name : detail::text(name, '[', i, ']'));
}

inline double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

/// A matrix of ones in the places below the diagonal, or on it as well: rows × cols.
inline auto ones_below(Index rows, Index cols, bool diagonal) {
  return Eigen::MatrixXd::NullaryExpr(
      rows, cols, [diagonal](Index i, Index j) { return j < i || (diagonal && j == i) ? 1.0 : 0.0; });
}

}  // namespace engine

/// All numbers: the map is the identity.
struct real {
  /// Of a domain: from `free` numbers u, value(u) and constrain(u) make the parameter's `size` numbers; unconstrain
  /// takes these back, and throws std::invalid_argument outside; log_jacobian(u) is log |∂value/∂u|.
  ///@{
  Index free = 1, size = free;

  template <class U>
  SCOREMATCH_INLINE auto value(const U& u) const {
    return u;
  }
  template <class U>
  SCOREMATCH_INLINE auto log_jacobian(const U& u) const {
    return 0.0 * u[0];
  }
  Eigen::VectorXd constrain(const Eigen::VectorXd& u) const { return u; }
  Eigen::VectorXd unconstrain(const Eigen::VectorXd& v, const std::string& name) const {
    for (Index i = 0; i < v.size(); ++i)
      extend::require(std::isfinite(v[i]), {"Layout: ", name, " has ", v[i], "; it must be finite"});
    return v;
  }
  void name_elements(const std::string& name, std::vector<std::string>& names) const {
    engine::name_vector(name, size, names);
  }
  ///@}
};

/// Above `low`: low + exp(u); log Jacobian Σ u.
struct above {
  /// Of a domain: from `free` numbers u, value(u) and constrain(u) make the parameter's `size` numbers; unconstrain
  /// takes these back, and throws std::invalid_argument outside; log_jacobian(u) is log |∂value/∂u|.
  ///@{
  double low = 0;
  Index free = 1, size = free;

  template <class U>
  SCOREMATCH_INLINE auto value(const U& u) const {
    return low + exp(u);
  }
  template <class U>
  SCOREMATCH_INLINE auto log_jacobian(const U& u) const {
    return sum(u);
  }
  Eigen::VectorXd constrain(const Eigen::VectorXd& u) const {
    Eigen::VectorXd v(size);
    for (Index i = 0; i < size; ++i) v[i] = low + std::exp(u[i]);
    return v;
  }
  Eigen::VectorXd unconstrain(const Eigen::VectorXd& v, const std::string& name) const {
    Eigen::VectorXd u(free);
    for (Index i = 0; i < free; ++i) {
      extend::require(std::isfinite(v[i]) && v[i] > low,
                      {"Layout: ", name, " has ", v[i], "; it must be a finite number above ", low});
      u[i] = std::log(v[i] - low);
    }
    return u;
  }
  void name_elements(const std::string& name, std::vector<std::string>& names) const {
    engine::name_vector(name, size, names);
  }
  ///@}
};

/// Between `low` and `high`: low + (high − low)/(1 + exp(−u)); log Jacobian Σ log(high − low) − log(1 + e^u) −
/// log(1 + e^−u).
struct interval {
  /// Of a domain: from `free` numbers u, value(u) and constrain(u) make the parameter's `size` numbers; unconstrain
  /// takes these back, and throws std::invalid_argument outside; log_jacobian(u) is log |∂value/∂u|.
  ///@{
  double low = 0, high = 1;
  Index free = 1, size = free;

  template <class U>
  SCOREMATCH_INLINE auto value(const U& u) const {
    return low + (high - low) * sigmoid(u);
  }
  template <class U>
  SCOREMATCH_INLINE auto log_jacobian(const U& u) const {
    return static_cast<double>(u.size()) * std::log(high - low) - sum(softplus(u)) - sum(softplus(-u));
  }
  Eigen::VectorXd constrain(const Eigen::VectorXd& u) const {
    Eigen::VectorXd v(size);
    for (Index i = 0; i < size; ++i) v[i] = low + (high - low) / (1 + std::exp(-u[i]));
    return v;
  }
  Eigen::VectorXd unconstrain(const Eigen::VectorXd& v, const std::string& name) const {
    Eigen::VectorXd u(free);
    for (Index i = 0; i < free; ++i) {
      extend::require(v[i] > low && v[i] < high,
                      {"Layout: ", name, " has ", v[i], "; it must be above ", low, " and below ", high});
      u[i] = std::log(v[i] - low) - std::log(high - v[i]);
    }
    return u;
  }
  void name_elements(const std::string& name, std::vector<std::string>& names) const {
    engine::name_vector(name, size, names);
  }
  ///@}
};

/// n ≥ 2 increasing numbers: v₀ = u₀, v_k = v_{k−1} + exp(u_k); log Jacobian Σ_{k≥1} u_k.
struct ordered {
  /// Of a domain: from `free` numbers u, value(u) and constrain(u) make the parameter's `size` numbers; unconstrain
  /// takes these back, and throws std::invalid_argument outside; log_jacobian(u) is log |∂value/∂u|.
  ///@{
  Index free = 2, size = free;

  template <class U>
  SCOREMATCH_INLINE auto value(const U& u) const {
    return engine::ones_below(size, size, true) * concat(u[0], exp(u.segment(1, free - 1)));
  }
  template <class U>
  SCOREMATCH_INLINE auto log_jacobian(const U& u) const {
    return sum(u.segment(1, free - 1));
  }
  Eigen::VectorXd constrain(const Eigen::VectorXd& u) const {
    Eigen::VectorXd v = u;
    for (Index k = 1; k < size; ++k) v[k] = v[k - 1] + std::exp(u[k]);
    return v;
  }
  Eigen::VectorXd unconstrain(const Eigen::VectorXd& v, const std::string& name) const {
    Eigen::VectorXd u = v;
    for (Index k = 0; k < size; ++k) {
      extend::require(
          std::isfinite(v[k]) && (k == 0 || v[k] > v[k - 1]),
          {"Layout: ", name, " has ", v[k], " at element ", k, "; its elements must be finite and increase"});
      if (k > 0) u[k] = std::log(v[k] - v[k - 1]);
    }
    return u;
  }
  void name_elements(const std::string& name, std::vector<std::string>& names) const {
    engine::name_vector(name, size, names);
  }
  ///@}
};

/// n ≥ 2 positive numbers whose sum is 1, by breaking a stick: with a_k = u_k − log(n − 1 − k) and z_k = 1/(1 +
/// e^−a_k), v_k = z_k Π_{j<k} (1 − z_j), and the last is what is left; u = 0 is the middle. The Jacobian is that of v₀
/// … v_{n−2}.
struct simplex {
  /// Of a domain: from `free` numbers u, value(u) and constrain(u) make the parameter's `size` numbers; unconstrain
  /// takes these back, and throws std::invalid_argument outside; log_jacobian(u) is log |∂value/∂u|.
  ///@{
  Index size = 2, free = size - 1;

  /// log(free − k): u = 0 is the middle of the simplex.
  auto offsets() const {
    return Eigen::VectorXd::NullaryExpr(free, [n = free](Index k) { return std::log(static_cast<double>(n - k)); });
  }
  template <class U>
  SCOREMATCH_INLINE auto value(const U& u) const {
    const auto a = u - offsets();
    return exp(concat(-softplus(-a), 0.0) - engine::ones_below(size, free, false) * softplus(a));
  }
  template <class U>
  SCOREMATCH_INLINE auto log_jacobian(const U& u) const {
    const auto a = u - offsets();
    const auto weights = Eigen::VectorXd::NullaryExpr(free, [n = free](Index k) { return static_cast<double>(n - k); });
    return -sum(softplus(-a)) - dot(weights, softplus(a));
  }
  Eigen::VectorXd constrain(const Eigen::VectorXd& u) const {
    Eigen::VectorXd v(size);
    double log_left = 0;
    for (Index k = 0; k < free; ++k) {
      const double a = u[k] - std::log(static_cast<double>(free - k));
      v[k] = std::exp(log_left - engine::softplus(-a));
      log_left -= engine::softplus(a);
    }
    v[free] = std::exp(log_left);
    return v;
  }
  Eigen::VectorXd unconstrain(const Eigen::VectorXd& v, const std::string& name) const {
    const double *first = v.data(), *end = first + size;
    const double sum = std::accumulate(first, end, 0.0), least = *std::min_element(first, end);
    extend::require(std::all_of(first, end, [](double number) { return number > 0; }) && std::abs(sum - 1) < 1e-8,
                    {"Layout: ", name, " has the sum ", sum, " and the least element ", least,
                     "; its elements must be above 0 and their sum 1"});
    Eigen::VectorXd u(free);
    double left = v[free];  // from the end, so that no digits cancel
    for (Index k = free - 1; k >= 0; --k) {
      u[k] = std::log(v[k]) - std::log(left) + std::log(static_cast<double>(free - k));
      left += v[k];
    }
    return u;
  }
  void name_elements(const std::string& name, std::vector<std::string>& names) const {
    engine::name_vector(name, size, names);
  }
  ///@}
};

/// Correlation matrices R of `order` D ≥ 2 variables, by their canonical partial correlations. In a formula the value
/// is the Cholesky factor's lower triangle (`correlation_cholesky`); in summaries it is R below its diagonal: R₁₀, R₂₀,
/// R₂₁, …; the Jacobian is that of these.
struct correlation {
  /// Of a domain: from `free` numbers u, value(u) and constrain(u) make the parameter's `size` numbers; unconstrain
  /// takes these back, and throws std::invalid_argument outside; log_jacobian(u) is log |∂value/∂u|.
  ///@{
  Index order = 2, free = order * (order - 1) / 2, size = free;

  template <class U>
  SCOREMATCH_INLINE auto value(const U& u) const {
    return correlation_cholesky(u, order);
  }
  template <class U>
  SCOREMATCH_INLINE auto log_jacobian(const U& u) const {
    const auto weights = Eigen::VectorXd::NullaryExpr(free, [d = order](Index f) {
      Index row = 1;
      while (row * (row + 1) / 2 <= f) ++row;
      return 1 + 0.5 * static_cast<double>(d - 2 - (f - row * (row - 1) / 2));
    });
    return dot(weights, log_density::engine::log_one_minus_squared_tanh(u));
  }
  Eigen::VectorXd constrain(const Eigen::VectorXd& u) const {
    Eigen::MatrixXd L(order, order);
    L(0, 0) = 1;
    for (Index i = 1, f = 0; i < order; ++i) {
      double left = 1;
      for (Index j = 0; j < i; ++j, ++f) {
        L(i, j) = std::tanh(u[f]) * left;
        left /= std::cosh(u[f]);
      }
      L(i, i) = left;
    }
    Eigen::VectorXd v(size);
    for (Index i = 1, f = 0; i < order; ++i)
      for (Index j = 0; j < i; ++j, ++f) v[f] = row_product(L, i, j, j + 1);
    return v;
  }
  Eigen::VectorXd unconstrain(const Eigen::VectorXd& v, const std::string& name) const {
    Eigen::MatrixXd L(order, order);
    L(0, 0) = 1;
    Eigen::VectorXd u(free);
    for (Index i = 1, f = 0; i < order; ++i) {
      double left = 1;  // what row i has left of its length 1, squared
      for (Index j = 0; j < i; ++j, ++f) {
        L(i, j) = (v[f] - row_product(L, i, j, j)) / L(j, j);
        u[f] = std::atanh(L(i, j) / std::sqrt(left));
        left -= L(i, j) * L(i, j);
        extend::require(std::isfinite(u[f]) && left > 0,
                        {"Layout: ", name, " is no correlation matrix; it must be positive definite"});
      }
      L(i, i) = std::sqrt(left);
    }
    return u;
  }
  void name_elements(const std::string& name, std::vector<std::string>& names) const {
    for (Index i = 1; i < order; ++i)
      for (Index j = 0; j < i; ++j) names.push_back(detail::text(name, '[', i, ',', j, ']'));
  }
  ///@}

 private:
  // Σ_{k < n} L_ik L_jk
  static double row_product(const Eigen::MatrixXd& L, Index i, Index j, Index n) {
    double sum = 0;
    for (Index k = 0; k < n; ++k) sum += L(i, k) * L(j, k);
    return sum;
  }
};

}  // namespace scorematch::domain
