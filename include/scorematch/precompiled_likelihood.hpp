// The part of scorematch::precompiled that asks an energy itself, in double: log Z, maximum likelihood, generators, and
// the linear algebra of closed forms and standard errors.
#pragma once

#include "scorematch/fit/symmetric_system.hpp"
#include "scorematch/implicit/generator.hpp"
#include "scorematch/likelihood/maximum_likelihood.hpp"
#include "scorematch/partition/annealed_importance_sampling.hpp"
#include "scorematch/partition/importance_sampling.hpp"
#include "scorematch/partition/quadrature.hpp"
#include "scorematch/precompiled.hpp"

#ifndef SCOREMATCH_EXTERN_LIKELIHOOD
#define SCOREMATCH_EXTERN_LIKELIHOOD extern
#endif

namespace scorematch {

#ifdef SCOREMATCH_PRECOMPILED_ENGINE
SCOREMATCH_EXTERN_LIKELIHOOD template class likelihood::EnergyFunction<double>;
#endif
SCOREMATCH_EXTERN_LIKELIHOOD template LogPartition log_partition<EnergyModel>(const EnergyModel&, const quadrature&,
                                                                              QuadratureNodes*);
SCOREMATCH_EXTERN_LIKELIHOOD template LogPartition log_partition<EnergyModel>(const EnergyModel&,
                                                                              const importance_sampling&);
SCOREMATCH_EXTERN_LIKELIHOOD template void likelihood::anneal<double>(const extend::BoundModel<double>&,
                                                                      likelihood::EnergyFunction<double>&,
                                                                      const sampling::BoundKernel<double>&,
                                                                      const likelihood::AnnealingOptions&,
                                                                      const Eigen::VectorXd&, const Eigen::MatrixXd&,
                                                                      const Eigen::MatrixXd&, LogPartition&);
SCOREMATCH_EXTERN_LIKELIHOOD template void likelihood::maximise<EnergyModel>(const maximum_likelihood&,
                                                                             const Eigen::MatrixXd&, const FitOptions&,
                                                                             LikelihoodFit<EnergyModel>&);
SCOREMATCH_EXTERN_LIKELIHOOD template fitting::ScaledSpectrum fitting::scaled_spectrum<void>(const Eigen::MatrixXd&);
SCOREMATCH_EXTERN_LIKELIHOOD template Eigen::MatrixXd fitting::sparse_basis<void>(Eigen::MatrixXd);
SCOREMATCH_EXTERN_LIKELIHOOD template void detail::generate<double>(const Generator&, MatrixView<double>, bool,
                                                                    Generated<double>&);

}  // namespace scorematch
