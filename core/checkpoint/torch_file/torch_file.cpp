// Storages as tensors over the map; each tensor of the pickle is a strided view of one.
#include "checkpoint/torch_file/torch_file.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include <algorithm>
#include <cstring>

#include "text/affix.h"

namespace gamut::checkpoint::torch_file {
namespace {

using text::begins_with;
using text::ends_with;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "storages are little-endian");

// What a file without an archive's first bytes is, for people.
std::string guess(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.empty()) return "is empty";
  // A pickle of protocol 2 of the number 0x1950a86a20f9469cfc6c, torch's mark until 1.5.
  if (begins_with(bytes, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."sv)) {
    return "is in the format that torch.save wrote before torch 1.6; in Python, load it with "
           "torch.load(path, weights_only=True) and torch.save it again";
  }
  if (begins_with(bytes, "\x80"sv)) {
    return "is a bare pickle, which no torch.save from 1.6 on writes";
  }
  if (bytes.size() > 8 && bytes[8] == '{') return "is a safetensors file, or meant to be one";
  const std::string_view start = bytes.substr(0, 512);
  if (begins_with(start, "version https://git-lfs"sv)) {
    return "is the pointer that git keeps instead of a large file; fetch the file itself with "
           "`git lfs pull`";
  }
  if (std::all_of(start.begin(), start.end(),
                  [](unsigned char c) { return c >= 0x20 || (c >= '\t' && c <= '\r'); })) {
    return "is text and no checkpoint; was an error page saved instead of it?";
  }
  return "is no file of torch.save, which is a zip archive and begins with PK";
}

std::string_view bytes_of(const files::MappedFile& file) {
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

ZipDirectory open_archive(std::string_view bytes, const std::string& path) {
  GAMUT_CHECK(begins_with(bytes, "PK"), path, " ", guess(bytes));
  return {bytes, path};
}

// Any other byte in a C++ bool is undefined behaviour.
void check_booleans(std::string_view bytes, const std::string& path, const std::string& name) {
  const bool holds =
      std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == 0 || byte == 1; });
  GAMUT_CHECK(holds, path, " is damaged: tensor `", name,
              "` of bool holds other bytes than 0 and 1");
}

// The folder in the archive that everything is in: "name/" of "name/data.pkl".
std::string find_root(const ZipDirectory& archive, const std::string& path) {
  const ZipEntry* pickle = nullptr;
  bool has_constants = false;
  for (const auto& entry : archive.entries()) {
    has_constants |= ends_with(entry.name, "/constants.pkl");
    if (entry.name.find('/') + 1 != entry.name.size() - std::string_view("data.pkl").size() ||
        !ends_with(entry.name, "/data.pkl")) {
      continue;
    }
    GAMUT_CHECK(!pickle, path, " has two pickles, `", pickle->name, "` and `", entry.name, "`");
    pickle = &entry;
  }
  GAMUT_CHECK(!has_constants, path, " is a TorchScript archive (it holds code); in Python, ",
              "torch.save(torch.jit.load(path).state_dict(), \"weights.pth\")");
  GAMUT_CHECK(pickle, path, " is a zip archive and no file of torch.save: it has no `data.pkl`");
  return std::string(pickle->name.substr(0, pickle->name.find('/') + 1));
}

Pickle open_pickle(const ZipDirectory& archive, const std::string& root, const std::string& path) {
  const ZipEntry* order = archive.find(root + "byteorder");
  GAMUT_CHECK(!order || archive.bytes(*order) == "little", path,
              " was written on a big-endian machine; save it again on a little-endian one");
  return read_pickle(archive.bytes(*archive.find(root + "data.pkl")), path + ": its pickle");
}

}  // namespace

TorchFile::TorchFile(std::string_view bytes, std::shared_ptr<const void> owner, std::string name)
    : path_(std::move(name)),
      owner_(std::move(owner)),
      archive_(open_archive(bytes, path_)),
      root_(find_root(archive_, path_)),
      pickle_(open_pickle(archive_, root_, path_)) {}

TorchFile::TorchFile(const std::shared_ptr<const files::MappedFile>& file, std::string name)
    : TorchFile(bytes_of(*file), file, std::move(name)) {}

TorchFile::TorchFile(const std::filesystem::path& path)
    : TorchFile(std::make_shared<const files::MappedFile>(path), path.string()) {}

TorchFile::TorchFile(const std::shared_ptr<const std::string>& bytes, std::string name)
    : TorchFile(*bytes, bytes, std::move(name)) {}

const at::Tensor& TorchFile::storage(const PickleStorage& storage, const std::string& name) {
  auto known = storages_.find(storage.key);
  if (known == storages_.end()) {
    known = storages_.emplace(storage.key, open_storage(storage, name)).first;
  }
  const at::Tensor& tensor = known->second;
  GAMUT_CHECK(tensor.scalar_type() == storage.dtype && tensor.numel() == storage.elements, path_,
              " is damaged: tensor `", name, "` sees the storage `", storage.key, "` as ",
              storage.elements, " elements of ", storage.dtype, ", another one as ", tensor.numel(),
              " of ", tensor.scalar_type());
  return tensor;
}

at::Tensor TorchFile::open_storage(const PickleStorage& storage, const std::string& name) const {
  const std::string entry_name = c10::str(root_, "data/", storage.key);
  const ZipEntry* entry = archive_.find(entry_name);
  GAMUT_CHECK(entry, path_, " is damaged: tensor `", name, "` is in `", entry_name,
              "`, which the archive does not have");
  const std::string_view bytes = archive_.bytes(*entry);
  const uint64_t item = at::elementSize(storage.dtype);
  GAMUT_CHECK(
      bytes.size() / item == static_cast<uint64_t>(storage.elements) && bytes.size() % item == 0,
      path_, " is damaged: `", entry_name, "` of tensor `", name, "` has ", bytes.size(),
      " bytes instead of ", storage.elements, " x ", item);
  if (storage.dtype == at::kBool) check_booleans(bytes, path_, name);
  const auto options = at::TensorOptions().dtype(storage.dtype);
  if (bytes.empty()) return at::empty({0}, options);
  // A map is private: nothing that is written through the tensor reaches the file.
  char* data = const_cast<char*>(bytes.data());
  if (reinterpret_cast<uintptr_t>(data) % item == 0) {
    return at::from_blob(data, {storage.elements}, [owner = owner_](void*) {}, options);
  }
  at::Tensor copy = at::empty({storage.elements}, options);
  std::memcpy(copy.mutable_data_ptr(), data, bytes.size());
  return copy;
}

at::Tensor TorchFile::tensor(const PickleTensor& tensor, const std::string& name) {
  const auto& elements = storage(std::get<PickleStorage>(pickle_[tensor.storage]), name);
  return elements.as_strided(pickle_.integers(tensor.sizes), pickle_.integers(tensor.strides),
                             tensor.offset);
}

}  // namespace gamut::checkpoint::torch_file
