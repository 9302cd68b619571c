# From this checkout. In a public collection the archive of a release takes its place:
#
#   vcpkg_download_distfile(ARCHIVE URLS "ADDRESS/scorematch-${VERSION}.tar.gz" FILENAME "scorematch-${VERSION}.tar.gz"
#     SHA512 …)
#   vcpkg_extract_source_archive(SOURCE_PATH ARCHIVE "${ARCHIVE}")
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../.." ABSOLUTE)

set(VCPKG_BUILD_TYPE release) # headers, and sources that the user's own build compiles

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DSCOREMATCH_BUILD_TESTS=OFF
    -DSCOREMATCH_BUILD_EXAMPLES=OFF
    -DSCOREMATCH_BUILD_BENCHMARKS=OFF
    -DSCOREMATCH_INSTALL=ON
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/scorematch)
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/lib" "${CURRENT_PACKAGES_DIR}/share/doc")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
