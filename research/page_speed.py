"""How fast the page answers in Chromium, and whether its numbers are PyTorch's.

An answer is all values of the lesson's network for one of MNIST's test images, as the canvas takes
them for each drawing; its time is the median of 200. The processor is throttled by Chromium itself.
The browser's answers to all test images are compared with those of PyTorch. Making the page is
timed in a process of its own, without the import of PyTorch. Needs Playwright and a Chromium.
"""

import shutil
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch
from playwright.sync_api import sync_playwright

from mnist_helpers import load, predict_logits, pretrained
from mnist_helpers.page import HERE, describe, page_html
from research.runner import RESULTS, make_parser, run_missing

TIME = """(images) => {
  const milliseconds = images.map((image) => {
    const pixels = Float32Array.from(image, (value) => value / 255);
    const start = performance.now();
    network.run(pixels);
    return performance.now() - start;
  });
  return milliseconds.slice(50); // once it is compiled
}"""
ANSWER = """(images) => images.map((image) => {
  const pixels = Float32Array.from(image, (value) => value / 255);
  return [...network.run(pixels)[network.output].data];
})"""
COLUMNS = ["median_ms", "other_digits", "largest_difference", "making_seconds", "megabytes"]


def make_page() -> tuple[float, float]:
    """Return the seconds that the first page of a process takes, and its megabytes."""
    model, start = pretrained(), time.perf_counter()
    page = page_html(model)
    return time.perf_counter() - start, len(page.encode()) / 1e6


def run_trial(throttling: int, root: str) -> dict[str, str]:
    model, images = pretrained(), load(root).test.tensors[0].flatten(1)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        seconds, megabytes = process.submit(make_page).result()
    with sync_playwright() as driver:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(content=(HERE / "network.js").read_text(encoding="utf-8"))
        page.evaluate(
            "(described) => { window.network = loadNetwork(described); }", describe(model)
        )
        tools = page.context.new_cdp_session(page)
        tools.send("Emulation.setCPUThrottlingRate", {"rate": throttling})
        median = statistics.median(page.evaluate(TIME, images[:250].tolist()))
        tools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
        parts = [page.evaluate(ANSWER, part.tolist()) for part in images.split(1_000)]
        browser.close()
    logits = torch.tensor([answer for part in parts for answer in part])
    expected = predict_logits(model, images.reshape(-1, 28, 28))
    return {
        "median_ms": f"{median:.1f}",
        "other_digits": f"{(logits.argmax(1) != expected.argmax(1)).sum()}",
        "largest_difference": f"{(logits - expected).abs().max():.1e}",
        "making_seconds": f"{seconds:.1f}",
        "megabytes": f"{megabytes:.2f}",
    }


def main(arguments: list[str] | None = None) -> None:
    options = make_parser("page_speed", __doc__, RESULTS / "page.csv").parse_args(arguments)
    trials = [{"throttling": 1}, {"throttling": 4}]
    run_missing(options.output, trials, partial(run_trial, root=options.data), COLUMNS)


if __name__ == "__main__":
    main()
