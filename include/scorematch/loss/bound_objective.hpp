// The seam between objectives and the loop that all losses share: one type a scalar, called a block at a time, so that
// the loop and all that is built on it is compiled once, whatever the objectives are.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "scorematch/concepts.hpp"
#include "scorematch/room.hpp"

namespace scorematch::objective {

/// A sentence for each thing that a class lacks to be an objective; entry points go on only where this is true.
template <class O, class T>
constexpr bool check_objective_class() {
  constexpr bool has_validate = requires(const O& objective) { objective.validate(); };
  constexpr bool has_names = requires(const O& objective) {
    { objective.term_names().size() } -> std::convertible_to<std::size_t>;
  };
  constexpr bool has_deterministic = requires(const O& objective) {
    { objective.deterministic() } -> std::same_as<bool>;
  };
  constexpr bool has_notes = requires { typename O::template Notes<T>; };
  static_assert(std::copy_constructible<O>, "an objective must be copyable");
  static_assert(has_validate,
                "an objective must provide  void validate() const,  which throws on options out of range");
  static_assert(has_names,
                "an objective must provide  std::vector<const char*> term_names() const,  empty or the names of the "
                "parts of its loss");
  static_assert(has_deterministic,
                "an objective must provide  bool deterministic() const:  whether two calls with other draws agree");
  static_assert(has_notes,
                "an objective must provide  template <class T> struct Notes,  empty or what its prepare leaves for its "
                "score");
  if constexpr (has_notes) {
    using Notes = typename O::template Notes<T>;
    constexpr bool has_prepare =
        requires(const O& objective, const extend::Samples<T>& samples, extend::Points<T>& points, Notes& notes) {
      objective.prepare(samples, points, notes);
    };
    constexpr bool has_score =
        requires(const O& objective, const extend::Samples<T>& samples, const extend::Points<T>& points, Notes& notes,
                 const extend::ScoreValues<T>& values, extend::Losses<T>& losses) {
      objective.score(samples, points, notes, values, losses);
    };
    static_assert(
        has_prepare,
        "an objective must provide  void prepare(const sm::extend::Samples<T>& samples, sm::extend::Points<T>& points, "
        "Notes<T>& notes) const,  which says where the score is needed");
    static_assert(has_score,
                  "an objective must provide  void score(const sm::extend::Samples<T>& samples, const "
                  "sm::extend::Points<T>& points, "
                  "const Notes<T>& notes, const sm::extend::ScoreValues<T>& values, sm::extend::Losses<T>& losses) "
                  "const,  which sets "
                  "each sample's loss and its derivatives");
  }
  return extend::Objective<O, T>;
}

/// Any Objective, as a value. It is an Objective itself: what it keeps between prepare and score is in a Room.
template <class T>
class BoundObjective {
 public:
  template <class>
  using Notes = extend::Room;

  template <class O>
  requires(!std::same_as<O, BoundObjective> && extend::Objective<O, T>) explicit BoundObjective(const O& objective)
      : held_(std::make_shared<const Held<O>>(objective)) {
    for (const auto& name : objective.term_names()) term_names_.emplace_back(name);
    if constexpr (requires { objective.level_names(); })
      for (const auto& name : objective.level_names()) level_names_.emplace_back(name);
  }

  void validate() const { held_->validate(); }
  bool deterministic() const { return held_->deterministic(); }
  const std::vector<std::string>& term_names() const { return term_names_; }
  const std::vector<std::string>& level_names() const { return level_names_; }  ///< empty where it has no levels
  void prepare(const extend::Samples<T>& samples, extend::Points<T>& points, extend::Room& notes) const {
    held_->prepare(samples, points, notes);
  }
  void score(const extend::Samples<T>& samples, const extend::Points<T>& points, extend::Room& notes,
             const extend::ScoreValues<T>& values, extend::Losses<T>& losses) const {
    held_->score(samples, points, notes, values, losses);
  }

 private:
  struct Anything {
    virtual ~Anything() = default;
    virtual void validate() const = 0;
    virtual bool deterministic() const = 0;
    virtual void prepare(const extend::Samples<T>&, extend::Points<T>&, extend::Room& notes) const = 0;
    virtual void score(const extend::Samples<T>&, const extend::Points<T>&, extend::Room& notes,
                       const extend::ScoreValues<T>&, extend::Losses<T>&) const = 0;
  };
  template <class O>
  struct Held final : Anything {
    using Own = typename O::template Notes<T>;

    explicit Held(const O& what) : objective(what) {}
    void validate() const override { objective.validate(); }
    bool deterministic() const override { return objective.deterministic(); }
    void prepare(const extend::Samples<T>& samples, extend::Points<T>& points, extend::Room& notes) const override {
      objective.prepare(samples, points, notes.of<Own>());
    }
    void score(const extend::Samples<T>& samples, const extend::Points<T>& points, extend::Room& notes,
               const extend::ScoreValues<T>& values, extend::Losses<T>& losses) const override {
      objective.score(samples, points, notes.of<Own>(), values, losses);
    }

    O objective;
  };

  std::shared_ptr<const Anything> held_;
  std::vector<std::string> term_names_, level_names_;
};

}  // namespace scorematch::objective
