// Every primitive of the formula language: value, score, curvature and θ-gradient against nested dual numbers
// (reference.hpp), in double and float, along no directions, the axes and given ones, in blocks of several sizes.
// Seeds are fixed: nothing here fails by chance.
#include "catch.hpp"

#include <functional>
#include <string>
#include <vector>

#include "reference.hpp"

namespace sm = scorematch;
namespace ref = reference;
using ref::check;
using ref::energy;
using ref::score;
using sm::Index;

// In a generic lambda, sum(n, f) and stack(n, f) have no argument of a value's type: both readings are named here.
using ref::stack;
using ref::sum;
using sm::stack;
using sm::sum;

namespace {

// One elementwise function in both readings, so that the formulas around it are compiled once.
class Elementwise {
 public:
  template <class F>
  Elementwise(std::string of, F f, ref::Ranges at = {}) : name(std::move(of)), ranges(at), library_(f), reference_(f) {}

  sm::formula::Value operator()(const sm::formula::Value& a) const { return library_(a); }
  ref::Value operator()(const ref::Value& a) const { return reference_(a); }

  std::string name;
  ref::Ranges ranges;

 private:
  std::function<sm::formula::Value(const sm::formula::Value&)> library_;
  std::function<ref::Value(const ref::Value&)> reference_;
};

// φ of values that are affine and curved in x, of θ alone, of x alone; in energies and in a score. Positive arguments
// stay positive.
void check_elementwise(const Elementwise& phi) {
  INFO(phi.name);
  const auto affine = [phi](auto x, auto theta) {
    return dot(theta("c", 3), phi(theta("W", 3, 2) * x + theta("b", 3)));
  };
  const auto curved = [phi](auto x, auto theta) { return sum(phi(theta("a", 2) * square(x) + 0.25 * x)) * theta("c"); };
  const auto uniform = [phi](auto x, auto theta) {
    return squared_norm(x) * phi(theta("u")) + dot(phi(theta("v", 2)), x) + sum(phi(theta("M", 2, 3)));
  };
  const auto of_x = [phi](auto x, auto) { return phi(x[0]) + 0.5 * phi(x)[1]; };
  const auto field = [phi](auto x, auto theta) {
    return phi(theta("a", 2) * x + 0.25) * x[1] + phi(theta("A", 2, 2)) * x;
  };
  check(energy("of an affine value", 2, affine), phi.ranges);
  check(energy("of a curved value", 2, curved), phi.ranges);
  check(energy("of theta", 2, uniform), phi.ranges);
  check(energy("of x", 2, of_x), phi.ranges);
  check(score("in a score", 2, field), phi.ranges);
}

}  // namespace

TEST_CASE("elementwise functions") {
  const std::vector<Elementwise> functions = {
      {"square", [](auto a) { return square(a); }},
      {"exp", [](auto a) { return exp(a); }},
      {"expm1", [](auto a) { return expm1(a); }},
      {"tanh", [](auto a) { return tanh(a); }},
      {"sigmoid", [](auto a) { return sigmoid(a); }},
      {"softplus", [](auto a) { return softplus(a); }},
      {"silu", [](auto a) { return silu(a); }},
      {"sin", [](auto a) { return sin(a); }},
      {"cos", [](auto a) { return cos(a); }},
      {"erf", [](auto a) { return erf(a); }},
      {"abs", [](auto a) { return abs(a); }},
      {"reciprocal", [](auto a) { return reciprocal(a); }, ref::positive},
      {"sqrt", [](auto a) { return sqrt(a); }, ref::positive},
      {"log", [](auto a) { return log(a); }, ref::positive},
      {"log1p", [](auto a) { return log1p(a); }, ref::positive},
      {"log1p of −1 to 0", [](auto a) { return log1p(-0.2 * a); }, ref::positive},
      {"max with a number", [](auto a) { return max(a, 0.3) + max(-1, a); }},
      {"min with a number", [](auto a) { return min(a, 0.3) + min(-1, a); }},
  };
  for (const Elementwise& phi : functions) check_elementwise(phi);
}

TEST_CASE("powers") {
  for (int n = 0; n <= 5; ++n) check_elementwise({"pow " + std::to_string(n), [n](auto a) { return pow(a, n); }});
  for (int n = -3; n < 0; ++n) {
    check_elementwise({"pow " + std::to_string(n), [n](auto a) { return pow(a, n); }, ref::positive});
    check_elementwise({"pow " + std::to_string(n) + " below 0", [n](auto a) { return pow(-a, n); }, ref::positive});
  }
  for (const double p : {-1.5, 0.5, 1.0, 2.0, 2.5, 3.0})
    check_elementwise({"pow " + std::to_string(p), [p](auto a) { return pow(a, p); }, ref::positive});
  check(energy("exponents of theta", 2,
               [](auto x, auto theta) { return sum(pow(x, theta("p", 2))) + sum(pow(x, theta("q"))); }),
        ref::positive);
  check(energy("an exponent of x", 2,
               [](auto x, auto theta) { return pow(theta("a") + x[1], x[0]) + pow(theta("a"), theta("b")) * x[0]; }),
        ref::positive);
}

// Where a naïve φ loses all digits, or overflows.
TEST_CASE("elementwise functions at small and large arguments") {
  const ref::Ranges small{.x_least = -1e-4, .x_most = 1e-4};
  check(energy("expm1", 2, [](auto x, auto) { return sum(expm1(x)); }), small);
  check(energy("log1p", 2, [](auto x, auto) { return sum(log1p(x)); }), small);
  check(energy("sin", 2, [](auto x, auto) { return sum(sin(x)); }), small);
  check(energy("tanh", 2, [](auto x, auto) { return sum(tanh(x)); }), small);
  check(energy("erf", 2, [](auto x, auto) { return sum(erf(x)); }), small);
  const ref::Ranges large{.x_least = -80, .x_most = 80};
  check(energy("tanh", 2, [](auto x, auto) { return sum(tanh(x)); }), large);
  check(energy("erf", 2, [](auto x, auto) { return sum(erf(x)); }), large);
  check(energy("sigmoid", 2, [](auto x, auto) { return sum(sigmoid(x)); }), large);
  check(energy("softplus", 2, [](auto x, auto) { return sum(softplus(x)); }), large);
  check(energy("silu", 2, [](auto x, auto) { return sum(silu(x)); }), large);
  check(energy("log_sum_exp", 3, [](auto x, auto) { return log_sum_exp(x); }), {.x_least = -800, .x_most = 800});
}

TEST_CASE("arithmetic") {
  const Eigen::Vector3d c(0.5, -1.25, 2);
  const Eigen::RowVector3f row(1, 3, -2);
  check(energy("+", 3, [=](auto x, auto theta) {
    auto a = x + theta("b", 3);
    auto b = theta("s") + x * x;
    auto e = (2 + a) + (b + 0.3F) + (c + x) + (square(x) + row) + x[1];
    return dot(theta("w", 3), e * e) + (theta("s") + theta("b", 3))[2];
  }));
  check(energy("−", 3, [=](auto x, auto theta) {
    auto a = x - theta("b", 3);
    auto b = theta("s") - x * x;
    auto e = (2U - a) - (b - 0.3F) - (c - x) - (square(x) - row) - x[1];
    return dot(theta("w", 3), e * e) + (theta("s") - theta("b", 3))[2] - (-(+x))[0];
  }));
  check(energy("×", 3, [=](auto x, auto theta) {
    auto a = x * theta("b", 3);
    auto b = theta("s") * (x * x);
    return sum((3 * a) * (b * 0.3F) * (c * x)) + sum((x * row) * x[1]) + sum(x[0] * square(x)) +
           (theta("s") * theta("b", 3))[1] * x[0] * x[1] * x[2];
  }));
  check(energy("÷", 3,
               [=](auto x, auto theta) {
                 auto a = x / theta("b", 3);
                 auto b = theta("s") / (x * x);
                 return sum((3 / a) * (b / 2)) + sum(x / c) + sum(x / x[1]) + sum(c / x) + sum(x[0] / square(x)) +
                        (theta("s") / theta("b", 3))[1] * x[0] + (theta("b", 3) / theta("s"))[1] / x[1];
               }),
        ref::positive);
  check(energy("assignments", 3, [=](auto x, auto theta) {
    auto a = x * theta("b", 3);
    a += x;
    a -= c;
    a *= theta("s");
    a /= 2 + square(x);
    a += 1;
    return dot(a, a);
  }));
  check(score("a scale of a scale", 3,
              [](auto x, auto theta) { return -(2 * (0.25 * (x * -1))) + 4 * (theta("b", 3) / 8) + 1 * x / 1; }));
}

TEST_CASE("a number of x meets vectors") {
  check(energy("in every operation", 3,
               [](auto x, auto theta) {
                 auto sum_first = sin(x[0] * x[1]), product_first = exp(0.3 * x[2]), choice_first = cos(x[1] * x[2]);
                 return dot(theta("w", 3), tanh(sum_first + square(x))) + sum(sin(theta("b", 3) - 2 * sum_first)) +
                        squared_norm(product_first * sin(x)) + sum(product_first * theta("b", 3)) +
                        sum(where(x > theta("s"), choice_first, x)) + sum(where(x < 0, x * x, choice_first));
               }),
        {}, 12);
}

TEST_CASE("a value with itself") {
  check(energy("both operands", 3, [](auto x, auto theta) {
    auto h = tanh(theta("W", 3, 3) * x);
    return dot(h, h) + sum(h * h) + sum(h + h) + sum(h - h) + sum((2 + h) / (2 + h)) + sum(where(h > 0.1, h, h)) +
           sum(concat(h, h)) + squared_norm(h + x);
  }));
  check(energy("used many times", 3, [](auto x, auto theta) {
    auto h = exp(theta("a", 3) * x);
    auto s = sum(h);
    return s * h[0] + dot(h, sin(h)) + log(s) * s + log_sum_exp(h) + h[1] * h[2] + (theta("W", 2, 3) * h)[1] + s / h[2];
  }));
  check(energy("equal parts", 2, [](auto x, auto theta) {
    auto part = [&] { return sin(theta("a") * x[0] * x[1]); };
    return part() * part() + part() + x[0] * x[1] * (x[0] * x[1]);
  }));
}

TEST_CASE("reductions") {
  for (const int n : {1, 2, 5}) {
    INFO("of " << n);
    check(energy("sum, mean", n, [](auto x, auto theta) {
      return sum(theta("a") * square(x)) * mean(x) + sum(theta("b", 3)) * mean(exp(x)) + mean(theta("b", 3));
    }));
    check(energy("dot", n, [n](auto x, auto theta) {
      auto b = theta("b", n);
      const Eigen::VectorXd c = Eigen::VectorXd::LinSpaced(n, -1, 2);
      return dot(b, x) * dot(square(x), b) + dot(sin(x), x * b) + dot(c, x) * dot(b, c) + dot(x, c) +
             dot(b, exp(b)) * x[0];
    }));
    check(energy("norms", n, [n](auto x, auto theta) {
      return norm(x - theta("b", n) + 4) + squared_norm(x * x) * norm(theta("b", n) + 2) +
             squared_norm(theta("b", n)) * x[0];
    }));
    check(energy("log_sum_exp", n, [n](auto x, auto theta) {
      return log_sum_exp(x) + log_sum_exp(theta("b", n) * square(x)) * log_sum_exp(theta("b", n)) +
             log_sum_exp(theta("b", n) + x);
    }));
    check(energy("sum of terms", n, [n](auto x, auto theta) {
      return sum(n, [&](int k) { return square(x[k] - theta("centre" + std::to_string(k))) * x[0]; });
    }));
  }
  check(energy("log_sum_exp of many terms", 2, [](auto x, auto theta) {
    return log_sum_exp(theta("W", 40, 2) * x + theta("c", 40)) - log_sum_exp(theta("V", 33, 2) * sin(x)) * x[1];
  }));
  check(energy("of matrices", 2, [](auto x, auto theta) {
    auto A = theta("A", 2, 3), B = theta("B", 2, 3);
    return (sum(A) + mean(B) + dot(A, B)) * x[0] + (squared_norm(A) + log_sum_exp(B)) * square(x[1]) +
           norm(A + 3) * x[0] * x[1];
  }));
}

TEST_CASE("structure") {
  check(energy("elements, heads, tails", 5, [](auto x, auto theta) {
    auto h = square(x) * theta("a", 5);
    return h[0] * x[4] + dot(head(h, 3), tail(x, 3)) + sum(segment(h, 1, 2)) * x.segment(2, 1) +
           sum(exp(0.2 * tail(theta("a", 5), 2) * head(x, 2)));
  }));
  check(energy("segments of segments", 6, [](auto x, auto theta) {
    auto h = sin(theta("a", 6) * x);
    auto inner = h.segment(1, 5).segment(1, 3);
    return dot(inner, x.segment(0, 5).segment(2, 3)) + square(inner[1]) + inner.segment(2, 1) * h[3] + sum(h) +
           dot(theta("a", 6).segment(1, 4).segment(1, 2), head(inner, 2));
  }));
  check(energy("x through segments alone", 4,
               [](auto x, auto theta) { return x[0] * x[1] * theta("a") + exp(x[3] * theta("b")) + square(x[1]); }));
  check(energy("overlapping segments into matrices", 6, [](auto x, auto theta) {
    auto h = tanh(x * theta("a", 6));
    return sum(square(theta("W", 5, 4) * h.segment(0, 4))) + sum(sin(theta("U", 2, 3) * h.segment(2, 3))) +
           squared_norm(theta("W", 5, 4) * x.segment(1, 4));
  }));
  check(energy("concat", 3, [](auto x, auto theta) {
    auto all = concat(x, 0.5, theta("b", 2), square(x), x[1], sin(theta("s") * x), Eigen::Vector2d(1, -1));
    return dot(all, theta("w", static_cast<int>(all.size()))) + log_sum_exp(all) +
           sum(concat(theta("b", 2), theta("s"), 2) * theta("v", 4));
  }));
  check(energy("stack", 3, [](auto x, auto theta) {
    auto numbers = stack(4, [&](int k) { return theta("s" + std::to_string(k)) * x[k % 3]; });
    auto vectors = stack(2, [&](int k) { return square(x) * theta("b", 2)[k]; });
    return squared_norm(numbers) + dot(vectors, sin(vectors)) +
           sum(stack(2, [&](int k) { return theta("b", 2)[k]; })) * x[0];
  }));
  check(score("a permutation", 3, [](auto x, auto theta) { return concat(tail(x, 2), x[0] * theta("a")); }));
  check(score("a segment as result", 2,
              [](auto x, auto theta) { return concat(exp(x), theta("W", 2, 2) * x * x).segment(1, 2); }));
  check(score("a segment of a value in use as result", 2, [](auto x, auto theta) {
    auto h = tanh(theta("W", 3, 2) * x);
    return (concat(h, sum(h) * x)).segment(2, 2);
  }));
  check(energy("an element as result", 3, [](auto x, auto theta) { return (exp(x * theta("a", 3)) * sum(x))[1]; }));
}

TEST_CASE("comparisons and choice") {
  check(energy("of numbers", 2,
               [](auto x, auto theta) {
                 return where(x[0] > 0, square(x[0]), x[1]) + where(x[1] <= theta("t"), theta("a") * x[0], sin(x[1])) +
                        where(0.5 < x[0], 1, theta("b")) * x[1] + where(x[0] >= x[1], 2.0, 3) * x[0] +
                        where(-0.5 >= x[1], x[1], 0) + where(x[1] < 0.2, 0, x[0] * x[1]) + where(1 > x[0], x[0], x[1]) +
                        where(0.3 <= x[1], x[0], 1);
               }),
        {}, 20);
  check(energy("of vectors", 3,
               [](auto x, auto theta) {
                 auto b = theta("b", 3);
                 return sum(where(x < b, square(x), b * x)) + sum(where(x > 0.1, b, x)) +
                        dot(where(x[0] > 0, x, b), x) + sum(where(x <= 0, theta("s"), x[1])) +
                        sum(where(b > 0, x, sin(x))) + sum(where(x >= b, x[2], 1)) +
                        sum(where(b > 0.2, b, theta("s"))) * x[0] + sum(where(theta("s") > 0, b, 2)) * x[1];
               }),
        {}, 20);
  check(energy("and, or, not", 3,
               [](auto x, auto theta) {
                 auto b = theta("b", 3);
                 return sum(where(x > -1 && x < b, square(x), 2 * x)) + sum(where(x < -1 || x[0] > b, exp(x), sin(x))) +
                        sum(where(!(x > 0), x * b, b)) + sum(where(b > 0 && x > 0, x, x * x)) +
                        sum(where(b > 0 || theta("s") > 0, x, x * x)) +
                        where(!(theta("s") > 0) && b[0] > 0, x[0], x[1]);
               }),
        {}, 20);
  check(energy("max, min", 3,
               [](auto x, auto theta) {
                 auto b = theta("b", 3);
                 return sum(max(x * x, b)) + sum(min(b, sin(x))) + max(x[0], x[1]) * min(x[1], x[2]) +
                        sum(max(b, 0.1)) * x[0] + sum(max(x, theta("s"))) + sum(min(x[0], b)) +
                        dot(max(b, theta("s")), x);
               }),
        {}, 20);
  check(score("a leaky rectifier", 3,
              [](auto x, auto theta) {
                auto h = theta("W", 4, 3) * x + theta("b", 4);
                return theta("V", 3, 4) * where(h > 0, h, 0.1 * h) + abs(x) * theta("s");
              }),
        {}, 10);
  check(energy("of matrices", 2, [](auto x, auto theta) {
    auto A = theta("A", 2, 2);
    return sum(where(A > 0, A, 2) * x) + sum(max(A, 0.1) * x) + squared_norm(abs(A) * x) +
           sum(where(A > -0.5 && A < 0.5, A, square(A)) * square(x)) +
           sum(where(A < -0.5 || !(A < 0.5), A, square(A)) * sin(x));
  }));
}

TEST_CASE("on the kink") {
  const auto comparisons = [](auto x, auto) {
    return where(x[0] <= x[1], 1, 0) + where(x[0] >= x[1], 2, 0) + where(x[0] < x[1], 4, 0) + where(x[0] > x[1], 8, 0) +
           where(!(x[0] < x[1]), 16, 0);
  };
  Eigen::MatrixXd X(2, 3);
  X << 1, 1, 2,  //
      1, 2, 1;
  CHECK(energy_of(sm::energy_model(2, comparisons), X) == Eigen::Vector3d(1 + 2 + 16, 1 + 4, 2 + 8 + 16));

  // |a| has the derivative 0 at 0, and max the derivative of its first argument where both are equal.
  const auto kinks = [](auto x, auto) { return abs(x[0]) + max(3 * x[1], 2 * x[1]) + min(x[1], 5 * x[1]); };
  CHECK(score_of(sm::energy_model(2, kinks), Eigen::MatrixXd::Zero(2, 1)) == Eigen::Vector2d(0, -3 - 1));
}

// Shapes on both sides of the smallest GEMM.
TEST_CASE("matrix times vector") {
  for (const int m : {1, 2, 3, 4, 5, 7})
    for (const int d : {1, 2, 3, 4, 6}) {
      INFO(m << " × " << d);
      const Eigen::MatrixXd C = ref::Draws(static_cast<std::uint64_t>(10 * m + d)).matrix(m, d, -1, 1);
      check(
          energy("a layer", d,
                 [m, d](auto x, auto theta) { return dot(theta("c", m), tanh(theta("W", m, d) * x + theta("b", m))); }),
          {}, 5, 1);
      check(energy("of curved values", d,
                   [m, d](auto x, auto theta) {
                     return sum(square(theta("b", m) + theta("W", m, d) * sin(x * theta("a", d))));
                   }),
            {}, 5, 1);
      check(energy("a constant", d,
                   [m, C](auto x, auto theta) {
                     return sum(exp(0.3 * (C * x))) + dot(C * (x * x) * theta("s"), theta("c", m));
                   }),
            {}, 5, 1);
    }
  check(score("deep", 4, [](auto x, auto theta) {
    auto h = tanh(theta("W1", 5, 4) * x + theta("b1", 5));
    auto g = silu(theta("W2", 2, 5) * h);
    return theta("W3", 4, 5) * h + theta("W4", 4, 2) * g + theta("b4", 4);
  }));
  check(energy("one matrix at several places", 4, [](auto x, auto theta) {
    auto W = theta("W", 4, 4);
    auto product = W * x;
    return squared_norm(sin(W * product)) + sum(W * (x * x)) + dot(product + theta("b", 4), product) +
           sum(tanh(product + theta("b", 4) + 1));
  }));
  check(energy("a bias that is something else too", 3, [](auto x, auto theta) {
    auto b = theta("b", 3);
    return sum(tanh(theta("W", 3, 3) * x + b)) * sum(b) + sum(sin(exp(b) + theta("W", 3, 3) * x)) +
           squared_norm(theta("W", 3, 3) * x - b) + sum(exp(theta("W", 3, 3) * x + b[0]));
  }));
}

TEST_CASE("matrices of theta") {
  const Eigen::MatrixXd C = ref::Draws(5).matrix(4, 5, -1, 1);
  const Eigen::MatrixXd D = ref::Draws(6).matrix(5, 5, -1, 1);
  check(energy("transpose", 5, [](auto x, auto theta) {
    auto W = theta("W", 3, 5);
    return squared_norm(transpose(W) * sin(W * x)) + dot(x, transpose(transpose(theta("A", 5, 4))) * theta("v", 4));
  }));
  check(energy("products", 5, [C](auto x, auto theta) {
    return squared_norm((theta("A", 4, 2) * theta("B", 2, 5)) * x) + sum(sin((C * theta("E", 5, 5)) * x)) +
           sum((transpose(theta("E", 5, 5)) * theta("E", 5, 5)) * square(x)) +
           sum((theta("A", 4, 2) * theta("v", 2)) * (C * x));
  }));
  check(energy("elementwise", 5, [C](auto x, auto theta) {
    auto A = theta("A", 4, 5);
    return sum(square((exp(A) + C) * x)) + sum(sin((0.5 * A - theta("B", 4, 5) / 2) * x)) +
           sum((theta("s") * A + 1) * square(x)) + sum((-A) * x) + sum((2 / (3 + square(A))) * x);
  }));
  check(energy("quadratic forms", 5, [D](auto x, auto theta) {
    return quadratic_form(theta("A", 5, 5), x) + quadratic_form(D, sin(x)) * theta("s") +
           quadratic_form(theta("A", 5, 5), theta("v", 5)) * x[0] + quadratic_form(theta("B", 2, 2), head(x, 2));
  }));
}

// The score alone of such an energy is found without the form's value (evaluate/replay.hpp, reverse_for_x).
TEST_CASE("symmetric forms of x") {
  const Eigen::MatrixXd C = ref::Draws(7).matrix(4, 4, -1, 1), D = ref::Draws(8).matrix(4, 4, -1, 1),
                        A = C + C.transpose(), B = D * D.transpose(), small = B.topLeftCorner(2, 2);
  check(energy("one", 4, [A](auto x, auto) { return quadratic_form(A, x); }));
  // of another matrix the form is that of its symmetric part; not where the matrix stands elsewhere, too
  check(energy("not symmetric", 4, [C](auto x, auto) { return quadratic_form(C, x) + dot(C * sin(x), sin(x)); }));
  const auto inexact = sm::energy_model(4, [C](auto x, auto) { return quadratic_form(C, x); });
  const auto& nodes = inexact.record().nodes;
  CHECK(std::any_of(nodes.begin(), nodes.end(), [](const auto& node) { return node.symmetric; }));
  check(energy("a Gaussian", 4, [B](auto x, auto theta) { return 0.5 * quadratic_form(B, x - theta("m", 4)) + 1; }));
  check(energy("several, and other terms", 4, [A, B, small](auto x, auto theta) {
    auto v = sin(x) - theta("m", 4);
    return 0.5 * (quadratic_form(B, x) - 3 * quadratic_form(A, v)) + sum(tanh(v)) - 0.25 * dot(theta("h", 4), x) +
           quadratic_form(small, head(x, 2)) + x[3];
  }));
  check(energy("with several users, and inside other functions", 4, [A, B](auto x, auto theta) {
    auto form = 0.1 * quadratic_form(B, x), other = quadratic_form(A, x);
    return form + sin(form) + theta("s") * quadratic_form(B, x * theta("a", 4)) + (other + other) +
           log(1 + quadratic_form(B, cos(x))) + 0 * quadratic_form(A, square(x));
  }));
  check(energy("beside a term with the same adjoint", 4, [A, B](auto x, auto theta) {
    auto v = x - theta("m", 4);
    auto before = sum(tanh(v) * theta("h", 4));
    return (before + quadratic_form(B, v)) + (quadratic_form(A, sin(v)) + sum(exp(-v)));
  }));
}

// Summands of one sum alone share its adjoint's storage, and multiples of them are read where they come from.
TEST_CASE("sums of what nobody else uses") {
  check(energy("of vectors", 3, [](auto x, auto theta) {
    auto u = theta("a", 3) * sin(x) + exp(theta("b", 3)) * cos(x), v = theta("s") * square(x) - u;
    return log_sum_exp(theta("c", 3) - (square(v) + tanh(x))) + sum((v + theta("d", 3)) * (x + sin(v)));
  }));
  check(energy("in a row, and again", 3, [](auto x, auto theta) {
    auto a = sin(x) + cos(x), b = (a + tanh(x)) + (exp(-square(x)) + theta("b", 3) * x), c = theta("c", 3) * b;
    return sum(square(c + 2 * b)) + sum(sin(c + a)) + dot(a + b, x - c);
  }));
  check(energy("of numbers and vectors", 3, [](auto x, auto theta) {
    auto s = sin(x[0]) + theta("s") * x[1];
    return s + (square(s) + sum(theta("t", 3) * (x * s) + (s + cos(x)))) + theta("r") * norm(x + 4);
  }));
}

TEST_CASE("formulas of theta alone, of x alone, of neither") {
  check(energy("theta alone", 2,
               [](auto, auto theta) { return theta("a") * exp(theta("b")) + squared_norm(theta("v", 3)); }));
  check(energy("a parameter", 2, [](auto, auto theta) { return theta("a"); }));
  check(score("theta alone", 2, [](auto, auto theta) { return theta("v", 2) * theta("a"); }));
  check(score("a parameter", 2, [](auto, auto theta) { return theta("v", 2); }));
  check(
      score("theta and numbers side by side", 3, [](auto x, auto theta) { return concat(theta("v", 2), 0.5 * x[0]); }));
  check(energy("x alone", 2, [](auto x, auto) { return 0.5 * squared_norm(x) + sin(x[0] * x[1]); }));
  check(score("x itself", 2, [](auto x, auto) { return x; }));
  check(energy("x itself", 1, [](auto x, auto) { return x; }));
  check(score("−x", 2, [](auto x, auto) { return -x; }));
  check(energy("a number", 2, [](auto x, auto) { return 0 * x[0] + 3; }));
  check(energy("affine in x", 3, [](auto x, auto theta) { return dot(theta("v", 3), x) + theta("a"); }));
  check(score("affine in x", 3, [](auto x, auto theta) { return theta("W", 3, 3) * x + theta("v", 3); }));
  check(energy("a parameter that does not matter", 2, [](auto x, auto theta) {
    theta("a", 4);
    return theta("b") * squared_norm(x) + 0 * sum(theta("c", 2)) + theta("d") * sum(theta("e", 2));
  }));
  check(energy("names with numbers", 2, [](auto x, auto theta) {
    return theta("w10") * x[0] + theta("w2", 2)[1] * square(x[1]) + sum(theta("w1", 2, 2)) * exp(x[0]) +
           theta("v") * sin(x[1]);
  }));
}

TEST_CASE("noise levels") {
  const auto energy_of_sigma = [](auto x, auto sigma, auto theta) {
    auto h = tanh(theta("W", 4, 3) * concat(x, log(sigma)) + theta("b", 4));
    return squared_norm(x - theta("c", 2)) / (2 * (exp(theta("v")) + square(sigma))) + dot(theta("w", 4), h) +
           sin(sigma) * x[0] * theta("c", 2)[1];
  };
  check(energy("everywhere", 2, energy_of_sigma));
  check(energy("in choices", 2,
               [](auto x, auto sigma, auto theta) {
                 return where(x[0] < sigma, square(x[1]) * sigma, theta("a") * x[0]) +
                        sum(max(x, sigma) * theta("b", 2)) + sigma * theta("c") + where(sigma > 0.8, 1, x[1]) * x[0];
               }),
        {}, 12);
  check(energy("alone", 2, [](auto, auto sigma, auto theta) { return theta("a") * sigma + square(sigma); }));
  check(energy("not used", 2, [](auto x, auto, auto theta) { return theta("a") * squared_norm(x); }));
  const auto score_of_sigma = [](auto x, auto sigma, auto theta) {
    return (theta("W", 2, 4) * tanh(theta("U", 4, 3) * concat(sigma, x)) - x) / sigma + theta("b", 2) * square(sigma);
  };
  check(score("everywhere", 2, score_of_sigma));

  // at_sigma fixes it.
  auto noisy = energy("fixed", 2, energy_of_sigma);
  ref::Draws draws(3);
  auto question = ref::draw_question(noisy, draws, 9, 0, {});
  REQUIRE(question);
  question->places.sigma.setConstant(0.75);
  question->truth = answers(noisy, question->places);
  const auto fixed = sm::at_sigma(noisy.model, 0.75);
  const Eigen::VectorXd f = energy_of(fixed, question->places.X), divergence = trace_of(fixed, question->places.X);
  const Eigen::MatrixXd S = score_of(fixed, question->places.X);
  ref::Agreement<double> agreement;
  for (Index i = 0; i < 9; ++i) {
    const ref::Answer& a = question->truth[static_cast<std::size_t>(i)];
    agreement.see(f[i], a.f.value);
    agreement.see(divergence[i], a.trace.value);
    agreement.see(S(0, i), a.s[0].value);
    agreement.see(S(1, i), a.s[1].value);
  }
  CHECK(agreement.worst <= 1);
}
