#include <heirloop/runtime/ensure.hpp>

namespace heirloop::detail {

/// A cancel that takes the place of the body's failure has it as its cause.
[[noreturn]] static void throw_with_cause(const std::exception_ptr& cancelled, const std::exception_ptr& cause) {
  try {
    std::rethrow_exception(cancelled);
  } catch (const Cancelled& c) {
    throw Cancelled(c.message(), cause);
  }
}

void clean_up_failed(const std::exception_ptr& body) {
  if (body == nullptr) throw;
  std::exception_ptr clean_up = std::current_exception();
  const bool is_cancelled = handling_cancelled();
  try {
    std::rethrow_exception(body);
  } catch (const Cancelled&) {
    std::rethrow_exception(clean_up);
  } catch (...) {
    if (is_cancelled) throw_with_cause(clean_up, body);
    throw ExceptionGroup("a body and its clean-up have failed", {body, std::move(clean_up)});
  }
}

}  // namespace heirloop::detail
