// The second page: a noise-conditional score network, trained in the page, and the way from noise to data.
"use strict";

const arrowSide = 17, waysShown = 40, sigmaData = 1.3, sigmaMin = 0.02, learningRate = 0.02;
const trainingSlice = 12; // milliseconds a frame
const secondsDown = 5;

const picture = Picture(element("picture"));
const countFrame = FrameCounter();
let library = null;
let points = readySets.moons(500);
let phase = "idle"; // idle, training, paused (a training), trained
let trained = false;
let history = []; // [step, loss]
let way = []; // positions of the particles at each level
let sigmas = []; // of each; the last is 0
let place = 0; // between 0, all noise, and way.length − 1
let playing = false, walking = false;
let field = null, fieldIsOld = true, lastField = 0, groundIsOld = true;
let work = 0; // milliseconds a frame
let seed = 1, framesPerSecond = 0, error = "", before = 0;

const gridPoints = grid(arrowSide);

const number = (id) => {
  const input = element(id), value = Number(input.value);
  return "log" in input.dataset ? Number((10 ** value).toPrecision(2)) : value;
};

const samplerNotes = {
  0: "dx/dσ = −σ s(x, σ), one score a step.",
  1: "The same equation to second order, two scores a step.",
  2: "The same by Dormand and Prince, each particle with steps of its own, to a tolerance of 10⁻⁴.",
  3: "The diffusion run backwards: noise is added at each step.",
};

function showChoices() {
  for (const label of document.querySelectorAll("label.field")) {
    const input = label.querySelector("input"), output = label.querySelector("output");
    if (input && output && !["speed", "place"].includes(input.id)) output.textContent = short(number(input.id));
  }
  element("speed-out").textContent = `${short(2 ** number("speed"))} ×`;
  element("sampler-note").textContent = samplerNotes[element("sampler").value];
  element("program").textContent = program();
}

function program() {
  const levels = `.levels = sm::edm_levels{.sigma_max = ${number("sigma-max")}, .sigma_min = ${sigmaMin}, .levels = ${number("levels")}}`;
  const samplers = [
    `sm::euler{${levels}}`, `sm::heun{${levels}}`,
    `sm::probability_flow{.sigma_max = ${number("sigma-max")}, .sigma_min = ${sigmaMin}, .tolerance = 1e-4}`,
    `sm::reverse_sde{${levels}}`,
  ];
  return `#include <scorematch/scorematch.hpp>
#include <cstdio>
namespace sm = scorematch;

int main() {
  const Eigen::MatrixXd X = sm::read_csv("points.csv");  // the button Save
  const auto network = sm::score_model(2, [](auto x, auto sigma, auto theta) {
    return sm::edm_score(x, sigma, {.sigma_data = ${sigmaData}}, [&](auto scaled, auto noise) {
      return sm::mlp(sm::concat(scaled, noise), theta,
                     {.hidden = {${number("width")}, ${number("width")}}, .outputs = 2, .activation = sm::Activation::silu});
    });
  });
  const sm::denoising_score_matching loss{
      .sigma = sm::log_normal_sigma{.mean = -0.5, .deviation = 1.5}, .weight = sm::Weight::edm, .sigma_data = ${sigmaData}};
  const auto training = sm::train(network, loss, X,
                                  {.steps = ${number("steps")}, .learning_rate = {.peak = ${learningRate}, .warm_up = 50}, .average = 0.99});
  const auto drawn = sm::generate(
      training.model, ${samplers[Number(element("sampler").value)]},
      {.count = ${number("count")}});
  std::printf("%s%s", training.text().c_str(), drawn.text().c_str());
  std::printf("%s", sm::classifier_two_sample_test(drawn.points, X).text().c_str());
}`;
}

// --- training ---

function guarded(f) {
  try {
    f();
    return true;
  } catch (thrown) {
    error = shown(thrown instanceof LibraryError ? thrown.message : String(thrown));
    say(element("words"), error, "error");
    phase = "idle";
    walking = playing = false;
    showButtons();
    return false;
  }
}

function begin() {
  error = "";
  history = [];
  forgetWay();
  trained = false;
  const begun = guarded(() => {
    library.put(points.flat());
    library.call("training_begin", points.length, number("width"), number("steps"), learningRate, 3);
  });
  if (!begun) return;
  phase = "training";
  showButtons();
}

function advanceTraining() {
  library.call("training_advance", 1000000, trainingSlice);
  const step = library.module._training_steps(), loss = library.module._training_loss();
  history.push([step, loss]);
  fieldIsOld = true;
  say(element("words"), `step ${step} of ${number("steps")}: loss ${short(loss)}`);
  if (library.module._training_running()) return;
  const words = library.text("training_text").trim();
  phase = "trained";
  trained = words.startsWith("finished");
  say(element("words"), "Training " + words, trained ? "good" : "error");
  if (trained) beginWalk();
  showButtons();
}

// --- the way ---

function forgetWay() {
  fieldIsOld = true;
  way = [];
  sigmas = [];
  place = 0;
  playing = walking = false;
  element("walk-words").hidden = true;
}

function beginWalk() {
  forgetWay();
  guarded(() => {
    library.call("walk_begin", Number(element("sampler").value), number("levels"), number("sigma-max"), sigmaMin, number("count"), seed);
    way = [library.get(2 * number("count"))];
    sigmas = [library.module._walk_sigma()];
    walking = playing = true;
  });
  showButtons();
}

// As many steps as fit into a frame.
function advanceWalk() {
  const started = performance.now();
  while (walking && performance.now() - started < 10) {
    library.call("walk_advance");
    way.push(library.get(way[0].length));
    sigmas.push(library.module._walk_sigma());
    if (library.module._walk_ended()) {
      walking = false;
      element("walk-words").hidden = false;
      const words = library.text("walk_text").trim();
      say(element("walk-words"), shown(words), words.startsWith("complete") ? (words.includes("nothing tells") ? "good" : "") : "error");
    }
  }
}

// --- the picture ---

// σ between two levels: geometric, but linear to 0.
function sigmaAt(t) {
  if (sigmas.length === 0) return number("sigma-max") * (sigmaMin / number("sigma-max")) ** Number(element("place").value);
  const k = Math.min(Math.floor(t), sigmas.length - 1), rest = t - k;
  if (k + 1 >= sigmas.length) return sigmas[sigmas.length - 1];
  return sigmas[k + 1] > 0 ? sigmas[k] ** (1 - rest) * sigmas[k + 1] ** rest : sigmas[k] * (1 - rest);
}

const zoom = (sigma) => 1 / Math.sqrt(1 + (sigma / sigmaData) ** 2);

function scaled(numbers, factor) {
  return numbers.map((value) => value * factor);
}

function particles() {
  if (way.length === 0) return new Float64Array(0);
  const k = Math.min(Math.floor(place), way.length - 1), rest = place - k;
  if (k + 1 >= way.length) return way[way.length - 1];
  const from = way[k], to = way[k + 1], now = zoom(sigmaAt(place)), a = zoom(sigmas[k]), b = zoom(sigmas[k + 1]);
  // Straight lines in the picture.
  return from.map((value, i) => ((1 - rest) * a * value + rest * b * to[i]) / now);
}

function refreshField(sigma) {
  const points = scaled(gridPoints, 1 / zoom(sigma));
  library.put(points);
  library.call("scores_at", Math.max(sigma, sigmaMin), arrowSide * arrowSide);
  field = library.get(2 * arrowSide * arrowSide);
}

function paintWays() {
  const pen = picture.front;
  pen.strokeStyle = "rgba(15, 118, 110, 0.35)";
  pen.lineWidth = (window.devicePixelRatio || 1) * 1.2;
  pen.beginPath();
  const shown = Math.min(waysShown, way[0].length / 2), until = Math.min(Math.floor(place), way.length - 1);
  for (let i = 0; i < shown; ++i)
    for (let k = 0; k <= until; ++k) {
      const factor = zoom(sigmas[k]), x = picture.x(factor * way[k][2 * i]), y = picture.y(factor * way[k][2 * i + 1]);
      if (k === 0) pen.moveTo(x, y);
      else pen.lineTo(x, y);
    }
  pen.stroke();
}

function paint() {
  const sigma = sigmaAt(place), factor = zoom(sigma);
  if (picture.fit() || groundIsOld) {
    picture.clearGround();
    if (element("show-points").checked) picture.dots(scaled(points.flat(), factor), "rgba(194, 65, 12, 0.5)", 1.8);
    if (element("show-score").checked && field && (trained || phase !== "idle")) picture.arrows(gridPoints, field, (2 * half) / arrowSide);
    groundIsOld = false;
  }
  picture.showGround();
  if (way.length > 0) {
    if (element("show-ways").checked) paintWays();
    picture.squares(scaled(particles(), factor), "rgba(15, 118, 110, 0.85)", 3.4);
  }
  element("sigma-out").textContent = sigma === 0 ? "0" : sigma.toPrecision(2);
}

function frame(now) {
  framesPerSecond = countFrame(now);
  const seconds = Math.min(0.1, (now - before) / 1000);
  before = now;
  if (library) {
    guarded(() => {
      if (phase === "training") advanceTraining();
      if (walking) advanceWalk();
      if (playing && way.length > 1) {
        const end = number("levels");
        place = Math.min(place + (seconds * 2 ** number("speed") * end) / secondsDown, way.length - 1);
        element("place").value = place / end;
        fieldIsOld = true;
        if (place >= end) {
          playing = false;
          showButtons();
        }
      }
      // The ground changes with σ, too; fifteen times a second while it moves.
      if (fieldIsOld && now - lastField > 66) {
        fieldIsOld = false;
        groundIsOld = true;
        lastField = now;
        if (element("show-score").checked && (trained || phase !== "idle")) refreshField(sigmaAt(place));
      }
    });
  }
  paint();
  drawCurve(element("curve"), history, phase === "training" ? number("steps") : 0, "steps");
  work += 0.1 * (performance.now() - now - work);
  element("rate").textContent = phase === "training" || playing ? `${Math.round(framesPerSecond)} frames/s` : "";
  requestAnimationFrame(frame);
}

// --- what a visitor does ---

function showButtons() {
  element("train").textContent = { idle: "Train", training: "Pause", paused: "Go on", trained: "Train again" }[phase];
  element("train").disabled = library === null;
  element("play").disabled = element("again").disabled = !trained;
  element("play").textContent = playing ? "Pause" : "Play";
}

function listen() {
  element("train").addEventListener("click", () => {
    if (phase === "training") phase = "paused";
    else if (phase === "paused") phase = "training";
    else begin();
    showButtons();
  });
  element("play").addEventListener("click", () => {
    playing = !playing;
    if (playing && place >= number("levels")) place = 0;
    showButtons();
  });
  element("again").addEventListener("click", () => {
    ++seed;
    beginWalk();
  });
  element("place").addEventListener("input", () => {
    playing = false;
    if (way.length > 0) place = Math.min(number("place") * number("levels"), way.length - 1);
    fieldIsOld = true;
    showButtons();
  });
  for (const button of document.querySelectorAll("[data-set]"))
    button.addEventListener("click", () => {
      points = readySets[button.dataset.set](500);
      restart();
    });
  element("save").addEventListener("click", () => savePoints(points));
  const restart = () => {
    showChoices();
    const wasTraining = phase === "training";
    phase = "idle";
    trained = false;
    history = [];
    field = null;
    fieldIsOld = true;
    forgetWay();
    say(element("words"), "Ready. Train lets the network learn the points' score; it takes some seconds.");
    if (wasTraining) begin();
    showButtons();
  };
  for (const id of ["width", "steps"]) element(id).addEventListener("input", restart);
  for (const id of ["sampler", "levels", "sigma-max", "count"])
    element(id).addEventListener(id === "sampler" ? "change" : "input", () => {
      showChoices();
      fieldIsOld = true;
      if (trained) beginWalk();
    });
  element("speed").addEventListener("input", showChoices);
  for (const id of ["show-score", "show-points"]) element(id).addEventListener("change", () => (fieldIsOld = true));
}

window.playground = {
  state: () => ({ phase, trained, error, points, history, place, playing, walking, framesPerSecond, work, sigma: sigmaAt(place),
    particles: Array.from(particles()), levels: way.length, words: element("words").textContent,
    walkWords: element("walk-words").textContent }),
};

listen();
showChoices();
showButtons();
say(element("words"), "The library is being loaded …");
requestAnimationFrame(frame);
scorematch().then(
  (module) => {
    library = Library(module);
    say(element("words"), "Ready. Train lets the network learn the points' score; it takes some seconds.");
    showButtons();
  },
  (failure) => say(element("words"), `This browser cannot run the library: ${failure}`, "error"),
);
