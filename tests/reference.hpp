// What a formula's derivatives are, found without the library: the same generic lambda is read by nested dual numbers
// in long double.
//
// A dual number a + Σ a_i ε_i with ε_i ε_j = 0 knows one rule a function, φ(a + a'ε) = φ(a) + φ'(a) a'ε. Three of them,
// one inside the other, give ∂f, vᵀ∂²f v and the θ-gradients of both, with nothing of second or third order written
// down by hand. The innermost number carries a bound on the rounding error of its own computation, so that how closely
// the library must agree follows from the formula, not from taste.
#pragma once

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"

namespace reference {

using scorematch::Index;
using scorematch::extend::Along;
using Real = long double;

// ---------------------------------------------------------------------------------------------------------------------
// Numbers
// ---------------------------------------------------------------------------------------------------------------------

/// A number and a running bound, in units of eps, on the error of computing it (Higham 2002, section 3.3).
struct Number {
  Real value = 0, error = 0;
};

/// φ(a) from its value and slope: the argument's error, its own last place, and a few ulp of the function.
inline Number rounded(const Number& a, Real value, Real slope) {
  return {value, std::abs(slope) * (a.error + std::abs(a.value)) + 4 * std::abs(value)};
}

inline bool is_zero(const Number& a) { return a.value == 0 && a.error == 0; }
inline Real value_of(const Number& a) { return a.value; }
inline Number operator-(const Number& a) { return {-a.value, a.error}; }
inline Number operator+(const Number& a, const Number& b) {  // sums are taken in other orders too: not |a + b|
  return {a.value + b.value, a.error + b.error + std::abs(a.value) + std::abs(b.value)};
}
inline Number operator*(const Number& a, const Number& b) {
  const Real product = a.value * b.value;
  return {product, std::abs(a.value) * b.error + std::abs(b.value) * a.error + std::abs(product)};
}
inline Number reciprocal(const Number& a) { return rounded(a, 1 / a.value, 1 / (a.value * a.value)); }
inline Number sqrt(const Number& a) { return rounded(a, std::sqrt(a.value), 0.5L / std::sqrt(a.value)); }
inline Number exp(const Number& a) { return rounded(a, std::exp(a.value), std::exp(a.value)); }
inline Number log(const Number& a) { return rounded(a, std::log(a.value), 1 / a.value); }
inline Number log1p(const Number& a) { return rounded(a, std::log1p(a.value), 1 / (1 + a.value)); }
inline Number expm1(const Number& a) { return rounded(a, std::expm1(a.value), std::exp(a.value)); }
inline Number sin(const Number& a) { return rounded(a, std::sin(a.value), std::cos(a.value)); }
inline Number cos(const Number& a) { return rounded(a, std::cos(a.value), std::sin(a.value)); }
inline Number tanh(const Number& a) {
  const Real t = std::tanh(a.value);
  return rounded(a, t, 1 - t * t);
}
inline Number sigmoid(const Number& a) {
  const Real s = 1 / (1 + std::exp(-a.value));
  return rounded(a, s, s * (1 - s));
}
inline Number softplus(const Number& a) {
  return rounded(a, std::max(a.value, Real(0)) + std::log1p(std::exp(-std::abs(a.value))),
                 1 / (1 + std::exp(-a.value)));
}
inline Number erf(const Number& a) {
  return rounded(a, std::erf(a.value), 1.128379167095512573896L * std::exp(-a.value * a.value));
}
inline Number abs(const Number& a) { return {std::abs(a.value), a.error}; }
inline Number pow(const Number& a, Real p) { return rounded(a, std::pow(a.value, p), p * std::pow(a.value, p - 1)); }

/// value + Σ slopes_i ε_i; no slopes: all of them are 0.
template <class S>
struct Dual {
  S value = {};
  std::vector<S> slopes = {};
};

template <class S>
bool is_zero(const Dual<S>& a) {
  return a.slopes.empty() && is_zero(a.value);
}
template <class S>
Real value_of(const Dual<S>& a) {
  return value_of(a.value);
}

template <class S>
S constant_number(double c) {
  if constexpr (std::is_same_v<S, Number>)
    return {c, std::abs(c)};  // as a float it is rounded
  else
    return {constant_number<decltype(S::value)>(c)};
}

/// φ(a) from φ and φ' of the value.
template <class S>
Dual<S> chain(const Dual<S>& a, S value, const S& slope) {
  Dual<S> r{std::move(value)};
  for (const S& s : a.slopes) r.slopes.push_back(slope * s);
  return r;
}

template <class S>
Dual<S> operator-(const Dual<S>& a) {
  Dual<S> r{-a.value};
  for (const S& s : a.slopes) r.slopes.push_back(-s);
  return r;
}
template <class S>
Dual<S> operator+(const Dual<S>& a, const Dual<S>& b) {
  if (is_zero(a)) return b;
  if (is_zero(b)) return a;
  Dual<S> r{a.value + b.value, a.slopes.empty() ? b.slopes : a.slopes};
  if (!a.slopes.empty() && !b.slopes.empty())
    for (std::size_t i = 0; i < r.slopes.size(); ++i) r.slopes[i] = a.slopes[i] + b.slopes[i];
  return r;
}
template <class S>
Dual<S> operator*(const Dual<S>& a, const Dual<S>& b) {
  if (is_zero(a) || is_zero(b)) return {};
  Dual<S> r = chain(a, a.value * b.value, b.value);
  if (!b.slopes.empty()) {
    r.slopes.resize(b.slopes.size());
    for (std::size_t i = 0; i < b.slopes.size(); ++i)
      r.slopes[i] = a.slopes.empty() ? a.value * b.slopes[i] : r.slopes[i] + a.value * b.slopes[i];
  }
  return r;
}
template <class S>
S operator-(const S& a, const S& b) requires requires {
  is_zero(a);
}
{ return a + -b; }

template <class S>
Dual<S> reciprocal(const Dual<S>& a) {
  const S r = reciprocal(a.value);
  return chain(a, r, -(r * r));
}
template <class S>
Dual<S> sqrt(const Dual<S>& a) {
  const S r = sqrt(a.value);
  return chain(a, r, constant_number<S>(0.5) * reciprocal(r));
}
template <class S>
Dual<S> exp(const Dual<S>& a) {
  const S e = exp(a.value);
  return chain(a, e, e);
}
template <class S>
Dual<S> log(const Dual<S>& a) {
  return chain(a, log(a.value), reciprocal(a.value));
}
template <class S>
Dual<S> log1p(const Dual<S>& a) {
  return chain(a, log1p(a.value), reciprocal(constant_number<S>(1) + a.value));
}
template <class S>
Dual<S> expm1(const Dual<S>& a) {
  return chain(a, expm1(a.value), exp(a.value));
}
template <class S>
Dual<S> tanh(const Dual<S>& a) {
  const S t = tanh(a.value);
  return chain(a, t, constant_number<S>(1) - t * t);
}
template <class S>
Dual<S> sigmoid(const Dual<S>& a) {
  const S s = sigmoid(a.value);
  return chain(a, s, s * (constant_number<S>(1) - s));
}
template <class S>
Dual<S> softplus(const Dual<S>& a) {
  return chain(a, softplus(a.value), sigmoid(a.value));
}
template <class S>
Dual<S> sin(const Dual<S>& a) {
  return chain(a, sin(a.value), cos(a.value));
}
template <class S>
Dual<S> cos(const Dual<S>& a) {
  return chain(a, cos(a.value), -sin(a.value));
}
template <class S>
Dual<S> erf(const Dual<S>& a) {
  return chain(a, erf(a.value), constant_number<S>(1.1283791670955126) * exp(-(a.value * a.value)));
}
template <class S>
Dual<S> abs(const Dual<S>& a) {
  return chain(a, abs(a.value), constant_number<S>(value_of(a) > 0 ? 1 : -1));
}
template <class S>
Dual<S> pow(const Dual<S>& a, Real p) {
  if (p == 0) return constant_number<Dual<S>>(1);
  return chain(a, pow(a.value, p), constant_number<S>(static_cast<double>(p)) * pow(a.value, p - 1));
}

using WithTheta = Dual<Number>;     ///< a number and its θ-gradient
using AlongLine = Dual<WithTheta>;  ///< … and their derivatives along one direction of x
using Scalar = Dual<AlongLine>;     ///< … twice

// ---------------------------------------------------------------------------------------------------------------------
// The language, read by these numbers
// ---------------------------------------------------------------------------------------------------------------------

/// The smallest |a − b| of a comparison, and |a| of an abs, since it was last set: derivatives are compared away from
/// kinks.
inline Real closest_kink = std::numeric_limits<Real>::infinity();

inline void note_kink(Real gap) { closest_kink = std::min(closest_kink, std::abs(gap)); }

/// A number, a vector or a matrix (column-major).
struct Value {
  Index rows = 1, cols = 1;
  std::vector<Scalar> elements = {};

  Index size() const { return rows * cols; }
  const Scalar& at(Index i) const {
    return elements[size() == 1 ? 0 : static_cast<std::size_t>(i)];
  }  // numbers broadcast
  Value operator[](Index i) const { return {1, 1, {at(i)}}; }
  Value segment(Index first, Index count) const {
    return {count, 1, {elements.begin() + first, elements.begin() + first + count}};
  }
};

struct Condition {
  Index rows = 1, cols = 1;
  std::vector<bool> holds = {};

  Index size() const { return rows * cols; }
  bool at(Index i) const { return holds[size() == 1 ? 0 : static_cast<std::size_t>(i)]; }
};

template <class A>
concept Operand = std::same_as<A, Value> || std::is_arithmetic_v<A> || requires {
  typename A::PlainObject;
};
template <class A, class B>
concept Operands = Operand<A> && Operand<B> &&(std::same_as<A, Value> || std::same_as<B, Value>);

template <Operand A>
Value value(const A& a) {
  if constexpr (std::same_as<A, Value>) {
    return a;
  } else if constexpr (std::is_arithmetic_v<A>) {
    return {1, 1, {constant_number<Scalar>(static_cast<double>(a))}};
  } else {
    const Eigen::MatrixXd numbers = a.template cast<double>();
    const bool vector = A::IsVectorAtCompileTime;
    Value r{vector ? numbers.size() : numbers.rows(), vector ? 1 : numbers.cols()};
    for (Index i = 0; i < numbers.size(); ++i) r.elements.push_back(constant_number<Scalar>(numbers.data()[i]));
    return r;
  }
}

template <class F>
Value map(const Value& a, F f) {
  Value r{a.rows, a.cols};
  for (const Scalar& element : a.elements) r.elements.push_back(f(element));
  return r;
}
template <class F>
Value pair_up(const Value& a, const Value& b, F f) {
  const Value& larger = a.size() >= b.size() ? a : b;
  Value r{larger.rows, larger.cols};
  for (Index i = 0; i < r.size(); ++i) r.elements.push_back(f(a.at(i), b.at(i)));
  return r;
}

template <class A, class B>
requires Operands<A, B> Value operator+(const A& a, const B& b) {
  return pair_up(value(a), value(b), [](const Scalar& u, const Scalar& v) { return u + v; });
}
template <class A, class B>
requires Operands<A, B> Value operator-(const A& a, const B& b) {
  return pair_up(value(a), value(b), [](const Scalar& u, const Scalar& v) { return u - v; });
}
template <class A, class B>
requires Operands<A, B> Value operator/(const A& a, const B& b) {
  return pair_up(value(a), value(b), [](const Scalar& u, const Scalar& v) { return u * reciprocal(v); });
}
template <class A, class B>
requires Operands<A, B> Value operator*(const A& left, const B& right) {
  const Value a = value(left), b = value(right);
  if (a.cols == 1 || b.size() == 1) return pair_up(a, b, [](const Scalar& u, const Scalar& v) { return u * v; });
  Value r{a.rows, b.cols};
  for (Index j = 0; j < b.cols; ++j)
    for (Index i = 0; i < a.rows; ++i) {
      Scalar total;
      for (Index k = 0; k < a.cols; ++k) total = total + a.at(k * a.rows + i) * b.at(j * b.rows + k);
      r.elements.push_back(total);
    }
  return r;
}
inline Value operator+(const Value& a) { return a; }
inline Value operator-(const Value& a) {
  return map(a, [](const Scalar& u) { return -u; });
}
inline Value& operator+=(Value& a, const Operand auto& b) { return a = a + b; }
inline Value& operator-=(Value& a, const Operand auto& b) { return a = a - b; }
inline Value& operator*=(Value& a, const Operand auto& b) { return a = a * b; }
inline Value& operator/=(Value& a, const Operand auto& b) { return a = a / b; }

inline Value reciprocal(const Value& a) {
  return map(a, [](const Scalar& u) { return reciprocal(u); });
}
inline Value square(const Value& a) {
  return map(a, [](const Scalar& u) { return u * u; });
}
inline Value sqrt(const Value& a) {
  return map(a, [](const Scalar& u) { return sqrt(u); });
}
inline Value exp(const Value& a) {
  return map(a, [](const Scalar& u) { return exp(u); });
}
inline Value log(const Value& a) {
  return map(a, [](const Scalar& u) { return log(u); });
}
inline Value log1p(const Value& a) {
  return map(a, [](const Scalar& u) { return log1p(u); });
}
inline Value expm1(const Value& a) {
  return map(a, [](const Scalar& u) { return expm1(u); });
}
inline Value tanh(const Value& a) {
  return map(a, [](const Scalar& u) { return tanh(u); });
}
inline Value sigmoid(const Value& a) {
  return map(a, [](const Scalar& u) { return sigmoid(u); });
}
inline Value softplus(const Value& a) {
  return map(a, [](const Scalar& u) { return softplus(u); });
}
inline Value silu(const Value& a) {
  return map(a, [](const Scalar& u) { return u * sigmoid(u); });
}
inline Value sin(const Value& a) {
  return map(a, [](const Scalar& u) { return sin(u); });
}
inline Value cos(const Value& a) {
  return map(a, [](const Scalar& u) { return cos(u); });
}
inline Value erf(const Value& a) {
  return map(a, [](const Scalar& u) { return erf(u); });
}
inline Value abs(const Value& a) {
  return map(a, [](const Scalar& u) {
    note_kink(value_of(u));
    return abs(u);
  });
}
template <class N>
requires std::is_arithmetic_v<N> Value pow(const Value& a, N p) {
  return map(a, [p](const Scalar& u) { return pow(u, static_cast<Real>(p)); });
}
inline Value pow(const Value& a, const Value& p) {
  return pair_up(a, p, [](const Scalar& u, const Scalar& v) { return exp(v * log(u)); });
}

template <class F>
Condition compared(const Value& a, const Value& b, F holds) {
  const Value& larger = a.size() >= b.size() ? a : b;
  Condition r{larger.rows, larger.cols};
  for (Index i = 0; i < r.size(); ++i) {
    note_kink(value_of(a.at(i)) - value_of(b.at(i)));
    r.holds.push_back(holds(value_of(a.at(i)), value_of(b.at(i))));
  }
  return r;
}
template <class A, class B>
requires Operands<A, B> Condition operator<(const A& a, const B& b) {
  return compared(value(a), value(b), std::less<Real>{});
}
template <class A, class B>
requires Operands<A, B> Condition operator<=(const A& a, const B& b) {
  return compared(value(a), value(b), std::less_equal<Real>{});
}
template <class A, class B>
requires Operands<A, B> Condition operator>(const A& a, const B& b) {
  return compared(value(a), value(b), std::greater<Real>{});
}
template <class A, class B>
requires Operands<A, B> Condition operator>=(const A& a, const B& b) {
  return compared(value(a), value(b), std::greater_equal<Real>{});
}

template <class F>
Condition joined(const Condition& a, const Condition& b, F f) {
  const Condition& larger = a.size() >= b.size() ? a : b;
  Condition r{larger.rows, larger.cols};
  for (Index i = 0; i < r.size(); ++i) r.holds.push_back(f(a.at(i), b.at(i)));
  return r;
}
inline Condition operator&&(const Condition& a, const Condition& b) { return joined(a, b, std::logical_and<bool>{}); }
inline Condition operator||(const Condition& a, const Condition& b) { return joined(a, b, std::logical_or<bool>{}); }
inline Condition operator!(const Condition& a) {
  return joined(a, a, [](bool holds, bool) { return !holds; });
}

template <Operand A, Operand B>
Value where(const Condition& condition, const A& left, const B& right) {
  const Value a = value(left), b = value(right);
  const Value& larger = a.size() >= b.size() ? a : b;
  const bool by_condition = condition.size() > larger.size();
  Value r{by_condition ? condition.rows : larger.rows, by_condition ? condition.cols : larger.cols};
  for (Index i = 0; i < r.size(); ++i) r.elements.push_back(condition.at(i) ? a.at(i) : b.at(i));
  return r;
}
template <class A, class B>
requires Operands<A, B> Value max(const A& a, const B& b) { return where(value(a) < value(b), b, a); }
template <class A, class B>
requires Operands<A, B> Value min(const A& a, const B& b) { return where(value(b) < value(a), b, a); }

inline Value sum(const Value& a) {
  Scalar total;
  for (const Scalar& element : a.elements) total = total + element;
  return {1, 1, {total}};
}
inline Value mean(const Value& a) { return sum(a) / static_cast<double>(a.size()); }
template <class A, class B>
requires Operands<A, B> Value dot(const A& a, const B& b) {
  return sum(pair_up(value(a), value(b), [](const Scalar& u, const Scalar& v) { return u * v; }));
}
inline Value squared_norm(const Value& a) { return sum(square(a)); }
inline Value norm(const Value& a) { return sqrt(squared_norm(a)); }
inline Value log_sum_exp(const Value& a) { return log(sum(exp(a))); }  // a long double holds exp(11000)

inline Index size(const Value& a) { return a.size(); }
inline Value segment(const Value& a, Index first, Index count) { return a.segment(first, count); }
inline Value head(const Value& a, Index count) { return a.segment(0, count); }
inline Value tail(const Value& a, Index count) { return a.segment(a.size() - count, count); }

inline Value concat(const std::vector<Value>& parts) {
  Value r{0, 1};
  for (const Value& part : parts) {
    r.rows += part.size();
    r.elements.insert(r.elements.end(), part.elements.begin(), part.elements.end());
  }
  return r;
}
template <Operand... Rest>
Value concat(const Value& a, const Rest&... rest) {
  return concat(std::vector<Value>{a, value(rest)...});
}

template <class F, class N>
concept gives_values = std::same_as<std::invoke_result_t<F&, N>, Value>;

// More constrained than the library's own two, so that in a generic lambda each type finds its own.
template <class F>
requires gives_values<F, int> Value sum(int n, F f) {
  Value total = f(0);
  for (int k = 1; k < n; ++k) total += f(k);
  return total;
}
template <class F>
requires gives_values<F, int> Value stack(int n, F f) {
  std::vector<Value> parts;
  for (int k = 0; k < n; ++k) parts.push_back(f(k));
  return concat(parts);
}

inline Value transpose(const Value& a) {
  Value r{a.cols, a.rows};
  for (Index j = 0; j < a.rows; ++j)
    for (Index i = 0; i < a.cols; ++i) r.elements.push_back(a.at(i * a.rows + j));
  return r;
}
template <Operand A>
Value quadratic_form(const A& a, const Value& v) {
  return dot(v, value(a) * v);
}

/// `theta` as formulas receive it, at a model's present θ: parameters go by name. Derivatives with respect to θ if
/// wanted.
class Theta {
 public:
  explicit Theta(std::vector<scorematch::NamedParameter> blocks, bool with_slopes = true) : blocks_(std::move(blocks)) {
    for (const auto& block : blocks_)
      if (with_slopes) count_ += static_cast<std::size_t>(block.values.size());
  }

  template <class... Shape>
  Value operator()(const std::string& name, const Shape&...) const {
    std::size_t offset = 0;
    for (const auto& block : blocks_) {
      if (block.name == name) {
        Value r{block.rows, block.cols};
        for (Index i = 0; i < r.size(); ++i) {
          WithTheta number{{block.values[i]}, std::vector<Number>(count_)};
          if (count_ > 0) number.slopes[offset + static_cast<std::size_t>(i)].value = 1;
          r.elements.push_back({{number}});
        }
        return r;
      }
      offset += static_cast<std::size_t>(block.values.size());
    }
    throw std::invalid_argument("the library's record lost the parameter " + name);
  }

 private:
  std::vector<scorematch::NamedParameter> blocks_;
  std::size_t count_ = 0;
};

// ---------------------------------------------------------------------------------------------------------------------
// Formulas, where they are asked, and the answers
// ---------------------------------------------------------------------------------------------------------------------

/// Seeded numbers, the same on every platform, and each of them a float, so that float and double are asked the same.
class Draws {
 public:
  explicit Draws(std::uint64_t seed) : engine_(seed) {}

  double uniform(double least, double most) {
    const double unit = static_cast<double>(engine_() >> 11) * 0x1p-53;
    return static_cast<double>(static_cast<float>(least + (most - least) * unit));
  }
  int whole(int least, int most) {
    return least + static_cast<int>(engine_() % static_cast<std::uint64_t>(most - least + 1));
  }
  bool chance(double probability) { return uniform(0, 1) < probability; }
  Eigen::MatrixXd matrix(Index rows, Index cols, double least, double most) {
    Eigen::MatrixXd m(rows, cols);
    for (Index i = 0; i < m.size(); ++i) m.data()[i] = uniform(least, most);
    return m;
  }

 private:
  std::mt19937_64 engine_;
};

using Reading = std::function<Value(const Value& x, const Value& sigma, const Theta& theta)>;

/// One formula as a model of the library and as a function of reference values.
template <class Model>
struct Formula {
  static constexpr bool is_energy = std::is_same_v<Model, scorematch::EnergyModel>;

  std::string name;
  Model model;
  Reading read;
};

/// A lambda for values of one reading, (x, theta) or (x, sigma, theta), in a plain wrapper: what records and reads it
/// is compiled once, not once a formula.
template <class V, class Parameters, class F>
auto wrapped(const F& formula) {
  if constexpr (std::is_invocable_v<const F&, V, V, Parameters>)
    return std::function<V(const V&, const V&, const Parameters&)>(formula);
  else
    return std::function<V(const V&, const Parameters&)>(formula);
}

using LibraryValue = scorematch::formula::Value;
using LibraryTheta = scorematch::formula::Theta;

inline Reading reading(std::function<Value(const Value&, const Value&, const Theta&)> formula) { return formula; }
inline Reading reading(std::function<Value(const Value&, const Theta&)> formula) {
  return [formula](const Value& x, const Value&, const Theta& theta) { return formula(x, theta); };
}

template <class F>
Formula<scorematch::EnergyModel> energy(std::string name, Index d, const F& formula) {
  return {std::move(name), scorematch::energy_model(d, wrapped<LibraryValue, LibraryTheta>(formula)),
          reading(wrapped<Value, Theta>(formula))};
}
template <class F>
Formula<scorematch::ScoreModel> score(std::string name, Index d, const F& formula) {
  return {std::move(name), scorematch::score_model(d, wrapped<LibraryValue, LibraryTheta>(formula)),
          reading(wrapped<Value, Theta>(formula))};
}

/// Where a formula is asked: a column each.
struct Places {
  Eigen::MatrixXd X;      ///< d × n
  Eigen::VectorXd sigma;  ///< n
  Eigen::MatrixXd V;      ///< (M d) × n: M given directions, one after another
  Index directions = 0;   ///< M

  Index size() const { return X.cols(); }
};

/// The truth at one place, each number with its θ-gradient.
struct Answer {
  WithTheta f;                        ///< energies
  std::vector<WithTheta> s;           ///< d
  WithTheta trace;                    ///< tr(∂s/∂x)
  std::vector<WithTheta> slopes;      ///< M, vᵀs
  std::vector<WithTheta> curvatures;  ///< M, vᵀ(∂s/∂x)v
};

inline WithTheta first_slope(const AlongLine& a) { return a.slopes.empty() ? WithTheta{} : a.slopes[0]; }
inline WithTheta second_slope(const Scalar& a) { return a.slopes.empty() ? WithTheta{} : first_slope(a.slopes[0]); }

/// The formula at x + t v + u w: value, ∂_v, ∂_w and ∂_v ∂_w of each element.
template <class Model>
std::vector<Scalar> along(const Formula<Model>& formula, const Theta& theta, const Places& places, Index place,
                          const Eigen::VectorXd& v, const Eigen::VectorXd& w) {
  const Index d = places.X.rows();
  Value x{d, 1};
  for (Index j = 0; j < d; ++j) {
    Scalar element{{WithTheta{{places.X(j, place)}}, {WithTheta{{v[j]}}}}};
    if (w.size() > 0) element.slopes = {AlongLine{WithTheta{{w[j]}}}};
    x.elements.push_back(element);
  }
  return formula.read(x, {1, 1, {{{WithTheta{{places.sigma[place]}}}}}}, theta).elements;
}

template <class Model>
Answer answer(const Formula<Model>& formula, const Theta& theta, const Places& places, Index place) {
  const Index d = places.X.rows();
  const auto along_line = [&](const Eigen::VectorXd& v) {
    return along(formula, theta, places, place, v, Formula<Model>::is_energy ? v : Eigen::VectorXd());
  };

  Answer result;
  for (Index i = 0; i < d; ++i) {
    const std::vector<Scalar> out = along_line(Eigen::VectorXd::Unit(d, i));
    if constexpr (Formula<Model>::is_energy) {
      result.f = out[0].value.value;
      result.s.push_back(-first_slope(out[0].value));
      result.trace = result.trace - second_slope(out[0]);
    } else {
      result.s.push_back(out[static_cast<std::size_t>(i)].value.value);
      result.trace = result.trace + first_slope(out[static_cast<std::size_t>(i)].value);
    }
  }
  for (Index m = 0; m < places.directions; ++m) {
    const Eigen::VectorXd v = places.V.col(place).segment(m * d, d);
    const std::vector<Scalar> out = along_line(v);
    WithTheta slope, curvature;
    if constexpr (Formula<Model>::is_energy) curvature = -second_slope(out[0]);
    for (Index j = 0; j < d; ++j) {
      const WithTheta vj{{v[j]}};
      slope = slope + vj * result.s[static_cast<std::size_t>(j)];
      if constexpr (!Formula<Model>::is_energy)
        curvature = curvature + vj * first_slope(out[static_cast<std::size_t>(j)].value);
    }
    result.slopes.push_back(slope);
    result.curvatures.push_back(curvature);
  }
  return result;
}

template <class Model>
std::vector<Answer> answers(const Formula<Model>& formula, const Places& places) {
  const Theta theta(formula.model.named_parameters());
  std::vector<Answer> all;
  for (Index place = 0; place < places.size(); ++place) all.push_back(answer(formula, theta, places, place));
  return all;
}

/// ∂²f/∂x² at one place.
inline Eigen::MatrixXd hessian(const Formula<scorematch::EnergyModel>& formula, const Places& places, Index place) {
  const Theta theta(formula.model.named_parameters(), false);
  const Index d = places.X.rows();
  Eigen::MatrixXd H(d, d);
  for (Index i = 0; i < d; ++i)
    for (Index j = 0; j < d; ++j) {
      const auto out = along(formula, theta, places, place, Eigen::VectorXd::Unit(d, i), Eigen::VectorXd::Unit(d, j));
      H(i, j) = static_cast<double>(second_slope(out[0]).value.value);
    }
  return H;
}

// ---------------------------------------------------------------------------------------------------------------------
// Comparison
// ---------------------------------------------------------------------------------------------------------------------

/// How far a number of arithmetic T may be from the truth: its running error bound. The library takes other ways to the
/// same number, but the bound is of the worst case: what is found stays below a third of it.
template <class T>
Real allowed_error(const Number& truth) {
  return static_cast<Real>(std::numeric_limits<T>::epsilon()) * truth.error +
         static_cast<Real>(std::numeric_limits<T>::min());
}

/// The worst error of many numbers, in units of what is allowed; and the largest allowance and number.
template <class T>
struct Agreement {
  Real worst = 0, loosest = 0, largest = 0;

  void see(T found, const Number& truth) {
    const Real allowed = allowed_error<T>(truth), ratio = std::abs(static_cast<Real>(found) - truth.value) / allowed;
    worst = ratio >= 0 ? std::max(worst, ratio) : std::numeric_limits<Real>::infinity();  // NaN: in either
    loosest = std::max(loosest, allowed);
    largest = std::max(largest, std::abs(truth.value));
  }

  /// Whether the allowance is small beside the numbers: else the formula amplifies rounding, and proves little.
  bool sharp() const { return loosest <= (std::is_same_v<T, double> ? 1e-10L : 1e-2L) * (largest + 1); }
};

/// How many comparisons were made, and how many of them had too large an allowance to prove much.
struct Tally {
  int compared = 0, blunt = 0;

  template <class T>
  void require_agreement(const Agreement<T>& agreement, const char* what) {
    ++compared;
    if (!agreement.sharp()) ++blunt;
    INFO(what << " in " << (std::is_same_v<T, double> ? "double" : "float"));
    REQUIRE(agreement.worst <= 1);
  }
};

/// Σ weight · truth over rows, and its θ-gradient's parts: sums over many samples, in any order.
struct WeightedSum {
  std::vector<Number> total;

  /// `weight` and `weight_size` are Σ w and Σ |w| over the rows that share this truth.
  void add(Real weight, Real weight_size, const WithTheta& truth, Real additions) {
    for (std::size_t j = 0; j < truth.slopes.size(); ++j) {
      total[j].value += weight * truth.slopes[j].value;
      total[j].error += weight_size * (truth.slopes[j].error + additions * std::abs(truth.slopes[j].value));
    }
  }
};

/// Row i of a batch of N rows asks place i mod n: a batch may be larger than the places that the reference was read at.
struct Batch {
  Index rows = 1, block = 64;
  Eigen::MatrixXd bar_S, bar_slopes;  ///< N × d, N × M: adjoints of a loss
  Eigen::VectorXd bar_curvature;      ///< N
};

inline Batch draw_batch(Draws& draws, const Places& places, Index rows, Index block) {
  return {rows, block, draws.matrix(rows, places.X.rows(), -1, 1), draws.matrix(rows, places.directions, -1, 1),
          draws.matrix(rows, 1, -1, 1)};
}

/// Asks a bound model block by block through the roles (BoundScore, BoundEnergy), and compares with the truth.
template <class T, class Bound>
void check_batch(Bound& bound, const Places& places, const std::vector<Answer>& truth, const Batch& batch, Along along,
                 bool with_score, typename Bound::Workspace& workspace, Tally& tally) {
  using scorematch::Matrix;
  constexpr Index lanes = scorematch::simd::width<scorematch::simd::Lanes<T>>;
  const Index d = places.X.rows(), n = places.size(), M = along == Along::given ? places.directions : 0;
  const bool asks_s = along != Along::given || with_score;
  scorematch::extend::Points<T> points;
  scorematch::extend::ScoreValues<T> values;
  scorematch::extend::ScoreAdjoints<T> bar;
  Agreement<T> f, s, slopes, curvature;
  Eigen::VectorXd sums = Eigen::VectorXd::Zero(bound.sum_size()), gradient(bound.parameter_count());
  points.along = along;
  points.directions = M;
  points.score = with_score;
  points.gradient = true;

  for (Index first = 0; first < batch.rows; first += batch.block) {
    const Index count = std::min(batch.block, batch.rows - first), B = (count + lanes - 1) / lanes * lanes;
    points.X.resize(B, d);
    points.sigma.resize(B);
    points.V.resize(B, M * d);
    bar.S.setZero(B, d);
    bar.slopes.setZero(B, M);
    bar.curvature.setZero(B);
    for (Index i = 0; i < B; ++i) {
      const Index row = first + std::min(i, count - 1), place = row % n;
      points.X.row(i) = places.X.col(place).transpose().template cast<T>();
      points.sigma[i] = static_cast<T>(places.sigma[place]);
      if (M > 0) points.V.row(i) = places.V.col(place).transpose().template cast<T>();
      if (i >= count) continue;
      bar.S.row(i) = batch.bar_S.row(row).template cast<T>();
      if (M > 0) bar.slopes.row(i) = batch.bar_slopes.row(row).template cast<T>();
      bar.curvature[i] = static_cast<T>(batch.bar_curvature[row]);
    }
    bound.evaluate(points, workspace, values);
    bound.pull_back(points, workspace, bar, sums);
    for (Index i = 0; i < count; ++i) {
      const Answer& a = truth[static_cast<std::size_t>((first + i) % n)];
      for (Index j = 0; asks_s && j < d; ++j) s.see(values.S(i, j), a.s[static_cast<std::size_t>(j)].value);
      Number total = a.trace.value;
      if (along == Along::given) {
        total = {};
        for (std::size_t m = 0; m < static_cast<std::size_t>(M); ++m) {
          slopes.see(values.slopes(i, static_cast<Index>(m)), a.slopes[m].value);
          total = total + a.curvatures[m].value;
        }
      }
      if (along != Along::none) curvature.see(values.curvature[i], total);
    }
    bool knows_energy = scorematch::extend::BoundEnergy<Bound, T>;
    if constexpr (requires { bound.abilities(); }) knows_energy = bound.abilities().energy;
    if constexpr (scorematch::extend::BoundEnergy<Bound, T>) {
      if (!knows_energy) continue;
      scorematch::Vector<T> energy;
      bound.energy_and_score(points, workspace, energy, values.S);
      for (Index i = 0; i < count; ++i) {
        const Answer& a = truth[static_cast<std::size_t>((first + i) % n)];
        f.see(energy[i], a.f.value);
        for (Index j = 0; j < d; ++j) s.see(values.S(i, j), a.s[static_cast<std::size_t>(j)].value);
      }
    }
  }
  tally.require_agreement(f, "f");
  tally.require_agreement(s, "s");
  tally.require_agreement(slopes, "vᵀs");
  tally.require_agreement(curvature, "the curvature");

  bound.finish(sums, gradient);
  WeightedSum expected{std::vector<Number>(static_cast<std::size_t>(gradient.size()))};
  const Real additions = 2 + static_cast<Real>(batch.rows) / 32;
  for (Index place = 0; place < n; ++place) {
    const auto pull = [&](const auto& weights, const WithTheta& number) {
      Real weight = 0, size = 0;
      for (Index row = place; row < batch.rows; row += n) weight += weights[row], size += std::abs(weights[row]);
      expected.add(weight, size, number, additions);
    };
    const Answer& a = truth[static_cast<std::size_t>(place)];
    for (Index j = 0; asks_s && j < d; ++j) pull(batch.bar_S.col(j), a.s[static_cast<std::size_t>(j)]);
    if (along == Along::axes) pull(batch.bar_curvature, a.trace);
    for (Index m = 0; m < M; ++m) {
      pull(batch.bar_slopes.col(m), a.slopes[static_cast<std::size_t>(m)]);
      pull(batch.bar_curvature, a.curvatures[static_cast<std::size_t>(m)]);
    }
  }
  Agreement<T> theta;
  for (Index j = 0; j < gradient.size(); ++j) {
    // Compared in T's tolerance, though θ-gradients are summed in double.
    const Number& total = expected.total[static_cast<std::size_t>(j)];
    theta.see(static_cast<T>(gradient[j]), total);
  }
  tally.require_agreement(theta, "the θ-gradient");
}

/// Everything that a formula is asked for, in the arithmetic T.
template <class T, class Model>
void check_in(const Formula<Model>& formula, const Places& places, const std::vector<Answer>& truth,
              const std::vector<Batch>& batches, Tally& tally) {
  auto bound = formula.model.template at<T>();
  typename decltype(bound)::Workspace workspace;
  for (const Batch& batch : batches) {
    INFO(batch.rows << " rows in blocks of " << batch.block);
    {
      INFO("along none");
      check_batch<T>(bound, places, truth, batch, Along::none, true, workspace, tally);
    }
    {
      INFO("along the axes");
      check_batch<T>(bound, places, truth, batch, Along::axes, true, workspace, tally);
    }
    if (places.directions == 0) continue;
    INFO("along " << places.directions << " given directions");
    check_batch<T>(bound, places, truth, batch, Along::given, true, workspace, tally);
    INFO("without s");
    check_batch<T>(bound, places, truth, batch, Along::given, false, workspace, tally);
  }
}

/// What the public functions give for the whole of X.
template <class T, class Model>
void check_public(const Formula<Model>& formula, const Places& places, const std::vector<Answer>& truth, Tally& tally) {
  const scorematch::Matrix<T> X = places.X.template cast<T>();
  const scorematch::Matrix<T> S = score_of(formula.model, X);
  const scorematch::Vector<T> divergence = trace_of(formula.model, X);
  Agreement<T> f, s, trace;
  for (Index i = 0; i < places.size(); ++i) {
    const Answer& a = truth[static_cast<std::size_t>(i)];
    for (Index j = 0; j < X.rows(); ++j) s.see(S(j, i), a.s[static_cast<std::size_t>(j)].value);
    trace.see(divergence[i], a.trace.value);
  }
  if constexpr (Formula<Model>::is_energy) {
    const scorematch::Vector<T> energies = energy_of(formula.model, X);
    for (Index i = 0; i < places.size(); ++i) f.see(energies[i], truth[static_cast<std::size_t>(i)].f.value);
  }
  tally.require_agreement(f, "energy_of");
  tally.require_agreement(s, "score_of");
  tally.require_agreement(trace, "trace_of");
}

/// Ranges that x, σ and θ are drawn from.
struct Ranges {
  double x_least = -2, x_most = 2, theta_least = -1.2, theta_most = 1.2;
};
inline constexpr Ranges positive{.x_least = 0.3, .x_most = 1.6, .theta_least = 0.25, .theta_most = 1.1};

inline Places draw_places(Draws& draws, Index d, Index n, Index directions, const Ranges& ranges) {
  Places places;
  places.X = draws.matrix(d, n, ranges.x_least, ranges.x_most);
  places.sigma = draws.matrix(n, 1, 0.3, 1.3);
  places.V = draws.matrix(directions * d, n, -1.5, 1.5);
  places.directions = directions;
  return places;
}

/// A formula at a drawn θ and drawn places, with the truth there.
struct Question {
  Places places;
  std::vector<Answer> truth;
};

/// Draws θ and places until no kink is nearer than 1e-3; nothing if the formula is on a kink wherever it is asked.
template <class Model>
std::optional<Question> draw_question(Formula<Model>& formula, Draws& draws, Index n, Index directions,
                                      const Ranges& ranges) {
  for (int trial = 0; trial < 50; ++trial) {
    formula.model.set_parameters(
        draws.matrix(formula.model.parameters().size(), 1, ranges.theta_least, ranges.theta_most));
    Question question{draw_places(draws, formula.model.dimension(), n, directions, ranges), {}};
    closest_kink = std::numeric_limits<Real>::infinity();
    question.truth = answers(formula, question.places);
    if (closest_kink > 1e-3L) return question;
  }
  return {};
}

/// The whole check of one formula: both scalars, all ways to ask, blocks of several sizes.
template <class Model>
void check(Formula<Model> formula, const Ranges& ranges = {}, Index n = 7, Index directions = 2,
           std::uint64_t seed = 1) {
  INFO(formula.name);
  Draws draws(seed);
  const std::optional<Question> question = draw_question(formula, draws, n, directions, ranges);
  REQUIRE(question);
  const auto& [places, truth] = *question;
  const std::vector<Batch> batches = {draw_batch(draws, places, 19, 8), draw_batch(draws, places, 67, 64),
                                      draw_batch(draws, places, 1, 500)};
  Tally tally;
  check_in<double>(formula, places, truth, batches, tally);
  check_in<float>(formula, places, truth, batches, tally);
  if (!formula.model.takes_sigma()) {
    check_public<double>(formula, places, truth, tally);
    check_public<float>(formula, places, truth, tally);
  }
  REQUIRE(tally.blunt == 0);
}

}  // namespace reference
