// The canvas of canvas.py: an anywidget, without a library. Its state is two texts of JSON:
//   drawing, written here:   {"number": 7, "strokes": [[[x, y], ...], ...]}
//   answer, from Python:     {"number": 7, "predictions": [{"digit", "probabilities", "image"}, ...]}
// The number counts the drawing's states; an answer to an older state is not shown.

/** Make an element of HTML or SVG with attributes and children. */
function make(name, attributes = {}, ...children) {
  const space = { svg: 1, path: 1, text: 1, circle: 1 }[name] ? "2000/svg" : "1999/xhtml";
  const element = document.createElementNS(`http://www.w3.org/${space}`, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

/** Say in words what was read. */
function words({ error, predictions = [] }, isEmpty) {
  if (error) return error;
  if (isEmpty) return "No digit yet";
  const read = predictions.filter(({ digit }) => digit !== null);
  if (read.length === 0) return "No digit";
  if (predictions.length > 1) return predictions.map(({ digit }) => digit ?? "?").join(" ");
  return `${read[0].digit} (${percent(read[0].probabilities[read[0].digit])})`;
}

/** Show a 28 x 28 image as MNIST does, white on black. */
function tile(image, label) {
  const canvas = make("canvas", { width: 28, height: 28, role: "img", "aria-label": label });
  const colours = [...atob(image)].flatMap((byte) => [...Array(3).fill(byte.charCodeAt(0)), 255]);
  const pixels = new ImageData(new Uint8ClampedArray(colours), 28);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** Make the page's elements; the ones that change are returned by name. */
function makePage(size, pen) {
  const bar = () => make("span", { class: "mnist-bar", "aria-hidden": "true" }, make("span"));
  const value = () => make("span", { class: "mnist-value" });
  const page = {
    hint: make("text", { x: size / 2, y: size / 2, class: "mnist-hint" }, "Draw a digit here"),
    ink: make("path", { "stroke-width": pen }),
    cursor: make("circle", { class: "mnist-cursor", r: pen / 2 }),
    undo: make("button", { type: "button" }, "Undo"),
    clear: make("button", { type: "button" }, "Clear"),
    answer: make("p", { class: "mnist-answer", "aria-live": "polite" }, "…"),
    images: make("div", { class: "mnist-images" }),
    bars: Array.from({ length: 10 }, (_, digit) =>
      make("li", {}, make("span", { class: "mnist-digit" }, `${digit}`), bar(), value()),
    ),
  };
  const keys = "with the keyboard, arrows move the pen and the space bar lowers and lifts it";
  const paper = { viewBox: `0 0 ${size} ${size}`, tabindex: 0, role: "application" };
  paper["aria-label"] = `Canvas to draw a digit on; ${keys}`;
  page.paper = make("svg", paper, page.hint, page.ink, page.cursor);
  const busy = make("span", { class: "mnist-busy", "aria-hidden": "true" }, "Python is busy …");
  const restarted = "Python was restarted: run the cells again";
  const lost = make("span", { class: "mnist-lost", role: "status" }, restarted);
  const buttons = make("div", { class: "mnist-buttons" }, page.undo, page.clear, busy, lost);
  const list = make("ol", { "aria-label": "Probabilities" }, ...page.bars);
  const part = (name, title, ...children) =>
    make("div", { class: `mnist-${name}` }, make("h4", {}, title), ...children);
  page.root = make("div", { class: "mnist-canvas" });
  page.root.append(
    part("draw", "Your digit", page.paper, buttons),
    part("read", "Answer", page.answer, list),
    part("seen", "The network’s input", page.images),
  );
  return page;
}

function render({ model, el }) {
  const size = model.get("size");
  const page = makePage(size, model.get("pen"));
  let number = 0; // of the drawing's state
  let strokes = [];
  let stroke = null; // the one being drawn, the last of `strokes`
  let pointer = null; // the finger or pen that draws it; others are ignored
  let cursor = [size / 2, size / 2]; // where the arrow keys have moved the pen
  let chosen = 0; // whose probabilities are shown, where there are several digits

  function showDrawing() {
    const path = strokes.map((points) => `M${[...points, points.at(-1)].join("L")}`);
    page.ink.setAttribute("d", path.join(""));
    page.cursor.setAttribute("transform", `translate(${cursor})`);
    page.hint.style.display = strokes.length ? "none" : "";
  }

  function showAnswer() {
    const state = JSON.parse(model.get("answer"));
    const isOld = state.number !== number;
    page.root.classList.toggle("mnist-waiting", isOld);
    if (isOld) return;
    const { predictions = [] } = state;
    if (chosen >= predictions.length) chosen = 0;
    const said = words(state, strokes.length === 0);
    if (page.answer.textContent !== said) page.answer.textContent = said; // it is spoken once
    const { digit = null, probabilities = [] } = predictions[chosen] ?? {};
    page.root.classList.toggle("mnist-refused", digit === null);
    page.bars.forEach((bar, i) => {
      const [, length, value] = bar.children;
      bar.classList.toggle("mnist-best", i === digit);
      length.firstChild.style.width = percent(probabilities[i] ?? 0).replace(" ", "");
      value.textContent = probabilities.length ? percent(probabilities[i]) : "";
    });
    const tiles = predictions.map(({ image, digit }, i) => {
      const name = `${digit ?? "no digit"}`;
      if (predictions.length === 1) return tile(image, `28 by 28 pixels: ${name}`);
      const pressed = { type: "button", "aria-pressed": i === chosen };
      const button = make("button", pressed, tile(image, "28 by 28 pixels"), name);
      button.onclick = () => {
        chosen = i;
        showAnswer();
        page.images.children[i].focus();
      };
      return button;
    });
    page.images.replaceChildren(...tiles);
  }

  /** Take over the model's drawing: this page's own, another page's, or one from before. */
  function update() {
    if (stroke) return; // what is being drawn here is newer
    ({ number, strokes } = JSON.parse(model.get("drawing")));
    showDrawing();
    showAnswer();
  }

  function send(strokes) {
    stroke = pointer = null;
    model.set("drawing", JSON.stringify({ number: number + 1, strokes })); // calls update
    model.save_changes();
  }

  function start(point) {
    stroke = [point];
    strokes = [...strokes, stroke];
    showDrawing();
  }

  function extend(point) {
    const [x, y] = stroke.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) >= 2) stroke.push(point);
    showDrawing();
  }

  /** Return where a pointer is in the canvas' units, at most a little outside. */
  function position(event) {
    const box = page.paper.getBoundingClientRect();
    const parts = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return parts.map((part) => Math.round(size * Math.min(Math.max(part, -0.2), 1.2)));
  }

  page.paper.onpointerdown = (event) => {
    if (pointer !== null || event.button !== 0) return;
    pointer = event.pointerId;
    page.paper.setPointerCapture(pointer);
    start(position(event));
  };
  page.paper.onpointermove = (event) => {
    if (event.pointerId !== pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) extend(position(each));
  };
  page.paper.onpointerup = page.paper.onpointercancel = (event) => {
    if (event.pointerId === pointer) send(strokes);
  };
  page.paper.onkeydown = (event) => {
    const steps = { ArrowLeft: [-7, 0], ArrowRight: [7, 0], ArrowUp: [0, -7], ArrowDown: [0, 7] };
    const step = steps[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    if (step) cursor = cursor.map((part, i) => Math.min(Math.max(part + step[i], 0), size));
    if (step && stroke) extend(cursor);
    else if (step) showDrawing();
    else if (stroke) send(strokes);
    else start(cursor);
  };
  // JupyterLab's single keys don't act on its cells from here; its Ctrl+S still does.
  const shield = ({ ctrlKey, metaKey }) =>
    page.root.toggleAttribute("data-lm-suppress-shortcuts", !ctrlKey && !metaKey);
  // Once it is shown, a Jupyter widget has this event only when it has lost its Python.
  const lose = () => page.root.classList.add("mnist-restarted");
  page.undo.onclick = () => send(strokes.slice(0, -1));
  page.clear.onclick = () => send([]);

  model.on("change:drawing", update);
  model.on("change:answer", showAnswer);
  model.on("comm_live_update", lose);
  window.addEventListener("keydown", shield, true);
  el.replaceChildren(page.root);
  update();
  return () => {
    window.removeEventListener("keydown", shield, true);
    model.off("change:drawing", update);
    model.off("change:answer", showAnswer);
    model.off("comm_live_update", lose);
  };
}

export default { render };
