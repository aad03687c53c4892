"""The canvas in Chromium: as a page from the disk, and as a widget in a real JupyterLab."""

import json
import re

import nbconvert
import nbformat
import numpy as np
import pytest
import torch
from torch import nn

import mnist_helpers as mnist
from mnist_helpers.drawings import draw
from mnist_helpers.page import FRONT_END, describe, save_page

from ..conftest import ROOT
from .test_network import in_half_precision

PEN_DIGITS = json.loads((ROOT / "research" / "pen_digits.json").read_text(encoding="utf-8"))
STROKES = {(d["writer"], d["label"]): d["strokes"] for d in PEN_DIGITS["drawings"]}
GALLERY = json.loads((ROOT / "mnist_helpers" / "gallery.json").read_text(encoding="utf-8"))
SCRIBBLE = [np.random.default_rng(1).uniform(0.1, 0.9, (14, 2))]


def write(digit: int, left=0.25, top=0.15, height=0.7) -> list[np.ndarray]:
    """Return one person's strokes of a digit, placed on a canvas whose width and height are 1."""
    strokes = STROKES["UPV_W41", str(digit)]
    strokes = [np.array(stroke[:-1:3] + stroke[-1:], dtype=float) for stroke in strokes]
    points = np.vstack(strokes)
    scale = height / np.ptp(points[:, 1])
    return [(left, top) + scale * (stroke - points.min(axis=0)) for stroke in strokes]


class Canvas:
    """What a reader does on the canvas, and sees there."""

    def __init__(self, page, root=None):
        self.page = page
        self.root = root or page.locator(".mnist-canvas")
        self.paper = self.root.get_by_role("application")
        self.detail = self.root.locator(".mnist-detail")
        self.touch = page.context.new_cdp_session(page)
        self.paper.scroll_into_view_if_needed()

    def press(self, button: str) -> None:
        self.root.get_by_role("button", name=button, exact=True).click()

    def places(self, stroke) -> list[tuple[float, float]]:
        """Return where on the screen the points of a stroke are."""
        box = self.paper.bounding_box()
        return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]

    def draw(self, strokes, lift: bool = True) -> None:
        """Draw with the mouse."""
        for stroke in strokes:
            first, *rest = self.places(stroke)
            self.page.mouse.move(*first)
            self.page.mouse.down()
            for place in rest:
                self.page.mouse.move(*place)
            if lift:
                self.page.mouse.up()

    def draw_by_finger(self, strokes) -> None:
        for stroke in strokes:
            kinds = ["touchStart"] + ["touchMove"] * (len(stroke) - 1)
            for kind, (x, y) in zip(kinds, self.places(stroke), strict=True):
                self.send_touch(kind, [{"x": x, "y": y}])
            self.send_touch("touchEnd", [])

    def send_touch(self, kind: str, points: list) -> None:
        self.touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def wait(self) -> None:
        """Wait until what was drawn is computed and shown: that takes one frame."""
        frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.page.evaluate(frame)

    def answer(self) -> str:
        self.wait()
        return self.root.locator(".mnist-answer p").first.text_content()

    def path(self) -> str:
        self.wait()
        return self.paper.locator("path").get_attribute("d")

    def layer(self, name: str):
        """Return a layer's image of all its maps, or values."""
        layer = self.root.locator(f".mnist-layer:has(p span:text-is('{name}'))")
        return layer.locator("canvas").last

    def tap(self, layer: str, map: int) -> None:
        """Take apart a layer's map or value."""
        self.layer(layer).locator("..").get_by_role("radio").nth(map).click()

    def point(self, x: int, y: int, width: int, height: int) -> None:
        """Point at a pixel of the map that is taken apart."""
        canvas = self.detail.locator(".mnist-from canvas").last
        box = canvas.bounding_box()
        x, y = (x + 0.5) / width * box["width"], (y + 0.5) / height * box["height"]
        canvas.click(position={"x": x, "y": y})

    def rows(self) -> dict[str, float]:
        """Return what adds up to the value: what it comes from, and how much each gives."""
        rows = [row.locator("> *") for row in self.detail.locator(".mnist-parts > div").all()]
        texts = [(row.first.text_content(), row.last.text_content()) for row in rows]
        return {name: value(number.removeprefix("sum ")) for name, number in texts}


def value(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


# On the page, which is opened from the disk, without a network


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "digits.html"
    save_page(mnist.pretrained(), path)
    return path


@pytest.fixture
def phone(chromium):
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True, offline=True
    )
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: page.complaints.append(message.text))
    yield page
    assert page.complaints == []
    context.close()


@pytest.fixture
def drawn(phone, file) -> Canvas:
    """The page's canvas."""
    phone.goto(file.as_uri())
    return Canvas(phone)


def test_digits_that_are_drawn_by_mouse_and_by_finger_are_classified_and_a_scribble_is_not(drawn):
    wrong = []
    for digit in range(10):
        for how in (drawn.draw, drawn.draw_by_finger):
            drawn.press("Clear")
            how(write(digit))
            if drawn.answer() != str(digit):
                wrong.append((digit, how.__name__))
    assert len(wrong) <= 1, wrong
    drawn.press("Clear")
    drawn.draw(SCRIBBLE)
    assert drawn.answer() == "?"


def test_the_maps_change_while_one_draws(drawn):
    drawn.press("Clear")
    drawn.wait()
    pictures = [drawn.layer("layers.4").evaluate("(canvas) => canvas.toDataURL()")]
    first, *rest = drawn.places(write(3)[0])
    drawn.page.mouse.move(*first)
    drawn.page.mouse.down()
    for place in rest[1::4]:
        drawn.page.mouse.move(*place)
        drawn.wait()
        pictures.append(drawn.layer("layers.4").evaluate("(canvas) => canvas.toDataURL()"))
    assert len(set(pictures)) == len(pictures) >= 4


def test_on_a_phone_drawing_answer_and_the_first_maps_are_seen_together(drawn):
    for part in (drawn.paper, drawn.root.locator(".mnist-answer"), drawn.layer("layers.0")):
        box = part.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 844
    box = drawn.layer("layers.1").bounding_box()
    assert box["y"] + box["height"] / 2 <= 844


@pytest.mark.parametrize("width", [320, 390, 768, 1200])
def test_nothing_is_wider_than_the_page(drawn, width):
    drawn.page.set_viewport_size({"width": width, "height": 844})
    for layer in ("layers.1", "layers.5", "layers.11", "layers.15"):
        drawn.tap(layer, 3)
        assert drawn.page.evaluate("document.documentElement.scrollWidth") <= width, layer


def test_undo_takes_back_the_last_stroke(drawn):
    drawn.draw(write(7)[:1])
    first = drawn.path()
    drawn.draw(write(7)[1:] or write(4)[:1])
    assert drawn.path() != first
    drawn.press("Undo")
    assert drawn.path() == first


def test_the_first_stroke_replaces_the_example(drawn):
    example = drawn.path()
    drawn.draw([[(0.5, 0.2), (0.5, 0.8)]])
    assert not drawn.path().startswith(example) and drawn.path().count("M") == 1
    assert drawn.answer() == "1"


def test_a_finger_scrolls_the_page_beside_the_canvas_and_not_on_it(drawn):
    scrolled = "document.scrollingElement.scrollTop"
    drawn.draw_by_finger([[(0.5, 0.9 - i / 25) for i in range(20)]])
    assert drawn.answer() == "1" and drawn.page.evaluate(scrolled) == 0
    drawn.draw_by_finger([[(0.5, 2.5 - i / 12) for i in range(20)]])  # below it
    drawn.page.wait_for_function(f"{scrolled} > 0")


def test_a_drawing_that_was_scrolled_away_is_not_drawn_on(drawn):
    before, box = drawn.path(), drawn.paper.bounding_box()
    drawn.page.evaluate("(y) => scrollTo(0, y)", box["y"] + box["height"] / 2)
    assert drawn.paper.bounding_box()["y"] == pytest.approx(-box["height"] / 2, abs=1)
    drawn.draw_by_finger([[(0.5, 1.4 - i / 25) for i in range(20)]])  # where it was, below it
    middle = box["y"] + box["height"] / 2
    drawn.page.wait_for_function(f"document.scrollingElement.scrollTop > {middle}")
    assert drawn.path() == before


def test_maps_that_are_tapped_stay_in_view(drawn):
    drawn.tap("layers.5", 60)
    box = drawn.layer("layers.5").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 844
    assert drawn.detail.is_visible()


def test_it_can_be_used_with_the_keyboard_alone(drawn):
    keyboard = drawn.page.keyboard
    drawn.press("Clear")
    drawn.paper.focus()
    for key in ["ArrowUp"] * 10 + ["Space"] + ["ArrowDown"] * 20 + ["Space"]:
        keyboard.press(key)
    assert drawn.answer() == "1"
    keyboard.press("Tab")
    keyboard.press("Enter")  # on Undo
    assert drawn.answer() == "" and drawn.path() == ""


def test_a_space_bar_that_is_held_lowers_the_pen_once(drawn):
    drawn.press("Clear")
    drawn.paper.focus()
    for _ in range(5):
        drawn.page.keyboard.down("Space")  # the same key again is a repeated one
    drawn.page.keyboard.press("ArrowDown")
    drawn.page.keyboard.up("Space")
    assert drawn.path().count("M") == 1
    assert drawn.path().count("L") == 2


def test_a_pen_that_keys_have_lowered_draws_on_no_example_and_no_other_strokes(drawn):
    drawn.paper.focus()
    drawn.page.keyboard.press("Space")
    drawn.draw([[(0.2, 0.2), (0.2, 0.8)]])
    assert drawn.path().count("M") == 2
    drawn.press("Clear")
    drawn.page.keyboard.press("Space")
    drawn.press("5")
    example = drawn.path()
    drawn.page.keyboard.press("ArrowDown")
    assert drawn.path() == example


def test_a_screen_reader_is_told_the_answer_once_the_pen_is_lifted(drawn):
    told = drawn.root.locator("[aria-live]")
    drawn.press("Clear")
    drawn.draw(write(3), lift=False)
    drawn.wait()
    assert told.get_attribute("aria-busy") == "true"
    drawn.page.mouse.up()
    drawn.wait()
    assert told.get_attribute("aria-busy") == "false" and told.text_content() == "3"


@pytest.mark.parametrize("width", [390, 1200])
def test_a_notebook_as_html_holds_a_canvas_that_works_and_is_seen_whole(chromium, tmp_path, width):
    data, _ = mnist.DrawingCanvas(mnist.pretrained(), page=True)._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data, execution_count=1)
    cell = nbformat.v4.new_code_cell("canvas", outputs=[output], execution_count=1)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    text, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    (tmp_path / "lesson.html").write_text(text, encoding="utf-8")
    page = chromium.new_page(viewport={"width": width, "height": 1000})
    page.route(re.compile("^http"), lambda route: route.abort())
    page.goto((tmp_path / "lesson.html").as_uri(), wait_until="domcontentloaded")
    frame = page.frame_locator("iframe")
    canvas = Canvas(page, frame.locator(".mnist-canvas"))
    canvas.press("Clear")
    canvas.draw(write(7))
    frame.get_by_text("7", exact=True).first.wait_for()
    assert canvas.answer() == "7"
    content = frame.locator("html").bounding_box()["height"]
    assert page.locator("iframe").bounding_box()["height"] == pytest.approx(content, abs=1)
    page.close()


# The same module, with other networks


@pytest.fixture
def tools(phone):
    """A page on which the module's own functions can be called."""
    phone.goto("about:blank")
    shown = "Object.assign(window, { toImage, render });"
    script = FRONT_END.replace("export default { render };", shown)
    phone.add_script_tag(type="module", content=script)
    phone.wait_for_function("Boolean(window.render)")
    phone.add_style_tag(path=ROOT / "mnist_helpers" / "canvas.css")
    return phone


MOUNT = """([classifier, gallery]) => {
  const state = { networks: { classifier }, gallery, drawing: { strokes: [] }, kept: {} };
  const model = { get: (name) => state[name], set() {}, on() {}, save_changes() {} };
  render({ model, el: document.body.appendChild(document.createElement("main")) });
}"""


def mount(page, model: nn.Module) -> Canvas:
    page.evaluate(MOUNT, [describe(model), GALLERY["drawings"]])
    canvas = Canvas(page, page.locator(".mnist-canvas").last)
    canvas.wait()
    return canvas


def image_of(page, strokes: list) -> torch.Tensor:
    return torch.tensor(page.evaluate("(strokes) => [...toImage(strokes)]", strokes)).view(28, 28)


def test_a_drawing_is_put_into_mnists_format(tools):
    stroke = [[30, 40], [30, 240]]
    image = image_of(tools, [stroke]).double()
    rows, columns = (image > 0).any(1).nonzero(), (image > 0).any(0).nonzero()
    assert rows.max() - rows.min() + 1 in (20, 21)  # pixels; one more where it begins within one
    assert columns.max() - columns.min() + 1 in (3, 4)
    # A pen of 2.4 pixels, 17.6 pixels far: a rectangle, and half a circle at each end.
    assert image.sum() / 255 == pytest.approx(2.4 * 17.6 + np.pi * 1.2**2, rel=0.02)
    for each in GALLERY["drawings"]:
        image = image_of(tools, each["strokes"]).double()
        middles = [(image.sum(1 - axis) * torch.arange(28)).sum() / image.sum() for axis in (0, 1)]
        assert middles == pytest.approx([14, 14], abs=0.51)
    dot = image_of(tools, [[[100, 100]]]).double()
    assert dot.sum() / 255 == pytest.approx(np.pi * 1.6**2, rel=0.05)


def test_pen_drawn_digits_look_to_the_network_as_they_do_by_to_mnist(tools):
    images = torch.stack([image_of(tools, each["strokes"]) for each in GALLERY["drawings"]])
    others = torch.stack([mnist.to_mnist(draw(d["strokes"])) for d in GALLERY["drawings"]])
    model = mnist.pretrained()
    digits = [mnist.predict_proba(model, each.byte()).argmax(1) for each in (images, others)]
    assert torch.equal(*digits)


def small(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return in_half_precision(nn.Sequential(*layers))


CONVOLUTIONS = {
    "plain": lambda: small(nn.Conv2d(1, 8, 5), nn.Flatten(), nn.Linear(8 * 576, 10)),
    "padded, with strides": lambda: small(
        nn.Conv2d(1, 8, (3, 5), stride=(2, 3), padding=(1, 2)), nn.Flatten(), nn.LazyLinear(10)
    ),
    "dilated": lambda: small(
        nn.Conv2d(1, 8, 3, dilation=4, padding="same"), nn.Flatten(), nn.LazyLinear(10)
    ),
    "second, in groups": lambda: small(
        nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 4, groups=2, padding=2), nn.Flatten(), nn.LazyLinear(10)
    ),
}


@pytest.fixture
def three(tools) -> torch.Tensor:
    """The example of a 3, as networks get it."""
    return image_of(tools, GALLERY["drawings"][3]["strokes"])[None, None] / 255


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_products_of_a_convolutions_pixel_add_up_to_pytorchs_value(tools, three, name):
    model = CONVOLUTIONS[name]()
    with torch.no_grad():
        model(three)
    canvas = mount(tools, in_half_precision(model))
    depth = 2 if "second" in name else 1
    with torch.no_grad():
        maps = model[:depth](three)[0]
    _, height, width = maps.shape
    canvas.tap(str(depth - 1), 5)
    largest = divmod(int(maps[5].abs().argmax()), width)
    for y, x in [largest, (height - 1, width - 1), (0, 0)]:
        canvas.point(x, y, width, height)
        rows = canvas.rows()
        together = rows.pop("Conv2d[5]")
        assert together == pytest.approx(float(maps[5, y, x]), abs=0.006)
        assert sum(rows.values()) == pytest.approx(together, abs=0.005 * (len(rows) + 1))
    frame = canvas.detail.locator("path").get_attribute("d")  # on the input, as wide as 44
    left, top = (float(edge) for edge in re.match(r"M([^ ]+) ([^H]+)H", frame).groups())
    padding = {"padded, with strides": (2, 1), "dilated": (4, 4), "second, in groups": (2, 2)}
    side = 44 / (26 if depth == 2 else 28)
    expected = [-side * pixels for pixels in padding.get(name, (0, 0))]
    assert [left, top] == pytest.approx(expected, abs=1e-3)


def test_the_numbers_under_the_finger_are_those_of_patch_kernel_and_products(tools, three):
    model = CONVOLUTIONS["plain"]()
    canvas = mount(tools, model)
    canvas.tap("0", 2)
    canvas.point(11, 9, 24, 24)
    patch, kernel = three[0, 0, 9:14, 11:16], model[0].weight.data[2, 0]
    tables = canvas.detail.locator("figure").all()
    for table, values in zip(tables, (patch, kernel, patch * kernel), strict=True):
        shown = [value(text) for text in table.locator("span").all_text_contents()]
        assert shown == pytest.approx(values.flatten().tolist(), abs=0.0051)


@pytest.mark.parametrize(("layer", "map"), [(5, 12), (15, 8)])
def test_of_many_maps_or_values_those_that_give_most_are_shown(tools, three, layer, map):
    model = mnist.pretrained()
    canvas = mount(tools, model)
    canvas.tap(f"layers.{layer}", map)
    with torch.no_grad():
        inputs = model.layers[:layer](three)[0]
    if layer == 5:
        canvas.point(3, 2, 8, 8)
        inputs = inputs[:, 2:7, 3:8]
    given = inputs * model.layers[layer].weight.data[map]
    given = given.reshape(len(inputs), -1).sum(1)
    order = given.abs().argsort(descending=True)[:6].tolist()
    *shown, (_, others), _, _ = canvas.rows().items()
    assert [name for name, _ in shown] == [f"ReLU[{each}]" for each in order]
    assert [number for _, number in shown] == pytest.approx(given[order].tolist(), abs=0.006)
    assert others == pytest.approx(float(given.sum() - given[order].sum()), abs=0.006)


def test_a_linear_layer_on_an_image_shows_its_weights_as_an_image(tools, three):
    model = small(nn.Flatten(), nn.Linear(784, 10))
    canvas = mount(tools, model)
    canvas.tap("1", 4)
    expected = float(model[1].weight.data[4] @ three.flatten())
    assert canvas.rows()["input[0]"] == pytest.approx(expected, abs=0.006)
    sizes = canvas.detail.locator(".mnist-one canvas").evaluate_all(
        "(all) => all.map((c) => c.width)"
    )
    assert sizes == [28, 28, 28]


def test_a_networks_last_layer_may_be_a_view_and_linear_layers_of_rows_are_not_taken_apart(tools):
    rows = nn.Flatten(0, 2), nn.Linear(28, 10), nn.Unflatten(0, (1, 28)), nn.AvgPool2d((28, 1))
    canvas = mount(tools, small(*rows, nn.Flatten()))
    assert not canvas.layer("1").locator("..").get_by_role("radio").first.is_enabled()
    assert canvas.root.locator(".mnist-layer li").count() == 10


def test_names_of_classes_and_layers_are_text(tools):
    name = "<img src=x onerror=alert`1`>"
    layer = type(name, (nn.Linear,), {})(784, 10)
    model = nn.Sequential(nn.Flatten())
    model.add_module("<b>last</b>", layer)
    canvas = mount(tools, model)
    assert canvas.root.get_by_text(name).is_visible()
    assert canvas.root.get_by_text("<b>last</b>", exact=True).is_visible()
    assert canvas.root.locator("img").count() == 0


def test_what_follows_a_convolution_stands_in_its_block(tools):
    canvas = mount(tools, mnist.pretrained())
    blocks = canvas.root.locator("section").all()
    names = [block.locator(".mnist-layer p b").all_text_contents() for block in blocks]
    after = ["MaxPool2d", "BatchNorm2d", "ReLU"]
    assert names[0] == ["input", "LocalNormalise"]
    assert names[1] == names[2] == ["Conv2d", *after]
    assert names[3:] == [["Linear", "BatchNorm1d", "ReLU"], ["Linear"]]


def test_more_than_64_maps_are_shown_when_one_asks_for_them(tools):
    model = small(nn.Conv2d(1, 72, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(72, 10))
    canvas = mount(tools, model)
    image = canvas.layer("0").locator("..")
    last, more = (image.get_by_role("radio").nth(i) for i in (63, 71))
    bottom = image.evaluate("(image) => image.getBoundingClientRect().bottom")
    ends = [each.bounding_box()["y"] + each.bounding_box()["height"] for each in (last, more)]
    assert ends[0] <= bottom < ends[1]
    more.click()
    assert canvas.detail.is_visible()


def test_two_canvases_on_a_page_have_each_their_own_drawing(tools):
    first, second = mount(tools, mnist.pretrained()), mount(tools, mnist.pretrained())
    first.root = tools.locator(".mnist-canvas").first
    first.paper = first.root.get_by_role("application")
    second.paper.scroll_into_view_if_needed()
    second.draw([[(0.5, 0.2), (0.5, 0.8)]])
    assert second.answer() == "1"
    assert first.answer() == "3"


# As a widget, in JupyterLab


@pytest.fixture
def widget(page) -> Canvas:
    canvas = Canvas(page)
    canvas.press("Clear")
    return canvas


def ask(lab, code: str) -> str:
    """Return what the notebook's Python prints."""
    client = lab.kernel()
    printed = []
    hook = lambda message: printed.append(message["content"].get("text", ""))  # noqa: E731
    client.execute_interactive(code, output_hook=hook, timeout=60)
    client.stop_channels()
    return "".join(printed)


def save(page) -> None:
    """Save the notebook, and wait until it is."""
    with page.expect_response(lambda r: r.request.method == "PUT" and "canvas.ipynb" in r.url):
        page.keyboard.press("Control+s")


KEPT = "print([label for label in '0123456789' if label in canvas.kept])"
INK = "print(int(canvas.image.sum()), canvas.digits.tensors[0].sum((1, 2, 3)).tolist())"


def test_what_is_drawn_and_kept_is_in_python(widget, lab):
    examples = json.loads(ask(lab, INK).split(maxsplit=1)[1])
    widget.draw(write(4))
    assert widget.answer() == "4"
    widget.root.get_by_role("button", name="4", exact=True).click()
    widget.draw_by_finger(write(7))  # a new drawing
    assert widget.answer() == "7"
    widget.root.get_by_role("button", name="7", exact=True).click()
    widget.wait()
    ink, digits = ask(lab, INK).split(maxsplit=1)
    digits = json.loads(digits)
    assert ask(lab, KEPT).strip() == "['4', '7']"
    assert digits[7] == int(ink) != examples[7] and digits[4] != examples[4]
    assert digits[:4] + digits[5:7] + digits[8:] == examples[:4] + examples[5:7] + examples[8:]


def test_a_kept_digit_is_shown_again_and_an_example_keeps_nothing(widget, lab):
    widget.draw([[(0.5, 0.2), (0.5, 0.8)]])
    own = widget.path()
    widget.root.get_by_role("button", name="1", exact=True).click()
    widget.root.get_by_role("button", name="5", exact=True).click()  # an example
    assert widget.answer() == "5"
    widget.root.get_by_role("button", name="1", exact=True).click()
    assert widget.path() == own
    assert "'5'" not in ask(lab, KEPT)


def test_it_answers_while_python_is_busy(widget, lab):
    client = lab.kernel()
    gate = lab.folder / "gate"
    client.execute(
        "import pathlib, time\n"
        f"while not pathlib.Path({str(gate)!r}).exists():\n"
        "    time.sleep(0.01)"
    )
    while client.get_iopub_msg(timeout=10)["content"].get("execution_state") != "busy":
        pass
    widget.draw(write(3))
    assert widget.answer() == "3"
    gate.touch()
    client.stop_channels()
    assert int(ask(lab, INK).split()[0]) > 0  # Python has the drawing, then


def test_a_drawing_is_still_there_after_a_reload_and_in_the_dark_theme(widget, lab):
    widget.draw(write(2))
    before, path = widget.answer(), widget.path()
    save(widget.page)  # with the focus on the canvas
    lab.set("apputils-extension:themes", theme="JupyterLab Dark")
    widget.page.reload()
    widget.page.locator(".mnist-stage path[d^=M]").wait_for(state="attached", timeout=30_000)
    widget.paper.scroll_into_view_if_needed()
    widget.page.wait_for_timeout(500)
    assert (widget.answer(), widget.path()) == (before, path)
    widget.page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")


def test_jupyterlabs_keys_do_nothing_to_the_notebook_from_the_canvas(widget):
    cells = widget.page.locator(".jp-Cell").count()
    widget.paper.focus()
    for key in ("a", "b", "d", "d"):
        widget.page.keyboard.press(key)
    assert widget.page.locator(".jp-Cell").count() == cells


def test_the_browser_has_nothing_to_complain_about(page):
    assert page.complaints == []  # Notebook 7, below, complains of itself


def test_on_a_phone_it_fits_the_page_of_notebook_7(page, lab):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{lab.address()}notebooks/canvas.ipynb?token={lab.token}")
    page.locator(".mnist-canvas").wait_for(state="attached", timeout=30_000)
    canvas = Canvas(page)
    canvas.press("Clear")
    canvas.draw_by_finger(write(6))
    assert canvas.answer() == "6"
    box = canvas.root.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert canvas.root.evaluate("(root) => root.scrollWidth <= root.clientWidth")


def test_it_answers_after_a_restart_of_python(page, lab):
    page.set_viewport_size({"width": 1200, "height": 900})
    page.goto(f"{lab.address()}lab/tree/canvas.ipynb?token={lab.token}")
    page.locator(".mnist-canvas").wait_for(state="attached", timeout=30_000)
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Restart Kernel…")).click()  # and its keys
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.get_by_text("| Idle").wait_for(timeout=60_000)
    canvas = Canvas(page)
    canvas.press("Clear")
    canvas.draw(write(5))
    assert canvas.answer() == "5"
    canvas.draw(SCRIBBLE)
    assert canvas.answer() == "?"
