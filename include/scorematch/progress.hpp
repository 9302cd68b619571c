// Telling a user how far a long call is, and letting the user stop it.
#pragma once

#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>

#if defined(_WIN32)
#include <io.h>

#include <chrono>
#else
#include <time.h>
#include <unistd.h>
#endif

#include "scorematch/types.hpp"

namespace scorematch {

/// How far a computation is, for a ProgressCallback.
struct Progress {
  const char* task = "";        ///< "fit" or "sample"
  Index done = 0;               ///< iterations or steps
  Index of = 0;                 ///< how many there are in all
  double value = 0;             ///< the loss of a fit, the mean acceptance of a sampler
  const char* value_name = "";  ///< the name of `value`: "loss", say
  double seconds = 0;           ///< since the call began
  Index began = 0;              ///< `done` when the call began: a resumed training claims no step of an earlier call
  double held_out = std::numeric_limits<double>::quiet_NaN();  ///< the last held-out loss; NaN where there is none
  std::string warning = {};  ///< what is wrong without ending the call: a checkpoint that could not be written

  /// Iterations or steps a second of this call; 0 before the first.
  double rate() const { return seconds > 0 ? static_cast<double>(done - began) / seconds : 0; }
  /// Until all are done at that rate; 0 where it is not known.
  double seconds_left() const { return done > began ? static_cast<double>(of - done) / rate() : 0; }
};

/// Called now and then during a long call; returning false stops it, and the result keeps what there is.
using ProgressCallback = std::function<bool(const Progress&)>;

namespace detail {

inline bool is_terminal(int descriptor) {
#if defined(_WIN32)
  return ::_isatty(descriptor) != 0;
#else
  return ::isatty(descriptor) != 0;
#endif
}

/// "48 s", "12 min", "3 h 07 min"
struct Duration {
  explicit Duration(double seconds) {
    const double minutes = std::round(seconds / 60);
    if (seconds < 99.5)
      std::snprintf(text, sizeof text, "%.0f s", seconds);
    else if (minutes < 100)
      std::snprintf(text, sizeof text, "%.0f min", minutes);
    else
      std::snprintf(text, sizeof text, "%.0f h %02.0f min", std::floor(minutes / 60), std::fmod(minutes, 60));
  }
  char text[48];
};

}  // namespace detail

/// A line on standard error that is rewritten in place, from the first half second on: share done, value, held-out loss
/// where there is one, rate, time left. Where standard error is not a terminal, a new line every ten seconds.
inline ProgressCallback progress_line() {
  struct State {
    double next = 0.5;
    bool drawn = false;
  };
  return [state = State{}, terminal = detail::is_terminal(2)](const Progress& p) mutable {
    const bool last = p.done >= p.of;
    if (p.seconds < state.next && !(last && state.drawn)) return true;
    state.next = p.seconds + (terminal ? 0.1 : 10);
    char held_out[48] = "";
    if (p.held_out == p.held_out) std::snprintf(held_out, sizeof held_out, "  held-out %.6g", p.held_out);
    std::fprintf(stderr, "%s%s %3.0f %%  %s %.6g%s  %.3g/s  %s, at most %s left%s%s  %s", terminal ? "\r" : "", p.task,
                 100.0 * static_cast<double>(p.done) / static_cast<double>(p.of > 0 ? p.of : 1), p.value_name, p.value,
                 held_out, p.rate(), detail::Duration(p.seconds).text, detail::Duration(p.seconds_left()).text,
                 p.warning.empty() ? "" : "  ", p.warning.c_str(), terminal && !last ? "" : "\n");
    std::fflush(stderr);
    state.drawn = !last;
    return true;
  };
}

namespace detail {

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const { return now() - start_; }

 private:
  static double now() {  // POSIX's clock: <chrono> would cost a third of a second to compile
#if defined(_WIN32)
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
#else
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
#endif
  }

  double start_ = now();
};

}  // namespace detail

}  // namespace scorematch
