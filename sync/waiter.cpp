#include <heirloop/sync/waiter.hpp>

namespace heirloop::detail {

void refuse_no_task(const std::string& what) { throw InvalidStateError(what + " can be used by tasks only"); }

std::string kind_and_name(std::string_view kind, std::string_view name) {
  return name.empty() ? "an unnamed " + std::string(kind) : std::string(kind) + " '" + std::string(name) + "'";
}

void Waiter::throw_owner_died(const Resource* owned) {
  throw OwnerDied("the owner of " + (owned == nullptr ? std::string("what was waited for") : owned->describe()) +
                  " ended without releasing it");
}

}  // namespace heirloop::detail
