# Compiles `source` and judges the outcome; where `variant` is "headers", writes and precompiles the header that all share
# instead, and where it is "corrected", compiles what users should have written in all `source`s. See CMakeLists.txt
# beside this file.

# A folder the compiler searches by itself must not be named again: -I/usr/include would reorder the standard library's.
list(REMOVE_ITEM includes ${implicit_includes})
list(TRANSFORM includes PREPEND -I)

# What scorematch::precompiled holds is not instantiated again for each program: half the time, the same sentences.
set(engine -DSCOREMATCH_PRECOMPILED -DSCOREMATCH_PRECOMPILED_ENGINE)

set(ENV{LC_ALL} C)
if(variant STREQUAL "headers")
  file(CONFIGURE OUTPUT ${shared_header} CONTENT "#include <scorematch/scorematch.hpp>\n")
  execute_process(COMMAND ${compiler} --version OUTPUT_VARIABLE version)
  set(instantiate)
  if(version MATCHES "clang")  # else it would instantiate for each program what the headers themselves use: 2 s, not 0.2
    set(instantiate -fpch-instantiate-templates)
  endif()
  execute_process(
    COMMAND ${compiler} -std=c++20 ${engine} ${instantiate} ${includes} -x c++-header ${shared_header} -o ${shared_header}.gch
    COMMAND_ERROR_IS_FATAL ANY)
  return()
endif()

set(options)
if(variant STREQUAL "corrected")
  # One program, each source in a namespace of its own, and before them what they include.
  list(TRANSFORM source REPLACE "^.*/([^/]+)[.]cpp$" "namespace \\1 {\n#include \"\\0\"\n}" OUTPUT_VARIABLE namespaces)
  set(headers)
  foreach(file IN LISTS source)
    file(STRINGS ${file} lines REGEX "^#include" ENCODING UTF-8)
    list(APPEND headers ${lines})
  endforeach()
  list(REMOVE_DUPLICATES headers)
  list(JOIN headers "\n" headers)
  list(JOIN namespaces "\n" namespaces)
  cmake_path(REPLACE_FILENAME shared_header corrected.cpp OUTPUT_VARIABLE source)
  file(CONFIGURE OUTPUT ${source} CONTENT "${headers}\n${namespaces}\n" @ONLY)
  set(options -DCORRECT -w)  # an error is found among fewer lines
endif()

execute_process(
  COMMAND ${compiler} -std=c++20 -fsyntax-only ${engine} ${options} ${includes} -include ${shared_header} ${source}
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)

string(REPLACE "\n" "\n  " shown "\n${output}")  # CMake keeps the line breaks of indented text

if(variant STREQUAL "corrected")
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "With -DCORRECT these must compile, but:${shown}")
  endif()
  return()
endif()

file(STRINGS ${source} first_line LIMIT_COUNT 1 ENCODING UTF-8)
if(NOT first_line MATCHES "^// expect: (.+)$")
  message(FATAL_ERROR "The first line of ${source} must be \"// expect: REGEX\"; it is \"${first_line}\"")
endif()
set(expected "${CMAKE_MATCH_1}")

if(result EQUAL 0)
  message(FATAL_ERROR "This must not compile, but it does")
endif()
if(NOT output MATCHES "${expected}")
  message(FATAL_ERROR "The output does not match \"${expected}\":${shown}")
endif()
cmake_path(GET source FILENAME filename)
string(FIND "${output}" "${filename}:" position)
if(position EQUAL -1)
  message(FATAL_ERROR "The output does not name the user's file ${filename}:${shown}")
endif()
string(REGEX REPLACE "error:[^\n]*" "error:" shortened "${output}")
string(REGEX MATCHALL "error:" errors "${shortened}")
list(LENGTH errors count)
if(NOT count EQUAL 1)
  message(FATAL_ERROR "${count} lines hold \"error:\"; it must be one:${shown}")
endif()
