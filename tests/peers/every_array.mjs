// Reads every array named on standard input from the store at the URL given, and prints its shape and bytes as JSON.
import { readFileSync } from "node:fs";
import * as zarr from "zarrita";

const root = zarr.root(new zarr.FetchStore(process.argv[2]));
const found = {};
for (const path of JSON.parse(readFileSync(0, "utf-8"))) {
  const array = await zarr.open(root.resolve(path), { kind: "array" });
  // zarr.get throws on an array without elements.
  const { data, shape } = array.shape.includes(0) ? { data: new Uint8Array(), shape: array.shape } : await zarr.get(array);
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  found[path] = { shape, bytes: bytes.toString("base64") };
}
console.log(JSON.stringify(found));
