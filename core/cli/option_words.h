// Options of a plugin as words of the command line: name=value, and table.entry=value.
#pragma once

#include <gamut/options.h>

#include <string>
#include <vector>

namespace gamut::cli {

// Whether the word sets something: a name, with dots in it perhaps, then `=`.
bool is_setting(const std::string& word);

// The words as values of the types that the table declares; entries of tables are typed as a script
// would write them. Throws gamut::Error for a word without `=`, an unknown name or a wrong value;
// `context` says whose options they are.
OptionMap parse_options(const std::vector<std::string>& words, const OptionTable& table,
                        const std::string& context);

}  // namespace gamut::cli
