// The least that a user's program can take of the library: what it says tells how it was compiled.
#include <cstdio>

#ifdef SCOREMATCH_PRECOMPILED
#include <scorematch/precompiled_check.hpp>
const char* const engine = "linked";
#else
#include <scorematch/types.hpp>
const char* const engine = "none";
#endif
#ifdef _OPENMP
const char* const openmp = "on";
#else
const char* const openmp = "off";
#endif

int main() { std::printf("engine %s, OpenMP %s\n", engine, openmp); }
