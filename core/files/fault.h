// Fault points: named places where a test can make the program die or an operation fail.
//
//     GAMUT_FAIL_AT="checkpoint.rename:3"           SIGKILL at the third passing
//     GAMUT_FAIL_AT="file.write:2=ENOSPC"           the second passing fails with that errno
//     GAMUT_FAIL_AT="file.write:1=SHORT"            the first write is a short one
//
// Several are separated by commas. Unset, a point costs one load and one branch.
#pragma once

namespace gamut::files {

namespace fault_detail {
extern bool armed;
int passed(const char* point);
}  // namespace fault_detail

// What fault() returns for `=SHORT`; no errno has this value.
constexpr int kShortWrite = -1;

// Passes a point. Returns 0, or the errno that the operation has to fail with, or kShortWrite.
inline int fault(const char* point) {
  return fault_detail::armed ? fault_detail::passed(point) : 0;
}

// Reads a specification as of GAMUT_FAIL_AT; "" disarms. Throws gamut::Error for unknown points.
// The environment variable itself is read before main; what is wrong in it is said at the first
// point that is passed.
void set_faults(const char* specification);

}  // namespace gamut::files
