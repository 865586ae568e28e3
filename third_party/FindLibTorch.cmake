# Finds LibTorch without its own CMake package, which demands a CUDA toolkit.
#
# Input:   GAMUT_LIBTORCH (cache or environment): the folder that holds lib/ and include/, for
#          example .../site-packages/torch. Default: LibTorch_DEFAULT_ROOT, or what
#          `./gamut setup` unpacked.
# Targets: c10, torch_cpu and, where the library is there, torch_cuda (and c10_cuda).
# Sets:    LibTorch_VERSION, LibTorch_ROOT.

set(GAMUT_LIBTORCH "$ENV{GAMUT_LIBTORCH}" CACHE PATH "Folder of LibTorch that holds lib/ and include/")
if(NOT LibTorch_DEFAULT_ROOT)
  set(LibTorch_DEFAULT_ROOT "${CMAKE_CURRENT_LIST_DIR}/../.gamut/libtorch-2.11.0/torch")
endif()
set(_hints "${GAMUT_LIBTORCH}")
if(NOT GAMUT_LIBTORCH)
  set(_hints "${LibTorch_DEFAULT_ROOT}")
endif()

# Looked for anew each time: another GAMUT_LIBTORCH must not meet the answer of the last one.
unset(LibTorch_ROOT CACHE)
find_path(LibTorch_ROOT NAMES include/ATen/ATen.h HINTS ${_hints} NO_DEFAULT_PATH)
mark_as_advanced(LibTorch_ROOT)

if(LibTorch_ROOT)
  file(STRINGS "${LibTorch_ROOT}/include/torch/headeronly/version.h" _lines
       REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" LibTorch_VERSION "${_lines}")
  string(REPLACE ";" "." LibTorch_VERSION "${LibTorch_VERSION}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_ROOT
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE
    "Run `./gamut setup` to fetch it, or name an installed one with -DGAMUT_LIBTORCH=.../site-packages/torch.")

function(_gamut_torch_library name)
  set(file "${LibTorch_ROOT}/lib/lib${name}.so")
  if(TARGET ${name} OR NOT EXISTS "${file}")
    return()
  endif()
  add_library(${name} SHARED IMPORTED GLOBAL)
  set_target_properties(${name} PROPERTIES
    IMPORTED_LOCATION "${file}"
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES
      "${LibTorch_ROOT}/include;${LibTorch_ROOT}/include/torch/csrc/api/include"
    INTERFACE_INCLUDE_DIRECTORIES
      "${LibTorch_ROOT}/include;${LibTorch_ROOT}/include/torch/csrc/api/include"
    INTERFACE_COMPILE_DEFINITIONS "_GLIBCXX_USE_CXX11_ABI=1")
endfunction()

if(LibTorch_FOUND)
  _gamut_torch_library(c10)
  _gamut_torch_library(torch_cpu)
  _gamut_torch_library(c10_cuda)
  _gamut_torch_library(torch_cuda)
  # at::parallel_for is a template: where it is compiled without OpenMP it runs in one thread. The
  # runtime has to be LibTorch's own, for its threads and for their number that set_num_threads chose.
  find_library(LibTorch_OPENMP NAMES libgomp.so.1 gomp HINTS "${LibTorch_ROOT}/lib" REQUIRED)
  mark_as_advanced(LibTorch_OPENMP)
  set_property(TARGET torch_cpu PROPERTY INTERFACE_COMPILE_OPTIONS -fopenmp)
  set_property(TARGET torch_cpu PROPERTY INTERFACE_LINK_LIBRARIES c10 "${LibTorch_OPENMP}")
  # The wheel keeps the CUDA runtime that torch_cpu needs in a folder beside it.
  set_property(TARGET torch_cpu APPEND PROPERTY INTERFACE_LINK_OPTIONS
    "LINKER:-rpath-link,${LibTorch_ROOT}/lib"
    "LINKER:-rpath-link,${LibTorch_ROOT}/../nvidia/cu13/lib")
endif()
