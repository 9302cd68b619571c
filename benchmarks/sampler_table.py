#!/usr/bin/env python3
"""Prints what scripts/benchmark_samplers.sh measured as one table. Python's standard library alone.

    sampler_table.py FOLDER [--markdown]      FOLDER/round_N/{stan,ours}.jsonl

Each figure is the median over rounds, each ratio the median of the rounds' own ratios with their least and greatest.
Effective samples are bulk ones, of the worst coordinate. "apart" is the largest difference of the two samplers' means
over all coordinates and rounds, in standard errors by those effective samples: far above 4, one of the two has not
sampled the target.
"""
import argparse
import json
import math
import pathlib
import statistics

HEADINGS = ["target", "d", "gradients/ES Stan", "ours", "Stan/ours", "ES/s Stan", "ours", "ours/Stan", "with warm-up",
            "ns/gradient Stan", "ours", "apart"]
ABSENT = "–"


def read(folder):
    """{target: [{"stan": line, "ours": line} of each round]}"""
    targets = {}
    for path in sorted(pathlib.Path(folder).glob("round_*"), key=lambda p: int(p.name.split("_")[1])):
        rows = {}
        for sampler in ("stan", "ours"):
            file = path / f"{sampler}.jsonl"
            for line in map(json.loads, file.read_text().splitlines() if file.exists() else []):
                rows.setdefault(line["target"], {})[sampler] = line
        for target, row in rows.items():
            targets.setdefault(target, []).append(row)
    return targets


def gradients_per_sample(line):
    return line["gradients"] / line["bulk_ess"] if line["bulk_ess"] > 0 else math.inf


def rate(line):
    return line["bulk_ess"] / line["seconds"]


def rate_with_warmup(line):
    return line["bulk_ess"] / (line["seconds"] + line["warmup_seconds"])


def ns_per_gradient(line):
    return 1e9 * line["seconds"] / line["gradients"]


def apart(row):
    stan, ours = row["stan"], row["ours"]
    if min(stan["bulk_ess"], ours["bulk_ess"]) <= 0:
        return math.inf
    share = 1 / stan["bulk_ess"] + 1 / ours["bulk_ess"]
    return max(abs(a - b) / (math.sqrt(share) * max(s, t))
               for a, b, s, t in zip(stan["mean"], ours["mean"], stan["sd"], ours["sd"]))


def digits(x):
    """Three significant digits without an exponent."""
    if not math.isfinite(x):
        return "∞"
    if x >= 1e4:
        return f"{float(f'{x:.3g}'):,.0f}".replace(",", " ")
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}" if x >= 0.1 else f"{x:.2g}"


def cells(target, rounds):
    both = [row for row in rounds if len(row) == 2]
    d = next(iter(rounds[0].values()))["dimension"]

    def median(sampler, figure):
        numbers = [figure(row[sampler]) for row in rounds if sampler in row]
        return digits(statistics.median(numbers)) if numbers else ABSENT

    def ratio(figure, above, below):
        ratios = sorted(figure(row[above]) / figure(row[below]) if figure(row[below]) else math.inf for row in both)
        return f"{digits(statistics.median(ratios))} [{digits(ratios[0])}, {digits(ratios[-1])}]" if ratios else ABSENT

    return [target, str(d), median("stan", gradients_per_sample), median("ours", gradients_per_sample),
            ratio(gradients_per_sample, "stan", "ours"), median("stan", rate), median("ours", rate),
            ratio(rate, "ours", "stan"), ratio(rate_with_warmup, "ours", "stan"), median("stan", ns_per_gradient),
            median("ours", ns_per_gradient), digits(max(map(apart, both))) if both else ABSENT]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    rows = [HEADINGS] + [cells(target, rounds) for target, rounds in read(arguments.folder).items()]
    if arguments.markdown:
        rows.insert(1, ["---"] + ["---:"] * (len(HEADINGS) - 1))
        print("\n".join("| " + " | ".join(row) + " |" for row in rows))
        return
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEADINGS))]
    for row in rows:
        print("  ".join(cell.rjust(width) if k else cell.ljust(width)
                        for k, (cell, width) in enumerate(zip(row, widths))).rstrip())


if __name__ == "__main__":
    main()
