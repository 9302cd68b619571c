// Adam (Kingma & Ba 2015, algorithm 1) with a step size that falls to 0 along half a cosine.
#pragma once

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
      mean.setZero(theta.size());
      square.setZero(theta.size());
    }
    const double rate = learning_rate * 0.5 *
                        (1 + std::cos(3.141592653589793 * static_cast<double>(step) / static_cast<double>(steps)));
    ++step;
    const double t = static_cast<double>(step);
    mean = beta1 * mean + (1 - beta1) * gradient;
    square = beta2 * square + (1 - beta2) * gradient.cwiseAbs2();
    const double mean_scale = 1 / (1 - std::pow(beta1, t)), square_scale = 1 / (1 - std::pow(beta2, t));
    theta.array() -= rate * mean_scale * mean.array() / ((square_scale * square.array()).sqrt() + epsilon);
  }
};

}  // namespace scorematch::fitting
