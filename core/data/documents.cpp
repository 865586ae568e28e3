// zlib reads plain files as they are and gzip files unpacked.
#include "data/documents.h"

#include <gamut/error.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "text/affix.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;
using text::ends_with;

bool has_text_ending(std::string name) {
  if (ends_with(name, ".gz")) name.resize(name.size() - 3);
  const auto& endings = text_endings();
  return std::any_of(endings.begin(), endings.end(),
                     [&](const std::string& ending) { return ends_with(name, ending); });
}

Document describe(const fs::path& path, std::string name) {
  struct stat status{};
  GAMUT_CHECK(stat(path.c_str(), &status) == 0, "cannot read ", path.string(), ": ",
              std::strerror(errno));
  return {path, std::move(name), static_cast<uint64_t>(status.st_size),
          int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

// Length of the sequence at `text`, or 0 where it is not UTF-8. Overlong forms and surrogates are
// left to the tokenizer: here only text and other encodings are told apart.
size_t sequence_length(const uint8_t* text, size_t left) {
  const uint8_t first = text[0];
  if (first < 0x80) return 1;
  const size_t length = first < 0xC2   ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  for (size_t i = 1; i < std::min(length, left); ++i) {
    if ((text[i] & 0xC0) != 0x80) return 0;
  }
  return length;
}

bool is_utf8(const std::string& text) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  for (size_t i = 0; i < text.size();) {
    const size_t length = sequence_length(bytes + i, text.size() - i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

}  // namespace

const std::vector<std::string>& text_endings() {
  static const std::vector<std::string> endings = {".txt", ".md", ".rst", ".pod"};
  return endings;
}

std::vector<Document> find_documents(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  GAMUT_CHECK(fs::exists(status), "there is no file or folder ", path.string());
  if (!fs::is_directory(status)) return {describe(path, path.filename().string())};

  std::vector<Document> documents;
  fs::recursive_directory_iterator walk(path, fs::directory_options::skip_permission_denied);
  for (const auto& entry : walk) {
    const std::string name = entry.path().filename().string();
    if (name[0] == '.') {
      if (entry.is_directory(error)) walk.disable_recursion_pending();
      continue;
    }
    if (!has_text_ending(name) || !entry.is_regular_file(error)) continue;
    documents.push_back(
        describe(entry.path(), entry.path().lexically_relative(path).generic_string()));
  }
  GAMUT_CHECK(!documents.empty(), "the folder ", path.string(),
              " holds no text: files that end in .txt, .md, .rst or .pod, also packed as .gz");
  std::sort(documents.begin(), documents.end(),
            [](const Document& a, const Document& b) { return a.name < b.name; });
  return documents;
}

std::string unfit(const Document& document) {
  std::string head;
  try {
    head = DocumentReader(document).read(size_t{64} << 10);
  } catch (const Error& error) {
    return error.what();
  }
  const std::string name = document.path.string();
  if (head.find('\0') != std::string::npos) return name + " is binary";
  if (!is_utf8(head)) return name + " is not UTF-8";
  return "";
}

DocumentReader::DocumentReader(const Document& document)
    : path_(document.path.string()), file_(gzopen(path_.c_str(), "rb")) {
  if (!file_) {
    throw Error(c10::str("cannot read ", path_, ": ", std::strerror(errno)));
  }
  gzbuffer(static_cast<gzFile>(file_), 1u << 17);
}

DocumentReader::~DocumentReader() {
  gzclose(static_cast<gzFile>(file_));
}

std::string DocumentReader::read(size_t bytes) {
  std::string piece(bytes, '\0');
  const auto file = static_cast<gzFile>(file_);
  const int got = gzread(file, piece.data(), static_cast<unsigned>(bytes));
  int code = Z_OK;
  const char* message = gzerror(file, &code);
  // A gzip file that ends early gives what it has, with Z_BUF_ERROR beside it.
  const bool cut = code == Z_BUF_ERROR && got < static_cast<int>(bytes);
  if (got < 0 || cut) {
    throw Error(c10::str("cannot read ", path_, ": ",
                         cut               ? "the gzip file is truncated"
                         : code == Z_ERRNO ? std::strerror(errno)
                                           : message));
  }
  piece.resize(static_cast<size_t>(got));
  return piece;
}

}  // namespace gamut::data
