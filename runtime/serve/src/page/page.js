"use strict";
// Draws what the server says of its model, and asks it what people fill in. The facts are in the page itself.
const facts = JSON.parse(document.getElementById("facts").textContent);
const byId = (id) => document.getElementById(id);
const MOST_FIELDS = 64;
const MOST_BARS = 100;
const LONGEST_WHOLE = /^(U?INT64)$/;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// One row for each request: the first size of any, and of no other.
function shapeOf(spec) {
  return spec.shape.map((size, index) => (size < 0 && index === 0 ? 1 : size));
}

function elementsOf(shape) {
  return shape.reduce((product, size) => product * size, 1);
}

function sideOf(spec, count) {
  const side = Math.sqrt(count);
  return /^(FP|UINT8)/.test(spec.datatype) && Number.isInteger(side) && side >= 8 && side <= 128 ? side : undefined;
}

// The elements of a recorded sample: base64 of little endian numbers, or of texts behind their lengths.
function decode({ datatype, data }) {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const readers = {
    BOOL: [1, (at) => view.getUint8(at) !== 0], UINT8: [1, (at) => view.getUint8(at)], INT8: [1, (at) => view.getInt8(at)],
    UINT16: [2, (at) => view.getUint16(at, true)], INT16: [2, (at) => view.getInt16(at, true)],
    UINT32: [4, (at) => view.getUint32(at, true)], INT32: [4, (at) => view.getInt32(at, true)],
    UINT64: [8, (at) => String(view.getBigUint64(at, true))], INT64: [8, (at) => String(view.getBigInt64(at, true))],
    FP32: [4, (at) => view.getFloat32(at, true)], FP64: [8, (at) => view.getFloat64(at, true)],
  };
  if (datatype === "BYTES") {
    const texts = [];
    for (let at = 0; at < bytes.length;) {
      const end = at + 4 + view.getUint32(at, true);
      texts.push(new TextDecoder().decode(bytes.subarray(at + 4, end)));
      at = end;
    }
    return texts;
  }
  const [size, read] = readers[datatype] ?? [];
  return read && Array.from({ length: bytes.length / size }, (_, index) => read(index * size));
}

// What a field holds, as JSON text: a whole number of 64 bits has more digits than a number here.
function literal(datatype, text) {
  if (datatype === "BOOL") return String(text === true || text === "true");
  if (datatype === "BYTES") return JSON.stringify(text);
  if (text.trim() === "" && /^(FP|BF)/.test(datatype)) return "null";
  if (LONGEST_WHOLE.test(datatype) && /^-?\d+$/.test(text.trim())) return text.trim();
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) throw new Error(`${JSON.stringify(text)} is no number`);
  return String(value);
}

function fieldsFor(spec, shape, count) {
  const make = () => element("input", spec.datatype === "BOOL" ? { type: "checkbox" } : { type: "text", inputMode: spec.datatype === "BYTES" ? "text" : "decimal", value: spec.datatype === "BYTES" ? "" : "0" });
  const fields = Array.from({ length: count }, make);
  fields.forEach((field, index) => field.setAttribute("aria-label", `${spec.name} ${index}`));
  return {
    node: element("div", { className: "fields" }, ...fields),
    shape: () => shape,
    data: () => `[${fields.map((field) => literal(spec.datatype, field.type === "checkbox" ? field.checked : field.value))}]`,
    fill: (values) => fields.forEach((field, index) => {
      if (field.type === "checkbox") field.checked = values[index];
      else field.value = Number.isNaN(values[index]) ? "" : String(values[index]);
    }),
  };
}

// As text; of sizes that may be any, one each.
function textFor(spec, shape) {
  const sizesOf = shape.map((size) => Math.max(size, 1));
  const none = { BYTES: '""', BOOL: "false" }[spec.datatype] ?? "0";
  const text = element("textarea", { value: `[${Array(elementsOf(sizesOf)).fill(none).join(", ")}]` });
  text.setAttribute("aria-label", spec.name);
  const sizes = element("input", { type: "text", value: sizesOf.join(", ") });
  sizes.setAttribute("aria-label", `shape of ${spec.name}`);
  return {
    node: element("div", {}, element("label", {}, "shape ", sizes), text),
    shape: () => sizes.value.split(",").map(Number),
    data: () => { JSON.parse(text.value); return text.value; },
    fill: (values, sizes_) => { text.value = `[${values.map((value) => (spec.datatype === "BYTES" ? JSON.stringify(value) : Number.isNaN(value) ? "null" : value)).join(", ")}]`; sizes.value = sizes_.join(", "); },
  };
}

// A square of numbers is drawn: white is the largest number of the example, or 255.
function drawingFor(spec, shape, side) {
  const canvas = element("canvas", { width: side, height: side });
  canvas.setAttribute("aria-label", spec.name);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  let largest = 255;
  const clear = () => { pen.fillStyle = "#000"; pen.fillRect(0, 0, side, side); };
  clear();
  const place = (event) => {
    const frame = canvas.getBoundingClientRect();
    return [(event.clientX - frame.left) * side / frame.width, (event.clientY - frame.top) * side / frame.height];
  };
  canvas.onpointerdown = (event) => { canvas.setPointerCapture(event.pointerId); pen.beginPath(); pen.moveTo(...place(event)); canvas.onpointermove(event); };
  canvas.onpointermove = (event) => {
    if (!(event.buttons & 1)) return;
    Object.assign(pen, { strokeStyle: "#fff", lineWidth: side / 14, lineCap: "round", lineJoin: "round" });
    pen.lineTo(...place(event));
    pen.stroke();
  };
  const button = element("button", { type: "button", onclick: clear }, "Clear");
  return {
    node: element("div", {}, canvas, element("br"), button),
    shape: () => shape,
    data: () => {
      const pixels = pen.getImageData(0, 0, side, side).data;
      const values = Array.from({ length: side * side }, (_, index) => pixels[4 * index] / 255 * largest);
      return JSON.stringify(spec.datatype === "UINT8" ? values.map(Math.round) : values);
    },
    fill: (values) => {
      largest = Math.max(...values) > 1 ? 255 : 1;
      const image = pen.createImageData(side, side);
      values.forEach((value, index) => image.data.set([value, value, value].map((v) => v / largest * 255).concat(255), 4 * index));
      pen.putImageData(image, 0, 0);
    },
  };
}

function controlFor(spec) {
  const shape = shapeOf(spec);
  const count = shape.some((size) => size < 0) ? undefined : elementsOf(shape);
  const side = count === undefined ? undefined : sideOf(spec, count);
  if (side !== undefined) return drawingFor(spec, shape, side);
  if (count !== undefined && count <= MOST_FIELDS) return fieldsFor(spec, shape, count);
  return textFor(spec, shape);
}

function signatureRow(way, { name, datatype, shape, dimensions = [], classes }) {
  const sizes = shape.map((size, index) => (size < 0 ? dimensions[index] || "any" : size)).join(" × ") || "one value";
  const cells = [way, name, datatype, sizes].map((text) => element("td", {}, text));
  const shown = classes?.labels?.slice(0, MOST_BARS) ?? [];
  const more = classes && classes.count > shown.length ? ["…"] : [];
  cells.push(element("td", { className: "weak" }, classes ? `${classes.count} classes: ${[...shown, ...more].join(", ")}` : ""));
  return element("tr", {}, ...cells);
}

function draw({ name, shape, data }) {
  const head = element("h2", {}, `${name} `, element("small", {}, shape.join(" × ")));
  const numbers = data.every((value) => typeof value === "number");
  if (!numbers || data.length < 2 || data.length > MOST_BARS) {
    return element("div", {}, head, element("code", {}, data.slice(0, 1000).map((value) => JSON.stringify(value)).join(", ") + (data.length > 1000 ? ", …" : "")));
  }
  const known = [facts.outputs.find((spec) => spec.name === name)?.classes?.labels, facts.confusion?.labels];
  const labels = known.find((labels) => labels?.length === data.length);
  const largest = Math.max(...data.map(Math.abs)) || 1;
  const best = data.indexOf(Math.max(...data));
  const bars = data.map((value, index) => {
    const bar = element("i");
    bar.style.width = `${100 * Math.abs(value) / largest}%`;
    return element("div", { className: index === best ? "bar best" : "bar" }, element("b", {}, labels ? labels[index] : String(index)), element("span", {}, bar), element("code", {}, Number(value.toPrecision(6)).toString()));
  });
  return element("div", {}, head, ...bars);
}

function body(controls) {
  const inputs = facts.inputs.map((spec, index) => `{"name": ${JSON.stringify(spec.name)}, "datatype": "${spec.datatype}", "shape": [${controls[index].shape()}], "data": ${controls[index].data()}}`);
  return `{"inputs": [${inputs.join(", ")}]}`;
}

// What asks the same in a shell. The text behind it is as long as it is: an argument may not be.
function curl(controls) {
  return `curl '${new URL(facts.path, location.href)}' -H 'content-type: application/json' -d @- <<'END'\n${body(controls)}\nEND`;
}

async function ask(controls) {
  const begun = performance.now();
  const response = await fetch(facts.path, { method: "POST", headers: { "content-type": "application/json" }, body: body(controls) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `HTTP ${response.status}`);
  byId("time").textContent = `${(performance.now() - begun).toFixed(1)} ms, there and back`;
  byId("answer").replaceChildren(...answer.outputs.map(draw));
}

function start() {
  document.title = `${facts.model} ${facts.version}`;
  byId("name").textContent = facts.model;
  byId("served").textContent = [`version ${facts.version}`, facts.executionProvider, facts.digest && `sha256:${facts.digest}`].filter(Boolean).join(" · ");
  if (facts.notReady) {
    byId("state").append(element("p", { className: "error" }, `This model takes no requests: ${facts.notReady}`));
    return;
  }
  byId("signature").append(...facts.inputs.map((spec) => signatureRow("input", spec)), ...facts.outputs.map((spec) => signatureRow("output", spec)));
  const metrics = Object.entries(facts.metrics);
  byId("quality").hidden = metrics.length === 0;
  byId("metrics").append(...metrics.map(([name, value]) => element("tr", {}, element("td", {}, name), element("td", { className: "number" }, value))));
  if (facts.confusion) {
    const { labels, counts } = facts.confusion;
    const shade = (row, value) => `rgb(47 125 109 / ${value / Math.max(1, ...row) * 0.7})`;
    const cell = (row) => (value) => { const made = element("td", {}, String(value)); made.style.background = shade(row, value); return made; };
    const rows = counts.map((row, index) => element("tr", {}, element("th", {}, labels[index]), ...row.map(cell(row))));
    byId("confusion").append(element("p", { className: "weak" }, "Rows are the truth, columns the answers."), element("table", { className: "confusion" }, element("tr", {}, element("th"), ...labels.map((label) => element("th", {}, label))), ...rows));
  }
  if (facts.curves) {
    byId("curves").append(element("img", { src: "curves.svg", alt: "loss and metrics by epoch" }));
    byId("training").hidden = false;
  }
  const controls = facts.inputs.map(controlFor);
  byId("inputs").append(...facts.inputs.map((spec, index) => element("fieldset", {}, element("legend", {}, spec.name), controls[index].node)));
  byId("example").hidden = facts.examples.length === 0;
  let next = 0;
  byId("example").onclick = () => {
    const example = facts.examples[next++ % facts.examples.length];
    facts.inputs.forEach((spec, index) => {
      const sample = example.find((tensor) => tensor.name === spec.name);
      const values = sample && decode(sample);
      if (values) controls[index].fill(values, sample.shape);
    });
  };
  byId("form").onsubmit = async (event) => {
    event.preventDefault();
    byId("send").disabled = true;
    try {
      await ask(controls);
    } catch (error) {
      byId("answer").replaceChildren(element("p", { className: "error" }, error.message));
    } finally {
      byId("send").disabled = false;
    }
  };
  const show = () => {
    try {
      byId("curl").textContent = curl(controls);
    } catch {
      // What was filled in so far is no request; the last one stays.
    }
  };
  byId("form").oninput = show;
  byId("form").onclick = show;
  show();
  byId("ask").hidden = false;
}

start();
