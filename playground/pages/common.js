// What both pages share: the library's functions, pictures of points and fields, ready sets of points.
"use strict";

// --- the library ---

// Numbers that pass between JavaScript and the library lie in one array. It may move when the library's memory grows,
// so it is looked up at each use.
function Library(module) {
  const string = (address) => module.UTF8ToString(address);
  const at = (count) => module._numbers(count) / 8;
  return {
    module,
    version: () => string(module._version()),
    text: (name) => string(module["_" + name]()),
    // Calls a function that may fail; throws its sentence.
    call(name, ...given) {
      const sentence = string(module["_" + name](...given));
      if (sentence !== "") throw new LibraryError(sentence);
    },
    put(numbers) {
      const from = at(numbers.length);
      module.HEAPF64.set(numbers, from);
    },
    get(count) {
      const from = at(count);
      return module.HEAPF64.slice(from, from + count);
    },
  };
}

class LibraryError extends Error {}

// The sentence without the name of the library, and with a capital.
function shown(sentence) {
  const rest = sentence.replace(/^scorematch: /, "").trim();
  return rest.charAt(0).toUpperCase() + rest.slice(1);
}

// --- points ---

// The same numbers at each visit (mulberry32 and Box–Muller).
function RandomNumbers(seed) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}

const readySets = {
  moons(count) {
    const { uniform, normal } = RandomNumbers(3);
    return Array.from({ length: count }, () => {
      const angle = Math.PI * uniform(), upper = uniform() < 0.5;
      const x = upper ? Math.cos(angle) - 0.5 : 0.5 - Math.cos(angle);
      const y = upper ? Math.sin(angle) - 0.25 : 0.25 - Math.sin(angle);
      return [1.3 * x + 0.16 * normal(), 1.3 * y + 0.16 * normal()];
    });
  },
  ring(count) {
    const { uniform, normal } = RandomNumbers(3);
    return Array.from({ length: count }, () => {
      const angle = 2 * Math.PI * uniform(), radius = 1.8 + 0.2 * normal();
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    });
  },
  blobs(count) {
    const { normal } = RandomNumbers(3);
    const centres = [[-1.5, -1], [1.6, -0.7], [0, 1.5]];
    return Array.from({ length: count }, (_, i) => {
      const [x, y] = centres[i % 3];
      return [x + 0.35 * normal(), y + 0.35 * normal()];
    });
  },
};

// As a table that read_csv takes.
function savePoints(points) {
  const text = "x1,x2\n" + points.map((p) => p.join(",")).join("\n") + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "points.csv";
  link.click();
}

// --- the picture ---

const half = 3; // the picture shows [−3, 3]²

// A square canvas in the coordinates of the data. What moves at each frame is drawn over a ground, which is drawn again
// where it has changed: to paint shading and arrows anew takes longer than all else, where no graphics processor helps.
function Picture(canvas) {
  const front = canvas.getContext("2d"), ground = document.createElement("canvas"), pen = ground.getContext("2d");
  const shading = document.createElement("canvas");
  let scale = 1, ratio = 1;
  const self = {
    front,
    // Fits the canvases' pixels to the screen's; true if they changed.
    fit() {
      ratio = window.devicePixelRatio || 1;
      const size = Math.max(1, Math.round(canvas.clientWidth * ratio));
      const changed = canvas.width !== size;
      if (changed) canvas.width = canvas.height = ground.width = ground.height = size;
      scale = size / (2 * half);
      return changed;
    },
    x: (x) => (x + half) * scale,
    y: (y) => (half - y) * scale,
    clearGround() {
      pen.fillStyle = "#fff";
      pen.fillRect(0, 0, ground.width, ground.height);
    },
    showGround: () => front.drawImage(ground, 0, 0),
    // `side`² energies, row by row from below: dark where they are low. From the least one up to `height` nats.
    shade(energies, side, height) {
      shading.width = shading.height = side;
      const context = shading.getContext("2d"), image = context.createImageData(side, side);
      let least = Infinity;
      for (const f of energies) if (f < least) least = f;
      for (let i = 0; i < side; ++i)
        for (let j = 0; j < side; ++j) {
          const f = energies[i * side + j] - least, t = Math.min(1, Number.isFinite(f) ? f / height : 1);
          const k = 4 * ((side - 1 - i) * side + j), up = Math.sqrt(t);
          image.data[k] = 120 + 135 * up;
          image.data[k + 1] = 164 + 91 * up;
          image.data[k + 2] = 214 + 41 * up;
          image.data[k + 3] = 255;
        }
      context.putImageData(image, 0, 0);
    },
    paintShade() {
      pen.imageSmoothingEnabled = true;
      if (shading.width > 0) pen.drawImage(shading, 0, 0, ground.width, ground.height);
    },
    // Arrows at `points` along `vectors`; the length grows with the vector's and stays below the grid's spacing.
    arrows(points, vectors, spacing) {
      const lengths = [];
      for (let i = 0; i < vectors.length; i += 2) lengths.push(Math.hypot(vectors[i], vectors[i + 1]));
      const middle = lengths.slice().sort((a, b) => a - b)[lengths.length >> 1] || 1;
      pen.strokeStyle = "rgba(36, 41, 47, 0.55)";
      pen.lineWidth = 1.1 * ratio;
      pen.beginPath();
      for (let i = 0; i < lengths.length; ++i) {
        const size = lengths[i];
        if (!(size > 0) || !Number.isFinite(size)) continue;
        const length = 0.85 * spacing * (size / (size + middle)), ux = vectors[2 * i] / size, uy = vectors[2 * i + 1] / size;
        const x = points[2 * i] - 0.5 * length * ux, y = points[2 * i + 1] - 0.5 * length * uy;
        const tx = x + length * ux, ty = y + length * uy, head = 0.32 * length;
        pen.moveTo(self.x(x), self.y(y));
        pen.lineTo(self.x(tx), self.y(ty));
        pen.moveTo(self.x(tx - head * (ux - 0.5 * uy)), self.y(ty - head * (uy + 0.5 * ux)));
        pen.lineTo(self.x(tx), self.y(ty));
        pen.lineTo(self.x(tx - head * (ux + 0.5 * uy)), self.y(ty - head * (uy - 0.5 * ux)));
      }
      pen.stroke();
    },
    // What moves: squares, which are painted faster than circles and look alike at this size.
    squares(numbers, colour, side) {
      front.fillStyle = colour;
      const a = side * ratio;
      for (let i = 0; i < numbers.length; i += 2) front.fillRect(self.x(numbers[i]) - 0.5 * a, self.y(numbers[i + 1]) - 0.5 * a, a, a);
    },
    dots(numbers, colour, radius) {
      pen.fillStyle = colour;
      pen.beginPath();
      const r = radius * ratio;
      for (let i = 0; i < numbers.length; i += 2) {
        const x = self.x(numbers[i]), y = self.y(numbers[i + 1]);
        pen.moveTo(x + r, y);
        pen.arc(x, y, r, 0, 2 * Math.PI);
      }
      pen.fill();
    },
    // Where a pointer is, in the coordinates of the data.
    place(event) {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width - 0.5) * 2 * half, (0.5 - (event.clientY - box.top) / box.height) * 2 * half];
    },
  };
  return self;
}

// The middles of `side`² squares that fill the picture, row by row from below: x₀ y₀ x₁ y₁ …
function grid(side) {
  const numbers = new Float64Array(2 * side * side);
  for (let i = 0; i < side; ++i)
    for (let j = 0; j < side; ++j) {
      numbers[2 * (i * side + j)] = (2 * (j + 0.5) / side - 1) * half;
      numbers[2 * (i * side + j) + 1] = (2 * (i + 0.5) / side - 1) * half;
    }
  return numbers;
}

// A number in few characters.
function short(value) {
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)) return value.toExponential(1);
  return String(Number(value.toPrecision(4)));
}

// Losses against iterations: a line, with the greatest and the least number at its side.
function drawCurve(canvas, history, last, unit) {
  const ratio = window.devicePixelRatio || 1, width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  pen.font = `${12 * ratio}px system-ui, "DejaVu Sans", sans-serif`;
  pen.fillStyle = "#59636e";
  const left = 62 * ratio, right = width - 12 * ratio, top = 14 * ratio, bottom = height - 22 * ratio;
  pen.textBaseline = "middle";
  pen.fillText("loss", 8 * ratio, 0.5 * (top + bottom));
  const finite = history.filter(([, loss]) => Number.isFinite(loss));
  if (finite.length < 2) return;
  let least = Infinity, most = -Infinity;
  for (const [, loss] of finite) {
    least = Math.min(least, loss);
    most = Math.max(most, loss);
  }
  if (most === least) most = least + 1;
  const end = Math.max(last, finite[finite.length - 1][0], 1);
  pen.textAlign = "right";
  pen.fillText(short(most), left - 8 * ratio, top);
  pen.fillText(short(least), left - 8 * ratio, bottom);
  pen.textBaseline = "alphabetic";
  pen.fillText(`${end} ${unit}`, right, height - 5 * ratio);
  pen.textAlign = "left";
  pen.fillText("0", left, height - 5 * ratio);
  pen.strokeStyle = "#d5dae0";
  pen.lineWidth = ratio;
  pen.strokeRect(left, top - 4 * ratio, right - left, bottom - top + 8 * ratio);
  pen.strokeStyle = "#0b5cad";
  pen.lineWidth = 1.8 * ratio;
  pen.lineJoin = "round";
  pen.beginPath();
  finite.forEach(([iteration, loss], k) => {
    const x = left + (right - left) * (iteration / end), y = bottom - (bottom - top) * ((loss - least) / (most - least));
    if (k === 0) pen.moveTo(x, y);
    else pen.lineTo(x, y);
  });
  pen.stroke();
}

// Frames a second over the last second or so.
function FrameCounter() {
  const times = [];
  return (now) => {
    times.push(now);
    while (times.length > 2 && now - times[0] > 1000) times.shift();
    return times.length > 1 ? (1000 * (times.length - 1)) / (now - times[0]) : 0;
  };
}

const element = (id) => document.getElementById(id);

// Shows sentences of the library, or of the page.
function say(place, words, kind = "") {
  if (place.textContent === words && place.className === `words ${kind}`.trim()) return;
  place.textContent = words;
  place.className = `words ${kind}`.trim();
}
