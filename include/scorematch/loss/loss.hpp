// The loss of a model on data.
#pragma once

#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/loss/answers.hpp"
#include "scorematch/loss/fused_loss.hpp"
#include "scorematch/loss/loss_loop.hpp"
#include "scorematch/model/user_model.hpp"

namespace scorematch {
namespace objective {

template <class T, class M, class O>
void require_usable(const M& model, const O& objective, const MatrixView<T>& data, const ranks::Shards& shards) {
  objective.validate();
  ranks::require_samples<T>(data, shards, static_cast<Index>(model.dimension()), "data");
  if constexpr (requires { objective.validate_for(data.rows(), data.cols()); })
    objective.validate_for(data.rows(), shards.total(data.cols()));
  if constexpr (requires { objective.template validate_data<T>(data); })
    if (data.cols() > 0) objective.template validate_data<T>(data);
  if constexpr (requires { objective.level_names(); })
    extend::require(
        extend::takes_sigma(model) || objective.level_names().empty(),
        {"the objective has noise levels, but the model takes no sigma, so that it could only learn a mean over "
         "them: write its formula as [](auto x, auto sigma, auto theta) …"});
}

/// Checks what every call on data checks, and makes the LossFunction. `shards`: which ranks have which columns.
template <class T, class M, class O>
requires extend::Objective<O, T> LossFunction<T> loss_function(const M& model, const O& objective, MatrixView<T> data,
                                                               const ranks::Shards& shards = {}) {
  ranks::agree(shards.communicator(), [&] { require_usable<T>(model, objective, data, shards); });
  auto bound = detail::bind<T>(model);
  auto fused = fused_pass_of<T, M>(objective);
  return LossFunction<T>(std::move(bound), BoundObjective<T>(objective), data, std::move(fused), shards);
}

/// In what all ranks must agree.
template <class T, class M>
std::vector<ranks::Common> common_facts(const M& model, Index rows) {
  std::vector<ranks::Common> facts{{"the rows of the data", detail::text(rows)},
                                   {"the data's arithmetic", sizeof(T) == 4 ? "float" : "double"}};
  if constexpr (extend::has_parameters<M>) {
    facts.push_back({"theta", ranks::digest_of(model.parameters())});
  }
  return facts;
}

template <class T, class M, class O>
void evaluate_once(const M& model, const O& objective, MatrixView<T> data, const LossOptions& options,
                   bool with_gradient, Loss& result) {
  const Communicator& communicator = options.communicator;
  ranks::on_ranks(communicator, [&] {
    const ranks::Shards shards(communicator, data.cols());
    ranks::agree(communicator, [&] {
      options.validate();
      options.validate_for(shards.total(data.cols()), data.cols(), extend::classes_of(model));
      extend::require(communicator.alone() || !options.per_sample,
                      {"LossOptions: per_sample is set, but on several ranks each sample's loss is not returned"});
    });
    ranks::require_same(communicator, common_facts<T>(model, data.rows()));
    auto function = loss_function<T>(model, objective, data, shards);
    function.set_labelled(ranks::any(communicator, !options.labels.empty()));
    function.evaluate(options, with_gradient, result);
  });
}

}  // namespace objective

/// The mean loss of `model` on the columns of X (d × N), in X's scalar.
/// Throws std::invalid_argument for empty data, a wrong row count, a non-finite entry (with its column), options out of
/// range.
template <class M, class O, class Derived>
[[nodiscard]] Loss loss(const M& model, const O& objective, const Eigen::MatrixBase<Derived>& X,
                        const LossOptions& options = {}) {
  Loss result;
  if constexpr (detail::check_model<M>() && objective::check_objective_class<O, typename Derived::Scalar>())
    objective::evaluate_once<typename Derived::Scalar>(model, objective, X.derived(), options, false, result);
  return result;
}

/// The same, with the gradient with respect to θ.
template <class M, class O, class Derived>
[[nodiscard]] Loss loss_and_gradient(const M& model, const O& objective, const Eigen::MatrixBase<Derived>& X,
                                     const LossOptions& options = {}) {
  Loss result;
  if constexpr (detail::check_trainable_model<M>() && objective::check_objective_class<O, typename Derived::Scalar>())
    objective::evaluate_once<typename Derived::Scalar>(model, objective, X.derived(), options, true, result);
  return result;
}

}  // namespace scorematch
