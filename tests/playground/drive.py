#!/usr/bin/env python3
"""Drives the playground's pages in headless Chromium, as a visitor would, and checks what the visitor sees.

  drive.py FOLDER [--pictures FOLDER]

FOLDER is what scripts/playground.sh wrote. It needs Debian's chromium and chromium-driver, and no package of Python.
"""

import argparse
import base64
import json
import math
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 60  # at most, for anything that is waited for


class Browser:
    """A session of chromedriver: HTTP with JSON."""

    def __init__(self):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.driver.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                self.address = f"http://127.0.0.1:{found[1]}"
                break
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000", "--hide-scrollbars"]}
        answer = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        self.session = f"/session/{answer['sessionId']}"

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def close(self):
        try:
            self.ask("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait()

    def open(self, path):
        self.ask("POST", self.session + "/url", {"url": path.resolve().as_uri()})
        self.wait(lambda: self.run("return playground.state().version !== '' && document.readyState === 'complete'"), "the library to load")

    def run(self, script, *given):
        return self.ask("POST", self.session + "/execute/sync", {"script": script, "args": list(given)})

    def state(self):
        return self.run("return playground.state()")

    def element(self, selector):
        return next(iter(self.ask("POST", self.session + "/element", {"using": "css selector", "value": selector}).values()))

    def click(self, selector):
        self.ask("POST", f"{self.session}/element/{self.element(selector)}/click", {})

    def words(self, selector):
        return self.ask("GET", f"{self.session}/element/{self.element(selector)}/text")

    def slide(self, selector, value):
        self.run("const e = document.querySelector(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('input', {bubbles: true}));"
                 " e.dispatchEvent(new Event('change', {bubbles: true}))", selector, value)

    def choose(self, selector, value):
        self.click(f'{selector} option[value="{value}"]')

    def stroke(self, places, kind="mouse"):
        """Presses the pointer on the picture at the first place, moves along the others and lets go; places in [-3, 3]²."""
        box = self.run("const b = document.querySelector('#picture').getBoundingClientRect(); return [b.left, b.top, b.width]")
        at = [(round(box[0] + (x + 3) / 6 * box[2]), round(box[1] + (3 - y) / 6 * box[2])) for x, y in places]
        move = [{"type": "pointerMove", "duration": 0 if k == 0 else 40, "x": x, "y": y} for k, (x, y) in enumerate(at)]
        steps = [move[0], {"type": "pointerDown", "button": 0}, *move[1:], {"type": "pointerUp", "button": 0}]
        self.ask("POST", self.session + "/actions", {"actions": [{"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": steps}]})

    def wait(self, holds, what, seconds=SECONDS):
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s for {what}: {self.run('return playground.state().words')}")
            time.sleep(0.05)

    def width(self, pixels, ratio=1):
        self.ask("POST", self.session + "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": pixels, "height": 900, "deviceScaleFactor": ratio, "mobile": pixels < 600}})

    def picture(self, path):
        shot = self.ask("POST", self.session + "/goog/cdp/execute", {"cmd": "Page.captureScreenshot", "params": {"captureBeyondViewport": True}})
        path.write_bytes(base64.b64decode(shot["data"]))


def check(holds, what):
    if not holds:
        raise AssertionError(what)


def mean_distance(places, points):
    """The mean distance from places (x0, y0, x1, …) to the nearest of the points, and the share that is within 0.5."""
    nearest = [min(math.hypot(places[i] - x, places[i + 1] - y) for x, y in points) for i in range(0, len(places), 2)]
    return sum(nearest) / len(nearest), sum(d < 0.5 for d in nearest) / len(nearest)


def check_rate(browser, what):
    """At least 20 frames a second, in the best of three looks, since other programs may take the processor."""
    looks = []
    for _ in range(3):
        looks.append(frames_a_second(browser))
        if looks[-1][0] >= 20:
            break
    rate, longest = max(looks)
    print(f"  {what}: {rate:.0f} frames a second, the longest {longest:.0f} ms, of which the page computes {browser.state()['work']:.1f} ms in the mean")
    check(rate >= 20, f"{what}: {rate:.0f} frames a second")


def frames_a_second(browser, seconds=2):
    """Counted by requests for frames of the test's own; and the longest frame in milliseconds."""
    return browser.ask("POST", browser.session + "/execute/async", {"script": """
        const seconds = arguments[0], done = arguments[1], begun = performance.now();
        let frames = 0, longest = 0, last = begun;
        const count = (now) => {
          ++frames; longest = Math.max(longest, now - last); last = now;
          if (now - begun > 1000 * seconds) done([1000 * frames / (now - begun), longest]);
          else requestAnimationFrame(count);
        };
        requestAnimationFrame(count);""", "args": [seconds]})


def colours_at(browser, points):
    """How many pixels of the chains' colour are in the picture, and how many of these are near the points."""
    return browser.run("""
        const canvas = document.querySelector('#picture'), pen = canvas.getContext('2d');
        const image = pen.getImageData(0, 0, canvas.width, canvas.height).data, scale = canvas.width / 6;
        let all = 0, near = 0;
        for (let y = 0; y < canvas.height; ++y) for (let x = 0; x < canvas.width; ++x) {
          const k = 4 * (y * canvas.width + x);
          if (!(image[k] < 70 && image[k + 1] > 90 && image[k + 2] < 140 && image[k + 1] > image[k + 2])) continue;
          ++all;
          const px = x / scale - 3, py = 3 - y / scale;
          if (arguments[0].some(([a, b]) => (a - px) ** 2 + (b - py) ** 2 < 0.36)) ++near;
        }
        return [all, near];""", points)


def run_to_the_end(browser):
    browser.click("#start")
    browser.wait(lambda: browser.state()["phase"] != "running", "the fit to end")
    return browser.state()


def mistakes(browser):
    """What a visitor tries first: each ends with a sentence of the library."""
    kinds = {"no point": [], "one point": [[(0.5, 0.5)]], "the same point thrice": [[(1, 1)]] * 3,
             "a line": [[(x / 4, 0.5)] for x in range(-4, 5)]}
    for name, strokes in kinds.items():
        for loss in "0", "2":
            browser.click("#clear")
            browser.choose("#loss", loss)
            browser.slide("#steps", 500)
            for places in strokes:
                browser.stroke(places)
            check(len(browser.state()["points"]) == len(strokes), f"{name}: the points were not set")
            browser.click("#start")
            browser.wait(lambda: browser.state()["phase"] != "running", f"{name} to end")
            words = browser.words("#words")
            print(f"  {name}, {'implicit' if loss == '0' else 'denoising'}: {' | '.join(words.splitlines())}")
            check(len(words) > 20 and not re.search(r"undefined|NaN|Error|\[object", words), f"{name}: {words}")
            if name == "no point":
                check("no columns" in words or "no samples" in words or "at least one sample" in words, f"no points: {words}")
                check(browser.run("return document.querySelector('#words').classList.contains('error')"), "it does not look like an error")


def every_choice(browser):
    """Each energy with each loss by each method begins, and its loss is a number after some frames."""
    browser.click('[data-set="moons"]')
    browser.slide("#steps", 8000)
    for energy in "0123456":
        for loss in "012":
            for method in "01":
                browser.choose("#energy", energy)
                browser.choose("#loss", loss)
                browser.choose("#method", method)
                browser.click("#reset")
                browser.click("#start")
                browser.wait(lambda: len(browser.state()["history"]) > 1 or browser.state()["phase"] == "ended", "some iterations")
                state = browser.state()
                check(state["error"] == "" and math.isfinite(state["history"][-1][1]), f"energy {energy}, loss {loss}, method {method}: {state['words']}")
    browser.click("#reset")


def fit_page(browser, folder, pictures):
    browser.open(folder / "index.html")
    version = re.findall(r"#define SCOREMATCH_VERSION_\w+ (\d+)", (ROOT / "include/scorematch/version.hpp").read_text())
    check(browser.state()["version"] == ".".join(version), "the pages' library has another version")
    mistakes(browser)
    every_choice(browser)

    # Two blobs, sprayed by the mouse and by a finger.
    browser.click("#clear")
    browser.stroke([(-1.6, -1.2), (-1.2, -0.8), (-1.5, -1.1), (-1.3, -1.3), (-1.6, -0.9)])
    browser.stroke([(1.2, 0.8), (1.7, 1.3), (1.3, 1.1), (1.6, 0.9), (1.4, 1.2)], "touch")
    points = browser.state()["points"]
    check(len(points) > 40, f"the strokes left {len(points)} points")
    browser.choose("#energy", "0")
    browser.slide("#components", 4)
    browser.choose("#loss", "2")
    browser.slide("#sigma", -0.8)
    browser.slide("#steps", 2000)
    browser.click("#start")
    check_rate(browser, "mixture, 500 chains, fit running")
    browser.wait(lambda: browser.state()["phase"] == "ended", "the fit to end")
    state = browser.state()
    print(f"  loss {state['history'][0][1]:.3f} -> {state['history'][-1][1]:.3f}: {state['words']}")
    check(state["words"].startswith("Finished"), f"the fit's status is missing: {state['words']}")
    check(state["history"][-1][1] < state["history"][0][1] - 0.5, "the loss did not fall")
    time.sleep(2)
    distance, share = mean_distance(browser.state()["chains"], points)
    print(f"  chains: {distance:.2f} from the nearest point in the mean, {share:.0%} within 0.5")
    check(share > 0.85 and len(state["chains"]) == 1000, "the chains are not at the points")
    pixels, near = colours_at(browser, points)
    check(pixels > 500 and near > 0.8 * pixels, f"of {pixels} pixels of chains {near} are near the points")
    before = browser.state()["chains"]
    browser.click("#start")  # Start again
    browser.click("#start")  # Pause
    check(browser.state()["phase"] == "paused", "it does not pause")
    paused = browser.state()
    time.sleep(0.3)
    check(browser.state()["chains"] == paused["chains"] != before, "the chains move in a pause, or did not before")
    browser.click("#start")
    browser.wait(lambda: browser.state()["phase"] == "ended", "the fit to end")
    browser.click("#judge")
    print("  judged:", browser.words("#chain-words").replace("\n", " | "))
    browser.click("#reset")
    check(browser.state()["chains"] == [] and browser.words("#words").startswith("Ready"), "it does not reset")

    browser.click('[data-set="moons"]')
    browser.choose("#loss", "0")
    browser.slide("#components", 6)
    state = run_to_the_end(browser)
    print(f"  implicit, L-BFGS: {state['words']}")
    browser.choose("#energy", "1")
    browser.choose("#loss", "2")
    browser.slide("#steps", 2000)
    browser.click("#start")
    check_rate(browser, "perceptron, 500 chains, fit running")
    browser.wait(lambda: browser.state()["phase"] == "ended", "the fit to end")
    check_rate(browser, "perceptron, 500 chains, after the fit")
    looks(browser, pictures, "fit")


def generation_page(browser, folder, pictures):
    browser.open(folder / "generation.html")
    begun = time.monotonic()
    browser.click("#train")
    rate, longest = frames_a_second(browser, 1)
    browser.wait(lambda: browser.state()["trained"], "the training")
    print(f"  training: {time.monotonic() - begun:.1f} s for 4000 steps, {rate:.0f} frames a second; {browser.words('#words')}")
    history = browser.state()["history"]
    check(history[-1][1] < history[0][1], "the loss of the network did not fall")
    browser.click("#again")
    check_rate(browser, "particles moving")
    for sampler in "0321":
        if sampler != "1":
            browser.choose("#sampler", sampler)
        else:
            browser.choose("#sampler", "1")
            picture_on_the_way(browser, pictures)
        browser.wait(lambda: browser.words("#walk-words") != "" if not browser.state()["walking"] else False, "the way")
        browser.slide("#place", 1)
        state = browser.state()
        distance, share = mean_distance(state["particles"], state["points"])
        print(f"  sampler {sampler}: {share:.0%} within 0.5 of a point, {distance:.2f} in the mean; {' | '.join(state['walkWords'].splitlines())}")
        check(state["sigma"] == 0 and share > 0.9, "the particles are not at the points")
        check("complete" in state["walkWords"].lower(), state["walkWords"])
        pixels, near = colours_at(browser, state["points"])
        check(pixels > 500 and near > 0.85 * pixels, f"of {pixels} pixels of particles {near} are near the points")
    browser.slide("#place", 0)
    check(mean_distance(browser.state()["particles"], browser.state()["points"])[0] > 2, "noise does not look like noise")
    browser.click("#play")
    browser.wait(lambda: browser.state()["place"] > 3, "the particles to move")
    browser.click("#play")
    place = browser.state()["place"]
    time.sleep(0.2)
    check(browser.state()["place"] == place, "it does not pause")
    browser.slide("#place", 0.99)
    looks(browser, pictures, "generation")


def picture_on_the_way(browser, pictures):
    if pictures is None:
        return
    browser.wait(lambda: browser.state()["levels"] > 20, "the way")
    browser.run("document.querySelector('#show-ways').checked = true")
    browser.slide("#place", 0.6)
    time.sleep(0.3)
    browser.picture(pictures / "generation-on-the-way.png")
    browser.run("document.querySelector('#show-ways').checked = false")


def looks(browser, pictures, name):
    """Nothing is wider than a desktop's window or a phone's, and nothing was loaded from elsewhere."""
    loaded = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    check(all(re.match("file:|data:|blob:", address) for address in loaded), f"loaded: {loaded}")
    for pixels, ratio in (1280, 1), (390, 2):
        browser.width(pixels, ratio)
        time.sleep(0.4)
        wide = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        check(wide[0] <= wide[1], f"{name} is {wide[0]} wide where the window has {wide[1]}")
        if pictures is not None:
            browser.picture(pictures / f"{name}-{pixels}.png")
    browser.width(1280)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--pictures", type=pathlib.Path)
    given = parser.parse_args()
    for program in "chromium", "chromedriver":
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing (Debian: apt-get install chromium chromium-driver)")
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
    browser = Browser()
    try:
        for page in fit_page, generation_page:
            begun = time.monotonic()
            print(page.__name__)
            page(browser, given.folder, given.pictures)
            print(f"  right, in {time.monotonic() - begun:.0f} s")
    finally:
        browser.close()


if __name__ == "__main__":
    main()
