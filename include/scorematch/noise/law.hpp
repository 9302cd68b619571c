// Which noise level an example is trained at, and what the level weighs.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/noise/levels.hpp"
#include "scorematch/random/normal.hpp"

namespace scorematch {

/// log σ uniform between log σ_min and log σ_max: what a geometric ladder becomes with ever more levels.
struct log_uniform_sigma {
  double sigma_max = 50;    ///< > sigma_min
  double sigma_min = 0.01;  ///< > 0
};

/// log σ ~ N(mean, deviation²) (Karras et al. 2022, table 1: P_mean and P_std).
struct log_normal_sigma {
  double mean = -1.2;      ///< of log σ
  double deviation = 1.2;  ///< > 0
};

/// The factor λ of the loss at σ.
enum class Weight {
  one,            ///< λ = 1
  sigma_squared,  ///< λ = σ²: the loss is ½‖σ s + z‖², about as large at every level (Song & Ermon 2019, §4.2)
  likelihood,  ///< λ = 2σ/q(σ), q the density of σ: the loss bounds a Kullback–Leibler divergence (Song, Durkan, Murray
               ///< & Ermon 2021, theorem 1: KL(p ‖ model) ≤ ∫ σ E‖s − ∇ log p_σ‖² dσ + what the ends leave). Not for
               ///< log_normal_sigma, which has no ends: 1/q(σ) makes the loss's variance infinite
  edm,  ///< λ = σ² (σ² + σ_data²)/σ_data²: for the network inside EDM's preconditioning every level weighs the
        ///< same (Karras et al. 2022, table 1)
};

/// The law of the noise level of an example: one σ, a ladder of levels (each as likely), or a continuous law.
///   .sigma = 0.3        .sigma = sm::geometric_levels{.sigma_max = 20, .sigma_min = 0.1, .levels = 10}
///   .sigma = sm::log_uniform_sigma{.sigma_max = 20, .sigma_min = 0.1}        .sigma = sm::log_normal_sigma{}
///   .sigma = std::vector<double>{20, 5, 1, 0.1}
class NoiseLaw {
 public:
  /// From each of the three, so that an option can be written as any of them; `validate` checks it.
  ///@{
  NoiseLaw(double sigma) : sigmas_{sigma} {}
  NoiseLaw(std::vector<double> levels) : NoiseLaw(Levels(std::move(levels))) {}
  NoiseLaw(const Levels& levels) : kind_(Kind::ladder), sigmas_(levels.sigmas()) {}
  template <LevelPolicy P>
  NoiseLaw(const P& policy) : NoiseLaw(Levels(policy)) {}
  NoiseLaw(const log_uniform_sigma& law) : kind_(Kind::log_uniform), sigmas_{law.sigma_max, law.sigma_min} {}
  NoiseLaw(const log_normal_sigma& law) : kind_(Kind::log_normal), mean_(law.mean), deviation_(law.deviation) {}
  ///@}

  /// Throws std::invalid_argument; `argument` is what the user calls the law ("denoising_score_matching: sigma").
  void validate(const char* argument) const {
    if (kind_ == Kind::single) extend::require_positive(sigmas_.front(), argument);
    if (kind_ == Kind::log_uniform) noise::require_range(sigmas_[1], sigmas_[0], 2, argument);
    if (kind_ == Kind::log_normal)
      extend::require(std::isfinite(mean_) && std::isfinite(deviation_) && deviation_ > 0,
                      {argument, ": log_normal_sigma has mean ", mean_, " and deviation ", deviation_,
                       "; both must be finite, and the deviation above 0"});
  }

  /// The smallest σ; of log_normal_sigma, which has none, the one below which one in 741 is.
  double smallest() const { return kind_ == Kind::log_normal ? std::exp(mean_ - 3 * deviation_) : sigmas_.back(); }

  /// Whether it is one σ for every example.
  bool single() const { return kind_ == Kind::single; }

  /// Groups of levels whose losses are told apart: none for one σ, the levels of a ladder, eight equally likely ranges
  /// of a continuous law.
  std::vector<std::string> level_names() const {
    std::vector<std::string> names;
    if (kind_ == Kind::ladder)
      for (const double sigma : sigmas_) names.push_back("sigma " + short_text(sigma));
    if (kind_ == Kind::log_uniform || kind_ == Kind::log_normal)
      for (int k = 0; k < ranges; ++k)
        names.push_back("sigma " + short_text(range_end(k)) + " to " + short_text(range_end(k + 1)));
    return names;
  }

  /// Each example's σ and the number of its group, at (seed, id, draw).
  template <class T>
  void draw(std::uint64_t seed, const std::int64_t* ids, Index count, std::uint64_t draw, Vector<T>& sigma,
            Eigen::VectorXi& group) const {
    sigma.resize(count);
    if (kind_ == Kind::single) {
      std::fill_n(sigma.data(), count, static_cast<T>(sigmas_.front()));
      group.resize(0);
      return;
    }
    group.resize(count);
    if (kind_ == Kind::log_normal)
      extend::fill_normals<T>({seed, extend::Purpose::noise_level}, ids, count, draw, 1, sigma.data(), count);
    else
      extend::fill_uniforms<T>({seed, extend::Purpose::noise_level}, ids, count, draw, 1, sigma.data(), count);
    for (Index i = 0; i < count; ++i) {
      const double u = static_cast<double>(sigma[i]);
      if (kind_ == Kind::ladder) {
        const Index size = static_cast<Index>(sigmas_.size());
        group[i] = static_cast<int>(std::min(size - 1, static_cast<Index>(u * static_cast<double>(size))));
        sigma[i] = static_cast<T>(sigmas_[static_cast<std::size_t>(group[i])]);
      } else if (kind_ == Kind::log_uniform) {
        group[i] = std::min(ranges - 1, static_cast<int>(u * ranges));
        sigma[i] = static_cast<T>(sigmas_[0] * std::pow(sigmas_[1] / sigmas_[0], u));
      } else {  // u is normal; large sigma first, as everywhere
        group[i] = 0;
        while (group[i] < ranges - 1 && -u > octiles[group[i]]) ++group[i];
        sigma[i] = static_cast<T>(std::exp(mean_ + deviation_ * u));
      }
    }
  }

  /// λ at a σ of this law, `group` its number; sigma_data is EDM's.
  double weight(Weight weight, double sigma, int group, double sigma_data) const {
    switch (weight) {
      case Weight::one:
        return 1;
      case Weight::sigma_squared:
        return sigma * sigma;
      case Weight::likelihood:
        return likelihood_weight(sigma, group);
      case Weight::edm:
        return sigma * sigma * (sigma * sigma + sigma_data * sigma_data) / (sigma_data * sigma_data);
    }
    return 1;
  }

 private:
  enum class Kind { single, ladder, log_uniform, log_normal };
  static constexpr int ranges = 8;
  /// Φ(octiles[k]) = (k + 1)/8
  static constexpr double octiles[ranges - 1] = {-1.1503493803760079, -0.6744897501960817, -0.3186393639643752, 0,
                                                 0.3186393639643752,  0.6744897501960817,  1.1503493803760079};

  static std::string short_text(double sigma) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.3g", sigma);
    return digits;
  }

  /// The larger end of range k of a continuous law, counted from the largest σ on.
  double range_end(int k) const {
    if (kind_ == Kind::log_uniform)
      return sigmas_[0] * std::pow(sigmas_[1] / sigmas_[0], static_cast<double>(k) / ranges);
    if (k == 0) return std::numeric_limits<double>::infinity();
    return k == ranges ? 0 : std::exp(mean_ - deviation_ * octiles[k - 1]);
  }

  double likelihood_weight(double sigma, int group) const {
    switch (kind_) {
      case Kind::single:
        return 1;
      case Kind::ladder: {  // ∫ σ … dσ = ½ ∫ … dσ² by the trapezium rule in σ²
        const std::size_t i = static_cast<std::size_t>(group), size = sigmas_.size();
        const double above = sigmas_[i == 0 ? 0 : i - 1], below = sigmas_[i + 1 == size ? i : i + 1];
        return size == 1 ? 1 : 0.5 * static_cast<double>(size) * (above * above - below * below);
      }
      case Kind::log_uniform:
        return 2 * sigma * sigma * std::log(sigmas_[0] / sigmas_[1]);
      case Kind::log_normal: {
        const double z = (std::log(sigma) - mean_) / deviation_;
        return 2 * sigma * sigma * deviation_ * 2.5066282746310002 /* √(2π) */ * std::exp(0.5 * z * z);
      }
    }
    return 1;
  }

  Kind kind_ = Kind::single;
  std::vector<double> sigmas_;
  double mean_ = 0, deviation_ = 1;
};

}  // namespace scorematch
