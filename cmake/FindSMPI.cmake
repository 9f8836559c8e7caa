# SPDX-License-Identifier: Apache-2.0
# Finds SMPI, the MPI of SimGrid (https://simgrid.org), on which ranks are simulated. Defines
# SMPI::SMPI and SMPI_VERSION. Programs for it are shared libraries that smpirun loads.
find_path(SMPI_ROOT_INCLUDE_DIR smpi/mpi.h)
find_library(SMPI_LIBRARY simgrid)
find_program(SMPI_RUN smpirun)
if(SMPI_RUN)
  execute_process(COMMAND ${SMPI_RUN} -version OUTPUT_VARIABLE SMPI_VERSION ERROR_QUIET)
  string(REGEX MATCH "[0-9]+\\.[0-9]+(\\.[0-9]+)?" SMPI_VERSION "${SMPI_VERSION}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(SMPI REQUIRED_VARS SMPI_LIBRARY SMPI_ROOT_INCLUDE_DIR SMPI_RUN
                                  VERSION_VAR SMPI_VERSION)
if(SMPI_FOUND AND NOT TARGET SMPI::SMPI)
  add_library(SMPI::SMPI UNKNOWN IMPORTED)
  set_target_properties(SMPI::SMPI PROPERTIES
    IMPORTED_LOCATION "${SMPI_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${SMPI_ROOT_INCLUDE_DIR};${SMPI_ROOT_INCLUDE_DIR}/smpi")
endif()
mark_as_advanced(SMPI_ROOT_INCLUDE_DIR SMPI_LIBRARY SMPI_RUN)
