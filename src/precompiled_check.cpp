// The target scorematch::precompiled, its part that tells which flags it has.
#define SCOREMATCH_PART_CHECK
#include "scorematch/precompiled_source.hpp"
