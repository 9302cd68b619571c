// energy_model<D>(formula), the formula compiled into the loops, against energy_model(D, formula), which replays its
// record: two derivations of the same derivatives that share no rule but the slopes of elementwise functions. The
// record is held to nested dual numbers in primitives.cpp. Losses, fits and samplers: compiled_losses.cpp. Seeds are
// fixed: nothing here fails by chance.
#include "same_models.hpp"

#include <string>
#include <vector>

#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/values.hpp"

namespace sm = scorematch;
using same_models::agree;
using same_models::moved;
using same_models::points;
using same_models::tolerance;
using sm::Index;
using sm::stack;
using sm::sum;

namespace {

/// Values, scores and Laplacians of both paths.
template <int D, class T = double, class F>
void same_values(const std::string& name, const F& formula, bool positive = false) {
  INFO(name);
  const auto recorded = moved(sm::energy_model(D, formula));
  const auto compiled = moved(sm::energy_model<D>(formula));
  REQUIRE(recorded.parameters() == compiled.parameters());
  sm::Matrix<T> X = points<T>(D, 101);
  if (positive) X = X.cwiseAbs().array() + T(0.2);
  agree("energy", sm::energy_of(compiled, X), sm::energy_of(recorded, X), tolerance<T>());
  agree("score", sm::score_of(compiled, X), sm::score_of(recorded, X), tolerance<T>());
  agree("divergence", sm::trace_of(compiled, X), sm::trace_of(recorded, X), tolerance<T>());
}

/// Both paths at one noise level, and where each sample has its own level and class.
template <class T, class Recorded, class Compiled>
void same_at_levels(const Recorded& start, const Compiled& compiled_start) {
  const auto recorded = moved(start);
  const auto compiled = moved(compiled_start);
  REQUIRE(recorded.parameters() == compiled.parameters());
  const Index classes = recorded.classes(), n = 101;
  REQUIRE(compiled.classes() == classes);
  const sm::Matrix<T> X = points<T>(2, n);
  for (int label = -1; label < static_cast<int>(classes); ++label) {
    const auto a = sm::at_sigma(compiled, 0.7, label);
    const auto b = sm::at_sigma(recorded, 0.7, label);
    agree("energy", sm::energy_of(a, X), sm::energy_of(b, X), tolerance<T>());
    agree("score", sm::score_of(a, X), sm::score_of(b, X), tolerance<T>());
    agree("divergence", sm::trace_of(a, X), sm::trace_of(b, X), tolerance<T>());
  }
  std::vector<int> labels;
  for (Index i = 0; classes > 0 && i < n; ++i) labels.push_back(static_cast<int>(i % (classes + 1)) - 1);
  const sm::LossOptions options{.labels = labels, .per_sample = true};
  const sm::denoising_score_matching objective{.sigma = sm::log_uniform_sigma{.sigma_max = 2, .sigma_min = 0.2},
                                               .seed = 15};
  const sm::Loss found = sm::loss_and_gradient(compiled, objective, X, options),
                 expected = sm::loss_and_gradient(recorded, objective, X, options);
  agree("gradient", found.gradient, expected.gradient, tolerance<T>());
  agree("each sample's loss", sm::loss(compiled, objective, X, options).per_sample, expected.per_sample,
        tolerance<T>());
}

}  // namespace

TEST_CASE("The compiled path: elementwise functions, arithmetic and powers") {
  same_values<2>("functions", [](auto x, auto theta) {
    auto a = theta("a", 2) * x + 0.3;
    return sum(exp(a)) + sum(expm1(a) * tanh(a)) + sum(sigmoid(a)) + sum(softplus(a) * silu(x)) + sum(sin(a) * cos(x)) +
           sum(erf(a)) + sum(abs(x - 0.2)) + sum(square(a)) * exp(theta("s"));
  });
  same_values<3>(
      "of positive values",
      [](auto x, auto theta) {
        return sum(sqrt(x)) + sum(log(x) * x) + sum(log1p(x)) + sum(1 / x) + sum(reciprocal(x + 1)) + sum(pow(x, 2.5)) +
               sum(pow(x, -2)) + sum(pow(x, 0)) + pow(x[0], x[1]) + pow(x[0], square(theta("p"))) + sum(pow(x, 4));
      },
      true);
  same_values<3>("arithmetic", [](auto x, auto theta) {
    auto b = theta("b", 3);
    const Eigen::Vector3d c(0.5, -1.25, 2);
    auto total = x[0] * 2;
    total += 3 * x[1] - b[2];
    total -= x[2] / 4;
    total *= theta("s") + 1.5;
    return total + dot(x - c, b) + sum((x + b) * (c - x) / (2 + square(b))) + dot(c, x) * (1 - x[0]) + sum(-x * b) +
           mean(x * x) + norm(x + 4) + sum(c / (3 + square(x))) + dot(b, b) * x[1] + dot(x, x) + (2 - b)[0] * (+x)[1];
  });
  same_values<2>("of θ alone",
                 [](auto, auto theta) { return theta("a") * exp(theta("b")) + squared_norm(theta("v", 3)); });
  same_values<2>("of x alone", [](auto x, auto) { return 0.5 * squared_norm(x) + sin(x[0] * x[1]); });
  same_values<1>("x itself", [](auto x, auto) { return x; });
}

TEST_CASE("The compiled path: reductions and structure") {
  same_values<3>("log-sum-exp", [](auto x, auto theta) {
    return log_sum_exp(x) + log_sum_exp(theta("b", 3) * square(x)) * log_sum_exp(theta("b", 3)) +
           log_sum_exp(theta("b", 3) + x);
  });
  same_values<3>("sums of terms", [](auto x, auto theta) {
    return sum(3, [&](int k) { return square(x[k] - theta("centre" + std::to_string(k))) * x[0]; }) +
           squared_norm(sum(2, [&](int k) { return x * theta("v", 3)[k]; })) +
           dot(sum(3, [&](int k) { return theta("w", 4) * x[k]; }),
               sum(2, [&](int k) { return theta("w", 4) * cos(x[2 - k]); }));
  });
  same_values<5>("sums of terms in sums of terms, and more terms than are unrolled", [](auto x, auto theta) {
    auto pairs = sum(4, [&](int i) {
      return square(x[i]) * sum(4 - i, [&](int j) { return theta("c") * x[i + 1 + j] - cos(x[i] * x[4 - j]); });
    });
    return pairs + sum(20, [&](int k) { return sin(0.1 * k * x[k % 5] + theta("s")) * x[(k + 2) % 5]; });
  });
  same_values<5>("elements, heads, tails", [](auto x, auto theta) {
    auto h = square(x) * theta("a", 5);
    return h[0] * x[4] + dot(head(h, 3), tail(x, 3)) + sum(segment(h, 1, 2)) * sum(x.segment(2, 1)) +
           sum(exp(0.2 * tail(theta("a", 5), 2) * head(x, 2))) + h.segment(1, 4).segment(1, 2)[1];
  });
  same_values<3>("concat and stack", [](auto x, auto theta) {
    auto all = concat(x, 0.5, theta("b", 2), square(x), x[1], sin(theta("s") * x), Eigen::Vector2d(1, -1));
    auto numbers = stack(4, [&](int k) { return theta("s" + std::to_string(k)) * x[k % 3]; });
    return dot(all, theta("w", static_cast<int>(all.size()))) + log_sum_exp(all) +
           sum(concat(theta("b", 2), theta("s"), 2) * theta("v", 4)) + squared_norm(numbers) +
           sum(stack(2, [&](int k) { return theta("b", 2)[k]; })) * x[0];
  });
  same_values<3>("choice", [](auto x, auto theta) {
    auto b = theta("b", 3);
    return where(x[0] > 0, square(x[0]), x[1]) + sum(where(x < b, square(x), b * x)) +
           sum(where(x > -1 && x < b, x * x, 2 * x)) + sum(where(!(x > 0) || b > 0.2, x * b, b)) +
           where(theta("s") <= 0.1, x[0], 2) + max(x[0], x[1]) * min(x[1], x[2]) + sum(max(b, 0.1)) * x[0] +
           where(x[1] >= 0.5, 1, theta("s")) * x[1] + where(x[0] > x[1], x[0] * x[1], x[2]) +
           sum(where(theta("w", 5) > 0.1, theta("w", 5) * x[0], theta("w", 5) * x[1] * x[2]));
  });
}

TEST_CASE("The compiled path: matrices") {
  const Eigen::MatrixXd C = points(4, 3, 9);
  same_values<3>("layers", [C](auto x, auto theta) {
    auto h = tanh(theta("W", 6, 3) * x + theta("b", 6));
    auto g = silu(theta("U", 4, 6) * h + C * x);
    return dot(theta("c", 4), g) + sum(square(C * (x * x))) + squared_norm((theta("A", 2, 4) * C) * x);
  });
  same_values<3>("forms", [C](auto x, auto theta) {
    auto A = theta("A", 3, 3);
    return quadratic_form(A, x) + quadratic_form(theta("B", 3, 3), theta("v", 3)) * x[0] +
           dot(x, transpose(theta("W", 2, 3)) * theta("u", 2)) + (sum(A) + squared_norm(A)) * x[1] +
           sum((exp(A) + transpose(A)) * sin(x)) + sum(transpose(A) * A * x);
  });
}

TEST_CASE("The compiled path: rows that vectors share") {
  same_values<2>("shared, scaled, broadcast, met again", [](auto x, auto theta) {
    auto b = theta("b", 3);
    auto a = x[0] - b;                         // one derivative row for all elements
    auto c = -0.5 * a + 2 * (b - x[1]) / 3;    // rows of both, scaled
    auto d = (a + c) - (c - x[0] * x[1]) * 3;  // a row that both have, rows that one has
    auto e = -(d * b) + d;
    a = a - 0.25 * a;
    a += e;
    auto one = theta("one", 1) * x[0] - x[1];
    return dot(a, c) + sum(square(d)) - log_sum_exp(-e) + sum(exp(0.1 * (a - d))) * one[0] + sum(one + b) +
           sum(where(a < c, 2 * a, -c)) + sum(tanh(-(-a))) + sum((a - a) + (b + c));
  });
  same_values<2>("vectors that a loop binds anew", [](auto x, auto theta) {
    auto h = theta("W", 7, 2) * x + theta("c", 7);
    for (int layer = 0; layer < 3; ++layer) h = tanh(theta("U" + std::to_string(layer), 7, 7) * h) + 0.5 * h;
    return sum(h) + squared_norm(h);
  });
  same_values<2>("more than 64 elements", [](auto x, auto theta) {
    auto h = tanh(theta("W", 70, 2) * x) - theta("c", 70);
    return log_sum_exp(h) + sum(concat(h, 2 * h, x) * theta("w", 142)) +
           squared_norm(stack(40, [&](int k) { return (k + 1) * h.segment(k, 1 + k % 3); }));
  });
}

namespace {

// A chain of `depth` random operations on vectors of x's size, each of the last two values: all are used twice or more.
template <unsigned seed, int depth, class X, class Theta, class H, class G>
SCOREMATCH_INLINE auto grown(const X& x, const Theta& theta, const H& h, const G& g) {
  if constexpr (depth == 0) {
    return sum(h) * sum(g) + dot(h, x);
  } else {
    constexpr unsigned operation = ((seed + 77U * depth) * 2654435761U >> 11) % 8;
    const auto next = [&]() SCOREMATCH_INLINE_LAMBDA {
      if constexpr (operation == 0) return h * sin(g);
      if constexpr (operation == 1) return tanh(h + g) - 0.5 * h;
      if constexpr (operation == 2) return where(h < g, h * g, g - 0.5 * h);
      if constexpr (operation == 3) return h / (1 + square(g) + h * h);
      if constexpr (operation == 4) return sigmoid(h) * theta("a") + g;
      if constexpr (operation == 5) return sum(h) * x - g * h;
      if constexpr (operation == 6) return theta("b", 2) * exp(-square(h)) + g * x;
      if constexpr (operation == 7) return norm(h + 3) * cos(g + h);
    };
    return grown<seed, depth - 1>(x, theta, next(), h);
  }
}

template <unsigned seed, int depth>
void same_grown() {
  same_values<2>("random " + std::to_string(seed), [](const auto& x, const auto& theta) {
    return grown<seed, depth>(x, theta, x * theta("a"), x + theta("b", 2));
  });
}

}  // namespace

// Vectors that are used several times are computed once: else the second test would not compile in an hour.
TEST_CASE("The compiled path: deep formulas") {
  same_grown<1, 10>();
  same_grown<2, 10>();
  same_grown<3, 10>();
  same_values<3>("a chain", [](const auto& x, const auto& theta) {
    auto h = x * theta("a");
    for (int link = 0; link < 12; ++link) h = h * sin(h);
    return sum(h + x);
  });
}

TEST_CASE("The compiled path: the noise level and the class") {
  const auto noisy = [](auto x, auto sigma, auto theta) {
    auto h = theta("W", 5, 2) * (x / sqrt(1 + square(sigma))) + theta("c", 5) * log(sigma);
    return log_sum_exp(h) + squared_norm(x - theta("centre", 2) * sigma) / (theta("s", sm::start_at(1.0)) + sigma);
  };
  const auto labelled = [](auto x, auto sigma, auto label, auto theta) {
    return 0.5 * squared_norm(x - theta("centre", 2, 3) * label) / (1 + square(sigma)) + dot(label, theta("bias", 3)) +
           sum(label) * sin(x[0]) + tanh(label[1]) * x[1];
  };
  same_at_levels<double>(sm::energy_model(2, noisy), sm::energy_model<2>(noisy));
  same_at_levels<float>(sm::energy_model(2, sm::classes{3}, labelled), sm::energy_model<2>(sm::classes{3}, labelled));

  CHECK_THROWS_WITH(sm::score_of(sm::energy_model<2>(noisy), points(2, 3)), Catch::Matchers::Contains("takes sigma"));
  CHECK_THROWS_WITH(sm::energy_of(sm::energy_model<2>(noisy), points(2, 3)), Catch::Matchers::Contains("takes sigma"));
  CHECK_THROWS_WITH(sm::energy_model<2>(sm::classes{3}, noisy), Catch::Matchers::Contains("takes no label"));
}

TEST_CASE("The compiled path explains what it cannot do") {
  using Catch::Matchers::Contains;
  const auto value = [](const auto& model) { return sm::energy_of(model, points(2, 3)); };
  int run = 0;
  CHECK_THROWS_WITH(value(sm::energy_model<2>(
                        [&run](auto x, auto theta) { return squared_norm(x) * theta(run++ == 0 ? "first" : "then"); })),
                    Contains("theta(\"then\") was not declared"));
  CHECK_THROWS_WITH(sm::energy_model<2>([](auto x, auto) { return x[2]; }), Contains("element 2"));
}
