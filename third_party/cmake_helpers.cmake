# How the tree's own targets are made: one function each for a core library, a plugin and a test.
include(gamut_plugin)
include(cuda_kernels)

# A part of core: a static library of all .cpp files in the folder and below, sharing the precompiled
# header. Folders called `emulation` are for tests.
#   gamut_core_library(<name> [target to link]...)
function(gamut_core_library name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  list(FILTER sources EXCLUDE REGEX "\\.isa\\.cpp$|/emulation/")
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}/core")
  target_link_libraries(${name} PUBLIC gamut_sdk ${ARGN})
  target_precompile_headers(${name} REUSE_FROM gamut_pch)
endfunction()

# CPU kernels: every *.isa.cpp in the folder and below, compiled once for each instruction set and
# added to the library. core/ops/simd/isa.h chooses among them when the program runs.
#   gamut_isa_kernels(<library>)
function(gamut_isa_kernels library)
  file(GLOB_RECURSE kernels CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.isa.cpp")
  set(flags_avx2 -march=x86-64-v3)
  set(flags_avx512 -march=x86-64-v4 -mprefer-vector-width=512)
  set(flags_avx512_bf16 ${flags_avx512} -mavx512bf16)
  set(level 0)
  foreach(isa avx2 avx512 avx512_bf16)
    add_library(${library}_${isa} OBJECT ${kernels})
    target_include_directories(${library}_${isa} PRIVATE "${PROJECT_SOURCE_DIR}/core")
    target_compile_definitions(${library}_${isa} PRIVATE GAMUT_ISA=${isa} GAMUT_ISA_LEVEL=${level})
    target_compile_options(${library}_${isa} PRIVATE ${flags_${isa}}
      -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math
      -Wno-psabi -Wno-uninitialized -Wno-maybe-uninitialized)  # the last two: GCC bug 105593
    target_sources(${library} PRIVATE $<TARGET_OBJECTS:${library}_${isa}>)
    math(EXPR level "${level} + 1")
  endforeach()
endfunction()

# An in-tree plugin: a module from all .cpp files in the folder.
#   gamut_tree_plugin(<kind> <name>)
function(gamut_tree_plugin kind name)
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  set(target gamut_${kind}_${name})
  gamut_add_plugin(${target} KIND ${kind} SOURCES ${sources})
  target_precompile_headers(${target} REUSE_FROM gamut_pch)
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name} DEFINE_SYMBOL ""
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib/gamut/plugins/${kind}"
    INSTALL_RPATH "$ORIGIN/../../..")
  add_dependencies(runtime ${target})
  set_property(GLOBAL APPEND PROPERTY GAMUT_TREE_PLUGINS ${target})
endfunction()

# One ctest test for each suite of a GoogleTest program.
#   gamut_test_suites(<program> [property value]...)
function(gamut_test_suites program)
  set(list "${CMAKE_CURRENT_BINARY_DIR}/${program}_suites.cmake")
  list(JOIN ARGN " " properties)
  add_custom_command(TARGET ${program} POST_BUILD VERBATIM BYPRODUCTS "${list}"
    COMMAND "${CMAKE_COMMAND}" -D "PROGRAM=$<TARGET_FILE:${program}>" -D "FOLDER=${CMAKE_CURRENT_BINARY_DIR}"
      -D "INTO=${list}" -D "PROPERTIES=${properties}" -P "${PROJECT_SOURCE_DIR}/third_party/gtest_suites.cmake")
  # Before the program is built there is no list, which ctest tells as a missing test.
  set(include "${CMAKE_CURRENT_BINARY_DIR}/${program}_include.cmake")
  file(WRITE "${include}"
    "if(EXISTS \"${list}\")\n  include(\"${list}\")\nelse()\n  add_test(${program}_NOT_BUILT ${program}_NOT_BUILT)\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${include}")
endfunction()

# A GoogleTest program from all .cpp files in the folder.
#   gamut_unit_test(<name> [target to link]...)
function(gamut_unit_test name)
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARGN} GTest::gtest GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM gamut_pch)
  target_compile_definitions(${name} PRIVATE
    "GAMUT_SOURCE_DIR=\"${PROJECT_SOURCE_DIR}\"" "GAMUT_BUILD_DIR=\"${CMAKE_BINARY_DIR}\"")
  gamut_test_suites(${name})
endfunction()
