// The suites pass sound plugins and see each fault, in the check that is meant to see it.
#include "plugin_host/conformance.h"

#include <sstream>

#include "test_plugins.h"

namespace gamut::host {
namespace {

using ::testing::HasSubstr;

struct Fault {
  const char* name;
  const char* check;   // one that must fail
  bool alone = false;  // and no other
};

std::ostream& operator<<(std::ostream& out, const Fault& fault) {
  return out << fault.name;
}
std::string name_of(const ::testing::TestParamInfo<Fault>& info) {
  return info.param.name;
}

OptionMap with_fault(const char* fault) {
  return {{"fault", OptionValue(std::string(fault))}};
}

// The lines that a suite prints.
std::string run_mixer(const std::string& name, OptionMap options) {
  auto registry = registry_of({"faulty", "new"});
  options["d_model"] = OptionValue(int64_t{12});
  OptionMap dropping = options;
  dropping["dropout"] = OptionValue(0.5);
  MixerMaker with_dropout;
  if (name == "faulty_mixer") {
    with_dropout = [&] { return registry->create_mixer(name, dropping); };
  }
  std::ostringstream out;
  ConformanceReport report(out);
  check_mixer([&] { return registry->create_mixer(name, options); }, 12, report, with_dropout);
  report.finish(name);
  return out.str();
}

std::string run_tokenizer(const std::string& name, const OptionMap& options) {
  auto registry = registry_of({"faulty", "new"});
  std::ostringstream out;
  ConformanceReport report(out);
  check_tokenizer([&] { return registry->create_tokenizer(name, options); }, report);
  report.finish(name);
  return out.str();
}

std::string run_optimizer(const std::string& name, const OptionMap& options) {
  auto registry = registry_of({"faulty", "new"});
  std::ostringstream out;
  ConformanceReport report(out);
  auto make = [&](const std::vector<GroupRequest>& groups, const OptionMap& defaults) {
    return registry->create_optimizer(name, groups, defaults);
  };
  check_optimizer(make, registry->options("optimizer", name), options, report);
  report.finish(name);
  return out.str();
}

bool failed(const std::string& lines, const std::string& check) {
  return lines.find("FAILED  " + check) != std::string::npos;
}

TEST(Conformance, SoundPluginsPass) {
  for (const auto& lines :
       {run_mixer("faulty_mixer", with_fault("none")), run_mixer("new_mixer", {}),
        run_tokenizer("faulty_tokenizer", with_fault("none")), run_tokenizer("new_tokenizer", {}),
        run_tokenizer("faulty_tokenizer", with_fault("normalizes")),
        run_tokenizer("faulty_codec", with_fault("none")),
        run_optimizer("faulty_optimizer", with_fault("none")),
        run_optimizer("new_optimizer", {})}) {
    EXPECT_THAT(lines, HasSubstr("checks, all ok"));
  }
}

class MixerFault : public ::testing::TestWithParam<Fault> {};
TEST_P(MixerFault, IsSeen) {
  const std::string lines = run_mixer("faulty_mixer", with_fault(GetParam().name));
  EXPECT_TRUE(failed(lines, GetParam().check)) << lines;
  if (GetParam().alone) {
    EXPECT_THAT(lines, HasSubstr(": 1 of ")) << "another check fails as well";
  }
}
INSTANTIATE_TEST_SUITE_P(
    Conformance, MixerFault,
    ::testing::Values(
        Fault{"future", "causality: future inputs"}, Fault{"block", "causality: gradients"},
        Fault{"wrong_gradient", "gradients"}, Fault{"no_gradient", "gradients"},
        Fault{"ignores_state", "state: pieces equal the whole"},
        Fault{"hidden_state", "state: holds all that is carried"},
        Fault{"position", "state: one step at a time"}, Fault{"documents", "documents do not leak"},
        Fault{"document_state", "documents across calls"}, Fault{"rows", "rows are independent"},
        Fault{"random", "repeat runs are bit-identical"}, Fault{"unregistered", "save and load"},
        Fault{"shapes", "bad shapes and types are refused"},
        Fault{"writes_input", "positions, strides, input kept"}, Fault{"narrow", "gradients"},
        Fault{"odd_length", "odd lengths", true},
        Fault{"empty_documents", "documents: empty, one step", true},
        Fault{"packed_step", "documents: in pieces, by steps", true},
        Fault{"empty_batch", "empty batch", true}, Fault{"divides", "finite from finite", true},
        Fault{"overflows", "finite from finite", true}, Fault{"bfloat16", "bfloat16", true},
        Fault{"autocast", "autocast", true}, Fault{"training", "training without dropout", true},
        Fault{"dropout_always", "dropout in training only", true},
        Fault{"dropout_never", "dropout in training only", true},
        Fault{"dropout_repeats", "dropout in training only", true},
        Fault{"threads", "number of threads", true}),
    name_of);

class TokenizerFault : public ::testing::TestWithParam<Fault> {};
TEST_P(TokenizerFault, IsSeen) {
  const std::string lines = run_tokenizer("faulty_tokenizer", with_fault(GetParam().name));
  EXPECT_TRUE(failed(lines, GetParam().check)) << lines;
  if (GetParam().alone) {
    EXPECT_THAT(lines, HasSubstr(": 1 of ")) << "another check fails as well";
  }
}
INSTANTIATE_TEST_SUITE_P(
    Conformance, TokenizerFault,
    ::testing::Values(Fault{"lossy", "round trip"}, Fault{"range", "ids in range"},
                      Fault{"stream", "streaming equals the whole"},
                      Fault{"special", "special ids decode to nothing"},
                      Fault{"counts", "byte counts"}, Fault{"audio", "bad input is refused"},
                      Fault{"random", "repeat runs are equal"}, Fault{"empty", "empty input"},
                      Fault{"any_codes", "bad input is refused", true},
                      Fault{"shared", "several at once", true}),
    name_of);

class CodecFault : public ::testing::TestWithParam<Fault> {};
TEST_P(CodecFault, IsSeen) {
  const std::string lines = run_tokenizer("faulty_codec", with_fault(GetParam().name));
  EXPECT_TRUE(failed(lines, GetParam().check)) << lines;
  if (GetParam().alone) {
    EXPECT_THAT(lines, HasSubstr(": 1 of ")) << "another check fails as well";
  }
}
INSTANTIATE_TEST_SUITE_P(
    Conformance, CodecFault,
    ::testing::Values(
        Fault{"channels", "wrong audio is refused", true},
        Fault{"rate", "wrong audio is refused", true},
        Fault{"not_finite", "samples that are not finite", true},
        Fault{"one_book", "leading codebooks"}, Fault{"all_rows", "leading codebooks"},
        Fault{"row_change", "decoding in pieces", true},
        Fault{"joints", "decoding in pieces", true}, Fault{"gaps", "decoding in pieces", true},
        Fault{"no_codec", "audio codec", true}, Fault{"hop", "audio codec"},
        Fault{"steps", "steps and samples", true}, Fault{"samples", "steps and samples", true},
        Fault{"one_sample", "steps and samples", true}, Fault{"decoded_rate", "round trip"},
        Fault{"identity", "identity", true}, Fault{"file_length", "code files", true},
        Fault{"file_rate", "code files", true}, Fault{"cut_files", "code files", true},
        Fault{"shared", "several at once", true}),
    name_of);

class OptimizerFault : public ::testing::TestWithParam<Fault> {};
TEST_P(OptimizerFault, IsSeen) {
  const std::string lines = run_optimizer("faulty_optimizer", with_fault(GetParam().name));
  EXPECT_TRUE(failed(lines, GetParam().check)) << lines;
}
INSTANTIATE_TEST_SUITE_P(Conformance, OptimizerFault,
                         ::testing::Values(Fault{"ascends", "decreases a quadratic"},
                                           Fault{"forgets", "resumes exactly"},
                                           Fault{"aliases", "resumes exactly"},
                                           Fault{"any_state", "a foreign state is refused"},
                                           Fault{"half_loaded", "a foreign state is refused"},
                                           Fault{"decays_all", "no gradient, no change"},
                                           Fault{"fixed_lr", "options take effect"},
                                           Fault{"random", "repeat runs are bit-identical"},
                                           Fault{"names", "names of the state"},
                                           Fault{"lazy", "state before the first step"},
                                           Fault{"recorded_lr", "a recorded step is a step"}),
                         name_of);

}  // namespace
}  // namespace gamut::host
