// The canvas of canvas.py and page.py, without a library: one draws, and sees what the network
// makes of it, layer by layer. It stands in one module with network.js, whose functions it uses.

const SIZE = 280; // the canvas' height and width in its own units
const PEN = 20; // and its pen's width
const [INK, RED, BLUE] = [0x777777, 0x4535d6, 0xd27d2d]; // blue, green, red
const VIEWS = ["view", "permute", "expand", "slice"]; // not shown: no new values
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const between = (low, value, high) => Math.min(Math.max(value, low), high);
const strongest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
const number = (value, digits = 2) =>
  (Number(value.toFixed(digits)) || 0).toFixed(digits).replace("-", "\u2212");
const text = (name) => new Option(name).innerHTML; // the reader's own names are no markup
const repeat = (list, markup) => Array.from(list, markup).join("");
/** Strokes as an SVG path; a dot is a line to where it began. */
const toPath = (strokes) => repeat(strokes, (all) => `M${[...all, all.at(-1)].join("L")}`);
/** An image with a grid of cells over it. */
const overlay = (columns, cells) => `<div class="mnist-image"><canvas></canvas>
  <div style="--columns: ${columns}">${cells}</div></div>`;

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
  const pixel = longer / (20 - pen);
  const lines = strokes.flatMap((points) => points.map((end, i) => [points[i - 1] ?? end, end]));
  const [right, down] = [(i) => i % 28, (i) => Math.floor(i / 28)];
  const image = full([784], 0).data.map((_, i) => {
    const [x, y] = [right(i), down(i)].map((at, axis) => (at - 13.5) * pixel + middles[axis]);
    let square = Infinity; // of the distance
    for (const [[x0, y0], [x1, y1]] of lines) {
      const [dx, dy] = [x1 - x0, y1 - y0];
      const t = between(0, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1), 1);
      square = Math.min(square, (x - x0 - t * dx) ** 2 + (y - y0 - t * dy) ** 2);
    }
    return between(0, pen / 2 + 0.5 - Math.sqrt(square) / pixel, 1);
  });
  const [x, y] = [right, down].map((placeOf) => {
    const middle = total(image.map((part, i) => part * placeOf(i))) / total(image);
    return between(-4, Math.round(14 - middle), 4);
  });
  return Uint8Array.from(image, (_, i) => Math.round(255 * (image[i - 28 * y - x] ?? 0)));
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

/** Return of a shape how many maps it holds, their height and width, and in how many columns they
 *  are shown. A vector's are 1 x 1. */
function measure(shape) {
  const sides = shape.slice(-2);
  const size = shape.length === 4 || product(sides) > sides.at(-1) ? sides : [1, 1];
  const count = product(shape) / product(size);
  return { size, count, columns: Math.min(product(size) > 1 ? 8 : 16, count) };
}

const isLayer = ({ type }) => type.includes("("); // not one that holds layers
const nameOf = (node) => (isLayer(node) ? node.type.split("(")[0] : node.op);
/** Return whether each of a node's values is a sum of products that `trace` can take apart. */
const isSum = ({ op, shape }) =>
  op === "conv2d" || (op === "linear" && product(measure(shape).size) === 1);

/** Put into blocks, which such a sum begins, what comes out of each layer and of what is done
 *  between layers. */
function toBlocks({ nodes, output }) {
  const blocks = [[]];
  nodes.forEach((node, index) => {
    if (index !== output && (VIEWS.includes(node.op) || product(node.shape) === 1)) return;
    const before = nodes[blocks.at(-1).at(-1)];
    if (isSum(node)) blocks.push([]);
    else if (isLayer(node) && node.layer === before?.layer && !isSum(before)) blocks.at(-1).pop();
    blocks.at(-1).push(index);
  });
  return blocks;
}

/** Take apart one value of a convolution, or of a linear layer, whose window is its whole input.
 *  Return the input and its node, what `takeApart` does, the largest part first, and the bias. */
function trace({ nodes, constants }, results, { index, map, place }) {
  const { op, args } = nodes[index];
  let [weight, bias] = [1, 2].map((i) => results[args[i]?.node] ?? constants[args[i]?.constant]);
  let [source, options] = [args[0].node, args.slice(3)];
  while (op === "linear" && nodes[source].op === "view") source = nodes[source].args[0].node;
  const { size, count } = measure(nodes[source].shape);
  if (op === "linear") {
    weight = tensor([weight.shape[0], count, ...size], weight.data);
    options = [[1], [0, 0], [1, 1], 1];
  }
  const input = tensor([1, count, ...size], results[source].data);
  const { parts, edges } = takeApart(input, weight, options, map, place);
  parts.sort((one, other) => Math.abs(other.sum) - Math.abs(one.sum));
  return { input, source, edges, kernel: weight.shape.slice(2), parts, bias: bias?.data[map] ?? 0 };
}

/** Show the layers in an element; return a function that shows the results of a run there. */
function makeInside(element, network) {
  const { nodes, output } = network;
  const group = Math.random(); // of which one map is chosen
  let [chosen, results] = [null, null]; // chosen: { index, map, place: [y, x] }
  const scaleOf = (i) => (nodes[i].op === "input" ? [INK, 1] : [RED, strongest(results[i].data)]);

  const toLayer = (index) => {
    const { layer, shape } = nodes[index];
    const { count, columns } = measure(shape);
    const attributes = `type="radio" name="${group}" ${isSum(nodes[index]) ? "" : "disabled"}`;
    const button = (map) => `<input ${attributes} value="${map}" aria-label="${map}">`;
    return `<div class="mnist-layer ${count > 1 ? "mnist-many" : ""}" data-index="${index}">
      <p><b>${text(nameOf(nodes[index]))}</b><br>${shape.slice(1).join("\u00a0×\u00a0")}\u2002
      <span>${text(layer)}</span></p>${overlay(columns, repeat(range(0, count), button))}
      ${index === output ? "<ol></ol>" : ""}</div>`;
  };
  const toBlock = (layers) => `<section class="mnist-block">${repeat(layers, toLayer)}</section>`;
  element.innerHTML = repeat(toBlocks(network), toBlock);
  const logits = element.querySelector("ol");
  const detail = document.createElement("div");
  detail.className = "mnist-detail";
  detail.innerHTML = `<div class="mnist-from"><canvas></canvas>
    <canvas tabindex="0" role="application" aria-label="A map; arrow keys choose a pixel"
    style="cursor: crosshair; touch-action: none"></canvas>
    <svg viewBox="0 0 100 44" fill="none" stroke="#c06000" stroke-width=".5"><path /></svg>
    <p>Point at a pixel on the right. It adds up the framed values, each times its own weight. On
    the left is the first map of the list.</p></div><div class="mnist-parts"></div>`;
  const [figure, from, to, , path, , table] = detail.querySelectorAll("*");

  function showDetail() {
    const { index, map, place } = chosen;
    const { input, source, edges, kernel, parts, bias } = trace(network, results, chosen);
    const [outer, inner] = [measure(nodes[index].shape).size, input.shape.slice(2)];
    const values = cut(results[index].data, product(outer), map);
    paint(from, cut(input.data, product(inner), parts[0].map), inner, scaleOf(source));
    paint(to, values, outer, scaleOf(index));
    const pixel = 44 / outer[1]; // in percent of the figure's width
    const [top, bottom, left, right] = edges.map((edge) => (edge * 44) / inner[1]);
    const [up, near] = [place[0] * pixel, 56 + place[1] * pixel];
    const frames = `M${left} ${top}H${right}V${bottom}H${left}zM${near} ${up}h${pixel}v${pixel}`;
    const rays = `M${right} ${top}L${near} ${up}M${right} ${bottom}L${near} ${up + pixel}`;
    path.setAttribute("d", `${frames}h-${pixel}z${rays}`);
    figure.style.display = product(outer) > 1 ? "" : "none";
    const nameOfMap = (node, map) => `${nameOf(nodes[node])}[${map}]`;

    const isOne = parts.length === 1;
    const hasNumbers = kernel[1] === 1 || (isOne && kernel[1] <= 5); // else they have no room
    const line = (name, sum, images = "") =>
      `<div><span>${text(name)}</span>${images}<output>${sum}</output></div>`;
    const shown = parts.slice(0, 6);
    const lines = shown.map(({ map, sum, images }, row) => {
      const figures = images.map((each, i) => {
        const cells = hasNumbers ? repeat(each, (value) => `<span>${number(value)}</span>`) : "";
        const caption = row ? "" : ["values", "weights", "products"][i];
        return `<figure>${caption}${overlay(kernel[1], cells)}</figure>${["×", "=", ""][i]}`;
      });
      return line(nameOfMap(source, map), `${row ? "" : "sum "}${number(sum)}`, figures.join(""));
    });
    const others = total(parts.slice(6).map(({ sum }) => sum));
    if (parts.length > 6) lines.push(line(`${parts.length - 6} others`, number(others)));
    const value = values[place[0] * outer[1] + place[1]];
    lines.push(line("bias", number(bias)), line(nameOfMap(index, map), `<b>${number(value)}</b>`));
    table.classList.toggle("mnist-one", isOne);
    table.innerHTML = lines.join("");
    const bounds = [1, 2].map((i) => strongest(parts.map(({ images }) => strongest(images[i]))));
    const scales = [scaleOf(source), ...bounds.map((bound) => [RED, bound])];
    table.querySelectorAll("canvas").forEach((canvas, i) => {
      paint(canvas, shown[Math.floor(i / 3)].images[i % 3], kernel, scales[i % 3]);
    });
  }

  const point = ([x, y]) => {
    chosen.place = [between(0, y, to.height - 1), between(0, x, to.width - 1)];
    showDetail();
  };
  to.onpointerdown = to.onpointermove = (event) => point(locate(to, event, to.width, to.height));
  to.onkeydown = (event) => {
    if (event.key in ARROWS) event.preventDefault(); // nothing scrolls
    point((ARROWS[event.key] ?? [0, 0]).map((way, i) => way + chosen.place[1 - i]));
  };
  element.onchange = ({ target }) => {
    const layer = target.closest(".mnist-layer");
    const index = Number(layer.dataset.index);
    const place = measure(nodes[index].shape).size.map((length) => length >> 1);
    chosen = { index, map: Number(target.value), place };
    layer.parentNode.append(detail);
    showDetail();
    for (const part of [detail, layer, target]) part.scrollIntoView({ block: "nearest" });
  };

  return (newest) => {
    results = newest;
    for (const layer of element.querySelectorAll(".mnist-layer")) {
      const { index } = layer.dataset;
      const { size, columns } = measure(nodes[index].shape);
      paint(layer.querySelector("canvas"), results[index].data, size, scaleOf(index), columns);
    }
    const { data } = results[output];
    logits.innerHTML = repeat(data, (x, digit) => `<li><b>${digit}</b><br>${number(x, 1)}</li>`);
    if (chosen) showDetail();
  };
}

/** Show the canvas in an element, as anywidget asks for it. Its model, or on a page what stands in
 *  for it, has the networks of page.py: classifier and, where it is to tell what is no digit,
 *  detector; the gallery's drawings; and keeps the reader's. */
function render({ model, el }) {
  const { classifier, detector } = model.get("networks");
  const [network, judge] = [classifier, detector].map((each) => each && loadNetwork(each));
  const path = `<path fill="none" stroke="currentColor" stroke-width="${PEN}"
    stroke-linecap="round" stroke-linejoin="round" />`;
  const slot = (i) => `<button><svg viewBox="0 0 ${SIZE} ${SIZE}">${path}</svg>${i}</button>`;
  el.innerHTML = `<div class="mnist-canvas"><div>
    <div class="mnist-left"><div class="mnist-stage">
    <svg viewBox="0 0 ${SIZE} ${SIZE}" tabindex="0" role="application" fill="none"
      aria-label="Canvas to draw a digit on; arrow keys move the pen, the space bar lowers it">
      ${path}<circle r="${PEN / 2}" stroke="#c06000" /></svg>
    <div class="mnist-answer"><p aria-live="polite"></p><button>Undo</button><button>Clear</button>
      <ol aria-label="Probabilities"></ol></div></div>
    <p>Tap to keep a drawing, or to see it (grey: examples):</p>
    <div class="mnist-digits">${repeat(range(0, 10), slot)}</div></div>
    <div class="mnist-inside"><p>Each layer turns the images above it into new ones, its maps.
      Each map of a convolution looks for one small pattern:
      <mark style="background: #d63545; color: #fff">red</mark> where it is found,
      <mark style="background: #2d7dd2; color: #fff">blue</mark> where its opposite is. Tap a map
      of a convolution (Conv2d) or a value of a Linear layer to see how.</p><div></div>
      <p>This is the network as it was when the canvas was made: training changes nothing here.
      ${judge ? "A second network answers with a ? where it sees no digit." : ""}</p>
      </div></div></div>`;
  const [root] = el.children;
  const [paper, ink, cursor] = root.querySelectorAll("svg, svg *");
  const [answer, bars] = root.querySelectorAll("p[aria-live], ol[aria-label]");
  const [undo, clear, ...slots] = root.querySelectorAll("button");
  const showInside = makeInside(root.querySelector(".mnist-inside div"), network);

  let { strokes } = model.get("drawing");
  let pen = null; // what draws the last of them now: a pointer's id, or a key
  // Whether it comes from a slot, so that the next stroke begins a new drawing
  let isShown = Object.values(model.get("kept")).some((each) => `${each.strokes}` === `${strokes}`);
  let place = [SIZE / 2, SIZE / 2]; // where the arrow keys have moved the pen
  let frame = 0;

  /** Show with the next frame the drawing, and what the network makes of it. */
  function show() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(compute);
  }

  function compute() {
    const isEmpty = strokes.length === 0;
    ink.setAttribute("d", toPath(strokes));
    cursor.setAttribute("transform", `translate(${place})`);
    const pixels = Float32Array.from(toImage(strokes), (value) => value / 255);
    const results = network.run(pixels);
    const probabilities = torch.softmax(results[network.output], 1).data;
    const digit = probabilities.indexOf(Math.max(...probabilities));
    const asked = judge && pen === null ? judge.run(pixels)[judge.output].data : [1];
    const isDigit = total(asked.map(Math.exp)) > 1; // so is its logarithm above 0
    answer.textContent = isEmpty ? "" : isDigit ? digit : "?";
    answer.ariaBusy = pen !== null; // a screen reader waits until the pen is lifted
    bars.style.visibility = isEmpty ? "hidden" : "";
    const bar = (p, i) => `<li>${i}<i style="--part: ${p}"></i>${(100 * p).toFixed(1)} %</li>`;
    bars.innerHTML = repeat(probabilities, bar);
    showInside(results);
  }

  const record = () => ({ strokes, image: [...toImage(strokes)] });
  function change(next) {
    [strokes, pen, isShown] = [next, null, false];
    model.set("drawing", record());
    model.save_changes();
    show();
  }

  /** Draw on to a point, or begin there. */
  function draw(point, by) {
    if (pen !== by) strokes = [...(isShown ? [] : strokes), []];
    strokes.at(-1).push(point);
    [pen, isShown] = [by, false];
    show();
  }

  paper.onpointerdown = (event) => {
    if (typeof pen === "number" || event.button !== 0) return; // another finger draws
    paper.setPointerCapture(event.pointerId);
    draw(locate(paper, event, SIZE, SIZE), event.pointerId);
  };
  paper.onpointermove = (event) => {
    if (event.pointerId === pen) draw(locate(paper, event, SIZE, SIZE), pen);
  };
  paper.onlostpointercapture = ({ pointerId }) => pointerId === pen && change(strokes);
  paper.onkeydown = (event) => {
    place = place.map((at, i) => between(0, at + 7 * (ARROWS[event.key]?.[i] ?? 0), SIZE));
    const isPen = event.key === " " && !event.repeat && typeof pen !== "number";
    if (event.key in ARROWS || event.key === " ") event.preventDefault();
    if (isPen && pen === " ") change(strokes);
    else if (isPen || (pen === " " && event.key in ARROWS)) draw(place, " ");
    else show();
  };
  undo.onclick = () => change(isShown ? [] : strokes.slice(0, -1));
  clear.onclick = () => change([]);

  function fillSlots() {
    slots.forEach((slot, i) => {
      const kept = model.get("kept")[i];
      const drawing = kept ?? model.get("gallery")[i];
      slot.firstChild.style.opacity = kept ? 1 : 0.4; // grey: an example
      slot.querySelector("path").setAttribute("d", toPath(drawing.strokes));
      slot.onclick = () => {
        const isNew = strokes.length > 0 && !isShown && pen === null;
        if (isNew) model.set("kept", { ...model.get("kept"), [i]: record() });
        else [strokes, pen] = [drawing.strokes, null];
        model.save_changes();
        isShown = true;
        fillSlots();
      };
    });
    show();
  }
  model.on("change:kept", fillSlots);
  // JupyterLab's keys do nothing where the focus is. A mouse doesn't move it here, so Ctrl+S saves.
  const suppress = ({ target }) => target.toggleAttribute("data-lm-suppress-shortcuts", true);
  root.addEventListener("focusin", suppress);
  root.onmousedown = (event) => event.preventDefault();
  fillSlots();
  if (!strokes.length) slots[3].click();
  return () => model.off("change:kept", fillSlots);
}

export default { render };
