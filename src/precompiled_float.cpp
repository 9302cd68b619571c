// The target scorematch::precompiled, its part with the same in float: see include/scorematch/precompiled.hpp.
#define SCOREMATCH_EXTERN_FLOAT
#define SCOREMATCH_PRECOMPILED_ENGINE
#include "scorematch/precompiled.hpp"
