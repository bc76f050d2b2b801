// The simulated driver with a look between every two steps: `watch` is called before each dispatch.
#pragma once

#include <heirloop/testing/sim_driver.hpp>

#include <functional>
#include <utility>

namespace heirloop::testing {

class WatchedDriver final : public Driver {
 public:
  explicit WatchedDriver(std::function<void()> watch) : watch_(std::move(watch)) { look_ = something_came; }

  SimDriver& sim() noexcept { return sim_; }

  std::int64_t now_ns() noexcept override { return sim_.now_ns(); }
  void harvest(std::int64_t budget_ns) override {
    sim_.harvest(budget_ns);
    watch_();
  }
  void submit() override {}
  void wait(std::int64_t deadline_ns) override { sim_.wait(deadline_ns); }
  void set_tick(std::int64_t deadline_ns) override { sim_.set_tick(deadline_ns); }
  void wake() noexcept override { sim_.wake(); }

 private:
  SimDriver sim_;
  std::function<void()> watch_;
};

}  // namespace heirloop::testing
