// Finds the ELF section `gamut_tag` in a file and parses it; compares it with this program.
#include "plugin_host/tag.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <vector>

#include "gamut/plugin.h"
#include "plugin_host/search_path.h"

namespace gamut::host {
namespace {

constexpr size_t kMaxTagBytes = 4096;
constexpr size_t kMaxNameBytes = 1 << 20;  // of the table of section names

#if defined(__x86_64__)
constexpr uint16_t kMachine = EM_X86_64;
#else
constexpr uint16_t kMachine = EM_AARCH64;
#endif

// A regular file, read at offsets that are checked against its size.
class File {
 public:
  explicit File(const std::filesystem::path& path) : path_(path) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    GAMUT_CHECK(fd_ >= 0, "cannot read `", path.string(), "`: ", std::strerror(errno));
    struct stat status{};
    if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(fd_);
      throw Error("`" + path.string() + "` is not a file");
    }
    size_ = static_cast<uint64_t>(status.st_size);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::close(fd_); }

  void read(uint64_t offset, void* to, size_t bytes) const {
    GAMUT_CHECK(bytes <= size_ && offset <= size_ - bytes, "`", path_.string(),
                "` is cut short: it ends at byte ", size_, ", but its headers point to byte ",
                offset, "; build or copy it again");
    GAMUT_CHECK(::pread(fd_, to, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes),
                "cannot read `", path_.string(), "`: ", std::strerror(errno));
  }
  uint64_t size() const { return size_; }
  std::string name() const { return "`" + path_.string() + "`"; }

 private:
  std::filesystem::path path_;
  int fd_;
  uint64_t size_;
};

Elf64_Ehdr read_header(const File& file) {
  Elf64_Ehdr header{};
  const char* wrong = " is not a shared library";
  GAMUT_CHECK(file.size() >= sizeof header, file.name(), wrong);
  file.read(0, &header, sizeof header);
  GAMUT_CHECK(std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0, file.name(), wrong);
  GAMUT_CHECK(header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == ELFDATA2LSB &&
                  header.e_machine == kMachine,
              file.name(), " is built for another kind of machine than this program");
  GAMUT_CHECK(header.e_type == ET_DYN, file.name(), wrong);
  GAMUT_CHECK(header.e_shentsize == sizeof(Elf64_Shdr) && header.e_shstrndx < header.e_shnum,
              file.name(), " has damaged ELF headers; build or copy it again");
  return header;
}

// The bytes of the section, or nothing.
std::optional<std::string> read_section(const File& file, const char* wanted) {
  const Elf64_Ehdr header = read_header(file);
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  file.read(header.e_shoff, sections.data(), sections.size() * sizeof(Elf64_Shdr));

  const Elf64_Shdr& table = sections[header.e_shstrndx];
  GAMUT_CHECK(table.sh_size <= kMaxNameBytes, file.name(), " has damaged ELF headers: its ",
              table.sh_size, " bytes of section names are more than any library has");
  std::string names(table.sh_size, '\0');
  file.read(table.sh_offset, names.data(), names.size());

  const std::string key = std::string(wanted) + '\0';
  for (const auto& section : sections) {
    if (section.sh_name >= names.size() || section.sh_type != SHT_PROGBITS) continue;
    if (names.compare(section.sh_name, key.size(), key) != 0) continue;
    GAMUT_CHECK(section.sh_size <= kMaxTagBytes, file.name(), " has a plugin tag of ",
                section.sh_size, " bytes; at most ", kMaxTagBytes, " are allowed");
    std::string bytes(section.sh_size, '\0');
    file.read(section.sh_offset, bytes.data(), bytes.size());
    return bytes;
  }
  return std::nullopt;
}

bool parse_number(std::string_view text, uint32_t& value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && result.ec == std::errc() && result.ptr == text.data() + text.size();
}

// One `key=value` line; false when a known key has a value that makes no sense.
bool parse_line(std::string_view line, PluginTag& tag) {
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string_view key = line.substr(0, equals), value = line.substr(equals + 1);
  if (key == "sdk") {
    const size_t dot = value.find('.');
    return dot != std::string_view::npos && parse_number(value.substr(0, dot), tag.sdk_major) &&
           parse_number(value.substr(dot + 1), tag.sdk_minor);
  }
  if (key == "libtorch") tag.libtorch = value;
  if (key == "abi") tag.abi = value;
  if (key == "kind") tag.kind = value;
  if (key == "name") tag.name = value;
  if (key == "version") tag.version = value;
  if (key == "description") tag.description = value;
  return true;  // a newer SDK may add keys
}

// Names and versions are printed and used in paths and messages: printable, no spaces.
bool is_word(const std::string& text) {
  for (unsigned char c : text) {
    if (c <= ' ' || c >= 127 || c == '/') return false;
  }
  return !text.empty() && text.size() <= 100;
}

bool parse_tag(std::string_view text, PluginTag& tag) {
  text = text.substr(0, text.find('\0'));
  const std::string_view first = "gamut-plugin\n";
  if (text.substr(0, first.size()) != first) return false;
  text.remove_prefix(first.size());
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos || !parse_line(text.substr(0, end), tag)) return false;
    text.remove_prefix(end + 1);
  }
  return tag.sdk_major > 0 && is_word(tag.libtorch) && is_word(tag.abi) && is_word(tag.kind) &&
         is_word(tag.name) && is_word(tag.version);
}

}  // namespace

std::optional<PluginTag> read_tag(const std::filesystem::path& path) {
  const File file(path);
  const auto section = read_section(file, GAMUT_PLUGIN_SECTION);
  if (!section) return std::nullopt;
  PluginTag tag;
  GAMUT_CHECK(parse_tag(*section, tag), file.name(),
              " has a plugin tag that cannot be read; build or copy it again");
  return tag;
}

std::string why_refused(const PluginTag& tag, const std::filesystem::path& path) {
  const std::string file = "`" + path.string() + "`";
  const std::string rebuild = "rebuild it: cmake -S SOURCE -B build -Dgamut_DIR=" +
                              (installation_folder() / "lib/cmake/gamut").string() +
                              " && cmake --build build, SOURCE being its folder";
  if (tag.sdk_major != GAMUT_SDK_VERSION_MAJOR) {
    return c10::str(file, " was built for version ", tag.sdk_major, ".", tag.sdk_minor,
                    " of the plugin SDK, and this program has ", GAMUT_SDK_VERSION_MAJOR, ".",
                    GAMUT_SDK_VERSION_MINOR, "; ", rebuild);
  }
  if (tag.sdk_minor > GAMUT_SDK_VERSION_MINOR) {
    return c10::str(file, " needs version ", tag.sdk_major, ".", tag.sdk_minor,
                    " of the plugin SDK, and this program has ", GAMUT_SDK_VERSION_MAJOR, ".",
                    GAMUT_SDK_VERSION_MINOR, "; update this program, or ", rebuild);
  }
  if (tag.libtorch != GAMUT_LIBTORCH_VERSION) {
    return c10::str(file, " was built for LibTorch ", tag.libtorch, ", and this program runs ",
                    GAMUT_LIBTORCH_VERSION, "; ", rebuild);
  }
  if (tag.abi != GAMUT_ABI_TAG) {
    return c10::str(file, " was built for the C++ ABI ", tag.abi, ", and this program has ",
                    GAMUT_ABI_TAG, "; ", rebuild);
  }
  if (tag.kind != "mixer" && tag.kind != "tokenizer" && tag.kind != "optimizer") {
    return c10::str(file, " is a plugin of the kind `", tag.kind,
                    "`; this program knows mixer, tokenizer and optimizer");
  }
  return "";
}

}  // namespace gamut::host
