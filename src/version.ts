/** Of package.json; esbuild puts the text into the bundle. */
import manifest from "../package.json" with { type: "json" };

export const version: string = manifest.version;
