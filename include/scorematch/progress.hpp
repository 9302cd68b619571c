// Telling a user how far a long call is, and letting the user stop it.
#pragma once

#include <cstdio>
#include <functional>

#include <time.h>
#include <unistd.h>

#include "scorematch/types.hpp"

namespace scorematch {

struct Progress {
  const char* task = "";   ///< "fit" or "sample"
  Index done = 0, of = 0;  ///< iterations or steps
  double value = 0;        ///< the loss of a fit, the mean acceptance of a sampler
  const char* value_name = "";
  double seconds = 0;  ///< since the call began
};

/// Called now and then during a long call; returning false stops it, and the result keeps what there is.
using ProgressCallback = std::function<bool(const Progress&)>;

/// A line on standard error that is rewritten in place, from the first half second on: share done, value, time left.
/// Where standard error is not a terminal, a new line every ten seconds.
inline ProgressCallback progress_line() {
  struct State {
    double next = 0.5;
    bool drawn = false;
  };
  return [state = State{}, terminal = ::isatty(2) != 0](const Progress& p) mutable {
    const bool last = p.done >= p.of;
    if (p.seconds < state.next && !(last && state.drawn)) return true;
    state.next = p.seconds + (terminal ? 0.1 : 10);
    const double left = p.done > 0 ? p.seconds * static_cast<double>(p.of - p.done) / static_cast<double>(p.done) : 0;
    std::fprintf(stderr, "%s%s %3.0f %%  %s %.6g  %.0f s, at most %.0f s left  %s", terminal ? "\r" : "", p.task,
                 100.0 * static_cast<double>(p.done) / static_cast<double>(p.of > 0 ? p.of : 1), p.value_name, p.value,
                 p.seconds, left, terminal && !last ? "" : "\n");
    std::fflush(stderr);
    state.drawn = !last;
    return true;
  };
}

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const { return now() - start_; }

 private:
  static double now() {  // POSIX's clock: <chrono> would cost a third of a second to compile
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  double start_ = now();
};

}  // namespace scorematch
