// A loss and a transition kernel of one's own, for data on the half-line x > 0.
#include <scorematch/scorematch.hpp>

#include <array>
#include <cmath>
#include <cstdio>
#include <random>

namespace sm = scorematch;

// Hyvärinen 2007, "Some extensions of score matching", section 3: the weight x² replaces the condition that p s
// vanishes at the edge, J = E[½ x² s² + 2 x s + x² s′].
struct half_line_score_matching {
  template <class T>
  struct Notes {};  // nothing to hand from prepare to score

  void validate() const {}                     // no options
  bool deterministic() const { return true; }  // no noise: fits take Gauss–Newton and L-BFGS
  std::array<const char*, 3> term_names() const { return {"half squared score", "slope of the weight", "curvature"}; }

  // Where the score is needed (B × 1), and along which directions its derivative.
  template <class T>
  void prepare(const sm::extend::Samples<T>& samples, sm::extend::Points<T>& points, Notes<T>&) const {
    points.X = samples.X;
    points.along = sm::extend::Along::axes;
  }

  // Each sample's loss, and the loss's derivatives with respect to s and to s′.
  template <class T>
  void score(const sm::extend::Samples<T>& samples, const sm::extend::Points<T>&, const Notes<T>&,
             const sm::extend::ScoreValues<T>& values, sm::extend::Losses<T>& losses) const {
    const auto x = samples.X.col(0).array(), s = values.S.col(0).array(), slope = values.curvature.array();
    losses.terms.col(0) = T(0.5) * (x * s).square();
    losses.terms.col(1) = T(2) * x * s;
    losses.terms.col(2) = x.square() * slope;
    losses.value = losses.terms.rowwise().sum();
    losses.bar.S = (x.square() * s + T(2) * x).matrix();
    losses.bar.curvature = x.square().matrix();
  }
};

// Random-walk Metropolis: y = x + w z is accepted with probability min(1, exp(f(x) − f(y))).
struct random_walk {
  double width = 1;
  static constexpr bool adjusted = true;  // leaves the law as it is, and needs the energy for that

  void validate() const { sm::extend::require_positive(width, "random_walk: width"); }

  // Rows are chains: X is B × d, f has B numbers.
  template <class T>
  void start(sm::extend::Target<T>& target, sm::extend::Chains<T>& chains) const {
    target.energy_and_score(chains.X, chains.f, chains.S);
  }

  template <class T>
  void advance(sm::extend::Target<T>& target, sm::extend::Chains<T>& chains,
               const sm::extend::ChainNoise& noise) const {
    chains.Z.resize(chains.X.rows(), chains.X.cols());
    chains.u.resize(chains.X.rows());
    noise.normals(chains.Z);
    noise.uniforms(chains.u);
    chains.proposal = chains.X + static_cast<T>(width) * chains.Z;
    target.energy_and_score(chains.proposal, chains.proposal_f, chains.proposal_S);
    for (Eigen::Index i = 0; i < chains.X.rows(); ++i) {
      const bool finite = std::isfinite(chains.proposal_f[i]);
      if (!finite) chains.non_finite[i] += 1;
      if (!finite || !(std::log(chains.u[i]) < chains.f[i] - chains.proposal_f[i])) continue;
      chains.X.row(i) = chains.proposal.row(i);
      chains.S.row(i) = chains.proposal_S.row(i);
      chains.f[i] = chains.proposal_f[i];
      chains.accepted[i] += 1;
    }
  }
};

int main() {
  std::mt19937 random(1);
  std::gamma_distribution<double> law(1.5, 1 / 2.0);  // shape 1.5, rate 2
  Eigen::MatrixXd X(1, 5000);
  for (double& x : X.reshaped()) x = law(random);

  const auto model = sm::energy_model(1, [](auto x, auto theta) {
    auto shape = exp(theta("log_shape")), rate = exp(theta("log_rate"));
    return rate * x[0] - (shape - 1.0) * log(x[0]);
  });
  std::printf("%s\n", sm::check_objective(half_line_score_matching{}, model, X.leftCols(8)).text().c_str());

  const auto show = [](const char* name, const auto& fit) {
    const Eigen::ArrayXd theta = fit.model.parameters().array().exp();  // by name: log_rate, log_shape
    std::printf("%-12s %-10s shape %.2f, rate %.2f\n", name, to_string(fit.status), theta[1], theta[0]);
  };
  const auto fit = sm::fit(model, half_line_score_matching{}, X, {.carry_start = false});
  show("half-line", fit);
  show("implicit", sm::fit(model, sm::implicit_score_matching{}, X, {.carry_start = false}));

  const auto draws = sm::sample(fit.model, random_walk{.width = 1}, {.chains = 5000, .steps = 300, .seed = 1});
  std::printf("random walk  %-10s mean %.3f of the samples, %.3f of the data; acceptance %.2f\n",
              to_string(draws.status), draws.points.mean(), X.mean(), draws.acceptance.mean());
}
