// The target scorematch::precompiled, its part with log Z and likelihoods, in double.
#define SCOREMATCH_PART_LIKELIHOOD
#include "scorematch/precompiled_source.hpp"
