// Reading the tag of a file that may be anything.
#include "plugin_host/tag.h"

#include <sys/stat.h>

#include <fstream>
#include <random>

#include "gamut/version.h"
#include "test_plugins.h"

namespace gamut::host {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Tag : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& bytes) {
    const auto file = folder_.path / "file.so";
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }
  std::string refusal(const std::string& bytes) {
    const auto file = write(bytes);
    return error_of([&] { read_tag(file); });
  }
  const std::string plugin_ = bytes_of(test_plugins("faulty") / "faulty_mixer.so");
  TemporaryFolder folder_;
};

TEST_F(Tag, IsReadWithoutOpeningTheLibrary) {
  const auto tag = read_tag(test_plugins("refused") / "libtorch.so");  // opening it would abort
  ASSERT_TRUE(tag);
  EXPECT_EQ(tag->name, "libtorch");
  EXPECT_EQ(tag->kind, "mixer");
  EXPECT_EQ(tag->libtorch, "1.13.1");
  EXPECT_EQ(tag->abi, GAMUT_ABI_TAG);
  EXPECT_EQ(tag->version, "1.0.0");
  EXPECT_EQ(tag->description, "Built for another program");
}

TEST_F(Tag, FilesThatAreNoLibraries) {
  EXPECT_THAT(refusal(""), HasSubstr("is not a shared library"));
  EXPECT_THAT(refusal("#!/bin/sh\necho hello\n"), HasSubstr("is not a shared library"));
  EXPECT_THAT(refusal(std::string(100000, 'x')), HasSubstr("is not a shared library"));
  EXPECT_THAT(refusal(bytes_of("/proc/self/exe").substr(0, 16)), HasSubstr("not a shared library"));
  EXPECT_THAT(error_of([&] { read_tag(folder_.path); }), HasSubstr("is not a file"));
  EXPECT_THAT(error_of([&] { read_tag(folder_.path / "none.so"); }), HasSubstr("cannot read"));
}

TEST_F(Tag, PipeDoesNotBlock) {
  const auto pipe = folder_.path / "pipe.so";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { read_tag(pipe); }), HasSubstr("is not a file"));
}

TEST_F(Tag, TruncatedLibraryIsNamed) {
  ASSERT_GT(plugin_.size(), 4096u);
  for (size_t size : {size_t{100}, size_t{4096}, plugin_.size() / 2, plugin_.size() - 1}) {
    EXPECT_THAT(refusal(plugin_.substr(0, size)),
                AllOf(HasSubstr("file.so"), HasSubstr("cut short")))
        << size;
  }
}

TEST_F(Tag, OtherMachine) {
  std::string other = plugin_;
  other[18] = 8;  // e_machine: MIPS
  EXPECT_THAT(refusal(other), HasSubstr("another kind of machine"));
}

TEST_F(Tag, LibraryWithoutTag) {
  std::string other = plugin_;
  for (size_t at; (at = other.find("gamut_tag")) != std::string::npos;) other[at] = 'x';
  EXPECT_FALSE(read_tag(write(other)));
}

TEST_F(Tag, NonsenseInTheTag) {
  auto changed = [&](const std::string& from, const std::string& to) {
    std::string other = plugin_;
    const size_t at = other.find(from);
    EXPECT_NE(at, std::string::npos);
    return other.replace(at, from.size(), to);
  };
  for (const auto& bytes :
       {changed("gamut-plugin\n", "gamut-plugiN\n"), changed("sdk=1", "sdk=x"),
        changed("kind=mixer", "kind=mi er"), changed("name=faulty", "name=fau/ty"),
        changed("version=1.0.0", "versiom=1.0.0")}) {
    EXPECT_THAT(refusal(bytes), HasSubstr("tag that cannot be read"));
  }
}

// Headers full of nonsense give an answer or a gamut::Error, never anything else.
TEST_F(Tag, DamagedHeaders) {
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string other = plugin_;
    const size_t table = other.size() - 2048;
    for (int change = 0; change < 4; ++change) {
      const size_t at = random() % 2 ? random() % 64 : table + random() % 2048;
      other[at] = static_cast<char>(random());
    }
    refused += !refusal(other).empty();
  }
  EXPECT_GT(refused, 100);
}

std::string why(const std::string& file) {
  const auto path = test_plugins("refused") / file;
  return why_refused(*read_tag(path), path);
}

TEST(Refusal, SaysFileBuiltForProgramAndRemedy) {
  EXPECT_THAT(why("libtorch.so"),
              AllOf(HasSubstr("libtorch.so` was built for LibTorch 1.13.1"),
                    HasSubstr("this program runs " GAMUT_LIBTORCH_VERSION), HasSubstr("cmake -S")));
  EXPECT_THAT(why("sdk_major.so"), AllOf(HasSubstr("version 9."), HasSubstr("this program has 1."),
                                         HasSubstr("cmake -S")));
  EXPECT_THAT(why("sdk_minor.so"), AllOf(HasSubstr("needs version 1.99 of the plugin SDK"),
                                         HasSubstr("update this program")));
  EXPECT_THAT(why("abi.so"), AllOf(HasSubstr("libc++-x86_64"), HasSubstr(GAMUT_ABI_TAG)));
  EXPECT_THAT(why("kind.so"), HasSubstr("kind `codec`"));
}

TEST(Refusal, AnOlderMinorIsFine) {
  PluginTag tag = *read_tag(test_plugins("faulty") / "faulty_mixer.so");
  EXPECT_EQ(why_refused(tag, "x.so"), "");
  tag.sdk_minor = 0;
  EXPECT_EQ(why_refused(tag, "x.so"), "");
}

}  // namespace
}  // namespace gamut::host
