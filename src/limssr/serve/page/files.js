// Which file is which stream, and arrays in .npy files, which the live view plays.
"use strict";

const ARRAYS = [".npy", ".npz", ".csv", ".tsv", ".txt", ".parquet", ".xlsx", ".srt", ".vtt"];

function ending(name) {
  return name.includes(".") ? name.slice(name.lastIndexOf(".")).toLowerCase() : "";
}

// Parts of a form: name of the part -> file; and a title for the performance.
export function assign(files, model) {
  const parts = new Map();
  const left = [];
  const given = files.filter((file) => !file.name.startsWith("."));
  const names = model.streams.map((one) => one.name).sort((a, b) => b.length - a.length);
  for (const file of given) {
    const stem = file.name.toLowerCase();
    const isArray = ARRAYS.includes(ending(stem));
    const stream = isArray ? names.find((name) => stem.includes(name.toLowerCase())) : undefined;
    if (stream && !parts.has(stream)) parts.set(stream, file);
    else left.push(file);
  }
  for (const file of left.splice(0)) {
    const kind = ending(file.name);
    const open = names.filter((name) => !parts.has(name));
    if (kind === ".npz" && !parts.size && given.length === 1) parts.set("streams", file);
    else if (ARRAYS.includes(kind) && given.length === 1 && names.length === 1 && open.length) parts.set(open[0], file);
    else if (!ARRAYS.includes(kind) && model.recordings && given.length === 1) parts.set("recording", file);
    else left.push(file);
  }
  return { parts, left, title: titled(given) };
}

function titled(files) {
  if (!files.length) return "performance";
  const folder = (files[0].webkitRelativePath || "").split("/")[0];
  if (folder) return folder;
  const stem = files[0].name.replace(/\.[^.]*$/, "");
  if (files.length === 1) return stem;
  let common = 0;
  while (files.every((file) => common < file.name.length && file.name[common] === files[0].name[common])) common += 1;
  return files[0].name.slice(0, common).replace(/[-_. ]+$/, "") || stem;
}

// The rows of a .npy file of 4 or 8 byte floats; null for other files. A segment without numbers is null.
export async function rowsOf(file) {
  if (ending(file.name) !== ".npy") return null;
  const buffer = await file.arrayBuffer();
  const view = new DataView(buffer);
  const long = view.getUint8(6) > 1;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const begin = (long ? 12 : 10) + length;
  const head = new TextDecoder("latin1").decode(buffer.slice(long ? 12 : 10, begin));
  const kind = /'descr':\s*'<f([48])'/.exec(head);
  const size = /'shape':\s*\((\d+),\s*(\d+)\)/.exec(head);
  if (!kind || !size || /'fortran_order':\s*True/.test(head)) return null;
  const bytes = Number(kind[1]);
  const [rows, width] = [Number(size[1]), Number(size[2])];
  return Array.from({ length: rows }, (_, t) => {
    const row = Array.from({ length: width }, (__, d) => {
      const at = begin + bytes * (t * width + d);
      return bytes === 4 ? view.getFloat32(at, true) : view.getFloat64(at, true);
    });
    return row.every(Number.isNaN) ? null : row;
  });
}
