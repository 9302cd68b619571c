// Threads that wait asleep. They are started when work is first shared out, spin for some ten microseconds after their
// work, because the next often follows at once, and then sleep: they take no time from other programs.
//
// A caller claims the threads that are free, works itself, and at the end takes back what a thread has not begun: so it
// waits for no thread that another program keeps from running. Several threads of a program may call at once; each gets
// what is free.
#pragma once

#include <atomic>
#include <chrono>
#include <new>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include "scorematch/evaluate/openmp.hpp"

namespace scorematch::evaluate {

/// Whether this thread works on a piece of shared work: what it calls then shares nothing out.
inline constinit thread_local bool inside_piece = false;

/// Spins for a while, then sleeps, until ready(number); whoever changes it calls notify_all.
template <class Ready>
void wait_until(const std::atomic<int>& number, Ready ready,
                std::chrono::microseconds spinning = std::chrono::microseconds(50)) {
  if (ready(number.load(std::memory_order_acquire))) return;
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready(number.load(std::memory_order_acquire))) return;
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("yield");
#endif
    }
  } while (std::chrono::steady_clock::now() - start < spinning);
  for (int seen = number.load(std::memory_order_acquire); !ready(seen); seen = number.load(std::memory_order_acquire))
    number.wait(seen, std::memory_order_acquire);
}

/// Work that several threads do together: each calls run(data, k), with another k from 0 on; it must not throw.
struct SharedWork {
  void (*run)(void* data, int thread);
  void* data;
};

class ThreadPool {
 public:
  /// Calls work.run(data, 0) here and run(data, k), k < threads, on as many other threads as are free; returns when
  /// all have. A thread that comes too late is not waited for, so that run(data, 0) must do what the others leave.
  void run(const SharedWork& work, int threads) {
    if (inside_piece) return work.run(work.data, 0);
    if (threads == 1) return call(work, 0);
    Worker* mine = claim(threads - 1);
    int k = 0;
    for (Worker* w = mine; w != nullptr; w = w->next_claimed) w->post(work, ++k);
    inside_piece = true;
    call(work, 0);
    inside_piece = false;
    for (Worker* w = mine; w != nullptr;) {
      Worker* next = w->next_claimed;  // before another caller may claim it
      w->take_back();
      w = next;
    }
  }

  /// At the program's end: threads that wait end, others are left to themselves. From now on nothing is shared out.
  void close() {
    for (Worker* w = first_.load(std::memory_order_acquire); w != nullptr; w = w->next) {
      if (w->change(idle, ending)) {
        w->thread.join();
      } else {
        w->thread.detach();
      }
    }
    started_.store(1 << 30);  // none will be started
  }

  /// In a child process, which has a copy of the pool but none of its threads.
  void forget() {
    left_behind_ = first_.exchange(nullptr);
    started_.store(0);
    starting_.clear();
  }

 private:
  // A worker's state. The caller that claims it makes it idle again.
  enum State : int { idle, claimed, posted, working, finished, ending };

  struct alignas(64) Worker {
    std::atomic<int> state{claimed};
    SharedWork work{};
    int number = 0;
    Worker *next = nullptr, *next_claimed = nullptr;
    std::thread thread{};

    bool change(int from, int to) {
      if (!state.compare_exchange_strong(from, to, std::memory_order_acq_rel)) return false;
      state.notify_all();
      return true;
    }

    void post(const SharedWork& shared, int k) {
      work = shared;
      number = k;
      (void)change(claimed, posted);
    }

    void take_back() {
      int not_begun = posted;
      if (state.compare_exchange_strong(not_begun, idle, std::memory_order_acq_rel)) return;
      wait_until(state, [](int s) { return s == finished; });
      state.store(idle, std::memory_order_release);
    }

    void live() {
      inside_piece = true;
      for (;;) {
        constexpr std::chrono::microseconds spinning{200};
        wait_until(
            state, [](int s) { return s == posted || s == ending; }, spinning);
        if (state.load(std::memory_order_acquire) == ending) return;
        int begun = posted;
        if (!state.compare_exchange_strong(begun, working, std::memory_order_acq_rel)) continue;  // taken back
        call(work, number);
        (void)change(working, finished);
      }
    }
  };

  static void call(const SharedWork& work, int thread) {
    const OpenMP* omp = openmp.load(std::memory_order_acquire);
    if (omp == nullptr) return work.run(work.data, thread);
    struct Call {
      const SharedWork& work;
      int thread;
    } with{work, thread};
    omp->with_serial_eigen(
        [](void* data) {
          const Call& c = *static_cast<Call*>(data);
          c.work.run(c.work.data, c.thread);
        },
        &with);
  }

  // A list of so many workers at most, which are then the caller's.
  Worker* claim(int count) {
    if (started_.load(std::memory_order_relaxed) < count) start(count);
    Worker* list = nullptr;
    for (Worker* w = first_.load(std::memory_order_acquire); w != nullptr && count > 0; w = w->next) {
      int free = idle;
      if (!w->state.compare_exchange_strong(free, claimed, std::memory_order_acq_rel)) continue;
      w->next_claimed = list;
      list = w;
      --count;
    }
    return list;
  }

  // As many threads as the largest number asked for. Where the system gives no more, there are fewer.
  void start(int count) {
    if (starting_.test_and_set(std::memory_order_acquire)) return;  // another caller does
    static const bool forks_are_watched = watch_forks();
    (void)forks_are_watched;
    try {
      while (started_.load(std::memory_order_relaxed) < count) {
        auto* w = new Worker;  // never deleted: others may be reading the list
        w->next = first_.load(std::memory_order_relaxed);
        try {
          w->thread = std::thread([w] { w->live(); });
        } catch (...) {
          delete w;
          throw;
        }
        if (const OpenMP* omp = openmp.load(std::memory_order_acquire)) omp->place(w->thread, started_.load() + 1);
        first_.store(w, std::memory_order_release);
        w->state.store(idle, std::memory_order_release);
        started_.fetch_add(1, std::memory_order_relaxed);
      }
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
    starting_.clear(std::memory_order_release);
  }

  static bool watch_forks();

  std::atomic<Worker*> first_{nullptr};
  std::atomic<int> started_{0};
  std::atomic_flag starting_ = ATOMIC_FLAG_INIT;
  Worker* left_behind_ = nullptr;
};

/// The program's threads. It has no destructor: what destroys static objects later may still ask it.
inline constinit ThreadPool thread_pool{};

inline bool ThreadPool::watch_forks() {
#if defined(__unix__) || defined(__APPLE__)
  return pthread_atfork(nullptr, nullptr, [] { thread_pool.forget(); }) == 0;
#else
  return false;
#endif
}

inline const struct ThreadPoolEnd {
  ~ThreadPoolEnd() { thread_pool.close(); }
} thread_pool_end{};

}  // namespace scorematch::evaluate
