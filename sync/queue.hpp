// Queue, PriorityQueue, LifoQueue: items from tasks to tasks, with a bound, task_done and join, and shutdown.
//
// Owns: the items, the rights to take one and to put one, and who waits for either. Called by tasks; the forms that never
// suspend by handles too. Nobody owns a queue: it lends nothing.
//
//   get ──an item is free──▶ has the right to one item ──runs──▶ takes the item that is first then
//    └──none──▶ waits ──elected──▲   └──cancelled, interrupted──▶ the right goes to the next in the same call
//
// A put is the same with places. An item stays in its queue until the elected getter runs, and with the putter until the
// elected putter runs: no item is lost, doubled or out of order, whoever is stopped when.
//
// 1. Until it is shut down there are at least as many items as rights to one, and items and rights to a place do not
//    exceed `maxsize`.
// 2. Nobody waits for an item while there are more items than rights, nor for a place while there are free ones.
// 3. The items are in the order in which their puts ended.
// 4. Shut down: who wants a place is let go at once, who wants an item as soon as none is left; both to be refused.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heirloop/sync/queue_store.hpp>
#include <heirloop/sync/wait_group.hpp>
#include <heirloop/sync/waiter.hpp>

namespace heirloop {

/// A put into a queue that was shut down, or a get when no items are left in it.
class QueueShutDown : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

/// What does not depend on the type of the items.
class QueueBase {
 public:
  QueueBase(const QueueBase&) = delete;
  QueueBase& operator=(const QueueBase&) = delete;

  /// 0: any number of items has a place.
  std::size_t maxsize() const noexcept { return maxsize_; }

  /// How many items are in the queue; also those that elected getters are about to take.
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  bool full() const noexcept { return maxsize_ != 0 && size_ >= maxsize_; }

  /// How many tasks wait for an item, and for a place.
  std::size_t getter_count() const noexcept { return side(Want::item).waiters.size(); }
  std::size_t putter_count() const noexcept { return side(Want::place).waiters.size(); }

  /// Counts waits for an item and waits for a place from now on; null: nowhere. Cost: a branch as a wait begins and ends.
  void count_waits(WaitStatistics* getters, WaitStatistics* putters) noexcept {
    side(Want::item).waiters.count_in(getters);
    side(Want::place).waiters.count_in(putters);
  }

  /// Items that were put, and for which nobody has called `task_done`.
  std::size_t unfinished() const noexcept { return static_cast<std::size_t>(unfinished_.count()); }

  /// An item that was got has been worked off. Errors: InvalidStateError when called more often than items were put.
  void task_done();

  class Join;

  /// Waits until every item that was put has been worked off (`task_done`) or discarded.
  /// Suspends: while one has not; of those that need not wait every 64th gives way as a checkpoint does.
  /// Interrupt: nothing is owed. Errors: InvalidStateError outside tasks. Cost: O(log n).
  [[nodiscard]] Join join() noexcept;

  bool is_shut_down() const noexcept { return shut_down_; }

  /// "Queue 'jobs'".
  std::string describe() const { return kind_and_name(kind_, name_); }

 protected:
  enum class Want : std::uint8_t { item, place };
  class Right;

  QueueBase(std::string_view kind, std::size_t maxsize, std::string_view name) noexcept
      : kind_(kind), name_(name), maxsize_(maxsize) {}
  ~QueueBase() {
    contract(side(Want::item).rights == 0 && side(Want::place).rights == 0, "nobody is about to use a queue that ends");
  }

  /// True when there is nothing to be waited for, not even an election.
  bool grants(Want want) const noexcept {
    if (is_over(want)) return true;
    if (want == Want::item) return size_ > side(want).rights;
    return maxsize_ == 0 || size_ + side(want).rights < maxsize_;
  }

  /// Errors: QueueShutDown when who wants this waits for ever.
  void refuse_if_over(Want want) const {
    if (is_over(want)) [[unlikely]] refuse(want);
  }

  void one_more() noexcept {
    unfinished_.add(1);
    ++size_;
  }
  void one_less() noexcept { --size_; }

  /// What is left to be wanted is handed out at the end of the scope, though an exception ends it.
  class Electing {
   public:
    explicit Electing(QueueBase& queue) noexcept : queue_(queue) {}
    Electing(const Electing&) = delete;
    Electing& operator=(const Electing&) = delete;
    ~Electing() { queue_.elect(); }

   private:
    QueueBase& queue_;
  };

  void shut_down(bool discarded) noexcept;

 private:
  struct Side {
    WaiterQueue waiters;
    std::size_t rights = 0;  // of those that were elected, or give way, and have not run
  };

  Side& side(Want want) noexcept { return sides_[static_cast<std::size_t>(want)]; }
  const Side& side(Want want) const noexcept { return sides_[static_cast<std::size_t>(want)]; }
  bool is_over(Want want) const noexcept { return shut_down_ && (want == Want::place || size_ == 0); }
  [[noreturn]] void refuse(Want want) const;

  void elect() noexcept {
    elect(Want::item);
    elect(Want::place);
  }
  void elect(Want want) noexcept {
    while (!side(want).waiters.empty() && grants(want)) [[unlikely]] {
      ++side(want).rights;
      wake(*side(want).waiters.next());
    }
  }

  std::string_view kind_;
  std::string_view name_;
  std::size_t maxsize_;
  std::size_t size_ = 0;
  std::array<Side, 2> sides_;
  WaitGroup unfinished_;
  bool shut_down_ = false;
};

/// A wait for the right to an item or to a place.
class QueueBase::Right : public Waiter {
 public:
  bool await_ready() {
    Task& task = first_await(*this);
    if (!queue_.grants(want_)) return false;
    ++queue_.side(want_).rights;
    return goes_on(task);
  }
  void await_suspend(std::coroutine_handle<> frame) { suspend(queue_.side(want_).waiters, frame); }

  AbortResult abort() noexcept override {
    if (handed_over()) give_back();
    return AbortResult::done;
  }
  std::string describe() const override {
    return queue_.describe() + (want_ == Want::item ? " to have an item" : " to have a place");
  }

 protected:
  Right(QueueBase& queue, Want want) noexcept : queue_(queue), want_(want) {}
  ~Right() = default;

  /// What `await_resume` begins with; then it takes or puts, under an `Electing`.
  void use() {
    waited();
    gave_way_or([this] { give_back(); });
    --queue_.side(want_).rights;
    queue_.refuse_if_over(want_);
  }

 private:
  void give_back() noexcept {
    --queue_.side(want_).rights;
    queue_.elect();
  }

  QueueBase& queue_;
  Want want_;
};

class QueueBase::Join final : public WaitGroup::UntilZero {
 public:
  explicit Join(QueueBase& queue) noexcept : UntilZero(queue.unfinished_), queue_(queue) {}
  std::string describe() const override {
    return queue_.describe() + " to be worked off, " + std::to_string(queue_.unfinished()) + " unfinished";
  }

 private:
  QueueBase& queue_;
};

inline QueueBase::Join QueueBase::join() noexcept { return Join(*this); }

}  // namespace detail

/// The one body of the three queues. `T` may be move-only; it must be movable without exceptions.
template <class T, class Store>
class BasicQueue final : public detail::QueueBase {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "an item is moved while nothing may fail");

 public:
  class Put;
  class Get;

  /// At most `maxsize` items, any number when 0. `name` appears in messages; it must outlive the queue (a literal does).
  /// The queue may end when everybody who was elected has run, also those that a shutdown let go.
  explicit BasicQueue(std::size_t maxsize = 0, std::string_view name = {}) noexcept
      : QueueBase(Store::kind, maxsize, name) {}

  /// Puts an item in.
  /// Suspends: while the queue is full; of those that find a place every 64th gives way as a checkpoint does.
  /// Interrupt: the item was not put, and is gone with this wait; a place that was promised is the next putter's.
  /// Errors: QueueShutDown, also when it is shut down meanwhile; InvalidStateError outside tasks; what moving the item
  /// into more memory needs (std::bad_alloc): nothing was put then. Cost: O(log n) when it waits.
  [[nodiscard]] Put put(T item) noexcept { return Put(*this, std::move(item)); }

  /// Takes the first item: in FIFO order, the last that was put, or the smallest.
  /// Suspends: while there are no more items than were promised to others; of those that find one every 64th gives way as
  /// a checkpoint does. Interrupt: no item was taken; one that was promised is the next getter's.
  /// Errors: QueueShutDown when it is shut down and the last item is gone; InvalidStateError outside tasks.
  /// Cost: O(log n) when it waits.
  [[nodiscard]] Get get() noexcept { return Get(*this); }

  /// Puts an item in when there is a place that was not promised; else leaves `item` as it is. Never suspends.
  /// Errors: QueueShutDown; std::bad_alloc: `item` is as it was.
  bool try_put(T&& item) {
    if (!may_put()) return false;
    put_in(std::move(item));
    return true;
  }
  bool try_put(const T& item) {
    if (!may_put()) return false;
    put_in(T(item));
    return true;
  }

  /// The first item when there are more than were promised. Never suspends.
  /// Errors: QueueShutDown when it is shut down and the last item is gone.
  std::optional<T> try_get() {
    refuse_if_over(Want::item);
    if (!grants(Want::item)) return std::nullopt;
    return take_out();
  }

  /// From now on nothing is put: putters, those that wait too, get QueueShutDown. Getters take what is left and get
  /// QueueShutDown then. `immediate`: what is left is discarded, and counts as worked off.
  void shutdown(bool immediate = false) noexcept {
    const std::size_t discarded = immediate ? size() : 0;
    shut_down(immediate);
    for (std::size_t i = 0; i < discarded; ++i) (void)store_.pop();  // which may use the queue as it ends
  }

 private:
  bool may_put() const {
    refuse_if_over(Want::place);
    return grants(Want::place);
  }
  void put_in(T&& item) {
    const Electing electing(*this);
    store_.push(std::move(item));
    one_more();
  }
  T take_out() noexcept {
    const Electing electing(*this);
    one_less();
    return store_.pop();
  }

  Store store_;
};

template <class T, class Store>
class BasicQueue<T, Store>::Put final : public detail::QueueBase::Right {
 public:
  Put(BasicQueue& queue, T&& item) noexcept : Right(queue, Want::place), queue_(queue), item_(std::move(item)) {}
  void await_resume() {
    use();
    queue_.put_in(std::move(item_));
  }

 private:
  BasicQueue& queue_;
  T item_;
};

template <class T, class Store>
class BasicQueue<T, Store>::Get final : public detail::QueueBase::Right {
 public:
  explicit Get(BasicQueue& queue) noexcept : Right(queue, Want::item), queue_(queue) {}
  T await_resume() {
    use();
    return queue_.take_out();
  }

 private:
  BasicQueue& queue_;
};

/// First in, first out.
template <class T>
using Queue = BasicQueue<T, detail::Fifo<T>>;

/// The item that `Before` puts before all others comes first, the smallest unless given; of equals the first that came.
/// `Before` is default-constructed and must not throw.
template <class T, class Before = std::less<T>>
using PriorityQueue = BasicQueue<T, detail::Smallest<T, Before>>;

/// Last in, first out.
template <class T>
using LifoQueue = BasicQueue<T, detail::Lifo<T>>;

}  // namespace heirloop
