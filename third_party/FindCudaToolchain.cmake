# Finds nvcc and the CUDA runtime without CMake's CUDA language, which demands a whole toolkit in one folder.
#
# Input:   GAMUT_CUDA_TOOLCHAIN (cache or environment): the folder that holds bin/nvcc, for example
#          /usr/local/cuda. Default: what `./gamut setup` unpacked. The runtime (headers and libcudart) is
#          the one beside LibTorch, which kernels meet when they run, or else the toolchain's own.
# Targets: cuda_headers, for C++ that includes cuda_bf16.h and the like; cuda_runtime, libcudart.
# Sets:    CudaToolchain_NVCC, CudaToolchain_CUOBJDUMP (empty where there is none), CudaToolchain_VERSION.

set(GAMUT_CUDA_TOOLCHAIN "$ENV{GAMUT_CUDA_TOOLCHAIN}" CACHE PATH "Folder of a CUDA toolkit that holds bin/nvcc")
set(_root "${GAMUT_CUDA_TOOLCHAIN}")
if(NOT _root)
  set(_root "${CMAKE_CURRENT_LIST_DIR}/../.gamut/cuda_toolchain-13.0/nvidia/cu13")
endif()
cmake_path(NORMAL_PATH _root)
cmake_path(SET _beside_libtorch NORMALIZE "${LibTorch_ROOT}/../nvidia/cu13")

# Looked for anew each time, as LibTorch is.
foreach(variable NVCC CUOBJDUMP RUNTIME_INCLUDE RUNTIME_LIBRARY)
  unset(CudaToolchain_${variable} CACHE)
endforeach()
find_program(CudaToolchain_NVCC nvcc HINTS "${_root}/bin" NO_DEFAULT_PATH)
find_program(CudaToolchain_CUOBJDUMP cuobjdump HINTS "${_root}/bin" NO_DEFAULT_PATH)
find_path(CudaToolchain_RUNTIME_INCLUDE cuda_runtime.h
  HINTS "${_beside_libtorch}/include" "${_root}/include" NO_DEFAULT_PATH)
find_file(CudaToolchain_RUNTIME_LIBRARY libcudart.so.13
  HINTS "${_beside_libtorch}/lib" "${_root}/lib64" "${_root}/lib" NO_DEFAULT_PATH)
mark_as_advanced(CudaToolchain_NVCC CudaToolchain_CUOBJDUMP
  CudaToolchain_RUNTIME_INCLUDE CudaToolchain_RUNTIME_LIBRARY)

if(CudaToolchain_NVCC)
  execute_process(COMMAND "${CudaToolchain_NVCC}" --version OUTPUT_VARIABLE _said ERROR_QUIET)
  if(_said MATCHES "release ([0-9]+\\.[0-9]+)")
    set(CudaToolchain_VERSION "${CMAKE_MATCH_1}")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CudaToolchain
  REQUIRED_VARS CudaToolchain_NVCC CudaToolchain_RUNTIME_INCLUDE CudaToolchain_RUNTIME_LIBRARY
  VERSION_VAR CudaToolchain_VERSION
  REASON_FAILURE_MESSAGE
    "`./gamut setup` fetches it, or -DGAMUT_CUDA_TOOLCHAIN=/usr/local/cuda names one of CUDA 13")

if(CudaToolchain_FOUND AND NOT TARGET cuda_headers)
  set(CudaToolchain_INCLUDE_DIRS "${CudaToolchain_RUNTIME_INCLUDE}")
  foreach(folder "${_root}/include" "${_root}/include/cccl")
    if(EXISTS "${folder}" AND NOT folder STREQUAL CudaToolchain_RUNTIME_INCLUDE)
      list(APPEND CudaToolchain_INCLUDE_DIRS "${folder}")
    endif()
  endforeach()
  add_library(cuda_headers INTERFACE IMPORTED GLOBAL)
  target_include_directories(cuda_headers SYSTEM INTERFACE ${CudaToolchain_INCLUDE_DIRS})
  add_library(cuda_runtime SHARED IMPORTED GLOBAL)
  set_target_properties(cuda_runtime PROPERTIES IMPORTED_LOCATION "${CudaToolchain_RUNTIME_LIBRARY}")
endif()
