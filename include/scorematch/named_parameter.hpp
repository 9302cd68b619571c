// What files and models agree on: a block of parameters with its name.
#pragma once

#include <string>

#include "scorematch/types.hpp"

namespace scorematch {

/// A named block of a model's parameters: rows × cols numbers, column-major.
struct NamedParameter {
  std::string name;
  Index rows = 1, cols = 1;
  Eigen::VectorXd values;
};

}  // namespace scorematch
