// Preconditions of public calls: a broken one throws, naming the argument, what was found and what is allowed.
// (A numerical outcome is never an exception: it is a status in the result.)
#pragma once

#include <cmath>
#include <sstream>
#include <stdexcept>
#include <string>

#include "scorematch/types.hpp"

namespace scorematch {

/// Joins its arguments as text, numbers with up to 10 significant digits.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  out.precision(10);
  (out << ... << parts);
  return out.str();
}

/// Throws std::invalid_argument(message of the parts) unless `holds`.
template <class... Parts>
void require(bool holds, const Parts&... parts) {
  if (!holds) throw std::invalid_argument("scorematch: " + text(parts...));
}

/// Throws unless `value` is a finite number above 0; `argument` is its name as the user wrote it ("sigma").
inline void require_positive(double value, const char* argument) {
  require(std::isfinite(value) && value > 0, argument, " is ", value, "; it must be a finite number above 0");
}

/// Throws unless `value` ≥ `least`.
inline void require_at_least(Index value, Index least, const char* argument) {
  require(value >= least, argument, " is ", value, "; it must be at least ", least);
}

/// Throws unless X is d × N with N ≥ 1, d = `dimension`, and every entry finite; names the first bad column.
template <class T>
void require_samples(const MatrixView<T>& X, Index dimension, const char* argument) {
  require(X.rows() == dimension, argument, " has ", X.rows(), " rows and ", X.cols(),
          " columns; the model has dimension ", dimension, ", so it must be ", dimension, " × N, a column a sample",
          X.cols() == dimension ? " (is it transposed?)" : "");
  require(X.cols() >= 1, argument, " has no columns; at least one sample is needed");
  if (X.allFinite()) return;
  for (Index column = 0; column < X.cols(); ++column)
    for (Index row = 0; row < X.rows(); ++row)
      require(std::isfinite(X(row, column)), argument, " has ", static_cast<double>(X(row, column)), " in column ",
              column, ", row ", row, " (counted from 0); every entry must be finite");
}

}  // namespace scorematch
