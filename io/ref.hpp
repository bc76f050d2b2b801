// A counted handle to something that counts itself (`retain`, `release`), without atomics: one loop's thread only.
#pragma once

#include <utility>

namespace heirloop::detail {

template <class T>
class Ref {
 public:
  Ref() noexcept = default;
  /// Takes over the reference with which the object was made.
  explicit Ref(T* adopted) noexcept : object_(adopted) {}
  Ref(const Ref& other) noexcept : object_(other.object_) {
    if (object_ != nullptr) object_->retain();
  }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) object_->release();
  }

  explicit operator bool() const noexcept { return object_ != nullptr; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }

 private:
  T* object_ = nullptr;
};

}  // namespace heirloop::detail
