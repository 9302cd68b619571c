// The first page: points, a fit of an energy step by step, chains that follow it.
"use strict";

const shadeSide = 48, arrowSide = 17, mostPoints = 2000;
const stepsOfChains = 2; // a frame
const adamSteps = [1, 3, 10, 30, 100]; // a frame, by speed
const lbfgsRate = [2, 4, 8, 20, 60]; // iterations a second, by speed

const picture = Picture(element("picture"));
const countFrame = FrameCounter();
const random = RandomNumbers(7);
let library = null;
let points = []; // [x, y]
let phase = "idle"; // idle, running, paused, ended
let hasModel = false;
let history = []; // [iteration, loss]
let chains = new Float64Array(0);
let field = null; // { points, scores }
let fieldIsOld = false, lastField = 0, fieldCost = 0;
let groundIsOld = true, work = 0; // milliseconds a frame
let due = 0; // iterations of L-BFGS
let framesPerSecond = 0, error = "";

const shadePoints = grid(shadeSide), arrowPoints = grid(arrowSide);

// --- what is chosen ---

const number = (id) => {
  const input = element(id), value = Number(input.value);
  return "log" in input.dataset ? Number((10 ** value).toPrecision(2)) : value;
};
const usesAdam = () => element("method").value === "1";

const energyNotes = {
  0: "Each component has a weight, a mean and a covariance of its own.",
  1: "Two hidden layers of 32 tanh units, and ½ exp(b) ‖x‖², which makes it a density.",
  2: "Linear in θ. Nothing keeps a fit where Z is finite: then the chains run away.",
  3: "A ring around the origin; its radius and width are fitted.",
  4: "A Gaussian about the origin, bent along a parabola.",
  5: "Heavy tails: the degrees of freedom are fitted.",
  6: "Mean and precision.",
};
const lossNotes = {
  0: "½‖s‖² + tr ∂s/∂x. No noise; a flexible energy may make a spike of each point, and the loss then falls without bound.",
  1: "The trace by random projections.",
  2: "Learns the points blurred by noise of standard deviation σ.",
};

// Explicit score matching needs the score of the points' law, which nobody knows of points that were drawn.

function showChoices() {
  const energy = element("energy").value, loss = element("loss").value;
  const used = { mixture: energy === "0", denoising: loss === "2", sliced: loss === "1", adam: usesAdam() };
  for (const field of document.querySelectorAll("[data-for]")) field.hidden = !used[field.dataset.for];
  for (const label of document.querySelectorAll("label.field")) {
    const input = label.querySelector("input"), output = label.querySelector("output");
    if (input && output && input.id !== "speed") output.textContent = short(number(input.id));
  }
  element("speed-out").textContent = usesAdam() ? `${adamSteps[number("speed")]} steps a frame` : `${lbfgsRate[number("speed")]} iterations a second`;
  element("energy-note").textContent = energyNotes[energy];
  element("loss-note").textContent = lossNotes[loss];
  element("program").textContent = program();
}

function program() {
  const energies = [
    `sm::gaussian_mixture(2, {.components = ${number("components")},
                                           .means = X(Eigen::indexing::all, Eigen::seqN(0, ${number("components")}, X.cols() / ${number("components")}))})`,
    "sm::mlp_energy(2, {.hidden = {32, 32}, .seed = 1})",
    "sm::pairwise_quartic(2)", "sm::ring(2)", "sm::banana(2)", "sm::student_t(2)", "sm::gaussian(2)",
  ];
  const frozen = usesAdam() ? "" : ", .frozen = true";
  const losses = [
    "sm::implicit_score_matching{}",
    `sm::sliced_score_matching{.projections = ${number("projections")}${frozen}}`,
    `sm::denoising_score_matching{.sigma = ${number("sigma")}${frozen}}`,
  ];
  const fit = usesAdam()
    ? `sm::train(energy, loss, X,
                             {.steps = ${number("steps")}, .learning_rate = {.peak = ${number("rate-of-learning")}, .warm_up = 20}, .average = 0.9})`
    : "sm::fit(energy, loss, X, {.method = sm::FitMethod::lbfgs})";
  return `#include <scorematch/scorematch.hpp>
#include <cstdio>
namespace sm = scorematch;

int main() {
  const Eigen::MatrixXd X = sm::read_csv("points.csv");  // the button Save
  const auto energy = ${energies[Number(element("energy").value)]};
  const auto loss = ${losses[Number(element("loss").value)]};
  const auto fit = ${fit};
  const auto draws = sm::sample(fit.model, sm::langevin{.step = ${number("h")}}, {.chains = ${number("count")}});
  std::printf("%s%s", fit.text().c_str(), draws.text().c_str());
}`;
}

// --- the fit ---

// Runs f; a sentence of the library ends the fit and is shown.
function guarded(f) {
  try {
    f();
    return true;
  } catch (thrown) {
    error = shown(thrown instanceof LibraryError ? thrown.message : String(thrown));
    say(element("words"), error, "error");
    phase = "idle";
    hasModel = false;
    showButtons();
    return false;
  }
}

function begin() {
  error = "";
  history = [];
  due = 0;
  element("chain-words").hidden = true;
  const begun = guarded(() => {
    library.put(points.flat());
    library.call("fit_begin", points.length, Number(element("energy").value), number("components"),
      Number(element("loss").value), number("sigma"), number("projections"), usesAdam() ? 1 : 0, number("steps"),
      number("rate-of-learning"), 1);
  });
  if (!begun) return;
  phase = "running";
  hasModel = fieldIsOld = true;
  noteLoss();
  if (chains.length !== 2 * number("count")) restartChains();
  showButtons();
}

function restartChains() {
  guarded(() => {
    library.call("chains_begin", number("count"), 1);
    chains = library.get(2 * number("count"));
  });
}

function reset() {
  phase = "idle";
  hasModel = false;
  history = [];
  field = null;
  error = "";
  chains = new Float64Array(0);
  element("chain-words").hidden = true;
  say(element("words"), "Ready. Start fits the energy to the points.");
  showButtons();
}

function noteLoss() {
  const iteration = library.module._fit_iterations(), loss = library.module._fit_loss();
  if (history.length === 0 || history[history.length - 1][0] < iteration) history.push([iteration, loss]);
  const verb = usesAdam() ? "step" : "iteration";
  say(element("words"), `${verb} ${iteration}: loss ${short(loss)} ± ${short(library.module._fit_standard_error())}`);
}

function advance(milliseconds) {
  if (usesAdam()) {
    library.call("fit_advance", adamSteps[number("speed")], milliseconds);
  } else {
    due += lbfgsRate[number("speed")] / Math.max(20, framesPerSecond || 60);
    if (due < 1) return;
    library.call("fit_advance", Math.floor(due), milliseconds);
    due -= Math.floor(due);
  }
  fieldIsOld = true;
  noteLoss();
  if (library.module._fit_running()) return;
  phase = "ended";
  const words = library.text("fit_text").trim();
  say(element("words"), shown(words), words.startsWith("converged") && !words.includes("\n") ? "good" : "");
  showButtons();
}

function advanceChains() {
  library.call("chains_advance", stepsOfChains, number("h"));
  chains = library.get(chains.length);
  const words = library.text("chains_text").trim();
  if (/^(diverged|outside|stuck)/.test(words)) showChainWords(words); // other verdicts need more steps than a frame has
}

function showChainWords(words) {
  element("chain-words").hidden = false;
  say(element("chain-words"), "Chains: " + words, words.startsWith("complete") ? "good" : "error");
}

function judge() {
  if (!hasModel || chains.length === 0) return;
  guarded(() => {
    library.call("chains_advance", 1000, number("h"));
    chains = library.get(chains.length);
    showChainWords(library.text("chains_text").trim());
  });
}

function refreshField(now) {
  const started = performance.now();
  if (element("show-energy").checked) {
    library.put(shadePoints);
    library.call("energies", shadeSide * shadeSide);
    picture.shade(library.get(shadeSide * shadeSide), shadeSide, 8);
  }
  if (element("show-score").checked) {
    library.put(arrowPoints);
    library.call("scores", arrowSide * arrowSide);
    field = library.get(2 * arrowSide * arrowSide);
  }
  fieldCost = performance.now() - started;
  fieldIsOld = false;
  groundIsOld = true;
  lastField = now;
}

function paint() {
  if (picture.fit() || groundIsOld) {
    picture.clearGround();
    if (hasModel && element("show-energy").checked) picture.paintShade();
    if (hasModel && field && element("show-score").checked) picture.arrows(arrowPoints, field, (2 * half) / arrowSide);
    if (element("show-points").checked) picture.dots(points.flat(), "rgba(194, 65, 12, 0.8)", 2.2);
    groundIsOld = false;
  }
  picture.showGround();
  if (hasModel && element("show-chains").checked) picture.squares(chains, "rgba(15, 118, 110, 0.85)", 3.2);
}

function frame(now) {
  framesPerSecond = countFrame(now);
  if (library && hasModel && phase !== "paused" && phase !== "idle") {
    guarded(() => {
      if (phase === "running") advance(9);
      if (element("show-chains").checked && chains.length > 0) advanceChains();
      // Ten times a second, if it takes no more than a quarter of the time.
      if (fieldIsOld && now - lastField > Math.max(100, 3 * fieldCost)) refreshField(now);
    });
  }
  paint();
  drawCurve(element("curve"), history, phase === "running" && usesAdam() ? number("steps") : 0,
    usesAdam() ? "steps" : "iterations");
  work += 0.1 * (performance.now() - now - work);
  element("rate").textContent = phase === "running" || phase === "ended" ? `${Math.round(framesPerSecond)} frames/s` : "";
  requestAnimationFrame(frame);
}

// --- what a visitor does ---

function showButtons() {
  groundIsOld = true;
  element("start").textContent = { idle: "Start", running: "Pause", paused: "Go on", ended: "Start again" }[phase];
  element("start").disabled = library === null;
  element("judge").disabled = element("restart").disabled = !hasModel;
  element("point-count").textContent = points.length === 1 ? "1 point" : `${points.length} points`;
}

// The fit begins anew where it was running; otherwise it waits for Start.
function changed() {
  showChoices();
  if (library === null) return;
  if (phase === "running") begin();
  else reset();
}

function setPoints(next) {
  points = next;
  changed();
  showButtons();
}

function addPoint([x, y]) {
  if (points.length < mostPoints) points.push([x, y]);
  showButtons();
}

function listen() {
  element("start").addEventListener("click", () => {
    if (phase === "running") phase = "paused";
    else if (phase === "paused") phase = library.module._fit_running() ? "running" : "ended";
    else begin();
    showButtons();
  });
  element("reset").addEventListener("click", reset);
  element("clear").addEventListener("click", () => setPoints([]));
  element("save").addEventListener("click", () => savePoints(points));
  for (const button of document.querySelectorAll("[data-set]"))
    button.addEventListener("click", () => setPoints(readySets[button.dataset.set](300)));
  element("restart").addEventListener("click", restartChains);
  element("judge").addEventListener("click", judge);
  // As fit() chooses; but L-BFGS takes long for a perceptron's 1186 numbers, and a page waits for it.
  const chooseMethod = () => (element("method").value = element("loss").value === "0" && element("energy").value !== "1" ? "0" : "1");
  for (const id of ["loss", "energy"]) element(id).addEventListener("change", chooseMethod);
  for (const id of ["energy", "loss", "method"]) element(id).addEventListener("change", changed);
  for (const id of ["components", "sigma", "projections", "rate-of-learning", "steps"])
    element(id).addEventListener("input", changed);
  element("count").addEventListener("input", () => {
    showChoices();
    if (hasModel) restartChains();
  });
  for (const id of ["h", "speed"]) element(id).addEventListener("input", showChoices);
  for (const id of ["show-energy", "show-score", "show-points"])
    element(id).addEventListener("change", () => {
      groundIsOld = true;
      if (hasModel) guarded(() => refreshField(0));
    });
}

// A stroke sprays points about the way that the pointer goes.
function listenToStrokes() {
  const canvas = element("picture");
  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = picture.place(event);
    addPoint(last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last === null) return;
    const place = picture.place(event), length = Math.hypot(place[0] - last[0], place[1] - last[1]), sprays = Math.floor(length / 0.06);
    for (let k = 1; k <= sprays; ++k) {
      const t = k / sprays;
      addPoint([
        last[0] + t * (place[0] - last[0]) + 0.08 * random.normal(),
        last[1] + t * (place[1] - last[1]) + 0.08 * random.normal(),
      ]);
    }
    if (sprays > 0) last = place;
  });
  const end = () => {
    if (last === null) return;
    last = null;
    changed();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
}

// What a test, or a curious visitor, may read.
window.playground = {
  state: () => ({ phase, error, points, history, chains: Array.from(chains), framesPerSecond, work, hasModel,
    loss: library ? library.module._fit_loss() : NaN, words: element("words").textContent,
    version: library ? library.version() : "" }),
};

points = readySets.moons(300);
listen();
listenToStrokes();
showChoices();
showButtons();
say(element("words"), "The library is being loaded …");
requestAnimationFrame(frame);
scorematch().then(
  (module) => {
    library = Library(module);
    reset();
  },
  (failure) => say(element("words"), `This browser cannot run the library: ${failure}`, "error"),
);
