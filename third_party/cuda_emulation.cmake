# The CUDA kernels for the CPU: the same .cu files by the C++ compiler, and the emulator that runs them
# (core/cuda/emulation). Always with AddressSanitizer and UBSan; for tests. Needs CUDA's headers.

# What a program needs that holds sanitized kernels.
set(GAMUT_EMULATION_SANITIZERS -fsanitize=address,undefined)

# The object library <name> of .cu files.
#   gamut_emulated_sources(<name> <file>...)
function(gamut_emulated_sources name)
  add_library(${name} OBJECT ${ARGN})
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/core")
  target_link_libraries(${name} PRIVATE cuda_headers)
  # The compiler's part of ThreadSanitizer calls a function at every access, and those are the
  # emulator's: they do AddressSanitizer's checks and look for races. CUDA's code reads numbers of one
  # type as another; `#pragma unroll` is nvcc's.
  target_compile_options(${name} PRIVATE -x c++ -O1 -g1 -fno-sanitize=all
    -fsanitize=thread,undefined,bounds-strict --param=tsan-instrument-func-entry-exit=0
    -fno-sanitize=vptr -fno-sanitize-recover=undefined,bounds-strict -fno-omit-frame-pointer
    -fno-strict-aliasing -Wno-unknown-pragmas -Wno-class-memaccess)
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
