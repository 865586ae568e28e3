# Faster builds where the tools are there: ccache as compiler launcher, mold as linker. Both are
# optional; -DGAMUT_CCACHE=OFF or -DGAMUT_MOLD=OFF leaves them out.

option(GAMUT_CCACHE "Use ccache where it is installed" ON)
option(GAMUT_MOLD "Link with mold where it is installed" ON)

find_program(GAMUT_CCACHE_PROGRAM ccache)
find_program(GAMUT_MOLD_PROGRAM mold)
mark_as_advanced(GAMUT_CCACHE_PROGRAM GAMUT_MOLD_PROGRAM)

if(GAMUT_CCACHE AND GAMUT_CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The settings that let ccache serve files compiled with a precompiled header.
  set(launcher env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" "${GAMUT_CCACHE_PROGRAM}")
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

if(GAMUT_MOLD AND GAMUT_MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()
