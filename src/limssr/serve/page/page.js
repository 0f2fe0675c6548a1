// The page: drop a performance, see its scores, switch streams off, look at what helps, compare, export, play live.
"use strict";

import { drawLive, drawScore, drawTimeline, listStretches, make, shown, signed } from "/static/draw.js";
import { assign, rowsOf } from "/static/files.js";

const $ = (id) => document.getElementById(id);
const state = { models: [], limits: {}, model: null, parts: null, title: "", whole: null, level: null, found: null, rows: [], token: sessionStorage.getItem("limssr-token") || "" };
let turn = 0;

function say(text) { $("status").textContent = text; }

function complain(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

async function ask(path, options = {}) {
  const headers = state.token ? { Authorization: `Bearer ${state.token}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  if (answer.status === 401) {
    $("token-form").hidden = false;
    $("token").focus();
  }
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(document.detail || `The server answered ${answer.status}.`);
  return document;
}

async function guarded(work, words) {
  complain("");
  say(words);
  try {
    await work();
    say("");
  } catch (error) {
    say("");
    complain(error.message);
  }
}

async function begin() {
  const found = await ask("/v1/models");
  $("token-form").hidden = true;
  state.models = found.models;
  state.limits = found.limits;
  $("model").textContent = "";
  for (const one of found.models) make("option", $("model"), one.id).value = one.id;
  choose(found.models[0].id);
}

function choose(id) {
  state.model = state.models.find((one) => one.id === id);
  const streams = state.model.streams.map((one) => one.name);
  const files = `one array file a stream (.npy, .npz, .csv, .parquet …) with its name in the file's name: ${streams.join(", ")}`;
  $("wanted").textContent = state.model.recordings ? `A video or sound file, or ${files}.` : `${files[0].toUpperCase()}${files.slice(1)}. Streams that you do not have may be left out.`;
  for (const name of ["result", "why", "live"]) $(name).hidden = true;
  state.parts = null;
}

function form(only) {
  const body = new FormData();
  body.append("model", state.model.id);
  body.append("id", state.title);
  if (only) body.append("only", only.join(","));
  for (const [name, file] of state.parts) body.append(name, file, file.name);
  return body;
}

async function take(files) {
  const { parts, left, title } = assign([...files], state.model);
  if (!parts.size) throw new Error(`Expected files whose names hold a stream (${state.model.streams.map((one) => one.name).join(", ")}), found ${[...files].map((file) => file.name).slice(0, 5).join(", ") || "none"}. Rename them.`);
  const total = [...parts.values()].reduce((sum, file) => sum + file.size, 0);
  if (total > state.limits.max_body) throw new Error(`Expected at most ${state.limits.max_body.toLocaleString()} bytes, found ${total.toLocaleString()}: start the server with a higher --max-body.`);
  state.parts = parts;
  state.title = title;
  const answer = await ask("/v1/score", { method: "POST", body: form() });
  state.whole = answer.samples[0];
  state.level = answer.interval;
  showScores(state.whole);
  showStreams(answer.notes, left);
  $("result-title").textContent = title;
  $("result").hidden = false;
  showWhy();
  await offerLive();
  state.rows.push({ title, streams: state.whole.streams, scores: state.whole.scores });
  showTable();
  $("result-title").focus({ preventScroll: false });
}

function showScores(sample) {
  $("scores").textContent = "";
  for (const [name, one] of Object.entries(sample.scores)) {
    const before = state.whole.scores[name].score;
    const isChanged = sample !== state.whole && one.score !== null && before !== null;
    drawScore($("scores"), name, one, state.level, isChanged ? `${signed(one.score - before, one.scale)} against all streams` : "");
  }
  $("flags").textContent = "";
  for (const flag of sample.flags) make("li", $("flags"), flag);
}

function showStreams(notes, left) {
  $("streams").textContent = "";
  for (const one of state.model.streams) {
    const has = state.whole.streams.includes(one.name);
    const label = make("label", make("li", $("streams")));
    const box = make("input", label);
    box.type = "checkbox";
    box.checked = has;
    box.disabled = !has;
    box.dataset.stream = one.name;
    box.addEventListener("change", switchStreams);
    const file = state.parts.get(one.name);
    make("span", label, has ? `${one.name}${file ? `: ${file.name}` : ""}` : `${one.name}: not found`, has ? "" : "quiet");
  }
  for (const note of notes) make("li", $("flags"), note);
  for (const file of left) make("li", $("flags"), `${file.name} is not used: its name holds no stream that is still free`);
}

async function switchStreams() {
  const mine = ++turn;
  const boxes = [...$("streams").querySelectorAll("input:not(:disabled)")];
  const on = boxes.filter((box) => box.checked).map((box) => box.dataset.stream);
  await guarded(async () => {
    if (on.length === boxes.length) return showScores(state.whole);
    const answer = await ask("/v1/score", { method: "POST", body: form(on) });
    if (mine === turn) showScores(answer.samples[0]);
  }, "Scoring …");
}

function showWhy() {
  state.found = null;
  for (const name of ["timeline", "stretches"]) $(name).textContent = "";
  $("criterion").textContent = "";
  for (const name of Object.keys(state.whole.scores)) make("option", $("criterion"), name).value = name;
  $("why").hidden = false;
  const recording = state.parts.get("recording");
  $("player").hidden = !recording;
  if (recording) $("player").src = URL.createObjectURL(recording);
}

function drawWhy() {
  if (!state.found) return;
  const seek = $("player").hidden ? null : (seconds) => { $("player").currentTime = seconds; };
  drawTimeline($("timeline"), state.found, $("criterion").value, state.model.segment_s, seek);
  listStretches($("stretches"), state.found, $("criterion").value, state.model.segment_s);
}

function showTable() {
  const table = $("table");
  table.textContent = "";
  const names = [...new Set(state.rows.flatMap((row) => Object.keys(row.scores)))];
  const head = make("tr", make("thead", table));
  for (const text of ["Performance", ...names.flatMap((name) => [name, "interval", "against the first"])]) make("th", head, text).scope = "col";
  const body = make("tbody", table);
  state.rows.forEach((row, number) => {
    const line = make("tr", body);
    make("td", line, `${row.title} (${row.streams.join(", ")})`);
    for (const name of names) {
      const one = row.scores[name];
      const first = state.rows[0].scores[name];
      make("td", line, one ? shown(one.score, one.scale) : "–");
      make("td", line, one && one.low !== null ? `${shown(one.low, one.scale)} – ${shown(one.high, one.scale)}` : "–");
      make("td", line, number && one && first && one.score !== null && first.score !== null ? signed(one.score - first.score, one.scale) : "");
    }
  });
  $("compare").hidden = !state.rows.length;
}

// A cell of a table that a spreadsheet will not take for a formula.
function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function exportTable() {
  const names = [...new Set(state.rows.flatMap((row) => Object.keys(row.scores)))];
  const lines = [["id", "streams", ...names.flatMap((name) => [name, `low:${name}`, `high:${name}`])]];
  for (const row of state.rows) lines.push([row.title, row.streams.join("+"), ...names.flatMap((name) => [row.scores[name]?.score, row.scores[name]?.low, row.scores[name]?.high])]);
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([lines.map((line) => line.map(cell).join(",")).join("\n") + "\n"], { type: "text/csv" }));
  link.download = "scores.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

let session = null;

async function offerLive() {
  session?.close();
  $("live-scores").textContent = "";
  const arrays = new Map();
  for (const [name, file] of state.parts) {
    const rows = await rowsOf(file).catch(() => null);
    if (rows) arrays.set(name, rows);
  }
  state.arrays = arrays;
  $("live").hidden = !arrays.size || !state.model.live;
}

function play() {
  if (session) { session.close(); return; }
  complain("");
  const total = Math.max(...[...state.arrays.values()].map((rows) => rows.length));
  const points = [];
  let next = 0;
  const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/live/${encodeURIComponent(state.model.id)}`;
  session = new WebSocket(address);
  $("play").textContent = "Stop";
  const send = () => {
    if (next >= total) { session?.send(JSON.stringify({ type: "end" })); return; }
    const streams = {};
    for (const [name, rows] of state.arrays) if (next < rows.length) streams[name] = [rows[next]];
    next += 1;
    session?.send(JSON.stringify({ type: "segments", streams }));
  };
  session.onopen = () => { session.send(JSON.stringify({ type: "start", token: state.token || undefined })); send(); };
  session.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.type === "problem") { complain(told.detail); return; }
    if (told.type === "started") return;
    points.push(told);
    $("live-scores").textContent = "";
    for (const name of Object.keys(told.scores)) drawLive($("live-scores"), name, points, total, told.interval);
    if (told.type !== "ended") setTimeout(send, 1000 / Math.max(1, Number($("speed").value) || 1));
  };
  session.onclose = () => { session = null; $("play").textContent = "Play"; };
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = $("token").value.trim();
  sessionStorage.setItem("limssr-token", state.token);
  guarded(begin, "Asking the server …");
});
$("model").addEventListener("change", () => { complain(""); choose($("model").value); });
for (const id of ["files", "folder"]) {
  $(id).addEventListener("change", async () => {
    const files = [...$(id).files];
    $(id).value = "";
    if (files.length) await guarded(() => take(files), "Scoring …");
  });
}
$("explain").addEventListener("click", () => guarded(async () => {
  const only = [...$("streams").querySelectorAll("input:checked")].map((box) => box.dataset.stream);
  state.found = await ask("/v1/explain", { method: "POST", body: form(only) });
  drawWhy();
}, "Scoring without each stretch …"));
$("criterion").addEventListener("change", drawWhy);
$("export").addEventListener("click", exportTable);
$("clear").addEventListener("click", () => { state.rows = []; showTable(); });
$("play").addEventListener("click", play);

const zone = document.body;
zone.addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
zone.addEventListener("dragleave", () => $("drop").classList.remove("over"));
zone.addEventListener("drop", async (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = entries.length ? (await Promise.all(entries.map(inside))).flat() : [...event.dataTransfer.files];
  if (state.model) await guarded(() => take(files), "Scoring …");
});

// The files of what was dropped: a file, or a folder with its files.
async function inside(entry) {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) break;
    found.push(...some.filter((one) => one.isFile));
    if (found.length > 1000) throw new Error("Expected at most 1,000 files in a folder, found more: choose the files.");
  }
  return (await Promise.all(found.map(inside))).flat();
}

guarded(begin, "Asking the server …");
