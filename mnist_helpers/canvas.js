// The canvas of canvas.py and page.py, without a library: one draws, and sees what the network makes
// of it, layer by layer. It stands in one module with network.js, whose functions it uses.

const SIZE = 280; // the canvas' height and width in its own units
const PEN = 20; // and its pen's width
const MOST_MAPS = 64; // of a layer, before the reader asks for more
const SUMS = ["conv2d", "linear"]; // each value of theirs is a sum of products
const VIEWS = ["view", "reshape", "squeeze", "unsqueeze"]; // the same values in the same order
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HIDDEN = [...VIEWS, "permute", "transpose", "expand", "select", "slice"];

/** Make an element of markup that holds nobody's names; text among its children stays text. */
function html(markup, ...children) {
  const template = document.createElement("template");
  template.innerHTML = markup;
  const [element] = template.content.children;
  element.append(...children);
  return element;
}

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
const number = (value, digits = 2) => value.toFixed(digits).replace("-", "\u2212");
const between = (low, value, high) => Math.min(Math.max(value, low), high);
const cut = (values, length, i) => values.subarray(i * length, (i + 1) * length);
const fromText = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const imageOf = (strokes) => (strokes.length ? toImage(strokes) : new Uint8Array(784));
const strongest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);

/** Return where an event is on an element that is so many units wide and high. */
function placeIn(element, { clientX, clientY }, width, height) {
  const box = element.getBoundingClientRect();
  const [x, y] = [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
  return [Math.floor(x * width), Math.floor(y * height)];
}

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

/** Return the theme's colours of values from -1 to 1, in 511 steps. */
function palette(root) {
  const read = (name) => {
    root.style.outlineColor = `var(--${name})`;
    return getComputedStyle(root)
      .outlineColor.match(/[\d.]+/g)
      .map(Number);
  };
  const shades = (...names) => {
    const [low, zero, high] = names.map(read);
    const colours = range(-255, 256).map((step) => {
      const mix = (i) => zero[i] + (Math.abs(step) / 255) * ((step < 0 ? low : high)[i] - zero[i]);
      return [mix(0), mix(1), mix(2), 255];
    });
    return new Uint32Array(Uint8ClampedArray.from(colours.flat()).buffer);
  };
  return { signed: shades("below", "zero", "above"), ink: shades("paper", "paper", "ink") };
}

const shade = (value, bound, colours) =>
  colours[Math.round(255 * between(0, 1 + value / bound, 2))];

/** Paint maps side by side, each value as zoom x zoom pixels; `bound` has the full colour. */
function paint(canvas, values, shown, colours, bound) {
  const { height, width, count = 1, columns = 1, zoom = 1, marked } = shown;
  const [across, down] = [width * zoom + 1, height * zoom + 1];
  const [side, rows] = [columns * across + 1, Math.ceil(count / columns) * down + 1];
  const pixels = new Uint32Array(side * rows);
  const corner = (map) => [1 + (map % columns) * across, 1 + Math.floor(map / columns) * down];
  for (let i = 0; i < count * height * width; i++) {
    const [left, top] = corner(Math.floor(i / (height * width)));
    const [from, row] = [left + (i % width) * zoom, top + (Math.floor(i / width) % height) * zoom];
    const colour = shade(values[i], bound, colours);
    for (let y = row; y < row + zoom; y++) {
      pixels.fill(colour, y * side + from, y * side + from + zoom);
    }
  }
  if (canvas.width !== side || canvas.height !== rows) {
    [canvas.width, canvas.height] = [side, rows];
  }
  const context = canvas.getContext("2d");
  context.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), side), 0, 0);
  context.strokeStyle = "#e69f00";
  const [x, y] = corner(marked ?? 0);
  if (marked !== undefined) context.strokeRect(x - 0.5, y - 0.5, across, down);
  return canvas;
}

/** Show values as an image, or, where they are few and it is asked for, as numbers. */
function tile(values, [height, width], colours, bound, hasNumbers) {
  if (!hasNumbers || width > 7) {
    return paint(html("<canvas>"), values, { height, width }, colours, bound);
  }
  const table = html("<div class='mnist-numbers'>");
  table.style.gridTemplateColumns = `repeat(${width}, 1fr)`;
  for (const value of values) {
    const cell = html("<span>", number(value));
    const bytes = new Uint8Array(Uint32Array.of(shade(value, bound, colours)).buffer);
    cell.style.background = `rgb(${bytes.subarray(0, 3)})`;
    cell.classList.toggle("mnist-full", Math.abs(value) > 0.5 * bound);
    table.append(cell);
  }
  return table;
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
    if (HIDDEN.includes(op) || product(shape) === 1) return;
    if (SUMS.includes(op) && blocks.at(-1).length) blocks.push([]);
    const last = blocks.at(-1).at(-1);
    if (isLeaf(layer) && last?.layer === layer) last.indices.push(index);
    else blocks.at(-1).push({ layer, type: isLeaf(layer) ? type : op, indices: [index] });
  });
  return blocks;
}

/** Take apart one value of a convolution or a linear layer: return the window of the layer before
 *  that it comes from, and the products that add up to it: `parts`, one a map, largest first. */
function trace(network, results, node, { map, y, x }) {
  const get = (argument) => results[argument?.node] ?? network.constants[argument?.constant];
  const [input, weight, bias] = node.args.slice(0, 3).map(get);
  const [outputs, features, ...kernel] = weight.shape;
  let before = network.nodes[node.args[0].node];
  let [source, output, groups, lines] = [input, map, 1, null];
  if (node.op === "conv2d") {
    const places = placeWindows(input, kernel, ...node.args.slice(3));
    lines = places.map(({ size, step, apart, before }, i) =>
      range(0, size).map((k) => [y, x][i] * step - before + k * apart),
    );
    groups = node.args[6];
  } else {
    while (VIEWS.includes(before.op)) before = network.nodes[before.args[0].node]; // not yet flat
    const isOne = product(before.shape) === features; // vector, not several
    const { count, height, width } = measure(isOne ? before.shape : [features]);
    source = tensor([1, count, height, width], isOne ? input.data : cut(input.data, features, y));
    lines = [range(0, height), range(0, width)]; // the window is the whole
    if (!isOne) output = x;
  }
  const window = take(take(source, 2, lines[0]), 3, lines[1]).data; // with zeros around the maps
  const size = lines.map((line) => line.length);
  const inputs = product(weight.shape.slice(1)) / product(size);
  const first = Math.floor(output / (outputs / groups)) * inputs;
  const parts = range(first, first + inputs).map((map, i) => {
    const patch = cut(window, product(size), map);
    const kernel = cut(weight.data, product(size), output * inputs + i);
    const products = patch.map((value, j) => value * kernel[j]);
    return { map, patch, kernel, products, sum: total(products) };
  });
  parts.sort((one, other) => Math.abs(other.sum) - Math.abs(one.sum));
  return { source, before, lines, size, parts, bias: bias?.data[output] ?? 0 };
}

/** Make what shows the layers: its elements, and a function that shows the results of a run. */
function makeInside(network, root) {
  const views = []; // of values: {index, block, canvas, height, width, count, columns, zoom, marked}
  let [chosen, results, colours] = [null, null, null]; // chosen: {view, map, y, x}
  const detail = html(`<div class="mnist-detail"><header><b></b><button>×</button></header>
    <div class="mnist-from"><canvas></canvas><canvas tabindex="0" role="img"></canvas>
    <svg viewBox="0 0 100 44" aria-hidden="true"><path /></svg></div><p></p><div></div></div>`);
  const [title, shut, figure, from, to, path, said, rows] = detail.querySelectorAll(
    "b, button, div, canvas, path, p",
  );

  function makeView(index, block, hasName) {
    const { op, shape } = network.nodes[index];
    const { height, width, count } = measure(shape);
    const isLast = index === network.output;
    const [columns, zoom] = height > 1 ? [Math.min(8, count), Math.ceil(12 / width)] : [32, 8];
    const canvas = html("<canvas tabindex='0' role='img'>");
    canvas.ariaLabel = `${op}, ${count} of ${height} by ${width}; arrow keys choose one`;
    const view = { index, block, canvas, height, width, zoom, columns: isLast ? 10 : columns };
    view.count = height > 1 ? Math.min(count, MOST_MAPS) : count;
    const element = html("<figure>", canvas, html("<figcaption>", hasName ? op : ""));
    element.classList.toggle("mnist-many", count > 1);
    if (isLast) element.append((view.list = html("<ol>")));
    const more = html("<button>", `Show all ${count}`);
    more.onclick = () => {
      view.count = count;
      more.remove();
      update(results);
    };
    if (view.count < count) element.append(more);
    canvas.onclick = (event) => {
      const [x, y] = placeIn(canvas, event, view.columns, Math.ceil(view.count / view.columns));
      choose(view, y * view.columns + x);
    };
    canvas.onkeydown = (event) => {
      const moves = {
        ArrowLeft: -1,
        ArrowRight: 1,
        ArrowUp: -view.columns,
        ArrowDown: view.columns,
      };
      if (!moves[event.key]) return;
      event.preventDefault();
      choose(view, chosen?.view.block === block ? chosen.map + moves[event.key] : 0);
    };
    views.push(view);
    return element;
  }

  /** Take apart the convolution's or linear layer's map that this one is, or that it comes from. */
  function choose({ block, count }, map) {
    const view = views.find((each) => each.block === block);
    const isThere = SUMS.includes(network.nodes[view.index].op) && view.count === count;
    if (!isThere || map < 0 || map >= count) return;
    if (chosen?.view === view && chosen.map === map) return hide();
    const values = cut(results[view.index].data, view.height * view.width, map);
    const place = Math.max(0, values.map(Math.abs).indexOf(strongest(values)));
    chosen = { view, map, y: Math.floor(place / view.width), x: place % view.width };
    view.canvas.closest(".mnist-layer").after(detail);
    update(results);
    detail.scrollIntoView({ block: "nearest" });
  }

  function hide() {
    chosen = null;
    detail.remove();
    update(results);
  }

  function showDetail() {
    const { view, map, y, x } = chosen;
    const { data, shape } = results[view.index];
    const node = network.nodes[view.index];
    const { source, before, lines, size, parts, bias } = trace(network, results, node, chosen);
    const isInk = before.op === "input";
    const bound = isInk ? 1 : strongest(source.data);
    const own = isInk ? colours.ink : colours.signed;
    const [height, width] = source.shape.slice(2);
    const plane = (map) =>
      paint(html("<canvas>"), cut(source.data, height * width, map), { height, width }, own, bound);
    title.textContent = node.type || node.op;
    figure.hidden = view.height === 1;
    paint(from, cut(source.data, height * width, parts[0].map), { height, width }, own, bound);
    const values = cut(data, view.height * view.width, map);
    paint(to, values, { height: view.height, width: view.width }, colours.signed, strongest(data));
    const [cell, pixel] = [44 / Math.max(height, width), 44 / Math.max(view.height, view.width)];
    const [top, left] = lines.map((line) => line[0] * cell);
    const [bottom, right] = lines.map((line) => (line.at(-1) + 1) * cell);
    const [up, near] = [y * pixel, 56 + x * pixel];
    path.setAttribute(
      "d",
      `M${left} ${top}H${right}V${bottom}H${left}ZM${near} ${up}h${pixel}v${pixel}h${-pixel}z` +
        `M${right} ${top}L${near} ${up}M${right} ${bottom}L${near} ${up + pixel}`,
    );
    const shown = parts.slice(0, parts.length > 1 ? 6 : 1);
    const rest = total(parts.slice(shown.length).map(({ sum }) => sum));
    const value = number(values[y * view.width + x]);
    said.textContent = `Row ${y}, column ${x} of map ${map}: ${value}`;
    rows.replaceChildren(
      ...shown.map((part) => {
        const hasNumbers = parts.length === 1 || product(size) === 1;
        const row = html(`<div class="mnist-row ${parts.length === 1 ? "mnist-large" : ""}">`);
        const kernel = tile(part.kernel, size, colours.signed, strongest(part.kernel), hasNumbers);
        const products = tile(
          part.products,
          size,
          colours.signed,
          strongest(part.products),
          hasNumbers,
        );
        if (parts.length > 1) row.append(html("<span>", `${part.map}`));
        row.append(tile(part.patch, size, own, bound, hasNumbers), "×", kernel, "=", products);
        row.append(html("<output>", number(part.sum)));
        return row;
      }),
    );
  }

  to.onpointerdown = to.onpointermove = (event) => {
    const { height, width } = chosen.view;
    const [x, y] = placeIn(to, event, width, height);
    Object.assign(chosen, { x: between(0, x, width - 1), y: between(0, y, height - 1) });
    showDetail();
  };
  to.onkeydown = (event) => {
    const { view, x, y } = chosen;
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    chosen.x = between(0, x + step[0], view.width - 1);
    chosen.y = between(0, y + step[1], view.height - 1);
    showDetail();
  };
  shut.onclick = hide;

  function update(newest) {
    [results, colours] = [newest, palette(root)];
    for (const view of views) {
      const { data } = results[view.index];
      const isMarked = chosen?.view.block === view.block && chosen.view.count === view.count;
      view.marked = isMarked ? chosen.map : undefined;
      const isInk = network.nodes[view.index].op === "input";
      paint(
        view.canvas,
        data,
        view,
        isInk ? colours.ink : colours.signed,
        isInk ? 1 : strongest(data),
      );
      view.list?.replaceChildren(...Array.from(data, (value) => html("<li>", number(value, 1))));
    }
    if (chosen) showDetail();
    return colours;
  }

  const blocks = group(network).map((layers, block) => {
    const elements = layers.map(({ layer, type, indices }) => {
      const [name, ...rest] = type.split(/(?=\()/);
      const shape = network.nodes[indices.at(-1)].shape.slice(1).join(" × ");
      const figures = indices.map((index) => makeView(index, block, indices.length > 1));
      const head = html(
        "<header>",
        html("<b>", name),
        html("<code>", layer),
        html("<span>", shape),
      );
      head.append(html("<small>", rest.join("")));
      return html("<div class='mnist-layer'>", head, html("<div>", ...figures));
    });
    return html("<section class='mnist-block'>", ...elements);
  });
  return { blocks, update };
}

/** Show the canvas in an element. `networks` are loadNetwork's: classifier and, where it is to tell
 *  what is no digit, detector; `get` and `set` a notebook's state, drawing and kept. */
function mount(element, { networks, gallery, get, set }) {
  const { classifier, detector } = networks;
  const root = html(`<div class="mnist-canvas">
    <div class="mnist-stage">
      <svg viewBox="0 0 ${SIZE} ${SIZE}" tabindex="0" role="application"
        aria-label="Canvas to draw a digit on; with the keyboard, arrows move the pen and the space bar lowers and lifts it">
        <path stroke-width="${PEN}" /><circle r="${PEN / 2}" />
        <text x="${SIZE / 2}" y="${SIZE - 14}">Draw a digit here</text>
      </svg>
      <div class="mnist-answer"><p aria-hidden="true"></p><p aria-live="polite"></p>
        <button>Undo</button><button>Clear</button>
        <ol aria-label="Probabilities">${"<li><b></b><i></i><span></span></li>".repeat(10)}</ol></div>
      <div class="mnist-digits"><p></p>${"<button><canvas></canvas></button>".repeat(10)}</div>
    </div>
    <div class="mnist-inside"><p>What each layer makes of it: every small image is one map,
      <b class="mnist-above">red</b> above zero, <b class="mnist-below">blue</b> below.
      Tap a map of a convolution to see where its pixels come from.</p></div></div>`);
  const all = (selector) => [...root.querySelectorAll(selector)];
  const [paper, ink, cursor, hint] = all(".mnist-stage svg, .mnist-stage svg *");
  const [answer, spoken, told] = all(".mnist-stage p");
  const [undo, clear, ...slots] = all(".mnist-stage button");
  const bars = all("li");
  const inside = makeInside(classifier, root);
  root.lastElementChild.append(...inside.blocks);
  const examples = gallery.map(({ strokes }) => ({ strokes, image: toImage(strokes) }));

  let strokes = [];
  let stroke = null; // the one being drawn, the last of `strokes`
  let isShown = false; // out of a slot: the next stroke begins a new drawing
  let pointer = null; // the finger or pen that draws; others are ignored
  let place = [SIZE / 2, SIZE / 2]; // where the arrow keys have moved the pen
  let frame = 0;

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
    const pixels = Float32Array.from(imageOf(strokes), (value) => value / 255);
    const results = classifier.run(pixels);
    const probabilities = torch.softmax(results[classifier.output], 1).data;
    const digit = probabilities.indexOf(Math.max(...probabilities));
    let isDigit = !isEmpty;
    if (detector && !stroke && isDigit) {
      const { data } = detector.run(pixels)[detector.output];
      isDigit = total(data.map(Math.exp)) > 1; // the logarithm of this sum is above 0
    }
    answer.textContent = isDigit ? digit : isEmpty ? "" : "?";
    const words = isDigit ? `${digit}, ${percent(probabilities[digit])}` : "No digit";
    if (!stroke) spoken.textContent = isEmpty ? "No digit yet" : words;
    root.classList.toggle("mnist-refused", !isDigit);
    bars.forEach((bar, i) => {
      bar.classList.toggle("mnist-best", i === digit && !isEmpty);
      bar.children[0].textContent = i;
      bar.children[1].style.setProperty("--part", isEmpty ? 0 : probabilities[i]);
      bar.children[2].textContent = isEmpty ? "" : percent(probabilities[i]);
    });
    const colours = inside.update(results);
    const canKeep = set && !isEmpty && !isShown && !stroke;
    told.textContent = canKeep ? "Keep it as your" : "Look at a digit:";
    slots.forEach((slot, i) => {
      const kept = get?.("kept")[i];
      const image = kept ? fromText(kept.image) : examples[i].image;
      slot.className = kept ? "" : "mnist-example";
      slot.ariaLabel = canKeep
        ? `Keep the drawing as your ${i}`
        : `Show ${kept ? "your" : "the example of a"} ${i}`;
      paint(slot.firstChild, image, { height: 28, width: 28 }, colours.ink, 255);
    });
  }

  function change(next) {
    [strokes, stroke, pointer, isShown] = [next, null, null, false];
    set?.("drawing", { strokes, image: btoa(String.fromCharCode(...imageOf(strokes))) });
    show();
  }

  slots.forEach((slot, i) => {
    slot.append(i);
    slot.onclick = () => {
      const canKeep = set && strokes.length && !isShown;
      if (canKeep) set("kept", { ...get("kept"), [i]: get("drawing") });
      else ({ strokes } = get?.("kept")[i] ?? examples[i]);
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
    placeIn(paper, event, SIZE, SIZE).map((part) => between(-0.2 * SIZE, part, 1.2 * SIZE));
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
    const step = STEPS[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    if (step) place = place.map((part, i) => between(0, part + 7 * step[i], SIZE));
    if (step && stroke) extend(place);
    else if (step) show();
    else if (stroke && !event.repeat) change(strokes);
    else if (!event.repeat) start(place);
  };
  undo.onclick = () => change(isShown ? [] : strokes.slice(0, -1));
  clear.onclick = () => change([]);
  // JupyterLab's single keys don't act on its cells from here; its Ctrl+S still does.
  const shield = ({ ctrlKey, metaKey }) =>
    root.toggleAttribute("data-lm-suppress-shortcuts", !ctrlKey && !metaKey);
  window.addEventListener("keydown", shield, true);
  element.replaceChildren(root);

  /** Take over a notebook's drawing: another view's, or one from before. */
  function update() {
    if (!stroke) strokes = get?.("drawing").strokes ?? [];
    show();
  }
  update();
  if (!strokes.length) slots[3].click();
  return { update, end: () => window.removeEventListener("keydown", shield, true) };
}

/** Show the canvas in a notebook, as anywidget asks for it. */
function render({ model, el }) {
  const described = Object.entries(JSON.parse(model.get("networks")));
  const canvas = mount(el, {
    networks: Object.fromEntries(described.map(([name, each]) => [name, loadNetwork(each)])),
    gallery: JSON.parse(model.get("gallery")),
    get: (name) => model.get(name),
    set: (name, value) => {
      model.set(name, value);
      model.save_changes();
    },
  });
  model.on("change:drawing change:kept", canvas.update);
  return () => {
    model.off("change:drawing change:kept", canvas.update);
    canvas.end();
  };
}

export default { render };
