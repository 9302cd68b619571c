// Hamiltonian Monte Carlo (Duane, Kennedy, Pendleton & Roweth 1987). A step draws p ~ N(0, I), takes L leapfrog steps
//   p ← p + ½ε s(x),   x ← x + ε p,   p ← p + ½ε s(x),
// and accepts their end with probability min(1, exp(H − H′)), H = f(x) + ½‖p‖² at the beginning, H′ at the end: exact
// for every ε and L. A step costs L energies and scores. With L = 1 it is the step of mala with h = ε²/2.
#pragma once

#include <scorematch/scorematch.hpp>

namespace sm = scorematch;
struct leapfrog {
  double step = 0.1;   // ε > 0
  int leapfrogs = 10;  // L ≥ 1
  static constexpr bool adjusted = true;
  void validate() const {
    sm::extend::require_positive(step, "leapfrog: step");
    sm::extend::require_at_least(leapfrogs, 1, "leapfrog: leapfrogs");
  }
  void start(auto& target, auto& chains) const { target.energy_and_score(chains.X, chains.f, chains.S); }
  template <class T>
  void advance(sm::extend::Target<T>& target, sm::extend::Chains<T>& c, const sm::extend::ChainNoise& noise) const {
    sm::Matrix<T>& p = c.own.template of<sm::Matrix<T>>();
    p.resizeLike(c.X), c.u.resize(c.X.rows());
    noise.normals(p), noise.uniforms(c.u);
    c.Z = p, c.proposal = c.X, c.proposal_S = c.S;
    for (int l = 0; l < leapfrogs; ++l) {
      p += static_cast<T>(step / 2) * c.proposal_S;
      c.proposal += static_cast<T>(step) * p;
      target.energy_and_score(c.proposal, c.proposal_f, c.proposal_S);
      p += static_cast<T>(step / 2) * c.proposal_S;
    }
    const auto H = [](double f, const auto& q) { return f + q.template cast<double>().squaredNorm() / 2; };
    for (Eigen::Index i = 0; i < c.X.rows(); ++i) {
      const double before = H(c.f[i], c.Z.row(i)), after = H(c.proposal_f[i], p.row(i));
      if (!std::isfinite(after)) c.non_finite[i] += 1;  // f is not, or s, which is in p
      if (!std::isfinite(after) || !(std::log(c.u[i]) < before - after)) continue;
      c.X.row(i) = c.proposal.row(i), c.S.row(i) = c.proposal_S.row(i), c.f[i] = c.proposal_f[i];
      c.accepted[i] += 1;
    }
  }
};
