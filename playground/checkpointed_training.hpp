// A training that is taken some steps further at a time, so that a page can draw between them.
#pragma once

#include <cstdio>
#include <string>

#include "scorematch/fit/train.hpp"

namespace playground {

namespace sm = scorematch;

/// train() with a checkpoint is stopped by its progress callback, and the same call goes on to the same bits. The file
/// lies in memory: Emscripten's file system.
class CheckpointedTraining {
 public:
  explicit CheckpointedTraining(std::string path) : path_(std::move(path)) {}

  void forget() const { std::remove(path_.c_str()); }

  /// Takes up to `most` steps, for no longer than `milliseconds` or one step. FitStatus::stopped: steps are left.
  template <class M, class Objective>
  sm::Training<M> advance(const M& model, const Objective& objective, const Eigen::MatrixXd& X,
                          sm::TrainOptions options, sm::Index most, double milliseconds) const {
    options.checkpoint = path_;
    options.checkpoint_every = 3600;  // at the end of the call only
    options.progress = [=](const sm::Progress& p) {
      return p.done - p.began < most && 1000 * p.seconds < milliseconds;
    };
    return sm::train(model, objective, X, options);
  }

 private:
  std::string path_;
};

}  // namespace playground
