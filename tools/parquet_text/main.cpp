// gamut-parquet-text: a text column of a Parquet file as documents on stdout.
//
// A program of its own, because Arrow needs C++20 and brings 60 MB of libraries that nothing else
// of Gamut uses; core/data/prepare/parquet_documents.cpp runs it as a child.
//
//   gamut-parquet-text info FILE                        JSON: rows, columns, sizes of row groups
//   gamut-parquet-text read FILE COLUMN [BEGIN END]     rows of that range, or all
//
// `read` writes each row as its length, 8 bytes little-endian, then that many bytes; a null is the
// length 2^64 - 1 alone. All is well when it exits with 0; otherwise stderr holds one sentence, and
// the output may end anywhere.
#include <arrow/io/file.h>
#include <parquet/api/reader.h>
#include <parquet/exception.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Reader = std::unique_ptr<parquet::ParquetFileReader>;

constexpr int64_t kBatch = 256;  // rows decoded at a time
constexpr size_t kBuffer = size_t{1} << 20;
constexpr uint64_t kNull = ~uint64_t{0};

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// stdout with its failures noticed.
class Output {
 public:
  void write(const void* data, size_t bytes) {
    buffer_.append(static_cast<const char*>(data), bytes);
    if (buffer_.size() >= kBuffer) flush();
  }
  void flush() {
    for (size_t done = 0; done < buffer_.size();) {
      const ssize_t now = ::write(STDOUT_FILENO, buffer_.data() + done, buffer_.size() - done);
      if (now < 0 && errno == EINTR) continue;
      if (now < 0)
        throw Failure(std::string("cannot write the documents: ") + std::strerror(errno));
      done += static_cast<size_t>(now);
    }
    buffer_.clear();
  }

 private:
  std::string buffer_;
};

// Memory-mapped files and threads would gain nothing: one process reads one range.
Reader open(const std::string& path) {
  parquet::ReaderProperties properties;
  properties.enable_buffered_stream();  // a page at a time, not a whole column chunk
  return parquet::ParquetFileReader::OpenFile(path, /*memory_map=*/false, properties);
}

bool is_text(const parquet::ColumnDescriptor& column) {
  return column.physical_type() == parquet::Type::BYTE_ARRAY && column.max_repetition_level() == 0;
}

std::string names_of_text(const parquet::SchemaDescriptor& schema) {
  std::string names;
  for (int i = 0; i < schema.num_columns(); ++i) {
    if (is_text(*schema.Column(i)))
      names += (names.empty() ? "" : ", ") + schema.Column(i)->path()->ToDotString();
  }
  return names.empty() ? "none" : names;
}

int column_of(const parquet::FileMetaData& file, const std::string& name) {
  for (int i = 0; i < file.num_columns(); ++i) {
    const auto& column = *file.schema()->Column(i);
    if (column.path()->ToDotString() != name) continue;
    if (is_text(column)) return i;
    throw Failure("its column `" + name + "` holds no text (" +
                  parquet::TypeToString(column.physical_type()) +
                  "); its columns of text are: " + names_of_text(*file.schema()));
  }
  throw Failure("it has no column `" + name +
                "`; its columns of text are: " + names_of_text(*file.schema()));
}

// A name as JSON has it.
std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    std::array<char, 8> code{};
    if (static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\') {
      std::snprintf(code.data(), code.size(), "\\u%04x", static_cast<unsigned>(c));
      json += code.data();
    } else {
      json += c;
    }
  }
  return json + "\"";
}

// {"rows": 10, "columns": ["text"], "row_groups": [[5, {"text": 1234}], ...]}: rows of each group,
// and bytes of each text column in it, unpacked.
void print_info(const std::string& path) {
  const Reader reader = open(path);
  const auto file = reader->metadata();
  std::string columns, groups;
  for (int i = 0; i < file->num_columns(); ++i) {
    if (!is_text(*file->schema()->Column(i))) continue;
    columns +=
        (columns.empty() ? "" : ",") + quoted(file->schema()->Column(i)->path()->ToDotString());
  }
  for (int g = 0; g < file->num_row_groups(); ++g) {
    const auto group = file->RowGroup(g);
    std::string sizes;
    for (int i = 0; i < file->num_columns(); ++i) {
      const auto& column = *file->schema()->Column(i);
      if (!is_text(column)) continue;
      sizes += (sizes.empty() ? "" : ",") + quoted(column.path()->ToDotString()) + ":" +
               std::to_string(group->ColumnChunk(i)->total_uncompressed_size());
    }
    groups +=
        (groups.empty() ? "[" : ",[") + std::to_string(group->num_rows()) + ",{" + sizes + "}]";
  }
  std::cout << "{\"rows\":" << file->num_rows() << ",\"columns\":[" << columns
            << "],\"row_groups\":[" << groups << "]}" << std::endl;
  if (!std::cout) throw Failure("cannot write to stdout");
}

// Rows [begin, end) of one row group.
void write_rows(parquet::ByteArrayReader& column, int64_t begin, int64_t end, Output& output) {
  const bool optional = column.descr()->max_definition_level() > 0;
  const int16_t defined = column.descr()->max_definition_level();
  std::array<int16_t, kBatch> levels{};
  std::array<parquet::ByteArray, kBatch> values{};
  column.Skip(begin);
  for (int64_t row = begin; row < end;) {
    int64_t read = 0;
    const int64_t rows =
        column.ReadBatch(std::min(kBatch, end - row), optional ? levels.data() : nullptr, nullptr,
                         values.data(), &read);
    if (rows <= 0) throw Failure("it ends after row " + std::to_string(row) + " of a row group");
    for (int64_t i = 0, value = 0; i < rows; ++i) {
      const bool there = !optional || levels.at(static_cast<size_t>(i)) == defined;
      const auto& text = values.at(static_cast<size_t>(there ? value++ : 0));
      const uint64_t length = there ? text.len : kNull;
      output.write(&length, sizeof length);
      if (there) output.write(text.ptr, text.len);
    }
    row += rows;
  }
}

void write_documents(const std::string& path, const std::string& name, int64_t begin, int64_t end) {
  const Reader reader = open(path);
  const auto file = reader->metadata();
  const int column = column_of(*file, name);
  end = std::min(end, file->num_rows());
  if (begin > end)
    throw Failure("it has " + std::to_string(end) + " rows, and the range begins at " +
                  std::to_string(begin));
  Output output;
  int64_t first = 0;  // row of the group's beginning
  for (int g = 0; g < file->num_row_groups() && first < end; ++g) {
    const int64_t rows = file->RowGroup(g)->num_rows();
    if (first + rows > begin) {
      const auto chunk = reader->RowGroup(g)->Column(column);
      write_rows(static_cast<parquet::ByteArrayReader&>(*chunk),
                 std::max<int64_t>(begin - first, 0), std::min(end - first, rows), output);
    }
    first += rows;
  }
  output.flush();
}

int64_t number(const std::string& text) {
  int64_t value = -1;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || *rest != 0 || value < 0) throw Failure("`" + text + "` is no row");
  return value;
}

int run(const std::vector<std::string>& words) {
  if (words.size() == 2 && words[0] == "info") {
    print_info(words[1]);
  } else if ((words.size() == 3 || words.size() == 5) && words[0] == "read") {
    const bool all = words.size() == 3;
    write_documents(words[1], words[2], all ? 0 : number(words[3]),
                    all ? INT64_MAX : number(words[4]));
  } else {
    std::fputs("gamut-parquet-text info FILE\ngamut-parquet-text read FILE COLUMN [BEGIN END]\n",
               stderr);
    return 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that has gone is an error of write
  const std::vector<std::string> words(argv + 1, argv + argc);
  const std::string path = words.size() > 1 ? words[1] : "";
  try {
    return run(words);
  } catch (const std::exception& error) {
    std::string why = error.what();
    std::replace(why.begin(), why.end(), '\n', ' ');
    std::fprintf(stderr, "cannot read %s: %s\n", path.c_str(), why.c_str());
    return 1;
  }
}
