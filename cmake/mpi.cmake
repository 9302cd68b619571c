# The target scorematch::mpi: the headers with MPI, for programs that include scorematch/mpi.hpp. Included by this project
# and, installed, by find_package(scorematch COMPONENTS mpi). It is not there where MPI is not found.
find_package(MPI QUIET COMPONENTS CXX)
if(TARGET MPI::MPI_CXX AND NOT TARGET scorematch::mpi)
  add_library(scorematch::mpi INTERFACE IMPORTED GLOBAL)
  set_property(TARGET scorematch::mpi PROPERTY INTERFACE_LINK_LIBRARIES scorematch::scorematch MPI::MPI_CXX)
  set_property(TARGET scorematch::mpi PROPERTY INTERFACE_COMPILE_DEFINITIONS OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
endif()
