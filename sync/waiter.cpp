#include <heirloop/sync/waiter.hpp>

namespace heirloop::detail {

void refuse_no_task(const std::string& what) { throw InvalidStateError(what + " can be used by tasks only"); }

void refuse_second_await(const std::string& what) {
  throw InvalidStateError("a wait for " + what + " is awaited once; this one was awaited before");
}

std::string kind_and_name(std::string_view kind, std::string_view name) {
  return name.empty() ? "an unnamed " + std::string(kind) : std::string(kind) + " '" + std::string(name) + "'";
}

void Waiter::throw_owner_died() const {
  throw OwnerDied("the owner of " + lost_.text() + " ended without releasing it");
}

}  // namespace heirloop::detail
