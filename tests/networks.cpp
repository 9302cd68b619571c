// Networks as formulas: layers, residual networks, Fourier features, and EDM's scaling by the noise level.
#include "catch.hpp"

#include <cmath>

#include "scorematch/io/npz.hpp"
#include "scorematch/io/parameters.hpp"
#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/network/preconditioning.hpp"
#include "scorematch/network/residual_network.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/random/stream.hpp"

namespace sm = scorematch;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

MatrixXd points(Index d, Index count, std::uint64_t seed) {
  MatrixXd X(d, count);
  sm::Stream stream({seed});
  for (Index i = 0; i < X.size(); ++i) X.data()[i] = stream.normal();
  return X;
}

/// Gives every parameter a random value, also those that start at 0.
template <class M>
M shaken(M model, std::uint64_t seed) {
  model.set_parameters(0.5 * points(model.parameters().size(), 1, seed));
  return model;
}

VectorXd silu(const VectorXd& h) { return (h.array() / (1 + (-h.array()).exp())).matrix(); }

/// The θ-gradient of the frozen loss against central differences, along a few random directions.
template <class M, class O>
void check_gradient(const M& model, const O& objective, const MatrixXd& X, const std::vector<int>& labels = {}) {
  const VectorXd theta = model.parameters(),
                 gradient = sm::loss_and_gradient(model, objective, X, {.labels = labels}).gradient;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const VectorXd direction = points(theta.size(), 1, 100 + seed);
    const double h = 1e-5;
    const auto along = [&](double step) {
      M moved = model;
      moved.set_parameters(theta + step * direction);
      return sm::loss(moved, objective, X, {.labels = labels}).value;
    };
    CHECK((along(h) - along(-h)) / (2 * h) == Approx(gradient.dot(direction)).epsilon(1e-6).margin(1e-6));
  }
}

}  // namespace

TEST_CASE("A dense layer is W h + b, of a vector and of a number") {
  const auto model = shaken(
      sm::score_model(3, [](auto x, auto theta) { return sm::dense(sm::dense(x[1], theta, "a", 4), theta, "b", 3); }),
      1);
  const MatrixXd X = points(3, 5, 2), S = sm::score_of(model, X);
  for (Index i = 0; i < X.cols(); ++i) {
    const VectorXd h = model.parameter("a.weight") * X(1, i) + model.parameter("a.bias");
    CHECK((S.col(i) - (model.parameter("b.weight") * h + model.parameter("b.bias"))).norm() < 1e-13);
  }
}

TEST_CASE("Fourier features are sines and cosines of frequencies in equal ratios") {
  const auto model = sm::score_model(
      6, [](auto x, auto) { return sm::fourier_features(x[0], {.count = 3, .slowest = 0.5, .fastest = 8}) + 0 * x; });
  const MatrixXd X = points(6, 4, 3), S = sm::score_of(model, X);
  for (Index i = 0; i < X.cols(); ++i)
    for (int k = 0; k < 3; ++k) {
      const double angle = 0.5 * std::pow(4, k) * X(0, i);
      CHECK(S(k, i) == Approx(std::sin(angle)).margin(1e-14));
      CHECK(S(3 + k, i) == Approx(std::cos(angle)).margin(1e-14));
    }
}

TEST_CASE("A residual network by hand, steered by noise level and class") {
  const auto formula = [](auto x, auto sigma, auto label, auto theta) {
    const auto condition =
        sm::dense(sm::fourier_features(log(sigma), {.count = 2}), theta, "noise", 5) + theta("class", 5, 3) * label;
    return sm::residual_network(x, condition, theta, {.width = 7, .blocks = 2, .outputs = 2});
  };
  const auto start = sm::score_model(2, sm::classes{3}, formula);
  const MatrixXd X = points(2, 9, 4);
  CHECK(sm::score_of(sm::at_sigma(start, 0.7, 1), X).norm() == 0);  // what it adds starts at 0

  const auto model = shaken(start, 5);
  const auto p = [&](const char* name) { return model.parameter(name); };
  for (const int label : {-1, 0, 2}) {
    const MatrixXd S = sm::score_of(sm::at_sigma(model, 0.7, label), X);
    const double u = std::log(0.7);
    const VectorXd features = Eigen::Vector4d(std::sin(0.5 * u), std::sin(16 * u), std::cos(0.5 * u), std::cos(16 * u));
    VectorXd c = p("noise.weight") * features + p("noise.bias");
    if (label >= 0) c += p("class").col(label);
    for (Index i = 0; i < X.cols(); ++i) {
      VectorXd h = p("net.in.weight") * X.col(i) + p("net.in.bias");
      for (const std::string block : {"net.block1", "net.block2"}) {
        const auto q = [&](const char* name) { return model.parameter(block + name); };
        const VectorXd inner = q(".first.weight") * silu(h) + q(".first.bias") + q(".condition") * c;
        h += q(".second.weight") * silu(inner) + q(".second.bias");
      }
      CHECK((S.col(i) - (p("net.out.weight") * silu(h) + p("net.out.bias"))).norm() < 1e-12);
    }
  }
}

TEST_CASE("EDM's scaling: without a network the score of the blurred Gaussian, with one D = c_skip x + c_out F") {
  const double d = 0.8;
  const auto network = [](auto scaled, auto noise, auto theta) {
    return sm::mlp(sm::concat(scaled, noise), theta, {.hidden = {6}, .outputs = 3});
  };
  const auto bare = sm::score_model(3, [&](auto x, auto sigma, auto theta) {
    return sm::edm_score(x, sigma, {.sigma_data = d},
                         [&](auto scaled, auto noise) { return 0 * network(scaled, noise, theta); });
  });
  const auto full = shaken(
      sm::score_model(3,
                      [&](auto x, auto sigma, auto theta) {
                        return sm::edm_score(x, sigma, {.sigma_data = d},
                                             [&](auto scaled, auto noise) { return network(scaled, noise, theta); });
                      }),
      6);
  const MatrixXd X = points(3, 6, 7);
  for (const double sigma : {0.01, 0.5, 20.0}) {
    const double total = sigma * sigma + d * d;
    CHECK((sm::score_of(sm::at_sigma(bare, sigma), X) + X / total).norm() <= 1e-14 * X.norm() / total);
    const auto plain = [&] {  // F alone, at the scaled input
      auto model = sm::score_model(3, [&](auto x, auto theta) {
        return sm::mlp(sm::concat(x, 0.25 * std::log(sigma)), theta, {.hidden = {6}, .outputs = 3});
      });
      model.set_parameters(full.parameters());
      return sm::score_of(model, MatrixXd(X / std::sqrt(total)));
    }();
    const MatrixXd denoised = d * d / total * X + sigma * d / std::sqrt(total) * plain;
    const MatrixXd score = (denoised - X) / (sigma * sigma);
    CHECK((sm::score_of(sm::at_sigma(full, sigma), X) - score).norm() <= 1e-11 * score.norm());
  }
}

TEST_CASE("EDM's scaling of an energy gives the score's scales, with the network's gradient in its place") {
  const double d = 0.8, sigma = 0.6, total = sigma * sigma + d * d;
  const auto model =
      shaken(sm::energy_model(2,
                              [&](auto x, auto level, auto theta) {
                                return sm::edm_energy(x, level, {.sigma_data = d}, [&](auto scaled, auto noise) {
                                  return sm::mlp(sm::concat(scaled, noise), theta, {.hidden = {5}});
                                });
                              }),
             8);
  auto network = sm::energy_model(
      2, [&](auto x, auto theta) { return sm::mlp(sm::concat(x, 0.25 * std::log(sigma)), theta, {.hidden = {5}}); });
  network.set_parameters(model.parameters());
  const MatrixXd X = points(2, 6, 9), gradient = -sm::score_of(network, MatrixXd(X / std::sqrt(total)));
  const MatrixXd expected = -X / total + d / (sigma * std::sqrt(total)) * gradient;
  CHECK((sm::score_of(sm::at_sigma(model, sigma), X) - expected).norm() < 1e-12 * expected.norm());
}

TEST_CASE("θ-gradients of conditional networks, as scores and as energies") {
  const MatrixXd X = points(2, 40, 10);
  std::vector<int> labels;
  for (int i = 0; i < 40; ++i) labels.push_back(i % 4 - 1);
  const sm::denoising_score_matching objective{
      .sigma = sm::log_normal_sigma{}, .frozen = true, .weight = sm::Weight::edm};
  const auto condition = [](auto noise, auto label, auto theta) {
    return silu(sm::dense(sm::fourier_features(noise, {.count = 2}), theta, "noise", 4) + theta("class", 4, 3) * label);
  };
  check_gradient(shaken(sm::score_model(2, sm::classes{3},
                                        [&](auto x, auto sigma, auto label, auto theta) {
                                          return sm::edm_score(x, sigma, {}, [&](auto scaled, auto noise) {
                                            return sm::residual_network(scaled, condition(noise, label, theta), theta,
                                                                        {.width = 6, .blocks = 2, .outputs = 2});
                                          });
                                        }),
                        11),
                 objective, X, labels);
  check_gradient(shaken(sm::energy_model(2, sm::classes{3},
                                         [&](auto x, auto sigma, auto label, auto theta) {
                                           return sm::edm_energy(x, sigma, {}, [&](auto scaled, auto noise) {
                                             return sm::residual_network(scaled, condition(noise, label, theta), theta,
                                                                         {.width = 6, .blocks = 2});
                                           });
                                         }),
                        12),
                 objective, X, labels);
}

TEST_CASE("Networks say what is wrong with them") {
  const auto network = [](auto options, auto run) {
    return [=] { (void)sm::score_model(2, [&](auto x, auto, auto theta) { return run(x, theta, options); }); };
  };
  const auto residual = [](auto x, auto theta, auto options) { return sm::residual_network(x, x, theta, options); };
  CHECK_THROWS_WITH(network(sm::ResidualNetworkOptions{.width = 0}, residual)(),
                    "scorematch: ResidualNetworkOptions: width is 0; it must be at least 1 and at most 1000000");
  CHECK_THROWS_WITH(network(sm::ResidualNetworkOptions{.blocks = 0}, residual)(),
                    "scorematch: ResidualNetworkOptions: blocks is 0; it must be at least 1 and at most 10000");
  CHECK_THROWS_WITH(network(sm::Frequencies{.slowest = 2, .fastest = 1},
                            [](auto x, auto, auto options) { return sm::fourier_features(x[0], options); })(),
                    "scorematch: Frequencies: fastest is 1; it must be a finite number from slowest, 2, on");
  CHECK_THROWS_WITH(
      sm::score_model(2, [](auto x, auto sigma,
                            auto) { return sm::edm_score(x, sigma, {}, [](auto, auto noise) { return noise; }); }),
      "scorematch: edm_score: the network returns a number; it must return a vector of size 2, that of x");
  CHECK_THROWS_WITH(sm::score_model(2,
                                    [](auto x, auto sigma, auto) {
                                      return sm::edm_score(x, sigma, {.sigma_data = 0}, [](auto y, auto) { return y; });
                                    }),
                    "scorematch: PreconditioningOptions: sigma_data is 0; it must be a finite number above 0");
}

// examples/from_pytorch.py made the files; examples/from_pytorch.cpp has the same network of layers with PyTorch's
// names.
TEST_CASE("an mlp with PyTorch's weights has PyTorch's energies, scores and Laplacians") {
  auto energy = sm::energy_model(2, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {32, 32}}) + 0.125 * squared_norm(x);
  });
  sm::load_model("examples/data/two_moons_torch.safetensors", energy,
                 {.names = sm::sequential_names("mlp", "network", 3)});
  const sm::Tensors torch = sm::read_npz("examples/data/two_moons_torch.npz");
  const MatrixXd X = torch.at("points").samples();
  CHECK(X.cols() == 64);
  // Both compute in double; energies and Laplacians reach some ten.
  CHECK((sm::energy_of(energy, X) - torch.at("energy").matrix()).cwiseAbs().maxCoeff() < 1e-11);
  CHECK((sm::score_of(energy, X) - torch.at("score").samples()).cwiseAbs().maxCoeff() < 1e-11);
  CHECK((sm::trace_of(energy, X) + torch.at("laplacian").matrix()).cwiseAbs().maxCoeff() < 1e-10);
}
