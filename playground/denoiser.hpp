// The second page: a small network learns the score of the points at all noise levels, and particles go from noise to
// data.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "checkpointed_training.hpp"
#include "scorematch/divergence/classifier_two_sample_test.hpp"
#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/network/preconditioning.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/sampler/chain_start.hpp"
#include "scorematch/sampler/generate.hpp"
#include "scorematch/sampler/heun.hpp"
#include "scorematch/sampler/probability_flow.hpp"
#include "scorematch/sampler/reverse_sde.hpp"

namespace playground {

using Eigen::MatrixXd;

class Denoiser {
 public:
  const sm::ScoreModel& model() const { return model_; }
  bool running() const { return running_; }
  sm::Index steps() const { return steps_; }
  double loss() const { return loss_; }
  const std::string& text() const { return text_; }
  const MatrixXd& points() const { return points_; }

  void begin(const MatrixXd& points, int width, sm::Index steps, double learning_rate, std::uint64_t seed) {
    sm::extend::require_within(width, 1, 256, "width");
    running_ = false;
    points_ = points;
    steps_ = 0;
    text_.clear();
    all_steps_ = steps;
    learning_rate_ = learning_rate;
    seed_ = seed;
    model_ = sm::score_model(2, [&](auto x, auto sigma, auto theta) {
      return sm::edm_score(x, sigma, {.sigma_data = sigma_data}, [&](auto scaled, auto noise) {
        return sm::mlp(sm::concat(scaled, noise), theta,
                       {.hidden = {width, width}, .outputs = 2, .activation = sm::Activation::silu, .seed = seed});
      });
    });
    training_.forget();
    (void)sm::loss(model_, objective(), points_);  // throws what points or options are to blame for
    running_ = true;
  }

  void advance(sm::Index most, double milliseconds) {
    if (!running_) return;
    const sm::TrainOptions options{
        .steps = all_steps_, .learning_rate = {.peak = learning_rate_, .warm_up = 50}, .average = 0.99, .seed = seed_};
    auto training = training_.advance(model_, objective(), points_, options, most, milliseconds);
    model_ = training.model;
    steps_ = training.steps;
    loss_ = training.loss.value;
    running_ = training.status == sm::FitStatus::stopped;
    if (!running_) text_ = training.text();
  }

 private:
  static constexpr double sigma_data = 1.3;  ///< about the deviation of the page's sets

  sm::denoising_score_matching objective() const {
    return {.sigma = sm::log_normal_sigma{.mean = -0.5, .deviation = 1.5},
            .seed = seed_,
            .weight = sm::Weight::edm,
            .sigma_data = sigma_data};
  }

  MatrixXd points_;
  sm::ScoreModel model_ = zero();
  CheckpointedTraining training_{"/tmp/playground_denoiser.checkpoint"};
  bool running_ = false;
  sm::Index steps_ = 0, all_steps_ = 0;
  std::uint64_t seed_ = 0;
  double learning_rate_ = 0, loss_ = 0;
  std::string text_;

  // Before there is a network.
  static sm::ScoreModel zero() {
    return sm::score_model(2, [](auto x, auto sigma, auto theta) { return theta("none") * x / (1 + square(sigma)); });
  }
};

/// Particles on their way down the noise levels, a step at a time, so that a page can keep the whole way.
class Walk {
 public:
  const MatrixXd& points() const { return points_; }
  double sigma() const { return done_ < levels_.size() ? levels_[done_] : 0; }
  bool ended() const { return done_ == levels_.size(); }
  std::string text() const { return so_far_.text(); }

  /// `sampler`: 0 euler, 1 heun, 2 probability_flow, 3 reverse_sde. As many steps as levels: the last one ends at 0.
  void begin(int sampler, sm::Index levels, double sigma_max, double sigma_min, sm::Index count, std::uint64_t seed) {
    sm::extend::require_within(count, 1, 100'000, "particles");
    levels_ = sm::Levels(sm::edm_levels{.sigma_max = sigma_max, .sigma_min = sigma_min, .levels = levels}).sigmas();
    sampler_ = sampler;
    done_ = 0;
    seed_ = seed;
    so_far_ = {};
    points_ = sigma_max * sm::ChainStart().points(2, count, seed);
  }

  /// One step. A sampler has no memory of the steps before, so each can be a call of its own.
  void advance(const sm::ScoreModel& model) {
    if (ended()) return;
    const double from = levels_[done_], to = done_ + 1 < levels_.size() ? levels_[done_ + 1] : 0;
    const sm::Levels levels = to > 0 ? sm::Levels{from, to} : sm::Levels{from};
    switch (sampler_) {
      case 0:
        return note(sm::generate(model, sm::euler{.levels = levels, .denoise = to == 0}, options()));
      case 1:
        return note(sm::generate(model, sm::heun{.levels = levels, .denoise = to == 0}, options()));
      case 2: {
        if (to == 0) return note(sm::generate(model, sm::euler{.levels = levels}, options()));  // as the flow ends
        const sm::probability_flow flow{.sigma_max = from, .sigma_min = to, .tolerance = 1e-4, .denoise = false};
        return note(sm::generate(model, flow, options()));
      }
      default:
        return note(sm::generate(model, sm::reverse_sde{.levels = levels, .denoise = to == 0}, options()));
    }
  }

 private:
  sm::GenerateOptions options() const { return {.count = points_.cols(), .seed = seed_ + done_, .start = points_}; }

  void note(sm::Generation<double> step) {
    points_ = step.points;
    if (so_far_.evaluations.size() > 0) step.evaluations += so_far_.evaluations;
    if (so_far_.status != sm::GenerationStatus::complete) {  // what went wrong first is what is told
      step.status = so_far_.status;
      step.evidence = so_far_.evidence;
    }
    so_far_ = std::move(step);
    ++done_;
  }

  std::vector<double> levels_;
  int sampler_ = 1;
  std::size_t done_ = 0;
  std::uint64_t seed_ = 0;
  MatrixXd points_;
  sm::Generation<double> so_far_;
};

}  // namespace playground
