// Shared by the fits of an energy itself, not of its score: the result, and the check of what the model must offer.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "scorematch/density/partition_result.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/likelihood/log_likelihood.hpp"
#include "scorematch/model/energy_function.hpp"
#include "scorematch/ranks/agreement.hpp"
#include "scorematch/ranks/shards.hpp"

namespace scorematch {

/// All of a LikelihoodFit but its model.
struct [[nodiscard]] LikelihoodOutcome {
  double loss = 0;                        ///< what was minimised, at the fitted θ; see each method
  FitStatus status = FitStatus::used_up;  ///< how it ended
  Index iterations = 0;                   ///< steps of θ
  Index evaluations = 0;                  ///< of the loss and its gradient
  Index non_finite = 0;                   ///< evaluations whose loss or gradient was not finite
  std::vector<FitStep> history = {};      ///< the course of the fit
  LogPartition log_partition = {};        ///< of the fitted model, where the method learns it
  /// √(gᵀF⁻¹g), g the gradient and F the Fisher information: how far the next step would move the model, in standard
  /// deviations of what one sample tells of θ; NaN where the method does not compute it
  double decrement = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::string> warnings = {};  ///< what in the data makes the fit doubtful, a sentence each
  /// Contrastive divergence: the mean acceptance of the model's chains over the second half of the iterations.
  double acceptance = std::numeric_limits<double>::quiet_NaN();
  std::string evidence = {};         ///< what speaks for a status that is no good end, with its remedy; else empty
  Communication communication = {};  ///< of this rank, with the others

  /// A line: how it ended, and what was minimised; then a line for each warning, and the evidence, if there is any.
  std::string text() const {
    std::string all =
        scorematch::detail::text(to_string(status), " after ", iterations, " iterations: loss ", loss, '\n');
    for (const std::string& warning : warnings) all += "  " + warning + '\n';
    if (!evidence.empty()) all += "  " + evidence + '\n';
    return all;
  }
};

/// The result of a fit by likelihood, contrastive divergence or noise contrastive estimation, whatever happened.
template <class M>
struct [[nodiscard]] LikelihoodFit : LikelihoodOutcome {
  M model;  ///< with the fitted θ
};

namespace detail {

/// One sentence for what a class lacks to have its energy itself trained.
template <class M>
constexpr bool check_trainable_energy() {
  if constexpr (detail::check_energy<M>()) {
    if constexpr (!Model<M>)
      static_assert(extend::has_parameters<M> && extend::has_energy_pull_back<M>,
                    "a class whose likelihood is to be climbed must provide  Eigen::VectorXd parameters() const,  "
                    "void set_parameters(const Eigen::VectorXd& theta)  and  "
                    "void pull_back_energy(Eigen::Ref<const Eigen::MatrixXd> X, Eigen::Ref<const Eigen::VectorXd> w, "
                    "Eigen::Ref<Eigen::VectorXd> g) const,  which adds to g the derivative with respect to theta of "
                    "the sum over columns of w · energy(X)");
    else
      static_assert(
          extend::abilities_of<M>().energy_gradient,
          "this model's energy cannot be differentiated with respect to theta: a part of it does not provide  "
          "pull_back_energy(X, w, g)");
    return extend::abilities_of<M>().energy_gradient;
  }
  return false;
}

}  // namespace detail

namespace likelihood {

/// Binds θ, and gives points (d × n) with their weights.
template <class Real>
using WeightsAt = std::function<void(const Vector<Real>& theta, const Matrix<Real>*& points, Vector<Real>& weights)>;

/// The metric F = Σ_n w_n r_n r_nᵀ, r_n = −∂f/∂θ(x_n) or, `centred`, that minus its weighted mean; its unit is one
/// sample's worth of information. weights(θ) binds θ and gives the points (d × n) with their weights, of which some
/// 2000 are drawn where there are more; `extra` adds a parameter whose derivative is 1.
template <class Real>
fitting::MetricAt information(EnergyFunction<Real>& energy, WeightsAt<Real> weights, bool centred, bool extra = false) {
  return [&energy, weights, centred, extra](const Vector<Real>& theta, fitting::Metric& metric) {
    const Matrix<Real>* points = nullptr;
    Vector<Real> w;
    weights(theta, points, w);
    const Index p = theta.size(), own = extra ? p - 1 : p, n = w.size();
    double total = 0;
    for (Index i = 0; i < n; ++i) total += w[i];
    const Index most = p > fitting::most_dense ? 256 : std::clamp<Index>(8 * p, 256, 2048);
    // At equal distances along the sum of the weights: each draw counts the same.
    const Index draws = std::min(n, most);
    Matrix<Real> rows(p, draws), point(points->rows(), 1);
    Vector<Real> row, mean = Vector<Real>::Zero(p);
    Index at = 0;
    double sum = w[0];
    for (Index k = 0; k < draws; ++k) {
      double weight = 1 / static_cast<double>(draws);
      if (n > most) {
        const double to = total * (static_cast<double>(k) + 0.5) / static_cast<double>(draws);
        while (sum < to && at + 1 < n) sum += w[++at];
      } else {
        at = k;
        weight = w[k] / total;
      }
      point = points->col(at);
      energy.weighted_gradient(
          point, [](Index, const auto&, auto& one) { one.setOnes(); }, row);
      const double root = std::sqrt(weight);
      for (Index i = 0; i < p; ++i) {
        const double slope = i < own ? -row[i] : 1;
        mean[i] += weight * slope;
        rows(i, k) = root * slope;
      }
      if (centred && k + 1 == draws)
        for (Index c = 0; c < draws; ++c) {
          const double by = n > most ? root : std::sqrt(w[c] / total);
          for (Index i = 0; i < p; ++i) rows(i, c) -= by * mean[i];
        }
    }
    fitting::MetricSum sums(p, metric.gram, metric.diagonal);
    for (Index k = 0; k < draws; ++k) sums.add(rows.col(k));
    sums.finish(1);
    const double scale = centred ? 1 : total;
    for (Index i = 0; i < p; ++i) metric.diagonal[i] *= scale;
    for (Index i = 0; i < metric.gram.size(); ++i) metric.gram.data()[i] *= scale;
    metric.relative_gram = metric.gram;
    metric.relative_diagonal = metric.diagonal;
    metric.square = metric.relative_square = 1;
  };
}

/// What a fit by likelihood knows of a model, whatever its type, beside its energy.
struct ModelAtStart {
  Eigen::VectorXd theta = {};
  fitting::ScoreField score = {};
};

template <class M>
ModelAtStart at_start(const M& model) {
  return {model.parameters(), fitting::score_field(model)};
}

/// The model's θ or, where its `loss` is lower, that carried over to the data (fit/start.hpp). `units` are the data's.
template <class Real>
Vector<Real> start_for(const ModelAtStart& model, const Matrix<Real>& data, const fitting::DataScale& units,
                       const FitOptions& options, const std::function<double(const Vector<Real>& theta)>& loss) {
  const Vector<Real>& own = model.theta;
  if (!options.carry_start) return own;
  Vector<Real> carried = own;
  if (!fitting::carry_start<Real>(model.score, units, data, carried)) return own;
  const double there = loss(carried);
  return there < std::numeric_limits<double>::infinity() && !(loss(own) <= there) ? carried : own;
}

/// What a fit by likelihood says of the data. Their mean log-likelihood cannot be more than this: the density of
/// independent normals 10⁻¹⁵ as wide as the data.
inline double likelihood_floor(const fitting::DataScale& units) {
  double entropy = 0;
  for (Index j = 0; j < units.deviation.size(); ++j) entropy += std::log(units.deviation[j]) + 1.42 - 36;
  return entropy;
}

/// Minimises loss(θ, gradient) from θ, with fit's options.
inline void by_lbfgs(const fitting::Function& loss, const fitting::MetricAt& metric, double floor,
                     Eigen::VectorXd& theta, const FitOptions& options, LikelihoodOutcome& result) {
  fitting::HeldOut nothing;
  fitting::Search search = fitting::search_for<double>(options, floor);
  search.noise = 1e-9;  // that of the integral
  if (options.tolerance == 0) search.tolerance = 1e-7, search.resolution = 1e-4;
  fitting::FitRun run = fitting::by_lbfgs(loss, metric, nothing, options, search, theta);
  result.loss = run.loss;
  fitting::report(std::move(run), result);
}

/// Throws where an option is set that the method, which is L-BFGS, does not look at.
inline void require_used(const FitOptions& options, const char* method) {
  extend::require(options.method != FitMethod::adam, {method, " has a loss without noise; its method is lbfgs"});
  fitting::require_used(options, true, method);
  fitting::require_no_held_out(options, method);
}

/// Data of which each rank gives some columns, and the fit on them.
struct FitOnRanks {
  const Eigen::MatrixXd& own;
  Index dimension;                           ///< the model's
  const Eigen::VectorXd& start;              ///< the model's θ
  std::function<void(Index samples)> check;  ///< throws what is wrong with the method and the options, the data apart
  std::function<std::vector<ranks::Common>()> facts = {};  ///< of the method, in which ranks must agree
};

/// Calls work(data, options) with the columns of all ranks, where all of them agree that there is nothing wrong. These
/// methods look at the whole data: every rank gets them, and ranks share out the work.
template <class Work>
void on_ranks(const FitOnRanks& fit, const FitOptions& options, LikelihoodOutcome& result, Work work) {
  const Communicator& communicator = options.communicator;
  if (communicator.alone()) {
    fit.check(fit.own.cols());
    extend::require_samples<double>(fit.own, fit.dimension, "data");
    return work(fit.own, options);
  }
  const Communication before = communicator.communication();
  ranks::on_ranks(communicator, [&] {
    const ranks::Shards shards(communicator, fit.own.cols());
    const MatrixView<double> own = fit.own;
    ranks::agree(communicator, [&] {
      fit.check(shards.total(own.cols()));
      ranks::require_samples<double>(own, shards, fit.dimension, "data");
    });
    std::vector<ranks::Common> facts = fitting::common_facts<double>(options, fit.start, own.rows());
    for (ranks::Common& fact : fit.facts()) facts.push_back(std::move(fact));
    ranks::require_same(communicator, facts);
    FitOptions shared = options;
    shared.progress = ranks::shared_progress(communicator, options.progress);
    work(ranks::RankedData<double>{own, shards}.all(), shared);
  });
  result.communication = communicator.communication().since(before);
}

}  // namespace likelihood

}  // namespace scorematch
