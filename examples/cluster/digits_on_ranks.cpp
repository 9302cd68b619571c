// The digits of examples/digits.cpp on several processes: a network is trained, and ten thousand digits are drawn.
//
//   mpirun -np 4 digits_on_ranks [output folder] [steps] [digits to draw]
//
// The results are those of one process, bit for bit, and so is the checkpoint: what four processes began, three go on
// with. Each rank keeps its own part of the digits.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "../digits.hpp"
#include "scorematch/mpi.hpp"

namespace sm = scorematch;
using Eigen::Index, Eigen::MatrixXf;

// This rank's part of the columns, and of their labels.
struct Part {
  Part(const sm::Communicator& ranks, const MatrixXf& X, const std::vector<int>& label)
      : first(X.cols() * ranks.rank() / ranks.size()),
        count(X.cols() * (ranks.rank() + 1) / ranks.size() - first),
        columns(X.middleCols(first, count)),
        labels(label.begin() + first, label.begin() + first + count) {}

  Index first, count;
  MatrixXf columns;
  std::vector<int> labels;
};

void learn_and_draw(const sm::Communicator& ranks, const std::string& folder, Index steps, Index count) {
  digits::Pictures train, held_out;
  digits::read(1200, train, held_out);  // small: each rank reads all, and keeps a part
  const digits::Units units{train.grey.rowwise().mean()};
  const Part mine(ranks, units.from_grey(train.grey), train.label),
      mine_held_out(ranks, units.from_grey(held_out.grey), held_out.label);

  const sm::denoising_score_matching objective{.sigma = sm::log_normal_sigma{.mean = -1.2, .deviation = 1.2},
                                               .seed = 3,
                                               .weight = sm::Weight::edm,
                                               .sigma_data = 0.5};
  const auto training = sm::train(digits::network(), objective, mine.columns,
                                  {.steps = steps,
                                   .batch = 600,
                                   .learning_rate = {.peak = 2e-3, .warm_up = 50},
                                   .average = 0.998,
                                   .labels = mine.labels,
                                   .label_dropout = 0.1,
                                   .held_out = mine_held_out.columns,
                                   .held_out_labels = mine_held_out.labels,
                                   .check_every = 100,
                                   .patience = 20,
                                   .checkpoint = folder + "/digits_on_ranks.checkpoint",
                                   .checkpoint_every = 10,
                                   .seed = 4,
                                   .progress = sm::progress_line(),
                                   .communicator = ranks});
  std::vector<int> labels;
  for (Index i = 0; i < count; ++i) labels.push_back(static_cast<int>(i % 10));
  const auto drawn =
      sm::generate<float>(training.model, sm::heun{.levels = sm::edm_levels{.sigma_max = 80, .levels = 20}},
                          {.count = count, .seed = 6, .labels = labels, .communicator = ranks});
  if (!ranks.first()) return;
  std::printf("%s", training.text().c_str());
  std::printf("%d ranks; sent by rank 0: %.1f MB in %llu messages, %.1f s in communication\n", ranks.size(),
              1e-6 * static_cast<double>(training.communication.bytes),
              static_cast<unsigned long long>(training.communication.messages), training.communication.seconds);
  std::printf("%s", drawn.text().c_str());
  sm::write_npy(folder + "/drawn.npy", drawn.points);
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "digits_on_ranks_output";
  const Index steps = argc > 2 ? std::atol(argv[2]) : 1000, count = argc > 3 ? std::atol(argv[3]) : 10000;
  const sm::Communicator ranks = sm::mpi::world();
  try {
    std::filesystem::create_directories(folder);
    learn_and_draw(ranks, folder, steps, count);
  } catch (const std::exception& error) {  // the same on all ranks
    if (ranks.first()) std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
