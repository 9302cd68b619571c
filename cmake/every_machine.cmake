# scorematch_library_for_every_machine(NAME SOURCE…): the part of a program that uses scorematch, as a shared library
# compiled three times: for any x86-64, for x86-64-v3 (AVX2) and for x86-64-v4 (AVX-512). The system's loader takes the
# best one that the machine can run, when the program starts: it looks beside NAME's file into glibc-hwcaps/LEVEL/ first
# (glibc 2.33 and newer). So one program, or one package of it, runs everywhere and is fast everywhere.
#
#   scorematch_library_for_every_machine(model model.cpp)
#   target_link_libraries(program PRIVATE model)
#
# What else includes scorematch or Eigen belongs into the library, too: the program sees a header of the user's own.
# Options, definitions and libraries that NAME is given (target_compile_options(model PRIVATE …)) hold for all three.
# `cmake --install` puts them where the loader looks. On other systems NAME is compiled once, with the build's flags.
include_guard(GLOBAL)

function(scorematch_library_for_every_machine name)
  if(ARGC LESS 2)
    message(FATAL_ERROR "scorematch_library_for_every_machine(${name} …) wants the library's source files")
  endif()
  include(GNUInstallDirs)
  add_library(${name} SHARED ${ARGN})
  target_link_libraries(${name} PRIVATE scorematch::scorematch)
  install(TARGETS ${name} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

  include(CheckCXXSourceCompiles)
  check_cxx_source_compiles("#include <features.h>
    #if !defined(__x86_64__) || !defined(__GLIBC__) || (__GLIBC__ == 2 && __GLIBC_MINOR__ < 33)
    #error
    #endif
    int main() {}" SCOREMATCH_LOADER_CHOOSES)
  if(NOT SCOREMATCH_LOADER_CHOOSES)
    message(STATUS "${name} is compiled once: the loader of this system takes no library by the processor")
    return()
  endif()

  target_compile_options(${name} PRIVATE -march=x86-64)  # the target's come after those of the project
  foreach(level x86-64-v3 x86-64-v4)
    set(variant ${name}-${level})
    add_library(${variant} SHARED ${ARGN})
    target_compile_options(${variant} PRIVATE $<TARGET_PROPERTY:${name},COMPILE_OPTIONS> -march=${level})
    target_compile_definitions(${variant} PRIVATE $<TARGET_PROPERTY:${name},COMPILE_DEFINITIONS>)
    target_include_directories(${variant} PRIVATE $<TARGET_PROPERTY:${name},INCLUDE_DIRECTORIES>)
    target_link_libraries(${variant} PRIVATE $<TARGET_PROPERTY:${name},LINK_LIBRARIES>)
    set_target_properties(${variant} PROPERTIES
      OUTPUT_NAME ${name}
      LIBRARY_OUTPUT_DIRECTORY $<TARGET_FILE_DIR:${name}>/glibc-hwcaps/${level})
    add_dependencies(${name} ${variant})
    install(TARGETS ${variant} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/glibc-hwcaps/${level})
  endforeach()
endfunction()
