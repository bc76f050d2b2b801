#include <heirloop/runtime/ensure.hpp>

namespace heirloop::detail {

void clean_up_failed(const std::exception_ptr& body) {
  if (body == nullptr || handling_cancelled()) throw;
  std::exception_ptr clean_up = std::current_exception();
  try {
    std::rethrow_exception(body);
  } catch (const Cancelled&) {
    std::rethrow_exception(clean_up);
  } catch (...) {
    throw ExceptionGroup("a body and its clean-up have failed", {body, std::move(clean_up)});
  }
}

}  // namespace heirloop::detail
