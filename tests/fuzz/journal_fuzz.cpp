// Any bytes as a journal: its whole records are found, read as they were found, and outlive what is
// appended; a journal that is cut anywhere keeps the whole records before the cut.
#include "data/prepare/journal.h"

#include <gamut/error.h>

#include <vector>

#include "support.h"

namespace {

using gamut::data::Journal;
using gamut::fuzz::MemoryFile;
using gamut::fuzz::require;

struct Opened {
  explicit Opened(const MemoryFile& file)
      : journal(file.path(), [&](std::string_view head, const Journal::Place& place) {
          heads.emplace_back(head);
          places.push_back(place);
        }) {}

  std::vector<std::string> heads;
  std::vector<Journal::Place> places;
  Journal journal;
};

void any_bytes(const uint8_t* data, size_t size) {
  const MemoryFile file(data, size);
  size_t records = 0;
  {
    Opened opened(file);
    require(opened.journal.bytes() + opened.journal.dropped_bytes() == size);
    for (size_t i = 0; i < opened.heads.size(); ++i) {
      require(opened.journal.read(opened.places[i]).head == opened.heads[i]);
    }
    opened.journal.append("head", "payload");
    records = opened.heads.size() + 1;
  }
  Opened again(file);
  require(again.heads.size() == records && again.journal.dropped_bytes() == 0);
  require(again.journal.read(again.places.back()).payload == "payload");
}

void cut_anywhere(const uint8_t* data, size_t size) {
  const MemoryFile file(data, 0);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::vector<uint64_t> ends;
  {
    Opened opened(file);
    opened.journal.append(bytes.substr(0, size / 3), bytes.substr(size / 3));
    ends.push_back(opened.journal.bytes());
    opened.journal.append(bytes.substr(0, size / 2), "");
    ends.push_back(opened.journal.bytes());
  }
  const uint64_t cut = (data[0] + 256u * data[size - 1]) % (ends[1] + 1);
  require(truncate(file.path().c_str(), static_cast<off_t>(cut)) == 0);
  const Opened opened(file);
  require(opened.heads.size() == (cut >= ends[0]) + static_cast<size_t>(cut >= ends[1]));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  any_bytes(data, size);
  if (size > 0) cut_anywhere(data, size);
  return 0;
}
