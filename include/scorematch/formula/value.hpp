// The language a formula is written in: values, their operators and functions.
//
//   energy_model(2, [](auto x, auto theta) {
//     auto centre = theta("centre", 2);
//     return 0.5 * exp(theta("log_stiffness")) * squared_norm(x - centre);
//   });
//
// The rules (they make one text compile in every evaluator):
//  1. Start a sum with its first term, or write `sum(n, [&](int k) { … })`; `stack(n, f)` builds a vector.
//  2. A variable keeps the kind it starts with (of x, of θ, of both).
//  3. No std:: functions or containers on values: write `exp(a)`, not `std::exp(a)`.
//  4. No branch on a value: `where(x[0] > 0, a, b)`, not `if (x[0] > 0)`.
//
// A formula runs once, when the model is made; numbers and Eigen objects it captures are copied then.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/formula/record.hpp"

namespace scorematch::formula {

/// A plain number beside a value.
template <class T>
concept Number = std::is_arithmetic_v<T>;

class Condition;

/// A number, a vector or a matrix inside a formula. Numbers meet vectors element by element; A * v is the
/// matrix-vector product when A is a matrix, else the product of the elements.
class Value {
 public:
  /// For the library: the value at this place of a recorder.
  Value(Recorder& recorder, int index) : recorder_(recorder), index_(index) {}

  /// The number of elements: rows() × cols().
  Index size() const { return node().size(); }
  /// 1 for a number.
  Index rows() const { return node().rows; }
  /// 1 unless it is a matrix.
  Index cols() const { return node().cols; }

  /// Element i, counted from 0.
  Value operator[](Index i) const {
    extend::require(i >= 0 && i < size(), {"a formula takes element ", i, " of a vector of size ", size(),
                                           "; allowed are 0 to ", size() - 1});
    return segment(i, 1);
  }

  /// The `count` elements from `first`.
  Value segment(Index first, Index count) const {
    extend::require(cols() == 1,
                    {"a formula takes elements of a ", rows(), " × ", cols(), " matrix; only vectors have elements"});
    extend::require(
        first >= 0 && first < size() && count >= 1 && count <= size() - first,
        {"a formula takes elements ", first, " to ", last_element(first, count), " of a vector of size ", size()});
    if (first == 0 && count == size()) return *this;
    const bool view = node().operation == Operation::segment;  // a view of a view is a view
    return {recorder(), recorder().add({.operation = Operation::segment,
                                        .a = view ? node().a : index_,
                                        .rows = count,
                                        .first = (view ? node().first : 0) + first})};
  }

  /// For the library: where the value is recorded.
  ///@{
  Recorder& recorder() const { return recorder_.get(); }
  int index() const { return index_; }
  const Node& node() const { return recorder().node(index_); }
  ///@}

 private:
  RecorderAtWork recorder_;
  int index_;
};

/// The result of a comparison: for `where`, `&&`, `||` and `!`, not for a branch.
class Condition {
 public:
  /// For the library: 1 where the condition holds, 0 elsewhere.
  explicit Condition(Value value) : value_(value) {}

  /// For the library: 1 where the condition holds, 0 elsewhere.
  const Value& value() const { return value_; }

  /// Does not compile: a formula cannot branch on a value.
  template <class T>
  requires std::same_as<T, bool>
  explicit operator T() const {
    static_assert(!std::same_as<T, bool>,
                  "a formula runs once, before there is any data, so it cannot branch on a value: "
                  "write where(condition, a, b) instead of if, ?: or std::max");
    return false;
  }

 private:
  Value value_;
};

// How operations are recorded. Argument-dependent look-up finds in this namespace's parent, where values live, the
// operators and the language alone: a formula's call of its user's own scaled(a, b) must not find ours beside it.
// (Templates, so that who links scorematch::precompiled need not compile them.)
namespace recording {

inline Value constant(const Value& like, double number) {
  return {like.recorder(), like.recorder().constant(&number, 1, 1)};
}

template <class Derived>
Value constant(const Value& like, const Eigen::MatrixBase<Derived>& numbers) {
  const Eigen::MatrixXd plain = numbers.template cast<double>();
  extend::require(plain.size() > 0, {"a formula uses an empty Eigen object"});
  const bool row = plain.rows() == 1;  // a row vector is taken as a vector when it meets one
  if (Derived::IsVectorAtCompileTime && row)
    return {like.recorder(), like.recorder().constant(plain.data(), plain.cols(), 1)};
  return {like.recorder(), like.recorder().constant(plain.data(), plain.rows(), plain.cols())};
}

inline std::string shape_text(const Value& v) {
  if (v.size() == 1) return "a number";
  if (v.cols() == 1) return detail::text("a vector of size ", v.size());
  return detail::text("a ", v.rows(), " × ", v.cols(), " matrix");
}

inline void require_one_formula(const Value& a, const Value& b) {
  extend::require(&a.recorder() == &b.recorder(),
                  {"a formula uses a value of another formula; values live only while theirs runs"});
}

// A node of the shape of a and b together: numbers broadcast, equal shapes pair up.
template <class = void>
Node paired(Operation operation, const Value& a, const Value& b, const char* symbol) {
  require_one_formula(a, b);
  const bool same = a.rows() == b.rows() && a.cols() == b.cols();
  extend::require(same || a.size() == 1 || b.size() == 1,
                  {"a formula has ", shape_text(a), " ", symbol, " ", shape_text(b),
                   "; the sizes must agree, or one of the two must be a number"});
  const Value& larger = a.size() >= b.size() ? a : b;
  return {.operation = operation, .a = a.index(), .b = b.index(), .rows = larger.rows(), .cols = larger.cols()};
}

// α a, folding a scale of a scale.
template <class = void>
Value scaled(const Value& a, double alpha) {
  extend::require(std::isfinite(alpha), {"a formula multiplies by ", alpha, "; a factor must be finite"});
  Node node{.operation = Operation::combine, .a = a.index(), .rows = a.rows(), .cols = a.cols(), .alpha = alpha};
  if (a.node().operation == Operation::combine && a.node().b < 0) {
    const double product = alpha * a.node().alpha;
    if (std::isnormal(product) || alpha == 0 || a.node().alpha == 0) {  // else the factors reach further than it
      node.a = a.node().a;
      node.alpha = product;
    }
  }
  if (node.alpha == 1) return {a.recorder(), node.a};
  return {a.recorder(), a.recorder().add(node)};
}

template <class = void>
Value combined(const Value& a, double alpha, const Value& b, double beta, const char* symbol) {
  Node node = paired(Operation::combine, a, b, symbol);
  node.alpha = alpha;
  node.beta = beta;
  return {a.recorder(), a.recorder().add(node)};
}

template <class = void>
Value elementwise(const elementary::Function& function, const Value& a, const elementary::Exponent& exponent = {}) {
  return {a.recorder(), a.recorder().add({.operation = Operation::function,
                                          .function = &function,
                                          .a = a.index(),
                                          .rows = a.rows(),
                                          .cols = a.cols(),
                                          .alpha = exponent.real,
                                          .first = exponent.whole})};
}

// What names the row of a function is a template, so that only who calls it compiles the function's loops.
template <class V>
concept IsValue = std::same_as<V, Value>;

template <class = void>
Value reduction(Operation operation, const Value& a) {
  return {a.recorder(), a.recorder().add({.operation = operation, .a = a.index()})};
}

// A matrix depends on θ and constants alone: the evaluators keep one a batch, not one a sample.
template <class = void>
Value matrix_times(const Value& a, const Value& b) {
  require_one_formula(a, b);
  extend::require(
      a.node().uniform && (b.cols() == 1 || b.node().uniform),
      {"a formula multiplies by a matrix that depends on x; only matrices of theta and constants can be multiplied"});
  extend::require(a.cols() == b.rows(), {"a formula multiplies ", shape_text(a), " by ", shape_text(b),
                                         "; the matrix needs ", b.rows(), " columns"});
  return {
      a.recorder(),
      a.recorder().add(
          {.operation = Operation::matrix_vector, .a = a.index(), .b = b.index(), .rows = a.rows(), .cols = b.cols()})};
}

template <class = void>
Value product(const Value& a, const Value& b) {
  if (a.cols() > 1 && b.size() > 1) return matrix_times(a, b);
  return {a.recorder(), a.recorder().add(paired(Operation::multiply, a, b, "×"))};
}

template <class = void>
Value dot_product(const Value& a, const Value& b) {
  extend::require(a.size() == b.size(),
                  {"a formula takes dot of ", shape_text(a), " and ", shape_text(b), "; the sizes must agree"});
  if (a.size() == 1) return product(a, b);
  Node node = paired(Operation::dot, a, b, "dot");
  node.rows = node.cols = 1;
  return {a.recorder(), a.recorder().add(node)};
}

inline Condition compared(Operation operation, const Value& a, const Value& b) {
  return Condition({a.recorder(), a.recorder().add(paired(operation, a, b, "compared with"))});
}

inline Value selected(const Value& condition, const Value& a, const Value& b) {
  require_one_formula(condition, a);
  Node node = paired(Operation::select, a, b, "or");
  extend::require(
      condition.size() == 1 || node.size() == 1 || (condition.rows() == node.rows && condition.cols() == node.cols),
      {"where(condition, a, b) has a condition of size ", condition.size(), " for values of size ", node.size(),
       "; the sizes must agree, or one of the two must be 1"});
  if (condition.size() > node.size()) node.rows = condition.rows(), node.cols = condition.cols();
  node.c = node.b;
  node.b = node.a;
  node.a = condition.index();
  return {a.recorder(), a.recorder().add(node)};
}

inline Value concatenated(const std::vector<Value>& parts) {
  extend::require(!parts.empty(), {"concat has no parts; at least one is needed"});
  if (parts.size() == 1) return parts.front();
  std::vector<int> indices;
  Index total = 0;
  for (const Value& part : parts) {
    require_one_formula(parts.front(), part);
    extend::require(part.cols() == 1, {"concat has ", shape_text(part), "; only numbers and vectors can be joined"});
    indices.push_back(part.index());
    total += part.size();
  }
  Recorder& recorder = parts.front().recorder();
  return {recorder, recorder.concat(indices, total)};
}

/// n of sum(n, f) and stack(n, f), for f(0) … f(n − 1) with int arguments.
template <std::integral N>
int count_of(N n, const char* what) {
  extend::require(n >= 1, {what, "(n, f) has n = ", n, "; at least one ",
                           what == std::string("sum") ? "term" : "element", " is needed"});
  extend::require(std::cmp_less_equal(n, std::numeric_limits<int>::max()),
                  {what, "(n, f) has n = ", n, "; at most ", std::numeric_limits<int>::max(), " are possible"});
  return static_cast<int>(n);
}

}  // namespace recording
using namespace recording;

// --- elementwise functions: the rows of formula/elementary.hpp ---

#define SCOREMATCH_RECORDED(name)                                     \
  template <IsValue V>                                                \
  V name(const V& a) {                                                \
    return elementwise(elementary::function_of<elementary::name>, a); \
  }
SCOREMATCH_FUNCTIONS_OF_ONE_VALUE(SCOREMATCH_RECORDED)
#undef SCOREMATCH_RECORDED

// --- arithmetic ---

/// Element by element, a number meeting every element; A * v is the matrix-vector product where A is a matrix. Throws
/// std::invalid_argument where the sizes do not agree.
///@{
inline Value operator+(const Value& a) { return a; }
inline Value operator-(const Value& a) { return scaled(a, -1); }
inline Value operator+(const Value& a, const Value& b) { return combined(a, 1, b, 1, "+"); }
inline Value operator-(const Value& a, const Value& b) { return combined(a, 1, b, -1, "−"); }

inline Value operator*(const Value& a, const Value& b) { return product(a, b); }

template <IsValue V>
V operator/(const V& a, const V& b) {
  extend::require(b.cols() == 1 || a.size() == 1 || a.cols() == b.cols(),
                  {"a formula divides ", shape_text(a), " by ", shape_text(b)});
  return {a.recorder(), a.recorder().add(paired(Operation::multiply, a, reciprocal(b), "÷"))};
}

template <Number N>
Value operator+(const Value& a, N b) {
  return a + constant(a, static_cast<double>(b));
}
template <Number N>
Value operator+(N a, const Value& b) {
  return constant(b, static_cast<double>(a)) + b;
}
template <Number N>
Value operator-(const Value& a, N b) {
  return a - constant(a, static_cast<double>(b));
}
template <Number N>
Value operator-(N a, const Value& b) {
  return constant(b, static_cast<double>(a)) - b;
}
template <Number N>
Value operator*(const Value& a, N b) {
  return scaled(a, static_cast<double>(b));
}
template <Number N>
Value operator*(N a, const Value& b) {
  return scaled(b, static_cast<double>(a));
}
template <Number N>
Value operator/(const Value& a, N b) {
  return scaled(a, 1 / static_cast<double>(b));
}
template <Number N>
Value operator/(N a, const Value& b) {
  return scaled(reciprocal(b), static_cast<double>(a));
}

template <class D>
Value operator+(const Value& a, const Eigen::MatrixBase<D>& b) {
  return a + constant(a, b);
}
template <class D>
Value operator+(const Eigen::MatrixBase<D>& a, const Value& b) {
  return constant(b, a) + b;
}
template <class D>
Value operator-(const Value& a, const Eigen::MatrixBase<D>& b) {
  return a - constant(a, b);
}
template <class D>
Value operator-(const Eigen::MatrixBase<D>& a, const Value& b) {
  return constant(b, a) - b;
}
template <class D>
Value operator*(const Value& a, const Eigen::MatrixBase<D>& b) {
  return a * constant(a, b);
}
template <class D>
Value operator*(const Eigen::MatrixBase<D>& a, const Value& b) {
  return constant(b, a) * b;
}
template <class D>
Value operator/(const Value& a, const Eigen::MatrixBase<D>& b) {
  return a / constant(a, b);
}
template <class D>
Value operator/(const Eigen::MatrixBase<D>& a, const Value& b) {
  return constant(b, a) / b;
}
///@}

/// The same in place.
///@{
inline Value& operator+=(Value& a, const auto& b) { return a = a + b; }
inline Value& operator-=(Value& a, const auto& b) { return a = a - b; }
inline Value& operator*=(Value& a, const auto& b) { return a = a * b; }
inline Value& operator/=(Value& a, const auto& b) { return a = a / b; }
///@}

// --- powers ---

/// aⁿ for a whole number n from −10⁹ to 10⁹; any a.
template <std::integral N>
Value pow(const Value& a, N n) {
  constexpr int most = 1'000'000'000;
  extend::require(std::cmp_less_equal(n, most) && std::cmp_greater_equal(n, -most),
                  {"a formula raises to the power ", n, "; whole powers are possible from ", -most, " to ", most});
  const int whole = static_cast<int>(n);
  if (whole == 1) return a;
  if (whole == 2) return square(a);
  if (whole == -1) return reciprocal(a);
  return elementwise(elementary::function_of<elementary::integer_power>, a, {.whole = whole});
}

/// a^p for a real number p; a ≥ 0 (NaN below 0, as std::pow).
template <std::floating_point N>
Value pow(const Value& a, N p) {
  extend::require(std::isfinite(p),
                  {"a formula raises to the power ", static_cast<double>(p), "; a power must be finite"});
  return elementwise(elementary::function_of<elementary::power>, a, {.real = static_cast<double>(p)});
}

/// a^p = exp(p log a) for a value p; a ≥ 0.
template <IsValue V>
V pow(const V& a, const V& p) {
  return exp(p * elementwise(elementary::function_of<elementary::log_of_base>, a));
}

// --- comparisons ---

/// Element by element, for where(condition, a, b).
///@{
inline Condition operator<(const Value& a, const Value& b) { return compared(Operation::less, a, b); }
inline Condition operator>(const Value& a, const Value& b) { return compared(Operation::less, b, a); }
inline Condition operator<=(const Value& a, const Value& b) { return compared(Operation::less_equal, a, b); }
inline Condition operator>=(const Value& a, const Value& b) { return compared(Operation::less_equal, b, a); }
template <Number N>
Condition operator<(const Value& a, N b) {
  return a < constant(a, static_cast<double>(b));
}
template <Number N>
Condition operator<(N a, const Value& b) {
  return constant(b, static_cast<double>(a)) < b;
}
template <Number N>
Condition operator>(const Value& a, N b) {
  return a > constant(a, static_cast<double>(b));
}
template <Number N>
Condition operator>(N a, const Value& b) {
  return constant(b, static_cast<double>(a)) > b;
}
template <Number N>
Condition operator<=(const Value& a, N b) {
  return a <= constant(a, static_cast<double>(b));
}
template <Number N>
Condition operator<=(N a, const Value& b) {
  return constant(b, static_cast<double>(a)) <= b;
}
template <Number N>
Condition operator>=(const Value& a, N b) {
  return a >= constant(a, static_cast<double>(b));
}
template <Number N>
Condition operator>=(N a, const Value& b) {
  return constant(b, static_cast<double>(a)) >= b;
}
///@}

/// Both, either, not: element by element.
///@{
inline Condition operator&&(const Condition& a, const Condition& b) {
  return Condition(selected(a.value(), b.value(), a.value()));
}
inline Condition operator||(const Condition& a, const Condition& b) {
  return Condition(selected(a.value(), a.value(), b.value()));
}
inline Condition operator!(const Condition& a) { return Condition(1 - a.value()); }
///@}

/// a where the condition holds, else b, element by element. Both are computed, but only the one that a sample takes
/// counts: where(x[0] > 0, sqrt(x[0]), 0) is 0 with slope 0 below 0.
inline Value where(const Condition& condition, const Value& a, const Value& b) {
  return selected(condition.value(), a, b);
}
/// The same with numbers.
template <Number N>
Value where(const Condition& condition, const Value& a, N b) {
  return where(condition, a, constant(a, static_cast<double>(b)));
}
/// The same with numbers.
template <Number N>
Value where(const Condition& condition, N a, const Value& b) {
  return where(condition, constant(b, static_cast<double>(a)), b);
}
/// The same with numbers.
template <Number N, Number M>
Value where(const Condition& condition, N a, M b) {
  return where(condition, constant(condition.value(), static_cast<double>(a)),
               constant(condition.value(), static_cast<double>(b)));
}

/// The larger of the two, element by element. Like abs, its second derivative has a delta on the kink a = b, which a
/// Laplacian, and with it implicit score matching, misses.
inline Value max(const Value& a, const Value& b) { return where(a < b, b, a); }
/// The same with a number.
template <Number N>
Value max(const Value& a, N b) {
  return max(a, constant(a, static_cast<double>(b)));
}
/// The same with a number.
template <Number N>
Value max(N a, const Value& b) {
  return max(constant(b, static_cast<double>(a)), b);
}

/// The smaller of the two; the kink as in `max`.
inline Value min(const Value& a, const Value& b) { return where(b < a, b, a); }
/// The same with a number.
template <Number N>
Value min(const Value& a, N b) {
  return min(a, constant(a, static_cast<double>(b)));
}
/// The same with a number.
template <Number N>
Value min(N a, const Value& b) {
  return min(constant(b, static_cast<double>(a)), b);
}

// --- reductions ---

/// Σ_j a_j
inline Value sum(const Value& a) { return a.size() == 1 ? a : reduction(Operation::sum, a); }
/// Σ_j a_j / size
inline Value mean(const Value& a) { return sum(a) / static_cast<double>(a.size()); }
/// Σ_j a_j b_j
inline Value dot(const Value& a, const Value& b) { return dot_product(a, b); }
/// The same with a constant vector.
template <class D>
Value dot(const Value& a, const Eigen::MatrixBase<D>& b) {
  return dot(a, constant(a, b));
}
/// The same with a constant vector.
template <class D>
Value dot(const Eigen::MatrixBase<D>& a, const Value& b) {
  return dot(constant(b, a), b);
}
/// Σ_j a_j²
template <IsValue V>
V squared_norm(const V& a) {
  return a.size() == 1 ? square(a) : dot(a, a);
}
/// √Σ_j a_j². Not differentiable at 0: there its derivatives are taken as 0, as those of |a| are.
template <IsValue V>
V norm(const V& a) {
  return sqrt(squared_norm(a));
}
/// log Σ_j exp a_j, without overflow
inline Value log_sum_exp(const Value& a) { return a.size() == 1 ? a : reduction(Operation::log_sum_exp, a); }

/// f(0) + … + f(n − 1), n ≥ 1
template <std::integral N, class F>
requires std::same_as<std::invoke_result_t<F&, int>, Value> Value sum(N n, F f) {
  const int count = count_of(n, "sum");
  Value total = f(0);
  for (int k = 1; k < count; ++k) total = total + f(k);
  return total;
}

// --- structure ---

/// The number of elements.
inline Index size(const Value& a) { return a.size(); }
/// The `count` elements from `first`, counted from 0.
inline Value segment(const Value& a, Index first, Index count) { return a.segment(first, count); }
/// The first `count` elements.
inline Value head(const Value& a, Index count) { return a.segment(0, count); }
/// The last `count` elements.
inline Value tail(const Value& a, Index count) { return a.segment(count < 0 ? 0 : a.size() - count, count); }

/// The elements of a, then of b, and so on, in one vector. Numbers may stand between values.
template <class... Rest>
Value concat(const Value& a, const Rest&... rest) {
  const auto value = [&](const auto& part) -> Value {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(part)>, Value>)
      return part;
    else if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(part)>>)
      return constant(a, static_cast<double>(part));
    else
      return constant(a, part);
  };
  return concatenated({a, value(rest)...});
}

/// The vector (f(0), …, f(n − 1)), n ≥ 1; each f(k) a number or a vector.
template <std::integral N, class F>
requires std::same_as<std::invoke_result_t<F&, int>, Value> Value stack(N n, F f) {
  const int count = count_of(n, "stack");
  std::vector<Value> parts;
  for (int k = 0; k < count; ++k) parts.push_back(f(k));
  return concatenated(parts);
}

// --- matrices of θ and constants ---

/// Column k of A, counted from 0.
inline Value column(const Value& a, Index k) {
  extend::require(
      a.node().uniform,
      {"a formula takes a column of a value that depends on x; only matrices of theta and constants have columns"});
  extend::require(k >= 0 && k < a.cols(), {"a formula takes column ", k, " of ", shape_text(a), "; it has ", a.cols()});
  if (a.cols() == 1) return a;
  return {a.recorder(),
          a.recorder().add({.operation = Operation::segment, .a = a.index(), .rows = a.rows(), .first = k * a.rows()})};
}

/// Aᵀ
inline Value transpose(const Value& a) {
  extend::require(
      a.node().uniform,
      {"a formula transposes a value that depends on x; only matrices of theta and constants have a transpose"});
  return {a.recorder(),
          a.recorder().add({.operation = Operation::transpose, .a = a.index(), .rows = a.cols(), .cols = a.rows()})};
}
/// vᵀ A v
inline Value quadratic_form(const Value& a, const Value& v) { return dot(v, a * v); }
/// The same with a constant matrix.
template <class D>
Value quadratic_form(const Eigen::MatrixBase<D>& a, const Value& v) {
  return dot(v, a * v);
}

}  // namespace scorematch::formula

namespace scorematch {

// The functions that argument-dependent look-up does not find, because no argument is a value.
using formula::concat;
using formula::stack;
using formula::sum;
using formula::where;

}  // namespace scorematch
