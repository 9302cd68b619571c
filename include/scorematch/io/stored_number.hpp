// Numbers as files of arrays keep them: little-endian, in more types than C++ has.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

#include "scorematch/io/byte_order.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// How numbers are written to .safetensors and .npz files, where they are read as double again.
enum class Dtype {
  f64,   ///< double: the same bits come back
  f32,   ///< float, PyTorch's usual type: relative rounding 6 · 10⁻⁸, numbers up to 3 · 10³⁸
  f16,   ///< half precision, IEEE 754 binary16: 5 · 10⁻⁴, up to 65504
  bf16,  ///< bfloat16, the upper half of a float: 4 · 10⁻³, up to 3 · 10³⁸. Not for .npz: NumPy has no such type
};

/// The word for it, as .safetensors files have it: "F64", "F32", "F16", "BF16".
inline const char* to_string(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64:
      return "F64";
    case Dtype::f32:
      return "F32";
    case Dtype::f16:
      return "F16";
    case Dtype::bf16:
      return "BF16";
  }
  return "?";
}

namespace io {

/// The longest side of a matrix that is read, where it has no number: loops over such a side would else never end.
inline constexpr Index longest_empty_side = 100'000'000;

/// A number of 16 bits: a sign, the exponent + bias, the fraction; exponent 0 has the subnormal numbers, the largest
/// one infinity and NaN (IEEE 754).
template <int exponent_bits, int fraction_bits>
struct SmallFloat {
  static_assert(1 + exponent_bits + fraction_bits == 16);
  static constexpr int bias = (1 << (exponent_bits - 1)) - 1, largest = (1 << exponent_bits) - 1;
  static constexpr int fractions = 1 << fraction_bits;

  std::uint16_t bits;

  explicit operator double() const {
    const int exponent = bits >> fraction_bits & largest, fraction = bits & (fractions - 1);
    double size =
        std::ldexp(exponent == 0 ? fraction : fraction + fractions, std::max(exponent, 1) - bias - fraction_bits);
    if (exponent == largest)
      size = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
    return bits >> 15 != 0 ? -size : size;
  }

  /// The nearest one; of two the one whose last bit is 0. Beyond the largest finite one: infinity.
  static SmallFloat nearest(double number) {
    const unsigned sign = std::signbit(number) ? 0x8000 : 0;
    const double size = std::abs(number);
    unsigned code = largest << fraction_bits;  // of infinity
    if (std::isnan(number)) {
      code += fractions / 2;
    } else if (size < std::ldexp(1.0, bias + 1)) {
      const int exponent = size > 0 ? std::max(std::ilogb(size), 1 - bias) : 1 - bias;
      const double scaled = std::ldexp(size, fraction_bits - exponent);  // exact, below 2 · fractions
      auto whole = static_cast<unsigned>(scaled);
      const double rest = scaled - whole;
      if (rest > 0.5 || (rest == 0.5 && whole % 2 != 0)) ++whole;
      // The leading bit of a normal number adds 1 to the exponent's field; so does a carry.
      code = (static_cast<unsigned>(exponent + bias - 1) << fraction_bits) + whole;
    }
    return {static_cast<std::uint16_t>(sign | code)};
  }
};

/// NumPy's float16.
using Half = SmallFloat<5, 10>;
/// The upper half of a float.
using BFloat16 = SmallFloat<8, 7>;

/// NumPy's bool: a byte.
struct Truth {
  std::uint8_t byte;

  explicit operator double() const { return byte != 0; }
};

/// Calls f with a number of the type that NumPy calls "f8", "f4", "f2", "i8" … "u1" or "b1", and of bfloat16 for
/// "bf16". False, and no call, for another name.
template <class F>
bool with_number_type(std::string_view name, F f) {
  const auto is = [&]<class Stored>(std::string_view its_name, Stored number) {
    if (name == its_name) f(number);
    return name == its_name;
  };
  return is("f8", double()) || is("f4", float()) || is("f2", Half{}) || is("bf16", BFloat16{}) ||
         is("i8", std::int64_t()) || is("i4", std::int32_t()) || is("i2", std::int16_t()) || is("i1", std::int8_t()) ||
         is("u8", std::uint64_t()) || is("u4", std::uint32_t()) || is("u2", std::uint16_t()) ||
         is("u1", std::uint8_t()) || is("b1", Truth{});
}

/// The numbers that stand in `bytes` one after another, as doubles.
template <class Stored>
Eigen::VectorXd as_doubles(std::string_view bytes) {
  Eigen::VectorXd numbers(static_cast<Index>(bytes.size() / sizeof(Stored)));
  if (is_little_endian && std::is_same_v<Stored, double> && !bytes.empty()) {
    std::memcpy(numbers.data(), bytes.data(), bytes.size());
    return numbers;
  }
  for (Index i = 0; i < numbers.size(); ++i) {
    Stored number;
    std::memcpy(&number, bytes.data() + static_cast<std::size_t>(i) * sizeof(Stored), sizeof(Stored));
    numbers[i] = static_cast<double>(little_endian(number));
  }
  return numbers;
}

/// The bytes of `numbers` as `dtype`. Throws std::invalid_argument for a finite number beyond its range, which would
/// become an infinity that nobody wrote; `what` holds the numbers.
inline std::string as_bytes(const Eigen::VectorXd& numbers, Dtype dtype, const std::string& what) {
  std::string bytes;
  const auto append = [&]<class Stored>(auto store, Stored) {
    bytes.resize(static_cast<std::size_t>(numbers.size()) * sizeof(Stored));
    for (Index i = 0; i < numbers.size(); ++i) {
      const Stored stored = store(numbers[i]);
      extend::require(!std::isinf(static_cast<double>(stored)) || std::isinf(numbers[i]),
                      {what, " has ", numbers[i], ", beyond the range of ", to_string(dtype)});
      const Stored ordered = little_endian(stored);
      std::memcpy(bytes.data() + static_cast<std::size_t>(i) * sizeof(Stored), &ordered, sizeof(Stored));
    }
  };
  switch (dtype) {
    case Dtype::f64:
      append([](double number) { return number; }, double());
      break;
    case Dtype::f32:
      append([](double number) { return static_cast<float>(number); }, float());
      break;
    case Dtype::f16:
      append(Half::nearest, Half{});
      break;
    case Dtype::bf16:
      append(BFloat16::nearest, BFloat16{});
      break;
  }
  return bytes;
}

}  // namespace io
}  // namespace scorematch
