// What `co_await` of something gives, as a type, and where a value of any type lies.
#pragma once

#include <type_traits>
#include <utility>
#include <variant>

namespace heirloop::detail {

template <class A>
decltype(auto) awaiter_of(A&& awaitable) {
  if constexpr (requires { std::forward<A>(awaitable).operator co_await(); }) {
    return std::forward<A>(awaitable).operator co_await();
  } else {
    return std::forward<A>(awaitable);
  }
}

/// The type of `co_await std::declval<A>()`.
template <class A>
using Awaited = decltype(awaiter_of(std::declval<A>()).await_resume());

/// `void` as something that can lie in a tuple.
template <class T>
using NonVoid = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

}  // namespace heirloop::detail
