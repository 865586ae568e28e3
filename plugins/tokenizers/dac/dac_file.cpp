// The dictionary is that of DACFile in descript-audio-codec 1.0.0.
#include "dac_file.h"

#include <gamut/error.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "unpickle.h"

namespace gamut::dac {
namespace {

using Kind = Pickled::Kind;
constexpr uint64_t kMaxRows = 65536;  // channels, codebooks: with no frames they cost no bytes
constexpr std::string_view kMagic("\x93NUMPY", 6);

// Where the pickle begins: after the header of an array of one object.
size_t skip_header(std::string_view bytes) {
  GAMUT_CHECK(bytes.size() >= 10 && bytes.substr(0, 6) == kMagic,
              "not a .dac file: it does not begin as a NumPy array file does");
  const bool wide = bytes[6] > 1;  // versions 2 and 3 have a length of four bytes
  size_t length = 0;
  const size_t begin = wide ? 12 : 10;
  GAMUT_CHECK(bytes.size() >= begin, "not a .dac file: it is cut short in its first ", begin,
              " bytes");
  for (size_t i = begin; i-- > 8;) length = length << 8 | static_cast<uint8_t>(bytes[i]);
  GAMUT_CHECK(length <= bytes.size() - begin, "not a .dac file: at byte 8, its header should have ",
              length, " bytes, and the file has ", bytes.size() - begin, " more");
  const auto header = bytes.substr(begin, length);
  const auto has = [&](std::string_view text) { return header.find(text) != header.npos; };
  GAMUT_CHECK(has("'descr': '|O'") && has("'shape': ()"), "not a .dac file: at byte ", begin,
              ", it is a NumPy array of numbers and should be of one object");
  return begin + length;
}

class Dictionary {
 public:
  explicit Dictionary(const Pickle& pickle) : pickle_(pickle) {
    // An array of shape () and type object, its data a list of one dictionary.
    const auto& array = object(pickle.root, "ndarray", "the file's object");
    const auto& data = value(array.items[3]);
    require(data.kind == Kind::list && data.items.size() == 1, array, "the file's object",
            "one dictionary");
    root_ = data.items[0];
  }

  DacFile read() const {
    DacFile file;
    const auto& root = dict(root_, "the file's object");
    const auto& metadata = dict(entry(root, "codes and metadata", "metadata"), "metadata");
    const auto find = [&](const char* key) { return entry(metadata, "metadata", key); };
    file.original_length = integer(find("original_length"), "original_length", 0);
    file.sample_rate = integer(find("sample_rate"), "sample_rate", 1);
    file.chunk_length = integer(find("chunk_length"), "chunk_length", 1);
    file.channels = integer(find("channels"), "channels", 1);
    const auto& padding = value(find("padding"));
    require(padding.kind == Kind::boolean, padding, "padding", "True or False");
    file.padding = padding.number != 0;
    const auto& version = value(find("dac_version"));
    require(version.kind == Kind::text && version.text == "1.0.0", version, "dac_version",
            "\"1.0.0\"");
    file.version = std::string(version.text);
    file.input_db = decibels(find("input_db"));
    read_codes(entry(root, "codes and metadata", "codes"), file);
    return file;
  }

 private:
  const Pickled& value(size_t place) const { return pickle_.values[place]; }

  static void require(bool condition, const Pickled& where, const std::string& what,
                      const std::string& wanted) {
    GAMUT_CHECK(condition, "not a .dac file that can be read: at byte ", where.at, ", ", what,
                " should be ", wanted);
  }

  const Pickled& object(size_t place, const char* type, const char* what) const {
    const auto& found = value(place);
    // What build() has filled: four items of an array, two of a dtype.
    const size_t items = std::string_view(type) == "ndarray" ? 4 : 2;
    require(found.kind == Kind::object && found.text == type && found.items.size() == items, found,
            what, c10::str("a NumPy ", type));
    return found;
  }
  const Pickled& dict(size_t place, const char* what) const {
    require(value(place).kind == Kind::dict, value(place), what, "a dictionary");
    return value(place);
  }
  size_t entry(const Pickled& dictionary, const char* name, const char* key) const {
    for (size_t i = 0; i + 1 < dictionary.items.size(); i += 2) {
      const auto& candidate = value(dictionary.items[i]);
      if (candidate.kind == Kind::text && candidate.text == key) return dictionary.items[i + 1];
    }
    throw Error(c10::str("not a .dac file that can be read: at byte ", dictionary.at,
                         ", the dictionary of ", name, " has no `", key, "`"));
  }
  int64_t integer(size_t place, const char* what, int64_t least) const {
    const auto& found = value(place);
    require(found.kind == Kind::integer && found.number >= least, found, what,
            c10::str("a whole number from ", least));
    return found.number;
  }

  // An array: its shape, and its bytes once they are as many as shape and element size say.
  std::string_view array(size_t place, const char* what, const std::string& code,
                         std::vector<uint64_t>& shape, bool& fortran) const {
    const auto& found = object(place, "ndarray", what);
    const auto& dtype = object(found.items[1], "dtype", what);
    const auto &type = value(dtype.items[0]), &order = value(dtype.items[1]);
    require(type.kind == Kind::text && type.text == code && order.kind == Kind::text &&
                order.text == "<",
            dtype, what, "little-endian numbers of type " + code);
    const auto &sizes = value(found.items[0]), &data = value(found.items[3]);
    require(sizes.kind == Kind::tuple && data.kind == Kind::bytes, found, what, "an array");
    uint64_t bytes = code == "u2" ? 2 : 4;
    for (const size_t item : sizes.items) {
      const auto size = static_cast<uint64_t>(integer(item, what, 0));
      // The product is checked at every factor, so that none wraps around.
      require(size == 0 || bytes <= std::numeric_limits<uint64_t>::max() / size, found, what,
              "smaller");
      bytes *= size;
      shape.push_back(size);
    }
    GAMUT_CHECK(bytes == data.text.size(), "not a .dac file that can be read: at byte ", data.at,
                ", ", what, " has ", data.text.size(), " bytes, and its shape asks for ", bytes);
    fortran = value(found.items[2]).kind == Kind::boolean && value(found.items[2]).number != 0;
    return data.text;
  }

  std::vector<float> decibels(size_t place) const {
    if (value(place).kind == Kind::real) return {static_cast<float>(value(place).real)};
    std::vector<uint64_t> shape;
    bool fortran = false;
    const auto bytes = array(place, "input_db", "f4", shape, fortran);
    std::vector<float> result(bytes.size() / 4);
    if (!result.empty()) std::memcpy(result.data(), bytes.data(), bytes.size());
    for (const float db : result) {
      require(std::isfinite(db), value(place), "input_db", "finite");
    }
    require(!result.empty(), value(place), "input_db", "one number, or one a channel");
    return result;
  }

  void read_codes(size_t place, DacFile& file) const {
    std::vector<uint64_t> shape;
    bool fortran = false;
    const auto bytes = array(place, "codes", "u2", shape, fortran);
    const bool sizes = shape.size() == 3 && shape[0] <= kMaxRows && shape[1] <= kMaxRows;
    require(sizes && shape[1] > 0, value(place), "codes", "of shape [channels, codebooks, frames]");
    require(shape[0] == static_cast<uint64_t>(file.channels), value(place), "codes",
            c10::str("of as many channels as the metadata says, ", file.channels));
    file.batch = static_cast<int64_t>(shape[0]);
    file.codebooks = static_cast<int64_t>(shape[1]);
    file.frames = static_cast<int64_t>(shape[2]);
    file.codes.resize(bytes.size() / 2);
    if (file.codes.empty()) return;
    size_t next = 0;
    for (uint64_t c = 0; c < shape[0]; ++c) {
      for (uint64_t k = 0; k < shape[1]; ++k) {
        for (uint64_t t = 0; t < shape[2]; ++t) {
          const uint64_t from =
              fortran ? c + shape[0] * (k + shape[1] * t) : (c * shape[1] + k) * shape[2] + t;
          std::memcpy(&file.codes[next++], bytes.data() + 2 * from, 2);
        }
      }
    }
  }

  const Pickle& pickle_;
  size_t root_ = 0;
};

// Writes the opcodes that Python's pickle would, without its memo.
class Writer {
 public:
  std::string bytes;

  void text(std::string_view value) {  // SHORT_BINUNICODE
    bytes += '\x8c';
    bytes += static_cast<char>(value.size());
    bytes += value;
  }
  void integer(int64_t value) {
    if (value >= 0 && value < 256) {
      bytes += 'K';
      number(static_cast<uint64_t>(value), 1);
    } else {
      bytes += "\x8a\x08";  // LONG1 of eight bytes
      number(static_cast<uint64_t>(value), 8);
    }
  }
  void boolean(bool value) { bytes += value ? '\x88' : '\x89'; }
  void key(std::string_view name) { text(name); }

  // An array to be filled, and the state that fills it but for its data: array_begin, data,
  // array_end.
  void array_begin(const std::vector<int64_t>& shape, std::string_view code,
                   std::string_view order) {
    // The old name of the module, which every NumPy has.
    global("numpy.core.multiarray", "_reconstruct");
    global("numpy", "ndarray");
    bytes += "K";
    bytes += '\0';
    bytes +=
        "\x85"
        "C\x01"
        "b\x87R(";  // (0,), b"b", call; the state begins
    integer(1);
    bytes += '(';
    for (const int64_t size : shape) integer(size);
    bytes += 't';
    dtype(code, order);
    boolean(false);
  }
  void array_end() { bytes += "tb"; }
  void data(const void* from, size_t size) {
    const bool wide = size > std::numeric_limits<uint32_t>::max();
    bytes += wide ? '\x8e' : 'B';
    number(size, wide ? 8 : 4);
    bytes.append(static_cast<const char*>(from), size);
  }

 private:
  void number(uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  }
  void global(std::string_view module, std::string_view name) {
    text(module);
    text(name);
    bytes += '\x93';
  }
  void dtype(std::string_view code, std::string_view order) {
    global("numpy", "dtype");
    text(code);
    bytes += "\x89\x88\x87R(";  // False, True, call; the state begins
    integer(3);
    text(order);
    bytes += "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff";
    integer(code == "O8" ? 63 : 0);
    bytes += "tb";
  }
};

std::string npy_header() {
  std::string header = "{'descr': '|O', 'fortran_order': False, 'shape': (), }";
  header.resize(117, ' ');  // 128 bytes with what stands before and the end of the line
  header += '\n';
  return std::string(kMagic) + std::string("\x01\x00", 2) + static_cast<char>(header.size()) +
         std::string(1, '\0') + header;
}

}  // namespace

DacFile parse_dac_file(std::string_view bytes) {
  const Pickle pickle = unpickle(bytes, skip_header(bytes));
  return Dictionary(pickle).read();
}

std::string write_dac_file(const DacFile& file) {
  Writer writer;
  writer.bytes = npy_header() + "\x80\x04";
  writer.array_begin({}, "O8", "|");
  writer.bytes += "]}(";  // the list of one dictionary
  writer.key("codes");
  writer.array_begin({file.batch, file.codebooks, file.frames}, "u2", "<");
  writer.data(file.codes.data(), 2 * file.codes.size());
  writer.array_end();
  writer.key("metadata");
  writer.bytes += "}(";
  writer.key("input_db");
  writer.array_begin({static_cast<int64_t>(file.input_db.size())}, "f4", "<");
  writer.data(file.input_db.data(), 4 * file.input_db.size());
  writer.array_end();
  writer.key("original_length");
  writer.integer(file.original_length);
  writer.key("sample_rate");
  writer.integer(file.sample_rate);
  writer.key("chunk_length");
  writer.integer(file.chunk_length);
  writer.key("channels");
  writer.integer(file.channels);
  writer.key("padding");
  writer.boolean(file.padding);
  writer.key("dac_version");
  writer.text(file.version);
  writer.bytes += "uua";  // both dictionaries and the list are complete
  writer.array_end();
  writer.bytes += '.';
  return std::move(writer.bytes);
}

}  // namespace gamut::dac
