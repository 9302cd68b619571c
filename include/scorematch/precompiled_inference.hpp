// The part of scorematch::precompiled for what is known of a fit, in double: closed forms and standard errors.
#pragma once

#include "scorematch/fit/symmetric_system.hpp"
#include "scorematch/inference/closed_form.hpp"
#include "scorematch/inference/standard_errors.hpp"
#include "scorematch/precompiled_check.hpp"

#define SCOREMATCH_ENGINE_DECLARED  // precompiled_source.hpp comes before

#ifndef SCOREMATCH_EXTERN_LIKELIHOOD
#define SCOREMATCH_EXTERN_LIKELIHOOD extern
#endif

namespace scorematch {

SCOREMATCH_EXTERN_LIKELIHOOD template fitting::ScaledSpectrum fitting::scaled_spectrum<void>(const Eigen::MatrixXd&);
SCOREMATCH_EXTERN_LIKELIHOOD template Eigen::MatrixXd fitting::sparse_basis<void>(Eigen::MatrixXd);
SCOREMATCH_EXTERN_LIKELIHOOD template class fitting::FeatureGram<double>;
SCOREMATCH_EXTERN_LIKELIHOOD template Eigen::VectorXd fitting::solve<double>(fitting::LinearProblem<double>&,
                                                                             const Eigen::VectorXd&, double,
                                                                             ClosedFormOutcome&);
SCOREMATCH_EXTERN_LIKELIHOOD template class fitting::ScoreFit<double>;
SCOREMATCH_EXTERN_LIKELIHOOD template void fitting::sandwich<double>(fitting::MeanOfLosses&, const Eigen::VectorXd&,
                                                                     const std::vector<std::string>&, Index,
                                                                     const StandardErrorOptions&, StandardErrors&);

}  // namespace scorematch
