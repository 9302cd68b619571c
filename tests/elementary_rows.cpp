// The rows of formula/elementary.hpp, one after another: what each says of its function is true. A new row is tested
// here without a line of its own.
#include "catch.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/formula/elementary.hpp"
#include "scorematch/formula/linear_form.hpp"
#include "scorematch/formula/theta.hpp"

namespace sm = scorematch;
namespace el = sm::elementary;

namespace {

constexpr el::Exponent exponent = {.real = 2.5, .whole = 3};

bool near(double found, double expected) { return std::abs(found - expected) <= 1e-6 * (1 + std::abs(expected)); }

// φ', φ'' and φ''' are the differences of φ, φ' and φ''.
template <class Row>
void check_slopes() {
  const double h = 1e-5;
  const auto at = [&](double a) {
    const double r = Row::value(a, exponent);
    const el::Slopes<double> s = Row::slopes(a, r, exponent);
    return std::vector<double>{r, s.first, s.second, s.third};
  };
  for (double a = std::max(-2.0, Row::defined_from) + 0.13; a < 3; a += 0.29) {
    const auto here = at(a), below = at(a - h), above = at(a + h);
    INFO("a = " << a);
    for (std::size_t k = 0; k < 3; ++k) CHECK(near(here[k + 1], (above[k] - below[k]) / (2 * h)));
    if (!Row::bends) CHECK(here[2] == 0);
    if (!Row::twists) CHECK(here[3] == 0);
    if (Row::never_negative) CHECK(here[0] >= 0);
    if (Row::is_square) CHECK(here[0] == a * a);
  }
}

template <class Row>
void check_ends() {
  const double zero = Row::value(0.0, exponent);
  const el::Slopes<double> s = Row::slopes(0.0, zero, exponent);
  const bool bounded = std::isfinite(s.first) && std::isfinite(s.second) && std::isfinite(s.third);
  CHECK(Row::has_edge_at_zero == (std::isfinite(zero) && !bounded));
  if (std::isfinite(Row::defined_from)) CHECK(std::isnan(Row::value(Row::defined_from - 0.5, exponent)));
  const el::Slopes<double> left = Row::slopes(-1e-9, Row::value(-1e-9, exponent), exponent);
  const el::Slopes<double> right = Row::slopes(1e-9, Row::value(1e-9, exponent), exponent);
  if (std::isfinite(left.first) && std::isfinite(right.first) && std::isfinite(zero))
    CHECK(Row::has_kink == (std::abs(left.first - right.first) > 1e-3));
  if (Row::rests_at_zero(exponent, false)) {
    CHECK(zero == 0);
    CHECK(s.first == 0);
    CHECK(Row::value(-1.5, exponent) >= 0);
  }
}

// The loops over arrays of any length give what the row gives.
template <class Row, class T>
void check_loops() {
  const el::Function& f = el::function_of<Row>;
  CHECK(f.name == std::string(Row::name));
  for (const sm::Index count : {1, 7, 16, 37}) {
    std::vector<T> a, r(static_cast<std::size_t>(count)), slopes(3 * r.size());
    for (sm::Index i = 0; i < count; ++i) a.push_back(static_cast<T>(0.1 + 0.07 * static_cast<double>(i)));
    el::function_values(f, exponent, a.data(), r.data(), count);
    el::function_slopes(f, exponent, a.data(), r.data(), slopes.data(), count);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const auto from = Row::slopes(a[i], r[i], exponent);
      const double digits = 100 * static_cast<double>(std::numeric_limits<T>::epsilon());
      const bool has_zeros = f.name == std::string("lgamma");  // at 1 and 2, where its error is absolute
      CHECK(r[i] == Approx(Row::value(a[i], exponent)).epsilon(digits).margin(has_zeros ? digits : 0));
      CHECK(slopes[i] == Approx(from.first).epsilon(digits));
      CHECK(slopes[i + a.size()] == Approx(from.second).epsilon(digits));
      CHECK(slopes[i + 2 * a.size()] == Approx(from.third).epsilon(digits));
    }
  }
}

template <class Row>
void check_row() {
  INFO(Row::name);
  check_slopes<Row>();
  check_ends<Row>();
  check_loops<Row, double>();
  check_loops<Row, float>();
}

}  // namespace

TEST_CASE("What a row says of its function is true") {
#define CHECK_ROW(row) check_row<el::row>();
  SCOREMATCH_ELEMENTARY_FUNCTIONS(CHECK_ROW)
#undef CHECK_ROW
}

TEST_CASE("Messages name a function by its row") {
#define CHECK_NAME(row)                                                                                    \
  {                                                                                                        \
    const auto record = sm::formula::record(1, [](auto x, auto theta) { return row(theta("a")) * x[0]; }); \
    CHECK(sm::formula::linearity(record).reason == std::string(el::row::name) +                            \
                                                       " of a value that depends on "                      \
                                                       "theta(\"a\")");                                    \
  }
  SCOREMATCH_FUNCTIONS_OF_ONE_VALUE(CHECK_NAME)
#undef CHECK_NAME
}
