// Names of LibTorch's enumerations as scripts write them: "bfloat16", "strided", "channels_last".
#pragma once

#include <c10/core/Layout.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/ScalarType.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gamut::script {

const char* dtype_name(c10::ScalarType type);
std::optional<c10::ScalarType> dtype_from_name(std::string_view name);
std::vector<std::string> dtype_names();

const char* layout_name(c10::Layout layout);
std::optional<c10::Layout> layout_from_name(std::string_view name);

std::optional<c10::MemoryFormat> memory_format_from_name(std::string_view name);

}  // namespace gamut::script
