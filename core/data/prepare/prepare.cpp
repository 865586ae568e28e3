// The leading thread: reads the journal, hands out what is not in it, writes down what comes back,
// and cuts the shards at the end.
#include "data/prepare/prepare.h"

#include <chrono>
#include <fstream>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "data/prepare/assemble.h"
#include "data/prepare/folder.h"
#include "data/prepare/journal.h"
#include "data/prepare/plan.h"
#include "data/prepare/records.h"
#include "data/prepare/workers.h"
#include "files/file.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kPollSeconds = 0.1;
constexpr double kSyncSeconds = 2;
constexpr uint64_t kSyncBytes = uint64_t{64} << 20;

double now() {
  using Seconds = std::chrono::duration<double>;
  return Seconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Preparation {
 public:
  Preparation(const std::vector<Unit>& units, const UnitWork& work, const PrepareOptions& options,
              const PrepareFolder& folder, json plan)
      : units_(units),
        work_(work),
        options_(options),
        plan_(std::move(plan)),
        places_(units.size()),
        journal_(folder.journal(), [this](std::string_view head, const Journal::Place& place) {
          recall(head, place);
        }) {
    if (!planned_) journal_.append(plan_record(plan_), "");
    tell_what_was_there();
    for (size_t i = 0; i < units_.size(); ++i) {
      if (places_[i]) {
        progress_.weight_done += static_cast<double>(units_[i].weight);
      } else {
        todo_.push_back(i);
      }
      progress_.weight += static_cast<double>(units_[i].weight);
    }
    progress_.units = static_cast<int64_t>(units_.size());
    progress_.units_done = progress_.units - static_cast<int64_t>(todo_.size());
  }

  // Until every unit is in the journal.
  void work_through() {
    check_skipped();
    if (todo_.empty()) return journal_.sync();
    Workers workers(work_, units_, todo_, options_.workers, options_.threads);
    while (!workers.all_taken()) {
      if (options_.stop && options_.stop()) end_early(workers);
      if (const auto finished = workers.next(kPollSeconds)) {
        write_down(finished->unit, finished->result);
      }
      if (now() - shown_at_ >= kPollSeconds) show(workers.weight_under_way());
    }
    journal_.sync();
    show(0);
  }

  json assemble(const fs::path& shards) const {
    return assemble_shards(units_, places_, journal_, work_, shards);
  }

 private:
  // A record of an earlier process, which counts if the unit is as it was then.
  void recall(std::string_view text, const Journal::Place& place) {
    const json head = json::parse(text);
    if (head.contains("plan")) return compare_plan(head.at("plan"));
    if (by_fingerprint_.empty()) index_units();
    const auto found = by_fingerprint_.find(head.at("fingerprint").get<std::string>());
    if (found == by_fingerprint_.end()) {
      const bool changed = by_name_.count(head.at("unit").get<std::string>()) > 0;
      ++(changed ? changed_ : gone_);
      return;
    }
    const size_t unit = found->second;
    const bool skipped = head.contains("skipped");
    if (skipped && options_.retry_skipped) return;
    if (skipped) remember_skipped(unit, head.at("skipped"));
    places_[unit] = place;
  }

  void index_units() {
    for (size_t i = 0; i < units_.size(); ++i) {
      by_fingerprint_.emplace(fingerprint(units_[i]), i);
      by_name_.insert(units_[i].name);
    }
  }

  void compare_plan(const json& before) {
    planned_ = true;
    const std::string change = difference(before, plan_);
    GAMUT_CHECK(change.empty(), "the folder ", options_.out.string(),
                " was begun with other settings: ", change,
                "; go on with those, or name another folder");
  }

  void tell_what_was_there() const {
    if (!options_.note) return;
    if (journal_.dropped_bytes() > 0) {
      options_.note(c10::str(
          "the last ", journal_.dropped_bytes(), " bytes of the journal in ", options_.out.string(),
          " are no whole record and were cut off; what they held is done again"));
    }
    if (changed_ + gone_ > 0) {
      options_.note(c10::str(changed_, " items changed and ", gone_,
                             " are gone since the folder was begun; what changed is done again"));
    }
  }

  void write_down(size_t unit, const UnitResult& result) {
    const EncodedRecord record = encode_record(units_[unit], result);
    places_[unit] = journal_.append(record.head, record.payload);
    if (!result.skipped.empty()) remember_skipped(unit, result.skipped);
    for (const Part& part : result.parts) {
      progress_.tokens += static_cast<int64_t>(part.tokens.size());
    }
    progress_.seconds += result.seconds;
    progress_.weight_done += static_cast<double>(units_[unit].weight);
    ++progress_.units_done;
    if (now() - synced_at_ > kSyncSeconds || journal_.bytes() - synced_bytes_ > kSyncBytes) {
      journal_.sync();
      synced_at_ = now(), synced_bytes_ = journal_.bytes();
    }
    check_skipped();
  }

  [[noreturn]] void end_early(Workers& workers) {
    workers.end();
    while (const auto finished = workers.next(0)) write_down(finished->unit, finished->result);
    journal_.sync();
    show(0);
    throw Interrupted();
  }

  void remember_skipped(size_t unit, const std::string& reason) {
    if (progress_.units_skipped++ < 3) {
      reasons_ += c10::str("\n  ", units_[unit].name, ": ", reason);
    }
  }

  void check_skipped() const {
    const auto skipped = static_cast<double>(progress_.units_skipped);
    const auto all = static_cast<double>(units_.size());
    const bool none_left = progress_.units_skipped == static_cast<int64_t>(units_.size());
    if (skipped <= options_.max_skipped * all && !none_left) return;
    throw Error(
        c10::str(progress_.units_skipped, " of ", units_.size(), " items could not be used, ",
                 none_left ? "that is all of them" : "more than max_skipped allows", ", such as",
                 reasons_, none_left ? "" : "\n  raise max_skipped if that is as it should be;",
                 "\n  with retry_skipped=true they are tried again, once the reason is gone"));
  }

  void show(double under_way) {
    shown_at_ = now();
    if (!options_.progress) return;
    PrepareProgress shown = progress_;
    shown.weight_done += under_way;
    options_.progress(shown);
  }

  const std::vector<Unit>& units_;
  const UnitWork& work_;
  const PrepareOptions& options_;
  json plan_;
  // What the journal tells, before it is opened.
  bool planned_ = false;
  int64_t changed_ = 0, gone_ = 0;
  std::unordered_map<std::string, size_t> by_fingerprint_;
  std::unordered_set<std::string_view> by_name_;
  std::vector<std::optional<Journal::Place>> places_;  // by unit; none: not finished
  PrepareProgress progress_;
  std::string reasons_;
  Journal journal_;
  std::vector<size_t> todo_;
  double synced_at_ = now(), shown_at_ = 0;
  uint64_t synced_bytes_ = 0;
};

json plan_of(const UnitWork& work, const PrepareOptions& options) {
  json plan = options.request;
  plan["format"] = "gamut.data/1";
  plan.update(work.description());
  return plan;
}

// What is there already counts when it was made from the same plan.
std::optional<Prepared> find_complete(const fs::path& out, const json& plan) {
  json manifest = read_manifest(out);
  if (manifest.is_null()) return std::nullopt;
  json before;
  for (const auto& [key, value] : plan.items()) before[key] = manifest.value(key, json());
  const std::string change = difference(before, plan);
  GAMUT_CHECK(change.empty(), "the folder ", out.string(),
              " was prepared with other settings: ", change,
              "; name another folder, or remove this one");
  remove_leftovers(out);
  return Prepared{std::move(manifest), true};
}

}  // namespace

json read_manifest(const fs::path& out) {
  const fs::path path = out / "manifest.json";
  std::ifstream file(path);
  if (!file) return nullptr;
  json manifest = json::parse(file, nullptr, /*allow_exceptions=*/false);
  GAMUT_CHECK(manifest.is_object() && manifest.value("format", "") == "gamut.data/1", path.string(),
              " is not the manifest of a prepared data set, or is damaged");
  return manifest;
}

Prepared prepare(std::vector<Unit> units, const UnitWork& work, const PrepareOptions& options) {
  const json plan = plan_of(work, options);
  if (auto complete = find_complete(options.out, plan)) return *std::move(complete);
  complete_units(units);
  PrepareFolder folder(options.out);
  // Another process may have completed it while this one came for the lock.
  if (auto complete = find_complete(options.out, plan)) return *std::move(complete);
  Preparation preparation(units, work, options, folder, plan);
  preparation.work_through();
  files::pass_fault("prepare.shards", options.out);
  json manifest = plan;
  manifest.update(preparation.assemble(folder.new_shards()));
  manifest.update(work.summary(manifest.at("splits")));
  folder.complete(manifest);
  return {std::move(manifest), false};
}

}  // namespace gamut::data
