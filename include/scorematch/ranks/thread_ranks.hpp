// Threads of one process as ranks: for tests, and for trying a program without MPI.
#pragma once

#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/ranks/agreement.hpp"
#include "scorematch/ranks/communicator.hpp"

namespace scorematch::extend {

/// A rank among threads: a CommunicatorLike, and the shortest pattern of one.
class ThreadRank {
 public:
  /// A group of so many ranks, in their order.
  static std::vector<ThreadRank> group(int size) {
    require_at_least(size, 1, "ThreadRank: size");
    auto post = std::make_shared<Post>();
    post->boxes.resize(static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
    std::vector<ThreadRank> ranks;
    for (int rank = 0; rank < size; ++rank) ranks.push_back(ThreadRank(post, rank, size));
    return ranks;
  }

  /// As in CommunicatorLike.
  ///@{
  int rank() const { return rank_; }
  int size() const { return size_; }
  void send(int to, const void* data, std::size_t bytes) const {
    const auto* from = static_cast<const char*>(data);
    const std::lock_guard lock(post_->mutex);
    box(rank_, to).emplace_back(from, from + bytes);
    post_->changed.notify_all();
  }
  void receive(int from, void* data, std::size_t bytes) const {
    std::unique_lock lock(post_->mutex);
    auto& letters = box(from, rank_);
    post_->changed.wait(lock, [&] { return post_->ended || !letters.empty(); });
    if (post_->ended) throw ranks::RankGone(post_->message);
    require(letters.front().size() == bytes, {"ThreadRank: rank ", from, " sent ", letters.front().size(),
                                              " bytes and rank ", rank_, " waits for ", bytes});
    std::memcpy(data, letters.front().data(), bytes);
    letters.pop_front();
  }
  void broadcast(int root, void* data, std::size_t bytes) const {
    if (rank_ != root) return receive(root, data, bytes);
    for (int to = 0; to < size_; ++to)
      if (to != root) send(to, data, bytes);
  }
  void abort(const std::string& message) const {
    const std::lock_guard lock(post_->mutex);
    if (!post_->ended) post_->message = message;
    post_->ended = true;
    post_->changed.notify_all();
  }
  ///@}

 private:
  struct Post {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::deque<std::vector<char>>> boxes;  ///< from · size + to
    bool ended = false;
    std::string message;
  };

  ThreadRank(std::shared_ptr<Post> post, int rank, int size) : post_(std::move(post)), rank_(rank), size_(size) {}
  std::deque<std::vector<char>>& box(int from, int to) const {
    return post_
        ->boxes[static_cast<std::size_t>(from) * static_cast<std::size_t>(size_) + static_cast<std::size_t>(to)];
  }

  std::shared_ptr<Post> post_;
  int rank_, size_;
};

/// Calls work(communicator) on `size` threads, each a rank, and waits for all. Rethrows the exception of the first rank
/// that threw one of its own; the others are ended with it.
inline void run_as_ranks(int size, const std::function<void(const Communicator& communicator)>& work) {
  const std::vector<ThreadRank> group = ThreadRank::group(size);
  std::vector<std::exception_ptr> own(group.size()), others(group.size());
  std::vector<std::thread> threads;
  for (std::size_t k = 0; k < group.size(); ++k)
    threads.emplace_back([&, k] {
      try {
        work(group[k]);
      } catch (const ranks::RankGone&) {
        others[k] = std::current_exception();
      } catch (const std::exception& error) {
        own[k] = std::current_exception();
        group[k].abort(detail::text("rank ", k, " of ", size, " ended: ", error.what()));
      } catch (...) {
        own[k] = std::current_exception();
        group[k].abort(detail::text("rank ", k, " of ", size, " ended"));
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto* thrown : {&own, &others})
    for (const std::exception_ptr& failure : *thrown)
      if (failure) std::rethrow_exception(failure);
}

}  // namespace scorematch::extend
