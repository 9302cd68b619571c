// What the tests of the compiled path share: models of both paths at one θ, and how closely they must agree.
#pragma once

#include "catch.hpp"

#include <string>

#include "scorematch/energy/energy_model.hpp"
#include "scorematch/random/stream.hpp"

namespace sm = scorematch;

namespace compiled_paths {

using sm::Index;

template <class T = double>
sm::Matrix<T> points(Index d, Index n, std::uint64_t seed = 1) {
  return sm::Stream({seed, sm::Purpose::user}).normals(d * n).reshaped(d, n).cast<T>();
}

template <class A, class B>
void agree(const std::string& what, const A& found, const B& expected, double tolerance) {
  INFO(what);
  REQUIRE(found.size() == expected.size());
  if (found.size() == 0) return;
  const double scale = expected.template cast<double>().cwiseAbs().maxCoeff() + 1e-3;
  CHECK((found - expected).template cast<double>().cwiseAbs().maxCoeff() <= tolerance * scale);
}

// θ away from its start, so that nothing is 0.
template <class M>
void move(M& model) {
  Eigen::VectorXd theta = model.parameters();
  if (theta.size() > 0) theta += 0.4 * sm::Stream({5, sm::Purpose::user}).normals(theta.size());
  model.set_parameters(theta);
}

template <class T>
double tolerance() {
  return sizeof(T) == 8 ? 1e-11 : 1e-4;
}

}  // namespace compiled_paths
