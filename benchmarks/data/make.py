#!/usr/bin/env python3
"""Writes the data of the sampling targets beside itself: make.py. Python's standard library alone.

Nothing here is random. Where noise is wanted it is z_t = Phi^-1(frac((t + 1)^2 a)) with a irrational: squares times an
irrational number are equidistributed, and so are their pairs, so that z behaves like white noise. Numbers are rounded
to six decimals, so that a last bit of a mathematics library does not change a file.
"""
import csv
import math
import pathlib
import statistics

HERE = pathlib.Path(__file__).resolve().parent
SQRT2, SQRT3 = 0.41421356237309515, 0.7320508075688772


def noise(count, irrational):
    normal = statistics.NormalDist()
    return [normal.inv_cdf(math.modf((t + 1) ** 2 * irrational)[0]) for t in range(count)]


def write(name, columns):
    """columns: {heading: numbers}"""
    with open(HERE / name, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(columns)
        for row in zip(*columns.values()):
            out.writerow([value if isinstance(value, int) else f"{value:.6f}" for value in row])


def eight_schools():
    # D. B. Rubin, Estimation in parallel randomized experiments, J. Educational Statistics 6 (1981), table 1
    write("eight_schools.csv", {"effect": [28, 8, -3, 7, -1, 1, 18, 12], "error": [15, 10, 16, 11, 9, 11, 10, 18]})


def autoregression():
    # y_t = 0.3 + sum_k b_k y_{t-k} + 0.5 z_t, 205 numbers; the first 100 steps are left out
    coefficients, y = [0.6, 0.2, -0.1, 0.15, 0.05], [0.0] * 5
    for z in noise(305, SQRT2):
        y.append(0.3 + sum(b * y[-1 - k] for k, b in enumerate(coefficients)) + 0.5 * z)
    write("autoregression.csv", {"y": y[-205:]})


def logistic():
    # The 30 measurements of breast_cancer.csv in units of their standard deviations about their means.
    with open(HERE / "breast_cancer.csv", newline="") as file:
        names, *rows = csv.reader(file)
    columns = {}
    for name, numbers in zip(names, zip(*rows)):
        if name == "benign":
            columns[name] = [int(number) for number in numbers]
        else:
            numbers = [float(number) for number in numbers]
            mean, deviation = statistics.fmean(numbers), statistics.pstdev(numbers)
            columns[name] = [(number - mean) / deviation for number in numbers]
    write("logistic.csv", columns)


def gaussian():
    # Variances from 10^-1.5 to 10^1.5, evenly in their logarithm; three vectors whose Householder reflections
    # I - 2 v v^T/|v|^2 are multiplied to a rotation by who wants one.
    d = 100
    columns = {"variance": [10 ** (-1.5 + 3 * i / (d - 1)) for i in range(d)]}
    for k, irrational in enumerate((SQRT2, SQRT3, (math.sqrt(5) - 1) / 2)):
        columns[f"reflection{k + 1}"] = noise(d, irrational)
    write("gaussian.csv", columns)


def banana():
    write("banana.csv", {"along": [10.0], "across": [1.0], "bend": [0.03]})


def stochastic_volatility():
    # h_t = -1 + 0.95 (h_{t-1} + 1) + 0.3 z_t, y_t = exp(h_t/2) w_t, 100 numbers
    h, y = -1.0, []
    for z, w in zip(noise(100, SQRT2), noise(100, SQRT3)):
        h = -1 + 0.95 * (h + 1) + 0.3 * z
        y.append(math.exp(h / 2) * w)
    write("stochastic_volatility.csv", {"y": y})


if __name__ == "__main__":
    for target in (eight_schools, autoregression, logistic, gaussian, banana, stochastic_volatility):
        target()
