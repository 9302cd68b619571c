// The target scorematch::precompiled: see include/scorematch/precompiled.hpp.
#define SCOREMATCH_EXTERN
#include <cstddef>

namespace scorematch {

template <std::size_t register_bytes>
void precompiled_for_registers_of() {}

}  // namespace scorematch

#include "scorematch/precompiled.hpp"
