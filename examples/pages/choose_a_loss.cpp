// One flexible energy, 228 penguins to fit on, 114 held out: what each loss makes of them.
#include <scorematch/scorematch.hpp>

#include <cstdio>

namespace sm = scorematch;
using Eigen::MatrixXd;

int main() {
  const MatrixXd birds = sm::read_csv("examples/data/penguins.csv", {"bill_length_mm", "bill_depth_mm"});
  const MatrixXd data = sm::standardise(birds).apply(birds);
  MatrixXd training(2, 228), held_out(2, 114);
  for (Eigen::Index i = 0; i < 114; ++i) {
    training.middleCols(2 * i, 2) = data.middleCols(3 * i, 2);
    held_out.col(i) = data.col(3 * i + 2);
  }
  const auto energy = sm::energy_model(
      2, [](auto x, auto theta) { return sm::mlp(x, theta, {.hidden = {16}, .seed = 1}) + 0.5 * squared_norm(x); });

  const auto show = [&](const char* name, const auto& fit) {
    const auto implicit_loss = [&](const MatrixXd& X) {
      return sm::loss(fit.model, sm::implicit_score_matching{}, X).value;
    };
    std::printf("%-24s %-19s %9.2f %9.2f\n", name, to_string(fit.status), implicit_loss(training),
                implicit_loss(held_out));
  };
  std::printf("loss                     status              implicit loss: training, held out\n");
  const sm::FitOptions adam{.method = sm::FitMethod::adam, .iterations = 1000};
  sm::FitOptions early = adam;
  early.held_out = held_out;
  early.patience = 3;
  show("implicit", sm::fit(energy, sm::implicit_score_matching{}, training, adam));
  show("implicit, stopped early", sm::fit(energy, sm::implicit_score_matching{}, training, early));
  show("sliced", sm::fit(energy, sm::sliced_score_matching{.projections = 4}, training, adam));
  show("denoising, sigma = 0.3", sm::fit(energy, sm::denoising_score_matching{.sigma = 0.3}, training, adam));
}
