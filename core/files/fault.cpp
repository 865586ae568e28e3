// Parses GAMUT_FAIL_AT and counts passings.
#include "files/fault.h"

#include <gamut/error.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <utility>

namespace gamut::files {
namespace {

// Every point there is, so that a misspelt one is refused instead of never reached.
constexpr const char* kPoints[] = {
    "file.open",            // before a file is created
    "file.reserve",         // before space for it is reserved
    "file.write",           // before each piece of at most kPieceBytes
    "file.fsync",           // before a file is flushed to disk
    "file.close",           // before it is closed
    "file.folder",          // before a folder's entries are flushed to disk
    "checkpoint.begin",     // save called, nothing done yet
    "checkpoint.manifest",  // all files stand, no manifest yet
    "checkpoint.rename",    // all is written, the step has no final name yet
    "checkpoint.renamed",   // it has
    "checkpoint.prune",     // before an old step gets its name taken away
    "checkpoint.remove",    // before its files, or leftovers, are removed
    "checkpoint.done",      // save is about to return
    "prepare.record",       // before a finished unit of a data set is written to the journal
    "prepare.recorded",     // it stands there
    "prepare.sync",         // before the journal is flushed to disk
    "prepare.shards",       // all units are finished, no shard begun
    "prepare.rename",       // before each file of the finished set gets its name
    "prepare.manifest",     // all stand but the manifest
    "prepare.done",         // it stands too, the journal is not removed yet
};

struct Fault {
  std::string point;
  long passing = 1;
  int error = 0;  // 0: SIGKILL
  std::atomic<long> count{0};
};

std::deque<Fault> faults;
std::string mistake;  // what was wrong in the environment variable

int error_number(const std::string& name) {
  static const std::pair<const char*, int> kErrors[] = {
      {"SHORT", kShortWrite}, {"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EFBIG", EFBIG},
      {"EDQUOT", EDQUOT},     {"EROFS", EROFS},   {"EACCES", EACCES},
  };
  for (const auto& [known, number] : kErrors) {
    if (name == known) return number;
  }
  throw Error(c10::str("GAMUT_FAIL_AT: unknown error `", name,
                       "`; known are SHORT, ENOSPC, EIO, EFBIG, EDQUOT, EROFS, EACCES"));
}

void check_point(const std::string& name) {
  std::string known;
  for (const char* point : kPoints) {
    if (name == point) return;
    known += c10::str(known.empty() ? "" : ", ", point);
  }
  throw Error(c10::str("GAMUT_FAIL_AT: unknown fault point `", name, "`; known are ", known));
}

// point[:passing][=error]
void add_fault(std::string text) {
  Fault& fault = faults.emplace_back();
  if (auto equals = text.find('='); equals != std::string::npos) {
    fault.error = error_number(text.substr(equals + 1));
    text.resize(equals);
  }
  if (auto colon = text.find(':'); colon != std::string::npos) {
    char* end = nullptr;
    fault.passing = std::strtol(text.c_str() + colon + 1, &end, 10);
    GAMUT_CHECK(*end == 0 && fault.passing > 0, "GAMUT_FAIL_AT: `", text.substr(colon + 1),
                "` is no passing; count from 1");
    text.resize(colon);
  }
  check_point(text);
  GAMUT_CHECK(fault.error != kShortWrite || text == "file.write",
              "GAMUT_FAIL_AT: only file.write can be SHORT, not ", text);
  fault.point = text;
}

bool arm_from_environment() {
  const char* specification = std::getenv("GAMUT_FAIL_AT");
  if (!specification) return false;
  try {
    set_faults(specification);
  } catch (const Error& error) {
    mistake = error.what();  // nobody can catch it before main
    return true;
  }
  return !faults.empty();
}

}  // namespace

bool fault_detail::armed = arm_from_environment();

int fault_detail::passed(const char* point) {
  GAMUT_CHECK(mistake.empty(), mistake);
  for (Fault& fault : faults) {
    if (fault.point != point || ++fault.count != fault.passing) continue;
    if (fault.error != 0) return fault.error;
    std::raise(SIGKILL);
  }
  return 0;
}

void set_faults(const char* specification) {
  faults.clear();
  mistake.clear();
  std::string text = specification;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find(',', begin), text.size());
    add_fault(text.substr(begin, end - begin));
    begin = end + 1;
  }
  fault_detail::armed = !faults.empty();
}

}  // namespace gamut::files
