// The canvas of canvas.py and page.py, without a library: one draws, and sees what the network makes
// of it, layer by layer. It stands in one module with network.js, whose functions it uses.

const SIZE = 280; // the canvas' height and width in its own units
const PEN = 20; // and its pen's width
const MOST_MAPS = 64; // of a layer, before the reader asks for more
const SUMS = ["conv2d", "linear"]; // each value of theirs is a sum of products
const VIEWS = ["view", "permute", "expand", "select", "slice"]; // not shown: no new values
const [RED, BLUE, BLACK] = [
  [178, 24, 43],
  [33, 102, 172],
  [17, 17, 17],
]; // style sheets know the theme
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
const number = (value, digits = 2) =>
  (Number(value.toFixed(digits)) || 0).toFixed(digits).replace("-", "\u2212"); // no -0.00
const between = (low, value, high) => Math.min(Math.max(value, low), high);
const strongest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
const cut = (values, length, i) => values.subarray(i * length, (i + 1) * length);

/** Make an element of markup that holds nobody's names; text among its children stays text. */
function html(markup, ...children) {
  const template = document.createElement("template");
  template.innerHTML = markup;
  const [element] = template.content.children;
  element.append(...children);
  return element;
}

/** Do something with an arrow key's direction. */
function steer(event, act) {
  if (!(event.key in ARROWS)) return;
  event.preventDefault();
  act(...ARROWS[event.key]);
}

/** Return where an event is on an element that is so many units wide and high. */
function locate(element, { clientX, clientY }, width, height) {
  const box = element.getBoundingClientRect();
  const [x, y] = [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
  return [Math.floor(x * width), Math.floor(y * height)];
}

/** Draw strokes in MNIST's format, 28 x 28 bytes: the ink's longer side is 20 pixels, its centre of
 *  mass lies in the middle, and each pixel is the mean of 8 x 8 that are ink or not. */
function toImage(strokes) {
  const image = new Float32Array(784);
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
  const places = Array.from(ink, (place) => [place % 160, Math.floor(place / 160)]);
  const [right, down] = sides.map((side, axis) => {
    const middle = total(places.map((place) => place[axis] + 0.5)) / places.length;
    return between(0, Math.round(8 * 14.5 - middle), Math.floor(224 - side * scale - 2 * radius));
  });
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

/** Return the colour of a value as ImageData has it; `bound` has the full one. */
function shade(value, bound, isInk) {
  const full = isInk ? BLACK : value < 0 ? BLUE : RED;
  const part = Math.min(Math.abs(value) / bound, 1);
  const mix = (i) => Math.round(255 + part * (full[i] - 255)) << (8 * i);
  return (255 << 24) | mix(2) | mix(1) | mix(0);
}

/** Paint maps side by side, each value as zoom x zoom pixels, all with one scale. */
function paint(canvas, values, shown, isInk, bound = strongest(values)) {
  const { height, width, count = 1, columns = 1, zoom = 8, marked = -1 } = shown;
  const [across, down] = [width * zoom + 1, height * zoom + 1]; // with a line between maps
  const [side, rows] = [columns * across + 1, Math.ceil(count / columns) * down + 1];
  const pixels = new Uint32Array(side * rows);
  const corner = (map) => [1 + (map % columns) * across, 1 + Math.floor(map / columns) * down];
  for (let i = 0; i < count * height * width; i++) {
    const [left, top] = corner(Math.floor(i / (height * width)));
    const [x, y] = [left + (i % width) * zoom, top + (Math.floor(i / width) % height) * zoom];
    const colour = shade(values[i], bound, isInk);
    for (let row = y; row < y + zoom; row++) {
      pixels.fill(colour, row * side + x, row * side + x + zoom);
    }
  }
  Object.assign(canvas, { width: side, height: rows });
  const context = canvas.getContext("2d");
  context.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), side), 0, 0);
  const [x, y] = corner(marked);
  context.strokeStyle = "#e08000";
  if (marked >= 0) context.strokeRect(x - 0.5, y - 0.5, across, down);
  return canvas;
}

/** Show values under a caption: as numbers, where they are few and it is asked for, or as an image. */
function tile(caption, values, [height, width], isInk, bound, hasNumbers) {
  const isTable = hasNumbers && width < 8;
  const table = html("<div class='mnist-numbers'>");
  table.style.setProperty("--columns", isTable ? width : 1);
  if (!isTable) table.append(paint(html("<canvas>"), values, { height, width }, isInk, bound));
  for (const value of isTable ? values : []) {
    const [cell, colour] = [html("<span>", number(value)), shade(value, bound, isInk)];
    cell.style.background = `rgb(${[0, 8, 16].map((bits) => (colour >> bits) & 255)})`;
    cell.style.color = Math.abs(value) > 0.5 * bound ? "white" : "black";
    table.append(cell);
  }
  return html("<figure>", table, html("<figcaption>", caption));
}

/** Return of a shape how many maps it holds, their height and width; a vector's are 1 x 1. */
function measure(shape) {
  const [height, width] = product(shape) === shape.at(-1) ? [1, 1] : shape.slice(-2);
  return { height, width, count: product(shape) / (height * width) };
}

/** Put a network's operations into blocks, which a convolution or a linear layer begins; in these
 *  are layers, and in these one operation or more. */
function group({ nodes }) {
  const isLeaf = (layer) => layer && !nodes.some((node) => node.layer.startsWith(`${layer}.`));
  const blocks = [[]];
  nodes.forEach(({ op, layer, type, shape }, index) => {
    if (VIEWS.includes(op) || product(shape) === 1) return;
    if (SUMS.includes(op) && blocks.at(-1).length) blocks.push([]);
    const last = blocks.at(-1).at(-1);
    if (isLeaf(layer) && last?.layer === layer) last.indices.push(index);
    else blocks.at(-1).push({ layer, type: isLeaf(layer) ? type : op, indices: [index] });
  });
  return blocks;
}

/** Take apart one value of a convolution or a linear layer, which is one whose window is the whole.
 *  Return the window, [start, length] in rows and in columns, and the products that add up to the
 *  value: `parts`, one for each map of the layer before, the largest first. */
function trace(network, results, node, { map, y, x }) {
  const find = (argument) => results[argument?.node] ?? network.constants[argument?.constant];
  let [input, weight, bias] = node.args.slice(0, 3).map(find);
  let [place, options, before] = [[y, x], node.args.slice(3), network.nodes[node.args[0].node]];
  if (node.op === "linear") {
    while (before.op === "view") before = network.nodes[before.args[0].node]; // maps, before flat
    const [outputs, features] = weight.shape;
    const isOne = product(before.shape) === features; // vector, not several
    const { count, height, width } = measure(isOne ? before.shape : [features]);
    input = tensor([1, count, height, width], isOne ? input.data : cut(input.data, features, y));
    weight = tensor([outputs, count, height, width], weight.data);
    [map, place, options] = [isOne ? map : x, [0, 0], [[1, 1], [0, 0], [1, 1], 1]];
  }
  const [outputs, maps, ...size] = weight.shape;
  const places = placeWindows(input, size, ...options);
  const { data } = cutWindows(input, places); // [maps, a window's rows, its columns, windows]
  const value = (i) => data[(i * places[0].count + place[0]) * places[1].count + place[1]];
  const first = Math.floor(map / (outputs / options[3])) * maps; // of the group
  const parts = range(0, maps).map((i) => {
    const patch = range(0, product(size)).map((j) => value((first + i) * product(size) + j));
    const weights = cut(weight.data, product(size), map * maps + i);
    const products = patch.map((value, j) => value * weights[j]);
    return { map: first + i, patch, weights, products, sum: total(products) };
  });
  parts.sort((one, other) => Math.abs(other.sum) - Math.abs(one.sum));
  const window = places.map(({ step, before, apart }, i) => {
    return [place[i] * step - before, (size[i] - 1) * apart + 1];
  });
  return { before, input, window, size, parts, bias: bias?.data[map] ?? 0 };
}

/** Make what shows the layers: its elements, and a function that shows the results of a run. */
function makeInside(network) {
  const views = []; // {index, block, canvas, height, width, count, columns, zoom, marked}
  let [chosen, results] = [null, null]; // chosen: {view, map, y, x}
  const detail =
    html(`<div class="mnist-detail"><header><b></b><button aria-label="Close">×</button></header>
    <p></p><div class="mnist-from"><canvas></canvas><canvas tabindex="0" role="img"></canvas>
    <svg viewBox="0 0 100 44" aria-hidden="true"><path fill="none" stroke="#e08000" stroke-width="0.5" /></svg></div><div></div><p></p></div>`);
  const parts = detail.querySelectorAll("b, button, p, div, canvas, path");
  const [title, close, said, figure, from, to, path, table, rest] = parts;

  function makeView(index, block, caption) {
    const { op, shape } = network.nodes[index];
    const view = {
      index,
      block,
      ...measure(shape),
      canvas: html("<canvas tabindex='0' role='img'>"),
    };
    const { height, width, count, canvas } = view;
    view.columns = height > 1 ? Math.min(8, count) : index === network.output ? 10 : 32;
    view.zoom = Math.ceil((height > 1 ? 100 : 300) / (width * view.columns));
    views.push(view);
    canvas.ariaLabel = `${op}: ${count} of ${height} by ${width}; arrow keys choose one`;
    canvas.onclick = (event) => {
      const [x, y] = locate(canvas, event, view.columns, Math.ceil(count / view.columns));
      choose(view, x + y * view.columns);
    };
    canvas.onkeydown = (event) =>
      steer(event, (x, y) => {
        const map = chosen?.view.block === block ? chosen.map : 0;
        choose(view, map + x + y * view.columns);
      });
    const more = html("<button>", `Show all ${count}`);
    const element = html("<figure>", html("<div>", canvas), more, html("<figcaption>", caption));
    more.onclick = () => more.remove(); // which style sheets see
    if (count <= MOST_MAPS || height === 1) more.remove();
    element.classList.toggle("mnist-many", count > 1);
    if (index === network.output) element.append((view.list = html("<ol>")));
    return element;
  }

  /** Take apart this map, or the one of the block's convolution that it comes from. */
  function choose({ block, count }, map) {
    const view = views.find((each) => each.block === block);
    const isSum = SUMS.includes(network.nodes[view.index].op) && view.count === count;
    if (!isSum || map < 0 || map >= count) return;
    const values = cut(results[view.index].data, view.height * view.width, map);
    const place = Math.max(0, values.map(Math.abs).indexOf(strongest(values)));
    chosen = { view, map, y: Math.floor(place / view.width), x: place % view.width };
    view.canvas.closest(".mnist-layer").after(detail);
    update(results);
    detail.scrollIntoView({ block: "nearest" });
  }

  function showDetail() {
    const { view, map, y, x } = chosen;
    const [{ data }, node] = [results[view.index], network.nodes[view.index]];
    const found = trace(network, results, node, chosen);
    const { input, window, size, parts, bias } = found;
    const plane = measure(input.shape);
    const isInk = found.before.op === "input";
    const bound = isInk ? 1 : strongest(input.data);
    paint(
      from,
      cut(input.data, plane.height * plane.width, parts[0].map),
      { ...plane, count: 1 },
      isInk,
      bound,
    );
    const { height, width } = view;
    const values = cut(data, height * width, map);
    paint(to, values, { height, width }, false, strongest(data));
    figure.hidden = height === 1;
    const [cell, pixel] = [plane, view].map(({ height, width }) => 44 / Math.max(height, width));
    const [[top, left], [high, wide]] = [0, 1].map((end) => window.map((side) => side[end] * cell));
    const [up, near, right, down] = [y * pixel, 56 + x * pixel, left + wide, top + high];
    const frames = `M${left} ${top}h${wide}v${high}H${left}zM${near} ${up}h${pixel}v${pixel}h-${pixel}z`;
    const lines = `M${right} ${top}L${near} ${up}M${right} ${down}L${near} ${up + pixel}`;
    path.setAttribute("d", frames + lines);

    const isOne = parts.length === 1;
    const place = view.list ? `Logit of the ${map}` : `Value ${map}`;
    title.textContent = figure.hidden ? place : `Map ${map}, row ${y}, column ${x}`;
    const maps = `${size.join(" × ")} values${isOne ? "" : ` of each of ${parts.length} maps`}`;
    const inputs = product(size) === 1 ? `${parts.length} values` : maps;
    const target = figure.hidden ? "it" : "the framed pixel (point at another)";
    const shown = parts.slice(0, isOne ? 1 : 6);
    const most = isOne ? "" : " These give most:";
    said.textContent = `${inputs}, each times its weight, add up to ${target}.${most}`;
    const [heaviest, largest] = ["weights", "products"].map((name) =>
      Math.max(...parts.map((part) => strongest(part[name]))),
    );
    const rows = shown.map((part, i) => {
      const hasNumbers = isOne || product(size) === 1;
      const show = (caption, values, bound, isInk = false) =>
        tile(i ? "" : caption, values, size, isInk, bound, hasNumbers);
      const row = html("<div>", html("<span>", isOne ? "" : part.map));
      row.append(show("values", part.patch, bound, isInk), "×");
      row.append(show("weights", part.weights, heaviest), "=");
      row.append(show("products", part.products, largest));
      row.append(html("<output>", number(part.sum)));
      return row;
    });
    table.className = isOne ? "mnist-one" : "mnist-rows";
    table.replaceChildren(...rows);
    const others = total(parts.slice(shown.length).map(({ sum }) => sum));
    const more = isOne ? "" : `${parts.length - shown.length} others: ${number(others)}, `;
    rest.textContent = `${more}bias: ${number(bias)}, together: ${number(values[y * width + x])}`;
  }

  const point = (x, y) => {
    chosen.x = between(0, x, chosen.view.width - 1);
    chosen.y = between(0, y, chosen.view.height - 1);
    showDetail();
  };
  to.onpointerdown = to.onpointermove = (event) =>
    point(...locate(to, event, chosen.view.width, chosen.view.height));
  to.onkeydown = (event) => steer(event, (x, y) => point(chosen.x + x, chosen.y + y));
  close.onclick = () => {
    chosen = null;
    detail.remove();
    update(results);
  };

  function update(newest) {
    results = newest;
    for (const view of views) {
      const { data } = results[view.index];
      const isMarked = chosen?.view.block === view.block && chosen.view.count === view.count;
      const shown = { ...view, marked: isMarked ? chosen.map : -1 };
      const isInk = network.nodes[view.index].op === "input";
      paint(view.canvas, data, shown, isInk, isInk ? 1 : strongest(data));
      view.list?.replaceChildren(...Array.from(data, (value) => html("<li>", number(value, 1))));
    }
    if (chosen) showDetail();
  }

  const blocks = group(network).map((layers, block) => {
    const elements = layers.map(({ layer, type, indices: all }) => {
      const indices = all.length > 5 ? all.slice(-1) : all; // only what comes out
      const figures = indices.map((i) => makeView(i, block, indices[1] ? network.nodes[i].op : ""));
      const shape = network.nodes[indices.at(-1)].shape.slice(1).join(" × ");
      const head = html("<header>", html("<b>", type.split("(")[0]), html("<span>", layer));
      head.append(html("<span>", shape));
      return html("<div class='mnist-layer'>", head, html("<div>", ...figures));
    });
    return html("<section class='mnist-block'>", ...elements);
  });
  return { blocks, update };
}

/** Show the canvas in an element. `networks` are loadNetwork's: classifier and, where it is to tell
 *  what is no digit, detector; `model` is a notebook's, which keeps drawings. */
function mount(element, { networks: { classifier, detector }, gallery, model }) {
  const root =
    html(`<div class="mnist-canvas"><div><div class="mnist-left"><div class="mnist-stage">
    <svg viewBox="0 0 ${SIZE} ${SIZE}" tabindex="0" role="application" aria-label="Canvas to draw a
      digit on; arrow keys move the pen, and the space bar lowers and lifts it">
      <path fill="none" stroke="#111" stroke-width="${PEN}" stroke-linecap="round" stroke-linejoin="round" />
      <circle fill="none" stroke="#e08000" stroke-width="2" r="${PEN / 2}" />
      <text x="${SIZE / 2}" y="${SIZE - 14}" fill="#888" font-size="15" text-anchor="middle">Draw a digit here</text></svg>
    <div class="mnist-answer"><p aria-hidden="true"></p><p aria-live="polite"></p>
      <button>Undo</button><button>Clear</button>
      <ol aria-label="Probabilities">${"<li><i></i><span></span></li>".repeat(10)}</ol></div></div>
    <div class="mnist-digits"><p></p>${"<button><canvas></canvas></button>".repeat(10)}</div></div>
    <div class="mnist-inside"><p>Each small image is one map that a layer computes:
      <b class="mnist-above">red</b> above zero, <b class="mnist-below">blue</b> below. Tap one to see
      how.</p></div></div></div>`);
  const [paper, ink, cursor, hint] = root.querySelectorAll("svg, svg *");
  const [answer, spoken, told] = root.querySelectorAll("p");
  const [undo, clear, ...slots] = root.querySelectorAll("button");
  const bars = root.querySelectorAll("li");
  const inside = makeInside(classifier);
  const legend = root.querySelector(".mnist-inside p");
  if (model) legend.append(" The network is the one of the moment when the cell ran.");
  legend.after(...inside.blocks);
  const examples = gallery.map(({ strokes }) => ({ strokes, image: toImage(strokes) }));

  let strokes = [];
  let stroke = null; // the one being drawn, the last of `strokes`
  let isShown = false; // out of a slot: the next stroke begins a new drawing
  let pointer = null; // the finger or pen that draws; others are ignored
  let place = [SIZE / 2, SIZE / 2]; // where the arrow keys have moved the pen
  let frame = 0;
  const set = (name, value) => {
    model?.set(name, value);
    model?.save_changes();
  };
  const imageOf = () => (strokes.length ? toImage(strokes) : new Uint8Array(784));
  const canKeep = () => model && strokes.length > 0 && !isShown && !stroke;

  /** Show the drawing at once, and with the next frame what the network makes of it. */
  function show() {
    const lines = strokes.map((points) => `M${[...points, points.at(-1)].join("L")}`);
    ink.setAttribute("d", lines.join(""));
    cursor.setAttribute("transform", `translate(${place})`);
    hint.style.display = strokes.length && !isShown ? "none" : "";
    frame ||= requestAnimationFrame(compute);
  }

  function compute() {
    frame = 0;
    const isEmpty = strokes.length === 0;
    const pixels = Float32Array.from(imageOf(), (value) => value / 255);
    const results = classifier.run(pixels);
    const probabilities = torch.softmax(results[classifier.output], 1).data;
    const digit = probabilities.indexOf(Math.max(...probabilities));
    const asked = detector && !stroke ? detector.run(pixels)[detector.output].data : [1];
    const isDigit = !isEmpty && total(asked.map(Math.exp)) > 1; // so is its logarithm above 0
    root.classList.toggle("mnist-refused", !isDigit);
    answer.textContent = isDigit ? digit : isEmpty ? "" : "?";
    const words = isDigit ? `${digit}, ${percent(probabilities[digit])}` : "No digit";
    if (!stroke) spoken.textContent = isEmpty ? "No digit yet" : words;
    bars.forEach((bar, i) => {
      const [length, value] = bar.children;
      bar.classList.toggle("mnist-best", i === digit && !isEmpty);
      length.style.setProperty("--part", isEmpty ? 0 : probabilities[i]);
      value.textContent = isEmpty ? "" : percent(probabilities[i]);
    });
    inside.update(results);
    const yours = "Your ten digits, in grey examples until you draw them";
    told.textContent = canKeep() ? "Keep it as your" : model ? yours : "Or look at an example";
    slots.forEach((slot, i) => {
      const kept = model?.get("kept")[i];
      slot.className = kept ? "" : "mnist-example";
      slot.title = canKeep()
        ? `Keep the drawing as your ${i}`
        : `Look at ${kept ? "your" : "an example of a"} ${i}`;
      const image = kept
        ? Uint8Array.from(atob(kept.image), (c) => c.charCodeAt(0))
        : examples[i].image;
      paint(slot.firstChild, image, { height: 28, width: 28 }, true, 255);
    });
  }

  function change(next) {
    [strokes, stroke, pointer, isShown] = [next, null, null, false];
    set("drawing", { strokes, image: btoa(String.fromCharCode(...imageOf())) });
    show();
  }

  slots.forEach((slot, i) => {
    slot.append(i);
    slot.onclick = () => {
      if (canKeep()) set("kept", { ...model.get("kept"), [i]: model.get("drawing") });
      else ({ strokes } = model?.get("kept")[i] ?? examples[i]);
      isShown = true;
      show();
    };
  });

  function start(point) {
    stroke = [point];
    strokes = isShown ? [stroke] : [...strokes, stroke];
    isShown = false;
    show();
  }

  function extend(point) {
    const [x, y] = stroke.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) >= 2) stroke.push(point);
    show();
  }

  const position = (event) =>
    locate(paper, event, SIZE, SIZE).map((part) => between(-0.2 * SIZE, part, 1.2 * SIZE));
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
    steer(event, (x, y) => {
      place = [between(0, place[0] + 7 * x, SIZE), between(0, place[1] + 7 * y, SIZE)];
      if (stroke) extend(place);
      else show();
    });
    if (event.key !== " ") return;
    event.preventDefault();
    if (event.repeat) return; // the key is held
    if (stroke) change(strokes);
    else start(place);
  };
  undo.onclick = () => change(isShown ? [] : strokes.slice(0, -1));
  clear.onclick = () => change([]);

  /** Take over a notebook's drawing: another view's, or one from before. */
  function update() {
    if (!stroke) strokes = model?.get("drawing").strokes ?? [];
    show();
  }
  // JupyterLab's single keys don't act on its cells from here; its Ctrl+S still does. It looks first
  // at the element that has the focus, before any listener of ours but the window's.
  const shield = ({ target, ctrlKey, metaKey }) => {
    if (!root.contains(target)) return;
    target.toggleAttribute("data-lm-suppress-shortcuts", !ctrlKey && !metaKey);
  };
  const names = ["change:drawing", "change:kept"];
  window.addEventListener("keydown", shield, true);
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
  const described = Object.entries(JSON.parse(model.get("networks")));
  const networks = Object.fromEntries(described.map(([name, each]) => [name, loadNetwork(each)]));
  return mount(el, { networks, gallery: JSON.parse(model.get("gallery")), model });
}

export default { render };
