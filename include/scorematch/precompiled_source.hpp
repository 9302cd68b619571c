// The engine compiled once, without CMake: one source file of a program consists of
//
//   #include <scorematch/precompiled_source.hpp>
//
// and all files, this one too, are compiled with -DSCOREMATCH_PRECOMPILED and the same -march. The target
// scorematch::precompiled does the same in several files (src/), each of which asks for a part.
#pragma once

#ifdef SCOREMATCH_ENGINE_DECLARED
#error "scorematch/precompiled_source.hpp must be the first header of its source file: another has declared the engine"
#endif

#if !defined(SCOREMATCH_PART_DOUBLE) && !defined(SCOREMATCH_PART_FLOAT) && !defined(SCOREMATCH_PART_LIKELIHOOD) && \
    !defined(SCOREMATCH_PART_CHECK)
#define SCOREMATCH_PART_DOUBLE
#define SCOREMATCH_PART_FLOAT
#define SCOREMATCH_PART_LIKELIHOOD
#define SCOREMATCH_PART_CHECK
#endif

// The definitions that precompiled*.hpp declares as elsewhere (extern) are here.
#ifdef SCOREMATCH_PART_DOUBLE
#define SCOREMATCH_EXTERN_DOUBLE
#endif
#ifdef SCOREMATCH_PART_FLOAT
#define SCOREMATCH_EXTERN_FLOAT
#endif
#ifdef SCOREMATCH_PART_LIKELIHOOD
#define SCOREMATCH_EXTERN_LIKELIHOOD
#endif
#ifndef SCOREMATCH_PRECOMPILED_ENGINE
#define SCOREMATCH_PRECOMPILED_ENGINE
#endif

#if defined(SCOREMATCH_PART_DOUBLE) || defined(SCOREMATCH_PART_FLOAT)
#include "scorematch/precompiled.hpp"
#endif
#ifdef SCOREMATCH_PART_LIKELIHOOD
#include "scorematch/precompiled_likelihood.hpp"
#endif

#ifdef SCOREMATCH_PART_CHECK
#include "scorematch/precompiled_check.hpp"

namespace scorematch::program_and_precompiled_engine {

void must_be_linked_together_so_link_scorematch_precompiled_or_include_precompiled_source_hpp_once() {}
template <int major, int minor, int patch>
void must_be_of_the_same_version_and_this_file_is_of() {}
template <std::size_t registers, std::size_t alignment>
void must_have_the_same_march_flag_and_this_file_has_registers_and_alignment_of_bytes() {}
template <int world, int major, int minor>
void must_have_the_same_Eigen_and_this_file_has_version() {}
template void must_be_of_the_same_version_and_this_file_is_of<SCOREMATCH_VERSION_MAJOR, SCOREMATCH_VERSION_MINOR,
                                                              SCOREMATCH_VERSION_PATCH>();
template void must_have_the_same_march_flag_and_this_file_has_registers_and_alignment_of_bytes<simd::register_bytes,
                                                                                               EIGEN_MAX_ALIGN_BYTES>();
template void
must_have_the_same_Eigen_and_this_file_has_version<EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION>();
#ifdef SCOREMATCH_USE_BLAS
void must_both_have_the_macro_SCOREMATCH_USE_BLAS_or_neither_and_this_file_has_it() {}
#else
void must_both_have_the_macro_SCOREMATCH_USE_BLAS_or_neither_and_this_file_lacks_it() {}
#endif

}  // namespace scorematch::program_and_precompiled_engine
#endif
