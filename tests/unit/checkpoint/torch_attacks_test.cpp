// Hostile checkpoints: the answer is always a sentence that names the file, never a crash, a hang,
// memory without bound, a tensor outside of its storage, or anything run.
#include <chrono>

#include "checkpoint/torch_file/convert.h"
#include "checkpoint/torch_file/state_dict.h"
#include "checkpoint/torch_file/torch_file.h"
#include "support.h"
#include "torch_archive.h"

namespace gamut::checkpoint::torch_file {
namespace {

using testing::HasSubstr;

struct Attack {
  const char* what;
  std::string bytes;
  const char* expected;  // in the message
};

std::string repeated(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

// The message about a pickle alone.
std::string pickle_refusal(const std::string& bytes) {
  return error_of([&] { read_pickle(bytes, "evil.pt: its pickle"); });
}

std::vector<Attack> pickle_attacks() {
  const std::string p = kProtocol2;
  return {
      {"a shell command", p + "cos\nsystem\n(" + text("touch /tmp/x") + "tR.",
       "at byte 2: it asks for `os.system`"},
      {"a command inside of a dictionary", dict_of("cposix\nsystem\n" + text("x") + "\x85R"),
       "`posix.system`, which no state dict needs; it was not run"},
      {"eval", dict_of("c__builtin__\neval\n(" + text("1") + "tR"), "`__builtin__.eval`"},
      {"a known class by another way", dict_of(text("collections") + text("OrderedDict") + "\x93"),
       "STACK_GLOBAL"},
      {"INST", p + "(ios\nsystem\n.", "INST has no place"},
      {"OBJ", p + "(cos\nsystem\no.", "os.system"},
      {"NEWOBJ", dict_of(kOrderedDict + ")\x81"), "NEWOBJ has no place"},
      {"EXT1", p + "\x82\x01.", "EXT1"},
      {"an instruction that is not", p + "\xff.", "there is no pickle instruction 255"},
      {"a call of a string", dict_of(text("print") + ")R"), "it calls a string"},
      {"a call of a storage type", dict_of("ctorch\nFloatStorage\n)R"), "which names a type"},
      {"a call with a list", dict_of("ccollections\nOrderedDict\n]R"),
       "are a list and not a tuple"},
      {"attributes of a list", dict_of("]}b"), "attributes of a list"},
      {"a list as attributes", dict_of("}]b"), "it sets a list as attributes"},
      {"an empty stack", p + "s.", "takes a value from an empty stack"},
      {"below a mark", p + "}(\x85.", "takes a value from an empty stack"},
      {"no mark", p + "t.", "there is none"},
      {"a key without a value", p + "}(" + text("a") + "u.", "a key without a value"},
      {"items for a tuple", p + ")" + text("a") + text("b") + "s.", "it adds to a tuple"},
      {"two values at the end", p + "}}.", "more than one value"},
      {"a mark at the end", p + "(}.", "more than one value"},
      {"bytes behind the end", p + "}.}", "1 bytes follow its end"},
      {"the same key twice", p + "}" + text("a") + "Ns" + text("a") + "Ns.", "the key `a` twice"},
      {"a memo that is empty", p + "h\x07.", "value 7 of its memo"},
      {"a memo without end", p + "}r\xff\xff\xff\xff.", "its memo has more than"},
      {"protocol 0", "(dp0\n.", "instruction DICT"},
      {"protocol 5", "\x80\x05.", "pickle protocol 5"},
      {"an integer of 200 bytes", dict_of("\x8a\xc8" + std::string(200, '\1')), "of 200 bytes"},
      {"an integer of 4 GB", dict_of("\x8b\xff\xff\xff\x7f"), "LONG4 has no place"},
      {"a string of 4 GB", p + "X\xff\xff\xff\xff", "truncated: 4294967295 bytes are needed"},
      {"a name without end", p + "ccollections", "truncated in a name"},
      {"no end", p + "}", "truncated: 1 bytes are needed and 0 are left"},
      {"nothing", "", "truncated"},
      {"marks without end", p + repeated("(", 2000) + ".", "nested deeper than 1000"},
      {"a negative size", dict_of(tensor(storage(4), 0, {-1}, {1})), "-1 among its sizes"},
      {"a negative stride", dict_of(tensor(storage(4), 3, {4}, {-1})), "-1 among its strides"},
      {"a negative offset", dict_of(tensor(storage(4), -1, {4}, {1})), "for its offset"},
      {"an offset past the end", dict_of(tensor(storage(4), 5, {0}, {1})), "out of its storage"},
      {"a tensor past the end", dict_of(tensor(storage(4), 1, {4}, {1})),
       "from element 1 over 4 elements, out of its storage `0` of 4"},
      {"strides past the end", dict_of(tensor(storage(4), 0, {2, 2}, {3, 1})), "over 5 elements"},
      {"sizes that overflow", dict_of(tensor(storage(4), 0, {INT64_MAX, INT64_MAX}, {0, 0})),
       "overflow 64 bits"},
      {"empty sizes that overflow",
       dict_of(tensor(storage(4), 0, {0, INT64_MAX, INT64_MAX}, {1, 1, 1})), "overflow 64 bits"},
      {"strides that overflow", dict_of(tensor(storage(4), 0, {3, 3}, {INT64_MAX, INT64_MAX})),
       "overflow 64 bits"},
      {"a span that overflows", dict_of(tensor(storage(4), 0, {2}, {INT64_MAX})), "overflow"},
      {"sizes and strides that differ", dict_of(tensor(storage(4), 0, {2}, {1, 1})),
       "1 sizes and 2 strides"},
      {"65 dimensions",
       dict_of(tensor(storage(4), 0, std::vector<int64_t>(65, 1), std::vector<int64_t>(65, 1))),
       "has 65 dimensions"},
      {"a tensor without a storage", dict_of(tensor(text("0"), 0, {1}, {1})), "for its storage"},
      {"a storage of negative size", dict_of(storage(-1)), "no whole number of elements"},
      {"a storage of no type", dict_of(storage(1, "Size")), "for its type"},
      {"a persistent id of another kind", dict_of(text("module") + "Q"), "no tuple of 5"},
      {"a conjugated tensor",
       dict_of("ctorch._utils\n_rebuild_tensor_v2\n(" + storage(1) + number(0) + "))\x89" +
               kOrderedDict + "}tR"),
       "conjugated"},
      {"a parameter of a string",
       dict_of("ctorch._utils\n_rebuild_parameter\n(" + text("x") + "\x89" + kOrderedDict + "tR"),
       "made of a string"},
      {"a size of strings", dict_of("ctorch\nSize\n" + text("x") + "\x85\x85R"), "a string among"},
  };
}

TEST(TorchAttacks, HostilePicklesAreRefusedByNameAndByte) {
  for (const auto& attack : pickle_attacks()) {
    const std::string message = pickle_refusal(attack.bytes);
    EXPECT_THAT(message, HasSubstr(attack.expected)) << attack.what;
    EXPECT_THAT(message, HasSubstr("evil.pt: its pickle at byte ")) << attack.what;
  }
}

std::vector<Attack> archive_attacks() {
  const std::string good = dict_of(tensor(storage(4), 0, {4}, {1}));
  const std::string data(16, '\1');
  const auto files = [&](const std::vector<ZipItem>& more) {
    std::vector<ZipItem> all = {{"x/data.pkl", good}};
    all.insert(all.end(), more.begin(), more.end());
    return zip(all);
  };
  return {
      {"nothing", "", "is empty"},
      {"a page", "<!DOCTYPE html><html>", "an error page"},
      {"a pointer of git", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
      {"noise", "\x01\x02\x03\x04", "is no file of torch.save"},
      {"a bare pickle", good, "is a bare pickle"},
      {"another zip", zip({{"a.txt", "x"}}), "has no `data.pkl`"},
      {"no folder", zip({{"data.pkl", good}}), "has no `data.pkl`"},
      {"two pickles", zip({{"x/data.pkl", good}, {"y/data.pkl", good}}), "has two pickles"},
      {"one name twice", files({{"x/data/0", data}, {"x/data/0", data}}),
       "two entries are named `x/data/0`"},
      {"a storage that is missing", files({}), "which the archive does not have"},
      {"a storage cut short", files({{"x/data/0", data.substr(1)}}),
       "has 15 bytes instead of 4 x 4"},
      {"a storage too long", files({{"x/data/0", data + data}}), "has 32 bytes instead of 4 x 4"},
      {"a wrong checksum", files({{"x/data/0", data, 0, 0, 7}}),
       "checksum of the entry `x/data/0`"},
      {"a compressed storage", files({{"x/data/0", data, 8}}), "is compressed"},
      {"an encrypted storage", files({{"x/data/0", data, 0, 1}}), "is encrypted"},
      {"a big-endian file", files({{"x/byteorder", "big"}, {"x/data/0", data}}), "big-endian"},
      {"a bool of 7",
       torch_file_of(dict_of(tensor(storage(4, "BoolStorage"), 0, {4}, {1})), "\0\1\7\0"s),
       "other bytes than 0 and 1"},
      {"a storage with two types",
       torch_file_of(kProtocol2 + "}" + text("a") + tensor(storage(4, "ByteStorage"), 0, {4}, {1}) +
                         "s" + text("b") + tensor(storage(4, "BoolStorage"), 0, {4}, {1}) + "s.",
                     "\7\7\7\7"),
       "sees the storage `0` as"},
      {"a tensor of a terabyte",
       torch_file_of(dict_of(tensor(storage(1), 0, {int64_t{1} << 38}, {0})), "\0\0\0\0"s),
       "repeats a storage of 4 bytes up to"},
      {"no tensors", torch_file_of(kProtocol2 + "}."), "no dictionary of tensors"},
      {"a dictionary in itself", torch_file_of(kProtocol2 + "}q\1" + text("a") + "h\1s."),
       "no dictionary of tensors"},
  };
}

class TorchAttackTest : public FolderTest {
 protected:
  std::string refusal(const std::string& bytes) {
    write_bytes(folder_ / "evil.pt", bytes);
    const std::string message =
        error_of([&] { convert(folder_ / "evil.pt", folder_ / "out.safetensors"); });
    EXPECT_FALSE(fs::exists(folder_ / "out.safetensors"));
    return message;
  }
};

TEST_F(TorchAttackTest, HostileArchivesAreRefused) {
  for (const auto& attack : archive_attacks()) {
    EXPECT_THAT(refusal(attack.bytes), HasSubstr(attack.expected)) << attack.what;
  }
}

TEST_F(TorchAttackTest, EveryTruncationAndEveryFlippedByteIsSurvived) {
  const std::string good =
      torch_file_of(dict_of(tensor(storage(4), 0, {4}, {1})), std::string(16, '\1'));
  for (size_t size = 0; size < good.size(); ++size) refusal(good.substr(0, size));
  size_t refused = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0xff);
    write_bytes(folder_ / "evil.pt", bytes);
    try {
      ConvertOptions options;
      options.force = true;
      convert(folder_ / "evil.pt", folder_ / "out.safetensors", options);
    } catch (const Error&) {
      ++refused;
    }
  }
  // The rest are dates, versions and attributes, which nothing reads.
  EXPECT_GT(refused, good.size() / 2);
}

// A list that holds two of the one before, 60 times: 2^60 values in 600 bytes.
TEST_F(TorchAttackTest, MetadataThatGrowsWithoutEndIsLeftOut) {
  std::string pickle = kProtocol2 + "}" + text("w") + tensor(storage(4), 0, {4}, {1}) + "s" +
                       text("bomb") + "(]q\1" + repeated("h\1h\1\x86q\1", 60) + "ts";
  pickle += text("deep") + repeated("]", 5000) + repeated("a", 4999) + "s";
  pickle += text("own") + "]q\2h\2as" + text("bad") + text("\xff\xfe") + "s" + text("good") + "Ns.";
  write_bytes(folder_ / "evil.pt", torch_file_of(pickle, std::string(16, '\1')));
  const auto begin = std::chrono::steady_clock::now();
  const Converted converted = convert(folder_ / "evil.pt", folder_ / "out.safetensors");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_THAT(converted.left_out_keys, testing::ElementsAre("bomb", "deep", "own", "bad"));
  EXPECT_THAT(converted.metadata, testing::UnorderedElementsAre("format", "good"));
}

TEST(TorchAttacks, MoreValuesThanAnyModelHasAreRefused) {
  EXPECT_THAT(pickle_refusal(kProtocol2 + std::string(kMaxPickleValues + 1, '}') + "."),
              HasSubstr("more than 4194304 values"));
  EXPECT_THAT(pickle_refusal(std::string(kMaxPickleBytes + 1, '}')), HasSubstr("67108865 bytes"));
}

}  // namespace
}  // namespace gamut::checkpoint::torch_file
