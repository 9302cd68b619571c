// Room for what a model, an objective or a kernel keeps between two calls.
#pragma once

#include <memory>
#include <type_traits>

namespace scorematch {

namespace extend {

/// Holds one value of the type that its user needs. The value is made when it is first asked for, and made anew when a
/// user of another type asks: so a room can be lent to any model. With `copies` the room is copied with its value.
template <bool copies>
class BasicRoom {
 public:
  /// Empty; moved, and with `copies` copied, with its value.
  ///@{
  BasicRoom() = default;
  BasicRoom(BasicRoom&&) = default;
  BasicRoom& operator=(BasicRoom&&) = default;
  BasicRoom(const BasicRoom& other) requires copies : held_(other.held_ ? other.held_->copy() : nullptr),
                                                      tag_(other.tag_) {}
  BasicRoom& operator=(const BasicRoom& other) requires copies { return *this = BasicRoom(other); }
  ///@}

  /// The value of this type; one that a user of another type left is gone.
  template <class Value>
  Value& of() {
    static_assert(
        !copies || std::is_copy_constructible_v<Value>,
        "what a kernel keeps in chains.own must be copyable, so that chains can go on from where they stopped");
    if (tag_ != &tag_of<Value>) {
      held_ = std::make_unique<Held<Value>>();
      tag_ = &tag_of<Value>;
    }
    return static_cast<Held<Value>&>(*held_).value;
  }

 private:
  struct Moved {
    virtual ~Moved() = default;
  };
  struct Copied {
    virtual ~Copied() = default;
    virtual std::unique_ptr<Copied> copy() const = 0;
  };
  using Anything = std::conditional_t<copies, Copied, Moved>;

  template <class Value, bool>
  struct Holding final : Moved {
    Value value;
  };
  template <class Value>
  struct Holding<Value, true> final : Copied {
    std::unique_ptr<Copied> copy() const override { return std::make_unique<Holding>(*this); }
    Value value;
  };
  template <class Value>
  using Held = Holding<Value, copies>;
  template <class Value>
  static constexpr char tag_of = 0;  // its address tells types apart

  std::unique_ptr<Anything> held_;
  const char* tag_ = nullptr;
};

/// A thread's room, for what is computed anew.
using Room = BasicRoom<false>;
/// Room for what a kernel keeps of chains from step to step.
using ChainRoom = BasicRoom<true>;

}  // namespace extend

}  // namespace scorematch
