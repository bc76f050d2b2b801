#include <heirloop/sync/barrier.hpp>

#include <utility>

namespace heirloop {

Barrier::Barrier(std::size_t parties, std::string_view name) : what_{"Barrier", name}, parties_(parties) {
  if (parties == 0) throw std::invalid_argument(describe() + " needs one party at least");
}

void Barrier::let_go(Outcome outcome) noexcept {
  for (std::size_t place = 0; place < arrived_.size(); ++place) {
    arrived_[place]->place_ = place;
    arrived_[place]->outcome_ = outcome;
    if (outcome == Outcome::broken) arrived_[place]->broken_ = what_;
  }
  arrived_.clear();
  detail::wake_all(waiters_);
}

bool Barrier::Arrive::await_ready() {
  Task& task = first_await(*this);
  if (barrier_.broken_) {
    outcome_ = Outcome::broken;
    broken_ = barrier_.what_;
    return goes_on(task);
  }
  barrier_.arrived_.push_back(this);
  if (barrier_.arrived_.size() < barrier_.parties_) return false;
  barrier_.let_go(Outcome::open);
  return goes_on(task);
}

AbortResult Barrier::Arrive::abort() noexcept {
  if (outcome_ == Outcome::waiting) std::erase(barrier_.arrived_, this);
  return AbortResult::done;
}

void Barrier::Arrive::throw_broken() const { throw BrokenBarrier(broken_.text() + " is broken"); }

std::string Barrier::Arrive::describe() const {
  return barrier_.describe() + " with " + std::to_string(barrier_.n_waiting()) + " of " +
         std::to_string(barrier_.parties()) + " there";
}

}  // namespace heirloop
