// One workload, so many times, for a tool that counts instructions (scripts/instruction_counts.sh). They depend on the
// compiler and the instruction set, and on no neighbour.
//
//   instructions WORKLOAD TYPE CALLS     prints how many items (a sample's loss, a chain's step, a number) a call has
#include <scorematch/loss/loss.hpp>
#include <scorematch/objective/implicit_score_matching.hpp>
#include <scorematch/random/stream.hpp>
#include <scorematch/sampler/langevin.hpp>
#include <scorematch/sampler/sample.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "workloads.hpp"

namespace {

namespace sm = scorematch;
using sm::Index;

template <class T, class M>
Index losses(const M& model, Index samples, int calls) {
  sm::Stream stream({7, sm::extend::Purpose::user});
  const Index d = model.dimension();
  const sm::Matrix<T> data = stream.normals(d * samples).reshaped(d, samples).template cast<T>();
  auto function = sm::objective::loss_function<T>(model, sm::implicit_score_matching{}, data);
  sm::Loss loss;
  for (int call = 0; call < calls; ++call) function.evaluate({}, true, loss);
  return samples;
}

template <class T, class M>
Index steps(const M& model, int calls) {
  constexpr Index chains = 96, steps = 200;
  const auto draws = sm::sample<T>(model, sm::langevin{.step = 1e-3}, {.chains = chains, .steps = steps * calls});
  return chains * steps + 0 * draws.points.cols();
}

template <class T>
Index normals(int calls) {
  constexpr Index count = 65536, columns = 16;
  sm::Vector<T> z(count);
  for (int call = 0; call < calls; ++call)
    sm::extend::fill_normals<T>({1, sm::extend::Purpose::user}, sm::extend::Ids::from(0), count / columns,
                                static_cast<std::uint64_t>(call), columns, z.data(), count / columns);
  return count;
}

template <class T>
Index run(const std::string& workload, int calls) {
  if (workload == "ism_double_well_2d") return losses<T>(workload::double_well(), 4096, calls);
  if (workload == "ism_mixture_2d_k8") return losses<T>(workload::mixture(8), 4096, calls);
  if (workload == "ism_mlp_10_64_64") return losses<T>(workload::mlp_energy(10, 64), 1024, calls);
  if (workload == "ula_mixture_2d_k8") return steps<T>(workload::compiled_mixture(8), calls);
  if (workload == "ula_gaussian_16d")
    return steps<T>(workload::gaussian(2 * Eigen::MatrixXd::Identity(16, 16) + Eigen::MatrixXd::Constant(16, 16, 0.1)),
                    calls);
  if (workload == "ula_mlp_10_64_64") return steps<T>(workload::mlp_energy(10, 64, true), calls);
  if (workload == "standard_normals") return normals<T>(calls);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int calls = argc == 4 ? std::atoi(argv[3]) : 0;
  const std::string type = argc == 4 ? argv[2] : "";
  const Index items = type == "f32" ? run<float>(argv[1], calls) : type == "f64" ? run<double>(argv[1], calls) : 0;
  if (items == 0) {
    std::fprintf(stderr, "usage: instructions WORKLOAD f32|f64 CALLS\n");
    return EXIT_FAILURE;
  }
  std::printf("%lld\n", static_cast<long long>(items));
}
