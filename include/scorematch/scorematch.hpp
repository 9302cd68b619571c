// scorematch: score matching in C++20. Everything.
#pragma once

#include "scorematch/concepts.hpp"
#include "scorematch/diagnostics/check_derivatives.hpp"
#include "scorematch/energy/algebra.hpp"
#include "scorematch/energy/energy_model.hpp"
#include "scorematch/fit/closed_form.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/formula/mlp.hpp"
#include "scorematch/io/csv.hpp"
#include "scorematch/io/npy.hpp"
#include "scorematch/io/parameters.hpp"
#include "scorematch/likelihood/divergence.hpp"
#include "scorematch/likelihood/gaussian.hpp"
#include "scorematch/likelihood/log_likelihood.hpp"
#include "scorematch/likelihood/log_partition.hpp"
#include "scorematch/likelihood/reverse_kl.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/progress.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"
#include "scorematch/score/at_sigma.hpp"
#include "scorematch/score/score_model.hpp"
#include "scorematch/score/values.hpp"
#include "scorematch/version.hpp"

#ifdef SCOREMATCH_PRECOMPILED
#include "scorematch/precompiled.hpp"
#endif
