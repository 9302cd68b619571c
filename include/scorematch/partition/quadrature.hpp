// log Z by adaptive quadrature, in up to three dimensions.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/density/partition_result.hpp"
#include "scorematch/model/energy_function.hpp"
#include "scorematch/partition/survey.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/ranks/agreement.hpp"

namespace scorematch {

/// Adaptive quadrature over all of ℝᵈ, d ≤ 3. The minima of the energy are found first; x = m + A u with the mass's
/// mean m and root covariance A, u = 3 t/(1 − t²) an axis; boxes of t are halved where the product Gauss–Kronrod rule
/// with 7 and 15 nodes (Piessens et al., QUADPACK, 1983) disagrees most with itself. For smooth energies the error is
/// near rounding; where f has kinks or walls it costs many
/// evaluations from two dimensions on. A mode or a ridge much narrower than what is seen around it can be missed, and
/// the error is then wrong: name points on it in `near`.
struct quadrature {
  double tolerance = 1e-10;             ///< the relative error of Z asked for, in (0, 1)
  Index most_evaluations = 20'000'000;  ///< of the energy, the search for minima apart; ≥ 10 000
  Eigen::MatrixXd near = {};       ///< points (d × n, data say) near which mass is to be looked for, beside the origin
  ProgressCallback progress = {};  ///< progress_line(), or your own
  /// Ranks that share the energies of many boxes. All give the same options, and all get the same result, that of one
  /// process, bit for bit. Default: one process.
  Communicator communicator = {};

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require(tolerance > 0 && tolerance < 1,
                    {"quadrature: tolerance is ", tolerance, "; it must lie between 0 and 1, both excluded"});
    extend::require_at_least(most_evaluations, 10'000, "quadrature: most_evaluations");
  }
};

/// The model's law as a quadrature rule: E_q[φ] ≈ Σ_k probabilities_k φ(points_k).
struct QuadratureNodes {
  Eigen::MatrixXd points;         ///< d × K
  Eigen::VectorXd probabilities;  ///< K, their sum 1
};

namespace likelihood {

/// The 15-point Kronrod rule on (−1, 1) and the 7-point Gauss rule within it (its odd nodes).
struct KronrodRule {
  static constexpr int size = 15;
  std::array<double, size> node, kronrod, gauss;

  constexpr KronrodRule() : node(), kronrod(), gauss() {
    constexpr double x[8] = {0.991455371120812639206854697526329, 0.949107912342758524526189684047851,
                             0.864864423359769072789712788640926, 0.741531185599394439863864773280788,
                             0.586087235467691130294144691693193, 0.405845151377397166906606412076961,
                             0.207784955007898467600689403773245, 0.0};
    constexpr double k[8] = {0.022935322010529224963732008058970, 0.063092092629978553290700663189204,
                             0.104790010322250183839876322541518, 0.140653259715525918745189590510238,
                             0.169004726639267902826583426598550, 0.190350578064785409913256402421014,
                             0.204432940075298892414161999234649, 0.209482141084727828012999174891714};
    constexpr double g[4] = {0.129484966168869693270611432679082, 0.279705391489276667901467771423780,
                             0.381830050505118944950369775488975, 0.417959183673469387755102040816327};
    for (int i = 0; i < 8; ++i) {
      node[static_cast<std::size_t>(i)] = -x[i];
      node[static_cast<std::size_t>(14 - i)] = x[i];
      kronrod[static_cast<std::size_t>(i)] = kronrod[static_cast<std::size_t>(14 - i)] = k[i];
      const double weight = i % 2 == 1 ? g[i / 2] : 0.0;
      gauss[static_cast<std::size_t>(i)] = gauss[static_cast<std::size_t>(14 - i)] = weight;
    }
  }
};

template <class Function, class T = double>
class Quadrature {
  using Places = std::vector<std::size_t>;  // of boxes in boxes_
  static constexpr double scale = 3;
  static constexpr KronrodRule rule{};

  // A node of the tree of boxes: a leaf, or halved across `split` into boxes_[child] and boxes_[child + 1].
  struct Box {
    std::array<double, 3> low{-1, -1, -1}, high{1, 1, 1};
    double integral = 0, error = 0;
    int split = 0;                 // the axis along which the rules disagree most
    bool at_rounding = false;      // the rules disagree by no more than x and f are rounded
    int rounded = 0, stalled = 0;  // how often in a row they did, and halving was of no use
    std::size_t child = 0;

    bool leaf() const { return child == 0; }
    double size(int axis) const { return high[static_cast<std::size_t>(axis)] - low[static_cast<std::size_t>(axis)]; }
  };

 public:
  Quadrature(Function& energy, const quadrature& options) : energy_(energy), options_(options), d_(energy.dimension()) {
    nodes_ = 1;
    for (Index j = 0; j < d_; ++j) nodes_ *= KronrodRule::size;
    shares_.setOnes(nodes_);
    for (Index n = 0; n < nodes_; ++n)
      for (Index j = 0, rest = n; j < d_; ++j, rest /= KronrodRule::size)
        shares_[n] *= 0.5 * rule.kronrod[static_cast<std::size_t>(rest % KronrodRule::size)];
    for (std::size_t i = 0; i < KronrodRule::size; ++i) ratio_[i] = rule.gauss[i] / rule.kronrod[i];
  }

  LogPartition run(QuadratureNodes* nodes) {
    LogPartition result;
    Matrix<T> places = places_to_look<Function>(d_, options_.near);
    for (int attempt = 0; attempt < 4; ++attempt) {
      result = integrate(places);
      if (!lower_found_) break;  // mass was met that the search for minima had missed: once more, from there
      places.conservativeResize(d_, places.cols() + 1);
      places.col(places.cols() - 1) = lowest_;
    }
    result.evaluations = energy_.evaluations();
    if (nodes != nullptr) write(*nodes);
    return result;
  }

 private:
  // Over all leaves.
  struct Totals {
    double integral = 0, error = 0;
    double stays = 0;  // the error of boxes that halving does not help any more
    bool stopped = false;
  };

  LogPartition integrate(const Matrix<T>& places) {
    LogPartition result;
    boxes_.clear();
    lower_found_ = non_finite_ = false;
    Survey<Function> found;
    if (!survey(energy_, places, Vector<T>(frame_of<Function>(d_, options_.near).unit), 32, found, result))
      return result;
    root_ = found.root;
    // Off the centre of symmetry by a little: a formula may be 0 · ∞ on it, far out where there is no mass.
    middle_ = found.mean + 0.0137 * (root_ * Vector<T>::Ones(d_));
    shift_ = found.least;
    rounding_ = rounding(found.modes);
    if (!(rounding_ < 0.1)) {
      result.evidence = detail::text("the mass is as narrow as the numbers there are apart: ", of_rounding(),
                                     "; shift x to where the mass is, and f to where it is small");
      return result;
    }
    boxes_ = {Box{}};
    split_at_modes(found.modes);
    apply_rule(leaves());
    return verdict(refine());
  }

  // Halves boxes until the error is as asked for, or nothing helps any more.
  Totals refine() {
    const detail::Stopwatch watch;
    const Index start = energy_.evaluations();
    Totals totals;
    for (;;) {
      totals = add_up();
      const double wanted = wanted_error(totals);
      if (non_finite_ || lower_found_ || (totals.stays > wanted && totals.error - totals.stays < 0.1 * totals.stays))
        break;
      const Places chosen = boxes_to_halve(totals);
      if (chosen.empty()) break;
      const Index spent = energy_.evaluations() - start;
      totals.stopped = !report(std::min(spent, options_.most_evaluations - 1), totals, watch);
      if (totals.stopped) break;
      if (spent + 2 * static_cast<Index>(chosen.size()) * nodes_ > options_.most_evaluations) {
        if (is_accurate(totals)) totals.error = 2 * wanted;  // what the boxes not looked into hold is not known
        break;
      }
      halve_all(chosen);
    }
    (void)report(options_.most_evaluations, totals, watch);
    return totals;
  }

  Totals add_up() const {
    Totals totals;
    for (const Box& box : boxes_)
      if (box.leaf()) {
        totals.integral += box.integral;
        totals.error += box.error;
        if (!can_be_halved(box, box.split)) totals.stays += box.error;
      }
    return totals;
  }

  double wanted_error(const Totals& totals) const { return options_.tolerance * totals.integral; }
  bool is_accurate(const Totals& totals) const { return totals.integral > 0 && totals.error <= wanted_error(totals); }

  // False to stop.
  bool report(Index evaluations, const Totals& totals, const detail::Stopwatch& watch) const {
    return !options_.progress || options_.progress({"quadrature", evaluations, options_.most_evaluations,
                                                    totals.error / totals.integral, "relative error", watch.seconds()});
  }

  Places boxes_to_halve(const Totals& totals) {
    const double wanted = wanted_error(totals);
    Places chosen = unbalanced(std::max(1e-3 * wanted, 0.01 * totals.error));
    if (is_accurate(totals)) return chosen;
    const Places inaccurate = worst(totals.error - totals.stays, wanted);
    chosen.insert(chosen.end(), inaccurate.begin(), inaccurate.end());
    std::sort(chosen.begin(), chosen.end());
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    return chosen;
  }

  void halve_all(const Places& chosen) {
    Places halves;
    for (const std::size_t box : chosen) {
      halves.push_back(boxes_.size());
      halves.push_back(boxes_.size() + 1);
      halve(box, boxes_[box].split);
    }
    apply_rule(halves);
    for (const std::size_t box : chosen) note_stall(boxes_[box]);
  }

  LogPartition verdict(const Totals& totals) const {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const double volume = root_.diagonal().array().log().sum() + static_cast<double>(d_) * std::log(scale);
    LogPartition result;
    result.value = std::log(totals.integral) - shift_ + volume;
    result.error = totals.error / totals.integral;
    result.lower = result.value + std::log(std::max(0.0, 1 - result.error));
    result.upper = result.value + std::log1p(result.error);
    result.status = PartitionStatus::converged;
    if (non_finite_) {
      result.status = PartitionStatus::non_finite;
      result.evidence = "the energy is " + offence_;
    } else if (!(totals.integral > 0) || !std::isfinite(result.value)) {
      result.value = std::numeric_limits<double>::quiet_NaN();
      result.lower = -infinity;
      result.upper = infinity;
      result.status = PartitionStatus::not_converged;
      result.evidence = detail::text("no mass was met around the lowest place found, where the energy is ", shift_);
      result.error = infinity;
    } else if (!(totals.error <= wanted_error(totals))) {
      result.status = totals.stopped ? PartitionStatus::stopped : PartitionStatus::not_converged;
      result.evidence = where_the_error_is(totals.error);
    }
    return result;
  }

  // Halves boxes until each minimum, and the places two widths from it, lie in boxes of at most eight widths.
  void split_at_modes(const std::vector<Mode>& modes) {
    for (const Mode& mode : modes) {
      if (mode.energy - shift_ > 60) continue;
      const Vector<T> u = root_.template triangularView<Eigen::Lower>().solve(mode.point - middle_);
      const Matrix<T> spread = root_.template triangularView<Eigen::Lower>().solve(
          Matrix<T>(Eigen::LLT<Matrix<T>>(mode.covariance).matrixL()));
      const Vector<T> width = spread.rowwise().norm();
      for (Index probe = 0; probe <= 2 * d_; ++probe) {
        Vector<T> at = u;
        if (probe > 0) at[(probe - 1) / 2] += (probe % 2 == 0 ? 2 : -2) * width[(probe - 1) / 2];
        split_at(at, width);
      }
    }
  }

  void split_at(const Vector<T>& u, const Vector<T>& width) {
    for (int depth = 0; depth < 200; ++depth) {
      const std::size_t box = box_of(u);
      int widest = -1;
      double most = 8;
      for (Index j = 0; j < d_; ++j) {
        const std::size_t a = static_cast<std::size_t>(j);
        const double size = (unfold(boxes_[box].high[a]) - unfold(boxes_[box].low[a])) / width[j];
        if (size > most) {
          most = size;
          widest = static_cast<int>(j);
        }
      }
      if (widest < 0) return;
      halve(box, widest);
    }
  }

  static double unfold(double t) { return scale * t / ((1 - t) * (1 + t)); }

  // The leaf that holds a point of u; coordinates on a face belong to the upper box.
  std::size_t box_of(const Vector<T>& u) const {
    std::size_t at = 0;
    while (!boxes_[at].leaf()) {
      const Box& box = boxes_[at];
      const bool upper = u[box.split] >= unfold(boxes_[box.child].high[static_cast<std::size_t>(box.split)]);
      at = box.child + (upper ? 1 : 0);
    }
    return at;
  }

  Places leaves() const {
    Places all;
    for (std::size_t i = 0; i < boxes_.size(); ++i)
      if (boxes_[i].leaf()) all.push_back(i);
    return all;
  }

  void halve(std::size_t at, int axis) {
    const std::size_t a = static_cast<std::size_t>(axis);
    Box lower = boxes_[at], upper = boxes_[at];
    lower.high[a] = upper.low[a] = 0.5 * (lower.low[a] + lower.high[a]);
    boxes_[at].split = axis;
    boxes_[at].child = boxes_.size();
    boxes_.push_back(lower);
    boxes_.push_back(upper);
  }

  bool can_be_halved(const Box& box, int axis) const { return box.size(axis) > 1e-14 && !at_an_end(box); }

  // At the rounding of x and f finer boxes help as far as its errors cancel: a little, where they are cheap.
  bool at_an_end(const Box& box) const { return box.rounded >= (d_ == 1 ? 6 : 3) || box.stalled >= 8; }

  // Also QUADPACK's sign of rounding that nobody announced: the halves' error is that of the whole, and their integrals
  // are.
  void note_stall(const Box& box) {
    Box &lower = boxes_[box.child], &upper = boxes_[box.child + 1];
    const double error = lower.error + upper.error;
    const bool stalls = error > 0.75 * box.error && error < 1e-6 * box.integral &&
                        std::abs(lower.integral + upper.integral - box.integral) < 1e-6 * box.integral;
    lower.stalled = upper.stalled = stalls ? box.stalled + 1 : 0;
    for (Box* half : {&lower, &upper}) half->rounded = half->at_rounding ? box.rounded + 1 : 0;
  }

  // The relative error of the density at a node by the rounding of x, ½ ε of it over the width there, and of f, as much
  // as its noise shows, ½ ε |f| at least.
  double rounding(const std::vector<Mode>& modes) {
    rounding_of_x_ = 0;
    for (const Mode& mode : modes) {
      if (mode.energy - shift_ > 40) continue;
      const Vector<T> width = widths_across(mode);
      rounding_of_x_ = std::max(rounding_of_x_, 0.5 * std::numeric_limits<double>::epsilon() *
                                                    mode.point.cwiseAbs().cwiseQuotient(width).sum());
    }
    rounding_of_f_ = std::max(0.5 * std::numeric_limits<double>::epsilon() * std::abs(shift_), noise(modes.front()));
    return rounding_of_x_ + rounding_of_f_;
  }

  // The widths of a mode along the axes, the other coordinates held.
  static Vector<T> widths_across(const Mode& mode) {
    const Vector<T> deviation = mode.covariance.diagonal().cwiseSqrt();
    const Matrix<T> inverse = Eigen::LLT<Matrix<T>>(Matrix<T>(deviation.cwiseInverse().asDiagonal() * mode.covariance *
                                                              deviation.cwiseInverse().asDiagonal()))
                                  .solve(Matrix<T>::Identity(mode.point.size(), mode.point.size()));
    return deviation.cwiseQuotient(inverse.diagonal().cwiseMax(1).cwiseSqrt());
  }

  // Sixth differences of f at steps of a thousandth of the width know nothing of a smooth f, only what its values are
  // rounded by: the median of their size about the mode, in units of what independent noise of size 1 gives, √924.
  double noise(const Mode& mode) {
    constexpr int points = 7;
    constexpr double places[] = {-1.7, -1.1, -0.7, 0.7, 1.1, 1.7}, binomial[points] = {1, -6, 15, -20, 15, -6, 1};
    const Vector<T> width = widths_across(mode);
    Matrix<T> X(d_, 6 * d_ * points);
    Index column = 0;
    for (Index j = 0; j < d_; ++j)
      for (const double place : places)
        for (int k = 0; k < points; ++k, ++column) {
          X.col(column) = mode.point;
          X(j, column) += (place + 1e-3 * k) * width[j];
        }
    energy_.values(X, f_);
    std::vector<double> sizes;
    for (Index first = 0; first < X.cols(); first += points) {
      double difference = 0;
      for (int k = 0; k < points; ++k) difference += binomial[k] * f_[first + k];
      sizes.push_back(std::isfinite(difference) ? std::abs(difference) / std::sqrt(924.0) : 0);
    }
    std::nth_element(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2), sizes.end());
    return sizes[sizes.size() / 2];
  }

  std::string of_rounding() const {
    return detail::text("x is rounded by up to ", rounding_of_x_, " of the mass's width, and f by ", rounding_of_f_);
  }

  // The boxes with the largest errors, until what the others have is small.
  Places worst(double error, double wanted) const {
    const std::size_t most_at_once = static_cast<std::size_t>(std::max<Index>(16, 131072 / nodes_));
    Places chosen;
    for (const std::size_t i : leaves())
      if (boxes_[i].error > 0 && can_be_halved(boxes_[i], boxes_[i].split)) chosen.push_back(i);
    std::stable_sort(chosen.begin(), chosen.end(),
                     [&](std::size_t a, std::size_t b) { return boxes_[a].error > boxes_[b].error; });
    double rest = error;
    std::size_t count = 0;
    while (count < chosen.size() && count < most_at_once && rest > std::max(0.25 * wanted, 0.1 * error))
      rest -= boxes_[chosen[count++]].error;
    chosen.resize(std::min(chosen.size(), std::max<std::size_t>(count, 1)));
    return chosen;
  }

  // Boxes more than twice as large as a neighbour that holds mass: a ridge may go on in them that is too narrow for
  // their nodes to see. Sets their `split`.
  Places unbalanced(double mass) {
    Places chosen;
    std::vector<char> known(boxes_.size(), 0);
    std::array<double, 3> t{};
    for (const std::size_t i : leaves()) {
      if (!(boxes_[i].integral > mass)) continue;
      // across every face, edge and corner: a ridge need not follow the axes
      for (int side = 1, sides = d_ == 1 ? 3 : d_ == 2 ? 9 : 27; side < sides; ++side) {
        if (!step_across(boxes_[i], side, t)) continue;
        const std::size_t other = leaf_at(t);
        if (known[other]) continue;
        const int axis = axis_of_imbalance(boxes_[other], boxes_[i]);
        if (axis < 0) continue;
        boxes_[other].split = axis;
        known[other] = 1;
        chosen.push_back(other);
      }
    }
    return chosen;
  }

  // A point beside a box: the digits of `side` to the base 3 say for each axis whether it lies level with the middle,
  // below or above. False outside of all boxes.
  bool step_across(const Box& box, int side, std::array<double, 3>& t) const {
    bool inside = true;
    for (int j = 0, rest = side; j < static_cast<int>(d_); ++j, rest /= 3) {
      const std::size_t a = static_cast<std::size_t>(j);
      const double size = box.size(j);
      t[a] = rest % 3 == 0   ? 0.5 * (box.low[a] + box.high[a])
             : rest % 3 == 1 ? box.low[a] - 0.25 * size
                             : box.high[a] + 0.25 * size;
      inside = inside && t[a] > -1 && t[a] < 1;
    }
    return inside;
  }

  // The first axis along which a box is much larger than its neighbour and can be halved; −1 if there is none.
  int axis_of_imbalance(const Box& box, const Box& neighbour) const {
    for (int j = 0; j < static_cast<int>(d_); ++j)
      if (box.size(j) > 2.5 * neighbour.size(j) && can_be_halved(box, j)) return j;
    return -1;
  }

  std::size_t leaf_at(const std::array<double, 3>& t) const {
    std::size_t at = 0;
    while (!boxes_[at].leaf()) {
      const std::size_t a = static_cast<std::size_t>(boxes_[at].split);
      at = boxes_[at].child + (t[a] >= boxes_[boxes_[at].child].high[a] ? 1 : 0);
    }
    return at;
  }

  // The nodes of some boxes and their weights by the Kronrod rule, the volume's change of x = m + A u(t) included.
  void lay_out(const std::size_t* chosen, std::size_t count) {
    points_.resize(d_, static_cast<Index>(count) * nodes_);
    weights_.resize(points_.cols());
    double u[3][KronrodRule::size], weight[3][KronrodRule::size];
    for (std::size_t b = 0; b < count; ++b) {
      const Box& box = boxes_[chosen[b]];
      for (Index j = 0; j < d_; ++j)
        for (std::size_t i = 0; i < KronrodRule::size; ++i) {
          const std::size_t a = static_cast<std::size_t>(j);
          // 1 + t and 1 − t from the nearer end, exact where t is near ∓1
          const double half = 0.5 * (box.high[a] - box.low[a]), from_low = half * (1 + rule.node[i]),
                       t = box.low[a] + from_low,
                       product = ((1 + box.low[a]) + from_low) * ((1 - box.high[a]) + half * (1 - rule.node[i]));
          u[j][i] = scale * t / product;
          weight[j][i] = rule.kronrod[i] * half * (1 + t * t) / (product * product);
        }
      for (Index n = 0; n < nodes_; ++n) {
        const Index column = static_cast<Index>(b) * nodes_ + n;
        double* x = points_.data() + column * d_;
        for (Index j = 0; j < d_; ++j) x[j] = middle_[j];
        double product = 1;
        for (Index l = 0, rest = n; l < d_; ++l, rest /= KronrodRule::size) {
          const Index i = rest % KronrodRule::size;
          product *= weight[l][i];
          for (Index j = l; j < d_; ++j) x[j] += root_(j, l) * u[l][i];
        }
        weights_[column] = product;
      }
    }
  }

  void apply_rule(const Places& chosen) {
    const std::size_t at_once = static_cast<std::size_t>(std::max<Index>(1, 262144 / nodes_));
    for (std::size_t first = 0; first < chosen.size(); first += at_once) {
      const std::size_t count = std::min(at_once, chosen.size() - first);
      lay_out(chosen.data() + first, count);
      energy_.values(points_, f_);
      for (std::size_t b = 0; b < count; ++b) measure(boxes_[chosen[first + b]], static_cast<Index>(b) * nodes_);
    }
  }

  void measure(Box& box, Index first) {
    double* mass = weights_.data() + first;
    double sum = 0;
    for (Index n = 0; n < nodes_; ++n) {
      const double f = f_[first + n];
      if (!(f >= shift_ - 20)) look_at(f, points_.col(first + n));
      mass[n] *= std::exp(shift_ - f);
      sum += mass[n];
    }
    box.integral = sum;
    double error = 0, most = -1;
    for (Index j = 0; j < d_; ++j) {
      const double difference = std::abs(sum - with_gauss_along(j, mass));
      error += difference;
      if (difference > most) {
        most = difference;
        box.split = static_cast<int>(j);
      }
    }
    box.at_rounding = most <= 4 * rounding_ * sum && rounding_ > 0;
    // QUADPACK's scaling: the Kronrod rule is far better than its difference to Gauss's.
    double deviation = 0;
    for (Index n = 0; n < nodes_; ++n) deviation += std::abs(mass[n] - shares_[n] * sum);
    if (deviation > 0 && error > 0) error = deviation * std::min(1.0, std::pow(200 * error / deviation, 1.5));
    box.error = std::max({error, 50 * std::numeric_limits<double>::epsilon() * sum, rounding_ * sum});
  }

  // A box's integral by Gauss's rule along one axis, and Kronrod's along the others.
  double with_gauss_along(Index axis, const double* mass) const {
    Index stride = 1;
    for (Index j = 0; j < axis; ++j) stride *= KronrodRule::size;
    double sum = 0;
    for (Index n = 0; n < nodes_; ++n) sum += ratio_[n / stride % KronrodRule::size] * mass[n];
    return sum;
  }

  // An energy that is NaN, −∞ or far below all known minima.
  void look_at(double f, const Vector<T>& x) {
    if (std::isnan(f) || f == -std::numeric_limits<double>::infinity()) {
      if (!non_finite_) {
        offence_ = detail::text(f, " at the point (");
        for (Index j = 0; j < d_; ++j) offence_ += (j > 0 ? ", " : "") + detail::text(x[j]);
        offence_ += ')';
      }
      non_finite_ = true;
    } else if (!lower_found_ || f < lowest_energy_) {
      lower_found_ = true;
      lowest_ = x;
      lowest_energy_ = f;
    }
  }

  std::string where_the_error_is(double error) const {
    Box worst;
    std::string place;
    double outer = 0, rounded = 0;
    for (const Box& box : boxes_) {
      if (!box.leaf()) continue;
      if (box.error > worst.error) worst = box;
      if (at_an_end(box)) rounded += box.error;
      if (reaches_infinity(box)) outer += box.error;
    }
    if (rounded > 0.5 * error)
      return detail::text("most of the error is that of rounding, which finer boxes do not lessen: ", of_rounding());
    if (outer > 0.5 * error)
      return detail::text("most of the estimated error lies in the tails: they fall slowly, and may not be integrable");
    Vector<T> u(d_);
    for (Index j = 0; j < d_; ++j)
      u[j] = unfold(0.5 * (worst.low[static_cast<std::size_t>(j)] + worst.high[static_cast<std::size_t>(j)]));
    const Vector<T> x = middle_ + root_ * u;
    for (Index j = 0; j < d_; ++j) place += (j > 0 ? ", " : "") + detail::text(x[j]);
    return detail::text("the largest error is near the point (", place,
                        "): a kink, a wall, or a narrow ridge across the axes?");
  }

  bool reaches_infinity(const Box& box) const {
    bool reaches = false;
    for (std::size_t j = 0; j < static_cast<std::size_t>(d_); ++j)
      reaches = reaches || box.low[j] == -1 || box.high[j] == 1;
    return reaches;
  }

  void write(QuadratureNodes& nodes) {
    const Places all = leaves();
    double total = 0;
    for (const std::size_t i : all) total += boxes_[i].integral;
    const std::size_t at_once = static_cast<std::size_t>(std::max<Index>(1, 262144 / nodes_));
    std::vector<double> points, probabilities;
    for (std::size_t first = 0; first < all.size(); first += at_once) {
      const std::size_t count = std::min(at_once, all.size() - first);
      lay_out(all.data() + first, count);
      energy_.values(points_, f_);
      for (Index k = 0; k < points_.cols(); ++k) {
        const double probability = weights_[k] * std::exp(shift_ - f_[k]) / total;
        if (!(probability > 1e-20)) continue;
        probabilities.push_back(probability);
        for (Index j = 0; j < d_; ++j) points.push_back(points_(j, k));
      }
    }
    const Index kept = static_cast<Index>(probabilities.size());
    nodes.points = Eigen::Map<const Matrix<T>>(points.data(), d_, kept);
    nodes.probabilities = Eigen::Map<const Vector<T>>(probabilities.data(), kept);
    nodes.probabilities /= nodes.probabilities.sum();
  }

  Function& energy_;
  const quadrature& options_;
  Index d_, nodes_;
  Vector<T> middle_;
  Matrix<T> root_;
  double shift_ = 0;
  double rounding_ = 0, rounding_of_x_ = 0, rounding_of_f_ = 0;  // relative, of the density at a node
  std::vector<Box> boxes_;
  Matrix<T> points_;
  Vector<T> weights_, f_;
  Vector<T> shares_;                 // of each node in the integral of a constant
  double ratio_[KronrodRule::size];  // of Gauss's weights to Kronrod's
  bool lower_found_ = false, non_finite_ = false;
  Vector<T> lowest_;
  double lowest_energy_ = 0;
  std::string offence_;
};

}  // namespace likelihood

/// log Z by adaptive quadrature.
///
///   const auto log_z = sm::log_partition(fit.model, sm::quadrature{.near = data});
///
/// `nodes`, if given, becomes a rule for expectations under the model. Throws std::invalid_argument for more than three
/// dimensions and options out of range; everything numerical is a status.
template <class M>
LogPartition log_partition(const M& model, const quadrature& method, QuadratureNodes* nodes = nullptr) {
  LogPartition result;
  if constexpr (detail::check_energy<M>()) {
    const Communicator& communicator = method.communicator;
    ranks::on_ranks(communicator, [&] {
      ranks::agree(communicator, [&] {
        method.validate();
        const Index d = static_cast<Index>(model.dimension());
        extend::require(d <= 3, {"quadrature works in up to three dimensions; this model has ", d,
                                 " (annealed_importance_sampling works in any)"});
        extend::require(method.near.size() == 0 || method.near.rows() == d,
                        {"quadrature: near is ", method.near.rows(), " × ", method.near.cols(), "; it must have ", d,
                         " rows, one column per point"});
        if (method.near.size() > 0) extend::require_samples<double>(method.near, d, "quadrature: near");
      });
      ranks::require_same(communicator, {{"quadrature: tolerance", detail::text(method.tolerance)},
                                         {"quadrature: most_evaluations", detail::text(method.most_evaluations)},
                                         {"quadrature: near", ranks::digest_of_matrix(method.near)}});
      ranks::require_same_theta(communicator, model);
      auto energy = likelihood::energy_function<double>(model);
      energy.share(communicator);
      quadrature shared = method;
      shared.progress = ranks::shared_progress(communicator, method.progress);
      result = likelihood::Quadrature<decltype(energy)>(energy, shared).run(nodes);
    });
  }
  return result;
}

}  // namespace scorematch
