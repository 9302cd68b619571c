// A thread's room for what a model, an objective or a kernel keeps between two calls.
#pragma once

#include <memory>

namespace scorematch {

namespace extend {

/// Holds one value of the type that its user needs. The value is made when it is first asked for, and made anew when a
/// user of another type asks: so a room can be lent to any model. (std::any would need values that can be copied.)
class Room {
 public:
  /// The value of this type; one that a user of another type left is gone.
  template <class Value>
  Value& of() {
    if (tag_ != &tag_of<Value>) {
      held_ = std::make_unique<Held<Value>>();
      tag_ = &tag_of<Value>;
    }
    return static_cast<Held<Value>&>(*held_).value;
  }

 private:
  struct Anything {
    virtual ~Anything() = default;
  };
  template <class Value>
  struct Held final : Anything {
    Value value;
  };
  template <class Value>
  static constexpr char tag_of = 0;  // its address tells types apart

  std::unique_ptr<Anything> held_;
  const char* tag_ = nullptr;
};

}  // namespace extend

}  // namespace scorematch
