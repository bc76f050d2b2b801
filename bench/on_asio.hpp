// Asio in its best form: one thread, and told so.
#pragma once

#include <asio.hpp>

namespace heirloop::bench {

/// No locks inside, no executor type erasure: handlers are posted to the context itself.
class OnAsio {
 public:
  asio::io_context& context() noexcept { return context_; }

  /// Until nothing is left to do.
  void run() {
    context_.restart();
    context_.run();
  }

 private:
  asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE};
};

/// Coroutines on the context without type erasure of the executor.
template <class T>
using AsioCoro = asio::awaitable<T, asio::io_context::executor_type>;
inline constexpr asio::use_awaitable_t<asio::io_context::executor_type> use_asio_coro{};

}  // namespace heirloop::bench
