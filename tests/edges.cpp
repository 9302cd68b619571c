// Derivatives at edges: branches of `where` that are not taken, zeros under roots and powers, arguments outside a
// function's domain, saturated functions, mixtures far out. On both paths, the record and the compiled formula. Seeds
// are fixed: nothing here fails by chance.
#include "catch.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "same_models.hpp"

#include "scorematch/formula/elementary.hpp"
#include "scorematch/inference/closed_form.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"

namespace sm = scorematch;
using same_models::agree;
using same_models::points;
using same_models::same_loss;
using same_models::tolerance;
using sm::Index;

namespace {

// ---------------------------------------------------------------------------------------------------------------------
// Branches
// ---------------------------------------------------------------------------------------------------------------------

// What a formula calls in place of where(condition, a, b): the choice itself, or the branch that is to be taken.
struct Both {
  template <class C, class A, class B>
  auto operator()(const C& condition, const A& a, const B& b) const {
    return where(condition, a, b);
  }
};
struct First {
  template <class C, class A, class B>
  auto operator()(const C&, const A& a, const B&) const {
    return a;
  }
};
struct Second {
  template <class C, class A, class B>
  auto operator()(const C&, const A&, const B& b) const {
    return b;
  }
};

template <class M>
M away_from_start(M model) {  // θ > 0.1, so that roots and logarithms of it exist
  Eigen::VectorXd theta = model.parameters();
  for (Index i = 0; i < theta.size(); ++i) theta[i] = 0.35 + 0.1 * std::sin(1.7 * static_cast<double>(i));
  model.set_parameters(theta);
  return model;
}

template <class T, class A, class B>
void same_model(const A& found, const B& expected, const sm::Matrix<T>& X) {
  agree("energy", sm::energy_of(found, X), sm::energy_of(expected, X), tolerance<T>());
  agree("score", sm::score_of(found, X), sm::score_of(expected, X), tolerance<T>());
  agree("divergence", sm::trace_of(found, X), sm::trace_of(expected, X), tolerance<T>());
  CHECK(sm::score_of(found, X).allFinite());
  CHECK(sm::trace_of(found, X).allFinite());
  same_loss("implicit", found, expected, sm::implicit_score_matching{}, X, tolerance<T>());
  same_loss("denoising", found, expected, sm::denoising_score_matching{.sigma = 1e-3}, X, tolerance<T>());
  same_loss("sliced", found, expected, sm::sliced_score_matching{.projections = 2}, X, tolerance<T>());
  same_loss("sliced, of the norm", found, expected, sm::sliced_score_matching{.projections = 1, .exact_norm = false}, X,
            tolerance<T>());
}

// A formula makes, from what it calls for its choices, the energy. Choices are made by x[0] > 0; X holds numbers from
// 0.4 to 1.6 in all elements, or their negatives. The branch not taken is NaN or infinite there.
template <class T = double, class F>
void check_branches(const std::string& name, const F& formula) {
  INFO(name);
  const auto model = [&](auto choose) {
    return away_from_start(
        sm::energy_model(2, [&](const auto& x, const auto& theta) { return formula(choose, x, theta); }));
  };
  const sm::Matrix<T> X = (points<T>(2, 37).array().sin() * T(0.6) + T(1)).matrix();
  {
    INFO("the first branch");
    same_model<T>(model(Both{}), model(First{}), X);
  }
  {
    INFO("the second branch");
    same_model<T>(model(Both{}), model(Second{}), -X);
  }
}

}  // namespace

TEST_CASE("A branch that is not taken reaches no derivative") {
  check_branches("roots, logarithms and powers", [](auto choose, auto x, auto theta) {
    return choose(x[0] > 0, theta("a") * sqrt(x[0]) + pow(x[1], 1.5), theta("b") * square(x[0]) + sin(x[1])) +
           choose(x[1] > 0, log(theta("c") * x[0]), exp(theta("c") * x[1])) +
           choose(0 < x[0], pow(x[0], theta("p")), log1p(-1 - x[0])) + theta("d") * x[0] * x[1];
  });
  check_branches<float>("in float", [](auto choose, auto x, auto theta) {
    return choose(x[0] > 0, theta("a") * sqrt(x[0]), theta("b") * square(x[0])) +
           choose(x[1] > 0, log(theta("c") * x[1]), exp(theta("c") * x[1]));
  });
  check_branches("vectors, and what is used outside too", [](auto choose, auto x, auto theta) {
    auto h = theta("a", 2) * x;
    auto root = sqrt(h);
    return sum(choose(x > 0, root * theta("b", 2), square(h))) + sum(choose(x > 0, theta("b", 2) / root, h)) +
           sum(choose(h > 0, log(h), log(-h))) + squared_norm(h) + norm(h);
  });
  check_branches("matrices", [](auto choose, auto x, auto theta) {
    auto g = theta("W", 3, 2) * log(x) + theta("c", 3);
    auto k = theta("W", 3, 2) * x;
    return sum(choose(x[0] > 0, tanh(g), k)) + dot(theta("v", 3), choose(x[0] > 0, square(g), sin(k))) +
           choose(x[0] > 0, quadratic_form(Eigen::Matrix2d{{2, 1}, {1, 3}}, log(x)), squared_norm(x));
  });
  check_branches("reductions and structure", [](auto choose, auto x, auto theta) {
    auto roots = sqrt(theta("a", 2) * x);
    return choose(x[0] > 0, log_sum_exp(concat(roots, log(x), theta("b"))), log_sum_exp(x)) +
           choose(x[0] > 0, dot(roots, x) + sum(roots) + head(roots, 1) * tail(log(x), 1), dot(x, x)) +
           choose(x[0] > 0, norm(roots) * log_sum_exp(theta("c", 2) * roots), norm(x));
  });
  check_branches("one in the other", [](auto choose, auto x, auto theta) {
    auto inner = choose(x[0] > 0, sqrt(theta("a") * x[0]), log(theta("b") - x[0]));
    return choose(x[1] > 0, square(inner) * log(x[1]), inner * sqrt(-x[1])) +
           choose(!(x[0] <= 0) && x[1] > 0, inner / sqrt(x[0]), theta("c") * inner);
  });
  check_branches("infinite, by overflow and by division", [](auto choose, auto x, auto theta) {
    auto of_positive = exp(exp(theta("a") + 30 * x[0])), of_negative = exp(exp(theta("a") - 30 * x[1]));
    return choose(x[0] > 0, theta("b") * x[0] / (1 + of_negative), square(x[1]) / (1 + of_positive)) +
           choose(x[0] > 0, exp(-of_negative), x[0] * of_positive) + choose(x[1] > 0, x[0] * x[1], 1 / of_positive);
  });
}

TEST_CASE("A branch of theta that is not taken reaches no gradient") {
  const auto chosen = [](auto x, auto theta) {
    auto a = theta("a", sm::start_at(-0.7));
    auto v = theta("v", Eigen::Vector2d(0.5, -2));
    return where(a > 0, sqrt(a), square(a)) * squared_norm(x) + dot(where(v > 0, log(v), v * v * v), x * x) +
           where(a > 0, norm(sqrt(a * v)), a) * x[1] + where(x[0] > 100, log(a) * x[1], a * x[0]) +
           where(x > 50, log(v) + x, sin(v * x))[1];
  };
  const auto plain = [](auto x, auto theta) {
    auto a = theta("a", sm::start_at(-0.7));
    auto v = theta("v", Eigen::Vector2d(0.5, -2));
    return square(a) * squared_norm(x) + log(v[0]) * square(x[0]) + v[1] * v[1] * v[1] * square(x[1]) + a * x[1] +
           a * x[0] + sin(v * x)[1];
  };
  same_model<double>(sm::energy_model(2, chosen), sm::energy_model(2, plain), points(2, 23));
}

TEST_CASE("A branch that is not taken, compiled") {
  const auto formula = [](auto choose) {
    return [choose](auto x, auto theta) {
      auto a = theta("a", sm::start_at(0.4));
      auto root = sqrt(a * x[0]);
      return choose(x[0] > 0, root + theta("b", sm::start_at(0.7)) * log(x[1]), a * square(x[0]) + sin(x[1])) +
             sum(choose(x > 0, log(a * x), exp(x) / sqrt(-x))) + choose(x[0] > 0, root * norm(sqrt(x)), x[1]);
    };
  };
  const Eigen::MatrixXd X = (points(2, 37).array().sin() * 0.6 + 1).matrix();
  const auto both = sm::energy_model<2>(formula(Both{}));
  same_model<double>(both, sm::energy_model(2, formula(First{})), X);
  same_model<double>(both, sm::energy_model(2, formula(Second{})), -X);
}

TEST_CASE("The closed form sees the branch that is taken") {
  const auto linear = [](auto choose) {
    return sm::energy_model(2, [choose](auto x, auto theta) {
      auto b = theta("b", 2), W = theta("W", 2, 2);
      auto roots = concat(theta("a") * log(x[1]), dot(b, sqrt(x)));
      auto squares = concat(theta("a") * x[0], dot(b, x * x));
      return sum(choose(x[0] > 0, roots, squares)) + sum(choose(x > 0, W * pow(x, 2.5), W * sin(x))) +
             choose(x[1] > 0, choose(x[0] > 0, theta("c") * sqrt(x[0] * x[1]), theta("c") * log(-x[0])),
                    theta("c") * exp(x[1]));
    });
  };
  const Eigen::MatrixXd X = (points(2, 400).array().sin() * 0.6 + 1).matrix();
  const auto same = [](const auto& found, const auto& expected, const Eigen::MatrixXd& at) {
    const auto f = sm::closed_form(found, sm::implicit_score_matching{}, at, {.ridge = 1e-3}),
               e = sm::closed_form(expected, sm::implicit_score_matching{}, at, {.ridge = 1e-3});
    REQUIRE(e.model.parameters().allFinite());
    agree("theta", f.model.parameters(), e.model.parameters(), 1e-8);
  };
  same(linear(Both{}), linear(First{}), X);
  same(linear(Both{}), linear(Second{}), -X);
}

// ---------------------------------------------------------------------------------------------------------------------
// Zeros
// ---------------------------------------------------------------------------------------------------------------------

namespace {

struct Zero {
  std::string name;
  sm::EnergyModel model;
  double value;  // f at 0; its score, trace and every derivative of these by theta are 0 there
};

template <class T>
void check_at_zero(const Zero& zero) {
  INFO(zero.name << ", " << sizeof(T) << " bytes");
  sm::Matrix<T> X = sm::Matrix<T>::Zero(3, 5);
  X.col(2) << T(0.3), T(-0.7), T(1.1);  // its neighbours do not matter
  const auto f = sm::energy_of(zero.model, X), trace = sm::trace_of(zero.model, X);
  const auto S = sm::score_of(zero.model, X);
  for (const Index i : {0, 1, 3, 4}) {
    CHECK(f[i] == Approx(zero.value));
    CHECK(trace[i] == 0);
    CHECK(S.col(i).isZero(0));
  }
  CHECK(S.allFinite());
  CHECK(trace.allFinite());
  const sm::Matrix<T> origin = sm::Matrix<T>::Zero(3, 5);
  for (const bool exact : {true, false}) {
    const auto sliced = sm::loss_and_gradient(zero.model, sm::sliced_score_matching{.exact_norm = exact}, origin);
    CHECK(sliced.value == 0);
    CHECK(sliced.gradient.isZero(0));
  }
  const auto implicit = sm::loss_and_gradient(zero.model, sm::implicit_score_matching{}, origin);
  CHECK(implicit.value == 0);
  CHECK(implicit.gradient.isZero(0));
}

}  // namespace

TEST_CASE("Powers and norms at zeros of the data") {
  const sm::start_at one(1);
  const std::vector<Zero> zeros = {
      {"|x|^3", sm::energy_model(3, [=](auto x, auto t) { return sum(pow(t("a", one) * square(x), 1.5)); }), 0},
      {"|x|^5", sm::energy_model(3, [=](auto x, auto t) { return t("b", one) * sum(pow(x * x * t("a", one), 2.5)); }),
       0},
      {"|x|^2.4", sm::energy_model(3, [=](auto x, auto t) { return sum(pow(exp(t("a")) * (x * x), 1.2)); }), 0},
      {"norm^3", sm::energy_model(3, [=](auto x, auto t) { return t("a", one) * pow(norm(x), 3); }), 0},
      {"norm^2.5", sm::energy_model(3, [=](auto x, auto t) { return pow(norm(exp(t("b")) * x), 2.5); }), 0},
      {"norm^p", sm::energy_model(3, [=](auto x, auto t) { return pow(norm(x), t("p", sm::start_at(3))); }), 0},
      {"|x|^p", sm::energy_model(3, [=](auto x, auto t) { return sum(pow(abs(x), t("p", sm::start_at(2.5)))); }), 0},
      {"x^0", sm::energy_model(3, [=](auto x, auto t) { return t("a", one) * sum(pow(x, 0) + pow(x, 0.0)); }), 6},
      {"x|x|", sm::energy_model(3, [=](auto x, auto t) { return t("a", one) * dot(x, abs(x)) * norm(x); }), 0},
      {"norms", sm::energy_model(3, [=](auto x, auto t) { return t("a", one) * norm(x) * norm(square(x)); }), 0},
      {"max", sm::energy_model(3, [=](auto x, auto t) { return t("a", one) * sum(max(log(square(x)), -5)); }), -15},
      {"min", sm::energy_model(3, [=](auto x, auto t) { return t("a", one) * sum(min(2.0, 1 / (x * x))); }), 6},
      {"(1 − cos x)^1.5", sm::energy_model(3, [=](auto x, auto t) { return t("a", one) * sum(pow(1 - cos(x), 1.5)); }),
       0},
  };
  for (const Zero& zero : zeros) {
    check_at_zero<double>(zero);
    check_at_zero<float>(zero);
  }
}

TEST_CASE("Powers and norms at zeros of the data, compiled") {
  const sm::start_at one(1);
  const auto formula = [=](auto x, auto theta) {
    auto a = theta("a", one);
    return sum(pow(a * square(x), 1.5)) + a * pow(norm(x), 3) + pow(norm(x), theta("p", sm::start_at(3))) +
           dot(x, abs(x)) * norm(x) + sum(pow(x, 0.0));
  };
  const auto model = sm::energy_model<3>(formula);
  const Eigen::MatrixXd X = Eigen::MatrixXd::Zero(3, 5);
  CHECK((sm::energy_of(model, X).array() == 3).all());
  CHECK(sm::score_of(model, X).isZero(0));
  CHECK(sm::trace_of(model, X).isZero(0));
  const auto loss = sm::loss_and_gradient(model, sm::implicit_score_matching{}, X);
  CHECK(loss.value == 0);
  CHECK(loss.gradient.isZero(0));
  const Eigen::MatrixXd others = points(3, 19);
  agree("trace", sm::trace_of(model, others), sm::trace_of(sm::energy_model(3, formula), others), 1e-11);
}

TEST_CASE("A slope without bound stays without bound") {
  const Eigen::MatrixXd X = Eigen::MatrixXd::Zero(1, 3);
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(sm::score_of(sm::energy_model(1, [](auto x, auto) { return sqrt(x[0]); }), X)(0, 0) == -infinity);
  CHECK(sm::score_of(sm::energy_model(1, [](auto x, auto) { return pow(x[0], 0.75); }), X)(0, 0) == -infinity);
  CHECK(sm::trace_of(sm::energy_model(1, [](auto x, auto) { return pow(x[0], 1.5); }), X)[0] == -infinity);
  const auto of_theta = [](auto x, auto theta) { return sqrt(theta("a")) * squared_norm(x - 1); };
  const auto loss = [&](const auto& model) { return sm::loss_and_gradient(model, sm::implicit_score_matching{}, X); };
  CHECK(std::isinf(loss(sm::energy_model(1, of_theta)).gradient[0]));
  CHECK(!std::isfinite(loss(sm::energy_model<1>(of_theta)).gradient[0]));  // s ∂s is 0 · ∞ there
}

// ---------------------------------------------------------------------------------------------------------------------
// Domains
// ---------------------------------------------------------------------------------------------------------------------

TEST_CASE("Outside a function's domain its slopes are NaN too") {
  const std::vector<std::pair<std::string, sm::EnergyModel>> models = {
      {"log", sm::energy_model(1, [](auto x, auto theta) { return theta("a", sm::start_at(1)) * log(x[0]); })},
      {"log1p", sm::energy_model(1, [](auto x, auto theta) { return theta("a", sm::start_at(1)) * log1p(2 * x[0]); })},
      {"sqrt", sm::energy_model(1, [](auto x, auto theta) { return theta("a", sm::start_at(1)) * sqrt(x[0]); })},
      {"pow 2.5", sm::energy_model(1, [](auto x, auto theta) { return theta("a", sm::start_at(1)) * pow(x[0], 2.5); })},
      {"pow −0.5",
       sm::energy_model(1, [](auto x, auto theta) { return theta("a", sm::start_at(1)) * pow(x[0], -0.5); })},
      {"pow θ", sm::energy_model(1, [](auto x, auto theta) { return pow(x[0], theta("a", sm::start_at(1.5))); })},
      {"norm", sm::energy_model(1, [](auto x, auto theta) { return norm(sqrt(x) * theta("a", sm::start_at(1))); })},
  };
  const Eigen::MatrixXd X = Eigen::MatrixXd::Constant(1, 3, -1);
  const Eigen::MatrixXf Y = X.cast<float>();
  for (const auto& [name, model] : models) {
    INFO(name);
    CHECK(sm::energy_of(model, X).array().isNaN().all());
    CHECK(sm::score_of(model, X).array().isNaN().all());
    CHECK(sm::trace_of(model, X).array().isNaN().all());
    CHECK(sm::score_of(model, Y).array().isNaN().all());
    CHECK(sm::trace_of(model, Y).array().isNaN().all());
    CHECK(std::isnan(sm::loss(model, sm::implicit_score_matching{}, X).value));
    CHECK(std::isnan(sm::loss(model, sm::denoising_score_matching{.sigma = 0.01}, X).value));
  }
  const auto compiled = sm::energy_model<1>([](auto x, auto) { return log(x[0]); });
  CHECK(sm::score_of(compiled, X).array().isNaN().all());
}

// ---------------------------------------------------------------------------------------------------------------------
// Digits
// ---------------------------------------------------------------------------------------------------------------------

namespace {

// The first three slopes of lanes and of plain numbers, each relative to its own size. From the one that `vanishes` on
// they all go to 0 alike, and where one of them crosses 0 it is an eighth of that one that counts.
template <class Row, std::size_t vanishes, class T, class Slopes>
void check_slopes(double from, double to, const Slopes& exact, double allowed) {
  using V = sm::simd::Lanes<T>;
  CAPTURE(Row::name, sizeof(T), from, to);
  double worst = 0;
  T worst_at = 0;
  for (int i = 0; i <= 4000; ++i) {
    const T a = static_cast<T>(from + (to - from) * i / 4000);
    const std::vector<long double> expected = exact(static_cast<long double>(a));
    const auto see = [&](auto number) {
      using Lanes = decltype(number);
      const auto value = Row::value(number, {});
      const auto found = Row::slopes(number, value, {});
      const auto first = [](auto lanes) {
        if constexpr (std::is_arithmetic_v<Lanes>)
          return lanes;
        else
          return lanes[0];
      };
      const T slopes[] = {first(found.first), first(found.second), first(found.third)};
      for (std::size_t k = 0; k < 3; ++k) {
        const long double size =
            std::max(std::abs(expected[k]), k + 1 > vanishes ? std::abs(expected[vanishes]) / 8 : 0);
        if (size < 100 * std::numeric_limits<T>::min()) continue;
        const double error = static_cast<double>(std::abs(slopes[k] - expected[k]) / size);
        if (!(error <= worst)) worst = error, worst_at = a;
      }
    };
    see(a);
    see(sm::simd::broadcast<V>(a));
  }
  CAPTURE(worst_at);
  CHECK(worst <= allowed);
}

template <class T>
void check_saturated() {
  using Real = long double;
  // Up to where 1 − tanh² is computed without a difference, the difference costs two digits at most.
  const double allowed = sizeof(T) == 8 ? 3e-13 : 1e-5, far = sizeof(T) == 8 ? 300 : 40;
  const auto tanh_slopes = [](Real a) {
    const Real c = std::cosh(a), s = 1 / (c * c), t = std::tanh(a);
    return std::vector<Real>{s, -2 * t * s, s * (4 * t * t - 2 * s)};
  };
  const auto of_sigmoid = [](Real a) {
    const Real s = 1 / (1 + std::exp(-a)), r = 1 / (1 + std::exp(a));
    return std::vector<Real>{s, s * r, s * r * (r - s), s * r * (1 - 6 * s * r)};
  };
  const auto sigmoid_slopes = [=](Real a) {
    const auto s = of_sigmoid(a);
    return std::vector<Real>{s[1], s[2], s[3]};
  };
  const auto silu_slopes = [=](Real a) {
    const auto s = of_sigmoid(a);
    return std::vector<Real>{s[0] + a * s[1], 2 * s[1] + a * s[2], 3 * s[2] + a * s[3]};
  };
  for (const auto& [from, to] : {std::pair{-8.0, 8.0}, std::pair{-far, far}}) {
    check_slopes<sm::elementary::tanh, 0, T>(from / 2, to / 2, tanh_slopes, allowed);
    check_slopes<sm::elementary::sigmoid, 0, T>(from, to, sigmoid_slopes, allowed);
    check_slopes<sm::elementary::softplus, 1, T>(from, to, of_sigmoid, allowed);
    check_slopes<sm::elementary::silu, 1, T>(5, to, silu_slopes, allowed);
    check_slopes<sm::elementary::silu, 1, T>(from, -5, silu_slopes, allowed);
  }
}

}  // namespace

TEST_CASE("Slopes keep their digits where a function saturates") {
  check_saturated<double>();
  check_saturated<float>();
}

TEST_CASE("The Laplacian of a mixture keeps its digits far out") {
  const auto formula = [](auto x, auto) {
    const auto component = [&](double a, double b, double width) {
      return -0.5 * squared_norm(x - Eigen::Vector2d(a, b)) / (width * width) - 2 * std::log(width);
    };
    return -log_sum_exp(concat(component(0, 1, 1), component(2, -1, 0.9), component(-1, -2, 1.1), component(3, 3, 1),
                               component(-3, 2, 0.95)));
  };
  const auto recorded = sm::energy_model(2, formula);
  const auto compiled = sm::energy_model<2>(formula);
  const sm::Matrix<float> Y = 15 * points<float>(2, 400, 3);
  const Eigen::VectorXd exact = sm::trace_of(recorded, Eigen::MatrixXd(Y.cast<double>()));
  // Where one component outweighs the others its Laplacian is that of the mixture. Between two of them it is their
  // weights' difference that counts, and that has the rounding of |x − m|²/2 in float, 800 · 6e-8 far out, whatever one
  // does.
  const auto worst = [&](const auto& model) {
    const Eigen::VectorXd found = sm::trace_of(model, Y).template cast<double>();
    double relative = 0;
    int count = 0;
    for (Index i = 0; i < found.size(); ++i)
      for (const double width : {1.0, 0.9, 1.1, 0.95}) {
        if (std::abs(exact[i] * width * width + 2) > 1e-7) continue;
        relative = std::max(relative, std::abs(found[i] / exact[i] - 1));
        ++count;
      }
    CHECK(count > 200);
    return relative;
  };
  CHECK(worst(recorded) <= 2e-6);
  CHECK(worst(compiled) <= 2e-6);
}
