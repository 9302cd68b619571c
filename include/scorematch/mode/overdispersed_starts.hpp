// overdispersed_starts: where chains may start, inside the support and wider than the law itself.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/mode/laplace.hpp"
#include "scorematch/mode/minima.hpp"
#include "scorematch/random/chi_squared.hpp"

namespace scorematch {

/// Options of overdispersed_starts.
struct StartsOptions {
  ModesOptions modes = {};  ///< where to look for the minima
  double widening = 2;      ///< standard deviations of starts over those of the normal laws at the minima; > 0
  /// Degrees of freedom of the Student-t laws that starts are drawn from, > 0; ∞ for normal ones. With ν the covariance
  /// is widening² ν/(ν − 2) times that of the minima's laws.
  double degrees = std::numeric_limits<double>::infinity();
  std::uint64_t seed = 0;  ///< of the draws; any

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    modes.validate();
    extend::require_positive(widening, "StartsOptions: widening");
    extend::require(degrees > 0, {"StartsOptions: degrees is ", degrees, "; it must be above 0, ∞ for a normal law"});
  }
};

/// How starts were found.
enum class StartsStatus {
  at_minima,  ///< drawn around confirmed minima; energy and score are finite at every start
  by_widths,  ///< the same, but the lowest place is no confirmed minimum: widths are by how far f takes to rise by ½
  none,       ///< no starts: the energy is finite nowhere, or falls without bound, or no draw had a finite energy
};

/// The status in a word or two.
inline const char* to_string(StartsStatus status) {
  switch (status) {
    case StartsStatus::at_minima:
      return "at minima";
    case StartsStatus::by_widths:
      return "by widths";
    case StartsStatus::none:
      return "none";
  }
  return "";
}

/// Starts of chains, drawn more widely than the law.
struct [[nodiscard]] Starts {
  Eigen::MatrixXd points;    ///< d × chains: `.start` of samplers
  Eigen::VectorXd energies;  ///< chains, f there
  Eigen::VectorXi minimum;   ///< chains, the number of the minimum it was drawn around
  Eigen::VectorXi redrawn;   ///< chains, how often it was drawn again since energy or score were not finite there
  Eigen::MatrixXd minima;    ///< d × K, the places drawn around
  StartsStatus status = StartsStatus::none;  ///< how they were found
  std::string evidence = {};               ///< what speaks against `at_minima`, in a sentence; empty where all is well
  std::vector<std::string> warnings = {};  ///< of the search for minima

  /// A line: the status, chains, minima and how many starts were drawn again; then evidence and warnings.
  std::string text() const {
    const auto again = std::count_if(redrawn.data(), redrawn.data() + redrawn.size(), [](int n) { return n > 0; });
    std::string all = scorematch::detail::text(to_string(status), ": ", points.cols(), " starts around ", minima.cols(),
                                               " minima, ", again, " of them drawn again\n");
    if (!evidence.empty()) all += "  " + evidence + '\n';
    for (const std::string& warning : warnings) all += "  " + warning + '\n';
    return all;
  }
};

namespace likelihood {

/// Places with the lower roots of their covariances, and how many starts each should have.
template <class T>
struct StartLaws {
  std::vector<Vector<T>> places;
  std::vector<Matrix<T>> roots;
  std::vector<double> shares;  ///< sum 1
};

/// Chain c's draw at an attempt: place + widening √(ν/χ²_ν) L z, narrower by 2 after each ten attempts.
template <class T>
Vector<T> start_draw(const StartLaws<T>& laws, std::size_t k, const StartsOptions& options, Index chain, int attempt) {
  Stream stream({options.seed, extend::Purpose::chain_start}, chain,
                (std::uint64_t{5} << 36) + static_cast<std::uint64_t>(attempt));
  const Vector<T> z = laws.roots[k].template triangularView<Eigen::Lower>() * stream.normals(laws.places[k].size());
  double wide = options.widening * std::ldexp(1.0, -(attempt / 10));
  if (options.degrees < 1e6) wide *= std::sqrt(options.degrees / detail::chi_squared(options.degrees, stream));
  return laws.places[k] + wide * z;
}

/// Draws until energy and score are finite; false with the chain's number in `evidence` where that does not come about.
template <class T>
bool draw_starts(EnergyFunction<T>& energy, const StartLaws<T>& laws, Index chains, const StartsOptions& options,
                 Starts& starts) {
  constexpr int most = 100;
  const Index d = energy.dimension();
  starts.points.resize(d, chains);
  starts.energies.resize(chains);
  starts.minimum.resize(chains);
  starts.redrawn.setZero(chains);
  std::vector<Index> open;
  double sum = 0.5 / static_cast<double>(chains), reached = laws.shares.front();
  for (Index c = 0, k = 0; c < chains; ++c, sum += 1 / static_cast<double>(chains)) {
    while (sum > reached && k + 1 < static_cast<Index>(laws.shares.size()))
      reached += laws.shares[static_cast<std::size_t>(++k)];
    starts.minimum[c] = static_cast<int>(k);
    open.push_back(c);
  }
  for (int attempt = 0; attempt < most && !open.empty(); ++attempt) {
    Matrix<T> X(d, static_cast<Index>(open.size())), S;
    for (Index i = 0; i < X.cols(); ++i) {
      const Index c = open[static_cast<std::size_t>(i)];
      X.col(i) = start_draw(laws, static_cast<std::size_t>(starts.minimum[c]), options, c, attempt);
    }
    Vector<T> f;
    energy.values_and_scores(X, f, S);
    std::vector<Index> again;
    for (Index i = 0; i < X.cols(); ++i) {
      const Index c = open[static_cast<std::size_t>(i)];
      if (!std::isfinite(f[i]) || !S.col(i).allFinite()) {
        again.push_back(c);
        continue;
      }
      starts.points.col(c) = X.col(i);
      starts.energies[c] = f[i];
      starts.redrawn[c] = attempt;
    }
    open.swap(again);
  }
  if (open.empty()) return true;
  starts.evidence = detail::text("none of ", most, " draws for chain ", open.front(), " has a finite energy and score");
  return false;
}

/// Shares by the square roots of the laws' weights: faint minima are started from, too.
template <class T>
void share_out(const std::vector<double>& log_masses, StartLaws<T>& laws) {
  const double most = *std::max_element(log_masses.begin(), log_masses.end());
  double sum = 0;
  for (const double log_mass : log_masses) laws.shares.push_back(std::exp(0.5 * std::max(log_mass - most, -10.0)));
  for (const double share : laws.shares) sum += share;
  for (double& share : laws.shares) share /= sum;
}

/// Of an energy without a confirmed minimum: the lowest place that the search reached, with the widths there.
template <class T>
bool laws_by_widths(EnergyFunction<T>& energy, const Modes& modes, StartLaws<T>& laws) {
  if (modes.points.cols() == 0) return false;
  CurvedEnergy<T, EnergyFunction<T>> plain(energy, false);
  const Minima found =
      find_minima(plain, Matrix<T>(modes.points.leftCols(1)), Vector<T>(Vector<T>::Ones(energy.dimension())), 1);
  if (found.found.empty()) return false;
  const Mode& mode = found.found.front();
  const Vector<T> scale = mode.covariance.diagonal().cwiseSqrt();
  const Eigen::LLT<Matrix<T>> factor(
      Matrix<T>(scale.cwiseInverse().asDiagonal() * mode.covariance * scale.cwiseInverse().asDiagonal()));
  if (!scale.allFinite() || factor.info() != Eigen::Success) return false;
  laws.places.push_back(mode.point);
  laws.roots.push_back(scale.asDiagonal() * Matrix<T>(factor.matrixL()));
  laws.shares.push_back(1);
  return true;
}

template <class T>
Starts starts_of(EnergyFunction<T>& energy, bool exact, Index chains, const StartsOptions& options) {
  extend::require_within(chains, 1, 100'000'000, "overdispersed_starts: chains");
  options.validate();
  Starts starts;
  const Laplace law = laplace_of(energy, exact, {.modes = options.modes});
  starts.warnings = law.modes.warnings;
  starts.evidence = law.evidence;
  StartLaws<T> laws;
  if (law.status == LaplaceStatus::at_minima) {
    std::vector<double> log_masses;
    for (Index k = 0; k < law.means.cols(); ++k) {
      laws.places.push_back(law.means.col(k));
      laws.roots.push_back(law.roots[static_cast<std::size_t>(k)]);
      log_masses.push_back(std::log(std::max(law.weights[k], 1e-300)));
    }
    share_out(log_masses, laws);
    starts.status = StartsStatus::at_minima;
  } else if (law.status != LaplaceStatus::unbounded && law.status != LaplaceStatus::non_finite &&
             laws_by_widths(energy, law.modes, laws)) {
    starts.status = StartsStatus::by_widths;
  } else {
    return starts;
  }
  starts.minima.resize(energy.dimension(), static_cast<Index>(laws.places.size()));
  for (Index k = 0; k < starts.minima.cols(); ++k) starts.minima.col(k) = laws.places[static_cast<std::size_t>(k)];
  if (!draw_starts(energy, laws, chains, options, starts)) {
    starts.status = StartsStatus::none;
    starts.points.resize(energy.dimension(), 0);
    starts.energies.resize(0);
  }
  return starts;
}

}  // namespace likelihood

/// Starts for `chains` chains: drawn from normal (or Student-t) laws at the minima of the energy, `widening` times as
/// wide as Laplace's approximation, so that chains begin farther apart than their law is wide (A. Gelman and D. B.
/// Rubin, Stat. Sci. 7, 1992), yet where energy and score are finite: other draws are made again, and counted. Each
/// minimum gets starts in proportion to the root of its weight, e⁻⁵ of the heaviest's at least. Nothing depends on
/// units.
///
///   const auto starts = sm::overdispersed_starts(posterior, 64);
///   const auto draws = sm::sample(posterior, sm::mala{…}, {.chains = 64, .start = starts.points});
///
/// Throws std::invalid_argument for chains < 1, and as find_modes does.
template <class M>
Starts overdispersed_starts(const M& model, Index chains, const StartsOptions& options = {}) {
  if constexpr (detail::check_energy<M>()) {
    auto energy = likelihood::energy_function<double>(model);
    return likelihood::starts_of(energy, likelihood::exact_curvature<M>, chains, options);
  }
  return {};
}

}  // namespace scorematch
