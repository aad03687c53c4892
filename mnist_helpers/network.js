// Runs a network that page.py describes. Each operation does what PyTorch's documentation says of
// it, and takes the arguments in the same order. A tensor is { shape, data }: data is a
// Float32Array that holds the elements row by row.

const product = (numbers) => numbers.reduce((left, right) => left * right, 1);
const tensor = (shape, data = new Float32Array(product(shape))) => ({ shape, data });
const isSame = (one, other) => one.length === other.length && one.every((n, i) => n === other[i]);
const range = (start, end, step = 1) =>
  Array.from({ length: Math.max(0, Math.ceil((end - start) / step)) }, (_, i) => start + i * step);
const pair = (value) => (value.length === 2 ? value : [value, value].flat());
const axisOf = ({ shape }, dim) => (dim < 0 ? dim + shape.length : dim);

/** How far apart in the data the neighbours along each dimension are. */
const stridesOf = (shape) => shape.map((_, axis) => product(shape.slice(axis + 1)));

/** Copy elements: the one at [i, j, ...] comes from i * strides[0] + j * strides[1] + ... */
function copy(x, shape, strides) {
  const result = tensor(shape);
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < result.data.length; to++) {
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

/** Take the elements at these indices along a dimension; where there is none, `value`. */
function take(x, dim, indices, value = 0) {
  const axis = axisOf(x, dim);
  const length = x.shape[axis];
  const inner = product(x.shape.slice(axis + 1));
  const result = tensor([...x.shape.slice(0, axis), indices.length, ...x.shape.slice(axis + 1)]);
  const outer = product(x.shape.slice(0, axis));
  for (let o = 0; o < outer; o++) {
    indices.forEach((index, i) => {
      const to = (o * indices.length + i) * inner;
      const from = (o * length + index) * inner;
      if (!(index >= 0 && index < length)) result.data.fill(value, to, to + inner);
      else result.data.set(x.data.subarray(from, from + inner), to);
    });
  }
  return result;
}

/** Repeat tensors (or numbers) along dimensions of length 1, so that all have one shape. */
function broadcast(...values) {
  const tensors = values.map((value) => (value.shape ? value : tensor([], [value])));
  const shapes = tensors.map(({ shape }) => [...shape].reverse());
  const longest = shapes.reduce((one, other) => (other.length > one.length ? other : one));
  const lengths = longest.map((_, i) => shapes.map((shape) => shape[i] ?? 1));
  const common = lengths.map((each) => each.find((n) => n !== 1) ?? 1).reverse();
  return tensors.map((each) => operations.expand(each, common));
}

/** An operation on each element, f(element, arguments...). */
const unary = (f) => (x, a, b) => {
  return tensor(
    x.shape,
    Float32Array.from(x.data, (value) => f(value, a, b)),
  );
};

/** An operation on each element of one tensor and its partner in the other. */
const binary = (f) => (left, right, a) => {
  const [x, y] = broadcast(left, right);
  return tensor(
    x.shape,
    Float32Array.from(x.data, (value, i) => f(value, y.data[i], a)),
  );
};

/** Bring these dimensions to the end, as one. */
function gather(x, axes) {
  const others = range(0, x.shape.length).filter((axis) => !axes.includes(axis));
  const rows = operations.permute(x, [...others, ...axes]);
  const length = product(axes.map((axis) => x.shape[axis]));
  return tensor([rows.data.length / length, length], rows.data);
}

/** An operation that makes one number of the elements along some dimensions (null: all). */
function reduction(f) {
  return (x, dim = null, keepdim = false) => {
    const all = range(0, x.shape.length);
    const axes = [dim ?? []].flat().map((each) => axisOf(x, each));
    if (axes.length === 0) axes.push(...all);
    const kept = all.filter((axis) => !axes.includes(axis));
    const { shape, data } = gather(x, axes);
    const lengths = keepdim ? all.map((a) => (axes.includes(a) ? 1 : x.shape[a])) : null;
    const result = tensor(lengths ?? kept.map((axis) => x.shape[axis]));
    for (let i = 0; i < result.data.length; i++) {
      result.data[i] = f(data.subarray(i * shape[1], (i + 1) * shape[1]));
    }
    return result;
  };
}

/** An operation that makes of each row along a dimension a row of the same length. */
const rowwise = (f) => (x, dim) => {
  const axis = axisOf(x, dim);
  const order = [...range(0, x.shape.length).filter((each) => each !== axis), axis];
  const moved = operations.permute(x, order);
  const length = x.shape[axis];
  for (let i = 0; i < moved.data.length; i += length) {
    moved.data.set(f(moved.data.subarray(i, i + length)), i);
  }
  return operations.permute(
    moved,
    order.map((_, each) => order.indexOf(each)),
  );
};

const sum = (row) => row.reduce((total, value) => total + value, 0);
const largest = (row) => row.reduce((one, other) => Math.max(one, other), -Infinity);
const smallest = (row) => row.reduce((one, other) => Math.min(one, other), Infinity);
const exponentials = (row) => row.map((value, _, all) => Math.exp(value - largest(all)));

/** Subtract the row's mean and divide by its standard deviation. */
function standardise(row, epsilon) {
  const mean = sum(row) / row.length;
  const variance = row.reduce((total, value) => total + (value - mean) ** 2, 0) / row.length;
  return row.map((value) => (value - mean) / Math.sqrt(variance + epsilon));
}

/** The error function, by its series below 3, and by its continued fraction above. */
function erf(x) {
  if (Math.abs(x) > 3) {
    const fraction = range(1, 40).reduceRight((rest, n) => Math.abs(x) + n / 2 / rest, Math.abs(x));
    return Math.sign(x) * (1 - Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction);
  }
  let [total, term] = [0, x];
  for (let n = 0; Math.abs(term) > 1e-17; term *= (-x * x) / ++n) total += term / (2 * n + 1);
  return (2 * total) / Math.sqrt(Math.PI);
}

/** Where windows begin in a dimension: how many there are, and how much is padded on each side. */
function windows(length, kernel, stride, padding, dilation, ceil = false) {
  const reach = dilation * (kernel - 1);
  if (padding === "valid") padding = 0;
  const before = padding === "same" ? reach >> 1 : padding;
  const room = padding === "same" ? length - 1 : length + 2 * padding - reach - 1;
  let count = (ceil ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1;
  if (ceil && (count - 1) * stride >= length + before) count -= 1; // it would begin outside
  return { count, before, after: (count - 1) * stride + reach + 1 - length - before };
}

/** The windows of both dimensions of an image; a convolution's and a pooling's arguments. */
function windows2d({ shape }, kernel, stride, padding, dilation, ceil) {
  const paddings = typeof padding === "string" ? [padding, padding] : pair(padding);
  return [0, 1].map((i) => {
    const step = pair(stride)[i] ?? pair(kernel)[i]; // where no stride is given
    const length = shape[shape.length - 2 + i];
    return windows(length, pair(kernel)[i], step, paddings[i], pair(dilation)[i], ceil);
  });
}

/** Combine the elements of each window of an image, place by place. */
function pool(x, kernel, stride, padding, dilation, ceil, start, combine) {
  const [rows, columns] = windows2d(x, kernel, stride, padding, dilation, ceil);
  const [stepY, stepX] = stride.length ? pair(stride) : pair(kernel);
  const sides = [columns.before, columns.after, rows.before, rows.after];
  const padded = operations.pad(x, sides, "constant", start);
  const [height, width] = padded.shape.slice(-2);
  const result = tensor([...x.shape.slice(0, -2), rows.count, columns.count]);
  result.data.fill(start);
  let to = 0;
  for (let map = 0; to < result.data.length; map += height * width) {
    for (let y = 0; y < rows.count; y++) {
      for (let x = 0; x < columns.count; x++, to++) {
        for (let i = 0; i < pair(kernel)[0]; i++) {
          for (let j = 0; j < pair(kernel)[1]; j++) {
            const row = y * stepY + i * pair(dilation)[0];
            const column = x * stepX + j * pair(dilation)[1];
            result.data[to] = combine(result.data[to], padded.data[map + row * width + column]);
          }
        }
      }
    }
  }
  return result;
}

const operations = {
  relu: unary((x) => Math.max(x, 0)),
  sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  tanh: unary(Math.tanh),
  gelu: unary((x, approximate) => {
    const z = Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
    return 0.5 * x * (1 + (approximate === "tanh" ? Math.tanh(z) : erf(x / Math.SQRT2)));
  }),
  silu: unary((x) => x / (1 + Math.exp(-x))),
  leaky_relu: unary((x, slope) => (x > 0 ? x : slope * x)),
  elu: unary((x, alpha) => (x > 0 ? x : alpha * Math.expm1(x))),
  abs: unary(Math.abs),
  neg: unary((x) => -x),
  exp: unary(Math.exp),
  log: unary(Math.log),
  sqrt: unary(Math.sqrt),
  square: unary((x) => x * x),

  add: binary((x, y, alpha = 1) => x + alpha * y),
  sub: binary((x, y, alpha = 1) => x - alpha * y),
  mul: binary((x, y) => x * y),
  div: binary((x, y) => x / y),
  pow: binary((x, y) => x ** y),
  maximum: binary(Math.max),
  minimum: binary(Math.min),

  mean: reduction((row) => sum(row) / row.length),
  sum: reduction(sum),
  amax: reduction(largest),
  amin: reduction(smallest),

  softmax: rowwise((row) => {
    const powers = exponentials(row);
    return powers.map((power, _, all) => power / sum(all));
  }),

  view: ({ data }, shape) => {
    const known = product(shape.filter((length) => length >= 0));
    return tensor(
      shape.map((length) => (length < 0 ? data.length / known : length)),
      data,
    );
  },
  unsqueeze: (x, dim) => {
    const axis = dim < 0 ? dim + x.shape.length + 1 : dim;
    return tensor([...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)], x.data);
  },
  squeeze: (x, dim) => {
    const axes = [dim ?? range(0, x.shape.length)].flat().map((each) => axisOf(x, each));
    return tensor(
      x.shape.filter((length, axis) => length !== 1 || !axes.includes(axis)),
      x.data,
    );
  },
  permute: (x, dims) => {
    const axes = dims.map((dim) => axisOf(x, dim));
    const strides = stridesOf(x.shape);
    return copy(
      x,
      axes.map((axis) => x.shape[axis]),
      axes.map((axis) => strides[axis]),
    );
  },
  transpose: (x, first, second) => {
    const dims = range(0, x.shape.length);
    const [i, j] = [axisOf(x, first), axisOf(x, second)];
    [dims[i], dims[j]] = [dims[j], dims[i]];
    return operations.permute(x, dims);
  },
  expand: (x, shape) => {
    if (isSame(x.shape, shape)) return x;
    const added = shape.length - x.shape.length;
    const strides = stridesOf(x.shape);
    const lengths = shape.map((length, i) => (length < 0 ? x.shape[i - added] : length));
    return copy(
      x,
      lengths,
      shape.map((_, i) => (x.shape[i - added] > 1 ? strides[i - added] : 0)),
    );
  },
  slice: (x, dim, start, end, step) => {
    const length = x.shape[axisOf(x, dim)];
    const place = (index) => Math.min(Math.max(index < 0 ? index + length : index, 0), length);
    return take(x, dim, range(place(start ?? 0), place(end ?? length), step));
  },
  select: (x, dim, index) => {
    const axis = axisOf(x, dim);
    return operations.squeeze(take(x, axis, [index < 0 ? index + x.shape[axis] : index]), axis);
  },
  cat: (tensors, dim) => {
    const all = tensors.filter(({ data }) => data.length);
    const axis = axisOf(all[0], dim);
    const outer = product(all[0].shape.slice(0, axis));
    const shape = [...all[0].shape];
    shape[axis] = sum(all.map((each) => each.shape[axis]));
    const result = tensor(shape);
    let to = 0;
    for (let o = 0; o < outer; o++) {
      for (const { data } of all) {
        const part = data.length / outer;
        result.data.set(data.subarray(o * part, (o + 1) * part), to);
        to += part;
      }
    }
    return result;
  },
  pad: (x, sides, mode, value) => {
    const source = (index, length) => {
      if (mode === "replicate") return Math.min(Math.max(index, 0), length - 1);
      if (mode === "circular") return (index + length) % length;
      if (mode === "reflect") return length - 1 - Math.abs(length - 1 - Math.abs(index));
      return index;
    };
    return range(0, sides.length / 2).reduce((padded, i) => {
      const axis = x.shape.length - 1 - i;
      const indices = range(-sides[2 * i], x.shape[axis] + sides[2 * i + 1]);
      return take(
        padded,
        axis,
        indices.map((n) => source(n, x.shape[axis])),
        value ?? 0,
      );
    }, x);
  },

  linear: (x, weight, bias) => {
    const [outputs, inputs] = weight.shape;
    const result = tensor([...x.shape.slice(0, -1), outputs]);
    for (let to = 0; to < result.data.length; to++) {
      const row = Math.floor(to / outputs) * inputs;
      const output = to % outputs;
      let total = bias ? bias.data[output] : 0;
      for (let i = 0; i < inputs; i++) total += x.data[row + i] * weight.data[output * inputs + i];
      result.data[to] = total;
    }
    return result;
  },
  matmul: (x, y) => {
    if (x.shape.length === 1) {
      return operations.squeeze(operations.matmul(operations.unsqueeze(x, 0), y), -2);
    }
    if (y.shape.length === 1) {
      return operations.squeeze(operations.matmul(x, operations.unsqueeze(y, 1)), -1);
    }
    const batches = [x, y].map(({ shape }) => tensor(shape.slice(0, -2)));
    const [{ shape: batch }] = broadcast(...batches);
    const left = operations.expand(x, [...batch, ...x.shape.slice(-2)]).data;
    const right = operations.expand(y, [...batch, ...y.shape.slice(-2)]).data;
    const [rows, inner] = x.shape.slice(-2);
    const columns = y.shape.at(-1);
    const result = tensor([...batch, rows, columns]);
    for (let to = 0; to < result.data.length; to++) {
      const column = to % columns;
      const row = Math.floor(to / columns);
      const matrix = Math.floor(row / rows) * inner * columns;
      let total = 0;
      for (let i = 0; i < inner; i++) {
        total += left[row * inner + i] * right[matrix + i * columns + column];
      }
      result.data[to] = total;
    }
    return result;
  },
  conv2d: (x, weight, bias, stride, padding, dilation, groups) => {
    const [outputs, inputs, ...kernel] = weight.shape;
    const [rows, columns] = windows2d(x, kernel, stride, padding, dilation);
    const sides = [columns.before, columns.after, rows.before, rows.after];
    const padded = operations.pad(x, sides, "constant", 0);
    const [height, width] = padded.shape.slice(-2);
    const result = tensor([...x.shape.slice(0, -3), outputs, rows.count, columns.count]);
    const size = rows.count * columns.count;
    const step = pair(stride)[1];
    for (let map = 0; map < result.data.length / size; map++) {
      const [image, output] = [Math.floor(map / outputs), map % outputs];
      const group = Math.floor((output * groups) / outputs);
      const sums = result.data.subarray(map * size, (map + 1) * size);
      sums.fill(bias ? bias.data[output] : 0);
      let place = output * inputs * kernel[0] * kernel[1];
      for (let input = 0; input < inputs; input++) {
        const start = ((image * groups + group) * inputs + input) * height * width;
        for (let i = 0; i < kernel[0]; i++) {
          for (let j = 0; j < kernel[1]; j++) {
            const value = weight.data[place++];
            const corner = start + i * pair(dilation)[0] * width + j * pair(dilation)[1];
            let to = 0;
            for (let y = 0; y < rows.count; y++) {
              const row = corner + y * pair(stride)[0] * width;
              for (let x = 0; x < columns.count; x++) {
                sums[to++] += value * padded.data[row + x * step];
              }
            }
          }
        }
      }
    }
    return result;
  },
  batch_norm: (x, mean, variance, weight, bias, training, momentum, epsilon) => {
    const size = product(x.shape.slice(2));
    const normalise = (value, i) => {
      const channel = Math.floor(i / size) % x.shape[1];
      const deviation = Math.sqrt(variance.data[channel] + epsilon);
      const scale = weight ? weight.data[channel] : 1;
      return ((value - mean.data[channel]) / deviation) * scale + (bias ? bias.data[channel] : 0);
    };
    return tensor(x.shape, x.data.map(normalise));
  },
  max_pool2d: (x, kernel, stride, padding, dilation, ceil) =>
    pool(x, kernel, stride, padding, dilation, ceil, -Infinity, Math.max),
  avg_pool2d: (x, kernel, stride, padding, ceil, countPadding, divisor) => {
    const sums = pool(x, kernel, stride, padding, 1, ceil, 0, (total, value) => total + value);
    if (divisor) return operations.div(sums, divisor);
    const counts = [0, 1].map((i) => {
      const length = x.shape.at(i - 2);
      const [size, border] = [pair(kernel)[i], pair(padding)[i]];
      const step = pair(stride)[i] ?? size;
      const margin = countPadding ? border : 0;
      return range(0, sums.shape.at(i - 2)).map((n) => {
        const start = n * step - border;
        return Math.min(start + size, length + margin) - Math.max(start, -margin);
      });
    });
    const areas = counts[0].flatMap((height) => counts[1].map((width) => height * width));
    return operations.div(sums, tensor(sums.shape.slice(-2), areas));
  },
};

/** Decode a number of half precision. */
function half(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, (bits & 1023) / 1024];
  const size = exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14;
  return bits & 0x8000 ? -size : size;
}

/** Make a network of what page.py's describe returned; run(image) takes 784 pixels from 0 to 1. */
function loadNetwork(description) {
  const bytes = new DataView(
    Uint8Array.from(atob(description.weights), (letter) => letter.charCodeAt(0)).buffer,
  );
  const constants = description.constants.map(({ shape, offset, bits }) => {
    const read = {
      16: (i) => half(bytes.getUint16(offset + 2 * i, true)),
      32: (i) => bytes.getFloat32(offset + 4 * i, true),
    }[bits];
    return tensor(
      shape,
      Float32Array.from({ length: product(shape) }, (_, i) => read(i)),
    );
  });
  const run = (image) => {
    const values = [];
    const resolve = (argument) => {
      if (Array.isArray(argument)) return argument.map(resolve);
      if (typeof argument?.node === "number") return values[argument.node];
      return typeof argument?.constant === "number" ? constants[argument.constant] : argument;
    };
    for (const { op, args, shape } of description.nodes) {
      const isInput = op === "input";
      values.push(isInput ? tensor(shape, image) : operations[op](...args.map(resolve)));
    }
    return values;
  };
  return { ...description, constants, run };
}
