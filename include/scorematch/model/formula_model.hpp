// Shared by energy_model and score_model: a record and the values of its parameters.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "scorematch/formula/theta.hpp"
#include "scorematch/named_parameter.hpp"

namespace scorematch {

/// Base of the models that a formula makes: the record of the formula, and the values of its parameters.
class FormulaModel {
 public:
  /// d, the size of x
  Index dimension() const { return record_->dimension; }

  /// Whether the formula is f(x, sigma, theta).
  bool takes_sigma() const { return record_->takes_sigma; }

  /// How many classes its labels have; 0 unless the formula is f(x, sigma, label, theta).
  Index classes() const { return record_->classes; }

  /// θ: all blocks, sorted by name (runs of digits as numbers), each column-major.
  const Eigen::VectorXd& parameters() const { return theta_; }

  /// Throws std::invalid_argument unless θ has the right size.
  void set_parameters(const Eigen::VectorXd& theta) {
    extend::require(theta.size() == record_->parameter_count(),
                    {"theta has ", theta.size(), " numbers; this model has ", record_->parameter_count()});
    theta_ = theta;
  }

  /// The value of theta("name", …) as a matrix. Throws std::invalid_argument, listing the names, if there is none.
  Eigen::MatrixXd parameter(const std::string& name) const {
    std::string names;
    for (const formula::ParameterBlock& block : record_->parameters) {
      if (block.name == name) return matrix(block);
      names += (names.empty() ? "" : ", ") + block.name;
    }
    extend::require(false, {"there is no parameter \"", name, "\"; this model has: ", names.empty() ? "none" : names});
    return {};
  }

  /// All blocks of θ with their names, sorted.
  std::vector<NamedParameter> named_parameters() const {
    std::vector<NamedParameter> all;
    for (const formula::ParameterBlock& block : record_->parameters)
      all.push_back({block.name, block.rows, block.cols, numbers(block)});
    return all;
  }

  /// Takes values by name. Throws std::invalid_argument, the model untouched, unless names and shapes are this model's.
  void set_named_parameters(const std::vector<NamedParameter>& all) {
    Eigen::VectorXd theta(record_->parameter_count());
    for (const formula::ParameterBlock& block : record_->parameters) {
      const NamedParameter* found = nullptr;
      for (const NamedParameter& candidate : all)
        if (candidate.name == block.name) found = &candidate;
      extend::require(found != nullptr, {"the parameter \"", block.name,
                                         "\" of this model is missing among those given: another formula?"});
      extend::require(found->rows == block.rows && found->cols == block.cols && found->values.size() == block.size(),
                      {"the parameter \"", block.name, "\" is given as ", found->rows, " × ", found->cols,
                       "; this model has it as ", block.rows, " × ", block.cols});
      std::copy_n(found->values.data(), block.size(), theta.data() + block.offset);
    }
    for (const NamedParameter& given : all) {
      bool known = false;
      for (const formula::ParameterBlock& block : record_->parameters) known = known || block.name == given.name;
      extend::require(known,
                      {"a parameter \"", given.name, "\" is given that this model does not have: another formula?"});
    }
    theta_ = theta;
  }

  /// For the library: the record of the formula.
  const formula::Record& record() const { return *record_; }

 protected:
  /// For the class that inherits.
  ///@{
  explicit FormulaModel(formula::Record record)
      : record_(std::make_shared<const formula::Record>(std::move(record))), theta_(record_->start()) {}

  Eigen::MatrixXd matrix(const formula::ParameterBlock& block) const {
    Eigen::MatrixXd values(block.rows, block.cols);
    std::copy_n(theta_.data() + block.offset, block.size(), values.data());
    return values;
  }
  Eigen::VectorXd numbers(const formula::ParameterBlock& block) const {
    Eigen::VectorXd values(block.size());
    std::copy_n(theta_.data() + block.offset, block.size(), values.data());
    return values;
  }

  std::shared_ptr<const formula::Record> record_;
  Eigen::VectorXd theta_;
  ///@}
};

}  // namespace scorematch
