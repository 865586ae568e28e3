// Files of torch.save as they are written: what comes back, and failing disks. That the bytes are
// Python's is shown in tests/lua/torch_file_test.lua, which has values of every kind.
#include "checkpoint/torch_file/save.h"

#include "checkpoint/torch_file/torch_file.h"
#include "checkpoint/zlib_bytes.h"
#include "files/fault.h"
#include "support.h"

namespace gamut::checkpoint::torch_file {
namespace {

using testing::AllOf;
using testing::HasSubstr;

template <class Data>
ValuePtr value_of(Data data) {
  return std::make_shared<const Value>(Value{std::move(data)});
}

// {"weight": 0, 1, 2, ... and the number}
Value state(int64_t size, int64_t number) {
  Dict dict;
  dict.items.emplace_back(value_of(Text{"weight"}), value_of(at::arange(size, at::kFloat)));
  dict.items.emplace_back(value_of(Text{"number"}), value_of(number));
  return {std::move(dict)};
}

int64_t number_in(const fs::path& path) {
  const TorchFile file(path);
  const auto& items = file.pickle().get<PickleDict>(file.pickle().root)->items;
  return *file.pickle().get<int64_t>(items.at(1).second);
}

class TorchSaveTest : public FolderTest {
 protected:
  ~TorchSaveTest() override { files::set_faults(""); }

  const fs::path path_ = folder_ / "model.pt";
};

TEST_F(TorchSaveTest, TensorsComeBackAndStoragesAreAligned) {
  const uint64_t bytes = save(state(1000, -5), path_);
  EXPECT_EQ(bytes, fs::file_size(path_));
  TorchFile file(path_);
  const auto& items = file.pickle().get<PickleDict>(file.pickle().root)->items;
  const auto* weight = file.pickle().get<PickleTensor>(items.at(0).second);
  const at::Tensor read = file.tensor(*weight, "weight");
  EXPECT_TRUE(same(read, at::arange(1000, at::kFloat)));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(read.const_data_ptr()) % 64, 0u);
  EXPECT_EQ(number_in(path_), -5);
}

TEST_F(TorchSaveTest, AFailingDiskLeavesTheFileBefore) {
  save(state(10, 1), path_);
  for (const char* fault : {"file.open:1=EACCES", "file.write:1=ENOSPC", "file.write:9=ENOSPC",
                            "file.fsync:1=EIO", "file.close:1=EIO"}) {
    files::set_faults(fault);
    const std::string message = error_of([&] { save(state(10, 2), path_); });
    files::set_faults("");
    EXPECT_THAT(message, AllOf(HasSubstr("cannot"), HasSubstr("model.pt"))) << fault;
    EXPECT_EQ(number_in(path_), 1) << fault;
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << fault;
  }
  save(state(10, 2), path_);
  EXPECT_EQ(number_in(path_), 2);
}

TEST_F(TorchSaveTest, TheFolderInTheArchiveHasTheFilesName) {
  const auto folder = [&](const char* name) {
    save(state(1, 1), folder_ / name);
    const std::string bytes = read_bytes(folder_ / name);
    return bytes.substr(30, bytes.find("/data.pkl") - 30);
  };
  EXPECT_EQ(folder("final_model.pt"), "final_model");
  EXPECT_EQ(folder("a.b.pt"), "a.b");
  EXPECT_EQ(folder("gr\u00f6\u00dfe.pt"), "archive");
}

TEST_F(TorchSaveTest, BytesOfAViewAreThoseOfItsWholeStorage) {
  const at::Tensor whole = at::arange(24, at::kShort);
  List list;
  for (const auto& view : {whole.slice(0, 3, 20, 2), whole.view({4, 6}).t()}) {
    list.items.push_back(value_of(view));
  }
  const auto bytes = std::make_shared<const std::string>(save_to_bytes({list}));
  TorchFile file(bytes, "bytes");
  const auto& items = file.pickle().get<PickleList>(file.pickle().root)->items;
  for (size_t i = 0; i < items.size(); ++i) {
    const at::Tensor read = file.tensor(*file.pickle().get<PickleTensor>(items[i]), "view");
    const auto& written = std::get<at::Tensor>(list.items[i]->data);
    EXPECT_TRUE(same(read, written));
    EXPECT_EQ(read.strides(), written.strides());
    EXPECT_EQ(read.storage().nbytes(), whole.nbytes());
  }
}

TEST(ZlibBytes, AStreamOfTheLimitIsReadAndOneByteMoreIsNot) {
  const std::string bytes(size_t{3} << 20, 'x');
  const std::string packed = zlib_compress(bytes, 9);
  EXPECT_EQ(zlib_decompress(packed, bytes.size(), "input"), bytes);
  EXPECT_THAT(error_of([&] { zlib_decompress(packed, bytes.size() - 1, "input"); }),
              HasSubstr("input inflates to more than"));
  EXPECT_THAT(error_of([&] { zlib_compress(bytes, 10); }), HasSubstr("from 0 to 9"));
}

}  // namespace
}  // namespace gamut::checkpoint::torch_file
