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
  DESTINATION ${package_dir})
