// The first page: an energy is fitted to points, step by step, and Langevin chains follow it.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "checkpointed_training.hpp"
#include "scorematch/energy/banana.hpp"
#include "scorematch/energy/gaussian.hpp"
#include "scorematch/energy/gaussian_mixture.hpp"
#include "scorematch/energy/mlp_energy.hpp"
#include "scorematch/energy/pairwise_quartic.hpp"
#include "scorematch/energy/ring.hpp"
#include "scorematch/energy/student_t.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/sample.hpp"

namespace playground {

using Eigen::MatrixXd;

/// What a visitor has chosen. The numbers of energies, losses and methods are those of the page's lists.
struct Choices {
  int energy = 0, components = 3;
  int loss = 0;
  double sigma = 0.2;
  int projections = 1;
  bool adam = false;
  sm::Index steps = 2000;  ///< of Adam
  double learning_rate = 0.01;
  std::uint64_t seed = 1;
};

inline sm::EnergyModel chosen_energy(const Choices& c, const MatrixXd& points) {
  switch (c.energy) {
    case 0: {  // components that start where points are find more of them
      sm::GaussianMixtureOptions options{.components = c.components, .seed = c.seed};
      const sm::Index stride = points.cols() / std::max(1, c.components);
      if (stride > 0 && c.components > 0)
        options.means = points(Eigen::indexing::all, Eigen::seqN(0, c.components, stride));
      return sm::gaussian_mixture(2, options);
    }
    case 1:
      return sm::mlp_energy(2, {.hidden = {32, 32}, .seed = c.seed});
    case 2:
      return sm::pairwise_quartic(2);
    case 3:
      return sm::ring(2);
    case 4:
      return sm::banana(2);
    case 5:
      return sm::student_t(2);
    default:
      return sm::gaussian(2);
  }
}

using AnyLoss = std::variant<sm::implicit_score_matching, sm::sliced_score_matching, sm::denoising_score_matching>;

/// L-BFGS needs the same noise at every evaluation, Adam draws it anew.
inline AnyLoss chosen_loss(const Choices& c) {
  switch (c.loss) {
    case 0:
      return sm::implicit_score_matching{};
    case 1:
      return sm::sliced_score_matching{.projections = c.projections, .seed = c.seed, .frozen = !c.adam};
    default:
      return sm::denoising_score_matching{.sigma = c.sigma, .seed = c.seed, .frozen = !c.adam};
  }
}

/// A fit that is taken further a few iterations at a time. By Adam that is a training in slices. A search by L-BFGS
/// knows more than θ and cannot be taken up: it is made anew from the start, each time with more iterations, by a fifth
/// at least, so that all of it costs a few times what the last one does.
class EnergyFit {
 public:
  const sm::EnergyModel& model() const { return model_; }
  bool running() const { return running_; }
  sm::Index iterations() const { return iterations_; }
  double loss() const { return loss_; }
  double standard_error() const { return standard_error_; }
  const std::string& text() const { return text_; }

  /// Looks at the points and chooses where to start. Throws what fit() throws.
  void begin(const MatrixXd& points, const Choices& choices) {
    running_ = false;
    text_.clear();
    warnings_.clear();
    iterations_ = 0;
    choices_ = choices;
    points_ = points;
    objective_ = chosen_loss(choices);
    model_ = start_ = chosen_energy(choices, points);
    training_.forget();
    note(std::visit([&](const auto& objective) { return sm::loss(model_, objective, points_); }, objective_));
    if (choices.adam) begin_training();
    running_ = true;
  }

  /// Up to `most` iterations more; `milliseconds` is for Adam.
  void advance(sm::Index most, double milliseconds) {
    if (!std::exchange(running_, false)) return;  // it stays false where something is thrown
    running_ = std::visit(
        [&](const auto& objective) {
          return choices_.adam ? goes_on_training(objective, most, milliseconds) : goes_on_searching(objective, most);
        },
        objective_);
  }

 private:
  static constexpr sm::Index most_iterations = 500;  ///< of L-BFGS
  static constexpr double most_seconds = 1.5;        ///< that a search by L-BFGS may take

  // train() does not look at the data as fit() does: of a fit of one step its warnings are taken, and its start, which
  // is carried over to the data.
  void begin_training() {
    const auto first = std::visit(
        [&](const auto& objective) {
          return sm::fit(start_, objective, points_,
                         {.method = sm::FitMethod::adam, .iterations = 1, .learning_rate = 1e-9});
        },
        objective_);
    model_ = first.model;
    note(first.loss);
    for (const std::string& warning : first.warnings) warnings_ += "  " + warning + '\n';
  }

  template <class Objective>
  bool goes_on_training(const Objective& objective, sm::Index most, double milliseconds) {
    const sm::TrainOptions options{.steps = choices_.steps,
                                   .learning_rate = {.peak = choices_.learning_rate, .warm_up = 20},
                                   .average = 0.9,
                                   .seed = choices_.seed};
    auto training = training_.advance(model_, objective, points_, options, most, milliseconds);
    model_ = training.model;
    iterations_ = training.steps;
    note(training.loss);
    if (training.status == sm::FitStatus::stopped) return true;
    text_ = training.text() + warnings_;
    return false;
  }

  template <class Objective>
  bool goes_on_searching(const Objective& objective, sm::Index most) {
    const sm::Index iterations = std::min(iterations_ + std::max(most, iterations_ / 5), most_iterations);
    auto fit =
        sm::fit(start_, objective, points_,
                {.method = sm::FitMethod::lbfgs, .iterations = iterations, .progress = [](const sm::Progress& p) {
                   return p.seconds < most_seconds;
                 }});
    model_ = fit.model;
    iterations_ = fit.iterations;
    note(fit.loss);
    if (fit.status == sm::FitStatus::used_up && iterations < most_iterations) return true;
    text_ = fit.text();
    if (fit.status == sm::FitStatus::stopped) text_ += "  by this page, which waits no longer for a call of fit\n";
    return false;
  }

  void note(const sm::Loss& loss) {
    loss_ = loss.value;
    standard_error_ = loss.standard_error;
  }

  Choices choices_;
  MatrixXd points_;
  AnyLoss objective_;
  sm::EnergyModel start_ = sm::gaussian(2), model_ = start_;
  CheckpointedTraining training_{"/tmp/playground_fit.checkpoint"};
  bool running_ = false;
  sm::Index iterations_ = 0;
  double loss_ = 0, standard_error_ = 0;
  std::string text_, warnings_;
};

/// Langevin chains that go on while the model changes.
class Chains {
 public:
  const MatrixXd& state() const { return state_; }

  /// From N(0, 4 I): about as wide as the picture.
  void begin(int count, std::uint64_t seed) {
    sm::extend::require_within(count, 1, 100'000, "chains");
    seed_ = seed;
    next_step_ = 0;
    state_ = 2 * sm::ChainStart().points(2, count, seed);
  }

  /// The result of `steps` more: its status judges these alone.
  sm::Draws<double> advance(const sm::EnergyModel& model, sm::Index steps, double step) {
    auto draws =
        sm::sample(model, sm::langevin{.step = step},
                   {.chains = state_.cols(), .steps = steps, .seed = seed_, .start = state_, .first_step = next_step_});
    state_ = draws.state;
    next_step_ = draws.next_step;
    return draws;
  }

 private:
  MatrixXd state_;
  std::uint64_t seed_ = 0, next_step_ = 0;
};

}  // namespace playground
