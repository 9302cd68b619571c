// What the fuzzers share. Each defines what is tried with one input, and from which files and words inputs are made:
//
//   fuzz_csv [SECONDS [SEED]]     makes inputs of its seeds, and tries them; the same ones each time, as many as there
//   is time for fuzz_csv FILE…                tries these inputs again
//
// A fault ends the program by a signal, with the input in the file that it names. With clang's -fsanitize=fuzzer
// (-DSCOREMATCH_LIBFUZZER=ON) libFuzzer makes the inputs instead, guided by coverage.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

/// Defined by each fuzzer.
extern const char* const name;
/// Inputs to begin with, some well-formed.
std::vector<std::string> seeds();
/// Words that mean something in such a file.
std::vector<std::string> words();
/// Tries an input; whether it was taken for a sound file.
bool accepts(std::string_view input);

/// A file of this process for the input as it stands on the disk, and one for what is written.
inline std::string path_of(const char* what) {
  static const char* const folder =
      ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";  // memory, where there is one
  return std::string(folder)
      .append("/scorematch_fuzz_")
      .append(name)
      .append("_")
      .append(std::to_string(::getpid()))
      .append(what);
}

inline void put(const std::string& path, std::string_view bytes) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (!file || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() || std::fclose(file) != 0) std::abort();
}

inline std::string content(const std::string& path) {
  std::string bytes;
  std::FILE* const file = std::fopen(path.c_str(), "rb");
  if (!file) std::abort();
  char some[4096];
  for (std::size_t size; (size = std::fread(some, 1, sizeof some, file)) > 0;) bytes.append(some, size);
  std::fclose(file);
  return bytes;
}

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz_%s: %s\n", name, what);
  std::abort();
}

/// Whether f() ran; a refusal must be of the documented kinds, and say something.
template <class F>
bool runs(F f) {
  try {
    f();
    return true;
  } catch (const std::runtime_error& error) {
    require(std::strlen(error.what()) > 30, error.what());
  } catch (const std::invalid_argument& error) {
    require(std::strlen(error.what()) > 30, error.what());
  }
  return false;  // any other exception ends the program
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : state_(seed), pool_(seeds()), words_(words()), fixed_(pool_.size()) {}

  std::string next() {
    std::string input = pool_[below(pool_.size())];
    for (std::size_t count = 1 + below(6); count > 0; --count) change(input);
    if (input.size() > 4096) input.resize(4096);
    return input;
  }

  /// An accepted input is one to go on from.
  void keep(const std::string& input) {
    if (pool_.size() < fixed_ + 300)
      pool_.push_back(input);
    else
      pool_[fixed_ + below(300)] = input;
  }

 private:
  std::uint64_t draw() {  // splitmix64
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(draw() % n); }

  void change(std::string& input) {
    static const std::vector<std::string> numbers = {"0",
                                                     "1",
                                                     "-1",
                                                     "2147483648",
                                                     "9223372036854775807",
                                                     "nan",
                                                     "inf",
                                                     "1e400",
                                                     "1e-400",
                                                     "18446744073709551616",
                                                     "0.5",
                                                     "-0",
                                                     "1e17",
                                                     "4611686018427387904",
                                                     "00",
                                                     "+7",
                                                     "0x10",
                                                     "1,5",
                                                     "90000000000000000"};
    const std::size_t at = below(input.size() + 1), rest = input.size() - at;
    const std::size_t length = std::min(rest, 1 + below(below(4) == 0 ? 64 : 6));
    switch (below(9)) {
      case 0:
        if (rest > 0) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 1:
        if (rest > 0) input[at] = static_cast<char>(draw());
        break;
      case 2:
        input.insert(at, words_[below(words_.size())]);
        break;
      case 3:
        input.replace(at, length, words_[below(words_.size())]);
        break;
      case 4:
        input.erase(at, length);
        break;
      case 5:
        input.insert(at, input.substr(at, length));
        break;
      case 6: {
        const std::string& other = pool_[below(pool_.size())];
        const std::size_t from = below(other.size() + 1);
        input.insert(at, other, from, 1 + below(64));
        break;
      }
      case 7: {  // a number for a number
        const std::size_t digit = input.find_first_of("0123456789", at);
        if (digit == input.npos) break;
        const std::size_t stop = std::min(input.find_first_not_of("0123456789.e+-", digit), input.size());
        input.replace(digit, stop - digit, numbers[below(numbers.size())]);
        break;
      }
      default: {  // eight bytes as a number
        if (rest < 8) break;
        const std::uint64_t some[] = {0,          1, ~std::uint64_t{0}, std::uint64_t{1} << 63, std::uint64_t{1} << 62,
                                      draw() % 64};
        std::memcpy(input.data() + at, &some[below(6)], 8);
      }
    }
  }

  std::uint64_t state_;
  std::vector<std::string> pool_, words_;
  std::size_t fixed_;
};

inline int run(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  char* end = nullptr;
  const double seconds = argc > 1 ? std::strtod(argv[1], &end) : 2;
  if (argc > 1 && *end != '\0') {
    for (int i = 1; i < argc; ++i) std::printf("%s: %s\n", argv[i], accepts(content(argv[i])) ? "accepted" : "refused");
    return 0;
  }
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const std::string input_path = path_of(".input");
  for (const std::string& input : seeds()) require(accepts(input), "a seed is refused");
  Mutator mutator(seed);
  long inputs = 0, accepted = 0;
  double slowest = 0;
  for (const Clock::time_point start = Clock::now(); seconds_since(start) < seconds; ++inputs) {
    const std::string input = mutator.next();
    put(input_path, input);
    const std::clock_t before = std::clock();  // of the processor: on a busy machine a fuzzer waits for its turn
    ::alarm(600);                              // what never ends is a fault, too, and leaves its input
    const bool accept = accepts(input);
    slowest = std::max(slowest, static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC);
    require(slowest < 10, "an input of 4 KB takes longer than 10 s");
    if (accept) mutator.keep(input);
    accepted += accept;
  }
  ::alarm(0);
  std::remove(input_path.c_str());
  std::remove(path_of("").c_str());
  std::remove(path_of(".written").c_str());
  std::printf("fuzz_%s: seed %llu, %ld inputs in %g s, %ld accepted, the slowest took %.3f s\n", name,
              static_cast<unsigned long long>(seed), inputs, seconds, accepted, slowest);
  require(accepted > 0 && accepted < inputs, "every input is accepted, or none");
  return 0;
}

}  // namespace fuzz

#ifdef SCOREMATCH_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::accepts({reinterpret_cast<const char*>(data), size});
  return 0;
}
#else
int main(int argc, char** argv) { return fuzz::run(argc, argv); }
#endif
