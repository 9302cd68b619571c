// The playground's interface of C, called as its pages call it: what is thrown becomes a sentence, fits and trainings
// go on from call to call, particles arrive at the points. (tests/playground/ drives the pages themselves.)
#include "../playground/playground.cpp"

#include <cmath>
#include <string>

#include "catch.hpp"
#include "fixtures.hpp"

using Catch::Matchers::ContainsSubstring;

namespace {

// Two blobs at ±(1.5, 1), each with deviation 0.3.
MatrixXd blobs(int count) {
  MatrixXd X = 0.3 * fixtures::normals(2, count, 5);
  for (int i = 0; i < count; ++i) X.col(i) += (i % 2 == 0 ? 1 : -1) * Eigen::Vector2d(1.5, 1);
  return X;
}

void put(const MatrixXd& X) { shared_points(static_cast<int>(X.cols())) = X; }

std::string begin(int points, int energy, int loss, bool adam, int steps = 300) {
  return fit_begin(points, energy, 3, loss, 0.2, 1, adam ? 1 : 0, steps, 0.03, 3);
}

std::string to_the_end(int most) {
  while (fit_running() != 0)
    if (const std::string sentence = fit_advance(most, 1e9); !sentence.empty()) return sentence;
  return fit_text();
}

double share_near(const MatrixXd& places, double distance) {
  double near = 0;
  for (Eigen::Index i = 0; i < places.cols(); ++i)
    near += std::min((places.col(i) - Eigen::Vector2d(1.5, 1)).norm(),
                     (places.col(i) + Eigen::Vector2d(1.5, 1)).norm()) < distance;
  return near / static_cast<double>(places.cols());
}

}  // namespace

TEST_CASE("The playground passes on what the library says of points that no fit can take") {
  for (const bool adam : {false, true}) {
    CHECK_THAT(begin(0, 0, 0, adam), ContainsSubstring("no columns"));
    CHECK(fit_running() == 0);
  }
  put(MatrixXd::Constant(2, 3, 0.7));  // the implicit loss falls without bound, the denoising one does not
  CHECK(begin(3, 6, 0, false).empty());
  CHECK_THAT(to_the_end(20), ContainsSubstring("diverged"));
  CHECK(begin(3, 6, 2, true).empty());
  CHECK_THAT(to_the_end(50), ContainsSubstring("finished") && ContainsSubstring("constant"));
  put(MatrixXd::Constant(2, 3, std::nan("")));
  CHECK_THAT(begin(3, 6, 0, false), ContainsSubstring("column 0"));
}

TEST_CASE("The playground's fit in slices is the fit: a Gaussian's mean by L-BFGS, and Adam's bits") {
  const MatrixXd X = blobs(200);
  put(X);
  REQUIRE(begin(200, 6, 0, false).empty());
  CHECK_THAT(to_the_end(1), ContainsSubstring("converged"));
  const MatrixXd mean = ::fit.model().parameter("mean");
  CHECK((mean - X.rowwise().mean()).norm() < 1e-6);

  const auto parameters = [&](int most) {
    put(X);
    REQUIRE(begin(200, 0, 2, true).empty());
    REQUIRE_THAT(to_the_end(most), ContainsSubstring("finished after 300 steps"));
    return ::fit.model().parameters();
  };
  CHECK(parameters(7) == parameters(300));
}

TEST_CASE("The playground's chains follow the model, and the score is the energy's slope") {
  const MatrixXd X = blobs(200);
  put(X);
  REQUIRE(begin(200, 0, 2, true, 1500).empty());
  const double before = fit_loss();
  REQUIRE_THAT(to_the_end(1500), ContainsSubstring("finished"));
  CHECK(fit_loss() < before - 1);
  REQUIRE(std::string(chains_begin(500, 1)).empty());
  CHECK(share_near(chains.state(), 1) < 0.5);
  for (int i = 0; i < 100; ++i) REQUIRE(std::string(chains_advance(5, 0.02)).empty());
  CHECK(share_near(shared_points(500), 1) > 0.9);  // the model's deviation is √(0.3² + 0.2²)

  const double h = 1e-5;
  MatrixXd pair(2, 2);
  pair << 0.4 - h, 0.4 + h, -0.3, -0.3;
  put(pair);
  REQUIRE(std::string(energies(2)).empty());
  const double slope = (shared_numbers[1] - shared_numbers[0]) / (2 * h);
  put(MatrixXd(Eigen::Vector2d(0.4, -0.3)));
  REQUIRE(std::string(scores(1)).empty());
  CHECK(shared_numbers[0] == Approx(-slope).epsilon(1e-6));
}

TEST_CASE("The playground's particles go from noise to the points by every sampler") {
  put(blobs(300));
  REQUIRE(std::string(training_begin(300, 16, 1500, 0.005, 1)).empty());
  while (training_running() != 0) REQUIRE(std::string(training_advance(400, 1e9)).empty());
  CHECK_THAT(training_text(), ContainsSubstring("finished after 1500 steps"));
  for (int sampler = 0; sampler < 4; ++sampler) {
    REQUIRE(std::string(walk_begin(sampler, 20, 10, 0.02, 300, 1)).empty());
    CHECK(share_near(walk.points(), 1) < 0.1);
    double sigma = walk_sigma();
    CHECK(sigma == 10);
    while (walk_ended() == 0) {
      REQUIRE(std::string(walk_advance()).empty());
      CHECK(walk_sigma() < sigma);
      sigma = walk_sigma();
    }
    CHECK(sigma == 0);
    INFO(walk_text());
    CHECK(share_near(walk.points(), 1) > 0.9);
    CHECK_THAT(walk_text(), ContainsSubstring("complete: 300 samples"));
  }
  CHECK_THAT(walk_begin(1, 20, 0.01, 0.02, 300, 1), ContainsSubstring("sigma_max"));
}
