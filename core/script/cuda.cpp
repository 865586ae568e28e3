#include "script/cuda.h"

#include <ATen/Context.h>
#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "cuda/kernels.h"
#include "plugin_host/search_path.h"

namespace gamut::script {

namespace fs = std::filesystem;

namespace {

// What came of looking for LibTorch's CUDA half.
struct Search {
  bool is_open = false;
  std::string remark;   // for the user, where it was tried and failed
  std::string outcome;  // for --version, where it is not open
};

Search failed(const std::string& outcome) {
  return {false, "CUDA: " + outcome + "; computing on the CPU", outcome};
}

Search look_for_cuda() {
  std::error_code ignored;
  const char* variable = std::getenv("GAMUT_CUDA");
  const std::string_view asked = variable ? variable : "";
  if (asked == "0") return {false, "", "not opened, as GAMUT_CUDA=0 says"};
  if (!asked.empty() && asked != "1") {
    return failed("GAMUT_CUDA is `" + std::string(asked) +
                  "`; it must be 1 (use it) or 0 (do not)");
  }
  // The second is what the Linux inside of Windows has.
  const bool has_driver =
      fs::exists("/dev/nvidiactl", ignored) || fs::exists("/usr/lib/wsl/lib/libcuda.so.1", ignored);
  if (asked.empty() && !has_driver) return {false, "", "no NVIDIA device on this machine"};

  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&at::globalContext), &info)) {
    return {false, "", "the folder of LibTorch is unknown"};
  }
  const fs::path library = fs::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
  if (!fs::exists(library, ignored)) {
    return failed("this LibTorch was installed without it (no " + library.string() + ")");
  }
  if (!dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
    return failed(std::string("LibTorch's libraries could not be opened: ") + dlerror());
  }
  return {true, "", ""};
}

const Search& search() {
  static const Search found = look_for_cuda();
  return found;
}

// torch.so: its table, or why there is none.
struct Library {
  const cuda::TorchTable* table = nullptr;
  std::string remark;
};

fs::path folder_of_libraries() {
  return host::installation_folder() / "lib/gamut/cuda";
}

Library open_library() {
  if (!search().is_open) return {nullptr, search().outcome};
  const fs::path path = folder_of_libraries() / "torch.so";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    return {nullptr,
            "there is no " + path.string() + "; was Gamut built beside a LibTorch without CUDA?"};
  }
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return {nullptr, dlerror()};
  const auto entry =
      reinterpret_cast<decltype(&gamut_torch_cuda)>(dlsym(handle, "gamut_torch_cuda"));
  if (!entry) return {nullptr, path.string() + " has no function gamut_torch_cuda"};
  const cuda::TorchTable* table = entry();
  if (table->version != cuda::kTorchTableVersion) {
    return {nullptr,
            path.string() + " belongs to another version of Gamut; install both from one build"};
  }
  return {table, ""};
}

const Library& library() {
  static const Library opened = open_library();
  return opened;
}

std::string describe_devices() {
  if (!search().is_open) return "CUDA: " + search().outcome;
  const cuda::TorchTable* table = library().table;
  if (!table) return c10::str("CUDA: ", at::getNumGPUs(), " devices");
  if (!at::hasCUDA()) {
    char reason[512];
    table->why_no_device(reason, sizeof(reason));
    return std::string("CUDA: LibTorch's libraries are open, but no device answers: ") + reason;
  }
  std::string lines;
  for (int device = 0; device < static_cast<int>(at::getNumGPUs()); ++device) {
    cuda::DeviceDescription d;
    table->describe(device, &d);
    lines += c10::str(lines.empty() ? "" : "\n", "CUDA device ", device, ": ", d.name,
                      ", compute capability ", d.major, ".", d.minor, ", ", d.multiprocessors,
                      " multiprocessors, ", (d.bytes + (1 << 29)) >> 30, " GiB");
  }
  return lines;
}

std::string describe_library(const char* what, const char* file, const std::string& remark) {
  const fs::path path = folder_of_libraries() / file;
  std::error_code ignored;
  if (!search().is_open) {
    return c10::str(what, ": ", path.string(),
                    fs::exists(path, ignored) ? ", for machines with a device" : " was not built");
  }
  return c10::str(what, ": ", remark.empty() ? path.string() : "none, " + remark);
}

}  // namespace

const std::string& open_cuda() {
  return search().remark;
}

const cuda::TorchTable* torch_cuda(std::string* why) {
  if (why) *why = library().remark;
  return library().table;
}

std::string describe_cuda() {
  const std::string graphs = describe_library("CUDA graphs", "torch.so", library().remark);
  const std::string missing = search().is_open ? cuda::missing_kernels() : "";
  return describe_devices() + "\n" + graphs + "\n" +
         describe_library("CUDA kernels", "kernels.so", missing);
}

}  // namespace gamut::script
