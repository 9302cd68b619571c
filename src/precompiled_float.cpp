// The target scorematch::precompiled, its part with the same in float: see include/scorematch/precompiled.hpp.
#define SCOREMATCH_EXTERN_FLOAT
#include "scorematch/precompiled.hpp"
