// Seven things that go wrong, and what the library says of each.
#include <scorematch/scorematch.hpp>

#include <cmath>
#include <cstdio>
#include <exception>

namespace sm = scorematch;
using Eigen::MatrixXd;

int main() {
  const auto energy = sm::energy_model(2, [](auto x, auto theta) {
    return 0.5 * squared_norm(exp(theta("log_inverse_width", 2)) * (x - theta("centre", 2)));
  });
  const sm::implicit_score_matching objective;
  const auto refused = [](const char* what, const auto& call) {
    try {
      static_cast<void>(call());
      std::printf("%s: not refused\n\n", what);
    } catch (const std::exception& error) {
      std::printf("%s:\n  %s\n\n", what, error.what());
    }
  };
  MatrixXd birds = sm::read_csv("examples/data/penguins.csv", {"bill_length_mm", "bill_depth_mm"});

  // What is wrong before a computation is an exception.
  refused("one row per sample", [&] { return sm::fit(energy, objective, birds.transpose()); });
  refused("a misspelt column", [] { return sm::read_csv("examples/data/penguins.csv", {"bill_lenght_mm"}); });
  refused("an option out of range", [&] { return sm::sample(energy, sm::mala{.step = -0.1}, {}); });
  MatrixXd gaps = birds;
  gaps(0, 7) = std::nan("");
  refused("a NaN in the data", [&] { return sm::fit(energy, objective, gaps); });

  // How a computation ended is a status, with the reason in its text.
  const auto fit = sm::fit(energy, objective, birds);
  std::printf("a step that is too large:\n%s\n", sm::sample(fit.model, sm::langevin{.step = 200}, {}).text().c_str());

  const auto open = sm::energy_model(2, [](auto x, auto) { return -0.5 * squared_norm(x); });
  std::printf("no density has this energy:\n%s\n", sm::log_partition(open).text().c_str());

  birds.row(1).setConstant(17.0);
  std::printf("a constant row:\n%s", sm::fit(energy, objective, birds).text().c_str());
}
