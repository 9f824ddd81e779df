/** A stream of bytes as lines of text. Pure. */
import { StringDecoder } from "node:string_decoder";

/** etcd takes objects up to 1.5 MiB; a watch event holds one. */
const longestLine = 16 * 1024 * 1024;

/** @returns what takes the next bytes and gives the lines that they end. @throws RangeError for an endless line. */
export function lineSplitter(longest = longestLine): (chunk: Uint8Array) => string[] {
  const decoder = new StringDecoder("utf8");
  let parts: string[] = [];
  let length = 0;
  return (chunk) => {
    const lines = decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)).split("\n");
    const rest = lines.pop() ?? "";
    const [first, ...others] = lines;
    const complete = first === undefined ? [] : [[...parts, first].join(""), ...others];
    if (first !== undefined) {
      parts = [];
      length = 0;
    }
    parts.push(rest);
    length += rest.length;
    if (length > longest) throw new RangeError(`a line of more than ${longest} characters`);
    return complete.filter((line) => line !== "");
  };
}
