/** A server's certificate, signed by itself, so that it is an authority as well: X.509 (RFC 5280) in DER. */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

export interface Certificate {
  /** PEM, both. */
  readonly key: string;
  readonly cert: string;
}

/** One element: tag, length, content. None here is longer than 65,535 bytes. */
function element(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const { length } = body;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
}

const sequence = (...content: readonly Buffer[]): Buffer => element(0x30, ...content);
const hex = (bytes: string): Buffer => Buffer.from(bytes, "hex");
const text = (tag: number, value: string): Buffer => element(tag, Buffer.from(value, "latin1"));

/** Object identifiers, whole. */
const ecdsaWithSha256 = sequence(hex("06082a8648ce3d040302"));
const commonName = hex("0603550403");
const alternativeNames = hex("0603551d11");
const basicConstraints = hex("0603551d13");

/** For 127.0.0.1, localhost and api.example, until 2049. */
export function makeCertificate(): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = sequence(element(0x31, sequence(commonName, text(0x0c, "double"))));
  const names = [text(0x82, "localhost"), text(0x82, "api.example"), element(0x87, Buffer.from([127, 0, 0, 1]))];
  const authority = sequence(basicConstraints, element(0x04, sequence(hex("0101ff"))));
  const signed = sequence(
    element(0xa0, hex("020102")), // version 3
    element(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ecdsaWithSha256,
    name,
    sequence(text(0x17, "260101000000Z"), text(0x17, "491231235959Z")),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    element(0xa3, sequence(sequence(alternativeNames, element(0x04, sequence(...names))), authority)),
  );
  const signature = element(0x03, Buffer.from([0]), sign("sha256", signed, privateKey));
  const der = sequence(signed, ecdsaWithSha256, signature);
  const lines = der.toString("base64").replace(/.{64}/g, "$&\n");
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
  };
}
