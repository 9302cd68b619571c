// The roles of the library: its map.
//
//   a user's class ──┐                                     ┌── objective (explicit, implicit, sliced, denoising)
//   a formula     ───┴─► model ─ bind<T> ─► BoundModel<T> ─┤      needs s and curvature, returns losses and adjoints
//                                                          └── sampler (langevin, mala)
//
// An objective speaks of the score s = ∇ log p and of a curvature Σ_v vᵀ(∂s/∂x)v; how these come about is the model's
// affair. So every loss works for an energy, a score model and a user's class.
//
// Inside a block the samples run down the rows, B × d, so that one coordinate of all samples is contiguous; the classes
// that users write see the public layout, d × B, one column per sample. B is padded to whole SIMD registers with copies
// of the last sample; what objectives compute there is ignored.
#pragma once

#include <concepts>
#include <cstdint>

#include "scorematch/types.hpp"

namespace scorematch {

// ---------------------------------------------------------------------------------------------------------------------
// What passes between the roles
// ---------------------------------------------------------------------------------------------------------------------

namespace extend {

/// The directions v of the curvature Σ_v vᵀ(∂s/∂x)v: none, the d axes (the trace), or given ones.
enum class Along { none, axes, given };

/// Where the score is asked.
template <class T>
struct Points {
  Matrix<T> X;                ///< B × d
  Vector<T> sigma;            ///< noise level of each row; empty if the objective has none
  Eigen::VectorXi label;      ///< class of each row, −1 for none; empty if nothing gives one
  Matrix<T> V;                ///< B × (M d): direction m of each row in columns m d … m d + d − 1
  Index directions = 0;       ///< M
  Along along = Along::none;  ///< along which directions the curvature is needed
  bool score = true;          ///< false: s itself is not needed, the slopes vᵀs suffice
  bool gradient = false;      ///< a pull_back follows
};

/// A model's answer.
template <class T>
struct ScoreValues {
  Matrix<T> S;          ///< B × d, the score
  Matrix<T> slopes;     ///< B × M, vᵀs (along given)
  Vector<T> curvature;  ///< B, Σ_v vᵀ(∂s/∂x)v (along axes or given)
};

/// The derivative of each sample's loss with respect to each of ScoreValues; the same shapes.
template <class T>
struct ScoreAdjoints {
  Matrix<T> S;          ///< B × d
  Matrix<T> slopes;     ///< B × M
  Vector<T> curvature;  ///< B
};

/// A block of the data.
template <class T>
struct Samples {
  Matrix<T> X;  ///< B × d
  /// B, each sample's column in the data: noise belongs to the sample
  Eigen::Matrix<std::int64_t, Eigen::Dynamic, 1> index;
  std::uint64_t draw = 0;  ///< which draw of the noise: fits count it up, frozen noise keeps it
};

/// An objective's answer.
template <class T>
struct Losses {
  Vector<T> value;        ///< B, each sample's loss
  Matrix<T> terms;        ///< B × (number of term names), parts of the loss worth reading apart
  Eigen::VectorXi level;  ///< B, which of the objective's level names each sample belongs to, where it has any
  ScoreAdjoints<T> bar;   ///< its derivatives
};

}  // namespace extend

// ---------------------------------------------------------------------------------------------------------------------
// Members that users write. Any sufficient subset: the rest is derived (model/user_model.hpp).
// ---------------------------------------------------------------------------------------------------------------------

using InputPoints = Eigen::Ref<const Eigen::MatrixXd>;  ///< d × B, one column per sample
using OutputPoints = Eigen::Ref<Eigen::MatrixXd>;       ///< d × B
using OutputNumbers = Eigen::Ref<Eigen::VectorXd>;      ///< B, or the size of θ

namespace detail {

/// Stands for an argument of type R: converts to R and to nothing else. With R itself, Eigen's conversions would accept
/// a parameter that loses the result (Eigen::MatrixXd G, a copy) or misreads it (Eigen::Ref<Eigen::VectorXd> g, one
/// sample).
template <class R>
struct Exactly {
  operator R() const;
};

}  // namespace detail

namespace extend {

/// d, the size of x.
template <class M>
concept has_dimension = requires(const M& m) {
  { m.dimension() } -> std::convertible_to<Index>;
};

/// ∇f at every column of X
template <class M>
concept has_gradient = requires(const M& m, InputPoints X, detail::Exactly<OutputPoints> G) {
  m.gradient(X, G);
};

/// f at every column of X: for MALA and for pictures
template <class M>
concept has_energy = requires(const M& m, InputPoints X, detail::Exactly<OutputNumbers> f) {
  m.energy(X, f);
};

/// Σ_i ∂²f/∂x_i² at every column of X; without it, 2d gradients by central differences
template <class M>
concept has_laplacian = requires(const M& m, InputPoints X, detail::Exactly<OutputNumbers> L) {
  m.laplacian(X, L);
};

/// The Hessian of f times the columns of V; without it, two gradients by central differences
template <class M>
concept has_hessian_vector = requires(const M& m, InputPoints X, InputPoints V, detail::Exactly<OutputPoints> HV) {
  m.hessian_vector(X, V, HV);
};

/// s at every column of X
template <class M>
concept has_score = requires(const M& m, InputPoints X, detail::Exactly<OutputPoints> S) {
  m.score(X, S);
};

/// s at every column of X (d × B), column b at its own noise level sigma[b]: for `generate`, and for losses at many
/// levels
template <class M>
concept has_score_at_sigma = requires(const M& m, InputPoints X, const Eigen::Ref<const Eigen::VectorXd> sigma,
                                      detail::Exactly<OutputPoints> S) {
  m.score(X, sigma, S);
};

/// Σ_i ∂s_i/∂x_i at every column of X; without it, 2d scores by central differences
template <class M>
concept has_trace = requires(const M& m, InputPoints X, detail::Exactly<OutputNumbers> D) {
  m.trace(X, D);
};

/// θ, read and written
template <class M>
concept has_parameters = requires(M& m, const M& c, const Eigen::VectorXd& theta) {
  { c.parameters() } -> std::convertible_to<Eigen::VectorXd>;
  m.set_parameters(theta);
};

/// g += Σ_b ∂/∂θ (W_b · field(x_b)), the field being ∇f for an energy and s for a score
template <class M>
concept has_pull_back = requires(const M& m, InputPoints X, InputPoints W, detail::Exactly<OutputNumbers> g) {
  m.pull_back(X, W, g);
};

/// g += Σ_b w_b ∂f(x_b)/∂θ: for likelihoods, contrastive divergence and noise contrastive estimation
template <class M>
concept has_energy_pull_back = requires(const M& m, InputPoints X, const Eigen::Ref<const Eigen::VectorXd> w,
                                        detail::Exactly<OutputNumbers> g) {
  m.pull_back_energy(X, w, g);
};

/// θ that a fit can move: by the score's derivative, or the energy's
template <class M>
concept has_trained_parameters = has_parameters<M> &&(has_pull_back<M> || has_energy_pull_back<M>);

}  // namespace extend

/// A class whose energy's derivatives the user wrote: `static_assert(sm::EnergyClass<MyEnergy>);`
template <class M>
concept EnergyClass = std::copyable<M> && extend::has_dimension<M> && extend::has_gradient<M>;

/// An Energy that can be fitted.
template <class M>
concept TrainableEnergyClass = EnergyClass<M> && extend::has_parameters<M> && extend::has_pull_back<M>;

/// A class whose score the user wrote, s(x) or s(x, σ).
template <class M>
concept ScoreClass = std::copyable<M> && extend::has_dimension<M> &&
    (extend::has_score<M> || extend::has_score_at_sigma<M>);

/// A Score that can be fitted.
template <class M>
concept TrainableScoreClass = ScoreClass<M> && extend::has_parameters<M> && extend::has_pull_back<M>;

// ---------------------------------------------------------------------------------------------------------------------
// The roles that the library's generic code is written against
// ---------------------------------------------------------------------------------------------------------------------

namespace extend {

/// A model at one θ, in the arithmetic T: the type that objectives and samplers call. Const calls are safe from many
/// threads, each with a workspace of its own.
///   evaluate   fills what `points` asks for
///   pull_back  adds Σ over rows of ∂(adjoints · values)/∂θ to `sums`, in the model's own coordinates; it follows an
///              evaluate of the same points, with their `gradient` set, and the same workspace
///   finish     turns those sums, which it uses up, into the gradient with respect to θ
template <class B, class T>
concept BoundScore = requires(const B& bound, B& mutable_bound, typename B::Workspace& workspace,
                              const Points<T>& points, ScoreValues<T>& values, const ScoreAdjoints<T>& adjoints,
                              Eigen::VectorXd& sums, Eigen::VectorXd& gradient) {
  requires std::default_initializable<typename B::Workspace>;
  { bound.dimension() } -> std::convertible_to<Index>;
  { bound.parameter_count() } -> std::convertible_to<Index>;
  { bound.block_size(points.along, points.directions) } -> std::convertible_to<Index>;
  mutable_bound.bind(gradient);
  bound.evaluate(points, workspace, values);
  bound.pull_back(points, workspace, adjoints, sums);
  { bound.sum_size() } -> std::convertible_to<Index>;
  mutable_bound.finish(sums, gradient);
};

/// A bound score that also knows its energy: f alone (B numbers), and f with the score in one fused call.
template <class B, class T>
concept BoundEnergy = BoundScore<B, T> &&
    requires(const B& bound, typename B::Workspace& workspace, const Points<T>& points, Vector<T>& f, Matrix<T>& S) {
  bound.energy(points, workspace, f);
  bound.energy_and_score(points, workspace, f, S);
};

/// A bound energy whose f itself can be differentiated with respect to θ: adds Σ over rows of weight · ∂f/∂θ to `sums`.
template <class B, class T>
concept BoundTrainableEnergy = BoundEnergy<B, T> &&
    requires(const B& bound, typename B::Workspace& workspace, const Points<T>& points, const Vector<T>& weights,
             Eigen::VectorXd& sums) {
  bound.pull_back_energy(points, workspace, weights, sums);
};

/// The abilities of a model beyond its score.
struct Abilities {
  bool energy = false;           ///< f itself: Metropolis steps, log Z, likelihoods
  bool energy_gradient = false;  ///< ∂f/∂θ: fits by likelihood

  /// The abilities that both have.
  friend constexpr Abilities operator&(Abilities a, Abilities b) {
    return {a.energy && b.energy, a.energy_gradient && b.energy_gradient};
  }
};

/// How many classes a model's labels have; 0 where it takes none.
template <class M>
Index classes_of(const M& model) {
  if constexpr (requires { model.classes(); })
    return static_cast<Index>(model.classes());
  else
    return 0;
}

/// Whether a model's score depends on a noise level that is asked for with the points.
template <class M>
bool takes_sigma(const M& model) {
  if constexpr (requires { model.takes_sigma(); })
    return model.takes_sigma();
  else
    return has_score_at_sigma<M>;
}

}  // namespace extend

/// A model of the library: a value that holds θ and can be bound.
template <class M>
concept Model = std::copyable<M> && extend::has_dimension<M> && extend::has_parameters<M> && requires(const M& m) {
  m.template at<double>();
};

namespace extend {

/// A loss. `Notes` is what prepare leaves for score (the noise, say).
///   validate   throws on options out of range
///   prepare    where the score is asked: perturbs, chooses projections
///   score      each sample's loss, terms and adjoints
/// `term_names()` names the columns of Losses::terms; `deterministic()` tells whether two calls with different draws
/// agree. An objective may also have
///   validate_for(d, N)        throws on options that do not suit data of d rows and N columns
///   validate_data<T>(X)       throws on data that it cannot take (noise below what X's numbers resolve, say)
///   half_squared_score()      whether its loss is ½‖s‖² plus what is linear in s and the curvature: for closed forms
///   level_names()             names of noise levels, where samples belong to these; score fills Losses::level
///   with_new_noise()          the same objective with other noise at draw 0: by it a fit measures the noise's part
///   control_variate           a bool; set, the loss has the same mean and less noise: a fit may set it
///   in_units(deviations)      the same objective with each coordinate in units of its own, for uneven data
///   at_point(…)               the loss of a sample in registers, for compiled formulas (loss/fused_loss.hpp)
template <class O, class T>
concept Objective = std::copy_constructible<O> &&  // not assignable: it may hold a lambda
    requires(const O& o, const Samples<T>& samples, Points<T>& points, typename O::template Notes<T>& notes,
             const ScoreValues<T>& values, Losses<T>& losses) {
  o.validate();
  o.prepare(samples, points, notes);
  o.score(samples, points, notes, values, losses);
  { o.term_names().size() } -> std::convertible_to<std::size_t>;
  { o.deterministic() } -> std::same_as<bool>;
};

}  // namespace extend

}  // namespace scorematch
