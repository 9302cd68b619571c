// The target scorematch::precompiled, its part with log Z and likelihoods, in double:
// see include/scorematch/precompiled_likelihood.hpp.
#define SCOREMATCH_EXTERN_LIKELIHOOD
#define SCOREMATCH_PRECOMPILED_ENGINE
#include "scorematch/precompiled_likelihood.hpp"
