// A group of processes that compute together: what a program gives to `fit`, `train`, `sample` and others.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "scorematch/check.hpp"
#include "scorematch/progress.hpp"

namespace scorematch {

namespace extend {

/// A group of ranks, 0 … size() − 1, that run the same program.
///   rank, size       which one this is, and how many there are; neither changes
///   send             sends bytes to a rank; must not wait until they are received (what is sent meanwhile is kept)
///   receive          waits for the next bytes of a rank: as many as it sent, in the order in which it sent them
///   broadcast        called by all ranks: those of the root reach all
///   abort            ends all ranks with a message, within seconds: other ranks may be waiting for this one. It may
///                    return on the rank that called it
template <class C>
concept CommunicatorLike = std::copy_constructible<C> &&
    requires(const C& c, int rank, const void* from, void* to, std::size_t bytes, const std::string& message) {
  { c.rank() } -> std::convertible_to<int>;
  { c.size() } -> std::convertible_to<int>;
  c.send(rank, from, bytes);
  c.receive(rank, to, bytes);
  c.broadcast(rank, to, bytes);
  c.abort(message);
};

}  // namespace extend

namespace detail {

/// A sentence for each thing that a class lacks to be a communicator.
template <class C>
constexpr bool check_communicator() {
  constexpr bool has_rank = requires(const C& c) {
    { c.rank() } -> std::convertible_to<int>;
    { c.size() } -> std::convertible_to<int>;
  };
  constexpr bool has_send = requires(const C& c, const void* from, std::size_t bytes) { c.send(0, from, bytes); };
  constexpr bool has_receive = requires(const C& c, void* to, std::size_t bytes) { c.receive(0, to, bytes); };
  constexpr bool has_broadcast = requires(const C& c, void* data, std::size_t bytes) { c.broadcast(0, data, bytes); };
  constexpr bool has_abort = requires(const C& c, const std::string& message) { c.abort(message); };
  static_assert(std::copy_constructible<C>, "a communicator must be copyable");
  static_assert(has_rank, "a communicator must provide  int rank() const  and  int size() const");
  static_assert(has_send,
                "a communicator must provide  void send(int to, const void* data, std::size_t bytes) const,  which "
                "does not wait for the receiver");
  static_assert(has_receive,
                "a communicator must provide  void receive(int from, void* data, std::size_t bytes) const");
  static_assert(has_broadcast,
                "a communicator must provide  void broadcast(int root, void* data, std::size_t bytes) const");
  static_assert(has_abort,
                "a communicator must provide  void abort(const std::string& message) const,  which ends all ranks");
  return extend::CommunicatorLike<C>;
}

}  // namespace detail

/// What a rank has sent, and how long it spent on sending and on waiting for others.
struct Communication {
  std::uint64_t bytes = 0;     ///< sent by this rank; of a broadcast by its root, counted once
  std::uint64_t messages = 0;  ///< the same
  double seconds = 0;          ///< in the communicator's calls

  /// What has come on top since `before`.
  Communication since(const Communication& before) const {
    return {bytes - before.bytes, messages - before.messages, seconds - before.seconds};
  }
};

/// Any communicator, as the value of an option. The default is one process alone: no cost, nothing to link. MPI's are
/// in scorematch/mpi.hpp.
///
///   auto training = sm::train(network, objective, my_columns, {.communicator = sm::mpi::world()});
///
/// Copies share what was counted. It may be used by one thread at a time.
class Communicator {
 public:
  /// One process alone.
  Communicator() = default;
  /// A group of ranks (extend::CommunicatorLike). Throws std::invalid_argument unless 0 ≤ rank < size.
  template <class C>
  requires(!std::same_as<C, Communicator>) Communicator(const C& own) {
    if constexpr (detail::check_communicator<C>()) held_ = std::make_shared<Held<C>>(own);
    if (!held_) return;
    rank_ = held_->rank();
    size_ = held_->size();
    extend::require(rank_ >= 0 && rank_ < size_,
                    {"communicator: rank() is ", rank_, " and size() is ", size_, "; 0 ≤ rank < size must hold"});
  }

  int rank() const { return rank_; }            ///< this one's number
  int size() const { return size_; }            ///< how many there are
  bool alone() const { return size_ == 1; }     ///< whether there is no other
  bool first() const { return rank_ == 0; }     ///< whether this is rank 0, which reports and writes files
  const Communication& communication() const {  ///< so far, of this communicator and its copies
    static const Communication none;
    return held_ ? held_->communication : none;
  }

  /// As in extend::CommunicatorLike; nothing is done for no bytes.
  ///@{
  void send(int to, const void* data, std::size_t bytes) const {
    if (bytes > 0 && held_) counted(bytes, [&] { held_->send(to, data, bytes); });
  }
  void receive(int from, void* data, std::size_t bytes) const {
    if (bytes > 0 && held_) counted(0, [&] { held_->receive(from, data, bytes); });
  }
  void broadcast(int root, void* data, std::size_t bytes) const {
    if (bytes > 0 && !alone()) counted(root == rank_ ? bytes : 0, [&] { held_->broadcast(root, data, bytes); });
  }
  void abort(const std::string& message) const {
    if (held_) held_->abort(message);
  }
  ///@}

 private:
  struct Anything {
    virtual ~Anything() = default;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    virtual void send(int, const void*, std::size_t) const = 0;
    virtual void receive(int, void*, std::size_t) const = 0;
    virtual void broadcast(int, void*, std::size_t) const = 0;
    virtual void abort(const std::string&) const = 0;
    Communication communication;
  };
  template <class C>
  struct Held final : Anything {
    explicit Held(const C& what) : own(what) {}
    int rank() const override { return own.rank(); }
    int size() const override { return own.size(); }
    void send(int to, const void* data, std::size_t bytes) const override { own.send(to, data, bytes); }
    void receive(int from, void* data, std::size_t bytes) const override { own.receive(from, data, bytes); }
    void broadcast(int root, void* data, std::size_t bytes) const override { own.broadcast(root, data, bytes); }
    void abort(const std::string& message) const override { own.abort(message); }
    C own;
  };

  template <class Call>
  void counted(std::size_t sent, Call call) const {
    const detail::Stopwatch watch;
    call();
    Communication& all = held_->communication;
    all.bytes += sent;
    all.messages += sent > 0 ? 1 : 0;
    all.seconds += watch.seconds();
  }

  std::shared_ptr<Anything> held_;
  int rank_ = 0, size_ = 1;
};

}  // namespace scorematch
