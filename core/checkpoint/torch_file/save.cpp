// The entries in torch.save's order: pickle, format, alignment, byte order, storages.
#include "checkpoint/torch_file/save.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "checkpoint/torch_file/pickle_writer.h"
#include "checkpoint/torch_file/zip_writer.h"
#include "files/file.h"

namespace gamut::checkpoint::torch_file {
namespace {

// All bytes of a storage, in main memory.
void add_storage(ZipWriter& archive, const std::string& name, const c10::Storage& storage) {
  const auto options = at::TensorOptions().dtype(at::kByte).device(storage.device());
  const at::Tensor bytes = at::empty({0}, options).set_(storage).cpu();
  archive.add(name, {static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()});
}

uint64_t write_archive(const WrittenPickle& pickle, ZipWriter archive) {
  archive.add("data.pkl", pickle.bytes);
  archive.add(".format_version", "1");
  archive.add(".storage_alignment", "64");
  archive.add("byteorder", "little");
  for (size_t i = 0; i < pickle.storages.size(); ++i) {
    add_storage(archive, c10::str("data/", i), pickle.storages[i]);
  }
  return archive.finish();
}

// The file's name without what follows its last point; torch.save does the same with an ASCII path.
std::string folder_of(const std::filesystem::path& path) {
  const std::string text = path.string();
  const bool is_ascii = std::all_of(text.begin(), text.end(), [](char c) { return c >= 0; });
  return is_ascii ? path.stem().string() : "archive";
}

}  // namespace

uint64_t save(const Value& value, const std::filesystem::path& path, const SaveOptions& options) {
  const WrittenPickle pickle = write_pickle(value, options.location);
  files::AtomicFile file(path);
  const uint64_t size = write_archive(
      pickle,
      {[&](const void* data, size_t size) { file.file().write(data, size); }, folder_of(path)});
  file.commit();
  return size;
}

std::string save_to_bytes(const Value& value, const SaveOptions& options) {
  const WrittenPickle pickle = write_pickle(value, options.location);
  std::string bytes;
  write_archive(pickle, {[&](const void* data, size_t size) {
                           bytes.append(static_cast<const char*>(data), size);
                         },
                         "archive"});
  return bytes;
}

}  // namespace gamut::checkpoint::torch_file
