// How the cost of a loss with its θ-gradient grows: with the number of samples N, and with the dimension d of the same
// energy network. The size is the row's argument.
#include <benchmark/benchmark.h>

#include <scorematch/objective/denoising_score_matching.hpp>
#include <scorematch/objective/implicit_score_matching.hpp>

#include "loss_rows.hpp"
#include "workloads.hpp"

namespace {

namespace sm = scorematch;
namespace w = workload;
using T = double;

constexpr w::Index width = 256, batch = 64;

const bool registered = [] {
  // Exact traces of a mixture: linear in N.
  w::add<T>("scaling_n",
            [](benchmark::State& s) {
              w::time_loss<T>(s, w::mixture(8), sm::implicit_score_matching{}, w::normal_data<T>(2, s.range(0), 2),
                              {8 * 91 + 10});
            })
      ->Arg(8192)
      ->Arg(65536)
      ->Arg(524288);

  // Exact traces of an energy network d-256-256-1: linear in d.
  w::add<T>("scaling_d_ism",
            [](benchmark::State& s) {
              w::time_loss<T>(s, w::mlp_energy(s.range(0), width), sm::implicit_score_matching{},
                              w::normal_data<T>(s.range(0), batch, 1), w::implicit_energy(s.range(0), width));
            })
      ->Arg(16)
      ->Arg(32)
      ->Arg(64);

  // Denoising with the same network: only its first layer knows d.
  w::add<T>("scaling_d_dsm",
            [](benchmark::State& s) {
              w::time_loss<T>(s, w::mlp_energy(s.range(0), width), sm::denoising_score_matching{.sigma = 0.1},
                              w::normal_data<T>(s.range(0), batch, 1), w::denoising_energy(s.range(0), width));
            })
      ->Arg(16)
      ->Arg(32)
      ->Arg(64);
  return true;
}();

}  // namespace
