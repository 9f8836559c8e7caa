# SPDX-License-Identifier: Apache-2.0
# Target docs: the reference of include/hashep, in BUILD/docs/html, by doxygen. A warning fails it, and
# a declaration that is not documented is one.
find_package(Doxygen QUIET)
if(DOXYGEN_FOUND)
  configure_file(cmake/Doxyfile.in ${PROJECT_BINARY_DIR}/docs/Doxyfile @ONLY)
  add_custom_target(docs COMMAND Doxygen::doxygen ${PROJECT_BINARY_DIR}/docs/Doxyfile
                    COMMENT "Reference: ${PROJECT_BINARY_DIR}/docs/html/index.html" VERBATIM)
else()
  add_custom_target(docs
    COMMAND ${CMAKE_COMMAND} -E echo "docs: doxygen was not found when CMake configured"
    COMMAND ${CMAKE_COMMAND} -E false VERBATIM)
endif()
