# `cmake --install`: a tree that can be moved, and to another machine, see README.md there.
#
#   bin/gamut          finds LibTorch and starts ...     libexec/gamut   ... the program
#   lib/               the libraries it needs, but for glibc, libstdc++ and LibTorch
#   lib/gamut/plugins  <kind>/<name>.so                  include/gamut   the SDK
#   lib/cmake/gamut    find_package(gamut)               share/gamut     scripts, experiments
#
# The build folder has the same layout, by links, so the program and the CMake package look for
# their files in one way only.
include(CMakePackageConfigHelpers)

# --- The program and the libraries it needs --------------------------------------------------

# DT_RPATH, not DT_RUNPATH: it also finds what the libraries in lib/ need themselves.
add_dependencies(runtime gamut)
target_link_options(gamut PRIVATE LINKER:--disable-new-dtags)
set_target_properties(gamut PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")

install(TARGETS gamut RUNTIME_DEPENDENCY_SET gamut_libraries RUNTIME DESTINATION libexec)
get_property(plugins GLOBAL PROPERTY GAMUT_TREE_PLUGINS)
foreach(plugin ${plugins})
  get_target_property(kind ${plugin} GAMUT_KIND)
  install(TARGETS ${plugin} RUNTIME_DEPENDENCY_SET gamut_libraries
    LIBRARY DESTINATION lib/gamut/plugins/${kind})
endforeach()
install(RUNTIME_DEPENDENCY_SET gamut_libraries
  PRE_EXCLUDE_REGEXES
    # LibTorch with its CUDA libraries, whose folder the launcher names;
    "^lib(torch|c10|cu(da|blas|dnn|fft|file|pti|rand|solver|sparse)|nv|shm|gomp).*"
    # glibc and the compiler's runtime, which must be the machine's own.
    "^(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util|anl|mvec|nsl)\\.so.*|lib(stdc\\+\\+|gcc_s)\\.so.*)"
  LIBRARY DESTINATION lib)

configure_file("${CMAKE_CURRENT_LIST_DIR}/launcher.sh.in" "${CMAKE_BINARY_DIR}/launcher.sh" @ONLY)
install(PROGRAMS "${CMAKE_BINARY_DIR}/launcher.sh" DESTINATION bin RENAME gamut)

# --- The CMake package for plugins out of tree -----------------------------------------------

set(package lib/cmake/gamut)
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/gamutConfig.cmake.in"
  "${CMAKE_BINARY_DIR}/${package}/gamutConfig.cmake" INSTALL_DESTINATION ${package})
write_basic_package_version_file("${CMAKE_BINARY_DIR}/${package}/gamutConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
foreach(file FindLibTorch.cmake gamut_plugin.cmake)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${file}" "${CMAKE_BINARY_DIR}/${package}/${file}" COPYONLY)
endforeach()
file(WRITE "${CMAKE_BINARY_DIR}/lib/gamut/libtorch.path" "${LibTorch_ROOT}\n")

install(DIRECTORY "${CMAKE_BINARY_DIR}/${package}/" DESTINATION ${package})
install(FILES "${CMAKE_BINARY_DIR}/lib/gamut/libtorch.path" DESTINATION lib/gamut)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/core/sdk/gamut" DESTINATION include
  FILES_MATCHING PATTERN "*.h")

# --- What the program reads ------------------------------------------------------------------

foreach(folder scripts experiments)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/${folder}" DESTINATION share/gamut)
endforeach()
# The command that measures and checks everything on a GPU machine, where there is no checkout.
install(PROGRAMS "${PROJECT_SOURCE_DIR}/tests/bench/gpu.sh" DESTINATION share/gamut/bench)
install(FILES "${PROJECT_SOURCE_DIR}/tests/lua/cuda_test.lua" DESTINATION share/gamut/bench)
install(FILES "${PROJECT_SOURCE_DIR}/tests/bench/compare/fla.py"
  "${PROJECT_SOURCE_DIR}/tests/bench/compare/gpu_summary.lua" DESTINATION share/gamut/bench/compare)
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/share/gamut" "${CMAKE_BINARY_DIR}/include")
file(CREATE_LINK "${PROJECT_SOURCE_DIR}/scripts" "${CMAKE_BINARY_DIR}/share/gamut/scripts" SYMBOLIC)
file(CREATE_LINK "${PROJECT_SOURCE_DIR}/experiments" "${CMAKE_BINARY_DIR}/share/gamut/experiments" SYMBOLIC)
file(CREATE_LINK "${PROJECT_SOURCE_DIR}/core/sdk/gamut" "${CMAKE_BINARY_DIR}/include/gamut" SYMBOLIC)
