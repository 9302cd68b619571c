#!/usr/bin/env python3
"""Prints what scripts/benchmark.sh measured as one table. Python's standard library alone.

    table.py FOLDER [--markdown]      FOLDER/round_N/{ours_WORKLOAD.json, torch.jsonl, handwritten.jsonl};
                                      threads_WORKLOAD.json, where there are any, makes it a table of threads
    table.py --scaling FILE.json      three blocks "size  microseconds  microseconds an item" for scaling.gnuplot

A time is the median over rounds, a ratio the median of the rounds' own ratios with their least and greatest.
"""
import argparse
import json
import pathlib
import re
import statistics

# The goals: PyTorch's time over ours, and where given the hand-written loop's time over ours (with g++), the share of
# Eigen's own rate in matrix products, and the most nanoseconds (on a core with AVX-512 at 2.5 GHz); (f32, f64) where
# they differ.
FLOORS = {
    "ism_double_well_2d": {"torch": (20, 40), "hand": 1 / 1.2},
    "ism_mixture_2d_k8": {"torch": (12, 15)},
    "ism_mlp_10_64_64": {"torch": (6, 5)},
    "ism_mlp_64_256_256": {"torch": 2.5, "gemm": 0.70},
    "ssm_mlp_100_256_256": {"torch": 1.3, "gemm": 0.65},
    "dsm_energy_mlp_64_256_256": {"torch": 1.3, "gemm": 0.65},
    "dsm_score_mlp_2_128x3": {"torch": 2},
    "dsm_score_mlp_784_1024x2": {"torch": 1.1, "gemm": 0.80},
    "ula_mixture_2d_k8": {"torch": (6, 8), "hand": 5},
    "ula_gaussian_16d": {"torch": (6, 8), "hand": 5},
    "ula_mlp_10_64_64": {"torch": 4},
    "standard_normals": {"torch": (2, 4), "most": (2.5, 5)},
    "train_digits_64_256": {"torch": 1},
    "heun_digits_64_256": {"most": 5e6},
    "ais_mixture_2d_1000x1000": {"most": 2000},
}
ABSENT = "–"
FASTER = 1.85  # the goal with two threads, for calls of a millisecond and more
TO_MS = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3}
HEADINGS = ["workload", "type", "ours ns/item", "most", "PyTorch ns/item", "PyTorch/ours", "floor", "by hand ns/item",
            "by hand/ours", "floor", "GFLOP/s", "GEMM share", "floor"]


def read_rounds(folder):
    """One dictionary a round: {(workload, type): {"ours": ns an item, "threads": ns, "torch": ns, "hand": ns, "call": ms,
    "rate": GFLOP/s, "share": …}}"""
    rounds = []
    for path in sorted(pathlib.Path(folder).glob("round_*"), key=lambda p: int(p.name.split("_")[1])):
        rows = {}
        for file in [*path.glob("ours_*.json"), *path.glob("threads_*.json")]:
            mine = file.name.split("_")[0]
            repetitions = {}
            for run in json.loads(file.read_text())["benchmarks"]:
                if run["run_type"] != "iteration":
                    continue
                name = re.sub("/(real_time|repeats:[0-9]+)", "", run["name"])
                if run.get("error_occurred"):
                    raise SystemExit(f"table.py: {name}: {run['error_message']}")
                repetitions.setdefault(tuple(name.split("/")), []).append(run)
            for key, runs in repetitions.items():
                median = lambda field: statistics.median(run[field] for run in runs) if field in runs[0] else None
                row = rows.setdefault(key, {})
                row[mine] = 1e9 / median("items_per_second")
                if mine == "ours":
                    row |= {"rate": median("GFLOP/s"), "share": median("gemm_share"), "call": median("real_time") * TO_MS[runs[0]["time_unit"]]}
        for peer, file in (("torch", "torch.jsonl"), ("hand", "handwritten.jsonl")):
            lines = (path / file).read_text().splitlines() if (path / file).exists() else []
            for line in map(json.loads, lines):
                rows.setdefault((line["workload"], line["dtype"]), {})[peer] = line["ns_per_item"]
        rounds.append(rows)
    return rounds


def digits(x):
    """Three significant digits without an exponent."""
    if x >= 1e5:
        x = float(f"{x:.3g}")
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def sorted_rows(rounds):
    order = list(FLOORS)
    rank = lambda key: (order.index(key[0]) if key[0] in order else len(order), key)
    return sorted({key for rows in rounds for key in rows if "ours" in rows[key]}, key=rank)


def with_spread(ratios):
    middle = digits(statistics.median(ratios))
    return middle + (f" ({digits(min(ratios))}–{digits(max(ratios))})" if len(ratios) > 1 else "")


def table_of_threads(rounds):
    lines = [["workload", "type", "ms a call", "one thread/several", "of the least times", "goal"]]
    for key in sorted_rows(rounds):
        seen = [rows[key] for rows in rounds if {"ours", "threads"} <= rows.get(key, {}).keys()]
        if not seen:
            continue
        ratios = [row["ours"] / row["threads"] for row in seen]
        call = statistics.median(row["call"] for row in seen)
        least = min(row["ours"] for row in seen) / min(row["threads"] for row in seen)
        goal = f"{FASTER} {'met' if statistics.median(ratios) >= FASTER else 'missed'}" if call >= 1 else ABSENT
        lines.append([*key, digits(call), with_spread(ratios), digits(least), goal])
    return lines


def table(rounds):
    lines = [HEADINGS]
    for key in sorted_rows(rounds):
        seen = [rows[key] for rows in rounds if "ours" in rows.get(key, {})]
        of = lambda field: [row[field] for row in seen if row.get(field)]
        floors = {name: floor[key[1] == "f64"] if isinstance(floor, tuple) else floor
                  for name, floor in FLOORS.get(key[0], {}).items()}

        def most():
            if "most" not in floors:
                return ABSENT
            return f"{floors['most']:g} {'met' if statistics.median(of('ours')) <= floors['most'] else 'missed'}"

        def time(field):
            return digits(statistics.median(of(field))) if of(field) else ABSENT

        def ratio(peer):
            ratios = [row[peer] / row["ours"] for row in seen if row.get(peer)]
            if not ratios:
                return ABSENT, ABSENT
            middle = statistics.median(ratios)
            return with_spread(ratios), verdict(peer, middle)

        def verdict(name, found):
            if name not in floors:
                return ABSENT
            return f"{floors[name]:.3g} {'met' if found >= floors[name] else 'missed'}"

        share = statistics.median(of("share")) if of("share") else None
        lines.append([*key, time("ours"), most(), time("torch"), *ratio("torch"), time("hand"), *ratio("hand"), time("rate"),
                      f"{100 * share:.0f} %" if share else ABSENT,
                      f"{100 * floors['gemm']:.0f} % {'met' if share >= floors['gemm'] else 'missed'}"
                      if share and "gemm" in floors else ABSENT])
    return lines


def show(lines, markdown):
    widths = [max(len(line[c]) for line in lines) for c in range(len(lines[0]))]
    padded = [[cell.ljust(w) if c < 2 else cell.rjust(w) for c, (cell, w) in enumerate(zip(line, widths))]
              for line in lines]
    if markdown:
        padded.insert(1, ["-" * w if c < 2 else "-" * (w - 1) + ":" for c, w in enumerate(widths)])
    for line in padded:
        print("| " + " | ".join(line) + " |" if markdown else "  ".join(line).rstrip())


def scaling(file):
    runs = [run for run in json.loads(pathlib.Path(file).read_text())["benchmarks"] if run["run_type"] == "iteration"]
    for block, name in enumerate(("scaling_n", "scaling_d_ism", "scaling_d_dsm")):
        if block > 0:
            print("\n")
        print("#", name)
        sizes = {}
        for run in runs:
            if run.get("error_occurred"):
                raise SystemExit(f"table.py: {run['name']}: {run['error_message']}")
            parts = run["name"].split("/")
            if parts[0] == name:
                sizes.setdefault(int(parts[2]), []).append((run["real_time"], 1e6 / run["items_per_second"]))
        for size, times in sorted(sizes.items()):
            print(size, *(f"{statistics.median(column):.6g}" for column in zip(*times)))


parser = argparse.ArgumentParser()
parser.add_argument("path")
parser.add_argument("--markdown", action="store_true")
parser.add_argument("--scaling", action="store_true")
arguments = parser.parse_args()
if arguments.scaling:
    scaling(arguments.path)
else:
    measured = read_rounds(arguments.path)
    several = any("threads" in row for rows in measured for row in rows.values())
    show((table_of_threads if several else table)(measured), arguments.markdown)
