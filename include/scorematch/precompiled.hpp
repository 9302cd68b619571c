// What the target scorematch::precompiled compiles once, for programs that would rather link it than compile it: the
// engine, energies and scores as formulas, in float and double, with the library's objectives, fits and kernels
// (precompiled_likelihood.hpp: what is asked of an energy). Whatever is not named here is compiled where it is used, as
// always. precompiled_source.hpp defines what is declared here.
#pragma once

#include "scorematch/fit/fit.hpp"
#include "scorematch/fit/train.hpp"
#include "scorematch/io/csv.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/model/values.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/precompiled_check.hpp"
#include "scorematch/random/normal.hpp"
#include "scorematch/sampler/generate.hpp"
#include "scorematch/sampler/hmc.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"

#define SCOREMATCH_ENGINE_DECLARED  // precompiled_source.hpp comes before

#ifndef SCOREMATCH_EXTERN_DOUBLE
#define SCOREMATCH_EXTERN_DOUBLE extern
#endif
#ifndef SCOREMATCH_EXTERN_FLOAT
#define SCOREMATCH_EXTERN_FLOAT extern
#endif

namespace scorematch {

#define SCOREMATCH_WITH_OBJECTIVE(EXTERN, T, M, O)                                                                    \
  EXTERN template void fitting::run<T, M, O>(const O&, MatrixView<T>, const FitOptions&, Fit<M>&);                    \
  EXTERN template void fitting::run<T, M, O>(const O&, MatrixView<T>, const TrainOptions&, Training<M>&);             \
  EXTERN template objective::LossFunction<T> objective::loss_function<T, M, O>(const M&, const O&, MatrixView<T>,     \
                                                                               const ranks::Shards&);                 \
  EXTERN template void objective::evaluate_once<T, M, O>(const M&, const O&, MatrixView<T>, const LossOptions&, bool, \
                                                         Loss&);
#define SCOREMATCH_WITH_MODEL(EXTERN, T, M)                           \
  EXTERN template extend::BoundModel<T> detail::bind<T, M>(const M&); \
  SCOREMATCH_WITH_OBJECTIVE(EXTERN, T, M, implicit_score_matching)    \
  SCOREMATCH_WITH_OBJECTIVE(EXTERN, T, M, denoising_score_matching)   \
  SCOREMATCH_WITH_OBJECTIVE(EXTERN, T, M, sliced_score_matching)      \
  SCOREMATCH_WITH_OBJECTIVE(EXTERN, T, M, explicit_score_matching<Matrix<T>>)
#define SCOREMATCH_WITH_SCALAR(EXTERN, T)                                                                             \
  EXTERN template void extend::fill_normals<T>(extend::StreamKey, extend::Ids, Index, std::uint64_t, Index, T*,       \
                                               Index);                                                                \
  EXTERN template void extend::fill_uniforms<T>(extend::StreamKey, extend::Ids, Index, std::uint64_t, Index, T*,      \
                                                Index);                                                               \
  EXTERN template void extend::fill_signs<T>(extend::StreamKey, extend::Ids, Index, std::uint64_t, Index, T*, Index); \
  EXTERN template class objective::LossFunction<T>;                                                                   \
  EXTERN template objective::SecondOrder objective::second_order<T>(                                                  \
      objective::LossFunction<T>&, Index, const Eigen::VectorXd&, const objective::RowVisitor&);                      \
  EXTERN template fitting::FitOutcome fitting::search<T>(const fitting::FitProblem<T>&, MatrixView<T>,                \
                                                         const FitOptions&);                                          \
  EXTERN template fitting::TrainingOutcome fitting::train<T>(const fitting::TrainingProblem<T>&, MatrixView<T>,       \
                                                             const TrainOptions&);                                    \
  EXTERN template void detail::score<T>(const extend::BoundModel<T>&, MatrixView<T>, Matrix<T>&);                     \
  EXTERN template void detail::trace<T>(const extend::BoundModel<T>&, MatrixView<T>, Vector<T>&);                     \
  EXTERN template void detail::energy<T>(const extend::BoundModel<T>&, MatrixView<T>, Vector<T>&);                    \
  EXTERN template void sampling::run<T>(const extend::BoundModel<T>&, const sampling::BoundKernel<T>&,                \
                                        const SampleOptions&, Draws<T>&, sampling::Judging);                          \
  EXTERN template void sampling::resume<T>(const extend::BoundModel<T>&, SampleOptions, Draws<T>&);                   \
  EXTERN template sampling::BoundKernel<T> sampling::bound_kernel<T, langevin>(const langevin&);                      \
  EXTERN template sampling::BoundKernel<T> sampling::bound_kernel<T, mala>(const mala&);                              \
  EXTERN template sampling::BoundKernel<T> sampling::bound_kernel<T, hmc>(const hmc&);                                \
  EXTERN template void sampling::run<T>(const extend::BoundModel<T>&, Index, const sampling::BoundSampler<T>&,        \
                                        const GenerateOptions&, Generation<T>&);                                      \
  SCOREMATCH_WITH_MODEL(EXTERN, T, EnergyModel)                                                                       \
  SCOREMATCH_WITH_MODEL(EXTERN, T, ScoreModel)
#define SCOREMATCH_WITH_FUNCTION(ROW)                                \
  SCOREMATCH_ELEMENTARY_LOOPS(SCOREMATCH_EXTERN_DOUBLE, ROW, double) \
  SCOREMATCH_ELEMENTARY_LOOPS(SCOREMATCH_EXTERN_DOUBLE, ROW, float)
SCOREMATCH_ELEMENTARY_FUNCTIONS(SCOREMATCH_WITH_FUNCTION)
#undef SCOREMATCH_WITH_FUNCTION
SCOREMATCH_WITH_SCALAR(SCOREMATCH_EXTERN_DOUBLE, double)
SCOREMATCH_WITH_SCALAR(SCOREMATCH_EXTERN_FLOAT, float)
#ifdef SCOREMATCH_PRECOMPILED_ENGINE  // a short program compiles sooner without, one of many models and losses with it
#define SCOREMATCH_WITH_ENGINE(EXTERN, T)                                                                       \
  EXTERN template class evaluate::Gemm<T>;                                                                      \
  EXTERN template struct evaluate::Kernels<simd::Lanes<T>>;                                                     \
  EXTERN template class evaluate::UniformPart<T>;                                                               \
  EXTERN template class evaluate::Replay<T>;                                                                    \
  EXTERN template void elementary::function_values<T>(const elementary::Function&, const elementary::Exponent&, \
                                                      const T*, T*, Index);                                     \
  EXTERN template void elementary::function_slopes<T>(const elementary::Function&, const elementary::Exponent&, \
                                                      const T*, const T*, T*, Index, bool);                     \
  EXTERN template class detail::FormulaEnergy<T>;                                                               \
  EXTERN template class detail::FormulaScore<T>;
SCOREMATCH_WITH_ENGINE(SCOREMATCH_EXTERN_DOUBLE, double)
SCOREMATCH_WITH_ENGINE(SCOREMATCH_EXTERN_FLOAT, float)
#undef SCOREMATCH_WITH_ENGINE
#endif
#undef SCOREMATCH_WITH_SCALAR
#undef SCOREMATCH_WITH_MODEL
#undef SCOREMATCH_WITH_OBJECTIVE

SCOREMATCH_EXTERN_DOUBLE template std::string detail::join<void>(std::initializer_list<detail::Part>);
SCOREMATCH_EXTERN_DOUBLE template formula::Node formula::recording::paired<void>(formula::Operation,
                                                                                 const formula::Value&,
                                                                                 const formula::Value&, const char*);
SCOREMATCH_EXTERN_DOUBLE template formula::Value formula::recording::scaled<void>(const formula::Value&, double);
SCOREMATCH_EXTERN_DOUBLE template formula::Value formula::recording::combined<void>(const formula::Value&, double,
                                                                                    const formula::Value&, double,
                                                                                    const char*);
SCOREMATCH_EXTERN_DOUBLE template formula::Value formula::recording::elementwise<void>(const elementary::Function&,
                                                                                       const formula::Value&,
                                                                                       const elementary::Exponent&);
SCOREMATCH_EXTERN_DOUBLE template formula::Value formula::recording::reduction<void>(formula::Operation,
                                                                                     const formula::Value&);
SCOREMATCH_EXTERN_DOUBLE template formula::Value formula::recording::matrix_times<void>(const formula::Value&,
                                                                                        const formula::Value&);
SCOREMATCH_EXTERN_DOUBLE template formula::Value formula::recording::product<void>(const formula::Value&,
                                                                                   const formula::Value&);
SCOREMATCH_EXTERN_DOUBLE template formula::Value formula::recording::dot_product<void>(const formula::Value&,
                                                                                       const formula::Value&);
SCOREMATCH_EXTERN_DOUBLE template formula::Value formula::Theta::declare<start_at>(const std::string&, Index, Index,
                                                                                   const start_at&) const;
SCOREMATCH_EXTERN_DOUBLE template class fitting::inner::CarriedStart<void>;
SCOREMATCH_EXTERN_DOUBLE template formula::Record formula::Recorder::finish<void>(int);
SCOREMATCH_EXTERN_DOUBLE template CsvTable read_csv_table<void>(const std::string&, const std::vector<std::string>&,
                                                                const CsvOptions&);

}  // namespace scorematch
