// An implicit model: x = g_φ(z), z ~ N(0, I), written as a formula (the study note's section 1.3.2).
#pragma once

#include <Eigen/LU>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "scorematch/evaluate/formula_workspace.hpp"
#include "scorematch/evaluate/padded_block.hpp"
#include "scorematch/evaluate/threads.hpp"
#include "scorematch/formula/dependence.hpp"
#include "scorematch/model/formula_model.hpp"
#include "scorematch/random/normal.hpp"

namespace scorematch {

/// What a generator's record shows about its density.
enum class GeneratorStructure {
  affine,      ///< x = A z + b, as many z as x: N(b, A Aᵀ)
  triangular,  ///< up to their order each x uses one z that those before it do not: |det ∂x/∂z| is a product of slopes
  general,     ///< anything else: its density is not known
};

/// A generator at one φ, in the arithmetic T; blocks are B × m of noise and B × d of points. Const calls are safe from
/// many threads, each with a workspace of its own.
template <class T>
class GeneratorMap {
  using Record = formula::Record;
  using Jets = evaluate::Jets;

 public:
  using Scalar = T;  ///< float or double

  /// The storage of one thread, kept from call to call.
  struct Workspace {
    evaluate::FormulaWorkspace<T> sweeps;  ///< of the formula
    Matrix<T> slopes;                      ///< B × (d m): ∂x_j/∂z_i in column j m + i
    Matrix<T> noise_score;                 ///< B × m: ∇_z log(density of x as a function of z)
  };

  /// The density at a block's points.
  struct LogDensity {
    Vector<T> log_q;  ///< B
    Matrix<T> score;  ///< B × d, ∇_x log q
    /// m: bit 0, a slope above 0 was seen, bit 1 one below, bit 2 one that is 0 or not a number
    std::vector<char> signs;
  };

  /// For Generator: the map at φ.
  GeneratorMap(std::shared_ptr<const Record> record, GeneratorStructure structure,
               std::shared_ptr<const std::vector<std::pair<Index, Index>>> order, const Eigen::VectorXd& phi)
      : record_(std::move(record)),
        structure_(structure),
        order_(std::move(order)),
        part_(std::make_unique<evaluate::UniformPart<T>>(*record_)) {
    bind(phi);
  }

  /// The size of z, m.
  Index noise_dimension() const { return record_->dimension; }
  /// As the members of a BoundScore (concepts.hpp), φ in the place of θ.
  ///@{
  Index dimension() const { return record_->result().size(); }
  Index parameter_count() const { return record_->parameter_count(); }
  Index sum_size() const { return part_->adjoint_size(); }
  void bind(const Eigen::VectorXd& phi) { part_->bind(phi); }
  void finish(Eigen::VectorXd& sums, Eigen::VectorXd& gradient) { part_->finish(sums, gradient); }
  Index block_size(bool with_density) const {
    return evaluate::block_size<T>(*record_,
                                   Jets{0, static_cast<int>(with_density ? evaluate::chunk_of(noise_dimension()) : 0)});
  }
  ///@}

  /// x = g(z): B × d.
  void generate(const Matrix<T>& Z, Workspace& workspace, Matrix<T>& X) const {
    auto& replay = sweep(Z, workspace, 0, 0, nullptr);
    X.resize(Z.rows(), dimension());
    for (Index j = 0; j < X.cols(); ++j) evaluate::copy_row(replay.result(j, 0), T(1), X.col(j).data(), X.rows());
  }

  /// Adds Σ over rows of ∂(W · g(z))/∂φ to `sums`. It follows a `generate` of the same Z with the same workspace.
  void pull_back(const Matrix<T>& Z, Workspace& workspace, const Matrix<T>& W, Eigen::VectorXd& sums) const {
    auto& replay = workspace.sweeps.replay(*record_, *part_, {}, Z.rows(), sums.data());
    replay.start_reverse({.theta = true});
    for (Index j = 0; j < W.cols(); ++j)
      if (T* seed = replay.seed(j, 0)) evaluate::copy_row(W.col(j).data(), T(1), seed, W.rows());
    replay.reverse();
  }

  /// log q(g(z)) = log N(z; 0, I) − log|det ∂g/∂z|, and s_q = (∂g/∂z)^{-T} ∇_z of it: for affine and triangular maps.
  void log_density(const Matrix<T>& Z, Workspace& workspace, LogDensity& density) const {
    const Index B = Z.rows(), m = Z.cols();
    density.log_q = T(-0.5) * Z.rowwise().squaredNorm();
    density.log_q.array() -= static_cast<T>(0.91893853320467274178 * static_cast<double>(m));  // ½ log 2π each
    density.signs.assign(static_cast<std::size_t>(m), 0);
    workspace.noise_score = -Z;
    density.score.resize(B, m);
    differentiate(Z, workspace);
    if (structure_ == GeneratorStructure::affine)
      solve_affine(workspace, density);
    else
      solve_triangular(workspace, density);
  }

 private:
  auto& sweep(const Matrix<T>& Z, Workspace& workspace, Index first, Index chunk, double* sums) const {
    auto& replay = workspace.sweeps.replay(*record_, *part_, {0, static_cast<int>(chunk)}, Z.rows(), sums);
    replay.set_points(Z.data(), Z.data());  // a generator has no sigma to read
    if (chunk > 0) replay.set_axes(first);
    replay.forward();
    return replay;
  }

  /// The slopes; and for triangular maps −∇_z log|det ∂g/∂z|, added to the noise's score.
  void differentiate(const Matrix<T>& Z, Workspace& workspace) const {
    const Index B = Z.rows(), m = Z.cols(), d = dimension(), chunk = evaluate::chunk_of(m);
    workspace.slopes.resize(B, d * m);
    for (Index first = 0; first < m; first += chunk) {
      auto& replay = sweep(Z, workspace, first, chunk, nullptr);
      for (Index c = 0; c < std::min(chunk, m - first); ++c)
        for (Index j = 0; j < d; ++j)
          evaluate::copy_row(replay.result(j, static_cast<int>(1 + c)), T(1),
                             workspace.slopes.col(j * m + first + c).data(), B);
      if (structure_ != GeneratorStructure::triangular) continue;
      replay.start_reverse({.x = true});
      for (const auto& [output, input] : *order_) {  // ∂ log|slope|/∂slope = 1/slope
        if (input < first || input >= first + chunk) continue;
        const T* slope = workspace.slopes.col(output * m + input).data();
        if (T* seed = replay.seed(output, static_cast<int>(1 + input - first)))
          for (Index i = 0; i < B; ++i) seed[i] = T(1) / slope[i];
      }
      replay.reverse();
      for (Index i = 0; i < m; ++i)
        evaluate::add_row(replay.input_adjoint(i), T(-1), workspace.noise_score.col(i).data(), B);
    }
  }

  static char sign_bits(T slope) { return slope > 0 ? 1 : slope < 0 ? 2 : 4; }

  void solve_triangular(Workspace& workspace, LogDensity& density) const {
    const Index B = workspace.slopes.rows(), m = noise_dimension();
    const auto slope = [&](Index output, Index input) { return workspace.slopes.col(output * m + input).array(); };
    for (std::size_t k = order_->size(); k-- > 0;) {  // from the last output, which alone uses the last input, back
      const auto [output, input] = (*order_)[k];
      auto s = density.score.col(output).array();
      s = workspace.noise_score.col(input).array();
      for (std::size_t later = k + 1; later < order_->size(); ++later) {
        const Index other = (*order_)[later].first;
        s -= slope(other, input) * density.score.col(other).array();
      }
      s /= slope(output, input);
      density.log_q.array() -= slope(output, input).abs().log();
      for (Index i = 0; i < B; ++i) density.signs[k] |= sign_bits(slope(output, input)[i]);
    }
  }

  // The slopes are the same in every row.
  void solve_affine(Workspace& workspace, LogDensity& density) const {
    using Real = std::common_type_t<T, double>;
    const Index m = noise_dimension();
    Matrix<Real> A(m, m);
    for (Index j = 0; j < m; ++j)
      for (Index i = 0; i < m; ++i) A(j, i) = static_cast<Real>(workspace.slopes(0, j * m + i));
    const Eigen::PartialPivLU<Matrix<Real>> factors(A.transpose());
    const Vector<Real> pivots = factors.matrixLU().diagonal().cwiseAbs();
    const Real least = static_cast<Real>(m) * std::numeric_limits<T>::epsilon() * pivots.maxCoeff();
    Real log_determinant = 0;
    for (Index i = 0; i < m; ++i) {
      log_determinant += std::log(pivots[i]);
      density.signs[static_cast<std::size_t>(i)] = pivots[i] > least ? 1 : 4;
    }
    density.log_q.array() -= static_cast<T>(log_determinant);
    const Matrix<Real> right = workspace.noise_score.transpose().template cast<Real>();
    const Matrix<Real> score = factors.solve(right);
    density.score = score.transpose().template cast<T>();
  }

  std::shared_ptr<const Record> record_;
  GeneratorStructure structure_;
  std::shared_ptr<const std::vector<std::pair<Index, Index>>> order_;
  std::unique_ptr<evaluate::UniformPart<T>> part_;
};

/// x = g_φ(z), z ~ N(0, I_m): a value that holds φ. Made by `generator`.
class Generator : public FormulaModel {
 public:
  /// For `generator`. Throws std::invalid_argument unless the formula takes (z, theta) and returns `dimension`
  /// elements.
  Generator(formula::Record record, Index dimension) : FormulaModel(std::move(record)) {
    extend::require_at_least(dimension, 1, "generator: dimension");
    extend::require(!record_->takes_sigma, {"the formula of a generator takes (z, theta); this one also takes sigma"});
    const Index size = record_->result().size();
    extend::require(size == dimension, {"the formula of a generator must return a vector of size ", dimension,
                                        ", its dimension; this one returns ",
                                        size == 1 ? "a number" : detail::text("a vector of size ", size)});
    const formula::Dependence dependence(*record_);
    order_ = std::make_shared<const std::vector<std::pair<Index, Index>>>(dependence.triangular_order());
    if (noise_dimension() == dimension && dependence.affine())
      structure_ = GeneratorStructure::affine;
    else if (!order_->empty())
      structure_ = GeneratorStructure::triangular;
  }

  /// m, the size of z
  Index noise_dimension() const { return record_->dimension; }
  /// d, the size of x
  Index dimension() const { return record_->result().size(); }
  /// What the record shows about the density of x: found without a single evaluation.
  GeneratorStructure structure() const { return structure_; }

  /// The generator at its present φ, in the arithmetic T: for generic code.
  template <class T>
  GeneratorMap<T> map() const {
    return GeneratorMap<T>(record_, structure_, order_, theta_);
  }

  /// Throws std::invalid_argument, saying why, unless the density of x is known.
  void require_density(const char* who, const char* remedy) const {
    extend::require(noise_dimension() == dimension(),
                    {who, ": the generator makes ", dimension(), " numbers of ", noise_dimension(),
                     " of noise; its density is known for as many of one as of the other only", remedy});
    extend::require(structure_ != GeneratorStructure::general,
                    {who,
                     ": the generator's density is not known: its formula is neither affine in z, nor triangular (each "
                     "element of x using one element of z that those before it do not)",
                     remedy});
  }

 private:
  GeneratorStructure structure_ = GeneratorStructure::general;
  std::shared_ptr<const std::vector<std::pair<Index, Index>>> order_;
};

/// An implicit model from a formula for x = g(z, theta), z of size `noise_dimension`, x of size `dimension`.
///
///   auto g = sm::generator(2, 2, [](auto z, auto theta) {          // triangular: its density is known
///     auto x0 = theta("a") + exp(theta("s")) * z[0];
///     return sm::concat(x0, theta("b") * square(x0) + exp(theta("t")) * z[1]);
///   });
///   auto deep = sm::generator(8, 2, [](auto z, auto theta) { return sm::mlp(z, theta, {.outputs = 2}); });
///
/// Throws std::invalid_argument for dimensions < 1, a result of another size than `dimension` (naming both), and one
/// parameter name with two shapes.
template <class F>
Generator generator(Index noise_dimension, Index dimension, F&& formula) {
  extend::require_at_least(noise_dimension, 1, "generator: noise_dimension");
  return Generator(formula::record(noise_dimension, formula), dimension);
}

/// Points that a generator makes of given noise, with its density there.
template <class T>
struct [[nodiscard]] Generated {
  Matrix<T> points;       ///< d × N
  Vector<T> log_density;  ///< N, log q at the points; empty if not asked for
  Matrix<T> score;        ///< d × N, ∇ log q at the points; empty if not asked for
  /// Whether every slope on the determinant's diagonal kept one sign. Where one did not, or is 0, the map folds points
  /// onto each other or loses a dimension, and log q is not its density.
  bool invertible = true;
};

namespace detail {

/// Whether all slopes kept one sign, given the bits of all blocks.
inline bool one_sign(const std::vector<char>& signs) {
  for (const char bits : signs)
    if (bits != 1 && bits != 2) return false;
  return true;
}

template <class T>
void generate(const Generator& generator, MatrixView<T> Z, bool with_density, Generated<T>& result) {
  extend::require(Z.rows() == generator.noise_dimension(),
                  {"Z has ", Z.rows(), " rows; the generator takes ", generator.noise_dimension(),
                   " numbers of noise, so it must be ", generator.noise_dimension(), " × N, one column per sample"});
  extend::require_samples<T>(Z, Z.rows(), "Z");
  const GeneratorMap<T> map = generator.map<T>();
  struct State {
    typename GeneratorMap<T>::Workspace workspace;
    typename GeneratorMap<T>::LogDensity density;
    Matrix<T> Z, X;
    std::vector<char> signs;
  };
  const Index N = Z.cols(), block = std::min(N, map.block_size(with_density)), d = map.dimension();
  result.points.resize(d, N);
  if (with_density) {
    result.log_density.resize(N);
    result.score.resize(d, N);
  }
  std::vector<char> signs(with_density ? static_cast<std::size_t>(d) : 0, 0);
  evaluate::PerThread<State> states;
  evaluate::for_each_piece((N + block - 1) / block, states, [](State&) {},
                           [&](State& state, Index b) {
                             const Index first = b * block, count = std::min(block, N - first);
                             evaluate::gather_columns(Z, first, count, evaluate::padded_rows<T>(count), state.Z);
                             map.generate(state.Z, state.workspace, state.X);
                             result.points.middleCols(first, count) = state.X.topRows(count).transpose();
                             if (!with_density) return;
                             map.log_density(state.Z, state.workspace, state.density);
                             result.log_density.segment(first, count) = state.density.log_q.head(count);
                             result.score.middleCols(first, count) = state.density.score.topRows(count).transpose();
                           },
                           [&](State& state, Index) {
                             for (std::size_t k = 0; k < signs.size(); ++k) signs[k] |= state.density.signs[k];
                           });
  result.invertible = one_sign(signs);
}

}  // namespace detail

/// x = g(z) for noise Z (m × N): d × N. Throws std::invalid_argument for noise of another size or not finite.
template <class Derived>
auto generate(const Generator& generator, const Eigen::MatrixBase<Derived>& Z) {
  Generated<typename Derived::Scalar> result;
  detail::generate<typename Derived::Scalar>(generator, Z.derived(), false, result);
  return result.points;
}

/// The same with log q and ∇ log q at each point. Throws std::invalid_argument also where the generator's density is
/// not known: it must be affine or triangular.
template <class Derived>
auto generate_with_density(const Generator& generator, const Eigen::MatrixBase<Derived>& Z) {
  generator.require_density("generate_with_density", "");
  Generated<typename Derived::Scalar> result;
  detail::generate<typename Derived::Scalar>(generator, Z.derived(), true, result);
  return result;
}

/// `count` draws of the generator: d × count. The same bits for any number of threads. Throws std::invalid_argument for
/// count < 1 or > 10⁹.
template <class T = double>
Matrix<T> generate(const Generator& generator, Index count, std::uint64_t seed = 0) {
  extend::require_within(count, 1, 1'000'000'000, "generate: count");
  Matrix<T> Z(count, generator.noise_dimension());
  extend::fill_normals<T>({seed, extend::Purpose::generator_noise}, extend::Ids::from(0), count, 0, Z.cols(), Z.data(),
                          count);
  const Matrix<T> noise = Z.transpose();
  return generate(generator, noise);
}

}  // namespace scorematch

#ifdef SCOREMATCH_PRECOMPILED  // after what it declares
#include "scorematch/precompiled_likelihood.hpp"
#endif
