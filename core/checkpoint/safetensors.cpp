// Reading is a view of the mapped file per tensor; writing streams tensor by tensor.
#include "checkpoint/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

namespace gamut::checkpoint {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors data is little-endian");

// Any other byte in a C++ bool is undefined behaviour.
void check_booleans(const uint8_t* data, const SafetensorsEntry& entry,
                    const std::filesystem::path& path) {
  const uint8_t* end = data + (entry.end - entry.begin);
  const uint8_t* bad = std::find_if(data, end, [](uint8_t byte) { return byte > 1; });
  GAMUT_CHECK(bad == end, path.string(), " is damaged: tensor `", entry.name,
              "` of BOOL holds the byte ", static_cast<int>(*bad), " at data offset ",
              entry.begin + static_cast<uint64_t>(bad - data));
}

at::Tensor tensor_of(const std::shared_ptr<const files::MappedFile>& file, uint64_t data_begin,
                     const SafetensorsEntry& entry, const std::filesystem::path& path,
                     Loading loading) {
  GAMUT_CHECK(entry.dtype->scalar, path.string(), ": tensor `", entry.name, "` is of ",
              entry.dtype->name, ", which LibTorch has no type for");
  const at::ScalarType scalar = entry.dtype->scalar.value();
  const auto options = at::TensorOptions().dtype(scalar);
  const uint64_t bytes = entry.end - entry.begin;
  if (bytes == 0) return at::empty(entry.shape, options);
  uint8_t* data = file->data() + data_begin + entry.begin;
  if (scalar == at::kBool) check_booleans(data, entry, path);
  const bool aligned = reinterpret_cast<uintptr_t>(data) % (entry.dtype->bits / 8) == 0;
  if (loading == Loading::copy || !aligned) {
    at::Tensor tensor = at::empty(entry.shape, options);
    std::memcpy(tensor.mutable_data_ptr(), data, bytes);
    return tensor;
  }
  // The deleter holds the mapping until the last tensor of it is gone.
  return at::from_blob(data, entry.shape, [file](void*) {}, options);
}

// The tensor's bytes in order, in memory of the CPU; no copy if they already are.
at::Tensor as_plain(const at::Tensor& tensor) {
  return tensor.detach().resolve_conj().resolve_neg().to(at::kCPU).contiguous();
}

void check_writable(const NamedTensor& entry, const std::filesystem::path& path,
                    std::unordered_set<std::string>& names) {
  const at::Tensor& tensor = entry.tensor;
  const std::string what =
      c10::str("cannot write tensor `", entry.name, "` to ", path.string(), ": ");
  GAMUT_CHECK(tensor.defined(), what, "it is undefined");
  GAMUT_CHECK(entry.name != "__metadata__", what, "the format keeps this name for itself");
  GAMUT_CHECK(names.insert(entry.name).second, what, "two tensors have this name");
  GAMUT_CHECK(tensor.layout() == at::kStrided, what, "its layout is ", tensor.layout(),
              "; make it dense first");
  GAMUT_CHECK(!tensor.is_meta(), what, "it is on the meta device and has no data");
  GAMUT_CHECK(find_safetensors_dtype(tensor.scalar_type()), what, "the format has no dtype ",
              tensor.scalar_type());
}

// The format's order: widest alignment first, then by name.
std::vector<const NamedTensor*> in_file_order(const NamedTensors& tensors) {
  std::vector<const NamedTensor*> sorted;
  for (const auto& entry : tensors) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const NamedTensor* a, const NamedTensor* b) {
    // The table is ordered by alignment, so its addresses compare as that.
    const auto* left = find_safetensors_dtype(a->tensor.scalar_type());
    const auto* right = find_safetensors_dtype(b->tensor.scalar_type());
    return left != right ? left > right : a->name < b->name;
  });
  return sorted;
}

std::string header_text(const std::vector<const NamedTensor*>& sorted, const Metadata& metadata,
                        const std::filesystem::path& path) {
  using json = nlohmann::ordered_json;
  // Entries are joined by hand: the ordered object looks every new key up among all others.
  std::string text;
  auto add = [&text](const std::string& name, const json& value) {
    text += text.empty() ? "{" : ",";
    text += json(name).dump() + ":" + value.dump();
  };
  try {
    if (!metadata.empty()) add("__metadata__", json(metadata));
    uint64_t offset = 0;
    for (const NamedTensor* entry : sorted) {
      const uint64_t end = offset + entry->tensor.nbytes();
      add(entry->name, {{"dtype", find_safetensors_dtype(entry->tensor.scalar_type())->name},
                        {"shape", entry->tensor.sizes().vec()},
                        {"data_offsets", {offset, end}}});
      offset = end;
    }
  } catch (const json::type_error&) {
    throw Error(c10::str("cannot write ", path.string(),
                         ": a tensor's name or the metadata is not valid UTF-8"));
  }
  text += text.empty() ? "{}" : "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  GAMUT_CHECK(text.size() <= kMaxHeaderBytes, "cannot write ", path.string(),
              ": its header would have ", text.size(), " bytes, and the format's limit is ",
              kMaxHeaderBytes);
  return text;
}

}  // namespace

NamedTensors read_safetensors(const std::filesystem::path& path, Loading loading) {
  return read_safetensors(std::make_shared<const files::MappedFile>(path), path, loading);
}

NamedTensors read_safetensors(const std::shared_ptr<const files::MappedFile>& file,
                              const std::filesystem::path& path, Loading loading) {
  const SafetensorsHeader header = parse_safetensors_header(file->data(), file->size(), path);
  NamedTensors tensors;
  tensors.reserve(header.tensors.size());
  for (const auto& entry : header.tensors) {
    tensors.push_back({entry.name, tensor_of(file, header.data_begin, entry, path, loading)});
  }
  return tensors;
}

void write_safetensors(files::OutputFile& file, const std::filesystem::path& path,
                       const NamedTensors& tensors, const Metadata& metadata) {
  std::unordered_set<std::string> names;
  for (const auto& entry : tensors) check_writable(entry, path, names);
  const auto sorted = in_file_order(tensors);
  const std::string header = header_text(sorted, metadata, path);
  const uint64_t length = header.size();

  uint64_t bytes = 8 + length;
  for (const auto* entry : sorted) bytes += entry->tensor.nbytes();
  file.reserve(bytes);
  file.write(&length, 8);
  file.write(header.data(), header.size());
  for (const auto* entry : sorted) {
    const at::Tensor plain = as_plain(entry->tensor);
    file.write(plain.const_data_ptr(), plain.nbytes());
  }
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const Metadata& metadata) {
  files::AtomicFile output(path);
  write_safetensors(output.file(), path, tensors, metadata);
  output.commit();
}

}  // namespace gamut::checkpoint
