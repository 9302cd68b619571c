// A program and the engine that it links must agree on what changes the code of both. What each was compiled with
// stands in the names of functions that the engine defines and every file of the program calls: where they differ, the
// linker misses a name that says what must be the same, and what this file has.
#pragma once

#include <Eigen/Core>
#include <cstddef>

#include "scorematch/simd/lanes.hpp"
#include "scorematch/version.hpp"

namespace scorematch::program_and_precompiled_engine {

void must_be_linked_together_so_link_scorematch_precompiled_or_include_precompiled_source_hpp_once();
template <int major, int minor, int patch>
void must_be_of_the_same_version_and_this_file_is_of();
template <std::size_t registers, std::size_t alignment>
void must_have_the_same_march_flag_and_this_file_has_registers_and_alignment_of_bytes();
template <int world, int major, int minor>
void must_have_the_same_Eigen_and_this_file_has_version();
#ifdef SCOREMATCH_USE_BLAS
void must_both_have_the_macro_SCOREMATCH_USE_BLAS_or_neither_and_this_file_has_it();
#else
void must_both_have_the_macro_SCOREMATCH_USE_BLAS_or_neither_and_this_file_lacks_it();
#endif

static bool agree() {  // a copy in each file: the linker would keep one of an inline function's
  must_be_linked_together_so_link_scorematch_precompiled_or_include_precompiled_source_hpp_once();
  must_be_of_the_same_version_and_this_file_is_of<SCOREMATCH_VERSION_MAJOR, SCOREMATCH_VERSION_MINOR,
                                                  SCOREMATCH_VERSION_PATCH>();
  must_have_the_same_march_flag_and_this_file_has_registers_and_alignment_of_bytes<simd::register_bytes,
                                                                                   EIGEN_MAX_ALIGN_BYTES>();
  must_have_the_same_Eigen_and_this_file_has_version<EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION>();
#ifdef SCOREMATCH_USE_BLAS
  must_both_have_the_macro_SCOREMATCH_USE_BLAS_or_neither_and_this_file_has_it();
#else
  must_both_have_the_macro_SCOREMATCH_USE_BLAS_or_neither_and_this_file_lacks_it();
#endif
  return true;
}

// Initialised at the start, so that a linker which drops unused sections keeps it.
[[maybe_unused]] static const bool agreed = agree();

}  // namespace scorematch::program_and_precompiled_engine
