// The canvas of canvas.py and page.py, without a library: one draws, and sees what the network
// makes of it, layer by layer. It stands in one module with network.js, whose functions it uses.

const SIZE = 280; // the canvas' height and width in its own units
const PEN = 20; // and its pen's width
const MOST_MAPS = 64; // of a layer, before the reader asks for more
const SUMS = ["conv2d", "linear"]; // each value of theirs is a sum of products
const VIEWS = ["view", "permute", "expand", "slice"]; // not shown: no new values
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const between = (low, value, high) => Math.min(Math.max(value, low), high);
const cut = (values, length, i) => values.subarray(i * length, (i + 1) * length);
const number = (value) => (Math.round(100 * value) / 100 || 0).toFixed(2).replace("-", "\u2212");
const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
const strongest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);

/** Make an element of markup that holds nobody's names; text among its children stays text. */
function html(markup, ...children) {
  const template = document.createElement("template");
  template.innerHTML = markup;
  template.content.firstChild.append(...children);
  return template.content.firstChild;
}

/** Do something with the direction of an arrow key. */
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

/** Return 511 colours as an image's data has them, from the lowest value over 0 to the highest. */
function ramp(low, high) {
  return Uint32Array.from(range(-255, 256), (step) => {
    const mix = (channel) => Math.round(255 + (Math.abs(step) / 255) * (channel - 255));
    const [red, green, blue] = (step < 0 ? low : high).map(mix);
    return (255 << 24) | (blue << 16) | (green << 8) | red;
  });
}

const SIGNED = ramp([33, 102, 172], [178, 24, 43]); // blue, white, red
const INK = ramp([255, 255, 255], [17, 17, 17]);
const shade = (value, bound, colours) =>
  colours[Math.round(255 * between(0, 1 + value / bound, 2))];

/** Paint maps side by side, each value as zoom x zoom pixels, all with one scale. */
function paint(canvas, values, shown, colours, bound = colours === INK ? 1 : strongest(values)) {
  const { height, width, count = 1, columns = 1, zoom = 8, marked } = shown;
  const [across, down] = [width * zoom + 1, height * zoom + 1]; // with a line between maps
  const side = (canvas.width = columns * across + 1);
  canvas.height = Math.ceil(count / columns) * down + 1;
  const pixels = new Uint32Array(side * canvas.height);
  const corner = (map) => [1 + (map % columns) * across, 1 + Math.floor(map / columns) * down];
  let i = 0;
  for (let map = 0; map < count; map++) {
    const [left, top] = corner(map);
    for (let y = top; y < top + height * zoom; y += zoom) {
      for (let x = left; x < left + width * zoom; x += zoom) {
        const colour = shade(values[i++], bound, colours);
        for (let at = y * side + x; at < (y + zoom) * side; at += side) {
          pixels.fill(colour, at, at + zoom);
        }
      }
    }
  }
  const context = canvas.getContext("2d");
  context.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), side), 0, 0);
  context.strokeStyle = "#e08000";
  const [x, y] = corner(marked ?? 0);
  if (marked !== undefined) context.strokeRect(x - 0.5, y - 0.5, across, down);
  return canvas;
}

/** Show values under a caption: as numbers, if it is asked for and they are few, or as an image. */
function tile(caption, values, [height, width], colours, bound, hasNumbers) {
  const table = html("<div class='mnist-numbers'>");
  if (!hasNumbers || width > 7) {
    table.append(paint(html("<canvas>"), values, { height, width }, colours, bound));
  } else {
    table.style.gridTemplateColumns = `repeat(${width}, minmax(0, 1fr))`;
    table.append(...Array.from(values, (value) => html("<span>", number(value))));
    table.childNodes.forEach((cell, i) => {
      const colour = shade(values[i], bound, colours);
      cell.style.background = `rgb(${[0, 8, 16].map((bits) => (colour >> bits) & 255)})`;
      cell.style.color = Math.abs(values[i]) > 0.6 * bound ? "white" : "black";
    });
  }
  return html("<figure>", table, html("<figcaption>", caption));
}

/** Return of a shape how many maps it holds, their height and width; a vector's are 1 x 1. */
function measure(shape) {
  const sides = shape.length === 4 ? shape : shape.filter((length) => length > 1);
  const isVector = sides.length < 2 || product(sides) === sides.at(-1);
  const [height, width] = isVector ? [1, 1] : sides.slice(-2);
  return { height, width, count: product(shape) / (height * width) };
}

/** Put a network's operations into blocks, which a convolution or a linear layer begins; in these
 *  are layers, and in these one operation or more. */
function group({ nodes }) {
  const blocks = [[]];
  nodes.forEach(({ op, layer, shape }, index) => {
    if (VIEWS.includes(op) || product(shape) === 1) return;
    if (SUMS.includes(op) && blocks.at(-1).length) blocks.push([]);
    const block = blocks.at(-1);
    if (layer && nodes[block.at(-1)?.at(-1)]?.layer === layer) block.at(-1).push(index);
    else block.push([index]);
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
  const at = (i) => data[(i * places[0].count + place[0]) * places[1].count + place[1]];
  const first = Math.floor(map / (outputs / options[3])) * maps; // of the group
  const parts = range(0, maps).map((i) => {
    const values = range(0, product(size)).map((j) => at((first + i) * product(size) + j));
    const weights = cut(weight.data, product(size), map * maps + i);
    const products = values.map((value, j) => value * weights[j]);
    return { map: first + i, values, weights, products, sum: total(products) };
  });
  parts.sort((one, other) => Math.abs(other.sum) - Math.abs(one.sum));
  const window = places.map(({ step, before, apart, size }, i) => {
    return [place[i] * step - before, (size - 1) * apart + 1];
  });
  const colours = before.op === "input" ? INK : SIGNED;
  return { input, colours, window, size, parts, bias: bias?.data[map] ?? 0 };
}

const nameOf = ({ layer, type, op }) => (layer ? type.split("(")[0] : op);

/** Make what shows the layers: its elements, and a function that shows the results of a run. */
function makeInside(network) {
  const views = []; // of values: {index, block, canvas, height, width, count, columns, zoom, list}
  let [chosen, results] = [null, null]; // chosen: {view, map, y, x}
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        views.find(({ canvas }) => canvas === entry.target).isFar = !entry.isIntersecting;
      }
      if (results) update(results);
    },
    { rootMargin: "400px" }, // what is further from the screen isn't painted
  );
  const detail = html(`<div class="mnist-detail"><b></b><button aria-label="Close">×</button>
    <p></p><div class="mnist-from"><canvas></canvas><canvas tabindex="0" role="img"></canvas>
    <svg viewBox="0 0 100 44" style="position: absolute; overflow: visible; pointer-events: none">
    <path fill="none" stroke="#e08000" stroke-width="0.5" /></svg></div>
    <div class="mnist-parts"></div><p></p></div>`);
  const [title, close, said, figure, from, to, , path, table, rest] = detail.querySelectorAll("*");

  function makeView(index, block, caption) {
    const view = { index, block, ...measure(network.nodes[index].shape), canvas: html("<canvas>") };
    const { height, width, count, canvas } = view;
    const isLast = index === network.output;
    const columns = Math.min(height > 1 ? 8 : 16, count);
    view.zoom = Math.ceil((height > 1 ? 150 : 300) / (width * columns));
    views.push(Object.assign(view, { columns, list: isLast && html("<ol>") }));
    seen.observe(canvas);
    const what = `${network.nodes[index].op}: ${count} of ${height} by ${width}`;
    Object.assign(canvas, { tabIndex: 0, role: "img", ariaLabel: `${what}; arrow keys choose` });
    canvas.onclick = (event) => {
      const [x, y] = locate(canvas, event, columns, Math.ceil(count / columns));
      choose(view, x + y * columns);
    };
    canvas.onkeydown = (event) =>
      steer(event, (x, y) => choose(view, (view.marked ?? 0) + x + y * columns));
    const more = html("<button>", `Show all ${count}`);
    more.onclick = () => more.remove(); // which the style sheet sees
    const figure = html("<figure>", html("<div>", canvas), html("<figcaption>", caption));
    figure.classList.toggle("mnist-many", count > 1);
    if (count > MOST_MAPS && height > 1) figure.append(more);
    if (isLast) figure.append(view.list);
    return figure;
  }

  /** Take apart this map, or the one of the block's convolution that it comes from. */
  function choose({ block, count, canvas }, map) {
    const view = views.find((each) => each.block === block);
    const isSum = SUMS.includes(network.nodes[view.index].op) && view.count === count;
    if (!isSum || map < 0 || map >= count) return;
    chosen = { view, map, y: view.height >> 1, x: view.width >> 1 };
    canvas.closest(".mnist-layer").after(detail);
    update(results);
    for (const part of [detail, canvas]) part.scrollIntoView({ block: "nearest" });
  }

  function showDetail() {
    const { view, map, y, x } = chosen;
    const { height, width } = view;
    const values = cut(results[view.index].data, height * width, map);
    const found = trace(network, results, network.nodes[view.index], chosen);
    const { input, colours, window, size, parts, bias } = found;
    const bound = colours === INK ? 1 : strongest(input.data);
    const [inHeight, inWidth] = input.shape.slice(2);
    const source = cut(input.data, inHeight * inWidth, parts[0].map);
    paint(from, source, { height: inHeight, width: inWidth }, colours, bound);
    paint(to, values, { height, width }, SIGNED, strongest(results[view.index].data));
    const [cell, pixel] = [44 / Math.max(inHeight, inWidth), 44 / Math.max(height, width)];
    const [[top, high], [left, wide]] = window.map((side) => side.map((part) => part * cell));
    const [up, near, right, down] = [y * pixel, 56 + x * pixel, left + wide, top + high];
    const frame = `M${left} ${top}H${right}V${down}H${left}z`;
    const frames = `${frame}M${near} ${up}h${pixel}v${pixel}h-${pixel}z`;
    const lines = `M${right} ${top}L${near} ${up}M${right} ${down}L${near} ${up + pixel}`;
    path.setAttribute("d", frames + lines);
    figure.hidden = height === 1;

    const isOne = parts.length === 1;
    const shown = parts.slice(0, isOne ? 1 : 6);
    const what = figure.hidden ? `value ${map}` : `map ${map}, row ${y}, column ${x}`;
    title.textContent = `${nameOf(network.nodes[view.index])}, ${what}`;
    const target = figure.hidden ? "it" : "this pixel (point at another)";
    const most = isOne ? "" : ` The ${shown.length} largest of ${parts.length}:`;
    const count = [parts.length, ...size].filter((length) => length > 1).join(" × ");
    said.textContent = `${count} products, value × weight, and a bias add up to ${target}.${most}`;
    const [heaviest, largest] = ["weights", "products"].map((name) =>
      Math.max(...parts.map((part) => strongest(part[name]))),
    );
    const rows = shown.map((part, i) => {
      const show = (name, bound, colours = SIGNED) =>
        tile(i ? "" : name, part[name], size, colours, bound, isOne || product(size) === 1);
      const row = html("<div>", html("<span>", isOne ? "" : part.map));
      row.append(show("values", bound, colours), "×", show("weights", heaviest), "=");
      row.append(show("products", largest), html("<output>", number(part.sum)));
      return row;
    });
    table.classList.toggle("mnist-one", isOne);
    table.replaceChildren(...rows);
    const others = total(parts.slice(shown.length).map(({ sum }) => sum));
    const more = isOne ? "" : `${parts.length - shown.length} others: ${number(others)}, `;
    const result = number(values[y * width + x]);
    rest.textContent = `${more}bias: ${number(bias)}, together: ${result}`;
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
      view.marked = isMarked ? chosen.map : undefined;
      const colours = network.nodes[view.index].op === "input" ? INK : SIGNED;
      if (!view.isFar) paint(view.canvas, data, view, colours);
      if (view.list) view.list.replaceChildren(...Array.from(data, (v) => html("<li>", number(v))));
    }
    if (chosen) showDetail();
  }

  const blocks = group(network).map((layers, block) => {
    const elements = layers.map((indices) => {
      const { layer, type, op, shape } = network.nodes[indices.at(-1)];
      const names = layer && (indices[1] || !type.includes("(")); // else the layer's name says it
      const figures = indices
        .slice(indices.length > 5 ? -1 : 0) // of many operations, only what comes out
        .map((index) => makeView(index, block, names ? network.nodes[index].op : ""));
      const name = html("<b>", nameOf(network.nodes[indices.at(-1)]));
      const sides = html("<span>", shape.slice(1).join(" × "));
      const head = html("<header>", name, html("<span>", layer), sides);
      return html("<div class='mnist-layer'>", head, html("<div>", ...figures));
    });
    return html("<section class='mnist-block'>", ...elements);
  });
  return { blocks, update };
}

/** Show the canvas in an element. `networks` are loadNetwork's: classifier and, where it is to tell
 *  what is no digit, detector; `model` is a notebook's, which keeps drawings. */
function mount(element, { networks: { classifier, detector }, gallery, model }) {
  const root = html(`<div class="mnist-canvas"><div><div class="mnist-left">
    <div class="mnist-stage"><svg viewBox="0 0 ${SIZE} ${SIZE}" tabindex="0" role="application"
      aria-label="Canvas to draw a digit on; arrow keys move the pen, the space bar lowers it">
      <path fill="none" stroke="#111" stroke-width="${PEN}" stroke-linecap="round"
        stroke-linejoin="round" /><circle fill="none" stroke="#e08000" r="${PEN / 2}" />
      <text x="140" y="266" fill="#777" font-size="15" text-anchor="middle"></text></svg>
      <div class="mnist-answer"><p aria-hidden="true"></p>
      <p aria-live="polite" style="position: absolute; clip-path: inset(50%); font-size: 1px"></p>
      <button>Undo</button><button>Clear</button>
      <ol aria-label="Probabilities">${"<li><i></i><span></span></li>".repeat(10)}</ol></div></div>
    <div class="mnist-digits"><p></p>${"<button><canvas></canvas></button>".repeat(10)}</div></div>
    <div class="mnist-inside"><p style="margin-top: 12px; font-size: 14px">Each layer turns
      the images above it into new ones, its maps. A convolution looks for one small pattern
      everywhere: <b style="color: #c8362d">red</b> where it is found,
      <b style="color: #2f78c4">blue</b> where its opposite is. Tap a map of a convolution (Conv2d)
      or a value of a Linear layer to see how.</p></div></div></div>`);
  const [paper, ink, cursor, hint] = root.querySelectorAll("svg, svg *");
  const [answer, spoken, told, legend] = root.querySelectorAll("p");
  const [undo, clear, ...slots] = root.querySelectorAll("button");
  const bars = root.querySelectorAll("li");
  const inside = makeInside(classifier);
  if (model) legend.append(" The network is as it was when the cell ran.");
  legend.after(...inside.blocks);
  const examples = gallery.map(({ strokes }) => ({ strokes, image: toImage(strokes) }));

  let strokes = [];
  let stroke = null; // the one being drawn, the last of `strokes`
  let isShown = false; // out of a slot: the next stroke begins a new drawing
  let pointer = null; // the finger or pen that draws; others are ignored
  let place = [SIZE / 2, SIZE / 2]; // where the arrow keys have moved the pen
  let frame = 0;
  const imageOf = () => (strokes.length ? toImage(strokes) : new Uint8Array(784));
  const canKeep = () => model && strokes.length > 0 && !isShown && !stroke;
  const set = (name, value) => {
    model?.set(name, value);
    model?.save_changes();
  };

  /** Show the drawing at once, and with the next frame what the network makes of it. */
  function show() {
    const lines = strokes.map((points) => `M${[...points, points.at(-1)].join("L")}`);
    ink.setAttribute("d", lines.join(""));
    cursor.setAttribute("transform", `translate(${place})`);
    hint.textContent = isShown ? "Draw over it" : strokes.length ? "" : "Draw a digit here";
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
    const words = isDigit ? `${digit}, ${percent(probabilities[digit])}` : "No digit";
    answer.parentNode.classList.toggle("mnist-none", !isDigit && !isEmpty);
    answer.textContent = isDigit ? digit : isEmpty ? "" : "?";
    if (!stroke) spoken.textContent = isEmpty ? "No digit yet" : words;
    bars.forEach((bar, i) => {
      bar.className = isDigit && i === digit ? "mnist-best" : "";
      bar.firstChild.style.setProperty("--part", isEmpty ? 0 : probabilities[i]);
      bar.lastChild.textContent = isEmpty ? "" : percent(probabilities[i]);
    });
    inside.update(results);
    const yours = "Your ten digits, in grey examples until you draw them";
    told.textContent = canKeep()
      ? "Keep it as your"
      : model
        ? yours
        : "Or look at an example; the network can be wrong";
    slots.forEach((slot, i) => {
      const kept = model?.get("kept")[i];
      slot.className = kept ? "" : "mnist-example";
      const look = `Look at ${kept ? "your" : "an example of a"} ${i}`;
      slot.title = canKeep() ? `Keep the drawing as your ${i}` : look;
      const own = kept && Uint8Array.from(atob(kept.image), (letter) => letter.charCodeAt(0));
      const image = { height: 28, width: 28, zoom: 1 };
      paint(slot.firstChild, own ?? examples[i].image, image, INK, 255);
    });
  }

  function change(next) {
    [strokes, stroke, pointer, isShown] = [next, null, null, false];
    set("drawing", { strokes, image: btoa(String.fromCharCode(...imageOf())) });
    show();
  }

  /** Draw on to a point, or begin there. */
  function draw(point) {
    if (!stroke) {
      stroke = [point];
      strokes = isShown ? [stroke] : [...strokes, stroke];
      isShown = false;
    }
    const [x, y] = stroke.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) >= 2) stroke.push(point);
    show();
  }

  const drawTo = (event) =>
    draw(locate(paper, event, SIZE, SIZE).map((at) => between(-0.2 * SIZE, at, 1.2 * SIZE)));
  paper.onpointerdown = (event) => {
    if (pointer !== null || event.button !== 0) return;
    pointer = event.pointerId;
    paper.setPointerCapture(pointer);
    drawTo(event);
  };
  paper.onpointermove = (event) => {
    if (event.pointerId !== pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    (events.length ? events : [event]).forEach(drawTo);
  };
  paper.onpointerup = paper.onpointercancel = (event) => {
    if (event.pointerId === pointer) change(strokes);
  };
  paper.onkeydown = (event) => {
    steer(event, (x, y) => {
      place = [between(0, place[0] + 7 * x, SIZE), between(0, place[1] + 7 * y, SIZE)];
      if (stroke) draw(place);
      else show();
    });
    if (event.key !== " ") return;
    event.preventDefault();
    if (event.repeat) return; // the key is held
    if (stroke) change(strokes);
    else draw(place);
  };
  undo.onclick = () => change(isShown ? [] : strokes.slice(0, -1));
  clear.onclick = () => change([]);
  slots.forEach((slot, i) => {
    slot.append(i);
    slot.onclick = () => {
      if (canKeep()) set("kept", { ...model.get("kept"), [i]: model.get("drawing") });
      else ({ strokes } = model?.get("kept")[i] ?? examples[i]);
      isShown = true;
      show();
    };
  });

  /** Take over a notebook's drawing: another view's, or one from before. */
  function update() {
    if (!stroke) strokes = model?.get("drawing").strokes ?? [];
    show();
  }
  // JupyterLab's single keys don't act on its cells from here; its Ctrl+S still does. It looks at
  // the element that has the focus, before any listener of ours but the window's.
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
  const networks = JSON.parse(model.get("networks"));
  for (const name of Object.keys(networks)) networks[name] = loadNetwork(networks[name]);
  return mount(el, { networks, gallery: JSON.parse(model.get("gallery")), model });
}

export default { render };
