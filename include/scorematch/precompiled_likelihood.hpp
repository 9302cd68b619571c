// The part of scorematch::precompiled that asks an energy itself, in double: log Z, maximum likelihood, generators.
#pragma once

#include "scorematch/implicit/generator.hpp"
#include "scorematch/likelihood/maximum_likelihood.hpp"
#include "scorematch/likelihood/noise_contrastive_estimation.hpp"
#include "scorematch/partition/annealed_importance_sampling.hpp"
#include "scorematch/partition/importance_sampling.hpp"
#include "scorematch/partition/quadrature.hpp"
#include "scorematch/precompiled.hpp"
#include "scorematch/precompiled_inference.hpp"

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
SCOREMATCH_EXTERN_LIKELIHOOD template void likelihood::maximise<double>(const maximum_likelihood&,
                                                                        likelihood::EnergyFunction<double>&,
                                                                        const likelihood::ModelAtStart&,
                                                                        const Eigen::MatrixXd&, const FitOptions&,
                                                                        Eigen::VectorXd&, LikelihoodOutcome&);
SCOREMATCH_EXTERN_LIKELIHOOD template class likelihood::ExactFit<double>;
SCOREMATCH_EXTERN_LIKELIHOOD template void likelihood::minimise_contrast<double>(
    const noise_contrastive_estimation&, likelihood::EnergyFunction<double>&, const likelihood::ModelAtStart&,
    const Eigen::MatrixXd&, const FitOptions&, Eigen::VectorXd&, LikelihoodOutcome&);
SCOREMATCH_EXTERN_LIKELIHOOD template void detail::generate<double>(const Generator&, MatrixView<double>, bool,
                                                                    Generated<double>&);

}  // namespace scorematch
