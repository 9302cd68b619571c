// Checks an objective's answers once a block: that each member was set, and its shape.
//
// Members live as long as a thread does, so a member that an objective forgets would hold the numbers of the block
// before. Each is therefore marked first, in the rows of the first and the last sample, with a NaN that no computation
// makes. Its bits survive arithmetic, so that += is found too.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "scorematch/check.hpp"
#include "scorematch/concepts.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch::objective {

/// Marks of numbers that nobody has written yet, and of those that the objective did not ask for.
enum class Blank { unset, unasked };

template <class T>
struct Marks {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static constexpr Bits sign = Bits(1) << (8 * sizeof(T) - 1);

  static constexpr Bits bits(Blank blank) {
    const Bits quiet_nan = sizeof(T) == 4 ? Bits(0x7fc00000u) : static_cast<Bits>(0x7ff8000000000000ull);
    return quiet_nan | static_cast<Bits>(blank == Blank::unset ? 0x35c0e5u : 0x35ca5cu);
  }
  static T number(Blank blank) { return simd::reinterpret<T>(bits(blank)); }
  static bool is(Blank blank, T number) { return (simd::reinterpret<Bits>(number) & ~sign) == bits(blank); }
};

/// Which losses a block has.
struct Asked {
  Index rows = 0;   ///< of the block
  Index count = 0;  ///< of them samples; the others are padding
  Index terms = 0, levels = 0;
  bool gradient = false;
};

/// The checks, an instance a scalar. Each costs a few numbers a column.
template <class T>
class Answers {
  using Mark = Marks<T>;

 public:
  static void unset(extend::Points<T>& points);
  /// Throws std::invalid_argument unless `prepare` has set what the model needs, for `rows` samples in d dimensions.
  static void require_points(extend::Points<T>& points, Index rows, Index d);

  static void unset(const extend::Points<T>& points, const Asked& asked, extend::ScoreValues<T>& values,
                    extend::Losses<T>& losses);
  /// Throws std::invalid_argument unless `score` has set the losses, and, with a gradient, the derivative with respect
  /// to everything that the points asked for.
  static void require_losses(const extend::Points<T>& points, const Asked& asked, const extend::Losses<T>& losses);

  template <class Numbers>
  static void mark(Numbers& numbers, Index last) {
    for (Index j = 0; j < numbers.cols() && numbers.rows() > 0; ++j)
      numbers(0, j) = numbers(last, j) = Mark::number(Blank::unset);
  }
  template <class Numbers>
  static void mark(Numbers& numbers) {
    mark(numbers, numbers.rows() - 1);
  }
  /// The first column with a mark; −1 if there is none.
  template <class Numbers>
  static Index marked(const Numbers& numbers, Index last) {
    for (Index j = 0; j < numbers.cols() && numbers.rows() > 0; ++j)
      if (Mark::is(Blank::unset, numbers(0, j)) || Mark::is(Blank::unset, numbers(last, j))) return j;
    return -1;
  }
  template <class Numbers>
  static Index marked(const Numbers& numbers) {
    return marked(numbers, numbers.rows() - 1);
  }

 private:
  template <class Numbers>
  static void shape(Numbers& numbers, Index rows, Index cols, Index last) {
    numbers.resize(rows, cols);
    mark(numbers, last);
  }
  template <class Numbers>
  static void leave_unasked(Numbers& numbers, Index rows, Index cols) {
    if (numbers.rows() == rows && numbers.cols() == cols &&
        (numbers.size() == 0 || Mark::is(Blank::unasked, numbers(0, 0))))
      return;
    numbers.resize(rows, cols);
    numbers.setConstant(Mark::number(Blank::unasked));
  }
  /// `derivative_of` is empty for what is no derivative.
  template <class Numbers>
  static void require_set(const Numbers& numbers, Index rows, Index cols, Index last, const char* member,
                          const char* method, const char* derivative_of) {
    const bool transposed = numbers.rows() == cols && numbers.cols() == rows;
    extend::require(
        numbers.rows() == rows && numbers.cols() == cols,
        {member, " is ", numbers.rows(), " × ", numbers.cols(), " after the objective's ", method, "; it must be ",
         rows, " × ", cols, ", a row for each sample", transposed ? " (is it transposed?)" : ""});
    const Index column = marked(numbers, last);
    const bool derivative = *derivative_of != 0;
    extend::require(column < 0,
                    {member, " was not set by the objective's ", method, " (column ", column, " of ", cols,
                     "; set it with =, not with +=)",
                     derivative ? "; it must hold the derivative of each sample's loss with respect to " : "",
                     derivative_of, derivative ? ", 0 where the loss does not depend on it" : ""});
  }
  static bool asks_score(const extend::Points<T>& points) {
    return points.along != extend::Along::given || points.score;
  }
};

template <class T>
void Answers<T>::unset(extend::Points<T>& points) {
  mark(points.X);
  mark(points.V);
  mark(points.sigma);
  points.directions = 0;
  points.along = extend::Along::none;
  points.score = true;
  points.gradient = false;
}

template <class T>
void Answers<T>::require_points(extend::Points<T>& points, Index rows, Index d) {
  const Index asked = points.X.rows();
  extend::require(
      asked > 0 && asked % rows == 0 && points.X.cols() == d,
      {"points.X is ", asked, " × ", points.X.cols(), " after the objective's prepare; it must be ", rows, " × ", d,
       ", where the score is asked for each row of samples.X (or several such runs, one below the other)"});
  extend::require(marked(points.X) < 0,
                  {"points.X was not set by the objective's prepare: points.X = samples.X asks for the "
                   "score at the samples themselves"});
  if (points.sigma.size() > 0 && marked(points.sigma) >= 0) points.sigma.resize(0);
  extend::require(
      points.sigma.size() == 0 || points.sigma.size() == asked,
      {"points.sigma has ", points.sigma.size(), " numbers after the objective's prepare; it must have none, or ",
       asked, ", one for each row of points.X"});
  if (points.along != extend::Along::given)
    return extend::require(points.directions == 0,
                           {"points.directions is ", points.directions,
                            " after the objective's prepare, but points.along is not Along::given"});
  extend::require(points.directions >= 1,
                  {"points.directions is ", points.directions,
                   " after the objective's prepare; it must be at least 1 where points.along is Along::given"});
  require_set(points.V, asked, points.directions * d, asked - 1, "points.V", "prepare", "");
}

template <class T>
void Answers<T>::unset(const extend::Points<T>& points, const Asked& asked, extend::ScoreValues<T>& values,
                       extend::Losses<T>& losses) {
  const Index rows = points.X.rows(), d = points.X.cols(), last = asked.count - 1,
              last_asked = rows - asked.rows + last;  // the last sample's, in the last run
  if (!asks_score(points)) leave_unasked(values.S, rows, d);
  if (points.along == extend::Along::none) leave_unasked(values.curvature, rows, 1);
  if (points.along != extend::Along::given) leave_unasked(values.slopes, rows, 0);
  shape(losses.value, asked.rows, 1, last);
  shape(losses.terms, asked.rows, asked.terms, last);
  if (asked.levels > 0) losses.level.setConstant(asked.rows, -1);
  if (!asked.gradient) return;
  if (asks_score(points)) shape(losses.bar.S, rows, d, last_asked);
  if (points.along == extend::Along::given) shape(losses.bar.slopes, rows, points.directions, last_asked);
  if (points.along != extend::Along::none) shape(losses.bar.curvature, rows, 1, last_asked);
}

template <class T>
void Answers<T>::require_losses(const extend::Points<T>& points, const Asked& asked, const extend::Losses<T>& losses) {
  const Index rows = points.X.rows(), last = asked.count - 1, last_asked = rows - asked.rows + last;
  require_set(losses.value, asked.rows, 1, last, "losses.value", "score", "");
  require_set(losses.terms, asked.rows, asked.terms, last, "losses.terms", "score", "");
  extend::require(!Mark::is(Blank::unasked, losses.value[0]),
                  {"the objective's score read values.", points.along == extend::Along::none ? "curvature" : "S",
                   ", which its prepare did not ask for: ",
                   points.along == extend::Along::none ? "set points.along to Along::axes or Along::given"
                                                       : "set points.score to true"});
  if (asked.levels > 0) {
    extend::require(
        losses.level.size() == asked.rows,
        {"losses.level has ", losses.level.size(), " numbers after the objective's score; it must have ", asked.rows});
    for (Index i = 0; i < asked.count; ++i)
      extend::require(losses.level[i] >= 0 && losses.level[i] < asked.levels,
                      {"losses.level has ", losses.level[i], " for sample ", i, " of a block; the objective has ",
                       asked.levels, " level names, so it must be from 0 to ", asked.levels - 1});
  }
  if (!asked.gradient) return;
  if (asks_score(points))
    require_set(losses.bar.S, rows, points.X.cols(), last_asked, "losses.bar.S", "score", "values.S");
  if (points.along == extend::Along::given)
    require_set(losses.bar.slopes, rows, points.directions, last_asked, "losses.bar.slopes", "score", "values.slopes");
  if (points.along != extend::Along::none)
    require_set(losses.bar.curvature, rows, 1, last_asked, "losses.bar.curvature", "score", "values.curvature");
}

/// objective.prepare, checked.
template <class T, class O>
void prepare_points(const O& objective, const extend::Samples<T>& samples, extend::Points<T>& points,
                    typename O::template Notes<T>& notes) {
  Answers<T>::unset(points);
  objective.prepare(samples, points, notes);
  Answers<T>::require_points(points, samples.X.rows(), samples.X.cols());
}

/// objective.score, checked. Numbers that the model was not asked for are NaN in `values`.
template <class T, class O>
void score_points(const O& objective, const extend::Samples<T>& samples, const extend::Points<T>& points,
                  typename O::template Notes<T>& notes, const Asked& asked, extend::ScoreValues<T>& values,
                  extend::Losses<T>& losses) {
  Answers<T>::unset(points, asked, values, losses);
  objective.score(samples, points, notes, values, losses);
  Answers<T>::require_losses(points, asked, losses);
}

}  // namespace scorematch::objective
