// A block of parameters with its name, as files and models pass it on.
#pragma once

#include <string>

#include "scorematch/types.hpp"

namespace scorematch {

/// A named block of a model's parameters: rows × cols numbers, column-major.
struct NamedParameter {
  std::string name;        ///< as the formula has it: theta("name", …)
  Index rows = 1;          ///< 1 for a number
  Index cols = 1;          ///< 1 for a number or a vector
  Eigen::VectorXd values;  ///< rows · cols numbers, column-major
};

}  // namespace scorematch
