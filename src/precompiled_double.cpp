// The target scorematch::precompiled, its part with the engine, models, losses, fits and samples in double: see
// include/scorematch/precompiled.hpp.
#define SCOREMATCH_EXTERN_DOUBLE
#define SCOREMATCH_PRECOMPILED_ENGINE
#include <cstddef>

namespace scorematch {

template <std::size_t register_bytes>
void precompiled_for_registers_of() {}

}  // namespace scorematch

#include "scorematch/precompiled.hpp"
