// The target scorematch::precompiled, its part with the same in float.
#define SCOREMATCH_PART_FLOAT
#include "scorematch/precompiled_source.hpp"
