// What log densities take: values of a formula, numbers and Eigen vectors (data), in any mixture with one value at
// least.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "scorematch/check.hpp"
#include "scorematch/compiled/values.hpp"
#include "scorematch/formula/theta.hpp"

namespace scorematch::log_density {

// What densities are made of stands in a namespace of its own; values live elsewhere, so that no formula finds it.
namespace engine {

/// A value of a recorded or of a compiled formula.
template <class A>
concept FormulaValue = formula::IsValue<A> || compiled::IsValue<A>;

/// A number or an Eigen object: data, known when a formula is made.
template <class A>
concept Data = compiled::IsNumber<A> || compiled::IsEigen<A>;

template <class A>
concept Argument = FormulaValue<A> || Data<A>;

/// Arguments of a log density: of numbers and data alone it would be a number, not a value.
template <class... A>
concept Arguments = (Argument<A> && ...) && (FormulaValue<A> || ...);

/// Arguments are checked when a formula is recorded; a compiled one is recorded first, too.
template <class V>
inline constexpr bool is_recorded = std::is_same_v<std::remove_cvref_t<V>, formula::Value>;

template <class A, class... Rest>
SCOREMATCH_INLINE const auto& first_value(const A& a, const Rest&... rest) {
  if constexpr (FormulaValue<A>)
    return a;
  else
    return first_value(rest...);
}

/// Values stay what they are, numbers become double, Eigen objects values beside `like`.
template <class V, class A>
SCOREMATCH_INLINE decltype(auto) lifted(const V& like, const A& a) {
  if constexpr (FormulaValue<A>)
    return (a);
  else if constexpr (compiled::IsNumber<A>)
    return static_cast<double>(a);
  else if constexpr (is_recorded<V>)
    return formula::constant(like, a);
  else
    return compiled::engine::as_value(a, like.slots);
}

/// f of each number of the data, computed once.
template <class V, Data A, class F>
SCOREMATCH_INLINE auto mapped(const V& like, const A& a, F f) {
  if constexpr (compiled::IsNumber<A>)
    return f(static_cast<double>(a));
  else
    return lifted(like, a.template cast<double>().unaryExpr(f));
}

/// The number f(), computed once.
template <class V, class F>
SCOREMATCH_INLINE auto computed_once(const V& like, F f) {
  if constexpr (is_recorded<V>) {
    (void)like;
    return static_cast<double>(f());
  } else {
    using Number = typename std::remove_pointer_t<decltype(like.slots)>::Number;
    return compiled::engine::make_uniform<compiled::Kind::number>(
        *like.slots, 0, 1, 1, [&](Index) SCOREMATCH_INLINE_LAMBDA { return Number::constant(f()); });
  }
}

template <class A>
SCOREMATCH_INLINE Index size_of(const A& a) {
  if constexpr (compiled::IsNumber<A>)
    return 1;
  else
    return a.size();
}

template <class... A>
SCOREMATCH_INLINE Index joint_size(const A&... a) {
  return std::max({size_of(a)...});
}

template <class A>
SCOREMATCH_INLINE auto log_of(const A& a) {
  if constexpr (compiled::IsNumber<A>)
    return std::log(static_cast<double>(a));
  else
    return log(a);
}

template <class A>
SCOREMATCH_INLINE auto log1p_of(const A& a) {
  if constexpr (compiled::IsNumber<A>)
    return std::log1p(static_cast<double>(a));
  else
    return log1p(a);
}

template <class A>
SCOREMATCH_INLINE auto log_gamma_of(const A& a) {
  if constexpr (compiled::IsNumber<A>)
    return std::lgamma(static_cast<double>(a));
  else
    return lgamma(a);
}

/// Σ over n elements, of which a number stands for all.
template <class A>
SCOREMATCH_INLINE auto total(const A& a, Index n) {
  if constexpr (compiled::IsNumber<A>)
    return static_cast<double>(n) * static_cast<double>(a);
  else
    return static_cast<double>(n / a.size()) * sum(a);
}

/// Calls visit(number, index) for each number of the data.
template <class A, class Visit>
void for_each_number(const A& a, const Visit& visit) {
  if constexpr (compiled::IsNumber<A>) {
    visit(static_cast<double>(a), Index{0});
  } else if constexpr (compiled::IsEigen<A>) {
    const Eigen::MatrixXd plain = a.template cast<double>();
    for (Index i = 0; i < plain.size(); ++i) visit(plain.data()[i], i);
  }
}

/// Throws unless every number is finite and above 0; values are left to their formula.
template <class A>
void require_all_positive(const A& a, const char* argument) {
  for_each_number(a, [&](double number, Index i) {
    extend::require(std::isfinite(number) && number > 0, {"log_density::", argument, " is ", number, " at element ", i,
                                                          "; it must be a finite number above 0"});
  });
}

/// Throws unless every number is from `least` to `most`.
template <class A>
void require_all_within(const A& a, double least, double most, const char* argument) {
  for_each_number(a, [&](double number, Index i) {
    extend::require(number >= least && number <= most, {"log_density::", argument, " is ", number, " at element ", i,
                                                        "; it must be from ", least, " to ", most});
  });
}

/// Throws unless every number is finite.
template <class A>
void require_all_finite(const A& a, const char* argument) {
  for_each_number(a, [&](double number, Index i) {
    extend::require(std::isfinite(number),
                    {"log_density::", argument, " is ", number, " at element ", i, "; it must be finite"});
  });
}

/// Throws unless every number is 0, 1, 2, … up to `most`.
template <class A>
void require_counts(const A& a, double most, const char* argument) {
  for_each_number(a, [&](double number, Index i) {
    extend::require(number >= 0 && number <= most && number == std::floor(number) && std::isfinite(number),
                    {"log_density::", argument, " is ", number, " at element ", i, "; it must be a whole number from 0",
                     std::isfinite(most) ? detail::text(" to ", most) : std::string(" on")});
  });
}

/// Number i of the data.
template <Data A>
double number_at(const A& a, Index i) {
  if constexpr (compiled::IsNumber<A>)
    return static_cast<double>(a);
  else
    return static_cast<double>(a(i % a.rows(), i / a.rows()));
}

/// Throws unless a ≤ b element by element, a single number standing for all.
template <Data A, Data B>
void require_not_above(const A& a, const B& b, const char* argument) {
  for (Index i = 0; i < joint_size(a, b); ++i) {
    const double number = number_at(a, size_of(a) == 1 ? 0 : i), most = number_at(b, size_of(b) == 1 ? 0 : i);
    extend::require(number <= most,
                    {"log_density::", argument, " is ", number, " at element ", i, " of ", most, " trials"});
  }
}

/// Σ log y! over n elements.
template <class V, Data Y>
SCOREMATCH_INLINE auto log_factorials(const V& like, const Y& y, Index n) {
  return computed_once(like, [&] {
    double sum = 0;
    for_each_number(y, [&](double number, Index) { sum += std::lgamma(number + 1); });
    return sum * static_cast<double>(n / size_of(y));
  });
}

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr double largest = std::numeric_limits<double>::max();

/// −∞ where a < 0, else 0.
template <class A>
SCOREMATCH_INLINE auto minus_infinity_where_negative(const A& a) {
  if constexpr (compiled::IsNumber<A>)
    return a < 0 ? -infinity : 0.0;
  else
    return where(a < 0.0, -infinity, 0.0);
}

/// An argument inside of its support, and what the log density is besides: 0, or −∞ where the argument is outside.
template <class Y, class P>
struct Supported {
  Y y;
  P penalty;
};

template <class Y, class Outside>
SCOREMATCH_INLINE auto kept_inside(const Y& y, const Outside& outside, double otherwise) {
  const auto inside = where(outside, otherwise, y);
  const auto penalty = sum(where(outside, -infinity, 0.0));
  return Supported<std::remove_cvref_t<decltype(inside)>, std::remove_cvref_t<decltype(penalty)>>{inside, penalty};
}

/// y where it is not below 0, else 1. Data have been checked.
template <class Y>
SCOREMATCH_INLINE auto not_negative(const Y& y) {
  if constexpr (FormulaValue<Y>)
    return kept_inside(y, y < 0.0, 1.0);
  else
    return Supported<Y, double>{y, 0};
}

/// y where it is above 0, else 1. Data have been checked.
template <class Y>
SCOREMATCH_INLINE auto above_zero(const Y& y) {
  if constexpr (FormulaValue<Y>)
    return kept_inside(y, y <= 0.0, 1.0);
  else
    return Supported<Y, double>{y, 0};
}

/// y where it is between 0 and 1, else ½. Data have been checked.
template <class Y>
SCOREMATCH_INLINE auto between_zero_and_one(const Y& y) {
  if constexpr (FormulaValue<Y>)
    return kept_inside(y, y <= 0.0 || y >= 1.0, 0.5);
  else
    return Supported<Y, double>{y, 0};
}

}  // namespace engine
using namespace engine;

}  // namespace scorematch::log_density
