// The result of a user's callable: it must be numbers, not an expression over numbers that died with the call.
#pragma once

#include <type_traits>

#include "scorematch/types.hpp"

namespace scorematch {

namespace detail {

/// Whether a value of type E holds every number that it stands for. An Eigen expression keeps references to matrices:
/// in  [](Stream& s) { return 0.5 * s.normals(3); }  to one that is gone once the lambda has returned. Expressions made
/// of constants alone (VectorXd::Constant(1, x), VectorXd::Unit(3, 0)) keep none.
template <class E>
struct HoldsItsNumbers : std::true_type {};  // no Eigen type

template <class E>
requires requires { typename E::PlainObject; }
struct HoldsItsNumbers<E> : std::is_same<E, typename E::PlainObject> {};

/// As an operand: a matrix is kept by reference, an expression by value.
template <class E>
inline constexpr bool holds_as_operand = false;
template <class E>
requires(!std::is_same_v<std::remove_const_t<E>, typename E::PlainObject>) inline constexpr bool holds_as_operand<E> =
    HoldsItsNumbers<std::remove_const_t<E>>::value;

template <class Op, class Plain>
struct HoldsItsNumbers<Eigen::CwiseNullaryOp<Op, Plain>> : std::true_type {};
template <class Op, class A>
struct HoldsItsNumbers<Eigen::CwiseUnaryOp<Op, A>> : std::bool_constant<holds_as_operand<A>> {};
template <class Op, class A, class B>
struct HoldsItsNumbers<Eigen::CwiseBinaryOp<Op, A, B>>
    : std::bool_constant<holds_as_operand<A> && holds_as_operand<B>> {};
template <class A, int rows, int columns, bool inner>
struct HoldsItsNumbers<Eigen::Block<A, rows, columns, inner>> : std::bool_constant<holds_as_operand<A>> {};
template <class A>
struct HoldsItsNumbers<Eigen::Transpose<A>> : std::bool_constant<holds_as_operand<A>> {};
template <class A>
struct HoldsItsNumbers<Eigen::MatrixWrapper<A>> : std::bool_constant<holds_as_operand<A>> {};
template <class A>
struct HoldsItsNumbers<Eigen::ArrayWrapper<A>> : std::bool_constant<holds_as_operand<A>> {};

}  // namespace detail

namespace detail {

/// Whether what F returns for these arguments can be read after the call.
template <class F, class... Arguments>
inline constexpr bool returns_numbers =
    detail::HoldsItsNumbers<std::remove_cvref_t<std::invoke_result_t<F, Arguments...>>>::value;

}  // namespace detail

}  // namespace scorematch
