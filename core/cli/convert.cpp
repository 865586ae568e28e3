// gamut convert IN OUT.safetensors: a checkpoint of Python's torch.save as a safetensors file.
#include "checkpoint/torch_file/convert.h"

#include <cinttypes>
#include <cstdio>

#include "cli/cli.h"

namespace gamut::cli {
namespace {

using checkpoint::torch_file::Converted;
using checkpoint::torch_file::ConvertOptions;

struct Arguments {
  std::filesystem::path from;
  std::filesystem::path to;
  ConvertOptions options;
};

// A list for one line; a long one ends with how many more there are.
std::string listed(const std::vector<std::string>& words, size_t total) {
  constexpr size_t kShown = 8;
  std::string text;
  for (size_t i = 0; i < std::min(words.size(), kShown); ++i) {
    text += (i > 0 ? ", " : "") + words[i];
  }
  if (total > kShown) text += c10::str(" and ", total - kShown, " more");
  return text;
}

std::string dtypes_of(const Converted& converted) {
  std::string text;
  for (const auto& [name, count] : converted.dtypes) {
    text += c10::str(text.empty() ? "" : ", ", count, " ", name);
  }
  return text;
}

int write_converted(const Arguments& arguments) {
  const Converted converted =
      checkpoint::torch_file::convert(arguments.from, arguments.to, arguments.options);
  const std::string place = converted.key.empty() ? "the top level" : "`" + converted.key + "`";
  std::printf("Wrote %s: %zu tensors (%s), %" PRIu64 " bytes.\n", arguments.to.c_str(),
              converted.tensors, dtypes_of(converted).c_str(), converted.bytes);
  std::printf("  taken from  %s of %s\n", place.c_str(), arguments.from.c_str());
  std::printf("  metadata    %s\n", listed(converted.metadata, converted.metadata.size()).c_str());
  if (converted.other_tensors > 0) {
    std::printf("  left out    %zu tensors without the prefix `%s`\n", converted.other_tensors,
                arguments.options.prefix.c_str());
  }
  if (converted.left_out > 0) {
    std::printf("  left out    %s\n", listed(converted.left_out_keys, converted.left_out).c_str());
  }
  return kSuccess;
}

}  // namespace

void add_convert(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand(
      "convert",
      "Turn a checkpoint of Python's torch.save (.pth, .th, .pt, .bin) into safetensors");
  auto arguments = std::make_shared<Arguments>();
  ConvertOptions& options = arguments->options;
  verb->add_option("in", arguments->from, "The checkpoint; nothing in it is run")->required();
  verb->add_option("out", arguments->to, "The file to write, NAME.safetensors")
      ->required()
      ->check([](const std::string& name) {
        const bool fits = std::filesystem::path(name).extension() == ".safetensors";
        return fits ? std::string() : "`" + name + "` does not end with .safetensors";
      });
  verb->add_option("--key", options.key,
                   "The dictionary to take, such as `state_dict` or `best_state/model`; chosen by "
                   "itself where it is plain which");
  verb->add_option("--prefix", options.prefix,
                   "Take only tensors whose names begin so, and cut it off");
  verb->add_option_function<std::string>(
          "--dtype",
          [arguments](const std::string& name) {
            arguments->options.dtype = name == "float32"   ? at::kFloat
                                       : name == "float16" ? at::kHalf
                                                           : at::kBFloat16;
          },
          "What tensors of floating point become")
      ->check(CLI::IsMember({"float32", "float16", "bfloat16"}));
  verb->add_flag("--force", options.force, "Replace a file that is there");
  verb->callback([&context, arguments] {
    context.verb = [arguments] { return write_converted(*arguments); };
  });
}

}  // namespace gamut::cli
