// Follows Modules/_pickle.c of CPython (save, save_dict, batch_dict, save_reduce) and torch.save's
// persistent_id, down to what is remembered and in which order.
#include "checkpoint/torch_file/pickle_writer.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <unordered_map>

#include "checkpoint/torch_file/pickle.h"
#include "checkpoint/torch_file/pickle_calls.h"
#include "checkpoint/torch_file/pickle_opcodes.h"

namespace gamut::checkpoint::torch_file {
namespace {

constexpr size_t kBatch = 1000;  // items that one instruction adds

class Writer {
 public:
  explicit Writer(std::string location) : location_(std::move(location)) {}

  WrittenPickle run(const Value& value) {
    put(Opcode::proto);
    put(uint8_t{2});
    save(value);
    put(Opcode::stop);
    return std::move(result_);
  }

 private:
  // --- Bytes ----------------------------------------------------------------------------------

  void put(Opcode code) { result_.bytes.push_back(static_cast<char>(code)); }
  template <class Number>
  void put(Number number) {
    result_.bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
  }

  // --- The memo -------------------------------------------------------------------------------

  // Every object but None, numbers and the empty tuple gets the next number.
  void remember() {
    const uint32_t slot = remembered_++;
    if (slot < 256) {
      put(Opcode::binput);
      put(static_cast<uint8_t>(slot));
    } else {
      put(Opcode::long_binput);
      put(slot);
    }
  }
  void recall(uint32_t slot) {
    if (slot < 256) {
      put(Opcode::binget);
      put(static_cast<uint8_t>(slot));
    } else {
      put(Opcode::long_binget);
      put(slot);
    }
  }
  // Refers back to an object that the memo has; false: it is yet to be written.
  template <class Key>
  bool recall(std::unordered_map<Key, uint32_t>& memo, const Key& key) {
    const auto known = memo.find(key);
    if (known == memo.end()) return false;
    recall(known->second);
    return true;
  }

  // --- Plain values ---------------------------------------------------------------------------

  void save_integer(int64_t number) {
    if (number >= 0 && number <= UINT8_MAX) {
      put(Opcode::binint1);
      put(static_cast<uint8_t>(number));
    } else if (number >= 0 && number <= UINT16_MAX) {
      put(Opcode::binint2);
      put(static_cast<uint16_t>(number));
    } else if (number >= INT32_MIN && number <= INT32_MAX) {
      put(Opcode::binint);
      put(static_cast<int32_t>(number));
    } else {
      // As few bytes as hold it with its sign.
      uint8_t bytes = 5;
      while (bytes < 8 && (number >> (8 * bytes - 1)) != (number < 0 ? -1 : 0)) ++bytes;
      put(Opcode::long1);
      put(bytes);
      result_.bytes.append(reinterpret_cast<const char*>(&number), bytes);
    }
  }

  void save_real(double number) {
    uint64_t bits = 0;
    std::memcpy(&bits, &number, sizeof bits);
    put(Opcode::binfloat);
    put(__builtin_bswap64(bits));
  }

  // An object of its own, remembered and never asked for.
  void write_text(const std::string& text) {
    GAMUT_CHECK(text.size() <= UINT32_MAX, "a text to save has ", text.size(),
                " bytes; protocol 2 of Python's pickles takes 4 GiB at most");
    put(Opcode::binunicode);
    put(static_cast<uint32_t>(text.size()));
    result_.bytes += text;
    remember();
  }
  void save_text(const std::string& text) {
    if (recall(texts_, text)) return;
    texts_.emplace(text, remembered_);
    write_text(text);
  }

  void save_global(const std::string& module, const std::string& name) {
    const std::string both = module + "\n" + name + "\n";
    if (recall(globals_, both)) return;
    globals_.emplace(both, remembered_);
    put(Opcode::global);
    result_.bytes += both;
    remember();
  }

  // --- Containers -----------------------------------------------------------------------------

  void save(const Value& value) {
    const void* identity = &value;
    if (const auto* tensor = std::get_if<at::Tensor>(&value.data)) {
      identity = tensor->unsafeGetTensorImpl();
    }
    if (recall(objects_, identity)) return;
    GAMUT_CHECK(++depth_ <= kMaxPickleDepth, "a value to save is nested deeper than ",
                kMaxPickleDepth, " levels");
    std::visit([&](const auto& data) { save_data(data, identity); }, value.data);
    --depth_;
  }

  void save_data(None, const void*) { put(Opcode::none); }
  void save_data(bool truth, const void*) { put(truth ? Opcode::new_true : Opcode::new_false); }
  void save_data(int64_t number, const void*) { save_integer(number); }
  void save_data(double number, const void*) { save_real(number); }
  void save_data(const Text& text, const void* identity) {
    if (!text.is_distinct) return save_text(text.text);
    objects_.emplace(identity, remembered_);
    write_text(text.text);
  }

  void save_data(const List& list, const void* identity) {
    put(Opcode::empty_list);
    objects_.emplace(identity, remembered_);
    remember();
    if (list.items.size() == 1) {
      save(*list.items.front());
      return put(Opcode::append);
    }
    for (size_t i = 0; i < list.items.size();) {
      put(Opcode::mark);
      const size_t end = std::min(list.items.size(), i + kBatch);
      while (i < end) save(*list.items[i++]);
      put(Opcode::appends);
    }
  }

  void save_data(const Tuple& tuple, const void* identity) {
    const size_t size = tuple.items.size();
    if (size == 0) return put(Opcode::empty_tuple);
    if (size > 3) put(Opcode::mark);
    for (const auto& item : tuple.items) save(*item);
    objects_.emplace(identity, remembered_);
    end_tuple(size);
  }
  // Of the items above, those from the mark on where there are more than three.
  void end_tuple(size_t size) {
    constexpr Opcode kShort[] = {Opcode::tuple1, Opcode::tuple2, Opcode::tuple3};
    put(size > 3 ? Opcode::tuple : kShort[size - 1]);
    remember();
  }

  void save_data(const Dict& dict, const void* identity) {
    if (dict.is_ordered) {
      save_empty_ordered();
    } else {
      put(Opcode::empty_dict);
    }
    objects_.emplace(identity, remembered_);
    remember();
    dict.is_ordered ? save_ordered_items(dict) : save_items(dict);
    if (!dict.attributes) return;
    save(*dict.attributes);
    put(Opcode::build);
  }
  // collections.OrderedDict(), yet to be remembered.
  void save_empty_ordered() {
    save_global("collections", "OrderedDict");
    put(Opcode::empty_tuple);
    put(Opcode::reduce);
  }

  // batch_dict_exact: a full last batch is followed by an empty one.
  void save_items(const Dict& dict) {
    const size_t size = dict.items.size();
    if (size == 0) return;
    if (size == 1) return save_batch(dict, 0, 1);
    for (size_t i = 0; i <= size; i += kBatch) save_batch(dict, i, std::min(size, i + kBatch));
  }
  // batch_dict, which asks an iterator: a single item that is left is added on its own.
  void save_ordered_items(const Dict& dict) {
    const size_t size = dict.items.size();
    for (size_t i = 0; i < size; i += kBatch) save_batch(dict, i, std::min(size, i + kBatch));
  }
  void save_batch(const Dict& dict, size_t begin, size_t end) {
    const bool single = end - begin == 1 && (dict.is_ordered || dict.items.size() == 1);
    if (!single) put(Opcode::mark);
    for (size_t i = begin; i < end; ++i) {
      save(*dict.items[i].first);
      save(*dict.items[i].second);
    }
    put(single ? Opcode::setitem : Opcode::setitems);
  }

  // --- Tensors --------------------------------------------------------------------------------

  // _rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad, OrderedDict())
  void save_data(const at::Tensor& tensor, const void* identity) {
    GAMUT_CHECK(tensor.layout() == at::kStrided && !tensor.is_quantized(),
                "a tensor to save is not dense; make it so with to_dense()");
    GAMUT_CHECK(!tensor.is_conj() && !tensor.is_neg(),
                "a tensor to save is conjugated or negative by its flags; resolve them first");
    save_global("torch._utils", "_rebuild_tensor_v2");
    put(Opcode::mark);
    save_storage(tensor);
    save_integer(tensor.storage_offset());
    save_integers(tensor.sizes());
    save_integers(tensor.strides());
    put(tensor.requires_grad() ? Opcode::new_true : Opcode::new_false);
    save_empty_ordered();
    remember();
    put(Opcode::tuple);
    remember();
    put(Opcode::reduce);
    objects_.emplace(identity, remembered_);
    remember();
  }

  void save_integers(at::IntArrayRef numbers) {
    if (numbers.empty()) return put(Opcode::empty_tuple);
    if (numbers.size() > 3) put(Opcode::mark);
    for (const int64_t number : numbers) save_integer(number);
    end_tuple(numbers.size());
  }

  // The persistent id ("storage", type, key, location, elements).
  void save_storage(const at::Tensor& tensor) {
    const c10::Storage& storage = tensor.storage();
    const auto dtype = tensor.scalar_type();
    const char* type = storage_type_of(dtype);
    GAMUT_CHECK(type, "torch.save has no storage of ", dtype,
                " that is read here; convert the tensor first, such as to float32");
    const auto [known, is_new] = keys_.emplace(storage.unsafeGetStorageImpl(),
                                               Key{std::to_string(result_.storages.size()), dtype});
    if (is_new) result_.storages.push_back(storage);
    GAMUT_CHECK(known->second.dtype == dtype, "two tensors to save see one storage as ",
                known->second.dtype, " and as ", dtype, "; save a copy of one of them");
    put(Opcode::mark);
    save_text("storage");
    save_global("torch", type);
    save_key(known->second);
    save_location(tensor);
    save_integer(static_cast<int64_t>(storage.nbytes() / tensor.itemsize()));
    put(Opcode::tuple);
    remember();
    put(Opcode::binpersid);
  }

  // Python makes the text of a key once a storage.
  struct Key {
    std::string text;
    at::ScalarType dtype;
    bool is_written = false;
    uint32_t slot = 0;
  };
  void save_key(Key& key) {
    if (key.is_written) return recall(key.slot);
    key.is_written = true;
    key.slot = remembered_;
    write_text(key.text);
  }
  // "cpu" is a literal in Python; other devices' names are put together anew for each tensor.
  void save_location(const at::Tensor& tensor) {
    const std::string location = location_.empty() ? tensor.device().str() : location_;
    location == "cpu" ? save_text(location) : write_text(location);
  }

  WrittenPickle result_;
  const std::string location_;
  uint32_t remembered_ = 0;
  size_t depth_ = 0;
  std::unordered_map<std::string, uint32_t> texts_, globals_;
  std::unordered_map<const void*, uint32_t> objects_;
  std::unordered_map<const c10::StorageImpl*, Key> keys_;
};

}  // namespace

WrittenPickle write_pickle(const Value& value, const std::string& location) {
  return Writer(location).run(value);
}

}  // namespace gamut::checkpoint::torch_file
