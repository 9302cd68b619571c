// The roles of concepts.hpp: who fills them, and that who does not is refused.
#include "catch.hpp"

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "scorematch/model/at_sigma.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/sum.hpp"
#include "scorematch/model/user_model.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/sampler/annealed_langevin.hpp"
#include "scorematch/sampler/heun.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/probability_flow.hpp"
#include "scorematch/sampler/transition_kernel.hpp"

namespace sm = scorematch;
using sm::InputPoints;
using sm::OutputNumbers;
using sm::OutputPoints;

namespace {

using InputF = Eigen::Ref<const Eigen::MatrixXf>;
using OutputF = Eigen::Ref<Eigen::MatrixXf>;

struct Nothing {};

// --- one leaf after another: what fills it, and each way to miss it ---

namespace dimension {
struct Right {
  Eigen::Index dimension() const { return 2; }
};
struct Int {
  int dimension() const { return 2; }
};
struct Misspelt {
  Eigen::Index dim() const { return 2; }
};
struct WantsArgument {
  Eigen::Index dimension(int axis) const { return axis; }
};
struct NotConst {
  Eigen::Index dimension() { return 2; }
};
struct ReturnsText {
  std::string dimension() const { return "2"; }
};
struct ReturnsNothing {
  void dimension() const {}
};
}  // namespace dimension
static_assert(sm::extend::has_dimension<dimension::Right> && sm::extend::has_dimension<dimension::Int>);
static_assert(!sm::extend::has_dimension<Nothing> && !sm::extend::has_dimension<dimension::Misspelt>);
static_assert(!sm::extend::has_dimension<dimension::WantsArgument> && !sm::extend::has_dimension<dimension::NotConst>);
static_assert(!sm::extend::has_dimension<dimension::ReturnsText> &&
              !sm::extend::has_dimension<dimension::ReturnsNothing>);

namespace gradient {
struct Right {
  void gradient(InputPoints, OutputPoints) const {}
};
struct Copies {
  void gradient(const Eigen::MatrixXd&, OutputPoints) const {}
};
struct Generic {
  void gradient(const auto&, auto&&) const {}
};
struct Misspelt {
  void grad(InputPoints, OutputPoints) const {}
};
struct Returns {
  Eigen::MatrixXd gradient(InputPoints X) const { return X; }
};
struct Float {
  void gradient(InputF, OutputF) const {}
};
struct OneSample {
  void gradient(const Eigen::VectorXd&, OutputNumbers) const {}
};
struct WantsMatrix {
  void gradient(InputPoints, Eigen::MatrixXd&) const {}
};
struct FillsCopy {
  void gradient(InputPoints, Eigen::MatrixXd) const {}
};
struct NotConst {
  void gradient(InputPoints, OutputPoints) {}
};
}  // namespace gradient
static_assert(sm::extend::has_gradient<gradient::Right> && sm::extend::has_gradient<gradient::Copies> &&
              sm::extend::has_gradient<gradient::Generic>);
static_assert(!sm::extend::has_gradient<Nothing> && !sm::extend::has_gradient<gradient::Misspelt> &&
              !sm::extend::has_gradient<gradient::Returns>);
static_assert(!sm::extend::has_gradient<gradient::Float> && !sm::extend::has_gradient<gradient::OneSample>);
static_assert(!sm::extend::has_gradient<gradient::WantsMatrix> && !sm::extend::has_gradient<gradient::FillsCopy> &&
              !sm::extend::has_gradient<gradient::NotConst>);

namespace energy {
struct Right {
  void energy(InputPoints, OutputNumbers) const {}
};
struct Misspelt {
  void potential(InputPoints, OutputNumbers) const {}
};
struct OneSample {
  double energy(const Eigen::VectorXd&) const { return 0; }
};
struct Float {
  void energy(InputF, Eigen::Ref<Eigen::VectorXf>) const {}
};
struct FillsCopy {
  void energy(InputPoints, Eigen::VectorXd) const {}
};
struct WantsMatrix {
  void energy(InputPoints, OutputPoints) const {}
};
struct NotConst {
  void energy(InputPoints, OutputNumbers) {}
};
}  // namespace energy
static_assert(sm::extend::has_energy<energy::Right>);
static_assert(!sm::extend::has_energy<Nothing> && !sm::extend::has_energy<energy::Misspelt> &&
              !sm::extend::has_energy<energy::OneSample>);
static_assert(!sm::extend::has_energy<energy::Float> && !sm::extend::has_energy<energy::FillsCopy> &&
              !sm::extend::has_energy<energy::WantsMatrix>);
static_assert(!sm::extend::has_energy<energy::NotConst>);

namespace laplacian {
struct Right {
  void laplacian(InputPoints, OutputNumbers) const {}
};
struct Misspelt {
  void laplace(InputPoints, OutputNumbers) const {}
};
struct Returns {
  Eigen::VectorXd laplacian(InputPoints X) const { return X.row(0).transpose(); }
};
struct WantsMatrix {
  void laplacian(InputPoints, OutputPoints) const {}
};
struct NotConst {
  void laplacian(InputPoints, OutputNumbers) {}
};
}  // namespace laplacian
static_assert(sm::extend::has_laplacian<laplacian::Right>);
static_assert(!sm::extend::has_laplacian<Nothing> && !sm::extend::has_laplacian<laplacian::Misspelt> &&
              !sm::extend::has_laplacian<laplacian::Returns>);
static_assert(!sm::extend::has_laplacian<laplacian::WantsMatrix> && !sm::extend::has_laplacian<laplacian::NotConst>);

namespace hessian_vector {
struct Right {
  void hessian_vector(InputPoints, InputPoints, OutputPoints) const {}
};
struct Misspelt {
  void hessian(InputPoints, InputPoints, OutputPoints) const {}
};
struct WithoutDirection {
  void hessian_vector(InputPoints, OutputPoints) const {}
};
struct FillsVector {
  void hessian_vector(InputPoints, InputPoints, OutputNumbers) const {}
};
struct NotConst {
  void hessian_vector(InputPoints, InputPoints, OutputPoints) {}
};
}  // namespace hessian_vector
static_assert(sm::extend::has_hessian_vector<hessian_vector::Right>);
static_assert(!sm::extend::has_hessian_vector<Nothing> && !sm::extend::has_hessian_vector<hessian_vector::Misspelt>);
static_assert(!sm::extend::has_hessian_vector<hessian_vector::WithoutDirection> &&
              !sm::extend::has_hessian_vector<hessian_vector::FillsVector>);
static_assert(!sm::extend::has_hessian_vector<hessian_vector::NotConst>);

namespace score {
struct Right {
  void score(InputPoints, OutputPoints) const {}
};
struct Misspelt {
  void scores(InputPoints, OutputPoints) const {}
};
struct Returns {
  Eigen::MatrixXd score(InputPoints X) const { return X; }
};
struct Float {
  void score(InputF, OutputF) const {}
};
struct NotConst {
  void score(InputPoints, OutputPoints) {}
};
}  // namespace score
static_assert(sm::extend::has_score<score::Right>);
static_assert(!sm::extend::has_score<Nothing> && !sm::extend::has_score<score::Misspelt> &&
              !sm::extend::has_score<score::Returns>);
static_assert(!sm::extend::has_score<score::Float> && !sm::extend::has_score<score::NotConst>);
static_assert(!sm::extend::has_score<gradient::Right> && !sm::extend::has_gradient<score::Right>);

namespace trace {
struct Right {
  void trace(InputPoints, OutputNumbers) const {}
};
struct Misspelt {
  void traces(InputPoints, OutputNumbers) const {}
};
struct WantsMatrix {
  void trace(InputPoints, OutputPoints) const {}
};
struct NotConst {
  void trace(InputPoints, OutputNumbers) {}
};
}  // namespace trace
static_assert(sm::extend::has_trace<trace::Right>);
static_assert(!sm::extend::has_trace<Nothing> && !sm::extend::has_trace<trace::Misspelt>);
static_assert(!sm::extend::has_trace<trace::WantsMatrix> && !sm::extend::has_trace<trace::NotConst>);

namespace parameters {
struct Right {
  Eigen::VectorXd parameters() const { return {}; }
  void set_parameters(const Eigen::VectorXd&) {}
};
struct ByReference {
  const Eigen::VectorXd& parameters() const { return theta; }
  void set_parameters(const Eigen::Ref<const Eigen::VectorXd>&) {}
  Eigen::VectorXd theta;
};
struct ReadOnly {
  Eigen::VectorXd parameters() const { return {}; }
};
struct WriteOnly {
  void set_parameters(const Eigen::VectorXd&) {}
};
struct Misspelt {
  Eigen::VectorXd params() const { return {}; }
  void set_parameters(const Eigen::VectorXd&) {}
};
struct Number {
  double parameters() const { return 0; }
  void set_parameters(const Eigen::VectorXd&) {}
};
struct ReadingNotConst {
  Eigen::VectorXd parameters() { return {}; }
  void set_parameters(const Eigen::VectorXd&) {}
};
struct WantsItsOwn {
  Eigen::VectorXd parameters() const { return {}; }
  void set_parameters(Eigen::VectorXd&) {}
};
struct WantsNumber {
  Eigen::VectorXd parameters() const { return {}; }
  void set_parameters(double) {}
};
}  // namespace parameters
static_assert(sm::extend::has_parameters<parameters::Right> && sm::extend::has_parameters<parameters::ByReference>);
static_assert(!sm::extend::has_parameters<Nothing> && !sm::extend::has_parameters<parameters::ReadOnly> &&
              !sm::extend::has_parameters<parameters::WriteOnly>);
static_assert(!sm::extend::has_parameters<parameters::Misspelt> && !sm::extend::has_parameters<parameters::Number>);
static_assert(!sm::extend::has_parameters<parameters::ReadingNotConst> &&
              !sm::extend::has_parameters<parameters::WantsItsOwn>);
static_assert(!sm::extend::has_parameters<parameters::WantsNumber>);

namespace pull_back {
struct Right {
  void pull_back(InputPoints, InputPoints, OutputNumbers) const {}
};
struct Misspelt {
  void pullback(InputPoints, InputPoints, OutputNumbers) const {}
};
struct WithoutWeights {
  void pull_back(InputPoints, OutputNumbers) const {}
};
struct WantsMatrix {
  void pull_back(InputPoints, InputPoints, OutputPoints) const {}
};
struct NotConst {
  void pull_back(InputPoints, InputPoints, OutputNumbers) {}
};
}  // namespace pull_back
static_assert(sm::extend::has_pull_back<pull_back::Right>);
static_assert(!sm::extend::has_pull_back<Nothing> && !sm::extend::has_pull_back<pull_back::Misspelt>);
static_assert(!sm::extend::has_pull_back<pull_back::WithoutWeights> &&
              !sm::extend::has_pull_back<pull_back::WantsMatrix>);
static_assert(!sm::extend::has_pull_back<pull_back::NotConst>);

// --- what users write ---

struct LeastEnergy : dimension::Right, gradient::Right {};
struct Fittable : LeastEnergy, parameters::Right, pull_back::Right {};
struct NotCopyable : LeastEnergy {
  std::unique_ptr<double> owned;
};
struct WithoutDimension : gradient::Right, energy::Right {};
struct EnergyAlone : dimension::Right, energy::Right {};
struct WithoutPullBack : LeastEnergy, parameters::Right {};
struct WithoutParameters : LeastEnergy, pull_back::Right {};
static_assert(sm::EnergyClass<LeastEnergy> && !sm::TrainableEnergyClass<LeastEnergy> && !sm::ScoreClass<LeastEnergy>);
static_assert(sm::EnergyClass<Fittable> && sm::TrainableEnergyClass<Fittable>);
static_assert(!sm::EnergyClass<Nothing> && !sm::EnergyClass<NotCopyable> && !sm::EnergyClass<WithoutDimension> &&
              !sm::EnergyClass<EnergyAlone>);
static_assert(sm::EnergyClass<WithoutPullBack> && !sm::TrainableEnergyClass<WithoutPullBack>);
static_assert(sm::EnergyClass<WithoutParameters> && !sm::TrainableEnergyClass<WithoutParameters>);

struct LeastScore : dimension::Right, score::Right {};
struct FittableScore : LeastScore, parameters::Right, pull_back::Right {};
struct ScoreWithoutDimension : score::Right {};
struct ScoreNotCopyable : LeastScore {
  std::unique_ptr<double> owned;
};
static_assert(sm::ScoreClass<LeastScore> && !sm::TrainableScoreClass<LeastScore> && !sm::EnergyClass<LeastScore>);
static_assert(sm::TrainableScoreClass<FittableScore> && !sm::TrainableEnergyClass<FittableScore>);
static_assert(!sm::ScoreClass<Nothing> && !sm::ScoreClass<ScoreWithoutDimension> && !sm::ScoreClass<ScoreNotCopyable>);

static_assert(sm::detail::AnyModel<LeastEnergy> && sm::detail::AnyModel<LeastScore> &&
              sm::detail::AnyModel<sm::EnergyModel>);
static_assert(!sm::detail::AnyModel<Nothing> && !sm::detail::AnyModel<EnergyAlone> && !sm::detail::AnyModel<double>);
static_assert(sm::detail::AnyTrainableModel<Fittable> && sm::detail::AnyTrainableModel<FittableScore> &&
              !sm::detail::AnyTrainableModel<LeastEnergy>);

// --- the library's own models, bound in both scalars ---

static_assert(sm::Model<sm::EnergyModel> && sm::Model<sm::ScoreModel>);
static_assert(sm::Model<sm::AtSigma<sm::EnergyModel>> && sm::Model<sm::AtSigma<sm::ScoreModel>>);
static_assert(!sm::Model<Fittable> && !sm::Model<Nothing> && !sm::Model<sm::detail::FormulaEnergy<double>>);
static_assert(!sm::EnergyClass<sm::EnergyModel> && !sm::ScoreClass<sm::ScoreModel>);

struct EnergyKnown : LeastEnergy, energy::Right {};

template <class T>
constexpr bool all_bind() {
  using Energy = sm::detail::FormulaEnergy<T>;
  using Score = sm::detail::FormulaScore<T>;
  static_assert(sm::extend::BoundScore<Energy, T> && sm::extend::BoundEnergy<Energy, T>);
  static_assert(sm::extend::BoundScore<Score, T> && !sm::extend::BoundEnergy<Score, T>);
  static_assert(sm::extend::BoundScore<sm::extend::BoundModel<T>, T> &&
                sm::extend::BoundScore<sm::detail::BoundAtSigma<T>, T>);
  static_assert(sm::extend::BoundScore<sm::detail::BoundSum<T>, T> &&
                sm::extend::BoundScore<sm::detail::BoundMultiple<T>, T>);
  static_assert(sm::extend::BoundScore<sm::detail::UserScore<T, LeastEnergy>, T> &&
                !sm::extend::BoundEnergy<sm::detail::UserScore<T, LeastEnergy>, T>);
  static_assert(sm::extend::BoundScore<sm::detail::UserScore<T, EnergyKnown>, T> &&
                sm::extend::BoundEnergy<sm::detail::UserScore<T, EnergyKnown>, T>);
  static_assert(sm::extend::BoundScore<sm::detail::UserScore<T, LeastScore>, T> &&
                !sm::extend::BoundEnergy<sm::detail::UserScore<T, LeastScore>, T>);
  return true;
}
static_assert(all_bind<float>() && all_bind<double>());

// What a model can do, told by its type; what is made of others can do what all of them can.
struct EnergyTrained : Fittable, energy::Right {
  void pull_back_energy(sm::InputPoints, const Eigen::Ref<const Eigen::VectorXd>, sm::OutputNumbers) const {}
};
static_assert(sm::detail::KnowsEnergy<sm::EnergyModel> && sm::extend::abilities_of<sm::EnergyModel>().energy_gradient);
static_assert(sm::detail::KnowsEnergy<EnergyKnown> && !sm::extend::abilities_of<EnergyKnown>().energy_gradient);
static_assert(sm::extend::abilities_of<EnergyTrained>().energy_gradient);
static_assert(!sm::detail::KnowsEnergy<sm::ScoreModel> && !sm::detail::KnowsEnergy<LeastEnergy> &&
              !sm::detail::KnowsEnergy<Nothing>);
static_assert(sm::detail::KnowsEnergy<sm::AtSigma<sm::EnergyModel>> &&
              !sm::detail::KnowsEnergy<sm::AtSigma<sm::ScoreModel>>);
static_assert(sm::detail::KnowsEnergy<sm::ModelMultiple<EnergyKnown>> &&
              !sm::detail::KnowsEnergy<sm::NamedModel<LeastScore>>);
static_assert(sm::detail::KnowsEnergy<sm::ModelSum<EnergyKnown, sm::EnergyModel>> &&
              !sm::extend::abilities_of<sm::ModelSum<EnergyKnown, sm::EnergyModel>>().energy_gradient &&
              !sm::detail::KnowsEnergy<sm::ModelSum<EnergyKnown, sm::ScoreModel>>);

// --- transition kernels ---

static_assert(sm::extend::TransitionKernel<sm::langevin, float> && sm::extend::TransitionKernel<sm::mala, double>);
static_assert(!sm::extend::TransitionKernel<sm::heun, double> && !sm::extend::TransitionKernel<Nothing, double>);
static_assert(sm::extend::LadderSampler<sm::heun, float> && sm::extend::LadderSampler<sm::annealed_langevin, double>);
static_assert(sm::extend::AdaptiveSampler<sm::probability_flow, double> &&
              !sm::extend::LadderSampler<sm::probability_flow, double>);
static_assert(!sm::extend::NoiseConditionalSampler<sm::langevin, double>);
static_assert(!sm::extend::BoundScore<sm::detail::FormulaEnergy<float>, double>);  // the scalar is part of the role
static_assert(!sm::extend::BoundScore<sm::EnergyModel, double>);

// --- objectives ---

struct Callable {
  Eigen::MatrixXd operator()(const Eigen::MatrixXd& X) const { return X; }
};

template <class T>
constexpr bool all_objectives() {
  static_assert(sm::extend::Objective<sm::implicit_score_matching, T> &&
                sm::extend::Objective<sm::denoising_score_matching, T>);
  static_assert(sm::extend::Objective<sm::sliced_score_matching, T> &&
                sm::extend::Objective<sm::explicit_score_matching<Callable>, T>);
  static_assert(sm::extend::Objective<sm::explicit_score_matching<Eigen::MatrixXd>, T>);
  static_assert(sm::extend::Objective<sm::explicit_score_matching<Eigen::MatrixXf>, T>);
  return true;
}
static_assert(all_objectives<float>() && all_objectives<double>());
static_assert(std::is_same_v<decltype(sm::explicit_score_matching{Eigen::Matrix2d()}),
                             sm::explicit_score_matching<Eigen::MatrixXd>>);

struct Own {  // what a user's objective must have, and nothing else
  template <class T>
  struct Notes {};
  void validate() const {}
  bool deterministic() const { return true; }
  std::vector<const char*> term_names() const { return {}; }
  template <class T>
  void prepare(const sm::extend::Samples<T>&, sm::extend::Points<T>&, Notes<T>&) const {}
  template <class T>
  void score(const sm::extend::Samples<T>&, const sm::extend::Points<T>&, const Notes<T>&,
             const sm::extend::ScoreValues<T>&, sm::extend::Losses<T>&) const {}
};
struct WithoutNotes {
  void validate() const {}
  bool deterministic() const { return true; }
  std::vector<const char*> term_names() const { return {}; }
  void prepare(const auto&, auto&, auto&) const {}
  void score(const auto&, const auto&, const auto&, const auto&, auto&) const {}
};
struct NamesAreText : Own {
  const char* term_names() const { return "loss"; }
};
struct DeterministicIsNumber : Own {
  int deterministic() const { return 1; }
};
struct ValidateNotConst : Own {
  void validate() {}
};
struct ScoreWithoutNotes : Own {
  template <class T>
  void score(const sm::extend::Samples<T>&, const sm::extend::Points<T>&, const sm::extend::ScoreValues<T>&,
             sm::extend::Losses<T>&) const {}
};
struct PreparesFloatsAlone : Own {
  void prepare(const sm::extend::Samples<float>&, sm::extend::Points<float>&, Notes<float>&) const {}
};
static_assert(sm::extend::Objective<Own, float> && sm::extend::Objective<Own, double>);
static_assert(!sm::extend::Objective<Nothing, double> && !sm::extend::Objective<WithoutNotes, double> &&
              !sm::extend::Objective<NamesAreText, double>);
static_assert(!sm::extend::Objective<DeterministicIsNumber, double> &&
              !sm::extend::Objective<ValidateNotConst, double>);
static_assert(!sm::extend::Objective<ScoreWithoutNotes, double>);
static_assert(sm::extend::Objective<PreparesFloatsAlone, float> && !sm::extend::Objective<PreparesFloatsAlone, double>);

// --- formulas ---

static_assert(sm::formula::Initialiser<sm::start_at> && sm::formula::Initialiser<sm::start_glorot>);
static_assert(sm::formula::Initialiser<sm::start_scaled_normal> && sm::formula::Initialiser<sm::start_normal>);
static_assert(!sm::formula::Initialiser<double> && !sm::formula::Initialiser<Eigen::MatrixXd> &&
              !sm::formula::Initialiser<Eigen::Vector3d>);
static_assert(!std::is_convertible_v<sm::formula::Condition, bool>);  // no branch on a value

}  // namespace

TEST_CASE("the roles are filled by whom they should be") { SUCCEED("checked while compiling, above"); }
