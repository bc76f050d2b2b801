#include <heirloop/sched/errors.hpp>

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <typeinfo>

namespace heirloop {
namespace {

std::string demangled(const std::type_info* type) {
  if (type == nullptr) return "an exception of unknown type";
  int status = 0;
  std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(type->name(), nullptr, nullptr, &status),
                                                   &std::free);
  return status == 0 ? name.get() : type->name();
}

std::string with_message(std::string type, const std::string& message) {
  return message.empty() ? type : type + ": " + message;
}

}  // namespace

std::string describe_exception(const std::exception_ptr& error) {
  if (!error) return "no exception";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return with_message(demangled(&typeid(e)), e.what());
  } catch (const Cancelled& e) {
    return with_message("heirloop::Cancelled", e.message());
  } catch (const InterruptException& e) {
    return with_message(demangled(&typeid(e)), e.message());
  } catch (...) {
    return demangled(abi::__cxa_current_exception_type());
  }
}

}  // namespace heirloop
