// Values packed into bytes for other ranks, and taken out again: one text for both directions.
#pragma once

#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/ranks/communicator.hpp"
#include "scorematch/types.hpp"

namespace scorematch::ranks {

/// parcel(a, b, …) packs its arguments, or gives them the values that were packed.
class Parcel {
 public:
  bool packing = true;
  std::string bytes;

  template <class... Fields>
  void operator()(Fields&... fields) {
    (pass(fields), ...);
  }
  /// Bytes in a row.
  void raw(void* data, std::size_t size) { pass_raw(data, size); }

 private:
  template <class Value>
  requires std::is_trivially_copyable_v<Value>
  void pass(Value& value) { pass_raw(&value, sizeof value); }
  template <class Derived>
  void pass(Eigen::PlainObjectBase<Derived>& numbers) {
    Index rows = numbers.rows(), cols = numbers.cols();
    (*this)(rows, cols);
    if (!packing) numbers.resize(rows, cols);
    pass_raw(numbers.data(), static_cast<std::size_t>(numbers.size()) * sizeof(typename Derived::Scalar));
  }
  template <class Value>
  void pass(std::vector<Value>& values) {
    std::size_t size = values.size();
    pass(size);
    values.resize(size);
    for (Value& value : values) pass(value);
  }
  void pass_raw(void* data, std::size_t size) {
    if (size == 0) return;
    if (packing) return (void)bytes.append(static_cast<const char*>(data), size);
    extend::require(size <= bytes.size() - at_, {"a message from another rank is too short"});
    std::memcpy(data, bytes.data() + at_, size);
    at_ += size;
  }

  std::size_t at_ = 0;
};

/// Each rank in turn packs what it has, and the others take it out: visit(parcel, rank) is called with the number of
/// the rank whose values pass.
template <class Visit>
void exchange(const Communicator& ranks, Visit visit) {
  if (ranks.alone()) return;
  for (int rank = 0; rank < ranks.size(); ++rank) {
    Parcel parcel;
    parcel.packing = rank == ranks.rank();
    if (parcel.packing) visit(parcel, rank);
    std::uint64_t size = parcel.bytes.size();
    ranks.broadcast(rank, &size, sizeof size);
    parcel.bytes.resize(static_cast<std::size_t>(size));
    ranks.broadcast(rank, parcel.bytes.data(), parcel.bytes.size());
    if (!parcel.packing) visit(parcel, rank);
  }
}

}  // namespace scorematch::ranks
