// The target scorematch::precompiled, its part with the engine, models, losses, fits and samples in double.
#define SCOREMATCH_PART_DOUBLE
#include "scorematch/precompiled_source.hpp"
