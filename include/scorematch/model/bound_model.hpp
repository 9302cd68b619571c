// The seam between models and all that is done with them.
//
// Losses, fits, samplers, log Z and likelihoods are written against BoundModel<T>, one type a scalar, so that each of
// them is compiled once, whatever the models are. It is called a block of samples at a time (96 rows and more), so that
// a virtual call costs nothing beside what it does. Concepts stay at the border: what a user writes is checked there
// (model/user_model.hpp), and becomes this type by bind<T>(model).
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "scorematch/check.hpp"
#include "scorematch/concepts.hpp"
#include "scorematch/evaluate/formula_workspace.hpp"
#include "scorematch/room.hpp"

namespace scorematch {

namespace extend {

/// A model at one θ in the arithmetic T: it owns what is bound (any BoundScore), and passes calls on. Const calls are
/// safe from many threads, each with a workspace of its own.
template <class T>
class BoundModel {
 public:
  using Scalar = T;        ///< float or double
  using Workspace = Room;  ///< lent to the calls by each thread

  /// Holds any bound model of that scalar.
  template <class B>
  requires(!std::same_as<B, BoundModel> && BoundScore<B, T>) explicit BoundModel(B bound)
      : held_(std::make_unique<Held<B>>(std::move(bound))) {}

  /// The abilities beyond its score; without the ability energy(), energy_and_score() and pull_back_energy() throw.
  Abilities abilities() const { return held_->abilities(); }

  /// The size of x, d.
  Index dimension() const { return held_->dimension(); }
  /// The size of θ.
  Index parameter_count() const { return held_->parameter_count(); }
  /// How many numbers pull_back adds to: the θ-gradient in the model's own coordinates.
  Index sum_size() const { return held_->sum_size(); }
  /// How many samples' working set stays in the second-level cache, for these derivatives.
  Index block_size(Along along, Index directions) const { return held_->block_size(along, directions); }

  /// Takes another θ. Not beside other calls.
  void bind(const Eigen::VectorXd& theta) { held_->bind(theta); }
  /// Turns sums, which it uses up, into the gradient with respect to θ.
  void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) { held_->finish(sums, gradient); }

  /// Fills what `points` asks for.
  void evaluate(const Points<T>& points, Workspace& workspace, ScoreValues<T>& values) const {
    held_->evaluate(points, workspace, values);
  }
  /// sums += Σ over rows of ∂(adjoints · values)/∂θ; it follows an evaluate of the same points, their `gradient` set.
  void pull_back(const Points<T>& points, Workspace& workspace, const ScoreAdjoints<T>& adjoints,
                 Eigen::VectorXd& sums) const {
    held_->pull_back(points, workspace, adjoints, sums);
  }
  /// f: B numbers.
  void energy(const Points<T>& points, Workspace& workspace, Vector<T>& f) const {
    held_->energy(points, workspace, f);
  }
  /// f (B numbers) and S (B × d) in one call.
  void energy_and_score(const Points<T>& points, Workspace& workspace, Vector<T>& f, Matrix<T>& S) const {
    held_->energy_and_score(points, workspace, f, S);
  }
  /// sums += Σ over rows of weight · ∂f/∂θ
  void pull_back_energy(const Points<T>& points, Workspace& workspace, const Vector<T>& weights,
                        Eigen::VectorXd& sums) const {
    held_->pull_back_energy(points, workspace, weights, sums);
  }

  /// The matrices of θ whose products a workspace can withhold where the points ask for these derivatives; else null.
  const evaluate::ProductMatrices* product_matrices(Along along, Index directions) const {
    return held_->product_matrices(along, directions);
  }
  /// The workspace that withholds them, where there are such matrices; else null.
  evaluate::FormulaWorkspace<T>* formula_workspace(Workspace& workspace) const {
    return held_->formula_workspace(workspace);
  }

  /// The bound value that it was made of, for a caller that knows the type.
  template <class B>
  const B& as() const {
    return static_cast<const Held<B>&>(*held_).bound;
  }

 private:
  struct Anything {
    virtual ~Anything() = default;
    virtual Abilities abilities() const = 0;
    virtual Index dimension() const = 0;
    virtual Index parameter_count() const = 0;
    virtual Index sum_size() const = 0;
    virtual Index block_size(Along along, Index directions) const = 0;
    virtual void bind(const Eigen::VectorXd& theta) = 0;
    virtual void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) = 0;
    virtual void evaluate(const Points<T>&, Workspace&, ScoreValues<T>&) const = 0;
    virtual void pull_back(const Points<T>&, Workspace&, const ScoreAdjoints<T>&, Eigen::VectorXd& sums) const = 0;
    virtual void energy(const Points<T>&, Workspace&, Vector<T>& f) const = 0;
    virtual void energy_and_score(const Points<T>&, Workspace&, Vector<T>& f, Matrix<T>& S) const = 0;
    virtual void pull_back_energy(const Points<T>&, Workspace&, const Vector<T>& weights,
                                  Eigen::VectorXd& sums) const = 0;
    virtual const evaluate::ProductMatrices* product_matrices(Along along, Index directions) const = 0;
    virtual evaluate::FormulaWorkspace<T>* formula_workspace(Workspace&) const = 0;
  };

  template <class B>
  struct Held final : Anything {
    using Own = typename B::Workspace;
    static constexpr bool withholds = std::same_as<Own, evaluate::FormulaWorkspace<T>>;

    explicit Held(B what) : bound(std::move(what)) {}

    Abilities abilities() const override {
      if constexpr (requires { bound.abilities(); })
        return bound.abilities();
      else
        return {.energy = BoundEnergy<B, T>, .energy_gradient = BoundTrainableEnergy<B, T>};
    }
    Index dimension() const override { return bound.dimension(); }
    Index parameter_count() const override { return bound.parameter_count(); }
    Index sum_size() const override { return bound.sum_size(); }
    Index block_size(Along along, Index directions) const override { return bound.block_size(along, directions); }
    void bind(const Eigen::VectorXd& theta) override { bound.bind(theta); }
    void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) override { bound.finish(sums, gradient); }
    void evaluate(const Points<T>& points, Workspace& workspace, ScoreValues<T>& values) const override {
      bound.evaluate(points, workspace.of<Own>(), values);
    }
    void pull_back(const Points<T>& points, Workspace& workspace, const ScoreAdjoints<T>& adjoints,
                   Eigen::VectorXd& sums) const override {
      bound.pull_back(points, workspace.of<Own>(), adjoints, sums);
    }
    void energy(const Points<T>& points, Workspace& workspace, Vector<T>& f) const override {
      if constexpr (BoundEnergy<B, T>)
        bound.energy(points, workspace.of<Own>(), f);
      else
        require_energy(false);
    }
    void energy_and_score(const Points<T>& points, Workspace& workspace, Vector<T>& f, Matrix<T>& S) const override {
      if constexpr (BoundEnergy<B, T>)
        bound.energy_and_score(points, workspace.of<Own>(), f, S);
      else
        require_energy(false);
    }
    void pull_back_energy(const Points<T>& points, Workspace& workspace, const Vector<T>& weights,
                          Eigen::VectorXd& sums) const override {
      if constexpr (BoundTrainableEnergy<B, T>)
        bound.pull_back_energy(points, workspace.of<Own>(), weights, sums);
      else
        require_energy(false);
    }
    const evaluate::ProductMatrices* product_matrices(Along along, Index directions) const override {
      if constexpr (withholds)
        return bound.product_matrices(along, directions);
      else
        return nullptr;
    }
    evaluate::FormulaWorkspace<T>* formula_workspace(Workspace& workspace) const override {
      if constexpr (withholds)
        return &workspace.of<Own>();
      else
        return nullptr;
    }

    static void require_energy(bool known) {
      require(known, {"the model's score is known, but its energy, or the energy's derivative by theta, is not"});
    }

    B bound;
  };

  std::unique_ptr<Anything> held_;
};

/// Base of what changes a bound model: all that it does not change it passes on.
template <class T>
class BoundDecorator {
 public:
  /// The members of a BoundModel that seldom change: those of the inner one.
  ///@{
  using Scalar = T;

  explicit BoundDecorator(BoundModel<T> inner) : inner_(std::move(inner)) {}

  Abilities abilities() const { return inner_.abilities(); }
  Index dimension() const { return inner_.dimension(); }
  Index parameter_count() const { return inner_.parameter_count(); }
  Index sum_size() const { return inner_.sum_size(); }
  Index block_size(Along along, Index directions) const { return inner_.block_size(along, directions); }
  void bind(const Eigen::VectorXd& theta) { inner_.bind(theta); }
  void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) { inner_.finish(sums, gradient); }
  ///@}

 protected:
  BoundModel<T> inner_;  ///< the model that is changed
};

}  // namespace extend

}  // namespace scorematch
