# Finds Lua 5.4 built as C++ (Debian: liblua5.4-dev ships lua5.4-c++ beside lua5.4). The C++ build
# raises errors by throwing, so destructors run; with the plain one they are jumped over.
#
# Target: Lua54::lua

find_path(Lua54_INCLUDE_DIR lua.hpp PATH_SUFFIXES lua5.4)
find_library(Lua54_LIBRARY NAMES lua5.4-c++)
mark_as_advanced(Lua54_INCLUDE_DIR Lua54_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Lua54 REQUIRED_VARS Lua54_LIBRARY Lua54_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "Run `./gamut setup`, or install liblua5.4-dev.")

if(Lua54_FOUND AND NOT TARGET Lua54::lua)
  add_library(Lua54::lua UNKNOWN IMPORTED)
  set_target_properties(Lua54::lua PROPERTIES
    IMPORTED_LOCATION "${Lua54_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Lua54_INCLUDE_DIR}")
endif()
