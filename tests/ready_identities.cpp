// Ready energies in losses, in closed form and compiled. (Their formulas and normalisers: ready_energies.cpp.)
#include "catch.hpp"

#include <cmath>
#include <string>

#include "same_models.hpp"
#include "scorematch/energy/ready.hpp"
#include "scorematch/inference/closed_form.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using same_models::agree;
using same_models::moved;
using same_models::points;

namespace {

/// The compiled formula against its record.
template <int d, class F>
void compiles(const std::string& name, F formula) {
  INFO(name);
  const auto compiled = moved(sm::energy_model<d>(formula));
  const auto recorded = moved(sm::energy_model(d, formula));
  const MatrixXd X = points(d, 21);
  agree("theta", compiled.parameters(), recorded.parameters(), 0);
  agree("score", sm::score_of(compiled, X), sm::score_of(recorded, X), 1e-12);
  agree("divergence", sm::trace_of(compiled, X), sm::trace_of(recorded, X), 1e-12);
}

}  // namespace

// Vincent 2011, §4
TEST_CASE("Denoising score matching of the RBM is an autoencoder's loss over 2σ⁴, sample by sample") {
  for (const double sigma : {0.3, 1.4}) {
    const auto model = moved(sm::gaussian_bernoulli_rbm(3, {.hidden = 5, .sigma = sigma}));
    const MatrixXd W = model.parameter("weights"), X = points(3, 50);
    const sm::denoising_score_matching objective{.sigma = sigma, .seed = 3};
    MatrixXd Z(50, 3);
    sm::extend::fill_normals<double>({3, sm::extend::Purpose::perturbation}, sm::extend::Ids::from(0), 50, 0, 3,
                                     Z.data(), 50);
    const MatrixXd noisy = X + sigma * Z.transpose();
    const MatrixXd input = W.lazyProduct(noisy).colwise() + model.parameter("hidden_bias").reshaped(),
                   hidden = (1 + (-input).array().exp()).inverse();
    const MatrixXd decoded = W.transpose().lazyProduct(hidden).colwise() + model.parameter("visible_bias").reshaped();
    agree("each sample", sm::loss(model, objective, X, {.per_sample = true}).per_sample,
          VectorXd((decoded - X).colwise().squaredNorm() / (2 * std::pow(sigma, 4))), 1e-12);
  }
}

TEST_CASE("pairwise_quartic is linear in θ: implicit score matching has a closed form") {
  const MatrixXd X = points(4, 500);
  const auto solved = sm::closed_form(sm::pairwise_quartic(4), sm::implicit_score_matching{}, X);
  CHECK(solved.status == sm::ClosedFormStatus::solved);
  CHECK(sm::loss_and_gradient(solved.model, sm::implicit_score_matching{}, X).gradient.norm() < 1e-10);
}

TEST_CASE("Compiled, with vectors of one element and of more") {
  compiles<1>("gaussian", [](auto x, auto theta) { return sm::gaussian(x, theta); });
  compiles<2>("gaussian_mixture",
              [](auto x, auto theta) { return sm::gaussian_mixture(x, theta, {.components = 3, .seed = 2}); });
  compiles<3>("student_t and pairwise_quartic",
              [](auto x, auto theta) { return sm::student_t(x, named("t", theta)) + sm::pairwise_quartic(x, theta); });
  compiles<2>("double_well, banana and ring", [](auto x, auto theta) {
    return sm::double_well(x, theta) + sm::banana(x, theta) + sm::ring(x, named("ring", theta)) +
           sm::gaussian_bernoulli_rbm(x, theta, {.hidden = 3});
  });
}
