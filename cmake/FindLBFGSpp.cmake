# Finds LBFGSpp's headers (Debian and Ubuntu: liblbfgspp-dev) and defines the target LBFGSpp::LBFGSpp.
# Elsewhere: -DLBFGSpp_INCLUDE_DIR=… (the folder that holds LBFGS.h), or a prefix in CMAKE_PREFIX_PATH.
# It is installed beside scorematch's package file, which finds the headers again on the user's machine.

find_path(LBFGSpp_INCLUDE_DIR LBFGS.h DOC "The folder that holds LBFGSpp's LBFGS.h")
mark_as_advanced(LBFGSpp_INCLUDE_DIR)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LBFGSpp REQUIRED_VARS LBFGSpp_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "LBFGS.h is in no searched folder: install LBFGSpp (Debian, Ubuntu: apt-get install \
liblbfgspp-dev) or set LBFGSpp_INCLUDE_DIR to the folder that holds it")

if(LBFGSpp_FOUND AND NOT TARGET LBFGSpp::LBFGSpp)
  add_library(LBFGSpp::LBFGSpp INTERFACE IMPORTED)
  set_target_properties(LBFGSpp::LBFGSpp PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${LBFGSpp_INCLUDE_DIR}")
endif()
