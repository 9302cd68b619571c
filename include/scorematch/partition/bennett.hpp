// Free-energy differences between two energies from draws of both: Bennett's acceptance ratio.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "scorematch/check.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// Options of bar and free_energy_difference.
struct BennettOptions {
  /// How many independent draws the forward (or backward) works are worth, their effective sample size, where they come
  /// from chains: from above 0 up to their number. 0: all are independent.
  double effective_forward = 0;
  double effective_backward = 0;  ///< the same of the backward works

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require(
        std::isfinite(effective_forward) && effective_forward >= 0,
        {"BennettOptions: effective_forward is ", effective_forward, "; it must be a finite number, at least 0"});
    extend::require(
        std::isfinite(effective_backward) && effective_backward >= 0,
        {"BennettOptions: effective_backward is ", effective_backward, "; it must be a finite number, at least 0"});
  }

  /// Throws unless the effective numbers are at most those of the works.
  void validate_for(Index forward, Index backward) const {
    extend::require(
        effective_forward <= static_cast<double>(forward),
        {"BennettOptions: effective_forward is ", effective_forward, "; there are ", forward, " forward works"});
    extend::require(
        effective_backward <= static_cast<double>(backward),
        {"BennettOptions: effective_backward is ", effective_backward, "; there are ", backward, " backward works"});
  }
};

/// Whether a free energy difference can be trusted.
enum class BennettStatus {
  estimated,       ///< at least 20 effective draws of each side lie where both laws have mass: the error can be trusted
  little_overlap,  ///< fewer do: value and error are there, but both are uncertain
  no_overlap,      ///< hardly any does: no number
  inconsistent,    ///< the works contradict the second law, their means add up to less than 0: no number
  non_finite,      ///< a work is NaN or −∞: no number
};

/// The status in a word or two.
inline const char* to_string(BennettStatus status) {
  switch (status) {
    case BennettStatus::estimated:
      return "estimated";
    case BennettStatus::little_overlap:
      return "little overlap";
    case BennettStatus::no_overlap:
      return "no overlap";
    case BennettStatus::inconsistent:
      return "inconsistent";
    case BennettStatus::non_finite:
      return "non-finite";
  }
  return "";
}

/// The free energy difference of two laws a and b.
struct [[nodiscard]] FreeEnergyDifference {
  /// ΔF = F_b − F_a = −log(Z_b/Z_a), in units of kT. NaN where the status gives no number.
  double value = std::numeric_limits<double>::quiet_NaN();
  double standard_error = std::numeric_limits<double>::quiet_NaN();  ///< of `value`
  /// ∫ p_a p_b/(π_a p_a + π_b p_b) dx, π the shares of the draws: 1 for equal laws, 0 for laws without common ground.
  double overlap = std::numeric_limits<double>::quiet_NaN();
  /// How many equal effective draws of a the estimate rests on: the least of this and the next decides the status.
  double forward_draws = 0;
  double backward_draws = 0;                         ///< the same of b
  BennettStatus status = BennettStatus::no_overlap;  ///< whether the number can be trusted
  std::string evidence = {};  ///< what speaks against the number, or why there is none; empty where all is well

  /// A line: the status, ΔF with its error, the overlap; then the evidence, if there is any.
  std::string text() const {
    return scorematch::detail::text(to_string(status), ": free-energy difference ", value, " ± ", standard_error,
                                    " kT, overlap ", overlap, '\n', evidence.empty() ? "" : "  " + evidence + '\n');
  }
};

namespace likelihood {

// Plain loops in place of matrix expressions, which every program would have to compile.
inline double least_of(const Eigen::VectorXd& x) { return *std::min_element(x.data(), x.data() + x.size()); }
inline double mean_of(const Eigen::VectorXd& x) {
  return std::accumulate(x.data(), x.data() + x.size(), 0.0) / static_cast<double>(x.size());
}
inline Eigen::VectorXd shifted(const Eigen::VectorXd& x, double by) {
  Eigen::VectorXd moved(x.size());
  for (Index i = 0; i < x.size(); ++i) moved[i] = x[i] + by;
  return moved;
}

/// 1/(1 + eˣ), for x from −∞ to ∞.
inline double fermi(double x) { return x > 0 ? std::exp(-x) / (1 + std::exp(-x)) : 1 / (1 + std::exp(x)); }

/// Of one side: the mean of Fermi's function of x_i, and how many equal draws its sum rests on, (Σφ)²/Σφ², of `worth`.
struct FermiMean {
  double mean = 0, relative_variance = 0, draws = 0;

  FermiMean(const Eigen::VectorXd& x, double worth) {
    const double least = least_of(x), n = static_cast<double>(x.size());
    if (!(least < std::numeric_limits<double>::infinity())) return;  // every φ is 0
    // φ e^least: of order 1 at the largest, however small all are
    const double shift = std::max(least, 0.0);
    double sum = 0, squares = 0;
    for (Index i = 0; i < x.size(); ++i) {
      const double phi = shift > 0 ? std::exp(shift - x[i]) / (1 + std::exp(-x[i])) : fermi(x[i]);
      sum += phi;
      squares += phi * phi;
    }
    mean = sum / n * std::exp(-shift);
    draws = sum * sum / squares * worth / n;
    relative_variance = std::max(0.0, n * squares / (sum * sum) - 1) / worth;
  }
};

/// The ΔF at which the forward and the backward acceptances agree (Bennett 1976, equation 12), by bisection of
///   log Σ_F φ(M + w − ΔF)/n_F · N_F − log Σ_R φ(−M + w + ΔF)/n_R · N_R,  M = log(N_F/N_R),
/// which increases in ΔF; N are effective numbers. Logs, so that no work is too large.
class BennettEquation {
 public:
  BennettEquation(const Eigen::VectorXd& forward, const Eigen::VectorXd& backward, double worth_f, double worth_b)
      : forward_(forward), backward_(backward), worth_f_(worth_f), worth_b_(worth_b) {}

  double log_ratio() const { return std::log(worth_f_ / worth_b_); }

  double solve() const {
    const auto finite_range = [](const Eigen::VectorXd& w, double sign, double& low, double& high) {
      for (Index i = 0; i < w.size(); ++i) {
        if (!std::isfinite(w[i])) continue;
        low = std::min(low, sign * w[i]);
        high = std::max(high, sign * w[i]);
      }
    };
    double low = std::numeric_limits<double>::infinity(), high = -low;
    finite_range(forward_, 1, low, high);
    finite_range(backward_, -1, low, high);
    if (!(low <= high)) return std::numeric_limits<double>::quiet_NaN();
    double reach = 1 + std::abs(log_ratio());
    for (int k = 0; k < 60 && excess(low) > 0; ++k, reach *= 2) low -= reach;
    for (int k = 0; k < 60 && excess(high) < 0; ++k, reach *= 2) high += reach;
    for (int k = 0; k < 200; ++k) {
      const double middle = low + 0.5 * (high - low);
      if (!(middle > low && middle < high)) break;
      (excess(middle) > 0 ? high : low) = middle;
    }
    return std::abs(excess(low)) < std::abs(excess(high)) ? low : high;
  }

  Eigen::VectorXd forward_arguments(double difference) const { return shifted(forward_, -(difference - log_ratio())); }
  Eigen::VectorXd backward_arguments(double difference) const { return shifted(backward_, difference - log_ratio()); }

 private:
  // log Σ φ(x_i)
  static double log_sum(const Eigen::VectorXd& x) {
    const double least = least_of(x);
    if (!(least < std::numeric_limits<double>::infinity())) return -least;
    const double shift = std::max(least, 0.0);
    double sum = 0;
    for (Index i = 0; i < x.size(); ++i)
      sum += shift > 0 ? std::exp(shift - x[i]) / (1 + std::exp(-x[i])) : fermi(x[i]);
    return std::log(sum) - shift;
  }

  double excess(double difference) const {
    return log_sum(forward_arguments(difference)) + std::log(worth_f_ / static_cast<double>(forward_.size())) -
           log_sum(backward_arguments(difference)) - std::log(worth_b_ / static_cast<double>(backward_.size()));
  }

  const Eigen::VectorXd &forward_, &backward_;
  double worth_f_, worth_b_;
};

/// The first work that is NaN or −∞ is named; whether there is none.
inline bool works_are_numbers(const Eigen::VectorXd& works, const char* side, FreeEnergyDifference& result) {
  for (Index i = 0; i < works.size(); ++i) {
    if (works[i] > -std::numeric_limits<double>::infinity()) continue;
    result.status = BennettStatus::non_finite;
    result.evidence = detail::text(side, " work ", i, " (counted from 0) is ", works[i]);
    return false;
  }
  return true;
}

/// ⟨w_F⟩ + ⟨w_R⟩ = D(p_a‖p_b) + D(p_b‖p_a) ≥ 0. Whether it is, up to five standard errors and rounding; else says so.
inline bool obeys_second_law(const Eigen::VectorXd& forward, const Eigen::VectorXd& backward, double worth_f,
                             double worth_b, FreeEnergyDifference& result) {
  const double mean_f = mean_of(forward), mean_b = mean_of(backward), dissipated = mean_f + mean_b;
  if (!std::isfinite(dissipated)) return true;
  const auto variance = [](const Eigen::VectorXd& w, double mean) {
    double squares = 0;
    for (Index i = 0; i < w.size(); ++i) squares += (w[i] - mean) * (w[i] - mean);
    return squares / static_cast<double>(w.size());
  };
  const double error = std::sqrt(variance(forward, mean_f) / worth_f + variance(backward, mean_b) / worth_b);
  const double rounding = 1e-10 * (std::abs(mean_f) + std::abs(mean_b));
  if (dissipated >= -5 * error - rounding && (worth_f >= 2 || worth_b >= 2 || dissipated >= -rounding)) return true;
  result.status = BennettStatus::inconsistent;
  result.evidence =
      detail::text("the mean works add up to ", dissipated, " ± ", error,
                   ", and by the second law to at least 0: is a sign wrong, or do the draws not belong to their "
                   "energies?");
  return false;
}

}  // namespace likelihood

/// ΔF = −log(Z_b/Z_a) from works of draws of both sides (C. H. Bennett, "Efficient estimation of free energy
/// differences from Monte Carlo data", J. Comput. Phys. 22, 1976):
///   forward[i] = f_b(x_i) − f_a(x_i), x_i ~ exp(−f_a)/Z_a,   backward[j] = f_a(y_j) − f_b(y_j), y_j ~ exp(−f_b)/Z_b,
/// in units of kT; or works of non-equilibrium protocols both ways (G. E. Crooks, Phys. Rev. E 61, 2000). A work may be
/// +∞. The error is
///   Var ΔF = (⟨φ²⟩_F/⟨φ⟩_F² − 1)/N_F + (⟨φ²⟩_R/⟨φ⟩_R² − 1)/N_R,  φ = 1/(1 + exp(M + w ∓ ΔF)),
/// (Bennett's 10b; M. R. Shirts and J. D. Chodera, J. Chem. Phys. 129, 2008), N the effective numbers of draws. Throws
/// std::invalid_argument for no works on a side.
inline FreeEnergyDifference bar(const Eigen::VectorXd& forward, const Eigen::VectorXd& backward,
                                const BennettOptions& options = {}) {
  options.validate();
  extend::require_at_least(forward.size(), 1, "bar: the number of forward works");
  extend::require_at_least(backward.size(), 1, "bar: the number of backward works");
  options.validate_for(forward.size(), backward.size());
  FreeEnergyDifference result;
  if (!likelihood::works_are_numbers(forward, "forward", result) ||
      !likelihood::works_are_numbers(backward, "backward", result))
    return result;
  const double worth_f =
                   options.effective_forward > 0 ? options.effective_forward : static_cast<double>(forward.size()),
               worth_b =
                   options.effective_backward > 0 ? options.effective_backward : static_cast<double>(backward.size());
  if (!likelihood::obeys_second_law(forward, backward, worth_f, worth_b, result)) return result;
  const likelihood::BennettEquation equation(forward, backward, worth_f, worth_b);
  const double difference = equation.solve();
  const likelihood::FermiMean ahead(equation.forward_arguments(difference), worth_f),
      behind(equation.backward_arguments(difference), worth_b);
  result.overlap = std::min(1.0, ahead.mean * (worth_f + worth_b) / worth_b);
  if (std::isnan(difference)) result.overlap = 0;
  result.forward_draws = ahead.draws;
  result.backward_draws = behind.draws;
  constexpr double fewest = 3, enough = 20;
  const double draws = std::min(ahead.draws, behind.draws);
  const double least_f = likelihood::least_of(forward), least_b = likelihood::least_of(backward);
  const bool disjoint = least_f > -least_b;  // the works' ranges do not meet
  if (std::isnan(difference) || disjoint || !(draws >= fewest)) {
    result.status = BennettStatus::no_overlap;
    result.evidence =
        disjoint ? detail::text("the least forward work is ", least_f, ", the largest −work backward ", -least_b,
                                ": no draw of one side lies where the other has mass; put states between")
                 : detail::text("only ", draws,
                                " effective draws lie where both sides have mass; put states between, or draw "
                                "more");
    return result;
  }
  result.value = difference;
  result.standard_error = std::sqrt(ahead.relative_variance + behind.relative_variance);
  result.status = draws >= enough ? BennettStatus::estimated : BennettStatus::little_overlap;
  if (draws < enough)
    result.evidence =
        detail::text("only ", draws, " effective draws lie where both sides have mass: the error is uncertain");
  return result;
}

/// The same for two energies over the same x, from points that each has drawn (d × n_a, d × n_b).
///
///   const auto a = sm::sample(stiff, sm::mala{…}, {…}), b = sm::sample(soft, sm::mala{…}, {…});
///   const auto difference = sm::free_energy_difference(stiff, a.points, soft, b.points, {.effective_forward = 300,
///   …});
///
/// Throws std::invalid_argument for dimensions that differ, and points that are empty or not finite.
template <class A, class B>
FreeEnergyDifference free_energy_difference(const A& energy_a, const Eigen::MatrixXd& points_a, const B& energy_b,
                                            const Eigen::MatrixXd& points_b, const BennettOptions& options = {}) {
  extend::require(static_cast<Index>(energy_a.dimension()) == static_cast<Index>(energy_b.dimension()),
                  {"free_energy_difference: energy_a has dimension ", static_cast<Index>(energy_a.dimension()),
                   ", energy_b ", static_cast<Index>(energy_b.dimension()), "; they must agree"});
  extend::require_samples<double>(points_a, static_cast<Index>(energy_a.dimension()),
                                  "free_energy_difference: points_a");
  extend::require_samples<double>(points_b, static_cast<Index>(energy_b.dimension()),
                                  "free_energy_difference: points_b");
  const Eigen::VectorXd forward = energy_of(energy_b, points_a) - energy_of(energy_a, points_a),
                        backward = energy_of(energy_a, points_b) - energy_of(energy_b, points_b);
  return bar(forward, backward, options);
}

}  // namespace scorematch
