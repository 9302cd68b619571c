# Installs the headers and a relocatable package: find_package(scorematch 0.1) gives scorematch::scorematch.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/scorematch)  # share/, not lib/: nothing in it depends on the machine

install(TARGETS scorematch EXPORT scorematchTargets FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT scorematchTargets NAMESPACE scorematch:: DESTINATION ${package_dir})

configure_package_config_file(cmake/scorematchConfig.cmake.in ${PROJECT_BINARY_DIR}/scorematchConfig.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/scorematchConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
  ${PROJECT_BINARY_DIR}/scorematchConfig.cmake
  ${PROJECT_BINARY_DIR}/scorematchConfigVersion.cmake
  DESTINATION ${package_dir})
