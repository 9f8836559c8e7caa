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

# Headers of what was built: core's, those of the libraries' sources (of foo.cpp and foo_cpu.cpp
# foo.hpp) that are not private, and all that these include.
get_property(HASHEP_PRIVATE_HEADERS GLOBAL PROPERTY HASHEP_PRIVATE_HEADERS)
file(GLOB headers CONFIGURE_DEPENDS core/*.hpp)
foreach(library IN LISTS HASHEP_LIBRARIES)
  get_target_property(sources ${library} SOURCES)
  get_target_property(folder ${library} SOURCE_DIR)
  if(sources)
    list(TRANSFORM sources REPLACE "[.](cpp|cu)$" "")
    foreach(source IN LISTS sources)
      cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${folder} OUTPUT_VARIABLE stem)
      while(NOT EXISTS ${stem}.hpp AND stem MATCHES "_[^_/]*$")
        string(REGEX REPLACE "_[^_/]*$" "" stem ${stem})
      endwhile()
      if(EXISTS ${stem}.hpp AND NOT ${stem}.hpp IN_LIST HASHEP_PRIVATE_HEADERS)
        list(APPEND headers ${stem}.hpp)
      endif()
    endforeach()
  endif()
endforeach()
set(HASHEP_INSTALLED_HEADERS)
while(headers)
  list(POP_BACK headers header)
  if(NOT header IN_LIST HASHEP_INSTALLED_HEADERS)
    list(APPEND HASHEP_INSTALLED_HEADERS ${header})
    file(STRINGS ${header} includes REGEX "^#include \"")
    foreach(include IN LISTS includes)
      string(REGEX REPLACE "^#include \"(.*)\"$" "${PROJECT_SOURCE_DIR}/\\1" include ${include})
      if(include IN_LIST HASHEP_PRIVATE_HEADERS)
        message(FATAL_ERROR "${header} is installed, and includes ${include}, which is private")
      endif()
      list(APPEND headers ${include})
    endforeach()
  endif()
endwhile()
# They keep their paths: #include "core/dtype.hpp" means the same inside and outside.
foreach(header IN LISTS HASHEP_INSTALLED_HEADERS)
  cmake_path(GET header PARENT_PATH folder)
  cmake_path(RELATIVE_PATH folder BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
  install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/hashep/${folder})
endforeach()

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
