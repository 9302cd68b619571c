# Samples the targets of benchmarks/sampling_targets.hpp by Stan (rstan), one JSON line a target.
#
#   run_stan.R [--compile] [--check FOLDER] [--seed N] [TARGET ...]
#
#   --compile      compiles the models and ends
#   --check        writes FOLDER/TARGET.csv instead: five points, log density and gradient at each, for
#                  benchmark_sampler_ess --check FOLDER
# 4 chains of 1000 steps of warm-up and 1000 draws, Stan's own settings, one chain after the other on one thread.
# "seconds" are those of sampling after the warm-up, as Stan takes them; "gradients" the leapfrog steps after it.
# Compiled models are kept in build/benchmark/stan/. Run it in the repository's root.
suppressPackageStartupMessages(library(rstan))
suppressPackageStartupMessages(library(jsonlite))
Sys.setenv(OMP_NUM_THREADS = "1", R_MAKEVARS_USER = normalizePath("benchmarks/peers/stan/Makevars"))
options(mc.cores = 1)
if (!file.exists(rstan_options("boost_lib"))) rstan_options(boost_lib = "/usr/include")  # where Debian has Boost
if (!file.exists(rstan_options("eigen_lib"))) rstan_options(eigen_lib = "/usr/include/eigen3")

data_file <- function(name) read.csv(file.path("benchmarks/data", name))

data_of <- list(
  eight_schools = function() {
    t <- data_file("eight_schools.csv")
    list(J = nrow(t), effect = t$effect, error = t$error)
  },
  autoregression = function() {
    t <- data_file("autoregression.csv")
    list(T = nrow(t), y = t$y)
  },
  logistic = function() {
    t <- data_file("logistic.csv")
    design <- as.matrix(t[, names(t) != "benign"])
    list(N = nrow(design), K = ncol(design), design = design, y = t$benign)
  },
  gaussian = function() {
    t <- data_file("gaussian.csv")
    list(d = nrow(t), v = t$variance)
  },
  gaussian_rotated = function() {
    t <- data_file("gaussian.csv")
    list(d = nrow(t), v = t$variance, reflections = as.matrix(t[, 2:4]))
  },
  banana = function() as.list(data_file("banana.csv")),
  stochastic_volatility = function() {
    t <- data_file("stochastic_volatility.csv")
    list(T = nrow(t), y = t$y)
  }
)

compiled <- function(name) {
  folder <- "build/benchmark/stan"
  dir.create(folder, recursive = TRUE, showWarnings = FALSE)
  copy <- file.path(folder, paste0(name, ".stan"))
  source <- file.path("benchmarks/peers/stan", paste0(name, ".stan"))
  if (!file.exists(copy) || !identical(readLines(copy), readLines(source))) {
    unlink(sub("stan$", "rds", copy))
    file.copy(source, copy, overwrite = TRUE)
  }
  stan_model(copy, auto_write = TRUE)
}

draw <- function(name, seed, ...)
  suppressWarnings(sampling(compiled(name), data = data_of[[name]](), seed = seed, refresh = 0, cores = 1, ...))

check <- function(name, folder) {
  fit <- draw(name, 1, chains = 1, iter = 2, warmup = 1)
  d <- get_num_upars(fit)
  rows <- sapply(0:4, function(k) {  # frac((i + 1)(k + 2) golden) - 1/2, in steps of 2, 1, 1/2 ...
    x <- (((seq_len(d) * (k + 2) * 0.6180339887498949) %% 1) - 0.5) * 2^(1 - k)
    c(x, log_prob(fit, x), grad_log_prob(fit, x))
  })
  table <- as.data.frame(t(rows))
  names(table) <- c(paste0("x", seq_len(d)), "log_density", paste0("gradient", seq_len(d)))
  for (column in names(table)) table[[column]] <- sprintf("%.17g", table[[column]])
  write.csv(table, file.path(folder, paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
}

run <- function(name, seed) {
  fit <- draw(name, seed, chains = 4, iter = 2000, warmup = 1000)
  all <- extract(fit, pars = "x", permuted = FALSE)  # draws, chains, coordinates
  coordinates <- seq_len(dim(all)[3])
  steps <- get_sampler_params(fit, inc_warmup = FALSE)
  before <- lapply(get_sampler_params(fit, inc_warmup = TRUE), function(chain) chain[1:1000, ])
  total <- function(chains, what) sum(sapply(chains, function(chain) sum(chain[, what])))
  time <- get_elapsed_time(fit)
  bulk <- sapply(coordinates, function(j) ess_bulk(all[, , j]))
  list(target = name, dimension = length(coordinates), sampler = "stan", seed = seed, seconds = sum(time[, "sample"]),
       warmup_seconds = sum(time[, "warmup"]), gradients = total(steps, "n_leapfrog__"),
       warmup_gradients = total(before, "n_leapfrog__"), draws = dim(all)[1] * dim(all)[2],
       bulk_ess = min(bulk), worst_coordinate = which.min(bulk) - 1,
       rhat = max(sapply(coordinates, function(j) Rhat(all[, , j]))), divergent = total(steps, "divergent__"),
       mean = I(as.vector(apply(all, 3, mean))), sd = I(as.vector(apply(all, 3, sd))))
}

main <- function(arguments) {
  option <- function(name, default) {
    at <- match(name, arguments)
    if (is.na(at)) return(default)
    value <- arguments[at + 1]
    arguments <<- arguments[-c(at, at + 1)]
    value
  }
  seed <- as.integer(option("--seed", "1"))
  folder <- option("--check", NA)
  only_compile <- "--compile" %in% arguments
  targets <- setdiff(arguments, "--compile")
  if (length(targets) == 0) targets <- names(data_of)
  unknown <- setdiff(targets, names(data_of))
  if (length(unknown) > 0) stop("no target is called ", unknown[1], "; there are ", toString(names(data_of)))
  for (name in targets) {
    if (only_compile) compiled(name)
    else if (!is.na(folder)) check(name, folder)
    else cat(toJSON(run(name, seed), auto_unbox = TRUE, digits = I(10)), "\n", sep = "")
  }
}

main(commandArgs(trailingOnly = TRUE))
