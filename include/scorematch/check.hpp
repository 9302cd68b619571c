// Preconditions of public calls: a broken one throws, naming the argument, what was found and what is allowed.
// (A numerical outcome is never an exception: it is a status in the result.)
#pragma once

#include <cmath>
#include <concepts>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "scorematch/number_text.hpp"
#include "scorematch/simd/lanes.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

namespace detail {

/// A part of a message: text, or a number with up to 10 significant digits.
class Part {
 public:
  Part(const char* words) : words_(words) {}
  Part(const std::string& words) : words_(words) {}
  Part(std::string_view words) : words_(words) {}
  Part(char letter) : whole_(letter), kind_(Kind::letter) {}
  Part(double number) : number_(number), kind_(Kind::real) {}
  template <std::integral N>
  Part(N number) : whole_(static_cast<long long>(number)), kind_(std::is_unsigned_v<N> ? Kind::natural : Kind::whole) {}

  void append_to(std::string& all) const {
    switch (kind_) {
      case Kind::words:
        all += words_;
        break;
      case Kind::letter:
        all += static_cast<char>(whole_);
        break;
      case Kind::real:
        append_rounded(all, number_, 10);
        break;
      case Kind::whole:
        append_shortest(all, whole_);
        break;
      case Kind::natural:
        append_shortest(all, static_cast<unsigned long long>(whole_));
        break;
    }
  }

 private:
  enum class Kind { words, letter, real, whole, natural };
  std::string_view words_ = {};
  double number_ = 0;
  long long whole_ = 0;
  Kind kind_ = Kind::words;
};

/// The parts, one after another.
template <class = void>  // so that who links scorematch::precompiled need not compile it
std::string join(std::initializer_list<Part> parts) {
  std::string all;
  for (const Part& part : parts) part.append_to(all);
  return all;
}

template <class... Parts>
std::string text(const Parts&... parts) {
  return join({Part(parts)...});
}

}  // namespace detail

namespace extend {

/// Throws std::invalid_argument(message of the parts) unless `holds`.
inline void require(bool holds, std::initializer_list<detail::Part> message) {
  if (!holds) throw std::invalid_argument("scorematch: " + detail::join(message));
}

/// Throws unless `value` is a finite number above 0; `argument` is its name as the user wrote it ("sigma").
inline void require_positive(double value, const char* argument) {
  require(std::isfinite(value) && value > 0, {argument, " is ", value, "; it must be a finite number above 0"});
}

/// Throws unless `value` ≥ `least`.
inline void require_at_least(Index value, Index least, const char* argument) {
  require(value >= least, {argument, " is ", value, "; it must be at least ", least});
}

/// Throws unless least ≤ `value` ≤ most: for what would else take all memory, or never end.
inline void require_within(Index value, Index least, Index most, const char* argument) {
  require(value >= least && value <= most,
          {argument, " is ", value, "; it must be at least ", least, " and at most ", most});
}

/// Throws unless X is d × N with N ≥ 1, d = `dimension`, and every entry finite; names the first bad column.
template <class T>
void require_samples(const MatrixView<T>& X, Index dimension, const char* argument) {
  SCOREMATCH_KEEP_ORDER;  // differences of a number with itself
  require(X.rows() == dimension, {argument, " has ", X.rows(), " rows and ", X.cols(),
                                  " columns; the model has dimension ", dimension, ", so it must be ", dimension,
                                  " × N, one column per sample", X.cols() == dimension ? " (is it transposed?)" : ""});
  require(X.cols() >= 1, {argument, " has no columns; at least one sample is needed"});
  T differences = 0;  // 0 as long as all is finite, else NaN
  for (Index column = 0; column < X.cols(); ++column)
    for (Index row = 0; row < X.rows(); ++row) {
      const T number = X.data()[column * X.outerStride() + row];
      differences += simd::as_written(number - number);
    }
  if (differences == 0) return;
  for (Index column = 0; column < X.cols(); ++column)
    for (Index row = 0; row < X.rows(); ++row)
      require(std::isfinite(X(row, column)), {argument, " has ", static_cast<double>(X(row, column)), " in column ",
                                              column, ", row ", row, " (counted from 0); every entry must be finite"});
}

/// Throws unless there are no labels, or one for each of `columns` columns, from 0 to classes − 1 or −1 for none.
inline void require_labels(std::span<const int> labels, Index columns, Index classes, const char* argument) {
  if (labels.empty()) return;
  require(classes > 0, {argument,
                        " are given, but the model's formula takes no label: write "
                        "score_model(d, sm::classes{10}, [](auto x, auto sigma, auto label, auto theta) …)"});
  require(static_cast<Index>(labels.size()) == columns,
          {argument, " has ", labels.size(), " numbers for ", columns, " columns; each column needs its class"});
  for (std::size_t i = 0; i < labels.size(); ++i)
    require(labels[i] >= -1 && labels[i] < classes,
            {argument, " has ", labels[i], " for column ", i, "; the model has ", classes,
             " classes, so it must be from 0 to ", classes - 1, ", or -1 for none"});
}

}  // namespace extend

}  // namespace scorematch
