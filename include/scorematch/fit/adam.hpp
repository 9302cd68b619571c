// Adam (Kingma & Ba 2015, algorithm 1) with a step size that falls to 0 along half a cosine.
#pragma once

#include <algorithm>
#include <cmath>

#include "scorematch/types.hpp"

namespace scorematch::fitting {

struct Adam {
  double learning_rate = 1e-3;
  Index steps = 1;  ///< in all: where the cosine ends
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;

  Eigen::VectorXd mean = {}, square = {};
  Index step = 0;

  void update(const Eigen::VectorXd& gradient, Eigen::VectorXd& theta) {
    if (step == 0) {
      mean.resize(theta.size());
      square.resize(theta.size());
      std::fill_n(mean.data(), mean.size(), 0.0);
      std::fill_n(square.data(), square.size(), 0.0);
    }
    const double rate = learning_rate * 0.5 *
                        (1 + std::cos(3.141592653589793 * static_cast<double>(step) / static_cast<double>(steps)));
    ++step;
    const double t = static_cast<double>(step);
    const double mean_scale = 1 / (1 - std::pow(beta1, t)), square_scale = 1 / (1 - std::pow(beta2, t));
    for (Index i = 0; i < theta.size(); ++i) {
      mean[i] = beta1 * mean[i] + (1 - beta1) * gradient[i];
      square[i] = beta2 * square[i] + (1 - beta2) * gradient[i] * gradient[i];
      theta[i] -= rate * mean_scale * mean[i] / (std::sqrt(square_scale * square[i]) + epsilon);
    }
  }
};

}  // namespace scorematch::fitting
