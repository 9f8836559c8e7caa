# SPDX-License-Identifier: Apache-2.0
# `cmake --install`: the libraries of the layers that were built, their headers, the programs, and
# the package files with which another project does find_package(HashEP).
include(CMakePackageConfigHelpers)

set(HASHEP_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/HashEP)

get_property(HASHEP_LIBRARIES GLOBAL PROPERTY HASHEP_LIBRARIES)
install(TARGETS ${HASHEP_LIBRARIES} EXPORT HashEPTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT HashEPTargets NAMESPACE HashEP:: DESTINATION ${HASHEP_PACKAGE_DIR})

foreach(program hashep hashep-bench hashep-bench-gpu)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

install(DIRECTORY include/hashep DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(HASHEP_EXPORTED_LIBRARIES)
foreach(library IN LISTS HASHEP_LIBRARIES)
  get_target_property(name ${library} EXPORT_NAME)
  list(APPEND HASHEP_EXPORTED_LIBRARIES HashEP::${name})
endforeach()
configure_package_config_file(cmake/HashEPConfig.cmake.in ${PROJECT_BINARY_DIR}/HashEPConfig.cmake
                              INSTALL_DESTINATION ${HASHEP_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/HashEPConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/HashEPConfig.cmake ${PROJECT_BINARY_DIR}/HashEPConfigVersion.cmake
              cmake/FindHwloc.cmake cmake/FindLIBXSMM.cmake cmake/FindNCCL.cmake cmake/FindxxHash.cmake cmake/FindSentencePiece.cmake
        DESTINATION ${HASHEP_PACKAGE_DIR})
