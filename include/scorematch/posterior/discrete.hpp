// Log probabilities of counts and classes as functions of values. What is counted is data (numbers or Eigen vectors of
// whole numbers); the rates and logits are values. As in posterior/continuous.hpp vectors are independent elements, and
// the result is the sum of their log probabilities.
#pragma once

#include "scorematch/posterior/operands.hpp"

namespace scorematch::log_density {

/// log(exp a + exp b), element by element, without overflow.
template <class A, class B>
requires Arguments<A, B> SCOREMATCH_INLINE auto log_add_exp(const A& a, const B& b) {
  const auto& like = first_value(a, b);
  const auto& u = lifted(like, a);
  const auto& v = lifted(like, b);
  const auto larger = where(u < v, v, u), smaller = where(u < v, u, v);  // not min: where u = v, both slopes are ½
  return where(larger > -infinity, larger + softplus(smaller - larger), larger);
}

/// Σ y log p + (1 − y) log(1 − p) with p = 1/(1 + exp(−logits)); y is 0 or 1.
///   log_density::bernoulli_logit(y, X * beta)      a logistic regression: y of N numbers, X N × k
template <Data Y, FormulaValue L>
SCOREMATCH_INLINE auto bernoulli_logit(const Y& y, const L& logits) {
  if constexpr (is_recorded<L>) require_counts(y, 1, "bernoulli_logit: y");
  const auto signs = mapped(logits, y, [](double number) { return 1 - 2 * number; });
  const Index n = joint_size(y, logits);
  return -total(softplus(signs * logits), n);
}

/// Σ log C(trials, y) + y log p + (trials − y) log(1 − p) with p = 1/(1 + exp(−logits)); y = 0 … trials.
template <Data Y, Data N, FormulaValue L>
SCOREMATCH_INLINE auto binomial_logit(const Y& y, const N& trials, const L& logits) {
  if constexpr (is_recorded<L>) {
    require_counts(trials, infinity, "binomial_logit: trials");
    require_counts(y, infinity, "binomial_logit: y");
    require_not_above(y, trials, "binomial_logit: y");
  }
  const Index n = joint_size(y, trials, logits);
  const auto at = [](const auto& a, Index i) { return number_at(a, size_of(a) == 1 ? 0 : i); };
  const auto choices = computed_once(logits, [&] {
    double sum = 0;
    for (Index i = 0; i < n; ++i)
      sum += std::lgamma(at(trials, i) + 1) - std::lgamma(at(y, i) + 1) - std::lgamma(at(trials, i) - at(y, i) + 1);
    return sum;
  });
  const auto& hits = lifted(logits, y);
  const auto& all = lifted(logits, trials);
  return choices - total(hits * softplus(-logits), n) - total((all - hits) * softplus(logits), n);
}

/// Σ y log rate − rate − log y!; y = 0, 1, 2, …, rate > 0.
template <Data Y, FormulaValue R>
SCOREMATCH_INLINE auto poisson(const Y& y, const R& rate) {
  if constexpr (is_recorded<R>) require_counts(y, infinity, "poisson: y");
  const Index n = joint_size(y, rate);
  const auto& counts = lifted(rate, y);
  return total(counts * log(rate), n) - total(rate, n) - log_factorials(rate, y, n);
}

/// The same with the logarithm of the rate, which may be any number.
///   log_density::poisson_log(y, X * beta)      a Poisson regression
template <Data Y, FormulaValue L>
SCOREMATCH_INLINE auto poisson_log(const Y& y, const L& log_rate) {
  if constexpr (is_recorded<L>) require_counts(y, infinity, "poisson_log: y");
  const Index n = joint_size(y, log_rate);
  const auto& counts = lifted(log_rate, y);
  return total(counts * log_rate, n) - total(exp(log_rate), n) - log_factorials(log_rate, y, n);
}

/// Σ logits[y] − log Σ_k exp logits[k]: of one or several classes y, counted from 0, with the same vector of logits.
template <Data Y, FormulaValue L>
SCOREMATCH_INLINE auto categorical(const Y& y, const L& logits) {
  const Index classes = logits.size();
  if constexpr (is_recorded<L>) require_counts(y, static_cast<double>(classes - 1), "categorical: y");
  if constexpr (compiled::IsNumber<Y>) {
    return -log_sum_exp(logits - logits[static_cast<Index>(y)]);
  } else {
    const auto histogram = Eigen::VectorXd::NullaryExpr(classes, [&](Index k) {
      return static_cast<double>((y.template cast<double>().array() == static_cast<double>(k)).count());
    });
    return dot(lifted(logits, histogram), logits) - static_cast<double>(y.size()) * log_sum_exp(logits);
  }
}

}  // namespace scorematch::log_density

namespace scorematch {

using log_density::log_add_exp;

}  // namespace scorematch
