// Broken and hostile YAML.
#include "config/raw.h"

#include <random>

#include "fixture.h"

namespace gamut::config {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string parse_error(const std::string& yaml) {
  return error_of([&] { parse_yaml(yaml, "config.yaml"); });
}

TEST(Raw, KeepsTheLineOfEachValue) {
  RawNode root = parse_yaml("a: 1\nb:\n  - x\n  - {c: 2}\n", "config.yaml");
  EXPECT_EQ(root.members[0].second.source.text(), "config.yaml:1");
  EXPECT_EQ(root.members[1].second.items[1].members[0].second.source.text(), "config.yaml:4");
}

TEST(Raw, DuplicateKeysNameBothLines) {
  EXPECT_EQ(parse_error("lr: 1\nx: 2\nlr: 3\n"),
            "config.yaml:3: duplicate key `lr`; its first value is at config.yaml:1");
}

TEST(Raw, BrokenYamlNamesItsLine) {
  EXPECT_THAT(parse_error("a: 1\nb: [1, 2\nc: 3\n"), StartsWith("config.yaml:"));
  EXPECT_THAT(parse_error("a: 1\n\tb: 2\n"), HasSubstr("not valid YAML"));
}

TEST(Raw, AliasesAreExpanded) {
  RawNode root = parse_yaml("a: &x [1, 2]\nb: *x\n", "config.yaml");
  EXPECT_EQ(root.members[1].second.items.size(), 2u);
}

TEST(Raw, AnAliasBombIsRefused) {
  std::string bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n";
  for (int i = 1; i < 12; ++i) {
    std::string previous = "*a" + std::to_string(i - 1);
    std::string name = "a" + std::to_string(i);
    bomb += name + ": &" + name + " [" + previous;
    for (int k = 1; k < 10; ++k) bomb += ", " + previous;
    bomb += "]\n";
  }
  EXPECT_THAT(parse_error(bomb), HasSubstr("once aliases are expanded"));
}

TEST(Raw, AnAliasOfItselfIsRefused) {
  EXPECT_THAT(parse_error("a: &x\n  - *x\n"),
              HasSubstr("config.yaml:2: an alias inside of its own"));
}

TEST(Raw, DepthIsLimited) {
  EXPECT_EQ(parse_error("a: " + std::string(31, '[') + std::string(31, ']')), "no error");
  EXPECT_THAT(parse_error("a: " + std::string(32, '[') + std::string(32, ']')),
              HasSubstr("nested deeper than 32"));
  EXPECT_THAT(parse_error("a: " + std::string(100000, '[')), HasSubstr("config.yaml:1"));
}

TEST(Raw, MergeKeysAndSecondDocumentsAreRefused) {
  EXPECT_THAT(parse_error("a: &x {b: 1}\nc:\n  <<: *x\n"), HasSubstr("merge keys"));
  EXPECT_THAT(parse_error("a: 1\n---\nb: 2\n"), HasSubstr("second YAML document"));
}

// Whatever the text, it is a configuration or a gamut::Error: nothing else is thrown, nothing
// hangs.
TEST(Raw, AnyTextIsReadOrRefused) {
  const std::string pieces[] = {"a",    "b: ",  "- ",  "[",   "]",      "{",        "}",     ", ",
                                "\n",   "\n  ", "&x ", "*x",  "!open ", "!number ", "\"",    "'",
                                "#",    "|\n",  "? ",  "1e5", "\t",     "%",        "---\n", "...",
                                "<<: ", "\xff", "\\",  ": ",  "null",   "@",        "`"};
  std::mt19937 random(7);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (unsigned length = random() % 14; length > 0; --length) {
      text += pieces[random() % std::size(pieces)];
    }
    try {
      Node config = declare(parse_yaml(text, "config.yaml"));
      EXPECT_EQ(dump(declare(parse_yaml(dump(config), "config.yaml"))), dump(config)) << text;
      ++accepted;
    } catch (const Error& error) {
      EXPECT_STRNE(error.what(), "");
    }
  }
  EXPECT_GT(accepted, 500);
}

TEST(Raw, MissingFilesAndFoldersAreNamed) {
  EXPECT_THAT(error_of([] { parse_yaml_file("/nowhere/c.yaml"); }),
              HasSubstr("cannot open configuration `/nowhere/c.yaml`: No such file"));
  EXPECT_THAT(error_of([] { parse_yaml_file("/tmp"); }), HasSubstr("`/tmp`"));
}

}  // namespace
}  // namespace gamut::config
