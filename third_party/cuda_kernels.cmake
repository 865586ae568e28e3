# How the CUDA kernels are made: nvcc on every .cu file, and one shared object from all of them, which
# the program opens where there is a GPU (core/cuda/kernels.h). Building it needs no GPU. Without nvcc,
# or with -DGAMUT_CUDA_KERNELS=OFF, it is left out, and operators on a GPU are composed of LibTorch's.

set(_wanted ON)
if(GAMUT_SANITIZE)
  set(_wanted OFF)  # no sanitizer reaches kernels; the emulated ones have theirs in every build
endif()
option(GAMUT_CUDA_KERNELS "Build the CUDA kernels where there is nvcc" ${_wanted})
set(GAMUT_CUDA_ARCHITECTURES "80;90a;100" CACHE STRING
  "Compute capabilities that get machine code; the last one gets PTX too, for newer devices")
option(GAMUT_CUDA_LINE_INFO "Source lines in the kernels, for compute-sanitizer and profilers: thrice the size" OFF)

find_package(CudaToolchain 13.0 QUIET)
# nvcc takes a gigabyte on a large kernel.
set_property(GLOBAL APPEND PROPERTY JOB_POOLS nvcc=2)

# The module <name> from all .cu files of core, as lib/gamut/cuda/kernels.so.
#   gamut_cuda_kernels(<name>)
function(gamut_cuda_kernels name)
  if(NOT GAMUT_CUDA_KERNELS)
    message(STATUS "CUDA kernels: left out (GAMUT_CUDA_KERNELS is off)")
    return()
  elseif(NOT CudaToolchain_FOUND)
    message(STATUS "CUDA kernels: left out, for there is no nvcc of CUDA 13: `./gamut setup` fetches it, "
      "or -DGAMUT_CUDA_TOOLCHAIN=/usr/local/cuda names one")
    return()
  endif()
  message(STATUS "CUDA kernels: nvcc ${CudaToolchain_VERSION}, compute capabilities ${GAMUT_CUDA_ARCHITECTURES}")

  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/core/*.cu")
  set(objects "")
  foreach(source ${sources})
    _gamut_nvcc("${source}" object)
    list(APPEND objects "${object}")
  endforeach()
  add_library(${name} MODULE ${objects})
  target_link_libraries(${name} PRIVATE cuda_runtime)
  target_link_options(${name} PRIVATE LINKER:-z,defs LINKER:--as-needed)
  set_target_properties(${name} PROPERTIES
    LINKER_LANGUAGE CXX PREFIX "" OUTPUT_NAME kernels
    GAMUT_OBJECTS "${objects}"
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib/gamut/cuda"
    # libcudart is the one that LibTorch has already opened.
    INSTALL_RPATH "")
  add_dependencies(runtime ${name})
  install(TARGETS ${name} LIBRARY DESTINATION lib/gamut/cuda)
endfunction()

# One object file from one .cu file, for every architecture.
function(_gamut_nvcc source object)
  cmake_path(RELATIVE_PATH source BASE_DIRECTORY "${PROJECT_SOURCE_DIR}/core" OUTPUT_VARIABLE relative)
  set(result "${CMAKE_CURRENT_BINARY_DIR}/kernels/${relative}.o")
  cmake_path(GET result PARENT_PATH folder)
  file(MAKE_DIRECTORY "${folder}")

  set(flags -std=c++17 -O3 --expt-relaxed-constexpr -ccbin "${CMAKE_CXX_COMPILER}"
    -Xcompiler=-fPIC,-fvisibility=hidden,-fvisibility-inlines-hidden,-Wall "-I${PROJECT_SOURCE_DIR}/core")
  foreach(include ${CudaToolchain_INCLUDE_DIRS})
    list(APPEND flags -isystem "${include}")
  endforeach()
  foreach(arch ${GAMUT_CUDA_ARCHITECTURES})
    list(APPEND flags -gencode "arch=compute_${arch},code=sm_${arch}")
  endforeach()
  list(GET GAMUT_CUDA_ARCHITECTURES -1 newest)
  list(APPEND flags -gencode "arch=compute_${newest},code=compute_${newest}")
  if(GAMUT_CUDA_LINE_INFO)
    list(APPEND flags -lineinfo)
  endif()
  if(GAMUT_WERROR)
    list(APPEND flags -Werror all-warnings)
  endif()

  add_custom_command(OUTPUT "${result}"
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} "${CudaToolchain_NVCC}" ${flags}
      -MD -MT "${result}" -MF "${result}.d" -c "${source}" -o "${result}"
    DEPENDS "${source}" DEPFILE "${result}.d" JOB_POOL nvcc VERBATIM
    COMMENT "nvcc ${relative}")
  set(${object} "${result}" PARENT_SCOPE)
endfunction()
