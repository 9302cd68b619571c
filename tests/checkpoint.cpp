// Checkpoints: killed at any moment a training goes on to the same bits, and a file that is not this training's is
// refused with what was found and what is wanted, and left as it is.
#include "catch.hpp"

#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "scorematch/fit/train.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"

namespace sm = scorematch;
using Catch::Matchers::ContainsSubstring;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using fixtures::normals;
using sm::Decay;
using sm::FitStatus;
using sm::Index;

namespace {

sm::EnergyModel network(int width = 7) {
  return sm::energy_model(2, [width](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {width}, .seed = 3}) + 0.5 * squared_norm(x);
  });
}

/// f = ½ k ‖x‖² as a user's class
class UserGaussian {
 public:
  Index dimension() const { return 2; }
  VectorXd parameters() const { return VectorXd::Constant(1, k_); }
  void set_parameters(const VectorXd& theta) { k_ = theta[0]; }
  void gradient(sm::InputPoints X, sm::OutputPoints G) const { G = k_ * X; }
  void pull_back(sm::InputPoints X, sm::InputPoints W, sm::OutputNumbers g) const { g[0] += W.cwiseProduct(X).sum(); }

 private:
  double k_ = 2;
};

const sm::denoising_score_matching denoising{.sigma = 0.5, .seed = 2};

/// A path that no file has, and has none again at the end.
struct FreshPath {
  explicit FreshPath(const std::string& name) : path("checkpoint_test_" + name) { std::remove(path.c_str()); }
  ~FreshPath() { std::remove(path.c_str()); }
  std::string path;
};

std::string content(const std::string& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

void replace(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

/// Checks that f throws an Error whose message has all these parts.
template <class Error, class F>
void refuses(F f, const std::vector<std::string>& parts) {
  std::string message = "no exception";
  try {
    f();
  } catch (const Error& error) {
    message = error.what();
  }
  for (const std::string& part : parts) CHECK_THAT(message, ContainsSubstring(part));
}

// --- the training that is killed ---

MatrixXd victims_data() { return normals(2, 150, 31); }

sm::TrainOptions victims_options(const std::string& path) {
  return {.steps = 400,
          .batch = 40,
          .learning_rate = {.peak = 1e-2, .warm_up = 30},
          .clip = 2,
          .average = 0.99,
          .held_out = normals(2, 50, 32),
          .check_every = 3,
          .patience = 1000,
          .checkpoint = path,
          .checkpoint_every = 0,
          .seed = 4};
}

/// Starts this program again, as the training that writes a checkpoint after every step.
pid_t start_victim(const std::string& path, int dies_at) {
  ::setenv("SCOREMATCH_VICTIM", path.c_str(), 1);
  ::setenv("SCOREMATCH_VICTIM_DIES_AT", std::to_string(dies_at).c_str(), 1);
  std::string program = "/proc/self/exe", test = "the victim";
  char* arguments[] = {program.data(), test.data(), nullptr};
  pid_t child = 0;
  REQUIRE(::posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environ) == 0);
  return child;
}

bool killed(pid_t child) {
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

}  // namespace

TEST_CASE("the victim", "[.]") {
  const char* const path = std::getenv("SCOREMATCH_VICTIM");
  REQUIRE(path != nullptr);
  const int dies_at = std::atoi(std::getenv("SCOREMATCH_VICTIM_DIES_AT"));
  sm::TrainOptions options = victims_options(path);
  options.progress = [dies_at](const sm::Progress& p) {
    if (p.done == dies_at) ::raise(SIGKILL);
    if (p.done == p.began + 60) ::pause();  // it is killed before it is finished, however late
    return true;
  };
  (void)sm::train(network(), denoising, victims_data(), options);
}

TEST_CASE("A training that is killed goes on to the same bits as one that was not") {
  const FreshPath file("killed");
  sm::TrainOptions options = victims_options("");
  const auto whole = sm::train(network(), denoising, victims_data(), options);

  // Between two steps, and in the middle of whatever is going on: most of the time a file is being written.
  CHECK(killed(start_victim(file.path, 17)));
  for (int round = 0; round < 4; ++round) {
    const std::string before = content(file.path);
    const pid_t child = start_victim(file.path, 0);
    while (content(file.path) == before && ::waitpid(child, nullptr, WNOHANG) == 0) ::usleep(500);  // until it goes on
    for (int i = 0; i < 5 * round; ++i) ::usleep(711);
    ::kill(child, SIGKILL);
    CHECK(killed(child));
    auto loaded = network();
    CHECK_NOTHROW(sm::load_checkpoint(file.path, loaded));
  }
  // What the killed leave beside the file, the next training clears away.
  replace(file.path + ".part0", "half a file");
  options.checkpoint = file.path;
  const auto rest = sm::train(network(), denoising, victims_data(), options);
  CHECK(rest.resumed_at >= 17);
  CHECK(rest.status == FitStatus::finished);
  CHECK(rest.model.parameters() == whole.model.parameters());
  CHECK(rest.held_out_loss == whole.held_out_loss);
  CHECK(rest.loss.value == whole.loss.value);
  REQUIRE(rest.history.size() == whole.history.size());
  for (std::size_t i = 0; i < rest.history.size(); ++i) CHECK(rest.history[i].loss == whole.history[i].loss);
  CHECK(::access((file.path + ".part0").c_str(), F_OK) != 0);
}

// --- files at fault ---

TEST_CASE("A file that is no sound checkpoint is refused, and left as it is") {
  const FreshPath file("damaged");
  const MatrixXd X = normals(2, 100, 1);
  const sm::TrainOptions options{.steps = 5, .batch = 30, .checkpoint = file.path};
  (void)sm::train(network(), denoising, X, options);
  const std::string good = content(file.path);
  const auto refused = [&](const std::string& bytes, const std::vector<std::string>& parts) {
    replace(file.path, bytes);
    refuses<std::runtime_error>([&] { (void)sm::train(network(), denoising, X, options); }, parts);
    auto model = network();
    const VectorXd before = model.parameters();
    refuses<std::runtime_error>([&] { sm::load_checkpoint(file.path, model); }, parts);
    CHECK(model.parameters() == before);
    CHECK((content(file.path) == bytes));  // in brackets: the bytes are not for reading
  };
  refused("", {file.path, "is no checkpoint of a training"});
  refused("x,y\n1,2\n", {file.path, "does not begin with 'scorematch-checkpoint '"});
  refused("scorematch-checkpoint 2" + good.substr(good.find('\n')), {file.path, "format 2", "up to 1", "newer"});
  refused("scorematch-checkpoint one\n", {file.path, "first line has no format version"});
  for (const std::size_t size : {good.size() - 1, good.size() / 2, good.find('\n') + 1, good.find('\n') + 9})
    refused(good.substr(0, size), {file.path, "truncated", std::to_string(size) + " bytes"});
  for (const std::size_t at : {good.size() / 3, good.size() / 2, good.size() - 1}) {
    std::string damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    refused(damaged, {file.path, "damaged", "checksum"});
  }
  refused(good + "x", {file.path, "damaged"});
  // A text that ends before what its own sizes say, under a checksum that is right.
  std::string short_body(sizeof(std::uint64_t), '\0');
  short_body[0] = 8;
  short_body += std::string("\x7f\0\0\0\0\0\0\0", 8);  // 127 shapes
  sm::fitting::Digest digest;
  digest.add_bytes(short_body);
  const std::uint64_t sum = digest.value();
  refused("scorematch-checkpoint 1\n" + short_body + std::string(reinterpret_cast<const char*>(&sum), 8),
          {file.path, "malformed"});
  replace(file.path, good);
  CHECK(sm::train(network(), denoising, X, options).resumed_at == 5);

  auto model = network();
  refuses<std::runtime_error>([&] { sm::load_checkpoint("no_such.checkpoint", model); },
                              {"no_such.checkpoint", "cannot be opened"});
  refuses<std::runtime_error>(
      [&] { (void)sm::train(network(), denoising, X, {.steps = 5, .checkpoint = "no_such_folder/checkpoint"}); },
      {"no_such_folder/checkpoint", "cannot be written"});
}

TEST_CASE("A checkpoint whose shapes are not those of its parameters is refused, though its checksum is right") {
  const FreshPath file("shapes");
  using sm::fitting::Shape;
  const auto write = [&](const std::vector<Shape>& shapes) {
    sm::fitting::Checkpoint checkpoint{.shapes = shapes};
    sm::fitting::MinibatchState state;
    state.theta = state.best_pass = VectorXd::Ones(5);
    sm::fitting::CheckpointFile written(file.path);
    written.pack(checkpoint, state);
    written.write({});
  };
  const auto read = [&] {
    sm::fitting::Checkpoint checkpoint;
    sm::fitting::MinibatchState state;
    sm::fitting::CheckpointFile(file.path).read(checkpoint, state);
    return checkpoint.shapes.size();
  };
  write({{"W", 2, 2}, {"b", 1, 1}, {"none", 3, 0}});
  CHECK(read() == 3);
  const Index two_32 = Index{1} << 32, most = std::numeric_limits<Index>::max();
  for (const std::vector<Shape>& shapes :
       std::vector<std::vector<Shape>>{{{"W", two_32, two_32}, {"b", 5, 1}},           // 2⁶⁴ + 5
                                       {{"W", -5, -1}},                                // a product of 5
                                       {{"W", 6, 1}, {"b", -1, 1}},                    // a sum of 5
                                       {{"W", most, 1}, {"b", most, 1}, {"c", 7, 1}},  // 2⁶⁴ + 5
                                       {{"W", 4, 1}},
                                       {{"W", 3, 2}},
                                       {}}) {
    write(shapes);
    refuses<std::runtime_error>(read, {file.path, "malformed"});
  }
}

TEST_CASE("A checkpoint is no pipe and no device, and what is there is not waited for") {
  const FreshPath pipe("pipe");
  REQUIRE(::mkfifo(pipe.path.c_str(), 0600) == 0);
  const MatrixXd X = normals(2, 100, 1);
  for (const std::string& path : {pipe.path, std::string("/dev/zero")}) {
    auto model = network();
    refuses<std::runtime_error>([&] { sm::load_checkpoint(path, model); }, {path, "cannot be read: it is a"});
    refuses<std::runtime_error>([&] { (void)sm::train(network(), denoising, X, {.steps = 5, .checkpoint = path}); },
                                {path, "cannot be read: it is a"});
  }
}

TEST_CASE("A checkpoint of another model, other data or options is refused with what differs") {
  const FreshPath file("other");
  const MatrixXd X = normals(2, 100, 1), held_out = normals(2, 20, 2);
  const sm::TrainOptions options{.steps = 10,
                                 .batch = 30,
                                 .clip = 1,
                                 .average = 0.9,
                                 .held_out = held_out,
                                 .patience = 7,
                                 .checkpoint = file.path};
  sm::TrainOptions stopping = options;
  stopping.progress = [](const sm::Progress& p) { return p.done < 6; };
  (void)sm::train(network(), denoising, X, stopping);
  const std::string before = content(file.path);
  const auto refused = [&](auto f, const std::vector<std::string>& parts) {
    refuses<std::invalid_argument>(f, parts);
    CHECK((content(file.path) == before));
  };
  const auto with = [&](auto change, const std::vector<std::string>& parts) {
    sm::TrainOptions changed = options;
    change(changed);
    refused([&] { (void)sm::train(network(), denoising, X, changed); }, parts);
  };
  auto wider = network(8);
  const std::vector<std::string> shapes = {file.path, "another model", "7", "8"};
  refused([&] { (void)sm::train(wider, denoising, X, options); }, shapes);
  refused([&] { sm::load_checkpoint(file.path, wider); }, shapes);
  const auto renamed = sm::energy_model(2, [](auto x, auto theta) { return theta("k") * squared_norm(x); });
  refused([&] { (void)sm::train(renamed, denoising, X, options); }, {file.path, "another model", "'k', 1 × 1"});
  refused([&] { (void)sm::train(UserGaussian(), denoising, X, options); },
          {file.path, "another model", "parameters without names"});

  MatrixXd moved = X;
  moved(1, 99) = -moved(1, 99);
  refused([&] { (void)sm::train(network(), denoising, moved, options); },
          {file.path, "the data is 2 × 100 in double with digest "});
  refused([&] { (void)sm::train(network(), denoising, MatrixXd(X.leftCols(99)), options); },
          {file.path, "2 × 100 in double", "2 × 99 in double"});
  refused([&] { (void)sm::train(network(), denoising, Eigen::MatrixXf(X.cast<float>()), options); },
          {file.path, "2 × 100 in double", "2 × 100 in float"});
  refused([&] { (void)sm::train(network(), sm::denoising_score_matching{.sigma = 0.6, .seed = 2}, X, options); },
          {file.path, "the loss of its next minibatch was"});
  refused([&] { (void)sm::train(network(), sm::denoising_score_matching{.sigma = 0.5, .seed = 3}, X, options); },
          {file.path, "the loss of its next minibatch was"});

  with([](auto& o) { o.batch = 31; }, {file.path, "batch is 30 there and 31 here"});
  with([](auto& o) { o.seed = 1; }, {"seed is 0 there and 1 here"});
  with([](auto& o) { o.learning_rate.peak = 0.1; }, {"learning_rate.peak is 0.001 there and 0.1 here"});
  with([](auto& o) { o.learning_rate.warm_up = 3; }, {"learning_rate.warm_up is 0 there and 3 here"});
  with([](auto& o) { o.learning_rate.final = 1e-4; }, {"learning_rate.final is 0 there and 1e-04 here"});
  with([](auto& o) { o.learning_rate.decay = Decay::constant; },
       {"learning_rate.decay is cosine there and constant here"});
  with([](auto& o) { o.clip = 0; }, {"clip is 1 there and 0 here"});
  with([](auto& o) { o.average = 0.99; }, {"average is 0.9 there and 0.99 here"});
  with([](auto& o) { o.check_every = 4; }, {"check_every is 0 there and 4 here"});
  with([](auto& o) { o.held_out = {}; }, {"held_out is 2 × 20 in double with digest", "there and none here"});
  with([](auto& o) { o.steps = 11; }, {"steps, on which a cosine depends, is 10 there and 11 here"});
  with([](auto& o) { o.patience = 6; }, {"patience 7", "it is 6", "may only grow"});
  CHECK(sm::train(network(), denoising, X, options).resumed_at == 6);

  const FreshPath open_ended("open_ended");
  sm::TrainOptions constant{.steps = 9, .learning_rate = {.decay = Decay::constant}, .checkpoint = open_ended.path};
  (void)sm::train(network(), denoising, X, constant);
  constant.steps = 8;
  refuses<std::invalid_argument>([&] { (void)sm::train(network(), denoising, X, constant); },
                                 {open_ended.path, "is at step 9", "steps is 8"});
}

TEST_CASE("Options out of range") {
  const MatrixXd X = normals(2, 10, 1);
  const auto refused = [&](const sm::TrainOptions& options, const std::string& part) {
    refuses<std::invalid_argument>([&] { (void)sm::train(network(), denoising, X, options); }, {part});
  };
  refused({.steps = 0}, "TrainOptions: steps is 0");
  refused({.batch = 0}, "TrainOptions: batch is 0");
  refused({.learning_rate = {.peak = 0}}, "LearningRate: peak is 0");
  refused({.learning_rate = {.warm_up = -1}}, "LearningRate: warm_up is -1");
  refused({.learning_rate = {.final = -1}}, "LearningRate: final is -1");
  refused({.clip = -1}, "TrainOptions: clip is -1");
  refused({.average = 1}, "TrainOptions: average is 1");
  refused({.check_every = -1}, "TrainOptions: check_every is -1");
  refused({.patience = 0}, "TrainOptions: patience is 0");
  refused({.checkpoint_every = -1}, "TrainOptions: checkpoint_every is -1");
  refused({.held_out = MatrixXd(2, 0)}, "TrainOptions: held_out has no columns");
  refused({.held_out = MatrixXd::Zero(3, 2)}, "TrainOptions: held_out has 3 rows");
  refused({.label_dropout = 0.1}, "no labels to be dropped");
  refused({.labels = {0}, .label_dropout = 1.5}, "TrainOptions: label_dropout is 1.5");
  refused({.held_out_labels = {1}}, "held_out_labels are given without labels");
  refused({.labels = {0}, .held_out_labels = {1}}, "held_out_labels are given without held_out");
  refused({.labels = {0}, .held_out = X}, "held_out_labels are missing");
  refused({.labels = std::vector<int>(10, 0)},
          "TrainOptions: labels are given, but the model's formula takes no label");
}

TEST_CASE("Labels out of range") {
  const MatrixXd X = normals(2, 10, 1);
  const auto model = sm::score_model(
      2, sm::classes{3}, [](auto x, auto, auto label, auto theta) { return theta("centres", 2, 3) * label - x; });
  std::vector<int> labels(10, 2);
  const auto refused = [&](const sm::TrainOptions& options, const std::vector<std::string>& parts) {
    refuses<std::invalid_argument>([&] { (void)sm::train(model, denoising, X, options); }, parts);
  };
  labels[4] = 3;
  labels[7] = -2;
  refused({.labels = labels}, {"TrainOptions: labels has 3 for column 4", "3 classes", "from 0 to 2", "-1"});
  labels[4] = -1;
  refused({.labels = labels}, {"TrainOptions: labels has -2 for column 7"});
  labels.pop_back();
  refused({.labels = labels}, {"TrainOptions: labels has 9 numbers for 10 columns"});
  refused({.labels = std::vector<int>(10, 0), .held_out = X, .held_out_labels = labels},
          {"TrainOptions: held_out_labels has 9 numbers for 10 columns"});

  // A training with other labels, or other dropout, is another training.
  const FreshPath file("labels");
  const sm::TrainOptions options{
      .steps = 4, .batch = 5, .labels = std::vector<int>(10, 0), .label_dropout = 0.5, .checkpoint = file.path};
  (void)sm::train(model, denoising, X, options);
  sm::TrainOptions other = options;
  other.labels[9] = 1;
  refused(other, {file.path, "labels is 10 with digest"});
  other = options;
  other.label_dropout = 0.25;
  refused(other, {file.path, "label_dropout is 0.5 there and 0.25 here"});
}

// --- what a checkpoint holds ---

TEST_CASE("A user's class trains and goes on, with nothing but the number of its parameters") {
  const FreshPath file("class");
  const MatrixXd X = normals(2, 90, 5);
  sm::TrainOptions options{.steps = 50, .batch = 20, .learning_rate = {.peak = 0.05}};
  const UserGaussian start;
  const auto whole = sm::train(start, denoising, X, options);
  CHECK(whole.model.parameters() != start.parameters());
  options.checkpoint = file.path;
  options.progress = [](const sm::Progress& p) { return p.done < 23; };
  (void)sm::train(start, denoising, X, options);
  options.progress = {};
  CHECK(sm::train(start, denoising, X, options).model.parameters() == whole.model.parameters());
  UserGaussian loaded;
  sm::load_checkpoint(file.path, loaded);
  CHECK(loaded.parameters() == whole.model.parameters());
}

TEST_CASE("A checkpoint at the end of a link is replaced there; one that cannot be written is reported") {
  const FreshPath link("link"), target("target");
  const MatrixXd X = normals(2, 90, 5);
  sm::TrainOptions options{.steps = 4, .batch = 20, .checkpoint = link.path, .checkpoint_every = 0};
  replace(target.path, "");
  REQUIRE(::symlink(target.path.c_str(), link.path.c_str()) == 0);
  refuses<std::runtime_error>([&] { (void)sm::train(network(), denoising, X, options); }, {link.path});
  std::remove(target.path.c_str());
  options.progress = [](const sm::Progress& p) { return p.done < 2; };
  const sm::TrainOptions direct{
      .steps = 4, .batch = 20, .checkpoint = target.path, .checkpoint_every = 0, .progress = options.progress};
  (void)sm::train(network(), denoising, X, direct);
  options.progress = {};
  const std::string old = content(target.path);
  std::ifstream old_file(target.path, std::ios::binary);
  CHECK(sm::train(network(), denoising, X, options).resumed_at == 2);
  std::ostringstream still_there;
  still_there << old_file.rdbuf();
  CHECK((still_there.str() == old));  // replaced, not overwritten: a kill would have left the old one
  struct ::stat found;
  REQUIRE(::lstat(link.path.c_str(), &found) == 0);
  CHECK(S_ISLNK(found.st_mode));
  CHECK(sm::train(network(), denoising, X, direct).resumed_at == 4);

  // The folder goes away under a running training.
  const std::string folder = "checkpoint_test_folder", path = folder + "/checkpoint";
  REQUIRE(::mkdir(folder.c_str(), 0700) == 0);
  sm::TrainOptions losing{.steps = 6, .batch = 20, .checkpoint = path, .checkpoint_every = 0};
  std::vector<std::string> warnings;
  losing.progress = [&](const sm::Progress& p) {
    warnings.push_back(p.warning);
    if (p.done == 2) {
      std::remove(path.c_str());
      ::rmdir(folder.c_str());
    }
    return true;
  };
  const auto training = sm::train(network(), denoising, X, losing);
  CHECK(training.status == FitStatus::finished);
  CHECK_THAT(training.checkpoint_error, ContainsSubstring(path) && ContainsSubstring("cannot be written"));
  REQUIRE(warnings.size() == 6);
  CHECK(warnings[1].empty());
  CHECK_THAT(warnings[2], ContainsSubstring("cannot be written"));
}
