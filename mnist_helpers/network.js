// Runs a network that page.py describes. `torch` holds the operations: each does what PyTorch's
// documentation says of it; its arguments are those of ATen, null stands for None. A tensor is
// { shape, data }, where data is a Float32Array of the elements, row by row.

const total = (numbers) => numbers.reduce((left, right) => left + right, 0);
const product = (numbers) => numbers.reduce((left, right) => left * right, 1);
const range = (start, end) => Array.from({ length: end - start }, (_, i) => start + i);
const cut = (data, length, i) => data.subarray(i * length, (i + 1) * length);
const tensor = (shape, data) => ({ shape, data });
const full = (shape, value) => tensor(shape, new Float32Array(product(shape)).fill(value));
const replaced = (list, index, value) => Object.assign([...list], { [index]: value });
const axisOf = ({ shape }, dim) => (dim < 0 ? dim + shape.length : dim);

/** How far apart in the data neighbours along each dimension are. */
const stridesOf = (shape) => shape.map((_, axis) => product(shape.slice(axis + 1)));

/** Copy elements: the one at [i, j, ...] comes from i * strides[0] + j * strides[1] + ... */
function copy(x, shape, strides) {
  const result = full(shape, 0);
  const index = shape.map(() => 0);
  for (let to = 0, from = 0; to < result.data.length; to++) {
    result.data[to] = x.data[from];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= shape[axis] * strides[axis];
      index[axis] = 0;
    }
  }
  return result;
}

/** Repeat tensors, or numbers, along dimensions of length 1, so that all have the same shape. */
function broadcast(...values) {
  const tensors = values.map((value) => (value.shape ? value : full([], value)));
  const rank = Math.max(...tensors.map(({ shape }) => shape.length));
  const lengths = range(-rank, 0).map((axis) => tensors.map(({ shape }) => shape.at(axis) ?? 1));
  const shape = lengths.map((each) => each.find((length) => length !== 1) ?? 1);
  return tensors.map((each) => torch.expand(each, shape));
}

/** Operations on each element, and on the one beside it in another tensor. */
const unary = (f) => (x) => ({ shape: x.shape, data: x.data.map((value) => f(value)) });
const binary = (f) => (left, right, a) => {
  const [x, y] = broadcast(left, right);
  return { shape: x.shape, data: x.data.map((value, i) => f(value, y.data[i], a)) };
};

/** An operation that makes one number of all elements along some dimensions. */
const reduction = (f) => (x, dim, keepdim) => {
  const all = range(0, x.shape.length);
  const named = [dim ?? []].flat().map((each) => axisOf(x, each));
  const isGone = (axis) => named.length === 0 || named.includes(axis);
  const order = [...all.filter((axis) => !isGone(axis)), ...all.filter(isGone)];
  const rows = torch.permute(x, order).data;
  const shape = all.map((axis) => (isGone(axis) ? 1 : x.shape[axis]));
  const data = full(shape, 0).data.map((_, i) => f(cut(rows, rows.length / product(shape), i)));
  return { shape: keepdim ? shape : shape.filter((_, axis) => !isGone(axis)), data };
};

/** Say where windows lie in the last dimensions of x: how many, and the padding on both sides. */
const placeWindows = ({ shape }, kernel, stride, padding, dilation, ceil) =>
  kernel.map((size, i) => {
    const [length, step, apart] = [shape.at(i - kernel.length), stride[i] ?? size, dilation[i]];
    const reach = apart * (size - 1);
    const before = { same: reach >> 1, valid: 0 }[padding] ?? padding[i];
    const room = padding === "same" ? length - 1 : length + 2 * before - reach - 1;
    let count = (ceil ? Math.ceil(room / step) : Math.floor(room / step)) + 1;
    if (ceil && (count - 1) * step >= length + before) count -= 1; // it would begin outside
    const after = (count - 1) * step + reach + 1 - length - before;
    return { size, step, apart, count, before, after };
  });

/** Cut these windows out of x: [..., a window's rows, its columns, windows below, beside]. */
function cutWindows(x, places, value = 0) {
  const sides = places.flatMap(({ before, after }) => [after, before]).reverse();
  const padded = torch.constant_pad_nd(x, sides, value);
  const outer = stridesOf(padded.shape);
  const inner = outer.splice(-places.length);
  const within = places.map(({ apart }, i) => apart * inner[i]);
  const across = places.map(({ step }, i) => step * inner[i]);
  const lengths = [...places.map(({ size }) => size), ...places.map(({ count }) => count)];
  const shape = [...x.shape.slice(0, -places.length), ...lengths];
  return copy(padded, shape, [...outer, ...within, ...across]);
}

/** Multiply the matrix of the kernels by that of the windows. */
function convolution(x, weight, bias, stride, padding, dilation, groups) {
  const [outputs, inputs, ...kernel] = weight.shape;
  const places = placeWindows(x, kernel, stride, padding, dilation);
  const [counts, outer] = [places.map(({ count }) => count), x.shape.slice(0, -kernel.length - 1)];
  const size = inputs * product(kernel);
  const windows = torch.view(cutWindows(x, places), [...outer, groups, size, product(counts)]);
  const kernels = torch.view(weight, [groups, outputs / groups, size]);
  const maps = torch.view(torch.matmul(kernels, windows), [...outer, outputs, ...counts]);
  return torch.add(maps, bias ? torch.view(bias, [outputs, ...kernel.fill(1)]) : 0);
}

/** Take apart one value of a convolution: what adds up to it, for each map of x that it sees, as
 *  values, weights and products; and the edges of their window in x. */
function takeApart(x, weight, [stride, padding, dilation, groups], map, place) {
  const [outputs, inputs, ...kernel] = weight.shape;
  const lengths = x.shape.slice(2);
  const windows = placeWindows(x, kernel, stride, padding, dilation).map((each, i) => {
    const start = place[i] * each.step - each.before;
    const end = start + each.apart * (each.size - 1) + 1;
    return { ...each, count: 1, before: -start, after: end - lengths[i] };
  });
  const patches = cutWindows(x, windows).data;
  const first = Math.floor((map * groups) / outputs) * inputs; // of its group
  const parts = range(0, inputs).map((i) => {
    const values = cut(patches, product(kernel), first + i);
    const weights = cut(weight.data, product(kernel), map * inputs + i);
    const products = values.map((value, j) => value * weights[j]);
    return { map: first + i, images: [values, weights, products], sum: total(products) };
  });
  return { parts, edges: windows.flatMap((each, i) => [-each.before, lengths[i] + each.after]) };
}

const torch = {
  abs: unary(Math.abs),
  exp: unary(Math.exp),
  expm1: unary(Math.expm1),
  log: unary(Math.log),
  log1p: unary(Math.log1p),
  neg: unary((x) => -x),
  reciprocal: unary((x) => 1 / x),
  relu: unary((x) => Math.max(x, 0)),
  rsqrt: unary((x) => 1 / Math.sqrt(x)),
  sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  silu: unary((x) => x / (1 + Math.exp(-x))),
  sqrt: unary(Math.sqrt),
  square: unary((x) => x * x),
  tanh: unary(Math.tanh),
  erf: unary((x) => {
    const t = 1 / (1 + 0.3275911 * Math.abs(x)); // 7.1.26 of Abramowitz and Stegun
    const factors = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592, 0];
    const polynomial = factors.reduce((value, factor) => value * t + factor, 0);
    return Math.sign(x) * (1 - polynomial * Math.exp(-x * x));
  }),
  add: binary((x, y, alpha = 1) => x + alpha * y),
  sub: binary((x, y, alpha = 1) => x - alpha * y),
  mul: binary((x, y) => x * y),
  div: binary((x, y, mode) => (mode ? Math[mode](x / y) : x / y)),
  pow: binary((x, y) => x ** y),
  maximum: binary((x, y) => Math.max(x, y)),
  minimum: binary((x, y) => Math.min(x, y)),
  clamp: (x, min, max) => torch.minimum(torch.maximum(x, min ?? -Infinity), max ?? Infinity),
  eq: binary((x, y) => Number(x === y)),
  gt: binary((x, y) => Number(x > y)),
  ge: binary((x, y) => Number(x >= y)),
  lt: binary((x, y) => Number(x < y)),
  le: binary((x, y) => Number(x <= y)),
  where: (condition, input, other) => {
    const [c, x, y] = broadcast(condition, input, other);
    return { shape: c.shape, data: c.data.map((isTrue, i) => (isTrue ? x : y).data[i]) };
  },

  amax: reduction((row) => row.reduce((x, y) => Math.max(x, y))),
  amin: reduction((row) => row.reduce((x, y) => Math.min(x, y))),
  max: (x, y, keepdim) => (y?.shape ? torch.maximum(x, y) : torch.amax(x, y, keepdim)),
  min: (x, y, keepdim) => (y?.shape ? torch.minimum(x, y) : torch.amin(x, y, keepdim)),
  mean: reduction((row) => total(row) / row.length),
  sum: reduction(total),
  var: (x, dim, correction, keepdim) => {
    const squares = torch.square(torch.sub(x, torch.mean(x, dim, true)));
    const variance = (row) => total(row) / (row.length - (correction ?? 1));
    return reduction(variance)(squares, dim, keepdim);
  },
  softmax: (x, dim) => torch.exp(torch.log_softmax(x, dim)),
  log_softmax: (x, dim) => {
    const below = torch.sub(x, torch.amax(x, dim, true)); // whose exponential is finite
    return torch.sub(below, torch.log(torch.sum(torch.exp(below), dim, true)));
  },

  view: ({ data }, shape) => ({ shape, data }),
  permute: (x, dims) => {
    const moved = (lengths) => dims.map((dim) => lengths.at(dim));
    return copy(x, moved(x.shape), moved(stridesOf(x.shape)));
  },
  expand: (x, shape) => {
    if (product(shape) === x.data.length) return torch.view(x, shape);
    const own = [...shape.slice(x.shape.length).fill(1), ...x.shape];
    const strides = stridesOf(own).map((stride, axis) => (own[axis] > 1 ? stride : 0));
    return copy(x, shape, strides);
  },
  slice: (x, dim, start, end, step) => {
    const [axis, strides] = [axisOf(x, dim), stridesOf(x.shape)];
    const kept = range(0, x.shape[axis]).slice(start ?? 0, end ?? undefined);
    const shape = replaced(x.shape, axis, Math.ceil(kept.length / step));
    const rest = { data: x.data.subarray(kept[0] * strides[axis]) };
    return copy(rest, shape, replaced(strides, axis, step * strides[axis]));
  },
  cat: (tensors, dim) => {
    const shape = [...tensors[0].shape];
    shape.splice(dim, 1, total(tensors.map((each) => each.shape.at(dim))));
    const [result, rows] = [full(shape, 0), product(shape.slice(0, dim))];
    for (let row = 0, to = 0; row < rows; row++) {
      for (const { data } of tensors) {
        const length = data.length / rows;
        result.data.set(data.subarray(row * length, (row + 1) * length), to);
        to += length;
      }
    }
    return result;
  },
  constant_pad_nd: (x, sides, value) =>
    range(0, sides.length / 2).reduce((padded, i) => {
      const [axis, before, after] = [padded.shape.length - 1 - i, sides[2 * i], sides[2 * i + 1]];
      const kept = torch.slice(padded, axis, Math.max(-before, 0), Math.min(after, 0) || null, 1);
      const blank = (count) => full(replaced(padded.shape, axis, Math.max(count, 0)), value);
      return torch.cat([blank(before), kept, blank(after)], axis);
    }, x),

  linear: (x, weight, bias) => torch.add(torch.matmul(x, torch.permute(weight, [1, 0])), bias ?? 0),
  matmul: (x, y) => {
    const [rows, inner] = [x.shape.at(-2) ?? 1, x.shape.at(-1)];
    const columns = y.shape.length > 1 ? y.shape.at(-1) : 1;
    const batches = [x, y].map(({ shape }) => full(shape.slice(0, -2), 0));
    const [{ shape: batch }] = broadcast(...batches);
    const left = torch.expand(x, [...batch, rows, inner]).data;
    const right = torch.expand(y, [...batch, inner, columns]).data;
    const result = full([...batch, ...x.shape.slice(-2, -1), ...y.shape.slice(1).slice(-1)], 0);
    for (let row = 0; row < product(batch) * rows; row++) {
      const sums = result.data.subarray(row * columns, (row + 1) * columns);
      for (let i = 0; i < inner; i++) {
        const factor = left[row * inner + i];
        const from = (Math.floor(row / rows) * inner + i) * columns;
        for (let j = 0; j < columns; j++) sums[j] += factor * right[from + j];
      }
    }
    return result;
  },
  conv1d: convolution,
  conv2d: convolution,
  max_pool2d: (x, kernel, stride, padding, dilation, ceil) => {
    const places = placeWindows(x, kernel, stride, padding, dilation, ceil);
    return torch.amax(cutWindows(x, places, -Infinity), [-4, -3]);
  },
  avg_pool2d: (x, kernel, stride, padding, ceil, countPadding, divisor) => {
    const places = placeWindows(x, kernel, stride, padding, [1, 1], ceil);
    const sums = torch.sum(cutWindows(x, places), [-4, -3]);
    // A window's size, without what lies beyond the padding, and without that if it doesn't count
    const sides = [padding[1], padding[1], padding[0], padding[0]];
    const ones = torch.constant_pad_nd(full(x.shape, 1), sides, Number(countPadding));
    const beyond = places.map((each) => ({ ...each, before: 0, after: each.size }));
    return torch.div(sums, divisor ?? torch.sum(cutWindows(ones, beyond), [-4, -3]));
  },
  adaptive_avg_pool2d: (x, counts) =>
    counts.reduce((pooled, count, i) => {
      const [dim, edge] = [i - 2, (n) => (n * x.shape.at(i - 2)) / count];
      const part = (n) => torch.slice(pooled, dim, Math.floor(edge(n)), Math.ceil(edge(n + 1)), 1);
      const means = range(0, count).map((n) => torch.mean(part(n), dim, true));
      return torch.cat(means, dim);
    }, x),
};

/** Make a network of what page.py describes: run(pixels) returns each node's tensor. */
function loadNetwork(description) {
  const constants = description.constants.map(({ shape, bits, data }) => {
    const { buffer } = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    if (bits === 32) return tensor(shape, new Float32Array(buffer));
    // Half precision has the same bits elsewhere, and an exponent that is smaller by 112.
    const move = (half) => ((half & 0x8000) << 16) | ((half & 0x7fff) << 13);
    const moved = new Float32Array(Uint32Array.from(new Uint16Array(buffer), move).buffer);
    return { shape, data: moved.map((value) => value * 2 ** 112) };
  });
  const run = (pixels) => {
    const values = [];
    const find = (argument) => {
      if (Array.isArray(argument)) return argument.map(find);
      return values[argument?.node] ?? constants[argument?.constant] ?? argument;
    };
    for (const { op, args, shape } of description.nodes) {
      values.push(op === "input" ? tensor(shape, pixels) : torch[op](...args.map(find)));
    }
    return values;
  };
  return { ...description, constants, run };
}
