"""How fast the page answers in Chromium, and whether its numbers are PyTorch's, into
results/page.csv.

An answer is all values of the lesson's network for one test image, as the canvas takes them for
each drawing; its time is the median of 200, also with a processor that Chromium itself throttles
four times. All test images' logits are compared. Needs Playwright and a Chromium.
"""

import shutil
import time

import pandas as pd
import torch
from playwright.sync_api import sync_playwright

from mnist_helpers import load, predict_logits, pretrained
from mnist_helpers.page import HERE, describe, describe_networks, page_html
from research.runner import RESULTS, current_commit, describe_machine, make_parser

ANSWER = """(images) => images.map((image) => {
  const pixels = Float32Array.from(image, (value) => value / 255);
  const start = performance.now();
  const logits = network.run(pixels)[network.output].data;
  return [performance.now() - start, ...logits];
})"""


def measure(root: str) -> dict[str, str]:
    model, images = pretrained(), load(root).test.tensors[0]
    start = time.perf_counter()
    html = page_html(describe_networks(model))
    seconds = time.perf_counter() - start
    with sync_playwright() as driver:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(content=(HERE / "network.js").read_text(encoding="utf-8"))
        page.evaluate("(graph) => { window.network = loadNetwork(graph); }", describe(model))
        parts = [page.evaluate(ANSWER, part.flatten(1).tolist()) for part in images.split(1_000)]
        rows = torch.tensor([row for part in parts for row in part])
        chrome = page.context.new_cdp_session(page)
        chrome.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        slow = torch.tensor(page.evaluate(ANSWER, images[:200].flatten(1).tolist()))
        browser.close()
    logits, expected = rows[:, 1:], predict_logits(model, images)
    return {
        "ms": f"{rows[-200:, 0].median():.1f}",  # once it is compiled
        "throttled_ms": f"{slow[:, 0].median():.1f}",
        "other_digits": f"{(logits.argmax(1) != expected.argmax(1)).sum()}",
        "largest_difference": f"{(logits - expected).abs().max():.1e}",
        "making_seconds": f"{seconds:.1f}",
        "MB": f"{len(html.encode()) / 1e6:.2f}",
    }


def main(arguments: list[str] | None = None) -> None:
    options = make_parser("page_speed", __doc__, RESULTS / "page.csv").parse_args(arguments)
    row = measure(options.data) | {"commit": current_commit()} | describe_machine()
    pd.DataFrame([row]).to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
