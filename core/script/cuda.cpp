#include "script/cuda.h"

#include <ATen/Context.h>
#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

namespace gamut::script {

namespace fs = std::filesystem;

std::string open_cuda() {
  std::error_code ignored;
  const char* asked = std::getenv("GAMUT_CUDA");
  if (asked && std::string_view(asked) == "0") return "";
  const bool wanted = asked && std::string_view(asked) == "1";
  if (!wanted && !fs::exists("/dev/nvidiactl", ignored)) return "";

  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&at::globalContext), &info)) return "";
  const fs::path library = fs::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
  if (!fs::exists(library, ignored)) {
    return "this LibTorch was installed without CUDA (no " + library.string() +
           "); computing on the CPU";
  }
  if (!dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
    return std::string("CUDA could not be opened, computing on the CPU: ") + dlerror();
  }
  return "";
}

}  // namespace gamut::script
