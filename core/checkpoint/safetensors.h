// Tensors in safetensors files, as Python's safetensors reads and writes them.
#pragma once

#include <gamut/module.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "checkpoint/safetensors_header.h"
#include "files/file.h"

namespace gamut::checkpoint {

using Metadata = std::map<std::string, std::string>;

enum class Loading {
  // Tensors are views of the mapped file: nothing is read before it is used, and memory is shared
  // with the system's cache. Writing to them changes only this process's copy. The file must not
  // be truncated meanwhile; replacing it by a rename, as our writer does, is fine.
  map,
  // Tensors own their memory.
  copy,
};

// All tensors, on the CPU, in the order of their bytes in the file. Throws gamut::Error that names
// the file, the tensor and the offset for anything that the format does not allow.
NamedTensors read_safetensors(const std::filesystem::path& path, Loading loading = Loading::map);

// The same of a file already mapped; the tensors keep it alive.
NamedTensors read_safetensors(const std::shared_ptr<const files::MappedFile>& file,
                              const std::filesystem::path& path, Loading loading);

// Writes tensors of any device and layout in memory as contiguous CPU data. Equal tensors and
// metadata give equal bytes, whatever their order: by alignment downwards, then by name, which is
// also what Python's safetensors does. Tensors that are elsewhere or strided are copied one at a
// time. The file appears complete or not at all.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const Metadata& metadata = {});

// The same into a file of the caller's.
void write_safetensors(files::OutputFile& file, const std::filesystem::path& path,
                       const NamedTensors& tensors, const Metadata& metadata);

}  // namespace gamut::checkpoint
