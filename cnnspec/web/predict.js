"use strict";

const find = (id) => document.getElementById(id);
const pad = find("pad");
const pen = pad.getContext("2d");
let token = null;
let asked = 0; // the newest question: an older answer is not shown

const headers = () => (token === null ? {} : { Authorization: `Bearer ${token}` });

function clear() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, pad.width, pad.height);
  find("answers").replaceChildren();
  find("error").textContent = "";
}

function show(predictions) {
  const rows = predictions.map(({ label, probability }) => {
    const row = document.createElement("li");
    const bar = document.createElement("progress");
    bar.value = probability;
    bar.setAttribute("aria-hidden", "true");
    const name = document.createElement("span");
    name.textContent = label;
    const share = document.createElement("span");
    share.textContent = `${(100 * probability).toFixed(1)} %`;
    row.append(bar, name, share);
    return row;
  });
  find("answers").replaceChildren(...rows);
}

async function answered(response) {
  const document = await response.json();
  find("door").hidden = response.status !== 401;
  const { error } = document;
  find("error").textContent = error ? [error.message, error.help].filter(Boolean).join(" — ") : "";
  return error ? null : document;
}

async function ask(image, invert = false) {
  const number = ++asked;
  try {
    const url = `/v1/predict?top=8${invert ? "&invert=true" : ""}`;
    const type = image.type || "application/octet-stream";
    const response = await fetch(url, { method: "POST", headers: { ...headers(), "Content-Type": type }, body: image });
    if (number !== asked) return;
    const answer = await answered(response);
    if (answer !== null) show(answer.predictions);
  } catch {
    find("error").textContent = "the server does not answer";
  }
}

async function open(file) {
  if (!file) return;
  try {
    const picture = await createImageBitmap(file);
    const scale = Math.min(pad.width / picture.width, pad.height / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    clear();
    pen.drawImage(picture, (pad.width - width) / 2, (pad.height - height) / 2, width, height);
  } catch {
    clear(); // a format that only the server reads
  }
  await ask(file, find("invert").checked);
}

async function start() {
  clear();
  const about = await answered(await fetch("/v1/model", { headers: headers() }));
  if (about === null) return;
  find("name").textContent = about.name;
  document.title = `${about.name} · cnnspec`;
  find("about").textContent = `${about.input.join("×")} in, ${about.classes.length} classes, on ${about.provider}`;
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
  pad.toBlob((image) => image && ask(image));
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
