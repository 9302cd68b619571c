# The target scorematch::precompiled: what most programs use of the library, compiled once and linked, instead of
# compiled in every file. Included by this project and, installed, by find_package(scorematch), so that the engine is
# built in the user's build, with the user's compiler and flags, when something links it. Expects scorematch_sources,
# the folder of precompiled_*.cpp.

# OpenMP says how many threads there are by default (thread_count.hpp): the engine links it, and so does what links the
# engine. A program and its engine need not agree.
if(NOT DEFINED SCOREMATCH_OPENMP)
  set(SCOREMATCH_OPENMP AUTO CACHE STRING
    "scorematch::precompiled and what links it use OpenMP: ON, OFF, or AUTO = if it is found")
  set_property(CACHE SCOREMATCH_OPENMP PROPERTY STRINGS AUTO ON OFF)
endif()
if(SCOREMATCH_OPENMP STREQUAL "AUTO")
  find_package(OpenMP QUIET COMPONENTS CXX)
elseif(SCOREMATCH_OPENMP)
  find_package(OpenMP REQUIRED COMPONENTS CXX)
endif()

add_library(scorematch_precompiled STATIC EXCLUDE_FROM_ALL
  ${scorematch_sources}/precompiled_double.cpp
  ${scorematch_sources}/precompiled_float.cpp
  ${scorematch_sources}/precompiled_likelihood.cpp
  ${scorematch_sources}/precompiled_check.cpp)
add_library(scorematch::precompiled ALIAS scorematch_precompiled)
target_link_libraries(scorematch_precompiled PUBLIC scorematch::scorematch)
if(SCOREMATCH_OPENMP AND TARGET OpenMP::OpenMP_CXX)
  target_link_libraries(scorematch_precompiled PUBLIC OpenMP::OpenMP_CXX)
endif()
target_compile_definitions(scorematch_precompiled INTERFACE SCOREMATCH_PRECOMPILED)
set_target_properties(scorematch_precompiled PROPERTIES UNITY_BUILD OFF)  # each part is a file of its own
