// What the tests of ranks share, those on threads and those under mpirun: how data are shared out, and results as bits.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "scorematch/loss/loss.hpp"
#include "scorematch/ranks/communicator.hpp"
#include "scorematch/types.hpp"

namespace on_ranks {

using scorematch::Communicator;
using scorematch::Index;

/// A rank's part of N columns: uneven ones, and from three ranks on one without any.
struct Part {
  Index first = 0, count = 0;
};
inline Part part_of(const Communicator& c, Index N) {
  if (c.alone()) return {0, N};
  const int empty = c.size() > 2 ? 1 : -1;
  std::vector<Index> ends;
  Index weights = 0, sum = 0;
  for (int r = 0; r < c.size(); ++r) weights += r == empty ? 0 : 2 + r % 3;
  Part part;
  for (int r = 0; r < c.size(); ++r) {
    const Index begin = N * sum / weights;
    sum += r == empty ? 0 : 2 + r % 3;
    if (r == c.rank()) part = {begin, N * sum / weights - begin};
  }
  return part;
}

template <class Derived>
scorematch::Matrix<typename Derived::Scalar> columns_of(const Communicator& c, const Eigen::MatrixBase<Derived>& X) {
  const Part part = part_of(c, X.cols());
  return X.middleCols(part.first, part.count);
}
inline std::vector<int> labels_of(const Communicator& c, const std::vector<int>& labels) {
  const Part part = part_of(c, static_cast<Index>(labels.size()));
  return {labels.begin() + part.first, labels.begin() + part.first + part.count};
}

/// Numbers in a row; equal bits are equal texts, NaN included.
class Bits {
 public:
  template <class Derived>
  Bits& add(const Eigen::MatrixBase<Derived>& numbers) {
    const scorematch::Matrix<typename Derived::Scalar> plain = numbers;
    bytes_.append(reinterpret_cast<const char*>(plain.data()),
                  static_cast<std::size_t>(plain.size()) * sizeof(typename Derived::Scalar));
    return *this;
  }
  Bits& add(double number) { return add(Eigen::VectorXd::Constant(1, number)); }
  Bits& add(const std::string& text) {
    bytes_ += text;
    return *this;
  }
  Bits& add(const scorematch::Loss& loss) {
    add(loss.value).add(loss.standard_error).add(loss.gradient).add(static_cast<double>(loss.samples));
    for (const auto* estimates : {&loss.terms, &loss.levels})
      for (const scorematch::Estimate& e : *estimates) add(e.value).add(e.standard_error).add(e.name);
    return *this;
  }
  const std::string& text() const { return bytes_; }

 private:
  std::string bytes_;
};

template <class F>
Bits bits_of_fit(const F& fit) {
  Bits bits;
  bits.add(fit.model.parameters()).add(fit.loss).add(fit.held_out_loss).add(std::string(to_string(fit.status)));
  for (const auto& step : fit.history)
    bits.add(static_cast<double>(step.evaluations)).add(step.loss).add(step.gradient_norm).add(step.held_out);
  if constexpr (requires { fit.warnings; }) {
    bits.add(static_cast<double>(fit.iterations)).add(static_cast<double>(fit.evaluations)).add(fit.decrement);
    for (const std::string& warning : fit.warnings) bits.add(warning);
  }
  return bits;
}

template <class F>
Bits bits_of_likelihood_fit(const F& fit) {
  Bits bits;
  bits.add(fit.model.parameters()).add(fit.loss).add(fit.decrement).add(fit.acceptance).add(fit.text());
  bits.add(static_cast<double>(fit.evaluations)).add(static_cast<double>(fit.non_finite));
  bits.add(fit.log_partition.value).add(fit.log_partition.error).add(fit.log_partition.evidence);
  bits.add(static_cast<double>(fit.log_partition.evaluations)).add(std::string(to_string(fit.log_partition.status)));
  for (const auto& step : fit.history)
    bits.add(static_cast<double>(step.evaluations)).add(step.loss).add(step.gradient_norm);
  return bits;
}

}  // namespace on_ranks
