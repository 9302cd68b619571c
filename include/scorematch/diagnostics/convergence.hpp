// Have chains converged, and what are their draws worth? R̂, effective sample sizes, Monte Carlo standard errors,
// E-BFMI, of one quantity along chains: of any draws, also of other programs.
//
//   const sm::Draws<double> draws = …;                        // or a matrix from a file
//   const sm::diagnostics::Diagnostic r = sm::diagnostics::r_hat(x);  // x: kept × chains, one column per chain
//   if (!r.has_value()) std::puts(to_string(r.reason));
//
// Tables of all coordinates: diagnostics/summary.hpp.
#pragma once

#include <algorithm>
#include <limits>

#include "scorematch/diagnostics/chain_draws.hpp"
#include "scorematch/diagnostics/effective_sample_size.hpp"
#include "scorematch/diagnostics/r_hat.hpp"
#include "scorematch/types.hpp"

namespace scorematch::diagnostics {

/// The energy Bayesian fraction of missing information of Hamiltonian chains (Betancourt 2016), the least of all
/// chains:
///
///   E-BFMI = Σ_t (E_t − E_{t−1})² / Σ_t (E_t − Ē)²
///
/// Below 0.3 the momenta's refreshment changes the energy too little for chains to reach all levels of it.
/// energies: kept × chains, the Hamiltonian of each kept state, one column per chain, at least 4 of each; `constant`
/// where those of a chain are.
inline Diagnostic e_bfmi(const ChainView& energies) {
  const Reason reason = reason_of(energies, least_draws);
  if (reason != Reason::none) return {.reason = reason == Reason::constant_chains ? Reason::constant : reason};
  double least = std::numeric_limits<double>::infinity();
  for (Index c = 0; c < energies.cols(); ++c) {
    if (chain_rests(energies, c)) return {.reason = Reason::constant};
    const Eigen::MatrixXd E = CentredDraws(chain_alone(energies, c)).deviations;
    double steps = 0;
    for (Index t = 1; t < E.rows(); ++t) steps += (E(t, 0) - E(t - 1, 0)) * (E(t, 0) - E(t - 1, 0));
    least = std::min(least, steps / sum_of_squares(E));
  }
  return {.value = least};
}

}  // namespace scorematch::diagnostics
