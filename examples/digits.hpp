// What examples/digits.cpp and examples/digits_sample.cpp share: the handwritten digits as numbers near 0, the network,
// and sheets of pictures.
#pragma once

#include <scorematch/scorematch.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace digits {

namespace sm = scorematch;
using Eigen::Index, Eigen::MatrixXd, Eigen::MatrixXf;

/// Pictures of 8 × 8 grey levels from 0 to 16, a column each, and what each shows.
struct Pictures {
  MatrixXd grey;
  std::vector<int> label;

  Index count() const { return grey.cols(); }
};

/// The data in a fixed random order: `training` pictures to learn from, and the others.
inline void read(Index training, Pictures& train, Pictures& held_out) {
  const MatrixXd table = sm::read_csv("examples/data/digits_8x8.csv");
  const std::vector<Index> order = sm::detail::permutation(5, 0, table.cols());
  for (Pictures* part : {&train, &held_out}) {
    const Index first = part == &train ? 0 : training, count = part == &train ? training : table.cols() - training;
    part->grey.resize(64, count);
    for (Index i = 0; i < count; ++i) {
      const Index column = order[static_cast<std::size_t>(first + i)];
      part->grey.col(i) = table.col(column).head(64);
      part->label.push_back(static_cast<int>(table(64, column)));
    }
  }
}

/// To the network's units: about mean 0 and standard deviation ½. Grey levels are whole numbers, but the gaps between
/// them, ⅛ in these units, drown in the noise from σ = 0.05 on, where sampling ends.
inline constexpr double scale = 8;
struct Units {
  Eigen::VectorXd mean;

  MatrixXf from_grey(const MatrixXd& grey) const { return ((grey.colwise() - mean) / scale).cast<float>(); }
  MatrixXd to_grey(const MatrixXf& x) const {
    const MatrixXd grey = (scale * x.cast<double>()).colwise() + mean;
    return grey.array().round().max(0).min(16);
  }
};

/// s_θ(x, σ, class): two residual blocks of width 256, which noise level and class steer, inside EDM's scaling.
inline sm::ScoreModel network() {
  return sm::score_model(64, sm::classes{10}, [](auto x, auto sigma, auto label, auto theta) {
    return sm::edm_score(x, sigma, {.sigma_data = 0.5}, [&](auto scaled, auto noise) {
      auto condition = silu(sm::dense(sm::fourier_features(noise), theta, "noise", 64) +
                            theta("class", 64, 10, sm::start_normal{}) * label);
      return sm::residual_network(scaled, condition, theta, {.width = 256, .blocks = 2, .outputs = 64});
    });
  });
}

/// Heun's method along EDM's levels, at the classes asked for; its last step is to the mean digit given what is left.
inline sm::Generation<float> draw(const sm::ScoreModel& model, const std::vector<int>& labels, std::uint64_t seed,
                                  double guidance = 1) {
  return sm::generate<float>(model,
                             sm::heun{.levels = sm::edm_levels{.sigma_max = 40, .sigma_min = 0.05, .levels = 40}},
                             {.count = static_cast<Index>(labels.size()),
                              .seed = seed,
                              .labels = labels,
                              .guidance = guidance,
                              .progress = sm::progress_line()});
}

/// A sheet of pictures, written as a matrix for gnuplot.
class Sheet {
 public:
  Sheet(Index rows, Index columns) : pixels_(MatrixXd::Zero(9 * rows - 1, 9 * columns - 1)) {}

  void put(Index row, Index column, const Eigen::VectorXd& grey) {
    for (Index y = 0; y < 8; ++y)
      for (Index x = 0; x < 8; ++x) pixels_(9 * row + y, 9 * column + x) = grey[8 * y + x];
  }

  void write(const std::string& path) const {
    std::FILE* file = std::fopen(path.c_str(), "w");
    if (!file) throw std::runtime_error("cannot write " + path);
    for (Index row = 0; row < pixels_.rows(); ++row)
      for (Index column = 0; column < pixels_.cols(); ++column)
        std::fprintf(file, "%g%c", pixels_(row, column), column + 1 < pixels_.cols() ? ' ' : '\n');
    std::fclose(file);
  }

 private:
  MatrixXd pixels_;
};

/// A row for each class, its first pictures side by side.
inline Sheet by_class(const MatrixXd& grey, const std::vector<int>& label, Index columns) {
  Sheet sheet(10, columns);
  std::vector<Index> used(10, 0);
  for (std::size_t i = 0; i < label.size(); ++i)
    if (Index& next = used[static_cast<std::size_t>(label[i])]; next < columns)
      sheet.put(label[i], next++, grey.col(static_cast<Index>(i)));
  return sheet;
}

}  // namespace digits
