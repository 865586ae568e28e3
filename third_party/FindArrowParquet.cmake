# Finds Arrow's C++ libraries for Parquet in a wheel of pyarrow, which carries headers and libraries.
#
# Input:   GAMUT_ARROW (cache or environment): the folder that holds libparquet.so.* and include/, for
#          example .../site-packages/pyarrow. Default: what `./gamut setup` unpacked.
# Target:  arrow_parquet
# Sets:    ArrowParquet_LIBRARIES, the files that a program needs at run time.

set(GAMUT_ARROW "$ENV{GAMUT_ARROW}" CACHE PATH "Folder of pyarrow that holds libparquet and include/")
set(_root "${GAMUT_ARROW}")
if(NOT _root)
  set(_root "${CMAKE_CURRENT_LIST_DIR}/../.gamut/arrow-26.0.1/pyarrow")
endif()
cmake_path(NORMAL_PATH _root)

file(GLOB _parquet "${_root}/libparquet.so.*")
file(GLOB _arrow "${_root}/libarrow.so.*")
set(ArrowParquet_LIBRARIES ${_parquet} ${_arrow})
list(LENGTH ArrowParquet_LIBRARIES _count)
set(ArrowParquet_INCLUDE_DIR "")
if(_count EQUAL 2 AND EXISTS "${_root}/include/parquet/api/reader.h")
  set(ArrowParquet_INCLUDE_DIR "${_root}/include")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ArrowParquet
  REQUIRED_VARS ArrowParquet_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "`./gamut setup` fetches it, or -DGAMUT_ARROW=.../site-packages/pyarrow names one")

if(ArrowParquet_FOUND AND NOT TARGET arrow_parquet)
  add_library(arrow_parquet INTERFACE)
  target_include_directories(arrow_parquet SYSTEM INTERFACE "${ArrowParquet_INCLUDE_DIR}")
  target_link_libraries(arrow_parquet INTERFACE ${ArrowParquet_LIBRARIES})
endif()
