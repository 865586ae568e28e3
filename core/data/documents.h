// Text documents in a folder: which files there are, and their text in pieces.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace gamut::data {

struct Document {
  std::filesystem::path path;
  std::string name;         // relative to the folder, with `/`
  uint64_t bytes = 0;       // of the file, as compressed as it is
  int64_t modified_ns = 0;  // of the file
};

// Endings that make a file of a folder a text document, each also with .gz behind it.
const std::vector<std::string>& text_endings();

// `path` itself when it is a file, else the text documents below it, sorted by name. Hidden files
// and folders are passed over, links to folders not followed. Throws gamut::Error when there is
// none.
std::vector<Document> find_documents(const std::filesystem::path& path);

// Why the file is no text (binary, not UTF-8, damaged), judged by its first 64 KiB; "" when it is.
std::string unfit(const Document& document);

// Reads a document, unpacked when it is gzip.
class DocumentReader {
 public:
  explicit DocumentReader(const Document& document);
  ~DocumentReader();
  DocumentReader(const DocumentReader&) = delete;
  DocumentReader& operator=(const DocumentReader&) = delete;

  // At most `bytes` more bytes, "" at the end.
  std::string read(size_t bytes);

 private:
  std::string path_;
  void* file_;  // gzFile, which keeps zlib's header out of here
};

}  // namespace gamut::data
