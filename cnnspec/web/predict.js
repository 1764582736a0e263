"use strict";

const SHOWN = 20; // samples of one request
const find = (id) => document.getElementById(id);
const pad = find("pad");
const pen = pad.getContext("2d");
let token = null;
let about = null; // what `/v1/model` says
let isImage = true;
let asked = 0; // the newest question: an older answer is not shown

const headers = () => (token === null ? {} : { Authorization: `Bearer ${token}` });

function clear() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, pad.width, pad.height);
  find("answers").replaceChildren();
  find("error").textContent = "";
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** What is said of one sample, as rows: a name, a text, how long its bar is, and how it is marked. */
function rowsOf(answer) {
  if (answer.predictions)
    return answer.predictions.map(({ label, probability }, place) => ({
      name: label, text: percent(probability), share: probability, strong: place === 0,
    }));
  if (answer.probabilities)
    return Object.entries(answer.probabilities)
      .map(([name, share], place) => ({
        name, text: percent(share), share, least: about.thresholds[place], strong: answer.labels.includes(name),
      }))
      .sort((one, other) => other.share - one.share);
  if (answer.numbers)
    return Object.entries(answer.numbers).map(([name, value]) => ({
      name, text: `${Number(value.toPrecision(4))} ${answer.units?.[name] ?? ""}`.trim(), strong: true,
    }));
  return Object.entries(answer.shares)
    .map(([name, share], place) => ({ name, text: percent(share), share, colour: about.colours[place] }))
    .filter(({ share }) => share > 0)
    .sort((one, other) => other.share - one.share);
}

function element(kind, text, name) {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function listed({ name, text, share, least, colour, strong }) {
  const row = element("li", "", strong ? "strong" : "");
  if (share !== undefined) {
    const bar = document.createElement("progress");
    bar.value = share;
    bar.setAttribute("aria-hidden", "true");
    row.append(bar);
  }
  if (least !== undefined) {
    const mark = element("i", "", "least");
    mark.style.left = `${100 * least}%`;
    row.append(mark);
    row.title = `a label from ${percent(least)} on`;
  }
  const label = element("span", name);
  if (colour !== undefined) {
    const patch = element("i", "", "patch");
    patch.style.background = colour;
    label.prepend(patch);
  }
  row.append(label, element("span", text));
  return row;
}

function pictured(mask) {
  const image = document.createElement("img");
  image.src = `data:image/png;base64,${mask}`;
  image.alt = "The mask";
  return image;
}

function show(document) {
  const results = document.results ?? [document];
  const parts = results.slice(0, SHOWN).map((answer, place) => {
    const part = element("section", "");
    if (document.results) part.append(element("h2", `Sample ${place + 1} of ${results.length}`));
    if (answer.error) {
      part.append(element("p", answer.error.message, "error"));
      return part;
    }
    if (typeof answer.mask === "string") part.append(pictured(answer.mask));
    const list = element("ol", "");
    list.append(...rowsOf(answer).map(listed));
    part.append(list);
    return part;
  });
  find("answers").replaceChildren(...parts);
}

async function answered(response) {
  const document = await response.json();
  find("door").hidden = response.status !== 401;
  const { error } = document;
  find("error").textContent = error ? [error.message, error.help].filter(Boolean).join(" — ") : "";
  return error ? null : document;
}

/** The kind that a file is sent as. Browsers know no name for arrays. */
function kindOf(file) {
  const name = file.name ?? "";
  if (name.endsWith(".npy")) return "application/x-npy";
  return name.endsWith(".json") ? "application/json" : file.type || "application/octet-stream";
}

async function ask(file, invert = false) {
  const number = ++asked;
  const type = kindOf(file);
  const options = new URLSearchParams({ top: "8", ...(invert ? { invert: "true" } : {}) });
  if (!isImage) options.set("mask", "none"); // of volumes there are no pictures
  try {
    const response = await fetch(`/v1/predict?${options}`, {
      method: "POST", headers: { ...headers(), "Content-Type": type }, body: await bodyOf(file, type),
    });
    if (number !== asked) return;
    const answer = await answered(response);
    if (answer !== null) show(answer);
  } catch {
    find("error").textContent = "the server does not answer";
  }
}

/** A file as it is; a list alone is one of samples. */
async function bodyOf(file, type) {
  if (type !== "application/json") return file;
  const text = (await file.text()).trim();
  return text.startsWith("[") ? `{"inputs": ${text}}` : text;
}

async function open(file) {
  if (!file || about === null) return;
  if (isImage) {
    clear();
    try {
      const picture = await createImageBitmap(file);
      const scale = Math.min(pad.width / picture.width, pad.height / picture.height);
      const [width, height] = [picture.width * scale, picture.height * scale];
      pen.drawImage(picture, (pad.width - width) / 2, (pad.height - height) / 2, width, height);
    } catch {
      // an array, or a format that only the server reads
    }
  }
  await ask(file, find("invert").checked);
}

/** What a network of this task gives, in a few words. */
function given() {
  if (about.task === "regression") return about.numbers.join(", ");
  const what = { classification: "classes", "multi-label": "labels", segmentation: "classes for every place" };
  return `${about.classes.length} ${what[about.task]}`;
}

async function start() {
  clear();
  about = await answered(await fetch("/v1/model", { headers: headers() }));
  if (about === null) return;
  const [channels, ...axes] = about.input;
  isImage = axes.length === 2 && (channels === 1 || channels === 3);
  for (const part of document.querySelectorAll("[data-for=image]")) part.hidden = !isImage;
  const files = isImage ? "an image" : axes.length === 1 ? "a sound or an array" : "an array";
  find("kinds").textContent = `Open ${files}`;
  find("file").accept = (isImage ? "image/*" : axes.length === 1 ? ".wav" : "") + ",.npy,.json";
  find("hint").textContent = isImage
    ? "Draw, drop an image here, or paste one."
    : `Drop a file here: .npy of (N, ${about.input.join(", ")}), .json of nested lists${axes.length === 1 ? ", .wav" : ""}.`;
  find("name").textContent = about.name;
  document.title = `${about.name} · cnnspec`;
  find("about").textContent = `${about.input.join("×")} in, ${given()}, on ${about.provider}`;
}

let last = null;
pad.addEventListener("pointerdown", (event) => {
  pad.setPointerCapture(event.pointerId);
  last = event;
});
pad.addEventListener("pointermove", (event) => {
  if (last === null) return;
  const ratio = pad.width / pad.clientWidth;
  pen.strokeStyle = "#fff";
  pen.lineWidth = 22;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(last.offsetX * ratio, last.offsetY * ratio);
  pen.lineTo(event.offsetX * ratio, event.offsetY * ratio);
  pen.stroke();
  last = event;
});
pad.addEventListener("pointerup", () => {
  last = null;
  if (about !== null) pad.toBlob((image) => image && ask(image));
});
find("clear").addEventListener("click", clear);
find("file").addEventListener("change", (event) => open(event.target.files[0]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  open(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => open(event.clipboardData.files[0]));
find("door").addEventListener("submit", (event) => {
  event.preventDefault();
  token = find("token").value;
  start();
});
start();
