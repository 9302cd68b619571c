// Random formulas against nested dual numbers (reference.hpp).
//
// A random formula is a list of steps, each on earlier ones, so that values are shared, reach the result on several
// ways, and meet in shapes that nobody would write by hand. Seeds are fixed: nothing here fails by chance.
#include "catch.hpp"

#include <optional>
#include <string>
#include <vector>

#include "reference.hpp"

namespace sm = scorematch;
namespace ref = reference;
using sm::Index;
using sm::extend::Along;

// In a generic lambda, sum(n, f) and stack(n, f) have no argument of a value's type: both readings are named here.
using ref::stack;
using ref::sum;
using sm::stack;
using sm::sum;

namespace {

// ---------------------------------------------------------------------------------------------------------------------
// A formula as data
// ---------------------------------------------------------------------------------------------------------------------

// clang-format off
#define OPERATIONS(each)                                                                                           \
  each(x) each(sigma) each(parameter)                                                                              \
  each(add) each(subtract) each(multiply) each(divide) each(negate) each(add_number) each(number_minus)            \
  each(times_number) each(over_number) each(number_over) each(plus_constant) each(constant_minus)                  \
  each(times_constant) each(constant_over)                                                                         \
  each(reciprocal) each(square) each(sqrt) each(exp) each(log) each(log1p) each(expm1) each(tanh) each(sigmoid)    \
  each(softplus) each(silu) each(sin) each(cos) each(erf) each(abs)                                                \
  each(power_whole) each(power_real) each(power_value)                                                             \
  each(sum) each(mean) each(dot) each(dot_constant) each(squared_norm) each(norm) each(log_sum_exp)                \
  each(sum_of_elements) each(element) each(head) each(tail) each(segment) each(concat) each(concat_number)         \
  each(stack)                                                                                                      \
  each(where_less) each(where_both) each(where_either) each(where_not) each(where_numbers)                         \
  each(max) each(min) each(max_number)                                                                             \
  each(matrix_vector) each(affine) each(constant_matrix_vector) each(matrix_matrix) each(transpose)                \
  each(quadratic_form)
// clang-format on
#define ENUMERATOR(name) name,
#define NAME(name) #name,
enum class Op { OPERATIONS(ENUMERATOR) };
constexpr const char* names[] = {OPERATIONS(NAME)};
#undef NAME
#undef ENUMERATOR
#undef OPERATIONS

struct Step {
  Op op{};
  int a = -1, b = -1, c = -1;  // earlier steps
  Index first = 0, count = 0;
  double number = 0;
  int whole = 0;
  Eigen::MatrixXd constant = {};
  std::string name = {};     // of a parameter
  Index rows = 1, cols = 1;  // of the result
  double bound = 0;          // |elements| ≤ bound
};

std::string text(const std::vector<Step>& steps) {
  std::string all;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& s = steps[i];
    all += sm::detail::text("  v", i, " = ", names[static_cast<std::size_t>(s.op)], s.name.empty() ? "" : " ", s.name);
    for (const int operand : {s.a, s.b, s.c})
      if (operand >= 0) all += sm::detail::text(" v", operand);
    all += sm::detail::text("  (", s.rows, " × ", s.cols, ", first ", s.first, ", number ", s.number, ", whole ",
                            s.whole, ")\n");
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
      // clang-format off
      switch (s.op) {
        case Op::x: return x;
        case Op::sigma: return sigma;
        case Op::parameter: return s.cols > 1 ? theta(s.name, static_cast<int>(s.rows), static_cast<int>(s.cols))
                            : theta(s.name, static_cast<int>(s.rows));
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
        case Op::constant_over: return s.constant.col(0) / a;
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
      // clang-format on
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
      const int part = reduced(loose);
      total = total < 0 ? part : add({.op = Op::add, .a = total, .b = part, .bound = bound(total) + bound(part)});
    }
    return steps_;
  }

  std::vector<Step> score(int operations) {
    grow(operations);
    int total = -1;
    for (const int loose : loose_ends()) {
      const int part = of_size_of_x(loose);
      const Index rows = std::max(step(part).rows, total < 0 ? 1 : step(total).rows);
      total = total < 0 ? part : add({.op = Op::add, .a = total, .b = part, .rows = rows, .bound = bound(part)});
    }
    if (step(total).rows != d_) {
      const int element = x_element();
      add({.op = Op::stack, .a = total, .b = element, .rows = d_, .bound = bound(total)});
    }
    return steps_;
  }

 private:
  static constexpr double x_bound = 1.5, most = 4, most_of_positive = most + 0.3;
  static constexpr int most_parameters = 22;

  struct Alternative {
    Op op{};
    double bound = 0;
    bool positive = false;  // its argument must be
  };

  Step& step(int i) { return steps_[static_cast<std::size_t>(i)]; }
  double bound(int i) { return step(i).bound; }
  Index last_index(Index size) { return draws_.whole(0, static_cast<int>(size) - 1); }

  int add(Step s) {
    for (const int operand : {s.a, s.b, s.c})
      if (operand >= 0) used_[static_cast<std::size_t>(operand)] = true;
    steps_.push_back(std::move(s));
    used_.push_back(false);
    return static_cast<int>(steps_.size()) - 1;
  }

  // Adds an operation, and keeps its elements within ±most, nearly.
  int add_tamed(const Step& s) {
    Step tamed{.a = add(s), .rows = s.rows, .cols = s.cols, .bound = most};
    if (s.bound <= most) return tamed.a;
    tamed.op = draws_.chance(0.3) ? Op::tanh : Op::times_number;
    tamed.number = draws_.uniform(0.5, 0.9) * most / s.bound;
    return add(tamed);
  }

  std::vector<int> vectors(Index size = 0) {
    std::vector<int> found;
    for (int i = 0; i < static_cast<int>(steps_.size()); ++i)
      if (step(i).cols == 1 && (size == 0 || step(i).rows == size)) found.push_back(i);
    return found;
  }

  // Late steps and unused ones more often than not: formulas get deep, and little stays unused.
  int one_of(const std::vector<int>& all) {
    for (int trial = 0; trial < 2; ++trial) {
      const int i = all[static_cast<std::size_t>(last_index(static_cast<Index>(all.size())))];
      if (!used_[static_cast<std::size_t>(i)] || draws_.chance(0.4)) return i;
    }
    return all.back();
  }
  int any() { return one_of(vectors()); }
  int number() {
    const std::vector<int> numbers = vectors(1);
    return numbers.empty() ? x_element() : one_of(numbers);
  }
  int x_element() { return add({.op = Op::element, .a = 0, .first = last_index(d_), .bound = x_bound}); }

  // A value that a can meet: of the same size, or a number.
  int partner(int a) { return draws_.chance(0.6) ? one_of(vectors(step(a).rows)) : number(); }

  // … and neither a nor b: a comparison of a value with itself is on the kink everywhere.
  int other_partner(int a, int b) {
    int c = a;
    for (int trial = 0; trial < 8 && (c == a || c == b); ++trial) c = partner(a);
    if (c != a && c != b) return c;
    const double shift = draws_.uniform(0.2, 0.7);
    return add({.op = Op::add_number, .a = c, .number = shift, .rows = step(c).rows, .bound = bound(c) + 1});
  }

  // A new parameter, or one of this shape again; −1 where there would be too many.
  int parameter(Index rows, Index cols) {
    int known = -1;
    for (int i = 0; i < static_cast<int>(steps_.size()); ++i)
      if (step(i).op == Op::parameter && step(i).rows == rows && step(i).cols == cols) known = i;
    const bool room = parameters_ + rows * cols <= most_parameters;
    if (!room || (known >= 0 && draws_.chance(0.3))) return known;
    parameters_ += rows * cols;
    const std::size_t n = steps_.size();
    return add({.op = Op::parameter,
                .name = sm::detail::text("p", n * 7 % 23, ".", n),
                .rows = rows,
                .cols = cols,
                .bound = 1.2});
  }

  // log(1 + exp a) + 0.2
  int positive(int a) {
    const Index rows = step(a).rows;
    const int s = add({.op = Op::softplus, .a = a, .rows = rows, .bound = most_of_positive});
    return add({.op = Op::add_number, .a = s, .number = 0.2, .rows = rows, .bound = most_of_positive});
  }

  int reduced(int a) {
    const Index n = step(a).rows;
    const double root = std::sqrt(static_cast<double>(step(a).rows * step(a).cols));
    if (step(a).cols > 1) return add({.op = Op::squared_norm, .a = a, .bound = bound(a) * bound(a) * root});
    switch (draws_.whole(0, 4)) {
      case 0:
        return add({.op = Op::sum, .a = a, .bound = bound(a) * root});
      case 1:
        return add({.op = Op::mean, .a = a, .bound = bound(a)});
      case 2:
        return add({.op = Op::squared_norm, .a = a, .bound = bound(a) * bound(a) * root});
      case 3:
        return add({.op = Op::log_sum_exp, .a = a, .bound = bound(a) + 3});
      default:
        return add({.op = Op::dot_constant, .a = a, .constant = draws_.matrix(n, 1, -1, 1), .bound = bound(a) * root});
    }
  }

  // Something of a's with d elements, or a number.
  int of_size_of_x(int a) {
    const Index n = step(a).rows;
    if (step(a).cols > 1) return reduced(a);
    if (n == d_ || n == 1) return a;
    Step s{.op = Op::constant_matrix_vector, .a = a, .rows = d_, .bound = bound(a)};
    if (n > d_ && draws_.chance(0.5))
      s.op = Op::segment, s.first = n - d_, s.count = d_;
    else
      s.constant = draws_.matrix(d_, n, -1, 1);
    return add(s);
  }

  std::vector<int> loose_ends() {
    std::vector<int> found;
    for (int i = 0; i < static_cast<int>(steps_.size()); ++i)
      if (!used_[static_cast<std::size_t>(i)]) found.push_back(i);
    return found;
  }

  void grow(int operations) {
    arithmetic(parameter(draws_.chance(0.5) ? d_ : 1, 1), 0);
    for (int k = 0; k < operations; ++k) switch (draws_.whole(0, 9)) {
        case 0:
        case 1: {
          int a = any();
          if (draws_.chance(0.5))
            if (const int p = parameter(draws_.chance(0.5) ? step(a).rows : 1, 1); p >= 0) a = p;
          const int b = partner(a);
          arithmetic(a, b);
          break;
        }
        case 2:
          with_constant(any());
          break;
        case 3:
        case 4:
          function(any());
          break;
        case 5:
          reduction(any());
          break;
        case 6:
          structure(any());
          break;
        case 7:
          choice(any());
          break;
        default:
          matrix(any());
      }
  }

  void arithmetic(int a, int b) {
    if (draws_.chance(0.5)) std::swap(a, b);
    const Alternative all[] = {{Op::add, bound(a) + bound(b)},
                               {Op::subtract, bound(a) + bound(b)},
                               {Op::multiply, bound(a) * bound(b)},
                               {Op::multiply, bound(a) * bound(b)},
                               {Op::divide, bound(a) * 5, true}};
    const Alternative& s = all[draws_.whole(0, 4)];
    if (s.positive) b = positive(b);
    add_tamed({.op = s.op, .a = a, .b = b, .rows = std::max(step(a).rows, step(b).rows), .bound = s.bound});
  }

  void with_constant(int a) {
    const double m = bound(a), c = draws_.uniform(0.5, 2) * (draws_.chance(0.5) ? 1 : -1);
    const Alternative all[] = {{Op::negate, m},
                               {Op::add_number, m + 2},
                               {Op::number_minus, m + 2},
                               {Op::times_number, 2 * m},
                               {Op::over_number, 2 * m},
                               {Op::number_over, 10, true},
                               {Op::plus_constant, m + 2},
                               {Op::constant_minus, m + 2},
                               {Op::times_constant, 2 * m},
                               {Op::constant_over, 10, true}};
    const Alternative& s = all[draws_.whole(0, 9)];
    const Index n = step(a).rows;
    if (s.positive) a = positive(a);
    add_tamed({.op = s.op, .a = a, .number = c, .constant = draws_.matrix(n, 1, -2, 2), .rows = n, .bound = s.bound});
  }

  void function(int a) {
    const double m = bound(a), p = draws_.uniform(-1.5, 2.5);
    const Index n = step(a).rows;
    const int whole = draws_.whole(0, 5), negative = draws_.whole(-3, -1);
    const Alternative all[] = {{Op::reciprocal, 5, true},
                               {Op::square, m * m},
                               {Op::sqrt, 2.2, true},
                               {Op::exp, std::exp(m)},
                               {Op::log, 2, true},
                               {Op::log1p, 2, true},
                               {Op::expm1, std::exp(m)},
                               {Op::tanh, 1},
                               {Op::sigmoid, 1},
                               {Op::softplus, m + 0.7},
                               {Op::silu, m},
                               {Op::sin, 1},
                               {Op::cos, 1},
                               {Op::erf, 1},
                               {Op::abs, m},
                               {Op::power_value, 5, true},
                               {Op::power_whole, std::max(1.0, std::pow(m, whole))},
                               {Op::power_whole, std::pow(0.2, negative), true},
                               {Op::power_real, std::pow(p < 0 ? 0.2 : most_of_positive, p), true}};
    const Alternative& s = all[draws_.whole(0, 18)];
    Step made{.op = s.op, .a = a, .number = p, .whole = s.positive ? negative : whole, .rows = n, .bound = s.bound};
    if (s.op == Op::power_value) {
      const int exponent = partner(a);
      made.b = add({.op = Op::tanh, .a = exponent, .rows = step(exponent).rows, .bound = 1});
      made.rows = std::max(n, step(exponent).rows);
    }
    if (s.positive) made.a = positive(a);
    add_tamed(made);
  }

  void reduction(int a) {
    const Index n = step(a).rows;
    const double root = std::sqrt(static_cast<double>(n));
    switch (draws_.whole(0, 3)) {
      case 0: {
        reduced(a);
        break;
      }
      case 1: {
        const int b = one_of(vectors(n));
        add_tamed({.op = Op::dot, .a = a, .b = b, .bound = bound(a) * bound(b) * root});
        break;
      }
      case 2: {
        add_tamed({.op = Op::norm, .a = positive(a), .bound = most_of_positive * root});
        break;
      }
      default: {
        const int b = number();
        add_tamed({.op = Op::sum_of_elements, .a = a, .b = b, .bound = bound(a) * bound(b) * root});
      }
    }
  }

  void structure(int a) {
    const Index n = step(a).rows, count = 1 + last_index(n), first = last_index(n - count + 1);
    const Op views[] = {Op::segment, Op::segment, Op::head, Op::tail};
    const int b = any();
    const double m = std::max({bound(a), bound(b), 1.0}), c = draws_.uniform(-1, 1);
    switch (draws_.whole(0, 6)) {
      case 0:
        add({.op = Op::element, .a = a, .first = first, .bound = bound(a)});
        break;
      case 1:
        add({.op = Op::concat, .a = a, .b = b, .rows = n + step(b).rows, .bound = m});
        break;
      case 2:
        add({.op = Op::concat_number, .a = a, .b = b, .number = c, .rows = n + step(b).rows + 1, .bound = m});
        break;
      case 3: {
        const int factor = number();
        add_tamed({.op = Op::stack, .a = a, .b = factor, .rows = draws_.whole(1, 7), .bound = m * bound(factor)});
        break;
      }
      default:
        add({.op = views[draws_.whole(0, 3)],
             .a = a,
             .first = first,
             .count = count,
             .rows = count,
             .bound = bound(a)});
    }
  }

  void choice(int a) {
    const int b = other_partner(a, a);
    const Index rows = std::max(step(a).rows, step(b).rows);
    const double m = std::max({bound(a), bound(b), 1.0}), threshold = draws_.uniform(-1, 1);
    const int which = draws_.whole(0, 7);
    if (which == 7) {
      add({.op = Op::max_number, .a = a, .number = threshold, .rows = step(a).rows, .bound = m});
    } else if (which >= 5) {
      add({.op = which == 5 ? Op::max : Op::min, .a = a, .b = b, .rows = rows, .bound = m});
    } else {
      const int c = other_partner(step(a).rows >= step(b).rows ? a : b, step(a).rows >= step(b).rows ? b : a);
      const Op ops[] = {Op::where_less, Op::where_both, Op::where_either, Op::where_not, Op::where_numbers};
      const double reach = which == 4 ? bound(b) + std::max(bound(c), 1.0) : std::max(bound(b), bound(c));
      add_tamed({.op = ops[which],
                 .a = a,
                 .b = b,
                 .c = c,
                 .number = threshold,
                 .rows = std::max(rows, step(c).rows),
                 .bound = reach});
    }
  }

  void matrix(int v) {
    const Index n = step(v).rows, m = draws_.whole(1, 6);
    const double reach = bound(v) * std::sqrt(static_cast<double>(n));
    if (n == 1 || draws_.chance(0.2)) {
      add_tamed({.op = Op::constant_matrix_vector,
                 .a = v,
                 .constant = draws_.matrix(m, n, -1, 1),
                 .rows = m,
                 .bound = reach});
      return;
    }
    const bool form = draws_.chance(0.2);
    int A = parameter(form ? n : m, n);
    if (A < 0) return;
    if (form) {
      add_tamed({.op = Op::quadratic_form,
                 .a = v,
                 .b = A,
                 .constant = draws_.matrix(n, n, -1, 1),
                 .bound = 2 * reach * reach});
      return;
    }
    const int made_of = draws_.whole(0, 3);
    if (made_of == 0 && m > 1) {
      if (const int B = parameter(n, m); B >= 0)
        A = add({.op = Op::transpose, .a = B, .rows = m, .cols = n, .bound = 1.2});
    } else if (made_of == 1) {
      A = add({.op = Op::sin, .a = A, .rows = m, .cols = n, .bound = 1});
    } else if (made_of == 2) {
      if (const int B = parameter(n, n); B >= 0)
        A = add({.op = Op::matrix_matrix, .a = A, .b = B, .rows = m, .cols = n, .bound = 1.5});
    }
    const int bias = draws_.chance(0.5) ? parameter(m, 1) : -1;
    const int product = add_tamed(
        {.op = bias < 0 ? Op::matrix_vector : Op::affine, .a = A, .b = v, .c = bias, .rows = m, .bound = reach + 1});
    if (draws_.chance(0.5)) add({.op = Op::tanh, .a = product, .rows = m, .bound = 1});
  }

  Index d_;
  ref::Draws& draws_;
  std::vector<Step> steps_;
  std::vector<bool> used_;
  Index parameters_ = 0;
};

template <class Model>
ref::Formula<Model> random_formula(Index d, bool takes_sigma, int operations, ref::Draws& draws,
                                   std::vector<int>& uses) {
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

// Instrumented, the reference takes long, and errors of memory are not rare ones.
constexpr bool instrumented = SCOREMATCH_ADDRESS_SANITIZER;
constexpr int formulas_of_each = instrumented ? 60 : 250;

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
    const std::vector<ref::Batch> batches = {
        ref::draw_batch(draws, question->places, rows[draws.whole(0, 5)], blocks[k % 3])};
    ref::check_in<double>(formula, question->places, question->truth, batches, tally);
    ref::check_in<float>(formula, question->places, question->truth, batches, tally);
  }
  CHECK(on_kinks < formulas / 10);  // structurally, such as |a − a|
  CHECK(tally.blunt < tally.compared / 50);
  for (std::size_t i = 0; i < uses.size() && !instrumented; ++i) {
    INFO(names[i]);
    CHECK(uses[i] >= 5);
  }
}

}  // namespace

TEST_CASE("random energies") { check_random_formulas<sm::EnergyModel>(1000, formulas_of_each); }

TEST_CASE("random scores") { check_random_formulas<sm::ScoreModel>(5000, formulas_of_each); }

// Directions run in chunks of at most 64: two chunks, two with an empty direction at the end, three.
TEST_CASE("many directions") {
  const auto energy = [](auto x, auto theta) {
    const Eigen::MatrixXd C = Eigen::MatrixXd::Ones(5, size(x)) - 0.3 * Eigen::MatrixXd::Identity(5, size(x));
    return dot(theta("c", 5), tanh(0.1 * (C * x) + theta("b", 5))) + 0.5 * exp(theta("stiffness")) * squared_norm(x) +
           log_sum_exp(x);
  };
  const auto score = [](auto x, auto theta) {
    return theta("a") * sin(x) - theta("b") * x * mean(square(x)) + theta("c") * squared_norm(x);
  };
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
