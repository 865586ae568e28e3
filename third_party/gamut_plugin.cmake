# How a plugin is built, inside the tree and outside of it.
#
#   gamut_add_plugin(<name> KIND <mixer|tokenizer|optimizer> SOURCES <file>... [LINK <target>...])
#
# makes the target <name> and from it the library <name>.so, in the build folder unless the caller
# sets LIBRARY_OUTPUT_DIRECTORY. Only the symbol `gamut_plugin` is visible, and a symbol that is
# missing is an error of the linker rather than of the program that loads the plugin.
function(gamut_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 plugin "" "KIND" "SOURCES;LINK")
  if(plugin_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "gamut_add_plugin(${name}): what is `${plugin_UNPARSED_ARGUMENTS}`? "
      "It takes KIND, SOURCES and LINK.")
  endif()
  if(NOT plugin_KIND MATCHES "^(mixer|tokenizer|optimizer)$")
    message(FATAL_ERROR "gamut_add_plugin(${name}): KIND is `${plugin_KIND}`; "
      "it must be mixer, tokenizer or optimizer.")
  endif()
  if(NOT plugin_SOURCES)
    message(FATAL_ERROR "gamut_add_plugin(${name}): SOURCES names no file.")
  endif()

  add_library(${name} MODULE ${plugin_SOURCES})
  target_link_libraries(${name} PRIVATE gamut::sdk ${plugin_LINK})
  target_link_options(${name} PRIVATE LINKER:-z,defs)
  # A build folder that was configured without a build type still gets a fast plugin.
  target_compile_options(${name} PRIVATE $<$<CONFIG:>:-O2>)
  set_target_properties(${name} PROPERTIES
    PREFIX ""
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
    GAMUT_KIND ${plugin_KIND})
endfunction()
