#include <scorematch/scorematch.hpp>

namespace sm = scorematch;

sm::EnergyModel fitted_to(const Eigen::MatrixXd& data);

sm::EnergyModel fitted_to(const Eigen::MatrixXd& data) {
  const auto energy =
      sm::energy_model(2, [](auto x, auto theta) { return 0.5 * squared_norm(x - theta("centre", 2)); });
  return sm::fit(energy, sm::implicit_score_matching{}, data).model;
}
