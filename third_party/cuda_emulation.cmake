# The CUDA kernels for the CPU: the same .cu files by the C++ compiler, always with AddressSanitizer
# and UBSan, and the emulator that runs them (core/cuda/emulation). For tests; needs CUDA's headers.

# What a program needs that holds sanitized kernels.
set(GAMUT_EMULATION_SANITIZERS -fsanitize=address,undefined)

# The object library <name> of .cu files.
#   gamut_emulated_sources(<name> <file>...)
function(gamut_emulated_sources name)
  add_library(${name} OBJECT ${ARGN})
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/core")
  target_link_libraries(${name} PRIVATE cuda_headers)
  # CUDA's code reads numbers of one type as another; `#pragma unroll` is nvcc's.
  target_compile_options(${name} PRIVATE -x c++ -O1 -g1 ${GAMUT_EMULATION_SANITIZERS}
    -fno-sanitize=vptr -fno-sanitize-recover=undefined -fno-omit-frame-pointer -fno-strict-aliasing
    -Wno-unknown-pragmas -Wno-class-memaccess)
endfunction()

# The static library <name>: all .cu files of core and the emulator.
#   gamut_emulated_kernels(<name>)
function(gamut_emulated_kernels name)
  find_package(Boost 1.74 REQUIRED COMPONENTS context)
  file(GLOB_RECURSE kernels CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/core/*.cu")
  gamut_emulated_sources(${name}_sanitized ${kernels})
  file(GLOB emulator CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/core/cuda/emulation/*.cpp")
  add_library(${name} STATIC ${emulator} $<TARGET_OBJECTS:${name}_sanitized>)
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}/core")
  # The emulator checks by itself what it reads for kernels, and is fast without.
  target_compile_options(${name} PRIVATE -O3 -fno-sanitize=all)
  target_link_options(${name} PUBLIC ${GAMUT_EMULATION_SANITIZERS})
  target_link_libraries(${name} PRIVATE cuda_headers PUBLIC Boost::context)
endfunction()
