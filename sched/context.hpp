// Context variables: values that go with a task, its children and its handles without being passed on.
//
// Owns: `ContextVar<T>` (a variable), `Context` (which value each variable has), and the word by which tasks, handles and
// threads refer to theirs. Called by programs, and by everything that makes a task or a handle.
//
// 1. A map of values changes only while one context alone refers to it; else a `set` copies it first. So a copy of a context
//    is a counted pointer, and an empty one is a null pointer.
// 2. A task runs in a copy of its creator's context, or in the very one that it was given; a handle in a copy of the one in
//    which it was made. Outside both there is the thread's own.
// 3. References are counted atomically, for a context goes along to jobs in threads. A context changes in one thread at a
//    time.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heirloop/sched/coro.hpp>
#include <heirloop/sched/errors.hpp>
#include <heirloop/sched/frame_pool.hpp>

namespace heirloop {

class Context;
template <class T>
class ContextVar;

/// The context variable has no value here and no default.
class LookupError : public InvalidStateError {
 public:
  using InvalidStateError::InvalidStateError;
};

namespace detail {

/// What a variable was set to: shared by all contexts that have it.
class ContextValue {
 public:
  ContextValue(const ContextValue&) = delete;
  ContextValue& operator=(const ContextValue&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy_(this);
  }

 protected:
  explicit ContextValue(void (*destroy)(ContextValue*) noexcept) noexcept : destroy_(destroy) {}
  ~ContextValue() = default;

 private:
  std::atomic<std::uint32_t> references_{1};
  void (*destroy_)(ContextValue*) noexcept;
};

template <class T>
class ContextValueOf final : public ContextValue, public Pooled {
 public:
  explicit ContextValueOf(T&& its_value)
      : ContextValue([](ContextValue* it) noexcept { delete static_cast<ContextValueOf*>(it); }),
        value(std::move(its_value)) {}
  const T value;
};

class ContextMap;
class ContextHolder;

/// How a task, a handle or a thread refers to its context: 0 for an empty one; a map, as long as only the values matter; a
/// holder and 1 once somebody must be able to tell this context from its copies.
using ContextWord = std::uintptr_t;

/// Of the running thread, outside tasks and handles; of the handle, inside one.
inline thread_local constinit ContextWord thread_context = 0;

/// That of the running task, else of the thread.
ContextWord& current_context() noexcept;

/// A copy for another to have. Cost: one count, none for an empty context.
ContextWord share_context(ContextWord word) noexcept;
void drop_context(ContextWord word) noexcept;

/// Refers to a context until it goes.
class ContextSlot {
 public:
  ContextSlot() noexcept = default;
  ContextSlot(const ContextSlot&) = delete;
  ContextSlot& operator=(const ContextSlot&) = delete;
  ~ContextSlot() {
    if (word != 0) [[unlikely]] drop_context(word);
  }

  /// Once, while it is empty.
  void copy_of(ContextWord other) noexcept {
    if (other != 0) [[unlikely]] word = share_context(other);
  }
  void copy_of_current() noexcept { copy_of(current_context()); }

  /// This very context. Once, while it is empty.
  void enter(ContextHolder& holder) noexcept;

  ContextWord word = 0;
};

/// A counted pointer to a holder or a value.
template <class Counted>
class ContextRef {
 public:
  ContextRef() noexcept = default;
  explicit ContextRef(Counted* taken_over) noexcept : counted_(taken_over) {}
  ContextRef(const ContextRef& other) noexcept : counted_(other.counted_) {
    if (counted_ != nullptr) counted_->retain();
  }
  ContextRef(ContextRef&& other) noexcept : counted_(std::exchange(other.counted_, nullptr)) {}
  ContextRef& operator=(ContextRef other) noexcept {
    std::swap(counted_, other.counted_);
    return *this;
  }
  ~ContextRef() {
    if (counted_ != nullptr) counted_->release();
  }

  Counted* get() const noexcept { return counted_; }
  Counted* give_away() noexcept { return std::exchange(counted_, nullptr); }

 private:
  Counted* counted_ = nullptr;
};

/// A context that is known by itself: what it holds is what its variables are set to now.
class ContextHolder final : public Pooled {
 public:
  /// Takes the map over, if any.
  explicit ContextHolder(ContextMap* map) noexcept : map_(map) {}
  ContextHolder(const ContextHolder&) = delete;
  ContextHolder& operator=(const ContextHolder&) = delete;

  /// A new one with the values that `word` has now. Errors: std::bad_alloc.
  static ContextRef<ContextHolder> copy_of(ContextWord word);

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  const ContextMap* map() const noexcept { return map_; }
  ContextValue* find(std::uint64_t variable) const noexcept;

  /// Gives back what it was set to before. An empty `value` takes the variable out. Errors: std::bad_alloc.
  ContextRef<ContextValue> set(std::uint64_t variable, ContextRef<ContextValue> value);

 private:
  friend class ContextRef<ContextHolder>;
  ~ContextHolder();

  std::atomic<std::uint32_t> references_{1};
  ContextMap* map_;
};

/// The context to which `word` refers, to be told from its copies from now on. Errors: std::bad_alloc.
ContextHolder& held_context(ContextWord& word);

/// Null when it is not set there.
ContextValue* find_in_context(ContextWord word, std::uint64_t variable) noexcept;

std::uint64_t next_context_variable() noexcept;

/// The running task, or the thread, is in another context while this lives.
class ContextEntered {
 public:
  explicit ContextEntered(ContextHolder& holder) noexcept;
  ContextEntered(const ContextEntered&) = delete;
  ContextEntered& operator=(const ContextEntered&) = delete;
  ~ContextEntered() { drop_context(std::exchange(place_, former_)); }

 private:
  ContextWord& place_;
  const ContextWord former_;
};

}  // namespace detail

/// What a `set` gives: with it the variable gets back the value from before, once. Move-only.
class ContextToken {
 public:
  ContextToken(ContextToken&&) noexcept = default;
  ContextToken& operator=(ContextToken&&) noexcept = default;

 private:
  template <class T>
  friend class ContextVar;
  template <class T>
  friend class ContextScope;

  ContextToken(detail::ContextHolder& holder, std::uint64_t variable,
               detail::ContextRef<detail::ContextValue> former) noexcept
      : holder_(&holder), variable_(variable), former_(std::move(former)) {
    holder.retain();
  }
  static ContextToken set(std::uint64_t variable, detail::ContextRef<detail::ContextValue> value);

  /// Errors: as ContextVar::reset.
  void reset(std::uint64_t variable, const std::string& name);
  void put_back();

  detail::ContextRef<detail::ContextHolder> holder_;
  std::uint64_t variable_;
  detail::ContextRef<detail::ContextValue> former_;
};

/// A variable that has a value of its own in every context. Mostly a constant of the program: `const ContextVar<int>
/// request("request");`. Lives longer than the calls that use it; a context may outlive it.
template <class T>
class ContextVar {
  static_assert(std::is_object_v<T> && std::copy_constructible<T>, "a context variable holds values that can be copied");

 public:
  explicit ContextVar(std::string_view name) : id_(detail::next_context_variable()), name_(name) {}
  ContextVar(std::string_view name, T default_value)
      : id_(detail::next_context_variable()), name_(name), default_(std::move(default_value)) {}
  ContextVar(const ContextVar&) = delete;
  ContextVar& operator=(const ContextVar&) = delete;

  const std::string& name() const noexcept { return name_; }

  /// The value in the current context, else the default.
  /// Errors: LookupError without either. Cost: O(log n) in the number of variables set there, and a copy of the value.
  T get() const {
    if (const T* value = find()) return *value;
    if (!default_) throw LookupError("the context variable '" + name_ + "' is not set here, and has no default");
    return *default_;
  }

  /// The value in the current context, else `fallback`.
  T get(T fallback) const {
    const T* value = find();
    return value != nullptr ? *value : std::move(fallback);
  }

  /// The value in the current context, or null; good until the variable is next set or reset there.
  const T* find() const noexcept { return value_of(detail::find_in_context(detail::current_context(), id_)); }

  /// Sets it in the current context: of the task, the handle, or the thread. Copies made before don't see it.
  /// Errors: std::bad_alloc. Cost: O(n) in the number of variables set there.
  ContextToken set(T value) const {
    using Value = detail::ContextValueOf<T>;
    return ContextToken::set(id_, detail::ContextRef<detail::ContextValue>(new Value(std::move(value))));
  }

  /// The value, or its absence, from before that `set`.
  /// Errors: std::invalid_argument when the token is of another variable, or of a `set` in another context;
  /// InvalidStateError when it was used before.
  void reset(ContextToken& token) const { token.reset(id_, name_); }

 private:
  friend class Context;
  static const T* value_of(const detail::ContextValue* value) noexcept {
    return value == nullptr ? nullptr : &static_cast<const detail::ContextValueOf<T>*>(value)->value;
  }

  std::uint64_t id_;
  std::string name_;
  std::optional<T> default_{};
};

/// A variable that is set until the end of a block.
template <class T>
class [[nodiscard("the variable is set as long as this lives")]] ContextScope {
 public:
  ContextScope(const ContextVar<T>& variable, T value) : token_(variable.set(std::move(value))) {}
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;
  ~ContextScope() { token_.put_back(); }

 private:
  ContextToken token_;
};

/// Which value each variable has. A handle: copies of it are the same context, `copy()` makes another.
class Context {
 public:
  /// One in which nothing is set.
  Context() : holder_(new detail::ContextHolder(nullptr)) {}

  /// Calls `function()` in this context: what it sets stays here, and its caller does not see it.
  /// Errors: what it throws. Cost: some ns.
  template <class F>
  decltype(auto) run(F&& function) const {
    const detail::ContextEntered entered(*holder_.get());
    return std::forward<F>(function)();
  }

  /// Another one with the same values. Cost: O(1).
  Context copy() const;

  /// How many variables are set.
  std::size_t size() const noexcept;

  /// The value of a variable here, or null; good until it is next set or reset here.
  template <class T>
  const T* find(const ContextVar<T>& variable) const noexcept {
    return ContextVar<T>::value_of(holder_.get()->find(variable.id_));
  }

  /// True for handles to the same context.
  friend bool operator==(const Context& a, const Context& b) noexcept { return a.holder_.get() == b.holder_.get(); }

 private:
  friend class TaskRef;
  friend struct ContextView;
  friend Context copy_context();
  template <class T>
  friend class ContextAwaiter;

  explicit Context(detail::ContextRef<detail::ContextHolder> holder) noexcept : holder_(std::move(holder)) {}

  // Copied, never moved from: a context is never nothing.
  const detail::ContextRef<detail::ContextHolder> holder_;
};

/// A copy of the current context. Cost: O(1), a recycled block.
Context copy_context();

/// A context among the options of a call, which keeps it. Trivial, as everything in options is.
struct ContextView {
  ContextView() noexcept = default;
  ContextView(const Context& context) noexcept : holder(context.holder_.get()) {}  // NOLINT(google-explicit-constructor)

  detail::ContextHolder* holder = nullptr;  ///< null: none was given
};

/// A coroutine that runs in a context of its own inside the task that awaits it.
template <class T>
class ContextAwaiter {
 public:
  using hands_over = void;

  ContextAwaiter(Coro<T> coro, Context context)
      : coro_(std::move(coro)), context_(std::move(context)), awaiter_(coro_.operator co_await()) {}
  ContextAwaiter(const ContextAwaiter&) = delete;
  ContextAwaiter& operator=(const ContextAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame) noexcept {
    entered_.emplace(*context_.holder_.get());
    awaiter_.await_suspend(frame);
  }
  T await_resume() {
    entered_.reset();
    return awaiter_.await_resume();
  }

 private:
  Coro<T> coro_;
  Context context_;
  detail::CoroAwaiter<T> awaiter_;
  std::optional<detail::ContextEntered> entered_{};
};

/// Runs `coro` as part of the current task, in `context`: what it sets stays there. While it is under way that is the task's
/// context.
/// Suspends, Interrupt, Errors: as an await of `coro`. Cost: some ns more.
template <class T>
ContextAwaiter<T> coro_await(Coro<T> coro, Context context) {
  return ContextAwaiter<T>(std::move(coro), std::move(context));
}

}  // namespace heirloop
