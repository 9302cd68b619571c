// Where a search for the minima of an energy begins.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "scorematch/random/stream.hpp"
#include "scorematch/types.hpp"

namespace scorematch::likelihood {

/// Where to look, and in which units: a place in the middle and a length for each coordinate.
struct Frame {
  Eigen::VectorXd middle, unit;
};

/// The mean and the standard deviations of `near` (d × n); without points the origin and 1. A coordinate in which the
/// points do not differ takes the least deviation of the others.
template <class D = void>
Frame frame_of(Index d, const detail::DependentMatrix<D>& near) {
  Frame frame{detail::DependentVector<D>::Zero(d), detail::DependentVector<D>::Ones(d)};
  if (near.cols() == 0) return frame;
  double least = std::numeric_limits<double>::infinity();
  for (Index j = 0; j < d; ++j) {
    const double most = near.row(j).cwiseAbs().maxCoeff(), scale = most > 0 ? most : 1;  // squares do not overflow
    double mean = 0, squares = 0;
    for (Index i = 0; i < near.cols(); ++i) mean += near(j, i) / scale / static_cast<double>(near.cols());
    for (Index i = 0; i < near.cols(); ++i) squares += (near(j, i) / scale - mean) * (near(j, i) / scale - mean);
    frame.middle[j] = scale * mean;
    frame.unit[j] = scale * std::sqrt(squares / static_cast<double>(near.cols()));
    if (!(frame.unit[j] > 1e-13 * scale)) frame.unit[j] = 0;  // no more than the rounding of equal numbers
    if (frame.unit[j] > 0) least = std::min(least, frame.unit[j]);
  }
  for (Index j = 0; j < d; ++j)
    if (!(frame.unit[j] > 0)) frame.unit[j] = std::isfinite(least) ? least : 1;
  return frame;
}

/// Appends middle + root (2ᵏ e) for k = from … to, e along the axes, both ways (d ≤ 3), and in four random directions.
template <class T>
void add_shells(const Vector<T>& middle, const Matrix<T>& root, int from, int to, std::vector<Vector<T>>& places) {
  const Index d = middle.size();
  Stream stream({0, extend::Purpose::partition}, 0, std::uint64_t{1} << 38);
  for (int k = from; k <= to; ++k) {
    const double radius = std::ldexp(1.0, k);
    if (d <= 3)
      for (Index j = 0; j < d; ++j)
        for (const double sign : {-1.0, 1.0}) places.push_back(middle + sign * radius * root.col(j));
    for (int copy = 0; copy < 4; ++copy) {
      const Vector<T> direction = stream.normals(d);
      places.push_back(middle + radius / direction.norm() * (root * direction));
    }
  }
}

/// One place a column.
template <class T>
Matrix<T> side_by_side(Index d, const std::vector<Vector<T>>& places) {
  Matrix<T> all(d, static_cast<Index>(places.size()));
  for (Index i = 0; i < all.cols(); ++i) all.col(i) = places[static_cast<std::size_t>(i)];
  return all;
}

/// Points from which to look: the origin and places around it at distances from 1/8 to 2¹⁰; those in `near` (d × n, at
/// most 64 of them), and around their mean at 1/8 to 2¹⁰ of their deviations. d × any number.
template <class D = void>
detail::DependentMatrix<D> places_to_look(Index d, const detail::DependentMatrix<D>& near) {
  using Places = detail::DependentMatrix<D>;
  using Place = detail::DependentVector<D>;
  constexpr Index most_near = 64;
  std::vector<Place> places;
  places.push_back(Place::Zero(d));
  add_shells(Place(Place::Zero(d)), Places(Places::Identity(d, d)), -3, 10, places);
  if (near.cols() > 0) {
    const Frame frame = frame_of<D>(d, near);
    places.push_back(frame.middle);
    add_shells(Place(frame.middle), Places(frame.unit.asDiagonal()), -3, 10, places);
    for (Index i = 0, n = std::min(near.cols(), most_near); i < n; ++i) places.push_back(near.col(i * near.cols() / n));
  }
  return side_by_side(d, places);
}

}  // namespace scorematch::likelihood
