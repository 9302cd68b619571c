// Are the derivatives of a class right? Each is compared with central differences of the one before it.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/diagnostics/difference_ladder.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/random/stream.hpp"

namespace scorematch {

/// What check_derivatives found.
struct [[nodiscard]] DerivativeReport {
  /// Right, wrong, no clean slope, skipped.
  using Verdict = diagnostics::Verdict;

  /// A quantity and its worst element; for pull_back `row` is the index in θ and `column` is −1.
  using Entry = diagnostics::Entry;

  bool passed = false;              ///< something was compared, and all that was is right
  std::vector<Entry> entries = {};  ///< one for each quantity

  /// The entry of a quantity; null if there is none.
  const Entry* find(const std::string& quantity) const { return diagnostics::find(entries, quantity); }

  /// A table, a line an entry, its note below.
  std::string text() const { return diagnostics::table("derivatives", passed, entries); }
};

namespace diagnostics {

template <class Plain, class>
struct Dependent {
  using type = Plain;
};

/// A model seen through what it provides, at the points X.
template <class M>
class DerivativeCheck {
  // Eigen's types as if they depended on M: programs that do not check derivatives do not compile them.
  template <class Plain>
  using Later = typename detail::Dependent<Plain, M>::type;
  using MatrixXd = Later<Eigen::MatrixXd>;
  using VectorXd = Later<Eigen::VectorXd>;
  using RowVectorXd = Later<Eigen::RowVectorXd>;
  using ArrayXXd = Later<Eigen::ArrayXXd>;

  using Entry = DerivativeReport::Entry;
  static constexpr bool is_user = !Model<M>, is_energy = is_user && extend::has_gradient<M>;

 public:
  DerivativeCheck(const M& model, const MatrixXd& X)
      : model_(model), X_(X), F_(field(model, X)), unit_(unit_of(X)), d_(X.rows()), B_(X.cols()) {
    Stream stream({.seed = 1});
    for (MatrixXd* directions : {&U_, &V_, &W_}) {
      const VectorXd normals = stream.normals(d_ * B_);
      *directions = normals.reshaped(d_, B_);
    }
    U_.array() *= unit_;
    V_.array() *= unit_;
  }

  DerivativeReport run() {
    check_field();
    if constexpr (is_energy) check_symmetry();
    if (count(Verdict::wrong) == 0) {
      check_trace();
      if constexpr (is_energy && extend::has_hessian_vector<M>) check_hessian_vector();
      check_pull_back();
    } else {
      skip("the rest", "it is compared with the field above: mend that first");
    }
    report_.passed = all_right(report_.entries);
    return report_;
  }

 private:
  auto count(Verdict verdict) const {
    const auto is = [&](const Entry& entry) { return entry.verdict == verdict; };
    return std::count_if(report_.entries.begin(), report_.entries.end(), is);
  }

  static MatrixXd nan(Index rows, Index cols) {
    return MatrixXd::Constant(rows, cols, std::numeric_limits<double>::quiet_NaN());
  }

  // Powers of two, so that steps are exact.
  static ArrayXXd unit_of(const MatrixXd& X) {
    return X.array().abs().max(1).unaryExpr([](double x) { return std::exp2(std::ceil(std::log2(x))); });
  }

  // ∇f of a class that has it, else s. What a method leaves unwritten stays NaN.
  static MatrixXd field(const M& model, const MatrixXd& X) {
    MatrixXd F = nan(X.rows(), X.cols());
    if constexpr (!is_user)
      F = score_of(model, X);
    else if constexpr (is_energy)
      model.gradient(X, F);
    else
      model.score(X, F);
    return F;
  }

  // f, or log p = −f where the field is a score: what the field is the gradient of.
  RowVectorXd potential(const MatrixXd& X) const {
    VectorXd f = nan(X.cols(), 1);
    if constexpr (is_user)
      model_.energy(X, f);
    else
      f = energy_of(model_, X);
    return (is_energy ? 1 : -1) * f.transpose();
  }

  // X with coordinate i moved by h units.
  MatrixXd moved(Index i, double h) const {
    MatrixXd X = X_;
    X.row(i).array() += h * unit_.row(i);
    return X;
  }

  template <class Add>
  static Ladder ladder(Index rows, Index cols, Add add) {
    Ladder all(rungs, Rung(rows, cols));
    for (int k = 0; k < rungs; ++k) add(step_of(k), all[static_cast<std::size_t>(k)]);
    return all;
  }

  void skip(const std::string& quantity, const std::string& why) { report_.entries.push_back({{}, quantity, why}); }

  // Compares what the class wrote with the differences that add(h, rung) makes.
  template <class Add>
  Entry& check(const std::string& quantity, const MatrixXd& written, const std::string& sign, Add add) {
    const Ladder all = ladder(written.rows(), written.cols(), add);
    const BestDifference best(all);
    Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic> wrong;
    Entry entry{compare(written, all, best, wrong), quantity, ""};
    if (entry.verdict == Verdict::wrong)
      entry.note = hint(written, best.value, entry, wrong, quantity == "pull_back" ? "theta" : "row", sign);
    if (entry.verdict == Verdict::no_clean_slope)
      entry.note = "the differences do not settle: a kink, a jump or something not finite near this point";
    report_.entries.push_back(entry);
    return report_.entries.back();
  }

  void check_field() {
    const std::string name = is_energy ? "gradient" : "score", of_score = ": s = ∇ log p = −∇f";
    if constexpr (detail::KnowsEnergy<M>)
      check(name, F_, is_energy ? ": it is of the energy f, where log p = −f − log Z" : of_score,
            [&](double h, Rung& rung) {
              const RowVectorXd centre = potential(X_);
              for (Index i = 0; i < d_; ++i)
                rung.add(i, potential(moved(i, h)), potential(moved(i, -h)), centre, h * unit_.row(i));
            });
    else
      skip(name, "there is no energy to compare it with");
    if constexpr (is_energy && extend::has_score<M>) {
      MatrixXd S = nan(d_, B_);
      model_.score(X_, S);
      check("score", S, of_score, [&](double, Rung& rung) {
        rung.difference = -F_;
        rung.rounding = 1e-12 * F_.array().abs();
      });
    }
  }

  // A gradient's derivative is symmetric: u·(∂G/∂x)v = v·(∂G/∂x)u. This needs no energy.
  void check_symmetry() {
    if (d_ == 1) return;
    const auto product = [&](const MatrixXd& U, const MatrixXd& V) {
      return [&](double h, Rung& rung) {
        const auto along = [&](const MatrixXd& F) { return RowVectorXd(U.cwiseProduct(F).colwise().sum()); };
        rung.add(0, along(field(model_, X_ + h * V)), along(field(model_, X_ - h * V)), along(F_), h);
      };
    };
    const BestDifference one_side(ladder(1, B_, product(U_, V_)));
    Entry& entry = check("symmetry", one_side.value, "", product(V_, U_));
    if (entry.verdict == Verdict::wrong)
      entry.note = "∂G_i/∂x_j is not ∂G_j/∂x_i: a cross term missing in one row, a matrix transposed?";
  }

  void check_trace() {
    const std::string name = is_energy ? "laplacian" : "trace";
    VectorXd trace = nan(B_, 1);
    if constexpr (!is_user)
      trace = trace_of(model_, X_);
    else if constexpr (is_energy && extend::has_laplacian<M>)
      model_.laplacian(X_, trace);
    else if constexpr (!is_energy && extend::has_trace<M>)
      model_.trace(X_, trace);
    else
      return skip(name, "not provided: central differences stand in for it");
    const std::string sign = is_energy ? ": it is of the energy f, not of log p" : ": it is of s, not of ∇f";
    Entry& entry = check(name, trace.transpose(), sign, [&](double h, Rung& rung) {
      for (Index i = 0; i < d_; ++i) {
        const MatrixXd plus = field(model_, moved(i, h)), minus = field(model_, moved(i, -h));
        rung.add(0, plus.row(i), minus.row(i), F_.row(i), h * unit_.row(i));
      }
    });
    const MatrixXd ones = MatrixXd::Ones(d_, B_);
    if (entry.verdict == Verdict::wrong && agree(trace.transpose(), jacobian_times(ones).colwise().sum()))
      entry.note = "this is the sum of all second derivatives, mixed ones included; wanted are ∂²f/∂x_i² alone";
  }

  void check_hessian_vector() {
    MatrixXd HV = nan(d_, B_), diagonal(d_, B_);
    model_.hessian_vector(X_, V_, HV);
    Entry& entry = check("hessian_vector", HV, ": it is of the energy f, not of log p", [&](double h, Rung& rung) {
      const MatrixXd plus = field(model_, X_ + h * V_), minus = field(model_, X_ - h * V_);
      for (Index i = 0; i < d_; ++i) rung.add(i, plus.row(i), minus.row(i), F_.row(i), h);
    });
    if (entry.verdict != Verdict::wrong) return;
    for (Index i = 0; i < d_; ++i) diagonal.row(i) = jacobian_times(VectorXd::Unit(d_, i).replicate(1, B_)).row(i);
    if (agree(HV, diagonal.cwiseProduct(V_)))
      entry.note = "this is the Hessian's diagonal times V: the mixed derivatives are missing";
    else if (agree(HV, V_ * diagonal.colwise().sum().asDiagonal()))
      entry.note = "this is the Laplacian times V, not the Hessian times V";
  }

  // One central difference, good enough for a hint.
  MatrixXd jacobian_times(const MatrixXd& V) const {
    const double h = step_of(7);
    return (field(model_, X_ + h * V) - field(model_, X_ - h * V)) / (2 * h);
  }

  static bool agree(const MatrixXd& a, const MatrixXd& b) { return (a - b).norm() <= 1e-5 * b.norm(); }

  void check_pull_back() {
    if constexpr (!extend::has_parameters<M>) {
      skip("pull_back", "there are no parameters");
    } else if constexpr (is_user && !extend::has_pull_back<M>) {
      skip("pull_back", "not provided: the class cannot be fitted");
    } else {
      const VectorXd theta = model_.parameters();
      if (theta.size() == 0) return skip("pull_back", "there are no parameters");
      VectorXd g = VectorXd::Zero(theta.size()), twice;
      if constexpr (is_user) {
        model_.pull_back(X_, W_, g);
        model_.pull_back(X_, W_, twice = g);
      } else {  // with the target t = s − W, ½‖s − t‖² has the gradient W · ∂s/∂θ
        const explicit_score_matching objective{MatrixXd(F_ - W_)};
        g = static_cast<double>(B_) * loss_and_gradient(model_, objective, X_).gradient;
        twice = 2 * g;
      }
      M other = model_;
      Entry& entry = check("pull_back", g, "", [&](double h, Rung& rung) {
        const auto product = [&](Index i, double step) {
          other.set_parameters(theta + step * VectorXd::Unit(theta.size(), i));
          return RowVectorXd::Constant(1, W_.cwiseProduct(field(other, X_)).sum());
        };
        const RowVectorXd centre = product(0, 0);
        const ArrayXXd step = h * unit_of(theta);
        for (Index i = 0; i < theta.size(); ++i)
          rung.add(i, product(i, step(i)), product(i, -step(i)), centre, step(i));
      });
      entry.column = -1;
      other.set_parameters(theta);
      const bool adds = agree(twice, 2 * g), reads = VectorXd(other.parameters()) == theta;
      if (entry.verdict == Verdict::wrong || (adds && reads)) return;
      entry.verdict = Verdict::wrong;
      entry.note =
          adds ? "parameters() does not return what set_parameters(theta) was given" : "it must add to g, with +=";
    }
  }

  const M& model_;
  const MatrixXd& X_;
  MatrixXd F_;     // the field at X
  ArrayXXd unit_;  // of each coordinate's step
  Index d_, B_;
  MatrixXd U_, V_, W_;  // pseudo-random directions and weights
  DerivativeReport report_;
};

}  // namespace diagnostics

/// Compares what a class provides with central differences, at each column of X (d × B): gradient or score with the
/// energy; laplacian, trace and hessian_vector with the gradient or score; pull_back with the change of W ·
/// gradient or W · score with θ, W pseudo-random. A model of the library may be given too: a formula has kinks, a class
/// mistakes.
///
///   const auto report = sm::check_derivatives(MyEnergy{}, sm::Stream({.seed = 1}).normals(3));
///   std::puts(report.text().c_str());
///
/// By slope: a right derivative's error falls like h² (slope 2) along a ladder of steps until rounding takes over, a
/// wrong one's stays (slope 0). Right is: within what the differences resolve (about 1e-10) or 1e-7. Take a few points
/// without symmetry: at x = 0 much is right by chance. Cost: 28 calls a coordinate and a parameter.
/// Throws std::invalid_argument for an empty X, a wrong row count, a non-finite entry (with its column).
template <class M, class Derived>
DerivativeReport check_derivatives(const M& model, const Eigen::MatrixBase<Derived>& X) {
  DerivativeReport report;
  if constexpr (detail::check_model<M>()) {
    const Eigen::MatrixXd points = X.template cast<double>();
    extend::require_samples<double>(points, static_cast<Index>(model.dimension()), "X");
    report = diagnostics::DerivativeCheck<M>(model, points).run();
  }
  return report;
}

}  // namespace scorematch
