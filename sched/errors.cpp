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

/// Every line but the first stands below the first.
std::string indented(const std::string& text) {
  std::string result;
  for (const char c : text) {
    result += c;
    if (c == '\n') result += "  ";
  }
  return result;
}

}  // namespace

ExceptionGroup::ExceptionGroup(std::string message, std::vector<std::exception_ptr> exceptions)
    : message_(std::move(message)), exceptions_(std::move(exceptions)) {
  if (exceptions_.empty()) throw std::invalid_argument("an ExceptionGroup holds one exception at least");
  text_ = message_ + " (" + std::to_string(exceptions_.size()) + (exceptions_.size() == 1 ? " exception)" : " exceptions)");
  for (const std::exception_ptr& error : exceptions_) text_ += "\n- " + indented(describe_exception(error));
}

namespace {
/// The group that this exception is, or empty.
std::optional<ExceptionGroup> as_group(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const ExceptionGroup& group) {
    return group;
  } catch (...) {
    return std::nullopt;
  }
}
}  // namespace

std::vector<std::exception_ptr> ExceptionGroup::leaves() const {
  std::vector<std::exception_ptr> all;
  for (const std::exception_ptr& error : exceptions_) {
    if (const auto group = as_group(error)) {
      const auto inner = group->leaves();
      all.insert(all.end(), inner.begin(), inner.end());
    } else {
      all.push_back(error);
    }
  }
  return all;
}

std::pair<ExceptionGroup::Part, ExceptionGroup::Part> ExceptionGroup::split(const Wanted& wanted) const {
  std::vector<std::exception_ptr> first;
  std::vector<std::exception_ptr> rest;
  for (const std::exception_ptr& error : exceptions_) {
    if (const auto group = as_group(error)) {
      auto [inner, inner_rest] = group->split(wanted);
      if (inner) first.push_back(inner_rest ? std::make_exception_ptr(*std::move(inner)) : error);
      if (inner_rest) rest.push_back(inner ? std::make_exception_ptr(*std::move(inner_rest)) : error);
    } else {
      (wanted(error) ? first : rest).push_back(error);
    }
  }
  const auto part = [this](std::vector<std::exception_ptr> errors) {
    return errors.empty() ? Part() : Part(ExceptionGroup(message_, std::move(errors)));
  };
  return {part(std::move(first)), part(std::move(rest))};
}

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
