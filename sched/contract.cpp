#include <heirloop/sched/contract.hpp>

#include <cstdio>
#include <cstdlib>

namespace heirloop::detail {

void contract_broken(const char* what, std::source_location where) noexcept {
  std::fprintf(stderr, "heirloop: broken contract: %s (%s:%u, in %s)\n", what, where.file_name(),
               static_cast<unsigned>(where.line()), where.function_name());
  std::fflush(stderr);
  std::abort();
}

}  // namespace heirloop::detail
