// Stan's own sampler on one model, in one program: what CmdStan does, with the draws kept in memory. Compiled by
// run_stan.R, with STAN_MODEL the header that stanc made of the model. (Inside R a model's code must be
// compiled with the flags of rstan's: with -march=native Debian's aborts.)
//
//   driver sample NAME DATA SEED      a JSON line: 4 chains of 1000 steps of warm-up and 1000 draws, Stan's own
//   settings driver check NAME DATA            a CSV: five points, log density and gradient at each
#include STAN_MODEL

#include <stan/io/dump.hpp>
#include <stan/io/empty_var_context.hpp>
#include <stan/model/log_prob_grad.hpp>
#include <stan/services/sample/hmc_nuts_diag_e_adapt.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

double bulk_ess(const double* draws, long kept, long chains);  // bulk_ess.cpp

namespace {

const int warmup = 1000, draws = 1000, chains = 4;

/// Keeps all rows of a chain, the warm-up's first, and the processor time when the adaptation ended.
struct Rows : stan::callbacks::writer {
  std::vector<std::string> names;
  std::vector<std::vector<double>> rows;
  std::clock_t adapted = 0;

  void operator()(const std::vector<std::string>& columns) override { names = columns; }
  void operator()(const std::vector<double>& row) override { rows.push_back(row); }
  void operator()() override {}
  void operator()(const std::string& message) override {
    if (message == "Adaptation terminated") adapted = std::clock();
  }

  double total(const char* name, int from, int to) const {
    const auto column = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    double sum = 0;
    for (int t = from; t < to; ++t) sum += rows[static_cast<std::size_t>(t)].at(column);
    return sum;
  }
};

void print_numbers(const char* name, const Eigen::VectorXd& numbers, const char* end) {
  std::printf("\"%s\":[", name);
  for (Eigen::Index j = 0; j < numbers.size(); ++j) std::printf("%s%.10g", j > 0 ? "," : "", numbers[j]);
  std::printf("]%s", end);
}

int sample(const char* name, stan_model& model, unsigned seed) {
  const Eigen::Index d = static_cast<Eigen::Index>(model.num_params_r());
  std::vector<Eigen::MatrixXd> all(static_cast<std::size_t>(d), Eigen::MatrixXd(draws, chains));
  double seconds = 0, warmup_seconds = 0, gradients = 0, warmup_gradients = 0, divergent = 0;
  for (int chain = 0; chain < chains; ++chain) {
    Rows rows;
    stan::io::empty_var_context no_start;
    stan::callbacks::interrupt interrupt;
    stan::callbacks::logger logger;
    stan::callbacks::writer ignored;
    const std::clock_t began = std::clock();
    const int code = stan::services::sample::hmc_nuts_diag_e_adapt(
        model, no_start, seed, static_cast<unsigned>(chain + 1), 2, warmup, draws, 1, true, 0, 1, 0, 10, 0.8, 0.05,
        0.75, 10, 75, 50, 25, interrupt, logger, ignored, rows, ignored);
    const std::clock_t ended = std::clock();
    if (code != 0 || rows.rows.size() != static_cast<std::size_t>(warmup + draws) || rows.adapted == 0) return 1;
    seconds += static_cast<double>(ended - rows.adapted) / CLOCKS_PER_SEC;
    warmup_seconds += static_cast<double>(rows.adapted - began) / CLOCKS_PER_SEC;
    gradients += rows.total("n_leapfrog__", warmup, warmup + draws);
    warmup_gradients += rows.total("n_leapfrog__", 0, warmup);
    divergent += rows.total("divergent__", warmup, warmup + draws);
    for (Eigen::Index j = 0; j < d; ++j)
      for (int t = 0; t < draws; ++t) {
        const std::vector<double>& row = rows.rows[static_cast<std::size_t>(warmup + t)];
        all[static_cast<std::size_t>(j)](t, chain) = row[row.size() - static_cast<std::size_t>(d - j)];
      }
  }
  Eigen::VectorXd bulk(d), mean(d), sd(d);
  for (Eigen::Index j = 0; j < d; ++j) {
    const Eigen::MatrixXd& x = all[static_cast<std::size_t>(j)];
    bulk[j] = bulk_ess(x.data(), x.rows(), x.cols());
    if (std::isnan(bulk[j])) bulk[j] = 0;
    mean[j] = x.mean();
    sd[j] = std::sqrt((x.array() - mean[j]).square().sum() / static_cast<double>(x.size() - 1));
  }
  Eigen::Index worst = 0;
  const double least = bulk.minCoeff(&worst);
  std::printf("{\"target\":\"%s\",\"dimension\":%td,\"sampler\":\"stan\",\"seed\":%u,\"seconds\":%.6g,", name, d, seed,
              seconds);
  std::printf("\"warmup_seconds\":%.6g,\"gradients\":%.0f,\"warmup_gradients\":%.0f,\"chains\":%d,\"draws\":%d,",
              warmup_seconds, gradients, warmup_gradients, chains, chains * draws);
  std::printf("\"bulk_ess\":%.6g,\"worst_coordinate\":%td,\"divergent\":%.0f,", least, worst, divergent);
  print_numbers("mean", mean, ",");
  print_numbers("sd", sd, "}\n");
  return 0;
}

int check(stan_model& model) {
  const int d = static_cast<int>(model.num_params_r());
  for (int j = 1; j <= d; ++j) std::printf("x%d,", j);
  std::printf("log_density");
  for (int j = 1; j <= d; ++j) std::printf(",gradient%d", j);
  std::printf("\n");
  for (int k = 0; k < 5; ++k) {  // frac((i + 1)(k + 2) golden ratio) − 1/2, in units of 2, 1, 1/2, …
    std::vector<double> x, gradient;
    std::vector<int> none;
    for (int i = 0; i < d; ++i)
      x.push_back(std::ldexp(std::fmod((i + 1.) * (k + 2) * 0.6180339887498949, 1.) - 0.5, 1 - k));
    const double log_density = stan::model::log_prob_grad<true, true>(model, x, none, gradient);
    for (const double number : x) std::printf("%.17g,", number);
    std::printf("%.17g", log_density);
    for (const double number : gradient) std::printf(",%.17g", number);
    std::printf("\n");
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) return 2;
  std::ifstream file(arguments[3]);
  stan::io::dump data(file);
  stan_model model(data, 1u);
  if (std::string(arguments[1]) == "check") return check(model);
  return count == 5 ? sample(arguments[2], model, static_cast<unsigned>(std::stoul(arguments[4]))) : 2;
}
