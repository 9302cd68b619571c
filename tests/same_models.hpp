// Two models that ought to be one: values, scores, losses and their θ-gradients are compared.
#pragma once

#include "catch.hpp"

#include <string>

#include "scorematch/model/values.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/random/stream.hpp"

namespace same_models {

namespace sm = scorematch;
using sm::Index;

template <class T = double>
sm::Matrix<T> points(Index d, Index n, std::uint64_t seed = 1) {
  return sm::Stream({seed, sm::extend::Purpose::user}).normals(d * n).reshaped(d, n).cast<T>();
}

template <class A, class B>
void agree(const std::string& what, const A& found, const B& expected, double tolerance) {
  INFO(what);
  REQUIRE(found.rows() == expected.rows());
  REQUIRE(found.cols() == expected.cols());
  if (found.size() == 0) return;
  const double scale = expected.template cast<double>().cwiseAbs().maxCoeff();
  CHECK((found.template cast<double>() - expected.template cast<double>()).cwiseAbs().maxCoeff() <=
        tolerance * (scale + 1e-3));
}

/// Of the largest element, between two derivations in T: 1e-11 in double, 1e-4 in float.
template <class T>
double tolerance() {
  return sizeof(T) == 8 ? 1e-11 : 1e-4;
}

/// θ away from its start, so that nothing is 0.
template <class M>
M moved(M model, std::uint64_t seed = 5) {
  Eigen::VectorXd theta = model.parameters();
  if (theta.size() > 0) theta += 0.3 * sm::Stream({seed, sm::extend::Purpose::user}).normals(theta.size());
  model.set_parameters(theta);
  return model;
}

/// What a loss says of both; θ has the same order in both.
template <class A, class B, class O, class T>
void same_loss(const std::string& what, const A& found, const B& expected, const O& objective, const sm::Matrix<T>& X,
               double tolerance) {
  INFO(what);
  const sm::Loss f = sm::loss_and_gradient(found, objective, X, {.per_sample = true}),
                 e = sm::loss_and_gradient(expected, objective, X, {.per_sample = true});
  agree("each sample's loss", f.per_sample, e.per_sample, tolerance);
  agree("gradient", f.gradient, e.gradient, tolerance);
  CHECK(sm::loss(found, objective, X).value == Approx(e.value).epsilon(tolerance).margin(tolerance));
}

template <class A, class B, class T>
void same_losses(const A& found, const B& expected, const sm::Matrix<T>& X, double tolerance) {
  same_loss("implicit", found, expected, sm::implicit_score_matching{}, X, tolerance);
  same_loss("denoising", found, expected, sm::denoising_score_matching{.sigma = 0.4, .seed = 3}, X, tolerance);
  same_loss("sliced", found, expected, sm::sliced_score_matching{.projections = 2, .seed = 4}, X, tolerance);
  same_loss("sliced, variance not reduced", found, expected,
            sm::sliced_score_matching{.projections = 2, .exact_norm = false, .seed = 4}, X, tolerance);
}

/// Scores, divergences and losses of two models, at 37 points (no multiple of a register or a block).
template <class T = double, class A, class B>
void same_scores(const std::string& what, const A& found, const B& expected, double tolerance = 1e-12) {
  INFO(what);
  REQUIRE(found.dimension() == expected.dimension());
  agree("theta", found.parameters(), expected.parameters(), 0);
  const sm::Matrix<T> X = points<T>(found.dimension(), 37);
  agree("score", sm::score_of(found, X), sm::score_of(expected, X), tolerance);
  agree("divergence", sm::trace_of(found, X), sm::trace_of(expected, X), tolerance);
  same_losses(found, expected, X, tolerance);
}

/// The same with energies.
template <class T = double, class A, class B>
void same_energies(const std::string& what, const A& found, const B& expected, double tolerance = 1e-12) {
  INFO(what);
  const sm::Matrix<T> X = points<T>(found.dimension(), 37);
  agree("energy", sm::energy_of(found, X), sm::energy_of(expected, X), tolerance);
  same_scores<T>(what, found, expected, tolerance);
}

}  // namespace same_models
