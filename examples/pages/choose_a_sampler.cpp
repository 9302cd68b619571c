// The one call on a posterior, and what to do where modes lie so far apart that it says "not converged".
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>

namespace sm = scorematch;

int main() {
  // Eight schools (Rubin 1981): effects theta_j = mu + tau z_j, each measured with a known error.
  const Eigen::VectorXd y{{28, 8, -3, 7, -1, 1, 18, 12}}, error{{15, 10, 16, 11, 9, 11, 10, 18}};
  sm::Layout layout;
  layout.real("mu").positive("tau").vector("z", 8);
  const auto posterior = sm::energy_model(layout.dimension(), [&](auto x, auto) {
    const auto p = layout.read(x);
    const auto mu = p["mu"], tau = p["tau"], z = p["z"];
    return -(sm::log_density::normal(mu, 0.0, 5.0) + sm::log_density::half_cauchy(tau, 5.0) +
             sm::log_density::normal(z, 0.0, 1.0) + sm::log_density::normal(y, mu + tau * z, error) + p.log_jacobian);
  });
  const auto draws = sm::sample(posterior, {.chains = 64, .seed = 1});
  const Eigen::MatrixXd parameters = layout.constrain(draws.points).topRows(2);
  std::printf("%s%s\n", draws.text().c_str(),
              sm::diagnostics::summary(parameters, draws.chains, {"mu", "tau"}).text().c_str());

  // Two normal laws far apart, of weights 0.8 and 0.2; blurred by noise of deviation sigma, their variance is v.
  const auto modes = [](auto x, auto v) {
    auto mode = [&](double centre, double weight) {
      return std::log(weight) - 0.5 * (square(x[0] - centre) + square(x[1])) / v;
    };
    return -log_sum_exp(concat(mode(6, 0.8), mode(-6, 0.2)));
  };
  const auto far = sm::energy_model(2, [&](auto x, auto) { return modes(x, 1.0); });
  const auto at_levels = sm::energy_model(2, [&](auto x, auto sigma, auto) { return modes(x, 1.0 + square(sigma)); });
  const auto show = [](const char* name, const auto& drawn) {
    std::printf("%-18s weight %.2f, %s\n", name, (drawn.points.row(0).array() > 0).template cast<double>().mean(),
                drawn.text().c_str());
  };
  const sm::SampleOptions chains{.chains = 64, .steps = 2000, .warm_up = 400, .thin = 2, .seed = 1};
  show("hmc", sm::sample(far, chains));
  show("parallel_tempering", sm::sample(far, sm::parallel_tempering<>{.hottest = 30}, chains));
  show("heun, 40 levels", sm::generate(at_levels, sm::heun{.levels = sm::edm_levels{.sigma_max = 80, .levels = 40}},
                                       {.count = 4000, .seed = 1}));
}
