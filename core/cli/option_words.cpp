#include "cli/option_words.h"

#include "plugin_host/options_check.h"
#include "text/nearest.h"

namespace gamut::cli {
namespace {

void set(OptionMap& options, const std::string& name, const std::string& text,
         const OptionTable& table, const std::string& context) {
  const size_t dot = name.find('.');
  const std::string head = name.substr(0, dot);
  std::vector<std::string> names;
  const OptionSpec* spec = nullptr;
  for (const auto& candidate : table) {
    names.push_back(candidate.name);
    if (candidate.name == head) spec = &candidate;
  }
  GAMUT_CHECK(spec, "unknown option `", head, "` of ", context, text::did_you_mean(head, names));
  if (dot == std::string::npos) {
    options[head] = host::parse_option(*spec, text, context);
    return;
  }
  const auto* old = std::get_if<std::shared_ptr<const OptionMap>>(&options[head].base());
  auto entries = std::make_shared<OptionMap>(old && *old ? **old : OptionMap{});
  (*entries)[name.substr(dot + 1)] = host::parse_value(text);
  options[head] = OptionValue(std::shared_ptr<const OptionMap>(std::move(entries)));
}

}  // namespace

bool is_setting(const std::string& word) {
  const size_t end = word.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.");
  return end != std::string::npos && end > 0 && word[end] == '=' && word[0] >= 'a' &&
         word[0] <= 'z';
}

OptionMap parse_options(const std::vector<std::string>& words, const OptionTable& table,
                        const std::string& context) {
  OptionMap options;
  for (const auto& word : words) {
    const size_t equals = word.find('=');
    GAMUT_CHECK(equals != std::string::npos && equals > 0,
                "an option is given as name=value, not `", word, "`");
    set(options, word.substr(0, equals), word.substr(equals + 1), table, context);
  }
  return options;
}

}  // namespace gamut::cli
