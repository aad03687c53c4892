// The canvas of canvas.py and page.py, without a library: one draws, and sees what the network
// makes of it, layer by layer. It stands in one module with network.js, whose functions it uses.

const SIZE = 280; // the canvas' height and width in its own units
const PEN = 20; // and its pen's width
const MOST_MAPS = 64; // of a layer, before the reader asks for more
const [INK, RED, BLUE] = [0x777777, 0x4535d6, 0xd27d2d]; // blue, green, red
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

/** Draw strokes in MNIST's format, 28 x 28 bytes: the ink's longer side is 20 pixels, and its
 *  centre of mass lies at row and column 14, counted from 0. */
function toImage(strokes) {
  const axes = [0, 1].map((axis) => strokes.flat().map((point) => point[axis]));
  const middles = axes.map((places) => (Math.min(...places) + Math.max(...places)) / 2);
  const sides = axes.map((places, axis) => 2 * (Math.max(...places) - middles[axis]));
  const longer = Math.max(...sides, PEN); // a dot stays one
  const pen = between(2.4, (20 * PEN) / (longer + PEN), 3.2); // in MNIST's pixels
  const move = (at, axis) => ((at - middles[axis]) * (20 - pen)) / longer + 14;
  const image = new Float32Array(784);
  for (const points of strokes.map((stroke) => stroke.map((point) => point.map(move)))) {
    points.forEach((end, i) => drawLine(image, points[Math.max(i - 1, 0)], end, pen / 2));
  }
  const [down, right] = [(i) => Math.floor(i / 28), (i) => i % 28].map((placeOf) => {
    const middle = total(image.map((part, i) => part * placeOf(i))) / total(image);
    return between(-4, Math.round(14 - middle), 4);
  });
  return Uint8Array.from(image, (_, i) => Math.round(255 * (image[i - 28 * down - right] ?? 0)));
}

/** Add to an image how much of each pixel lies within a radius of the line between two points. */
function drawLine(image, [x0, y0], [x1, y1], radius) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  image.forEach((part, i) => {
    const [px, py] = [(i % 28) + 0.5 - x0, Math.floor(i / 28) + 0.5 - y0];
    const t = between(0, (px * dx + py * dy) / (dx * dx + dy * dy || 1), 1);
    image[i] = Math.max(part, between(0, radius + 0.5 - Math.hypot(px - t * dx, py - t * dy), 1));
  });
}

/** Paint maps side by side, one pixel for each value, which the style sheet enlarges: opaque at
 *  `bound` in its colour and at -bound in blue, transparent at 0. */
function paint(canvas, values, [height, width], [colour, bound], columns = 1) {
  const rows = Math.ceil(values.length / (height * width * columns));
  const maps = full([rows, columns, height, width], 0);
  maps.data.set(values);
  const pixels = new Uint32Array(maps.data.length);
  torch.permute(maps, [0, 2, 1, 3]).data.forEach((value, i) => {
    pixels[i] = (((255 * Math.abs(value)) / bound) << 24) | (value < 0 ? BLUE : colour);
  });
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer), columns * width);
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Let an SVG path show strokes; a dot is a line to where it began. */
function trail(path, strokes) {
  path.setAttribute("d", strokes.map((each) => `M${[...each, each.at(-1)].join("L")}`).join(""));
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
function toBlocks({ nodes }) {
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
  const [bounds, offset] = [factors.map(strongest), bias?.data[map] ?? 0];
  return { input, source, edges, size, bounds, parts, bias: offset };
}

/** Make what shows the layers: its elements, and a function that shows the results of a run. */
function makeInside(network) {
  const { nodes } = network;
  const painters = []; // of the layers' images
  const group = Math.random(); // of which one map is chosen
  let [chosen, results] = [null, null]; // chosen: { index, map, place: [y, x] }
  const logits = html("<ol>");
  const detail = html(`<div class="mnist-detail"><b></b><div class="mnist-from"><canvas></canvas>
    <canvas tabindex="0" role="application" aria-label="A map; arrow keys choose a pixel"
    style="cursor: crosshair; touch-action: none"></canvas>
    <svg viewBox="0 0 100 44" fill="none" stroke="#c06000" stroke-width=".5"><path /></svg>
    <p>Point at a pixel on the right. It adds up the framed values, each times its own weight.
    </p></div>
    <div class="mnist-parts"></div></div>`);
  const [title, figure, from, to, , path, , table] = detail.querySelectorAll("*");
  const scaleOf = (index) =>
    nodes[index].op === "input" ? [INK, 1] : [RED, strongest(results[index].data)];

  function makeLayer(index) {
    const { layer, shape } = nodes[index];
    const { size, count } = measure(shape);
    const [isMap, area] = [size[0] > 1, product(size)];
    const columns = Math.min(isMap ? 8 : 16, count);
    const show = (start, end) => {
      const attributes = `type="radio" name="${group}" ${isSum(nodes[index]) ? "" : "disabled"}`;
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
    const labels = [`${shape.slice(1).join("\u00a0×\u00a0")}\u2002`, html("<span>", layer)];
    const head = html("<p>", html("<b>", nameOf(nodes[index])), html("<br>"), ...labels);
    const shown = isMap ? Math.min(count, MOST_MAPS) : count;
    const many = count > 1 ? "mnist-many" : "";
    const element = html(`<div class="mnist-layer ${many}">`, head, show(0, shown));
    const more = `<details><summary>Show all ${count}</summary></details>`;
    if (shown < count) element.append(html(more, show(shown, count)));
    if (index === network.output) element.append(logits);
    element.onchange = ({ target }) => {
      chosen = { index, map: Number(target.value), place: size.map((length) => length >> 1) };
      element.parentNode.append(detail);
      showDetail();
      for (const part of [detail, element, target]) part.scrollIntoView({ block: "nearest" });
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
    figure.style.display = product(outer) === 1 ? "none" : "";
    const pixel = 44 / outer[1]; // in percent of the figure's width
    const [top, bottom, left, right] = found.edges.map((edge) => (edge * 44) / inner[1]);
    const [up, near] = [place[0] * pixel, 56 + place[1] * pixel];
    const frames = `M${left} ${top}H${right}V${bottom}H${left}zM${near} ${up}h${pixel}v${pixel}`;
    const rays = `M${right} ${top}L${near} ${up}M${right} ${bottom}L${near} ${up + pixel}`;
    path.setAttribute("d", `${frames}h-${pixel}z${rays}`);
    const nameOfMap = (node, map) => `${nameOf(nodes[node])}[${map}]`;
    const name = nameOfMap(index, map);
    const way = `${nameOfMap(source, parts[0].map)} → ${name}, row ${place[0]}, column ${place[1]}`;
    title.textContent = product(outer) === 1 ? name : way;

    const isOne = parts.length === 1;
    const hasNumbers = size[1] === 1 || (isOne && size[1] <= 5); // else they have no room
    const line = (name, sum, ...images) =>
      html("<div>", html("<span>", name), ...images, html("<output>", sum));
    const lines = parts.slice(0, 6).map(({ map, sum, images }, row) => {
      const [values, weights, products] = images.map((each, i) => {
        const texts = Array.from(hasNumbers ? each : [], (value) => html("<span>", number(value)));
        const image = overlay(size[1], texts);
        paint(image.firstChild, each, size, i ? [RED, found.bounds[i]] : scaleOf(source));
        const caption = row ? "" : ["values", "weights", "products"][i];
        return html("<figure>", caption, image);
      });
      const text = row ? number(sum) : `sum ${number(sum)}`;
      return line(nameOfMap(source, map), text, values, "×", weights, "=", products);
    });
    const others = total(parts.slice(6).map(({ sum }) => sum));
    if (parts.length > 6) lines.push(line(`${parts.length - 6} others`, number(others)));
    const value = values[place[0] * outer[1] + place[1]];
    lines.push(line("bias", number(found.bias)), line("together", html("<b>", number(value))));
    table.classList.toggle("mnist-one", isOne);
    table.replaceChildren(...lines);
  }

  const point = ([x, y]) => {
    chosen.place = [between(0, y, to.height - 1), between(0, x, to.width - 1)];
    showDetail();
  };
  to.onpointerdown = to.onpointermove = (event) => point(locate(to, event, to.width, to.height));
  to.onkeydown = (event) => point(directionOf(event).map((way, i) => way + chosen.place[1 - i]));

  function update(newest) {
    results = newest;
    for (const painter of painters) painter();
    const { data } = results[network.output];
    const texts = Array.from(data, (value, digit) => [
      html("<b>", digit),
      html("<br>"),
      number(value, 1),
    ]);
    logits.replaceChildren(...texts.map((each) => html("<li>", ...each)));
    if (chosen) showDetail();
  }

  const blocks = toBlocks(network).map((layers) =>
    html("<section class='mnist-block'>", ...layers.map(makeLayer)),
  );
  return { blocks, update };
}

/** Show the canvas in an element. `networks` are page.py's: classifier and, where it is to tell
 *  what is no digit, detector; `model` is a notebook's, which keeps drawings. */
function mount(element, { networks, gallery, model }) {
  const classifier = loadNetwork(networks.classifier);
  const detector = networks.detector && loadNetwork(networks.detector);
  const path = `<path fill="none" stroke="currentColor" stroke-width="${PEN}"
    stroke-linecap="round" stroke-linejoin="round" />`;
  const slot = `<button><svg viewBox="0 0 ${SIZE} ${SIZE}">${path}</svg></button>`;
  const bar = (digit) => `<li>${digit}<i></i><span></span></li>`;
  const root = html(`<div class="mnist-canvas"><div>
    <div class="mnist-left"><div class="mnist-stage">
    <svg viewBox="0 0 ${SIZE} ${SIZE}" tabindex="0" role="application" fill="none"
      aria-label="Canvas to draw a digit on; arrow keys move the pen, the space bar lowers it">
      ${path}<circle r="${PEN / 2}" stroke="#c06000" />
      <text x="140" y="266" fill="gray" font-size="15" text-anchor="middle"></text></svg>
    <div class="mnist-answer"><p></p><button>Undo</button><button>Clear</button>
      <ol aria-label="Probabilities">${range(0, 10).map(bar).join("")}</ol></div></div>
    <p aria-live="polite"></p>
    <div class="mnist-digits">${slot.repeat(10)}</div></div>
    <div class="mnist-inside"><p>Each layer turns the images above it into new ones, its maps.
      Each map of a convolution looks for one small pattern:
      <mark style="background: #d63545; color: #fff">red</mark> where it is found,
      <mark style="background: #2d7dd2; color: #fff">blue</mark> where its opposite is. Tap a map
      of a convolution (Conv2d) or a value of a Linear layer to see how.</p>
      <p>MaxPool2d keeps the largest of neighbouring values, BatchNorm shifts and scales each map,
      ReLU keeps what is above zero. A Linear layer adds up all values, each times a weight. Weights
      and biases were learned, and are the same for every drawing. Softmax makes probabilities of
      the last ten numbers x: e<sup>x</sup>, divided by the sum of all ten.</p></div></div></div>`);
  const [paper, ink, cursor, hint] = root.querySelectorAll("svg, svg *");
  const [answer, told, legend] = root.querySelectorAll("p");
  const [undo, clear, ...slots] = root.querySelectorAll("button");
  const bars = root.querySelectorAll("li");
  const inside = makeInside(classifier);
  if (model) legend.append(" The network is as it was when the cell ran.");
  legend.after(...inside.blocks);

  let strokes = model?.get("drawing").strokes ?? [];
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
    trail(ink, strokes);
    cursor.setAttribute("transform", `translate(${place})`);
    hint.textContent = isShown ? "Draw over it" : isEmpty ? "Draw a digit here" : "";
    const pixels = Float32Array.from(toImage(strokes), (value) => value / 255);
    const results = classifier.run(pixels);
    const probabilities = torch.softmax(results[classifier.output], 1).data;
    const digit = probabilities.indexOf(Math.max(...probabilities));
    const asked = detector && pen === null ? detector.run(pixels)[detector.output].data : [1];
    const isDigit = !isEmpty && total(asked.map(Math.exp)) > 1; // so is its logarithm above 0
    answer.textContent = isDigit ? digit : isEmpty ? "" : "?";
    bars.forEach((bar, i) => {
      bar.style.fontWeight = isDigit && i === digit ? "bold" : "";
      bar.children[0].style.setProperty("--part", isEmpty ? 0 : probabilities[i]);
      bar.children[1].textContent = isEmpty ? "" : percent(probabilities[i]);
    });
    const words = isDigit
      ? `${digit}, ${percent(probabilities[digit])}. `
      : "No digit, says a second network. ";
    const yours = canKeep() ? "Keep it as your:" : "Your ten digits (grey: examples):";
    const offer = model ? yours : "Examples:";
    if (pen === null) told.textContent = (isEmpty ? "No digit yet. " : words) + offer;
    inside.update(results);
  }

  function change(next) {
    [strokes, pen, isShown] = [next, null, false];
    set("drawing", { strokes, image: [...toImage(strokes)] });
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

  function showKept() {
    slots.forEach((slot, i) => {
      slot.firstChild.style.opacity = keptOf(i) ? 1 : 0.4; // grey: an example
      trail(slot.querySelector("path"), (keptOf(i) ?? gallery[i]).strokes);
    });
    show();
  }
  model?.on("change:kept", showKept);
  // JupyterLab's keys do nothing where the focus is. A mouse doesn't move it here, so Ctrl+S saves.
  const suppress = ({ target }) => target.toggleAttribute("data-lm-suppress-shortcuts", true);
  root.addEventListener("focusin", suppress);
  root.onmousedown = (event) => event.preventDefault();
  element.replaceChildren(root);
  showKept();
  if (!strokes.length) slots[3].click();
  return () => model?.off("change:kept", showKept);
}

/** Show the canvas in a notebook: what anywidget asks for. */
function render({ model, el }) {
  const [networks, gallery] = ["networks", "gallery"].map((name) => JSON.parse(model.get(name)));
  return mount(el, { networks, gallery, model });
}

export default { render };
