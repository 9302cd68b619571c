# Samples the targets of benchmarks/sampling_targets.hpp by Stan, one JSON line a target.
#
#   run_stan.R [--compile] [--check FOLDER] [--seed N] [TARGET ...]
#
#   --compile      compiles the models and ends
#   --check        writes FOLDER/TARGET.csv instead: five points, log density and gradient at each, for
#                  benchmark_sampler_ess --check FOLDER
# 4 chains of 1000 steps of warm-up and 1000 draws, Stan's own settings, one chain after the other on one thread
# (driver.cpp). "seconds" are of the processor after the warm-up; "gradients" the leapfrog steps after it.
# rstan translates the models and writes their data; the programs made of them stay in build/benchmark/stan/.
# Run it in the repository's root.
suppressPackageStartupMessages(library(rstan))

folder <- "build/benchmark/stan"
sources <- "benchmarks/peers/stan"
flags <- c("-std=c++14", "-O3", "-march=native", "-DNDEBUG", "-w", "-DBOOST_DISABLE_ASSERTS",
           "-DBOOST_PENDING_INTEGER_LOG2_HPP", "-include", "boost/integer/integer_log2.hpp")

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

# Where packages have their headers; a package that takes the system's has none of its own.
header_flags <- function() {
  folders <- c(system.file("include", "src", package = "StanHeaders"), system.file("include", package = "StanHeaders"),
               system.file("include", package = "RcppEigen"), system.file("include", package = "BH"),
               system.file("include", package = "RcppParallel"))
  paste0("-I", folders[folders != ""])
}

path_of <- function(name, ending = "") file.path(folder, paste0(name, ending))

# The program of a target, compiled anew where the model or the driver has changed.
compiled <- function(name) {
  dir.create(folder, recursive = TRUE, showWarnings = FALSE)
  with(list2env(data_of[[name]]()), stan_rdump(ls(), path_of(name, ".data.R"), envir = environment()))
  model <- file.path(sources, paste0(name, ".stan"))
  driver <- file.path(sources, c("driver.cpp", "bulk_ess.cpp"))
  made_of <- unlist(lapply(c(model, driver), readLines))
  record <- path_of(name, ".sources")
  if (file.exists(path_of(name)) && file.exists(record) && identical(readLines(record), made_of)) return(path_of(name))
  header <- file.path(normalizePath(folder), paste0(name, ".hpp"))
  cat(stanc(model, model_name = name)$cppcode, file = header)
  compiler <- Sys.getenv("CXX", "g++")
  ess <- path_of(name, ".bulk_ess.o")
  status <- system2(compiler, c("-std=c++20", "-O2", "-march=native", "-w", "-Iinclude", header_flags(), "-c", driver[2],
                                "-o", ess))
  if (status != 0) stop("bulk_ess.cpp does not compile")
  status <- system2(compiler, c(flags, shQuote(paste0("-DSTAN_MODEL=\"", header, "\"")), header_flags(), driver[1], ess,
                                "-o", path_of(name), "-ltbb"))
  if (status != 0) stop(name, " does not compile")
  writeLines(made_of, record)
  path_of(name)
}

drive <- function(name, mode, ..., stdout = "")
  if (system2(compiled(name), c(mode, name, path_of(name, ".data.R"), ...), stdout = stdout) != 0) stop(name, " failed")

main <- function(arguments) {
  option <- function(name, default) {
    at <- match(name, arguments)
    if (is.na(at)) return(default)
    value <- arguments[at + 1]
    arguments <<- arguments[-c(at, at + 1)]
    value
  }
  seed <- option("--seed", "1")
  check <- option("--check", NA)
  only_compile <- "--compile" %in% arguments
  targets <- setdiff(arguments, "--compile")
  if (length(targets) == 0) targets <- names(data_of)
  unknown <- setdiff(targets, names(data_of))
  if (length(unknown) > 0) stop("no target is called ", unknown[1], "; there are ", toString(names(data_of)))
  for (name in targets) {
    if (only_compile) compiled(name)
    else if (!is.na(check)) drive(name, "check", stdout = file.path(check, paste0(name, ".csv")))
    else drive(name, "sample", seed)
  }
}

main(commandArgs(trailingOnly = TRUE))
