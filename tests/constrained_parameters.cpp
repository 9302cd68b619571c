// Layouts of constrained parameters: maps, their Jacobians and inverses, names, both paths, errors.
#include "catch.hpp"

#include <Eigen/LU>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "both_paths.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/posterior/layout.hpp"
#include "scorematch/posterior/log_density.hpp"
#include "scorematch/random/stream.hpp"

namespace sm = scorematch;
namespace ld = sm::log_density;

namespace {

sm::Layout every_domain() {
  sm::Layout layout;
  layout.real("mu").positive("tau").above("shift", -2, 2).interval("rho", -1, 3).ordered("cut", 3);
  layout.simplex("share", 4).correlation("R", 3).vector("beta", 2).positive("s", 2);
  return layout;
}

Eigen::MatrixXd points(const sm::Layout& layout, sm::Index count) {
  return 1.5 * sm::Stream({.seed = 5}).normals(layout.dimension() * count).reshaped(layout.dimension(), count);
}

// log |∂ constrain/∂x| by central differences, without the simplex' last element, which depends on the others.
double log_jacobian_by_differences(const sm::Layout& layout, const Eigen::VectorXd& x) {
  std::vector<sm::Index> rows;
  for (sm::Index i = 0; i < layout.size(); ++i)
    if (layout.names()[static_cast<std::size_t>(i)] != "share[3]") rows.push_back(i);
  Eigen::MatrixXd J(layout.dimension(), layout.dimension());
  for (sm::Index k = 0; k < layout.dimension(); ++k) {
    const double h = 1e-5;
    Eigen::VectorXd above = x, below = x;
    above[k] += h, below[k] -= h;
    const Eigen::VectorXd slope = (layout.constrain(above) - layout.constrain(below)) / (2 * h);
    for (std::size_t i = 0; i < rows.size(); ++i) J(static_cast<sm::Index>(i), k) = slope[rows[i]];
  }
  return std::log(std::abs(J.determinant()));
}

}  // namespace

TEST_CASE("A layout names every element of every parameter") {
  const sm::Layout layout = every_domain();
  CHECK(layout.dimension() == 18);
  CHECK(layout.size() == 19);
  const std::vector<std::string> names = {"mu",     "tau",      "shift[0]", "shift[1]", "rho",      "cut[0]", "cut[1]",
                                          "cut[2]", "share[0]", "share[1]", "share[2]", "share[3]", "R[1,0]", "R[2,0]",
                                          "R[2,1]", "beta[0]",  "beta[1]",  "s[0]",     "s[1]"};
  CHECK(layout.names() == names);
}

TEST_CASE("Constrained draws lie in their domains and come back") {
  const sm::Layout layout = every_domain();
  const Eigen::MatrixXd X = points(layout, 40), V = layout.constrain(X);
  CHECK((V.row(1).array() > 0).all());
  CHECK((V.middleRows(2, 2).array() > -2).all());
  CHECK((V.row(4).array() > -1 && V.row(4).array() < 3).all());
  CHECK((V.row(5).array() < V.row(6).array() && V.row(6).array() < V.row(7).array()).all());
  CHECK((V.middleRows(8, 4).colwise().sum().array() - 1).abs().maxCoeff() < 1e-14);
  CHECK((V.middleRows(8, 4).array() > 0).all());
  for (sm::Index n = 0; n < V.cols(); ++n) {
    Eigen::Matrix3d R;
    R << 1, V(12, n), V(13, n), V(12, n), 1, V(14, n), V(13, n), V(14, n), 1;
    CHECK(R.determinant() > 0);
  }
  CHECK((layout.unconstrain(V) - X).cwiseAbs().maxCoeff() < 1e-6);  // correlations near ±1 keep few digits of u
  CHECK(layout.constrain(Eigen::MatrixXd(layout.dimension(), 0)).cols() == 0);
}

TEST_CASE("Formulas read what summaries say, and the Jacobian is that of the map") {
  const sm::Layout layout = every_domain();
  const Eigen::MatrixXd X = points(layout, 6), V = layout.constrain(X);
  const auto read = [&](const std::string& name, sm::Index element) {
    const auto model =
        sm::energy_model(layout.dimension(), [&](auto x, auto) { return layout.read(x)[name][element]; });
    return Eigen::RowVectorXd(sm::energy_of(model, X).transpose());
  };
  const auto same = [&](const std::string& name, sm::Index row, sm::Index count) {
    INFO(name);
    for (sm::Index i = 0; i < count; ++i)
      CHECK((read(name, i) - V.row(row + i)).norm() < 1e-12 * V.row(row + i).norm());
  };
  same("mu", 0, 1), same("tau", 1, 1), same("shift", 2, 2), same("rho", 4, 1), same("cut", 5, 3), same("share", 8, 4);
  same("beta", 15, 2), same("s", 17, 2);
  CHECK((read("R", 1) - V.row(12)).norm() < 1e-13);  // L₁₀ = R₁₀
  CHECK((read("R", 3) - V.row(13)).norm() < 1e-13);
  CHECK((read("R", 1).cwiseProduct(read("R", 3)) + read("R", 2).cwiseProduct(read("R", 4)) - V.row(14)).norm() < 1e-13);

  const auto jacobian = sm::energy_model(layout.dimension(), [&](auto x, auto) { return layout.read(x).log_jacobian; });
  const auto found = sm::energy_of(jacobian, X);
  for (sm::Index n = 0; n < X.cols(); ++n)
    CHECK(found[n] == Approx(log_jacobian_by_differences(layout, X.col(n))).epsilon(1e-6));
}

TEST_CASE("Densities and domains are the same on both paths") {
  const Eigen::Vector4d y(1, 0, 0, 1), z(0.3, -1, 2, 0.5);
  const auto formula = [=](auto x, auto) {
    const sm::domain::above positive;
    const auto tau = positive.value(x[1]);
    return -(ld::bernoulli_logit(y, z * x[0]) + ld::normal(x[0], 0.0, tau) + ld::half_cauchy(tau, 2.0) +
             positive.log_jacobian(x[1]));
  };
  const Eigen::MatrixXd at = sm::Stream({.seed = 9}).normals(20).reshaped(2, 10);
  const auto recorded = sm::energy_model(2, formula);
  on_both_paths<2>(formula, [&](const auto& model) {
    CHECK((sm::energy_of(model, at) - sm::energy_of(recorded, at)).norm() < 1e-11);
    CHECK((sm::score_of(model, at) - sm::score_of(recorded, at)).norm() < 1e-11);
  });
}

TEST_CASE("What a layout cannot lay out is named") {
  const auto names = [](const auto& f, const std::string& words) { CHECK_THROWS_WITH(f(), Catch::Contains(words)); };
  const double infinity = std::numeric_limits<double>::infinity();
  sm::Layout layout;
  layout.real("mu").positive("tau").interval("rho", -1, 1).ordered("cut", 3).simplex("share", 2).correlation("R", 3);
  names([&] { layout.real("tau"); }, "two parameters are called tau");
  names([&] { layout.real(""); }, "empty name");
  names([&] { layout.interval("b", 2, 2); }, "b is to lie between 2 and 2");
  names([&] { layout.interval("b", 0, infinity); }, "both finite");
  names([&] { layout.above("b", std::nan("")); }, "low of b");
  names([&] { layout.vector("b", 0); }, "b is given the size 0");
  names([&] { layout.ordered("b", 1); }, "from 2");
  names([&] { layout.simplex("b", 1); }, "from 2");
  names([&] { layout.correlation("b", 1); }, "from 2");
  CHECK(layout.dimension() == 10);  // what was refused left nothing behind
  names([&] { (void)sm::energy_model(10, [&](auto x, auto) { return layout.read(x)["sigma"]; }); },
        "no parameter sigma; its parameters are mu, tau, rho, cut, share, R");
  names([&] { (void)sm::energy_model(9, [&](auto x, auto) { return layout.read(x)["mu"]; }); }, "x has 9 elements");
  names([&] { (void)layout.constrain(Eigen::MatrixXd::Zero(9, 1)); }, "9 rows");
  names([&] { (void)layout.unconstrain(Eigen::MatrixXd::Zero(9, 1)); }, "9 rows");

  const Eigen::MatrixXd good = layout.constrain(Eigen::MatrixXd::Zero(10, 1));
  const auto with = [&](sm::Index row, double number) {
    Eigen::MatrixXd bad = good;
    bad(row, 0) = number;
    return [&layout, bad] { (void)layout.unconstrain(bad); };
  };
  names(with(0, std::nan("")), "mu has nan");
  names(with(1, 0), "tau has 0");
  names(with(2, 1), "rho has 1");
  names(with(4, -5), "cut has -5 at element 1");
  names(with(6, 0.7), "share has the sum 1.2");
  names(with(8, 1), "R is no correlation matrix");
}
