"""A JupyterLab and a Chromium of the tests' own: started here, stopped here."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from jupyter_client import BlockingKernelClient

from ..conftest import ROOT

PATIENCE = 300_000  # milliseconds for all cells, where the processor has more to do


class Lab:
    """A JupyterLab on a free port, whose files, settings and kernels are a folder's own."""

    def __init__(self, folder: Path):
        self.folder, self.runtime, self.token = folder, folder / "runtime", secrets.token_hex(16)
        own = {name: str(folder / name) for name in ("config", "settings", "workspaces", "ipython")}
        environment = os.environ | {
            "JUPYTER_CONFIG_DIR": own["config"],
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "JUPYTERLAB_SETTINGS_DIR": own["settings"],
            "JUPYTERLAB_WORKSPACES_DIR": own["workspaces"],
            "IPYTHONDIR": own["ipython"],
            "PYTHONPATH": str(ROOT),
        }
        options = ["--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"]
        options += [f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={self.token}"]
        options += ["--ServerApp.allow_root=True", "--LabApp.news_url=None"]
        options += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        # Where the tests themselves are killed, and stop nothing, it ends by itself.
        options += ["--MappingKernelManager.cull_idle_timeout=600"]
        options += ["--ServerApp.shutdown_no_activity_timeout=600"]
        command = [sys.executable, "-m", "jupyterlab", *options]
        with (folder / "lab.log").open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def stop(self) -> None:
        self.process.terminate()  # it ends its kernels
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def wait_for(self, condition, seconds: float = 60):
        """Return what `condition()` returns, as soon as that is true."""
        end = time.monotonic() + seconds
        while not (result := condition()):
            log = (self.folder / "lab.log").read_text(encoding="utf-8")
            assert self.process.poll() is None and time.monotonic() < end, log
            time.sleep(0.1)
        return result

    def address(self) -> str:
        """Return the server's address, once it answers."""

        def answering():
            for file in self.runtime.glob("jpserver-*.json"):
                try:
                    url = json.loads(file.read_text(encoding="utf-8"))["url"]
                    urllib.request.urlopen(f"{url}api", timeout=5).close()
                    return url
                except (ValueError, OSError):  # half written, or not yet listening
                    return None

        return self.wait_for(answering)

    def set(self, plugin: str, **settings) -> None:
        """Change JupyterLab's settings, as its dialog does."""
        url = f"{self.address()}lab/api/settings/@jupyterlab/{plugin}"
        body = json.dumps({"raw": json.dumps(settings)}).encode()
        header = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(url, body, header, method="PUT")).close()

    def kernel(self) -> BlockingKernelClient:
        """Return a second way to the notebook's kernel, beside the page's."""
        (file,) = self.runtime.glob("kernel-*.json")
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=30)
        return client


def write_notebook(folder: Path) -> None:
    """Write a notebook that shows the canvas."""
    sources = (
        "import mnist_helpers as mnist",
        "canvas = mnist.DrawingCanvas(mnist.pretrained())\ncanvas",
    )
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, folder / "canvas.ipynb")


@pytest.fixture(scope="package")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    options = ["--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    options += ["--disable-sync", "--no-first-run"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium refuses to run as root with it
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def lab(chromium, tmp_path_factory):
    """JupyterLab with a notebook that holds the canvas."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    write_notebook(lab.folder)
    lab.set("apputils-extension:notification", fetchNews="false")
    yield lab
    lab.stop()


@pytest.fixture(scope="package")
def page(chromium, lab):
    """The notebook in JupyterLab, both cells run. Complaints are collected."""
    context = chromium.new_context(
        viewport={"width": 1200, "height": 900}, device_scale_factor=2, has_touch=True
    )
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda m: m.type in ("error", "warning") and page.complaints.append(m.text))
    page.goto(f"{lab.address()}lab/tree/canvas.ipynb?token={lab.token}")
    idle(page)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    complaint = "[data-mime-type='application/vnd.jupyter.stderr']"  # an error's type, too
    found = page.locator(f".mnist-canvas, {complaint}").first
    found.wait_for(state="attached", timeout=PATIENCE)
    assert found.get_attribute("data-mime-type") is None, found.text_content()
    idle(page)
    yield page
    context.close()


def idle(page) -> None:
    """Wait until the kernel has nothing more to do."""
    page.get_by_text("| Idle").wait_for(timeout=PATIENCE)
