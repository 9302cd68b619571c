// The target scorematch::precompiled, its part with log Z, likelihoods, densities and checks of an energy, in double:
// see include/scorematch/precompiled.hpp.
#define SCOREMATCH_EXTERN_LIKELIHOOD
#define SCOREMATCH_PRECOMPILED_ENGINE
#include "scorematch/precompiled.hpp"
