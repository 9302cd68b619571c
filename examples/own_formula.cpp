// A formula of one's own: three clusters of penguins as a mixture of three Gaussians, each with a centre m_k, a lower
// triangular factor A_k of its precision and a log weight l_k (up to log |A_k|),
//   f(x) = −log Σ_k exp(l_k − ½ ‖A_k (x − m_k)‖²),
// fitted by implicit score matching, without normaliser, without derivatives, and without being told the species.
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>
#include <string>

namespace sm = scorematch;

int main() {
  const Eigen::MatrixXd birds = sm::read_csv("examples/data/penguins.csv", {"bill_length_mm", "bill_depth_mm"});
  const std::string names[] = {"Adelie", "Chinstrap", "Gentoo"};
  const Eigen::Vector2d guesses[] = {{39, 18}, {49, 18}, {47, 15}};

  const auto mixture = sm::energy_model(2, [&](auto x, auto theta) {
    auto exponent = [&](int k) {
      const std::string name = names[k];
      auto u = x - theta(name + ".centre", guesses[k]);  // an Eigen object brings shape and start
      auto a = exp(theta(name + ".log_diagonal", 2)) * u;
      auto below = theta(name + ".below") * u[0];
      return theta(name + ".weight") - 0.5 * (square(a[0]) + square(a[1] + below));
    };
    return -log_sum_exp(sm::stack(3, exponent));
  });

  const auto fit = sm::fit(mixture, sm::implicit_score_matching{}, birds);
  std::printf("%td penguins: %s after %td iterations\nloss %.4f ± %.4f\n", birds.cols(), to_string(fit.status),
              fit.iterations, fit.loss.value, fit.loss.standard_error);
  for (const sm::Estimate& term : fit.loss.terms)
    std::printf("  %-18s %8.4f ± %.4f\n", term.name.c_str(), term.value, term.standard_error);

  double weights[3], total = 0;
  for (int k = 0; k < 3; ++k) {
    const double log_determinant = fit.model.parameter(names[k] + ".log_diagonal").sum();
    total += weights[k] = std::exp(fit.model.parameter(names[k] + ".weight")(0) - log_determinant);
  }
  for (int k = 0; k < 3; ++k) {
    const Eigen::MatrixXd centre = fit.model.parameter(names[k] + ".centre");
    std::printf("%-10s centre (%.1f, %.1f) mm, weight %.2f\n", names[k].c_str(), centre(0), centre(1),
                weights[k] / total);
  }
  return fit.status == sm::FitStatus::converged ? 0 : 1;
}
