// Sums, multiples, exponentials and new names of compiled energies: compiled as one formula, with the results of the
// recorded ones. At most eight numbers in θ are carried as tangents, so that both ways to the θ-gradient are here.
#include "catch.hpp"

#include <string>
#include <type_traits>

#include "same_models.hpp"
#include "scorematch/model/algebra.hpp"
#include "scorematch/model/at_sigma.hpp"

namespace sm = scorematch;
using same_models::agree;
using same_models::moved;
using same_models::points;

namespace {

const auto well = [](auto x, auto theta) {
  auto square0 = square(x[0]);
  return theta("a", sm::start_at(1.0)) * square(square0) - theta("b", sm::start_at(2.0)) * square0 + 0.5 * square(x[1]);
};
const auto bowl = [](auto x, auto theta) {
  return 0.5 * exp(theta("stiffness")) * squared_norm(x - theta("centre", Eigen::Vector2d(0.3, -0.2)));
};
const auto bumps = [](auto x, auto theta) {
  const auto block = [&](const char* name) { return theta(name, 5, sm::start_normal{.sigma = 0.5, .seed = 1}); };
  return -log_sum_exp(block("weight") - square(x[0] - block("first")) - square(x[1] - block("second")));
};

template <class M>
constexpr bool is_compiled = !std::is_same_v<std::remove_const_t<M>, sm::EnergyModel>;

/// At this many points the loop over registers has a remainder.
template <class A, class B>
void same_values(const A& a, const B& b) {
  agree("theta", a.parameters(), b.parameters(), 0);
  const Eigen::MatrixXd X = points(2, 101);
  agree("energy", sm::energy_of(a, X), sm::energy_of(b, X), 1e-12);
  agree("score", sm::score_of(a, X), sm::score_of(b, X), 1e-12);
  agree("divergence", sm::trace_of(a, X), sm::trace_of(b, X), 1e-12);
}

template <class A, class B>
void same(const std::string& what, const A& compiled, const B& recorded) {
  INFO(what);
  static_assert(is_compiled<A> && !is_compiled<B>);
  const auto a = moved(compiled);
  const auto b = moved(recorded);
  same_values(a, b);
  same_models::same_loss("implicit", a, b, sm::implicit_score_matching{}, points(2, 101), 1e-11);
}

}  // namespace

TEST_CASE("A sum of compiled energies is compiled, tangents and all") {
  same("four numbers", sm::energy_model<2>(well) + sm::named("prior", sm::energy_model<2>(well)),
       sm::energy_model(2, well) + sm::named("prior", sm::energy_model(2, well)));
}

TEST_CASE("Multiples, exponentials, and names within names, on models and on theta") {
  const auto formula = [](auto x, auto theta) {
    return well(x, sm::named("in", sm::named("first", theta))) + bowl(x, sm::named("second", theta));
  };
  const auto combined = [](const auto& a, const auto& b) { return exp(0.3 * (a + sm::named("all", b))); };
  const auto compiled = combined(sm::energy_model<2>(bumps), sm::energy_model<2>(formula));
  same("twenty numbers", compiled, combined(sm::energy_model(2, bumps), sm::energy_model(2, formula)));
  CHECK(compiled.parameter("all.first.in.b")(0) == 2.0);
}

TEST_CASE("Parts that take the noise level and the class beside parts that do not") {
  const auto noisy = [](auto x, auto sigma, auto theta) {
    return squared_norm(x - theta("mean", 2)) / (1 + square(sigma)) + log(sigma) * x[1];
  };
  const auto labelled = [](auto x, auto sigma, auto label, auto theta) {
    return dot(label, theta("bias", 3)) * x[0] / sigma;
  };
  const auto combined = [](const auto& a, const auto& b, const auto& c) {
    return exp(0.3 * (a + sm::named("all", b + c)));
  };
  const auto compiled =
      combined(sm::energy_model<2>(well), sm::energy_model<2>(noisy), sm::energy_model<2>(sm::classes{3}, labelled));
  static_assert(is_compiled<decltype(compiled)>);
  const auto recorded =
      combined(sm::energy_model(2, well), sm::energy_model(2, noisy), sm::energy_model(2, sm::classes{3}, labelled));
  same_values(sm::at_sigma(moved(compiled), 0.6, 2), sm::at_sigma(moved(recorded), 0.6, 2));
  same_values(sm::at_sigma(moved(compiled), 0.6, -1), sm::at_sigma(moved(recorded), 0.6, -1));
}

TEST_CASE("Compiled with recorded, or with another dimension: the record") {
  const auto mixed = sm::energy_model<2>(well) + sm::energy_model(2, bowl);
  static_assert(!is_compiled<decltype(mixed)>);
  const Eigen::MatrixXd X = points(2, 11);
  agree("energy", sm::energy_of(mixed, X), sm::energy_of(sm::energy_model(2, well) + sm::energy_model(2, bowl), X), 0);
  agree("mixture", sm::energy_of(sm::mixture({sm::energy_model<2>(well), sm::energy_model<2>(bowl)}), X),
        sm::energy_of(sm::mixture({sm::energy_model(2, well), sm::energy_model(2, bowl)}), X), 0);
  CHECK_THROWS_AS(sm::energy_model<2>(well) + sm::energy_model<1>([](auto x, auto) { return square(x[0]); }),
                  std::invalid_argument);
}
