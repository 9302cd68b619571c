// The same bits on any number of ranks. Threads stand in for processes here; tests/mpi has the same under mpirun.
#include "catch.hpp"

#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "ranks.hpp"
#include "scorematch/fit/fit.hpp"
#include "scorematch/fit/train.hpp"
#include "scorematch/inference/standard_errors.hpp"
#include "scorematch/io/columns.hpp"
#include "scorematch/io/mapped_npy.hpp"
#include "scorematch/io/npy.hpp"
#include "scorematch/likelihood/maximum_likelihood.hpp"
#include "scorematch/model/compiled_energy.hpp"
#include "scorematch/model/energy_model.hpp"
#include "scorematch/model/score_model.hpp"
#include "scorematch/network/mlp.hpp"
#include "scorematch/noise/levels.hpp"
#include "scorematch/objective/denoising_score_matching.hpp"
#include "scorematch/objective/explicit_score_matching.hpp"
#include "scorematch/objective/implicit_score_matching.hpp"
#include "scorematch/ranks/in_turn.hpp"
#include "scorematch/ranks/thread_ranks.hpp"

namespace sm = scorematch;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using on_ranks::Bits;
using on_ranks::columns_of;
using on_ranks::on;
using on_ranks::require_same_bits;
using sm::Communicator;
using sm::Index;

namespace {

sm::EnergyModel quartic() {
  return sm::energy_model(3, [](auto x, auto theta) {
    return dot(theta("a", 3, sm::start_at(0.5)), square(x)) + theta("b", sm::start_at(0.1)) * pow(x[0], 4) -
           theta("c") * x[1] * x[2] - dot(theta("m", 3), x);
  });
}

sm::ScoreModel network() {
  return sm::score_model(2, sm::classes{3}, [](auto x, auto sigma, auto label, auto theta) {
    return sm::mlp(sm::concat(x, log(sigma)), theta, {.hidden = {16, 16}, .outputs = 2, .seed = 1}) +
           theta("class", 2, 3, sm::start_normal{}) * label - x;
  });
}

}  // namespace

TEST_CASE("a loss, its parts and its gradient have the same bits on any number of ranks") {
  const MatrixXd X = 2 * fixtures::normals(3, 3001, 1), target = fixtures::normals(3, 3001, 17);
  const auto model = quartic();
  require_same_bits([&](const Communicator& c) {
    const MatrixXd own = columns_of(c, X);
    Bits bits;
    bits.add(sm::loss(model, sm::implicit_score_matching{}, own, {.communicator = c}));
    bits.add(sm::loss_and_gradient(model, sm::implicit_score_matching{}, own, {.communicator = c}));
    bits.add(sm::loss_and_gradient(model, sm::denoising_score_matching{.sigma = 0.3}, own,
                                   {.draw = 7, .block = 64, .communicator = c}));
    bits.add(
        sm::loss_and_gradient(model, sm::implicit_score_matching{}, own.cast<float>().eval(), {.communicator = c}));
    // target scores are given whole, on every rank
    bits.add(sm::loss_and_gradient(model, sm::explicit_score_matching<MatrixXd>{target}, own, {.communicator = c}));
    return bits;
  });
}

TEST_CASE("a compiled model's loss, fused with its gradient, has the same bits on any number of ranks") {
  const MatrixXd X = fixtures::normals(2, 20011, 18);
  const auto model = sm::energy_model<2>([](auto x, auto theta) {
    return theta("a", sm::start_at(0.5)) * square(squared_norm(x) - 1) + theta("b", sm::start_at(0.2)) * x[0];
  });
  std::vector<Index> mixed;
  for (Index k = 0; k < 9000; ++k) mixed.push_back(k * 7919 % 20011);
  require_same_bits(
      [&](const Communicator& c) {
        Bits bits;
        for (const std::vector<Index>& columns : {std::vector<Index>(), mixed})
          bits.add(sm::loss_and_gradient(model, sm::implicit_score_matching{}, columns_of(c, X),
                                         {.columns = columns, .communicator = c}));
        return bits;
      },
      {2, 3, 8});
}

TEST_CASE("a minibatch and its noise have the same bits on any number of ranks, in any order") {
  const MatrixXd X = fixtures::normals(3, 997, 2);
  std::vector<Index> mixed, ascending;
  for (Index k = 0; k < 400; ++k) {
    mixed.push_back(k * 617 % 997);
    ascending.push_back(2 * k + 5);
  }
  require_same_bits([&](const Communicator& c) {
    Bits bits;
    for (const auto* columns : {&mixed, &ascending})
      for (const bool by_noise : {false, true}) {
        const sm::LossOptions options{.columns = *columns, .draw = 3, .block = 48, .communicator = c};
        const MatrixXd own = columns_of(c, X);
        bits.add(by_noise ? sm::loss_and_gradient(quartic(), sm::denoising_score_matching{.sigma = 0.2}, own, options)
                          : sm::loss_and_gradient(quartic(), sm::implicit_score_matching{}, own, options));
      }
    return bits;
  });
}

TEST_CASE("a large theta goes from rank to rank in slices, and its products are withheld as in one process") {
  const MatrixXd X = fixtures::normals(16, 900, 3);
  const auto model = sm::score_model(16, [](auto x, auto theta) {
    return sm::mlp(x, theta, {.hidden = {150, 150}, .outputs = 16, .seed = 3});
  });
  REQUIRE(model.parameters().size() > 1 << 14);
  require_same_bits(
      [&](const Communicator& c) {
        std::vector<Index> few;
        for (Index k = 0; k < 128; ++k) few.push_back(k * 7);
        Bits bits;
        for (const std::vector<Index>& columns : {std::vector<Index>(), few})
          bits.add(sm::loss_and_gradient(model, sm::denoising_score_matching{.sigma = 0.5},
                                         columns_of(c, X).cast<float>().eval(),
                                         {.columns = columns, .communicator = c}));
        return bits;
      },
      {3});
}

TEST_CASE("fit by lbfgs has the same bits on any number of ranks, with all that it says of the data") {
  MatrixXd X = fixtures::normals(3, 1200, 4);
  X.row(0) = 1e4 + 300 * X.row(0).array();  // the start is carried over, and the units are uneven
  X.row(1) = X.row(1).array().exp();        // nearly a sharp edge
  require_same_bits([&](const Communicator& c) {
    const MatrixXd own = columns_of(c, X);
    const auto fit = sm::fit(quartic(), sm::implicit_score_matching{}, own, {.iterations = 40, .communicator = c});
    return on_ranks::bits_of_fit(fit);
  });
  const MatrixXd Y = fixtures::normals(3, 800, 5), held_out = fixtures::normals(3, 101, 6);
  require_same_bits(
      [&](const Communicator& c) {
        const auto fit = sm::fit(quartic(), sm::denoising_score_matching{.sigma = 0.1}, columns_of(c, Y),
                                 {.method = sm::FitMethod::lbfgs,
                                  .iterations = 25,
                                  .held_out = columns_of(c, held_out),
                                  .patience = 3,
                                  .communicator = c});
        return on_ranks::bits_of_fit(fit);
      },
      {3, 5});
}

TEST_CASE("fit by adam has the same bits on any number of ranks") {
  const MatrixXd X = 3 * fixtures::normals(3, 700, 7);
  require_same_bits(
      [&](const Communicator& c) {
        const auto fit = sm::fit(quartic(), sm::denoising_score_matching{.sigma = 0.2}, columns_of(c, X),
                                 {.method = sm::FitMethod::adam, .iterations = 60, .batch = 200, .communicator = c});
        return on_ranks::bits_of_fit(fit);
      },
      {2, 5});
}

TEST_CASE("train has the same bits on any number of ranks: labels, their dropout, levels, held-out data") {
  const MatrixXd X = fixtures::normals(2, 600, 8), held_out = fixtures::normals(2, 64, 9);
  std::vector<int> labels(600), held_out_labels(64);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int>(i * i % 4) - 1;
  for (std::size_t i = 0; i < held_out_labels.size(); ++i) held_out_labels[i] = static_cast<int>(i % 3);
  require_same_bits([&](const Communicator& c) {
    const auto training =
        sm::train(network(), sm::denoising_score_matching{.sigma = sm::geometric_levels{.sigma_max = 2, .levels = 4}},
                  columns_of(c, X),
                  {.steps = 30,
                   .batch = 150,
                   .clip = 1,
                   .labels = on_ranks::labels_of(c, labels),
                   .label_dropout = 0.3,
                   .held_out = columns_of(c, held_out),
                   .held_out_labels = on_ranks::labels_of(c, held_out_labels),
                   .check_every = 7,
                   .communicator = c});
    return on_ranks::bits_of_fit(training);
  });
}

TEST_CASE("a checkpoint of any number of ranks goes on on any other to the same bits") {
  const MatrixXd X = fixtures::normals(3, 500, 10);
  const auto steps = [&](const Communicator& c, Index most, const std::string& file) {
    sm::TrainOptions options{.steps = 40, .batch = 100, .checkpoint = file, .checkpoint_every = 0, .communicator = c};
    options.progress = [&](const sm::Progress& p) { return p.done < most; };
    return sm::train(quartic(), sm::denoising_score_matching{.sigma = 0.3}, columns_of(c, X), options);
  };
  const std::string file = "ranks_test.checkpoint";
  std::remove(file.c_str());
  const std::string whole = on_ranks::bits_of_fit(steps({}, 40, "")).text();
  Index done = 0;
  for (const int size : {4, 3, 1, 2}) {
    done += 10;
    std::vector<std::string> all;
    if (size == 1)
      all.push_back(on_ranks::bits_of_fit(steps({}, done, file)).text());
    else
      all = on(size, [&](const Communicator& c) {
        const auto training = steps(c, done, file);
        CHECK(training.resumed_at == done - 10);
        return on_ranks::bits_of_fit(training);
      });
    for (const std::string& one : all) CHECK((one == whole) == (done == 40));
  }
  std::remove(file.c_str());
}

TEST_CASE("what is wrong on one rank is told on all, and nothing waits for ever") {
  const MatrixXd X = fixtures::normals(3, 300, 11);
  std::vector<std::string> messages(3);
  const auto told = [&](const std::function<void(const Communicator&, MatrixXd&)>& call) {
    sm::extend::run_as_ranks(3, [&](const Communicator& c) {
      MatrixXd own = columns_of(c, X);
      messages[static_cast<std::size_t>(c.rank())] = fixtures::message_of([&] { call(c, own); });
    });
    CHECK(messages[0] == messages[1]);
    CHECK(messages[0] == messages[2]);
    return messages[0];
  };
  using Catch::Matchers::ContainsSubstring;
  const auto fit = [](const Communicator& c, const MatrixXd& own, sm::FitOptions options) {
    options.communicator = c;
    (void)sm::fit(quartic(), sm::implicit_score_matching{}, own, options);
  };
  CHECK_THAT(told([&](const Communicator& c, MatrixXd& own) {
               if (c.rank() == 2) own(1, 5) = std::nan("");
               fit(c, own, {});
             }),
             ContainsSubstring("rank 2 of 3: data has nan in column 5, row 1"));
  CHECK_THAT(told([&](const Communicator& c, MatrixXd& own) { fit(c, own, {.iterations = 5 + c.rank()}); }),
             ContainsSubstring("FitOptions: iterations is 5 on rank 0 and 6 on rank 1"));
  CHECK_THAT(told([&](const Communicator& c, MatrixXd& own) { fit(c, own, {.iterations = -5}); }),
             ContainsSubstring("scorematch: FitOptions: iterations is -5"));
  CHECK_THAT(told([&](const Communicator& c, MatrixXd& own) {
               if (c.rank() == 1) own.resize(2, 0);
               fit(c, own, {});
             }),
             ContainsSubstring("the rows of the data is 3 on rank 0 and 2 on rank 1"));
  CHECK_THAT(told([&](const Communicator& c, MatrixXd& own) {
               (void)sm::loss(quartic(), sm::implicit_score_matching{}, own, {.per_sample = true, .communicator = c});
             }),
             ContainsSubstring("per_sample"));
  CHECK_THAT(told([&](const Communicator& c, MatrixXd& own) {
               own.row(0).setConstant(1e9);
               if (own.cols() > 0) own(0, 0) += 1e-5;
               fit(c, own, {});
             }),
             ContainsSubstring("subtract a number near the mean"));
}

TEST_CASE("an exception on one rank in the middle of a training ends all ranks") {
  const MatrixXd X = fixtures::normals(3, 300, 12);
  std::vector<std::string> messages(4);
  CHECK_THROWS_WITH(sm::extend::run_as_ranks(4,
                                             [&](const Communicator& c) {
                                               try {
                                                 sm::TrainOptions options{.steps = 50, .batch = 64, .communicator = c};
                                                 options.progress = [](const sm::Progress& p) -> bool {
                                                   return p.done < 7 ? true : throw std::runtime_error("no more paper");
                                                 };
                                                 (void)sm::train(quartic(), sm::denoising_score_matching{},
                                                                 columns_of(c, X), options);
                                               } catch (const std::exception& error) {
                                                 messages[static_cast<std::size_t>(c.rank())] = error.what();
                                                 throw;
                                               }
                                             }),
                    "no more paper");
  for (const std::size_t rank : {1u, 2u, 3u})
    CHECK_THAT(messages[rank], Catch::Matchers::ContainsSubstring("rank 0 of 4") &&
                                   Catch::Matchers::ContainsSubstring("no more paper"));
}

TEST_CASE("a rank reports progress alone, and what was sent is counted") {
  const MatrixXd X = fixtures::normals(3, 4000, 13);
  std::vector<int> calls(3, 0);
  std::vector<sm::Communication> sent(3);
  sm::extend::run_as_ranks(3, [&](const Communicator& c) {
    const auto rank = static_cast<std::size_t>(c.rank());
    sm::TrainOptions options{.steps = 5, .batch = 1000, .communicator = c};
    options.progress = [&](const sm::Progress&) { return ++calls[rank] < 100; };
    sent[rank] = sm::train(quartic(), sm::denoising_score_matching{}, columns_of(c, X), options).communication;
  });
  CHECK(calls == std::vector<int>{5, 0, 0});
  for (const sm::Communication& one : sent) {
    CHECK(one.messages > 0);
    CHECK(one.seconds > 0);
  }
}

TEST_CASE("maximum likelihood and its standard errors have the same bits on any number of ranks") {
  const auto line = sm::energy_model(1, [](auto x, auto theta) {
    return theta("a", sm::start_at(0.5)) * square(x[0] - theta("m")) + theta("b", sm::start_at(0.1)) * pow(x[0], 4);
  });
  const auto plane = sm::energy_model(2, [](auto x, auto theta) {
    return dot(theta("a", 2, sm::start_at(0.5)), square(x - theta("m", 2))) + 0.02 * pow(x[0], 4);
  });
  const MatrixXd X = 2 + 3 * fixtures::normals(1, 3001, 21).array(), Y = fixtures::normals(2, 700, 22);
  require_same_bits(
      [&](const Communicator& c) {
        Index calls = 0;
        const auto fit = sm::fit(line, sm::maximum_likelihood{}, columns_of(c, X), {.communicator = c});
        CHECK(fit.status == sm::FitStatus::converged);
        Bits bits = on_ranks::bits_of_likelihood_fit(fit);
        const auto errors = sm::standard_errors(fit, sm::maximum_likelihood{}, columns_of(c, X), {.communicator = c});
        bits.add(errors.covariance).add(errors.curvature).add(errors.variability).add(errors.text());
        const auto stopped = sm::fit(plane, sm::maximum_likelihood{.integral = {.tolerance = 1e-5}}, columns_of(c, Y),
                                     {.progress = [&](const sm::Progress&) { return ++calls < 3; }, .communicator = c});
        CHECK((calls > 0) == c.first());
        return bits.add(on_ranks::bits_of_likelihood_fit(stopped).text());
      },
      {2, 3, 5});
}

TEST_CASE("what is wrong with a fit by likelihood on one rank is told on all") {
  const MatrixXd X = fixtures::normals(3, 300, 12);
  const auto told = [&](const std::function<void(const Communicator&, MatrixXd&)>& call, const char* expected) {
    sm::extend::run_as_ranks(3, [&](const Communicator& c) {
      MatrixXd own = columns_of(c, X);
      fixtures::refuses([&] { call(c, own); }, expected);
    });
  };
  const auto fit = [](const Communicator& c, const MatrixXd& own, const sm::maximum_likelihood& method) {
    (void)sm::fit(quartic(), method, own, {.communicator = c});
  };
  told(
      [&](const Communicator& c, MatrixXd& own) {
        if (c.rank() == 2) own(1, 5) = std::nan("");
        fit(c, own, {});
      },
      "rank 2 of 3: data has nan in column 5, row 1");
  told([&](const Communicator& c, MatrixXd&) { fit(c, MatrixXd(3, 0), {}); }, "data has no columns on any rank");
  told([&](const Communicator& c, MatrixXd& own) { fit(c, own, {.integral = {.tolerance = c.first() ? 1e-8 : 1e-7}}); },
       "integral.tolerance is 1e-08 on rank 0 and 1e-07 on rank 1");
  told([&](const Communicator& c, MatrixXd& own) { fit(c, own, {.integral = {.communicator = c}}); },
       "integral has a communicator of its own");
  told(
      [&](const Communicator& c, MatrixXd& own) {
        own.row(0).setConstant(1e9);
        if (own.cols() > 0) own(0, 0) += 1e-5;
        fit(c, own, {});
      },
      "scorematch: data: row 0");
  told(
      [&](const Communicator& c, MatrixXd& own) {
        (void)sm::standard_errors(quartic(), sm::maximum_likelihood{}, own,
                                  {.level = c.rank() == 1 ? 2 : 0.9, .communicator = c});
      },
      "rank 1 of 3: StandardErrorOptions: level is 2");
}

TEST_CASE("a sum that goes from rank to rank has the bits of Eigen's own") {
  for (const Index n : {1, 3, 7, 8, 15, 16, 17, 31, 40, 1000, 1027}) {
    const VectorXd x = fixtures::normals(1, n, 23).transpose();
    for (const int size : {2, 3, 5})
      sm::extend::run_as_ranks(size, [&](const Communicator& c) {
        const on_ranks::Part part = on_ranks::part_of(c, n);
        VectorXd own = VectorXd::Constant(n, std::nan(""));
        own.segment(part.first, part.count) = x.segment(part.first, part.count);
        CHECK(sm::ranks::sum_in_turn(c, own, part.first, part.first + part.count) == x.sum());
      });
  }
}

TEST_CASE("a loss sends what the design says: theta and the moments, once to the next rank and once to all") {
  const MatrixXd X = fixtures::normals(3, 4000, 16);
  const auto model = quartic();
  sm::extend::run_as_ranks(3, [&](const Communicator& c) {
    const MatrixXd own = columns_of(c, X);  // rank 1 has none
    auto function = sm::objective::loss_function<double>(model, sm::implicit_score_matching{},
                                                         sm::MatrixView<double>(own), sm::ranks::Shards(c, own.cols()));
    sm::Loss loss;
    function.bind(model.parameters());
    function.evaluate({}, true, loss);  // brings what crosses from rank 0 to rank 2
    const sm::Communication before = c.communication();
    function.evaluate({}, true, loss);
    const sm::Communication sent = c.communication().since(before);
    const auto p = static_cast<std::uint64_t>(model.parameters().size()), moments = 1 + loss.terms.size();
    CHECK(sent.bytes == (c.rank() == 1 ? 0 : 8 * p + 24 * moments));
    CHECK(sent.messages == (c.rank() == 1 ? 0u : 2u));
  });
}

TEST_CASE("a rank reads its part of a .npy file") {
  const std::string file = "ranks_test.npy";
  const MatrixXd X = fixtures::normals(3, 101, 15);
  sm::write_npy(file, X);
  CHECK(sm::npy_samples(file) == 101);
  for (const int size : {1, 2, 3, 7, 200}) {
    MatrixXd all(3, 0);
    for (const sm::extend::ThreadRank& rank : sm::extend::ThreadRank::group(size)) {
      const sm::Columns mine = sm::shard(101, rank);
      CHECK(mine.first == all.cols());
      const MatrixXd part = sm::read_npy(file, mine);
      CHECK(sm::map_npy(file, mine) == part);
      all.conservativeResize(3, all.cols() + part.cols());
      all.rightCols(part.cols()) = part;
    }
    CHECK(all == X);
  }
  CHECK(sm::read_npy<float>(file, {.first = 7, .count = 5}) == X.middleCols(7, 5).cast<float>());
  fixtures::refuses([&] { (void)sm::read_npy(file, {.first = 97, .count = 5}); }, "columns 97 … 101", "101 samples");
  std::remove(file.c_str());
}

TEST_CASE("sums do depend on their order: what the tests above would see") {
  // The same samples dealt to the ranks in another order have the same mean, and other bits.
  const MatrixXd X = fixtures::normals(3, 3001, 1);
  const MatrixXd turned = X.rowwise().reverse();
  const auto one = sm::loss_and_gradient(quartic(), sm::implicit_score_matching{}, X),
             other = sm::loss_and_gradient(quartic(), sm::implicit_score_matching{}, turned);
  CHECK((one.gradient - other.gradient).norm() < 1e-10 * one.gradient.norm());
  CHECK(one.gradient != other.gradient);
}
