// scorematch: score matching in C++20. Everything.
//
/// @namespace scorematch
/// All that a program uses: models, losses, fits, samplers, log Z, divergences and files.
/// @namespace scorematch::extend
/// Names that a loss, a kernel, a sampler or a model of one's own is written against: the roles, the data that pass
/// between them, the random numbers of samples and chains, and require.
/// @namespace scorematch::formula
/// The language of formulas: values, conditions, θ, and the functions of them.
/// @namespace scorematch::log_density
/// Log densities as functions of values, for energies that are posteriors.
/// @namespace scorematch::domain
/// Where a parameter may lie, with the map to there from all numbers and its log Jacobian.
/// @namespace scorematch::diagnostics
/// Reports on what a user wrote and on what was drawn.
#pragma once

#include "scorematch/concepts.hpp"
#include "scorematch/density/gaussian_density.hpp"
#include "scorematch/diagnostics/check_derivatives.hpp"
#include "scorematch/diagnostics/check_objective.hpp"
#include "scorematch/diagnostics/convergence.hpp"
#include "scorematch/diagnostics/expectation.hpp"
#include "scorematch/diagnostics/kernel_stein.hpp"
#include "scorematch/diagnostics/stein.hpp"
#include "scorematch/diagnostics/stein_thinning.hpp"
#include "scorematch/diagnostics/summary.hpp"
#include "scorematch/diagnostics/trace_picture.hpp"
#include "scorematch/divergence/classifier_two_sample_test.hpp"
#include "scorematch/divergence/divergence.hpp"
#include "scorematch/divergence/nearest_samples.hpp"
#include "scorematch/divergence/sliced_wasserstein.hpp"
#include "scorematch/energy/ready.hpp"
#include "scorematch/fit/edges.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/fit/train.hpp"
#include "scorematch/fit/without_effect.hpp"
#include "scorematch/implicit/reverse_kl.hpp"
#include "scorematch/inference/closed_form.hpp"
#include "scorematch/inference/standard_errors.hpp"
#include "scorematch/io/columns.hpp"
#include "scorematch/io/csv.hpp"
#include "scorematch/io/csv_to_npy.hpp"
#include "scorematch/io/mapped_npy.hpp"
#include "scorematch/io/npy.hpp"
#include "scorematch/io/npy_writer.hpp"
#include "scorematch/io/npz.hpp"
#include "scorematch/io/parameters.hpp"
#include "scorematch/io/safetensors.hpp"
#include "scorematch/io/standardise.hpp"
#include "scorematch/likelihood/contrastive_divergence.hpp"
#include "scorematch/likelihood/flow_log_likelihood.hpp"
#include "scorematch/likelihood/log_likelihood.hpp"
#include "scorematch/likelihood/maximum_likelihood.hpp"
#include "scorematch/likelihood/noise_contrastive_estimation.hpp"
#include "scorematch/mode/overdispersed_starts.hpp"
#include "scorematch/model/algebra.hpp"
#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/network/layers.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/network/preconditioning.hpp"
#include "scorematch/network/residual_network.hpp"
#include "scorematch/noise/law.hpp"
#include "scorematch/noise/levels.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/perturbed.hpp"
#include "scorematch/objective/regularised_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/partition/bennett.hpp"
#include "scorematch/partition/importance_draws.hpp"
#include "scorematch/partition/log_partition.hpp"
#include "scorematch/posterior/layout.hpp"
#include "scorematch/posterior/log_density.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/sampler/annealed_langevin.hpp"
#include "scorematch/sampler/barker.hpp"
#include "scorematch/sampler/corrector.hpp"
#include "scorematch/sampler/dpm_solver.hpp"
#include "scorematch/sampler/generate.hpp"
#include "scorematch/sampler/heun.hpp"
#include "scorematch/sampler/hmc.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/metric.hpp"
#include "scorematch/sampler/parallel_tempering.hpp"
#include "scorematch/sampler/probability_flow.hpp"
#include "scorematch/sampler/reverse_sde.hpp"
#include "scorematch/sampler/sample.hpp"
#include "scorematch/sampler/underdamped_langevin.hpp"
#include "scorematch/thread_count.hpp"
#include "scorematch/version.hpp"

#ifdef SCOREMATCH_PRECOMPILED
#include "scorematch/precompiled_likelihood.hpp"
#endif
