// Each function takes values of the pickle apart, checks them, and gives a value back.
#include "checkpoint/torch_file/pickle_calls.h"

#include <gamut/error.h>

#include <optional>

#include "text/affix.h"

namespace gamut::checkpoint::torch_file {
namespace {

using c10::ScalarType;
using text::begins_with;

enum class Call { dict, size, tensor, parameter, storage };

struct KnownGlobal {
  const char* module;
  const char* name;
  Call call;
  ScalarType dtype = ScalarType::Undefined;  // of a storage
};

constexpr KnownGlobal kKnown[] = {
    {"collections", "OrderedDict", Call::dict},
    {"torch._utils", "_rebuild_tensor_v2", Call::tensor},
    {"torch._utils", "_rebuild_parameter", Call::parameter},
    {"torch", "Size", Call::size},
    {"torch", "FloatStorage", Call::storage, ScalarType::Float},
    {"torch", "HalfStorage", Call::storage, ScalarType::Half},
    {"torch", "BFloat16Storage", Call::storage, ScalarType::BFloat16},
    {"torch", "DoubleStorage", Call::storage, ScalarType::Double},
    {"torch", "LongStorage", Call::storage, ScalarType::Long},
    {"torch", "IntStorage", Call::storage, ScalarType::Int},
    {"torch", "ShortStorage", Call::storage, ScalarType::Short},
    {"torch", "CharStorage", Call::storage, ScalarType::Char},
    {"torch", "ByteStorage", Call::storage, ScalarType::Byte},
    {"torch", "BoolStorage", Call::storage, ScalarType::Bool},
};

template <class... Parts>
void require(bool condition, const Parts&... what) {
  if (!condition) throw PickleFault(c10::str(what...));
}

// What a user can do about a name that is not known.
std::string advice(std::string_view module, std::string_view name, bool is_root) {
  if (begins_with(module, "numpy") || module == "_codecs") {
    return "a value of numpy or of bytes; make it a number, a string or a tensor in Python first "
           "(x.item(), torch.from_numpy(x))";
  }
  if (is_root || begins_with(module, "torch.nn.")) {
    return "the file holds a whole module and no state dict; in Python, "
           "torch.save(model.state_dict(), \"weights.pth\")";
  }
  if (begins_with(name, "Complex")) {
    return "complex numbers, which no model here has; save the real and the imaginary part as two "
           "tensors";
  }
  if (begins_with(module, "torch.storage") || name == "_rebuild_tensor_v3") {
    return "a tensor of a dtype that is not read; in Python, save it as float32";
  }
  if (begins_with(module, "torch")) return "which is neither a dense tensor nor a plain value";
  return "which no state dict needs; it was not run. If you trust the file, load it in Python and "
         "save model.state_dict() and plain values";
}

const std::vector<Ref>& arguments_of(const Pickle& pickle, Ref arguments, const char* function) {
  const auto* tuple = pickle.get<PickleTuple>(arguments);
  require(tuple, "the arguments of `", function, "` are ", kind_of(pickle[arguments]),
          " and not a tuple");
  return tuple->items;
}

void require_sizes(const Pickle& pickle, Ref ref, const char* what) {
  const auto* tuple = pickle.get<PickleTuple>(ref);
  require(tuple, "a tensor's ", what, " are ", kind_of(pickle[ref]), " and not a tuple");
  require(tuple->items.size() <= kMaxTensorDimensions, "a tensor has ", tuple->items.size(),
          " dimensions; at most ", kMaxTensorDimensions, " are read");
  for (const Ref item : tuple->items) {
    const auto* number = pickle.get<int64_t>(item);
    require(number, "a tensor has ", kind_of(pickle[item]), " among its ", what);
    require(*number >= 0, "a tensor has ", *number, " among its ", what);
  }
}

// The elements of storage that a view spans from its first one on, or nothing where a number
// overflows 64 bits. Empty dimensions count as 1 for that: LibTorch computes strides that way.
std::optional<int64_t> span_of(const std::vector<int64_t>& sizes,
                               const std::vector<int64_t>& strides) {
  int64_t last = 0;
  int64_t product = 1;
  bool is_empty = false;
  for (size_t i = 0; i < sizes.size(); ++i) {
    int64_t step = 0;
    const int64_t size = sizes[i] > 0 ? sizes[i] : 1;
    is_empty |= sizes[i] == 0;
    if (__builtin_mul_overflow(product, size, &product) ||
        __builtin_mul_overflow(size - 1, strides[i], &step) ||
        __builtin_add_overflow(last, step, &last)) {
      return std::nullopt;
    }
  }
  if (is_empty) return 0;
  return last < INT64_MAX ? std::optional<int64_t>(last + 1) : std::nullopt;
}

// _rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad, hooks[, metadata])
PickleTensor tensor_of(const Pickle& pickle, const std::vector<Ref>& arguments) {
  require(arguments.size() == 6 || arguments.size() == 7, "a tensor has ", arguments.size(),
          " arguments instead of 6");
  const auto* storage = pickle.get<PickleStorage>(arguments[0]);
  require(storage, "a tensor has ", kind_of(pickle[arguments[0]]), " for its storage");
  const auto* offset = pickle.get<int64_t>(arguments[1]);
  require(offset && *offset >= 0, "a tensor has no whole number for its offset");
  require_sizes(pickle, arguments[2], "sizes");
  require_sizes(pickle, arguments[3], "strides");
  require(arguments.size() == 6 || pickle.get<PickleNone>(arguments[6]),
          "a tensor is marked as conjugated or negative; save tensor.resolve_conj().resolve_neg()");
  const std::vector<int64_t> sizes = pickle.integers(arguments[2]);
  const std::vector<int64_t> strides = pickle.integers(arguments[3]);
  require(sizes.size() == strides.size(), "a tensor has ", sizes.size(), " sizes and ",
          strides.size(), " strides");
  const auto span = span_of(sizes, strides);
  require(span.has_value(), "the sizes and strides of a tensor overflow 64 bits");
  require(*offset <= storage->elements && span.value() <= storage->elements - *offset,
          "a tensor reaches from element ", *offset, " over ", span.value(),
          " elements, out of its storage `", storage->key, "` of ", storage->elements);
  return {arguments[0], arguments[2], arguments[3], *offset};
}

// _rebuild_parameter(tensor, requires_grad, hooks)
PickleTensor parameter_of(const Pickle& pickle, const std::vector<Ref>& arguments) {
  require(arguments.size() == 3, "a parameter has ", arguments.size(), " arguments instead of 3");
  const auto* tensor = pickle.get<PickleTensor>(arguments[0]);
  require(tensor, "a parameter is made of ", kind_of(pickle[arguments[0]]));
  return *tensor;
}

PickleTuple size_of(const Pickle& pickle, const std::vector<Ref>& arguments) {
  require(arguments.size() == 1, "a torch.Size has ", arguments.size(), " arguments instead of 1");
  require_sizes(pickle, arguments[0], "sizes");
  return *pickle.get<PickleTuple>(arguments[0]);
}

}  // namespace

PickleGlobal find_global(std::string_view module, std::string_view name, bool is_root) {
  uint32_t call = 0;
  for (const auto& known : kKnown) {
    if (module == known.module && name == known.name) return {call};
    ++call;
  }
  throw PickleFault(
      c10::str("it asks for `", module, ".", name, "`, ", advice(module, name, is_root)));
}

PickleValue call_global(const Pickle& pickle, const PickleGlobal& global, Ref arguments) {
  const KnownGlobal& known = kKnown[global.call];
  const auto& items = arguments_of(pickle, arguments, known.name);
  switch (known.call) {
    case Call::dict:
      require(items.empty(), "an OrderedDict is made with ", items.size(), " arguments");
      return PickleDict{{}, true, {}};
    case Call::size:
      return size_of(pickle, items);
    case Call::tensor:
      return tensor_of(pickle, items);
    case Call::parameter:
      return parameter_of(pickle, items);
    case Call::storage:
      break;
  }
  throw PickleFault(c10::str("it calls `", known.module, ".", known.name, "`, which names a type"));
}

const char* storage_type_of(ScalarType dtype) {
  for (const auto& known : kKnown) {
    if (known.call == Call::storage && known.dtype == dtype) return known.name;
  }
  return nullptr;
}

PickleStorage storage_of(const Pickle& pickle, Ref id) {
  const auto* tuple = pickle.get<PickleTuple>(id);
  require(tuple && tuple->items.size() == 5, "a persistent id is no tuple of 5");
  const auto& items = tuple->items;
  const auto* tag = pickle.get<std::string_view>(items[0]);
  require(tag && *tag == "storage", "a persistent id is no storage");
  const auto* type = pickle.get<PickleGlobal>(items[1]);
  require(type && kKnown[type->call].call == Call::storage, "a storage has ",
          kind_of(pickle[items[1]]), " for its type");
  const auto* key = pickle.get<std::string_view>(items[2]);
  require(key, "a storage has ", kind_of(pickle[items[2]]), " for its key");
  const auto* elements = pickle.get<int64_t>(items[4]);
  require(elements && *elements >= 0, "a storage has no whole number of elements");
  return {*key, *elements, kKnown[type->call].dtype};
}

}  // namespace gamut::checkpoint::torch_file
