// What the target scorematch::precompiled compiles once, for programs that would rather link it than compile it.
//
// It covers energies and scores as formulas, in float and double, with the library's objectives and kernels. Whatever
// it does not cover is compiled where it is used, as always. src/precompiled.cpp defines what is declared here.
#pragma once

#include "scorematch/energy/energy_model.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/fit/train.hpp"
#include "scorematch/io/csv.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/objective/sliced_score_matching.hpp"
#include "scorematch/sampler/langevin.hpp"
#include "scorematch/sampler/mala.hpp"
#include "scorematch/sampler/sample.hpp"
#include "scorematch/score/score_model.hpp"

#ifndef SCOREMATCH_EXTERN
#define SCOREMATCH_EXTERN extern
#endif

namespace scorematch {

#define SCOREMATCH_WITH_OBJECTIVE(T, M, O)                                                                           \
  SCOREMATCH_EXTERN template void fitting::run<T, M, O>(const O&, MatrixView<T>, const FitOptions&, Fit<M>&);        \
  SCOREMATCH_EXTERN template void fitting::run<T, M, O>(const O&, MatrixView<T>, const TrainOptions&, Training<M>&); \
  SCOREMATCH_EXTERN template void objective::evaluate_once<T, M, O>(const M&, const O&, MatrixView<T>,               \
                                                                    const LossOptions&, bool, Loss&);
#define SCOREMATCH_WITH_MODEL(T, M)                                                                              \
  SCOREMATCH_WITH_OBJECTIVE(T, M, implicit_score_matching)                                                       \
  SCOREMATCH_WITH_OBJECTIVE(T, M, denoising_score_matching)                                                      \
  SCOREMATCH_WITH_OBJECTIVE(T, M, sliced_score_matching)                                                         \
  SCOREMATCH_WITH_OBJECTIVE(T, M, explicit_score_matching<Matrix<T>>)                                            \
  SCOREMATCH_EXTERN template void sampling::run<T, M, langevin>(const M&, const langevin&, const SampleOptions&, \
                                                                Draws<T>&);
#define SCOREMATCH_WITH_SCALAR(T)                                                                      \
  SCOREMATCH_WITH_MODEL(T, EnergyModel)                                                                \
  SCOREMATCH_WITH_MODEL(T, ScoreModel)                                                                 \
  SCOREMATCH_EXTERN template void sampling::run<T, EnergyModel, mala>(const EnergyModel&, const mala&, \
                                                                      const SampleOptions&, Draws<T>&);
SCOREMATCH_WITH_SCALAR(double)
SCOREMATCH_WITH_SCALAR(float)
#undef SCOREMATCH_WITH_SCALAR
#undef SCOREMATCH_WITH_MODEL
#undef SCOREMATCH_WITH_OBJECTIVE

SCOREMATCH_EXTERN template void fitting::run_training<void>(const TrainOptions&, fitting::TrainingRun&);
SCOREMATCH_EXTERN template formula::Record formula::Recorder::finish<void>(int);
SCOREMATCH_EXTERN template CsvTable read_csv_table<void>(const std::string&, const std::vector<std::string>&,
                                                         const CsvOptions&);

/// A program and what it links must be compiled for the same instruction set: else the linker misses this.
template <std::size_t register_bytes>
void precompiled_for_registers_of();
SCOREMATCH_EXTERN template void precompiled_for_registers_of<simd::register_bytes>();
[[gnu::used]] inline const auto check_of_the_instruction_set = &precompiled_for_registers_of<simd::register_bytes>;

}  // namespace scorematch
