// A toolchain's arithmetic and files: elementary functions against exact values, random numbers against known ones, NaN
// refused, numbers as text and files there and back. scripts/toolchains.sh builds it with every compiler, target and
// set of flags that there is; it needs no test library, and prints what is wrong.
#include <clocale>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "scorematch/check.hpp"
#include "scorematch/io/csv.hpp"
#include "scorematch/io/npy.hpp"
#include "scorematch/io/npz.hpp"
#include "scorematch/io/safetensors.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/random/stream.hpp"
#include "scorematch/simd/functions.hpp"

#include "check.hpp"

namespace sm = scorematch;
namespace simd = scorematch::simd;
using Eigen::MatrixXd;

namespace {

// Of x and f(x), rounded from 113 bits. Every x is a float.
struct Value {
  double x, f;
};
constexpr Value values_of_exp[] = {{-0x1.5e4p+9, 0x1.4ff475c68ca02p-1011},
                                   {-0x1.5dp+6, 0x1.1724770e1384dp-126},
                                   {-0x1.4cp+4, 0x1.0ba06b3d9c887p-30},
                                   {-0x1.8p+0, 0x1.c8f87724b5c1dp-3},
                                   {-0x1.6p-2, 0x1.6b0ff72deb89dp-1},
                                   {-0x1p-10, 0x1.ff800ffeaacp-1},
                                   {0x0p+0, 0x1p+0},
                                   {0x1p-6, 0x1.04080ab55de39p+0},
                                   {0x1p-1, 0x1.a61298e1e069cp+0},
                                   {0x1p+0, 0x1.5bf0a8b145769p+1},
                                   {0x1.ap+1, 0x1.9ca53b781114bp+4},
                                   {0x1.44p+3, 0x1.85fd05c6fe7abp+14},
                                   {0x1.6p+6, 0x1.f1056dc7bf22dp+126},
                                   {0x1.2c2p+9, 0x1.f8256bde4abacp+865}};
constexpr Value values_of_expm1[] = {{-0x1.9p+5, -0x1p+0},
                                     {-0x1.8p+0, -0x1.8dc1e236d28f9p-1},
                                     {-0x1.6p-2, -0x1.29e011a428ec6p-2},
                                     {-0x1p-10, -0x1.ffc0055500044p-11},
                                     {0x1p-30, 0x1.00000002p-30},
                                     {0x1p-6, 0x1.0202ad5778e46p-6},
                                     {0x1p-1, 0x1.4c2531c3c0d38p-1},
                                     {0x1p+0, 0x1.b7e151628aed3p+0},
                                     {0x1.ap+1, 0x1.8ca53b781114bp+4},
                                     {0x1.44p+3, 0x1.85f905c6fe7abp+14},
                                     {0x1.6p+6, 0x1.f1056dc7bf22dp+126}};
constexpr Value values_of_log[] = {
    {0x1p-100, -0x1.1542457337d43p+6},   {0x1.8p-10, -0x1.a1aa17feccee6p+2},   {0x1.ap-2, -0x1.cd33e4e1cf068p-1},
    {0x1.ep-1, -0x1.08598b59e3a07p-4},   {0x1.fffp-1, -0x1.0004001555d56p-13}, {0x1p+0, 0x0p+0},
    {0x1.001p+0, 0x1.fff000aaa2ab1p-13}, {0x1.6p+0, 0x1.4618bc21c5ec2p-2},     {0x1p+1, 0x1.62e42fefa39efp-1},
    {0x1.5p+3, 0x1.2cf9dd4b12035p+1},    {0x1.f4p+9, 0x1.ba18a998fffap+2},     {0x1.2p+90, 0x1.f4021ba46f6f2p+5}};
constexpr Value values_of_log1p[] = {{-0x1.ep-1, -0x1.62e42fefa39efp+1}, {-0x1p-1, -0x1.62e42fefa39efp-1},
                                     {-0x1p-12, -0x1.0008005559559p-12}, {0x1p-30, 0x1.fffffffcp-31},
                                     {0x1.8p-6, 0x1.7b91b07d5b11bp-6},   {0x1p-2, 0x1.c8ff7c79a9a22p-3},
                                     {0x1.8p-1, 0x1.1e85f5e7040dp-1},    {0x1p+1, 0x1.193ea7aad030bp+0},
                                     {0x1.5p+3, 0x1.389ed3e132574p+1},   {0x1p+40, 0x1.bb9d3beb8c96bp+4}};
constexpr Value values_of_tanh[] = {{-0x1.2p+3, -0x1.fffffefa59d78p-1},
                                    {-0x1.4p+0, -0x1.b2523bb6b2deep-1},
                                    {-0x1p-1, -0x1.d9353d7568af3p-2},
                                    {-0x1p-10, -0x1.fffff5555599ap-11},
                                    {0x1p-30, 0x1p-30},
                                    {0x1.4p-5, 0x1.3fd65bd6f8a56p-5},
                                    {0x1.6p-2, 0x1.52c2c561d8609p-2},
                                    {0x1.8p-1, 0x1.45323e552f228p-1},
                                    {0x1p+1, 0x1.ed9505e1bc3d4p-1},
                                    {0x1.2p+2, 0x1.ffdfa72153983p-1},
                                    {0x1.ep+3, 0x1.ffffffffff96ap-1}};
constexpr Value values_of_sigmoid[] = {{-0x1.4p+6, 0x1.7fd974d372e45p-116},
                                       {-0x1.5p+3, 0x1.cdf8e48f306f6p-16},
                                       {-0x1p+0, 0x1.136561454ba86p-2},
                                       {-0x1p-4, 0x1.f001553336a71p-2},
                                       {0x0p+0, 0x1p-1},
                                       {0x1.6p-2, 0x1.2b9260e44f38ep-1},
                                       {0x1p+1, 0x1.c2f7d5a8a79cap-1},
                                       {0x1.fp+3, 0x1.fffff9c63b334p-1}};
constexpr Value values_of_softplus[] = {
    {-0x1.4p+6, 0x1.7fd974d372e45p-116}, {-0x1.5p+3, 0x1.cdfa8566527e8p-16}, {-0x1p+0, 0x1.40c7abfbec124p-2},
    {-0x1p-4, 0x1.53242d452673bp-1},     {0x0p+0, 0x1.62e42fefa39efp-1},     {0x1.6p-2, 0x1.c26abad2435a6p-1},
    {0x1p+1, 0x1.103f2d54301d5p+1},      {0x1.fp+3, 0x1.f00000639c4d6p+3},   {0x1.9p+6, 0x1.9p+6}};
constexpr Value values_of_erf[] = {{-0x1.8p+1, -0x1.fffd1ac4135f9p-1}, {-0x1.4p+0, -0x1.d8865d98abe01p-1},
                                   {-0x1p-10, -0x1.20dd6eff8cb8fp-10}, {0x1p-30, 0x1.20dd750429b6dp-30},
                                   {0x1p-3, 0x1.1f5e1a35c3b89p-3},     {0x1p-1, 0x1.0a7ef5c18edd2p-1},
                                   {0x1.cp-1, 0x1.91724951b8fc6p-1},   {0x1.8p+0, 0x1.eea5557137aep-1},
                                   {0x1.6p+1, 0x1.fff2cfb0453d9p-1},   {0x1.cp+1, 0x1.ffffe710d565ep-1}};
constexpr Value values_of_sin[] = {{-0x1.f44p+9, -0x1.fd948c50a7a0dp-1}, {-0x1.8p+1, -0x1.210386db6d55bp-3},
                                   {-0x1p-10, -0x1.fffffaaaaaaefp-11},   {0x1p-30, 0x1p-30},
                                   {0x1p-1, 0x1.eaee8744b05fp-2},        {0x1.8p+0, 0x1.feb7a9b2c6d8bp-1},
                                   {0x1.92p+1, 0x1.fb543efcc9d39p-11},   {0x1.92p+2, -0x1.fb542f6bdeab6p-10},
                                   {0x1.6p+4, -0x1.220a29f6eb9f4p-7},    {0x1.63p+8, -0x1.f9bd0307d1de3p-16},
                                   {0x1.771p+10, -0x1.fb069364274d6p-1}};
constexpr Value values_of_cos[] = {{-0x1.f44p+9, 0x1.8dbff75eb664fp-4}, {-0x1.8p+1, -0x1.fae04be85e5d2p-1},
                                   {-0x1p-10, 0x1.fffff00000155p-1},    {0x0p+0, 0x1p+0},
                                   {0x1p-1, 0x1.c1528065b7d5p-1},       {0x1.9p+0, 0x1.0fd9d5c093df5p-7},
                                   {0x1.92p+1, -0x1.fffff04a648d7p-1},  {0x1.2ep+2, 0x1.a0df7af9ab463p-8},
                                   {0x1.6p+4, -0x1.fffadd8d4acdap-1},   {0x1.63p+8, -0x1.fffffffc18e4cp-1},
                                   {0x1.771p+10, 0x1.1cc94ca937bc9p-3}};
constexpr Value values_of_turns[] = {{0x1p-10, 0x1.921f0fe670071p-8},   {0x1p-4, 0x1.87de2a6aea963p-2},
                                     {0x1.8p-3, 0x1.d906bcf328d46p-1},  {0x1.4p-2, 0x1.d906bcf328d46p-1},
                                     {0x1.1p-1, -0x1.8f8b83c69a60bp-3}, {0x1.7p-1, -0x1.f6297cff75cbp-1},
                                     {0x1.fp-1, -0x1.8f8b83c69a60bp-3}};
constexpr Value values_of_pow[] = {{0x1p-4, 0x1p+10},
                                   {0x1.ap-2, 0x1.303483d971242p+3},
                                   {0x1.ep-1, 0x1.2cd2d18d6ffd5p+0},
                                   {0x1.6p+0, 0x1.cde51b3f4fb0ap-2},
                                   {0x1p+1, 0x1.6a09e667f3bcdp-3},
                                   {0x1.5p+3, 0x1.6ee4038be7799p-9},
                                   {0x1.f4p+9, 0x1.0fa3389d6eb4p-25}};

// In units of the last place.
template <class T>
double error_of(T found, double exact) {
  const T rounded = static_cast<T>(exact);
  if (rounded == found) return 0;
  const double unit = static_cast<double>(std::numeric_limits<T>::epsilon()) * std::abs(exact);
  return std::abs(static_cast<double>(found) - exact) / (unit > 0 ? unit : 1);
}

template <class T, std::size_t count, class Function>
void compare(const char* name, const Value (&values)[count], Function function) {
  constexpr double most = 4;  // functions.hpp promises 3.5 at most, of the binade; this unit is up to half of that one
  for (const Value& value : values) {
    const T rounded = static_cast<T>(value.f);
    if (!std::isfinite(rounded) || std::abs(rounded) < std::numeric_limits<T>::min()) continue;
    const T alone = function(static_cast<T>(value.x));
    simd::Lanes<T> lanes = simd::broadcast<simd::Lanes<T>>(static_cast<T>(value.x));
    lanes = function(lanes);
    const bool right = value.f == 0 ? alone == 0 && lanes[0] == 0
                                    : error_of(alone, value.f) <= 2 * most && error_of(lanes[0], value.f) <= 2 * most;
    check(right,
          sm::detail::text(name, sizeof(T) == 4 ? " in float at " : " at ", value.x, ": ", static_cast<double>(alone),
                           " and ", static_cast<double>(T(lanes[0])), ", not ", value.f));
  }
}

template <class T>
void elementary_functions() {
  compare<T>("exp", values_of_exp, [](auto x) { return simd::exp(x); });
  compare<T>("expm1", values_of_expm1, [](auto x) { return simd::expm1(x); });
  compare<T>("log", values_of_log, [](auto x) { return simd::log(x); });
  compare<T>("log1p", values_of_log1p, [](auto x) { return simd::log1p(x); });
  compare<T>("tanh", values_of_tanh, [](auto x) { return simd::tanh(x); });
  compare<T>("sigmoid", values_of_sigmoid, [](auto x) { return simd::sigmoid(x); });
  compare<T>("softplus", values_of_softplus, [](auto x) { return simd::softplus(x); });
  compare<T>("erf", values_of_erf, [](auto x) { return simd::erf(x); });
  compare<T>("sin", values_of_sin, [](auto x) { return simd::sin(x); });
  compare<T>("cos", values_of_cos, [](auto x) { return simd::cos(x); });
  compare<T>("sine_cosine_of_turns", values_of_turns, [](auto u) { return simd::sine_cosine_of_turns(u).sine; });
  compare<T>("sine_cosine_between_quarters", values_of_turns,
             [](auto u) { return simd::sine_cosine_between_quarters(u).sine; });
  compare<T>("pow", values_of_pow, [](auto x) { return simd::pow(x, T(-2.5)); });
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  check(simd::exp(infinity) == infinity && simd::exp(-infinity) == 0, "exp of infinities");
  check(simd::exp(T(1000)) == infinity && simd::exp(T(-1000)) == 0, "exp overflows and underflows");
  check(simd::log(T(0)) == -infinity && simd::log(infinity) == infinity, "log of 0 and infinity");
  check(std::isnan(simd::log(T(-1))) && std::isnan(simd::exp(nan)) && std::isnan(simd::tanh(nan)), "NaN");
}

// Three ids and four components of one address, as x86-64 computes them.
constexpr double normals[] = {0x1.2c94c98c103fap+0,  0x1.217b7707c7ac4p-6,  0x1.4d4feff75f6b1p-1,
                              0x1.8e50a1dd87247p+0,  -0x1.7f9f715581bb4p-1, -0x1.6ff1195a886cap-2,
                              0x1.12c7701951a16p-2,  -0x1.dbe72190a1478p-3, 0x1.721fa97d3d34ap-1,
                              -0x1.c7c345e7215f8p-2, -0x1.87a36ea547565p-1, 0x1.6fb657bda9701p-4};
constexpr float float_normals[] = {0x1.4e85dcp-1F,  0x1.32b9fcp-6F,  0x1.d9732cp-5F,  0x1.ca0b1ep-1F,
                                   -0x1.28c4b4p-1F, -0x1.15d67ep+0F, 0x1.986738p+0F,  0x1.13afd2p-6F,
                                   0x1.615ad6p-1F,  0x1.0e9908p+1F,  -0x1.6d56a2p-1F, -0x1.861102p-2F};
constexpr double uniforms[] = {0x1.3264bbe454c54p-3, 0x1.82a189b5b0c0bp-1, 0x1.8455d3691ba45p-1, 0x1.2d4981c83d67cp-3,
                               0x1.81ebd5198cde5p-1, 0x1.d6e724ad7742dp-1, 0x1.bf51cf3ecd1c3p-1, 0x1.73f4b68bf2dd9p-1,
                               0x1.88af0492d545fp-1, 0x1.ac35f968caa89p-1, 0x1.67f789c3e095dp-1, 0x1.422d200e4e96p-6};
constexpr float float_uniforms[] = {0x1.153152p-1F, 0x1.b0c0aep-1F, 0x1.1ba44ep-1F, 0x1.3264b8p-3F,
                                    0x1.82a18ap-1F, 0x1.8455d2p-1F, 0x1.eb3dcp-6F,  0x1.8cde5ap-1F,
                                    0x1.7742dap-1F, 0x1.2d4988p-3F, 0x1.81ebd6p-1F, 0x1.d6e726p-1F};

template <class T>
void random_numbers(const T* normals_there, const T* uniforms_there) {
  const sm::extend::StreamKey key{7, sm::extend::Purpose::user};
  T found[12];
  sm::extend::fill_uniforms<T>(key, sm::extend::Ids::from(5), 3, 2, 4, found, 3);
  for (int i = 0; i < 12; ++i) check(found[i] == uniforms_there[i], "uniform numbers differ");
  sm::extend::fill_normals<T>(key, sm::extend::Ids::from(5), 3, 2, 4, found, 3);
  for (int i = 0; i < 12; ++i)
    check(error_of(found[i], static_cast<double>(normals_there[i])) < 32, "normal numbers differ");
  // 20000 of them: four standard errors of the mean, the variance and the fourth moment.
  sm::Matrix<T> z(5000, 4);
  sm::extend::fill_normals<T>(key, sm::extend::Ids::from(0), 5000, 0, 4, z.data(), 5000);
  const double n = 20000;
  double m1 = 0, m2 = 0, m4 = 0;
  for (sm::Index i = 0; i < z.size(); ++i) {
    const double x = static_cast<double>(z.data()[i]);
    m1 += x / n;
    m2 += x * x / n;
    m4 += x * x * x * x / n;
  }
  check(std::abs(m1) < 4 * std::sqrt(1 / n) && std::abs(m2 - 1) < 4 * std::sqrt(2 / n) &&
            std::abs(m4 - 3) < 4 * std::sqrt(96 / n),
        sm::detail::text("moments of normal numbers: ", m1, ", ", m2, ", ", m4));
}

template <class F>
bool throws(F f) {
  try {
    f();
  } catch (const std::exception&) {
    return true;
  }
  return false;
}

template <class T>
void not_a_number_is_refused() {
  const auto accepted = [](const sm::Matrix<T>& X) {
    return !throws([&] { sm::extend::require_samples<T>(X, X.rows(), "X"); });
  };
  sm::Matrix<T> X = sm::Matrix<T>::Ones(3, 41);
  check(accepted(X), "finite samples are refused");
  for (const T bad : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
    X(1, 17) = bad;
    check(!accepted(X), "samples that are not finite are accepted");
    check(throws([&] { sm::extend::require_positive(static_cast<double>(bad), "sigma"); }), "sigma is not finite");
  }
}

bool same_bits(const MatrixXd& a, const MatrixXd& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.data(), b.data(), sizeof(double) * static_cast<std::size_t>(a.size())) == 0;
}

void files() {
  using Limits = std::numeric_limits<double>;
  MatrixXd X(2, 8);
  X << 0.1, 1.0 / 3, 0.0, -1e-5, 123456789012345678.0, 1e22, 1e23, 4.35,  //
      Limits::max(), Limits::min(), -0.5, 9007199254740993.0, 5e-5, 100000, 0x1.fffffffffffffp-3, -2.5e-300;
  for (int twice = 0; twice < 2; ++twice) {  // the second time the file is replaced
    sm::write_csv("toolchain_numbers.csv", X);
    sm::write_npy("toolchain_numbers.npy", X);
  }
  check(same_bits(sm::read_csv("toolchain_numbers.csv"), X), "a CSV file does not read back");
  check(same_bits(sm::read_npy("toolchain_numbers.npy"), X), "a .npy file does not read back");
  const Eigen::MatrixXf single = (X.array().abs() < 1e30).select(X, 1.0).cast<float>();
  sm::write_npy("toolchain_numbers.npy", single);
  check(sm::read_npy<float>("toolchain_numbers.npy") == single, "a .npy file in float does not read back");
  check(sm::read_npy("toolchain_numbers.npy") == single.cast<double>(), "a .npy file in float does not read as double");
  std::remove("toolchain_numbers.csv");
  std::remove("toolchain_numbers.npy");
  check(throws([] { (void)sm::read_csv("toolchain_no_such_file.csv"); }), "a file that does not exist is read");
  check(throws([] { (void)sm::read_csv("."); }), "a folder is read");
}

void tensors() {
  const sm::Tensors all{{"W", MatrixXd{{1.5, -2}, {1.0 / 3, 65504}}}, {"n", 0.25}};
  const sm::Tensors exact{{"W", MatrixXd{{1.5, -2}}}};
  sm::write_safetensors("toolchain_bytes.tensors", exact, {.dtype = sm::Dtype::f32});
  const std::string bytes = sm::io::read_file("toolchain_bytes.tensors");
  check(bytes.size() == 8 + 56 + 8 && bytes.substr(0, 9) == std::string("\x38\0\0\0\0\0\0\0{", 9) &&
            bytes.substr(64) == std::string("\0\0\xC0\x3F\0\0\0\xC0", 8),
        "a .safetensors file's bytes");
  for (const sm::Dtype dtype : {sm::Dtype::f64, sm::Dtype::f32, sm::Dtype::f16, sm::Dtype::bf16}) {
    sm::write_safetensors("toolchain_bytes.tensors", all, {.dtype = dtype});
    const sm::Tensors read = sm::read_safetensors("toolchain_bytes.tensors");
    const MatrixXd W = read.at("W").matrix();
    const double third = dtype == sm::Dtype::f64   ? 1.0 / 3
                         : dtype == sm::Dtype::f32 ? 0.3333333432674408
                         : dtype == sm::Dtype::f16 ? 0.333251953125
                                                   : 0.333984375;
    check(same_bits(W, MatrixXd{{1.5, -2}, {third, dtype == sm::Dtype::bf16 ? 65536.0 : 65504}}) &&
              read.at("n").values[0] == 0.25,
          std::string("a .safetensors file does not read back: ") + to_string(dtype));
  }
  sm::write_npz("toolchain_bytes.npz", all);
  check(same_bits(sm::read_npz("toolchain_bytes.npz").at("W").matrix(), all.at("W").matrix()),
        "an .npz file does not read back");
  const std::string label = "bytes", deflated("\x4b\x84\x03\x00", 4);
  check(sm::io::Inflater(label, deflated, 10).inflate() == "aaaaaaaaaa", "deflated bytes do not unpack");
  std::remove("toolchain_bytes.tensors");
  std::remove("toolchain_bytes.npz");
}

// The bytes, not only the way back.
void formats() {
  sm::write_npy("toolchain_bytes.npy", MatrixXd::Constant(1, 1, 1.5));
  const std::string bytes = sm::io::read_file("toolchain_bytes.npy");
  std::remove("toolchain_bytes.npy");
  check(bytes.size() == 136 && bytes.find("'<f8'") != bytes.npos &&
            bytes.substr(128) == std::string("\0\0\0\0\0\0\xF8\x3F", 8),
        "a .npy file's bytes");
  tensors();
  std::string text;
  for (const double number : {0.5, -2.0, 0.1}) {
    sm::io::append_number(text, number);
    text += ' ';
  }
  check(text == "0.5 -2 0.1 ", "numbers as text: " + text);
  check(sm::detail::text(0.5, " ", 1.0 / 3, " ", 7, " ", 1e100) == "0.5 0.3333333333 7 1e+100", "numbers in messages");
  const auto read = [](std::string_view number) {
    double value = -7;
    const auto [end, error] = sm::io::read_number(number.data(), number.data() + number.size(), value);
    return error == std::errc{} && end == number.data() + number.size() ? value : -8;
  };
  check(read("1.25e2") == 125 && read("-.5") == -0.5 && read("3.") == 3 && read("1e-400") == 0, "text as numbers");
  check(read("1e400") == -8 && read("0x10") == -8 && read("1,5") == -8 && read("+1") == -8 && read(" 1") == -8 &&
            read("") == -8 && read("e5") == -8 && read("-") == -8 && read(".") == -8 && read("1e") == -8,
        "text that is no number");
  check(std::isnan(read("nan")) && read("-inf") < -Eigen::NumTraits<double>::highest(), "nan and inf as text");
  check(read("0.1000000000000000055511151231257827021181583404541015625") == 0.1, "text of 55 digits");
}

}  // namespace

int main() {
  elementary_functions<double>();
  elementary_functions<float>();
  random_numbers<double>(normals, uniforms);
  random_numbers<float>(float_normals, float_uniforms);
  not_a_number_is_refused<double>();
  not_a_number_is_refused<float>();
  for (const char* locale : {"C", "de_DE.UTF-8", "de_DE"}) {  // decimal commas, where there is such a locale
    if (std::setlocale(LC_ALL, locale) == nullptr) continue;
    files();
    formats();
  }
  if (failures == 0) std::puts("arithmetic and files: right");
  return failures == 0 ? 0 : 1;
}
