// Quantiles of the normal and of the beta law, which diagnostics of draws need.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace scorematch::diagnostics {

/// Φ(x), the normal law's distribution function, accurate in relative terms in the lower tail.
inline double normal_probability(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }

/// Φ⁻¹(p), 0 < p < 1, to a few units in the last place: a rational start (Abramowitz & Stegun 1964, 26.2.23, error
/// 4.5e-4), then Halley's steps on Φ(x) = p, each of which triples the digits. −∞ at 0, ∞ at 1, NaN beyond.
inline double normal_quantile(double p) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (!(p > 0 && p < 1)) return p == 0 ? -infinity : p == 1 ? infinity : std::numeric_limits<double>::quiet_NaN();
  if (p > 0.5) return -normal_quantile(1 - p);  // exact: 1 − p is, from ½ on
  const double t = std::sqrt(-2 * std::log(p));
  double x = (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
  for (int step = 0; step < 2; ++step) {
    const double density = 0.39894228040143267794 * std::exp(-0.5 * x * x);
    const double newton = (normal_probability(x) - p) / density;
    x -= newton / (1 + 0.5 * x * newton);
  }
  return x;
}

/// The continued fraction of I_x(a, b) (Abramowitz & Stegun 1964, 26.5.8), by Lentz's method: it needs some
/// √max(a, b) terms where x < (a + 1)/(a + b + 2).
inline double beta_fraction(double x, double a, double b) {
  constexpr double tiny = 1e-300;
  constexpr int most = 1'000'000;
  const auto away_from_zero = [](double number) { return std::abs(number) < tiny ? tiny : number; };
  double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), fraction = d;
  for (int term = 1; term < most; ++term) {
    const double m = term;
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double change = 1;
    for (const double numerator : {even, odd}) {
      d = 1 / away_from_zero(1 + numerator * d);
      c = away_from_zero(1 + numerator / c);
      change = c * d;
      fraction *= change;
    }
    if (std::abs(change - 1) < 1e-16) break;
  }
  return fraction;
}

/// The regularised incomplete beta function I_x(a, b), a and b > 0: the distribution function of Beta(a, b) at x.
inline double beta_probability(double x, double a, double b) {
  if (!(x > 0)) return 0;
  if (!(x < 1)) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(x, a, b) / a;
  return 1 - front * beta_fraction(1 - x, b, a) / b;
}

/// The p-quantile of Beta(a, b), 0 ≤ p ≤ 1, a and b > 0, to 1e-12: Newton's steps inside a bracket that shrinks.
inline double beta_quantile(double p, double a, double b) {
  if (!(p > 0)) return 0;
  if (!(p < 1)) return 1;
  double low = 0, high = 1, x = a / (a + b);
  const double log_front = std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b);
  for (int step = 0; step < 200 && high - low > 1e-16; ++step) {
    const double gap = beta_probability(x, a, b) - p;
    if (gap == 0) break;
    (gap > 0 ? high : low) = x;
    const double density = std::exp(log_front + (a - 1) * std::log(x) + (b - 1) * std::log1p(-x));
    const double newton = x - gap / density;
    const double next = newton > low && newton < high ? newton : 0.5 * (low + high);
    const double moved = std::abs(next - x);
    x = next;
    if (moved <= 1e-15 * x) break;
  }
  return x;
}

}  // namespace scorematch::diagnostics
