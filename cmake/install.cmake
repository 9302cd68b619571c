# Installs the headers and a relocatable package: find_package(scorematch 0.1) gives scorematch::scorematch and,
# from installed sources, scorematch::precompiled.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/scorematch)  # share/, not lib/: nothing in it depends on the machine
set(sources_dir ${CMAKE_INSTALL_DATADIR}/scorematch/src)

install(TARGETS scorematch EXPORT scorematchTargets FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT scorematchTargets NAMESPACE scorematch:: DESTINATION ${package_dir})

install(DIRECTORY src/ DESTINATION ${sources_dir} FILES_MATCHING PATTERN "*.cpp")

configure_package_config_file(cmake/scorematchConfig.cmake.in ${PROJECT_BINARY_DIR}/scorematchConfig.cmake
  INSTALL_DESTINATION ${package_dir} PATH_VARS sources_dir)
configure_file(cmake/scorematchConfigVersion.cmake.in ${PROJECT_BINARY_DIR}/scorematchConfigVersion.cmake @ONLY)
install(FILES
  ${PROJECT_BINARY_DIR}/scorematchConfig.cmake
  ${PROJECT_BINARY_DIR}/scorematchConfigVersion.cmake
  cmake/precompiled.cmake
  cmake/every_machine.cmake
  cmake/mpi.cmake
  DESTINATION ${package_dir})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# For those who build without CMake: pkg-config --cflags scorematch. It moves with the folder that it is in, unless the
# folders were given as absolute ones.
set(pkgconfig_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)
if(IS_ABSOLUTE ${CMAKE_INSTALL_DATADIR} OR IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
  set(includedir_for_pc ${CMAKE_INSTALL_FULL_INCLUDEDIR})
  set(sources_for_pc ${CMAKE_INSTALL_FULL_DATADIR}/scorematch/src)
else()
  string(REGEX REPLACE "[^/]+" ".." up ${pkgconfig_dir})
  set(includedir_for_pc "\${pcfiledir}/${up}/${CMAKE_INSTALL_INCLUDEDIR}")
  set(sources_for_pc "\${pcfiledir}/${up}/${sources_dir}")
endif()
get_target_property(engine_for_pc scorematch_precompiled SOURCES)
list(TRANSFORM engine_for_pc REPLACE "^.*/" "\${sources}/")
list(JOIN engine_for_pc " " engine_for_pc)
if(SCOREMATCH_USE_BLAS)
  list(JOIN BLAS_LIBRARIES " " blas_libraries)
  set(blas_cflags_for_pc " -DSCOREMATCH_USE_BLAS")
  set(blas_libs_for_pc " ${blas_libraries}")
endif()
configure_file(cmake/scorematch.pc.in ${PROJECT_BINARY_DIR}/scorematch.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/scorematch.pc DESTINATION ${pkgconfig_dir})

# cpack makes scorematch-VERSION-headers.tar.gz of what is installed, which depends on no machine; with
# --config CPackSourceConfig.cmake it makes scorematch-VERSION.tar.gz of the sources.
if(PROJECT_IS_TOP_LEVEL)
  set(CPACK_GENERATOR TGZ)
  set(CPACK_PACKAGE_NAME scorematch)
  set(CPACK_PACKAGE_VENDOR "The scorematch developers")
  set(CPACK_PACKAGE_FILE_NAME scorematch-${PROJECT_VERSION}-headers)
  set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
  set(CPACK_SOURCE_GENERATOR TGZ)
  set(CPACK_SOURCE_PACKAGE_FILE_NAME scorematch-${PROJECT_VERSION})
  set(CPACK_SOURCE_IGNORE_FILES "/build/" "/[.]git/" "/[.]cache/" "/CMakeUserPresets[.]json$" "/compile_commands[.]json$"
    "/__pycache__/" "~$")
  include(CPack)
endif()
