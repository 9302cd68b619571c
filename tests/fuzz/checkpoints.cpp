// A checkpoint's reader, whatever the bytes, the checksum right or wrong: it refuses, or gives what its writer writes
// so that the same is read again.
#include "scorematch/fit/checkpoint.hpp"

#include "fuzz.hpp"

namespace fuzz {

const char* const name = "checkpoints";

namespace {

namespace sm = scorematch;
const std::string first_line = "scorematch-checkpoint 1\n";

std::string number(std::uint64_t value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }

std::string with_checksum(std::string_view body) {
  const std::string summed = number(body.size()).append(body);
  sm::fitting::Digest digest;
  digest.add_bytes(summed);
  return first_line + summed + number(digest.value());
}

std::string checkpoint(bool early) {
  sm::fitting::Checkpoint head;
  head.shapes = {{"W", 2, 2}, {"b", 1, 1}};
  head.facts = {{"batch", "30"}, {"seed", "4"}};
  head.patience = 7;
  sm::fitting::MinibatchState state;
  state.theta = state.best_pass = Eigen::VectorXd::LinSpaced(5, -1, 1);
  if (!early) {
    state.average = state.at_pass = state.adam.mean = state.adam.square = state.held_out.best = state.theta;
    state.adam.step = 12;
    state.history = {{1, 0.5, 0.25, 0}, {2, 0.25, 0.125, 0}};
  }
  sm::fitting::CheckpointFile file(path_of(".written"));
  file.pack(head, state);
  file.write(early ? Eigen::VectorXd() : state.theta);
  return content(file.path());
}

}  // namespace

// An input: a letter, and for # a file, else what stands in one between its size and its checksum.
std::vector<std::string> seeds() {
  std::vector<std::string> all;
  for (const bool early : {true, false}) {
    const std::string file = checkpoint(early);
    all.push_back('#' + file);
    const std::size_t begin = first_line.size() + 8;
    for (int i = 0; i < 8; ++i) all.push_back('@' + file.substr(begin, file.size() - 8 - begin));
  }
  return all;
}

std::vector<std::string> words() {
  return {number(0),
          number(1),
          number(2),
          number(5),
          number(std::uint64_t{1} << 62),
          number(std::uint64_t{1} << 32),
          number(~std::uint64_t{0}),
          "W",
          "seed",
          "scorematch-checkpoint ",
          number(1) + "W" + number(5) + number(1)};
}

bool accepts(std::string_view input) {
  const std::string path = path_of("");
  const bool is_file = input.starts_with('#');
  if (!input.empty()) input.remove_prefix(1);
  put(path, is_file ? std::string(input) : with_checksum(input));
  sm::fitting::Checkpoint head;
  sm::fitting::MinibatchState state;
  if (!runs([&] { sm::fitting::CheckpointFile(path).read(head, state); })) return false;
  const sm::Index p = state.theta.size();
  require(head.answer.size() == p && state.best_pass.size() == p, "not a number a parameter");
  sm::Index of_shapes = 0;
  for (const sm::fitting::Shape& shape : head.shapes) {
    require(shape.rows >= 0 && shape.cols >= 0, "a shape below 0");
    of_shapes += shape.rows * shape.cols;
  }
  require(of_shapes == p, "shapes of another number");
  sm::fitting::CheckpointFile again(path_of(".written"));
  std::string before;
  for (int round = 0; round < 2; ++round) {
    again.pack(head, state);
    again.write(head.answer);
    if (round > 0) require(content(again.path()) == before, "written it reads back as something else");
    before = content(again.path());
    head = {};
    state = {};
    again.read(head, state);
  }
  return true;
}

}  // namespace fuzz
