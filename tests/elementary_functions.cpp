// simd/functions.hpp against long double: dense sweeps, special values, and the independence of the lanes.
#include "scorematch/simd/functions.hpp"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "catch.hpp"

namespace {

namespace simd = scorematch::simd;

constexpr int sweep_length = 6000;

template <class T>
using Limits = std::numeric_limits<T>;

// The distance of neighbouring numbers of the format at `exact`: ε 2^⌊log₂|exact|⌋, among denormals the smallest of
// them.
template <class T>
long double unit_in_the_last_place(long double exact) {
  const int exponent = exact == 0 ? Limits<T>::min_exponent : std::ilogb(exact);
  return std::scalbn(static_cast<long double>(Limits<T>::epsilon()), std::max(exponent, Limits<T>::min_exponent - 1));
}

// In units of the last place. NaN for NaN, an infinity for what rounds to it, and the sign of zero must be right, or
// the error is infinite; it is never NaN.
template <class T>
long double error_of(T found, long double exact) {
  constexpr long double wrong = Limits<long double>::infinity();
  const T rounded = static_cast<T>(exact);
  if (std::isnan(exact)) return std::isnan(found) ? 0 : wrong;
  if (std::isinf(rounded) || std::isinf(found)) return found == rounded ? 0 : wrong;
  if (std::isnan(found) || (rounded == 0 && found == 0 && std::signbit(found) != std::signbit(rounded))) return wrong;
  return std::abs(static_cast<long double>(found) - exact) / unit_in_the_last_place<T>(exact);
}

// What functions.hpp promises, in ulp.
constexpr long double correctly_rounded = 0.5L;
constexpr long double error_of_exp = 1.2L, error_of_log = 1.2L, error_of_expm1 = 2.5L, error_of_softplus = 2;
constexpr long double error_of_sigmoid = 3, error_of_tanh = 3.5L, error_of_erf = 2.5L, error_of_sine_cosine = 2.5L;
constexpr long double error_of_turns = 3, error_of_pow = 1.3L, error_of_squared_length = 2.5L;
static_assert(Limits<long double>::digits >= 64, "the references need a few bits more than double");

template <class T>
std::vector<T> evenly(double from, double to) {
  std::vector<T> points;
  for (int i = 0; i < sweep_length; ++i)
    points.push_back(static_cast<T>(from + (to - from) * (i + 0.37) / sweep_length));
  return points;
}

// Every binade between alike; from and to above 0.
template <class T>
std::vector<T> by_magnitude(double from, double to) {
  std::vector<T> points;
  const double start = std::log(from), end = std::log(to);
  for (int i = 0; i < sweep_length; ++i)
    points.push_back(static_cast<T>(std::exp(start + (end - start) * (i + 0.37) / sweep_length)));
  return points;
}

template <class T>
std::vector<T> special_values() {
  std::vector<T> points;
  const auto both_signs = [&points](T x) {
    points.push_back(x);
    points.push_back(-x);
  };
  for (const double x : {0.0,  0.25, 0.5,   0.75,  1.0,   1.5,   2.0,   3.0, 20.0, 40.0,
                         87.5, 88.8, 104.5, 708.2, 709.5, 709.9, 745.5, 1e4, 1e7,  1e30})
    both_signs(static_cast<T>(x));
  for (const T x : {Limits<T>::min(), Limits<T>::epsilon(), Limits<T>::max()})
    for (const int quarters : {1, 2, 4}) both_signs(x / 4 * static_cast<T>(quarters));
  for (const T x : {Limits<T>::denorm_min(), 37 * Limits<T>::denorm_min(), Limits<T>::infinity()}) both_signs(x);
  points.push_back(std::nextafter(T(-1), T(0)));
  points.push_back(std::nextafter(T(-1), T(-2)));
  points.push_back(Limits<T>::quiet_NaN());
  return points;
}

template <class T>
std::vector<T> negated(std::vector<T> points) {
  for (T& x : points) x = -x;
  return points;
}

template <class T>
constexpr double smallest = static_cast<double>(Limits<T>::denorm_min());
template <class T>
constexpr double largest = static_cast<double>(Limits<T>::max());
// Beyond these, eˣ underflows and overflows.
template <class T>
constexpr double exp_underflow = std::is_same_v<T, double> ? -745.2 : -103.98;
template <class T>
constexpr double exp_overflow = std::is_same_v<T, double> ? 709.79 : 88.73;

template <class T, class Function>
std::vector<T> in_lanes(Function function, const std::vector<T>& points) {
  using V = simd::Lanes<T>;
  const auto width = static_cast<std::size_t>(simd::width<V>);
  std::vector<T> padded = points;
  padded.resize((points.size() + width - 1) / width * width, T(0.5));
  for (std::size_t i = 0; i < padded.size(); i += width)
    simd::store<V>(&padded[i], function(simd::load<V>(&padded[i])));
  padded.resize(points.size());
  return padded;
}

// Requires `function`, of lanes and of plain numbers, to be within `allowed` ulp of `reference` at every point.
template <class T, class Function, class Reference>
void compare(Function function, const std::vector<T>& points, long double allowed, Reference reference) {
  const std::vector<T> lanes = in_lanes(function, points);
  long double worst = 0;
  T at = 0, found = 0;
  bool alone = false;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const long double exact = reference(static_cast<long double>(points[i]));
    const T plain = function(points[i]);
    const long double of_lane = error_of(lanes[i], exact), of_plain = error_of(plain, exact);
    if (std::max(of_lane, of_plain) > worst) {
      worst = std::max(of_lane, of_plain);
      alone = of_plain > of_lane;
      at = points[i];
      found = alone ? plain : lanes[i];
    }
  }
  CAPTURE(at, found, alone, reference(static_cast<long double>(at)));
  REQUIRE(worst <= allowed);
}

// Every lane gives the same bits wherever it sits and whatever its neighbours are.
template <class T, class Function>
void require_independent_lanes(Function function) {
  constexpr int width = simd::width<simd::Lanes<T>>;
  for (const T x : {T(0.3), T(-2.7), T(11), Limits<T>::min() / 2, T(1e7)})
    for (const T neighbour : {T(-0.6), T(1e30), Limits<T>::infinity(), Limits<T>::quiet_NaN(), T(0)})
      for (int lane = 0; lane < width; ++lane) {
        std::vector<T> points(static_cast<std::size_t>(width), neighbour);
        points[static_cast<std::size_t>(lane)] = x;
        const T mixed = in_lanes(function, points)[static_cast<std::size_t>(lane)];
        const T uniform = in_lanes(function, std::vector<T>(static_cast<std::size_t>(width), x))[0];
        CAPTURE(x, neighbour, lane, mixed, uniform);
        const bool same = std::isnan(uniform) ? std::isnan(mixed) : mixed == uniform;
        REQUIRE(same);
      }
}

long double sine_of_turns(long double u) {  // exact reduction, as long double sees u
  const long double quarter = std::round(4 * u), r = (u - quarter / 4) * 8 * std::atan(1.0L);
  switch (static_cast<int>(quarter) & 3) {
    case 0:
      return std::sin(r);
    case 1:
      return std::cos(r);
    case 2:
      return -std::sin(r);
    default:
      return -std::cos(r);
  }
}

// The functions as objects that take lanes and plain numbers alike.
#define FUNCTION_OBJECT(name) const auto name = [](auto x) { return simd::name(x); }
FUNCTION_OBJECT(abs);
FUNCTION_OBJECT(reciprocal);
FUNCTION_OBJECT(sqrt);
FUNCTION_OBJECT(exp);
FUNCTION_OBJECT(expm1);
FUNCTION_OBJECT(log);
FUNCTION_OBJECT(log1p);
FUNCTION_OBJECT(softplus);
FUNCTION_OBJECT(sigmoid);
FUNCTION_OBJECT(tanh);
FUNCTION_OBJECT(erf);
FUNCTION_OBJECT(sin);
FUNCTION_OBJECT(cos);
#undef FUNCTION_OBJECT

TEMPLATE_TEST_CASE("abs, reciprocal and sqrt are correctly rounded", "", float, double) {
  using T = TestType;
  for (const auto& points : {special_values<T>(), by_magnitude<T>(smallest<T>, largest<T>), evenly<T>(-4, 4)}) {
    compare(abs, points, 0, [](long double x) { return std::abs(x); });
    compare(reciprocal, points, correctly_rounded, [](long double x) { return 1 / x; });
    compare(sqrt, points, correctly_rounded, [](long double x) { return std::sqrt(x); });
  }
}

TEMPLATE_TEST_CASE("exp and expm1", "", float, double) {
  using T = TestType;
  for (const auto& points :
       {special_values<T>(), evenly<T>(-2, 2), evenly<T>(-40, 40), evenly<T>(exp_underflow<T> - 1, exp_overflow<T> + 1),
        evenly<T>(exp_underflow<T>, exp_underflow<T> + 20), evenly<T>(exp_overflow<T> - 1, exp_overflow<T>),
        by_magnitude<T>(smallest<T>, 1), negated(by_magnitude<T>(smallest<T>, 1))}) {
    compare(exp, points, error_of_exp, [](long double x) { return std::exp(x); });
    compare(expm1, points, error_of_expm1, [](long double x) { return std::expm1(x); });
  }
}

TEMPLATE_TEST_CASE("log and log1p", "", float, double) {
  using T = TestType;
  for (const auto& points :
       {special_values<T>(), evenly<T>(0.5, 2), evenly<T>(-1, 1), evenly<T>(0, 100), by_magnitude<T>(smallest<T>, 1),
        by_magnitude<T>(1, largest<T>), negated(by_magnitude<T>(smallest<T>, 1)),
        // where log(1 + x) changes the binade, or 1 + x must be rounded
        evenly<T>(0.49, 0.51), evenly<T>(-0.26, -0.24),
        evenly<T>(1 / static_cast<double>(Limits<T>::epsilon()), 1e18)}) {
    compare(log, points, error_of_log, [](long double x) { return std::log(x); });
    compare(log1p, points, error_of_log, [](long double x) { return std::log1p(x); });
  }
}

TEMPLATE_TEST_CASE("the squared length of a pair of normals", "", float, double) {
  using T = TestType;
  const auto squared_length = [](auto w) { return simd::minus_two_log_of_half(w); };
  std::vector<T> below_two;
  for (const T distance : by_magnitude<T>(Limits<T>::epsilon(), 1))
    below_two.push_back(std::min(2 - distance, 2 - Limits<T>::epsilon()));
  std::vector<T> sixteenths;  // both sides of where the table goes on
  for (int j = 0; j < 16; ++j)
    for (int k = 0; k > -52; --k) {
      const T w = std::scalbn(T(1) + T(j) / 16, k);
      sixteenths.insert(sixteenths.end(), {w, std::nextafter(w, T(0))});
    }
  for (const auto& points :
       {evenly<T>(0, 2), evenly<T>(0.99, 1.01), by_magnitude<T>(0x1p-60, 1), below_two, sixteenths})
    compare(squared_length, points, error_of_squared_length, [](long double w) { return -2 * std::log(w / 2); });
}

TEMPLATE_TEST_CASE("softplus and sigmoid neither overflow nor lose relative precision", "", float, double) {
  using T = TestType;
  for (const auto& points : {special_values<T>(), evenly<T>(-3, 3), evenly<T>(-50, 50),
                             evenly<T>(exp_underflow<T> - 1, -exp_underflow<T> + 1),
                             evenly<T>(exp_underflow<T>, exp_underflow<T> + 20), by_magnitude<T>(smallest<T>, 1)}) {
    compare(softplus, points, error_of_softplus,
            [](long double x) { return (x < 0 ? 0 : x) + std::log1p(std::exp(-std::abs(x))); });
    compare(sigmoid, points, error_of_sigmoid, [](long double x) { return 1 / (1 + std::exp(-x)); });
    compare([](auto x) { return simd::sigmoids(x).of_x; }, points, error_of_sigmoid,
            [](long double x) { return 1 / (1 + std::exp(-x)); });
    compare([](auto x) { return simd::sigmoids(x).of_minus_x; }, points, error_of_sigmoid,
            [](long double x) { return 1 / (1 + std::exp(x)); });
  }
}

TEMPLATE_TEST_CASE("tanh and erf", "", float, double) {
  using T = TestType;
  for (const auto& points :
       {special_values<T>(), evenly<T>(-1, 1), evenly<T>(-7, 7), evenly<T>(-25, 25), by_magnitude<T>(smallest<T>, 1)}) {
    compare(tanh, points, error_of_tanh, [](long double x) { return std::tanh(x); });
    compare(erf, points, error_of_erf, [](long double x) { return std::erf(x); });
  }
  // No rounding carries them beyond their bounds: 1 − tanh² and the like stay above 0.
  for (const auto& points : {evenly<T>(0, 25), by_magnitude<T>(1, largest<T>)})
    for (const T x : points) {
      CAPTURE(x);
      REQUIRE((tanh(x) <= 1 && tanh(-x) >= -1 && erf(x) <= 1 && erf(-x) >= -1));
      REQUIRE((sigmoid(x) <= 1 && sigmoid(-x) >= 0));
    }
}

TEMPLATE_TEST_CASE("sin and cos", "", float, double) {
  using T = TestType;
  const double limit = std::is_same_v<T, double> ? 1.6e6 : 1600;
  std::vector<T> next_to_zeros;  // the number nearest to k π/2: nearly all of its bits cancel
  const long double half_pi = 2 * std::atan(1.0L);
  const int last = static_cast<int>(limit / 1.5707964);
  for (int k = 0; k <= last; k += 1 + last / 3000) next_to_zeros.push_back(static_cast<T>(k * half_pi));
  // The hardest of all below the limit lie 2^-60.5 from 29 π/2 (2^-27.8 from 161 π/2), and as many times farther from
  // the doubled multiples. Found by a search over every multiple in 80 digits.
  for (int doublings = 0; doublings < 14; ++doublings)
    next_to_zeros.push_back(std::is_same_v<T, double> ? static_cast<T>(std::scalbn(0x1.6c6cbc45dc8dep+5, doublings))
                                                      : std::scalbn(T(0x1.f9cbe2p+7), doublings % 4));
  for (const auto& points :
       {special_values<T>(), evenly<T>(-1, 1), evenly<T>(-30, 30), evenly<T>(-1.01 * limit, 1.01 * limit),
        evenly<T>(limit, 100 * limit), by_magnitude<T>(smallest<T>, 1), next_to_zeros, negated(next_to_zeros)}) {
    compare(sin, points, error_of_sine_cosine, [](long double x) { return std::sin(x); });
    compare(cos, points, error_of_sine_cosine, [](long double x) { return std::cos(x); });
  }
  // Both at once are the same bits.
  for (const T x : evenly<T>(-20, 20)) {
    const simd::SineCosine<T> both = simd::sine_cosine(x);
    REQUIRE((both.sine == simd::sin(x) && both.cosine == simd::cos(x)));
  }
}

TEMPLATE_TEST_CASE("sin and cos of turns", "", float, double) {
  using T = TestType;
  const auto sine = [](auto u) { return simd::sine_cosine_of_turns(u).sine; };
  const auto cosine = [](auto u) { return simd::sine_cosine_of_turns(u).cosine; };
  for (const auto& points : {evenly<T>(0, 1), by_magnitude<T>(smallest<T> * 1e6, 1), evenly<T>(0.2499, 0.2501)}) {
    compare(sine, points, error_of_turns, sine_of_turns);
    compare(cosine, points, error_of_turns, [](long double u) { return sine_of_turns(u + 0.25L); });
  }
  // The same where the sign of zeros is open.
  const auto inside_sine = [](auto u) { return simd::sine_cosine_between_quarters(u).sine; };
  const auto inside_cosine = [](auto u) { return simd::sine_cosine_between_quarters(u).cosine; };
  for (auto points : {evenly<T>(0, 1), evenly<T>(0.03, 0.033), evenly<T>(0.28, 0.285), evenly<T>(0.7499, 0.7501)}) {
    std::erase_if(points, [](T u) { return T(4) * u == std::round(T(4) * u); });
    compare(inside_sine, points, error_of_turns, sine_of_turns);
    compare(inside_cosine, points, error_of_turns, [](long double u) { return sine_of_turns(u + 0.25L); });
  }
  // A quarter of a turn further the same numbers come back, exactly. (An odd multiple of 1/8 may be reduced either
  // way.)
  for (int i = 1; i < 8192; i += 2) {
    const T u = static_cast<T>(i) / T(8192), further = u < T(0.75) ? u + T(0.25) : u - T(0.75);
    CAPTURE(u);
    REQUIRE(cosine(u) == sine(further));
    REQUIRE(sine(u) == -cosine(further));
  }
  REQUIRE((sine(T(0)) == 0 && sine(T(0.25)) == 1 && sine(T(0.5)) == 0 && sine(T(0.75)) == -1));
}

TEMPLATE_TEST_CASE("pow", "", float, double) {
  using T = TestType;
  const auto compare_pow = [](T y, const std::vector<T>& points) {
    CAPTURE(y);
    const auto power = [y](auto x) { return simd::pow(x, y); };
    compare(power, points, error_of_pow, [y](long double x) { return std::pow(x, static_cast<long double>(y)); });
  };
  for (const T y : {T(0.5), T(-0.5), T(1), T(-1), T(1.7), T(-3.3), T(2), T(3), T(20.1), T(1e-3)}) {
    compare_pow(y, evenly<T>(0.2, 3));
    compare_pow(y, by_magnitude<T>(smallest<T>, largest<T>));
  }
  // Where the exponent magnifies the error of the logarithm most.
  for (const double y : {300.0, 1e5, -1e5})
    compare_pow(static_cast<T>(y),
                evenly<T>(std::exp(exp_underflow<T> / std::abs(y)), std::exp(exp_overflow<T> / std::abs(y))));
  for (const T y : special_values<T>()) compare_pow(y, special_values<T>());
  for (const T y : {T(2), T(3), T(-3), T(0.3)}) compare_pow(y, evenly<T>(-3, 0));
}

TEMPLATE_TEST_CASE("pow_integer is repeated multiplication", "", float, double) {
  using T = TestType;
  for (const int n : {0, 1, 2, 3, 5, 8, 17, 64, -1, -2, -7}) {
    CAPTURE(n);
    // Every one of |n| + 1 operations rounds by half an ε, which is up to one ulp.
    const long double allowed = n == 0 ? 0 : std::abs(n) + 1;
    const auto power = [n](auto x) { return simd::pow_integer(x, n); };
    const auto reference = [n](long double x) { return std::pow(x, static_cast<long double>(n)); };
    compare(power, evenly<T>(0.5, 1.5), allowed, reference);
    compare(power, evenly<T>(-1.5, -0.5), allowed, reference);
    compare(power, std::vector<T>{T(0), -T(0), Limits<T>::infinity(), -Limits<T>::infinity()}, 0, reference);
  }
  REQUIRE(simd::pow_integer(T(1), INT_MIN) == 1);
  REQUIRE(simd::pow_integer(T(2), INT_MAX) == Limits<T>::infinity());
}

TEMPLATE_TEST_CASE("a lane does not depend on where it sits nor on its neighbours", "", float, double) {
  using T = TestType;
  require_independent_lanes<T>(sqrt);
  require_independent_lanes<T>(exp);
  require_independent_lanes<T>(expm1);
  require_independent_lanes<T>(log);
  require_independent_lanes<T>(log1p);
  require_independent_lanes<T>(softplus);
  require_independent_lanes<T>(sigmoid);
  require_independent_lanes<T>(tanh);
  require_independent_lanes<T>(erf);
  require_independent_lanes<T>(sin);
  require_independent_lanes<T>(cos);
  require_independent_lanes<T>([](auto x) { return simd::pow(x, T(1.3)); });
}

}  // namespace
