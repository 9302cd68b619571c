#!/usr/bin/env python3
"""Trains the energy that examples/from_pytorch.cpp loads, in PyTorch, and writes what that program needs:

  two_moons_torch.safetensors   the weights, as PyTorch's state_dict names them, F32
  two_moons_torch.npz           64 points, and the energies, scores and Laplacians that PyTorch computes there, in double

  examples/from_pytorch.py [output folder]

Debian's and Ubuntu's packages: python3-torch python3-numpy. Weights differ in their last bits from machine to machine; so
the files are kept in examples/data.
"""
import json
import struct
import sys

import numpy
import torch


class Energy(torch.nn.Module):
    """f(x) = W3 tanh(W2 tanh(W1 x + b1) + b2) + b3 + ||x||^2 / 8, for a batch of x of shape (N, 2)."""

    def __init__(self):
        super().__init__()
        self.network = torch.nn.Sequential(
            torch.nn.Linear(2, 32), torch.nn.Tanh(), torch.nn.Linear(32, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))

    def forward(self, x):
        return self.network(x).squeeze(-1) + 0.125 * (x * x).sum(-1)


def score(energy, x):
    """-grad f at each row of x."""
    x = x.requires_grad_()
    return -torch.autograd.grad(energy(x).sum(), x, create_graph=True)[0]


def save_safetensors(path, tensors):
    """What safetensors.torch.save_file(tensors, path) writes, where that package is not installed. All are F32."""
    header, numbers = {}, b""
    for name in sorted(tensors):
        data = tensors[name].numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape),
                        "data_offsets": [len(numbers), len(numbers) + len(data)]}
        numbers += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + numbers)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "examples/data"
    torch.set_num_threads(1)
    torch.manual_seed(1)
    moons = torch.tensor(numpy.loadtxt("examples/data/two_moons_2d.csv", delimiter=",", skiprows=1), dtype=torch.float32)
    energy, sigma, steps = Energy(), 0.15, 6000
    optimiser = torch.optim.Adam(energy.parameters())
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 5e-3 * (1 - step / steps)
        x = moons[torch.randint(len(moons), (250,))]
        z = torch.randn_like(x)
        # Denoising score matching, 1/2 ||s(x + sigma z) + z/sigma||^2.
        loss = 0.5 * ((sigma * score(energy, x + sigma * z) + z) ** 2).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"loss {loss.item():.4f} after {steps} steps; 1 is that of the score 0")

    weights = {name: value.detach() for name, value in energy.state_dict().items()}
    save_safetensors(folder + "/two_moons_torch.safetensors", weights)

    energy = energy.double()  # the weights are those of the file
    points = 2 * torch.randn(64, 2, dtype=torch.float64)
    s = score(energy, points)
    laplacian = -sum(torch.autograd.grad(s[:, j].sum(), points, retain_graph=True)[0][:, j] for j in range(2))
    numpy.savez(folder + "/two_moons_torch.npz", points=points.detach().numpy(), energy=energy(points).detach().numpy(),
                score=s.detach().numpy(), laplacian=laplacian.detach().numpy())


if __name__ == "__main__":
    main()
