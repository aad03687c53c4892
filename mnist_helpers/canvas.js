// The canvas of canvas.py and page.py, without a library: one draws, and sees what the network makes
// of it, layer by layer. It stands in one module with network.js, whose functions it uses.

const SIZE = 280; // the canvas' height and width in its own units
const PEN = 20; // and its pen's width
const MOST_MAPS = 64; // of a layer, before the reader asks for more
const VIEWS = /^(view|reshape|permute|transpose|(un)?squeeze|expand|select)$/; // not shown

/** Make an element of HTML or SVG with attributes and children; text among them stays text. */
function make(name, attributes = {}, ...children) {
  const space = { svg: 1, path: 1, text: 1, circle: 1 }[name] ? "2000/svg" : "1999/xhtml";
  const element = document.createElementNS(`http://www.w3.org/${space}`, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
const number = (value, digits = 2) => value.toFixed(digits).replace("-", "\u2212");
const between = (low, value, high) => Math.min(Math.max(value, low), high);
const strongest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);

/** Draw strokes in MNIST's format, 28 x 28 bytes: the ink's longer side is 20 pixels, its centre of
 *  mass lies in the middle, and each pixel is the mean of 8 x 8 that are ink or not. */
function toImage(strokes) {
  const [xs, ys] = [0, 1].map((axis) => strokes.flat().map((point) => point[axis]));
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const sides = [Math.max(...xs) - left, Math.max(...ys) - top];
  const longer = Math.max(...sides, PEN); // a dot stays one
  const pen = between(2.4, (20 * PEN) / (longer + PEN), 3.2); // in MNIST's pixels
  const [scale, radius] = [(8 * (20 - pen)) / longer, 4 * pen]; // in eighths of them
  const ink = new Set(); // places in rows of 160
  for (const stroke of strokes) {
    const points = stroke.map(([x, y]) => [
      (x - left) * scale + radius,
      (y - top) * scale + radius,
    ]);
    points.forEach((end, i) => drawLine(ink, points[Math.max(i - 1, 0)], end, radius));
  }
  const places = [...ink].map((place) => [place % 160, Math.floor(place / 160)]);
  const [right, down] = sides.map((side, axis) => {
    const middle = sum(places.map((place) => place[axis] + 0.5)) / places.length;
    return between(0, Math.round(8 * 14.5 - middle), Math.floor(224 - side * scale - 2 * radius));
  });
  const image = new Float32Array(784);
  for (const [x, y] of places) image[((y + down) >> 3) * 28 + ((x + right) >> 3)] += 255 / 64;
  return Uint8Array.from(image, Math.round);
}

/** Add what lies within a radius of the line between two points. */
function drawLine(ink, [x0, y0], [x1, y1], radius) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const first = (a, b) => Math.max(Math.floor(Math.min(a, b) - radius), 0);
  const last = (a, b) => Math.min(Math.max(a, b) + radius, 160);
  for (let y = first(y0, y1); y < last(y0, y1); y++) {
    for (let x = first(x0, x1); x < last(x0, x1); x++) {
      const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
      const t = between(0, (px * dx + py * dy) / (dx * dx + dy * dy || 1), 1);
      if ((px - t * dx) ** 2 + (py - t * dy) ** 2 <= radius ** 2) ink.add(y * 160 + x);
    }
  }
}

/** Return of a shape how many maps it holds, their height and width; a vector's are 1 x 1. */
function measure(shape) {
  const isVector = product(shape) === shape.at(-1);
  const [height, width] = isVector ? [1, 1] : shape.slice(-2);
  return { height, width, count: product(shape) / (height * width) };
}

/** Return 511 colours as an image's data has them: from `below` through `zero` to `above`. */
function shades(below, zero, above) {
  const colours = range(-255, 256).map((step) => {
    const end = step < 0 ? below : above;
    return [...zero.map((part, i) => part + (Math.abs(step) / 255) * (end[i] - part)), 255];
  });
  return new Uint32Array(Uint8ClampedArray.from(colours.flat()).buffer);
}

const shade = (value, bound, colours) =>
  colours[255 + Math.round(255 * between(-1, value / bound, 1))];

/** Paint maps side by side, each value as zoom x zoom pixels; `bound` has the full colour. */
function paint(canvas, values, { height, width, count, columns = 1, zoom = 1 }, colours, bound) {
  const [across, down] = [width * zoom + 1, height * zoom + 1];
  const [total, rows] = [columns * across - 1, Math.ceil(count / columns) * down - 1];
  if (canvas.width !== total || canvas.height !== rows) {
    [canvas.width, canvas.height] = [total, rows];
  }
  const pixels = new Uint32Array(total * rows);
  for (let i = 0; i < count * height * width; i++) {
    const map = Math.floor(i / (height * width));
    const left = (map % columns) * across + (i % width) * zoom;
    const top = Math.floor(map / columns) * down + (Math.floor(i / width) % height) * zoom;
    const colour = shade(values[i], bound, colours);
    for (let y = top; y < top + zoom; y++) {
      pixels.fill(colour, y * total + left, y * total + left + zoom);
    }
  }
  const picture = new ImageData(new Uint8ClampedArray(pixels.buffer), total);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

/** Put what is shown of a network into blocks, which a convolution or a linear layer begins; these
 *  into layers; and these into steps, one an operation. */
function group({ nodes }) {
  const isLeaf = (layer) => layer && !nodes.some((node) => node.layer.startsWith(`${layer}.`));
  const blocks = [[]];
  nodes.forEach(({ op, layer, type, shape }, index) => {
    if (VIEWS.test(op) || product(shape) === 1) return;
    if (/^(conv2d|linear)$/.test(op)) blocks.push([]);
    const last = blocks.at(-1).at(-1);
    if (isLeaf(layer) && last?.layer === layer) last.steps.push(index);
    else blocks.at(-1).push({ layer, type: isLeaf(layer) ? type : op, steps: [index] });
  });
  return blocks.filter((block) => block.length);
}

/** Return the window in the layer before that one value comes from, and, of a convolution or a
 *  linear layer, the products that it is the sum of: `parts`, one a map, the largest first. */
function trace(network, results, node, { map, y, x }) {
  const get = (argument) => results[argument?.node] ?? network.constants[argument?.constant];
  const [input, weight, bias] = node.args.slice(0, 3).map(get);
  const isLinear = node.op === "linear";
  let before = network.nodes[node.args[0].node];
  while (isLinear && /^(view|(un)?squeeze)$/.test(before.op)) {
    before = network.nodes[before.args[0].node]; // the maps that were flattened
  }
  const isRow = isLinear && product(before.shape) !== weight.shape[1]; // one of several vectors
  const plane = measure(isRow ? [weight.shape[1]] : before.shape);
  let [size, stride, padding, step, groups] = [1, 1, 0, 1, 1];
  if (isLinear) size = [plane.height, plane.width];
  if (/^(max|avg)_pool2d$/.test(node.op)) [size, stride, padding] = node.args.slice(1, 4);
  if (node.op === "conv2d") {
    [size, [stride, padding, step, groups]] = [weight.shape.slice(2), node.args.slice(3)];
  }
  [size, step, stride] = [pair(size), pair(step), pair(stride.length === 0 ? size : stride)];
  const sides = windows2d({ shape: [plane.height, plane.width] }, size, stride, padding, step);
  const [top, left] = [y, x].map((place, i) =>
    isLinear ? 0 : place * stride[i] - sides[i].before,
  );
  const found = { before, plane, size, step, top, left, input, parts: [{ map }] };
  if (node.op !== "conv2d" && !isLinear) return found;
  const inputs = weight.shape[1] / (isLinear ? product(size) : 1);
  const [output, area] = [isLinear && !isRow ? map : isRow ? x : map, product(size)];
  const first = Math.floor(output / (weight.shape[0] / groups)) * inputs;
  found.bias = bias?.data[output] ?? 0;
  found.parts = range(first, first + inputs).map((map, c) => {
    const start = ((isRow ? y * inputs : 0) + map) * plane.height * plane.width;
    const patch = range(0, area).map((i) => {
      const [row, column] = [
        top + Math.floor(i / size[1]) * step[0],
        left + (i % size[1]) * step[1],
      ];
      const isInside = row >= 0 && row < plane.height && column >= 0 && column < plane.width;
      return isInside ? input.data[start + row * plane.width + column] : 0;
    });
    const kernel = weight.data.subarray(
      (output * inputs + c) * area,
      (output * inputs + c + 1) * area,
    );
    const products = patch.map((value, i) => value * kernel[i]);
    return { map, patch, kernel, products, total: sum(products) };
  });
  found.parts.sort((one, other) => Math.abs(other.total) - Math.abs(one.total));
  return found;
}

/** Show small images of values: as numbers, too, where there are few and there is room. */
function tile(values, [height, width], colours, bound, hasNumbers) {
  if (!hasNumbers || width > 7) {
    return paint(make("canvas"), values, { height, width, count: 1 }, colours, bound);
  }
  const cells = Array.from(values, (value) => {
    const cell = make("span", {}, number(value));
    const bytes = new Uint8Array(Uint32Array.of(shade(value, bound, colours)).buffer);
    cell.style.background = `rgb(${bytes.slice(0, 3)})`;
    cell.classList.toggle("mnist-strong", Math.abs(value) > 0.5 * bound);
    return cell;
  });
  const table = make("div", { class: "mnist-numbers" }, ...cells);
  table.style.gridTemplateColumns = `repeat(${width}, 1fr)`;
  return table;
}

/** Make the part of the page that shows the layers; `update(results)` shows them anew. */
function makeInside(network, root) {
  const views = []; // of what is shown: {index, canvas, ...measure, columns, zoom}
  const detail = make("div", { class: "mnist-detail" });
  let [chosen, results] = [null, null]; // {view, map, y, x}

  function step(index, hasName, isLast) {
    const node = network.nodes[index];
    const { height, width, count } = measure(node.shape);
    const columns = height > 1 ? Math.min(8, count) : isLast ? 10 : 32;
    const zoom = height > 8 || width > 8 ? 1 : height > 1 ? 3 : 8;
    const view = { index, height, width, columns, zoom, total: count };
    view.count = Math.min(count, height > 1 ? MOST_MAPS : count);
    view.bound = node.op === "input" ? () => 1 : strongest;
    const what = height > 1 ? `${count} maps of ${height} by ${width}` : `${count} values`;
    view.canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": `${node.op}: ${what}` });
    view.mark = make("i", { class: "mnist-mark" });
    const [parts, frame] = [[], make("div", { class: "mnist-maps" }, view.canvas, view.mark)];
    if (height === 1 || count > 1) frame.classList.add("mnist-many");
    if (hasName) parts.push(make("figcaption", {}, node.op));
    if (isLast) parts.push((view.values = make("ol", { class: "mnist-logits" })));
    if (view.count < count) {
      const more = make("button", { type: "button" }, `All ${count} maps`);
      more.onclick = () => {
        view.count = count;
        more.remove();
        update(results);
      };
      parts.push(more);
    }
    // A layer's value comes from its convolution's or linear layer's, or from the same map before.
    const before = network.nodes[node.args[0]?.node];
    const isTold =
      /^(conv2d|linear)$/.test(node.op) ||
      (height > 1 &&
        before &&
        measure(before.shape).count === count &&
        measure(before.shape).height > 1);
    const choose = (map) => {
      if (isTold && map >= 0 && map < view.count) select(view, map);
    };
    view.canvas.onclick = (event) => {
      const box = view.canvas.getBoundingClientRect();
      const [across, down] = [width * zoom + 1, height * zoom + 1];
      const x = ((event.clientX - box.left) / box.width) * view.canvas.width;
      const y = ((event.clientY - box.top) / box.height) * view.canvas.height;
      choose(Math.floor(x / across) + columns * Math.floor(y / down));
    };
    view.canvas.onkeydown = (event) => {
      const move = {
        ArrowLeft: -1,
        ArrowRight: 1,
        ArrowUp: -columns,
        ArrowDown: columns,
        Enter: 0,
      };
      if (!(event.key in move)) return;
      event.preventDefault();
      choose(chosen?.view === view ? chosen.map + move[event.key] : 0);
    };
    views.push(view);
    return make("figure", {}, frame, ...parts);
  }

  function select(view, map) {
    const isSame = chosen?.view === view && chosen.map === map;
    if (isSame) return close();
    const area = view.height * view.width;
    const values = results[view.index].data.subarray(map * area, (map + 1) * area);
    const place = values.findIndex((value) => Math.abs(value) === strongest(values));
    chosen = {
      view,
      map,
      y: Math.floor(Math.max(place, 0) / view.width),
      x: Math.max(place, 0) % view.width,
    };
    view.canvas.closest(".mnist-layer").after(detail);
    update(results);
    detail.scrollIntoView({ block: "nearest" });
  }

  function close() {
    chosen = null;
    detail.remove();
    update(results);
  }

  function showDetail(colours) {
    const { view, map, y, x } = chosen;
    const node = network.nodes[view.index];
    const found = trace(network, results, node, chosen);
    const { plane, size, step, top, left, parts, before, input } = found;
    const isInk = before.op === "input";
    const [own, bound] = [isInk ? colours.ink : colours.signed, isInk ? 1 : strongest(input.data)];
    const values = results[view.index].data;
    const value = values[(map * view.height + y) * view.width + x];
    const planeOf = (data, { height, width }, map) =>
      data.subarray(map * height * width, (map + 1) * height * width);
    const title = make("b", {}, node.type || node.op);
    const shut = make("button", { type: "button", "aria-label": "Close" }, "\u00d7");
    shut.onclick = close;
    detail.replaceChildren(make("header", {}, title, shut));
    const isMap = view.height > 1;
    const name = isMap ? `Row ${y}, column ${x} of map ${map}` : `Value ${map}`;
    if (isMap) {
      const from = tile(
        planeOf(input.data, plane, parts[0].map),
        [plane.height, plane.width],
        own,
        bound,
      );
      const to = tile(
        planeOf(values, view, map),
        [view.height, view.width],
        colours.signed,
        strongest(values),
      );
      const reach = size.map((length, i) => (length - 1) * step[i] + 1);
      const [unit, pixel] = [
        44 / Math.max(plane.height, plane.width),
        44 / Math.max(view.height, view.width),
      ];
      const box = [left * unit, top * unit, reach[1] * unit, reach[0] * unit];
      const point = [56 + x * pixel, y * pixel, pixel, pixel];
      const rectangle = ([x, y, width, height]) => `M${x} ${y}h${width}v${height}h${-width}z`;
      const line = (end) =>
        `M${box[0] + box[2]} ${box[1] + end * box[3]}L${point[0]} ${point[1] + end * pixel}`;
      const d = rectangle(box) + rectangle(point) + line(0) + line(1);
      const overlay = make(
        "svg",
        { viewBox: "0 0 100 44", "aria-hidden": true },
        make("path", { d }),
      );
      to.tabIndex = 0;
      const whole = make("div", { class: "mnist-from" }, from, to, overlay);
      to.onpointerdown = to.onpointermove = (event) => {
        if (event.type === "pointermove" && event.pointerType !== "mouse" && !event.buttons) return;
        const box = to.getBoundingClientRect();
        chosen.x = between(
          0,
          Math.floor(((event.clientX - box.left) / box.width) * view.width),
          view.width - 1,
        );
        chosen.y = between(
          0,
          Math.floor(((event.clientY - box.top) / box.height) * view.height),
          view.height - 1,
        );
        showDetail(colours);
      };
      detail.append(whole);
    }
    const say = (text) => detail.append(make("p", {}, text));
    if (!parts[0].patch) return say(`${name} is ${number(value)}.`);
    const isOne = parts.length === 1;
    const shown = parts.slice(0, isOne ? 1 : 6);
    for (const part of shown) {
      const row = make("div", { class: isOne ? "mnist-row mnist-large" : "mnist-row" });
      const hasNumbers = isOne || size[1] === 1;
      if (!isOne) row.append(make("span", { class: "mnist-name" }, `${part.map}`));
      row.append(
        tile(part.patch, size, own, bound, hasNumbers),
        "\u00d7",
        tile(part.kernel, size, colours.signed, strongest(part.kernel), hasNumbers),
        "=",
        tile(part.products, size, colours.signed, strongest(part.products), hasNumbers),
        make("output", {}, number(part.total)),
      );
      detail.append(row);
    }
    const rest = sum(parts.slice(shown.length).map(({ total }) => total));
    const others = isOne ? "" : ` The other ${parts.length - shown.length}: ${number(rest)}.`;
    say(`${name} is ${number(value)}.${others} Bias: ${number(found.bias)}.`);
  }

  function update(newest) {
    results = newest;
    const probe = (name) => {
      root.style.setProperty("outline-color", `var(--${name})`);
      return getComputedStyle(root)
        .outlineColor.match(/[\d.]+/g)
        .slice(0, 3)
        .map(Number);
    };
    const [zero, above, below] = ["zero", "above", "below"].map(probe);
    const [paper, ink] = ["paper", "ink"].map(probe);
    const colours = { signed: shades(below, zero, above), ink: shades(paper, paper, ink) };
    for (const view of views) {
      const { data } = results[view.index];
      const kind = network.nodes[view.index].op === "input" ? "ink" : "signed";
      paint(view.canvas, data, view, colours[kind], view.bound(data));
      view.values?.replaceChildren(
        ...Array.from(data, (value, digit) =>
          make("li", {}, make("b", {}, `${digit}`), number(value, 1)),
        ),
      );
      view.mark.hidden = chosen?.view !== view;
      if (chosen?.view === view) {
        const [across, down] = [100 / view.columns, 100 / Math.ceil(view.count / view.columns)];
        const [column, row] = [chosen.map % view.columns, Math.floor(chosen.map / view.columns)];
        view.mark.style.inset = `${row * down}% ${100 - (column + 1) * across}% ${100 - (row + 1) * down}% ${column * across}%`;
      }
    }
    if (chosen) showDetail(colours);
  }

  const blocks = group(network).map((block) => {
    const layers = block.map(({ layer, type, steps }) => {
      const [, name, rest] = /^([^(]*)(.*)$/.exec(type);
      const shape = network.nodes[steps.at(-1)].shape.slice(1).join(" \u00d7 ");
      const isInput = network.nodes[steps[0]].op === "input";
      const head = make(
        "header",
        {},
        make("b", {}, isInput ? "Input" : name),
        make("code", {}, isInput ? "" : layer),
        make("span", {}, shape),
        make("small", {}, rest.length > 2 ? rest : ""),
      );
      const figures = steps.map((index) => step(index, steps.length > 1, index === network.output));
      return make(
        "div",
        { class: "mnist-layer" },
        head,
        make("div", { class: "mnist-steps" }, ...figures),
      );
    });
    return make("section", { class: "mnist-block" }, ...layers);
  });
  return { blocks, update };
}

/** Show the canvas in an element. `networks` are those of loadNetwork: classifier and, where what is
 *  no digit is to be told, detector; `get` and `set` a notebook's state: drawing and digits. */
function mount(element, { networks, gallery, get, set }) {
  const keys = "with the keyboard, arrows move the pen and the space bar lowers and lifts it";
  const ink = make("path", { "stroke-width": PEN });
  const cursor = make("circle", { class: "mnist-cursor", r: PEN / 2 });
  const hint = make("text", { x: SIZE / 2, y: SIZE - 16 }, "Draw a digit here");
  const label = `Canvas to draw a digit on; ${keys}`;
  const attributes = { viewBox: `0 0 ${SIZE} ${SIZE}`, tabindex: 0, role: "application" };
  const paper = make("svg", { ...attributes, "aria-label": label }, ink, cursor, hint);
  const button = (text) => make("button", { type: "button" }, text);
  const [undo, clear] = [button("Undo"), button("Clear")];
  const answer = make("p", { class: "mnist-answer", "aria-hidden": true });
  const spoken = make("p", { class: "mnist-spoken", "aria-live": "polite" });
  const bars = range(0, 10).map((digit) =>
    make("li", {}, make("b", {}, `${digit}`), make("i"), make("span")),
  );
  const slots = gallery.map(({ label }) => {
    const slot = button("");
    slot.replaceChildren(make("canvas"), `${label}`);
    return slot;
  });
  const told = make("p", {});
  const root = make("div", { class: "mnist-canvas" });
  const inside = makeInside(networks.classifier, root);
  const below = "Each small image is a map: what a layer makes of your digit, place by place. ";
  root.append(
    make(
      "div",
      { class: "mnist-stage" },
      make(
        "div",
        { class: "mnist-draw" },
        paper,
        make("div", { class: "mnist-buttons" }, undo, clear),
      ),
      make(
        "div",
        { class: "mnist-read" },
        answer,
        spoken,
        make("ol", { "aria-label": "Probabilities" }, ...bars),
      ),
      make("div", { class: "mnist-digits" }, told, make("div", {}, ...slots)),
    ),
    make(
      "div",
      { class: "mnist-inside" },
      make(
        "p",
        { class: "mnist-legend" },
        below,
        make("span", { class: "mnist-above" }, "Red"),
        " is above zero, ",
        make("span", { class: "mnist-below" }, "blue"),
        " below. Tap one to see where it comes from.",
      ),
      ...inside.blocks,
    ),
  );

  let { strokes, isOwn } = { strokes: [], isOwn: true }; // the gallery's isn't
  let isDone = false; // shown, kept: the next stroke begins a new drawing
  let stroke = null; // the one being drawn, the last of `strokes`
  let pointer = null; // the finger or pen that draws it; others are ignored
  let place = [SIZE / 2, SIZE / 2]; // where the arrow keys have moved the pen
  let image = new Uint8Array(784);
  let frame = 0;

  /** Show the drawing at once; what the network makes of it, with the next frame. */
  function show() {
    const path = strokes.map((points) => `M${[...points, points.at(-1)].join("L")}`);
    ink.setAttribute("d", path.join(""));
    cursor.setAttribute("transform", `translate(${place})`);
    hint.style.display = strokes.length && isOwn ? "none" : "";
    frame ||= requestAnimationFrame(compute);
  }

  function compute() {
    frame = 0;
    image = strokes.length ? toImage(strokes) : new Uint8Array(784);
    const pixels = Float32Array.from(image, (value) => value / 255);
    const results = networks.classifier.run(pixels);
    const powers = results[networks.classifier.output].data.map((value, _, all) =>
      Math.exp(value - Math.max(...all)),
    );
    const probabilities = powers.map((power) => power / sum(powers));
    const digit = probabilities.indexOf(Math.max(...probabilities));
    let isDigit = true;
    if (!stroke && strokes.length && networks.detector) {
      const { data } = networks.detector.run(pixels)[networks.detector.output];
      isDigit = sum(data.map(Math.exp)) > 1; // the logarithm of this sum is above 0
    }
    const isEmpty = !strokes.length;
    answer.textContent = isEmpty ? "" : isDigit ? `${digit}` : "?";
    root.classList.toggle("mnist-refused", isEmpty || !isDigit);
    if (!stroke) {
      spoken.textContent = isEmpty
        ? "No digit yet"
        : isDigit
          ? `${digit}, ${percent(probabilities[digit])}`
          : "No digit";
    }
    bars.forEach((bar, i) => {
      bar.classList.toggle("mnist-best", i === digit);
      bar.children[1].style.setProperty("--part", isEmpty ? 0 : probabilities[i]);
      bar.children[2].textContent = isEmpty ? "" : percent(probabilities[i]);
    });
    inside.update(results);
  }

  const change = (next) => {
    [strokes, stroke, pointer, isOwn, isDone] = [next, null, null, true, false];
    show();
    const bytes = btoa(
      String.fromCharCode(...(strokes.length ? toImage(strokes) : new Uint8Array(784))),
    );
    set?.("drawing", { strokes, image: bytes });
    showSlots();
  };

  function showSlots() {
    const canKeep = set && strokes.length && isOwn && !isDone;
    told.textContent = canKeep ? "Keep it as your" : "Look at a digit, or draw your own";
    slots.forEach((slot, i) => {
      const kept = get?.("kept")[i];
      const shown = toImage((kept ?? gallery[i]).strokes);
      slot.classList.toggle("mnist-example", !kept);
      const style = getComputedStyle(root);
      const context = slot.firstChild.getContext("2d");
      [slot.firstChild.width, slot.firstChild.height] = [28, 28];
      context.putImageData(
        new ImageData(Uint8ClampedArray.from([...shown].flatMap((v) => [0, 0, 0, v])), 28),
        0,
        0,
      );
      slot.setAttribute(
        "aria-label",
        canKeep ? `Keep the drawing as your ${i}` : `Show the ${kept ? "" : "example of a "}${i}`,
      );
    });
  }

  slots.forEach((slot, i) => {
    slot.onclick = () => {
      if (set && strokes.length && isOwn && !isDone) {
        set("kept", { ...get("kept"), [i]: get("drawing") });
      } else {
        const kept = get?.("kept")[i];
        [strokes, isOwn] = [(kept ?? gallery[i]).strokes, Boolean(kept)];
      }
      isDone = true;
      show();
      showSlots();
    };
  });

  function start(point) {
    stroke = [point];
    strokes = isDone || !isOwn ? [stroke] : [...strokes, stroke];
    [isOwn, isDone] = [true, false];
    show();
  }

  function extend(point) {
    const [x, y] = stroke.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) >= 2) stroke.push(point);
    show();
  }

  /** Return where a pointer is in the canvas' units, at most a little outside. */
  function position(event) {
    const box = paper.getBoundingClientRect();
    const parts = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return parts.map((part) => Math.round(SIZE * between(-0.2, part, 1.2)));
  }

  paper.onpointerdown = (event) => {
    if (pointer !== null || event.button !== 0) return;
    pointer = event.pointerId;
    paper.setPointerCapture(pointer);
    start(position(event));
  };
  paper.onpointermove = (event) => {
    if (event.pointerId !== pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) extend(position(each));
  };
  paper.onpointerup = paper.onpointercancel = (event) => {
    if (event.pointerId === pointer) change(strokes);
  };
  paper.onkeydown = (event) => {
    const steps = { ArrowLeft: [-7, 0], ArrowRight: [7, 0], ArrowUp: [0, -7], ArrowDown: [0, 7] };
    const step = steps[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    if (step) place = place.map((part, i) => between(0, part + step[i], SIZE));
    if (step && stroke) extend(place);
    else if (step) show();
    else if (event.repeat) return;
    else if (stroke) change(strokes);
    else start(place);
  };
  // JupyterLab's single keys don't act on its cells from here; its Ctrl+S still does.
  const shield = ({ ctrlKey, metaKey }) =>
    root.toggleAttribute("data-lm-suppress-shortcuts", !ctrlKey && !metaKey);
  undo.onclick = () => change(isDone || !isOwn ? [] : strokes.slice(0, -1));
  clear.onclick = () => change([]);

  /** Take over a notebook's state: another view's, or one from before. */
  function update() {
    if (stroke) return; // what is being drawn here is newer
    const drawing = get?.("drawing");
    if (drawing?.strokes.length) [strokes, isOwn] = [drawing.strokes, true];
    else if (!isOwn || !strokes.length) [strokes, isOwn] = [gallery[FIRST].strokes, false];
    show();
    showSlots();
  }

  window.addEventListener("keydown", shield, true);
  element.replaceChildren(root);
  update();
  return { update, end: () => window.removeEventListener("keydown", shield, true) };
}

const FIRST = 3; // of the gallery, shown until one draws

/** Show the canvas as anywidget asks for it. */
function render({ model, el }) {
  const described = Object.entries(JSON.parse(model.get("networks")));
  const networks = Object.fromEntries(described.map(([name, each]) => [name, loadNetwork(each)]));
  const canvas = mount(el, {
    networks,
    gallery: JSON.parse(model.get("gallery")),
    get: (name) => model.get(name),
    set: (name, value) => {
      model.set(name, value);
      model.save_changes();
    },
  });
  const names = ["drawing", "kept"];
  for (const name of names) model.on(`change:${name}`, canvas.update);
  return () => {
    for (const name of names) model.off(`change:${name}`, canvas.update);
    canvas.end();
  };
}

export default { render };
