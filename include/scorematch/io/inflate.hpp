// Bytes that zlib has deflated (RFC 1951), as numpy.savez_compressed does.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "scorematch/io/file.hpp"

namespace scorematch::io {

/// Undoes deflate. Each fault of the bytes is a std::runtime_error that says where it is.
class Inflater {
 public:
  /// `path` names the file in messages; `size` is what the bytes unpack to, it is said.
  Inflater(const std::string& path, std::string_view bytes, std::size_t size)
      : path_(path), bytes_(bytes), size_(size) {}

  std::string inflate() {
    out_.reserve(std::min(size_, 8 * bytes_.size()));  // more only where more comes
    for (bool is_last = false; !is_last;) {
      is_last = take(1) != 0;
      switch (take(2)) {
        case 0:
          copy_stored();
          break;
        case 1:
          use_fixed_codes();
          unpack();
          break;
        case 2:
          read_codes();
          unpack();
          break;
        default:
          fault("has a block of unknown type");
      }
    }
    if (const std::size_t rest = bytes_.size() - at_ + static_cast<std::size_t>(held_ / 8); rest > 0)
      fault(detail::text("ends ", rest, " bytes before its end"));
    if (out_.size() != size_) fault(detail::text("unpacks to ", out_.size(), " bytes, not to ", size_));
    return std::move(out_);
  }

 private:
  static constexpr int longest = 15;  // bits of a code

  /// A Huffman code: for each sequence of as many bits as its longest word has, the symbol that they begin with.
  class Code {
   public:
    /// Of the lengths of the symbols' words, 0 for symbols that have none. False unless the words use up all sequences
    /// of bits; one word of one bit may be alone, and so may none at all: then any bits are a fault.
    bool set(std::span<const std::uint8_t> lengths) {
      std::array<unsigned, longest + 2> count{}, next{};
      for (const std::uint8_t length : lengths) ++count[length];
      bits_ = longest;
      while (bits_ > 0 && count[static_cast<std::size_t>(bits_)] == 0) --bits_;
      count[0] = 0;
      unsigned code = 0, left = 1, words = 0;
      for (std::size_t length = 1; length <= static_cast<std::size_t>(bits_); ++length) {
        code = (code + count[length - 1]) << 1;
        next[length] = code;
        left *= 2;
        if (count[length] > left) return false;
        left -= count[length];
        words += count[length];
      }
      if (left > 0 && !(words == 0 || (words == 1 && bits_ == 1))) return false;
      table_.assign(std::size_t{1} << bits_, 0);
      for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol) {
        const unsigned length = lengths[symbol];
        if (length == 0) continue;
        unsigned reversed = 0;  // words stand in the file with their first bit first
        for (unsigned bit = 0, word = next[length]++; bit < length; ++bit, word >>= 1)
          reversed = reversed << 1 | (word & 1);
        for (std::size_t i = reversed; i < table_.size(); i += std::size_t{1} << length)
          table_[i] = static_cast<std::uint16_t>(symbol << 4 | length);
      }
      return true;
    }

    int bits() const { return bits_; }
    /// The symbol · 16 + the length of its word; 0 where there is none.
    unsigned entry(std::uint64_t next_bits) const {
      return table_[static_cast<std::size_t>(next_bits) & (table_.size() - 1)];
    }

   private:
    int bits_ = 0;
    std::vector<std::uint16_t> table_;
  };

  [[noreturn]] void fault(const std::string& complaint) const {
    file_error(path_, "has malformed compressed data: it ", complaint, " (byte ", at_, ")");
  }

  /// Holds as many bits as there are, up to 57 and more.
  void hold() {
    for (; held_ <= 56 && at_ < bytes_.size(); held_ += 8)
      holds_ |= std::uint64_t{static_cast<unsigned char>(bytes_[at_++])} << held_;
  }
  void drop(int count) {
    if (count > held_) fault("is cut off");
    holds_ >>= count;
    held_ -= count;
  }
  unsigned take(int count) {
    hold();
    const auto bits = static_cast<unsigned>(holds_ & ((std::uint64_t{1} << count) - 1));
    drop(count);
    return bits;
  }
  unsigned symbol(const Code& code) {
    hold();
    const unsigned entry = code.entry(holds_);
    if (entry == 0) fault("has bits that are no word of its code");
    drop(static_cast<int>(entry & 15));
    return entry >> 4;
  }

  void require_room(std::size_t count) const {
    if (count > size_ - out_.size()) fault(detail::text("unpacks to more than ", size_, " bytes"));
  }

  void copy_stored() {
    drop(held_ % 8);
    const unsigned length = take(16), complement = take(16);
    if ((length ^ complement) != 0xFFFF) fault("has a stored block whose two lengths disagree");
    at_ -= static_cast<std::size_t>(held_ / 8);  // what is held are whole bytes
    held_ = 0;
    holds_ = 0;
    if (length > bytes_.size() - at_) fault("is cut off");
    require_room(length);
    out_ += bytes_.substr(at_, length);
    at_ += length;
  }

  void use_fixed_codes() {
    std::array<std::uint8_t, 288> lengths;
    for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    literals_.set(lengths);
    std::array<std::uint8_t, 32> fives;
    fives.fill(5);
    distances_.set(fives);
  }

  void read_codes() {
    const std::size_t literals = take(5) + 257, distances = take(5) + 1, lengths_of_lengths = take(4) + 4;
    if (literals > 286 || distances > 30) fault("has codes of too many symbols");
    constexpr std::uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    std::array<std::uint8_t, 19> short_lengths{};
    for (std::size_t i = 0; i < lengths_of_lengths; ++i) short_lengths[order[i]] = static_cast<std::uint8_t>(take(3));
    Code code;
    if (!code.set(short_lengths)) fault("has a code of lengths that is none");
    std::array<std::uint8_t, 286 + 30> lengths{};
    for (std::size_t i = 0; i < literals + distances;) {
      const unsigned found = symbol(code);
      if (found < 16) {
        lengths[i++] = static_cast<std::uint8_t>(found);
        continue;
      }
      if (found == 16 && i == 0) fault("repeats a length before the first");
      const std::uint8_t repeated = found == 16 ? lengths[i - 1] : std::uint8_t{0};
      const std::size_t times = found == 16 ? 3 + take(2) : found == 17 ? 3 + take(3) : 11 + take(7);
      if (times > literals + distances - i) fault("has more lengths than symbols");
      std::fill_n(lengths.begin() + static_cast<std::ptrdiff_t>(i), times, repeated);
      i += times;
    }
    if (lengths[256] == 0) fault("has a block without an end");
    if (!literals_.set({lengths.data(), literals}) || !distances_.set({lengths.data() + literals, distances}))
      fault("has a code that is none");
  }

  void unpack() {
    // Symbols 257 … 285 are lengths 3 … 258, distances 1 … 32768: a first value, and so many bits to be added.
    constexpr std::uint16_t first_length[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                              31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    constexpr std::uint8_t length_bits[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                            2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    constexpr std::uint16_t first_distance[] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                                33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                                1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    for (;;) {
      const unsigned found = symbol(literals_);
      if (found < 256) {
        require_room(1);
        out_ += static_cast<char>(found);
        continue;
      }
      if (found == 256) return;
      if (found > 285) fault("has an unknown length");
      const std::size_t length = first_length[found - 257] + take(length_bits[found - 257]);
      const unsigned place = symbol(distances_);
      if (place > 29) fault("has an unknown distance");
      const std::size_t distance = first_distance[place] + take(place < 2 ? 0 : static_cast<int>(place / 2 - 1));
      if (distance > out_.size()) fault("repeats what is before its beginning");
      require_room(length);
      for (std::size_t from = out_.size() - distance, i = 0; i < length; ++i) out_ += out_[from + i];
    }
  }

  const std::string& path_;
  std::string_view bytes_;
  std::size_t size_, at_ = 0;
  std::uint64_t holds_ = 0;  ///< the next bits, the first one lowest
  int held_ = 0;             ///< how many
  Code literals_, distances_;
  std::string out_;
};

}  // namespace scorematch::io
