// Sums and multiples in which a part is no formula for an energy: users' classes and score_models, against the same
// model as one formula. Users' second derivatives with respect to θ are central differences: 1e-8 instead of 1e-12.
#include "catch.hpp"

#include <string>

#include "same_models.hpp"
#include "scorematch/model/algebra.hpp"
#include "user_models.hpp"

using same_models::moved;
using same_models::same_energies;
using same_models::same_scores;
using user_models::by_differences;
using user_models::Complete;
using user_models::CompleteScore;
using user_models::d;
using sm::operator*;  // with users' classes alone, nothing else leads there

namespace {

/// A term for user_models::formula(), whose parameters are "a" and "b": with `name` its own comes before or behind.
sm::EnergyModel ripple(const std::string& name) {
  return moved(sm::energy_model(d, [&](auto x, auto theta) {
    return theta(name, sm::start_at(0.6)) * sum(cos(x)) + 0.2 * square(theta(name)) * x[0] * x[1];
  }));
}

/// The score of ripple(name), which is a gradient although nothing says so.
sm::ScoreModel ripple_score(const std::string& name) {
  auto model = sm::score_model(d, [&](auto x, auto theta) {
    auto a = theta(name);
    return a * sin(x) - 0.2 * square(a) * sm::concat(x[1], x[0], 0.0);
  });
  model.set_parameters(ripple(name).parameters());
  return model;
}

}  // namespace

TEST_CASE("A user's class and a formula, in either order") {
  same_energies("class + formula", Complete{} + ripple("c"), user_models::formula() + ripple("c"), by_differences);
  same_energies("formula + class", ripple("A") + Complete{}, ripple("A") + user_models::formula(), by_differences);
  same_models::same_loss("float", Complete{} + ripple("c"), user_models::formula() + ripple("c"),
                         sm::implicit_score_matching{}, same_models::points<float>(d, 37), 1e-5);
}

TEST_CASE("An energy and a score_model, in either order") {
  same_scores("energy + score", user_models::formula() + ripple_score("c"), user_models::formula() + ripple("c"));
  same_scores("score + energy", ripple_score("A") + user_models::formula(), ripple("A") + user_models::formula());
  same_scores("class's score + score", CompleteScore{} + ripple_score("c"), user_models::formula() + ripple("c"),
              by_differences);
}

TEST_CASE("Multiples, and sums of sums") {
  same_energies("2.5 class", 2.5 * Complete{}, 2.5 * user_models::formula(), by_differences);
  same_energies("nested", 0.5 * (ripple("A") + 2.0 * Complete{}) + ripple("c"),
                0.5 * (ripple("A") + 2.0 * user_models::formula()) + ripple("c"), by_differences);
}
