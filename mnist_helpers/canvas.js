// The canvas of canvas.py and page.py, without a library: one draws, and sees what the network
// makes of it, layer by layer. It stands in one module with network.js, whose functions it uses.

const SIZE = 280; // the canvas' height and width in its own units
const PEN = 20; // and its pen's width
const MOST_MAPS = 64; // of a layer, before the reader asks for more
const COLOURS = { ink: [17, 17, 17], above: [178, 24, 43], below: [33, 102, 172] };
const VIEWS = ["view", "permute", "expand", "slice"]; // not shown: no new values
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const between = (low, value, high) => Math.min(Math.max(value, low), high);
const cut = (values, length, i) => values.subarray(i * length, (i + 1) * length);
const number = (value, digits = 2) =>
  (Number(value.toFixed(digits)) || 0).toFixed(digits).replace("-", "\u2212");
const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
const strongest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);

/** Make an element of markup that holds nobody's names; text among its children stays text. */
function html(markup, ...children) {
  const template = document.createElement("template");
  template.innerHTML = markup;
  template.content.firstChild.append(...children);
  return template.content.firstChild;
}

/** Return the direction of an arrow key, [0, 0] for other keys. */
function directionOf(event) {
  if (event.key in ARROWS) event.preventDefault(); // nothing scrolls
  return ARROWS[event.key] ?? [0, 0];
}

/** Return where an event is, or next to where, on an element so many units wide and high. */
function locate(element, { clientX, clientY }, width, height) {
  const box = element.getBoundingClientRect();
  const [x, y] = [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
  const inside = (part, length) => between(0, Math.floor(part * length), length - 1);
  return [inside(x, width), inside(y, height)];
}

/** Draw strokes in MNIST's format, 28 x 28 bytes: the ink's longer side is 20 pixels, its centre of
 *  mass lies in the middle, and each pixel is the mean of 8 x 8 that are ink or not. */
function toImage(strokes) {
  const axes = [0, 1].map((axis) => strokes.flat().map((point) => point[axis]));
  const starts = axes.map((places) => Math.min(...places));
  const sides = axes.map((places, axis) => Math.max(...places) - starts[axis]);
  const longer = Math.max(...sides, PEN); // a dot stays one
  const pen = between(2.4, (20 * PEN) / (longer + PEN), 3.2); // in MNIST's pixels
  const [scale, radius] = [(8 * (20 - pen)) / longer, 4 * pen]; // in eighths of them
  const ink = new Set(); // places in rows of 160
  for (const stroke of strokes) {
    const points = stroke.map((point) => point.map((at, i) => (at - starts[i]) * scale + radius));
    points.forEach((end, i) => drawLine(ink, points[Math.max(i - 1, 0)], end, radius));
  }
  const places = Array.from(ink, (place) => [place % 160, Math.floor(place / 160)]);
  const [right, down] = sides.map((side, axis) => {
    const middle = total(places.map((place) => place[axis] + 0.5)) / places.length;
    return between(0, Math.round(8 * 14.5 - middle), Math.floor(224 - side * scale - 2 * radius));
  });
  const image = new Float32Array(784);
  for (const [x, y] of places) image[((y + down) >> 3) * 28 + ((x + right) >> 3)] += 255 / 64;
  return Uint8Array.from(image, Math.round);
}

/** Add what lies within a radius of the line between two points. */
function drawLine(ink, [x0, y0], [x1, y1], radius) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const within = (a, b) =>
    range(Math.floor(Math.min(a, b) - radius), Math.ceil(Math.max(a, b) + radius));
  for (const y of within(y0, y1)) {
    for (const x of within(x0, x1)) {
      const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
      const t = between(0, (px * dx + py * dy) / (dx * dx + dy * dy || 1), 1);
      if (Math.hypot(px - t * dx, py - t * dy) <= radius) ink.add(y * 160 + x);
    }
  }
}

/** Paint maps side by side, one pixel for each value, which the style sheet enlarges: white at 0,
 *  this colour at `bound`, and blue at -bound. */
function paint(canvas, values, [height, width], [colour, bound], columns = 1) {
  const rows = Math.ceil(values.length / (height * width * columns));
  const maps = full([rows, columns, height, width], 0);
  maps.data.set(values);
  const image = new ImageData(columns * width, rows * height);
  image.data.fill(255);
  torch.permute(maps, [0, 2, 1, 3]).data.forEach((value, i) => {
    const [end, part] = [value < 0 ? COLOURS.below : COLOURS[colour], Math.abs(value) / bound];
    for (let j = 0; j < 3; j++) image.data[4 * i + j] += part * (end[j] - 255);
  });
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Make an image with a grid of cells over it. */
function overlay(columns, cells) {
  const grid = html(`<div style="--columns: ${columns}">`, ...cells);
  return html("<div class='mnist-image'><canvas></canvas></div>", grid);
}

/** Return of a shape how many maps it holds, and their height and width; a vector's are 1 x 1. */
function measure(shape) {
  const sides = shape.length === 4 ? shape : shape.filter((length) => length > 1);
  const isVector = sides.length < 2 || product(sides) === sides.at(-1);
  const size = isVector ? [1, 1] : sides.slice(-2);
  return { size, count: product(shape) / product(size) };
}

const isLayer = ({ type }) => type.includes("("); // not one that holds layers
const nameOf = (node) => (isLayer(node) ? node.type.split("(")[0] : node.op);
/** Return whether each of a node's values is a sum of products that `trace` can take apart. */
const isSum = ({ op, shape }) =>
  op === "conv2d" || (op === "linear" && product(measure(shape).size) === 1);

/** Put into blocks, which such a sum begins, what comes out of each layer and of what is done
 *  between layers. */
function group({ nodes }) {
  const blocks = [[]];
  nodes.forEach((node, index) => {
    if (VIEWS.includes(node.op) || product(node.shape) === 1) return;
    const before = nodes[blocks.at(-1).at(-1)];
    if (isSum(node)) blocks.push([]);
    else if (isLayer(node) && node.layer === before?.layer && !isSum(before)) blocks.at(-1).pop();
    blocks.at(-1).push(index);
  });
  return blocks;
}

/** Take apart one value of a convolution, or of a linear layer, whose window is its whole input.
 *  Return the input and its node, the window's edges in it, and what adds up to the value: `parts`,
 *  one for each map of the input, the largest first, each of values, weights and products. */
function trace({ nodes, constants }, results, { index, map, place }) {
  const { op, args } = nodes[index];
  const find = (argument) => results[argument?.node] ?? constants[argument?.constant];
  let [input, weight, bias] = args.slice(0, 3).map(find);
  let [source, options] = [args[0].node, args.slice(3)];
  while (nodes[source].op === "view") source = nodes[source].args[0].node; // maps, before flat
  if (op === "linear") {
    const { size, count } = measure(nodes[source].shape);
    input = tensor([1, count, ...size], input.data);
    weight = tensor([weight.shape[0], count, ...size], weight.data);
    options = [[1], [0, 0], [1, 1], 1];
  }
  const [outputs, maps, ...size] = weight.shape;
  const places = placeWindows(input, size, ...options);
  const { data, shape } = cutWindows(input, places); // [..., windows below, beside]
  const [windows, window] = [product(shape.slice(-2)), place[0] * shape.at(-1) + place[1]];
  const patches = data.filter((_, i) => i % windows === window);
  const group = Math.floor((map * options[3]) / outputs);
  const values = cut(patches, maps * product(size), group);
  const weights = cut(weight.data, maps * product(size), map);
  const factors = [values, weights, values.map((value, i) => value * weights[i])];
  const parts = range(0, maps).map((i) => {
    const images = factors.map((each) => cut(each, product(size), i));
    return { map: group * maps + i, images, sum: total(images[2]) };
  });
  parts.sort((one, other) => Math.abs(other.sum) - Math.abs(one.sum));
  const edges = places.flatMap(({ step, before, apart }, i) => {
    const start = place[i] * step - before;
    return [start, start + (size[i] - 1) * apart + 1];
  });
  const bounds = factors.map(strongest);
  return { input, source, edges, size, bounds, parts, bias: bias?.data[map] ?? 0 };
}

/** Make what shows the layers: its elements, and a function that shows the results of a run. */
function makeInside(network) {
  const { nodes } = network;
  const painters = []; // of the layers' images
  let [chosen, results] = [null, null]; // chosen: { index, map, place: [y, x], button }
  const logits = html("<ol>");
  const detail = html(`<div class="mnist-detail"><b></b><button aria-label="Close">×</button>
    <div class="mnist-from"><canvas></canvas><canvas tabindex="0" role="application"
    aria-label="A map; arrow keys choose a pixel"></canvas><svg viewBox="0 0 100 44"><path /></svg>
    <p>Point at a pixel of the map on the right, and see where it comes from.</p></div>
    <div class="mnist-parts"></div></div>`);
  const [title, close, figure, from, to, , path, , table] = detail.querySelectorAll("*");
  const scaleOf = (index) =>
    nodes[index].op === "input" ? ["ink", 1] : ["above", strongest(results[index].data)];

  function makeLayer(index) {
    const { layer, shape } = nodes[index];
    const { size, count } = measure(shape);
    const [isMap, area, name] = [size[0] > 1, product(size), Math.random()];
    const columns = Math.min(isMap ? 8 : 16, count);
    const show = (start, end) => {
      const attributes = `type="radio" name="${name}" ${isSum(nodes[index]) ? "" : "disabled"}`;
      const buttons = range(start, end).map((map) =>
        html(`<input ${attributes} value="${map}" aria-label="${map}">`),
      );
      const image = overlay(columns, buttons);
      painters.push(() => {
        const values = results[index].data.subarray(start * area, end * area);
        paint(image.firstChild, values, size, scaleOf(index), columns);
      });
      return image;
    };
    const labels = [layer, shape.slice(1).join(" × ")].map((text) => html("<span>", text));
    const head = html("<header>", html("<b>", nameOf(nodes[index])), ...labels);
    const shown = isMap ? Math.min(count, MOST_MAPS) : count;
    const element = html("<div class='mnist-layer'>", head, show(0, shown));
    element.classList.toggle("mnist-many", count > 1);
    const more = `<details><summary>Show all ${count}</summary></details>`;
    if (shown < count) element.append(html(more, show(shown, count)));
    if (index === network.output) element.append(logits);
    element.onchange = ({ target }) => {
      if (chosen) chosen.button.checked = false;
      const place = size.map((length) => length >> 1);
      chosen = { index, map: Number(target.value), place, button: target };
      element.parentNode.append(detail);
      showDetail();
      for (const part of [detail, element]) part.scrollIntoView({ block: "nearest" });
    };
    return element;
  }

  function showDetail() {
    const { index, map, place } = chosen;
    const found = trace(network, results, chosen);
    const { input, source, size, parts } = found;
    const [outer, inner] = [measure(nodes[index].shape).size, input.shape.slice(2)];
    const values = cut(results[index].data, product(outer), map);
    paint(from, cut(input.data, product(inner), parts[0].map), inner, scaleOf(source));
    paint(to, values, outer, scaleOf(index));
    figure.hidden = product(outer) === 1;
    const pixel = 44 / outer[1]; // in percent of the figure's width
    const [top, bottom, left, right] = found.edges.map((edge) => (edge * 44) / inner[1]);
    const [up, near] = [place[0] * pixel, 56 + place[1] * pixel];
    const frames = `M${left} ${top}H${right}V${bottom}H${left}zM${near} ${up}h${pixel}v${pixel}`;
    const rays = `M${right} ${top}L${near} ${up}M${right} ${bottom}L${near} ${up + pixel}`;
    path.setAttribute("d", `${frames}h-${pixel}z${rays}`);
    const where = figure.hidden ? "" : `, row ${place[0]}, column ${place[1]}`;
    title.textContent = `${nameOf(nodes[index])}[${map}]${where}`;

    const isOne = parts.length === 1;
    const hasNumbers = size[1] === 1 || (isOne && size[1] <= 5); // else they have no room
    const show = (values, i) => {
      const texts = Array.from(hasNumbers ? values : [], (value) => html("<span>", number(value)));
      const image = overlay(size[1], texts);
      paint(image.firstChild, values, size, i ? ["above", found.bounds[i]] : scaleOf(source));
      return html("<figure>", html("<figcaption>", ["values", "weights", "products"][i]), image);
    };
    const line = (name, sum, ...images) =>
      html("<div>", html("<span>", name), ...images, html("<output>", number(sum)));
    const lines = parts.slice(0, 6).map(({ map, sum, images }) => {
      const [values, weights, products] = images.map(show);
      return line(`${nameOf(nodes[source])}[${map}]`, sum, values, "×", weights, "=", products);
    });
    const others = parts.slice(6).map(({ sum }) => sum);
    if (others.length) lines.push(line(`${others.length} others`, total(others)));
    lines.push(line("bias", found.bias), line("together", values[place[0] * outer[1] + place[1]]));
    table.classList.toggle("mnist-one", isOne);
    table.replaceChildren(...lines);
  }

  const point = ([x, y]) => {
    chosen.place = [between(0, y, to.height - 1), between(0, x, to.width - 1)];
    showDetail();
  };
  to.onpointerdown = to.onpointermove = (event) => point(locate(to, event, to.width, to.height));
  to.onkeydown = (event) => point(directionOf(event).map((way, i) => way + chosen.place[1 - i]));
  close.onclick = () => {
    chosen.button.checked = false;
    chosen = null;
    detail.remove();
  };

  function update(newest) {
    results = newest;
    for (const painter of painters) painter();
    const { data } = results[network.output];
    logits.replaceChildren(...Array.from(data, (value) => html("<li>", number(value, 1))));
    if (chosen) showDetail();
  }

  const blocks = group(network).map((layers) =>
    html("<section class='mnist-block'>", ...layers.map(makeLayer)),
  );
  return { blocks, update };
}

/** Show the canvas in an element. `networks` are page.py's: classifier and, where it is to tell
 *  what is no digit, detector; `model` is a notebook's, which keeps drawings. */
function mount(element, { networks, gallery, model }) {
  const classifier = loadNetwork(networks.classifier);
  const detector = networks.detector && loadNetwork(networks.detector);
  const root = html(`<div class="mnist-canvas"><div>
    <div class="mnist-left"><div class="mnist-stage">
    <svg viewBox="0 0 ${SIZE} ${SIZE}" tabindex="0" role="application"
      aria-label="Canvas to draw a digit on; arrow keys move the pen, the space bar lowers it">
      <path stroke-width="${PEN}" /><circle r="${PEN / 2}" /><text x="140" y="266"></text></svg>
    <div class="mnist-answer"><p aria-hidden="true"></p><p aria-live="polite"></p>
      <button>Undo</button><button>Clear</button>
      <ol aria-label="Probabilities">${"<li><i></i><span></span></li>".repeat(10)}</ol></div></div>
    <div class="mnist-digits"><p></p>${"<button><canvas></canvas></button>".repeat(10)}</div></div>
    <div class="mnist-inside"><p>Each layer turns the images above it into new ones, its maps.
      A convolution looks for one small pattern everywhere: <b>red</b> where it is found,
      <b>blue</b> where its opposite is. Tap a map of a convolution (Conv2d) or a value of a Linear
      layer to see how.</p><p>MaxPool2d keeps the largest of neighbouring values, BatchNorm shifts
      and scales each map, ReLU keeps what is above zero. A Linear layer adds up all values, each
      times a weight. The softmax of the last ten numbers gives the probabilities.</p>
    </div></div></div>`);
  const [paper, ink, cursor, hint] = root.querySelectorAll("svg, svg *");
  const [answer, spoken, told, legend] = root.querySelectorAll("p");
  const [undo, clear, ...slots] = root.querySelectorAll("button");
  const bars = root.querySelectorAll("li");
  const inside = makeInside(classifier);
  if (model) legend.append(" The network is as it was when the cell ran.");
  legend.after(...inside.blocks);

  let strokes = [];
  let pen = null; // what draws the last of them now: a pointer's id, or a key
  let isShown = false; // out of a slot: the next stroke begins a new drawing
  let place = [SIZE / 2, SIZE / 2]; // where the arrow keys have moved the pen
  let frame = 0;
  const canKeep = () => model && strokes.length > 0 && !isShown && pen === null;
  const keptOf = (digit) => model?.get("kept")[digit];
  const set = (name, value) => {
    model?.set(name, value);
    model?.save_changes();
  };

  /** Show with the next frame the drawing, and what the network makes of it. */
  function show() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(compute);
  }

  function compute() {
    const isEmpty = strokes.length === 0;
    ink.setAttribute("d", strokes.map((each) => `M${[...each, each.at(-1)].join("L")}`).join(""));
    cursor.setAttribute("transform", `translate(${place})`);
    hint.textContent = isShown ? "Draw over it" : isEmpty ? "Draw a digit here" : "";
    const pixels = Float32Array.from(toImage(strokes), (value) => value / 255);
    const results = classifier.run(pixels);
    const probabilities = torch.softmax(results[classifier.output], 1).data;
    const digit = probabilities.indexOf(Math.max(...probabilities));
    const asked = detector && pen === null ? detector.run(pixels)[detector.output].data : [1];
    const isDigit = !isEmpty && total(asked.map(Math.exp)) > 1; // so is its logarithm above 0
    const words = isDigit ? `${digit}, ${percent(probabilities[digit])}` : "No digit";
    answer.textContent = isDigit ? digit : isEmpty ? "" : "?";
    if (pen === null) spoken.textContent = isEmpty ? "No digit yet" : words;
    bars.forEach((bar, i) => {
      bar.className = isDigit && i === digit ? "mnist-best" : "";
      bar.firstChild.style.setProperty("--part", isEmpty ? 0 : probabilities[i]);
      bar.lastChild.textContent = isEmpty ? "" : percent(probabilities[i]);
    });
    const yours = "Your ten digits, in grey examples until you draw them";
    const examples = "Or look at an example; the network can be wrong";
    const refusal = isDigit || isEmpty ? "" : "No digit, says a second network. ";
    told.textContent = canKeep()
      ? `${refusal}Keep it as your`
      : refusal || (model ? yours : examples);
    inside.update(results);
  }

  function change(next) {
    [strokes, pen, isShown] = [next, null, false];
    set("drawing", { strokes, image: btoa(String.fromCharCode(...toImage(strokes))) });
    show();
  }

  /** Draw on to a point, or begin there. */
  function draw(point, by) {
    if (pen === null) strokes = [...(isShown ? [] : strokes), [point]];
    [pen, isShown] = [by, false];
    const [x, y] = strokes.at(-1).at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) >= 2) strokes.at(-1).push(point);
    show();
  }

  paper.onpointerdown = (event) => {
    if (pen !== null || event.button !== 0) return;
    paper.setPointerCapture(event.pointerId);
    draw(locate(paper, event, SIZE, SIZE), event.pointerId);
  };
  paper.onpointermove = (event) => {
    if (event.pointerId !== pen) return;
    const events = [...(event.getCoalescedEvents?.() ?? []), event];
    for (const each of events) draw(locate(paper, each, SIZE, SIZE), pen);
  };
  paper.onlostpointercapture = ({ pointerId }) => pointerId === pen && change(strokes);
  paper.onkeydown = (event) => {
    place = directionOf(event).map((way, i) => between(0, place[i] + 7 * way, SIZE));
    const isPen = event.key === " " && !event.repeat; // the key isn't held
    if (event.key === " ") event.preventDefault();
    if (isPen && pen === " ") change(strokes);
    else if (isPen || pen === " ") draw(place, " ");
    else show();
  };
  undo.onclick = () => change(isShown ? [] : strokes.slice(0, -1));
  clear.onclick = () => change([]);
  slots.forEach((slot, i) => {
    slot.append(i);
    slot.onclick = () => {
      if (canKeep()) set("kept", { ...model.get("kept"), [i]: model.get("drawing") });
      else ({ strokes } = keptOf(i) ?? gallery[i]);
      isShown = true;
      show();
    };
  });
  // JupyterLab's single keys don't act on its cells from here; its Ctrl+S still does. It looks at
  // the element that has the focus, before any listener of ours but the window's.
  const shield = ({ target, ctrlKey, metaKey }) => {
    if (!root.contains(target)) return;
    target.toggleAttribute("data-lm-suppress-shortcuts", !ctrlKey && !metaKey);
  };
  window.addEventListener("keydown", shield, true);

  /** Show what is kept, and take over a notebook's drawing: another view's, or one from before. */
  function update() {
    slots.forEach((slot, i) => {
      slot.className = keptOf(i) ? "" : "mnist-example";
      paint(slot.firstChild, toImage((keptOf(i) ?? gallery[i]).strokes), [28, 28], ["ink", 255]);
    });
    if (pen === null) strokes = model?.get("drawing").strokes ?? [];
    show();
  }
  const names = ["change:drawing", "change:kept"]; // of which some hosts know one at a time
  for (const name of names) model?.on(name, update);
  element.replaceChildren(root);
  update();
  if (!strokes.length) slots[3].click();
  return () => {
    window.removeEventListener("keydown", shield, true);
    for (const name of names) model?.off(name, update);
  };
}

/** Show the canvas in a notebook: what anywidget asks for. */
function render({ model, el }) {
  const [networks, gallery] = ["networks", "gallery"].map((name) => JSON.parse(model.get(name)));
  return mount(el, { networks, gallery, model });
}

export default { render };
