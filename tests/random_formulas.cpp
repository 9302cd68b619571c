// Random formulas against nested dual numbers, and the identities that tie the derivatives of random networks together.
//
// A random formula is a list of steps, each on earlier ones, so that values are shared, reach the result on several
// ways, and meet in shapes that nobody would write by hand. Seeds are fixed: nothing here fails by chance.
#include "catch.hpp"

#include <optional>
#include <string>
#include <vector>

#include "reference.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"

namespace sm = scorematch;
namespace ref = reference;
using sm::Along;
using sm::Index;

// In a generic lambda, sum(n, f) and stack(n, f) have no argument of a value's type: both readings are named here.
using ref::stack;
using ref::sum;
using sm::stack;
using sm::sum;

namespace {

// ---------------------------------------------------------------------------------------------------------------------
// A formula as data
// ---------------------------------------------------------------------------------------------------------------------

enum class Op {
  x, sigma, parameter,
  add, subtract, multiply, divide, negate, add_number, number_minus, times_number, over_number, number_over, plus_constant, constant_minus, times_constant,
  reciprocal, square, sqrt, exp, log, log1p, expm1, tanh, sigmoid, softplus, silu, sin, cos, erf, abs,
  power_whole, power_real, power_value,
  sum, mean, dot, dot_constant, squared_norm, norm, log_sum_exp, sum_of_elements,
  element, head, tail, segment, concat, concat_number, stack,
  where_less, where_both, where_either, where_not, where_numbers, max, min, max_number,
  matrix_vector, affine, constant_matrix_vector, matrix_matrix, transpose, quadratic_form,
};

constexpr const char* names[] = {
  "x", "sigma", "parameter",
  "add", "subtract", "multiply", "divide", "negate", "add_number", "number_minus", "times_number", "over_number", "number_over", "plus_constant", "constant_minus", "times_constant",
  "reciprocal", "square", "sqrt", "exp", "log", "log1p", "expm1", "tanh", "sigmoid", "softplus", "silu", "sin", "cos", "erf", "abs",
  "power_whole", "power_real", "power_value",
  "sum", "mean", "dot", "dot_constant", "squared_norm", "norm", "log_sum_exp", "sum_of_elements",
  "element", "head", "tail", "segment", "concat", "concat_number", "stack",
  "where_less", "where_both", "where_either", "where_not", "where_numbers", "max", "min", "max_number",
  "matrix_vector", "affine", "constant_matrix_vector", "matrix_matrix", "transpose", "quadratic_form",
};

struct Step {
  Op op{};
  int a = -1, b = -1, c = -1;     // earlier steps
  Index first = 0, count = 0;
  double number = 0;
  int whole = 0;
  Eigen::MatrixXd constant = {};
  std::string name = {};          // of a parameter
  Index rows = 1, cols = 1;       // of the result
  double bound = 0;               // |elements| ≤ bound
};

std::string text(const std::vector<Step>& steps) {
  std::string all;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& s = steps[i];
    all += sm::text("  v", i, " = ", names[static_cast<std::size_t>(s.op)], s.name.empty() ? "" : " ", s.name);
    for (const int operand : {s.a, s.b, s.c})
      if (operand >= 0) all += sm::text(" v", operand);
    all += sm::text("  (", s.rows, " × ", s.cols, ", first ", s.first, ", number ", s.number, ", whole ", s.whole, ")\n");
  }
  return all;
}

template <class X, class Theta>
X run(const std::vector<Step>& steps, const X& x, const X& sigma, const Theta& theta) {
  std::vector<X> v;
  for (const Step& s : steps) {
    const auto at = [&](int i) -> const X& { return v[static_cast<std::size_t>(i)]; };
    const auto compute = [&]() -> X {
      const X &a = s.a < 0 ? x : at(s.a), &b = s.b < 0 ? x : at(s.b), &c = s.c < 0 ? x : at(s.c);
      switch (s.op) {
        case Op::x: return x;
        case Op::sigma: return sigma;
        case Op::parameter:
          return s.cols > 1 ? theta(s.name, static_cast<int>(s.rows), static_cast<int>(s.cols)) : theta(s.name, static_cast<int>(s.rows));
        case Op::add: return a + b;
        case Op::subtract: return a - b;
        case Op::multiply: return a * b;
        case Op::divide: return a / b;
        case Op::negate: return -a;
        case Op::add_number: return a + s.number;
        case Op::number_minus: return s.number - a;
        case Op::times_number: return s.number * a;
        case Op::over_number: return a / s.number;
        case Op::number_over: return s.number / a;
        case Op::plus_constant: return a + s.constant.col(0);
        case Op::constant_minus: return s.constant.col(0) - a;
        case Op::times_constant: return s.constant.col(0) * a;
        case Op::reciprocal: return reciprocal(a);
        case Op::square: return square(a);
        case Op::sqrt: return sqrt(a);
        case Op::exp: return exp(a);
        case Op::log: return log(a);
        case Op::log1p: return log1p(a);
        case Op::expm1: return expm1(a);
        case Op::tanh: return tanh(a);
        case Op::sigmoid: return sigmoid(a);
        case Op::softplus: return softplus(a);
        case Op::silu: return silu(a);
        case Op::sin: return sin(a);
        case Op::cos: return cos(a);
        case Op::erf: return erf(a);
        case Op::abs: return abs(a);
        case Op::power_whole: return pow(a, s.whole);
        case Op::power_real: return pow(a, s.number);
        case Op::power_value: return pow(a, b);
        case Op::sum: return sum(a);
        case Op::mean: return mean(a);
        case Op::dot: return dot(a, b);
        case Op::dot_constant: return dot(s.constant.col(0), a);
        case Op::squared_norm: return squared_norm(a);
        case Op::norm: return norm(a);
        case Op::log_sum_exp: return log_sum_exp(a);
        case Op::sum_of_elements: return sum(static_cast<int>(a.size()), [&](int k) { return a[k] * b; });
        case Op::element: return a[s.first];
        case Op::head: return head(a, s.count);
        case Op::tail: return tail(a, s.count);
        case Op::segment: return a.segment(s.first, s.count);
        case Op::concat: return concat(a, b);
        case Op::concat_number: return concat(a, s.number, b);
        case Op::stack: return stack(static_cast<int>(s.rows), [&](int k) { return a[k % a.size()] * b; });
        case Op::where_less: return where(a < s.number, b, c);
        case Op::where_both: return where(a > s.number && c <= a, b, c);
        case Op::where_either: return where(a >= s.number || b < c, b, c);
        case Op::where_not: return where(!(s.number < a), b, c);
        case Op::where_numbers: return where(a > s.number, s.number, 1) * b + where(a <= b, c, 0.5);
        case Op::max: return max(a, b);
        case Op::min: return min(a, b);
        case Op::max_number: return max(s.number, a);
        case Op::matrix_vector: return a * b;
        case Op::affine: return c + a * b;
        case Op::constant_matrix_vector: return s.constant * a;
        case Op::matrix_matrix: return a * b;
        case Op::transpose: return transpose(a);
        case Op::quadratic_form: return quadratic_form(s.constant, a) + quadratic_form(b, a);
      }
      throw std::logic_error("unknown step");
    };
    v.push_back(compute());
  }
  return v.back();
}

// ---------------------------------------------------------------------------------------------------------------------
// Drawing one
// ---------------------------------------------------------------------------------------------------------------------

class Generator {
 public:
  Generator(Index dimension, bool takes_sigma, ref::Draws& draws) : d_(dimension), draws_(draws) {
    add({.op = Op::x, .rows = d_, .bound = x_bound});
    if (takes_sigma) add({.op = Op::sigma, .bound = 1.3});
  }

  std::vector<Step> energy(int operations) {
    grow(operations);
    int total = -1;
    for (const int loose : loose_ends()) {
      const int number = reduced(loose);
      total = total < 0 ? number : add({.op = Op::add, .a = total, .b = number, .bound = bound(total) + bound(number)});
    }
    return steps_;
  }

  std::vector<Step> score(int operations) {
    grow(operations);
    int total = -1;
    for (const int loose : loose_ends()) {
      const Index n = step(loose).rows;
      int part = loose;
      if (n != d_ && n != 1)
        part = n > d_ && draws_.chance(0.5)
                   ? add({.op = Op::segment, .a = loose, .first = n - d_, .count = d_, .rows = d_, .bound = bound(loose)})
                   : add({.op = Op::constant_matrix_vector, .a = loose, .constant = draws_.matrix(d_, n, -1, 1), .rows = d_, .bound = bound(loose) * double(n)});
      if (total < 0)
        total = part;
      else
        total = add({.op = Op::add, .a = total, .b = part, .rows = std::max(step(total).rows, step(part).rows), .bound = bound(total) + bound(part)});
    }
    if (step(total).rows != d_) add({.op = Op::stack, .a = total, .b = x_element(), .rows = d_, .bound = bound(total) * x_bound});
    return steps_;
  }

 private:
  static constexpr double x_bound = 1.5, most = 4;
  static constexpr int most_parameters = 22;

  Step& step(int i) { return steps_[static_cast<std::size_t>(i)]; }
  double bound(int i) { return step(i).bound; }

  int add(Step s) {
    for (const int operand : {s.a, s.b, s.c})
      if (operand >= 0) used_[static_cast<std::size_t>(operand)] = true;
    steps_.push_back(std::move(s));
    used_.push_back(false);
    return static_cast<int>(steps_.size()) - 1;
  }

  // Adds an operation, and keeps its elements within ±most.
  int add_tamed(Step s) {
    const Index rows = s.rows, cols = s.cols;
    const double reach = s.bound;
    const int i = add(std::move(s));
    if (reach <= most) return i;
    if (draws_.chance(0.3)) return add({.op = Op::tanh, .a = i, .rows = rows, .cols = cols, .bound = 1});
    return add({.op = Op::times_number, .a = i, .number = draws_.uniform(0.5, 0.9) * most / reach, .rows = rows, .cols = cols, .bound = most});
  }

  std::vector<int> vectors(Index size = 0) {
    std::vector<int> found;
    for (int i = 0; i < static_cast<int>(steps_.size()); ++i)
      if (step(i).cols == 1 && (size == 0 || step(i).rows == size)) found.push_back(i);
    return found;
  }
  int one_of(const std::vector<int>& all) {
    // Later steps and loose ends more often than not: formulas get deep, and little stays unused.
    for (int trial = 0; trial < 2; ++trial) {
      const int i = all[static_cast<std::size_t>(draws_.whole(0, static_cast<int>(all.size()) - 1))];
      if (!used_[static_cast<std::size_t>(i)] || draws_.chance(0.4)) return i;
    }
    return all.back();
  }
  int any() { return one_of(vectors()); }
  // A partner that meets a value of this size: the same size, or a number.
  int partner(int a) {
    const std::vector<int> same = vectors(step(a).rows), numbers = vectors(1);
    if (numbers.empty() || (draws_.chance(0.6) && same.size() > 1)) return one_of(same);
    return one_of(numbers);
  }
  int other_partner(int a) {  // not a itself: a comparison of a with a is on the kink everywhere
    for (int trial = 0; trial < 8; ++trial)
      if (const int b = partner(a); b != a) return b;
    return add({.op = Op::number_minus, .a = a, .number = draws_.uniform(0.1, 0.9), .rows = step(a).rows, .bound = bound(a) + 1});
  }
  int number() {
    const std::vector<int> numbers = vectors(1);
    return numbers.empty() ? x_element() : one_of(numbers);
  }
  int x_element() { return add({.op = Op::element, .a = 0, .first = draws_.whole(0, static_cast<int>(d_) - 1), .bound = x_bound}); }

  int parameter(Index rows, Index cols) {
    std::vector<int> known;
    for (int i = 0; i < static_cast<int>(steps_.size()); ++i)
      if (step(i).op == Op::parameter && step(i).rows == rows && step(i).cols == cols) known.push_back(i);
    const bool room = parameters_ + rows * cols <= most_parameters;
    if (!known.empty() && (!room || draws_.chance(0.3))) return known.back();
    if (!room) return -1;
    parameters_ += rows * cols;
    return add({.op = Op::parameter, .name = sm::text("p", static_cast<int>(steps_.size()) * 7 % 23, ".", steps_.size()), .rows = rows, .cols = cols, .bound = 1.2});
  }

  // log(1 + exp a) + 0.2, between 0.2 and 4.3
  int positive(int a) {
    const int s = add({.op = Op::softplus, .a = a, .rows = step(a).rows, .cols = step(a).cols, .bound = most + 0.1});
    return add({.op = Op::add_number, .a = s, .number = 0.2, .rows = step(a).rows, .cols = step(a).cols, .bound = most + 0.3});
  }

  int reduced(int a) {
    const Index n = step(a).rows;
    const double all = bound(a) * std::sqrt(static_cast<double>(n));
    if (step(a).cols > 1) return add({.op = Op::squared_norm, .a = a, .bound = all * bound(a) * static_cast<double>(step(a).cols)});
    switch (draws_.whole(0, 4)) {
      case 0: return add({.op = Op::sum, .a = a, .bound = all});
      case 1: return add({.op = Op::mean, .a = a, .bound = bound(a)});
      case 2: return add({.op = Op::squared_norm, .a = a, .bound = all * bound(a)});
      case 3: return add({.op = Op::log_sum_exp, .a = a, .bound = bound(a) + 3});
      default: return add({.op = Op::dot_constant, .a = a, .constant = draws_.matrix(n, 1, -1, 1), .bound = all});
    }
  }

  std::vector<int> loose_ends() {
    std::vector<int> found;
    for (int i = 0; i < static_cast<int>(steps_.size()); ++i)
      if (!used_[static_cast<std::size_t>(i)] && (step(i).cols == 1 || draws_.chance(0.5))) {
        if (step(i).cols == 1) {
          found.push_back(i);
        } else {
          const int number = reduced(i);
          found.push_back(number);
        }
      }
    return found;
  }

  void grow(int operations) {
    arithmetic_with(parameter(draws_.chance(0.5) ? d_ : 1, 1), 0);
    for (int k = 0; k < operations; ++k) operation();
  }

  void operation() {
    switch (draws_.whole(0, 9)) {
      case 0:
      case 1: return arithmetic();
      case 2: return with_constant();
      case 3:
      case 4: return function();
      case 5: {
        const int a = any();
        const Index n = step(a).rows;
        const double all = bound(a) * std::sqrt(static_cast<double>(n));
        switch (draws_.whole(0, 3)) {
          case 0: return void(reduced(a));
          case 1: {
            const int b = one_of(vectors(n));
            return void(add_tamed({.op = Op::dot, .a = a, .b = b, .bound = all * bound(b)}));
          }
          case 2: return void(add_tamed({.op = Op::norm, .a = positive(a), .bound = (most + 0.3) * static_cast<double>(n)}));
          default: {
            const int b = number();
            return void(add_tamed({.op = Op::sum_of_elements, .a = a, .b = b, .bound = all * bound(b)}));
          }
        }
      }
      case 6: return structure();
      case 7: return choice();
      default: return matrix();
    }
  }

  void arithmetic() {
    int a = any();
    if (draws_.chance(0.5))
      if (const int p = parameter(draws_.chance(0.5) ? step(a).rows : 1, 1); p >= 0) a = p;
    arithmetic_with(a, partner(a));
  }

  void arithmetic_with(int a, int b) {
    if (draws_.chance(0.5)) std::swap(a, b);
    const Index rows = std::max(step(a).rows, step(b).rows);
    switch (draws_.whole(0, 4)) {
      case 0: return void(add_tamed({.op = Op::add, .a = a, .b = b, .rows = rows, .bound = bound(a) + bound(b)}));
      case 1: return void(add_tamed({.op = Op::subtract, .a = a, .b = b, .rows = rows, .bound = bound(a) + bound(b)}));
      case 2:
      case 3: return void(add_tamed({.op = Op::multiply, .a = a, .b = b, .rows = rows, .bound = bound(a) * bound(b)}));
      default: return void(add_tamed({.op = Op::divide, .a = a, .b = positive(b), .rows = rows, .bound = bound(a) * 5}));
    }
  }

  void with_constant() {
    const int a = any();
    const Index n = step(a).rows;
    const double c = draws_.uniform(-2, 2);
    switch (draws_.whole(0, 8)) {
      case 0: return void(add({.op = Op::negate, .a = a, .rows = n, .bound = bound(a)}));
      case 1: return void(add_tamed({.op = Op::add_number, .a = a, .number = c, .rows = n, .bound = bound(a) + 2}));
      case 2: return void(add_tamed({.op = Op::number_minus, .a = a, .number = c, .rows = n, .bound = bound(a) + 2}));
      case 3: return void(add_tamed({.op = Op::times_number, .a = a, .number = c, .rows = n, .bound = bound(a) * 2}));
      case 4: return void(add_tamed({.op = Op::over_number, .a = a, .number = 1.7, .rows = n, .bound = bound(a)}));
      case 5: return void(add_tamed({.op = Op::number_over, .a = positive(a), .number = c, .rows = n, .bound = 10}));
      case 6: return void(add_tamed({.op = Op::plus_constant, .a = a, .constant = draws_.matrix(n, 1, -2, 2), .rows = n, .bound = bound(a) + 2}));
      case 7: return void(add_tamed({.op = Op::constant_minus, .a = a, .constant = draws_.matrix(n, 1, -2, 2), .rows = n, .bound = bound(a) + 2}));
      default: return void(add_tamed({.op = Op::times_constant, .a = a, .constant = draws_.matrix(n, 1, -2, 2), .rows = n, .bound = bound(a) * 2}));
    }
  }

  void function() {
    const int a = any();
    const Index n = step(a).rows;
    const auto of = [&](Op op, double reach) { add_tamed({.op = op, .a = a, .rows = n, .bound = reach}); };
    const auto of_positive = [&](Op op, double reach) { add_tamed({.op = op, .a = positive(a), .rows = n, .bound = reach}); };
    switch (draws_.whole(0, 18)) {
      case 0: return of_positive(Op::reciprocal, 5);
      case 1: return of(Op::square, bound(a) * bound(a));
      case 2: return of_positive(Op::sqrt, 2.2);
      case 3: return of(Op::exp, std::exp(bound(a)));
      case 4: return of_positive(Op::log, 2);
      case 5: return of_positive(Op::log1p, 2);
      case 6: return of(Op::expm1, std::exp(bound(a)));
      case 7: return of(Op::tanh, 1);
      case 8: return of(Op::sigmoid, 1);
      case 9: return of(Op::softplus, bound(a) + 0.7);
      case 10: return of(Op::silu, bound(a));
      case 11: return of(Op::sin, 1);
      case 12: return of(Op::cos, 1);
      case 13: return of(Op::erf, 1);
      case 14: return of(Op::abs, bound(a));
      case 15: {
        const int whole = draws_.whole(0, 5);
        return void(add_tamed({.op = Op::power_whole, .a = a, .whole = whole, .rows = n, .bound = std::max(1.0, std::pow(bound(a), whole))}));
      }
      case 16: {
        const int whole = draws_.whole(-3, -1);
        return void(add_tamed({.op = Op::power_whole, .a = positive(a), .whole = whole, .rows = n, .bound = std::pow(0.2, whole)}));
      }
      case 17: {
        const double p = draws_.uniform(-1.5, 2.5);
        return void(add_tamed({.op = Op::power_real, .a = positive(a), .number = p, .rows = n, .bound = std::pow(p < 0 ? 0.2 : 4.4, p)}));
      }
      default: {
        const int b = add({.op = Op::tanh, .a = partner(a), .bound = 1});
        step(b).rows = step(step(b).a).rows;
        return void(add_tamed({.op = Op::power_value, .a = positive(a), .b = b, .rows = std::max(n, step(b).rows), .bound = 5}));
      }
    }
  }

  void structure() {
    const int a = any();
    const Index n = step(a).rows;
    switch (draws_.whole(0, 6)) {
      case 0: return void(add({.op = Op::element, .a = a, .first = draws_.whole(0, static_cast<int>(n) - 1), .bound = bound(a)}));
      case 1:
      case 2:
      case 3: {
        const Index count = draws_.whole(1, static_cast<int>(n)), first = draws_.whole(0, static_cast<int>(n - count));
        const Op op = draws_.chance(0.3) ? Op::head : draws_.chance(0.3) ? Op::tail : Op::segment;
        return void(add({.op = op, .a = a, .first = first, .count = count, .rows = count, .bound = bound(a)}));
      }
      case 4: {
        const int b = any();
        return void(add({.op = Op::concat, .a = a, .b = b, .rows = n + step(b).rows, .bound = std::max(bound(a), bound(b))}));
      }
      case 5: {
        const int b = any();
        return void(add({.op = Op::concat_number, .a = a, .b = b, .number = draws_.uniform(-1, 1), .rows = n + step(b).rows + 1,
                         .bound = std::max({bound(a), bound(b), 1.0})}));
      }
      default: {
        const int b = number();
        return void(add_tamed({.op = Op::stack, .a = a, .b = b, .rows = draws_.whole(1, 7), .bound = bound(a) * bound(b)}));
      }
    }
  }

  void choice() {
    const int a = any(), b = other_partner(a);
    Index rows = std::max(step(a).rows, step(b).rows);
    if (draws_.chance(0.3)) {
      const bool larger = draws_.chance(0.5);
      return void(add({.op = larger ? Op::max : Op::min, .a = a, .b = b, .rows = rows, .bound = std::max(bound(a), bound(b))}));
    }
    const double threshold = draws_.uniform(-1, 1);
    if (draws_.chance(0.15))
      return void(add({.op = Op::max_number, .a = a, .number = threshold, .rows = step(a).rows, .bound = std::max(bound(a), 1.0)}));
    int c = -1;
    for (int trial = 0; trial < 8 && (c < 0 || c == a || c == b); ++trial) c = partner(step(a).rows >= step(b).rows ? a : b);
    if (c == a || c == b) c = add({.op = Op::add_number, .a = c, .number = draws_.uniform(0.2, 0.7), .rows = step(c).rows, .bound = bound(c) + 1});
    rows = std::max(rows, step(c).rows);
    const Op op = static_cast<Op>(static_cast<int>(Op::where_less) + draws_.whole(0, 4));
    add_tamed({.op = op, .a = a, .b = b, .c = c, .number = threshold, .rows = rows, .bound = std::max({bound(b), bound(c), 1.0}) + (op == Op::where_numbers ? bound(b) : 0)});
  }

  void matrix() {
    const int v = any();
    const Index n = step(v).rows, m = draws_.whole(1, 6);
    const double reach = 0.7 * bound(v) * std::sqrt(static_cast<double>(n));
    if (draws_.chance(0.2))
      return void(add_tamed({.op = Op::constant_matrix_vector, .a = v, .constant = draws_.matrix(m, n, -1, 1), .rows = m, .bound = reach}));
    if (n == 1) return;
    if (draws_.chance(0.2)) {
      const int A = parameter(n, n);
      if (A < 0) return;
      return void(add_tamed({.op = Op::quadratic_form, .a = v, .b = A, .constant = draws_.matrix(n, n, -1, 1), .bound = 2 * reach * bound(v) * static_cast<double>(n)}));
    }
    int A = parameter(m, n);
    if (A < 0) return;
    switch (draws_.whole(0, 3)) {
      case 0: {  // a matrix made of another: its transpose's transpose, a product, a function
        const int B = add({.op = Op::transpose, .a = A, .rows = n, .cols = m, .bound = 1.2});
        if (m > 1) A = add({.op = Op::transpose, .a = B, .rows = m, .cols = n, .bound = 1.2});
        break;
      }
      case 1: A = add({.op = Op::sin, .a = A, .rows = m, .cols = n, .bound = 1}); break;
      case 2: {
        const int B = parameter(n, n);
        if (B < 0) break;
        const int AB = add({.op = Op::matrix_matrix, .a = A, .b = B, .rows = m, .cols = n, .bound = 1.5 * static_cast<double>(n)});
        A = add({.op = Op::times_number, .a = AB, .number = 1 / static_cast<double>(n), .rows = m, .cols = n, .bound = 1.5});
        break;
      }
      default: break;
    }
    const int bias = draws_.chance(0.5) ? parameter(m, 1) : -1;
    const int product = bias < 0 ? add_tamed({.op = Op::matrix_vector, .a = A, .b = v, .rows = m, .bound = 1.5 * reach})
                                 : add_tamed({.op = Op::affine, .a = A, .b = v, .c = bias, .rows = m, .bound = 1.5 * reach + 1.2});
    if (draws_.chance(0.5)) add({.op = Op::tanh, .a = product, .rows = m, .bound = 1});
  }

  Index d_;
  ref::Draws& draws_;
  std::vector<Step> steps_;
  std::vector<bool> used_;
  Index parameters_ = 0;
};

template <class Model>
ref::Formula<Model> random_formula(Index d, bool takes_sigma, int operations, ref::Draws& draws, std::vector<int>& uses) {
  Generator generator(d, takes_sigma, draws);
  constexpr bool is_energy = ref::Formula<Model>::is_energy;
  const std::vector<Step> steps = is_energy ? generator.energy(operations) : generator.score(operations);
  for (const Step& step : steps) ++uses[static_cast<std::size_t>(step.op)];
  const auto plain = [steps](auto x, auto theta) { return run(steps, x, x, theta); };
  const auto with_sigma = [steps](auto x, auto sigma, auto theta) { return run(steps, x, sigma, theta); };
  const std::string name = "\n" + text(steps);
  if constexpr (is_energy)
    return takes_sigma ? ref::energy(name, d, with_sigma) : ref::energy(name, d, plain);
  else
    return takes_sigma ? ref::score(name, d, with_sigma) : ref::score(name, d, plain);
}

template <class Model>
void check_random_formulas(std::uint64_t first_seed, int formulas) {
  int on_kinks = 0;
  ref::Tally tally;
  std::vector<int> uses(std::size(names));
  for (int k = 0; k < formulas; ++k) {
    ref::Draws draws(first_seed + static_cast<std::uint64_t>(k));
    const Index d = 1 + k % 9;
    const bool takes_sigma = draws.chance(0.2);
    const int operations = draws.whole(4, 20);
    auto formula = random_formula<Model>(d, takes_sigma, operations, draws, uses);
    const auto question = ref::draw_question(formula, draws, 3, draws.whole(1, 2), {.x_least = -1.5, .x_most = 1.5});
    if (!question) {
      ++on_kinks;
      continue;
    }
    INFO("formula " << k << formula.name);
    constexpr Index rows[] = {1, 5, 19, 67, 130, 501}, blocks[] = {8, 64, 500};
    const std::vector<ref::Batch> batches = {ref::draw_batch(draws, question->places, rows[draws.whole(0, 5)], blocks[k % 3])};
    ref::check_in<double>(formula, question->places, question->truth, batches, tally);
    ref::check_in<float>(formula, question->places, question->truth, batches, tally);
  }
  CHECK(on_kinks < formulas / 10);  // structurally, such as |a − a|
  CHECK(tally.blunt < tally.compared / 50);
  for (std::size_t i = 0; i < uses.size(); ++i) {
    INFO(names[i]);
    CHECK(uses[i] >= 5);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Random networks
// ---------------------------------------------------------------------------------------------------------------------

// Layers of a(W h + b), then a matrix that brings them to `outputs`, and half the squared norm of x or x itself.
struct Network {
  std::vector<int> widths;
  int activation = 0, outputs = 1;

  template <class X, class Theta>
  X operator()(const X& x, const Theta& theta) const {
    X h = x;
    for (std::size_t k = 0; k < widths.size(); ++k) {
      const std::string index = sm::text(k);
      const X a = theta("W" + index, widths[k], static_cast<int>(h.size())) * h + theta("b" + index, widths[k]);
      h = activation == 0 ? tanh(a) : activation == 1 ? silu(a) : activation == 2 ? softplus(a) : activation == 3 ? sigmoid(a) : sin(a);
    }
    const X last = theta("last", outputs, static_cast<int>(h.size())) * h;
    if (outputs == 1) return last + 0.5 * squared_norm(x);
    return last - x;
  }
};

const std::vector<Network> networks = {{{7, 5}, 0}, {{3, 8, 4}, 1}, {{6}, 2}, {{2, 2}, 3}, {{9, 1, 4}, 4}};

Eigen::MatrixXd sign_vectors(Index d) {  // d × 2^d
  Eigen::MatrixXd signs(d, Index(1) << d);
  for (Index m = 0; m < signs.cols(); ++m)
    for (Index j = 0; j < d; ++j) signs(j, m) = (m >> j) % 2 == 0 ? 1 : -1;
  return signs;
}

// Sliced score matching with every sign vector as a projection.
struct every_sign_vector : sm::sliced_score_matching {
  bool deterministic() const { return true; }

  template <class T>
  void prepare(const sm::Samples<T>& samples, sm::Points<T>& points, Notes<T>&) const {
    const Eigen::MatrixXd signs = sign_vectors(samples.X.cols());
    points.X = samples.X;
    points.along = Along::given;
    points.score = exact_norm;
    points.directions = signs.cols();
    points.V = Eigen::VectorXd::Ones(samples.X.rows()) * signs.reshaped().transpose();
  }
};

template <class Model>
void check_every_sign_vector(const Model& model, const Eigen::MatrixXd& X) {
  const sm::Loss implicit = sm::loss_and_gradient(model, sm::implicit_score_matching{}, X);
  for (const bool exact_norm : {true, false}) {
    every_sign_vector sliced;
    sliced.projections = 1 << X.rows();
    sliced.exact_norm = exact_norm;
    const sm::Loss loss = sm::loss_and_gradient(model, sliced, X);
    CHECK(std::abs(loss.value - implicit.value) <= 1e-12 * (1 + std::abs(implicit.terms[0].value) + std::abs(implicit.terms[1].value)));
    REQUIRE(loss.gradient.size() == implicit.gradient.size());
    CHECK((loss.gradient - implicit.gradient).norm() <= 1e-12 * (1 + implicit.gradient.norm()));
    CHECK(implicit.gradient.norm() > 1e-3);
  }
}

}  // namespace

TEST_CASE("random energies") { check_random_formulas<sm::EnergyModel>(1000, 250); }

TEST_CASE("random scores") { check_random_formulas<sm::ScoreModel>(5000, 250); }

// Identity I9. With 2^7 = 128 vectors the directions run in chunks.
TEST_CASE("sliced score matching averaged over all sign vectors is implicit score matching") {
  ref::Draws draws(31);
  for (const Index d : {1, 2, 3, 5, 7})
    for (Network network : networks) {
      INFO("d = " << d << ", activation " << network.activation);
      const Eigen::MatrixXd X = draws.matrix(d, 21, -1.5, 1.5);
      sm::EnergyModel energy = sm::energy_model(d, network);
      energy.set_parameters(draws.matrix(energy.parameters().size(), 1, -1, 1));
      check_every_sign_vector(energy, X);
      if (d == 1) continue;  // a network with one output is an energy here
      network.outputs = static_cast<int>(d);
      sm::ScoreModel score = sm::score_model(d, network);
      score.set_parameters(draws.matrix(score.parameters().size(), 1, -1, 1));
      check_every_sign_vector(score, X);
    }
}

// Identity I10.
TEST_CASE("the forward Laplacian is the trace of the Hessian, and Hutchinson's mean over all sign vectors") {
  ref::Draws draws(32);
  for (const Index d : {1, 2, 4, 7})
    for (const Network& network : networks) {
      INFO("d = " << d << ", activation " << network.activation);
      auto formula = ref::energy("network", d, network);
      formula.model.set_parameters(draws.matrix(formula.model.parameters().size(), 1, -1, 1));
      ref::Places places = ref::draw_places(draws, d, 3, 0, {});
      const Eigen::MatrixXd signs = sign_vectors(d);
      const Eigen::VectorXd laplacian = -divergence_of(formula.model, places.X);

      constexpr Index lanes = sm::simd::width<sm::simd::Lanes<double>>, B = (3 + lanes - 1) / lanes * lanes;
      sm::Points<double> points;
      points.X.resize(B, d);
      for (Index i = 0; i < B; ++i) points.X.row(i) = places.X.col(std::min<Index>(i, 2)).transpose();
      points.along = Along::given;
      points.directions = signs.cols();
      points.V = Eigen::VectorXd::Ones(B) * signs.reshaped().transpose();
      sm::ScoreValues<double> values;
      const auto bound = formula.model.at<double>();
      sm::FormulaEnergy<double>::Workspace workspace;
      bound.evaluate(points, workspace, values);

      for (Index i = 0; i < 3; ++i) {
        const Eigen::MatrixXd H = ref::hessian(formula, places, i);
        const double tolerance = 1e-12 * (1 + H.cwiseAbs().sum());
        CHECK(std::abs(laplacian[i] - H.trace()) <= tolerance);
        CHECK(std::abs(-values.curvature[i] / static_cast<double>(signs.cols()) - H.trace()) <= tolerance);
        CHECK((H - H.transpose()).cwiseAbs().maxCoeff() <= tolerance);
      }
    }
}

// Directions run in chunks of at most 64: two chunks, two with an empty direction at the end, three.
TEST_CASE("many directions") {
  const auto energy = [](auto x, auto theta) {
    const Eigen::MatrixXd C = Eigen::MatrixXd::Ones(5, size(x)) - 0.3 * Eigen::MatrixXd::Identity(5, size(x));
    return dot(theta("c", 5), tanh(0.1 * (C * x) + theta("b", 5))) + 0.5 * exp(theta("stiffness")) * squared_norm(x) + log_sum_exp(x);
  };
  const auto score = [](auto x, auto theta) { return theta("a") * sin(x) - theta("b") * x * mean(square(x)) + theta("c") * squared_norm(x); };
  const auto check = [](auto formula, Index directions) {
    INFO("d = " << formula.model.dimension() << ", " << directions << " directions");
    ref::Draws draws(33);
    const auto question = ref::draw_question(formula, draws, 2, directions, {});
    REQUIRE(question);
    const std::vector<ref::Batch> batches = {ref::draw_batch(draws, question->places, 5, 64)};
    ref::Tally tally;
    ref::check_in<double>(formula, question->places, question->truth, batches, tally);
    ref::check_in<float>(formula, question->places, question->truth, batches, tally);
  };
  for (const Index directions : {64, 65, 130}) {
    check(ref::energy("energy", 3, energy), directions);
    check(ref::score("score", 3, score), directions);
  }
  check(ref::energy("energy", 70, energy), 2);
  check(ref::score("score", 70, score), 2);
}
