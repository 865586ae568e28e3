// Builds the untyped tree from yaml-cpp's events; the node API of yaml-cpp hides duplicate keys and
// shares aliased nodes, which is how alias bombs pass.
#include "config/raw.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "gamut/error.h"

namespace gamut::config {
namespace {

constexpr size_t kMaxDepth = 32;
constexpr size_t kMaxNodes = 100000;
constexpr size_t kMaxBytes = size_t{4} << 20;

size_t count_nodes(const RawNode& node) {
  size_t count = 1;
  for (const RawNode& item : node.items) count += count_nodes(item);
  for (const RawNode::Member& member : node.members) count += count_nodes(member.second);
  return count;
}

size_t depth_of(const RawNode& node) {
  size_t below = 0;
  for (const RawNode& item : node.items) below = std::max(below, depth_of(item));
  for (const RawNode::Member& member : node.members) {
    below = std::max(below, depth_of(member.second));
  }
  return below + 1;
}

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::shared_ptr<const std::string> name, bool with_lines)
      : name_(std::move(name)), with_lines_(with_lines) {}

  std::optional<RawNode> root;

  Source source(const YAML::Mark& mark) const {
    return {name_, with_lines_ && mark.line >= 0 ? mark.line + 1 : 0};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    GAMUT_CHECK(!root, source(mark).text(), ": a second YAML document; a configuration is one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    OnScalar(mark, "?", anchor, "");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    RawNode node = make(RawNode::Kind::scalar, mark, tag);
    node.plain = tag != "!";
    node.text = value;
    finish(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto found = anchors_.find(anchor);
    GAMUT_CHECK(found != anchors_.end(), source(mark).text(),
                ": an alias inside of its own anchor");
    count(count_nodes(found->second), mark);
    check_depth(stack_.size() + depth_of(found->second), mark);
    finish(found->second, 0);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(make(RawNode::Kind::list, mark, tag), anchor, mark);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(make(RawNode::Kind::map, mark, tag), anchor, mark);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    RawNode node;
    YAML::anchor_t anchor;
    std::optional<RawNode> key;  // of a map: the key whose value comes next
  };

  RawNode make(RawNode::Kind kind, const YAML::Mark& mark, const std::string& tag) {
    count(1, mark);
    RawNode node;
    node.kind = kind;
    node.source = source(mark);
    if (tag.size() > 1 && tag[0] == '!') node.tag = tag.substr(1);
    if (tag.rfind("tag:", 0) == 0) node.tag = tag;
    return node;
  }

  void count(size_t nodes, const YAML::Mark& mark) {
    nodes_ += nodes;
    GAMUT_CHECK(nodes_ <= kMaxNodes, source(mark).text(), ": more than ", kMaxNodes,
                " values once aliases are expanded; a configuration is smaller");
  }

  void check_depth(size_t depth, const YAML::Mark& mark) const {
    GAMUT_CHECK(depth <= kMaxDepth, source(mark).text(), ": nested deeper than ", kMaxDepth,
                " levels");
  }

  void open(RawNode node, YAML::anchor_t anchor, const YAML::Mark& mark) {
    check_depth(stack_.size() + 1, mark);
    stack_.push_back({std::move(node), anchor, std::nullopt});
  }

  void close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    finish(std::move(frame.node), frame.anchor);
  }

  void finish(RawNode node, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = node;
    if (stack_.empty()) {
      root = std::move(node);
      return;
    }
    Frame& parent = stack_.back();
    if (parent.node.kind == RawNode::Kind::list) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.key) {
      check_key(parent.node, node);
      parent.key = std::move(node);
    } else {
      parent.node.members.emplace_back(parent.key->text, std::move(node));
      parent.key.reset();
    }
  }

  void check_key(const RawNode& map, const RawNode& key) const {
    std::string where = key.source.text();
    GAMUT_CHECK(key.kind == RawNode::Kind::scalar && !key.text.empty(), where,
                ": a key must be a name");
    GAMUT_CHECK(key.text != "<<", where, ": merge keys (`<<`) are not supported; repeat the keys");
    for (const RawNode::Member& member : map.members) {
      GAMUT_CHECK(member.first != key.text, where, ": duplicate key `", key.text,
                  "`; its first value is at ", member.second.source.text());
    }
  }

  std::shared_ptr<const std::string> name_;
  bool with_lines_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, RawNode> anchors_;
  size_t nodes_ = 0;
};

}  // namespace

RawNode parse_yaml(const std::string& text, const std::string& name, bool with_lines) {
  GAMUT_CHECK(text.size() <= kMaxBytes, name, ": larger than 4 MiB; a configuration is smaller");
  TreeBuilder builder(std::make_shared<const std::string>(name), with_lines);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw Error(builder.source(error.mark).text() + ": not valid YAML: " + error.msg);
  }
  if (builder.root) return std::move(*builder.root);
  RawNode empty;
  empty.plain = true;
  empty.source = builder.source(YAML::Mark());
  return empty;
}

RawNode parse_yaml_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  GAMUT_CHECK(file, "cannot open configuration `", path, "`: ", std::strerror(errno));
  std::string text(kMaxBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  GAMUT_CHECK(!file.bad(), "cannot read configuration `", path, "`: ", std::strerror(errno));
  text.resize(static_cast<size_t>(file.gcount()));
  return parse_yaml(text, path);
}

}  // namespace gamut::config
