"""How much faster a loss is on R ranks than on one, by a model of its messages: the table of docs/performance.md.

A loss of p parameters that takes so many seconds on one rank is cut into its runs (at most 64, fewer for a long theta).
Each rank computes its runs, then theta goes from rank to rank in slices of 2^15 numbers, each rank adding its runs, and
the last one broadcasts it. A message takes LATENCY and its bytes over BANDWIDTH; numbers are added at MEMORY bytes a second.
"""
import math

LATENCY, BANDWIDTH, MEMORY = 2e-6, 10e9, 10e9
SLICE = 1 << 15


def seconds_on(ranks, seconds, parameters):
    runs = max(8, min(64, (1 << 24) // parameters))
    working = min(ranks, runs)
    compute = seconds * -(-runs // working) / runs
    slices = [min(SLICE, parameters - first) for first in range(0, parameters, SLICE)]
    sent = [0.0] * len(slices)  # when each slice has left the rank before
    for rank in range(working):
        now = compute
        for i, size in enumerate(slices):
            if rank > 0:
                now = max(now, sent[i] + LATENCY) + runs // working * 16 * size / MEMORY
            now += 8 * size / BANDWIDTH
            sent[i] = now
    return sent[-1] + 2 * math.ceil(math.log2(ranks)) * LATENCY + 2 * 8 * parameters / BANDWIDTH


for parameters in (1_000, 100_000, 10_000_000):
    for seconds in (0.01, 1, 100):
        row = [1.0] + [seconds / seconds_on(ranks, seconds, parameters) for ranks in (2, 4, 16, 64, 256, 1024)]
        print(f"| {parameters:,} | {seconds} s | " + " | ".join(f"{gain:.3g}" for gain in row) + " |")
