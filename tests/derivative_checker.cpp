// check_derivatives: right classes pass; each planted mistake is found, placed and named.
#include "catch.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "scorematch/diagnostics/check_derivatives.hpp"
#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/network/mlp.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using sm::InputPoints;
using sm::OutputNumbers;
using sm::OutputPoints;
using Verdict = sm::DerivativeReport::Verdict;

namespace {

enum class Mistake {
  none,
  gradient_sign,
  gradient_doubled,
  gradient_halved,
  gradient_wrong_component,
  gradient_cross_term,
  gradient_of_first_column,
  gradient_row_unwritten,
  gradient_added,
  gradient_one_in_a_million,
  score_sign,
  laplacian_of_log_density,
  laplacian_all_elements,
  laplacian_term,
  hessian_sign,
  hessian_diagonal,
  hessian_is_laplacian,
  theta_sign,
  theta_halved,
  theta_order,
  theta_chain_rule,
  theta_overwritten,
  theta_not_read_back,
};

// f = a (x₀² − 1)² + b x₀ x₁² + x₁ sin x₂ + ½ eᶜ x₂²,  θ = (a, b, c), with everything a class can provide, and a
// mistake.
struct Planted {
  Mistake mistake = Mistake::none;
  Eigen::VectorXd theta = Eigen::Vector3d(0.7, -0.4, 0.3);

  bool has(Mistake one) const { return mistake == one; }
  double a() const { return theta[0]; }
  double b() const { return theta[1]; }
  double stiffness() const { return std::exp(theta[2]); }

  int dimension() const { return 3; }

  void energy(InputPoints X, OutputNumbers f) const {
    for (Eigen::Index j = 0; j < X.cols(); ++j) {
      const double x = X(0, j), y = X(1, j), z = X(2, j);
      f[j] = a() * std::pow(x * x - 1, 2) + b() * x * y * y + y * std::sin(z) + 0.5 * stiffness() * z * z;
    }
  }

  void gradient(InputPoints X, OutputPoints G) const {
    const Eigen::Index rows = has(Mistake::gradient_row_unwritten) ? 2 : 3;
    Eigen::Matrix3Xd right(3, X.cols());
    for (Eigen::Index j = 0; j < X.cols(); ++j) {
      const Eigen::Vector3d at = X.col(has(Mistake::gradient_of_first_column) ? 0 : j);
      const double x = at[0], y = at[1], z = at[2];
      const double crossing = has(Mistake::gradient_cross_term) ? 0 : std::sin(z);
      right.col(j) << 4 * a() * x * (x * x - 1) + b() * y * y, 2 * b() * x * y + crossing,
          y * std::cos(z) + stiffness() * z;
    }
    if (has(Mistake::gradient_sign)) right *= -1;
    if (has(Mistake::gradient_doubled)) right *= 2;
    if (has(Mistake::gradient_halved)) right *= 0.5;
    if (has(Mistake::gradient_wrong_component)) right.row(0) = right.row(2).eval();
    if (has(Mistake::gradient_one_in_a_million)) right.row(1) *= 1 + 1e-6;
    if (has(Mistake::gradient_added))
      G += right;
    else
      G.topRows(rows) = right.topRows(rows);
  }

  void score(InputPoints X, OutputPoints S) const {
    gradient(X, S);
    if (!has(Mistake::score_sign)) S = -S.eval();
  }

  void hessian_vector(InputPoints X, InputPoints V, OutputPoints HV) const {
    for (Eigen::Index j = 0; j < X.cols(); ++j) {
      Eigen::Matrix3d H = hessian(X.col(j));
      if (has(Mistake::hessian_sign)) H *= -1;
      if (has(Mistake::hessian_diagonal)) H = H.diagonal().asDiagonal().toDenseMatrix();
      if (has(Mistake::hessian_is_laplacian)) H = H.trace() * Eigen::Matrix3d::Identity();
      HV.col(j) = H * V.col(j);
    }
  }

  void laplacian(InputPoints X, OutputNumbers L) const {
    for (Eigen::Index j = 0; j < X.cols(); ++j) {
      const Eigen::Matrix3d H = hessian(X.col(j));
      L[j] = H.trace();
      if (has(Mistake::laplacian_of_log_density)) L[j] = -H.trace();
      if (has(Mistake::laplacian_all_elements)) L[j] = H.sum();
      if (has(Mistake::laplacian_term)) L[j] -= H(1, 1);
    }
  }

  Eigen::VectorXd parameters() const { return theta; }

  void set_parameters(const Eigen::VectorXd& given) {
    theta = given;
    if (has(Mistake::theta_not_read_back)) theta[2] += 1e-9;
  }

  void pull_back(InputPoints X, InputPoints W, OutputNumbers g) const {
    Eigen::Vector3d right = Eigen::Vector3d::Zero();
    for (Eigen::Index j = 0; j < X.cols(); ++j) {
      const double x = X(0, j), y = X(1, j), z = X(2, j);
      right[0] += W(0, j) * 4 * x * (x * x - 1);
      right[1] += W(0, j) * y * y + W(1, j) * 2 * x * y;
      right[2] += W(2, j) * z * (has(Mistake::theta_chain_rule) ? 1 : stiffness());
    }
    if (has(Mistake::theta_sign)) right *= -1;
    if (has(Mistake::theta_halved)) right *= 0.5;
    if (has(Mistake::theta_order)) std::swap(right[0], right[1]);
    if (has(Mistake::theta_overwritten))
      g = right;
    else
      g += right;
  }

 private:
  Eigen::Matrix3d hessian(const Eigen::Vector3d& at) const {
    const double x = at[0], y = at[1], z = at[2];
    Eigen::Matrix3d H;
    H << a() * (12 * x * x - 4), 2 * b() * y, 0,  //
        2 * b() * y, 2 * b() * x, std::cos(z),    //
        0, std::cos(z), stiffness() - y * std::sin(z);
    return H;
  }
};

Eigen::MatrixXd points(sm::Index d = 3, sm::Index count = 4, std::uint64_t seed = 8) {
  return sm::Stream({.seed = seed}).normals(d * count).reshaped(d, count);
}

// Right: to what central differences resolve, with slope 2 wherever their error is seen at all.
void check_right(const sm::DerivativeReport& report) {
  INFO(report.text());
  CHECK(report.passed);
  for (const auto& entry : report.entries) {
    if (entry.verdict == Verdict::skipped) continue;
    CHECK(entry.verdict == Verdict::right);
    CHECK(entry.error < 1e-8);
    if (!std::isnan(entry.slope)) CHECK(entry.slope == Approx(2).margin(0.3));
  }
}

const sm::DerivativeReport::Entry& entry(const sm::DerivativeReport& report, const std::string& quantity) {
  INFO(report.text());
  REQUIRE(report.find(quantity) != nullptr);
  return *report.find(quantity);
}

}  // namespace

TEST_CASE("a right class passes, every quantity of it") {
  const auto report = sm::check_derivatives(Planted{}, points());
  check_right(report);
  std::string quantities;
  for (const auto& e : report.entries) quantities += e.quantity + " ";
  CHECK(quantities == "gradient score symmetry laplacian hessian_vector pull_back ");
}

TEST_CASE("a right class passes at many points") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) check_right(sm::check_derivatives(Planted{}, points(3, 2, seed)));
}

TEST_CASE("each planted mistake fails and is named") {
  struct Case {
    Mistake mistake;
    std::string quantity, note;
  };
  const std::vector<Case> cases = {
      {Mistake::gradient_sign, "gradient", "the sign is reversed: it is of the energy f"},
      {Mistake::gradient_doubled, "gradient", "a factor: 2 times the right value"},
      {Mistake::gradient_halved, "gradient", "a factor: 0.5 times the right value"},
      {Mistake::gradient_wrong_component, "gradient", "row 0 holds what belongs to row 2"},
      {Mistake::gradient_cross_term, "gradient", "wrong in row 1 alone: a term missing there"},
      {Mistake::gradient_cross_term, "symmetry", "a cross term missing in one row, a matrix transposed"},
      {Mistake::gradient_of_first_column, "gradient", ""},
      {Mistake::gradient_row_unwritten, "gradient", "not finite: is every element written"},
      {Mistake::gradient_added, "gradient", "with = and not with +="},
      {Mistake::gradient_one_in_a_million, "gradient", "a factor: 1.000001 times the right value in row 1 alone"},
      {Mistake::score_sign, "score", "the sign is reversed: s = ∇ log p = −∇f"},
      {Mistake::laplacian_of_log_density, "laplacian", "the sign is reversed: it is of the energy f, not of log p"},
      {Mistake::laplacian_all_elements, "laplacian", "mixed ones included"},
      {Mistake::laplacian_term, "laplacian", ""},
      {Mistake::hessian_sign, "hessian_vector", "the sign is reversed"},
      {Mistake::hessian_diagonal, "hessian_vector", "the mixed derivatives are missing"},
      {Mistake::hessian_is_laplacian, "hessian_vector", "the Laplacian times V"},
      {Mistake::theta_sign, "pull_back", "the sign is reversed"},
      {Mistake::theta_halved, "pull_back", "a factor: 0.5 times the right value"},
      // two are exchanged: which of them is named is decided by rounding
      {Mistake::theta_order, "pull_back", "holds what belongs to theta"},
      {Mistake::theta_chain_rule, "pull_back", "in theta 2 alone"},
      {Mistake::theta_overwritten, "pull_back", "must add to g"},
      {Mistake::theta_not_read_back, "pull_back", "parameters() does not return"},
  };
  for (const Case& c : cases) {
    const auto report = sm::check_derivatives(Planted{.mistake = c.mistake}, points());
    INFO(report.text());
    CHECK_FALSE(report.passed);
    const auto& wrong = entry(report, c.quantity);
    CHECK(wrong.verdict == Verdict::wrong);
    CHECK_THAT(wrong.note, ContainsSubstring(c.note));
    CHECK_THAT(report.text(),
               ContainsSubstring("WRONG") && ContainsSubstring(c.quantity) && ContainsSubstring(wrong.note));
    if (std::isfinite(wrong.slope) && wrong.error > 1e-3) CHECK(std::abs(wrong.slope) < 0.1);  // the error stays
    for (const auto& other : report.entries) {  // and nothing else is blamed
      const bool field = c.quantity == "gradient" || c.quantity == "symmetry";
      if (other.quantity != c.quantity && !field) CHECK(other.verdict != Verdict::wrong);
      if (other.quantity == "the rest") CHECK(other.verdict == Verdict::skipped);
    }
  }
}

TEST_CASE("the worst element is named") {
  Eigen::MatrixXd X = points();
  X.col(2) << 0.3, 2, 1.3;  // sin x₂ is missing from row 1: worst, relative to its column, where it is large
  const auto report = sm::check_derivatives(Planted{.mistake = Mistake::gradient_cross_term}, X);
  const auto& wrong = entry(report, "gradient");
  CHECK(wrong.row == 1);
  const double x = X(0, wrong.column), y = X(1, wrong.column), z = X(2, wrong.column);
  CHECK(wrong.written == Approx(2 * -0.4 * x * y));
  CHECK(wrong.numeric == Approx(2 * -0.4 * x * y + std::sin(z)).epsilon(1e-8));
  const auto of_theta = sm::check_derivatives(Planted{.mistake = Mistake::theta_chain_rule}, X);
  CHECK(entry(of_theta, "pull_back").row == 2);
  CHECK(entry(of_theta, "pull_back").column == -1);
  CHECK(entry(of_theta, "pull_back").numeric ==
        Approx(std::exp(0.3) * entry(of_theta, "pull_back").written).epsilon(1e-8));
}

TEST_CASE("what a class does not provide is skipped, and said") {
  struct Least {
    Planted all;
    int dimension() const { return 3; }
    void gradient(InputPoints X, OutputPoints G) const { all.gradient(X, G); }
  };
  const auto report = sm::check_derivatives(Least{}, points());
  check_right(report);  // by the symmetry of its derivative
  CHECK_THAT(entry(report, "gradient").note, ContainsSubstring("no energy"));
  CHECK_THAT(entry(report, "laplacian").note, ContainsSubstring("not provided"));
  CHECK_THAT(entry(report, "pull_back").note, ContainsSubstring("no parameters"));
  CHECK(report.find("hessian_vector") == nullptr);

  const auto wrong = sm::check_derivatives(Least{{.mistake = Mistake::gradient_cross_term}}, points());
  CHECK(entry(wrong, "symmetry").verdict == Verdict::wrong);

  struct OneDimensional {  // nothing can be compared: that is no pass
    int dimension() const { return 1; }
    void gradient(InputPoints X, OutputPoints G) const { G = X; }
  };
  CHECK_FALSE(sm::check_derivatives(OneDimensional{}, points(1)).passed);
}

TEST_CASE("a transposed matrix is found without an energy") {
  struct Linear {
    Eigen::Matrix2d A;
    int dimension() const { return 2; }
    void gradient(InputPoints X, OutputPoints G) const { G = A * X; }
  };
  CHECK(sm::check_derivatives(Linear{Eigen::Matrix2d{{2, 1}, {1, 3}}}, points(2)).passed);
  const auto report = sm::check_derivatives(Linear{Eigen::Matrix2d{{2, 1}, {0, 3}}}, points(2));
  CHECK_THAT(entry(report, "symmetry").note, ContainsSubstring("transposed"));
}

TEST_CASE("a score class is checked against its own trace and parameters") {
  struct Rotating {  // no energy has this score
    double turn = 0.7;
    bool negative = false;
    int dimension() const { return 2; }
    void score(InputPoints X, OutputPoints S) const {
      S.row(0) = -X.row(0).array().cube() - turn * X.row(1).array();
      S.row(1) = -X.row(1).array().sin() + turn * X.row(0).array();
    }
    void trace(InputPoints X, OutputNumbers D) const {
      D = (negative ? 1 : -1) * (3 * X.row(0).array().square() + X.row(1).array().cos()).transpose();
    }
    Eigen::VectorXd parameters() const { return Eigen::VectorXd::Constant(1, turn); }
    void set_parameters(const Eigen::VectorXd& theta) { turn = theta[0]; }
    void pull_back(InputPoints X, InputPoints W, OutputNumbers g) const {
      g[0] += W.row(1).dot(X.row(0)) - W.row(0).dot(X.row(1));
    }
  };
  const auto report = sm::check_derivatives(Rotating{}, points(2));
  check_right(report);
  CHECK(entry(report, "score").verdict == Verdict::skipped);
  CHECK(entry(report, "pull_back").verdict == Verdict::right);
  const auto wrong = sm::check_derivatives(Rotating{.negative = true}, points(2));
  CHECK_THAT(entry(wrong, "trace").note, ContainsSubstring("the sign is reversed: it is of s"));
}

TEST_CASE("formulas pass where they are smooth, and their kinks show") {
  check_right(sm::check_derivatives(sm::energy_model(2,
                                                     [](auto x, auto theta) {
                                                       return sm::mlp(x, theta, {.hidden = {4}}) +
                                                              0.5 * exp(theta("width")) * squared_norm(x);
                                                     }),
                                    points(2)));
  check_right(sm::check_derivatives(
      sm::score_model(2, [](auto x, auto theta) { return sm::mlp(x, theta, {.hidden = {3}, .outputs = 2}); }),
      points(2)));
  const auto noisy =
      sm::energy_model(2, [](auto x, auto sigma, auto theta) { return squared_norm(x - theta("m", 2)) / (1 + sigma); });
  check_right(sm::check_derivatives(sm::at_sigma(noisy, 0.3), points(2)));
  CHECK_THROWS_WITH(sm::check_derivatives(noisy, points(2)), ContainsSubstring("at_sigma"));

  const auto kinked =
      sm::energy_model(2, [](auto x, auto) { return abs(x[0]) + max(x[1], 0) + 0.5 * squared_norm(x); });
  check_right(sm::check_derivatives(kinked, points(2)));
  for (const sm::Index row : {0, 1}) {
    Eigen::MatrixXd X = points(2);
    X(row, 2) = 0;
    const auto report = sm::check_derivatives(kinked, X);
    INFO(report.text());
    CHECK_FALSE(report.passed);
    for (const char* quantity : {"score", "trace"}) {
      CHECK(entry(report, quantity).verdict == Verdict::no_clean_slope);
      CHECK(entry(report, quantity).column == 2);
      CHECK_THAT(entry(report, quantity).note, ContainsSubstring("a kink"));
    }
    CHECK(entry(report, "score").row == row);
    CHECK_THAT(report.text(), ContainsSubstring("no clean slope"));
  }
}

TEST_CASE("scales: of x, of the energy, and of rounding in it") {
  SECTION("x of 100, x of 1e-5") {
    check_right(sm::check_derivatives(Planted{}, 100 * points()));
    CHECK(sm::check_derivatives(Planted{}, 1e-5 * points()).passed);
  }
  struct Quartic {  // f = offset + Σ (x_i/scale_i)⁴/4, and a relative mistake in row 1
    Eigen::Vector2d scale = Eigen::Vector2d::Ones();
    double offset = 0, mistake = 0;
    bool in_float = false;
    int dimension() const { return 2; }
    void energy(InputPoints X, OutputNumbers f) const {
      f = (offset + (scale.asDiagonal().inverse() * X).array().pow(4).colwise().sum() / 4).transpose();
      if (in_float) f = f.cast<float>().cast<double>().eval();
    }
    void gradient(InputPoints X, OutputPoints G) const {
      G = scale.asDiagonal().inverse() * (scale.asDiagonal().inverse() * X).array().cube().matrix();
      G.row(1) *= 1 + mistake;
    }
  };
  SECTION("coordinates of different units") {
    const Eigen::Vector2d units(4000, 1e-3);
    const Eigen::MatrixXd X = units.asDiagonal() * points(2);
    check_right(sm::check_derivatives(Quartic{units}, X));
    const auto report = sm::check_derivatives(Quartic{units, 0, 1e-3}, X);
    CHECK(entry(report, "gradient").verdict == Verdict::wrong);
    CHECK(entry(report, "gradient").row == 1);
  }
  SECTION("a large constant, or float inside, blurs the differences: less is resolved, nothing is blamed") {
    CHECK(sm::check_derivatives(Quartic{.offset = 1e6}, points(2)).passed);
    CHECK(sm::check_derivatives(Quartic{.in_float = true}, points(2)).passed);
    CHECK(entry(sm::check_derivatives(Quartic{.offset = 1e6, .mistake = 1e-3}, points(2)), "gradient").verdict ==
          Verdict::wrong);
    CHECK(entry(sm::check_derivatives(Quartic{.mistake = 1, .in_float = true}, points(2)), "gradient").verdict ==
          Verdict::wrong);
  }
}

TEST_CASE("detail much finer than x") {
  struct Rippled {  // f = x²/2000 + 10 sin x: coarse steps see the parabola alone
    int dimension() const { return 1; }
    void energy(InputPoints X, OutputNumbers f) const {
      f = (X.array().square() / 2000 + 10 * X.array().sin()).transpose();
    }
    void gradient(InputPoints X, OutputPoints G) const { G = X / 1000 + 10 * X.array().cos().matrix(); }
  };
  CHECK(sm::check_derivatives(Rippled{}, Eigen::RowVector3d(10000, 10001, 10002)).passed);
}

TEST_CASE("values that are not finite") {
  struct Barrier {  // f = −log x, for x > 0 only
    int dimension() const { return 1; }
    void energy(InputPoints X, OutputNumbers f) const { f = -X.row(0).array().log().transpose(); }
    void gradient(InputPoints X, OutputPoints G) const { G = -X.array().inverse(); }
  };
  check_right(
      sm::check_derivatives(Barrier{}, Eigen::MatrixXd::Constant(1, 1, 0.01)));  // coarse steps leave the domain
  const auto outside = sm::check_derivatives(Barrier{}, Eigen::MatrixXd::Constant(1, 1, -2.0));
  CHECK_FALSE(outside.passed);
  CHECK(entry(outside, "gradient").verdict == Verdict::no_clean_slope);
  CHECK_THAT(entry(outside, "gradient").note, ContainsSubstring("not finite"));
}

TEST_CASE("broken preconditions throw") {
  CHECK_THROWS_WITH(sm::check_derivatives(Planted{}, Eigen::MatrixXd(3, 0)), ContainsSubstring("X has no columns"));
  CHECK_THROWS_WITH(sm::check_derivatives(Planted{}, points(2)), ContainsSubstring("the model has dimension 3"));
  Eigen::MatrixXd X = points();
  X(1, 3) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(sm::check_derivatives(Planted{}, X), ContainsSubstring("column 3, row 1"));
  CHECK_THROWS_AS(sm::check_derivatives(Planted{}, X), std::invalid_argument);
}
