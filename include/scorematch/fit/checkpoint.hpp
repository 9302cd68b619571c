// The state that a stopped training needs to go on, in a file.
//
//   scorematch-checkpoint 1\n            the format's version
//   u64                                  how many bytes follow, without the checksum
//   parameters                           names and shapes, as the model says them
//   facts                                what a training that goes on must agree with: pairs of texts
//   patience, next loss, spread          of the training that wrote it
//   state                                θ, its average, Adam's moments, the pass, held-out data's best, the history
//   answer                               θ for use, where it is not what the state says
//   u64                                  checksum of all bytes that follow the first line
//
// Binary, little-endian; sizes and counts are u64, numbers doubles, a text or vector its size and then its elements.
// Noise and the order of minibatches have no state: they follow from seeds and the number of steps.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/fit/minibatches.hpp"
#include "scorematch/io/byte_order.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/named_parameter.hpp"
#include "scorematch/simd/lanes.hpp"

namespace scorematch::fitting {

inline constexpr int checkpoint_version = 1;
inline constexpr std::string_view checkpoint_magic = "scorematch-checkpoint ";

/// A hash of 64-bit words for checksums and for telling data apart: each word enters by a bijection, so that a change
/// within one word is always seen, and any other but once in 2⁶⁴. No protection against malice.
class Digest {
 public:
  void add(std::uint64_t word) {
    hash_ = (hash_ ^ word) * 0x9E3779B97F4A7C15;  // odd, near 2⁶⁴ times the golden ratio
    hash_ ^= hash_ >> 32;
  }

  void add_bytes(std::string_view bytes) {
    std::size_t at = 0;
    for (std::uint64_t word; at + sizeof word <= bytes.size(); at += sizeof word) {
      std::memcpy(&word, bytes.data() + at, sizeof word);
      add(io::little_endian(word));
    }
    std::uint64_t rest = 0;
    std::memcpy(&rest, bytes.data() + at, bytes.size() - at);
    add(io::little_endian(rest));
    add(bytes.size());
  }

  template <class T>
  void add_columns(const MatrixView<T>& X) {
    for (Index column = 0; column < X.cols(); ++column) {
      const T* const numbers = X.data() + column * X.outerStride();
      for (Index row = 0; row < X.rows(); ++row)
        if constexpr (sizeof(T) == sizeof(std::uint64_t))
          add(simd::reinterpret<std::uint64_t>(numbers[row]));
        else
          add(simd::reinterpret<std::uint32_t>(numbers[row]));
    }
  }

  std::uint64_t value() const { return hash_; }
  std::string text() const {
    char digits[16];
    return {digits, std::to_chars(digits, digits + sizeof digits, hash_, 16).ptr};
  }

 private:
  std::uint64_t hash_ = 0x6A09E667F3BCC908;  // √2's fraction
};

/// A parameter's name and shape; a class without names has one block without a name.
struct Shape {
  std::string name = {};
  Index rows = 0, cols = 1;
};

/// Something that a training which goes on must agree with, as a text.
struct Fact {
  std::string name = {}, value = {};
};

struct Checkpoint {
  std::vector<Shape> shapes = {};
  std::vector<Fact> facts = {};
  Index patience = 0;                     ///< of the training that wrote it: a later one may have more
  double next_loss = 0, next_spread = 0;  ///< of the minibatch that comes next: its mean loss, and a sample's spread
  Eigen::VectorXd answer = {};            ///< θ for use; empty where it is state.answer()
};

/// One text for both directions: `archive` appends what it is given, or fills it.
template <class Archive>
void visit_checkpoint(Archive& archive, Checkpoint& c) {
  archive(c.shapes);
  archive(c.facts);
  archive(c.patience, c.next_loss, c.next_spread);
}

template <class Archive>
void visit_state(Archive& archive, MinibatchState& s) {
  archive(s.theta, s.average, s.adam.mean, s.adam.square, s.adam.step);
  archive(s.held_out.best, s.held_out.best_loss, s.held_out.since_best);
  archive(s.at_pass, s.best_pass, s.best_pass_loss, s.pass_loss, s.pass_gradient);
  archive(s.history);
}

template <class Archive>
void visit(Archive& archive, Shape& shape) {
  archive(shape.name, shape.rows, shape.cols);
}
template <class Archive>
void visit(Archive& archive, Fact& fact) {
  archive(fact.name, fact.value);
}
template <class Archive>
void visit(Archive& archive, FitStep& step) {
  archive(step.evaluations, step.loss, step.gradient_norm, step.held_out);
}

/// Appends to `bytes`.
class ByteWriter {
 public:
  explicit ByteWriter(std::string& bytes) : bytes_(bytes) {}

  template <class... Fields>
  void operator()(Fields&... fields) {
    (put(fields), ...);
  }

 private:
  void put(Index number) { put_word(std::int64_t{number}); }
  void put(double number) { put_word(number); }
  void put(const std::string& text) {
    put(static_cast<Index>(text.size()));
    bytes_ += text;
  }
  void put(const Eigen::VectorXd& numbers) {
    put(numbers.size());
    if constexpr (io::is_little_endian)
      raw(numbers.data(), static_cast<std::size_t>(numbers.size()) * sizeof(double));
    else
      for (const double number : numbers) put_word(number);
  }
  template <class Element>
  void put(std::vector<Element>& elements) {
    put(static_cast<Index>(elements.size()));
    for (Element& element : elements) visit(*this, element);
  }
  template <class Word>
  void put_word(Word word) {
    word = io::little_endian(word);
    raw(&word, sizeof word);
  }
  void raw(const void* from, std::size_t size) { bytes_.append(static_cast<const char*>(from), size); }

  std::string& bytes_;
};

/// Takes from the front of `bytes`. Whatever the bytes are, nothing beyond them is read.
class ByteReader {
 public:
  ByteReader(const std::string& path, std::string_view bytes) : path_(path), bytes_(bytes) {}

  template <class... Fields>
  void operator()(Fields&... fields) {
    (get(fields), ...);
  }

  bool empty() const { return bytes_.empty(); }
  [[noreturn]] void malformed() const { io::file_error(path_, "is a malformed checkpoint"); }

 private:
  void get(Index& number) {
    const auto word = get_word<std::int64_t>();
    number = static_cast<Index>(word);
    if (number != word) malformed();  // on a machine of 32 bits
  }
  void get(double& number) { number = get_word<double>(); }
  void get(std::string& text) {
    const std::size_t size = count(1);
    text.assign(take(size), size);
  }
  void get(Eigen::VectorXd& numbers) {
    const std::size_t size = count(sizeof(double));
    numbers.resize(static_cast<Index>(size));
    if constexpr (io::is_little_endian) {
      if (size > 0) std::memcpy(numbers.data(), take(size * sizeof(double)), size * sizeof(double));
    } else {
      for (double& number : numbers) number = get_word<double>();
    }
  }
  template <class Element>
  void get(std::vector<Element>& elements) {
    elements.resize(count(2 * sizeof(std::int64_t)));
    for (Element& element : elements) visit(*this, element);
  }

  template <class Word>
  Word get_word() {
    Word word;
    std::memcpy(&word, take(sizeof word), sizeof word);
    return io::little_endian(word);
  }
  std::size_t count(std::size_t least_size) {
    Index number = 0;
    get(number);
    if (number < 0 || static_cast<std::size_t>(number) > bytes_.size() / least_size) malformed();
    return static_cast<std::size_t>(number);
  }
  const char* take(std::size_t size) {
    if (size > bytes_.size()) malformed();
    const char* const front = bytes_.data();
    bytes_.remove_prefix(size);
    return front;
  }

  const std::string& path_;
  std::string_view bytes_;
};

/// The bytes of a checkpoint, built up in a buffer that is kept: first the state, then the answer, then the file.
class CheckpointFile {
 public:
  explicit CheckpointFile(const std::string& path) : path_(path) {}

  const std::string& path() const { return path_; }

  bool exists() const { return io::exists(path_); }

  void pack(Checkpoint& checkpoint, MinibatchState& state) {
    bytes_ = checkpoint_magic;
    io::append_number(bytes_, checkpoint_version);
    bytes_ += '\n';
    head_ = bytes_.size();
    bytes_.append(sizeof(std::uint64_t), '\0');  // the size, which is not known yet
    ByteWriter out(bytes_);
    visit_checkpoint(out, checkpoint);
    visit_state(out, state);
  }

  /// Writes what was packed, and the answer. Throws std::runtime_error; what stood at the path is then still there.
  void write(const Eigen::VectorXd& answer) {
    ByteWriter out(bytes_);
    out(answer);
    const std::uint64_t size = io::little_endian(std::uint64_t{bytes_.size() - head_ - sizeof(std::uint64_t)});
    std::memcpy(bytes_.data() + head_, &size, sizeof size);
    Digest digest;
    digest.add_bytes(std::string_view(bytes_).substr(head_));
    const std::uint64_t checksum = io::little_endian(digest.value());
    bytes_.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
    io::OutputFile file(path_);
    file.write(bytes_);
    file.finish_durably();
  }

  /// Throws std::runtime_error where the file cannot be read, is no checkpoint, was written by a newer version of the
  /// format, is truncated or damaged.
  void read(Checkpoint& checkpoint, MinibatchState& state) {
    const std::string file = io::read_file(path_);
    if (!file.starts_with(checkpoint_magic))
      io::file_error(path_, "is no checkpoint of a training: it does not begin with '", checkpoint_magic, "'");
    const char* at = file.data() + checkpoint_magic.size();
    const char* const end = file.data() + file.size();
    int version = 0;
    const auto [stop, error] = std::from_chars(at, end, version);
    if (error != std::errc{} || stop == end || *stop != '\n' || version < 1)
      io::file_error(path_, "is a damaged checkpoint: its first line has no format version");
    if (version > checkpoint_version)
      io::file_error(path_, "was written in format ", version, "; this version of scorematch reads up to ",
                     checkpoint_version, ": a newer scorematch is needed");
    const std::string_view rest = std::string_view(file).substr(static_cast<std::size_t>(stop + 1 - file.data()));
    std::uint64_t size = 0, checksum = 0;
    if (rest.size() >= sizeof size) std::memcpy(&size, rest.data(), sizeof size);
    size = io::little_endian(size);
    if (rest.size() < 2 * sizeof size || size > rest.size() - 2 * sizeof size)
      io::file_error(path_, "is a truncated checkpoint: it has ", file.size(), " bytes and should have more");
    const std::string_view summed = rest.substr(0, sizeof size + static_cast<std::size_t>(size));
    std::memcpy(&checksum, rest.data() + summed.size(), sizeof checksum);
    Digest digest;
    digest.add_bytes(summed);
    if (io::little_endian(checksum) != digest.value() || rest.size() != summed.size() + sizeof checksum)
      io::file_error(path_, "is a damaged checkpoint: its checksum is not that of its content");

    ByteReader in(path_, summed.substr(sizeof size));
    visit_checkpoint(in, checkpoint);
    visit_state(in, state);
    in(checkpoint.answer);
    const Index p = state.theta.size();
    Index of_shapes = 0;
    for (const Shape& shape : checkpoint.shapes) {
      // No product or sum beyond p, which the file has room for.
      const bool fits = shape.rows >= 0 && shape.cols >= 0 && (shape.rows == 0 || shape.cols <= p / shape.rows);
      if (!fits || shape.rows * shape.cols > p - of_shapes) in.malformed();
      of_shapes += shape.rows * shape.cols;
    }
    for (const Eigen::VectorXd* numbers : {&state.average, &state.held_out.best, &state.adam.mean, &state.adam.square,
                                           &state.at_pass, &state.best_pass, &checkpoint.answer})
      if (numbers->size() != 0 && numbers->size() != p) in.malformed();
    if (!in.empty() || of_shapes != p || state.best_pass.size() != p || state.adam.step < 0 ||
        (state.adam.step > 0 && (state.adam.mean.size() != p || state.adam.square.size() != p)))
      in.malformed();
    if (checkpoint.answer.size() == 0) checkpoint.answer = state.answer();
  }

  void remove_left_overs() const { io::OutputFile::remove_left_overs(path_); }

 private:
  std::string path_;
  std::string bytes_;
  std::size_t head_ = 0;  ///< where the size stands
};

/// Names and shapes of a model's θ.
template <class M>
std::vector<Shape> shapes_of(const M& model) {
  std::vector<Shape> shapes;
  if constexpr (requires { model.named_parameters(); })
    for (const NamedParameter& block : model.named_parameters()) shapes.push_back({block.name, block.rows, block.cols});
  else
    shapes.push_back({.rows = static_cast<Index>(Eigen::VectorXd(model.parameters()).size())});
  return shapes;
}

/// Throws std::invalid_argument, naming the first parameter that differs.
inline void require_same_shapes(const std::string& path, const std::vector<Shape>& found,
                                const std::vector<Shape>& wanted) {
  const auto described = [](const std::vector<Shape>& shapes, std::size_t k) -> std::string {
    if (k >= shapes.size()) return "no more parameters";
    const Shape& shape = shapes[k];
    return shape.name.empty()
               ? detail::text(shape.rows, " parameters without names")
               : detail::text("parameter ", io::in_quotes(shape.name), ", ", shape.rows, " × ", shape.cols);
  };
  std::size_t k = 0;
  while (k < found.size() && k < wanted.size() && found[k].name == wanted[k].name && found[k].rows == wanted[k].rows &&
         found[k].cols == wanted[k].cols)
    ++k;
  extend::require(k == found.size() && k == wanted.size(),
                  {"'", path, "' is a checkpoint of another model: it has ", described(found, k),
                   " where this one has ", described(wanted, k)});
}

/// Throws std::invalid_argument, naming the first fact that differs.
inline void require_same_facts(const std::string& path, const std::vector<Fact>& found,
                               const std::vector<Fact>& wanted) {
  for (const Fact& fact : wanted) {
    const auto there = std::find_if(found.begin(), found.end(), [&](const Fact& f) { return f.name == fact.name; });
    const std::string value = there != found.end() ? there->value : "unknown";
    extend::require(
        value == fact.value,
        {"'", path, "' is a checkpoint of another training: ", fact.name, " is ", value, " there and ", fact.value,
         " here. Its parameters can start a new one: load_checkpoint them, and train with another checkpoint"});
  }
}

}  // namespace scorematch::fitting
