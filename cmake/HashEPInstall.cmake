# SPDX-License-Identifier: Apache-2.0
# `cmake --install`: the headers of the face, the libraries behind them, the programs, and the package
# files with which another project does find_package(HashEP). What a program links is
#   HashEP::plan    routing and plans, without MPI
#   HashEP::hashep  all of the face: the same, Context and Stack
include(CMakePackageConfigHelpers)

set(HASHEP_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/HashEP)

add_library(hashep_plan INTERFACE)
add_library(HashEP::plan ALIAS hashep_plan)
set_target_properties(hashep_plan PROPERTIES EXPORT_NAME plan)
target_link_libraries(hashep_plan INTERFACE HashEP::routing HashEP::exchange_plan)

# The face, and the layers that it stands on.
set(HASHEP_EXPORTED)
set(HASHEP_TODO HashEP::plan)
if(TARGET HashEP::hashep)
  list(APPEND HASHEP_TODO HashEP::hashep)
endif()
while(HASHEP_TODO)
  list(POP_FRONT HASHEP_TODO library)
  if(NOT TARGET ${library})
    continue()
  endif()
  get_target_property(target ${library} ALIASED_TARGET)
  if(target IN_LIST HASHEP_EXPORTED)
    continue()
  endif()
  list(APPEND HASHEP_EXPORTED ${target})
  get_target_property(below ${target} INTERFACE_LINK_LIBRARIES)
  string(REGEX MATCHALL "HashEP::[A-Za-z0-9_]+" below "${below}")
  list(APPEND HASHEP_TODO ${below})
endwhile()

install(TARGETS ${HASHEP_EXPORTED} EXPORT HashEPTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT HashEPTargets NAMESPACE HashEP:: DESTINATION ${HASHEP_PACKAGE_DIR})

foreach(program hashep hashep-bench hashep-bench-gpu)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

set(HASHEP_WITHOUT)
if(NOT TARGET HashEP::hashep)
  foreach(header checkpoint context reproducible_sum stack hashep)
    list(APPEND HASHEP_WITHOUT PATTERN ${header}.hpp EXCLUDE)
  endforeach()
endif()
install(DIRECTORY include/hashep DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} ${HASHEP_WITHOUT})

configure_package_config_file(cmake/HashEPConfig.cmake.in ${PROJECT_BINARY_DIR}/HashEPConfig.cmake
                              INSTALL_DESTINATION ${HASHEP_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/HashEPConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/HashEPConfig.cmake ${PROJECT_BINARY_DIR}/HashEPConfigVersion.cmake
              cmake/FindLIBXSMM.cmake cmake/FindLiburing.cmake cmake/FindNCCL.cmake cmake/FindxxHash.cmake
        DESTINATION ${HASHEP_PACKAGE_DIR})
