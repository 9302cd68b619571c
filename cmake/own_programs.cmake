# How our own tests, examples and benchmarks are built. Nothing of this reaches a user of scorematch::scorematch.

option(SCOREMATCH_WERROR "Warnings of our own programs are errors" OFF)

set(SCOREMATCH_NATIVE AUTO CACHE STRING
  "Build for the host's instruction set: ON, OFF, or AUTO = examples and benchmarks")
set_property(CACHE SCOREMATCH_NATIVE PROPERTY STRINGS AUTO ON OFF)
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag(-march=native SCOREMATCH_HAS_MARCH_NATIVE)

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()
set(CMAKE_CXX_EXTENSIONS OFF)

# Set for this folder and those below, so that the headers, compiled alone, are judged by them too.
# A switch without a case for each enumerator (an operation of a record, say) is an error in every build.
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror=switch)
set(CMAKE_COMPILE_WARNING_AS_ERROR ${SCOREMATCH_WERROR})

# scorematch_own_flags(TARGET KIND): OpenMP (see precompiled.cmake), and the host's instruction set where that is wanted.
function(scorematch_own_flags target kind)
  if(SCOREMATCH_OPENMP AND TARGET OpenMP::OpenMP_CXX)
    target_link_libraries(${target} PRIVATE OpenMP::OpenMP_CXX)
  endif()
  if(SCOREMATCH_NATIVE STREQUAL "AUTO")
    string(COMPARE NOTEQUAL ${kind} test native)
  else()
    set(native ${SCOREMATCH_NATIVE})
  endif()
  if(native AND SCOREMATCH_HAS_MARCH_NATIVE)
    target_compile_options(${target} PRIVATE -march=native)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      # g++'s own AVX-512 headers trip these two wherever Eigen uses them (GCC bug 105593, and reads of small fixed-size
      # vectors on paths that are never taken). Builds for the baseline instruction set keep both.
      target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized -Wno-uninitialized -Wno-array-bounds)
    endif()
  endif()
endfunction()

# scorematch_program(TARGET SOURCE KIND): an executable of one source file; KIND is test, example or benchmark.
function(scorematch_program target source kind)
  add_executable(${target} ${source})
  target_link_libraries(${target} PRIVATE scorematch::scorematch)
  scorematch_own_flags(${target} ${kind})
endfunction()
