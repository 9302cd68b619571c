// Handwritten digits learned and drawn: a score-based generative model trained on the CPU in about a minute, and how
// good its digits are.
//
//   digits [output folder] [steps]
//
// Trains a network s_θ(x, σ, class) on 1200 of the 1797 digits of examples/data/digits_8x8.csv, with a checkpoint in
// the output folder: stopped at any moment, the same command goes on from it; finished, it starts with the digits at
// once. Then draws as many digits as were held out, of the same classes, and asks whether a classifier can tell the two
// apart, how far apart they are, and whether the network has only learned the training digits by heart.
// examples/digits_sample.cpp draws from the checkpoint.
#include <cstdlib>
#include <filesystem>

#include "digits.hpp"

namespace sm = scorematch;
using Eigen::Index, Eigen::MatrixXd, Eigen::MatrixXf;

void learn_and_draw(const std::string& folder, Index steps) {
  digits::Pictures train, held_out;
  digits::read(1200, train, held_out);
  const digits::Units units{train.grey.rowwise().mean()};
  const MatrixXf X = units.from_grey(train.grey), X_held_out = units.from_grey(held_out.grey);

  const auto model = digits::network();
  const sm::denoising_score_matching objective{.sigma = sm::log_normal_sigma{.mean = -1.2, .deviation = 1.2},
                                               .seed = 3,
                                               .weight = sm::Weight::edm,
                                               .sigma_data = 0.5};
  const auto training = sm::train(model, objective, X,
                                  {.steps = steps,
                                   .batch = 128,
                                   .learning_rate = {.peak = 1e-3, .warm_up = 100},
                                   .average = 0.998,
                                   .labels = train.label,
                                   .label_dropout = 0.1,
                                   .held_out = X_held_out,
                                   .held_out_labels = held_out.label,
                                   .check_every = 100,
                                   .patience = 20,
                                   .checkpoint = folder + "/digits.checkpoint",
                                   .checkpoint_every = 10,
                                   .seed = 4,
                                   .progress = sm::progress_line()});
  std::printf("%lld parameters, %lld digits to learn from: %s after %lld steps\n",
              static_cast<long long>(model.parameters().size()), static_cast<long long>(train.count()),
              to_string(training.status), static_cast<long long>(training.steps));
  std::printf("loss %.2f, on %lld held-out digits %.2f; 32 is that of N(0, ¼ I)\n", training.loss.value,
              static_cast<long long>(held_out.count()), training.held_out_loss);
  for (const sm::Estimate& level : training.loss.levels)
    std::printf("  %-22s %6.2f ± %.2f\n", level.name.c_str(), level.value, level.standard_error);

  const sm::detail::Stopwatch watch;
  const auto drawn = digits::draw(training.model, held_out.label, 6);
  const MatrixXd grey = units.to_grey(drawn.points);
  std::printf("\n%lld digits drawn in %.1f s (%s)\n", static_cast<long long>(held_out.count()), watch.seconds(),
              to_string(drawn.status));

  // How good are they? Beside each figure what real digits get.
  const Index half = held_out.count() / 2;
  const MatrixXd real_half = held_out.grey.leftCols(half), other_half = held_out.grey.middleCols(half, half),
                 some_training = train.grey.leftCols(held_out.count());
  std::printf("\ncan a nearest-neighbour classifier tell drawn from held-out digits?\n  %s",
              sm::classifier_two_sample_test(grey, held_out.grey).text().c_str());
  std::printf("training from held-out digits?\n  %s",
              sm::classifier_two_sample_test(some_training, held_out.grey).text().c_str());
  std::printf(
      "and by logistic regression on pixels and their squares, drawn from held-out?\n  %s",
      sm::classifier_two_sample_test(grey, held_out.grey, {.classifier = sm::Classifier::logistic}).text().c_str());
  const auto distance = [](const MatrixXd& A, const MatrixXd& B) { return sm::sliced_wasserstein(A, B).value; };
  std::printf(
      "\nsliced Wasserstein distance, grey levels: drawn – held out %.3f, training – held out %.3f,\n"
      "  half of the held out – the other half %.3f, half of the drawn – a half of the held out %.3f\n",
      distance(grey, held_out.grey), distance(some_training, held_out.grey), distance(real_half, other_half),
      distance(grey.leftCols(half), real_half));
  const sm::NearestSamples nearest = sm::nearest_samples(grey, train.grey);
  std::printf("\nlearnt by heart? From drawn digits to training digits:\n  %s", nearest.text().c_str());
  std::printf("from held-out digits to training digits:\n  %s",
              sm::nearest_samples(held_out.grey, train.grey).text().c_str());

  digits::by_class(held_out.grey, held_out.label, 10).write(folder + "/real.txt");
  digits::by_class(grey, held_out.label, 10).write(folder + "/drawn.txt");
  digits::Sheet pairs(10, 8);  // the ten drawn digits nearest to a training digit, and others; the latter beside each
  std::vector<Index> order(static_cast<std::size_t>(grey.cols()));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<Index>(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](Index a, Index b) { return nearest.distance[a] < nearest.distance[b]; });
  for (Index k = 0; k < 40;
       ++k) {  // the nearest ten in the first column of pairs; then at equal ranks down to the middle
    const Index rank = k < 10 ? k : 10 + (k - 10) * (grey.cols() / 2 - 10) / 29,
                i = order[static_cast<std::size_t>(rank)];
    pairs.put(k % 10, 2 * (k / 10), grey.col(i));
    pairs.put(k % 10, 2 * (k / 10) + 1, train.grey.col(nearest.index[i]));
  }
  pairs.write(folder + "/nearest.txt");
  if (std::system(("gnuplot -e \"folder='" + folder + "'\" examples/digits.gnuplot").c_str()) == 0)
    std::printf("\npicture: %s/digits.png\n", folder.c_str());
  else
    std::printf("\nno picture: gnuplot is missing or failed; the data are in %s\n", folder.c_str());
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "digits_output";
  const Index steps = argc > 2 ? std::atol(argv[2]) : 3000;
  try {
    std::filesystem::create_directories(folder);
    learn_and_draw(folder, steps);
  } catch (const std::exception& error) {  // a checkpoint of another network or other steps, say
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
