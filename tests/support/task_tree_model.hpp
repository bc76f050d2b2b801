// What a program of structured concurrency must do, computed without coroutines, tasks or a loop: a recursive interpreter in
// which each task is a function of when it begins and what comes to it from outside. A group and a gather compute their
// children again as soon as it is known when those are cancelled.
#pragma once

#include "support/task_tree.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace heirloop::testing {

class TaskTreeModel {
 public:
  /// Whether the last program cancelled a task at the very time at which it began: how far that came by then is a matter of
  /// steps, which have no place here.
  static bool was_ambiguous() noexcept { return ambiguous_; }

  static TreeTrace run(const TreeProgram& program) {
    ambiguous_ = false;
    TaskTreeModel task(0, program.events);
    TreeTrace trace;
    trace.ending = task.act(program.root);
    trace.end_ns = task.now_;
    trace.sleeps = std::move(task.sleeps_);
    std::sort(trace.sleeps.begin(), trace.sleeps.end());
    return trace;
  }

 private:
  using Ending = std::string;
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
  static constexpr int nobody = -1;

  /// `passed_on`: a cancel has gone to the tasks of the gather in which the task waits, which have not ended yet.
  enum class Pending { nothing, cancel, thrown, passed_on };

  /// A cancel that a block sends to its own task.
  struct Own {
    int before = 0;
    std::size_t shields = 0;  // around the block
    int id = nobody;
    bool sent = false;
    int requests_as_sent = 0;
  };
  struct Limit {
    std::int64_t deadline;
    bool interrupts;
    Own own;
    bool due = false;
  };
  /// The body of a group runs: at this time a child fails.
  struct OfGroup {
    std::int64_t time;
    Own own;
  };
  struct Shielding {
    int requests = 0;  // that it keeps back
    std::size_t scope = 0;
    int of = nobody;
  };

  TaskTreeModel(std::int64_t begin, std::vector<FromOutside> events) : now_(begin), events_(std::move(events)) {}

  // ---- what comes ----

  Own new_own() {
    Own own{.before = seen_requests(), .shields = shields_.size(), .id = next_own_++};
    if (own.before > 0 && pending_ == Pending::cancel) --own.before;
    return own;
  }

  /// Without those that shields keep back.
  int seen_requests() const {
    int requests = requests_;
    for (const Shielding& shield : shields_) requests -= shield.requests;
    return requests;
  }

  void clear_pending() {
    if (!cancel_behind_) pending_of_ = nobody;
    pending_ = std::exchange(cancel_behind_, false) ? Pending::cancel : Pending::nothing;
    pending_limit_ = nobody;
  }

  bool take_back(Own& own) {
    if (!std::exchange(own.sent, false)) return false;
    const bool stands_for_others = requests_ > own.requests_as_sent;
    if (requests_ > 0) --requests_;
    const bool alone = seen_requests() <= own.before;
    if (pending_ == Pending::cancel && (alone || (!stands_for_others && pending_of_ == own.id))) clear_pending();
    return alone;
  }

  /// The block cancels its task. What is open already stands for it too.
  void send(Own& own) {
    const bool alone = !has_open_cancel();
    own.sent = true;
    cancel(own.shields, alone ? own.id : nobody);
    own.requests_as_sent = requests_;
  }

  /// Counted already. `scope`: shields around what the cancel belongs to. `of`: the block whose own it is.
  void set_cancelled(std::size_t scope, int of = nobody) {
    if (shields_.size() > scope) {
      Shielding& shield = shields_.back();
      if (++shield.requests == 1 || scope < shield.scope) shield.scope = scope, shield.of = of;
      return;
    }
    if (pending_ != Pending::cancel || pending_limit_ != nobody) pending_of_ = of;
    pending_ = Pending::cancel;
    pending_limit_ = nobody;
    cancel_behind_ = false;
  }

  bool is_stopped() const { return pending_ == Pending::cancel || pending_ == Pending::thrown; }
  bool has_open_cancel() const { return pending_ == Pending::cancel || pending_ == Pending::passed_on || cancel_behind_; }

  /// A cancel comes; what the task awaits goes first when that is a gather.
  void cancel(std::size_t scope, int of = nobody) {
    ++requests_;
    if (!is_stopped() && shields_.size() <= scope && gathering_) {
      forwarded_ = true;
      forwarded_of_ = of;
      if (pending_ != Pending::passed_on || pending_limit_ != nobody) pending_of_ = of;
      pending_ = Pending::passed_on;
      pending_limit_ = nobody;
    } else {
      set_cancelled(scope, of);
    }
  }

  void set_thrown() {
    if (pending_limit_ != nobody) {
      withdraw(pending_limit_).due = true;
    } else if (pending_ == Pending::cancel) {
      return;  // refused
    }
    put_throw_first();
  }
  void put_throw_first() {
    if (pending_ == Pending::cancel || pending_ == Pending::passed_on) cancel_behind_ = true;
    if (!cancel_behind_) pending_of_ = nobody;
    pending_ = Pending::thrown;
    pending_limit_ = nobody;
  }

  Limit& withdraw(int index) {
    Limit& limit = limits_[static_cast<std::size_t>(index)];
    clear_pending();
    take_back(limit.own);
    return limit;
  }

  void pass(int index) {
    Limit& limit = limits_[static_cast<std::size_t>(index)];
    limit.deadline = never;
    limit.due = shields_.size() > limit.own.shields;
    if (limit.due) return;
    if (pending_limit_ != nobody) {
      if (pending_limit_ < index) return pass_inside_of_one_that_has(limit);
      withdraw(pending_limit_);
    }
    limit.due = pending_ == Pending::thrown;
    if (pending_ == Pending::cancel && !limit.interrupts) send(limit.own);
    if (is_stopped()) return;
    if (limit.interrupts) {
      put_throw_first();
      pending_limit_ = index;
    } else {
      const bool alone = !has_open_cancel();
      send(limit.own);
      if (alone && has_open_cancel()) pending_limit_ = index;
    }
  }

  /// One farther outside wins: what it was passed on to is asked again, or waited for no longer.
  void pass_inside_of_one_that_has(Limit& limit) {
    if (pending_ != Pending::passed_on) return;
    if (limit.interrupts) {
      pending_ = Pending::cancel;
      return;
    }
    const int outer = pending_limit_;
    const int of = pending_of_;
    send(limit.own);
    pending_limit_ = outer;
    pending_of_ = of;
  }

  /// Of all that comes before `end`: the first in time happens, and it is that time. False: there is none.
  bool next_comes(std::int64_t end) {
    std::int64_t time = end;
    int limit = nobody;
    int group = nobody;
    bool outside = false;
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      if (groups_[i].time < time) time = groups_[i].time, group = static_cast<int>(i);
    }
    if (next_event_ < events_.size() && events_[next_event_].time_ns < time) {
      time = events_[next_event_].time_ns, group = nobody, outside = true;
    }
    for (std::size_t i = limits_.size(); i-- > 0;) {
      if (limits_[i].deadline < time) time = limits_[i].deadline, limit = static_cast<int>(i), group = nobody, outside = false;
    }
    if (time == end) return false;
    now_ = std::max(now_, time);
    if (limit != nobody) {
      pass(limit);
    } else if (group != nobody) {
      OfGroup& of = groups_[static_cast<std::size_t>(group)];
      of.time = never;
      send(of.own);
    } else if (outside) {
      if (events_[next_event_++].is_cancel) {
        cancel(0);
      } else {
        set_thrown();
      }
    }
    return true;
  }

  /// What is pending is thrown; limits that had to wait for it try again.
  Ending deliver() {
    const Pending pending = pending_;
    const int limit = pending_limit_;
    delivered_of_ = pending_ == Pending::cancel ? pending_of_ : nobody;
    clear_pending();
    try_again();
    if (pending == Pending::cancel) return "cancelled";
    return limit == nobody ? "interrupt" : "limit" + std::to_string(limit);
  }
  void try_again() {
    for (Limit& limit : limits_) {
      if (std::exchange(limit.due, false)) limit.deadline = now_;
    }
  }

  /// The task waits until `end`, or something ends the wait. Empty: nothing did.
  Ending wait_until(std::int64_t end) {
    while (pending_ == Pending::nothing && limit_at_once()) {
    }
    while (pending_ == Pending::nothing && next_comes(end)) {
    }
    if (pending_ != Pending::nothing) {
      // Limits that try again do so before the task runs.
      while (limit_at_once()) {
      }
      return deliver();
    }
    now_ = end;
    return {};
  }
  bool limit_at_once() {
    for (std::size_t i = limits_.size(); i-- > 0;) {
      if (limits_[i].deadline > now_) continue;
      pass(static_cast<int>(i));
      return true;
    }
    return false;
  }

  // ---- statements ----

  static bool is_failure(const Ending& ending) { return ending != "value" && ending != "cancelled"; }

  Ending act(const Statement& s) {
    switch (s.does) {
      case Does::sleep:
        return sleep(s);
      case Does::fail: {
        const Ending ending = sleep(s);
        return ending == "value" ? "failure" : ending;
      }
      case Does::sequence:
        for (const Statement& one : s.parts) {
          const Ending ending = act(one);
          if (ending != "value") return ending;
        }
        return "value";
      case Does::group:
        return group(s);
      case Does::gather:
        return gather(s);
      case Does::timeout:
      case Does::task_timeout:
      case Does::move_on:
        return limited(s);
      case Does::ensure:
        return ensure(s);
      case Does::swallow: {
        const Ending ending = act(s.parts[0]);
        return ending == "cancelled" ? "value" : ending;
      }
      case Does::rescue: {
        const Ending ending = act(s.parts[0]);
        return ending == "cancelled" || ending.starts_with("limit") ? ending : "value";
      }
    }
    return "?";
  }

  Ending sleep(const Statement& s) {
    const Ending stopped = wait_until(now_ + s.span_ns);
    const Ending ending = stopped.empty() ? "value" : stopped;
    sleeps_.emplace_back(now_, s.id, ending.starts_with("limit") ? "limit" : ending);
    return ending;
  }

  Ending limited(const Statement& s) {
    const int index = static_cast<int>(limits_.size());
    limits_.push_back({.deadline = now_ + s.span_ns, .interrupts = s.does == Does::task_timeout, .own = new_own()});
    Ending ending = act(s.parts[0]);
    Limit limit = limits_.back();
    limits_.pop_back();
    if (pending_limit_ == index && limit.interrupts) clear_pending();
    const bool pending_here = pending_limit_ == index;
    const bool is_own = take_back(limit.own);
    if (pending_here) pending_limit_ = nobody;
    if (s.does == Does::task_timeout) return ending == "limit" + std::to_string(index) ? "timeout" : ending;
    const bool others_wait = pending_ == Pending::cancel && pending_limit_ == nobody;
    if (ending == "cancelled" && !is_own && delivered_of_ == limit.own.id && others_wait) return deliver();
    if (ending != "cancelled" || !is_own) return ending;
    return s.does == Does::timeout ? "timeout" : "value";
  }

  Ending ensure(const Statement& s) {
    const Ending body = act(s.parts[0]);
    const int body_delivered_of = delivered_of_;
    shields_.push_back({});
    if (pending_limit_ != nobody) {
      withdraw(pending_limit_).due = true;
    } else if (pending_ == Pending::cancel) {
      shields_.back() = {.requests = 1, .scope = shields_.size() - 1, .of = pending_of_};
      clear_pending();
    }
    const Ending clean_up = act(s.parts[1]);
    const Shielding shield = shields_.back();
    shields_.pop_back();
    if (shield.requests > 0) set_cancelled(shield.scope, shield.of);
    try_again();
    if (clean_up == "value") {
      delivered_of_ = body_delivered_of;
      return body;
    }
    return body == "value" || body == "cancelled" || clean_up == "cancelled" ? clean_up : "group";
  }

  struct Child {
    Ending ending;
    std::int64_t end;
    std::vector<std::tuple<std::int64_t, int, std::string>> sleeps;
  };

  /// Another task that begins now and is cancelled at these times.
  static Child child(const Statement& s, std::int64_t begin, const std::vector<std::int64_t>& cancels) {
    std::vector<FromOutside> events;
    for (const std::int64_t time : cancels) {
      events.push_back({time, true});
      ambiguous_ |= time == begin;
    }
    TaskTreeModel task(begin, std::move(events));
    Ending ending = task.act(s);
    return {std::move(ending), task.now_, std::move(task.sleeps_)};
  }

  static std::vector<Child> children(const Statement& s, std::size_t first, std::int64_t begin) {
    std::vector<Child> all;
    for (std::size_t i = first; i < s.parts.size(); ++i) all.push_back(child(s.parts[i], begin, {}));
    return all;
  }

  /// Those that have not ended by the last of these times go another way from then on.
  static bool cancel(std::vector<Child>& all, const Statement& s, std::size_t first, std::int64_t begin,
                     const std::vector<std::int64_t>& cancels) {
    bool any = false;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].end <= cancels.back()) continue;
      all[i] = child(s.parts[first + i], begin, cancels);
      any = true;
    }
    return any;
  }
  void note(const std::vector<Child>& all) {
    for (const Child& one : all) sleeps_.insert(sleeps_.end(), one.sleeps.begin(), one.sleeps.end());
  }
  static std::int64_t first_failure(const std::vector<Child>& all) {
    std::int64_t time = never;
    for (const Child& one : all) {
      if (is_failure(one.ending)) time = std::min(time, one.end);
    }
    return time;
  }

  Ending group(const Statement& s) {
    const std::int64_t begin = now_;
    std::vector<std::int64_t> cancels;
    std::vector<Child> all = children(s, 1, begin);
    const std::int64_t child_fails = first_failure(all);
    groups_.push_back({.time = child_fails, .own = new_own()});
    const Ending body = act(s.parts[0]);
    Own own = groups_.back().own;
    groups_.pop_back();

    std::int64_t last_failure_of_body = never;
    int failures_of_body = 0;
    bool alone = false;  // the body's failure came when nothing else had failed
    bool cancelled = false;
    int cancelled_of = nobody;  // by the first of them
    bool still_there = false;   // children that have been cancelled at this moment, and end in steps of their own
    Ending first_of_body;
    const auto failed_before = [&](std::int64_t time) {
      return std::count_if(all.begin(), all.end(), [&](const Child& c) { return is_failure(c.ending) && c.end <= time; });
    };
    const auto stop = [&](std::int64_t time) {
      if (!cancels.empty()) return;
      cancels.push_back(time);
      still_there = cancel(all, s, 1, begin, cancels) && time == now_;
    };
    const auto body_failed = [&](const Ending& ending) {
      if (is_failure(ending)) {
        alone = failures_of_body == 0 && failed_before(now_) == 0;
        first_of_body = ending;
        last_failure_of_body = now_;
        ++failures_of_body;
      } else if (!take_back(own)) {
        if (!std::exchange(cancelled, true)) cancelled_of = delivered_of_;
      }
    };
    if (child_fails <= now_) stop(child_fails);
    if (body != "value") {
      body_failed(body);
      stop(now_);
    }
    take_back(own);
    for (;;) {
      std::int64_t end = now_;
      for (const Child& one : all) end = std::max(end, one.end);
      const std::int64_t fails = cancels.empty() ? first_failure(all) : never;
      if (end == now_ && !std::exchange(still_there, false)) break;
      const Ending stopped = wait_until(std::min(end, fails));
      if (!stopped.empty()) {
        body_failed(stopped);
        stop(now_);
      } else if (now_ == fails) {
        stop(fails);
      } else {
        break;
      }
    }
    note(all);
    const auto failures = failures_of_body + failed_before(never - 1);
    if (failures > 0) {
      if (cancelled && seen_requests() > own.before) {
        pending_of_ = nobody;
        set_cancelled(own.shields);
      }
      return alone && failures == 1 ? first_of_body : "group";
    }
    delivered_of_ = cancelled_of;
    return cancelled ? "cancelled" : body == "value" || body == "cancelled" ? "value" : body;
  }

  Ending gather(const Statement& s) {
    const std::int64_t begin = now_;
    std::vector<std::int64_t> cancels;
    std::vector<Child> all = children(s, 0, begin);
    bool is_cancelled = false;
    int cancelled_of = nobody;
    bool still_there = false;  // those that have been cancelled at this moment, and end in steps of their own
    bool aborts = false;
    const auto cancel_all = [&] {
      cancels.push_back(now_);
      if (now_ == begin) {  // before their first line
        for (Child& one : all) one = {"cancelled", begin, {}};
      } else {
        cancel(all, s, 0, begin, cancels);
      }
      is_cancelled = still_there = true;
    };
    for (;;) {
      std::int64_t end = begin;
      for (const Child& one : all) end = std::max(end, one.end);
      if (!is_cancelled) end = std::min(end, first_failure(all));
      if (!aborts && is_stopped()) {
        aborts = true;
        cancel_all();
        continue;
      }
      gathering_ = true;
      forwarded_ = false;
      const bool came = ((end > now_ || still_there) && limit_at_once()) || next_comes(end);
      gathering_ = false;
      if (forwarded_) {
        if (!is_cancelled) cancelled_of = forwarded_of_;
        cancel_all();
      } else if (!came) {
        now_ = std::max(now_, end);
        break;
      }
    }
    note(all);
    if (is_stopped()) {
      while (limit_at_once()) {
      }
      return deliver();
    }
    if (pending_ == Pending::passed_on) {
      clear_pending();
      try_again();
    }
    if (is_cancelled) {
      delivered_of_ = cancelled_of;
      return "cancelled";
    }
    const std::int64_t failure = first_failure(all);
    for (const Child& one : all) {
      if (is_failure(one.ending) && one.end == failure) return one.ending;
    }
    return "value";
  }

  static inline bool ambiguous_ = false;

  std::int64_t now_;
  std::vector<FromOutside> events_;
  std::size_t next_event_ = 0;
  int requests_ = 0;
  Pending pending_ = Pending::nothing;
  int pending_limit_ = nobody;
  int next_own_ = 0;
  int pending_of_ = nobody;     // whose own the cancel is that is pending, passed on or behind: of this block
  int delivered_of_ = nobody;   // and the one that was delivered last
  int forwarded_of_ = nobody;
  bool cancel_behind_ = false;  // of a throw
  bool gathering_ = false;
  bool forwarded_ = false;
  std::vector<Limit> limits_;
  std::vector<OfGroup> groups_;
  std::vector<Shielding> shields_;
  std::vector<std::tuple<std::int64_t, int, std::string>> sleeps_;
};

}  // namespace heirloop::testing
