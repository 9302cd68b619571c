// Digits of a class of your choice, from the checkpoint that examples/digits.cpp wrote.
//
//   digits_sample [output folder] [checkpoint] [digit … digit]
//
// Ten of each digit asked for (0 to 9: all of them), at four strengths of guidance: 0 ignores the class, 1 is the
// model, above 1 shows the class more and varies less.
#include <cstdlib>
#include <filesystem>

#include "digits.hpp"

namespace sm = scorematch;
using Eigen::Index, Eigen::MatrixXd;

void draw(const std::string& folder, const std::string& checkpoint, const std::vector<int>& wanted) {
  std::filesystem::create_directories(folder);
  digits::Pictures train, held_out;  // for the mean digit, which the network's units leave out
  digits::read(1200, train, held_out);
  const digits::Units units{train.grey.rowwise().mean()};
  auto model = digits::network();
  sm::load_checkpoint(checkpoint, model);

  std::vector<int> labels;
  for (const int digit : wanted) labels.insert(labels.end(), 10, digit);
  int number = 0;
  for (const double guidance : {0.0, 1.0, 2.0, 4.0}) {
    const auto drawn = digits::draw(model, labels, 7, guidance);
    std::printf("guidance %g: %lld digits, %s, %d evaluations each\n", guidance, static_cast<long long>(labels.size()),
                to_string(drawn.status), drawn.evaluations[0]);
    const MatrixXd grey = units.to_grey(drawn.points);
    digits::Sheet sheet(static_cast<Index>(wanted.size()), 10);
    for (Index i = 0; i < grey.cols(); ++i) sheet.put(i / 10, i % 10, grey.col(i));
    sheet.write(folder + "/guidance" + std::to_string(++number) + ".txt");
  }
  if (std::system(("gnuplot -e \"folder='" + folder + "'\" examples/digits_sample.gnuplot").c_str()) == 0)
    std::printf("picture: %s/digits_sample.png\n", folder.c_str());
  else
    std::printf("no picture: gnuplot is missing or failed; the data are in %s\n", folder.c_str());
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "digits_output",
                    checkpoint = argc > 2 ? argv[2] : "digits_output/digits.checkpoint";
  std::vector<int> wanted;
  for (int k = 3; k < argc; ++k) wanted.push_back(std::atoi(argv[k]));
  if (wanted.empty()) wanted = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  try {
    draw(folder, checkpoint, wanted);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n(examples/digits.cpp writes digits_output/digits.checkpoint)\n", error.what());
    return 1;
  }
}
