// Reads an HTTPRoute as JSON and checks it by the model of the Gateway API; what is wrong goes to
// standard error. The model is an npm package below $ROUTE.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const models = `${process.env.ROUTE}/node_modules/@kubernetes-models/gateway-api`;
const { HTTPRoute } = await import(pathToFileURL(`${models}/gateway.networking.k8s.io/v1/HTTPRoute.js`));

try {
  new HTTPRoute(JSON.parse(readFileSync(0, "utf8"))).validate();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
