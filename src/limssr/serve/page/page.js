// The page: drop a performance, see its scores, switch streams off, look at what helps, compare, export, play live.
"use strict";

import { drawScores, drawTimeline, listStretches, make, readable, shown, signed } from "/static/draw.js";
import { assign } from "/static/files.js";
import { arraysOf, play } from "/static/live.js";

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
  const sensors = state.model.media.filter((one) => one.startsWith("sensor:")).map((one) => one.slice("sensor:".length));
  const ways = [files];
  if (sensors.length) ways.unshift(`one table a sensor (.csv, .tsv, .parquet) with a time column and its name in the file's name: ${sensors.join(", ")}`);
  if (state.model.media.some((one) => one.startsWith("media:"))) ways.unshift("a video or sound file");
  const told = ways.join("; or ");
  $("wanted").textContent = `${told[0].toUpperCase()}${told.slice(1)}. Streams that you do not have may be left out.`;
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
  if (total > state.limits.max_body) throw new Error(`Expected at most ${state.limits.max_body.toLocaleString()} bytes, found ${total.toLocaleString()}: choose smaller files.`);
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
  drawScores($("scores"), sample.scores, state.level, (name, one) => {
    const before = state.whole.scores[name].score;
    const isChanged = sample !== state.whole && one.score !== null && before !== null;
    return isChanged ? `${signed(one.score - before, one.scale)} against all streams` : "";
  });
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
  for (const name of Object.keys(state.whole.scores)) make("option", $("criterion"), readable(name)).value = name;
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

// A row a performance; with many scores a row a score, so that performances stand side by side.
function showTable() {
  const table = $("table");
  table.textContent = "";
  const names = [...new Set(state.rows.flatMap((row) => Object.keys(row.scores)))];
  const cells = (row, number, name) => {
    const one = row.scores[name];
    const first = state.rows[0].scores[name];
    const isBoth = number && one && first && one.score !== null && first.score !== null;
    return [
      one ? shown(one.score, one.scale) : "–",
      one && one.low !== null ? `${shown(one.low, one.scale)} – ${shown(one.high, one.scale)}` : "–",
      ...(number || names.length <= 3 ? [isBoth ? signed(one.score - first.score, one.scale) : ""] : []),
    ];
  };
  const title = (row) => `${row.title} (${row.streams.join(", ")})`;
  let lines = [["Performance", ...names.flatMap((name) => [readable(name), "interval", "against the first"])],
    ...state.rows.map((row, number) => [title(row), ...names.flatMap((name) => cells(row, number, name))])];
  if (names.length > 3) {
    lines = [["Score", ...state.rows.flatMap((row, number) => [title(row), "interval", ...(number ? ["against the first"] : [])])],
      ...names.map((name) => [readable(name), ...state.rows.flatMap((row, number) => cells(row, number, name))])];
  }
  const [head, ...body] = lines;
  const top = make("tr", make("thead", table));
  for (const text of head) make("th", top, text).scope = "col";
  const rest = make("tbody", table);
  for (const line of body) {
    const row = make("tr", rest);
    line.forEach((text, place) => { make(place ? "td" : "th", row, text).scope = place ? "" : "row"; });
  }
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

let stop = null;

async function offerLive() {
  stop?.();
  for (const name of ["live-scores", "live-seen"]) $(name).textContent = "";
  const recording = state.parts.get("recording");
  state.arrays = await arraysOf(state.parts);
  $("live").hidden = !(state.arrays.size || recording) || !state.model.live;
  $("speed-label").hidden = Boolean(recording);
  $("live-hint").textContent = recording
    ? "Plays the recording and scores what has been played. Its features are computed first."
    : "Plays the performance segment by segment, as if it were going on now.";
}

async function playLive() {
  if (stop) { stop(); return; }
  complain("");
  const recording = state.parts.get("recording");
  if (recording && !state.arrays.size) {
    const found = await ask("/v1/features", { method: "POST", body: form() });
    state.arrays = new Map(Object.entries(found.sample.streams));
  }
  $("play").textContent = "Stop";
  stop = play({
    address: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/live/${encodeURIComponent(state.model.id)}`,
    token: state.token,
    arrays: state.arrays,
    place: $("live-scores"),
    seen: $("live-seen"),
    speed: () => Math.max(1, Number($("speed").value) || 1),
    player: recording ? $("player") : null,
    seconds: state.model.segment_s,
    complain,
    ended: () => { stop = null; $("play").textContent = "Play"; },
  });
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
$("play").addEventListener("click", () => guarded(playLive, state.parts.has("recording") && !state.arrays.size ? "Computing features …" : ""));

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
