#include "cuda/emulation/block.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda/emulation/running.h"

namespace gamut::cuda::emulation {

__thread const Thread* self = nullptr;

namespace {

constexpr uint32_t kAllLanes = 0xffffffff;

std::string place(const Site& site) {
  const char* slash = std::strrchr(site.file, '/');
  return std::string(slash == nullptr ? site.file : slash + 1) + ":" + std::to_string(site.line);
}

std::string at(const char* name, const Site& site) {
  return std::string(name) + " (" + place(site) + ")";
}

}  // namespace

Block& running() {
  // A pointer, because access to it costs one instruction.
  static __thread Block* running_block __attribute__((tls_model("initial-exec"))) = nullptr;
  if (running_block == nullptr) {
    static thread_local Block block;
    running_block = &block;
  }
  return *running_block;
}

void Block::lane_body() {
  for (Block& block = running();;) {
    block.kernel_->call();
    block.leave();
  }
}

bool Block::run(const Kernel& kernel, int64_t index, Order order) {
  kernel_ = &kernel;
  shuffled_ = order.seed != 0;
  random = Random(order.seed ^ (static_cast<uint64_t>(index) << 32));
  if (shared.clear(kernel.shared_bytes)) races.watch(shared.begin(), shared.capacity());
  start(index);
  lane_ = &next();
  self = lane_;
  main_.switch_to(lane_->fiber);
  self = nullptr;
  kernel_ = nullptr;
  ++work.blocks;
  if (fault.empty()) return true;
  for (auto& lane : lanes_) {
    if (!lane->left) lane->fiber.restart();
  }
  return false;
}

void Block::start(int64_t index) {
  const int threads = kernel_->threads;
  while (lanes_.size() < static_cast<size_t>(threads)) {
    lanes_.push_back(std::make_unique<Lane>(&Block::lane_body));
  }
  for (int i = 0; i < threads; ++i) {
    Lane& lane = *lanes_[i];
    lane.thread_index.x = i;
    lane.block_index.x = static_cast<unsigned>(index);
    lane.block_size.x = threads;
    lane.grid_size.x = static_cast<unsigned>(kernel_->blocks);
    lane.left = false;
    lane.atomic = false;
    lane.copies.clear();
    lane.group_ends.clear();
  }
  warps_.assign(threads / kLanes, Warp{});
  for (auto& warp : warps_) warp.ready = kAllLanes;
  ready_warps_ = kAllLanes >> (kLanes - warps_.size());
  warp_number_ = 0;
  left_ = 0;
  ++epoch_;
  barrier_ = {};
  fault.clear();
}

std::string Block::whereabouts() const {
  if (kernel_ == nullptr) return "";
  return "In kernel `" + std::string(kernel_->name) + "`, block " +
         std::to_string(lane_->block_index.x) + ", thread " + std::to_string(lane_->number());
}

// A random order keeps to one warp for a while: what one does long before another shows races that
// taking turns would hide.
Lane& Block::next() {
  constexpr uint32_t kStay = 16;
  const bool stay = (ready_warps_ >> warp_number_ & 1) != 0;
  if (shuffled_ && (!stay || random.below(kStay) == 0)) {
    warp_number_ = random.bit_of(ready_warps_);
  } else if (!stay) {
    const uint32_t later = ready_warps_ & (kAllLanes << warp_number_);
    warp_number_ = __builtin_ctz(later != 0 ? later : ready_warps_);
  }
  Warp& warp = warps_[warp_number_];
  const int lane = shuffled_ ? random.bit_of(warp.ready) : __builtin_ctz(warp.ready);
  warp.ready &= ~(1u << lane);
  if (warp.ready == 0) ready_warps_ &= ~(1u << warp_number_);
  return *lanes_[warp_number_ * kLanes + lane];
}

// The running thread cannot go on; another does.
void Block::wait() {
  Lane& from = *lane_;
  Lane& to = next();
  if (&to == &from) return;
  ++work.switches;
  lane_ = &to;
  self = lane_;
  from.fiber.switch_to(to.fiber);
}

void Block::leave() {
  Lane& lane = *lane_;
  const Warp& mine = warp();
  if (!lane.copies.empty()) fail("leaves the kernel with asynchronous copies it never waited for");
  if (mine.arrived > 0) {
    fail("leaves the kernel while thread " + std::to_string(mine.first) + " of its warp waits at " +
         at(mine.name, mine.site));
  }
  if (barrier_.arrived > 0) {
    fail("leaves the kernel while thread " + std::to_string(barrier_.first) + " waits at " +
         at(barrier_.name, barrier_.site));
  }
  lane.left = true;
  ++warp().left;
  if (++left_ == kernel_->threads) {
    lane.fiber.switch_to(main_);
  } else {
    wait();
  }
}

void Block::converge(const char* name, Collective complete, void* operands, const Site& site) {
  Warp& mine = warp();
  const int number = lane_->number();
  if (mine.arrived == 0) {
    mine.complete = complete;
    mine.name = name;
    mine.site = site;
    mine.first = number;
  } else if (mine.complete != complete || mine.site != site) {
    fail("is at " + at(name, site) + " while thread " + std::to_string(mine.first) +
         " of its warp is at " + at(mine.name, mine.site) +
         "; all lanes of a warp must come to the same ones in the same order");
  }
  if (mine.left > 0) {
    fail("waits at " + at(name, site) + " for lanes of its warp that have left the kernel");
  }
  if (mine.at_barrier > 0) {
    fail("is at " + at(name, site) + " while a lane of its warp waits at " +
         at(barrier_.name, barrier_.site));
  }
  mine.operands[number % kLanes] = operands;
  if (++mine.arrived < kLanes) return wait();
  mine.arrived = 0;
  complete(mine.operands);
  const uint32_t me = 1u << number % kLanes;
  mine.ready = shuffled_ ? kAllLanes : kAllLanes & ~me;
  ready_warps_ |= 1u << number / kLanes;
  if (shuffled_) wait();
}

int64_t Block::meet(const char* name, int64_t value, const Site& site) {
  Warp& mine = warp();
  if (barrier_.arrived == 0) {
    barrier_.name = name;
    barrier_.site = site;
    barrier_.first = lane_->number();
    barrier_.sum = 0;
  } else if (barrier_.site != site) {
    fail("is at " + at(name, site) + " while thread " + std::to_string(barrier_.first) + " is at " +
         at(barrier_.name, barrier_.site) + "; all threads of a block must come to the same ones");
  }
  if (left_ > 0) {
    fail("waits at " + at(name, site) + " for threads that have left the kernel");
  }
  if (mine.arrived > 0) {
    fail("is at " + at(name, site) + " while thread " + std::to_string(mine.first) +
         " of its warp waits at " + at(mine.name, mine.site));
  }
  barrier_.sum += value;
  ++mine.at_barrier;
  if (++barrier_.arrived < kernel_->threads) {
    wait();
    return barrier_.result;
  }
  barrier_.arrived = 0;
  barrier_.result = barrier_.sum;
  open_barrier();
  return barrier_.result;
}

// All have come: every thread may run, the one that came last goes on where the order is by number.
void Block::open_barrier() {
  ++epoch_;
  for (auto& warp : warps_) {
    warp.ready = kAllLanes;
    warp.at_barrier = 0;
  }
  ready_warps_ = kAllLanes >> (kLanes - warps_.size());
  if (shuffled_) return wait();
  warp().ready &= ~(1u << lane_->number() % kLanes);
}

void Block::touch(Touch kind, const void* address, size_t bytes, const void* code) {
  Access access;
  access.epoch = epoch_;
  access.syncs = warp().syncs;
  access.code = code_offset(code);
  access.thread = static_cast<uint16_t>(lane_->number());
  access.atomic = lane_->atomic;
  const auto race = races.touch(kind, address, bytes, access);
  if (!race) return;
  const bool writes = kind == Touch::write, wrote = race->kind == Touch::write;
  fail(std::string(writes ? "writes" : "reads") + " (" + place_of(access) + ") " +
       shared.describe(address) + ", which thread " + std::to_string(race->access.thread) +
       (wrote ? " wrote (" : " read (") + place_of(race->access) +
       ") with no barrier between the two");
}

void Block::fail(const std::string& message) {
  fault = "block " + std::to_string(lane_->block_index.x) + ", thread " +
          std::to_string(lane_->number()) + ": " + message;
  lane_->fiber.switch_to(main_);
  std::abort();  // not reached: a fiber that failed is restarted
}

AtomicScope::AtomicScope() {
  running().lane().atomic = true;
}

AtomicScope::~AtomicScope() {
  running().lane().atomic = false;
}

void converge(const char* name, Collective complete, void* operands, const Site& site) {
  running().converge(name, complete, operands, site);
}

int64_t meet(const char* name, int64_t value, const Site& site) {
  return running().meet(name, value, site);
}

void fail(const Site& site, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  running().fail(std::string(text) + " (" + place(site) + ")");
}

}  // namespace gamut::cuda::emulation

// AddressSanitizer calls this when it has found something.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" __attribute__((visibility("default"))) void __asan_on_error() {
  const std::string where = gamut::cuda::emulation::running().whereabouts();
  if (!where.empty()) std::fprintf(stderr, "%s:\n", where.c_str());
}
